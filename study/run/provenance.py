"""Where a result comes from: versions, git state and hardware, for a run's config.json.

Nothing here may stop a study: what cannot be found out is None.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data_utils.sources import Dataset
    from models.config import MemberConfig
    from study.options import StudyOptions

PROJECT = Path(__file__).resolve().parents[2]

# Those whose version can change a number or a file format.
PACKAGES = (
    "dae-study",
    "ray",
    "torch",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "optuna",
    "tensorboard",
    "anndata",
    "h5py",
    "safetensors",
)


def provenance() -> dict:
    """What config.json keeps about the code and the machine: JSON-able, and made in well under a second."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": package_versions(),
        "git": git_state(),
        "hardware": hardware(),
    }


def package_versions(names: Sequence[str] = PACKAGES) -> dict[str, str | None]:
    """From the installed packages' own records, without importing any of them."""
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def git_state(project: Path = PROJECT) -> dict | None:
    """Commit of the checkout that this code runs from and whether its files differ; None if installed.

    Dirty is a changed tracked file or an untracked .py: data and results that lie about change no number.
    """
    top = _git(project, "rev-parse", "--show-toplevel")
    # A package in project/.venv/ lies in some checkout too, but is not that checkout's code.
    if top is None or Path(top).resolve() != Path(project).resolve():
        return None
    status = _git(project, "status", "--porcelain", "--untracked-files=all")
    dirty = None
    if status is not None:
        lines = status.splitlines()
        dirty = any(not line.startswith("??") or line.rstrip('"').endswith(".py") for line in lines)
    return {"commit": _git(project, "rev-parse", "--verify", "--quiet", "HEAD"), "dirty": dirty}


def hardware() -> dict:
    """Cores are those this process may use, and those of the machine; memory is the machine's."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return {
        "cpu": _cpu_model(),
        "cores": len(affinity(0)) if affinity is not None else os.cpu_count(),
        "cores_of_machine": os.cpu_count(),
        "memory_bytes": _memory_bytes(),
        "gpus": _gpu_names(),
    }


def _cpu_model() -> str | None:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return _output(["sysctl", "-n", "machdep.cpu.brand_string"]) or platform.processor() or None


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _gpu_names() -> list[str]:
    """Asked of the driver: importing torch for it would cost seconds and start CUDA in the driver process."""
    names = _output(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"])
    return [name.strip() for name in names.splitlines()] if names else []


def _git(folder: Path, *arguments: str) -> str | None:
    return _output(["git", "-C", str(folder), *arguments], env=_git_environment())


def _git_environment() -> dict[str, str]:
    """Without GIT_DIR and the like, which a git hook sets and which may name another checkout; and without
    writing the index, which would touch a checkout that someone else is working in."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**kept, "GIT_OPTIONAL_LOCKS": "0"}


def _output(
    command: Sequence[str], env: dict[str, str] | None = None, timeout: float = 10.0
) -> str | None:
    """What a command prints, or None if it is not there, fails or hangs."""
    try:
        done = subprocess.run(
            command,
            env=env,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    # Only the end: the first column of `git status` can be a space that means something.
    return done.stdout.rstrip()


def run_config(
    options: StudyOptions, dataset: Dataset, planned: list[MemberConfig], device: str
) -> dict:
    """Everything needed to repeat a run; the members are in its plan.json."""
    return {
        "command": options.command,
        "grid": options.grid,
        "data": {
            **dataset.facts(),
            "data_seed": options.data_seed if dataset.simulated else None,
            "genes_in": options.genes_in,
        },
        "split_seed": options.split_seed,
        "seeds": sorted({member.seed for member in planned}),
        "n_members": len(planned),
        "device": device,
        "provenance": provenance(),
    }
