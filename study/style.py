"""How figures look: colours that the colour-blind can tell apart, with markers and line styles of their own.

Colours are those of Okabe and Ito (2008). A name always looks the same, in whatever figure. Sizes are in CSS pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.optimize import isotonic_regression

DPI = 96
WIDTH = 640
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, RED, PINK = "#0072B2", "#D55E00", "#CC79A7"
DARK, GREY, PALE = "#222222", "#6B6B6B", "#D9D9D9"

RC = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.edgecolor": GREY,
    "axes.labelcolor": DARK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "text.color": DARK,
    "xtick.color": DARK,
    "ytick.color": DARK,
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
    "svg.hashsalt": "dae-study",  # the same drawing gives the same bytes
    "svg.fonttype": "path",  # the same picture on a machine with other fonts
}

# name: colour, marker, line style, line width
_LOOKS = {
    "published": (BLACK, "s", "-", 1.8),
    "published, Fig. 4": (BLACK, "s", "-", 1.8),
    "published, Figs. 6–9": (GREY, "D", (0, (4, 2)), 1.4),
    "as-published rerun": (RED, "o", "-", 1.8),
    "as-written": (BLUE, "^", "-", 1.8),
    "dense-2": (BLUE, "o", "-", 1.8),
    "dense-4": (RED, "s", "-", 1.8),
    "dense-6": (GREEN, "^", "-", 1.8),
    "dense-8": (PINK, "D", "-", 1.8),
    "conv": (ORANGE, "X", "-", 1.8),
    "identity": (BLACK, "", (0, (6, 3)), 1.4),
    "gene mean": (GREY, "", (0, (1, 2)), 1.8),
    "PCA": (GREY, "", (0, (6, 2, 1, 2)), 1.4),
    "PCA with gain": (GREY, "", (0, (6, 2, 1, 2, 1, 2)), 1.4),
    "Wiener": (BLACK, "", (0, (2, 1.2)), 1.4),
    "oracle": (BLACK, "", "-", 1.0),
    "as-published": (BLACK, "s", "-", 1.8),
    "fresh network per level": (RED, "o", "-", 1.8),
    "linear output": (BLUE, "^", "-", 1.8),
    "Adam to convergence": (GREEN, "D", "-", 1.8),
    "scaled on training rows": (ORANGE, "v", (0, (4, 2)), 1.5),
    "two code layers": (PINK, "X", "-", 1.8),
    "one image per sample": (SKY, "P", "-", 1.8),
}
LABELS = {"identity": "input left alone, α²", "oracle": "oracle, best possible"}


def look(name: str) -> dict:
    """Keyword arguments of `Axes.plot` for a network, reference or item; "PCA 32" looks as "PCA"."""
    plain = name.rstrip("0123456789 ") if name.startswith("PCA") else name
    known = _LOOKS.get(plain) or _LOOKS.get(plain.partition(",")[0])
    colour, marker, line, width = known or (GREY, ".", "-", 1.2)
    return {"color": colour, "marker": marker, "linestyle": line, "linewidth": width}


def label(name: str) -> str:
    """The name for a reader."""
    return LABELS.get(name, name)


def canvas(height: float, width: float = WIDTH) -> Figure:
    """An empty white figure."""
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def panel(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes with their upper left corner at (left, top) of the figure."""
    whole_width, whole_height = figure.get_size_inches() * DPI
    bottom = whole_height - top - height
    return figure.add_axes((left / whole_width, bottom / whole_height, width / whole_width, height / whole_height))


def draw_series(axes: Axes, points: pd.DataFrame, x: str = "noise_factor", y: str = "mse") -> None:
    """One line: the interval over seeds as bars, any other bounds as a band; no line to or from a missing point."""
    points = points.sort_values(x)
    style = look(points["series"].iloc[0])
    low, high = (points[name].to_numpy(dtype=float) for name in ("low", "high"))
    at, value = points[x].to_numpy(dtype=float), points[y].to_numpy(dtype=float)
    if points["bounds"].iloc[0].startswith("95 %"):
        bounded = np.isfinite(low)
        axes.vlines(at[bounded], low[bounded], high[bounded], color=style["color"], linewidth=3.2, alpha=0.35)
    elif np.isfinite(low).any():
        axes.fill_between(at, low, high, color=style["color"], alpha=0.13, linewidth=0)
    axes.plot(at, value, markeredgecolor="white", markeredgewidth=0.7, **style)


def end_labels(axes: Axes, ends: Mapping[str, tuple[float, float]], gap: float = 15, missing: tuple[str, ...] = ()):
    """Names at the right of the axes, each joined to its line's end (x, y) in data; `missing` stand below them in grey.

    Labels keep `gap` pixels between them and stay within the height of the axes where there is room.
    """
    names = sorted(ends, key=lambda name: ends[name][1])
    to_pixels = axes.transData.transform
    box = axes.get_window_extent()
    wanted = [np.clip(to_pixels(ends[name])[1], box.y0, box.y1) for name in names]
    floor = box.y0 + gap * len(missing)
    for name, height in zip(names, spread(wanted, gap, floor, box.y1), strict=True):
        start = to_pixels(ends[name])
        start = (max(start[0], box.x0), np.clip(start[1], box.y0, box.y1))
        line = [start, (box.x1 + 4, start[1]), (box.x1 + 16, height)]
        xs, ys = zip(*axes.transAxes.inverted().transform(line), strict=True)
        style = look(name)
        axes.plot(xs, ys, transform=axes.transAxes, color=style["color"], linewidth=0.8, clip_on=False, alpha=0.7)
        place = axes.transAxes.inverted().transform((box.x1 + 20, height))
        axes.text(*place, label(name), transform=axes.transAxes, va="center", fontsize=9.5)
    for i, text in enumerate(missing):
        place = axes.transAxes.inverted().transform((box.x1 + 20, box.y0 + gap * (len(missing) - 1 - i)))
        axes.text(*place, text, transform=axes.transAxes, va="center", fontsize=8.5, color=GREY, style="italic")


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> np.ndarray:
    """Ascending heights nearest to `wanted` (least squares) that are `gap` apart, and within low and high where they fit."""
    base = gap * np.arange(len(wanted))
    free = isotonic_regression(np.asarray(wanted, dtype=float) - base).x
    return np.clip(free, low, max(low, high - base[-1])) + base
