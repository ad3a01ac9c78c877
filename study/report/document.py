"""What a report is made of, in any format: sentences, figures and tables in sections.

The function that makes a `Section` makes its figures and tables too, and lists the networks that
they show, so that those of no section can be shown under "Other". Only `stamped` marks exhibits of
simulated data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from study.report.style import RC, settle

LONG = 25  # rows: a longer table is opened on demand
SIMULATED = "simulated data"


@dataclass(frozen=True, eq=False)
class Exhibit:
    """What figures and tables have in common. `key` names its files and its anchor."""

    key: str
    title: str
    caption: str
    measured: bool = field(default=True, kw_only=True)
    """Whether it shows measurements, which are marked if the data are simulated."""


@dataclass(frozen=True, eq=False)
class Plot(Exhibit):
    """A figure with the data it is drawn from, which are its CSV: one row per mark."""

    data: pd.DataFrame
    draw: Callable[[pd.DataFrame], Figure] = field(repr=False)
    alt: str = ""
    """What can be seen, in one short sentence; if empty, the title."""
    stamp: str = field(default="", kw_only=True)
    """Printed small in the picture, and a column of its CSV."""
    kind = "plot"

    def figure(self) -> Figure:
        """Draw the figure; no state of pyplot is touched."""
        with matplotlib.rc_context(RC):
            figure = self.draw(self.data)
            settle(figure)
            if self.stamp:
                figure.text(
                    0.995, 0.004, self.stamp, ha="right", va="bottom", fontsize=8, color="#595959"
                )
            return figure


@dataclass(frozen=True, eq=False)
class Table(Exhibit):
    """A table of numbers, texts, Outcome, Link and wording.Span; NaN or None is missing.

    `formats` gives by column a format specification, or a function from a value to its text.
    """

    frame: pd.DataFrame
    formats: Mapping[str, str | Callable[[object], str]] = field(default_factory=dict)
    kind = "table"


@dataclass(frozen=True)
class Link:
    """A cell that begins with the name of a `Fold`, and leads there."""

    name: str
    text: str = ""

    def __str__(self) -> str:
        """Return "C1" or "C1: MSE grows with depth"."""
        return f"{self.name}: {self.text}" if self.text else self.name


@dataclass(frozen=True)
class Words:
    """A paragraph; `lead` is printed bold before it."""

    text: str
    lead: str = ""
    kind = "words"


@dataclass(frozen=True)
class Points:
    """A list of paragraphs."""

    items: tuple[Words, ...]
    kind = "points"


@dataclass(frozen=True)
class Command:
    """A line for a shell, or other text to be copied as it is."""

    text: str
    kind = "command"


@dataclass(frozen=True)
class Fold:
    """Blocks that are opened on demand, or by a `Link` to `name`; open in Markdown and in print."""

    name: str
    summary: str
    blocks: tuple[Block, ...]
    kind = "fold"


@dataclass(frozen=True)
class Section:
    """A heading with an anchor, and the blocks below it, which may be sections."""

    title: str
    blocks: tuple[Block, ...]
    networks: frozenset[str] = frozenset()
    """The ids of the networks that it shows, except those of its inner sections."""
    kind = "section"

    @property
    def sections(self) -> tuple[Section, ...]:
        """The sections within."""
        return tuple(block for block in self.blocks if isinstance(block, Section))


Block = Words | Points | Command | Plot | Table | Fold | Section
AnyBlock = TypeVar("AnyBlock", bound=Block)


@dataclass(frozen=True)
class Document:
    """The whole report. `warning` stands at the top in plain sight."""

    title: str
    subtitle: str
    warning: Words | None
    sections: tuple[Section, ...]

    def tables(self) -> list[Table]:
        """Return the tables, each key once."""
        found = (block for block in walk(self.sections) if isinstance(block, Table))
        return list({table.key: table for table in found}.values())

    def plots(self) -> list[Plot]:
        """Return the figures, each key once."""
        found = (block for block in walk(self.sections) if isinstance(block, Plot))
        return list({plot.key: plot for plot in found}.values())


def walk(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield all blocks in reading order, also those within sections and folds."""
    for block in blocks:
        yield block
        if isinstance(block, (Fold, Section)):
            yield from walk(block.blocks)


def shown(sections: Iterable[Section]) -> frozenset[str]:
    """Return the ids of the networks that these sections show."""
    found = (block for block in walk(sections) if isinstance(block, Section))
    return frozenset().union(*(section.networks for section in found))


def folded(exhibits: Iterable[Plot | Table]) -> tuple[Block, ...]:
    """Return the exhibits as blocks of a section, each long table in a fold."""
    return tuple(
        Fold(exhibit.title, f"({len(exhibit.frame):,} rows)", (exhibit,))
        if isinstance(exhibit, Table) and len(exhibit.frame) > LONG
        else exhibit
        for exhibit in exhibits
    )


def simulated_warning(simulated: bool) -> Words | None:
    """Return what stands at the top of a document if the data are simulated."""
    text = (
        "They come from a mixture model with GTEx's correlations and difficulty. Every number that "
        "is not marked as published is a property of that simulation, not a measurement of tissue."
    )
    return Words(text, "The data are SIMULATED.") if simulated else None


def stamped(block: AnyBlock) -> AnyBlock:
    """Return the block, with every exhibit of measurements marked as of simulated data."""
    if isinstance(block, (Fold, Section)):
        return replace(block, blocks=tuple(map(stamped, block.blocks)))
    if isinstance(block, (Plot, Table)) and block.measured:
        block = replace(block, caption=f"{block.caption} Simulated data.".strip())
        return replace(block, stamp=SIMULATED) if isinstance(block, Plot) else block
    return block


def anchor(text: str) -> str:
    """Return `text` as the name of a place on the page."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
