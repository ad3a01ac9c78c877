"""Means over replicates: outcomes, intervals and sign-flip tests.

Two models are compared replicate by replicate: with common random numbers (data_utils/noise.py)
both have the same split, noise and batches of a seed, so their difference is far less noisy than
each error. study/evidence/effects.py judges such differences.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit  # Student's t, without the second that scipy.stats takes

ALPHA = 0.05
POWER = 0.8
EXACT_UP_TO = 20  # differences: all 2^20 sign flips take some 10 ms
FLIPS = 99_999  # at random, for more differences


class Outcome(StrEnum):
    """The outcome of a comparison over replicates.

    An interval that includes both an effect of interest and no effect is "undecided".
    Too few replicates have no interval and give "no verdict".
    """

    HOLDS = "holds"
    REVERSED = "reversed"
    NO_DIFFERENCE = "no difference"
    UNDECIDED = "undecided"
    NO_VERDICT = "no verdict"
    NOT_MEASURED = "not measured"


HOLDS, REVERSED, NO_DIFFERENCE, UNDECIDED, NO_VERDICT, NOT_MEASURED = Outcome


@dataclass(frozen=True)
class Interval:
    """A confidence interval of a mean; NaN if there is only one value."""

    low: float
    high: float


def interval(values: ArrayLike, overlap: float = 0.0, level: float = 0.95) -> Interval:
    """Return the interval of a mean over replicates, as in all tables and figures.

    It is Student's t interval with the variance (1 / J + overlap) s^2 of Nadeau and Bengio (2003,
    Machine Learning 52:239) for J replicates. `overlap` is n_test / n_train if each has its own
    split of the same samples, and 0 if they share one. Equal values get an interval of width 0, one
    value gets NaN.
    """
    x = _finite(values)
    n, mean = len(x), float(x.mean())
    if n == 1:
        return Interval(math.nan, math.nan)
    half = standard_error(x, overlap) * float(stdtrit(n - 1, (1 + level) / 2))
    return Interval(mean - half, mean + half)


def standard_error(values: np.ndarray, overlap: float) -> float:
    """Return the standard error of a mean over replicates; 0 if values differ only by rounding."""
    if np.ptp(values) <= 1e-12 * np.abs(values).max():
        return 0.0
    return float(values.std(ddof=1)) * math.sqrt(1 / len(values) + overlap)


def sign_flip_test(differences: ArrayLike) -> float:
    """Return the two-sided p of the permutation test for pairs (Fisher 1935; Pitman 1937).

    Under the null hypothesis each difference is as likely to have the other sign. So the absolute
    mean is compared with those of all 2^n flips of signs; p is the share that is at least as large,
    and never below 2^(1-n). Above EXACT_UP_TO differences the flips are random, and
    p = (b + 1) / (m + 1) (Phipson and Smyth 2010).
    """
    d = _finite(differences)
    tolerance = 1e-12 * np.abs(d).sum()  # sums that differ only by rounding are ties
    if len(d) <= EXACT_UP_TO:
        sums = np.zeros(1)
        for difference in d:
            sums = np.concatenate([sums + difference, sums - difference])
        return float(np.mean(np.abs(sums) >= abs(d.sum()) - tolerance))
    sums = np.where(_generator().random((FLIPS, len(d))) < 0.5, d, -d).sum(axis=1)
    count = np.count_nonzero(np.abs(sums) >= abs(d.sum()) - tolerance)
    return (count + 1) / (FLIPS + 1)


def counted(n: int, noun: str = "seed") -> str:
    """Return a count with its noun, such as "1 seed" or "3 seeds"."""
    return f"1 {noun}" if n == 1 else f"{n} {noun}s"


def _finite(values: ArrayLike) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) == 0 or not np.isfinite(array).all():
        raise ValueError(f"expected finite numbers, one per replicate; got {array.tolist()}")
    return array


def _generator() -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(0))
