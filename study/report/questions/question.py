"""The base of the paper's open questions: the networks that answer one, and effects in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from study.evidence.effects import Effect, effect_of
from study.evidence.evidence import Evidence
from study.evidence.plain import plain
from study.evidence.stats import HOLDS, NOT_MEASURED, REVERSED, UNDECIDED
from study.report.curves import rounded
from study.report.document import Plot, Table
from study.report.wording import signed


@dataclass(frozen=True, eq=False)
class Question:
    """An open question; if these runs cannot answer it, `answer` is None and it has no exhibits."""

    key: str
    title: str
    option: str = "--grid"
    answer: str | None = None
    exhibits: tuple[Plot | Table, ...] = ()
    networks: frozenset[str] = frozenset()
    """The ids of the networks that its exhibits show."""

    @property
    def command(self) -> str:
        """The command that trains the networks that answer it."""
        return f"python run_study.py {self.option} {self.key}"

    @property
    def grids(self) -> frozenset[str]:
        """The names, in config.json, of the runs that are made to answer it."""
        return frozenset({self.key, f"search-{self.key}"})

    def answered(
        self, answer: str, exhibits: Iterable[Plot | Table], networks: Iterable[str]
    ) -> Question:
        """Return the question with its answer."""
        return replace(self, answer=answer, exhibits=tuple(exhibits), networks=frozenset(networks))


def varied(evidence: Evidence, *settings: str) -> pd.DataFrame:
    """Return finished as-written members of one noise factor, plain except in these settings."""
    rows = of_one_kind(evidence.members, *settings)
    return rows[np.isfinite(rows["noise_factor"])]


def of_one_kind(rows: pd.DataFrame, *settings: str) -> pd.DataFrame:
    """Return finished as-written rows, plain except in `settings`, with rounded noise factors."""
    rows = rows[plain(rows, *settings) & np.isfinite(rows["test_mse"].astype(float))]
    return rows.assign(noise_factor=rounded(rows["noise_factor"]))


def trained_alike(rows: pd.DataFrame, asking: pd.Series) -> pd.DataFrame:
    """Return each model's rows with the number of epochs that most of `rows[asking]` have.

    So compared networks differ in nothing else, even if runs of different lengths are combined. Of
    two equally frequent numbers of epochs the greater one is used.
    """
    counts = rows[asking].groupby(["model", "epochs"]).size().reset_index(name="n")
    counts = counts.sort_values(["n", "epochs"]).drop_duplicates("model", keep="last")
    return rows[rows["epochs"] == rows["model"].map(counts.set_index("model")["epochs"])]


def per_seed(rows: pd.DataFrame, by: str, value: str = "test_mse") -> pd.DataFrame:
    """Return `value` as a table (seeds, `by`)."""
    return rows.groupby(["seed", by])[value].mean().unstack()


def mean_over(parts: dict) -> pd.Series:
    """Return the mean of several series by seed, over the seeds that all have."""
    values = pd.concat(parts, axis=1).dropna() if parts else pd.DataFrame(dtype=float)
    return values.mean(axis=1)


def effect(log_ratios: pd.Series, evidence: Evidence) -> Effect:
    """Return the mean of log ratios of two MSE by seed as an effect, judged as the claims are."""
    return effect_of(log_ratios.dropna(), evidence.overlap, evidence.smallest)


def change(share: float) -> str:
    """Return 0.031 as "+3.1 %" and 0.0004 as "+0.04 %"."""
    return f"{signed(100 * share, 2 if abs(share) < 0.01 else 1)} %"


def outcome(verdict: Effect | None, holds: str, reversed_: str) -> str:
    """Return what an outcome means, with the effect and the interval that it is read off."""
    if verdict is None or verdict.n == 0:
        return NOT_MEASURED
    meaning = {HOLDS: holds, REVERSED: reversed_}.get(verdict.outcome, verdict.outcome)
    why = verdict.doubt if verdict.outcome == UNDECIDED else verdict.replicates
    return f"{meaning} ({verdict.shown}; {why})"
