"""The pictures of the check: a tidy frame in, a matplotlib Figure out."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from study.report.style import BLUE, DARK, ORANGE, RED, canvas

BINS = 40


def _histogram(values: pd.Series, colour: str, xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    figure, [[axes]] = canvas(330)
    axes.hist(values, bins=BINS, color=colour)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    return figure, axes


def draw_change(data: pd.DataFrame) -> Figure:
    """Histogram over genes of the root mean square change."""
    change = "root mean square change of a gene, in its training standard deviation"
    figure, axes = _histogram(data["change"], BLUE, change, "genes")
    axes.set_xlim(0, None)
    return figure


def draw_noise(data: pd.DataFrame) -> Figure:
    """Histogram over samples of the noise estimate, with the noise factor that was used."""
    figure, axes = _histogram(
        data["noise"], ORANGE, "noise factor of a sample by itself", "samples"
    )
    used = data["used"].iloc[0]
    axes.axvline(
        used, color=DARK, linewidth=1.5, linestyle=(0, (6, 3)), label=f"used for all: {used:.3g}"
    )
    axes.legend(loc="upper right", frameon=False)
    axes.set_xlim(0, None)
    return figure


def draw_distances(data: pd.DataFrame) -> Figure:
    """A mark a sample: distance among the leading directions against energy outside, and the limits of both."""
    figure, [[axes]] = canvas(470)
    for unlike, colour, marker, name in (
        (False, BLUE, "o", "like the training data"),
        (True, RED, "X", "unlike them"),
    ):
        rows = data[data["unlike"] == unlike]
        if len(rows):
            size = 5 if len(data) < 2000 else 3
            label = f"{name} ({len(rows):,})"
            axes.plot(
                rows["inside"],
                rows["outside"],
                marker,
                color=colour,
                markersize=size,
                alpha=0.6,
                label=label,
            )
    limits = data[["limit_inside", "limit_outside"]].iloc[0]
    axes.axvline(limits.iloc[0], color=DARK, linewidth=1.2, linestyle=(0, (6, 3)))
    axes.axhline(limits.iloc[1], color=DARK, linewidth=1.2, linestyle=(0, (6, 3)))
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set(
        xlabel="distance in the leading directions (1: as the training data)",
        ylabel="energy outside them",
    )
    for axis, column in ((axes.xaxis, "inside"), (axes.yaxis, "outside")):
        low, high = np.nanmin(data[column]), np.nanmax(data[column])
        low, high = min(low, 0.5), max(high, 2.0)
        axis.axes.set(**{f"{axis.axis_name}lim": (low / 1.2, high * 1.2)})
    axes.legend(loc="lower right", framealpha=0.8)
    return figure
