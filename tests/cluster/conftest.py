"""One cluster of three hosts for all quick tests here, or the reason why there is none."""

import shlex
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from data_utils.cohort import simulate_cohort
from data_utils.formats.registry import write_expression
from tests.buckets import BUCKET, KEYS, server_program
from tests.cluster.hosts import NETWORK, Hosts, missing
from tests.cluster.lab import Cluster
from tests.small import ROOT

S3_PORT = 9100
S3 = f"http://{NETWORK}.254:{S3_PORT}"

#: The smoke grid, narrowed: four packs of two networks.
STUDY = ["--grid", "smoke", "--depths", "2", "4", "--epochs", "40", "--pack", "2", "--no-report"]


@pytest.fixture(scope="session")
def able():
    """Hosts can be made here."""
    reason = missing()
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def hosts(able):
    """Three hosts and a desk."""
    with Hosts(3) as hosts:
        yield hosts


@pytest.fixture(scope="session")
def cluster(hosts):
    """Call `ray up` until all hosts have joined; their shells have the keys of an S3 server."""
    cluster = Cluster(hosts, variables={**KEYS, "AWS_ENDPOINT_URL": S3})
    cluster.up()
    return cluster


@pytest.fixture(scope="session")
def bucket(hosts):
    """An S3 server on the desk, with an empty bucket."""
    with serve_s3(hosts) as bucket:
        yield bucket


@contextmanager
def serve_s3(hosts):
    """The same, for other hosts."""
    server = hosts.popen(0, f"exec {server_program()} -H {hosts.address(0)} -p {S3_PORT} 2> s3.log")
    try:
        python(hosts, 0, f"from tests.buckets import make_bucket; make_bucket({S3!r})")
        yield f"s3://{BUCKET}"
    finally:
        server.kill()
        server.wait()


def finish(process, cluster, seconds=180):
    """Waits for `ray submit`; returns its output and the hosts that trained meanwhile."""
    trained, end = set(), time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        trained |= cluster.training()
        time.sleep(0.1)
    process.kill()
    return process.communicate(timeout=5)[0], trained


def python(hosts, i, code):
    """Run Python of this checkout on a host, with the S3 server's keys; returns what it printed."""
    environment = {**KEYS, "AWS_ENDPOINT_URL": S3}
    return hosts.run(
        i, f"cd {ROOT}; {shlex.join([sys.executable, '-c', code])}", env=environment
    ).stdout


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """The command line of a small study."""
    path = tmp_path_factory.mktemp("data") / "cohort.npz"
    write_expression(simulate_cohort(n_samples=200, seed=1).matrix, path)
    return [*STUDY, "--data", str(path)]


@pytest.fixture(scope="session")
def one_host(study, tmp_path_factory):
    """The same study in one process of this machine."""
    return in_one_process(study, tmp_path_factory.mktemp("runs") / "one-host")


def in_one_process(study, out, timeout=300):
    """Runs a study on this machine without Ray; returns its folder."""
    command = [sys.executable, "run_study.py", *study, "--local", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return out
