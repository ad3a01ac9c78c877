"""Every option of a study, a search and a thinning: type, default, help and check.

The options of the other commands stand in study/cli.py.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from data_utils.errors import InputError
from study.option import Check, Options, at_least, between, choice, option

DEPTHS = ("2", "4", "6", "8", "conv")

#: Noise factors of each mode of a search; "pareto" has two objectives: validation MSE, code size.
MODES = {"one": (0.5,), "all": (0.1, 0.3, 0.5, 0.7, 1.0), "pareto": (0.5,)}

#: Everything in the folder of a run that was killed before its config.json was written.
BEGUN = {
    *(".lock", "checkpoints", "parts", "models", "tensorboard"),
    *("split.parquet", "plan.json", "log.txt"),
}

#: Device files of GPUs: NVIDIA's driver, the same under WSL, and AMD's.
GPU_DEVICES = ("nvidiactl", "dxg", "kfd")

_train = partial(option, group="what to train")
_search = partial(option, group="a search (also: --seeds, --epochs, --noise)")
_data = partial(option, group="data")
_run = partial(option, group="the run")


def _number_or_auto(text: str) -> int | None:
    return None if text == "auto" else int(text)


@dataclass(frozen=True)
class Narrowing(Options):
    """What the command line leaves of a grid; None keeps the grid's own values."""

    seeds: int | None = _train(None, metavar="N", help="seeds 0 ... N-1", check=at_least(1))
    epochs: int | None = _train(None, metavar="N", help="epochs per network", check=at_least(1))
    depths: Sequence[str] | None = _train(
        None,
        metavar="D",
        help=f"some of {' '.join(DEPTHS)}",
        check=Check(DEPTHS.__contains__, f"use some of {' '.join(DEPTHS)}"),
    )
    noise: Sequence[float] | None = _train(
        None, metavar="A", help="noise factors, such as 0.0 0.5", check=at_least(0)
    )
    betas: Sequence[float] | None = _train(
        None, metavar="B", help="weights of the sparsity term", check=at_least(0), rare=True
    )


@dataclass(frozen=True, kw_only=True)
class GenesInOptions(Options):
    """Where a table has its genes, for whatever reads an expression file."""

    genes_in: str | None = _data(
        None,
        help="where a CSV, TSV or Parquet file has its genes",
        check=choice("rows", "columns"),
        rare=True,
    )


@dataclass(frozen=True, kw_only=True)
class DataOptions(GenesInOptions):
    """How data are read, simulated and split."""

    all_genes: bool = _data(
        False, help="keep every gene, not only the 943 landmark genes", rare=True
    )
    data_seed: int = _data(
        0, metavar="N", help="seed of the simulated data", check=at_least(0), rare=True
    )
    split_seed: int = _data(
        0, metavar="N", help="seed of the 70/10/20 split", check=at_least(0), rare=True
    )


@dataclass(frozen=True, kw_only=True)
class StudyOptions(DataOptions):
    """One field per option of a study; None leaves the choice to the program."""

    grid: str = _train("paper", metavar="NAME", help="one that `grids` lists, or your own")
    narrowing: Narrowing = field(default_factory=Narrowing)
    data: str = _train("simulated", metavar="DATA", help="a file, or what `data` lists")
    transform: str = _data(
        "auto", help="of the values", check=choice("auto", "none", "log2p1"), rare=True
    )
    group: str | None = _data(
        None,
        metavar="LABEL",
        help="keep samples with the same LABEL in one part of the split; none: do not "
        "(default: GTEx's donor)",
        rare=True,
    )
    out: Path | None = option(
        None, metavar="DIR", help="run folder (default: runs/GRID)", group="the run"
    )
    resume: bool = _run(False, help="continue the run in the folder")
    fresh: bool = _run(False, help="delete the run in the folder and start over")
    storage: str | None = _run(
        None,
        metavar="URL",
        help="bucket for machines without a common folder: s3://, gs://",
        rare=True,
    )
    checkpoint_seconds: float = _run(
        20.0, metavar="S", help="seconds between checkpoints", check=between(0, 3600), rare=True
    )
    no_report: bool = _run(False, help="leave out the references and the report", rare=True)
    local: bool = _run(False, help="one process without Ray; the same results")
    workers: int | None = _run(
        None, metavar="N", help="processes (default: one per core)", check=at_least(1)
    )
    address: str | None = _run(
        None, metavar="HOST:PORT", help="a Ray cluster to run on, or auto", rare=True
    )
    device: str = _run(
        "auto", metavar="NAME", help="auto, cpu or cuda", check=choice("auto", "cpu", "cuda")
    )
    pack: int | None = _run(
        None,
        metavar="N",
        help="networks trained as one stack (default: auto)",
        read=_number_or_auto,
        check=Check(lambda value: value >= 1, "give at least 1, or auto"),
        rare=True,
    )
    gpus_per_pack: float | None = _run(
        None,
        metavar="X",
        help="share of a GPU per pack, such as 0.25",
        check=at_least(0),
        rare=True,
    )
    command: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        for one, other in (
            ("resume", "fresh"),
            ("local", "address"),
            ("local", "workers"),
            ("address", "workers"),
        ):
            if getattr(self, one) and getattr(self, other):
                raise InputError(f"--{one} and --{other}: exclude each other: give one of them")

    @property
    def folder(self) -> Path:
        """The run folder."""
        out = Path("runs") / self.grid.rpartition(":")[2] if self.out is None else self.out
        return Path(os.path.expanduser(out)).absolute()

    @property
    def resume_command(self) -> str:
        """The command line that continues this run after an interruption."""
        words = shlex.split(self.command)
        return shlex.join([*(w for w in words if w not in ("--fresh", "--resume")), "--resume"])

    @property
    def next_command(self) -> str:
        """What to type after this run: its report, or if it has one, the export of a model."""
        run = shlex.quote(str(self.folder))
        last = f"report {run}" if self.no_report else f"export {run} --out denoiser"
        return f"python run_study.py {last}"

    def resolve_group(self, usual: str | None) -> str | None:
        """The sample label whose samples stay in one part of the split: the data's `usual` one."""
        return {None: usual, "none": None}.get(self.group, self.group)

    def check_folder(self) -> None:
        """Raise InputError if the run folder is in the way, is no run to resume or is read-only."""
        path = self.folder
        names = names_in(path)
        is_run = {"config.json", "plan.json"} <= names
        begun = ".lock" in names and names <= BEGUN
        if self.resume and not is_run:
            raise InputError(f"{path}: no run to resume there: leave --resume out")
        if self.fresh and names and not (is_run or begun):
            raise InputError(
                f"{path}: holds files but no run, so --fresh does not delete it: give another --out"
            )
        if names and not (self.resume or self.fresh):
            raise InputError(
                f"{path}: exists already: give --resume to continue, --fresh to replace it, "
                "or another --out"
            )
        check_writable(path)

    def resolve_device(self) -> str:
        """Choose `cpu` or `cuda`; with --address, `auto` stays until the cluster is asked.

        Raises InputError if a GPU is requested and there is none.
        """
        if self.address is not None:
            return self.device
        available = gpu_available()
        if self.device == "cuda" and not available:
            raise InputError(
                "--device cuda: this machine has no GPU that torch can use: "
                "use --device cpu or auto"
            )
        if self.gpus_per_pack and not available:
            raise InputError(
                f"--gpus-per-pack {self.gpus_per_pack:g}: this machine has no GPU: leave it out"
            )
        return "cuda" if available and self.device != "cpu" else "cpu"


@dataclass(frozen=True)
class SearchOptions(Options):
    """One field per option of a search; None leaves the choice to the program.

    `trials`, `timeout` (seconds for this call) and `confirm_seeds` may change when a search
    continues; the others define it.
    """

    search: str = _train(
        "bottleneck",
        metavar="NAME",
        help="instead of a grid: bottleneck, the best code size",
        check=choice("bottleneck"),
        shown=False,
    )
    mode: str = _search(
        "one",
        help="one noise factor, all of several, or pareto: MSE and code size",
        check=choice(*MODES),
        rare=True,
    )
    trials: int = _search(40, metavar="N", help="trials in total", check=at_least(1), rare=True)
    timeout: float | None = _search(
        None,
        metavar="S",
        help="seconds after which no trial begins",
        check=Check(lambda s: 0 < s < float("inf"), "give a number of seconds above 0"),
        rare=True,
    )
    seeds: int = option(3, check=at_least(1))
    noise: Sequence[float] | None = option(None, check=at_least(0))
    #: 40 trials of 60 epochs take less than 15 minutes on 2 cores (docs/grids.md).
    epochs: int = option(60, check=at_least(1))
    sampler: str = _search("tpe", help="", check=choice("tpe", "gp", "random"), rare=True)
    search_seed: int = _search(
        0, metavar="N", help="seed of the sampler", check=at_least(0), rare=True
    )
    tune: Sequence[str] = _search(
        (),
        metavar="P",
        help="also some of width depth learning_rate beta",
        check=Check(
            ("width", "depth", "learning_rate", "beta").__contains__,
            "use some of width depth learning_rate beta",
        ),
        rare=True,
    )
    sizes: tuple[int, int] | None = _search(
        None, metavar=("LO", "HI"), help="code sizes (default: 2 512)", rare=True
    )
    confirm_seeds: int = _search(
        9, metavar="N", help="seeds of the chosen setting's test", check=at_least(1), rare=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sizes is not None:
            low, high = self.sizes
            if low < 1:
                raise InputError(f"--sizes {low} {high}: a code has at least 1 unit")
            if low > high:
                raise InputError(
                    f"--sizes {low} {high}: an empty range: give the smaller size first"
                )
        if self.mode != "all" and len(set(self.noise or ())) > 1:
            raise InputError(
                f"--noise: mode {self.mode} has one noise factor: give one, or --mode all"
            )
        if len(set(self.noise_factors)) < len(self.noise_factors):
            raise InputError("--noise: give each noise factor once")

    @property
    def noise_factors(self) -> tuple[float, ...]:
        """The noise factors that a trial is trained at, one network for each."""
        return tuple(map(float, MODES[self.mode] if self.noise is None else self.noise))

    @property
    def pareto(self) -> bool:
        """Whether there are two objectives: validation MSE and code size."""
        return self.mode == "pareto"


@dataclass(frozen=True, kw_only=True)
class ThinningOptions(DataOptions):
    """Test denoisers on held-out halves of raw counts.

    One half of the counts, split molecule by molecule, is denoised and compared with the other.

    examples:
      python run_study.py thinning --data counts.tsv.gz
      python run_study.py thinning --data counts.h5ad --all-genes --seeds 9 --out runs/halves
      python run_study.py thinning --data simulated --depth 2000000 --out runs/thinning-deep
    """

    data: str = option(
        metavar="COUNTS", help="a file of raw counts in any format that is read, or simulated"
    )
    seeds: int = option(5, metavar="N", help="thinnings 0 ... N-1", check=at_least(1))
    share: float = option(
        0.5, metavar="P", help="share of each count that is denoised", check=between(0.05, 0.95)
    )
    depth: int | None = option(
        None,
        metavar="N",
        help="counts per sample: deeper files are thinned to it first",
        check=at_least(1),
    )
    epochs: int | None = option(
        None, metavar="N", help="epochs of the dense network; 0 leaves it out", check=at_least(0)
    )
    out: Path | None = option(None, metavar="DIR", help="run folder (default: runs/thinning)")
    fresh: bool = option(False, help="replace the run in the folder")

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(os.path.expanduser(self.out or Path("runs") / "thinning")).absolute()


def names_in(path: Path) -> set[str]:
    """What is in a folder; nothing if it does not exist. Raises InputError for a file."""
    # os.path, not Path.exists: False, too, if the path cannot be looked at (too long, no rights)
    if os.path.exists(path) and not path.is_dir():
        raise InputError(f"{path}: is a file, not a folder: give another --out")
    return {entry.name for entry in path.iterdir()} if os.path.isdir(path) else set()


def check_writable(path: Path) -> None:
    """Raise InputError if a folder cannot be made or written."""
    parent = next(p for p in (path, *path.parents) if os.path.exists(p))
    if not (parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)):
        raise InputError(f"{path}: cannot be written (below {parent}): give another --out")


def gpu_available() -> bool:
    """Whether torch can use a GPU; torch is loaded only if the machine shows a GPU's device."""
    if not any(os.path.exists(f"/dev/{name}") for name in GPU_DEVICES):
        return False
    import torch

    return torch.cuda.is_available()
