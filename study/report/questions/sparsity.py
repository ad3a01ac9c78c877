"""Does sparsity help, and against what? Claim C6's first half, as test minus train MSE."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from study.evidence.evidence import Evidence
from study.evidence.stats import counted
from study.paper.judging import Part, Rule, judge
from study.report.curves import INTERVAL, at_ends, nearest, over_seeds
from study.report.document import Plot, Table
from study.report.drawing import log_axis, multiples
from study.report.questions import question as q
from study.report.style import look, looks_of
from study.report.wording import in_order, intervals, joined, model_names, percent

NONE = "no term"
CELL = ["model", "term", "beta"]
#: The figures, each of a quantity against beta: by column its name, what is drawn, and a note.
MEASURES = {
    "test_mse": (
        "test MSE",
        "Test MSE on noisy test rows",
        "A term that helps brings its line below the dashed one.",
    ),
    "gap": (
        "gap, test − train MSE",
        "Test less train MSE, both on noisy rows",
        "It is what the paper calls overfitting. If fewer constraints reduced it, the lines would "
        "rise with beta. A smaller gap with a larger test MSE is no gain.",
    ),
    "mean_activation": (
        "mean activation of the code",
        "Mean activation over the code units on validation rows",
        "Thin lines in a term's colour are the ρ that it asks for.",
    ),
}


# Data.


def sparsity_errors(evidence: Evidence) -> pd.DataFrame:
    """Return networks with and without a sparsity term at the noise factor nearest to 0.5.

    Columns of members, and: term ("no term", "KL, ρ = 0.05", ..., "L1"), gap (test less train MSE),
    log_gap (log of test over train MSE), log_test (log of test MSE), and test_change,
    log_test_change and log_gap_change against the network of the same model and seed without a
    term.
    """
    rows = q.varied(evidence, "beta", "sparsity", "rho")
    middle = nearest(rows.loc[rows["beta"] > 0, "noise_factor"])
    rows = rows[rows["noise_factor"] == middle]
    rows = q.trained_alike(rows, rows["beta"] > 0)
    term = rows["rho"].map("KL, ρ = {:g}".format).astype(object)
    term = term.mask(rows["sparsity"] == "l1", "L1").mask(rows["beta"] == 0, NONE)
    rows = rows.assign(term=term, gap=rows["test_mse"] - rows["train_mse"])
    rows = rows.assign(log_test=np.log(rows["test_mse"]), log_gap=_log_gap(rows))
    measures = ["test_mse", "log_test", "log_gap"]
    base = rows[rows["term"] == NONE].groupby(["model", "seed"])[measures].mean()
    base = rows[["model", "seed"]].join(base, on=["model", "seed"])
    rows["test_change"] = rows["test_mse"] - base["test_mse"]
    rows["log_test_change"] = rows["log_test"] - base["log_test"]
    rows["log_gap_change"] = rows["log_gap"] - base["log_gap"]
    place = rows["term"].map({NONE: 0.0, "L1": 2.0}).fillna(rows["rho"])  # KL by rho, below 1
    return in_order(rows.assign(place=place), "place", "beta").drop(columns="place")


def _log_gap(rows: pd.DataFrame) -> pd.Series:
    """Return log(test MSE / train MSE), whose differences are not biased by the split."""
    return np.log(rows["test_mse"] / rows["train_mse"])


def at_largest_beta(rows: pd.DataFrame, value: str) -> dict[Part, pd.Series]:
    """Return by model and kind of term `value` by seed at the kind's largest beta.

    It is a mean over the kind's rho, for seeds that have all. Empty if `value` is a comparison with
    networks without a term, and these are missing.
    """
    parts = {}
    for (model, kind), group in rows[rows["beta"] > 0].groupby(["model", "sparsity"], sort=False):
        most = group["beta"].max()
        values = q.per_seed(group[group["beta"] == most], "term", value).dropna()
        if len(values):
            name = f"{model}, {kind.upper()} with beta {most:g}"
            parts[Part(name)] = values.mean(axis=1)
    return parts


# Words.


def sparsity_question(evidence: Evidence) -> q.Question:
    """Ask whether sparsity helps, and against what."""
    asked = q.Question("sparsity", "Does sparsity help, and against what?")
    rows = sparsity_errors(evidence)
    if not len(rows):
        return asked
    gap = _gap_sentence(evidence, rows)
    answer = f"{gap} {_best_sentence(evidence, rows)} {_activation_sentence(rows)}"
    exhibits = [_curves(rows, column, evidence.overlap) for column in MEASURES]
    return asked.answered(
        answer, [*exhibits, _cell_table(rows, evidence.overlap)], rows["member_id"]
    )


def _gap_sentence(evidence: Evidence, rows: pd.DataFrame) -> str:
    """Judge C6's first half, that a term adds to the gap, by model and kind of term."""
    changes = ("log_gap_change", "log_test_change")
    gaps, tests = (at_largest_beta(rows, value) for value in changes)
    verdict = judge(gaps, evidence.overlap, Rule(evidence.smallest))
    if verdict is None:
        return "These runs hold no network without a sparsity term to compare with."
    none = rows[rows["term"] == NONE]
    gap, moved = q.mean_over(gaps), ""
    if len(gap):
        moved = (
            "; the largest beta of each kind of term changes the gap, as the ratio test / train, "
            f"by {q.effect(gap, evidence).shown} and the test MSE by "
            f"{q.effect(q.mean_over(tests), evidence).shown}"
        )
    return (
        "Without a sparsity term the gap test − train is "
        f"{none.groupby('seed')['gap'].mean().mean():.4f} MSE at noise factor "
        f"{rows['noise_factor'].iloc[0]:g} (mean over {model_names(rows['model'])}, "
        f"{counted(none['seed'].nunique())}){moved}. That fewer sparsity constraints reduce the "
        f"overfitting (first half of C6): {q.outcome(verdict, 'it holds', 'it is reversed')}."
    )


def _best_sentence(evidence: Evidence, rows: pd.DataFrame) -> str:
    """Name by model the setting with the least validation MSE, and its effect on test rows."""
    chosen = []
    for model, group in rows.groupby("model", sort=False):
        term, beta = group.groupby(["term", "beta"])["val_mse"].mean().idxmin()
        of = group[(group["term"] == term) & (group["beta"] == beta)]
        gain = of.set_index("seed")["log_test_change"].dropna()
        text = NONE if term == NONE else f"{term}, beta {beta:g}"
        if term != NONE and len(gain):
            text += f", which changes the test MSE by {q.effect(gain, evidence).shown}"
        chosen.append(f"for {model} {text}")
    return f"The setting with the least validation MSE is {'; '.join(chosen)}."


def _activation_sentence(rows: pd.DataFrame) -> str:
    """Report whether KL brings the mean activation to rho, and how many units are dead."""
    dead = f"at most {percent(rows.groupby(CELL)['dead_units'].mean().max())} of the code units"
    kl = rows[(rows["beta"] == rows["beta"].max()) & (rows["sparsity"] == "kl")]
    if not len(kl):
        return f"With a sparsity term {dead} are dead."
    reached = kl.groupby("rho")["mean_activation"].mean()
    none = rows.loc[rows["term"] == NONE, "mean_activation"].mean()
    unforced = f" (without a term {none:.3f})" if pd.notna(none) else ""
    return (
        f"KL with ρ = {', '.join(f'{rho:g}' for rho in reached.index)} and beta "
        f"{kl['beta'].max():g} brings the mean activation of the code to "
        f"{joined([f'{mean:.3f}' for mean in reached])}{unforced}; {dead} are dead."
    )


def _curves(rows: pd.DataFrame, column: str, overlap: float) -> Plot:
    name, what, note = MEASURES[column]
    is_kl = (rows["term"] != NONE) & (rows["sparsity"] == "kl")
    data = over_seeds(rows.assign(rho=rows["rho"].where(is_kl)), column, [*CELL, "rho"], overlap)
    data = rows[CELL].drop_duplicates().merge(data, on=CELL)  # in the order of the terms
    none = data["term"] == NONE
    betas = data.loc[~none, "beta"]
    level = at_ends(data[none], "beta", (betas.min(), betas.max())).assign(bounds="band")
    data = pd.concat([level, data[~none].assign(bounds=INTERVAL)], ignore_index=True)
    lacks = "" if none.any() else " These runs hold no network without a term."
    return Plot(
        f"sparsity-{column.removeprefix('test_').removeprefix('mean_')}",
        f"Sparsity: {name} against beta",
        f"{what}, by weight beta of the sparsity term; the dashed black line is no term.",
        in_order(data).rename(columns={"term": "series"}),
        partial(draw_terms, ylabel=name, log=column == "mean_activation"),
        note=(
            f"{note} Noise factor {rows['noise_factor'].iloc[0]:g}; ρ is the mean activation "
            f"that KL asks for. Bars are 95 % intervals over seeds.{lacks}"
        ),
    )


def _cell_table(rows: pd.DataFrame, overlap: float) -> Table:
    cell = [*CELL, "rho"]
    groups = rows.groupby(cell, sort=False)
    names = {"train_mse": "train MSE", "val_mse": "validation MSE", "test_mse": "test MSE"}
    frame = groups[[*names]].mean().rename(columns=names)
    gap = over_seeds(rows, "gap", cell, overlap).set_index(cell).loc[frame.index]
    frame["gap, test − train"], frame["gap, 95 %"] = gap["mse"], intervals(gap)
    change = over_seeds(rows[rows["term"] != NONE], "test_change", cell, overlap).set_index(cell)
    change = change.reindex(frame.index)
    frame["test MSE against no term"] = change["mse"]
    frame["against no term, 95 %"] = intervals(change)
    units = ["mean_activation", "dead_units"]
    frame[["mean activation", "dead units"]] = groups[units].mean()
    frame["seeds"] = groups["seed"].nunique()
    formats = {"test MSE against no term": "+.4f", "mean activation": ".3f", "dead units": ".0%"}
    return Table(
        "sparsity-cells",
        f"Sparsity: every setting, noise factor {rows['noise_factor'].iloc[0]:g}",
        "Means over seeds, on noisy rows, of every setting.",
        frame.reset_index().drop(columns="rho"),
        {**dict.fromkeys([*names.values(), "gap, test − train"], ".4f"), "beta": "g", **formats},
        note="A change against no term is paired by seed; below 0 the term helps.",
    )


# Drawing.


def draw_terms(data: pd.DataFrame, ylabel: str, log: bool) -> Figure:
    """Draw a panel per model: a quantity against beta, one line per term.

    With `log` the quantity's axis is logarithmic, and the target ρ of each term is drawn, too.
    """
    kl = data.dropna(subset=["rho"]).sort_values("rho").drop_duplicates("series")
    looks = looks_of(list(kl["series"])) | {name: look(name) for name in ("L1", NONE)}
    figure, panels = multiples(data, "beta", "mse", ("beta", ylabel), looks)
    betas = sorted(data["beta"].unique())
    for axes in panels:
        axes.set_xlim(betas[0] / 1.5, betas[-1] * 1.5)
        log_axis(axes, "x", betas)
        if log:
            for term, rho in zip(kl["series"], kl["rho"], strict=True):
                axes.axhline(rho, color=looks[term]["color"], linewidth=0.9, zorder=1)
    if log:
        log_axis(axes, "y", [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
    return figure
