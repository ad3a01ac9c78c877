"""How many samples are enough? Networks trained on parts of the training samples."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from data_utils.preparation import TEST_SHARE, VALIDATION_SHARE
from study.evidence.evidence import MIXTURE, Evidence
from study.evidence.stats import counted
from study.report.curves import at_ends, nearest, over_seeds, references_at
from study.report.document import Plot, Table
from study.report.drawing import log_axis, multiples
from study.report.questions import question as q
from study.report.wording import in_order, model_names

TEST, TRAIN = "test", "train"
MODEL_SAMPLES = ["model", "n_samples"]


# Data.


def sample_errors(evidence: Evidence) -> pd.DataFrame:
    """Return plain networks by number of training samples, at the noise factor nearest to 0.5.

    The columns are those of members, and n_samples; models have at least two numbers of samples.
    Networks of all samples are those with about as many weight updates as the others.
    """
    rows = q.of_one_kind(evidence.members, "train_fraction")
    some = rows["train_fraction"] < 1
    at = rows["noise_factor"] == nearest(rows.loc[some, "noise_factor"])
    part, whole = rows[at & some], rows[at & ~some]
    longest = part.groupby(["model", "train_fraction"])["epochs"].transform("max")
    part = part[part["epochs"] == longest]
    updates = (part["epochs"] * part["train_fraction"]).groupby(part["model"]).mean()
    away = (whole["epochs"] - whole["model"].map(updates)).abs()
    whole = whole[away == away.groupby(whole["model"]).transform("min")]
    rows = pd.concat([part, whole[whole["model"].isin(part["model"])]])
    rows = rows[rows.groupby("model")["train_fraction"].transform("nunique") > 1]
    n_samples = evidence.data["n_samples"]
    n_train = n_samples - round(TEST_SHARE * n_samples) - round(VALIDATION_SHARE * n_samples)
    n = (rows["train_fraction"].astype(float) * n_train).round().clip(lower=1).astype(int)
    return in_order(rows.assign(n_samples=n), "n_samples")


def doublings(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Return by model and seed the change of test MSE with twice the samples.

    It is 2^b - 1 with b the least-squares slope of log MSE over log n, for seeds that have every
    number of samples.
    """
    found = {}
    for model, group in rows.groupby("model", sort=False):
        table = q.per_seed(group, "n_samples").dropna()  # (seeds, numbers of samples)
        if len(table):
            slopes = np.polyfit(np.log(table.columns.astype(float)), np.log(table.T), 1)[0]
            found[model] = pd.Series(2**slopes - 1, index=table.index)
    return found


# Words.


def samples_question(evidence: Evidence) -> q.Question:
    """Ask how many samples are enough."""
    asked = q.Question("samples", "How many samples are enough?")
    rows = sample_errors(evidence)
    if not len(rows):
        return asked
    exhibits = (_curves(evidence, rows), _table(evidence, rows))
    return asked.answered(_answer(evidence, rows), exhibits, rows["member_id"])


def _answer(evidence: Evidence, rows: pd.DataFrame) -> str:
    ends = rows.groupby("n_samples")[["test_mse", "train_mse"]].mean().iloc[[0, -1]]
    (few, many), train, test = ends.index, ends["train_mse"].iloc, ends["test_mse"].iloc
    parts = [
        f"From {few:,} to {many:,} training samples the train MSE goes from {train[0]:.4f} to "
        f"{train[1]:.4f} and the test MSE from {test[0]:.4f} to {test[1]:.4f} (noise factor "
        f"{rows['noise_factor'].iloc[0]:g}, mean over {model_names(rows['model'])}, "
        f"{counted(rows['seed'].nunique())})"
    ]
    mean = q.mean_over(doublings(rows))
    if len(mean):
        parts.append(f"twice the samples change it by {q.effect(np.log1p(mean), evidence).shown}")
    return "; ".join(parts) + "."


def _curves(evidence: Evidence, rows: pd.DataFrame) -> Plot:
    noise = rows["noise_factor"].iloc[0]
    lines = [
        over_seeds(rows, f"{name}_mse", MODEL_SAMPLES, evidence.overlap).assign(
            series=name, method=name
        )
        for name in (TEST, TRAIN)
    ]
    references = references_at(evidence, noise, ("identity", "Wiener", MIXTURE, "oracle"))
    for model, group in rows.groupby("model"):
        ends = (group["n_samples"].min(), group["n_samples"].max())
        lines.append(at_ends(references.assign(model=model), "n_samples", ends))
    return Plot(
        "samples",
        f"Number of training samples, noise factor {noise:g}",
        "MSE on noisy test rows and on noisy training rows, against the number of training "
        "samples (each tick to the right is twice as many).",
        in_order(pd.concat(lines, ignore_index=True)),
        draw_samples,
        note=(
            "All networks have about as many weight updates: with fewer samples more epochs. "
            "The gap between the lines is overfitting. Bars are 95 % intervals over seeds, each "
            "of which draws its own samples. Black lines are references made from all training "
            "samples."
        ),
    )


def _table(evidence: Evidence, rows: pd.DataFrame) -> Table:
    lines = []
    for model, change in doublings(rows).items():
        of = rows[rows["model"] == model].groupby("n_samples")[["test_mse", "train_mse"]].mean()
        line = {"model": model, "training samples": f"{of.index[0]:,} to {of.index[-1]:,}"}
        for name, (test, train) in (("fewest", of.iloc[0]), ("most", of.iloc[-1])):
            line |= {f"test MSE, {name}": test, f"gap, {name}": test - train}
        line["by a doubling"] = q.effect(np.log1p(change), evidence).shown
        lines.append({**line, "seeds": len(change)})
    frame = in_order(pd.DataFrame(lines)) if lines else pd.DataFrame()
    return Table(
        "samples-table",
        "What more samples bring",
        "Change of test MSE by twice the training samples, from the slope of log MSE over "
        "log n, with its 95 % interval over seeds.",
        frame,
        dict.fromkeys([name for name in frame if name.endswith(("fewest", "most"))], ".4f"),
        note="The gap is test − train MSE.",
    )


# Drawings.


def draw_samples(data: pd.DataFrame) -> Figure:
    """Draw a panel per model: test and train MSE against the number of training samples."""
    figure, panels = multiples(data, "n_samples", "mse", ("training samples", "MSE"))
    n = data["n_samples"]
    for axes in panels:
        axes.set_xlim(n.min() / 1.12, n.max() * 1.12)
        log_axis(axes, "x", [round(n.max() / 2**k) for k in range(5)])  # the most, and its halves
    axes.set_ylim(0, None)  # of all panels
    return figure
