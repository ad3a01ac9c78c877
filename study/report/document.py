"""A document of plain blocks: what a report says, in the order of reading, whatever it is printed as."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


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
class Sheet:
    """A table: anything with key, title, caption, frame and formats (study.report.exhibits.Table)."""

    table: object
    kind = "sheet"


@dataclass(frozen=True)
class Picture:
    """A figure: anything with key, title, caption and alt (study.report.exhibits.Plot)."""

    plot: object
    kind = "picture"


@dataclass(frozen=True)
class Fold:
    """Blocks that are opened on demand; in Markdown and in print they are open. A cell that reads `name` links here."""

    name: str
    summary: str
    blocks: tuple
    kind = "fold"


@dataclass(frozen=True)
class Section:
    """A heading with an anchor, and what stands below it; may hold sections."""

    title: str
    blocks: tuple
    kind = "section"

    @property
    def sections(self) -> tuple[Section, ...]:
        """The sections within."""
        return tuple(block for block in self.blocks if block.kind == "section")


@dataclass(frozen=True)
class Document:
    """The whole report. `warning` stands at the top in plain sight; empty: none."""

    title: str
    subtitle: str
    warning: str
    sections: tuple[Section, ...]


def walk(blocks: Sequence) -> list:
    """All blocks, also those within sections and folds, in reading order."""
    found = []
    for block in blocks:
        found.append(block)
        found += walk(getattr(block, "blocks", ()))
    return found


def tables_of(document: Document) -> list:
    """The tables of a document, each key once."""
    sheets = [block.table for block in walk(document.sections) if block.kind == "sheet"]
    return list({table.key: table for table in sheets}.values())


def plots_of(document: Document) -> list:
    """The figures of a document, each key once."""
    plots = [block.plot for block in walk(document.sections) if block.kind == "picture"]
    return list({plot.key: plot for plot in plots}.values())


def anchor(text: str) -> str:
    """`text` as the name of a place on the page."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
