"""How figures look: colours, line styles, and the few layouts that all figures share.

Colours are those of Okabe and Ito (2008), which the colour-blind can tell apart; each line also has a
marker or a line style of its own. A method looks the same in every figure. Sizes are in CSS pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, islice

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from study.evidence.evidence import MIXTURE

DPI = 96
WIDTH = 640
FOOT = 12  # pixels kept free at the bottom, for the stamp
PAD = 7  # pixels around each panel
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, RED, PINK = "#0072B2", "#D55E00", "#CC79A7"
DARK, GREY, PALE = "#222222", "#6B6B6B", "#D9D9D9"
LONG_DASHES = (0, (6, 3))

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
    "figure.labelsize": 10,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "text.color": DARK,
    "xtick.color": DARK,
    "ytick.color": DARK,
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
    "svg.hashsalt": "dae-study",  # the same drawing gives the same bytes
    "svg.fonttype": "path",  # the same picture on a machine with other fonts
}

#: What `bounds` of a series says: an interval is drawn as bars, another bound as a band.
INTERVAL = "95 % interval over seeds"
VAGUE = "only known to be about 1"

# method: colour, marker, line style, line width, and marker size if it differs
_LOOKS = {
    "published": (BLACK, "s", "-", 1.8, 8),
    "published, Fig. 4": (BLACK, "s", "-", 1.8, 8),
    "published, Figs. 6–9": (GREY, "D", (0, (4, 2)), 1.4, 8),
    "as-published rerun": (RED, "o", "-", 1.8),
    "as-written": (BLUE, "^", "-", 1.8),
    "dense-2": (BLUE, "o", "-", 1.8),
    "dense-4": (RED, "s", "-", 1.8),
    "dense-6": (GREEN, "^", "-", 1.8),
    "dense-8": (PINK, "D", "-", 1.8),
    "conv": (ORANGE, "X", "-", 1.8),
    "identity": (BLACK, "", LONG_DASHES, 1.4),
    "gene mean": (GREY, "", (0, (1, 2)), 1.8),
    "PCA": (GREY, "", (0, (6, 2, 1, 2)), 1.4),
    "PCA with gain": (GREY, "", (0, (6, 2, 1, 2, 1, 2)), 1.4),
    "Wiener": (BLACK, "", (0, (2, 1.2)), 1.4),
    MIXTURE: (BLACK, "", (0, (4, 1, 1, 1)), 1.8),
    "oracle": (BLACK, "", "-", 1.0),
    "as-published": (BLACK, "s", "-", 1.8),
    "fresh network per level": (RED, "o", "-", 1.8),
    "linear output": (BLUE, "^", "-", 1.8),
    "Adam to convergence": (GREEN, "D", "-", 1.8),
    "scaled on training rows": (ORANGE, "v", (0, (4, 2)), 1.5),
    "two code layers": (PINK, "X", "-", 1.8),
    "one image per sample": (SKY, "P", "-", 1.8),
    "networks": (BLUE, "o", "-", 1.8),
    "a network for each": (BLUE, "^", "-", 1.8),
    "one network for all": (RED, "o", "-", 1.8),
    "one that is told the noise": (GREEN, "s", "-", 1.8),
    "no term": (BLACK, "", "--", 1.4),
    "L1": (ORANGE, "X", "-", 1.8),
    "test": (BLUE, "o", "-", 1.8),
    "train": (RED, "s", (0, (4, 2)), 1.8),
}
_LABELS = {"identity": "input left alone, α²", "oracle": "oracle, best possible"}
_CYCLE = [
    (colour, marker, line, 1.8)
    for line in ("-", (0, (4, 2)))
    for colour, marker in ((BLUE, "o"), (RED, "s"), (GREEN, "^"), (PINK, "D"), (SKY, "P"))
]


def _style(look: tuple) -> dict:
    return dict(
        zip(("color", "marker", "linestyle", "linewidth", "markersize"), look, strict=False)
    )


def look(method: str) -> dict:
    """Return the keyword arguments of `Axes.plot` for a network, reference or item by its exact name."""
    return _style(_LOOKS.get(method, (GREY, ".", "-", 1.2)))


def looks_of(names: Sequence[str]) -> dict[str, dict]:
    """Return a look for each of a few names that have none of their own, in their order."""
    return dict(zip(names, map(_style, islice(cycle(_CYCLE), len(names))), strict=True))


def label(name: str) -> str:
    """Return the name of a series for a reader."""
    return _LABELS.get(name, name)


def canvas(height: float, rows: int = 1, columns: int = 1, **options) -> tuple[Figure, np.ndarray]:
    """Return an empty white figure and its (rows, columns) axes; options as of Figure.subplots."""
    figure = Figure(
        figsize=(WIDTH / DPI, height / DPI), dpi=DPI, facecolor="white", layout="constrained"
    )
    FigureCanvasAgg(figure)
    foot = FOOT / height
    figure.get_layout_engine().set(rect=(0, foot, 1, 1 - foot), h_pad=PAD / DPI, w_pad=PAD / DPI)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def settle(figure: Figure) -> None:
    """Lay the figure out for good; rounded, as the solver's last digits differ from call to call."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = axes.get_position(original=True).bounds
        axes.set_position([round(side, 4) for side in (left, bottom, width, height)])
    for text in figure.texts:
        text.set_position([round(float(place), 4) for place in text.get_position()])


def multiples(names: pd.Series, **options) -> tuple[Figure, dict[str, Axes]]:
    """Return a figure with small panels, one for each distinct name, two in a row; all share y."""
    distinct = list(names.dropna().drop_duplicates())
    rows = (len(distinct) + 1) // 2
    figure, grid = canvas(255 * rows + 70, rows, min(2, len(distinct)), sharey=True, **options)
    for axes in grid.flat[len(distinct) :]:
        axes.remove()
    panels = dict(zip(distinct, grid.flat, strict=False))
    for name, axes in panels.items():
        axes.set_title(name)
    return figure, panels


def draw_series(
    axes: Axes, points: pd.DataFrame, style: Mapping, x: str = "noise_factor", y: str = "mse"
) -> None:
    """Draw one line in the order of x: the interval over seeds as bars, another bound as a band.

    Draw the band only if all that is known of the line is that it lies there. `points` has the columns
    x, y, low and high, and `bounds` if its bounds are not an interval over seeds.
    """
    points = points.sort_values(x)
    bounds = points["bounds"].iloc[0] if "bounds" in points else INTERVAL
    at, value, low, high = (points[name].to_numpy(dtype=float) for name in (x, y, "low", "high"))
    name = label(points["series"].iloc[0])
    if bounds == VAGUE:
        axes.fill_between(at, low, high, color=style["color"], alpha=0.25, linewidth=0, label=name)
        return
    if bounds == INTERVAL:
        axes.vlines(at, low, high, color=style["color"], linewidth=3.2, alpha=0.35)
    elif np.isfinite(low).any():
        axes.fill_between(at, low, high, color=style["color"], alpha=0.13, linewidth=0)
    axes.plot(at, value, markeredgecolor="white", markeredgewidth=0.7, label=name, **style)


def draw_lines(
    axes: Axes, data: pd.DataFrame, x: str = "noise_factor", y: str = "mse"
) -> list[str]:
    """Draw every series of a frame in the look of its method; return the names, highest end first."""
    for _, points in data.groupby("series", sort=False):
        draw_series(axes, points, look(points["method"].iloc[0]), x, y)
    ends = data.sort_values(x).groupby("series")[y].last()
    return [label(name) for name in ends.sort_values(ascending=False).index]


def name_lines(axes: Axes, order: Sequence[str], missing: Sequence[str] = ()) -> None:
    """Put a legend right of the axes in the given order; below, in grey, the `missing` series."""
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    shown = [handles[name] for name in order]
    absent = [f"{name}:\nnot in these runs" for name in missing]
    shown += [Line2D([], [], linestyle="")] * len(absent)
    legend = axes.legend(
        shown, [*order, *absent], loc="upper left", bbox_to_anchor=(1.0, 1.02), labelspacing=0.7
    )
    for text in legend.get_texts()[len(order) :]:
        text.set(color=GREY, style="italic", fontsize=9)


def name_all(figure: Figure, columns: int = 2) -> None:
    """Put one legend of all panels above them, each name once."""
    handles: dict = {}
    for axes in figure.axes:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=columns)


def in_percent(axes: Axes) -> None:
    """Make the y axis one of shares around 0: "+5 %"."""
    axes.axhline(0, color=DARK, linewidth=1.2, zorder=1.5)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: _percent(share)))


def _percent(share: float) -> str:
    text = f"{round(100 * share, 9):+g} %".replace("-", "−")
    return text[1:] if share == 0 else text


def log_axis(axes: Axes, which: str, ticks: Sequence[float]) -> None:
    """Make one axis logarithmic, with plain numbers at those of `ticks` that it has room for."""
    axis = getattr(axes, f"{which}axis")
    axes.set(**{f"{which}scale": "log"})
    low, high = axis.get_view_interval()
    shown = [tick for tick in ticks if low <= tick <= high]
    axis.set_ticks(shown, labels=[f"{tick:,g}" for tick in shown])
    axis.set_minor_locator(NullLocator())
    axes.set(**{f"{which}lim": (low, high)})
