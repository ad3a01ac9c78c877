"""The formats of a document: one HTML page, Markdown, LaTeX, and the files of a figure.

Foreign text is escaped here, by the template and in wording.escaped, and nowhere else.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from study.evidence.stats import Outcome
from study.report.document import (
    Block,
    Command,
    Document,
    Fold,
    Link,
    Plot,
    Points,
    Section,
    Table,
    Words,
    anchor,
)
from study.report.style import DPI, RC
from study.report.wording import Span, escaped

TEMPLATES = Path(__file__).with_name("templates")
MISSING = "–"
MOST_ROWS = 200  # of a table on the page; its CSV has all
LARGEST_SVG = 200_000  # bytes; the page shows a larger drawing as PNG
#: Characters that LaTeX takes for markup.
TEX = str.maketrans(
    {mark: f"\\{mark}" for mark in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)


@dataclass(frozen=True)
class Cell:
    """A cell of a table as text."""

    text: str
    order: float | None = None
    """The number that a column is sorted by."""
    outcome: bool = False
    """Whether it is an outcome, which is printed in its colour."""
    link: Link | None = None
    """What it links to; `text` is all of it."""


def cell(value: Any, form: str | Callable | None = None) -> Cell:
    """Return a value as a cell; `form` is a format such as ".4f", or a function to text."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return Cell(MISSING)
    if isinstance(value, Link):
        return Cell(str(value), link=value)
    if isinstance(value, Outcome):
        return Cell(value, outcome=True)
    if isinstance(value, Span):
        return Cell(str(value), value.low)
    order = float(value) if _is_number(value) else None
    if callable(form):
        return Cell(str(form(value)), order)
    if form is None and isinstance(value, float):
        form = ".4g"
    return Cell(format(value, form) if form and order is not None else str(value), order)


def cells(table: Table, most: int | None = None) -> list[list[Cell]]:
    """Return the rows of a table as cells; `most` rows at most."""
    frame = table.frame if most is None else table.frame.head(most)
    columns = [
        [cell(value, table.formats.get(name)) for value in frame[name].tolist()] for name in frame
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def numeric_columns(table: Table) -> list[bool]:
    """Return by column whether it holds numbers or intervals, which are aligned on the right."""
    answers = []
    for _, column in table.frame.items():
        known = [value for value in column.tolist() if not pd.isna(value)]
        numbers = all(isinstance(value, Span) or _is_number(value) for value in known)
        answers.append(numbers if known else pd.api.types.is_numeric_dtype(column))
    return answers


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


@dataclass(frozen=True)
class Image:
    """A figure as the page holds it: a data URI and its size in CSS pixels."""

    uri: str
    width: int
    height: int


def save(plot: Plot, folder: Path, largest_svg: int = LARGEST_SVG) -> Image:
    """Write KEY.png (two pixels for one), KEY.svg and KEY.csv; the same plot gives the same bytes.

    Returns the SVG or, if it has more than `largest_svg` bytes, the PNG.
    """
    folder.mkdir(parents=True, exist_ok=True)
    png, svg, csv = (folder / f"{plot.key}.{ending}" for ending in ("png", "svg", "csv"))
    figure = plot.figure()
    with matplotlib.rc_context(RC):
        figure.savefig(png, dpi=2 * DPI, metadata={"Software": None})
        figure.savefig(svg, metadata={"Date": None, "Title": plot.title})
    data = plot.data.assign(data=plot.stamp) if plot.stamp else plot.data
    data.to_csv(csv, index=False, lineterminator="\n")
    small = svg.stat().st_size <= largest_svg
    kind, content = ("svg+xml", svg) if small else ("png", png)
    uri = f"data:image/{kind};base64,{base64.b64encode(content.read_bytes()).decode()}"
    width, height = (round(side * DPI) for side in figure.get_size_inches())
    return Image(uri, width, height)


def html(document: Document, images: Mapping[str, Image], files: bool = True) -> str:
    """Return the page with its styles, script and images; a policy in its head forbids all else.

    Without `files` it has no links to figures/ and tables/.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    script = (TEMPLATES / "report.js").read_text("utf-8")
    return environment.get_template("report.html.j2").render(
        document=document,
        images=images,
        style=(TEMPLATES / "style.css").read_text("utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        cells=cells,
        numeric_columns=numeric_columns,
        anchor=anchor,
        most=MOST_ROWS,
        files=files,
    )


def markdown(document: Document) -> str:
    """Return the document as GitHub's Markdown, with its pictures in figures/."""
    warning = f"> {_markdown_block(document.warning)}" if document.warning else ""
    lines = [f"# {escaped(document.title)}", escaped(document.subtitle), warning]
    return "\n\n".join(filter(None, [*lines, *_markdown_blocks(document.sections, 2)])) + "\n"


def _markdown_blocks(blocks: Sequence[Block], level: int) -> list[str]:
    parts = []
    for block in blocks:
        if isinstance(block, Section):
            parts += [f"{'#' * level} {escaped(block.title)}"]
            parts += _markdown_blocks(block.blocks, level + 1)
        elif isinstance(block, Fold):
            parts += [f"**{escaped(block.name)} {escaped(block.summary)}**"]
            parts += _markdown_blocks(block.blocks, level)
        else:
            parts.append(_markdown_block(block))
    return parts


def _markdown_block(block: Words | Points | Command | Plot | Table) -> str:
    if isinstance(block, Words):
        return (
            f"**{escaped(block.lead)}** {escaped(block.text)}"
            if block.lead
            else escaped(block.text)
        )
    if isinstance(block, Points):
        return "\n".join(f"- {_markdown_block(item)}" for item in block.items)
    if isinstance(block, Command):  # four spaces, not a fence: no backtick in the text can end it
        return "\n".join(f"    {line}" for line in block.text.splitlines())
    caption = f"*{escaped(block.title)}.* {escaped(block.caption)}".strip()
    if isinstance(block, Plot):
        return f"![{escaped(block.alt or block.title)}](figures/{block.key}.png)\n\n{caption}"
    header = [escaped(name) for name in block.frame.columns]
    rule = ["---:" if right else "---" for right in numeric_columns(block)]
    body = [[escaped(entry.text) for entry in row] for row in cells(block, MOST_ROWS)]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *body])
    n_rows = len(block.frame)
    more = f" The first {MOST_ROWS} of {n_rows:,} rows." if n_rows > MOST_ROWS else ""
    return f"{caption}{more}\n\n{lines}"


def latex(table: Table) -> str:
    """Return all rows as a LaTeX `table`, for the package booktabs and LuaLaTeX or XeLaTeX."""

    def tex(text: str) -> str:
        return " ".join(text.split()).translate(TEX)

    rows = [[tex(entry.text) for entry in row] for row in cells(table)]
    frame = pd.DataFrame(rows, columns=[tex(str(name)) for name in table.frame])
    return frame.style.hide(axis="index").to_latex(
        hrules=True,
        position_float="centering",
        column_format="".join("r" if right else "l" for right in numeric_columns(table)),
        caption=tex(f"{table.title}. {table.caption}"),
        label=f"tab:{table.key}",
    )
