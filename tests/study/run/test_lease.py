"""One driver at a time on a storage."""

import json
import subprocess
import sys

import pytest

from data_utils.errors import InputError
from study.run import lease as module
from study.run.lease import LEASE, Lease
from study.run.object_store import Storage
from tests.processes import wait_for
from tests.small import ROOT


@pytest.fixture
def storage(tmp_path, monkeypatch):
    """A storage, and seconds that a test can wait for."""
    for name, seconds in (("BEAT_SECONDS", 0.1), ("LAPSE_SECONDS", 3.0), ("SETTLE_SECONDS", 0.05)):
        monkeypatch.setattr(module, name, seconds)
    return Storage(str(tmp_path / "storage"))


def holder(storage):
    return json.loads(storage.get(LEASE))


def test_the_second_is_refused_while_the_first_lives_and_let_in_afterwards(storage):
    first, second = Lease(storage), Lease(storage)
    first.acquire()
    with pytest.raises(InputError, match=r"another run is using it \(process \d+ of .+\)"):
        second.acquire()
    assert holder(storage)["key"] == first.key
    first.release()
    first.release()
    assert storage.get(LEASE) is None
    second.acquire()
    assert holder(storage)["key"] == second.key
    second.release()


def test_it_is_written_anew_all_the_while(storage):
    lease = Lease(storage)
    lease.acquire()
    assert wait_for(lambda: holder(storage)["beats"] >= 3)
    lease.release()


def test_what_a_dead_driver_left_lapses(storage):
    storage.put(LEASE, b"not even JSON")
    lease = Lease(storage)
    lease.acquire()
    assert holder(storage)["key"] == lease.key
    lease.release()


def test_of_two_that_come_together_one_gives_way(storage, monkeypatch):
    first, second = Lease(storage), Lease(storage)
    monkeypatch.setattr(
        module.time, "sleep", lambda seconds: second._write(0)
    )  # it had looked before first wrote
    with pytest.raises(InputError, match="another run is using it"):
        first.acquire()
    assert holder(storage)["key"] == second.key


def test_a_process_that_ends_with_an_error_lets_go_and_one_that_is_killed_does_not(tmp_path):
    code = "import os, sys; from study.run.lease import Lease; from study.run.object_store import Storage; "
    code += "Lease(Storage(sys.argv[1])).acquire(); "
    for end, left in (("raise ValueError", False), ("os.kill(os.getpid(), 9)", True)):
        path = tmp_path / str(left)
        subprocess.run(
            [sys.executable, "-c", code + end, str(path)], cwd=ROOT, capture_output=True, timeout=60
        )
        assert (path / LEASE).exists() == left
