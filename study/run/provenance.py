"""The provenance of results, for a run's config.json: versions, git state and hardware.

Nothing here may stop a study: facts that cannot be found are None.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from data_utils.files import package_versions
from data_utils.sources import Dataset
from models.config import MemberConfig
from study.options import StudyOptions

PROJECT = Path(__file__).resolve().parents[2]

#: Packages whose version can change a result or a file format.
PACKAGES = (
    *("dae-study", "ray", "torch", "numpy", "scipy", "pandas", "pyarrow", "scikit-learn"),
    *("optuna", "tensorboard", "anndata", "h5py", "safetensors"),
)


def run_config(
    options: StudyOptions, dataset: Dataset, planned: list[MemberConfig], device: str
) -> dict:
    """Return everything needed to repeat a run; the members are in its plan.json."""
    return {
        "command": options.command,
        "grid": options.grid,
        "data": {
            **dataset.facts(),
            "data_seed": options.data_seed if dataset.simulated else None,
            "genes_in": options.genes_in,
        },
        "split_seed": options.split_seed,
        "smallest_effect": options.smallest_effect,
        "seeds": sorted({member.seed for member in planned}),
        "n_members": len(planned),
        "device": device,
        "provenance": provenance(),
    }


def provenance() -> dict:
    """Return the facts about the code and the machine that config.json holds."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": package_versions(PACKAGES),
        "git": git_state(),
        "hardware": hardware(),
    }


def git_state(project: Path = PROJECT) -> dict | None:
    """Return the commit of this code's checkout, and whether it is dirty; None if installed.

    It is dirty if a tracked file is changed or a .py file untracked; other untracked files, such as
    data and results, cannot change a result.
    """
    # Remove GIT_DIR and the like, which git hooks set and which may name another checkout. Do not
    # write the index, since someone else may be working in the checkout.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env = {**kept, "GIT_OPTIONAL_LOCKS": "0"}

    def git(*words: str) -> str | None:
        return _output(["git", "-C", str(project), *words], env=env)

    top = git("rev-parse", "--show-toplevel")
    # A package installed in project/.venv/ is inside a checkout, but is not that checkout's code.
    if top is None or Path(top).resolve() != Path(project).resolve():
        return None
    status = git("status", "--porcelain", "--untracked-files=all")
    dirty = None if status is None else bool(re.search(r'^[^?]|\.py"?$', status, re.MULTILINE))
    return {"commit": git("rev-parse", "--verify", "--quiet", "HEAD"), "dirty": dirty}


def hardware() -> dict:
    """Return the CPU, cores (usable by this process, and all), memory and GPUs of the machine."""
    # nvidia-smi, since importing torch would cost seconds and start CUDA in this process.
    gpus = _output(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"])
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "cores_of_machine": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpus": [name.strip() for name in (gpus or "").splitlines()],
    }


def _cpu_model() -> str | None:
    with suppress(OSError):
        cores = Path("/proc/cpuinfo").read_text()
        if found := re.search(r"^model name\s*:\s*(.+)$", cores, re.MULTILINE):
            return found[1].strip()
    return platform.processor() or None


def _output(
    command: Sequence[str], env: dict[str, str] | None = None, timeout: float = 10.0
) -> str | None:
    """Return what a command prints, or None if it is missing, fails or hangs."""
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            command,
            env=env,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=True,
        )
        # Strip only the end: a space in the first column of `git status` has a meaning.
        return done.stdout.rstrip()
    return None
