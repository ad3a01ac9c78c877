"""How many samples are enough? And the paper's draft, whose "more samples, less loss" is MSE / n."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from data_utils.splits import TEST_SHARE, VALIDATION_SHARE
from study.evidence.evidence import MIXTURE, Evidence
from study.paper.published import published_table
from study.report.curves import at_ends, nearest, over_seeds, references_at
from study.report.document import Plot, Table
from study.report.questions.question import Question, effect, mean_over, of_one_kind, per_seed
from study.report.style import canvas, log_axis, look, multiples, name_all
from study.report.wording import in_order, model_names, n_seeds, signed

DRAFT = "author draft appendix"  # in the table of published numbers
TEST, TRAIN = "test", "train"
DRAFTED, OURS = "paper's draft", "as-written, noisy test rows"
MODEL_SAMPLES = ["model", "n_samples"]


# Data.


def sample_errors(evidence: Evidence) -> pd.DataFrame:
    """Return plain networks by number of training samples, at the noise factor nearest to 0.5.

    The rows of members and n_samples, of models with at least two numbers of samples. Networks of
    all samples are those with about as many weight updates as the others.
    """
    rows = of_one_kind(evidence.members, "train_fraction")
    part = rows[rows["train_fraction"] < 1]
    rows = rows[rows["noise_factor"] == nearest(part["noise_factor"])]
    part = rows[rows["train_fraction"] < 1]
    longest = part.groupby(["model", "train_fraction"])["epochs"].transform("max")
    part = part[part["epochs"] == longest]
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
    """Return by model and seed the change of test MSE that twice the samples bring.

    It is 2^b - 1 with b the least-squares slope of log MSE over log n, for seeds that have every
    number of samples.
    """
    found = {}
    for model, group in rows.groupby("model", sort=False):
        table = per_seed(group, "n_samples").dropna()  # (seeds, numbers of samples)
        if len(table):
            slopes = np.polyfit(np.log(table.columns.astype(float)), np.log(table.T), 1)[0]
            found[model] = pd.Series(2**slopes - 1, index=table.index)
    return found


def last_doublings(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Return by model and seed the change of test MSE from half of the training samples to all."""
    found = {}
    for model, group in rows.groupby("model", sort=False):
        table = per_seed(group, "train_fraction").reindex(columns=[0.5, 1.0])
        change = (table[1.0] / table[0.5] - 1).dropna()
        if len(change):
            found[model] = change
    return found


def draft_points(noise_factor: float) -> pd.DataFrame:
    """Return the draft's appendix at a noise factor: model, n_samples, printed, mse (times n)."""
    table = published_table()
    table = table[(table["figure"] == DRAFT) & np.isclose(table["noise_factor"], noise_factor)]
    return table.rename(columns={"n": "n_samples"})[["model", "n_samples", "printed", "mse"]]


# Words.


def samples_question(evidence: Evidence) -> Question:
    """Ask how many samples are enough."""
    asked = Question(
        "samples", "How many samples are enough?", "python run_study.py --grid samples"
    )
    rows = sample_errors(evidence)
    if not len(rows):
        return asked
    draft = draft_points(rows["noise_factor"].iloc[0])
    exhibits: list[Plot | Table] = [_curves(evidence, rows), _table(rows)]
    answer = _answer(rows)
    if len(draft):
        exhibits.append(_division(rows, draft))
        answer += f" {_draft_sentence(draft)}"
    return asked.answered(answer, exhibits, rows["member_id"])


def _answer(rows: pd.DataFrame) -> str:
    ends = rows.groupby("n_samples")[["test_mse", "train_mse"]].mean().iloc[[0, -1]]
    (few, many), train, test = ends.index, ends["train_mse"].iloc, ends["test_mse"].iloc
    parts = [
        f"From {few:,} to {many:,} training samples the train MSE goes from {train[0]:.4f} to "
        f"{train[1]:.4f} and the test MSE from {test[0]:.4f} to {test[1]:.4f} (noise factor "
        f"{rows['noise_factor'].iloc[0]:g}, mean over {model_names(rows['model'])}, "
        f"{n_seeds(rows['seed'].nunique())})"
    ]
    changes = {
        "twice the samples change it": doublings(rows),
        "the last doubling does": last_doublings(rows),
    }
    for name, found in changes.items():
        mean = mean_over(found)
        if len(mean):
            parts.append(f"{name} by {effect(mean, percent=True)}")
    return "; ".join(parts) + "."


def _draft_sentence(draft: pd.DataFrame) -> str:
    """Say how much of the fall in the paper's draft is the division by n."""
    parts = []
    for model, rows in draft.groupby("model", sort=False):
        first, last = (rows.sort_values("n_samples").iloc[i] for i in (0, -1))
        less = signed(100 * (last["mse"] / first["mse"] - 1), 1)
        parts.append(
            f"{model}: printed {first['printed'] / last['printed']:.1f}-fold less, times n "
            f"{first['mse']:.3f} to {last['mse']:.3f}, {less} %"
        )
    few, many = draft["n_samples"].min(), draft["n_samples"].max()
    return (
        f"The fall in the paper's draft, from n = {few} to {many}, is the division by n, which grew "
        f"{many / few:.1f}-fold ({'; '.join(parts)})."
    )


def _curves(evidence: Evidence, rows: pd.DataFrame) -> Plot:
    noise = rows["noise_factor"].iloc[0]
    lines = [
        over_seeds(rows, f"{name}_mse", MODEL_SAMPLES).assign(series=name, method=name)
        for name in (TEST, TRAIN)
    ]
    references = references_at(evidence, noise, ("identity", "Wiener", MIXTURE, "oracle"))
    for model, group in rows.groupby("model"):
        ends = (group["n_samples"].min(), group["n_samples"].max())
        lines.append(at_ends(references.assign(model=model), "n_samples", ends))
    return Plot(
        "samples",
        f"Number of training samples, noise factor {noise:g}",
        "MSE on noisy test rows and on noisy training rows, against the number of training samples "
        "(each tick to the right is twice as many). All networks have about as many weight "
        "updates: with fewer samples more epochs. The gap between the lines is overfitting. Bars "
        "are 95 % intervals over seeds, each of which draws its own samples. Black lines are "
        "references made from all training samples.",
        in_order(pd.concat(lines, ignore_index=True)),
        draw_samples,
    )


def _table(rows: pd.DataFrame) -> Table:
    last = last_doublings(rows)
    lines = []
    for model, change in doublings(rows).items():
        of = rows[rows["model"] == model].groupby("n_samples")[["test_mse", "train_mse"]].mean()
        test, gap = of["test_mse"].iloc, (of["test_mse"] - of["train_mse"]).iloc
        lines.append(
            {
                "model": model,
                "training samples": f"{of.index[0]:,} to {of.index[-1]:,}",
                "test MSE, fewest": test[0],
                "test MSE, most": test[-1],
                "gap, fewest": gap[0],
                "gap, most": gap[-1],
                "by a doubling": effect(change, percent=True),
                "by the last doubling": effect(last[model], percent=True)
                if model in last
                else None,
                "seeds": len(change),
            }
        )
    numbers = ("test MSE, fewest", "test MSE, most", "gap, fewest", "gap, most")
    return Table(
        "samples-table",
        "What more samples bring",
        "Change of test MSE by twice the training samples: from the slope of log MSE over log n, "
        "and from half of the samples to all, with 95 % intervals over seeds. The gap is test − "
        "train MSE.",
        in_order(pd.DataFrame(lines)) if lines else pd.DataFrame(),
        dict.fromkeys(numbers, ".4f"),
    )


def _division(rows: pd.DataFrame, draft: pd.DataFrame) -> Plot:
    ours = over_seeds(rows[rows["model"].isin(draft["model"])], "test_mse", MODEL_SAMPLES)
    ours = ours.assign(printed=ours["mse"] / ours["n_samples"], source=OURS)
    parts = [part for part in (draft.assign(source=DRAFTED), ours) if len(part)]
    return Plot(
        "samples-divided",
        "“More samples, less loss” in the paper's draft is a division by n",
        "Above, as the draft prints it: an MSE divided once more by the number of samples n, so "
        "that any MSE falls on a straight line; ours divided alike falls too. Below, the same "
        "numbers times n. The draft's script cuts the matrix inside the loop over sizes and never "
        "restores it, so its n is not the number of rows that were trained on; and it measures "
        f"clean training rows. Noise factor {rows['noise_factor'].iloc[0]:g}.",
        in_order(pd.concat(parts, ignore_index=True)),
        draw_division,
    )


# Drawings.


def draw_samples(data: pd.DataFrame) -> Figure:
    """Draw a panel per model: test and train MSE against the number of training samples."""
    figure, panels = multiples(data, "n_samples", "mse", ("training samples", "MSE"))
    for axes in panels:
        _size_axis(axes, data["n_samples"])
    axes.set_ylim(0, None)  # of all panels
    return figure


def draw_division(data: pd.DataFrame) -> Figure:
    """Draw above MSE / n, below MSE, both against n: the draft's points and ours."""
    figure, grid = canvas(620, 2)
    for axes, column, name in zip(grid.flat, ("printed", "mse"), ("MSE / n", "MSE"), strict=True):
        for (source, model), points in data.groupby(["source", "model"], sort=False):
            style = look(model)
            if source == DRAFTED:
                style |= {"linestyle": (0, (4, 2)), "markerfacecolor": "white"}
            axes.plot(points["n_samples"], points[column], label=f"{model}, {source}", **style)
        axes.set(xlabel="number of samples n", ylabel=name)
        _size_axis(axes, data["n_samples"])
    printed, product = grid.flat
    printed.set_title("As the draft prints it: MSE divided by n")
    log_axis(printed, "y", [digit * 10.0**power for power in range(-6, 2) for digit in (1, 2, 5)])
    product.set_title("The same numbers times n: MSE")
    product.set_ylim(0, 1.08 * data["mse"].max())
    name_all(figure)
    return figure


def _size_axis(axes: Axes, n: pd.Series) -> None:
    """Make x a logarithmic axis of numbers of samples, with ticks at the most and its halves."""
    axes.set_xlim(n.min() / 1.12, n.max() * 1.12)
    log_axis(axes, "x", [round(n.max() / 2**k) for k in range(5)])
