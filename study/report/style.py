"""The look of figures: colours, line styles, fonts and the empty figure. Sizes are in pixels.

Colours are those of Okabe and Ito (2008), distinct for the colour-blind; each line also has
a marker or a line style of its own. A method looks the same in every figure.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text

from study.evidence.evidence import MIXTURE

DPI = 96
WIDTH, NARROW = 640, 350  # of a drawing for a screen, and of that for a telephone
LETTER = 6.0  # pixels: the mean width of a letter in a narrow drawing
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

#: Smaller sizes for a narrow drawing, in which letters are at least 11 pixels high.
NARROW_RC: Any = {
    "font.size": 8.8,
    "axes.titlesize": 9,
    "figure.labelsize": 8.8,
    "legend.fontsize": 8.5,
    "legend.handlelength": 2.2,
    "lines.markersize": 5,
}
_width: ContextVar[int] = ContextVar("width", default=WIDTH)
_beside: ContextVar[frozenset[str]] = ContextVar("beside", default=frozenset())

# method: colour, marker, line style, line width, and marker size if it differs
_LOOKS = {
    "published": (BLACK, "s", "-", 1.8, 8),
    "published, Fig. 4": (BLACK, "s", "-", 1.8, 8),
    "published, Figs. 6–9": (GREY, "D", (0, (4, 2)), 1.4, 8),
    "as-published rerun": (RED, "o", "-"),
    "as-published rerun, 50 epochs": (ORANGE, "P", (0, (4, 2))),
    "as-written": (BLUE, "^", "-"),
    "as its scripts ran": (RED, "o", "-"),
    "as its text says": (BLUE, "^", "-"),
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
    "fresh noise every epoch": (SKY, "P", "-"),
    "noisy input": (PINK, "X", "-"),
    "networks": (BLUE, "o", "-"),
    "a network for each": (BLUE, "^", "-"),
    "one network for all": (RED, "o", "-"),
    "one that is told the noise": (GREEN, "s", "-"),
    "no term": (BLACK, "", "--", 1.4),
    "L1": (ORANGE, "X", "-"),
    "test": (BLUE, "o", "-"),
    "train": (RED, "s", (0, (4, 2))),
    "validation": (BLUE, "o", "-"),
    "train, 50 epochs": (PINK, "s", (0, (4, 2))),
    "validation, 50 epochs": (SKY, "o", "-"),
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
    """Return looks for a few names that have no look of their own.

    In a panel they depend on the names of all panels, not on the order in which it has them.
    """
    every = sorted({*names, *_beside.get()}) if _beside.get() else list(names)
    if len(every) > len(_OTHERS):  # then two of this panel could get one look
        every = sorted(names)
    looks = {name: _style(_OTHERS[i % len(_OTHERS)]) for i, name in enumerate(every)}
    return {name: looks[name] for name in names}


def label(name: str) -> str:
    """Return the name of a series for a reader."""
    return _LABELS.get(name, name)


@contextmanager
def drawing(width: int, beside: frozenset[str] = frozenset()) -> Iterator[None]:
    """Set the width, in pixels, and suitable letters for figures that are drawn in this context.

    `beside` holds the series of all panels of a figure (looks_of).
    """
    tokens = _width.set(width), _beside.set(beside)
    try:
        with matplotlib.rc_context(RC | (NARROW_RC if is_narrow() else {})):
            yield
    finally:
        _width.reset(tokens[0])
        _beside.reset(tokens[1])


def width() -> int:
    """Return the width of the present drawing, in pixels."""
    return _width.get()


def is_narrow() -> bool:
    """Whether a drawing for a telephone is being made."""
    return width() < WIDTH


def canvas(height: float, rows: int = 1, columns: int = 1, **options) -> tuple[Figure, np.ndarray]:
    """Return an empty figure and its (rows, columns) axes; options as of Figure.subplots."""
    pad = PAD / DPI
    layout = ConstrainedLayoutEngine(h_pad=pad, w_pad=pad)
    figure = Figure((width() / DPI, height / DPI), DPI, facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def taller(figure: Figure, pixels: float) -> None:
    """Give a figure more height."""
    figure.set_figheight(figure.get_figheight() + pixels / DPI)


def wrapped(text: str, pixels: float) -> str:
    """Break a text of a narrow drawing into lines of about that width."""
    return "\n".join(textwrap.wrap(text, max(8, int(pixels / LETTER))))


def settle(figure: Figure) -> None:
    """Lay the figure out finally, rounded, since the solver's last digits differ between calls.

    A narrow drawing gets its legend here, and lines that are short enough.
    """
    if is_narrow():
        _break_lines(figure)
        legend(figure)
    foot = FOOT / DPI / figure.get_figheight()
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(rect=(0, foot, 1, 1 - foot))
        engine.execute(figure)
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, bottom, width, height = np.round(axes.get_position(original=True).bounds, 4)
        axes.set_position((left, bottom, width, height))
    for text in figure.texts:
        x, y = text.get_position()
        if text.get_text() and text.get_text() == figure.get_supxlabel():
            y += foot  # the engine leaves it below the space for the stamp
        text.set_position((round(float(x), 4), round(float(y), 4)))


def legend(figure: Figure, columns: int | None = None) -> None:
    """Put one legend of all panels above them, each name once; without `columns` as many as fit."""
    handles: dict = {}
    for axes in (axes for axes in figure.axes if axes.get_legend() is None):
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    if not handles:
        return
    if columns is None:
        # A column is a line and a name, 39 pixels more and, except for the last, a gap of 23.
        columns = max(1, int((width() + 23) / (LETTER * max(map(len, handles)) + 39 + 23)))
        taller(figure, 19 * -(-len(handles) // columns))
    figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=columns)


def _break_lines(figure: Figure) -> None:
    """Break long titles and names of axes, so that none is cut at the edge."""
    for axes in figure.axes:
        texts = [child for child in axes.get_children() if isinstance(child, Text)]
        for text in (*texts, axes.xaxis.label):
            if "\n" not in text.get_text():
                text.set_text(wrapped(text.get_text(), 0.8 * width()))
