"""Results as one table on the screen and as a JSON file."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Comparison, Measurement
from data_utils.files import package_versions
from study.run.provenance import git_state, hardware

NARROWEST, WIDEST = 80, 120
#: Packages whose version can change the results.
PACKAGES = ("torch", "ray", "jax", "jaxlib", "numpy")


@dataclass(frozen=True)
class LeftOut:
    """A row that could not be measured, or was left out, with the reason in one line."""

    name: str
    work: str
    reason: str

    def as_dict(self) -> dict:
        """Return the content for the JSON file."""
        return asdict(self)


Row = Comparison | Measurement | LeftOut


@dataclass(frozen=True)
class Conditions:
    """A benchmark's conditions: JSON-able facts, and the load (1, 5, 15 minutes) before it."""

    quick: bool
    words: tuple[str, ...]
    """The words of the command line."""
    load_before: tuple[float, float, float]
    started: str

    @classmethod
    def now(cls, quick: bool, words: Sequence[str] = ()) -> Conditions:
        """Return the present conditions of the machine."""
        return cls(
            quick, tuple(words), os.getloadavg(), datetime.now(UTC).isoformat(timespec="seconds")
        )

    def as_dict(self) -> dict:
        """Return all conditions, with those at the end: load, machine, versions, commit."""
        return {
            "started": self.started,
            "ended": datetime.now(UTC).isoformat(timespec="seconds"),
            "quick": self.quick,
            "options": self.words,
            "load_average": {"before": self.load_before, "after": os.getloadavg()},
            "machine": hardware(),
            "versions": package_versions(PACKAGES),
            "git": git_state(),
        }


def as_json(rows: dict[str, list[Row]], conditions: dict) -> str:
    """Return the rows by benchmark, with their conditions, as JSON."""
    results = [
        {"benchmark": name, "kind": type(row).__name__, **row.as_dict()}
        for name, found in rows.items()
        for row in found
    ]
    return json.dumps({**conditions, "results": results}, indent=1) + "\n"


def render(rows: dict[str, list[Row]], conditions: dict, width: int | None = None) -> str:
    """Return one table, 80 to 120 columns wide; without `width` as wide as the screen allows."""
    width = width or shutil.get_terminal_size((100, 24)).columns
    console = Console(
        width=min(max(width, NARROWEST), WIDEST),
        force_terminal=False,
        color_system=None,
        markup=False,
    )
    table = Table(show_lines=True, expand=True)
    for heading, ratio in (("against", 5), ("work", 9), ("ratio or value", 4), ("target", 3)):
        table.add_column(heading, ratio=ratio, overflow="fold")
    table.add_column("met", no_wrap=True, min_width=6)
    for found in rows.values():
        for row in found:
            table.add_row(*_cells(row))
    with console.capture() as capture:
        if conditions["quick"]:
            console.print(QUICK, highlight=False)
        console.print(table, highlight=False)
        console.print(_footer(conditions), highlight=False)
    return capture.get()


QUICK = (
    "A quick one: less work than the real one, as its rows say, and fewer turns.\n"
    "Rows without a target are too small to be judged, or are measurements."
)


def _cells(row: Row) -> tuple[str, ...]:
    """Return the cells of one row."""
    if isinstance(row, LeftOut):
        return (row.name, _lines(row.work, f"left out: {row.reason}"), "-", "-", "-")
    elif isinstance(row, Measurement):
        value = f"{_spread(row.values)} {row.unit}"
        return (row.name, _lines(row.work, row.note), value, row.aim, "-")
    n = len(row.ours)
    costs = (
        f"{median(row.ours):.3g} | {median(row.peer):.3g} {row.unit} "
        f"(ours | theirs; {n} turn{'s' * (n > 1)})"
    )
    target = "" if row.target is None else f"{row.target:g}"
    met = "" if row.target is None else "met" if row.ratio >= row.target else "missed"
    return (row.name, _lines(row.work, costs, row.note), _spread(tuple(row.ratios)), target, met)


def _spread(values: tuple[float, ...]) -> str:
    """Return the median as text, with lowest..highest if there are several values."""
    if len(values) == 1:
        return f"{values[0]:.3g}"
    return f"{median(values):.3g} ({min(values):.3g}..{max(values):.3g})"


def _lines(*parts: str) -> str:
    return "\n".join(part for part in parts if part)


def _footer(conditions: dict) -> str:
    machine, versions = conditions["machine"], conditions["versions"]
    before, after = (conditions["load_average"][when][0] for when in ("before", "after"))
    known = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    commit = (conditions["git"] or {}).get("commit") or "no git"
    changed = ", changed" if (conditions["git"] or {}).get("dirty") else ""
    return (
        f"Ratios are theirs / ours: median (lowest..highest) of interleaved turns.\n"
        f"{machine['cores']} cores, {machine['cpu']}; "
        f"load {before:.1f} before, {after:.1f} after; {known}; "
        f"commit {commit[:9]}{changed}."
    )


def write_json(path: Path, rows: dict[str, list[Row]], conditions: dict) -> None:
    """Write `as_json` to a path whose folder exists."""
    path.write_text(as_json(rows, conditions), encoding="utf-8")
