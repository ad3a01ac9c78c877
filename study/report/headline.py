"""The results at first sight: one picture, and a few sentences that are computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from data_utils.cohort import FLATTERED
from data_utils.noise import identity_mse
from models.config import AS_PUBLISHED, AS_WRITTEN, PAPER_MODELS
from study.evidence.effects import effect_of
from study.evidence.evidence import MIXTURE, Evidence
from study.paper.claims import Judgement
from study.report.curves import (
    CLEAN,
    NOISE,
    NOISY,
    PREFERRED,
    main_protocol,
    network_curve,
    networks,
    of_protocol,
    over_seeds,
    published_curve,
    reference_curves,
)
from study.report.document import Plot, Words
from study.report.drawing import MSE_AXIS, NOISE_AXIS, draw_lines, name_all, noise_limits, top
from study.report.questions.question import Question
from study.report.style import canvas, is_narrow, width, wrapped
from study.report.wording import joined, listed, plain_name, sentences, span

#: References in words.
REFERENCES = {
    "Wiener": "the linear Wiener filter",
    MIXTURE: "the mixture of such filters",
    "identity": "leaving the input alone",
    "oracle": "the best possible on this simulation",
}
MAKERS = "What makes the claims, one item of the scripts changed:"
SCRIPTS, TEXT = "as its scripts ran", "as its text says"


# The picture.


def first_picture(cohorts: Sequence[Evidence]) -> Plot | None:
    """Return MSE against noise for one model and the references; None if nothing was measured."""
    model = _model(cohorts)
    parts = [
        headline_curves(evidence, model).assign(cohort=plain_name(evidence.name))
        for evidence in cohorts
    ]
    data = pd.concat(parts, ignore_index=True)
    if set(data["series"]) <= {"identity"}:
        return None
    of = f"{model}: " if model else ""
    clean = joined(["Published", *[SCRIPTS] * (SCRIPTS in set(data["series"]))])
    others = "Noisy test rows in."
    measured = f"{clean}: clean training rows in; all others: {others.lower()}" if model else others
    bars = "Bars are 95 % intervals over seeds." if (data["seeds"] > 1).any() else ""
    flattered = any(cohort.simulated for cohort in cohorts) and MIXTURE in set(data["series"])
    return Plot(
        "first",
        f"{of}MSE against noise",
        "MSE against noise factor of the paper's network as published, as its scripts ran "
        "and as its text says, and of references.",
        data,
        draw_first,
        note=sentences(measured, bars, FLATTERED if flattered else ""),
    )


def _model(cohorts: Sequence[Evidence]) -> str:
    """Return the paper's model that most protocols and cohorts have; "" if none has any."""
    counts = dict.fromkeys((PREFERRED, *PAPER_MODELS), 0)
    for evidence in cohorts:
        rows = networks(evidence)
        rows = rows[(rows["changed"] == "") & rows["model"].isin(list(counts))]
        for model in rows[["model", "protocol"]].drop_duplicates()["model"]:
            counts[model] += 1
    model = max(counts, key=lambda name: counts[name])
    return model if counts[model] else ""


def headline_curves(evidence: Evidence, model: str) -> pd.DataFrame:
    """Return the published curve of a model, both protocols, and the references to compare with."""
    references = reference_curves(evidence)
    parts = [references[references["method"].isin(list(REFERENCES))]]
    if model:
        parts = [
            published_curve(model),
            network_curve(evidence, AS_PUBLISHED, model, CLEAN, SCRIPTS),
            network_curve(evidence, AS_WRITTEN, model, NOISY, TEXT),
            *parts,
        ]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def draw_first(data: pd.DataFrame) -> Figure:
    """Draw a panel for each cohort: MSE against noise, on one scale."""
    cohorts = list(data["cohort"].drop_duplicates())
    height = 270 if is_narrow() else 460
    figure, [panels] = canvas(height, 1, len(cohorts), sharey=True)
    for name, axes in zip(cohorts, panels, strict=True):
        shown = data[data["cohort"] == name]
        draw_lines(axes, shown)
        axes.set(xlim=noise_limits(data), ylim=(0, top(data)))
        if len(cohorts) > 1:
            axes.set_title(wrapped(name, 0.62 * width() / len(cohorts)))
    figure.supxlabel(NOISE_AXIS)
    figure.supylabel(MSE_AXIS)
    name_all(figure, columns=3)
    return figure


# The sentences.


def in_short(
    evidence: Evidence, judgements: list[Judgement], asked: Sequence[Question] = ()
) -> tuple[Words, ...]:
    """Return up to five points, without those that these runs did not measure."""
    grids = {run.config["grid"] for run in evidence.runs}
    made = {its.title: its.answer for its in asked if its.answer and grids & its.grids}
    only_questions = grids <= {grid for its in asked for grid in its.grids}
    points = made if only_questions else {}
    makes = {MAKERS: what_makes(judgements)}
    points |= makes if grids == {"autopsy"} else {}
    points |= {
        "What denoises best:": _denoiser(evidence),
        "The paper's networks:": _best(evidence),
        "Worse than leaving the noisy input alone:": _harm(evidence),
        **makes,
        "How near to the paper:": _rerun(evidence),
    }
    return tuple(Words(text, lead) for lead, text in points.items() if text)


def _denoiser(evidence: Evidence) -> str:
    """Compare the mixture with the Wiener filter by the geometric mean MSE over noise factors."""
    table = evidence.references
    table = table[(table["noise_factor"] > 0) & table["reference"].isin(["Wiener", MIXTURE])]
    if set(table["reference"]) != {"Wiener", MIXTURE}:
        return ""
    mse = table.pivot_table(index="seed", columns=["reference", "noise_factor"], values="test_mse")
    ratio = np.log(mse[MIXTURE] / mse["Wiener"]).dropna()
    found = effect_of(ratio.mean(axis=1), evidence.overlap, evidence.smallest)
    better = "less" if found.effect < 0 else "more"
    low, high = sorted((abs(found.low), abs(found.high)))
    ends = span(low, high, 1)
    text = (
        f"the mixture of Wiener filters has {abs(found.effect):.1f} % {better} error than the "
        f"Wiener filter{f' (95 % {ends})' if ends else ''}, the geometric mean over noise "
        f"{listed(ratio.columns)}."
    )
    return f"{text} {FLATTERED}" if evidence.simulated else text


def what_makes(judgements: list[Judgement]) -> str:
    """Group the claims by the items that make them vanish or appear, in a sentence."""
    claims: dict[tuple[bool, str], list[str]] = {}
    for judgement in judgements:
        if judgement.makers:
            key = judgement.found, joined(judgement.makers)
            claims.setdefault(key, []).append(judgement.subject)
    sentences = []
    for (found, items), subjects in claims.items():
        verb = ("vanish" if found else "appear") + ("es" if found else "s") * (len(subjects) == 1)
        sentences.append(f"{joined(subjects)} {verb} with {items}")
    return f"{'; '.join(sentences)}." if sentences else ""


def _rerun(evidence: Evidence) -> str:
    """Return the distance of the rerun from the curves that the paper plots with a scale."""
    gaps: list[float] = []
    for model in ("dense-2", "dense-4", "dense-6"):
        rerun = network_curve(evidence, AS_PUBLISHED, model, CLEAN, "rerun")
        curves = [
            points.set_index("noise_factor")["mse"] for points in (rerun, published_curve(model))
        ]
        gaps += list((curves[0] - curves[1]).dropna().abs())
    if not gaps:
        return ""
    return (
        f"over the {len(gaps)} points of Figs. 6–8 the rerun of the scripts lies "
        f"{np.mean(gaps):.3f} MSE from the published curve on average, {max(gaps):.3f} at most."
    )


def _best(evidence: Evidence) -> str:
    """Compare the network with the least validation MSE at the middle noise with the references."""
    protocol = main_protocol(evidence)
    rows = of_protocol(evidence, protocol)
    rows = rows[np.isclose(rows["noise_factor"], NOISE)]
    if rows.empty:
        return ""
    # The validation MSE of a network carried through several levels is of its last level.
    single = not (rows["carried"] | rows["mixed"]).any()
    chosen_by = "val_mse" if single else "train_clean_mse"
    model = rows.groupby("model")[chosen_by].mean().idxmin()
    found = over_seeds(
        rows[rows["model"] == model], "test_mse", ["noise_factor"], evidence.overlap
    ).iloc[0]
    interval = span(found["low"], found["high"], 3)
    points = reference_curves(evidence)
    at = points[np.isclose(points["noise_factor"], NOISE)].set_index("series")["mse"]
    others = [f"{text} {at[name]:.3f}" for name, text in REFERENCES.items() if name in at]
    return (
        f"at noise factor {NOISE:g} the best network ({model}, {protocol}, chosen on "
        f"{'validation' if single else 'clean training'} rows) has MSE {found['mse']:.3f}"
        f"{f' (95 % {interval})' if interval else ''} on noisy test rows; {joined(others)}."
    )


def _harm(evidence: Evidence) -> str:
    """Return in words at which noise factors networks are worse than leaving the input alone.

    At noise 0 the input has no error, so every network is.
    """
    rows = of_protocol(evidence, main_protocol(evidence))
    rows = rows[rows["noise_factor"] > 0]
    curves = over_seeds(rows, "test_mse", ["model", "noise_factor"], evidence.overlap)
    if curves.empty:
        return ""
    worse = curves["mse"] > identity_mse(curves["noise_factor"])
    share = worse.groupby(curves["noise_factor"]).mean()
    every, some = share.index[share == 1], share.index[(share > 0) & (share < 1)]
    where = [f"every network at noise {listed(every)}"] if len(every) else []
    where += [f"some networks at noise {listed(some)}"] if len(some) else []
    return f"{joined(where)}." if where else "no network."
