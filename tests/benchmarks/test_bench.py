"""The benchmarks' table and file, what a crash or Ctrl-C leaves, and the peer's training.

Nothing is timed here.
"""

import json
import math
import os
import sys
import time

import pytest

from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.commands import CommandFailed, MemoryWatch, run
from benchmarks.grids import cells, deep_pack, few_cells
from benchmarks.large import write_values
from benchmarks.launched import Launched, compared, turns
from benchmarks.measure import Comparison, Measurement
from benchmarks.table import LeftOut, render
from benchmarks.tune_peers import KINDS, train
from benchmarks.wall_times import first_epoch, training_seconds
from data_utils.sources import load_dataset
from study.grids import Narrowing
from study.run.tensorboard import MemberLog
from tests.small import member, prepared

MET = Comparison(
    "a peer", "some work", "s CPU", (1.0, 2.0, 4.0), (3.0, 4.0, 16.0), 2.5, "MSE 0.1234 | 0.1235"
)
MISSED = Comparison("another [best] peer", "the same", "s wall", (2.0,), (3.0,), 1.6)
MEMORY = Measurement("memory", "a pack", "GB", (1.25, 1.5, 1.0), "below 1.5 GB")
ABSENT = LeftOut("JAX", "a pack", "no jax here")
FACTS = {
    "quick": False,
    "machine": {"cores": 2, "cpu": "EPYC"},
    "versions": {"torch": "2.13.0", "jax": None},
    "load_average": {"before": (0.5, 0.4, 0.3), "after": (2.0, 1.0, 0.5)},
    "git": {"commit": "0123456789abcdef", "dirty": True},
}


def words(text):
    """The text of a table without its frame: the words of each cell stay in their order."""
    return " ".join(word for word in text.split() if word.isascii())


def cell_lines(row, width=120):
    """Each column's words in a table of this one row, without the heading."""
    lines = [
        line for line in render({"name": [row]}, FACTS, width).splitlines() if line.startswith("│")
    ]
    columns = zip(*(line.strip("│").split("│") for line in lines), strict=True)
    return [" ".join(" ".join(column).split()) for column in columns]


def test_a_comparison_shows_median_spread_target_and_whether_it_is_met():
    name, work, ratio, target, met = cell_lines(MET)
    assert (name, ratio, target, met) == ("a peer", "3 (2..4)", "2.5", "met")
    assert work == "some work 2 | 4 s CPU (ours | theirs; 3 turns) MSE 0.1234 | 0.1235"


def test_a_missed_target_says_so_and_brackets_are_no_markup():
    name, _, ratio, target, met = cell_lines(MISSED)
    assert (name, ratio, target, met) == ("another [best] peer", "1.5", "1.6", "missed")


def test_a_measurement_is_not_judged():
    name, work, value, aim, met = cell_lines(MEMORY)
    assert (name, work, value, aim, met) == (
        "memory",
        "a pack",
        "1.25 (1..1.5) GB",
        "below 1.5 GB",
        "-",
    )


def test_what_is_left_out_says_why():
    assert cell_lines(ABSENT)[:2] == ["JAX", "a pack left out: no jax here"]


@pytest.mark.parametrize("width", [20, 80, 100, 120, 400])
def test_a_table_has_80_to_120_columns(width):
    long = Comparison("a long name " * 9, "much work " * 30, "s", (1.0,), (2.0,), 1.0, "x" * 300)
    lines = render({"name": [MET, MEMORY, ABSENT, long]}, FACTS, width).splitlines()
    assert {len(line) for line in lines if line[:1] in "┏│┡├└┃"} == {min(max(width, 80), 120)}
    assert max(map(len, lines)) <= 120


def test_the_table_says_what_it_was_measured_under():
    text = words(render({"name": [MET]}, FACTS, 120))
    for part in (
        "2 cores, EPYC",
        "load 0.5 before, 2.0 after",
        "torch 2.13.0",
        "commit 012345678, changed",
    ):
        assert part in text
    assert "jax" not in text
    assert "A quick one" not in text
    assert "A quick one" in render({}, {**FACTS, "quick": True}, 120)


def bench(tmp_path, *arguments, **benchmarks):
    """The exit status of the command line on these benchmarks, and the JSON it wrote."""
    out = tmp_path / "new" / "results.json"
    status = main([*arguments, "--out", str(out)], benchmarks)
    return status, json.loads(out.read_text())


def gives(*rows):
    return lambda repeats, quick: iter(rows)


def crashes(repeats, quick):
    yield MEMORY
    raise RuntimeError("no\n luck")


def test_the_file_holds_numbers_and_conditions(tmp_path, capsys):
    status, content = bench(tmp_path, one=gives(MET, MISSED), two=gives(MEMORY, ABSENT))
    assert status == 0
    kinds = [(row["benchmark"], row["kind"]) for row in content["results"]]
    assert kinds == [
        ("one", "Comparison"),
        ("one", "Comparison"),
        ("two", "Measurement"),
        ("two", "LeftOut"),
    ]
    met, missed, memory, absent = content["results"]
    assert (met["ours"], met["peer"], met["target"]) == ([1.0, 2.0, 4.0], [3.0, 4.0, 16.0], 2.5)
    assert (met["ratio"], met["lowest"], met["highest"], missed["ratio"]) == (3.0, 2.0, 4.0, 1.5)
    assert (memory["median"], absent["reason"]) == (1.25, "no jax here")
    assert content["quick"] is False
    assert content["machine"]["cores"] == len(os.sched_getaffinity(0))
    assert {"torch", "ray", "jax"} <= set(content["versions"])
    assert [len(content["load_average"][when]) for when in ("before", "after")] == [3, 3]
    assert "commit" in content["git"]
    assert "3 (2..4)" in capsys.readouterr().out


def test_a_crash_is_a_row_and_the_rest_goes_on(tmp_path):
    status, content = bench(tmp_path, one=crashes, absent="no_such_module:function", two=gives(MET))
    assert status == 0
    assert [row["benchmark"] for row in content["results"]] == ["one", "one", "absent", "two"]
    assert content["results"][1]["reason"] == "RuntimeError: no luck"
    assert "no_such_module" in content["results"][2]["reason"]


def test_ctrl_c_leaves_what_was_measured(tmp_path):
    def interrupted(repeats, quick):
        yield MEMORY
        raise KeyboardInterrupt

    status, content = bench(tmp_path, one=gives(MET), two=interrupted, three=gives(MISSED))
    assert status == 130
    assert [row["benchmark"] for row in content["results"]] == ["one", "two"]


def test_names_repeats_and_quick_reach_the_benchmarks(tmp_path):
    seen = []

    def noted(repeats, quick):
        seen.append((repeats, quick))
        return iter(())

    bench(tmp_path, "engine", engine=noted, startup=crashes)
    bench(tmp_path, "--quick", engine=noted, startup=noted, large=noted)
    bench(tmp_path, "--quick", "large", "--repeats", "2", engine=noted, large=noted)
    assert seen == [(5, False), (3, True), (1, True), (2, True)]
    _, content = bench(tmp_path, "--quick", engine=noted, large=noted)
    assert [row["benchmark"] for row in content["results"]] == ["large"]
    assert "python -m benchmarks large" in content["results"][0]["reason"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["launch", "lunch"], "unknown benchmark 'lunch'"),
        (["--repeats", "0"], "--repeats 0"),
        (["--out", "/dev/null/results.json"], "--out /dev/null/results.json"),
    ],
)
def test_bad_input_is_one_line(arguments, said, capsys):
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {said}")
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_tune_trial_trains(kind):
    reports = []
    train(
        {"cell": 1},
        members=[None, member(epochs=1)],
        data=prepared(),
        kind=kind,
        report=reports.append,
    )
    [report] = reports
    assert report["epoch"] == 1
    assert math.isfinite(report["val_mse"])
    assert 0 < report["val_mse"] < 10


def test_both_tune_peers_train_the_same_network():
    last = []
    for kind in KINDS:
        train(
            {"cell": 0}, members=[member(epochs=2)], data=prepared(), kind=kind, report=last.append
        )
    assert [report["epoch"] for report in last] == [1, 2, 1, 2]
    assert last[1]["val_mse"] == pytest.approx(last[3]["val_mse"], rel=1e-4)


def test_the_grids():
    assert (len(cells(Narrowing())), len(few_cells(Narrowing())), len(deep_pack(Narrowing()))) == (
        44,
        8,
        44,
    )
    assert {cell.epochs for cell in cells(Narrowing(epochs=7))} == {7}
    assert {cell.model for cell in few_cells(Narrowing())} == {
        "dense-2",
        "dense-4",
        "dense-6",
        "dense-8",
    }


def launched(label, costs):
    """A command that costs this much, one a turn; an exception is raised instead."""
    left = iter(costs)

    def cost(ended, folder):
        value = next(left)
        if isinstance(value, BaseException):
            raise value
        return value

    return Launched(label, lambda folder: [sys.executable, "-c", ""], lambda folder: 0.5, cost)


def test_turns_compare_what_both_ended():
    ours, peer = (
        launched("ours", [2.0, 4.0, 5.0]),
        launched("peer", [6.0, 8.0, CommandFailed("fell over")]),
    )
    [row] = turns(3, [ours, peer], lambda: [compared("peer", "work", "s", ours, peer, 2.0)])
    assert (row.ours, row.peer, row.ratio) == ((2.0, 4.0), (6.0, 8.0), 2.5)
    assert row.note == "validation MSE 0.5000 | 0.5000; peer fell over"


def test_a_peer_that_always_fails_is_left_out():
    ours, peer = launched("ours", [2.0, 4.0]), launched("peer", [CommandFailed("fell over")])
    [row] = turns(2, [ours, peer], lambda: [compared("peer", "work", "s", ours, peer, 2.0)])
    assert row == LeftOut("peer", "work", "peer fell over")


def test_ctrl_c_in_a_turn_keeps_the_turns_before():
    ours, peer = launched("ours", [2.0, 4.0]), launched("peer", [6.0, KeyboardInterrupt()])
    rows = turns(
        2, [ours, peer], lambda: [compared("peer", "work", "s", ours, peer, 2.0, factor=1.5)]
    )
    row = next(rows)
    assert (row.ours, row.peer) == ((3.0,), (6.0,))
    with pytest.raises(KeyboardInterrupt):
        next(rows)


def test_a_command_that_fails_says_its_last_line():
    run([sys.executable, "-c", "print('fine')"])
    with pytest.raises(CommandFailed, match="status 3: the reason"):
        run([sys.executable, "-c", "import sys; print('before'); print('the reason'); sys.exit(3)"])


@pytest.mark.skipif(
    not os.path.exists("/proc/self/smaps_rollup"), reason="memory is read from Linux's /proc"
)
def test_memory_counts_a_commands_children():
    child = "x = bytearray(60_000_000); import time; time.sleep(1)"
    watch = MemoryWatch()
    run(
        [
            sys.executable,
            "-c",
            f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])",
        ],
        watch,
    )
    assert len(watch.processes) == 2
    assert 60e6 < max(process.unique for process in watch.processes.values()) < 120e6
    assert 60e6 < watch.total < 150e6
    assert watch.largest_worker() is None


def test_wall_times_of_a_run(tmp_path, monkeypatch):
    for name, start, epochs in (
        ("dense-2/a", 100.0, (103.0, 105.0)),
        ("dense-4/b", 101.0, (102.5, 109.0)),
    ):
        monkeypatch.setattr(time, "time", lambda start=start: start)
        log = MemberLog(tmp_path / "tensorboard", name, {})
        log.scalars([(epoch, "mse/validation", 1.0, when) for epoch, when in enumerate(epochs, 1)])
    assert first_epoch(tmp_path) == 102.5
    assert training_seconds(tmp_path) == 9.0
    with pytest.raises(FileNotFoundError):
        first_epoch(tmp_path / "elsewhere")


def test_large_values_are_read_as_a_log_scale(tmp_path):
    write_values(tmp_path / "large.npz", 60, 80)
    dataset = load_dataset(str(tmp_path / "large.npz"), all_genes=True)
    assert dataset.matrix.values.shape == (60, 80)
    assert dataset.transform == "none"
    assert dataset.matrix.values.std() == pytest.approx(math.sqrt(1.25), rel=0.1)


@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name != "engine"])
def test_each_benchmark_is_there(name):
    module, _, function = BENCHMARKS[name].partition(":")
    assert callable(getattr(__import__(module, fromlist=[function]), function))
