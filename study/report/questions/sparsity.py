"""Open question: does sparsity help, and against what? Claim C6's first half, measured as test less train MSE."""

from __future__ import annotations

import pandas as pd

from study.evidence.evidence import Evidence
from study.paper.judging import judge
from study.report.captions import plot_of
from study.report.curves import over_seeds
from study.report.document import Plot, Table
from study.report.questions import drawing
from study.report.questions.question import (
    Question,
    effect,
    in_order,
    intervals,
    model_names,
    n_seeds,
    nearest,
    outcome,
    per_seed,
    table_of,
    trained_alike,
    varied,
    words,
)
from study.report.wording import percent

NONE = "no term"
CELL = ["model", "term", "beta"]


def sparsity_errors(evidence: Evidence) -> pd.DataFrame:
    """Networks with and without a sparsity term at one noise factor, the nearest to 0.5: one row a network.

    Columns of members, and: term ("no term", "KL, rho = 0.05" with a Greek rho, ..., "L1"), gap (test less train
    MSE), and test_change and gap_change against the network of the same model and seed without a term.
    """
    rows = varied(evidence, "beta", "sparsity", "rho")
    penalised = rows[rows["beta"] > 0]
    rows = rows[rows["noise_factor"] == nearest(penalised["noise_factor"])]
    rows = trained_alike(rows, rows["beta"] > 0)
    kinds = zip(rows["beta"], rows["sparsity"], rows["rho"], strict=True)
    rows = rows.assign(
        term=[term_name(*kind) for kind in kinds], gap=rows["test_mse"] - rows["train_mse"]
    )
    rows = rows.reindex(
        columns=[*rows.columns, *{"mean_activation", "dead_units"} - set(rows.columns)]
    )
    base = rows[rows["term"] == NONE].groupby(["model", "seed"])[["test_mse", "gap"]].mean()
    rows = rows.join(base.add_suffix("_none"), on=["model", "seed"])
    rows["test_change"] = rows["test_mse"] - rows.pop("test_mse_none")
    rows["gap_change"] = rows["gap"] - rows.pop("gap_none")
    place = (
        rows["term"].map({NONE: 0.0, "L1": 2.0}).fillna(rows["rho"])
    )  # no term, KL by rho (below 1), L1
    return in_order(rows.assign(place=place), "place", "beta").drop(columns="place")


def term_name(beta: float, kind: str, rho: float) -> str:
    """The name of a sparsity term, whatever its weight."""
    return NONE if beta == 0 else "L1" if kind == "l1" else f"KL, ρ = {rho:g}"


def sparsity_question(evidence: Evidence) -> Question:
    """Does sparsity help, and against what?"""
    asked = (
        "sparsity",
        "Does sparsity help, and against what?",
        "python run_study.py --grid sparsity",
    )
    rows = sparsity_errors(evidence)
    if not len(rows):
        return Question(*asked)
    plots = [_curves(evidence, rows, *what) for what in _FIGURES if rows[what[1]].notna().any()]
    plots = [plot for plot in plots if plot.key != "sparsity-dead" or plot.data["mse"].max() > 0]
    answer = " ".join(
        filter(None, (_gap_sentence(rows), _best_sentence(rows), _activation_sentence(rows)))
    )
    return Question(*asked, answer, (*plots, _cell_table(evidence, rows)))


def at_largest_beta(rows: pd.DataFrame, value: str) -> dict[tuple[str, None], pd.Series]:
    """By model and kind of term `value` by seed at the kind's largest beta: means over its rho, of seeds that have all.

    `rows` as of sparsity_errors; empty without networks that have no term, for a value that compares with them.
    """
    parts = {}
    for (model, kind), group in rows[rows["beta"] > 0].groupby(["model", "sparsity"], sort=False):
        most = group["beta"].max()
        values = per_seed(group[group["beta"] == most], "term", value).dropna()
        if len(values):
            parts[f"{model}, {kind.upper()} with beta {most:g}", None] = values.mean(axis=1)
    return parts


def _gap_sentence(rows: pd.DataFrame) -> str:
    """C6's first half, that a term adds to the gap: a part a model and kind of term."""
    gaps, tests = (at_largest_beta(rows, value) for value in ("gap_change", "test_change"))
    verdict = judge(gaps)
    none = rows[rows["term"] == NONE]
    if verdict is None:
        return "These runs hold no network without a sparsity term to compare with."
    gap, test = (pd.concat(parts, axis=1).dropna().mean(axis=1) for parts in (gaps, tests))
    said = outcome(verdict, "it holds", "it does not hold")
    moved = (
        f" changes the gap by {effect(gap)} and the test MSE by {effect(test)}" if len(gap) else ""
    )
    return (
        f"Without a sparsity term the gap test − train is {none.groupby('seed')['gap'].mean().mean():.4f} MSE at noise "
        f"factor {rows['noise_factor'].iloc[0]:g} (mean over {model_names(rows['model'])}, "
        f"{n_seeds(none['seed'].nunique())}){f'; the largest beta of each kind of term{moved}' if moved else ''}. That "
        f"fewer sparsity constraints reduce the overfitting (first half of C6): {said[0].lower()}{said[1:]}"
    )


def _best_sentence(rows: pd.DataFrame) -> str:
    """By model the setting with the least validation MSE, and what it is worth on test rows."""
    chosen = []
    for model, group in rows.groupby("model", sort=False):
        term, beta = group.groupby(["term", "beta"])["val_mse"].mean().idxmin()
        of = group[(group["term"] == term) & (group["beta"] == beta)]
        test = of.set_index("seed")["test_change"].dropna()
        worth = (
            f", which changes the test MSE by {effect(test)}" if term != NONE and len(test) else ""
        )
        chosen.append(f"for {model} {NONE if term == NONE else f'{term}, beta {beta:g}'}{worth}")
    return f"The setting with the least validation MSE is {'; '.join(chosen)}."


def _activation_sentence(rows: pd.DataFrame) -> str:
    """Does KL bring the mean activation to rho? And are there dead units?"""
    kl = rows[(rows["beta"] > 0) & (rows["sparsity"] == "kl")]
    reached = kl.pivot_table(
        index="beta", columns="rho", values="mean_activation"
    )  # means over models and seeds
    parts = []
    if len(reached):
        ends = reached.loc[sorted({reached.index.min(), reached.index.max()})]
        told = [
            f"{', '.join(f'{v:.3f}' for v in line)} with beta {beta:g}"
            for beta, line in ends.iterrows()
        ]
        none = rows.loc[rows["term"] == NONE, "mean_activation"].mean()
        unforced = f" (without a term {none:.3f})" if pd.notna(none) else ""
        asked = ", ".join(f"{rho:g}" for rho in reached.columns)
        parts.append(
            f"KL with ρ = {asked} brings the mean activation of the code to {words(told)}{unforced}"
        )
    dead = rows.dropna(subset=["dead_units"]).groupby(CELL, sort=False)["dead_units"].mean()
    if len(dead) and dead.max() == 0:
        parts.append("no code unit is dead")
    elif len(dead):
        model, term, beta = dead.idxmax()
        where = term if term == NONE else f"{term}, beta {beta:g}"
        parts.append(f"at most {percent(dead.max())} of the code units are dead ({model}, {where})")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _curves(
    evidence: Evidence, rows: pd.DataFrame, key: str, value: str, name: str, caption: str
) -> Plot:
    data = over_seeds(
        rows.assign(rho=rows["rho"].where(rows["sparsity"] == "kl")), value, [*CELL, "rho"]
    )
    cells = rows[["model", "term", "beta"]].drop_duplicates()
    data = cells.merge(data, on=CELL).assign(quantity=name)
    told = []
    for model, group in data.groupby("model", sort=False):
        low, high = group.loc[group["mse"].idxmin()], group.loc[group["mse"].idxmax()]
        ends = [f"{row['mse']:.3g} ({row['term']}, beta {row['beta']:g})" for row in (low, high)]
        told.append(f"{model} {' to '.join(ends)}")
    none = "" if (data["term"] == NONE).any() else " These runs hold no network without a term."
    return plot_of(
        evidence,
        key,
        f"Sparsity: {name} against beta",
        f"{caption} Noise factor {rows['noise_factor'].iloc[0]:g}; beta weighs the sparsity term, ρ is the mean "
        f"activation that KL asks for. The dashed black line is no term. Bars are 95 % intervals over seeds.{none}",
        f"{name[0].upper()}{name[1:]}: {'; '.join(told)}.",
        data,
        drawing.draw_terms,
    )


_FIGURES = (
    (
        "sparsity-mse",
        "test_mse",
        "test MSE",
        "Noisy test rows: a term that helps brings its line below the dashed one.",
    ),
    (
        "sparsity-gap",
        "gap",
        "gap, test − train MSE",
        "What the paper calls overfitting, both on noisy rows. If fewer constraints reduced it, the lines would rise "
        "with beta. A smaller gap with a larger test MSE is no gain.",
    ),
    (
        "sparsity-activation",
        "mean_activation",
        "mean activation of the code",
        "Does the penalty do what it says? Mean over the code units on validation rows; thin lines in a term's colour "
        "are the ρ that it asks for.",
    ),
    (
        "sparsity-dead",
        "dead_units",
        "share of dead code units",
        "Units whose answer is the same for every validation row: they tell nothing of a sample.",
    ),
)


def _cell_table(evidence: Evidence, rows: pd.DataFrame) -> Table:
    """A row a model x term x beta."""
    means = rows.groupby([*CELL, "rho"], sort=False).agg(
        train=("train_mse", "mean"),
        validation=("val_mse", "mean"),
        test=("test_mse", "mean"),
        activation=("mean_activation", "mean"),
        dead=("dead_units", "mean"),
        seeds=("seed", "nunique"),
    )
    gap = over_seeds(rows, "gap", [*CELL, "rho"]).set_index([*CELL, "rho"]).loc[means.index]
    change = (
        over_seeds(rows, "test_change", [*CELL, "rho"])
        .set_index([*CELL, "rho"])
        .reindex(means.index)
    )
    change.loc[change.index.get_level_values("term") == NONE] = float("nan")
    cells = means.index.to_frame(index=False)
    frame = cells[["model", "term", "beta"]].assign(
        **{
            "train MSE": means["train"].to_numpy(),
            "validation MSE": means["validation"].to_numpy(),
            "test MSE": means["test"].to_numpy(),
            "gap, test − train": gap["mse"].to_numpy(),
            "gap, 95 %": intervals(gap),
            "test MSE against no term": change["mse"].to_numpy(),
            "against no term, 95 %": intervals(change),
            "mean activation": means["activation"].to_numpy(),
            "dead units": means["dead"].to_numpy(),
            "seeds": means["seeds"].to_numpy(),
        }
    )
    mse = [name for name in frame if "MSE" in name and name != "test MSE against no term"]
    return table_of(
        evidence,
        "sparsity-cells",
        f"Sparsity: every setting, noise factor {rows['noise_factor'].iloc[0]:g}",
        "Means over seeds, on noisy rows. A change against no term is paired by seed; below 0 the term helps.",
        frame,
        {
            **dict.fromkeys([*mse, "gap, test − train"], ".4f"),
            **{
                "beta": "g",
                "test MSE against no term": "+.4f",
                "mean activation": ".3f",
                "dead units": ".0%",
            },
        },
    )
