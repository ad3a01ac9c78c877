"""The fields of a claim of the paper."""

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
#: The measure that judges a protocol: the scripts used clean training rows, the text noisy test
#: rows.
OWN_MEASURE = {AS_PUBLISHED: CLEAN, AS_WRITTEN: NOISY}


def measured(levels: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return a levels table with the column of a measure as `mse`."""
    return levels.assign(mse=levels[MEASURES[measure]])


@dataclass(frozen=True)
class Claim:
    """One claim of the paper."""

    id: str
    text: str
    where: str
    published: str  # the paper's own numbers (published.csv)
    models: tuple[str, ...]
    unit: str  # description of the effect, which is in percent
    compare: Callable[[pd.DataFrame], Differences] | None = None  # levels of one protocol
    also: Callable[[Evidence], Differences] | None = None  # further parts as-written
    contrasts: Callable[[pd.DataFrame], Mapping[Part, Contrast]] | None = None
    rule: Rule = Rule()
    gap: bool = False  # whether it is about overfitting, which compares test and training rows
    shape: bool = False  # whether its parts are the fall and the rise of curves
    grid: str = "paper"  # the grid of its as-written evidence
    needs: str = ""  # what the grid must contain
    elsewhere: tuple[tuple[str, str], ...] = ()  # subjects of parts, and commands that measure them
    in_scripts: bool = True  # whether the paper's scripts trained such networks
    times: float = 0.0  # the ratio of two MSE at which the effect is 0; 0: not shown as a ratio
    division: str = ""  # the role of the division by n

    def measure(self, protocol: str) -> str:
        """Return the measure by which this claim is judged in a protocol."""
        return NOISY if self.gap else OWN_MEASURE[protocol]
