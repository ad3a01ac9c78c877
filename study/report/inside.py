"""Inside the networks: the code by sample label and by its genes, conv filters and feature maps."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import leaves_list, linkage

from data_utils.genes import gene_names
from study.evidence.evidence import Evidence
from study.evidence.images import FILTER, INPUT, MAP
from study.report.curves import NOISE, PREFERRED
from study.report.document import Plot, Table
from study.report.drawing import colour_bar, draw_image, named_rows
from study.report.style import canvas, is_narrow, width
from study.report.wording import shortened, signed

MOST_VALUES = 40  # of a label in the figure: those with the most samples
N_SHOWN = 6  # genes of a unit in the table
LETTERS = 24  # of a sample's name in a figure
#: Small images in a row of a wide and of a narrow drawing.
FILTER_COLUMNS, MAP_COLUMNS = {False: 8, True: 4}, {False: 6, True: 4}
_KEY = ["model", "noise_factor", "seed"]


def inside_exhibits(evidence: Evidence) -> list[Plot | Table]:
    """Return the figures and tables of the inside of these runs' networks."""
    codes, genes = _one_network(evidence.codes), _one_network(evidence.unit_genes)
    images = _one_network(evidence.conv_images)
    found: list[Plot | Table] = []
    if len(codes):
        by_label = code_by_label(codes)
        found += [_heat_map(codes, by_label)] if len(by_label) else []
        found.append(_genes(codes, genes))
    if len(images):
        found += [_filters(images), _maps(images)]
    return found


def _one_network(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of one network: PREFERRED if possible, at the factor nearest to NOISE."""
    if not len(table):
        return table
    kinds = table[_KEY].drop_duplicates()
    kinds = kinds.assign(
        away=(kinds["noise_factor"] - NOISE).abs(), other=kinds["model"] != PREFERRED
    )
    first = kinds.sort_values(["other", "away", "seed"], kind="stable").iloc[0]
    return table[(table[_KEY] == first[_KEY]).all(axis=1)]


def _named(rows: pd.DataFrame) -> str:
    """Return "dense-4 at noise factor 0.5, seed 0"."""
    first = rows.iloc[0]
    return f"{first['model']} at noise factor {first['noise_factor']:g}, seed {first['seed']}"


# The code.


def code_by_label(codes: pd.DataFrame) -> pd.DataFrame:
    """Return the mean activation of each unit by value of one label, as it is drawn.

    The label is the first that names a tissue, else the one with the fewest values. Similar values,
    and similar units, are next to each other (average linkage). Empty if there is no label.
    """
    labelled = codes[codes["label"] != ""]
    if not len(labelled):
        return labelled
    counts = labelled.groupby("label", sort=False)["value"].nunique()
    tissues = [name for name in counts.index if "tissue" in name.lower()]
    rows = labelled[labelled["label"] == (tissues or [counts.idxmin()])[0]]
    sizes = rows.drop_duplicates("value").set_index("value")["samples"]
    most = sizes.sort_values(ascending=False, kind="stable").index[:MOST_VALUES]
    table = rows.pivot(index="value", columns="unit", values="activation").loc[most]
    table = table.iloc[_alike(table.to_numpy()), _alike(table.to_numpy().T)]
    drawn = table.stack().rename("activation").reset_index()
    drawn.insert(0, "label", rows["label"].iloc[0])
    return drawn.assign(samples=drawn["value"].map(sizes))


def _alike(rows: np.ndarray) -> np.ndarray:
    """Return an order of rows that puts similar ones next to each other."""
    if len(rows) < 3:
        return np.arange(len(rows))
    return leaves_list(linkage(rows, "average", optimal_ordering=True))


def _heat_map(codes: pd.DataFrame, by_label: pd.DataFrame) -> Plot:
    label, shown = by_label["label"].iloc[0], by_label["value"].nunique()
    values = codes.loc[codes["label"] == label, "value"].nunique()
    few = f" The {shown} of {values} values with the most samples." if shown < values else ""
    return Plot(
        "code-by-label",
        f"Code units by {label}",
        "Mean activation, from 0 (off) to 1 (on), of each unit of the last code layer over "
        "the noisy test samples of each value.",
        by_label,
        draw_codes,
        note=(
            f"Of {_named(codes)}; the number of samples is in brackets, and like rows and like "
            f"units stand together.{few}"
        ),
    )


def draw_codes(data: pd.DataFrame) -> Figure:
    """Draw a row per value of a label, a column per unit, in the order of the data."""
    units = data["unit"].unique()
    rows = data.drop_duplicates("value")
    counts = zip(rows["value"], rows["samples"], strict=True)
    names = [f"{shortened(value, LETTERS)} ({n:,})" for value, n in counts]
    figure, axes = named_rows(names, range(len(names)), 19, 150)
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    table = data.pivot(index="value", columns="unit", values="activation")
    table = table.loc[rows["value"], units]
    shades = axes.imshow(table, cmap="cividis", vmin=0, vmax=1, aspect="auto", interpolation="none")
    # A number is 13 pixels wide when it is turned; the names take about a third of the width.
    step = int(np.ceil(13 * len(units) / (0.68 * width())))
    places = np.arange(0, len(units), step)
    axes.set_xticks(places, [str(unit) for unit in units[places]], rotation=90)
    axes.set_xlabel("unit of the code")
    colour_bar(figure, shades, "mean activation")
    return figure


def _genes(codes: pd.DataFrame, genes: pd.DataFrame) -> Table:
    whole = codes[codes["label"] == ""].set_index("unit")
    top = genes.sort_values(["unit", "rank"], kind="stable")
    top = top[top["rank"] <= N_SHOWN]
    ids = top["gene_id"].unique()  # of equal ids only the first would get its symbol
    top = top.assign(symbol=top["gene_id"].map(dict(zip(ids, gene_names(ids), strict=True))))
    rows = []
    for unit, its in top.groupby("unit"):
        signs = np.where(its["effect"] < 0, "−", "+")
        rows.append(
            {
                "unit": unit,
                "mean": whole.loc[unit, "activation"],
                "sd": whole.loc[unit, "spread"],
                "genes that it changes most": " ".join(signs + its["symbol"]),
                "greatest": signed(its["effect"].iloc[0], 2),
            }
        )
    return Table(
        "code-genes",
        "Code units by their genes",
        "Activation of the units of the last code layer over the noisy test samples (mean, "
        "standard deviation), and the genes whose output each unit changes most, up (+) or "
        "down (−).",
        pd.DataFrame(rows),
        {"mean": ".2f", "sd": ".2f"},
        note=(
            f"Of {_named(codes)}. The change is the derivative of the decoder at the mean code, "
            "in z-scores for a unit that goes from off to on; “greatest” is that of the first "
            "gene."
        ),
    )


# The conv network.


def _filters(images: pd.DataFrame) -> Plot:
    return Plot(
        "conv-filters",
        "Filters of the first conv layer",
        "Weights of the 3 × 3 filters of the first conv layer, by channel.",
        images.loc[images["image"] == FILTER, ["channel", "row", "column", "value"]],
        draw_filters,
        note=f"Of {_named(images)}.",
    )


def draw_filters(data: pd.DataFrame) -> Figure:
    """Draw each filter as a small image."""
    channels = data["channel"].unique()
    figure, [grid] = _tiles(1, len(channels), 1.0, FILTER_COLUMNS[is_narrow()])
    limit = float(data["value"].abs().max())
    for channel, axes in zip(channels, grid, strict=False):
        its = data[data["channel"] == channel]
        shades = draw_image(axes, its, ("PuOr_r", -limit, limit))
        axes.set_title(str(channel), loc="center")
    colour_bar(figure, shades, "weight")
    return figure


def _maps(images: pd.DataFrame) -> Plot:
    columns = ["sample", "image", "channel", "row", "column", "value"]
    return Plot(
        "conv-maps",
        "Feature maps of three samples",
        "Test samples as the conv network has them: the noisy input, one gene per pixel "
        "(purple below 0, orange above), and each channel after its ReLU.",
        images.loc[images["image"].isin([INPUT, MAP]), columns],
        draw_maps,
        note=f"Of {_named(images)}.",
    )


def draw_maps(data: pd.DataFrame) -> Figure:
    """Draw for each sample its noisy image and its feature maps."""
    samples = list(data["sample"].unique())
    maps, inputs = (data[data["image"] == kind] for kind in (MAP, INPUT))
    most = float(np.nanpercentile(maps["value"], 99.5)) or 1.0
    limit = float(np.nanpercentile(inputs["value"].abs(), 99))
    shape = data["row"].nunique() / data["column"].nunique()
    n = maps["channel"].nunique() + 1
    figure, blocks = _tiles(len(samples), n, shape, MAP_COLUMNS[is_narrow()])
    for sample, grid in zip(samples, blocks, strict=True):
        of_sample = data[data["sample"] == sample]
        grid[0].set_ylabel(shortened(sample, LETTERS), loc="top", parse_math=False)
        for (channel, its), axes in zip(of_sample.groupby("channel"), grid, strict=False):
            if channel == 0:
                draw_image(axes, its, ("PuOr_r", -limit, limit))
            else:
                shades = draw_image(axes, its, ("cividis", 0.0, most))
            axes.set_title(str(channel) if channel else "input", loc="center")
    colour_bar(figure, shades, "activation of a channel")
    return figure


def _tiles(blocks: int, n: int, shape: float, columns: int) -> tuple[Figure, list[np.ndarray]]:
    """Return a figure with blocks of n small axes each, which are `shape` times as high as wide."""
    rows = -(-n // columns)
    step = (width() - 40) / columns * shape + 22
    figure, grid = canvas(step * rows * blocks + 90, rows * blocks, columns)
    parts = [part.ravel() for part in np.split(grid, blocks)]
    for part in parts:
        for axes in part[n:]:
            axes.remove()
    return figure, [part[:n] for part in parts]
