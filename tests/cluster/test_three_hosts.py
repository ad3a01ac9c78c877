"""The study on a cluster of three hosts made by `ray up`: the same tables, and no strangers."""

import json
import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.buckets import KEYS
from tests.cluster.conftest import finish, python
from tests.cluster.sockets import listening
from tests.small import ROOT, assert_same_tables, models

pytestmark = pytest.mark.slow

#: What ssh does on port 22 is its own affair.
SSH = 22


#: A driver on the head, and a worker there that waits as long as one that trains would take.
WAITING = """
import ray, sys
ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
here = {"num_cpus": 0, "resources": {"node:__internal_head__": 0.001}}
worker = ray.remote(type("Waiting", (), {"begin": lambda self: True})).options(**here).remote()
ray.get(worker.begin.remote())
print("begun", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def shared(cluster, study, tmp_path_factory):
    """A run of three hosts in a folder that they share: the folder, and the hosts that trained."""
    out = tmp_path_factory.mktemp("runs") / "shared"
    output, trained = finish(cluster.submit(out, *study), cluster)
    assert "8 of 8 members ended (8 finished)" in output, output
    return out, trained


def try_all_ports(hosts):
    """{(program, port): what a stranger found} of all that listens on the head except sshd."""
    sockets = [found for found in listening(hosts.pids(1)) if found[1] != SSH]
    names = {port: Path(f"/proc/{pid}/comm").read_text().strip() for _, port, pid in sockets}
    command = [
        sys.executable,
        str(ROOT / "tests/cluster/stranger.py"),
        hosts.address(1),
        *map(str, names),
    ]
    lines = map(json.loads, hosts.run(0, " ".join(command)).stdout.splitlines())
    outside = {port for address, port, _ in sockets if address != "127.0.0.1"}
    return {
        (names[line["port"]], line["port"]): {**line, "outside": line["port"] in outside}
        for line in lines
    }


def test_three_hosts_make_the_tables_of_one(shared, one_host):
    out, trained = shared
    assert trained == {1, 2, 3}
    assert_same_tables(out, one_host)
    assert models(out) == models(one_host)


def test_a_folder_that_the_hosts_do_not_share_is_refused(cluster, study):
    output, trained = finish(
        cluster.submit(Path("/run/study/mine"), *study), cluster
    )  # /run is each host's own
    [line] = re.findall(r"^error: .*$", output, re.MULTILINE)
    assert "/run/study/mine: is not one folder for the whole cluster" in line
    assert all(f"{cluster.hosts.address(i)} (it is not there)" in line for i in (2, 3))
    assert cluster.hosts.address(1) not in line
    assert "give an --out that all nodes share, or --storage s3://BUCKET/PATH" in line
    assert "Traceback" not in output
    assert trained == set()
    assert "study" not in cluster.hosts.run(1, "ls /run").stdout


def test_hosts_that_share_no_folder_deliver_to_a_bucket(cluster, bucket, study, one_host, tmp_path):
    process = cluster.submit(Path("/run/mine"), *study, "--storage", f"{bucket}/mine")
    output, trained = finish(process, cluster)
    assert "8 of 8 members ended (8 finished)" in output, output
    assert trained == {1, 2, 3}
    assert all("mine" not in cluster.hosts.run(i, "ls /run").stdout for i in (2, 3))
    code = "from study.run.storage import Storage; from study.run.folder import RunFolder as F; "
    code += f"F({str(tmp_path / 'fetched')!r}, Storage({f'{bucket}/mine'!r})).fetch()"
    python(cluster.hosts, 0, code)
    assert_same_tables(tmp_path / "fetched", one_host)
    assert models(tmp_path / "fetched") == models(one_host)
    secret = KEYS["AWS_SECRET_ACCESS_KEY"].encode()
    assert not [
        path
        for path in (tmp_path / "fetched").rglob("*")
        if path.is_file() and secret in path.read_bytes()
    ]


def test_the_token_is_in_no_log_no_result_and_no_process_list(cluster, shared):
    hosts, token = cluster.hosts, cluster.token.encode()
    assert len(token) == 64
    for i in (1, 2, 3):
        copy = hosts.home(i) / ".ray" / "auth_token"
        assert copy.read_bytes().strip() == token
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        lines = hosts.commands(i)
        assert any("raylet" in line for line in lines)
        assert not [line for line in lines if token.decode() in line]
    for folder in (*map(hosts.ray, (0, 1, 2, 3)), shared[0]):
        files = [Path(top, name) for top, _, names in os.walk(folder) for name in names]
        assert not [path for path in files if path.is_file() and token in path.read_bytes()]


def test_every_port_of_the_head_refuses_another_host_without_the_token(cluster):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    driver = cluster.hosts.popen(1, f". ~/.dae-study.sh; python -c {shlex.quote(WAITING)}", **pipes)
    try:
        assert driver.stdout.readline() == "begun\n"
        found = try_all_ports(cluster.hosts)
    finally:
        driver.communicate()
    print(*found.items(), sep="\n")
    assert all(line["open"] == line["outside"] for line in found.values())
    assert {name: line["answered"] for name, line in found.items() if line.get("answered")} == {}
    refused = {
        name for (name, _), line in found.items() if line.get("grpc", {}).get("UNAUTHENTICATED")
    }
    assert {"gcs_server", "raylet", "python"} <= refused
    assert any(name.startswith("ray::Waiting") for name in refused)
    gcs = next(port for name, port in found if name == "gcs_server")
    method = "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo"
    for token, status in (
        (cluster.token, "OK"),
        ("0" * 64, "UNAUTHENTICATED"),
    ):  # so that a refusal means something
        code = "from tests.cluster.stranger import calls; "
        code += f"print(calls({cluster.hosts.address(1)!r}, {gcs}, [{method!r}], {token!r})[1])"
        assert python(cluster.hosts, 0, code) == f"{{{status!r}: 1}}\n"


def test_a_driver_without_the_token_does_not_join(cluster):
    code = f"import ray; ray.init(address='{cluster.hosts.address(1)}:6379'); print(ray.nodes())"
    command = shlex.join([sys.executable, "-c", code])
    done = cluster.hosts.run(2, command, check=False, timeout=90, env={"RAY_AUTH_MODE": "disabled"})
    assert done.returncode != 0
    assert "NodeID" not in done.stdout
    assert re.search("token|[Aa]uth|ConnectionError", done.stderr), done.stderr
