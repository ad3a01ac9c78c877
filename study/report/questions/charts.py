"""The drawings of the open questions that are one chart or map: a tidy frame in, a matplotlib Figure out."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from study.report.questions.drawing import in_percent, readable, size_axis
from study.report.questions.question import signed
from study.report.style import (
    BLACK,
    BLUE,
    DARK,
    GREY,
    ORANGE,
    WIDTH,
    canvas,
    draw_series,
    end_labels,
    label,
    look,
    panel,
)

CELL = 22  # height of a row of a heat map
COLOURS = matplotlib.colormaps[
    "PuOr_r"
]  # told apart by the colour-blind: purple below 1, orange above


def draw_heat_maps(data: pd.DataFrame) -> Figure:
    """A panel a model, from top to bottom: a row a noise factor trained at, a column one tested at; MSE ratios."""
    heights = [
        CELL * (rows["trained_at"].nunique() + 1.4) for _, rows in data.groupby("model", sort=False)
    ]
    figure = canvas(sum(heights) + 82 * len(heights) + 6)
    # Colours are of log ratios and reach to the 98th percentile: one extreme cell does not fade the others.
    most = max(np.log(1.25), float(np.nanpercentile(np.abs(np.log(data["ratio"])), 98)))
    top = 30
    for (model, rows), height in zip(data.groupby("model", sort=False), heights, strict=True):
        trained, tested = np.unique(rows["trained_at"]), np.unique(rows["tested_at"])
        axes = panel(figure, 84, top, min(WIDTH - 92, 70 * len(tested)), height)
        _heat_map(axes, rows, trained, tested, most)
        axes.set_title(f"{model}: extra MSE in % over the network trained at that α")
        top += height + 82
    return figure


def _heat_map(
    axes: Axes, rows: pd.DataFrame, trained: np.ndarray, tested: np.ndarray, most: float
) -> None:
    ratios = rows.pivot_table(index="trained_at", columns="tested_at", values="ratio").reindex(
        trained, columns=tested
    )
    own = rows[rows["trained_at"] == rows["tested_at"]].set_index("tested_at")["mse"]
    axes.grid(False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set(xlim=(-0.5, len(tested) - 0.5), ylim=(len(trained) + 0.9, -0.5), ylabel="trained at α")
    axes.set_xlabel("tested at α", labelpad=2)
    axes.set_xticks(range(len(tested)), [f"{a:g}" for a in tested])
    axes.set_yticks(
        [*range(len(trained)), len(trained) + 0.4], [*(f"{a:g}" for a in trained), "its MSE"]
    )
    for i, a in enumerate(trained):
        for j, b in enumerate(tested):
            _cell(axes, j, i, ratios.iloc[i, j], most, same=a == b)
    for j, b in enumerate(tested):
        text = f"{own[b]:.3f}" if b in own else "–"
        axes.text(j, len(trained) + 0.4, text, ha="center", va="center", fontsize=9.5, color=DARK)


def _cell(axes: Axes, x: int, y: int, ratio: float, most: float, same: bool) -> None:
    if np.isnan(ratio):
        axes.text(x, y, "–", ha="center", va="center", color=GREY)
        return
    shade = 0.5 + 0.5 * float(np.clip(np.log(ratio) / most, -1, 1))
    axes.add_patch(
        Rectangle(
            (x - 0.5, y - 0.5), 1, 1, facecolor=COLOURS(shade), edgecolor="white", linewidth=1
        )
    )
    extra = 100 * (ratio - 1)
    better = extra <= -0.05 and not same  # as printed
    if better:
        axes.add_patch(
            Rectangle((x - 0.44, y - 0.4), 0.88, 0.8, fill=False, edgecolor=BLACK, linewidth=1.6)
        )
    text = "0" if same else signed(extra, 1 if abs(extra) < 9.95 else 0)
    red, green, blue, _ = COLOURS(shade)
    colour = "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.5 else DARK
    weight = "bold" if better else "normal"
    axes.text(x, y, text, ha="center", va="center", fontsize=10, color=colour, fontweight=weight)


def draw_costs(data: pd.DataFrame) -> Figure:
    """Extra MSE against the error of the guess, a line a model."""
    figure = canvas(440)
    axes = panel(figure, 84, 34, WIDTH - 84 - 92, 340)
    margin = 0.04 * (data["guess"].max() - data["guess"].min()) or 0.05
    axes.set(xlabel="noise factor trained at − noise factor tested at", ylabel="extra test MSE")
    axes.set_xlim(data["guess"].min() - margin, data["guess"].max() + margin)
    in_percent(axes)
    ends = {}
    for name, points in data.groupby("series", sort=False):
        for _, side in points.groupby(
            points["guess"] > 0
        ):  # between the two lies 0, which is no wrong guess
            draw_series(axes, side, "guess", "cost")
        ends[name] = (points["guess"].iloc[-1], points["cost"].iloc[-1])
    axes.autoscale_view()
    axes.text(0.02, 1.02, "← too low", transform=axes.transAxes, color=DARK)
    axes.text(0.98, 1.02, "too high →", transform=axes.transAxes, ha="right", color=DARK)
    end_labels(axes, ends)
    return figure


def draw_orders(data: pd.DataFrame) -> Figure:
    """A row a model and order: the seeds, their mean and interval; references as upright lines."""
    means = data[data["kind"] == "mean"]
    cells = list(zip(means["model"], means["gene_order"], strict=True))
    gaps = np.cumsum([0.7 * (i > 0 and cells[i][0] != cells[i - 1][0]) for i in range(len(cells))])
    place = {cell: i + gap for i, (cell, gap) in enumerate(zip(cells, gaps, strict=True))}
    height = 34 * (len(cells) + float(gaps[-1])) + 14
    figure = canvas(height + 128)
    left = 222
    axes = panel(figure, left, 66, WIDTH - left - 22, height)
    axes.grid(False, axis="y")
    axes.set_yticks(list(place.values()), means["name"])
    axes.set_ylim(max(place.values()) + 0.6, -0.6)
    for row in data[data["kind"] == "reference"].itertuples():
        style = {name: value for name, value in look(row.series).items() if name != "marker"}
        axes.axvline(row.mse, label=label(row.series), **style)
    for cell, y in place.items():
        own = data[(data["model"] == cell[0]) & (data["gene_order"] == cell[1])]
        colour = ORANGE if cell[0] == "conv" else BLUE
        seeds, mean = own[own["kind"] == "seed"], own[own["kind"] == "mean"].iloc[0]
        axes.plot(
            seeds["mse"],
            [y + 0.24] * len(seeds),
            "o",
            color=colour,
            markersize=4,
            alpha=0.7,
            markeredgewidth=0,
        )
        if pd.notna(mean["low"]):
            axes.hlines(y - 0.08, mean["low"], mean["high"], color=colour, linewidth=4, alpha=0.45)
        axes.plot(
            [mean["mse"]],
            [y - 0.08],
            "D",
            color=colour,
            markersize=8,
            markeredgecolor=BLACK,
            markeredgewidth=0.8,
        )
    axes.set_xlim(0, 1.06 * data[["mse", "high"]].max(axis=None))
    axes.set_xlabel("test MSE (eq. 11)")
    if len(axes.get_legend_handles_labels()[0]):
        figure.legend(loc="upper left", ncols=3, frameon=False, bbox_to_anchor=(0.0, 1.0))
    return figure


def draw_division(data: pd.DataFrame) -> Figure:
    """Above MSE / n, below MSE, both against n: the draft's points and ours."""
    figure = canvas(640)
    series = list(dict.fromkeys(zip(data["source"], data["model"], strict=True)))
    for top, column, name in ((86, "printed", "MSE / n"), (382, "mse", "MSE")):
        axes = panel(figure, 84, top, WIDTH - 84 - 24, 205)
        for source, model in series:
            points = data[(data["source"] == source) & (data["model"] == model)]
            drafted = source.startswith("paper")
            style = {**look(model), "linestyle": "-" if not drafted else (0, (4, 2))}
            style |= {"markerfacecolor": "white" if drafted else style["color"]}
            axes.plot(points["n_samples"], points[column], label=f"{model}, {source}", **style)
        axes.set(xlabel="number of samples n", ylabel=name)
        size_axis(axes, data["n_samples"].min(), data["n_samples"].max())
        if column == "printed":
            axes.set(yscale="log", title="As the draft prints it: MSE divided by n")
            readable(axes, [digit * 10.0**power for power in range(-6, 2) for digit in (1, 2, 5)])
            figure.legend(
                *axes.get_legend_handles_labels(), loc="upper left", ncols=2, frameon=False
            )
        else:
            axes.set(ylim=(0, 1.08 * data["mse"].max()), title="The same numbers times n: MSE")
    return figure
