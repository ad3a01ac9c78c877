"""Every option of a study, a search and a thinning: type, default, help and check.

The options of the other commands are in study/cli.py.
"""

from __future__ import annotations

import dataclasses
import math
import os
import shlex
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from data_utils.errors import InputError
from data_utils.files import check_writable, names_in

DEPTHS = ("2", "4", "6", "8", "conv")

#: Noise factors of each mode of a search; "pareto" has two objectives: validation MSE, code size.
MODES = {"one": (0.5,), "all": (0.1, 0.3, 0.5, 0.7, 1.0), "pareto": (0.5,)}

#: Settings that a search may tune besides the code size.
TUNABLE = ("width", "depth", "learning_rate", "beta")

#: Names that a run killed before writing config.json may leave in its folder.
BEGUN = {
    *(".lock", "checkpoints", "parts", "models", "tensorboard"),
    *("split.parquet", "replicates.parquet", "plan.json", "log.txt"),
}

#: Device files of GPUs: NVIDIA's driver, the same under WSL, and AMD's.
GPU_DEVICES = ("nvidiactl", "dxg", "kfd")

#: The smallest effect of interest, in percent of MSE.
SMALLEST = 1.0
#: Fewer replicates give no verdict: they show too little of their spread.
FEWEST = 3

#: Description of a valid text, by the value's type.
KINDS = {int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class Check:
    """A check of a value: a test, the way out if it fails, and the choices if there is a list."""

    passes: Callable[[Any], bool]
    way_out: str
    choices: tuple[str, ...] = ()


#: Check of the smallest change of MSE that matters, in percent.
OF_INTEREST = Check(lambda value: 0 < value < 100, "give a percentage above 0 and below 100")


def at_least(least: float) -> Check:
    """Make the check of a value that is not below `least`."""
    return Check(lambda value: least <= value, f"give at least {least:g}")


def between(least: float, most: float) -> Check:
    """Make the check of a value from `least` to `most`, both included."""
    return Check(lambda value: least <= value <= most, f"give {least:g} to {most:g}")


def choice(*names: str) -> Check:
    """Make the check of a value that is one of the names."""
    return Check(names.__contains__, f"use one of {', '.join(names)}", names)


@dataclass(frozen=True)
class Declared:
    """The facts of an option for the command line besides its name, type and default."""

    help: str = ""
    check: Check | None = None
    """The check of the value, or of each value of a tuple."""
    metavar: str | Sequence[str] | None = None
    """Placeholder of the value in the help; made from the type if None."""
    group: str = ""
    rare: bool = False
    """Whether only --help-all lists it."""
    positional: bool = False
    shown: bool = True
    """Whether the help shows the default."""


def option(
    default: Any = dataclasses.MISSING, help: str = "", check: Check | None = None, **its: Any
) -> Any:
    """Make a dataclass field that is an option, with the fields of `Declared`.

    Without a default the option is required.
    """
    return dataclasses.field(default=default, metadata={"option": Declared(help, check, **its)})


def declared(kind: type[Options]) -> dict[str, Declared]:
    """Return the options among the fields of a dataclass, by field name."""
    fields = dataclasses.fields(kind)
    return {f.name: f.metadata["option"] for f in fields if "option" in f.metadata}


def flag(name: str) -> str:
    """Return the option's name on the command line: --data-seed for data_seed."""
    return f"--{name.replace('_', '-')}"


def values_of(hint: Any) -> tuple[type, int | str | None]:
    """Return the type of a value, and how many values: a number, + for any, None for just one."""
    if isinstance(hint, types.UnionType):
        [hint] = [inner for inner in typing.get_args(hint) if inner is not types.NoneType]
    if typing.get_origin(hint) is not tuple:
        return hint, None
    inner = typing.get_args(hint)
    return inner[0], "+" if inner[-1] is ... else len(inner)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options that are converted from text, if needed, and checked when they are made."""

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for name, its in declared(type(self)).items():
            given = getattr(self, name)
            if given is not None:
                kind, count = values_of(hints[name])
                values = tuple(
                    _value(name, its, kind, v) for v in ([given] if not count else given)
                )
                object.__setattr__(self, name, values if count else values[0])

    @classmethod
    def read(cls, given: dict[str, Any], **other: Any) -> typing.Self:
        """Make the options from those given on the command line, ignoring those of other kinds."""
        return cls(**{name: given[name] for name in declared(cls) if name in given}, **other)


def _value(name: str, its: Declared, kind: type, value: Any) -> Any:
    """Convert a text and check the value. Raises InputError if it is not valid."""
    if isinstance(value, str) and kind is not str:
        try:
            value = kind(value)
        except ValueError:
            raise InputError(f"{flag(name)} {value}: give {KINDS[kind]}") from None
    elif kind is float:
        value = float(value)
    if kind is float and not math.isfinite(value):
        raise InputError(f"{flag(name)} {value:g}: give a finite number")
    if its.check is not None and not its.check.passes(value):
        shown = f"{value:g}" if isinstance(value, float) else value
        raise InputError(f"{flag(name)} {shown}: {its.check.way_out}")
    return value


_train = partial(option, group="what to train")
_run = partial(option, group="the run")
_data = partial(option, group="data", rare=True)
_detail = partial(option, group="the run, in detail", rare=True)
_search = partial(option, group="a search (also: --seeds, --epochs, --noise)", rare=True)


@dataclass(frozen=True)
class Narrowing(Options):
    """The options by which the command line narrows a grid; None keeps the grid's own values.

    `samples` is not an option but the data's number of samples, None until they are read.
    """

    seeds: int | None = _train(None, "replicates: seeds 0 ... N-1", at_least(1))
    epochs: int | None = _train(None, "epochs per network", at_least(1))
    depths: tuple[str, ...] | None = _train(
        None,
        f"some of {' '.join(DEPTHS)}",
        Check(DEPTHS.__contains__, f"use some of {' '.join(DEPTHS)}"),
        metavar="D",
    )
    noise: tuple[float, ...] | None = _train(
        None, "noise factors, such as 0.0 0.5", at_least(0), metavar="A"
    )
    betas: tuple[float, ...] | None = _train(
        None, "weights of the sparsity term", at_least(0), metavar="B", rare=True
    )
    noise_draws: str | None = _train(
        None,
        "noisy training sets drawn once, as in the paper, or fresh in every epoch",
        choice("once", "fresh"),
        rare=True,
    )
    samples: int | None = None


@dataclass(frozen=True, kw_only=True)
class GenesInOptions(Options):
    """The option of commands that read an expression file: which axis of a table has the genes."""

    genes_in: str | None = _data(
        None, "where a CSV, TSV or Parquet file has its genes", choice("rows", "columns")
    )


@dataclass(frozen=True, kw_only=True)
class DataOptions(GenesInOptions):
    """Options of reading, simulating and splitting data."""

    all_genes: bool = _data(False, "keep every gene, not only the 943 landmark genes")
    data_seed: int = _data(0, "seed of the simulated data", at_least(0))
    split_seed: int = _data(0, "seed of the (first) 70/10/20 split", at_least(0))


@dataclass(frozen=True, kw_only=True)
class StudyOptions(DataOptions):
    """One field per option of a study; None leaves the choice to the program."""

    grid: str = _train("paper", "one that `grids` lists, or your own: FILE.py:FUNCTION")
    narrowing: Narrowing = field(default_factory=Narrowing)
    data: str = _train("simulated", "a file, or what `data` lists", metavar="DATA")
    transform: str = _data(
        "auto",
        "log2p1 takes log2(x + 1); auto decides, and reports why",
        choice("auto", "none", "log2p1"),
    )
    group: str | None = _data(
        None,
        "keep samples with the same LABEL in one part of the split; none: do not "
        "(default: GTEx's donor)",
        metavar="LABEL",
    )
    fixed_split: bool = _data(False, "one split for all seeds; else seed N has its own")
    out: Path | None = _run(None, "run folder (default: runs/GRID)")
    resume: bool = _run(False, "continue the run in the folder")
    fresh: bool = _run(False, "delete the run in the folder and start over")
    local: bool = _run(False, "one process without Ray; the same results")
    workers: int | None = _run(None, "processes (default: one per core)", at_least(1))
    device: str = _run("auto", "auto, cpu or cuda", choice("auto", "cpu", "cuda"), metavar="NAME")
    storage: str | None = _detail(
        None, "copy of the run: s3://, gs:// or a path; nodes then share no folder", metavar="URL"
    )
    address: str | None = _detail(None, "a Ray cluster to run on, or auto", metavar="HOST:PORT")
    checkpoint_seconds: float = _detail(20.0, "seconds between checkpoints", between(0, 3600))
    no_report: bool = _detail(False, "leave out the references and the report")
    smallest_effect: float = _detail(
        SMALLEST, "smallest change of MSE that matters to a verdict", OF_INTEREST, metavar="PERCENT"
    )
    pack: int | None = _detail(
        None, "networks trained as one stack (default: automatic)", at_least(1)
    )
    gpus_per_pack: float | None = _detail(
        None, "share of a GPU per pack, such as 0.25", at_least(0)
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
        """The command to type after this run: `export`, or `report` if it has no report."""
        run = shlex.quote(str(self.folder))
        last = f"report {run}" if self.no_report else f"export {run} --out denoiser"
        return f"python run_study.py {last}"

    def check_folder(self) -> None:
        """Raise InputError if the folder has other files, no run to resume, or is read-only."""
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
        """Choose `cpu` or `cuda`; with --address, `auto` stays until the cluster answers.

        Raises InputError if a GPU is requested but not available.
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
        "instead of a grid: bottleneck, the best code size",
        choice("bottleneck"),
        metavar="NAME",
        shown=False,
    )
    mode: str = _search(
        "one", "one noise factor, all of several, or pareto: MSE and code size", choice(*MODES)
    )
    trials: int = _search(40, "trials in total", at_least(1))
    timeout: float | None = _search(
        None,
        "seconds after which no trial begins",
        Check(lambda s: s > 0, "give a number of seconds above 0"),
    )
    seeds: int = option(3, check=at_least(1))
    noise: tuple[float, ...] | None = option(None, check=at_least(0))
    #: 40 trials of 60 epochs take less than 15 minutes on 2 cores (docs/grids.md).
    epochs: int = option(60, check=at_least(1))
    sampler: str = _search("tpe", "what chooses the trials", choice("tpe", "gp", "random"))
    search_seed: int = _search(0, "seed of the sampler", at_least(0))
    tune: tuple[str, ...] = _search(
        (),
        f"also some of {' '.join(TUNABLE)}",
        Check(TUNABLE.__contains__, f"use some of {' '.join(TUNABLE)}"),
        metavar="P",
    )
    sizes: tuple[int, int] | None = _search(
        None, "code sizes (default: 2 512)", at_least(1), metavar=("LO", "HI")
    )
    confirm_seeds: int = _search(9, "seeds of the chosen setting's test", at_least(1))

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = self.sizes or (1, 1)
        if low > high:
            raise InputError(f"--sizes {low} {high}: an empty range: give the smaller size first")
        if self.mode != "all" and len(self.noise_factors) > 1:
            raise InputError(
                f"--noise: mode {self.mode} has one noise factor: give one, or --mode all"
            )

    @property
    def noise_factors(self) -> tuple[float, ...]:
        """The noise factors of a trial's networks, one network for each and each seed."""
        return tuple(dict.fromkeys(MODES[self.mode] if self.noise is None else self.noise))

    @property
    def pareto(self) -> bool:
        """Whether there are two objectives: validation MSE and code size."""
        return self.mode == "pareto"


@dataclass(frozen=True, kw_only=True)
class ThinningOptions(DataOptions):
    """One field per option of a thinning."""

    data: str = option(
        help="a file of raw counts in any format that is read, or simulated", metavar="COUNTS"
    )
    seeds: int = option(5, "thinnings 0 ... N-1", at_least(1))
    share: float = option(0.5, "share of each count that is denoised", between(0.05, 0.95))
    depth: int | None = option(
        None, "counts per sample: deeper files are thinned to it first", at_least(1)
    )
    epochs: int | None = option(None, "epochs of the dense network; 0 leaves it out", at_least(0))
    out: Path | None = option(None, "run folder (default: runs/thinning)")
    fresh: bool = option(False, "replace the run in the folder")

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(os.path.expanduser(self.out or Path("runs") / "thinning")).absolute()


def gpu_available() -> bool:
    """Return whether torch can use a GPU; torch is loaded only if a GPU's device file exists."""
    if not any(os.path.exists(f"/dev/{name}") for name in GPU_DEVICES):
        return False
    import torch

    return torch.cuda.is_available()
