"""Open question: can one network serve all noise levels? Networks trained on a mixture of noise factors."""

from __future__ import annotations

import numpy as np
import pandas as pd

from study.evidence.evidence import MIXTURE, Evidence
from study.paper.judging import judge
from study.report.captions import plot_of
from study.report.curves import over_seeds, reference_curves
from study.report.document import Plot, Table
from study.report.questions import drawing
from study.report.questions.question import (
    Question,
    change,
    effect,
    in_order,
    model_names,
    n_seeds,
    of_one_kind,
    outcome,
    per_seed,
    table_of,
    trained_alike,
    varied,
)
from study.report.wording import listed

ONE, TOLD, SPECIAL = "one network for all", "one that is told the noise", "a network for each"


def mixed_errors(evidence: Evidence) -> pd.DataFrame:
    """Networks trained on several noise factors at once, at each of them: one row a network x noise factor.

    Columns model, series (ONE or TOLD), seed, noise_factor, test_mse, own_mse and excess: MSE of the plain network of
    the same seed and epochs trained at that noise factor alone, and test_mse / own_mse - 1; NaN where there is none.
    Of several mixtures the one of most noise factors. Wiener mixtures have no specialists and are references.
    """
    rows = of_one_kind(evidence.levels[evidence.levels["optimizer"] != "em"], "noise_input")
    rows = rows[rows["mixed"] & ~rows["carried"]]
    levels = rows.groupby("member_id")["noise_factor"].transform("nunique")
    rows = rows.assign(levels=levels)
    rows = rows[rows["levels"] == rows.groupby(["model", "noise_input"])["levels"].transform("max")]
    rows = trained_alike(rows, rows["epochs"] > 0)
    same = ["model", "seed", "epochs", "noise_factor"]
    own = varied(evidence)[[*same, "test_mse"]].rename(columns={"test_mse": "own_mse"})
    rows = rows.merge(own, on=same, how="left")
    rows = rows.assign(series=np.where(rows["noise_input"].astype(bool), TOLD, ONE))
    rows["excess"] = rows["test_mse"] / rows["own_mse"] - 1
    return in_order(
        rows[["model", "series", "seed", "noise_factor", "test_mse", "own_mse", "excess"]],
        "noise_factor",
    )


def mixed_question(evidence: Evidence) -> Question:
    """Can one network serve all noise levels?"""
    asked = (
        "mixed-noise",
        "Can one network serve all noise levels?",
        "python run_study.py --grid mixed-noise",
    )
    errors = mixed_errors(evidence)
    if not len(errors):
        return Question(*asked)
    exhibits: list[Plot | Table] = [_mixed_curves(evidence, errors)]
    if errors["excess"].notna().any():
        exhibits += [_excess_curves(evidence, errors), _excess_table(evidence, errors)]
    return Question(*asked, _mixed_answer(errors), tuple(exhibits))


def _mean_excess(errors: pd.DataFrame, series: str) -> dict[str, pd.Series]:
    """By model the extra MSE by seed, mean over the noise factors of both, of seeds that have them all."""
    rows = errors[(errors["series"] == series) & errors["excess"].notna()]
    tables = {
        model: per_seed(group, "noise_factor", "excess").dropna()
        for model, group in rows.groupby("model")
    }
    return {model: table.mean(axis=1) for model, table in tables.items() if len(table)}


def _mixed_answer(errors: pd.DataFrame) -> str:
    factors = listed(errors["noise_factor"])
    begin = {
        ONE: f"One network trained on noise factors {factors} at once",
        TOLD: "One that is told the noise factor",
    }
    told, verdicts = [], []
    for series in (ONE, TOLD):
        excess = _mean_excess(errors, series)
        mean = pd.concat(excess, axis=1).dropna().mean(axis=1) if excess else pd.Series(dtype=float)
        if not len(mean):
            continue
        by_noise = (
            errors[errors["series"] == series].groupby("noise_factor")["excess"].mean().dropna()
        )
        told.append(
            f"{begin[series]} has {effect(mean, percent=True)} test MSE against {SPECIAL}, from "
            f"{change(by_noise.min())} at {by_noise.idxmin():g} to {change(by_noise.max())} at {by_noise.idxmax():g} "
            f"({model_names(excess)}, {n_seeds(len(mean))})."
        )
        better = outcome(
            judge({(model, None): -d for model, d in excess.items()}), "it does", "it does not"
        )
        verdicts.append(
            f"{'untold' if series == ONE else 'told'}, {better[0].lower()}{better[1:-1]}"
        )
    if not told:
        return (
            f"{begin[ONE]} has a mean test MSE of {errors['test_mse'].mean():.4f}; these runs hold no network for one "
            "noise factor, trained as long, to compare it with."
        )
    return f"{' '.join(told)} That one network does better for every model (half of C7): {'; '.join(verdicts)}."


def _mixed_curves(evidence: Evidence, errors: pd.DataFrame) -> Plot:
    measured = over_seeds(errors, "test_mse", ["model", "series", "noise_factor"])
    own = over_seeds(
        errors.drop_duplicates(["model", "seed", "noise_factor"]),
        "own_mse",
        ["model", "noise_factor"],
    )
    curves = [part for part in (own.assign(series=SPECIAL), measured) if len(part)]
    data = pd.concat(curves, ignore_index=True)
    references = reference_curves(evidence)
    inside = references["noise_factor"].between(
        errors["noise_factor"].min(), errors["noise_factor"].max()
    )
    references = references[inside & references["series"].isin(["identity", "Wiener", MIXTURE])]
    parts = [
        references.assign(model=model)[[*data.columns]]
        for model in errors["model"].drop_duplicates()
    ]
    data = in_order(pd.concat([data, *parts], ignore_index=True))
    ends = errors["noise_factor"].min(), errors["noise_factor"].max()
    told = []
    for (model, series), rows in measured.groupby(["model", "series"], sort=False):
        at = rows.set_index("noise_factor")["mse"]
        told.append(
            f"{model}, {series}: {', '.join(f'{at[a]:.3f} at {a:g}' for a in ends if a in at)}"
        )
    wiener = "" if "Wiener" in set(data["series"]) else " The Wiener filter is not in these runs."
    return plot_of(
        evidence,
        "mixed-noise",
        "One network for all noise factors",
        "Test MSE against noise factor: a network for each noise factor, one trained on all of them (a factor drawn "
        "for each row in each epoch), and one that is also given the factor as an input. The one is trained as long as "
        "each of the others. The black lines are the input left alone (α²), and the Wiener filter, which is made for "
        f"each noise factor. Bars are 95 % intervals over seeds.{wiener}",
        f"Test MSE against noise factor. {'; '.join(told)}.",
        data,
        drawing.draw_mixed,
    )


def _excess_curves(evidence: Evidence, errors: pd.DataFrame) -> Plot:
    data = over_seeds(errors, "excess", ["model", "series", "noise_factor"]).rename(
        columns={"mse": "excess"}
    )
    data = in_order(data)
    told = []
    for (model, series), rows in data.groupby(["model", "series"], sort=False):
        low, high = rows.loc[rows["excess"].idxmin()], rows.loc[rows["excess"].idxmax()]
        told.append(f"{model}, {series}: {change(low['excess'])} at {low['noise_factor']:g} to "
                    f"{change(high['excess'])} at {high['noise_factor']:g}")  # fmt: skip
    return plot_of(
        evidence,
        "mixed-excess",
        "One network for all, against a network for each",
        "Extra test MSE of the one network against the network trained at that noise factor alone, paired by seed, "
        "with 95 % intervals over seeds. Below 0 the one network is the better.",
        f"Extra MSE by noise factor. {'; '.join(told)}.",
        data,
        drawing.draw_excess,
    )


def _excess_table(evidence: Evidence, errors: pd.DataFrame) -> Table:
    rows = []
    for series in (ONE, TOLD):
        for model, excess in _mean_excess(errors, series).items():
            of = errors[
                (errors["model"] == model) & (errors["series"] == series) & errors["excess"].notna()
            ]
            of = of[of["seed"].isin(excess.index)]
            means = of["test_mse"].mean(), of["own_mse"].mean()
            rows.append(
                (
                    model,
                    series,
                    *means,
                    effect(excess, True),
                    of["noise_factor"].nunique(),
                    len(excess),
                )
            )
    columns = ["model", "network", "MSE", f"MSE, {SPECIAL}", "extra MSE", "noise factors", "seeds"]
    return table_of(
        evidence,
        "mixed-table",
        "One network for all noise factors, against a network for each",
        "Test MSE, mean over noise factors and seeds; the extra MSE is the mean of the ratios at each noise factor "
        "less 1, paired by seed, with its 95 % interval.",
        in_order(pd.DataFrame(rows, columns=columns)),
        {"MSE": ".4f", f"MSE, {SPECIAL}": ".4f"},
    )
