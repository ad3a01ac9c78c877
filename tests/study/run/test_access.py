"""Nobody outside, and nobody here without the run's token, has access to a running study."""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster.sockets import listening
from tests.cluster.stranger import calls
from tests.small import ROOT
from tests.study.run.test_ray import checkpoints, descendants, start, wait_for

#: A call that tells which machines a cluster has.
NODES = "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what listens is read from /proc")


def environment(pid):
    """The environment that a process was started with."""
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def stranger(ports):
    """What each port of loopback tells one who has no token."""
    command = [sys.executable, "tests/cluster/stranger.py", "127.0.0.1", *map(str, ports)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return {found["port"]: found for found in map(json.loads, done.stdout.splitlines())}


def test_a_local_run_listens_on_loopback_and_refuses_who_has_no_token(small_cohort, tmp_path):
    process = start(small_cohort, tmp_path / "run")
    try:
        wait_for(lambda: checkpoints(tmp_path / "run"))
        ours = descendants(process.pid)
        sockets = listening([process.pid, *ours])
        names = {pid: ours.get(pid, "driver") for _, _, pid in sockets}
        kinds = ("gcs_server", "raylet", "ray::ImplicitFunc", "driver", "RuntimeEnv")
        assert {kind for kind in kinds for name in names.values() if kind in name} == set(kinds)
        assert {address for address, _, _ in sockets} == {"127.0.0.1"}, sockets
        dashboards = [pid for pid, line in ours.items() if "dashboard.py" in line]
        assert not {pid for _, _, pid in sockets} & set(
            dashboards
        )  # a process of Ray's without pages and port

        gcs = next(pid for pid, name in names.items() if "gcs_server" in name)
        started_with = environment(gcs)
        assert started_with["RAY_USAGE_STATS_ENABLED"] == "0"
        path = Path(started_with["RAY_AUTH_TOKEN_PATH"])
        token = path.read_text()
        assert len(token) == 64
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

        ports = [port for _, port, _ in sockets]
        found = stranger(ports)
        assert all(found[port]["open"] for port in ports)
        assert not [
            (names[pid], port, found[port]["answered"])
            for _, port, pid in sockets
            if found[port]["answered"]
        ]
        refused = [
            names[pid] for _, port, pid in sockets if found[port]["grpc"].get("UNAUTHENTICATED")
        ]
        assert {kind for kind in kinds for name in refused if kind in name} == set(kinds) - {
            "RuntimeEnv"
        }
        [gcs_port] = [port for _, port, pid in sockets if pid == gcs]
        known = calls("127.0.0.1", gcs_port, [NODES], token)
        assert known[1] == {"OK": 1}  # so that a refusal means something

        lines = descendants(process.pid).values()
        assert not [line for line in lines if token in line]
    finally:
        process.terminate()
        process.wait(timeout=30)
    session = Path(re.search(r"--session-dir=(\S+)|--log_dir=(\S+?)/logs", ours[gcs])[2])
    assert_nowhere(token, tmp_path / "run", session / "logs")
    assert not path.exists()


def assert_nowhere(token, *folders):
    """No file of the folders holds the token."""
    files = [
        Path(folder, name) for top in folders for folder, _, names in os.walk(top) for name in names
    ]
    assert len(files) > 10
    assert not [path for path in files if path.is_file() and token.encode() in path.read_bytes()]
