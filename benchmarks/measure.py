"""Comparisons of this project with a peer on the same work, in turns, by the ratio of costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from statistics import median

Work = Callable[[], float]


@dataclass(frozen=True)
class Comparison:
    """Costs of one piece of work by repeat: this project's, and the peer's in the same turn.

    `unit` is the unit of the numbers ("s wall", "s CPU"). The result is the ratio peer / ours:
    seconds depend on the machine and the moment, ratios of the same turn much less so.
    """

    name: str
    """Name of the peer."""
    work: str
    unit: str
    ours: tuple[float, ...]
    peer: tuple[float, ...]
    target: float | None = None
    """Least ratio that is aimed at."""
    note: str = ""
    """Evidence that both sides are comparable, such as the mean validation MSE of both."""

    @property
    def ratios(self) -> list[float]:
        """The peer's cost over ours, of each turn."""
        return [peer / ours for ours, peer in zip(self.ours, self.peer, strict=True)]

    @property
    def ratio(self) -> float:
        """The median ratio over the turns."""
        return median(self.ratios)

    def as_dict(self) -> dict:
        """Return the content for the JSON file: all costs, and the ratio with its spread."""
        return {
            **asdict(self),
            "ratio": self.ratio,
            "lowest": min(self.ratios),
            "highest": max(self.ratios),
        }


@dataclass(frozen=True)
class Measurement:
    """A number that is not a ratio, such as memory, which is printed without a verdict."""

    name: str
    work: str
    unit: str
    values: tuple[float, ...]
    aim: str = ""
    """The aim in words: "below 1.5 GB"."""
    note: str = ""
    details: dict = field(default_factory=dict)

    def as_dict(self) -> dict:
        """Return the content for the JSON file."""
        return {**asdict(self), "median": median(self.values)}


Result = Comparison | Measurement


def in_turns(repeats: int, works: dict[str, Work]) -> dict[str, tuple[float, ...]]:
    """Call each work once per turn, in reverse order in every second turn; return their costs.

    A work returns its cost. If the machine becomes slower or faster, that affects all works alike.
    """
    costs: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats):
        names = list(works) if turn % 2 == 0 else list(works)[::-1]
        for name in names:
            costs[name].append(works[name]())
    return {name: tuple(values) for name, values in costs.items()}


def wall_seconds(work: Callable[[], object]) -> float:
    """Return the wall-clock seconds that the work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def geometric_mean_turns(parts: list[tuple[float, ...]]) -> tuple[float, ...]:
    """Return the geometric mean over parts of each turn."""
    turns: Iterator[tuple[float, ...]] = zip(*parts, strict=True)
    means = []
    for turn in turns:
        product = 1.0
        for value in turn:
            product *= value ** (1 / len(turn))
        means.append(product)
    return tuple(means)
