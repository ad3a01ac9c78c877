"""One cluster of three hosts for all quick tests here, or the reason why there is none."""

import subprocess
import sys

import pytest

from data_utils.cohort import simulate_cohort
from data_utils.formats import write_expression
from tests.cluster.hosts import Hosts, missing
from tests.cluster.lab import Cluster
from tests.small import ROOT

#: The smoke grid, narrowed; nine packs of two networks.
STUDY = ["--grid", "smoke", "--epochs", "30", "--pack", "2", "--no-report", "--checkpoint-seconds", "1"]


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
    """`ray up` has been called, and all have joined."""
    cluster = Cluster(hosts)
    cluster.up()
    return cluster


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """The command line of a small study."""
    path = tmp_path_factory.mktemp("data") / "cohort.npz"
    write_expression(simulate_cohort(n_samples=200, seed=1).matrix, path)
    return [*STUDY, "--data", str(path)]


@pytest.fixture(scope="session")
def one_host(study, tmp_path_factory):
    """The same study in one process of this machine."""
    out = tmp_path_factory.mktemp("runs") / "one-host"
    command = [sys.executable, "run_study.py", *study, "--local", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return out
