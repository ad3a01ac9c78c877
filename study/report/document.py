"""The parts of a report in any format: sentences, figures and tables in sections.

The function that makes a `Section` makes its figures and tables too, and lists the networks that
they show, so that those of no section can be shown under "Other". Only `stamped` marks exhibits of
simulated data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import pandas as pd
from matplotlib.figure import Figure

from data_utils.cohort import FLATTERED
from study.evidence.evidence import MIXTURE
from study.report.style import WIDTH, drawing, settle
from study.report.wording import joined, sentences

LONG = 25  # rows; a longer table is folded
SIMULATED = "simulated data"


@dataclass(frozen=True, eq=False)
class Exhibit:
    """The common fields of figures and tables; `key` names the files and the anchor.

    The caption is one sentence on what is shown, the same for any data.
    """

    key: str
    title: str
    caption: str
    note: str = field(default="", kw_only=True)
    """How it is to be read, and what these data give or lack."""
    measured: bool = field(default=True, kw_only=True)
    """Whether it shows measurements, which are marked if the data are simulated."""

    @property
    def description(self) -> str:
        """The caption and the note."""
        return sentences(self.caption, self.note)


@dataclass(frozen=True, eq=False)
class Plot(Exhibit):
    """A figure with the data it is drawn from, which are its CSV: one row per mark."""

    data: pd.DataFrame
    draw: Callable[[pd.DataFrame], Figure] = field(repr=False)
    alt: str = ""
    """A short sentence on what can be seen; if empty, the title is used."""
    stamp: str = field(default="", kw_only=True)
    """Printed small in the picture, and a column of its CSV."""
    panel: bool = field(default=False, kw_only=True)
    """Whether it stands beside others, where there is room for the narrow drawing only."""
    beside: frozenset[str] = field(default=frozenset(), kw_only=True)
    """The series of all panels, so that each series has one look in all of them."""
    kind = "plot"

    def figure(self, width: int = WIDTH) -> Figure:
        """Draw the figure, so many pixels wide; no state of pyplot is touched."""
        with drawing(width, self.beside):
            figure = self.draw(self.data)
            settle(figure)
            if self.stamp:
                figure.text(
                    0.995, 0.004, self.stamp, ha="right", va="bottom", fontsize=8, color="#595959"
                )
            return figure


@dataclass(frozen=True, eq=False)
class Panels(Exhibit):
    """One figure or table for each of several cohorts, under one caption."""

    parts: tuple[Plot | Table, ...]
    kind = "panels"


@dataclass(frozen=True, eq=False)
class Table(Exhibit):
    """A table of numbers, texts, Outcome, Effect, Link and wording.Span; NaN or None is missing.

    `formats` gives by column a format specification, or a function from a value to its text.
    """

    frame: pd.DataFrame
    formats: Mapping[str, str | Callable[[object], str]] = field(default_factory=dict)
    by: tuple[str, ...] = field(default=(), kw_only=True)
    """The columns that name a row, if other cohorts can stand beside it as further columns."""
    kind = "table"


@dataclass(frozen=True, eq=False)
class Networks(Exhibit):
    """All networks, to be filtered and grouped on the page: one row per network x noise factor.

    The columns are in `keys`, by which rows are grouped, or are numbers, which are averaged.
    """

    frame: pd.DataFrame
    keys: tuple[str, ...]
    kind = "networks"


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
    """A paragraph; `lead` is printed bold before it, and links to `places` after it."""

    text: str
    lead: str = ""
    places: tuple[str, ...] = ()
    """Titles of sections and names of folds; those that a page lacks are left out (`linked`)."""
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


Block = Words | Points | Command | Plot | Panels | Table | Networks | Fold | Section
AnyBlock = TypeVar("AnyBlock", bound=Block)


@dataclass(frozen=True)
class Document:
    """The whole report. `warning` stands at the top in plain sight, and then `first`."""

    title: str
    subtitle: str
    warning: Words | None
    sections: tuple[Section, ...]
    first: tuple[Block, ...] = ()
    """The blocks at the top of the page, in columns if there is room."""
    note: Words | None = None
    """What limits all of it, below the warning."""

    def blocks(self) -> Iterator[Block]:
        """Yield all blocks in reading order."""
        return walk((*self.first, *self.sections))

    def tables(self) -> list[Table]:
        """Return the tables, each key once."""
        found = (block for block in self.blocks() if isinstance(block, Table))
        return list({table.key: table for table in found}.values())

    def plots(self) -> list[Plot]:
        """Return the figures, each key once."""
        found = (block for block in self.blocks() if isinstance(block, Plot))
        return list({plot.key: plot for plot in found}.values())


def walk(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yield all blocks in reading order, also those within sections and folds."""
    for block in blocks:
        yield block
        if isinstance(block, (Fold, Section)):
            yield from walk(block.blocks)
        elif isinstance(block, Panels):
            yield from block.parts


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


def linked(sections: tuple[Section, ...]) -> tuple[Section, ...]:
    """Return the sections without links to places that do not exist."""
    blocks = list(walk(sections))
    known = {block.title for block in blocks if isinstance(block, Section)}
    known |= {block.name for block in blocks if isinstance(block, Fold)}

    def kept(block: AnyBlock) -> AnyBlock:
        if isinstance(block, (Section, Fold)):
            return replace(block, blocks=tuple(map(kept, block.blocks)))
        if isinstance(block, Points):
            return replace(block, items=tuple(map(kept, block.items)))
        if isinstance(block, Words):
            return replace(block, places=tuple(name for name in block.places if name in known))
        return block

    return tuple(map(kept, sections))


def simulated_warning(names: Sequence[str], of: int = 1) -> Words | None:
    """Return the warning at the top if the data of some (`names`) of `of` cohorts are simulated."""
    if not names:
        return None
    text = (
        "Every number that is not marked as published is a property of a simulation that has "
        "GTEx's correlations and difficulty, not a measurement of tissue."
    )
    lead = "The data are SIMULATED."
    if len(names) < of:
        whose = joined([f"“{name}”" for name in names])
        lead = "Some data are SIMULATED."
        text = f"Numbers of {whose} are properties of a simulation, not measurements of tissue."
    return Words(text, lead)


def stamped(block: AnyBlock) -> AnyBlock:
    """Return the block, with every exhibit of measurements marked as of simulated data.

    Where the mixture of Wiener filters is shown, the note names its advantage.
    """
    if isinstance(block, (Fold, Section)):
        return replace(block, blocks=tuple(map(stamped, block.blocks)))
    if isinstance(block, (Plot, Table)) and block.measured:
        frame = block.data if isinstance(block, Plot) else block.frame
        flattered = FLATTERED if names_mixture(frame) else ""
        note = sentences(block.note, flattered, "Simulated data.")
        block = replace(block, note=note)
        return replace(block, stamp=SIMULATED) if isinstance(block, Plot) else block
    return block


def names_mixture(frame: pd.DataFrame) -> bool:
    """Whether the mixture of Wiener filters is in a table, in its rows or columns."""
    texts = frame.select_dtypes(["object", "string"])
    return MIXTURE in frame.columns or bool(texts.isin([MIXTURE]).to_numpy().any())


def anchor(text: str) -> str:
    """Return `text` as the name of a place on the page."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
