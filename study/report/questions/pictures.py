"""Pictures of the question of spatial features: samples as images, the conv filters, and where the error sits.

They are drawn from examples.npz in a run folder (study/evidence/examples.py), which holds `order`, the names of the orders of
the genes, and what there is of: `clean`, `noisy`, `denoised` (orders, samples, height, width), NaN where an image is
padded; `error` (orders, height, width), the mean squared error by pixel; `filters` (orders, channels, 3, 3).
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from data_utils.errors import InputError
from study.report.document import Plot
from study.report.style import WIDTH, canvas, panel

STAGES = ("clean", "noisy", "denoised")
N_SHOWN = 2  # samples of each order
SIMULATED = "simulated data"


def examples(path: Path | str, simulated: bool = False) -> list[Plot]:
    """The pictures of one file; none where it is not there.

    Raises InputError for a file that cannot be read, or arrays that do not go together.
    """
    path = Path(path)
    if not path.exists():
        return []
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        frames = _frames(arrays)
    except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: cannot be drawn ({error}): delete it, or finish the run with --resume"
        ) from None
    plots = [_PLOTS[key](frame) for key, frame in frames.items()]
    return [_stamped(plot) for plot in plots] if simulated else plots


def _stamped(plot: Plot) -> Plot:
    note = " Simulated data."
    return replace(plot, caption=plot.caption + note, stamp=SIMULATED)


def _frames(arrays: Mapping[str, np.ndarray]) -> dict[str, pd.DataFrame]:
    """One tidy frame a picture, one row a pixel."""
    orders = [str(name) for name in arrays["order"]]
    frames = {}
    if all(name in arrays for name in STAGES):
        stack = np.stack(
            [arrays[name][:, :N_SHOWN] for name in STAGES]
        )  # (stages, orders, samples, height, width)
        stages, samples = list(STAGES), [f"sample {i + 1}" for i in range(stack.shape[2])]
        frames["order-samples"] = _pixels(stack, stage=stages, order=orders, sample=samples)
    if "error" in arrays:
        frames["order-error"] = _pixels(arrays["error"], order=orders)
    if "filters" in arrays:
        names = [str(i + 1) for i in range(arrays["filters"].shape[1])]
        frames["order-filters"] = _pixels(arrays["filters"], order=orders, filter=names)
    return frames


def _pixels(values: np.ndarray, **axes: list[str]) -> pd.DataFrame:
    """(..., height, width) as a frame: a column for each of `axes`, row, column, value."""
    wanted = tuple(len(names) for names in axes.values())
    if values.shape[:-2] != wanted or values.ndim != len(wanted) + 2:
        raise ValueError(
            f"an array of shape {values.shape} where {(*wanted, 'height', 'width')} is needed"
        )
    height, width = values.shape[-2:]
    index = pd.MultiIndex.from_product(
        [*axes.values(), range(height), range(width)], names=[*axes, "row", "column"]
    )
    return pd.DataFrame({"value": values.reshape(-1).astype(float)}, index=index).reset_index()


def _samples_plot(data: pd.DataFrame) -> Plot:
    error = data.pivot_table(
        index=["order", "sample", "row", "column"], columns="stage", values="value"
    )
    by_order = ((error["denoised"] - error["clean"]) ** 2).groupby("order", sort=False).mean()
    told = "; ".join(f"{order} {by_order[order]:.3f}" for order in data["order"].drop_duplicates())
    return Plot(
        "order-samples",
        "Samples as the conv network sees them",
        "Test samples as images, one gene a pixel (z-scores): clean, with noise, and denoised by the conv network, in "
        "each order of the genes. Where an order is spatial, neighbouring pixels are alike.",
        data,
        draw_sample_images,
        f"Images of samples before and after denoising. Mean squared error after denoising: {told}.",
    )


def _error_plot(data: pd.DataFrame) -> Plot:
    told = []
    for order, rows in data.groupby("order", sort=False):
        told.append(f"{order} {rows['value'].mean():.3f}, worst pixel {rows['value'].max():.3f}")
    return Plot(
        "order-error",
        "Where the error sits",
        "Mean squared error of the conv network on noisy test rows by pixel, that is by gene, in each order of the "
        "genes. Error that gathers in places of the image would be spatial; a pattern that goes with the gene and not "
        "with the place is the gene's own.",
        data,
        draw_error_images,
        f"Images of the mean squared error by pixel. Mean: {'; '.join(told)}.",
    )


def _filters_plot(data: pd.DataFrame) -> Plot:
    told = []
    for order, rows in data.groupby("order", sort=False):
        centre = rows[(rows["row"] == 1) & (rows["column"] == 1)]["value"].abs().mean()
        told.append(
            f"{order}: {centre / rows['value'].abs().mean():.1f} times the mean weight at the centre"
        )
    return Plot(
        "order-filters",
        "The filters of the first conv layer",
        "Weights of the first layer's 3 × 3 filters, one network for each order of the genes. Filters that only pass "
        "the gene itself have their weight at the centre; edges and blobs are what a spatial order would give.",
        data,
        draw_filter_images,
        f"Filters. {'; '.join(told)}.",
    )


_PLOTS = {
    "order-samples": _samples_plot,
    "order-error": _error_plot,
    "order-filters": _filters_plot,
}


def draw_sample_images(data: pd.DataFrame) -> Figure:
    """A row an order and sample, a column a stage."""
    cases = data[["order", "sample"]].drop_duplicates().itertuples(index=False)
    rows = [
        (f"{order}\n{sample}", (data["order"] == order) & (data["sample"] == sample))
        for order, sample in cases
    ]
    cells = [[(data["stage"] == stage) & of for stage in STAGES] for _, of in rows]
    limit = float(np.nanpercentile(data.loc[data["stage"] == "clean", "value"].abs(), 99))
    return _images(
        data, cells, [name for name, _ in rows], list(STAGES), "PuOr_r", (-limit, limit), "z-score"
    )


def draw_error_images(data: pd.DataFrame) -> Figure:
    """A panel an order."""
    orders = list(data["order"].drop_duplicates())
    limit = float(np.nanpercentile(data["value"], 99))
    cells = [
        [data["order"] == order for order in orders[i : i + 2]] for i in range(0, len(orders), 2)
    ]
    titles = [orders[i : i + 2] for i in range(0, len(orders), 2)]
    return _images(data, cells, titles, None, "cividis", (0, limit), "MSE")


def draw_filter_images(data: pd.DataFrame) -> Figure:
    """A row an order, a column a filter."""
    orders, filters = (list(data[name].drop_duplicates()) for name in ("order", "filter"))
    cells = [
        [(data["order"] == order) & (data["filter"] == name) for name in filters]
        for order in orders
    ]
    limit = float(data["value"].abs().max())
    return _images(data, cells, orders, filters, "PuOr_r", (-limit, limit), "weight")


def _images(data, cells, row_names, column_names, colours, limits, unit) -> Figure:
    """Images in rows and columns with names, and a bar that says what the colours are.

    cells: by row and column which rows of `data` are the image's. row_names: a name a row, at its left, or a list of
    names, one above each image.
    """
    above = column_names is None
    left, gap = (12, 12) if above else (128, 6 if len(cells[0]) > 4 else 10)
    n_columns = max(map(len, cells))
    width = (WIDTH - left - 12 - gap * (n_columns - 1)) / n_columns
    first = data[cells[0][0]]
    height = width * (first["row"].max() + 1) / (first["column"].max() + 1)
    step = height + (30 if above else gap)
    figure = canvas(34 + step * len(cells) + 66)
    for i, line in enumerate(cells):
        for j, of in enumerate(line):
            axes = panel(figure, left + j * (width + gap), 34 + i * step, width, height)
            image = data[of].pivot(index="row", columns="column", values="value").to_numpy()
            drawn = axes.imshow(image, cmap=colours, vmin=limits[0], vmax=limits[1], aspect="auto")
            axes.set_axis_off()
            if above:
                axes.set_title(row_names[i][j])
            elif i == 0:
                axes.set_title(column_names[j], loc="center")
        if not above:
            figure.text((left - 8) / WIDTH, axes.get_position().y0 + axes.get_position().height / 2, row_names[i],
                        ha="right", va="center")  # fmt: skip
    bar = panel(figure, WIDTH - 272, 34 + step * len(cells) + 12, 260, 10)
    figure.colorbar(drawn, cax=bar, orientation="horizontal")
    bar.set_title(unit, loc="left", x=-0.22, y=-0.6, fontweight="normal")
    return figure
