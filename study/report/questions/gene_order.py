"""Are there spatial features? The conv network on genes in the given and in other orders.

Pictures are drawn from examples.npz in a run folder (study/evidence/references.py).
"""

from __future__ import annotations

import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from data_utils.errors import InputError
from data_utils.noise import identity_mse
from models.config import SMALL_DENSE
from study.evidence.evidence import MIXTURE, Evidence
from study.evidence.images import pixels
from study.evidence.stats import counted, sign_flip_test
from study.report.curves import MISSING, nearest, over_seeds, references_at
from study.report.document import Plot, Table
from study.report.drawing import colour_bar, draw_image, name_all, named_rows
from study.report.questions import question as q
from study.report.style import BLACK, BLUE, ORANGE, canvas, label, look, width
from study.report.wording import intervals

CONV = "conv"
GIVEN, SHUFFLED = "given", "shuffled"
ORDERS = {
    GIVEN: "given order",
    "random": "random orders",
    "correlation": "placed by correlation",
    "chromosome": "by chromosome",
    SHUFFLED: "shuffled values",
}
#: By order: the comparison, and its meaning if the given order is better or worse.
ASKED = {
    "random": (
        "Random orders, which are worse if the given one has spatial features (C5), change it",
        "the given order is better than chance, so it has spatial features",
        "the given order is worse than chance: no spatial features",
    ),
    "correlation": (
        "Genes placed by correlation change it",
        "the given order is better than this one",
        "a better order than the given can be made from the training rows",
    ),
    "chromosome": (
        "Genes in the order of their chromosomes change it",
        "the given order is better than that of the genome",
        "neighbours on the genome carry information that the given order does not use",
    ),
}
STAGES = ("clean", "noisy", "denoised")
N_SHOWN = 2  # samples of each order

Differences = dict[tuple[str, str], pd.Series]


# Data.


def order_errors(evidence: Evidence) -> pd.DataFrame:
    """Return conv, and the dense network of its size, by order of the genes, at one noise factor.

    The rows are those of members, in the order of ORDERS; the noise factor is the nearest to 0.5.
    Empty if all networks were trained on the given order.
    """
    rows = q.varied(evidence, "gene_order")
    rows = rows[rows["model"].isin([CONV, SMALL_DENSE])]
    other = rows["gene_order"] != GIVEN
    rows = rows[rows["noise_factor"] == nearest(rows.loc[other, "noise_factor"])]
    rows = q.trained_alike(rows, rows["gene_order"] != GIVEN)
    rank = rows["gene_order"].map(list(ORDERS).index)
    rows = rows.assign(rank=rank).sort_values(["model", "rank", "seed"], ignore_index=True)
    return rows.drop(columns="rank")


def against_given(rows: pd.DataFrame) -> Differences:
    """Return by model and other order log(its MSE / that of the given order), by seed.

    Above 0 the given order is better.
    """
    differences = {}
    for model, group in rows.groupby("model"):
        table = np.log(q.per_seed(group, "gene_order").reindex(columns=list(ORDERS)))
        for order in list(ORDERS)[1:]:
            difference = (table[order] - table[GIVEN]).dropna()
            if len(difference):
                differences[model, order] = difference
    return differences


# Words.


def order_question(evidence: Evidence) -> q.Question:
    """Ask whether there are spatial features."""
    asked = q.Question("gene-order", "Are there spatial features?")
    rows = order_errors(evidence)
    if not len(rows):
        return asked
    differences = against_given(rows)
    found = {plot.key: plot for run in evidence.runs for plot in pictures(run.path)}
    exhibits: list[Plot | Table] = [_marks(evidence, rows)]
    exhibits.append(_table(evidence, rows, differences))
    exhibits += found.values()
    answer = _answer(evidence, rows, differences)
    return asked.answered(answer, exhibits, rows["member_id"])


def _answer(evidence: Evidence, rows: pd.DataFrame, differences: Differences) -> str:
    noise, means = (
        rows["noise_factor"].iloc[0],
        q.per_seed(rows[rows["model"] == CONV], "gene_order"),
    )
    names = {
        GIVEN: "on the given order",
        SHUFFLED: "on shuffled values, whose neighbours carry no information",
    }
    levels = [
        f"{means[order].mean():.4f} {name}" for order, name in names.items() if order in means
    ]
    sentences = [
        f"At noise factor {noise:g} the conv network has test MSE {', '.join(levels)} "
        f"({counted(len(means))}); leaving the input alone has {identity_mse(noise):.4f}."
        if levels
        else f"At noise factor {noise:g} these runs hold no conv network on the given order."
    ]
    for order, (fact, *meaning) in ASKED.items():
        if (CONV, order) in differences:
            effect = q.effect(differences[CONV, order], evidence)
            sentences.append(f"{fact}: {q.outcome(effect, *meaning)}.")
    given = q.per_seed(rows[rows["gene_order"] == GIVEN], "model")
    if {SMALL_DENSE, CONV} <= set(given):
        ratio = np.log(given[SMALL_DENSE] / given[CONV]).dropna()
        if len(ratio):
            sentences.append(
                "A dense network of the same size, which sees no order, differs from it by "
                f"{q.effect(ratio, evidence).shown}."
            )
    if not differences:
        sentences.append("They hold no network on two orders to compare.")
    return " ".join(sentences)


def _cells(rows: pd.DataFrame, overlap: float) -> pd.DataFrame:
    """Return MSE over seeds by model and order, in the order of the rows."""
    cell = ["model", "gene_order"]
    return rows[cell].drop_duplicates().merge(over_seeds(rows, "test_mse", cell, overlap), on=cell)


def _marks(evidence: Evidence, rows: pd.DataFrame) -> Plot:
    noise = rows["noise_factor"].iloc[0]
    seeds = rows[["model", "gene_order", "seed", "test_mse"]].rename(columns={"test_mse": "mse"})
    methods = ("identity", "gene mean", "Wiener", MIXTURE, "oracle")
    parts = {"mean": _cells(rows, evidence.overlap), "seed": seeds}
    parts["reference"] = references_at(evidence, noise, methods)
    return Plot(
        "gene-order",
        f"Order of the genes, noise factor {noise:g}",
        "Test MSE of the conv network and of a dense network with as many parameters, which "
        "sees no order, by order of the genes.",
        pd.concat([part.astype(object).assign(kind=kind) for kind, part in parts.items()]),
        draw_orders,
        note=(
            "If the given order were spatial, random orders, one per seed, would be worse. "
            "Shuffled values are the control: neighbours carry no information. Large marks are "
            "means with 95 % intervals over seeds, small ones are seeds. Lines are references, "
            "on the genes as they are."
        ),
    )


def _table(evidence: Evidence, rows: pd.DataFrame, differences: Differences) -> Table:
    cells = _cells(rows, evidence.overlap)
    of = rows.groupby(["model", "gene_order"], sort=False)
    keys = list(zip(cells["model"], cells["gene_order"], strict=True))
    tested = [key in differences and key[0] == CONV and key[1] in ASKED for key in keys]
    frame = pd.DataFrame(
        {
            "model": cells["model"],
            "genes": cells["gene_order"].map(ORDERS),
            "parameters": of["n_parameters"].first().to_numpy(dtype=int),
            "train MSE": of["train_mse"].mean().to_numpy(),
            "test MSE": cells["mse"],
            "95 % interval": intervals(cells),
            "against the given order": [
                q.effect(differences[key], evidence).shown if key in differences else None
                for key in keys
            ],
            "p": [
                sign_flip_test(differences[key]) if asked else None
                for key, asked in zip(keys, tested, strict=True)
            ],
            "seeds": cells["seeds"],
        }
    )
    return Table(
        "gene-order-table",
        "Order of the genes",
        "MSE by network and order, and its difference to the given order, paired by seed, "
        "above 0 if the given order is better.",
        frame,
        {"parameters": ",d", "train MSE": ".4f", "test MSE": ".4f", "p": ".3g"},
        note=(
            "p is that of the two-sided sign-flip test of the questions: is the given order "
            "spatial, can a better one be made, and is that of the chromosomes better? Controls "
            f"have intervals only. {MISSING}"
        ),
    )


# Pictures.


def pictures(folder: Path) -> list[Plot]:
    """Return the pictures of a run folder; none without its examples.npz.

    Raises InputError for a file that cannot be read, or arrays that do not go together.
    """
    path = folder / "examples.npz"
    if not path.exists():
        return []
    try:
        with np.load(path) as file:
            arrays = dict(file)
        orders = [str(name) for name in arrays["order"]]
        # (stages, orders, samples, height, width)
        images = np.stack([arrays[name][:, :N_SHOWN] for name in STAGES])
        samples = [f"sample {i + 1}" for i in range(images.shape[2])]
        filters = [str(i + 1) for i in range(arrays["filters"].shape[1])]
        data = {
            "samples": pixels(images, stage=list(STAGES), order=orders, sample=samples),
            "error": pixels(arrays["error"], order=orders),
            "filters": pixels(arrays["filters"], order=orders, filter=filters),
        }
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: cannot be drawn ({error}): delete it, or finish the run with --resume"
        ) from None
    return [
        Plot(
            "order-samples",
            "Samples as the conv network sees them",
            "Test samples as images, one gene per pixel (z-scores): clean, with noise, and "
            "denoised by the conv network, in each order of the genes.",
            data["samples"],
            partial(draw_images, rows=["order", "sample"], column="stage", unit="z-score"),
            note="If an order is spatial, neighbouring pixels are alike.",
        ),
        Plot(
            "order-error",
            "Where the error sits",
            "Mean squared error of the conv network on noisy test rows by pixel, that is by "
            "gene, in each order of the genes.",
            data["error"],
            partial(draw_images, rows=[], column="order", unit="MSE"),
            note=(
                "Spatial error would gather in places of the image; a pattern that moves with the "
                "gene is the gene's own."
            ),
        ),
        Plot(
            "order-filters",
            "The filters of the first conv layer",
            "Weights of the first layer's 3 × 3 filters, one network for each order of the genes.",
            data["filters"],
            partial(draw_images, rows=["order"], column="filter", unit="weight"),
            note=(
                "Filters that only pass the gene itself have their weight at the centre; a spatial "
                "order would give edges and blobs."
            ),
        ),
    ]


# Drawings.


def draw_orders(data: pd.DataFrame) -> Figure:
    """Draw a row per model and order: the seeds, their mean and interval; references as lines."""
    means = data[data["kind"] == "mean"]
    names = means["model"] + ", " + means["gene_order"].map(ORDERS)
    places = np.arange(len(means)) + 0.7 * (means["model"] != means["model"].iloc[0])
    figure, axes = named_rows(list(names), list(places), 34, 142)
    for row in data[data["kind"] == "reference"].itertuples():
        axes.axvline(row.mse, label=label(row.series), **look(row.method, marker=""))
    seeds = data[data["kind"] == "seed"].groupby(["model", "gene_order"])["mse"]
    for mean, y in zip(means.itertuples(), places, strict=True):
        colour = ORANGE if mean.model == CONV else BLUE
        own = seeds.get_group((mean.model, mean.gene_order))
        at = [y + 0.24] * len(own)
        axes.plot(own, at, "o", color=colour, markersize=4, alpha=0.7, markeredgewidth=0)
        axes.hlines(y - 0.08, mean.low, mean.high, color=colour, linewidth=4, alpha=0.45)
        axes.plot([mean.mse], [y - 0.08], "D", color=colour, markersize=8, mec=BLACK, mew=0.8)
    axes.set_xlim(0, 1.06 * np.nanmax(data[["mse", "high"]].astype(float)))
    axes.set_xlabel("test MSE (eq. 11)")
    name_all(figure, columns=3)
    return figure


def draw_images(data: pd.DataFrame, rows: list[str], column: str, unit: str) -> Figure:
    """Draw an image in each cell of a grid, and a bar that explains the colours.

    At the left of a row are its values of `rows`, above a column is its value of `column`.
    """
    names = data[rows].agg("\n".join, axis=1) if rows else pd.Series("", data.index)
    lines, columns = names.unique(), data[column].unique()
    limit = float(np.nanpercentile(data["value"].abs(), 99))
    colours = ("cividis", 0.0) if unit == "MSE" else ("PuOr_r", -limit)
    left = 130 if rows else 20
    shape = data["row"].nunique() / data["column"].nunique()
    step = (width() - left) / len(columns) * shape + 14
    figure, grid = canvas(step * len(lines) + 116, len(lines), len(columns))
    for (i, j), axes in np.ndenumerate(grid):
        its = data[(names == lines[i]) & (data[column] == columns[j])]
        drawn = draw_image(axes, its, (*colours, limit))
        if i == 0:
            axes.set_title(columns[j], loc="center")
        if j == 0:
            axes.set_ylabel(lines[i], rotation=0, ha="right", va="center")
    colour_bar(figure, drawn, unit)
    return figure
