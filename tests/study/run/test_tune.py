"""Before a trial starts, without a cluster: places, workers, addresses; Ray's start and watch."""

import socket
import threading

import pytest
import ray

from data_utils.errors import InputError
from study.options import StudyOptions
from study.run import cluster as module
from study.run.cluster import (
    REFUSALS,
    check_address,
    cluster,
    place,
    refuses,
    watched,
    worker_count,
)
from study.run.tune import reason_of

NO_GPU, TWO_GPUS = {"CPU": 4.0}, {"CPU": 16.0, "GPU": 2.0}


@pytest.mark.parametrize(
    ("resources", "gpus_per_pack", "workers"),
    [
        (NO_GPU, 0, 4),
        ({"CPU": 0.0}, 0, 1),
        (TWO_GPUS, 1, 2),
        (TWO_GPUS, 0.25, 8),
        (TWO_GPUS, 0.1, 16),  # 20 by the GPUs, but each pack takes a core
        ({"CPU": 64.0, "GPU": 3.0}, 0.1, 30),  # 3 / 0.1 is 29.999... in floating point
    ],
)
def test_worker_count(resources, gpus_per_pack, workers):
    assert worker_count(resources, gpus_per_pack) == workers


def test_a_gpu_share_that_the_cluster_does_not_have_is_an_input_error():
    with pytest.raises(InputError, match="the cluster has 0 GPUs"):
        worker_count(NO_GPU, 0.5)


@pytest.mark.parametrize(
    ("options", "device", "resources", "expected"),
    [
        ({}, "auto", NO_GPU, ("cpu", 0.0)),
        ({}, "auto", TWO_GPUS, ("cuda", 1.0)),
        ({"gpus_per_pack": 0.25}, "auto", TWO_GPUS, ("cuda", 0.25)),
        ({"gpus_per_pack": 0.25}, "cuda", TWO_GPUS, ("cuda", 0.25)),
        ({"device": "cpu"}, "cpu", TWO_GPUS, ("cpu", 0.0)),
    ],
)
def test_place(options, device, resources, expected):
    assert place(StudyOptions(**options), device, resources) == expected


def test_a_share_of_a_gpu_for_packs_on_the_cpu_is_an_input_error():
    with pytest.raises(InputError, match=r"--gpus-per-pack 0\.5"):
        place(StudyOptions(gpus_per_pack=0.5, device="cpu"), "cpu", TWO_GPUS)


def test_a_port_that_is_not_rays_is_refused_in_time():
    """Something listens and answers, but it is no cluster."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(30)

    def answer():
        try:
            for _ in range(20):
                connection, _ = server.accept()
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                connection.close()
        except OSError:
            return

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    address = f"127.0.0.1:{server.getsockname()[1]}"
    try:
        with pytest.raises(InputError, match=f"{address}: no Ray cluster answers") as caught:
            check_address(address)
    finally:
        server.close()
    assert "\n" not in str(caught.value)


@pytest.fixture
def ray_calls(monkeypatch):
    """Ray's start and end are noted, and the start waits until `may_start` is set."""
    calls, may_start = [], threading.Event()

    def init(**options):
        may_start.wait(30)
        calls.append("init")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: calls.append("shutdown"))
    monkeypatch.setattr(ray, "cluster_resources", lambda: NO_GPU)
    monkeypatch.setattr(module, "servers", dict)
    return calls, may_start


def test_a_cluster_starts_beside_other_work(ray_calls):
    calls, may_start = ray_calls
    with cluster(None, 2) as ready:
        assert calls == []
        may_start.set()
        assert ready() == NO_GPU
    assert calls == ["init", "shutdown"]


def test_bad_input_while_ray_starts_leaves_no_ray_behind(ray_calls):
    calls, may_start = ray_calls
    may_start.set()
    with pytest.raises(InputError, match="bad folder"), cluster(None, 2):
        raise InputError("bad folder")
    assert calls == ["init", "shutdown"]


def test_a_failed_start_of_ray_is_raised_where_it_is_awaited(ray_calls, monkeypatch):
    def init(**options):
        raise ConnectionError("nobody\nanswers")

    monkeypatch.setattr(ray, "init", init)
    with (
        cluster("auto", None) as ready,
        pytest.raises(InputError, match=r"auto: no Ray cluster answers \(nobody\)"),
    ):
        ready()
    with cluster(None, 2) as ready, pytest.raises(ConnectionError):
        ready()


@pytest.mark.parametrize(
    ("refusals", "reasons"),
    [(1, []), (REFUSALS - 1, []), (None, ["Ray's raylet has died"])],
    ids=["one refusal", "one too few", "stays away"],
)
def test_a_server_has_died_only_if_it_refuses_several_times_in_a_row(
    monkeypatch, refusals, reasons
):
    """A listener that refuses comes back after so many refusals, or stays away."""
    looks, seen, enough = [], [], threading.Event()

    def look(address):
        found = refuses(address)
        looks.append(found)
        if sum(looks) == refusals:
            server.listen()
        if len(looks) >= 3 * REFUSALS:
            enough.set()
        return found

    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(module, "refuses", look)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))  # refuses until it listens
        with watched({"raylet": server.getsockname()}, seen.append):
            assert enough.wait(30)
    assert looks[:REFUSALS].count(True) == (refusals or REFUSALS)
    assert seen == reasons


RAISED = 'Failure # 1\n{}\n  File "a.py", line 1, in b\nIsADirectoryError: c'


@pytest.mark.parametrize(
    ("text", "reason", "died"),
    [
        (RAISED.format("Traceback (most recent call last):"), "IsADirectoryError: c", False),
        (RAISED.format("ray::train() (pid=1)"), "IsADirectoryError: c", False),
        (
            "Failure # 1\nThe actor died.\nThe process was killed.",
            "its worker died: The actor died.",
            True,
        ),
        ("", "its worker died", True),
    ],
)
def test_the_reason_of_a_failure_is_one_line(text, reason, died):
    assert reason_of(text) == (reason, died)
