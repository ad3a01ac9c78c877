"""The study on Ray: the same tables as in one process, through faults and interruptions."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys

import numpy as np
import pytest

from models.config import MemberConfig
from tests.processes import alive, descendants, training_workers, wait_for
from tests.small import ROOT, assert_same_tables, tables

STUDY = ["--depths", "2", "4", "--noise", "0.1", "0.5", "--betas", "0", "0.01", "--seeds", "1"]
STUDY += ["--epochs", "200", "--checkpoint-seconds", "0.5", "--pack", "2", "--no-report"]


@pytest.fixture(scope="module")
def unbroken(small_cohort, tmp_path_factory):
    """The study in one process, never stopped."""
    out = tmp_path_factory.mktemp("runs") / "unbroken"
    process = start(small_cohort, out, "--local")
    assert process.wait(timeout=300) == 0
    return out


def start(data, out, *further):
    command = [
        sys.executable,
        "run_study.py",
        *STUDY,
        "--data",
        str(data),
        "--out",
        str(out),
        *further,
    ]
    # A session of its own, as from a shell: a signal reaches the driver alone.
    return subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def checkpoints(out):
    """A checkpoint is there."""
    return list((out / "checkpoints").glob("*.safetensors"))


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_interrupted_run_saves_stops_and_resumes_with_equal_tables(
    number, small_cohort, unbroken, tmp_path
):
    process = start(small_cohort, tmp_path / "run")
    wait_for(lambda: checkpoints(tmp_path / "run"))
    ours = descendants(process.pid)
    assert {
        kind for kind in ("raylet", "gcs_server", "ray::") for line in ours.values() if kind in line
    } == {*("raylet", "gcs_server", "ray::")}
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + number
    command = shlex.split(re.search(r"continue with: python (.*)", errors)[1])
    wait_for(lambda: not alive(ours), seconds=10)
    assert "--resume" in command
    assert checkpoints(tmp_path / "run")
    again = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert again.returncode == 0, again.stderr
    assert_same_tables(tmp_path / "run", unbroken)


@pytest.mark.slow
def test_killed_driver_then_resume_gives_equal_tables(small_cohort, unbroken, tmp_path):
    process = start(small_cohort, tmp_path / "run")
    wait_for(lambda: checkpoints(tmp_path / "run"))
    process.kill()
    process.wait()
    again = start(small_cohort, tmp_path / "run", "--resume")
    _, errors = again.communicate(timeout=300)
    assert again.returncode == 0, errors
    assert_same_tables(tmp_path / "run", unbroken)


def test_killed_worker_is_replaced_by_itself(small_cohort, unbroken, tmp_path):
    process = start(small_cohort, tmp_path / "run")
    wait_for(lambda: checkpoints(tmp_path / "run"))
    os.kill(wait_for(lambda: training_workers(process.pid))[0], signal.SIGKILL)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert_same_tables(tmp_path / "run", unbroken)
    status = tables(tmp_path / "run")[0]["status"]
    assert set(status) == {"finished"}
    assert len(status) == 12


def test_failed_pack_is_reported_and_the_others_are_kept(small_cohort, tmp_path):
    """If a folder blocks one member's model file, only that pack fails, and --resume fixes it."""
    out = tmp_path / "run"
    short = ["--epochs", "3", "--pack", "1", "--depths", "2"]
    process = start(small_cohort, out, *short)
    plan = wait_for(
        lambda: (
            (out / "config.json").exists() and (out / "plan.json").exists() and out / "plan.json"
        )
    )
    blocked = MemberConfig.from_dict(json.loads(plan.read_text())["members"][0]).member_id
    in_the_way = out / "models" / f"{blocked}.safetensors"
    in_the_way.mkdir()
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1, errors
    members = tables(out)[0].set_index("member_id")
    assert members.loc[blocked, "status"] == "failed"
    assert "IsADirectoryError" in members.loc[blocked, "error"]
    assert (members.drop(blocked)["status"] == "finished").all()
    assert np.isfinite(members.drop(blocked)["test_mse"].astype(float)).all()
    in_the_way.rmdir()
    again = start(small_cohort, out, *short, "--resume", "--local")
    assert again.wait(timeout=300) == 0
    assert (tables(out)[0]["status"] == "finished").all()
