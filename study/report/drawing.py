"""Drawing that several figures share: lines with bounds, panels, named rows, legends, axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter, NullLocator

from study.report.curves import INTERVAL, VAGUE
from study.report.style import DARK, canvas, is_narrow, label, legend, look, width, wrapped

NOISE_AXIS = "noise factor α"
MSE_AXIS = "MSE (eq. 11)"


def draw_lines(
    axes: Axes,
    data: pd.DataFrame,
    x: str = "noise_factor",
    y: str = "mse",
    looks: Mapping[str, dict] | None = None,
) -> None:
    """Draw one line per series, in `looks` or in the look of its method.

    The columns low and high are drawn as bars if `bounds` is INTERVAL or missing, else as a band; a
    VAGUE series is known to lie in its band, and nothing else is drawn.
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


def draw_named(
    axes: Axes,
    data: pd.DataFrame,
    x: str = "noise_factor",
    y: str = "mse",
    looks: Mapping[str, dict] | None = None,
) -> None:
    """Draw lines, and name them right of the axes in the order of their right ends.

    In a narrow drawing they are named above the panels (style.settle).
    """
    draw_lines(axes, data, x, y, looks)
    if is_narrow():
        return
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    ends = data.sort_values(x).groupby("series")[y].last().sort_values(ascending=False)
    names = [label(name) for name in ends.index]
    shown = [handles[name] for name in names]
    axes.legend(shown, names, loc="upper left", bbox_to_anchor=(1.0, 1.02), labelspacing=0.7)


def multiples(
    data: pd.DataFrame,
    x: str,
    y: str,
    names: tuple[str, str],
    looks: Mapping[str, dict] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Draw lines in small panels, one per model, two in a row, which share y and a legend.

    `names` are those of the axes x and y.
    """
    models = list(data["model"].drop_duplicates())
    columns = min(1 if is_narrow() else 2, len(models))
    rows = -(-len(models) // columns)
    figure, grid = canvas(255 * rows + 70, rows, columns, sharey=True)
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


def named_rows(
    names: Sequence[str], places: Sequence[float], step: float, rest: float = 120
) -> tuple[Figure, Axes]:
    """Return a figure and its axes with one named row per place, from top to bottom.

    A distance of 1 between places is `step` pixels; `rest` pixels are for everything else.
    """
    if is_narrow():
        names = [wrapped(name, 0.36 * width()) for name in names]
        step *= 1 + 0.4 * max(name.count("\n") for name in names)
    figure, [[axes]] = canvas(step * (places[-1] + 1) + rest)
    axes.set_yticks(places, names, parse_math=False)
    axes.set_ylim(places[-1] + 0.6, -0.6)
    axes.grid(False, axis="y")
    return figure, axes


def draw_image(axes: Axes, pixels: pd.DataFrame, colours: tuple[str, float, float]) -> AxesImage:
    """Draw pixels (columns row, column, value) without axes, in a colour map and its two ends."""
    image = pixels.pivot(index="row", columns="column", values="value").to_numpy()
    name, low, high = colours
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set(xticks=[], yticks=[])
    return axes.imshow(image, cmap=name, vmin=low, vmax=high, interpolation="none")


def colour_bar(figure: Figure, shades: AxesImage, name: str) -> None:
    """Put the explanation of the colours of all panels below them."""
    panels = list(figure.axes)
    figure.colorbar(shades, ax=panels, location="bottom", label=name, shrink=0.45, aspect=30)


def name_all(figure: Figure, columns: int = 2) -> None:
    """Put one legend of all panels above them, each name once."""
    if not is_narrow():  # there style.settle does it
        legend(figure, columns)


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


def top(data: pd.DataFrame) -> float:
    """Return the end of an axis of MSE that includes all points and bars."""
    return 1.05 * np.nanmax(data[["mse", "high"]].to_numpy(dtype=float))


def noise_limits(data: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of an axis of noise factors."""
    low, high = data["noise_factor"].min(), data["noise_factor"].max()
    margin = 0.03 * (high - low) or 0.05
    return low - margin, high + margin
