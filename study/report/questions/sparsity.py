"""Does sparsity help, and against what? Claim C6's first half, measured as test less train MSE."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from study.evidence.evidence import Evidence
from study.paper.judging import judge
from study.report.curves import nearest, over_seeds
from study.report.document import Plot, Table
from study.report.questions.question import (
    Question,
    effect,
    mean_over,
    outcome,
    per_seed,
    trained_alike,
    varied,
)
from study.report.style import GREY, draw_series, log_axis, look, looks_of, multiples, name_all
from study.report.wording import in_order, intervals, joined, model_names, n_seeds, percent

NONE = "no term"
CELL = ["model", "term", "beta"]


@dataclass(frozen=True)
class Measure:
    """A figure of a quantity against beta; `column` is its column of members."""

    key: str
    column: str
    name: str
    caption: str
    log: bool = False
    """On a logarithmic axis, with the ρ that are asked for."""
    floor: float | None = None


MEASURES = (
    Measure(
        "sparsity-mse",
        "test_mse",
        "test MSE",
        "Noisy test rows: a term that helps brings its line below the dashed one.",
    ),
    Measure(
        "sparsity-gap",
        "gap",
        "gap, test − train MSE",
        "What the paper calls overfitting, both on noisy rows. If fewer constraints reduced it, the lines "
        "would rise with beta. A smaller gap with a larger test MSE is no gain.",
    ),
    Measure(
        "sparsity-activation",
        "mean_activation",
        "mean activation of the code",
        "Does the penalty do what it says? Mean over the code units on validation rows; thin lines in a "
        "term's colour are the ρ that it asks for.",
        log=True,
    ),
    Measure(
        "sparsity-dead",
        "dead_units",
        "share of dead code units",
        "Units whose answer is the same for every validation row: they carry nothing of a sample.",
        floor=-0.02,
    ),
)


# Data.


def sparsity_errors(evidence: Evidence) -> pd.DataFrame:
    """Return networks with and without a sparsity term at the noise factor nearest to 0.5.

    Columns of members, and: term ("no term", "KL, ρ = 0.05", ..., "L1"), gap (test less train MSE), and
    test_change and gap_change against the network of the same model and seed without a term.
    """
    rows = varied(evidence, "beta", "sparsity", "rho")
    middle = nearest(rows.loc[rows["beta"] > 0, "noise_factor"])
    rows = rows[rows["noise_factor"] == middle]
    rows = trained_alike(rows, rows["beta"] > 0)
    kinds = zip(rows["beta"], rows["sparsity"], rows["rho"], strict=True)
    terms = [term_name(*kind) for kind in kinds]
    rows = rows.assign(term=terms, gap=rows["test_mse"] - rows["train_mse"])
    base = rows[rows["term"] == NONE].groupby(["model", "seed"])[["test_mse", "gap"]].mean()
    base = rows[["model", "seed"]].join(base, on=["model", "seed"])
    rows["test_change"] = rows["test_mse"] - base["test_mse"]
    rows["gap_change"] = rows["gap"] - base["gap"]
    place = rows["term"].map({NONE: 0.0, "L1": 2.0}).fillna(rows["rho"])  # KL by rho, below 1
    return in_order(rows.assign(place=place), "place", "beta").drop(columns="place")


def term_name(beta: float, kind: str, rho: float) -> str:
    """Return the name of a sparsity term, whatever its weight."""
    return NONE if beta == 0 else "L1" if kind == "l1" else f"KL, ρ = {rho:g}"


def at_largest_beta(rows: pd.DataFrame, value: str) -> dict[tuple[str, None], pd.Series]:
    """Return by model and kind of term `value` by seed at the kind's largest beta.

    It is a mean over the kind's rho, for seeds that have all. Empty if `value` compares with networks
    without a term and there are none. `rows` is as of sparsity_errors.
    """
    parts: dict[tuple[str, None], pd.Series] = {}
    for (model, kind), group in rows[rows["beta"] > 0].groupby(["model", "sparsity"], sort=False):
        most = group["beta"].max()
        values = per_seed(group[group["beta"] == most], "term", value).dropna()
        if len(values):
            parts[f"{model}, {kind.upper()} with beta {most:g}", None] = values.mean(axis=1)
    return parts


# Words.


def sparsity_question(evidence: Evidence) -> Question:
    """Ask whether sparsity helps, and against what."""
    asked = Question(
        "sparsity", "Does sparsity help, and against what?", "python run_study.py --grid sparsity"
    )
    rows = sparsity_errors(evidence)
    if not len(rows):
        return asked
    exhibits = [_curves(rows, measure) for measure in MEASURES if _is_shown(rows, measure)]
    sentences = (_gap_sentence(rows), _best_sentence(rows), _activation_sentence(rows))
    answer = " ".join(filter(None, sentences))
    return asked.answered(answer, [*exhibits, _cell_table(rows)], rows["member_id"])


def _is_shown(rows: pd.DataFrame, measure: Measure) -> bool:
    """Leave out what was not measured, and dead units if there are none."""
    values = rows[measure.column].dropna()
    return len(values) > 0 and (measure.column != "dead_units" or values.max() > 0)


def _gap_sentence(rows: pd.DataFrame) -> str:
    """Judge C6's first half, that a term adds to the gap, by model and kind of term."""
    gaps, tests = (at_largest_beta(rows, value) for value in ("gap_change", "test_change"))
    verdict = judge(gaps)
    none = rows[rows["term"] == NONE]
    if verdict is None:
        return "These runs hold no network without a sparsity term to compare with."
    gap, test = mean_over(gaps), mean_over(tests)
    moved = ""
    if len(gap):
        moved = (
            f"; the largest beta of each kind of term changes the gap by {effect(gap)} and the test MSE by "
            f"{effect(test)}"
        )
    judged = outcome(verdict, "it holds", "it does not hold")
    return (
        f"Without a sparsity term the gap test − train is {none.groupby('seed')['gap'].mean().mean():.4f} "
        f"MSE at noise factor {rows['noise_factor'].iloc[0]:g} (mean over {model_names(rows['model'])}, "
        f"{n_seeds(none['seed'].nunique())}){moved}. That fewer sparsity constraints reduce the overfitting "
        f"(first half of C6): {judged[0].lower()}{judged[1:]}"
    )


def _best_sentence(rows: pd.DataFrame) -> str:
    """Name by model the setting with the least validation MSE, and its effect on test rows."""
    chosen = []
    for model, group in rows.groupby("model", sort=False):
        term, beta = group.groupby(["term", "beta"])["val_mse"].mean().idxmin()
        of = group[(group["term"] == term) & (group["beta"] == beta)]
        change = of.set_index("seed")["test_change"].dropna()
        if term == NONE:
            chosen.append(f"for {model} {NONE}")
            continue
        worth = f", which changes the test MSE by {effect(change)}" if len(change) else ""
        chosen.append(f"for {model} {term}, beta {beta:g}{worth}")
    return f"The setting with the least validation MSE is {'; '.join(chosen)}."


def _activation_sentence(rows: pd.DataFrame) -> str:
    """Say whether KL brings the mean activation to rho, and how many units are dead."""
    parts = []
    kl = rows[(rows["beta"] > 0) & (rows["sparsity"] == "kl")]
    # means over models and seeds
    reached = kl.pivot_table(index="beta", columns="rho", values="mean_activation")
    if len(reached):
        ends = reached.loc[sorted({reached.index.min(), reached.index.max()})]
        values = [
            f"{', '.join(f'{value:.3f}' for value in line)} with beta {beta:g}"
            for beta, line in ends.iterrows()
        ]
        none = rows.loc[rows["term"] == NONE, "mean_activation"].mean()
        unforced = f" (without a term {none:.3f})" if pd.notna(none) else ""
        rhos = ", ".join(f"{rho:g}" for rho in reached.columns)
        parts.append(
            f"KL with ρ = {rhos} brings the mean activation of the code to {joined(values)}{unforced}"
        )
    dead = rows.dropna(subset=["dead_units"]).groupby(CELL, sort=False)["dead_units"].mean()
    if len(dead) and dead.max() == 0:
        parts.append("no code unit is dead")
    elif len(dead):
        model, term, beta = dead.idxmax()
        name = term if term == NONE else f"{term}, beta {beta:g}"
        parts.append(f"at most {percent(dead.max())} of the code units are dead ({model}, {name})")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _curves(rows: pd.DataFrame, measure: Measure) -> Plot:
    asked = rows.assign(rho=rows["rho"].where(rows["sparsity"] == "kl"))
    data = over_seeds(asked, measure.column, [*CELL, "rho"])
    data = rows[CELL].drop_duplicates().merge(data, on=CELL)  # in the order of the terms
    none = "" if (data["term"] == NONE).any() else " These runs hold no network without a term."
    return Plot(
        measure.key,
        f"Sparsity: {measure.name} against beta",
        f"{measure.caption} Noise factor {rows['noise_factor'].iloc[0]:g}; beta weighs the sparsity term, ρ "
        "is the mean activation that KL asks for. The dashed black line is no term. Bars are 95 % intervals "
        f"over seeds.{none}",
        data.assign(series=data["term"]),
        partial(draw_terms, measure=measure),
    )


def _cell_table(rows: pd.DataFrame) -> Table:
    """Make a row per model, term and beta."""
    cell = [*CELL, "rho"]
    means = rows.groupby(cell, sort=False).agg(
        train=("train_mse", "mean"),
        validation=("val_mse", "mean"),
        test=("test_mse", "mean"),
        activation=("mean_activation", "mean"),
        dead=("dead_units", "mean"),
        seeds=("seed", "nunique"),
    )
    gap = over_seeds(rows, "gap", cell).set_index(cell).loc[means.index]
    change = over_seeds(rows, "test_change", cell).set_index(cell).reindex(means.index)
    change.loc[change.index.get_level_values("term") == NONE] = float("nan")
    frame = pd.DataFrame(
        {
            "train MSE": means["train"],
            "validation MSE": means["validation"],
            "test MSE": means["test"],
            "gap, test − train": gap["mse"],
            "gap, 95 %": intervals(gap),
            "test MSE against no term": change["mse"],
            "against no term, 95 %": intervals(change),
            "mean activation": means["activation"],
            "dead units": means["dead"],
            "seeds": means["seeds"],
        }
    )
    mse = ("train MSE", "validation MSE", "test MSE", "gap, test − train")
    return Table(
        "sparsity-cells",
        f"Sparsity: every setting, noise factor {rows['noise_factor'].iloc[0]:g}",
        "Means over seeds, on noisy rows. A change against no term is paired by seed; below 0 the term helps.",
        frame.reset_index().drop(columns="rho"),
        {
            **dict.fromkeys(mse, ".4f"),
            "beta": "g",
            "test MSE against no term": "+.4f",
            "mean activation": ".3f",
            "dead units": ".0%",
        },
    )


# Drawings.


def draw_terms(data: pd.DataFrame, measure: Measure) -> Figure:
    """Draw a panel per model: a quantity against beta, a line per term, no term as a dashed line."""
    figure, panels = multiples(data["model"])
    kl = data.dropna(subset=["rho"])
    kl = kl[kl["term"] != NONE].sort_values("rho")["term"].drop_duplicates()
    looks = looks_of(list(kl)) | {"L1": look("L1")}
    betas = sorted(data.loc[data["beta"] > 0, "beta"].unique())
    for model, axes in panels.items():
        for term, points in data[data["model"] == model].groupby("term", sort=False):
            first = points.iloc[0]
            if term == NONE:
                axes.axhline(first["mse"], label=term, **look(NONE))
                if np.isfinite(first["low"]):
                    axes.axhspan(first["low"], first["high"], color=GREY, alpha=0.15, linewidth=0)
                continue
            draw_series(axes, points, looks[term], "beta")
            if measure.log and pd.notna(first["rho"]):
                axes.axhline(first["rho"], color=looks[term]["color"], linewidth=0.9, zorder=1)
        axes.set_xlim(betas[0] / 1.5, betas[-1] * 1.5)
        log_axis(axes, "x", betas)
    if measure.floor is not None:
        axes.set_ylim(measure.floor, None)  # of all panels
    if measure.log:
        log_axis(axes, "y", [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
    figure.supxlabel("beta")
    figure.supylabel(measure.name)
    name_all(figure)
    return figure
