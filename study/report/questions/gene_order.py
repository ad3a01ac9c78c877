"""Are there spatial features? The conv network on genes in the given order, in others, and shuffled.

Pictures are drawn from examples.npz in a run folder (study/evidence/examples.py). It holds `order`, the
names of the orders of the genes, and some of: `clean`, `noisy`, `denoised` (orders, samples, height,
width), NaN where an image is padded; `error` (orders, height, width), the mean squared error by pixel;
`filters` (orders, channels, 3, 3).
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from data_utils.errors import InputError
from study.evidence.evidence import Evidence
from study.evidence.stats import FAILS, HOLDS, interval, sign_flip_test, verdict
from study.report.curves import nearest, over_seeds, reference_curves
from study.report.document import Plot, Table
from study.report.questions.question import (
    MISSING,
    Question,
    effect,
    per_seed,
    trained_alike,
    varied,
)
from study.report.style import BLACK, BLUE, ORANGE, WIDTH, canvas, label, look, name_all
from study.report.wording import intervals, n_seeds, signed

CONV, SMALL_DENSE = "conv", "dense-2x2"
GIVEN, SHUFFLED = "given", "shuffled"
ORDERS = {
    GIVEN: "given order",
    "random": "random orders",
    "correlation": "placed by correlation",
    SHUFFLED: "shuffled values",
}
ASKED = ((CONV, "random"), (CONV, "correlation"))  # what has a p value
STAGES = ("clean", "noisy", "denoised")
N_SHOWN = 2  # samples of each order
SIGNED_COLOURS, ERROR_COLOURS = "PuOr_r", "cividis"

Differences = dict[tuple[str, str], pd.Series]


# Data.


def order_errors(evidence: Evidence) -> pd.DataFrame:
    """Return conv, and the dense network of its size, by order of the genes, at one noise factor.

    The rows of members, in the order of ORDERS; the noise factor is the nearest to 0.5. There are none if
    no network saw another order than the given.
    """
    rows = varied(evidence, "gene_order")
    rows = rows[rows["model"].isin([CONV, SMALL_DENSE])]
    other = rows["gene_order"] != GIVEN
    rows = rows[rows["noise_factor"] == nearest(rows.loc[other, "noise_factor"])]
    rows = trained_alike(rows, rows["gene_order"] != GIVEN)
    place = {order: i for i, order in enumerate(ORDERS)}
    rows = rows.assign(_rank=rows["gene_order"].map(place))
    rows = rows.sort_values(["model", "_rank", "seed"], kind="stable", ignore_index=True)
    return rows.drop(columns="_rank")


def against_given(rows: pd.DataFrame) -> Differences:
    """Return by model and other order its MSE less that of the given order, by seed.

    Above 0 the given order is better.
    """
    differences = {}
    for model, group in rows.groupby("model"):
        table = per_seed(group, "gene_order")
        for order in ORDERS if GIVEN in table else ():
            if order != GIVEN and order in table:
                difference = (table[order] - table[GIVEN]).dropna()
                if len(difference):
                    differences[model, order] = difference
    return differences


# Words.


def order_question(evidence: Evidence) -> Question:
    """Ask whether there are spatial features."""
    asked = Question(
        "gene-order", "Are there spatial features?", "python run_study.py --grid gene-order"
    )
    rows = order_errors(evidence)
    if not len(rows):
        return asked
    differences = against_given(rows)
    pictures = {
        plot.key: plot for run in evidence.runs for plot in examples(run.path / "examples.npz")
    }
    exhibits = (_marks(evidence, rows), _table(rows, differences), *pictures.values())
    return asked.answered(_answer(rows, differences), exhibits, rows["member_id"])


def _answer(rows: pd.DataFrame, differences: Differences) -> str:
    sentences = [_levels(rows)]
    for order, say in (("random", _spatial), ("correlation", _made)):
        if (CONV, order) in differences:
            sentences.append(say(differences[CONV, order]))
    given = per_seed(rows[rows["gene_order"] == GIVEN], "model")
    if {CONV, SMALL_DENSE} <= set(given):
        difference = (given[SMALL_DENSE] - given[CONV]).dropna()
        if len(difference):
            sentences.append(
                "A dense network of the same size, which sees no order, differs from it by "
                f"{effect(difference)}."
            )
    if not differences:
        sentences.append("They hold no network on two orders to compare.")
    return " ".join(sentences)


def _levels(rows: pd.DataFrame) -> str:
    """Give the conv network's error on the given order and on the control."""
    noise, conv = rows["noise_factor"].iloc[0], rows[rows["model"] == CONV]
    means = conv.groupby("gene_order")["test_mse"].mean()
    names = {
        GIVEN: "on the given order",
        SHUFFLED: "on shuffled values, whose neighbours carry no information",
    }
    parts = [f"{means[order]:.4f} {name}" for order, name in names.items() if order in means]
    if not parts:
        return f"At noise factor {noise:g} these runs hold no conv network on the given order."
    return (
        f"At noise factor {noise:g} the conv network has test MSE {', '.join(parts)} "
        f"({n_seeds(conv['seed'].nunique())}); leaving the input alone has {noise**2:.4f}."
    )


def _spatial(differences: pd.Series) -> str:
    """Judge C5, that the given order has spatial features: then random orders would be worse."""
    found = verdict(differences)
    fact = f"Random orders change it by {effect(differences)}"
    if found.outcome == HOLDS:
        end = "the given order is better than chance, so it has spatial features (C5)."
        return f"{fact}, p = {found.p:.2g}: {end}"
    if found.outcome == FAILS:
        end = "the given order is worse than a random one: no spatial features (C5)."
        return f"{fact}, p = {found.p:.2g}: {end}"
    return f"{fact}: no sign of spatial features (C5) that these seeds can show; {found.head}."


def _made(differences: pd.Series) -> str:
    """Judge whether placing genes by correlation makes a better order."""
    found = verdict(differences)
    fact = f"Genes placed by correlation change it by {effect(differences)}"
    if found.outcome == FAILS:
        return (
            f"{fact}, p = {found.p:.2g}: an order whose neighbours predict each other can be made from "
            "the training rows; the given order is not one."
        )
    if found.outcome == HOLDS:
        return f"{fact}, p = {found.p:.2g}: the given order is better than this one."
    return f"{fact}; whether an order can be made that is better than the given is {found.head}."


def _marks(evidence: Evidence, rows: pd.DataFrame) -> Plot:
    noise = rows["noise_factor"].iloc[0]
    means = over_seeds(rows, "test_mse", ["model", "gene_order"]).set_index(["model", "gene_order"])
    cells = [(m, o) for m in (CONV, SMALL_DENSE) for o in ORDERS if (m, o) in means.index]
    names = [f"{model}, {ORDERS[order]}" for model, order in cells]
    means = means.loc[cells].reset_index().assign(kind="mean", name=names)
    seeds = rows[["model", "gene_order", "seed", "test_mse"]].assign(kind="seed")
    seeds = seeds.rename(columns={"test_mse": "mse"})
    references = reference_curves(evidence)
    references = references[(references["noise_factor"] == noise) & (references["method"] != "PCA")]
    columns = ["series", "mse", "low", "high", "seeds", "method"]
    references = references[columns].assign(kind="reference")
    parts = [row for part in (means, seeds, references) for row in part.to_dict("records")]
    return Plot(
        "gene-order",
        f"Order of the genes, noise factor {noise:g}",
        "Test MSE of the conv network and of a dense network with as many parameters, which sees no order. "
        "Were the given order spatial, random orders, one per seed, would be worse. In shuffled values genes "
        "have nothing to do with each other: the control, on which nothing can be gained from neighbours. "
        "Large marks are means with 95 % intervals over seeds, small ones are seeds. Lines are references, on "
        "the genes as they are.",
        pd.DataFrame(parts),
        draw_orders,
    )


def _bounds(differences: pd.Series) -> str | None:
    found = interval(differences)
    return None if pd.isna(found.low) else f"{signed(found.low, 4)} to {signed(found.high, 4)}"


def _table(rows: pd.DataFrame, differences: Differences) -> Table:
    found = over_seeds(rows, "test_mse", ["model", "gene_order"]).set_index(["model", "gene_order"])
    found["interval"] = intervals(found)
    lines = []
    for model, order in [(m, o) for m in (CONV, SMALL_DENSE) for o in ORDERS]:
        if (model, order) not in found.index:
            continue
        of = rows[(rows["model"] == model) & (rows["gene_order"] == order)]
        row, other = found.loc[(model, order)], differences.get((model, order))
        asked = (model, order) in ASKED and other is not None
        lines.append(
            {
                "model": model,
                "genes": ORDERS[order],
                "parameters": int(of["n_parameters"].iloc[0]),
                "train MSE": of["train_mse"].mean(),
                "test MSE": row["mse"],
                "95 % interval": row["interval"],
                "against the given order": None if other is None else other.mean(),
                "its 95 % interval": None if other is None else _bounds(other),
                "p": sign_flip_test(other) if asked else None,
                "seeds": row["seeds"],
            }
        )
    return Table(
        "gene-order-table",
        "Order of the genes",
        "The difference to the given order is paired by seed, above 0 if the given order is better; p of the "
        "two-sided sign-flip test of the two questions (is the given order spatial; can a better one be "
        f"made), each of which is one comparison. The controls have intervals only. {MISSING}",
        pd.DataFrame(lines),
        {
            "parameters": ",d",
            "train MSE": ".4f",
            "test MSE": ".4f",
            "against the given order": "+.4f",
            "p": ".3g",
        },
    )


# Pictures.


def examples(path: Path | str) -> list[Plot]:
    """Return the pictures of one file; none if it is missing.

    Raises InputError for a file that cannot be read, or arrays that do not go together.
    """
    path = Path(path)
    if not path.exists():
        return []
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        return list(_pictures(arrays))
    except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: cannot be drawn ({error}): delete it, or finish the run with --resume"
        ) from None


def _pictures(arrays: dict[str, np.ndarray]) -> Iterator[Plot]:
    orders = [str(name) for name in arrays["order"]]
    if all(name in arrays for name in STAGES):
        # (stages, orders, samples, height, width)
        stack = np.stack([arrays[name][:, :N_SHOWN] for name in STAGES])
        samples = [f"sample {i + 1}" for i in range(stack.shape[2])]
        yield Plot(
            "order-samples",
            "Samples as the conv network sees them",
            "Test samples as images, one gene per pixel (z-scores): clean, with noise, and denoised by the "
            "conv network, in each order of the genes. If an order is spatial, neighbouring pixels are alike.",
            _pixels(stack, stage=list(STAGES), order=orders, sample=samples),
            draw_sample_images,
        )
    if "error" in arrays:
        yield Plot(
            "order-error",
            "Where the error sits",
            "Mean squared error of the conv network on noisy test rows by pixel, that is by gene, in each "
            "order of the genes. Error that gathers in places of the image would be spatial; a pattern that "
            "goes with the gene and not with the place is the gene's own.",
            _pixels(arrays["error"], order=orders),
            draw_error_images,
        )
    if "filters" in arrays:
        names = [str(i + 1) for i in range(arrays["filters"].shape[1])]
        yield Plot(
            "order-filters",
            "The filters of the first conv layer",
            "Weights of the first layer's 3 × 3 filters, one network for each order of the genes. Filters that "
            "only pass the gene itself have their weight at the centre; edges and blobs are what a spatial "
            "order would give.",
            _pixels(arrays["filters"], order=orders, filter=names),
            draw_filter_images,
        )


def _pixels(values: np.ndarray, **axes: list[str]) -> pd.DataFrame:
    """Return (..., height, width) as a frame: a column for each of `axes`, row, column, value."""
    wanted = tuple(len(names) for names in axes.values())
    if values.shape[:-2] != wanted or values.ndim != len(wanted) + 2:
        needed = (*wanted, "height", "width")
        raise ValueError(f"an array of shape {values.shape} where {needed} is needed")
    levels = [*axes.values(), *map(range, values.shape[-2:])]
    index = pd.MultiIndex.from_product(levels, names=[*axes, "row", "column"])
    return pd.DataFrame({"value": values.reshape(-1).astype(float)}, index=index).reset_index()


# Drawings.


def draw_orders(data: pd.DataFrame) -> Figure:
    """Draw a row per model and order: the seeds, their mean and interval; references as lines."""
    means = data[data["kind"] == "mean"]
    cells = list(zip(means["model"], means["gene_order"], strict=True))
    gaps = np.cumsum([0.7 * (i > 0 and cells[i][0] != cells[i - 1][0]) for i in range(len(cells))])
    places = np.arange(len(cells)) + gaps
    figure, [[axes]] = canvas(34 * (places[-1] + 1) + 142)
    axes.grid(False, axis="y")
    axes.set_yticks(places, means["name"])
    axes.set_ylim(places[-1] + 0.6, -0.6)
    for row in data[data["kind"] == "reference"].itertuples():
        axes.axvline(row.mse, label=label(row.series), **look(row.method) | {"marker": ""})
    for (model, order), mean, y in zip(cells, means.itertuples(), places, strict=True):
        colour = ORANGE if model == CONV else BLUE
        own = (data["model"] == model) & (data["gene_order"] == order) & (data["kind"] == "seed")
        seeds = data.loc[own, "mse"]
        small = {"color": colour, "markersize": 4, "alpha": 0.7, "markeredgewidth": 0}
        axes.plot(seeds, [y + 0.24] * len(seeds), "o", **small)
        axes.hlines(y - 0.08, mean.low, mean.high, color=colour, linewidth=4, alpha=0.45)
        edge = {"markeredgecolor": BLACK, "markeredgewidth": 0.8}
        axes.plot([mean.mse], [y - 0.08], "D", color=colour, markersize=8, **edge)
    axes.set_xlim(0, 1.06 * data[["mse", "high"]].max(axis=None))
    axes.set_xlabel("test MSE (eq. 11)")
    name_all(figure, columns=3)
    return figure


def draw_sample_images(data: pd.DataFrame) -> Figure:
    """Draw a row per order and sample, a column per stage."""
    limit = float(np.nanpercentile(data.loc[data["stage"] == "clean", "value"].abs(), 99))
    rows = [
        (f"{order}\n{sample}", _images(cell, "stage"))
        for (order, sample), cell in data.groupby(["order", "sample"], sort=False)
    ]
    return _draw_images(rows, SIGNED_COLOURS, (-limit, limit), "z-score")


def draw_error_images(data: pd.DataFrame) -> Figure:
    """Draw a panel per order, two in a row."""
    images = list(_images(data, "order").items())
    rows = [("", dict(images[i : i + 2])) for i in range(0, len(images), 2)]
    limit = float(np.nanpercentile(data["value"], 99))
    return _draw_images(rows, ERROR_COLOURS, (0, limit), "MSE")


def draw_filter_images(data: pd.DataFrame) -> Figure:
    """Draw a row per order, a column per filter."""
    rows = [(order, _images(cell, "filter")) for order, cell in data.groupby("order", sort=False)]
    limit = float(data["value"].abs().max())
    return _draw_images(rows, SIGNED_COLOURS, (-limit, limit), "weight")


def _images(data: pd.DataFrame, by: str) -> dict[str, np.ndarray]:
    """Return the images (height, width) of a frame of pixels, by the values of one column."""
    return {
        name: pixels.pivot(index="row", columns="column", values="value").to_numpy()
        for name, pixels in data.groupby(by, sort=False)
    }


def _draw_images(
    rows: Sequence[tuple[str, dict[str, np.ndarray]]],
    colours: str,
    limits: tuple[float, float],
    unit: str,
) -> Figure:
    """Draw rows of images, each row with a name at its left, and a bar that explains the colours."""
    n_columns = max(len(images) for _, images in rows)
    height, width = next(iter(rows[0][1].values())).shape
    left, between = (130, 14) if rows[0][0] else (20, 36)
    step = (WIDTH - left) / n_columns * height / width + between
    figure, grid = canvas(step * len(rows) + 116, len(rows), n_columns)
    above: list[str] = []
    for (name, images), line in zip(rows, grid, strict=True):
        for axes in line:
            axes.grid(False)
            axes.spines[:].set_visible(False)
            axes.set(xticks=[], yticks=[])
        for axes, (title, image) in zip(line, images.items(), strict=False):
            drawn = axes.imshow(image, cmap=colours, vmin=limits[0], vmax=limits[1])
            if title not in above:
                axes.set_title(title, loc="center")
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
        above = list(images)
    figure.colorbar(drawn, ax=grid, location="bottom", label=unit, shrink=0.45, aspect=30)
    return figure
