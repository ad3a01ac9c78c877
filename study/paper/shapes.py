"""The shape of a curve of MSE against noise: it falls, rises, or falls and then rises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from study.evidence.effects import SMALLEST, UNMEASURED, Effect
from study.evidence.stats import HOLDS, NO_DIFFERENCE, NO_VERDICT, REVERSED
from study.paper.judging import ClaimVerdict

FALLS, RISES, TURNS, FLAT = "falls", "rises", "falls, then rises", "flat"
UNCLEAR = "undecided"
UNJUDGED = "no verdict"


@dataclass(frozen=True)
class Shape:
    """The shape of one model's curve, from the first noise factor to the last.

    at: the turning point, which is the noise factor of the least mean MSE. fall, rise: the change
    of MSE in percent from `first` to `at`, and from `at` to `last`, each with its interval.
    turns: the least and the greatest of the replicates' own turning points.
    """

    model: str
    word: str
    first: float
    at: float
    last: float
    fall: Effect
    rise: Effect
    turns: tuple[float, float]

    @property
    def words(self) -> str:
        """The shape in words, with its changes of MSE and their noise factors."""
        if self.word == FLAT:
            return f"{self.model} is flat from noise {self.first:g} to {self.last:g}"
        pieces = []
        if self.word in (FALLS, TURNS, UNCLEAR, UNJUDGED):
            pieces.append(f"to noise {self.at:g} MSE changes by {self.fall.shown}")
        if self.word in (RISES, TURNS, UNCLEAR, UNJUDGED):
            pieces.append(f"from there to {self.last:g} by {self.rise.shown}")
        return f"{self.model} {_VERBS[self.word]}, least at {self.turn}: {', '.join(pieces)}"

    @property
    def turn(self) -> str:
        """The turning point with its range over the replicates, e.g. `noise 0.4 (0.3 to 0.5)`."""
        low, high = self.turns
        of = "in every replicate" if low == high else f"replicates: {low:g} to {high:g}"
        return f"noise {self.at:g} ({of})"


_VERBS = {FALLS: "falls", RISES: "rises", TURNS: "falls, then rises"}
_VERBS |= {UNCLEAR: "is undecided", UNJUDGED: "has no verdict"}


def shapes_of(
    verdict: ClaimVerdict, curves: Mapping[str, pd.DataFrame], smallest: float = SMALLEST
) -> tuple[Shape, ...]:
    """Return the shape of each model, from the parts of C3 or C4.

    curves: by model MSE (replicates, noise factors). Means over replicates are geometric.

    The word is read off the two intervals that judge the claim. A curve without a difference
    between its ends and its least point, but higher by more than `smallest` percent in between, is
    undecided.
    """
    found = []
    for model, mse in curves.items():
        curve, least = np.exp(np.log(mse).mean()), mse.idxmin(axis=1)
        parts = [part for part in verdict.parts if part.part.about == model]
        fall, beyond = parts if len(parts) == 2 else (UNMEASURED, UNMEASURED)
        noise = curve.index
        unjudged = NO_VERDICT in (fall.outcome, beyond.outcome)
        word = UNJUDGED if unjudged else _WORDS.get((fall.outcome, beyond.outcome), UNCLEAR)
        if word == FLAT and 100 * (curve.max() / curve.min() - 1) > smallest:
            word = UNCLEAR
        ends = float(noise[0]), float(curve.idxmin()), float(noise[-1])
        found.append(
            Shape(model, word, *ends, fall.inverse, beyond.inverse, (least.min(), least.max()))
        )
    return tuple(found)


_WORDS = {
    (HOLDS, NO_DIFFERENCE): FALLS,
    (HOLDS, HOLDS): FALLS,
    (NO_DIFFERENCE, REVERSED): RISES,
    (REVERSED, REVERSED): RISES,
    (HOLDS, REVERSED): TURNS,
    (NO_DIFFERENCE, NO_DIFFERENCE): FLAT,
}
