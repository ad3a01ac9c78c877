"""Launching commands in turns, keeping the complete turns if one fails or Ctrl-C ends them."""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from benchmarks.commands import STUDY, CommandFailed, Ended, run
from benchmarks.measure import Comparison, in_turns
from benchmarks.table import LeftOut, Row


class Launched:
    """A command that each turn launches with an empty folder.

    `cost(ended, folder)` is the cost of the turn, and `mse(folder)` the mean validation MSE of the
    trained networks. A command that failed is not launched again.
    """

    def __init__(
        self,
        label: str,
        words: Callable[[Path], list[str]],
        mse: Callable[[Path], float],
        cost: Callable[[Ended, Path], float] = lambda ended, folder: ended.seconds,
    ):
        self.label, self.words, self.mse_of, self.cost = label, words, mse, cost
        self.costs: list[float] = []
        self.mse = math.nan
        self.failure = ""

    def __call__(self) -> float:
        if self.failure:
            return math.nan
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            try:
                ended = run(self.words(Path(folder)))
                self.mse = self.mse_of(Path(folder))
                self.costs.append(self.cost(ended, Path(folder)))
            except CommandFailed as error:
                self.failure = f"{self.label} {error}"
                say(self.failure)
                return math.nan
        say(f"{self.label}: {self.costs[-1]:.1f} s, {ended.seconds:.1f} s from launch to exit")
        return self.costs[-1]


def turns(
    repeats: int, launched: list[Launched], rows: Callable[[], Iterable[Row]]
) -> Iterator[Row]:
    """Launch the commands in turns and yield the rows.

    After Ctrl-C, yield the rows of the complete turns before raising KeyboardInterrupt.
    """
    interrupted = None
    try:
        in_turns(repeats, {command.label: command for command in launched})
    except KeyboardInterrupt as error:
        interrupted = error
    yield from rows()
    if interrupted is not None:
        raise interrupted


def compared(
    name: str,
    work: str,
    unit: str,
    ours: Launched,
    peer: Launched,
    target: float | None,
    factor: float = 1.0,
) -> Row:
    """Return the comparison of the turns that both completed, with our costs times `factor`."""
    turns_of_both = list(zip(ours.costs, peer.costs, strict=False))
    failure = ours.failure or peer.failure
    if not turns_of_both:
        return LeftOut(name, work, failure or "interrupted before its first turn ended")
    note = f"validation MSE {ours.mse:.4f} | {peer.mse:.4f}"
    our_costs, peer_costs = zip(*turns_of_both, strict=True)
    return Comparison(
        name,
        work,
        unit,
        ours=tuple(factor * cost for cost in our_costs),
        peer=peer_costs,
        target=target,
        note=f"{note}; {failure}" if failure else note,
    )


def study(folder: Path, grid: str, epochs: int, *options: str) -> list[str]:
    """Return the command line of a study with a grid of benchmarks/grids.py, or with smoke."""
    grid = grid if grid == "smoke" else f"benchmarks/grids.py:{grid}"
    return [
        *STUDY,
        "--grid",
        grid,
        "--epochs",
        str(epochs),
        "--no-report",
        "--out",
        str(folder / "run"),
        *options,
    ]


def study_mse(folder: Path) -> float:
    """Return the mean validation MSE of the networks that `study` trained in a folder."""
    import pandas as pd

    return float(pd.read_parquet(folder / "run" / "members.parquet")["val_mse"].mean())


def say(text: str) -> None:
    """Print a line of progress to stderr, apart from the table."""
    print(text, file=sys.stderr, flush=True)
