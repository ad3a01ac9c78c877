"""What the command line asks for, and all that can be checked of it before anything is loaded or written."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path

from data_utils.errors import InputError
from study.grids import Narrowing

#: All that a run holds which was killed before its config.json was written.
BEGUN = {
    ".lock",
    "checkpoints",
    "parts",
    "models",
    "tensorboard",
    "split.parquet",
    "plan.json",
    "log.txt",
}

#: Device files of GPUs: NVIDIA's driver, the same under WSL, and AMD's.
GPU_DEVICES = ("nvidiactl", "dxg", "kfd")


@dataclass(frozen=True)
class StudyOptions:
    """One field an option of the command line; None leaves the choice to the program."""

    grid: str = "paper"
    narrowing: Narrowing = field(default_factory=Narrowing)
    data: str = "simulated"
    genes_in: str | None = None
    transform: str = "auto"
    all_genes: bool = False
    data_seed: int = 0
    split_seed: int = 0
    group: str | None = None
    out: Path | None = None
    storage: str | None = None
    resume: bool = False
    fresh: bool = False
    local: bool = False
    pack: int | None = None
    workers: int | None = None
    address: str | None = None
    device: str = "auto"
    gpus_per_pack: float | None = None
    checkpoint_seconds: float = 20.0
    no_report: bool = False
    command: str = ""

    def __post_init__(self):
        for name in ("pack", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"--{name} {value}: give at least 1")
        for name in ("data_seed", "split_seed"):
            if getattr(self, name) < 0:
                raise InputError(
                    f"--{name.replace('_', '-')} {getattr(self, name)}: give at least 0"
                )
        if self.gpus_per_pack is not None and not 0 <= self.gpus_per_pack < math.inf:
            raise InputError(f"--gpus-per-pack {self.gpus_per_pack:g}: give a number of at least 0")
        if not 0 <= self.checkpoint_seconds <= 3600:
            raise InputError(f"--checkpoint-seconds {self.checkpoint_seconds:g}: give 0 to 3600")
        for one, other in (
            ("resume", "fresh"),
            ("local", "address"),
            ("local", "workers"),
            ("address", "workers"),
        ):
            if getattr(self, one) and getattr(self, other):
                raise InputError(f"--{one} and --{other} exclude each other: give one of them")

    @property
    def folder(self) -> Path:
        """The run folder."""
        out = Path("runs") / self.grid.rpartition(":")[2] if self.out is None else self.out
        return Path(os.path.expanduser(out)).absolute()

    def resolve_group(self, usual: str | None) -> str | None:
        """The sample label whose samples stay in one part of the split: --group's, else the `usual` one of the data."""
        return {None: usual, "none": None}.get(self.group, self.group)

    def check_folder(self) -> None:
        """Raise InputError for a folder that is in the way, is not there to resume, or cannot be written."""
        path = self.folder
        # os.path, not Path.exists: the answer is False where a path cannot even be asked for (too long, no rights)
        if os.path.exists(path) and not path.is_dir():
            raise InputError(f"{path}: is a file, not a folder: give another --out")
        names = {entry.name for entry in path.iterdir()} if os.path.isdir(path) else set()
        occupied = bool(names)
        is_run = {"config.json", "plan.json"} <= names
        begun = ".lock" in names and names <= BEGUN
        if self.resume and not is_run:
            raise InputError(f"{path}: no run to resume there: leave --resume out")
        if self.fresh and occupied and not (is_run or begun):
            raise InputError(
                f"{path}: holds files but no run, so --fresh does not delete it: give another --out"
            )
        if occupied and not (self.resume or self.fresh):
            raise InputError(
                f"{path}: exists already: give --resume to go on, --fresh to replace it, or another --out"
            )
        parent = next(p for p in (path, *path.parents) if os.path.exists(p))
        if not (parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)):
            raise InputError(f"{path}: cannot be written (below {parent}): give another --out")

    def resolve_device(self) -> str:
        """`cpu` or `cuda`; with --address the cluster is asked later, and `auto` stays.

        Raises InputError for a GPU asked for where there is none.
        """
        if self.address is not None:
            return self.device
        available = gpu_available()
        if self.device == "cuda" and not available:
            raise InputError(
                "--device cuda: this machine has no GPU that torch can use: use --device cpu or auto"
            )
        if self.gpus_per_pack and not available:
            raise InputError(
                f"--gpus-per-pack {self.gpus_per_pack:g}: this machine has no GPU: leave it out"
            )
        return "cuda" if available and self.device != "cpu" else "cpu"


def gpu_available() -> bool:
    """Whether torch can use a GPU. Where the machine shows no device of one, torch is not loaded to be asked."""
    if not any(os.path.exists(f"/dev/{name}") for name in GPU_DEVICES):
        return False
    import torch

    return torch.cuda.is_available()
