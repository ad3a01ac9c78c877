"""The formats of a document: one HTML page, Markdown, LaTeX, and the files of a figure.

Foreign text is escaped here, by the template and in wording.escaped, and nowhere else.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from study.evidence.effects import Effect
from study.evidence.stats import Outcome
from study.report.document import (
    Block,
    Command,
    Document,
    Fold,
    Link,
    Networks,
    Panels,
    Plot,
    Points,
    Section,
    Table,
    Words,
    anchor,
)
from study.report.points import points
from study.report.style import DPI, NARROW, RC
from study.report.wording import Span, escaped

TEMPLATES = Path(__file__).with_name("templates")
MISSING = "–"
MOST_ROWS = 200  # of a table on the page; its CSV has all
MOST_PERCENT = 1000.0
LARGEST_SVG = 200_000  # letters; a larger drawing is a PNG on the page, if that is smaller
#: What an SVG needs in a data URI between double quotes. A browser ends an address at a blank.
IN_URI = str.maketrans(
    {'"': "'", " ": "%20", "%": "%25", "#": "%23", "<": "%3C", ">": "%3E", "&": "%26", "(": "%28"}
)
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
    """The link of the cell, with `text` as its text."""
    effect: Effect | None = None
    """An effect that is drawn with its interval; `text` is the effect in words."""
    word: str = ""
    """The outcome of the effect in a word."""


def cell(value: Any, form: str | Callable | None = None) -> Cell:
    """Return a value as a cell; `form` is a format such as ".4f", or a function to text."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return Cell(MISSING)
    if isinstance(value, Link):
        return Cell(str(value), link=value)
    if isinstance(value, Outcome):
        return Cell(value, outcome=True)
    if isinstance(value, Effect):
        known, word = (
            math.isfinite(value.effect),
            str(form(value) if callable(form) else value.outcome),
        )
        text = f"{word}: {value.shown}" if known else word
        return Cell(text, value.effect if known else None, effect=value, word=word)
    if isinstance(value, Span):
        return Cell(str(value), value.order)
    order = float(value) if _is_number(value) else None
    if callable(form):
        return Cell(str(form(value)), order)
    if form is None and isinstance(value, float):
        form = ".4g"
    return Cell(format(value, form) if form and order is not None else str(value), order)


def packed(networks: Networks) -> str:
    """Return the networks as JSON: keys, measures, each key's values, and the rows as numbers.

    A row has the place of each key's value in its list, and then its measures.
    """
    values, columns = {}, []
    for key in networks.keys:
        codes, found = pd.factorize(networks.frame[key], sort=True)
        values[key] = found.tolist()
        columns.append(codes.tolist())
    measures = [name for name in networks.frame if name not in networks.keys]
    columns += [[float(f"{x:.5g}") for x in networks.frame[name]] for name in measures]
    rows = list(zip(*columns, strict=True))
    content = {"keys": networks.keys, "measures": measures, "values": values, "rows": rows}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def along(percent: float) -> float:
    """Return the position of an effect in percent on an axis from -50 to 50.

    It is linear up to 1 % and logarithmic beyond; 1,000 % and more stand at its ends.
    """
    size = min(abs(percent), MOST_PERCENT)
    return math.copysign(50 * math.asinh(size) / math.asinh(MOST_PERCENT), percent)


def plain(table: Table) -> pd.DataFrame:
    """Return a table for its CSV, with unchanged numbers, and effects in words."""
    return table.frame.map(lambda value: cell(value).text if isinstance(value, Effect) else value)


def cells(table: Table, most: int | None = None) -> list[list[Cell]]:
    """Return the rows of a table as cells; `most` rows at most."""
    frame = table.frame if most is None else table.frame.head(most)
    columns = [
        [cell(value, table.formats.get(name)) for value in frame[name].tolist()] for name in frame
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def has_effects(table: Table) -> bool:
    """Whether effects are drawn in a table."""
    return bool(table.frame.map(lambda value: isinstance(value, Effect)).to_numpy().any())


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
    """A drawing on the page: a data URI, its size in CSS pixels, and its points.

    `points` is JSON: for each point its place from the left and the top in percent, and its
    numbers in words.
    """

    uri: str
    width: int
    height: int
    points: str


@dataclass(frozen=True)
class Picture:
    """A figure as the page holds it: for a telephone, and unless it is a panel for a screen."""

    narrow: Image
    wide: Image | None = None


def save(plot: Plot, folder: Path | None = None) -> Picture:
    """Return the drawings for the page; the same plot gives the same bytes.

    In `folder` KEY.png (two pixels for one), KEY.svg and KEY.csv are written.
    """
    wide = None
    if folder is not None or not plot.panel:
        figure = plot.figure()
        svg = _bytes(figure, "svg", plot.title)
        png = b"" if folder is None else _bytes(figure, "png")
        wide = None if plot.panel else _image(figure, svg, png)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{plot.key}.svg").write_bytes(svg)
            (folder / f"{plot.key}.png").write_bytes(png)
            data = plot.data.assign(data=plot.stamp) if plot.stamp else plot.data
            data.to_csv(folder / f"{plot.key}.csv", index=False, lineterminator="\n")
    figure = plot.figure(NARROW)
    return Picture(_image(figure, _bytes(figure, "svg")), wide)


def _bytes(figure: Figure, kind: str, title: str = "") -> bytes:
    """Render a figure that is laid out, at two pixels for one; Figure.savefig would draw twice."""
    buffer = io.BytesIO()
    figure.set_dpi(2 * DPI)
    with matplotlib.rc_context(RC):
        if kind == "svg":
            FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Title": title})
        else:
            FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    figure.set_dpi(DPI)
    return buffer.getvalue()


def _image(figure: Figure, svg: bytes, png: bytes = b"") -> Image:
    """Return a figure as SVG or, if that is larger than LARGEST_SVG, as PNG if it is smaller."""
    uri = f"data:image/svg+xml,{lean(svg.decode()).translate(IN_URI)}"
    if len(uri) > LARGEST_SVG:
        picture = base64.b64encode(png or _bytes(figure, "png")).decode()
        uri = min(uri, f"data:image/png;base64,{picture}", key=len)
    width, height = (round(side * DPI) for side in figure.get_size_inches())
    return Image(uri, width, height, json.dumps(points(figure), ensure_ascii=False))


_UNSEEN = re.compile(r"<title>.*?</title>|<metadata>.*?</metadata>|<!--.*?-->", re.DOTALL)
_BLANK = re.compile(r"\s*\n\s*|(?<=[:;MLQC]) | (?=/?>)|xlink:(?=href)")
_BESIDE = re.compile(r'transform="translate\((\S+) 0\)"(?=/>)')  # of a letter in its line
_NUMBER = re.compile(r"(?:scale|matrix)\([^)]*\)|\d*\.\d{3,}")
_LINK = re.compile(r'(href="#|url\(#)([^")]+)')
_NAME = re.compile(r' id="([^"]+)"')
_GROUP = re.compile(r"<(/?)g\b[^>]*>")


def lean(svg: str) -> str:
    """Return the same drawing of matplotlib's in half the bytes.

    Coordinates are rounded to .01 pt; factors of scales and matrices are left as they are. Names
    of what is used elsewhere are short; other names, groups without attributes, comments,
    metadata and blanks are left out.
    """
    svg = _BLANK.sub("", _UNSEEN.sub("", svg[svg.index("<svg") :]))
    svg = _NUMBER.sub(_rounded, _BESIDE.sub(r'x="\1"', svg))
    found = dict.fromkeys(name for _, name in _LINK.findall(svg))
    names = {name: f' id="i{i:x}"' for i, name in enumerate(found)}
    svg = _LINK.sub(lambda link: link[1] + names[link[2]][5:-1], svg)
    svg = _NAME.sub(lambda its: names.get(its[1], ""), svg)
    kept: list[bool] = []  # whether each group that is open has attributes

    def group(tag: re.Match) -> str:
        if tag[0].endswith("/>"):  # an empty one, which draws nothing and has no end
            return ""
        if not tag[1]:
            kept.append(tag[0] != "<g>")
        return tag[0] * (kept.pop() if tag[1] else kept[-1])

    return _GROUP.sub(group, svg)


def _rounded(found: re.Match) -> str:
    """Return a number with two digits; scales and matrices as they are."""
    return found[0] if found[0][0] in "sm" else f"{float(found[0]):.2f}".rstrip("0").rstrip(".")


def html(document: Document, images: Mapping[str, Picture], files: bool = True) -> str:
    """Return the page with its styles, script and images; its policy forbids other content.

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
        along=along,
        packed=packed,
        has_effects=has_effects,
        numeric_columns=numeric_columns,
        anchor=anchor,
        most=MOST_ROWS,
        missing=MISSING,
        files=files,
    )


def markdown(document: Document) -> str:
    """Return the document as GitHub's Markdown, with its pictures in figures/."""
    warning = f"> {_markdown_block(document.warning)}" if document.warning else ""
    note = _markdown_block(document.note) if document.note else ""
    lines = [f"# {escaped(document.title)}", escaped(document.subtitle), warning, note]
    return "\n\n".join(filter(None, [*lines, *_markdown_blocks(document.sections, 2)])) + "\n"


def _markdown_blocks(blocks: Sequence[Block], level: int) -> list[str]:
    parts = []
    for block in blocks:
        if isinstance(block, Section):
            parts += [f"{'#' * level} {escaped(block.title)}"]
            parts += _markdown_blocks(block.blocks, level + 1)
        elif isinstance(block, Panels):
            parts += [*_markdown_blocks(block.parts, level), escaped(block.note)]
        elif isinstance(block, Fold):
            parts += [f"**{escaped(block.name)} {escaped(block.summary)}**"]
            parts += _markdown_blocks(block.blocks, level)
        else:
            parts.append(_markdown_block(block))
    return parts


def _markdown_block(block: Words | Points | Command | Plot | Table | Networks) -> str:
    if isinstance(block, Words):
        lead = f"**{escaped(block.lead)}** " if block.lead else ""
        return lead + escaped(" ".join(filter(None, (block.text, ", ".join(block.places)))))
    if isinstance(block, Points):
        return "\n".join(f"- {_markdown_block(item)}" for item in block.items)
    if isinstance(block, Command):  # four spaces, not a fence: no backtick in the text can end it
        return "\n".join(f"    {line}" for line in block.text.splitlines())
    caption = f"*{escaped(block.title)}.* {escaped(block.description)}".strip()
    if isinstance(block, Networks):  # they are in members.parquet
        return caption
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
        caption=tex(f"{table.title}. {table.description}"),
        label=f"tab:{table.key}",
    )
