"""The base of the paper's open questions: the networks that answer one, and effects in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from study.evidence.effects import Effect
from study.evidence.evidence import Evidence
from study.evidence.plain import plain
from study.evidence.stats import HOLDS, NOT_MEASURED, REVERSED, UNDECIDED, interval
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


def effect(values: pd.Series, percent: bool = False) -> str:
    """Return the mean over seeds with its interval: "+3.1 % (95 % +2.0 to +4.2)"."""
    values = values.dropna().to_numpy(dtype=float) * (100 if percent else 1)
    unit, mean = " %" if percent else "", values.mean()
    digits = _digits(mean) if percent else 4
    bounds = interval(values)
    if np.isnan(bounds.low):
        return f"{signed(mean, digits)}{unit} (1 seed)"
    ends = " to ".join(signed(end, digits) for end in (bounds.low, bounds.high))
    return f"{signed(mean, digits)}{unit} (95 % {ends})"


def change(share: float) -> str:
    """Return 0.031 as "+3.1 %" and 0.0004 as "+0.04 %"."""
    return f"{signed(100 * share, _digits(100 * share))} %"


def _digits(percent: float) -> int:
    return 2 if abs(percent) < 1 else 1


def outcome(verdict: Effect | None, holds: str, reversed_: str) -> str:
    """Return the words for a claim that holds or is reversed, or the reason why it is undecided."""
    if verdict is None:
        return NOT_MEASURED
    meaning = {HOLDS: holds, REVERSED: reversed_}.get(verdict.outcome, verdict.outcome)
    if verdict.outcome == UNDECIDED:
        return f"{meaning}: {verdict.doubt}"
    return f"{meaning} ({verdict.shown}, {verdict.replicates})"
