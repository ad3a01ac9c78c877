"""The drawings of the report's figures: a tidy frame in (curves.py, breakdown.py), a matplotlib Figure out."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.ticker import PercentFormatter

from study.report.curves import CLEAN, NOISY, PRINTED
from study.report.style import (
    BLUE,
    DARK,
    GREY,
    ORANGE,
    PALE,
    RED,
    WIDTH,
    canvas,
    draw_series,
    end_labels,
    label,
    look,
    panel,
)

LEFT, LABELS = 80, 182  # pixels left of the axes, and right of them for the names
NOISE_AXIS = "noise factor α"
MSE_AXIS = "MSE (eq. 11)"
TITLES = {
    PRINTED: "As the paper prints it: MSE divided by n",
    CLEAN: "Measured as the paper did: clean training rows in",
    NOISY: "As a denoiser: noisy test rows in",
}
BLOCKS = {"input": PALE, "conv": BLUE, "pool": GREY, "up": RED}  # colour of what a block does
NAMES = {"input": "input", "conv": "conv 3×3", "pool": "max-pool 2", "up": "upsample 2"}
MARKS = {
    "PCA": "|",
    "Wiener": "o",
    "Wiener mixture": "+",
    "oracle": "*",
}  # of references where there is no line
EXPECTED = {
    PRINTED: ("published", "as-published rerun"),
    CLEAN: ("published", "as-published rerun"),
    NOISY: ("as-written",),
}


def draw_kl(data: pd.DataFrame) -> Figure:
    """Fig. 1."""
    figure = canvas(360)
    axes = panel(figure, LEFT, 20, WIDTH - LEFT - 25, 280)
    axes.plot(data["mean_activation"], data["kl"], color=BLUE)
    rho = data["mean_activation"][data["kl"].idxmin()]
    axes.plot([rho], [0], marker="o", color=RED, markersize=8, clip_on=False, zorder=5)
    axes.annotate(
        f"0 at ρ = {rho:g}",
        (rho, 0),
        (rho + 0.03, 0.45),
        arrowprops={"arrowstyle": "-", "color": GREY},
    )
    axes.set(
        xlabel="mean activation of a hidden unit", ylabel=f"KL({rho:g} ‖ mean activation), nats"
    )
    axes.set(xlim=(0, 1), ylim=(0, None))
    return figure


def draw_network(data: pd.DataFrame) -> Figure:
    """Fig. 3: encoder in the upper row, left to right; decoder in the lower row, right to left."""
    n_columns = (len(data) + 1) // 2
    column = WIDTH / n_columns
    scale = min(0.72 * column / data["width"].max(), 110 / data["height"].max())
    half = data["height"].max() * scale / 2  # of the tallest image
    rows = [half + 20, 3 * half + 142]  # heights of the images' middles
    figure = canvas(4 * half + 210)
    axes = panel(figure, 0, 0, WIDTH, 4 * half + 210)
    axes.set(xlim=(0, WIDTH), ylim=(4 * half + 210, 0))
    axes.set_axis_off()
    code = data.index[data["what"] == "pool"][-1]
    centres = [((i + 0.5) * column, rows[0]) for i in range(n_columns)]
    centres += [((len(data) - i - 0.5) * column, rows[1]) for i in range(n_columns, len(data))]
    for i, (block, centre) in enumerate(zip(data.itertuples(), centres, strict=True)):
        _block(axes, block, centre, scale, ORANGE if i == code else BLOCKS[block.what])
        name = "output" if i == len(data) - 1 else NAMES[block.what]
        text = f"{name}\n{block.size}" + ("\nthe code" if i == code else "")
        axes.text(centre[0], centre[1] + half + 24, text, ha="center", va="top")
    for (x0, y0), (x1, y1) in pairwise(centres):
        middle, side = (x0 + x1) / 2, 10 * np.sign(x1 - x0)
        ends = ((middle - side, y0 + half + 14), (middle + side, y0 + half + 14))
        ends = ends if y0 == y1 else ((x0, y0 + half + 84), (x1, y1 - half - 4))
        axes.add_patch(
            FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=10, color=GREY, linewidth=1.2)
        )
    return figure


def _block(axes: Axes, block, centre: tuple[float, float], scale: float, colour: str) -> None:
    """An image to scale; a few sheets stand for its channels."""
    width, height = block.width * scale, block.height * scale
    for sheet in range(min(block.channels, 4) - 1, -1, -1):
        corner = (centre[0] - width / 2 + 3 * sheet, centre[1] - height / 2 - 3 * sheet)
        axes.add_patch(
            Rectangle(corner, width, height, facecolor=colour, edgecolor="white", linewidth=0.8)
        )


def draw_curves(data: pd.DataFrame) -> Figure:
    """Figs. 6-10: a panel for each measure, from top to bottom."""
    panels = [name for name in TITLES if name in set(data["panel"])]
    heights = [320 if name == NOISY else 215 for name in panels]
    figure = canvas(sum(heights) + 92 * len(panels) + 6)
    top, limits = 42, _noise_limits(data)
    for name, height in zip(panels, heights, strict=True):
        axes = panel(figure, LEFT, top, WIDTH - LEFT - LABELS, height)
        shown = data[data["panel"] == name]
        missing = [series for series in EXPECTED[name] if series not in set(shown["series"])]
        _noise_axes(axes, shown, TITLES[name], from_zero=name != CLEAN)
        axes.set_xlim(*limits)
        _lines(axes, shown, missing=missing)
        if name == PRINTED:
            axes.set_ylabel("MSE / n")
            axes.locator_params(axis="y", nbins=4)  # 0.001 is shorter than 0.0005
        top += height + 92
    return figure


def draw_depth(data: pd.DataFrame) -> Figure:
    """Fig. 5."""
    figure = canvas(520)
    axes = panel(figure, LEFT, 40, WIDTH - LEFT - LABELS, 420)
    note = "published and as-published rerun: clean training rows; all others: noisy test rows"
    axes.set_title(note, fontsize=9.5, fontweight="normal", pad=10)
    axes.set(
        xlabel="layers, as the paper counts them",
        ylabel=MSE_AXIS,
        xlim=(1.7, 8.3),
        xticks=[2, 4, 6, 8],
    )
    axes.set_ylim(0, 1.06 * max(1.0, data["mse"].max()))
    wanted = ("as-published rerun", "as-written")
    missing = [name for name in wanted if name not in set(data["series"])]
    _lines(axes, data, x="layers", missing=missing)
    return figure


def draw_all_models(data: pd.DataFrame) -> Figure:
    """Every network and every reference on noisy test rows."""
    figure = canvas(560)
    axes = panel(figure, LEFT, 20, WIDTH - LEFT - LABELS, 480)
    _noise_axes(axes, data, "", from_zero=True)
    _lines(axes, data)
    return figure


def draw_noise_removed(data: pd.DataFrame) -> Figure:
    """Share of the noise removed, cut off at -1: what is below leaves through the bottom."""
    figure = canvas(540)
    axes = panel(figure, LEFT + 10, 20, WIDTH - LEFT - LABELS - 10, 460)
    _noise_axes(axes, data, "", from_zero=False)
    axes.set(ylim=(-1.05, 1.05), ylabel="share of the noise removed, 1 − MSE / α²")
    axes.axhspan(-1.05, 0, color=RED, alpha=0.07, linewidth=0)
    axes.axhline(0, color=DARK, linewidth=1.2)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.text(
        0.02,
        -0.04,
        "worse than\nleaving the\ninput alone",
        transform=axes.get_yaxis_transform(),
        va="top",
    )
    _lines(axes, data, y="removed")
    return figure


def draw_genes(data: pd.DataFrame) -> Figure:
    """MSE by gene: for each method the genes sorted by their own MSE."""
    figure = canvas(480)
    axes = panel(figure, LEFT, 20, WIDTH - LEFT - LABELS, 400)
    axes.set(
        xlim=(0, 100),
        xlabel="genes, best to worst for each method (%)",
        ylabel="MSE of a gene (eq. 11)",
    )
    for _, rows in data.groupby("series", sort=False):
        style = look(rows["series"].iloc[0]) | {"marker": ""}
        axes.plot(rows["percent_of_genes"], rows["mse"], **style)
    axes.set_ylim(0, 1.04 * data["mse"].max())
    last = data.groupby("series", sort=False).last()
    end_labels(axes, {name: (row["percent_of_genes"], row["mse"]) for name, row in last.iterrows()})
    return figure


def draw_labels(data: pd.DataFrame) -> Figure:
    """MSE by value of a sample label: a row a value, worst for the network first; a mark a method."""
    rows = data.drop_duplicates("value")
    names = [
        f"{_short(value)} ({n:,})" for value, n in zip(rows["value"], rows["samples"], strict=True)
    ]
    height, left = 22 * len(names) + 20, 30 + 7.2 * max(map(len, names))
    figure = canvas(height + 116)
    axes = panel(figure, left, 60, WIDTH - left - 25, height)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    far = (
        1.05 * data.loc[data["series"] != "gene mean", "mse"].max()
    )  # which the gene mean may leave
    axes.set(xlabel=f"{MSE_AXIS} on noisy test rows", xlim=(0, far))
    alone = {"color": DARK, "linestyle": (0, (6, 3)), "linewidth": 1.2}
    axes.axvline(data["noise_factor"].iloc[0] ** 2, label=label("identity"), zorder=1, **alone)
    place = {value: i for i, value in enumerate(rows["value"])}
    for series, points in data.groupby("series", sort=False):
        style = look(series) | {"linestyle": ""}
        style["marker"] = style["marker"] or MARKS.get(series, "x")
        style |= {
            "markersize": {"oracle": 5, "PCA": 12}.get(series, 8)
        }  # PCA is often behind the network
        style |= (
            {"markerfacecolor": "white"} if series == "Wiener" else {}
        )  # the oracle is often in it
        axes.plot(points["mse"], points["value"].map(place), label=label(series), **style)
    handles = axes.get_legend_handles_labels()
    figure.legend(
        *handles, loc="upper left", ncols=3, frameon=False, fontsize=9.5, handletextpad=0.3
    )
    return figure


def draw_autopsy(data: pd.DataFrame) -> Figure:
    """Small multiples: a panel a model, MSE on clean training rows against noise, a line an item set right."""
    models = list(data["model"].drop_duplicates())
    n_rows = (len(models) + 2) // 2  # the legend takes a place
    figure = canvas(255 * n_rows + 12)
    low, high = 0.95 * data["mse"].min(), 1.03 * data["mse"].max()
    for i, model in enumerate(models):
        axes = panel(figure, 58 + 312 * (i % 2), 30 + 255 * (i // 2), 255, 175)
        shown = data[data["model"] == model]
        _noise_axes(axes, shown, model, from_zero=False)
        axes.set_ylim(low, high)
        for _, points in shown.groupby("series", sort=False):
            draw_series(axes, points)
        axes.set_ylabel(MSE_AXIS if i % 2 == 0 else "")
    _legend(
        figure,
        list(data["series"].drop_duplicates()),
        58 + 312 * (len(models) % 2),
        30 + 255 * (len(models) // 2),
    )
    return figure


def draw_autopsy_change(data: pd.DataFrame) -> Figure:
    """A row an item, a mark a model: how MSE on clean training rows changes from the least noise to the most."""
    items = list(data["series"].drop_duplicates())
    models = list(data["model"].drop_duplicates())
    height = (15 * len(models) + 8) * len(items)
    figure = canvas(height + 110)
    left = 205
    axes = panel(figure, left, 44, WIDTH - left - 25, height)
    axes.set_yticks(range(len(items)), items)
    axes.set_ylim(len(items) - 0.5, -0.5)
    axes.grid(False, axis="y")
    for edge in range(1, len(items)):
        axes.axhline(edge - 0.5, color=PALE, linewidth=0.8)
    offsets = np.linspace(-0.32, 0.32, len(models)) if len(models) > 1 else [0.0]
    for model, offset in zip(models, offsets, strict=True):
        rows = data[data["model"] == model]
        style = look(model) | {"linestyle": ""}
        place = [items.index(item) + offset for item in rows["series"]]
        axes.hlines(place, rows["low"], rows["high"], color=style["color"], linewidth=3, alpha=0.4)
        axes.plot(
            rows["change"],
            place,
            label=model,
            markeredgecolor="white",
            markeredgewidth=0.6,
            **style,
        )
    axes.axvline(0, color=DARK, linewidth=1.2, zorder=1)
    axes.locator_params(axis="x", nbins=6)
    axes.set_xlabel(
        "← more noise, less error      change of MSE      more noise, more error →",
        x=0.42,
        fontsize=9.5,
    )
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="upper left",
        ncols=5,
        frameon=False,
        handletextpad=0.1,
    )
    return figure


def _noise_axes(axes: Axes, data: pd.DataFrame, title: str, from_zero: bool) -> None:
    """Axes of MSE against noise factor; without from_zero their height fits the data, as the paper's did."""
    axes.set(xlabel=NOISE_AXIS, ylabel=MSE_AXIS, xlim=_noise_limits(data))
    axes.set_title(title)
    if from_zero and "mse" in data:
        axes.set_ylim(0, 1.05 * np.nanmax(data[["mse", "high"]].to_numpy(dtype=float)))


def _noise_limits(data: pd.DataFrame) -> tuple[float, float]:
    low, high = data["noise_factor"].min(), data["noise_factor"].max()
    margin = 0.03 * (high - low) or 0.05
    return low - margin, high + margin


def _lines(
    axes: Axes, data: pd.DataFrame, x="noise_factor", y="mse", missing: Sequence[str] = ()
) -> None:
    """All series and their names."""
    ends = {}
    for name, points in data.groupby("series", sort=False):
        points = points.sort_values(x)
        draw_series(axes, points, x, y)
        ends[name] = (points[x].iloc[-1], points[y].iloc[-1])
    axes.autoscale_view()  # the names are placed by the axes' final limits
    end_labels(axes, ends, missing=missing)


def _legend(figure: Figure, names: Sequence[str], left: float, top: float) -> None:
    """Names with their looks in a column."""
    axes = panel(figure, left, top, 255, 175)
    axes.set_axis_off()
    handles = [axes.plot([], [], **look(name))[0] for name in names]
    axes.legend(
        handles, [label(name) for name in names], loc="upper left", frameon=False, borderpad=0
    )


def _short(text: str, most: int = 30) -> str:
    """Foreign text on one line of a figure."""
    line = " ".join(str(text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
