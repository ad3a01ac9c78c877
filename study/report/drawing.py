"""The drawings of the report's figures: a tidy frame in (curves.py), a matplotlib Figure out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.ticker import PercentFormatter

from data_utils.noise import identity_mse
from models.config import AS_WRITTEN
from study.evidence.evidence import MIXTURE
from study.report.curves import CLEAN, NOISY, PRINTED, RERUN
from study.report.style import (
    BLUE,
    DARK,
    GREY,
    LONG_DASHES,
    ORANGE,
    PALE,
    RED,
    WIDTH,
    canvas,
    draw_lines,
    draw_named,
    label,
    look,
    looks_of,
    multiples,
    name_all,
    named_rows,
)

NOISE_AXIS = "noise factor α"
MSE_AXIS = "MSE (eq. 11)"
TITLES = {
    PRINTED: "As the paper prints it: MSE divided by n",
    CLEAN: "Measured as the paper did: clean training rows in",
    NOISY: "As a denoiser: noisy test rows in",
}
EXPECTED = {PRINTED: ("published", RERUN), CLEAN: ("published", RERUN), NOISY: (AS_WRITTEN,)}
BLOCKS = {"input": PALE, "conv": BLUE, "pool": GREY, "up": RED}  # colour of what a block does
BLOCK_NAMES = {"input": "input", "conv": "conv 3×3", "pool": "max-pool 2", "up": "upsample 2"}
#: Markers of references in a figure without lines: PCA is long, as the network often lies on it.
MARKS = {"PCA": ("|", 12), "Wiener": ("o", 8), MIXTURE: ("+", 8), "oracle": ("*", 5)}


def draw_kl(data: pd.DataFrame) -> Figure:
    """Fig. 1."""
    figure, [[axes]] = canvas(360)
    axes.plot(data["mean_activation"], data["kl"], color=BLUE)
    rho = data["mean_activation"][data["kl"].idxmin()]
    axes.plot([rho], [0], marker="o", color=RED, markersize=8, clip_on=False, zorder=5)
    line = {"arrowstyle": "-", "color": GREY}
    axes.annotate(f"0 at ρ = {rho:g}", (rho, 0), (rho + 0.03, 0.45), arrowprops=line)
    axes.set(xlabel="mean activation of a hidden unit", xlim=(0, 1), ylim=(0, None))
    axes.set_ylabel(f"KL({rho:g} ‖ mean activation), nats")
    return figure


def draw_network(data: pd.DataFrame) -> Figure:
    """Fig. 3: encoder in the upper row, left to right; decoder in the lower row, right to left."""
    n_columns = (len(data) + 1) // 2
    column = WIDTH / n_columns
    scale = min(0.72 * column / data["width"].max(), 110 / data["height"].max())
    half = data["height"].max() * scale / 2  # of the tallest image
    rows = [half + 20, 3 * half + 142]  # heights of the images' middles
    height = 4 * half + 210
    figure, [[axes]] = canvas(height)
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    axes.set_axis_off()
    code = data.index[data["what"] == "pool"][-1]
    centres = [((i + 0.5) * column, rows[0]) for i in range(n_columns)]
    centres += [((len(data) - i - 0.5) * column, rows[1]) for i in range(n_columns, len(data))]
    for i, (block, centre) in enumerate(zip(data.itertuples(), centres, strict=True)):
        _block(axes, block, centre, scale, ORANGE if i == code else BLOCKS[block.what])
        name = "output" if i == len(data) - 1 else BLOCK_NAMES[block.what]
        text = f"{name}\n{block.size}" + ("\nthe code" if i == code else "")
        axes.text(centre[0], centre[1] + half + 24, text, ha="center", va="top")
    for (x0, y0), (x1, y1) in pairwise(centres):
        middle, side = (x0 + x1) / 2, 10 * np.sign(x1 - x0)
        ends = ((middle - side, y0 + half + 14), (middle + side, y0 + half + 14))
        ends = ends if y0 == y1 else ((x0, y0 + half + 84), (x1, y1 - half - 4))
        arrow = FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=10, color=GREY, lw=1.2)
        axes.add_patch(arrow)
    return figure


def _block(axes: Axes, block, centre: tuple[float, float], scale: float, colour: str) -> None:
    """Draw an image to scale; a few sheets stand for its channels."""
    width, height = block.width * scale, block.height * scale
    for sheet in range(min(block.channels, 4) - 1, -1, -1):
        corner = (centre[0] - width / 2 + 3 * sheet, centre[1] - height / 2 - 3 * sheet)
        axes.add_patch(Rectangle(corner, width, height, fc=colour, ec="white", lw=0.8))


def draw_curves(data: pd.DataFrame) -> Figure:
    """Figs. 6-10: a panel for each measure, from top to bottom."""
    names = [name for name in TITLES if name in set(data["panel"])]
    heights = [3 if name == NOISY else 2 for name in names]
    figure, grid = canvas(112 * sum(heights) + 66 * len(names), len(names), height_ratios=heights)
    for name, axes in zip(names, grid.flat, strict=True):
        shown = data[data["panel"] == name]
        axes.set(title=TITLES[name], xlabel=NOISE_AXIS, xlim=_noise_limits(data))
        axes.set_ylabel("MSE / n" if name == PRINTED else MSE_AXIS)
        if name != CLEAN:  # whose height fits the data, as the paper's did
            axes.set_ylim(0, _top(shown))
        draw_named(axes, shown, expected=EXPECTED[name])
        if name == PRINTED:
            axes.locator_params(axis="y", nbins=4)  # 0.001 is shorter than 0.0005
    return figure


def draw_depth(data: pd.DataFrame) -> Figure:
    """Fig. 5."""
    figure, [[axes]] = canvas(500)
    note = "published and as-published rerun: clean training rows; all others: noisy test rows"
    axes.set_title(note, fontsize=9.5, fontweight="normal", pad=10)
    axes.set(xlabel="layers, as the paper counts them", ylabel=MSE_AXIS, xticks=[2, 4, 6, 8])
    axes.set(xlim=(1.7, 8.3), ylim=(0, 1.06 * max(1.0, data["mse"].max())))
    draw_named(axes, data, "layers", expected=(RERUN, AS_WRITTEN))
    return figure


def draw_all_models(data: pd.DataFrame) -> Figure:
    """Draw every network and every reference on noisy test rows."""
    figure, [[axes]] = canvas(540)
    axes.set(xlabel=NOISE_AXIS, ylabel=MSE_AXIS, xlim=_noise_limits(data), ylim=(0, _top(data)))
    draw_named(axes, data)
    return figure


def draw_noise_removed(data: pd.DataFrame) -> Figure:
    """Draw the share of the noise removed, cut off at -1: what is below leaves the figure."""
    figure, [[axes]] = canvas(520)
    axes.set(xlabel=NOISE_AXIS, xlim=_noise_limits(data), ylim=(-1.05, 1.05))
    axes.set_ylabel("share of the noise removed, 1 − MSE / α²")
    axes.axhspan(-1.05, 0, color=RED, alpha=0.07, linewidth=0)
    axes.axhline(0, color=DARK, linewidth=1.2)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    worse = "worse than\nleaving the\ninput alone"
    axes.text(0.02, -0.04, worse, transform=axes.get_yaxis_transform(), va="top")
    draw_named(axes, data, y="removed")
    return figure


def draw_genes(data: pd.DataFrame) -> Figure:
    """Draw MSE by gene: for each method the genes sorted by their own MSE."""
    figure, [[axes]] = canvas(460)
    axes.set(xlabel="genes, best to worst for each method (%)", ylabel="MSE of a gene (eq. 11)")
    axes.set(xlim=(0, 100), ylim=(0, 1.04 * data["mse"].max()))
    methods = data.drop_duplicates("series").set_index("series")["method"]
    looks = {series: look(method) | {"marker": ""} for series, method in methods.items()}
    draw_named(axes, data, "percent_of_genes", looks=looks)
    return figure


def draw_labels(data: pd.DataFrame) -> Figure:
    """Draw MSE by value of a sample label: one row per value, worst first; one mark per method."""
    rows = data.drop_duplicates("value")
    place = {value: i for i, value in enumerate(rows["value"])}
    counts = zip(rows["value"], rows["samples"], strict=True)
    names = [f"{_short(value)} ({n:,})" for value, n in counts]
    figure, axes = named_rows(names, range(len(names)), 22, 136)
    axes.grid(True, axis="y")
    most = data.loc[data["method"] != "gene mean", "mse"].max()  # the gene mean may lie beyond
    axes.set(xlabel=f"{MSE_AXIS} on noisy test rows", xlim=(0, 1.05 * most))
    alone = {"color": DARK, "linestyle": LONG_DASHES, "linewidth": 1.2, "zorder": 1}
    axes.axvline(identity_mse(data["noise_factor"].iloc[0]), label=label("identity"), **alone)
    for (series, method), points in data.groupby(["series", "method"], sort=False):
        style = look(method) | {"linestyle": ""}
        marker, size = (style["marker"], 8) if style["marker"] else MARKS.get(method, ("x", 8))
        style |= {"marker": marker, "markersize": size}
        if method == "Wiener":  # the oracle is often within it
            style["markerfacecolor"] = "white"
        axes.plot(points["mse"], points["value"].map(place), label=label(series), **style)
    name_all(figure, columns=3)
    return figure


def draw_autopsy(data: pd.DataFrame) -> Figure:
    """Draw a panel per model: MSE on clean training rows against noise, one line per item."""
    figure, [axes, *_] = multiples(data, "noise_factor", "mse", (NOISE_AXIS, MSE_AXIS))
    axes.set_ylim(0.95 * data["mse"].min(), 1.03 * data["mse"].max())  # of all; long bars are cut
    return figure


def draw_autopsy_change(data: pd.DataFrame) -> Figure:
    """Draw a row per item, a mark per model: how MSE changes from the least noise to the most."""
    items = list(data["series"].drop_duplicates())
    models = list(data["model"].drop_duplicates())
    figure, axes = named_rows(items, range(len(items)), 15 * len(models) + 8)
    for edge in range(1, len(items)):
        axes.axhline(edge - 0.5, color=PALE, linewidth=0.8)
    for i, model in enumerate(models):
        rows = data[data["model"] == model]
        place = rows["series"].map(items.index) + (i - (len(models) - 1) / 2) * 0.64 / len(models)
        style = look(model) | {"linestyle": "", "markeredgecolor": "white", "markeredgewidth": 0.6}
        axes.hlines(place, rows["low"], rows["high"], color=style["color"], linewidth=3, alpha=0.4)
        axes.plot(rows["change"], place, label=model, **style)
    axes.axvline(0, color=DARK, linewidth=1.2, zorder=1)
    axes.locator_params(axis="x", nbins=6)
    xlabel = "← more noise, less error      change of MSE      more noise, more error →"
    axes.set_xlabel(xlabel, loc="right", fontsize=9.5)
    name_all(figure, columns=5)
    return figure


def draw_others(data: pd.DataFrame, x: str, ylabel: str) -> Figure:
    """Draw one line per series against noise factor or epoch."""
    names = list(data["series"].drop_duplicates())
    figure, [[axes]] = canvas(380 + 18 * len(names))
    draw_lines(axes, data, x, looks=looks_of(names))
    axes.set(xlabel="epoch" if x == "epoch" else NOISE_AXIS, ylabel=ylabel)
    name_all(figure, columns=1)
    return figure


def _top(data: pd.DataFrame) -> float:
    return 1.05 * np.nanmax(data[["mse", "high"]].to_numpy(dtype=float))


def _noise_limits(data: pd.DataFrame) -> tuple[float, float]:
    low, high = data["noise_factor"].min(), data["noise_factor"].max()
    margin = 0.03 * (high - low) or 0.05
    return low - margin, high + margin


def _short(text: str, most: int = 30) -> str:
    """Return foreign text on one line of a figure."""
    line = " ".join(str(text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"
