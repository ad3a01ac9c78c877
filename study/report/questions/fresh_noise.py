"""What is fresh noise worth? Networks whose noise is drawn once, next to new noise in every epoch.

The paper drew its noisy training sets once. New noise in every epoch augments the data: a network
then never sees the same noisy row twice.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from study.evidence.effects import SMALLEST, Effect, effects
from study.evidence.evidence import Evidence
from study.evidence.stats import HOLDS, NOT_MEASURED, REVERSED, Outcome
from study.report.document import Plot, Table
from study.report.drawing import NOISE_AXIS, draw_named, in_percent, noise_limits
from study.report.questions import question as q
from study.report.style import canvas
from study.report.wording import in_order, scale_words

ONCE, FRESH = "once", "fresh"
CASE = ["model", "noise_factor"]
#: Words for outcomes: an effect above 0 is more MSE with noise that is drawn once.
WORDS: dict[Outcome, str] = {HOLDS: "fresh is better", REVERSED: "once is better"}
COLUMN = "extra MSE of noise drawn once"

#: By model and noise factor.
Effects = dict[tuple[str, float], Effect]


# Data.


def draw_errors(evidence: Evidence) -> pd.DataFrame:
    """Return networks by model, noise factor above 0 and seed that have both draws of the noise.

    The rows of members; `noise_draws` is "once" or "fresh".
    """
    rows = q.varied(evidence, "noise_draws")
    rows = rows[rows["noise_draws"].isin([ONCE, FRESH]) & (rows["noise_factor"] > 0)]
    rows = q.trained_alike(rows, rows["noise_draws"] == FRESH)
    both = rows.groupby([*CASE, "seed"])["noise_draws"].transform("nunique") == 2
    return in_order(rows[both], "noise_factor", "seed")


def extra_errors(rows: pd.DataFrame, overlap: float, smallest: float = SMALLEST) -> Effects:
    """Return the extra test MSE of noise drawn once, by model and noise factor: one family.

    It is paired by seed; `rows` are those of draw_errors.
    """
    ratios = {}
    for case, group in rows.groupby(CASE, sort=False):
        mse = q.per_seed(group, "noise_draws")
        ratios[case] = np.log(mse[ONCE] / mse[FRESH])
    return effects(ratios, overlap, smallest)


# Words.


def fresh_noise_question(evidence: Evidence) -> q.Question:
    """Ask what fresh noise is worth."""
    asked = q.Question("fresh-noise", "What is fresh noise worth?")
    rows = draw_errors(evidence)
    if not len(rows):
        return asked
    extra = extra_errors(rows, evidence.overlap, evidence.smallest)
    exhibits = (_curves(extra), _table(rows, extra, evidence.smallest))
    return asked.answered(_answer(extra), exhibits, rows["member_id"])


def _answer(extra: Effects) -> str:
    cases = sorted(extra, key=lambda case: extra[case].effect)
    ends = [
        f"{q.change(extra[model, noise].effect / 100)} ({model} at {noise:g})"
        for model, noise in (cases[0], cases[-1])
    ]
    found = Counter(effect.outcome for effect in extra.values())
    names = [(outcome, WORDS.get(outcome, str(outcome))) for outcome in Outcome]
    counts = [f"{name} in {found[outcome]}" for outcome, name in names if found[outcome]]
    replicates = min(extra.values(), key=lambda effect: effect.n).replicates
    return (
        "A network whose noise is drawn once, as in the paper, differs in test MSE from one with "
        f"fresh noise in every epoch by {ends[0]} to {ends[1]}; of {len(extra)} cases (model × "
        f"noise factor, {replicates}) {', '.join(counts)}."
    )


def _curves(extra: Effects) -> Plot:
    frame = pd.DataFrame(
        {
            "series": model,
            "method": model,
            "noise_factor": noise,
            # As shares: an axis in percent is one of shares.
            **{name: getattr(its, name) / 100 for name in ("effect", "low", "high")},
            "replicates": its.n,
        }
        for (model, noise), its in extra.items()
    )
    return Plot(
        "fresh-noise",
        "Noise drawn once, against fresh noise",
        "Extra test MSE of the network whose noise is drawn once, against the network that "
        "sees new noise in every epoch, paired by seed: above 0 fresh noise is better.",
        frame.rename(columns={"effect": "extra"}),
        draw_extra,
        note="Bars are simultaneous 95 % intervals (Holm).",
    )


def _table(rows: pd.DataFrame, extra: Effects, smallest: float) -> Table:
    means = rows.groupby([*CASE, "noise_draws"], sort=False)[["train_mse", "test_mse"]].mean()
    means = means.unstack("noise_draws")
    lines = []
    for (model, noise), its in extra.items():
        of = means.loc[(model, noise)]
        line = {"model": model, "noise factor": noise, COLUMN: its}
        for part in ("test", "train"):
            line |= {f"{part}, {draws}": of[f"{part}_mse", draws] for draws in (ONCE, FRESH)}
        lines.append({**line, "replicates": its.n})
    frame = pd.DataFrame(lines)
    return Table(
        "fresh-noise-table",
        "What fresh noise is worth",
        "Extra test MSE of noise drawn once in percent, with its simultaneous interval.",
        frame,
        {
            "noise factor": "g",
            COLUMN: _word,
            **dict.fromkeys(
                [name for name in frame if name.startswith(("test, ", "train, "))], ".4f"
            ),
        },
        note=(
            f"{scale_words(smallest)} Test and train are the mean MSE on noisy rows: a train MSE "
            "far below the test MSE shows that noise is fitted."
        ),
    )


def _word(effect: object) -> str:
    outcome = effect.outcome if isinstance(effect, Effect) else NOT_MEASURED
    return WORDS.get(outcome, str(outcome))


# Drawing.


def draw_extra(data: pd.DataFrame) -> Figure:
    """Draw the extra MSE of noise drawn once against the noise factor, one line per model."""
    figure, [[axes]] = canvas(420)
    axes.set(xlabel=NOISE_AXIS, ylabel="extra test MSE of noise drawn once")
    axes.set_xlim(*noise_limits(data))
    in_percent(axes)
    draw_named(axes, data, y="extra")
    return figure
