"""What a claim of the paper is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from models.config import AS_PUBLISHED, AS_WRITTEN
from study.evidence.clusters import Contrast
from study.evidence.evidence import Evidence
from study.paper.judging import Differences, Part, Rule

#: The two measures, and their columns of a levels table.
CLEAN, NOISY = "clean training rows", "noisy test rows"
MEASURES = {CLEAN: "train_clean_mse", NOISY: "test_mse"}
#: What a protocol is judged by: the scripts measured clean training rows, the text noisy test rows.
OWN_MEASURE = {AS_PUBLISHED: CLEAN, AS_WRITTEN: NOISY}


def measured(levels: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return a levels table with one of MEASURES as `mse`."""
    return levels.assign(mse=levels[MEASURES[measure]])


@dataclass(frozen=True)
class Claim:
    """One claim of the paper."""

    id: str
    text: str
    where: str
    published: str  # the paper's own numbers (published.csv)
    models: tuple[str, ...]
    unit: str  # what the effect is, in percent
    compare: Callable[[pd.DataFrame], Differences] | None = None  # levels of one protocol
    also: Callable[[Evidence], Differences] | None = None  # further parts as-written
    contrasts: Callable[[pd.DataFrame], Mapping[Part, Contrast]] | None = None
    rule: Rule = Rule()
    gap: bool = False  # whether it is about overfitting, which has both rows in it
    shape: bool = False  # whether its parts are the two of a curve's shape
    grid: str = "paper"  # gives the evidence as-written
    needs: str = ""  # what the grid must contain
    elsewhere: tuple[tuple[str, str], ...] = ()  # what parts are about, and what measures them
    in_scripts: bool = True  # whether the paper's scripts trained such networks
    times: float = 0.0  # the ratio of two MSE that the effect is a change from; 0: not said
    division: str = ""  # what the division by n has to do with it

    def measure(self, protocol: str) -> str:
        """Return what a protocol is judged by."""
        return NOISY if self.gap else OWN_MEASURE[protocol]
