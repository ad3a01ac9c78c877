"""Open question: what does a wrong guess of the noise cost? Networks tested at other noise factors than their own."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

from study.evidence.evidence import Evidence
from study.evidence.stats import FAILS
from study.paper.judging import ClaimVerdict, judge
from study.report.captions import plot_of
from study.report.curves import BOUNDS, over_seeds
from study.report.document import Plot, Table
from study.report.questions import charts
from study.report.questions.question import (
    Question,
    change,
    effect,
    in_order,
    model_names,
    n_seeds,
    outcome,
    table_of,
    trained_alike,
    varied,
    words,
)

GUESSES = (0.1, 0.3, 0.5)  # how far off: those that the answer names
FURTHEST = 0.5  # that the figure of costs shows


def cross_errors(evidence: Evidence) -> pd.DataFrame:
    """Plain networks at every noise factor that one was trained for: one row a network x noise factor.

    Columns model, seed, trained_at, tested_at, test_mse, ratio (to the network of the same seed trained at
    tested_at). No rows for a model that was trained at one noise factor alone.
    """
    plain = varied(evidence)
    plain = trained_alike(plain, plain["epochs"] > 0)
    rows = evidence.across[evidence.across["member_id"].isin(plain["member_id"])]
    rows = rows.assign(
        trained_at=rows["noise_factor"].astype(float).round(6),
        tested_at=rows["tested_at"].astype(float).round(6),
    )
    rows = rows[rows.groupby("model")["trained_at"].transform("nunique") > 1]
    own = rows[rows["trained_at"] == rows["tested_at"]][["model", "seed", "tested_at", "test_mse"]]
    rows = rows.merge(
        own.rename(columns={"test_mse": "own_mse"}), on=["model", "seed", "tested_at"]
    )
    rows = rows.assign(ratio=rows["test_mse"] / rows["own_mse"])
    return rows[["model", "seed", "trained_at", "tested_at", "test_mse", "ratio"]]


def guess_costs(errors: pd.DataFrame) -> dict[tuple[str, float], pd.Series]:
    """By model and guess (trained at less tested at) the extra MSE by seed, ratio - 1: means over the noise factors

    tested at, of seeds that have them all. `errors` as of cross_errors. A guess of 0 is left out.
    """
    wrong = errors[errors["trained_at"] != errors["tested_at"]]
    wrong = wrong.assign(guess=(wrong["trained_at"] - wrong["tested_at"]).round(6))
    found = wrong.groupby(["model", "guess", "seed"])["ratio"].agg(["mean", "count"]).reset_index()
    n_levels = wrong.groupby(["model", "guess"])["tested_at"].nunique().rename("n_levels")
    found = found.join(n_levels, on=["model", "guess"])
    found = found[found["count"] == found["n_levels"]].set_index("seed")
    return {key: rows["mean"] - 1 for key, rows in found.groupby(["model", "guess"])}


def cross_question(evidence: Evidence) -> Question:
    """What does a wrong guess of the noise cost?"""
    asked = (
        "cross-noise",
        "What does a wrong guess of the noise cost?",
        "python run_study.py --grid cross-noise",
    )
    errors = cross_errors(evidence)
    costs = guess_costs(errors)
    if not costs:
        return Question(*asked)
    heat, curve = _heat_map(evidence, errors), _cost_curve(evidence, costs)
    return Question(
        *asked, _cross_answer(errors, costs), (heat, curve, _cost_table(evidence, costs))
    )


def _shown_guesses(costs: dict[tuple[str, float], pd.Series]) -> list[float]:
    """How far off, of both signs: 0.1, 0.3, 0.5 where these runs have one of them, else the three least."""
    sizes = sorted({abs(guess) for _, guess in costs})
    return [size for size in sizes if size in GUESSES] or sizes[:3]


def _cross_answer(errors: pd.DataFrame, costs: dict[tuple[str, float], pd.Series]) -> str:
    sizes = _shown_guesses(costs)
    sentences = []
    for sign, side in ((-1, "low"), (1, "high")):
        told = [(size, _mean_effect(costs, sign * size)) for size in sizes]
        told = [f"by {size:g}: {text}" for size, text in told if text]
        sentences.append(f"guessed too {side} {', '.join(told)}" if told else "")
    models = {model for model, _ in costs}
    means = errors.groupby(["model", "tested_at", "trained_at"])["test_mse"].mean().unstack()
    best = means.idxmin(axis=1)
    n_best = int((best == best.index.get_level_values("tested_at")).sum())
    seeds = errors["seed"].nunique()
    first = (
        f"Test MSE of a network trained at another noise factor than it meets, against one trained there (mean over "
        f"{model_names(models)}, {n_seeds(seeds)}): {'; '.join(filter(None, sentences))}."
    )
    second = f"In {n_best} of {len(best)} cases (model × noise factor) the network trained there is the best of all."
    sizes = {sign * size for size, sign in product(sizes, (-1, 1))}
    verdict = judge({(f"{m}, guess {g:+g}", None): d for (m, g), d in costs.items() if g in sizes})
    return f"{first} {second} That testing at another level may do better (half of C7): {_may_pay(verdict)}"


def _mean_effect(costs: dict[tuple[str, float], pd.Series], guess: float) -> str | None:
    """Extra MSE of a guess, mean over the models that have it."""
    found = [costs[key] for key in costs if key[1] == guess]
    values = pd.concat(found, axis=1).dropna().mean(axis=1) if found else pd.Series(dtype=float)
    return effect(values, percent=True) if len(values) else None


def _may_pay(verdict: ClaimVerdict) -> str:
    """The other way round than the verdict, whose parts are costs: a guess pays where a cost is below 0."""
    text = outcome(verdict, "no, every wrong guess costs", "yes")
    if verdict.outcome == FAILS:
        pays = verdict.parts[verdict.parts["outcome"] == FAILS]
        text = text.removesuffix(".") + f": {words(pays['comparison'])}."
    return text[0].lower() + text[1:]


def _heat_map(evidence: Evidence, errors: pd.DataFrame) -> Plot:
    cells = ["model", "trained_at", "tested_at"]
    data = errors.groupby(cells).agg(
        mse=("test_mse", "mean"), ratio=("ratio", "mean"), seeds=("seed", "nunique")
    )
    data = in_order(data.reset_index(), "trained_at", "tested_at")
    worst = data.loc[data["ratio"].idxmax()]
    lines = []
    for model, rows in data.groupby("model", sort=False):
        most = rows.loc[rows["ratio"].idxmax()]
        lines.append(f"{model}: up to {change(most['ratio'] - 1)}, trained at {most['trained_at']:g}, tested at "
                     f"{most['tested_at']:g}")  # fmt: skip
    return plot_of(
        evidence,
        "cross-noise",
        "Trained at one noise factor, tested at another",
        "Extra test MSE in percent of each network (row: noise factor it was trained at) on each noise factor (column) "
        "against the network trained at the column's noise factor, whose MSE stands below the column; means over "
        f"{n_seeds(errors['seed'].nunique())}. Bold in a frame: the network trained elsewhere has less MSE. Compare "
        "down a column, where all networks answer the same inputs: along a row the inputs get noisier. The greatest "
        f"loss is {change(worst['ratio'] - 1)} ({worst['model']}). {_below_note(data)}",
        f"Heat maps of extra MSE against the network trained at the tested noise factor. {'; '.join(lines)}.",
        data,
        charts.draw_heat_maps,
    )


def _below_note(data: pd.DataFrame) -> str:
    n_better = int((data["ratio"] < 1).sum())
    return f"{n_better} of {len(data)} cells are below 0." if n_better else "No cell is below 0."


def _cost_points(costs: dict[tuple[str, float], pd.Series]) -> pd.DataFrame:
    """Columns model, guess, mse (the extra share of MSE), low, high, seeds."""
    rows = [
        (model, guess, seed, cost)
        for (model, guess), d in costs.items()
        for seed, cost in d.items()
    ]
    rows = pd.DataFrame(rows, columns=["model", "guess", "seed", "cost"])
    return in_order(over_seeds(rows, "cost", ["model", "guess"]), "guess")


def _cost_curve(evidence: Evidence, costs: dict[tuple[str, float], pd.Series]) -> Plot:
    near = {key: d for key, d in costs.items() if abs(key[1]) <= FURTHEST} or costs
    data = (
        _cost_points(near).rename(columns={"mse": "cost", "model": "series"}).assign(bounds=BOUNDS)
    )
    told = [
        f"{name} {', '.join(f'{change(c)} at {g:+g}' for g, c in rows.iloc[[0, -1]][['guess', 'cost']].to_numpy())}"
        for name, rows in data.groupby("series", sort=False)
    ]
    return plot_of(
        evidence,
        "guess-cost",
        "The cost of a wrong guess of the noise",
        "Extra test MSE of a network trained at a noise factor that is too low (left) or too high (right), against "
        "the network trained at the right one: mean over all noise factors for which these runs hold both, so far-off "
        "guesses are of fewer. Bars are 95 % intervals over seeds, paired. Left of 0 noise is left in; right of 0 the "
        "network smooths more than it should.",
        f"Extra MSE against the error of the guess: {'; '.join(told)}.",
        data,
        charts.draw_costs,
    )


def _cost_table(evidence: Evidence, costs: dict[tuple[str, float], pd.Series]) -> Table:
    points = _cost_points(costs)
    wanted = {sign * size for size, sign in product(_shown_guesses(costs), (-1, 1))}
    points = points[points["guess"].isin(wanted)]
    frame = points[["model"]].assign(
        **{"guess − truth": points["guess"], "extra MSE": points["mse"]}
    )
    bounds = points[["low", "high"]].to_numpy()
    frame["95 % interval"] = [
        f"{change(lo)} to {change(hi)}" if np.isfinite(lo) else None for lo, hi in bounds
    ]
    return table_of(
        evidence,
        "guess-cost-table",
        "The cost of a wrong guess of the noise",
        "Extra test MSE against the network trained at the right noise factor, paired over seeds; below 0 the wrong "
        "network is the better one.",
        frame.assign(seeds=points["seeds"]).reset_index(drop=True),
        {"guess − truth": "+g", "extra MSE": change},
    )
