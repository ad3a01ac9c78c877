"""A wall clock that jumps by a day, back and forth: nothing depends on it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small import ROOT, assert_same_tables, expression_file, models

STUDY = ["--grid", "smoke", "--depths", "2", "4", "--noise", "0.1", "0.5"]
STUDY += ["--betas", "0", "--epochs", "20", "--checkpoint-seconds", "0.2", "--no-report"]
HOOKS = Path(__file__).parent / "hooks"


def run(data, out, *words, **environment):
    words = [*STUDY, "--data", str(data), "--out", str(out), *words]
    command = [sys.executable, "run_study.py", *words]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize(
    "words", [["--local"], pytest.param(["--workers", "1"], marks=pytest.mark.slow)]
)
def test_a_clock_that_jumps_changes_nothing(tmp_path, words):
    data = expression_file(tmp_path)
    expected = run(data, tmp_path / "expected", "--local")
    found = run(data, tmp_path / "found", *words, PYTHONPATH=str(HOOKS), FAULT_CLOCK="86400")
    assert_same_tables(found, expected)
    assert models(found) == models(expected)
    assert len(list(found.rglob("*tfevents*"))) == len(list(expected.rglob("*tfevents*")))
