"""What is tried after a failure: the pack, its halves, or nothing."""

import io
from collections import Counter

import pytest
from rich.console import Console

from study.run.attempts import (
    LAST_RETRIES,
    LONGEST_PAUSE,
    NO_MEMORY,
    RETRIES,
    RETRIES_AFTER_DEATH,
    Attempts,
    PackJob,
    ProgressLine,
)
from study.run.folder import RunFolder
from study.run.packs import Pack
from tests.small import member

MEMBERS = [member(seed=seed) for seed in range(5)]
PACKS = Pack(tuple(MEMBERS[:4])), Pack((MEMBERS[4],))
PACK, OTHER = map(PackJob, PACKS)
FIRST, SECOND = PackJob(Pack(tuple(MEMBERS[:2]))), PackJob(Pack(tuple(MEMBERS[2:4])))
MEMORY = (
    "RuntimeError: [enforce fail at alloc_cpu.cpp:127] "
    "DefaultCPUAllocator: can't allocate memory: you tried"
)


@pytest.fixture
def attempts(tmp_path):
    folder = RunFolder(tmp_path)
    folder.create()
    said = io.StringIO()
    line = ProgressLine(list(PACKS), 60, 0, 5, Console(file=said, width=200))
    attempts = Attempts(list(PACKS), folder, line, lambda: attempts.clock)
    attempts.said, attempts.clock = said, 0.0
    return attempts


def tried(attempts, error, died=False):
    """How often the pack is tried until something else is, when it fails like this every time."""
    for n in range(1, 100):
        pack = attempts.next()
        if pack != PACK:
            return n - 1, pack
        attempts.failed(pack, error, died)
        attempts.clock += LONGEST_PAUSE
    pytest.fail("it never ends")


def test_packs_come_in_turn_until_all_have_ended(attempts):
    first, second = attempts.next(), attempts.next()
    assert (first, second, attempts.next()) == (PACK, OTHER, None)
    attempts.ended(first, result=True)
    assert not attempts.over
    attempts.ended(second, result=False)
    assert attempts.over
    assert attempts.line.members_done == 4
    assert attempts.errors == []


def test_a_pack_that_raises_is_given_up_after_some_tries_and_the_others_continue(attempts):
    assert tried(attempts, "ValueError: no") == (1 + RETRIES, OTHER)
    assert attempts.errors == [(PACK.pack, "ValueError: no")]
    attempts.ended(OTHER, result=True)
    assert attempts.over


def test_a_pack_that_makes_progress_is_not_given_up(attempts):
    """Killed a hundred times, each time after another checkpoint."""
    for epoch in range(100):
        pack = attempts.next()
        assert pack == PACK
        attempts.folder.save_checkpoint(pack.job_id, ["a"], {}, {"epoch": epoch, "batch": 0})
        attempts.failed(pack, "The actor died unexpectedly", died=True)
        attempts.clock += 0.5
    assert attempts.failures[PACK.job_id] == 1
    assert tried(attempts, "The actor died unexpectedly", died=True)[0] == RETRIES_AFTER_DEATH


@pytest.mark.parametrize(
    "error",
    [
        MEMORY,
        "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 8.00 GiB for an array",
        "MemoryError",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
        "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.",
    ],
)
def test_a_pack_without_memory_is_split_at_once(attempts, error):
    n, first = tried(attempts, error)
    assert n == 1
    assert first == FIRST
    assert attempts.next() == SECOND
    assert attempts.next() == OTHER
    assert (
        attempts.said.getvalue().splitlines()[0]
        == "a pack of 4 networks is split in two: no memory left"
    )


def test_a_death_that_may_have_been_anything_is_not_taken_for_a_lack_of_memory():
    """Ray lists the kernel's killer among the possible reasons of every death."""
    text = (
        "There are some potential root causes. "
        "(1) The process is killed by SIGKILL by OOM killer due to high memory"
    )
    assert not NO_MEMORY.search(text)


def test_a_pack_whose_worker_dies_again_and_again_is_split(attempts):
    attempts.folder.save_checkpoint(PACK.job_id, ["a"], {}, {"epoch": 1, "batch": 0})
    n, first = tried(attempts, "The actor died unexpectedly", died=True)
    assert n == 1 + RETRIES_AFTER_DEATH
    assert first == FIRST
    assert attempts.folder.load_checkpoint(PACK.job_id) is None


def test_after_a_death_the_others_come_first_and_the_pause_grows(attempts):
    attempts.failed(attempts.next(), "The actor died unexpectedly", died=True)
    assert attempts.next() == OTHER
    pauses = []
    for _ in range(RETRIES_AFTER_DEATH):
        assert not attempts.over
        begun = attempts.clock
        while (pack := attempts.next()) is None:
            attempts.clock += 0.125
        assert pack == PACK
        pauses.append(attempts.clock - begun)
        attempts.failed(pack, "The actor died unexpectedly", died=True)
    assert pauses == [0.5, 1, 2, 4]
    assert attempts.next() == FIRST


@pytest.mark.parametrize(
    ("error", "died"), [(MEMORY, False), ("The actor died unexpectedly", True)]
)
def test_in_the_end_each_network_that_fails_is_reported_by_itself(attempts, error, died):
    poison, tries = MEMBERS[2], Counter()
    while (pack := attempts.next()) is not None:
        tries[pack] += 1
        if poison in pack.pack.members:
            attempts.failed(pack, error, died)
        else:
            attempts.ended(pack, result=True)
        attempts.clock += LONGEST_PAUSE
    assert attempts.over
    assert tries[PackJob(Pack((poison,)))] == 1 + (LAST_RETRIES if died else RETRIES)
    assert attempts.errors == [(Pack((poison,)), error)]
    assert attempts.line.members_done == 4


def test_nothing_begins_on_a_full_disk_or_without_the_folder(attempts, tmp_path):
    attempts.failed(attempts.next(), "OSError: [Errno 28] No space left on device")
    assert attempts.over
    attempts.waiting.append(OTHER)
    (tmp_path / "parts").rmdir()
    attempts.failed(attempts.next(), "FileNotFoundError: no such file")
    assert attempts.over
    assert [pack for pack, _ in attempts.errors] == list(PACKS)


def test_the_line_counts_the_work_of_halves(attempts):
    line = attempts.line
    best = {"best_mse": 0.5, "best_name": "a", "first_epoch": 0}
    line.update(PACK.pack, {"epoch": 2, **best})
    assert line.share == pytest.approx(4 / 5 * 2 / 3)
    attempts.failed(attempts.next(), MEMORY)
    assert line.share == pytest.approx(0)
    for _ in range(2):
        attempts.ended(attempts.next(), result=True)
    assert line.share == pytest.approx(4 / 5)
    assert line.members_done == 4
