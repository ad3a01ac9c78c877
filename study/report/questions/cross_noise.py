"""What does a wrong guess of the noise cost? Networks tested at other noise factors than theirs."""

from __future__ import annotations

from itertools import product
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.config import PAPER_MODELS
from study.evidence.evidence import Evidence
from study.evidence.stats import FAILS, n_seeds
from study.paper.judging import ClaimVerdict, Part, judge
from study.report.curves import over_seeds, rounded
from study.report.document import Plot
from study.report.drawing import draw_named, in_percent
from study.report.questions.question import (
    Question,
    change,
    effect,
    mean_over,
    outcome,
    trained_alike,
    varied,
)
from study.report.style import DARK, canvas
from study.report.wording import in_order, joined, model_names, signed

GUESSES = (0.1, 0.3, 0.5)  # how far off: those that the answer names
FURTHEST = 0.5  # that the figure of costs shows
CELL = 22  # height of a row of a heat map
#: Told apart by the colour-blind: purple below 1, orange above.
COLOURS = matplotlib.colormaps["PuOr_r"]

Costs = dict[tuple[str, float], pd.Series]


# Data.


def cross_errors(evidence: Evidence) -> pd.DataFrame:
    """Return plain networks at every noise factor that one was trained for: a row for each pair.

    Columns member_id, model, seed, trained_at, tested_at, test_mse, and ratio to the network of the
    same seed trained at tested_at. Models trained at a single noise factor are left out.
    """
    plain = varied(evidence)
    plain = trained_alike(plain, plain["epochs"] > 0)
    rows = evidence.across[evidence.across["member_id"].isin(plain["member_id"])]
    rows = rows.assign(
        trained_at=rounded(rows["noise_factor"]), tested_at=rounded(rows["tested_at"])
    )
    rows = rows[rows.groupby("model")["trained_at"].transform("nunique") > 1]
    own = rows[rows["trained_at"] == rows["tested_at"]][["model", "seed", "tested_at", "test_mse"]]
    rows = rows.merge(own, on=["model", "seed", "tested_at"], suffixes=("", "_own"))
    rows = rows.assign(ratio=rows["test_mse"] / rows["test_mse_own"])
    return rows[["member_id", "model", "seed", "trained_at", "tested_at", "test_mse", "ratio"]]


def guess_costs(errors: pd.DataFrame) -> Costs:
    """Return by model and guess (trained at less tested at) the extra MSE by seed, ratio - 1.

    It is a mean over the noise factors tested at, of the seeds that have them all. A guess of 0 is
    left out. `errors` is as of cross_errors.
    """
    wrong = errors[errors["trained_at"] != errors["tested_at"]]
    wrong = wrong.assign(guess=(wrong["trained_at"] - wrong["tested_at"]).round(6))
    costs = {}
    for key, rows in wrong.groupby(["model", "guess"]):
        table = rows.pivot_table(index="seed", columns="tested_at", values="ratio").dropna()
        if len(table):
            costs[key] = table.mean(axis=1) - 1
    return costs


# Words.


def cross_question(evidence: Evidence) -> Question:
    """Ask what a wrong guess of the noise costs."""
    asked = Question(
        "cross-noise",
        "What does a wrong guess of the noise cost?",
        "python run_study.py --grid cross-noise",
    )
    errors = cross_errors(evidence)
    costs = guess_costs(errors)
    if not costs:
        return asked
    exhibits = (_heat_maps(errors), _cost_curve(costs))
    shown = errors.loc[errors["model"].isin(PAPER_MODELS), "member_id"]
    return asked.answered(_answer(errors, costs), exhibits, shown)


def _answer(errors: pd.DataFrame, costs: Costs) -> str:
    held = sorted({abs(guess) for _, guess in costs})
    sizes = [size for size in held if size in GUESSES] or held[:3]
    sides = []
    for sign, side in ((-1, "low"), (1, "high")):
        means = {size: _mean_cost(costs, sign * size) for size in sizes}
        parts = [f"by {s:g}: {effect(d, percent=True)}" for s, d in means.items() if len(d)]
        if parts:
            sides.append(f"guessed too {side} {', '.join(parts)}")
    means = errors.groupby(["model", "tested_at", "trained_at"])["test_mse"].mean().unstack()
    best = means.idxmin(axis=1)
    n_best = int((best == best.index.get_level_values("tested_at")).sum())
    named = {sign * size for size, sign in product(sizes, (-1, 1))}
    asked = {Part(f"{m}, guess {g:+g}"): d for (m, g), d in costs.items() if g in named}
    return (
        "Test MSE of a network trained at another noise factor than it meets, against one trained "
        f"there (mean over {model_names(model for model, _ in costs)}, "
        f"{n_seeds(errors['seed'].nunique())}): {'; '.join(sides)}. In {n_best} of {len(best)} "
        "cases (model × noise factor) the network trained there is the best of all. That testing "
        f"at another level may do better (half of C7): {_may_pay(judge(asked))}."
    )


def _mean_cost(costs: Costs, guess: float) -> pd.Series:
    """Return the extra MSE of a guess by seed: the mean over the models that have it."""
    return mean_over({model: cost for (model, found), cost in costs.items() if found == guess})


def _may_pay(verdict: ClaimVerdict | None) -> str:
    """Turn the verdict round, whose parts are costs: a guess pays if its cost is below 0."""
    text = outcome(verdict, "no, every wrong guess costs", "yes")
    if verdict is None or verdict.outcome != FAILS:
        return text
    pays = verdict.parts.loc[verdict.parts["outcome"] == FAILS, "comparison"]
    return f"{text}: {joined(list(pays))}"


def _heat_maps(errors: pd.DataFrame) -> Plot:
    data = errors.groupby(["model", "trained_at", "tested_at"]).agg(
        mse=("test_mse", "mean"), ratio=("ratio", "mean"), seeds=("seed", "nunique")
    )
    data = in_order(data.reset_index(), "trained_at", "tested_at")
    worst = data.loc[data["ratio"].idxmax()]
    n_better = int((data["ratio"] < 1).sum())
    below = f"{n_better} of {len(data)} cells are" if n_better else "No cell is"
    return Plot(
        "cross-noise",
        "Trained at one noise factor, tested at another",
        "Extra test MSE in percent of each network (row: noise factor it was trained at) on each "
        "noise factor (column) against the network trained at the column's noise factor, whose MSE "
        f"stands below the column; means over {n_seeds(errors['seed'].nunique())}. Below 0, in "
        "purple: the network trained elsewhere has less MSE. Compare down a column, where all "
        "networks answer the same inputs: along a row the inputs get noisier. The greatest loss is "
        f"{change(worst['ratio'] - 1)} ({worst['model']}). {below} below 0.",
        data,
        draw_heat_maps,
    )


def _cost_curve(costs: Costs) -> Plot:
    near = {key: cost for key, cost in costs.items() if abs(key[1]) <= FURTHEST} or costs
    rows = [(*key, *found) for key, by_seed in near.items() for found in by_seed.items()]
    frame = pd.DataFrame(rows, columns=["model", "guess", "seed", "cost"])
    data = in_order(over_seeds(frame, "cost", ["model", "guess"]), "guess")
    data = data.rename(columns={"mse": "cost", "model": "series"})
    return Plot(
        "guess-cost",
        "The cost of a wrong guess of the noise",
        "Extra test MSE of a network trained at a noise factor that is too low (left) or too high "
        "(right), against the network trained at the right one: mean over all noise factors for "
        "which these runs hold both, so far-off guesses are of fewer. Bars are 95 % intervals over "
        "seeds, paired. Left of 0 noise is left in; right of 0 the network smooths more than it "
        "should.",
        data.assign(method=data["series"]),
        draw_costs,
    )


# Drawings.


def draw_heat_maps(data: pd.DataFrame) -> Figure:
    """Draw a panel per model: a row per noise factor trained at, a column per one tested at."""
    models = list(data["model"].drop_duplicates())
    rows = [data.loc[data["model"] == model, "trained_at"].nunique() + 1 for model in models]
    figure, grid = canvas(CELL * sum(rows) + 84 * len(models), len(models), height_ratios=rows)
    # Colours are of log ratios and reach to the 98th percentile: one extreme cell fades no other.
    most = max(np.log(1.25), float(np.nanpercentile(np.abs(np.log(data["ratio"])), 98)))
    for model, axes in zip(models, grid.flat, strict=True):
        _heat_map(axes, data[data["model"] == model], most)
        axes.set_title(f"{model}: extra MSE in % over the network trained at that α")
    return figure


def _heat_map(axes: Axes, rows: pd.DataFrame, most: float) -> None:
    table = rows.pivot(index="trained_at", columns="tested_at", values="ratio")
    trained, tested, ratios = list(table.index), list(table.columns), table.to_numpy()
    own = rows[rows["trained_at"] == rows["tested_at"]].set_index("tested_at")["mse"]
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(ylim=(len(trained) + 1, 0), xlabel="tested at α", ylabel="trained at α")
    axes.set_xticks(np.arange(len(tested)) + 0.5, [f"{a:g}" for a in tested])
    names = [*(f"{a:g}" for a in trained), "its MSE"]
    axes.set_yticks(np.arange(len(trained) + 1) + 0.5, names)
    shades = axes.pcolormesh(np.log(ratios), cmap=COLOURS, edgecolors="white", linewidth=1)
    shades.set_clim(-most, most)
    for i, j in np.ndindex(ratios.shape):
        _cell(axes, j, i, ratios[i, j], most, same=trained[i] == tested[j])
    for j, noise in enumerate(tested):
        axes.text(j + 0.5, len(trained) + 0.5, f"{own[noise]:.3f}", **_MIDDLE, fontsize=9.5)


_MIDDLE: dict[str, Any] = {"ha": "center", "va": "center"}


def _cell(axes: Axes, x: int, y: int, ratio: float, most: float, same: bool) -> None:
    """Write the extra MSE of one cell."""
    extra = 100 * (ratio - 1)
    text = "–" if np.isnan(ratio) else "0" if same else signed(extra, 1 if extra < 9.95 else 0)
    light = np.dot(COLOURS(0.5 + 0.5 * np.log(ratio) / most)[:3], (0.3, 0.59, 0.11))
    axes.text(x + 0.5, y + 0.5, text, color="white" if light < 0.5 else DARK, **_MIDDLE)


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
