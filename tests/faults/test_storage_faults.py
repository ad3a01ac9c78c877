"""A full disk, and a folder that disappears: what was finished stays, --resume trains the rest.

The exit status is not 0 if something is missing.
"""

import os
import shutil
import subprocess
import threading
import time

import pytest

import run_study
from data_utils import files
from models.training import PackTraining
from study.run.folder import RunFolder
from tests.small import assert_same_tables, contents, expression_file, models

STUDY = ["--grid", "smoke", "--depths", "2", "4", "--noise", "0.1", "0.5", "--betas", "0", "0.01"]
STUDY += ["--epochs", "3", "--pack", "2", "--checkpoint-seconds", "0", "--no-report", "--local"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return expression_file(tmp_path_factory.mktemp("data"))


def run(data, out, *words):
    return run_study.main([*STUDY, "--data", str(data), "--out", str(out), *words])


@pytest.fixture(scope="module")
def unbroken(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("unbroken") / "run"
    assert run(data, out) == 0
    return out


def finished_parts(out):
    """{path: bytes} of what belongs to finished packs."""
    ended = {path.name.split(".")[0] for path in out.glob("parts/[!.]*.members.parquet")}
    return {
        path: path.read_bytes() for path in out.glob("parts/*") if path.name.split(".")[0] in ended
    }


def assert_resume_finishes(data, out, unbroken):
    """Resume, and check that finished packs were left alone."""
    before = finished_parts(out)
    assert run(data, out, "--resume") == 0
    assert {path: path.read_bytes() for path in before} == before
    assert_same_tables(out, unbroken)
    assert models(out) == models(unbroken)
    assert list((out / "checkpoints").iterdir()) == []


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, of 1 MB."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("a file system cannot be mounted here: not root, or not allowed to")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.mark.parametrize("free", [0, 0.1, 0.3, 0.5, 0.7])
def test_a_full_disk(data, unbroken, small_disk, capfd, free):
    """Most of the needed disk space is taken: the run fails with a reason, and continues later."""
    needed = sum(path.stat().st_blocks * 512 for path in unbroken.rglob("*"))
    room = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(room - int(free * needed) // 4096 * 4096))
    out = small_disk / "run"
    status = run(data, out)
    said = capfd.readouterr().err
    assert "No space left" in said
    assert "Traceback" not in said
    ballast.unlink()
    if status == 2:  # not even the beginning
        assert said.count("\n") == 1
        assert not out.exists()
        return
    assert status == 1
    assert "continue with: " in said
    assert [path for path in contents(out) if ".tmp" in path] == []
    finished = RunFolder(out).finished_members()
    assert len(finished) == 2 * len(list(out.glob("parts/[!.]*.members.parquet"))) < 8
    assert_resume_finishes(data, out, unbroken)


def away(out, monkeypatch, batch, back_after=None):
    """Before that batch, move the run's folder away; bring it back after so many seconds."""
    original, batches = PackTraining.advance, []
    elsewhere = out.with_name("elsewhere")

    def advance(self):
        batches.append(True)
        if len(batches) == batch:
            os.replace(out, elsewhere)
            if back_after is not None:
                threading.Timer(back_after, os.replace, (elsewhere, out)).start()
        return original(self)

    monkeypatch.setattr(PackTraining, "advance", advance)
    return elsewhere


@pytest.mark.parametrize("batch", [1, 3, 11])
def test_a_folder_that_comes_back_is_waited_for(data, unbroken, tmp_path, monkeypatch, batch):
    """Away at the first batch, at the first pack's end, and in the middle of the last but two."""
    out = tmp_path / "run"
    away(out, monkeypatch, batch, back_after=1.5)
    assert run(data, out) == 0
    assert_same_tables(out, unbroken)
    assert models(out) == models(unbroken)
    assert not out.with_name("elsewhere").exists()
    for name in ("tensorboard", "models"):
        assert len(list((out / name).rglob("*"))) == len(list((unbroken / name).rglob("*")))


def test_a_folder_that_stays_away_is_an_error_and_no_other_is_made(
    data, unbroken, tmp_path, monkeypatch, capfd
):
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(files, "PATIENCE_SECONDS", 0.5)
        elsewhere = away(out, patch, batch=5)
        assert run(data, out) == 1
    assert not out.exists()
    said = capfd.readouterr().err
    assert "cannot be written" in said
    assert "continue with: " in said
    os.replace(elsewhere, out)
    assert len(RunFolder(out).finished_members()) == 2
    assert_resume_finishes(data, out, unbroken)


def test_an_unreadable_file_is_not_taken_for_a_damaged_one(
    data, unbroken, tmp_path, monkeypatch, capfd
):
    """An error of the storage at --resume: nothing is deleted for it."""
    out = tmp_path / "run"
    shutil.copytree(unbroken, out)
    [broken, *_] = sorted(out.glob("parts/[!.]*.members.parquet"))
    before, original = contents(out), type(broken).read_bytes

    def read_bytes(self):
        if self == broken:
            raise OSError(5, "Input/output error")
        return original(self)

    with monkeypatch.context() as patch:
        patch.setattr(type(broken), "read_bytes", read_bytes)
        assert run(data, out, "--resume") == 2
    [line] = capfd.readouterr().err.splitlines()
    assert f"{broken}: cannot be read (Input/output error)" in line
    assert {name: content for name, content in contents(out).items() if name != ".lock"} == {
        name: content for name, content in before.items() if name != ".lock"
    }


def test_waiting_ends_when_it_is_asked_to():
    """Ctrl-C while the storage is away does not take a minute."""
    begun = time.monotonic()

    def gone():
        raise FileNotFoundError(2, "gone")

    with pytest.raises(FileNotFoundError):
        files.patiently(gone, give_up=lambda: time.monotonic() > begun)
