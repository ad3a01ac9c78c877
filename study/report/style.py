"""How figures look: colours, line styles, and the few layouts that all figures share.

Colours are those of Okabe and Ito (2008), which the colour-blind can tell apart; each line also has
a marker or a line style of its own. A method looks the same in every figure. Sizes are in pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
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
    "lines.linewidth": 1.8,  # unless a look has its own
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
    "as-published rerun": (RED, "o", "-"),
    "as-written": (BLUE, "^", "-"),
    "dense-2": (BLUE, "o", "-"),
    "dense-4": (RED, "s", "-"),
    "dense-6": (GREEN, "^", "-"),
    "dense-8": (PINK, "D", "-"),
    "conv": (ORANGE, "X", "-"),
    "identity": (BLACK, "", LONG_DASHES, 1.4),
    "gene mean": (GREY, "", (0, (1, 2))),
    "PCA": (GREY, "", (0, (6, 2, 1, 2)), 1.4),
    "PCA with gain": (GREY, "", (0, (6, 2, 1, 2, 1, 2)), 1.4),
    "Wiener": (BLACK, "", (0, (2, 1.2)), 1.4),
    MIXTURE: (BLACK, "", (0, (4, 1, 1, 1))),
    "oracle": (BLACK, "", "-", 1.0),
    "as-published": (BLACK, "s", "-"),
    "fresh network per level": (RED, "o", "-"),
    "linear output": (BLUE, "^", "-"),
    "Adam to convergence": (GREEN, "D", "-"),
    "scaled on training rows": (ORANGE, "v", (0, (4, 2)), 1.5),
    "two code layers": (PINK, "X", "-"),
    "one image per sample": (SKY, "P", "-"),
    "networks": (BLUE, "o", "-"),
    "a network for each": (BLUE, "^", "-"),
    "one network for all": (RED, "o", "-"),
    "one that is told the noise": (GREEN, "s", "-"),
    "no term": (BLACK, "", "--", 1.4),
    "L1": (ORANGE, "X", "-"),
    "test": (BLUE, "o", "-"),
    "train": (RED, "s", (0, (4, 2))),
}
_OTHERS = [
    (colour, marker, line)
    for line in ("-", (0, (4, 2)))
    for colour, marker in ((BLUE, "o"), (RED, "s"), (GREEN, "^"), (PINK, "D"), (SKY, "P"))
]
_LABELS = {"identity": "input left alone, α²", "oracle": "oracle, best possible"}


def _style(look: tuple) -> dict:
    names = ("color", "marker", "linestyle", "linewidth", "markersize")
    return dict(zip(names, look, strict=False))


def look(method: str) -> dict:
    """Return the keyword arguments of `Axes.plot` for a network, reference or item by its name."""
    return _style(_LOOKS.get(method, (GREY, ".", "-", 1.2)))


def looks_of(names: Sequence[str]) -> dict[str, dict]:
    """Return a look for each of a few names that have none of their own, in their order."""
    return {name: _style(_OTHERS[i % len(_OTHERS)]) for i, name in enumerate(names)}


def label(name: str) -> str:
    """Return the name of a series for a reader."""
    return _LABELS.get(name, name)


def canvas(height: float, rows: int = 1, columns: int = 1, **options) -> tuple[Figure, np.ndarray]:
    """Return an empty figure and its (rows, columns) axes; options as of Figure.subplots."""
    foot, pad = FOOT / height, PAD / DPI
    layout = ConstrainedLayoutEngine(rect=(0, foot, 1, 1 - foot), h_pad=pad, w_pad=pad)
    figure = Figure((WIDTH / DPI, height / DPI), DPI, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def settle(figure: Figure) -> None:
    """Lay the figure out for good, rounded: the solver's last digits differ from call to call."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = np.round(axes.get_position(original=True).bounds, 4)
        axes.set_position((left, bottom, width, height))
    for text in figure.texts:
        x, y = text.get_position()
        text.set_position((round(float(x), 4), round(float(y), 4)))


def draw_lines(
    axes: Axes,
    data: pd.DataFrame,
    x: str = "noise_factor",
    y: str = "mse",
    looks: Mapping[str, dict] | None = None,
) -> list[str]:
    """Draw one line per series, in `looks` or in the look of its method; return the names.

    The columns low and high are drawn as bars if `bounds` is INTERVAL or missing, else as a band;
    a VAGUE series is known to lie in its band, and nothing else is drawn. Names are in the order of
    the lines' right ends, from top to bottom.
    """
    for series, points in data.groupby("series", sort=False):
        points = points.sort_values(x)
        style = looks[series] if looks else look(points["method"].iloc[0])
        bounds = points["bounds"].iloc[0] if "bounds" in points else INTERVAL
        at, value = points[x].to_numpy(dtype=float), points[y].to_numpy(dtype=float)
        ends = points.get("low", points[y] * np.nan), points.get("high", points[y] * np.nan)
        low, high = (end.to_numpy(dtype=float) for end in ends)
        name, colour = label(series), style["color"]
        if bounds == VAGUE:
            axes.fill_between(at, low, high, color=colour, alpha=0.25, linewidth=0, label=name)
            continue
        if bounds == INTERVAL:
            axes.vlines(at, low, high, color=colour, linewidth=3.2, alpha=0.35)
        elif np.isfinite(low).any():
            axes.fill_between(at, low, high, color=colour, alpha=0.13, linewidth=0)
        axes.plot(at, value, markeredgecolor="white", markeredgewidth=0.7, label=name, **style)
    ends = data.sort_values(x).groupby("series")[y].last()
    return [label(name) for name in ends.sort_values(ascending=False).index]


def multiples(
    data: pd.DataFrame,
    x: str,
    y: str,
    names: tuple[str, str],
    looks: Mapping[str, dict] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Draw lines in one small panel per model, two in a row, which share y and a legend.

    `names` are those of the axes x and y.
    """
    models = list(data["model"].drop_duplicates())
    rows = (len(models) + 1) // 2
    figure, grid = canvas(255 * rows + 70, rows, min(2, len(models)), sharey=True)
    panels, rest = grid.flat[: len(models)], grid.flat[len(models) :]
    for axes in rest:
        axes.remove()
    for model, axes in zip(models, panels, strict=True):
        axes.set_title(model)
        draw_lines(axes, data[data["model"] == model], x, y, looks)
    figure.supxlabel(names[0])
    figure.supylabel(names[1])
    name_all(figure)
    return figure, list(panels)


def named_rows(names: Sequence[str], places: Sequence[float], step: float, rest: float = 120):
    """Return a figure and its axes with one named row per place, from top to bottom.

    A distance of 1 between places is `step` pixels; `rest` pixels are for all else.
    """
    figure, [[axes]] = canvas(step * (places[-1] + 1) + rest)
    axes.set_yticks(places, names, parse_math=False)
    axes.set_ylim(places[-1] + 0.6, -0.6)
    axes.grid(False, axis="y")
    return figure, axes


def draw_named(
    axes: Axes,
    data: pd.DataFrame,
    x: str = "noise_factor",
    y: str = "mse",
    expected: Sequence[str] = (),
    looks: Mapping[str, dict] | None = None,
) -> None:
    """Draw lines and name them right of the axes; the `expected` ones in grey if missing."""
    order = draw_lines(axes, data, x, y, looks)
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    absent = [f"{n}:\nnot in these runs" for n in expected if n not in set(data["series"])]
    shown = [handles[name] for name in order] + [Line2D([], [], linestyle="")] * len(absent)
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
    """Make the y axis one of changes around 0: "+5 %"."""
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
