"""Can one network serve all noise levels? Networks trained on several noise factors at once."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from study.evidence.evidence import MIXTURE, Evidence
from study.evidence.stats import counted
from study.paper.judging import Part, Rule, judge
from study.report.curves import over_seeds, reference_curves
from study.report.document import Plot
from study.report.drawing import in_percent, multiples
from study.report.questions import question as q
from study.report.wording import in_order, listed, model_names

ONE, INFORMED = "one network for all", "one that is told the noise"
SPECIAL = "a network for each"


# Data.


def mixed_errors(evidence: Evidence) -> pd.DataFrame:
    """Return networks trained on several noise factors at once, a row for each network and factor.

    Columns member_id, model, series (ONE or INFORMED), seed, noise_factor, test_mse, own_mse and
    excess: MSE of the plain network of the same seed and epochs trained at that noise factor only,
    and test_mse / own_mse - 1; NaN without such a network. Among several sets of noise factors the
    largest is used.
    """
    rows = q.of_one_kind(evidence.levels[evidence.levels["optimizer"] != ""], "noise_input")
    rows = rows[rows["mixed"] & ~rows["carried"]]
    rows = rows.assign(levels=rows.groupby("member_id")["noise_factor"].transform("nunique"))
    rows = rows[rows["levels"] == rows.groupby(["model", "noise_input"])["levels"].transform("max")]
    rows = q.trained_alike(rows, rows["epochs"] > 0)
    same = ["model", "seed", "epochs", "noise_factor"]
    own = q.varied(evidence)[[*same, "test_mse"]].rename(columns={"test_mse": "own_mse"})
    rows = rows.merge(own, on=same, how="left")
    rows = rows.assign(series=np.where(rows["noise_input"].astype(bool), INFORMED, ONE))
    rows["excess"] = rows["test_mse"] / rows["own_mse"] - 1
    columns = ["model", "series", "seed", "noise_factor", "test_mse", "own_mse", "excess"]
    return in_order(rows[["member_id", *columns]], "noise_factor")


def _mean_excess(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """Return by model the extra MSE by seed: a mean over noise factors that all its seeds have."""
    groups = rows.groupby("model")
    tables = {m: q.per_seed(group, "noise_factor", "excess").dropna() for m, group in groups}
    return {model: table.mean(axis=1) for model, table in tables.items() if len(table)}


# Words.


def mixed_question(evidence: Evidence) -> q.Question:
    """Ask whether one network can serve all noise levels."""
    asked = q.Question("mixed-noise", "Can one network serve all noise levels?")
    errors = mixed_errors(evidence)
    if not len(errors):
        return asked
    exhibits = [_mixed_curves(evidence, errors)]
    if errors["excess"].notna().any():
        exhibits.append(_excess_curves(errors, evidence.overlap))
    answer = _answer(evidence, errors)
    return asked.answered(answer, exhibits, errors["member_id"])


def _answer(evidence: Evidence, errors: pd.DataFrame) -> str:
    begin = {
        ONE: f"One network trained on noise factors {listed(errors['noise_factor'])} at once",
        INFORMED: "One that is also given the noise factor",
    }
    sentences, verdicts = [], []
    for series, without in ((ONE, "without the noise factor"), (INFORMED, "with it")):
        rows = errors[(errors["series"] == series) & errors["excess"].notna()]
        excess = _mean_excess(rows)
        mean = q.mean_over(excess)
        if not len(mean):
            continue
        by_noise = rows.groupby("noise_factor")["excess"].mean()
        sentences.append(
            f"{begin[series]} has {q.effect(np.log1p(mean), evidence).shown} test MSE against "
            f"{SPECIAL}, from "
            f"{q.change(by_noise.min())} at {by_noise.idxmin():g} to {q.change(by_noise.max())} at "
            f"{by_noise.idxmax():g} ({model_names(excess)}, {counted(len(mean))})."
        )
        gains = {Part(model): -np.log1p(values) for model, values in excess.items()}
        verdict = judge(gains, evidence.overlap, Rule(evidence.smallest))
        verdicts.append(f"{without}, {q.outcome(verdict, 'it does', 'it does not')}")
    if not sentences:
        return (
            f"{begin[ONE]} has a mean test MSE of {errors['test_mse'].mean():.4f}; these runs hold "
            "no network for one noise factor, trained as long, to compare it with."
        )
    return (
        f"{' '.join(sentences)} That one network does better for every model (half of C7): "
        f"{'; '.join(verdicts)}."
    )


def _mixed_curves(evidence: Evidence, errors: pd.DataFrame) -> Plot:
    measured = over_seeds(errors, "test_mse", ["model", "series", "noise_factor"], evidence.overlap)
    own = errors.drop_duplicates(["model", "seed", "noise_factor"])
    own = over_seeds(own, "own_mse", ["model", "noise_factor"], evidence.overlap).assign(
        series=SPECIAL
    )
    data = pd.concat([part for part in (own, measured) if len(part)], ignore_index=True)
    data["method"] = data["series"]
    references = reference_curves(evidence)
    inside = references["noise_factor"].between(*errors["noise_factor"].agg(["min", "max"]))
    references = references[inside & references["method"].isin(["identity", "Wiener", MIXTURE])]
    models = errors["model"].unique()
    parts = [references.assign(model=model)[[*data.columns]] for model in models]
    lacks = "Wiener" not in set(references["method"])
    missing = " The Wiener filter is not in these runs." if lacks else ""
    return Plot(
        "mixed-noise",
        "One network for all noise factors",
        "Test MSE against noise factor: a network for each noise factor, one trained on all "
        "of them (a factor drawn for each row in each epoch), and one that is also given "
        "the factor as an input.",
        in_order(pd.concat([data, *parts], ignore_index=True)),
        draw_mixed,
        note=(
            "The one is trained as long as each of the others. The black lines are the input "
            "left alone (α²), and the Wiener filter, which is made for each noise factor. Bars "
            f"are 95 % intervals over seeds.{missing}"
        ),
    )


def _excess_curves(errors: pd.DataFrame, overlap: float) -> Plot:
    data = over_seeds(errors, "excess", ["model", "series", "noise_factor"], overlap)
    data = data.rename(columns={"mse": "excess"}).assign(method=data["series"])
    return Plot(
        "mixed-excess",
        "One network for all, against a network for each",
        "Extra test MSE of the one network against the network trained at that noise factor "
        "only, paired by seed: below 0 the one network is the better.",
        in_order(data),
        draw_excess,
        note="Bars are 95 % intervals over seeds.",
    )


# Drawings.


def draw_mixed(data: pd.DataFrame) -> Figure:
    """Draw a panel per model: test MSE against noise factor, networks and references."""
    figure, [axes, *_] = multiples(data, "noise_factor", "mse", ("noise factor α", "test MSE"))
    measured = data[data["series"].isin([ONE, INFORMED, SPECIAL])]
    axes.set_ylim(0, 1.06 * measured[["mse", "high"]].max(axis=None))
    return figure


def draw_excess(data: pd.DataFrame) -> Figure:
    """Draw a panel per model: extra MSE of the one network against noise factor."""
    names = ("noise factor α", "extra test MSE")
    figure, panels = multiples(data, "noise_factor", "excess", names)
    for axes in panels:
        in_percent(axes)
    return figure
