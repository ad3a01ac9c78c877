"""Open question: how many samples are enough? And the paper's draft, whose "more samples, less loss" is MSE / n."""

from __future__ import annotations

import numpy as np
import pandas as pd

from data_utils.splits import TEST_SHARE, VALIDATION_SHARE
from study.evidence.evidence import MIXTURE, Evidence
from study.paper.published import published_table
from study.report.captions import plot_of
from study.report.curves import BOUNDS, over_seeds, reference_curves
from study.report.document import Plot, Table
from study.report.questions import charts, drawing
from study.report.questions.question import (
    Question,
    effect,
    in_order,
    model_names,
    n_seeds,
    nearest,
    of_one_kind,
    per_seed,
    signed,
    table_of,
)

DRAFT = "author draft appendix"
TEST, TRAIN = "test", "train"


def sample_errors(evidence: Evidence) -> pd.DataFrame:
    """Plain networks by number of training samples, at one noise factor, the nearest to 0.5: one row a network.

    The rows of members and n_samples; of models with two numbers of samples at least. Networks of all samples are
    those with about as many weight updates as the others, where these runs hold some with more.
    """
    rows = of_one_kind(evidence.members, "train_fraction")
    part = rows[rows["train_fraction"] < 1]
    rows = rows[rows["noise_factor"] == nearest(part["noise_factor"])]
    part = rows[rows["train_fraction"] < 1]
    part = part[
        part["epochs"] == part.groupby(["model", "train_fraction"])["epochs"].transform("max")
    ]
    whole = rows[rows["train_fraction"] == 1]
    updates = (part["epochs"] * part["train_fraction"]).groupby(part["model"]).mean()
    away = (whole["epochs"] - whole["model"].map(updates)).abs()
    whole = whole[away == away.groupby(whole["model"]).transform("min")]
    rows = pd.concat([part, whole[whole["model"].isin(part["model"])]])
    rows = rows[rows.groupby("model")["train_fraction"].transform("nunique") > 1]
    n_samples = evidence.data["n_samples"]
    n_train = n_samples - round(TEST_SHARE * n_samples) - round(VALIDATION_SHARE * n_samples)
    n = (rows["train_fraction"] * n_train).round().clip(lower=1).astype(int)
    return in_order(rows.assign(n_samples=n), "n_samples")


def doublings(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """By model and seed the change of test MSE that twice the samples buy: 2^b - 1 with b the least-squares slope

    of log MSE over log n; of seeds that have every number of samples. `rows` as of sample_errors.
    """
    found = {}
    for model, group in rows.groupby("model", sort=False):
        table = per_seed(group, "n_samples").dropna()  # (seeds, numbers of samples)
        if len(table):
            n = np.log(table.columns.to_numpy(dtype=float))
            centred = n - n.mean()
            slopes = np.log(table.to_numpy()) @ centred / (centred @ centred)
            found[model] = pd.Series(2**slopes - 1, index=table.index)
    return found


def last_doublings(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """By model and seed the change of test MSE from half of the training samples to all; empty without both."""
    found = {}
    for model, group in rows.groupby("model", sort=False):
        table = per_seed(group, "train_fraction")
        if {0.5, 1.0} <= set(table):
            change = (table[1.0] / table[0.5] - 1).dropna()
            found |= {model: change} if len(change) else {}
    return found


def draft_points(noise_factor: float) -> pd.DataFrame:
    """The draft's appendix at a noise factor: columns model, n_samples, printed (MSE / n), mse (printed x n)."""
    table = published_table()
    table = table[(table["figure"] == DRAFT) & np.isclose(table["noise_factor"], noise_factor)]
    return table.rename(columns={"n": "n_samples", "value": "printed"})[
        ["model", "n_samples", "printed", "mse"]
    ]


def samples_question(evidence: Evidence) -> Question:
    """How many samples are enough?"""
    asked = ("samples", "How many samples are enough?", "python run_study.py --grid samples")
    rows = sample_errors(evidence)
    if not len(rows):
        return Question(*asked)
    draft = draft_points(rows["noise_factor"].iloc[0])
    exhibits: list[Plot | Table] = [_curves(evidence, rows), _table(evidence, rows)]
    if len(draft):
        exhibits.append(_division(evidence, rows, draft))
    return Question(
        *asked, " ".join(filter(None, (_answer(rows), _draft_sentence(draft)))), tuple(exhibits)
    )


def _answer(rows: pd.DataFrame) -> str:
    ends = rows.groupby("n_samples")[["test_mse", "train_mse"]].mean().iloc[[0, -1]]
    n = list(ends.index)
    told = [
        f"From {n[0]:,} to {n[1]:,} training samples the train MSE goes from {ends['train_mse'].iloc[0]:.4f} to "
        f"{ends['train_mse'].iloc[1]:.4f} and the test MSE from {ends['test_mse'].iloc[0]:.4f} to "
        f"{ends['test_mse'].iloc[1]:.4f} (noise factor {rows['noise_factor'].iloc[0]:g}, mean over "
        f"{model_names(rows['model'])}, {n_seeds(rows['seed'].nunique())})"
    ]
    changes = {
        "twice the samples change it": doublings(rows),
        "the last doubling does": last_doublings(rows),
    }
    for name, found in changes.items():
        table = pd.concat(found, axis=1).dropna() if found else pd.DataFrame()
        if len(table):
            told.append(f"{name} by {effect(table.mean(axis=1), percent=True)}")
    return "; ".join(told) + "."


def _draft_sentence(draft: pd.DataFrame) -> str:
    """How much of the fall in the paper's draft is the division by n."""
    told = []
    for model, rows in draft.groupby("model", sort=False):
        first, last = (rows.sort_values("n_samples").iloc[i] for i in (0, -1))
        told.append(
            f"{model}: printed {first['printed'] / last['printed']:.1f}-fold less, times n {first['mse']:.3f} to "
            f"{last['mse']:.3f}, {signed(100 * (last['mse'] / first['mse'] - 1), 1)} %"
        )
    if not told:
        return ""
    n = draft["n_samples"].min(), draft["n_samples"].max()
    return (
        f"The fall in the paper's draft, from n = {n[0]} to {n[1]}, is the division by n, which grew "
        f"{n[1] / n[0]:.1f}-fold ({'; '.join(told)})."
    )


def _curves(evidence: Evidence, rows: pd.DataFrame) -> Plot:
    parts = [
        over_seeds(rows, f"{name}_mse", ["model", "n_samples"]).assign(series=name)
        for name in (TEST, TRAIN)
    ]
    data = in_order(pd.concat(parts, ignore_index=True)).assign(bounds=BOUNDS)
    noise = rows["noise_factor"].iloc[0]
    references = reference_curves(evidence)
    shown = references["series"].isin(["identity", "Wiener", MIXTURE, "oracle"])
    wanted = (references["noise_factor"] == noise) & shown
    references = references.loc[wanted, ["series", "mse", "low", "high", "seeds", "bounds"]]
    told = []
    for (model, series), points in data.groupby(["model", "series"], sort=False):
        first, last = (points.sort_values("n_samples").iloc[i] for i in (0, -1))
        told.append(f"{model}, {series}: {first['mse']:.3f} at {first['n_samples']:,}, {last['mse']:.3f} at "
                    f"{last['n_samples']:,}")  # fmt: skip
    return plot_of(
        evidence,
        "samples",
        f"Number of training samples, noise factor {noise:g}",
        "MSE on noisy test rows and on noisy training rows, against the number of training samples (each step to the "
        "right twice as many). All networks have about as many weight updates: with fewer samples more epochs. The gap "
        "between the lines is overfitting. Bars are 95 % intervals over seeds, each of which draws its own samples. "
        "Black lines are references made from all training samples.",
        f"MSE against training samples. {'; '.join(told)}.",
        pd.concat([data, references], ignore_index=True) if len(references) else data,
        drawing.draw_samples,
    )


def _table(evidence: Evidence, rows: pd.DataFrame) -> Table:
    last = last_doublings(rows)
    lines = []
    for model, change in doublings(rows).items():
        of = rows[rows["model"] == model].groupby("n_samples")[["test_mse", "train_mse"]].mean()
        gaps = (of["test_mse"] - of["train_mse"]).iloc[[0, -1]]
        half = effect(last[model], percent=True) if model in last else None
        n = f"{of.index[0]:,} to {of.index[-1]:,}"
        lines.append(
            (
                model,
                n,
                *of["test_mse"].iloc[[0, -1]],
                *gaps,
                effect(change, percent=True),
                half,
                len(change),
            )
        )
    columns = [
        "model",
        "training samples",
        "test MSE, fewest",
        "test MSE, most",
        "gap, fewest",
        "gap, most",
    ]
    frame = pd.DataFrame(
        lines, columns=[*columns, "by a doubling", "by the last doubling", "seeds"]
    )
    return table_of(
        evidence,
        "samples-table",
        "What more samples buy",
        "Change of test MSE by twice the training samples: from the slope of log MSE over log n, and from half of the "
        "samples to all, with 95 % intervals over seeds. The gap is test − train MSE.",
        in_order(frame),
        dict.fromkeys(columns[2:], ".4f"),
    )


def _division(evidence: Evidence, rows: pd.DataFrame, draft: pd.DataFrame) -> Plot:
    ours = over_seeds(rows[rows["model"].isin(draft["model"])], "test_mse", ["model", "n_samples"])
    ours = ours.assign(
        printed=ours["mse"] / ours["n_samples"], source="as-written, noisy test rows"
    )
    data = pd.concat(
        [part for part in (draft.assign(source="paper's draft"), ours) if len(part)],
        ignore_index=True,
    )
    data = in_order(data)
    told = [
        f"{source}, {model}: MSE / n {points['printed'].iloc[0]:.2g} to {points['printed'].iloc[-1]:.2g}, MSE "
        f"{points['mse'].iloc[0]:.3f} to {points['mse'].iloc[-1]:.3f}"
        for (source, model), points in data.groupby(["source", "model"], sort=False)
    ]
    return plot_of(
        evidence,
        "samples-divided",
        "“More samples, less loss” in the paper's draft is a division by n",
        "Above, as the draft prints it: an MSE divided once more by the number of samples n, so that any MSE falls on "
        "a straight line; ours divided alike falls too. Below, the same numbers times n. The draft's script cuts the "
        "matrix inside the loop over sizes and never restores it, so its n is not the number of rows that were trained "
        "on; and it measures clean training rows. Noise factor "
        f"{rows['noise_factor'].iloc[0]:g}.",
        f"{'; '.join(told)}.",
        data,
        charts.draw_division,
    )
