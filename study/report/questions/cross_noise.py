"""What does a wrong guess of the noise cost? Networks tested at other noise factors than theirs."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.config import PAPER_MODELS
from study.evidence.evidence import Evidence
from study.evidence.stats import REVERSED, counted
from study.paper.judging import Part, Rule, judge
from study.report.curves import over_seeds, rounded
from study.report.document import Plot
from study.report.drawing import draw_named, in_percent
from study.report.questions import question as q
from study.report.style import DARK, canvas
from study.report.wording import in_order, joined, model_names, signed

FURTHEST = 0.5  # guess that the figure of costs shows
CELL = 22  # height of a row of a heat map
#: Colours that the colour-blind can distinguish: purple below 1, orange above.
COLOURS = matplotlib.colormaps["PuOr_r"]

Costs = dict[tuple[str, float], pd.Series]


# Data.


def cross_errors(evidence: Evidence) -> pd.DataFrame:
    """Return plain networks at every noise factor of a training: one row for each pair.

    Columns member_id, model, seed, trained_at, tested_at, test_mse, and of_specialist, which is
    test_mse over that of the network of the same seed trained at tested_at. Models trained at a
    single noise factor are left out.
    """
    plain = q.varied(evidence)
    plain = q.trained_alike(plain, plain["epochs"] > 0)
    rows = evidence.across[evidence.across["member_id"].isin(plain["member_id"])]
    rows = rows.assign(
        trained_at=rounded(rows["noise_factor"]), tested_at=rounded(rows["tested_at"])
    )
    rows = rows[rows.groupby("model")["trained_at"].transform("nunique") > 1]
    own = rows[rows["trained_at"] == rows["tested_at"]][["model", "seed", "tested_at", "test_mse"]]
    rows = rows.merge(own, on=["model", "seed", "tested_at"], suffixes=("", "_own"))
    rows = rows.assign(of_specialist=rows["test_mse"] / rows["test_mse_own"])
    return rows[
        ["member_id", "model", "seed", "trained_at", "tested_at", "test_mse", "of_specialist"]
    ]


def guess_costs(errors: pd.DataFrame) -> Costs:
    """Return by model and guess (trained_at - tested_at) the extra MSE by seed, of_specialist - 1.

    It is a mean over the noise factors of the test, for seeds that have them all. A guess of 0 is
    left out. `errors` are those of cross_errors.
    """
    wrong = errors[errors["trained_at"] != errors["tested_at"]]
    wrong = wrong.assign(guess=(wrong["trained_at"] - wrong["tested_at"]).round(6))
    costs = {}
    for key, rows in wrong.groupby(["model", "guess"]):
        table = rows.pivot_table(index="seed", columns="tested_at", values="of_specialist").dropna()
        if len(table):
            costs[key] = table.mean(axis=1) - 1
    return costs


# Words.


def cross_question(evidence: Evidence) -> q.Question:
    """Ask what a wrong guess of the noise costs."""
    asked = q.Question("cross-noise", "What does a wrong guess of the noise cost?")
    errors = cross_errors(evidence)
    costs = guess_costs(errors)
    if not costs:
        return asked
    exhibits = (_heat_maps(errors), _cost_curve(costs, evidence.overlap))
    shown = errors.loc[errors["model"].isin(PAPER_MODELS), "member_id"]
    return asked.answered(_answer(evidence, errors, costs), exhibits, shown)


def _answer(evidence: Evidence, errors: pd.DataFrame, costs: Costs) -> str:
    sizes = sorted({abs(guess) for _, guess in costs})[::2][:3]  # 0.1, 0.3 and 0.5
    sides: list[str] = []
    parts: dict[Part, pd.Series] = {}
    for sign, side in ((-1, "low"), (1, "high")):
        means = []
        for size in sizes:
            of = {model: cost for (model, guess), cost in costs.items() if guess == sign * size}
            parts |= {Part(f"{model}, guess {sign * size:+g}"): np.log1p(of[model]) for model in of}
            mean = q.mean_over(of)
            if len(mean):
                means.append(f"by {size:g}: {q.effect(np.log1p(mean), evidence).shown}")
        if means:
            sides.append(f"guessed too {side} {', '.join(means)}")
    table = errors.groupby(["model", "tested_at", "trained_at"])["test_mse"].mean().unstack()
    best = table.idxmin(axis=1)
    n_best = int((best == best.index.get_level_values("tested_at")).sum())
    verdict = judge(parts, evidence.overlap, Rule(evidence.smallest))
    pays = q.outcome(verdict, "no, every wrong guess costs", "yes")  # the parts are costs
    if verdict is not None and verdict.outcome == REVERSED:
        found = [p.part.comparison for p in verdict.parts if p.outcome == REVERSED]
        pays += f": {joined(found)}"
    return (
        "Test MSE of a network trained at another noise factor than it meets, against one trained "
        f"there (mean over {model_names(model for model, _ in costs)}, "
        f"{counted(errors['seed'].nunique())}): {'; '.join(sides)}. In {n_best} of {len(best)} "
        "cases (model × noise factor) the network trained there is the best of all. That testing "
        f"at another level may do better (half of C7): {pays}."
    )


def _heat_maps(errors: pd.DataFrame) -> Plot:
    data = errors.groupby(["model", "trained_at", "tested_at"]).agg(
        mse=("test_mse", "mean"), of_specialist=("of_specialist", "mean"), seeds=("seed", "nunique")
    )
    data = in_order(data.reset_index(), "trained_at", "tested_at")
    worst = data.loc[data["of_specialist"].idxmax()]
    n_better = int((data["of_specialist"] < 1).sum())
    below = f"{n_better} of {len(data)} cells are" if n_better else "No cell is"
    return Plot(
        "cross-noise",
        "Trained at one noise factor, tested at another",
        "Extra test MSE in percent of each network (row: noise factor it was trained at) on "
        "each noise factor (column) against the network trained at the column's noise "
        "factor, whose MSE stands below the column.",
        data,
        draw_heat_maps,
        note=(
            f"Means over {counted(errors['seed'].nunique())}. Below 0, in purple: the network "
            "trained elsewhere has less MSE. Compare down a column, where all networks answer "
            "the same inputs: along a row the inputs get noisier. The greatest loss is "
            f"{q.change(worst['of_specialist'] - 1)} ({worst['model']}). {below} below 0."
        ),
    )


def _cost_curve(costs: Costs, overlap: float) -> Plot:
    near = {key: cost for key, cost in costs.items() if abs(key[1]) <= FURTHEST} or costs
    rows = [(*key, *found) for key, by_seed in near.items() for found in by_seed.items()]
    frame = pd.DataFrame(rows, columns=["model", "guess", "seed", "cost"])
    data = in_order(over_seeds(frame, "cost", ["model", "guess"], overlap), "guess")
    data = data.rename(columns={"mse": "cost", "model": "series"})
    return Plot(
        "guess-cost",
        "The cost of a wrong guess of the noise",
        "Extra test MSE of a network trained at a noise factor that is too low (left) or "
        "too high (right), against the network trained at the right one.",
        data.assign(method=data["series"]),
        draw_costs,
        note=(
            "Mean over all noise factors for which these runs hold both, so far-off guesses are "
            "of fewer. Bars are 95 % intervals over seeds, paired. Left of 0 noise is left in; "
            "right of 0 the network smooths more than it should."
        ),
    )


# Drawings.


def draw_heat_maps(data: pd.DataFrame) -> Figure:
    """Draw a panel per model: a row per noise factor trained at, a column per one tested at."""
    models = list(data["model"].drop_duplicates())
    rows = [data.loc[data["model"] == model, "trained_at"].nunique() + 1 for model in models]
    figure, grid = canvas(CELL * sum(rows) + 84 * len(models), len(models), height_ratios=rows)
    # Colours show log ratios up to the 98th percentile, so that one extreme cell fades no other.
    most = max(np.log(1.25), float(np.nanpercentile(np.abs(np.log(data["of_specialist"])), 98)))
    for model, axes in zip(models, grid.flat, strict=True):
        _heat_map(axes, data[data["model"] == model], most)
        axes.set_title(f"{model}: extra MSE in % over the network trained at that α")
    return figure


def _heat_map(axes: Axes, rows: pd.DataFrame, most: float) -> None:
    table = rows.pivot(index="trained_at", columns="tested_at", values="of_specialist")
    own = rows[rows["trained_at"] == rows["tested_at"]].set_index("tested_at")["mse"]
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(ylim=(len(table) + 1, 0), xlabel="tested at α", ylabel="trained at α")
    axes.set_xticks(np.arange(len(table.columns)) + 0.5, [f"{a:g}" for a in table.columns])
    names = [*(f"{a:g}" for a in table.index), "its MSE"]
    axes.set_yticks(np.arange(len(names)) + 0.5, names)
    shades = axes.pcolormesh(np.log(table), cmap=COLOURS, edgecolors="white", linewidth=1)
    shades.set_clim(-most, most)
    for j, noise in enumerate(table.columns):
        for i, (trained, ratio) in enumerate(table[noise].items()):
            extra = 100 * (ratio - 1)
            text = "0" if trained == noise else signed(extra, 1 if extra < 9.95 else 0)
            text = "–" if np.isnan(ratio) else text
            light = np.dot(COLOURS(0.5 + 0.5 * np.log(ratio) / most)[:3], (0.3, 0.59, 0.11))
            colour = "white" if light < 0.5 else DARK
            axes.text(j + 0.5, i + 0.5, text, color=colour, ha="center", va="center")
        mse = f"{own[noise]:.3f}"
        axes.text(j + 0.5, len(table) + 0.5, mse, ha="center", va="center", fontsize=9.5)


def draw_costs(data: pd.DataFrame) -> Figure:
    """Draw extra MSE against the error of the guess, one line per model."""
    figure, [[axes]] = canvas(420)
    axes.set(xlabel="noise factor trained at − noise factor tested at", ylabel="extra test MSE")
    in_percent(axes)
    gap = data.drop_duplicates("series").assign(guess=0.0, cost=np.nan, low=np.nan, high=np.nan)
    draw_named(axes, pd.concat([data, gap]), "guess", "cost")  # 0 is no wrong guess
    axes.text(0.02, 1.02, "← too low", transform=axes.transAxes)
    axes.text(0.98, 1.02, "too high →", transform=axes.transAxes, ha="right")
    return figure
