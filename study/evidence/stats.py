"""Paired statistics over seeds: intervals, sign-flip tests, Holm's adjustment, verdicts on claims.

Two models are compared seed by seed: with common random numbers (data_utils/noise.py) both see the
same split, noise and batches of a seed, so their difference is far less noisy than either.
`differences` are such numbers, one per seed, positive in favour of the claim: for "MSE grows with
depth", the MSE of the deeper network less that of the other.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import bootstrap, norm, t

ALPHA = 0.05
POWER = 0.8
BCA_FROM = 10  # values
RESAMPLES = 9999
EXACT_UP_TO = 20  # differences: all 2^20 sign flips take some 10 ms
FLIPS = 99_999  # at random, for more differences
MOST_SEEDS = 100  # beyond that nobody is advised to run more


class Outcome(StrEnum):
    """What the seeds show about a claim, or that a part of it was not measured."""

    HOLDS = "holds"
    FAILS = "does not hold"
    REVERSED = "reversed"
    NO_DIFFERENCE = "no difference"
    UNDECIDED = "undecided"
    NOT_MEASURED = "not measured"


HOLDS, FAILS, REVERSED, NO_DIFFERENCE, UNDECIDED, NOT_MEASURED = Outcome


@dataclass(frozen=True)
class Interval:
    """A confidence interval of a mean; NaN if there is only one value."""

    low: float
    high: float


def interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Return the interval of a mean over seeds that every table, figure and verdict shows.

    From BCA_FROM values on it is the bias-corrected and accelerated bootstrap (Efron 1987, JASA
    82:171). Resamples of few values underestimate the spread: on normal data its "95 %" is 72 % for
    3 values, 84 % for 5, 90 % for 10 and 92 % for 20. So fewer values get Student's t interval, and
    so do values whose bootstrap is degenerate. Equal values get an interval of no width.
    """
    x = _finite(values)
    n, mean = len(x), float(x.mean())
    if n == 1:
        return Interval(math.nan, math.nan)
    if np.ptp(x) <= 1e-12 * np.abs(x).max():
        return Interval(mean, mean)
    low = high = math.nan
    if n >= BCA_FROM:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # degenerate resamples: the result is checked below
            low, high = bootstrap(
                (x,),
                np.mean,
                confidence_level=level,
                n_resamples=RESAMPLES,
                method="BCa",
                rng=_generator(),
            ).confidence_interval
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = t.interval(level, n - 1, mean, x.std(ddof=1) / math.sqrt(n))
    return Interval(float(low), float(high))


def sign_flip_test(differences: ArrayLike) -> float:
    """Return the two-sided p of the permutation test for pairs (Fisher 1935; Pitman 1937).

    If the differences are centred at 0, each is as likely to have the other sign. So the size of
    their mean is compared with those of all 2^n flips; p is the share that is at least as large,
    and never below 2^(1-n). Above EXACT_UP_TO differences the flips are random, and
    p = (b + 1) / (m + 1) (Phipson and Smyth 2010).
    """
    d = _finite(differences)
    tolerance = 1e-12 * np.abs(d).sum()  # sums that differ by rounding alone are ties
    if len(d) <= EXACT_UP_TO:
        sums = np.zeros(1)
        for difference in d:
            sums = np.concatenate([sums + difference, sums - difference])
        return float(np.mean(np.abs(sums) >= abs(d.sum()) - tolerance))
    sums = np.where(_generator().random((FLIPS, len(d))) < 0.5, d, -d).sum(axis=1)
    count = np.count_nonzero(np.abs(sums) >= abs(d.sum()) - tolerance)
    return (count + 1) / (FLIPS + 1)


def holm(pvalues: ArrayLike) -> np.ndarray:
    """Return Holm's (1979) adjusted p-values, in the order given.

    If those <= alpha are rejected, the chance of any false rejection in the family is at most
    alpha, however the tests depend on each other.
    """
    p = np.asarray(pvalues, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order]), 1)
    return adjusted


def seeds_needed(differences: ArrayLike, alpha: float = ALPHA) -> int | None:
    """Estimate how many seeds would decide, if others differ like these; None for a mean of 0.

    It is at least the n at which the sign-flip test can reach alpha (2^(1-n) <= alpha), and the
    sample size of the paired t-test, which the sign-flip test equals for many seeds:
    n = ((z_(1 - alpha/2) + z_power) / d)^2 + z_(1 - alpha/2)^2 / 2, d = |mean| / standard deviation
    (Guenther 1981). d of a few seeds is rough, and so is n. Pass alpha / m for the strictest step
    of Holm's procedure over m tests.
    """
    d = _finite(differences)
    mean = float(d.mean())
    if abs(mean) <= 1e-12 * np.abs(d).max():
        return None
    least = math.ceil(1 - math.log2(alpha))
    spread = d.std(ddof=1) if len(d) > 1 else 0.0
    if spread == 0:
        return least
    z = norm.ppf(1 - alpha / 2)
    return max(least, math.ceil(((z + norm.ppf(POWER)) * spread / mean) ** 2 + z**2 / 2))


@dataclass(frozen=True)
class Verdict:
    """What the seeds show about one claim, whose differences should be above 0."""

    outcome: Outcome
    effect: float  # mean difference
    interval: Interval
    p: float
    n: int
    seeds_needed: int | None = None  # if undecided: about how many would decide

    @property
    def doubt(self) -> str:
        """Why a claim is undecided, and how many seeds would decide."""
        if self.seeds_needed is None:
            return f"{self.seeds} without a difference"
        if self.seeds_needed > MOST_SEEDS:
            return f"{self.seeds}; the difference is too small for {MOST_SEEDS} seeds to decide"
        return f"{self.seeds}; --seeds {self.seeds_needed} would decide"

    @property
    def size(self) -> str:
        """The effect and its interval, e.g. `+0.011 (95 % +0.008 to +0.013)`."""
        low, high = self.interval.low, self.interval.high
        if math.isnan(low):
            return f"{self.effect:+.3g} (no interval)"
        half = (high - low) / 2  # shown with two digits, and so is the rest: others are noise
        digits = f"+.{max(0, 1 - math.floor(math.log10(half)))}f" if half > 1e-6 else "+.3g"
        return f"{self.effect:{digits}} (95 % {low:{digits}} to {high:{digits}})"

    @property
    def seeds(self) -> str:
        """`1 seed`, `9 seeds`."""
        return n_seeds(self.n)


def n_seeds(n: int) -> str:
    """Return "1 seed" or "3 seeds"."""
    return "1 seed" if n == 1 else f"{n} seeds"


def verdict(differences: ArrayLike, p: float | None = None, family: int = 1) -> Verdict:
    """Judge one claim by its differences; the test is two-sided, so that a claim can be false.

    For a family of tests pass to each its p from `holm`, and how many they are: `seeds_needed` then
    counts on ALPHA / family. "holds" and "does not hold" need p <= ALPHA; all else is undecided.
    """
    d = _finite(differences)
    p = sign_flip_test(d) if p is None else p
    effect, needed, outcome = float(d.mean()), None, UNDECIDED
    if p <= ALPHA:
        outcome = HOLDS if effect > 0 else FAILS
    else:
        needed = seeds_needed(d, ALPHA / family)
        needed = None if needed is None else max(needed, len(d) + 1)
    return Verdict(outcome, effect, interval(d), p, len(d), needed)


def _finite(values: ArrayLike) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) == 0 or not np.isfinite(array).all():
        raise ValueError(f"expected finite numbers, one per seed; got {array.tolist()}")
    return array


def _generator() -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(0))
