"""Open question: are there spatial features? The conv network on genes in the given order, in others, and shuffled."""

from __future__ import annotations

import pandas as pd

from study.evidence.evidence import Evidence
from study.evidence.stats import FAILS, HOLDS, interval, sign_flip_test, verdict
from study.report.captions import plot_of
from study.report.curves import over_seeds, reference_curves
from study.report.document import Plot, Table
from study.report.questions import charts
from study.report.questions.pictures import examples
from study.report.questions.question import (
    MISSING,
    Question,
    effect,
    intervals,
    n_seeds,
    nearest,
    per_seed,
    signed,
    table_of,
    trained_alike,
    varied,
)
from study.report.style import label

CONV, SMALL_DENSE = "conv", "dense-2x2"
GIVEN, SHUFFLED = "given", "shuffled"
ORDERS = {
    GIVEN: "given order",
    "random": "random orders",
    "correlation": "placed by correlation",
    SHUFFLED: "shuffled values",
}


def order_errors(evidence: Evidence) -> pd.DataFrame:
    """Conv, and the dense network of its size, by order of the genes, at one noise factor, the nearest to 0.5.

    The rows of members, in the order of ORDERS; none where no network saw another order than the given.
    """
    rows = varied(evidence, "gene_order")
    rows = rows[rows["model"].isin([CONV, SMALL_DENSE])]
    rows = rows[
        rows["noise_factor"] == nearest(rows.loc[rows["gene_order"] != GIVEN, "noise_factor"])
    ]
    rows = trained_alike(rows, rows["gene_order"] != GIVEN)
    place = {order: i for i, order in enumerate(ORDERS)}
    rank = rows.assign(_rank=rows["gene_order"].map(place)).sort_values(
        ["model", "_rank", "seed"], kind="stable"
    )
    return rank.drop(columns="_rank").reset_index(drop=True)


def against_given(rows: pd.DataFrame) -> dict[tuple[str, str], pd.Series]:
    """By model and other order the MSE on it less the MSE on the given order, by seed: above 0 the given is better."""
    differences = {}
    for model, group in rows.groupby("model"):
        table = per_seed(group, "gene_order")
        for order in [
            order for order in ORDERS if order in table and order != GIVEN and GIVEN in table
        ]:
            if len(d := (table[order] - table[GIVEN]).dropna()):
                differences[model, order] = d
    return differences


def order_question(evidence: Evidence) -> Question:
    """Are there spatial features?"""
    asked = ("gene-order", "Are there spatial features?", "python run_study.py --grid gene-order")
    rows = order_errors(evidence)
    if not len(rows):
        return Question(*asked)
    differences = against_given(rows)
    pictures = [
        plot
        for run in evidence.runs
        for plot in examples(run.path / "examples.npz", evidence.simulated)
    ]
    pictures = list({plot.key: plot for plot in pictures}.values())
    exhibits = (_marks(evidence, rows), _table(evidence, rows, differences), *pictures)
    return Question(*asked, _answer(rows, differences), exhibits)


def _answer(rows: pd.DataFrame, differences: dict[tuple[str, str], pd.Series]) -> str:
    sentences = [_levels(rows)]
    for order, say in (("random", _spatial), ("correlation", _made)):
        if (CONV, order) in differences:
            sentences.append(say(differences[CONV, order]))
    given = per_seed(rows[rows["gene_order"] == GIVEN], "model")
    if {CONV, SMALL_DENSE} <= set(given) and len(d := (given[SMALL_DENSE] - given[CONV]).dropna()):
        sentences.append(
            f"A dense network of the same size, which sees no order, differs from it by {effect(d)}."
        )
    if not differences:
        sentences.append("They hold no network on two orders to compare.")
    return " ".join(sentences)


def _levels(rows: pd.DataFrame) -> str:
    """What the conv network scores on the given order and on the control."""
    noise, conv = rows["noise_factor"].iloc[0], rows[rows["model"] == CONV]
    means = conv.groupby("gene_order")["test_mse"].mean()
    told = [f"{means[order]:.4f} {where}" for order, where in _WHERE.items() if order in means]
    if not told:
        return f"At noise factor {noise:g} these runs hold no conv network on the given order."
    return (
        f"At noise factor {noise:g} the conv network has test MSE {', '.join(told)} "
        f"({n_seeds(conv['seed'].nunique())}); leaving the input alone has {noise**2:.4f}."
    )


_WHERE = {
    GIVEN: "on the given order",
    SHUFFLED: "on shuffled values, whose neighbours tell nothing",
}


def _spatial(differences: pd.Series) -> str:
    """C5 says that the given order has spatial features: then random orders would be worse."""
    found = verdict(differences)
    fact = f"Random orders change it by {effect(differences)}"
    if found.outcome == HOLDS:
        return f"{fact}, p = {found.p:.2g}: the given order is better than chance, so it has spatial features (C5)."
    if found.outcome == FAILS:
        return f"{fact}, p = {found.p:.2g}: the given order is worse than a random one: no spatial features (C5)."
    return f"{fact}: no sign of spatial features (C5) that these seeds can tell; {found.head}."


def _made(differences: pd.Series) -> str:
    """Placing genes by correlation: an order that is made."""
    found = verdict(differences)
    fact = f"Genes placed by correlation change it by {effect(differences)}"
    if found.outcome == FAILS:
        return (
            f"{fact}, p = {found.p:.2g}: an order whose neighbours tell of each other can be made from the training "
            "rows; the given order is not one."
        )
    if found.outcome == HOLDS:
        return f"{fact}, p = {found.p:.2g}: the given order is better than this one."
    return f"{fact}; whether an order can be made that is better than the given is {found.head}."


def _marks(evidence: Evidence, rows: pd.DataFrame) -> Plot:
    noise = rows["noise_factor"].iloc[0]
    means = over_seeds(rows, "test_mse", ["model", "gene_order"]).set_index(["model", "gene_order"])
    cells = [(m, o) for m in (CONV, SMALL_DENSE) for o in ORDERS if (m, o) in means.index]
    data = (
        means.loc[cells]
        .reset_index()
        .assign(kind="mean", name=[f"{m}, {ORDERS[o]}" for m, o in cells])
    )
    seeds = (
        rows[["model", "gene_order", "seed", "test_mse"]]
        .rename(columns={"test_mse": "mse"})
        .assign(kind="seed")
    )
    references = reference_curves(evidence)
    references = references[
        (references["noise_factor"] == noise) & ~references["series"].str.startswith("PCA")
    ]
    references = references[["series", "mse", "low", "high", "seeds"]].assign(kind="reference")
    told = [f"{row.model}, {ORDERS[row.gene_order]} {row.mse:.4f}" for row in data.itertuples()]
    told += [f"{label(row.series)} {row.mse:.4f}" for row in references.itertuples()]
    return plot_of(
        evidence,
        "gene-order",
        f"Order of the genes, noise factor {noise:g}",
        "Test MSE of the conv network and of a dense network with as many parameters, which sees no order. Were the "
        "given order spatial, random orders, one a seed, would be worse. In shuffled values genes have nothing to do "
        "with each other: the control, on which nothing can be gained from neighbours. Large marks are means with 95 % "
        "intervals over seeds, small ones are seeds. Lines are references, on the genes as they are.",
        f"Test MSE: {'; '.join(told)}.",
        pd.DataFrame(
            [row for part in (data, seeds, references) for row in part.to_dict("records")]
        ),
        charts.draw_orders,
    )


_ASKED = ((CONV, "random"), (CONV, "correlation"))


def _bounds(differences: pd.Series) -> str | None:
    found = interval(differences)
    return None if pd.isna(found.low) else f"{signed(found.low, 4)} to {signed(found.high, 4)}"


def _table(
    evidence: Evidence, rows: pd.DataFrame, differences: dict[tuple[str, str], pd.Series]
) -> Table:
    found = over_seeds(rows, "test_mse", ["model", "gene_order"]).set_index(["model", "gene_order"])
    found["95 %"] = intervals(found)
    lines = []
    for model in (CONV, SMALL_DENSE):
        of_model = rows[rows["model"] == model]
        for order in [order for order in ORDERS if (model, order) in found.index]:
            row = found.loc[(model, order)]
            train = of_model.loc[of_model["gene_order"] == order, "train_mse"].mean()
            other = differences.get((model, order))
            against = (None, None) if other is None else (other.mean(), _bounds(other))
            p = sign_flip_test(other).p if (model, order) in _ASKED and other is not None else None
            parameters = int(of_model["n_parameters"].iloc[0])
            lines.append(
                (
                    model,
                    ORDERS[order],
                    parameters,
                    train,
                    row["mse"],
                    row["95 %"],
                    *against,
                    p,
                    row["seeds"],
                )
            )
    columns = [
        "model",
        "genes",
        "parameters",
        "train MSE",
        "test MSE",
        "95 % interval",
        "against the given order",
    ]
    frame = pd.DataFrame(lines, columns=[*columns, "its 95 % interval", "p", "seeds"])
    return table_of(
        evidence,
        "gene-order-table",
        "Order of the genes",
        "The difference to the given order is paired by seed, above 0 where the given order is better; p of the "
        "two-sided sign-flip test of the two questions (is the given order spatial; can a better one be made), each of "
        f"which is one comparison. The controls have intervals alone. {MISSING}",
        frame,
        {
            "parameters": ",d",
            "train MSE": ".4f",
            "test MSE": ".4f",
            "against the given order": "+.4f",
            "p": ".3g",
        },
    )
