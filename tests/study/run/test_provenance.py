"""Provenance describes this machine correctly, and nothing that is missing can stop a study."""

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime

import pytest

from data_utils.files import package_versions
from study.run import provenance as module
from study.run.provenance import git_state, hardware, provenance

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder, *arguments):
    name = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", *name, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "code.py").write_text("a = 1\n")
    (folder / ".gitignore").write_text("runs/\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "first")
    return folder


def test_it_survives_json_and_is_of_now():
    found = provenance()
    assert json.loads(json.dumps(found)) == found
    started = datetime.fromisoformat(found["started"])
    assert started.utcoffset().total_seconds() == 0
    assert abs((datetime.now(UTC) - started).total_seconds()) < 60
    assert found["python"] == platform.python_version()
    assert found["packages"]["numpy"] == importlib.metadata.version("numpy")


def test_an_absent_package_is_null():
    assert package_versions(["numpy", "no-such-package-here"])["no-such-package-here"] is None


def test_hardware_of_this_machine():
    found = hardware()
    assert 1 <= found["cores"] <= found["cores_of_machine"]
    assert found["memory_bytes"] > 2**28
    assert isinstance(found["gpus"], list)


@needs_git
def test_a_clean_checkout_and_what_makes_it_dirty(checkout):
    commit = git(checkout, "rev-parse", "HEAD")
    assert git_state(checkout) == {"commit": commit, "dirty": False}
    (checkout / "my data.csv").write_text("1\n")
    (checkout / "runs").mkdir()
    (checkout / "runs" / "made.py").write_text("ignored\n")
    assert git_state(checkout)["dirty"] is False
    (checkout / "new module.py").write_text("b = 2\n")
    assert git_state(checkout)["dirty"] is True
    (checkout / "new module.py").unlink()
    (checkout / "code.py").write_text("a = 2\n")
    assert git_state(checkout) == {"commit": commit, "dirty": True}


@needs_git
def test_a_variable_that_names_another_checkout_does_not_mislead(checkout, monkeypatch, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert git_state(checkout)["commit"] == git(checkout, "rev-parse", "HEAD")


@needs_git
def test_no_commit_yet(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "a.py").write_text("")
    assert git_state(tmp_path) == {"commit": None, "dirty": True}


@needs_git
def test_an_installed_package_inside_a_checkout_is_not_that_checkout(checkout):
    installed = checkout / ".venv" / "site-packages"
    installed.mkdir(parents=True)
    assert git_state(installed) is None


def test_no_checkout_at_all(tmp_path):
    assert git_state(tmp_path) is None


def test_without_any_program_on_the_path_nothing_fails(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    found = provenance()
    assert found["git"] is None
    assert found["hardware"]["gpus"] == []


def test_a_program_that_hangs_is_given_up():
    assert module._output(["sleep", "30"], timeout=0.2) is None


def test_gpu_names_are_those_of_the_driver(tmp_path, monkeypatch):
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\necho 'NVIDIA H100 80GB HBM3'\necho 'NVIDIA L4'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hardware()["gpus"] == ["NVIDIA H100 80GB HBM3", "NVIDIA L4"]
