"""How figures look: colours, line styles, fonts and the empty figure. Sizes are in pixels.

Colours are those of Okabe and Ito (2008), which the colour-blind can tell apart; each line also has
a marker or a line style of its own. A method looks the same in every figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from study.evidence.evidence import MIXTURE

DPI = 96
WIDTH = 640
FOOT = 12  # pixels kept free at the bottom, for the stamp
PAD = 7  # pixels around each panel
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, RED, PINK = "#0072B2", "#D55E00", "#CC79A7"
DARK, GREY, PALE = "#222222", "#6B6B6B", "#D9D9D9"
LONG_DASHES = (0, (6, 3))

RC: Any = {
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
    "text.hinting": "no_hinting",  # texts are as wide at any resolution: no label is cut
    "svg.hashsalt": "dae-study",  # the same drawing gives the same bytes
    "svg.fonttype": "path",  # the same picture on a machine with other fonts
}

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


def _style(look: tuple) -> dict[str, Any]:
    names = ("color", "marker", "linestyle", "linewidth", "markersize")
    return dict(zip(names, look, strict=False))


def look(method: str, **changes: Any) -> dict[str, Any]:
    """Return the keyword arguments of `Axes.plot` for a network, reference or item by its name."""
    return _style(_LOOKS.get(method, (GREY, ".", "-", 1.2))) | changes


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
