"""Faults of a run's Ray, which take minutes: twenty workers killed, and the whole runtime."""

import os
import random
import re
import signal
from pathlib import Path

import pytest

from tests.faults.soak import Run
from tests.processes import alive, descendants, training_workers, wait_for
from tests.small import assert_same_tables, expression_file, models

pytestmark = pytest.mark.slow
LONG = ["--epochs", "300"]
#: Two idle agents of Ray's look for a dead GCS that long before they end.
AGENTS_SECONDS = 90.0


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return expression_file(tmp_path_factory.mktemp("data"), n_samples=300, n_genes=200)


@pytest.fixture(scope="module")
def unbroken(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("unbroken") / "run"
    run = Run(data, out, *LONG, "--local")
    assert run.wait() == 0, run.said()
    return out


def test_twenty_workers_killed_at_random_times(data, unbroken, tmp_path):
    run, chance, killed = Run(data, tmp_path / "run", *LONG, "--workers", "2"), random.Random(0), 0
    while killed < 20 and run.until("config.json", chance.uniform(0.1, 2.0)):
        workers = training_workers(run.process.pid)
        if workers:
            os.kill(chance.choice(workers), signal.SIGKILL)
            killed += 1
    status, said = run.wait(), run.said()
    assert killed == 20, "the run ended before: raise the epochs"
    assert status == 0, said
    assert_same_tables(run.out, unbroken)
    assert models(run.out) == models(unbroken)
    assert run.end() == set()


def training(pids):
    """Those of the processes in which Ray trains packs."""
    return [pid for pid in alive(pids) if b"ray::ImplicitFunc" in command(pid)]


def command(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("kind", ["raylet", "gcs_server", "ray"])
def test_the_runtime_killed_and_resumed(data, unbroken, tmp_path, kind):
    """The run ends by itself within seconds, its workers too, and --resume trains only the rest."""
    run = Run(data, tmp_path / "run", *LONG, "--workers", "2")
    assert run.until("parts/[!.]*.members.parquet", 0.2)
    for pid, line in descendants(run.process.pid).items():
        if kind in line:
            os.kill(pid, signal.SIGKILL)
    assert run.wait(10) == 1, run.said()
    assert re.search(
        "Ray's (raylet|gcs_server) has died, and the run ends with it: what had ended is kept",
        run.said(),
    )
    assert "--resume" in run.said().splitlines()[-1]
    wait_for(lambda: not training(run.seen), seconds=10)
    assert run.end(AGENTS_SECONDS) == set()
    ended = [path.name.split(".")[0] for path in run.out.glob("parts/[!.]*.members.parquet")]
    assert 0 < len(ended) < 4
    before = {
        path: path.stat().st_mtime_ns
        for path in run.out.glob("parts/*")
        if path.name.split(".")[0] in ended
    }
    again = Run(data, run.out, *LONG, "--workers", "2", "--resume")
    assert again.wait() == 0, again.said()
    assert again.end() == set()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert_same_tables(run.out, unbroken)
    assert not alive(run.seen | again.seen)
