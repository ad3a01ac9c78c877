"""Ctrl-C, SIGTERM and SIGKILL: finished work is kept, and the result is an unbroken run's."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest

import run_study
from models.training import PackTraining
from study.run.folder import RunFolder
from study.run.jobs import Interruption
from study.study import Study
from tests.small import ROOT, assert_same_tables, contents, expression_file, flipped, models

EPOCHS = 60  # seconds, where a checkpoint follows every batch
STUDY = ["--grid", "smoke", "--depths", "2", "4", "--noise", "0.1", "0.5", "--betas", "0", "0.01"]
STUDY += ["--pack", "2", "--epochs", str(EPOCHS), "--local", "--no-report"]


# the handlers


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted_and_the_second_ends(number):
    called = []
    with Interruption() as interruption:
        interruption.on_signal = lambda: called.append(True)
        assert not interruption
        assert interruption.number is None
        os.kill(os.getpid(), number)
        assert interruption
        assert interruption.number == number
        assert called == [True]
        with pytest.raises(KeyboardInterrupt, match=str(int(signal.SIGTERM))):
            os.kill(os.getpid(), signal.SIGTERM)
    assert called == [True]


@pytest.mark.parametrize("fault", [None, RuntimeError])
def test_handlers_are_restored(fault):
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    try:
        with Interruption():
            assert all(
                signal.getsignal(n) != handler for n, handler in zip(numbers, before, strict=True)
            )
            if fault is not None:
                raise fault
    except RuntimeError:
        pass
    assert [signal.getsignal(number) for number in numbers] == before


# a run in a process of its own


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return expression_file(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def unbroken(data, tmp_path_factory):
    """The study never stopped."""
    out = tmp_path_factory.mktemp("unbroken") / "run"
    assert run_study.main([*STUDY, "--data", str(data), "--out", str(out)]) == 0
    return out


class Running:
    """A study that trains in another process."""

    def __init__(self, data, folder, *words):
        self.out = folder / "run"
        script = str(ROOT / "run_study.py")
        self.words = [
            *STUDY,
            "--data",
            str(data),
            "--out",
            str(self.out),
            "--checkpoint-seconds",
            "0",
            *words,
        ]
        self.process = subprocess.Popen(
            [sys.executable, script, *self.words],
            cwd=folder,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    def wait_for(self, pattern):
        """Until the run folder holds such a file."""
        end = time.monotonic() + 60
        while not list(self.out.glob(pattern)):
            assert self.process.poll() is None, self.process.stderr.read()
            assert time.monotonic() < end, f"no {pattern}"
            time.sleep(0.005)

    def send(self, number):
        """Send a signal; returns the exit status and what was said."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


def resumed(data, out, *words):
    return run_study.main([*STUDY, "--data", str(data), "--out", str(out), "--resume", *words])


def assert_same_run(one, other):
    assert_same_tables(one, other)
    assert models(one) == models(other)
    assert len(models(one)) == 8
    assert list((one / "checkpoints").glob("*.safetensors")) == []


@pytest.mark.parametrize(
    ("number", "when"),
    [(signal.SIGINT, "checkpoints/[!.]*.safetensors"), (signal.SIGTERM, "parts/*.members.parquet")],
)
def test_interrupted_it_saves_and_the_printed_command_finishes(
    number, when, data, unbroken, tmp_path
):
    """In the first pack, and once one pack has ended."""
    with Running(data, tmp_path) as running:
        running.wait_for(when)
        status, said = running.send(number)
    assert status == 128 + number
    assert "Traceback" not in said
    [command] = re.findall(r"^continue with: (.*)$", said, flags=re.MULTILINE)
    words = shlex.split(command)
    assert words[0] == "python"
    assert words[2:] == [*running.words, "--resume"]
    done = len(list(running.out.glob("parts/[!.]*.members.parquet")))
    assert f"{2 * done} of 8 members ended" in said
    assert done < 4
    assert list(running.out.glob("checkpoints/[!.]*.safetensors")) or done
    assert list(running.out.rglob(".tmp*")) == []
    assert (running.out / "summary.md").exists()
    shell = f"{shlex.quote(sys.executable)} {shlex.join(words[1:])}"
    again = subprocess.run(
        shell, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert again.returncode == 0, again.stderr
    assert_same_run(running.out, unbroken)


@pytest.mark.parametrize(
    "when", ["config.json", "checkpoints/[!.]*.safetensors", "parts/*.members.parquet"]
)
def test_killed_and_resumed_it_ends_as_if_unbroken(when, data, unbroken, tmp_path):
    with Running(data, tmp_path) as running:
        running.wait_for(when)
        status, _ = running.send(signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert not (running.out / "members.parquet").exists()
    assert resumed(data, running.out) == 0
    assert_same_run(running.out, unbroken)


def test_only_what_is_unfinished_is_trained_again(data, tmp_path):
    with Running(data, tmp_path) as running:
        running.wait_for("parts/[!.]*.members.parquet")
        running.send(signal.SIGKILL)
    before = {
        path: path.stat().st_mtime_ns for path in running.out.glob("parts/[!.]*.members.parquet")
    }
    assert resumed(data, running.out, "--pack", "1") == 0  # packs may be others the second time
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize(
    ("pattern", "trained_again"),
    [("parts/[!.]*.metrics.parquet", 2), ("models/[!.]*.safetensors", 1)],
)
def test_a_flipped_bit_is_reported_and_costs_only_what_it_hit(
    pattern, trained_again, data, unbroken, tmp_path, capfd
):
    out = tmp_path / "run"
    shutil.copytree(unbroken, out)
    damaged = sorted(out.glob(pattern))[1]
    flipped(damaged, 0.7)
    before = {path: path.stat().st_mtime_ns for path in (out / "models").iterdir()}
    assert resumed(data, out) == 0
    assert_same_run(out, unbroken)
    assert damaged.name.split(".")[0] in capfd.readouterr().err
    again = [path for path, written in before.items() if path.stat().st_mtime_ns != written]
    assert len([path for path in again if path.suffix == ".safetensors"]) == trained_again
    assert resumed(data, out) == 0  # with nothing left to do


def test_a_damaged_checkpoint_counts_as_none(data, unbroken, tmp_path):
    with Running(data, tmp_path) as running:
        running.wait_for("checkpoints/[!.]*.safetensors")
        running.send(signal.SIGKILL)
    for path in running.out.glob("checkpoints/[!.]*.safetensors"):
        flipped(path, 0.7)
    assert resumed(data, running.out) == 0
    assert_same_run(running.out, unbroken)


def test_interrupted_before_any_batch(data, unbroken, tmp_path, monkeypatch):
    """Ctrl-C while the folder is made leaves empty tables, and --resume does all the work."""
    out, original = tmp_path / "run", Study._begin

    def signalled(self):
        os.kill(os.getpid(), signal.SIGINT)
        return original(self)

    with monkeypatch.context() as patch:
        patch.setattr(Study, "_begin", signalled)
        assert run_study.main([*STUDY, "--data", str(data), "--out", str(out)]) == 130
    assert json.loads((out / "config.json").read_text())["n_members"] == 8
    assert (out / "members.parquet").exists()
    assert resumed(data, out) == 0
    assert_same_run(out, unbroken)


def test_the_pack_in_training_stops_at_once(data, unbroken, tmp_path, monkeypatch):
    """In the second pack: the first is kept whole, the second as far as it has come."""
    out, original, batches = tmp_path / "run", PackTraining.advance, []

    def signalled(self):
        batches.append(True)
        if len(batches) == EPOCHS + 20:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self)

    with monkeypatch.context() as patch:
        patch.setattr(PackTraining, "advance", signalled)
        assert run_study.main([*STUDY, "--data", str(data), "--out", str(out)]) == 143
    assert len(batches) == EPOCHS + 20
    [path] = out.glob("checkpoints/[!.]*.safetensors")
    assert RunFolder(out).load_checkpoint(path.stem)[1]["epoch"] == 20
    assert len(RunFolder(out).finished_members()) == 2
    assert resumed(data, out) == 0
    assert_same_run(out, unbroken)


def test_a_second_signal_ends_it_at_once_and_nothing_is_lost(data, unbroken, tmp_path, monkeypatch):
    """Twice Ctrl-C between two checkpoints: the last checkpoint counts."""
    out, original, batches = tmp_path / "run", PackTraining.advance, []

    def twice(self):
        batches.append(True)
        if len(batches) == EPOCHS + 20:  # in the second pack: an epoch is one batch
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        return original(self)

    with monkeypatch.context() as patch:
        patch.setattr(PackTraining, "advance", twice)
        assert run_study.main([*STUDY, "--data", str(data), "--out", str(out)]) == 130
    assert not (out / "members.parquet").exists()
    assert resumed(data, out) == 0
    assert_same_run(out, unbroken)


def test_a_second_run_on_the_folder_is_refused_and_leaves_the_first_alone(
    data, unbroken, tmp_path, capfd
):
    with Running(data, tmp_path) as running:
        running.wait_for("checkpoints/[!.]*.safetensors")
        for words, reason in (
            ([], "exists already"),
            (["--resume"], "another run"),
            (["--fresh"], "another run"),
        ):
            capfd.readouterr()
            assert (
                run_study.main([*STUDY, "--data", str(data), "--out", str(running.out), *words])
                == 2
            )
            [line] = capfd.readouterr().err.splitlines()
            assert line.startswith("error: ")
            assert reason in line
        assert running.process.poll() is None, (
            "the first run ended before the second was tried: raise EPOCHS"
        )
        assert running.process.wait(timeout=120) == 0
    assert_same_run(running.out, unbroken)


def test_half_written_files_of_a_killed_run_are_cleared_away(data, tmp_path, capfd):
    """Ours and those of safetensors, which writes to a temporary name of its own."""
    out = tmp_path / "run"
    study = [*STUDY, "--epochs", "1", "--data", str(data), "--out", str(out)]
    assert run_study.main(study) == 0
    for name in (
        "checkpoints/.tmpL9HxGQ",
        "models/.tmpQxG9HL",
        ".tmp.4711.plan.json",
        "parts/.tmp.4711.a.members.parquet",
    ):
        (out / name).write_bytes(b"half")
    capfd.readouterr()
    assert run_study.main([*study, "--resume"]) == 0
    assert "damaged" not in capfd.readouterr().err  # nobody's part has been cut short
    assert [path.name for path in out.rglob(".*")] == [".lock"]


def test_a_lock_left_by_a_killed_run_does_not_keep_others_out(data, tmp_path):
    with Running(data, tmp_path) as running:
        running.wait_for("checkpoints/[!.]*.safetensors")
        running.send(signal.SIGKILL)
    assert (running.out / ".lock").exists()
    assert (
        run_study.main(
            [*STUDY, "--epochs", "1", "--data", str(data), "--out", str(running.out), "--fresh"]
        )
        == 0
    )
    assert ".lock" in contents(running.out)
