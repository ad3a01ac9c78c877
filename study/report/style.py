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
    "Wiener mixture": (BLACK, "", (0, (4, 1, 1, 1)), 1.8),
    "oracle": (BLACK, "", "-", 1.0),
    "as-published": (BLACK, "s", "-", 1.8),
    "fresh network per level": (RED, "o", "-", 1.8),
    "linear output": (BLUE, "^", "-", 1.8),
    "Adam to convergence": (GREEN, "D", "-", 1.8),
    "scaled on training rows": (ORANGE, "v", (0, (4, 2)), 1.5),
    "two code layers": (PINK, "X", "-", 1.8),
    "one image per sample": (SKY, "P", "-", 1.8),
}
#: What `bounds` of a series say where its height is not known.
VAGUE = "only known to be about 1"
LABELS = {"identity": "input left alone, α²", "oracle": "oracle, best possible"}


def look(name: str) -> dict:
    """Keyword arguments of `Axes.plot` for a network, reference or item; "PCA 32" looks as "PCA"."""
    plain = name.rstrip("0123456789 ") if name.startswith("PCA") else name
    known = _LOOKS.get(plain) or _LOOKS.get(plain.partition(",")[0])
    colour, marker, line, width = known or (GREY, ".", "-", 1.2)
    size = 8 if name.startswith("published") else 6  # seen behind a rerun that falls on it
    return {
        "color": colour,
        "marker": marker,
        "linestyle": line,
        "linewidth": width,
        "markersize": size,
    }


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
    return figure.add_axes(
        (left / whole_width, bottom / whole_height, width / whole_width, height / whole_height)
    )


def draw_series(axes: Axes, points: pd.DataFrame, x: str = "noise_factor", y: str = "mse") -> None:
    """One line, in the order of x: the interval over seeds as bars, other bounds as a band.

    The band alone where the line is only known to lie in it.
    """
    points = points.sort_values(x)
    style, bounds = look(points["series"].iloc[0]), points["bounds"].iloc[0]
    at, value, low, high = (points[name].to_numpy(dtype=float) for name in (x, y, "low", "high"))
    if bounds == VAGUE:
        axes.fill_between(at, low, high, color=style["color"], alpha=0.25, linewidth=0)
        return
    if bounds.startswith("95 %"):
        axes.vlines(at, low, high, color=style["color"], linewidth=3.2, alpha=0.35)
    elif np.isfinite(low).any():
        axes.fill_between(at, low, high, color=style["color"], alpha=0.13, linewidth=0)
    axes.plot(at, value, markeredgecolor="white", markeredgewidth=0.7, **style)


def end_labels(
    axes: Axes,
    ends: Mapping[str, tuple[float, float]],
    gap: float = 15,
    missing: Sequence[str] = (),
):
    """Names at the right of the axes, joined to their lines' ends (x, y); those `missing` stand below them in grey.

    Names are `gap` pixels apart, within the height of the axes where there is room. The axes' limits must be final.
    """
    box, inverse = axes.get_window_extent(), axes.transAxes.inverted()
    names = sorted(ends, key=lambda name: ends[name][1])
    starts = np.array([axes.transData.transform(ends[name]) for name in names]).reshape(-1, 2)
    starts = starts.clip((box.x0, box.y0), (box.x1, box.y1))
    heights = spread(starts[:, 1], gap, box.y0 + 2 * gap * len(missing), box.y1)
    for name, (x, y), height in zip(names, starts, heights, strict=True):
        colour = look(name)["color"]
        for line, dots in (
            ([(x, y), (box.x1 + 4, y)], ":"),
            ([(box.x1 + 4, y), (box.x1 + 16, height)], "-"),
        ):
            xs, ys = inverse.transform(line).T
            axes.plot(
                xs,
                ys,
                dots,
                transform=axes.transAxes,
                color=colour,
                linewidth=0.9,
                clip_on=False,
                alpha=0.8,
            )
        place = inverse.transform((box.x1 + 20, height))
        axes.text(*place, label(name), transform=axes.transAxes, va="center", fontsize=9.5)
    for i, name in enumerate(missing):
        place, text = (
            inverse.transform((box.x1 + 20, box.y0 + 2 * gap * i)),
            f"{name}:\nnot in these runs",
        )
        axes.text(
            *place,
            text,
            transform=axes.transAxes,
            va="center",
            fontsize=9,
            color=GREY,
            style="italic",
        )


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> np.ndarray:
    """Ascending heights nearest to `wanted`, `gap` apart, and within low and high where there is room."""
    base = gap * np.arange(len(wanted))
    free = isotonic_regression(np.asarray(wanted, dtype=float) - base).x
    return np.clip(free, low, max(low, high - base[-1])) + base
