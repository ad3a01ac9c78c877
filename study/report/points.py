"""The numbers of a drawing's marks, which the page shows when a reader points at them.

They are found in the drawing itself, so that every figure has them: each point of a line, with the
bar that is drawn through it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

SHORT = 20  # letters; a longer title of a panel is not repeated at its points
MOST_OF_LINE = 60  # points
MOST_POINTS = 1000  # of one figure; more marks are a cloud without readable single points


class Point(NamedTuple):
    """A mark: its place from the left and the top edge in percent, and its numbers in words."""

    left: float
    top: float
    text: str


def points(figure: Figure) -> list[Point]:
    """Return the marks of a figure that is laid out; none if they are more than MOST_POINTS."""
    found = [point for axes in figure.axes for point in _of_axes(axes)]
    return found if len(found) <= MOST_POINTS else []


def _of_axes(axes: Axes) -> Iterator[Point]:
    width, height = axes.figure.bbox.size
    panel = _one_line(axes.get_title(loc="left")) if len(axes.figure.axes) > 1 else ""
    shared = axes.figure.get_supxlabel(), axes.figure.get_supylabel()
    names = [
        _one_line(axis.get_label_text() or other)
        for axis, other in zip((axes.xaxis, axes.yaxis), shared, strict=True)
    ]
    rows = _row_names(axes.xaxis), _row_names(axes.yaxis)
    frame, bar = axes.bbox.padded(1), None
    for mark in axes.get_children():
        if isinstance(mark, LineCollection):
            bar = mark  # belongs to the line that is drawn next
        if not isinstance(mark, Line2D) or mark.get_transform() != axes.transData:
            continue  # not a line, or a rule across the axes
        name = ", ".join(filter(None, [panel * (len(panel) <= SHORT), _name(mark)]))
        line = np.asarray(mark.get_xydata(), dtype=float)
        for x, y in line[:: -(-len(line) // MOST_OF_LINE)]:
            left, top = axes.transData.transform((x, y))
            if frame.contains(left, top):
                numbers = map(_number, rows, names, (x, y))
                text = f"{name}: " * bool(name) + ", ".join(numbers) + _ends(bar, x, y)
                yield Point(round(100 * left / width, 1), round(100 - 100 * top / height, 1), text)


def _name(line: Line2D) -> str:
    name = str(line.get_label())
    return "" if name.startswith("_") else name


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _row_names(axis: Axis) -> dict[float, str]:
    """Return the texts of an axis of named rows by their place; {} for an axis of numbers."""
    if not isinstance(axis.get_major_locator(), FixedLocator):
        return {}
    labels = zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=False)
    return {place: _one_line(its.get_text()) for place, its in labels}


def _number(rows: dict[float, str], name: str, value: float) -> str:
    """Return "MSE 0.412", or the name of the nearest of the rows."""
    if rows:
        row = rows[min(rows, key=lambda place: abs(place - value))]
        if not row.replace(",", "").replace(".", "").isdigit():  # else an axis of numbers
            return row
    return f"{name} {value:.4g}".strip()


def _ends(bar: LineCollection | None, x: float, y: float) -> str:
    """Return the ends of the bar that is drawn through a point, or ""."""
    segments = [] if bar is None else bar.get_segments()
    for first, last in (ends for ends in segments if len(ends) == 2):
        along = int(first[0] == last[0])  # 1: upright
        here, across = ((x, y), (y, x))[along]
        low, high = first[along], last[along]
        if low <= here <= high and abs(first[1 - along] - across) <= 1e-9:
            return f" (95 % {low:.4g} to {high:.4g})"
    return ""
