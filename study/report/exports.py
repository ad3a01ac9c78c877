"""The formats of a document: one HTML page, Markdown, LaTeX. What is foreign is escaped here and nowhere else."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from study.report.document import Document, Fold, Plot, Table, Words, anchor, walk
from study.report.style import DPI, RC
from study.report.wording import escaped as md

TEMPLATES = Path(__file__).with_name("templates")
MISSING = "–"
MOST_ROWS = 200  # of a table on the page; its CSV has all


@dataclass(frozen=True)
class Image:
    """A figure as the page holds it: a data URI and its size in CSS pixels."""

    uri: str
    width: int
    height: int


def cell(value, form: str | Callable | None = None) -> str:
    """One cell as text; `form` is a format specification such as ".4f" or a function, given only what is there."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    if callable(form):
        return str(form(value))
    if form is not None and not isinstance(value, str):
        return format(value, form)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Cell:
    """A cell of the page: its text, and the number that it is sorted by (empty: by its text)."""

    text: str
    order: str


def cells(table, most: int | None = None) -> list[list[Cell]]:
    """The rows of a table as cells; `most` rows at most."""
    frame = table.frame if most is None else table.frame.head(most)
    forms = dict(table.formats or {})
    columns = []
    for name in frame.columns:
        values = frame[name].tolist()
        columns.append([Cell(cell(v, forms.get(name)), _order(v)) for v in values])
    return [list(row) for row in zip(*columns, strict=True)]


def _order(value) -> str:
    return repr(float(value)) if isinstance(value, (int, float)) and not math.isnan(value) else ""


def numeric_columns(table) -> list[bool]:
    """Whether each column is of numbers, which stand on the right: also numbers with an interval, as text."""
    number = re.compile(rf"[≈<+−-]?\s?\d[\d.,]*(e[+-]?\d+)?\b(?![-/:\w])|{MISSING}$")
    answers = []
    for name, dtype in table.frame.dtypes.items():
        texts = [
            cell(value, (table.formats or {}).get(name))
            for value in table.frame[name].head(MOST_ROWS)
        ]
        plain = pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)
        answers.append(
            plain or (any(t != MISSING for t in texts) and all(number.match(t) for t in texts))
        )
    return answers


def save(plot: Plot, folder: Path | str) -> dict:
    """Write KEY.png (two pixels for one), KEY.svg and KEY.csv into `folder`, which is made if missing.

    Returns the paths "png", "svg", "csv", and "width" and "height" in CSS pixels. The same plot gives the same bytes.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {ending: folder / f"{plot.key}.{ending}" for ending in ("png", "svg", "csv")}
    figure = plot.figure()
    with matplotlib.rc_context(RC):
        figure.savefig(paths["png"], dpi=2 * DPI, metadata={"Software": None})
        figure.savefig(paths["svg"], metadata={"Date": None, "Title": plot.title})
    data = plot.data.assign(data=plot.stamp) if plot.stamp else plot.data
    data.to_csv(paths["csv"], index=False, lineterminator="\n")
    width, height = (round(side * DPI) for side in figure.get_size_inches())
    return {**paths, "width": width, "height": height}


def embedded(path: Path, width: int, height: int) -> Image:
    """An SVG or PNG file as an image that needs no file."""
    kind = {".svg": "image/svg+xml", ".png": "image/png"}[path.suffix]
    return Image(
        f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}", width, height
    )


@cache
def _environment(escaped: bool) -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def html(document: Document, images: Mapping[str, Image], files: bool = True) -> str:
    """The page: styles, script and images within; a policy in its head forbids everything else.

    Without `files` it links to none beside it.
    """
    script = (TEMPLATES / "report.js").read_text("utf-8")
    return (
        _environment(True)
        .get_template("report.html.j2")
        .render(
            document=document,
            images=images,
            style=(TEMPLATES / "style.css").read_text("utf-8"),
            script=script,
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            cells=cells,
            numeric_columns=numeric_columns,
            anchor=anchor,
            folds={
                block.name: f"#{anchor(block.name)}"
                for block in walk(document.sections)
                if isinstance(block, Fold)
            },
            most=MOST_ROWS,
            files=files,
        )
    )


def markdown(document: Document) -> str:
    """The same as Markdown (GitHub's), figures and tables beside it in figures/ and tables/."""
    lines = [f"# {md(document.title)}", md(document.subtitle)]
    if document.warning:
        lines.append(f"> **{md(document.warning)}**")
    return "\n\n".join([*lines, *_markdown_blocks(document.sections, 2)]) + "\n"


def _markdown_blocks(blocks: Sequence, level: int) -> list[str]:
    parts = []
    for block in blocks:
        if block.kind == "section":
            parts += [
                f"{'#' * level} {md(block.title)}",
                *_markdown_blocks(block.blocks, level + 1),
            ]
        elif block.kind == "fold":
            parts += [
                f"**{md(block.name)} {md(block.summary)}**",
                *_markdown_blocks(block.blocks, level),
            ]
        else:
            parts.append(_MARKDOWN[block.kind](block))
    return parts


def _markdown_words(block: Words) -> str:
    return f"**{md(block.lead)}** {md(block.text)}" if block.lead else md(block.text)


def _markdown_plot(plot: Plot) -> str:
    return f"![{md(plot.alt or plot.title)}](figures/{plot.key}.png)\n\n*{md(plot.title)}.* {md(plot.caption)}"


def _markdown_table(table: Table) -> str:
    header = [md(name) for name in table.frame.columns]
    body = [[md(entry.text) for entry in row] for row in cells(table, MOST_ROWS)]
    rule = ["---:" if right else "---" for right in numeric_columns(table)]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in [header, rule, *body])
    more = (
        f" The first {MOST_ROWS} of {len(table.frame):,} rows."
        if len(table.frame) > MOST_ROWS
        else ""
    )
    return f"*{md(table.title)}.* {md(table.caption)}{more}\n\n{lines}"


_MARKDOWN = {
    "words": _markdown_words,
    "points": lambda block: "\n".join(f"- {_markdown_words(item)}" for item in block.items),
    # Four spaces, not a fence: no backtick in the text can end it.
    "command": lambda block: "\n".join(f"    {line}" for line in block.text.splitlines()),
    "table": _markdown_table,
    "plot": _markdown_plot,
}


_TEX = {
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{mark: f"${mark}$" for mark in "<>|"},
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "ρ": r"$\rho$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≈": r"$\approx$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "→": r"$\rightarrow$",
    "−": "$-$",
    "²": "$^2$",
    "†": r"\dag{}",
    "–": "--",
    "·": r"$\cdot$",
}


def tex(text) -> str:
    """Foreign text in LaTeX."""
    return "".join(_TEX.get(mark, mark) for mark in " ".join(str(text).split()))


def latex(table) -> str:
    """A table as a LaTeX `table` with a `tabular`, rules of the package booktabs, all rows."""
    columns = "".join("r" if right else "l" for right in numeric_columns(table))
    rows = [
        [tex(name) for name in table.frame.columns],
        *([tex(c.text) for c in row] for row in cells(table)),
    ]
    header, *body = [" & ".join(row) + r" \\" for row in rows]
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{tex(table.title)}. {tex(table.caption)}}}",
        rf"\label{{tab:{table.key}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        header,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"
