"""Out of memory: the pack is split and tried again, then reported, and no number changes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small import ROOT, assert_same_tables, expression_file, tables

HOOKS = Path(__file__).parent / "hooks"
GRID = '''"""Eight networks of 8 MB with their gradients and moments, and perhaps one of 190 MB."""
import os
from models.config import MemberConfig, Phase

def wide(narrowing):
    models = ["dense-4096x64"] * 8 + ["dense-98304x64"] * int(os.environ.get("HUGE", "0"))
    phases = (Phase((0.5,), 2),)
    return [
        MemberConfig(model, phases, seed, learning_rate=1e-4) for seed, model in enumerate(models)
    ]
'''


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Run the grid with variables in the environment: the folder, the exit status, the output."""
    here = tmp_path_factory.mktemp("memory")
    (here / "wide.py").write_text(GRID)
    data = expression_file(here)

    def run(name, *words, **environment):
        command = [
            sys.executable,
            "run_study.py",
            "--grid",
            f"{here / 'wide.py'}:wide",
            "--data",
            str(data),
        ]
        command += [
            "--out",
            str(here / name),
            "--no-report",
            "--pack",
            "8",
            "--workers",
            "1",
            *words,
        ]
        command = [
            word for word in command if not ("--local" in words and word in ("--workers", "1"))
        ]
        environment = os.environ | {"PYTHONPATH": str(HOOKS), "MALLOC_ARENA_MAX": "1"} | environment
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
        )
        return here / name, done.returncode, done.stderr

    return run


@pytest.fixture(scope="module")
def whole(study):
    out, status, said = study("whole", "--local")
    assert status == 0, said
    assert "split" not in said
    return out


ROOM_MB = "50"


def test_a_pack_without_memory_is_split_and_only_what_never_fits_is_reported(study, whole):
    """Real allocations fail, by RLIMIT_AS: all eight together, and the one huge network."""
    out, status, said = study("split", "--local", FAULT_ROOM_MB=ROOM_MB, HUGE="1")
    members = tables(out)[0].set_index("member_id")
    assert "a pack of 8 networks is split in two: no memory left" in said
    huge = members[members["model"] == "dense-98304x64"]
    assert huge["status"].tolist() == ["failed"]
    assert "memory" in huge["error"].item()
    assert status == 1
    rest, metrics, _ = tables(out)
    expected, expected_metrics, _ = tables(whole)
    rest = rest[rest["model"] != "dense-98304x64"]
    assert rest.equals(expected[rest.columns])
    assert metrics.equals(expected_metrics)
    assert list((out / "checkpoints").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"FAULT_ROOM_MB": ROOM_MB}, "no memory left"),
        ({"FAULT_KILL_PACKS_OF": "5"}, "its worker keeps dying"),
    ],
)
def test_under_ray_too(study, whole, environment, reason):
    """A worker whose allocations fail, and one that the kernel kills with every pack of eight."""
    out, status, said = study(f"ray-{len(reason)}", **environment)
    assert status == 0, said
    assert f"a pack of 8 networks is split in two: {reason}" in said
    assert_same_tables(out, whole)
