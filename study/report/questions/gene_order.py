"""Are there spatial features? The conv network on genes in the given and in other orders.

Pictures are drawn from examples.npz in a run folder (study/evidence/references.py).
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from data_utils.errors import InputError
from data_utils.noise import identity_mse
from study.evidence.evidence import MIXTURE, Evidence
from study.evidence.stats import FAILS, HOLDS, n_seeds, sign_flip_test, verdict
from study.report.curves import MISSING, nearest, over_seeds, references_at
from study.report.document import Plot, Table
from study.report.drawing import name_all, named_rows
from study.report.questions.question import Question, effect, per_seed, trained_alike, varied
from study.report.style import BLACK, BLUE, ORANGE, WIDTH, canvas, label, look
from study.report.wording import intervals

CONV, SMALL_DENSE = "conv", "dense-2x2"
GIVEN, SHUFFLED = "given", "shuffled"
ORDERS = {
    GIVEN: "given order",
    "random": "random orders",
    "correlation": "placed by correlation",
    SHUFFLED: "shuffled values",
}
STAGES = ("clean", "noisy", "denoised")
N_SHOWN = 2  # samples of each order

Differences = dict[tuple[str, str], pd.Series]


# Data.


def order_errors(evidence: Evidence) -> pd.DataFrame:
    """Return conv, and the dense network of its size, by order of the genes, at one noise factor.

    The rows of members, in the order of ORDERS; the noise factor is the nearest to 0.5. There are
    none if no network saw another order than the given.
    """
    rows = varied(evidence, "gene_order")
    rows = rows[rows["model"].isin([CONV, SMALL_DENSE])]
    other = rows["gene_order"] != GIVEN
    rows = rows[rows["noise_factor"] == nearest(rows.loc[other, "noise_factor"])]
    rows = trained_alike(rows, rows["gene_order"] != GIVEN)
    rank = rows["gene_order"].map(list(ORDERS).index)
    rows = rows.assign(rank=rank).sort_values(["model", "rank", "seed"], ignore_index=True)
    return rows.drop(columns="rank")


def against_given(rows: pd.DataFrame) -> Differences:
    """Return by model and other order its MSE less that of the given order, by seed.

    Above 0 the given order is better.
    """
    differences = {}
    for model, group in rows.groupby("model"):
        table = per_seed(group, "gene_order").reindex(columns=list(ORDERS))
        for order in list(ORDERS)[1:]:
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
    first: list[Plot | Table] = [_marks(evidence, rows), _table(rows, differences)]
    answer = _answer(rows, differences)
    return asked.answered(answer, [*first, *pictures.values()], rows["member_id"])


def _answer(rows: pd.DataFrame, differences: Differences) -> str:
    sentences = [_levels(rows)]
    for order, (fact, *texts) in _TEXTS.items():
        if (CONV, order) in differences:
            sentences.append(_judged(fact, differences[CONV, order], *texts))
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
        f"({n_seeds(conv['seed'].nunique())}); leaving the input alone has {identity_mse(noise):.4f}."
    )


def _judged(fact: str, differences: pd.Series, holds: str, fails: str, undecided: str) -> str:
    """Return what it means that the given order is better, worse, or neither can be shown."""
    found = verdict(differences)
    text = f"{fact} by {effect(differences)}"
    if found.outcome not in (HOLDS, FAILS):
        return f"{text}{undecided} {found.head}."
    return f"{text}, p = {found.p:.2g}: {holds if found.outcome == HOLDS else fails}."


#: By order of the genes the texts of `_judged`.
_TEXTS = {
    "random": (  # C5: the given order has spatial features, so random orders would be worse
        "Random orders change it",
        "the given order is better than chance, so it has spatial features (C5)",
        "the given order is worse than a random one: no spatial features (C5)",
        ": no sign of spatial features (C5) that these seeds can show;",
    ),
    "correlation": (
        "Genes placed by correlation change it",
        "the given order is better than this one",
        "an order whose neighbours predict each other can be made from the training rows; the "
        "given order is not one",
        "; whether an order can be made that is better than the given is",
    ),
}


def _cells(rows: pd.DataFrame) -> pd.DataFrame:
    """Return MSE over seeds by model and order, in the order of the rows."""
    cell = ["model", "gene_order"]
    return rows[cell].drop_duplicates().merge(over_seeds(rows, "test_mse", cell), on=cell)


def _marks(evidence: Evidence, rows: pd.DataFrame) -> Plot:
    noise = rows["noise_factor"].iloc[0]
    seeds = rows[["model", "gene_order", "seed", "test_mse"]].rename(columns={"test_mse": "mse"})
    methods = ("identity", "gene mean", "Wiener", MIXTURE, "oracle")
    parts = {"mean": _cells(rows), "seed": seeds}
    parts["reference"] = references_at(evidence, noise, methods)
    return Plot(
        "gene-order",
        f"Order of the genes, noise factor {noise:g}",
        "Test MSE of the conv network and of a dense network with as many parameters, which sees "
        "no order. Were the given order spatial, random orders, one per seed, would be worse. In "
        "shuffled values genes have nothing to do with each other: the control, on which nothing "
        "can be gained from neighbours. Large marks are means with 95 % intervals over seeds, "
        "small ones are seeds. Lines are references, on the genes as they are.",
        pd.concat([part.astype(object).assign(kind=kind) for kind, part in parts.items()]),
        draw_orders,
    )


def _table(rows: pd.DataFrame, differences: Differences) -> Table:
    cells = _cells(rows)
    of = rows.groupby(["model", "gene_order"], sort=False)
    keys = list(zip(cells["model"], cells["gene_order"], strict=True))
    others = [differences.get(key) for key in keys]
    asked = {(CONV, order) for order in _TEXTS} & differences.keys()
    tests = [sign_flip_test(differences[key]) if key in asked else None for key in keys]
    frame = pd.DataFrame(
        {
            "model": cells["model"],
            "genes": cells["gene_order"].map(ORDERS),
            "parameters": of["n_parameters"].first().to_numpy(dtype=int),
            "train MSE": of["train_mse"].mean().to_numpy(),
            "test MSE": cells["mse"],
            "95 % interval": intervals(cells),
            "against the given order": [None if d is None else effect(d) for d in others],
            "p": tests,
            "seeds": cells["seeds"],
        }
    )
    return Table(
        "gene-order-table",
        "Order of the genes",
        "The difference to the given order is paired by seed, above 0 if the given order is "
        "better; p of the two-sided sign-flip test of the two questions (is the given order "
        "spatial; can a better one be made), each of which is one comparison. The controls have "
        f"intervals only. {MISSING}",
        frame,
        {"parameters": ",d", "train MSE": ".4f", "test MSE": ".4f", "p": ".3g"},
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
            return list(_pictures(dict(file)))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: cannot be drawn ({error}): delete it, or finish the run with --resume"
        ) from None


def _pictures(arrays: dict[str, np.ndarray]) -> Iterator[Plot]:
    orders = [str(name) for name in arrays["order"]]
    if set(STAGES) <= arrays.keys():
        # (stages, orders, samples, height, width)
        stack = np.stack([arrays[name][:, :N_SHOWN] for name in STAGES])
        samples = [f"sample {i + 1}" for i in range(stack.shape[2])]
        yield Plot(
            "order-samples",
            "Samples as the conv network sees them",
            "Test samples as images, one gene per pixel (z-scores): clean, with noise, and "
            "denoised by the conv network, in each order of the genes. If an order is spatial, "
            "neighbouring pixels are alike.",
            _pixels(stack, stage=list(STAGES), order=orders, sample=samples),
            partial(draw_images, rows=["order", "sample"], column="stage", unit="z-score"),
        )
    if "error" in arrays:
        yield Plot(
            "order-error",
            "Where the error sits",
            "Mean squared error of the conv network on noisy test rows by pixel, that is by gene, "
            "in each order of the genes. Error that gathers in places of the image would be "
            "spatial; a pattern that goes with the gene and not with the place is the gene's own.",
            _pixels(arrays["error"], order=orders),
            partial(draw_images, rows=[], column="order", unit="MSE"),
        )
    if "filters" in arrays:
        names = [str(i + 1) for i in range(arrays["filters"].shape[1])]
        yield Plot(
            "order-filters",
            "The filters of the first conv layer",
            "Weights of the first layer's 3 × 3 filters, one network for each order of the genes. "
            "Filters that only pass the gene itself have their weight at the centre; edges and "
            "blobs are what a spatial order would give.",
            _pixels(arrays["filters"], order=orders, filter=names),
            partial(draw_images, rows=["order"], column="filter", unit="weight"),
        )


def _pixels(values: np.ndarray, **axes: list[str]) -> pd.DataFrame:
    """Return (..., height, width) as a frame: a column for each of `axes`, row, column, value."""
    levels = [*axes.values(), *map(range, values.shape[-2:])]
    index = pd.MultiIndex.from_product(levels, names=[*axes, "row", "column"])
    return pd.DataFrame({"value": values.reshape(-1).astype(float)}, index=index).reset_index()


# Drawings.


def draw_orders(data: pd.DataFrame) -> Figure:
    """Draw a row per model and order: the seeds, their mean and interval; references as lines."""
    means = data[data["kind"] == "mean"]
    names = means["model"] + ", " + means["gene_order"].map(ORDERS)
    places = np.arange(len(means)) + 0.7 * (means["model"] != means["model"].iloc[0])
    figure, axes = named_rows(list(names), list(places), 34, 142)
    for row in data[data["kind"] == "reference"].itertuples():
        axes.axvline(row.mse, label=label(row.series), **look(row.method) | {"marker": ""})
    seeds = data[data["kind"] == "seed"].groupby(["model", "gene_order"])["mse"]
    for mean, y in zip(means.itertuples(), places, strict=True):
        colour = ORANGE if mean.model == CONV else BLUE
        own = seeds.get_group((mean.model, mean.gene_order))
        small: dict[str, Any] = {
            "color": colour,
            "markersize": 4,
            "alpha": 0.7,
            "markeredgewidth": 0,
        }
        axes.plot(own, [y + 0.24] * len(own), "o", **small)
        axes.hlines(y - 0.08, mean.low, mean.high, color=colour, linewidth=4, alpha=0.45)
        edge: dict[str, Any] = {"markeredgecolor": BLACK, "markeredgewidth": 0.8}
        axes.plot([mean.mse], [y - 0.08], "D", color=colour, markersize=8, **edge)
    axes.set_xlim(0, 1.06 * np.nanmax(data[["mse", "high"]].astype(float)))
    axes.set_xlabel("test MSE (eq. 11)")
    name_all(figure, columns=3)
    return figure


def draw_images(data: pd.DataFrame, rows: list[str], column: str, unit: str) -> Figure:
    """Draw an image in each cell of a grid, and a bar that explains the colours.

    A row has its values of the columns `rows` at its left, a column its value of `column` above.
    """
    names = data[rows].agg("\n".join, axis=1) if rows else pd.Series("", data.index)
    lines, columns = names.unique(), data[column].unique()
    limit = float(np.nanpercentile(data["value"].abs(), 99))
    colours = ("cividis", 0) if unit == "MSE" else ("PuOr_r", -limit)
    left = 130 if rows else 20
    shape = data["row"].nunique() / data["column"].nunique()
    step = (WIDTH - left) / len(columns) * shape + 14
    figure, grid = canvas(step * len(lines) + 116, len(lines), len(columns))
    for (i, j), axes in np.ndenumerate(grid):
        pixels = data[(names == lines[i]) & (data[column] == columns[j])]
        image = pixels.pivot(index="row", columns="column", values="value").to_numpy()
        drawn = axes.imshow(image, cmap=colours[0], vmin=colours[1], vmax=limit)
        axes.grid(False)
        axes.spines[:].set_visible(False)
        axes.set(xticks=[], yticks=[])
        if i == 0:
            axes.set_title(columns[j], loc="center")
        if j == 0:
            axes.set_ylabel(lines[i], rotation=0, ha="right", va="center")
    figure.colorbar(drawn, ax=grid, location="bottom", label=unit, shrink=0.45, aspect=30)
    return figure
