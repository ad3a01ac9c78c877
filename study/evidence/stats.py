"""Paired statistics over seeds: intervals, sign-flip tests, Holm's adjustment, and the verdict on a claim.

Two models are compared seed by seed: with common random numbers (data_utils/noise.py) both see the same split, noise
and batches of a seed, so their difference is far less noisy than either. `differences` are such numbers, one a seed,
positive where the claim says so: for "MSE grows with depth", the MSE of the deeper network less that of the other.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.stats import bootstrap, norm, t

ALPHA = 0.05
POWER = 0.8
BCA_FROM = 10  # values
EXACT_UP_TO = 20  # differences: all 2^20 sign flips take some 10 ms
MOST_SEEDS = 100  # beyond that nobody is told to run more


class Outcome(StrEnum):
    """What the seeds say about a claim, or that a part of it was not measured."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNDECIDED = "undecided"
    NOT_MEASURED = "not measured"


HOLDS, FAILS, UNDECIDED, NOT_MEASURED = Outcome


@dataclass(frozen=True)
class Interval:
    """A confidence interval of a mean; NaN where there is none. `note` says what stands in for BCa, and why."""

    low: float
    high: float
    level: float
    method: str  # "BCa", "Student's t", "point" or "none"
    note: str = ""


def interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """The interval of a mean over seeds that every table, figure and verdict shows.

    BCa from 10 values on; below that, where BCa is far too narrow, Student's t. One value: none; equal values: a point.
    """
    values = _finite(values)
    n, mean = len(values), float(values.mean())
    if n > 1 and np.ptp(values) <= 1e-12 * np.abs(values).max():
        return Interval(
            mean, mean, level, "point", f"all {n} values are equal: an interval of no width"
        )
    return bca_interval(values, level) if n >= BCA_FROM else t_interval(values, level)


def bca_interval(
    values: Sequence[float], level: float = 0.95, resamples: int = 9999, seed: int = 0
) -> Interval:
    """Bias-corrected and accelerated bootstrap interval of the mean (Efron 1987, JASA 82:171).

    Too narrow for few values, of which resamples cannot know the spread: on normal data "95 %" is 72 % for 3 values,
    84 % for 5, 90 % for 10 and 92 % for 20. `t_interval` is not, and stands in where the bootstrap is degenerate.
    """
    values = _finite(values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # degenerate draws: what comes of them is checked below
        result = bootstrap(
            (values,),
            np.mean,
            confidence_level=level,
            n_resamples=resamples,
            method="BCa",
            rng=_generator(seed),
        )
    low, high = map(float, result.confidence_interval)
    if not (math.isfinite(low) and math.isfinite(high)):
        return t_interval(
            values, level, "the bootstrap distribution is degenerate: Student's t interval"
        )
    return Interval(low, high, level, "BCa")


def t_interval(values: Sequence[float], level: float = 0.95, note: str = "") -> Interval:
    """Student's t interval of the mean: covers what it says for normal values, however few (but not one)."""
    values = _finite(values)
    if len(values) == 1:
        return Interval(math.nan, math.nan, level, "none", "one value has no spread: no interval")
    mean = float(values.mean())
    half = float(t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1)) / math.sqrt(
        len(values)
    )
    return Interval(mean - half, mean + half, level, "Student's t", note)


@dataclass(frozen=True)
class FlipTest:
    """The outcome of `sign_flip_test`."""

    p: float
    n: int
    alternative: str
    exact: bool


def sign_flip_test(
    differences: Sequence[float],
    alternative: str = "two-sided",
    resamples: int = 99_999,
    seed: int = 0,
) -> FlipTest:
    """Are the differences centred at 0? The permutation test for pairs (Fisher 1935; Pitman 1937).

    Under the null hypothesis a difference is as likely to have the other sign, so its mean is compared with the
    means of all 2^n flips: p is the share that is at least as extreme. No p is below 2^-n (two-sided 2^(1-n)).
    Above 20 differences, random flips instead, with p = (b + 1) / (m + 1) (Phipson and Smyth 2010).
    `alternative`: "two-sided", "greater" (than 0) or "less".
    """
    if alternative not in ("two-sided", "greater", "less"):
        raise ValueError(f"alternative must be two-sided, greater or less; got {alternative!r}")
    d = _finite(differences)
    exact = len(d) <= EXACT_UP_TO
    sums = _all_flips(d) if exact else _random_flips(d, resamples, seed)
    observed = d.sum()
    tolerance = 1e-12 * np.abs(d).sum()  # sums that differ by rounding alone are ties
    extreme = {
        "two-sided": np.abs(sums) >= abs(observed) - tolerance,
        "greater": sums >= observed - tolerance,
        "less": sums <= observed + tolerance,
    }[alternative]
    count = int(np.count_nonzero(extreme))
    p = count / len(sums) if exact else (count + 1) / (len(sums) + 1)
    return FlipTest(p, len(d), alternative, exact)


def _all_flips(d: np.ndarray) -> np.ndarray:
    """The sums of d under every choice of signs, (2^n,)."""
    sums = np.zeros(1)
    for difference in d:
        sums = np.concatenate([sums + difference, sums - difference])
    return sums


def _random_flips(d: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """The sums of d under random signs, (resamples,); a few rows at a time, for memory's sake."""
    rng = _generator(seed)
    blocks = [min(1000, resamples - start) for start in range(0, resamples, 1000)]
    return np.concatenate(
        [np.where(rng.random((rows, len(d))) < 0.5, d, -d).sum(1) for rows in blocks]
    )


def holm(pvalues: Sequence[float]) -> np.ndarray:
    """Holm's (1979) adjusted p-values, in the order given: reject where <= alpha, and the chance of any false

    rejection in the family is at most alpha, however the tests depend on each other.
    """
    p = np.asarray(pvalues, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values must lie in [0, 1]; got {p.tolist()}")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order]), 1)
    return adjusted


def least_seeds(alpha: float = ALPHA, alternative: str = "two-sided") -> int:
    """The least n at which the exact sign-flip test can reach alpha: 6 for 0.05, or 5 one-sided."""
    sides, n = 2 if alternative == "two-sided" else 1, 1
    while sides * 2.0**-n > alpha:
        n += 1
    return n


def seeds_needed(
    differences: Sequence[float],
    alpha: float = ALPHA,
    alternative: str = "two-sided",
    power: float = POWER,
) -> int | None:
    """About how many seeds would decide, were the differences of other seeds like these; None where none differ.

    The larger of `least_seeds` and the sample size of the paired t-test, which the sign-flip test equals for many
    seeds, n = ((z_(1 - alpha/2) + z_power) / d)^2 + z_(1 - alpha/2)^2 / 2 with d = |mean| / standard deviation
    (Guenther 1981; one-sided: alpha instead of alpha/2). d of a few seeds is rough, and so is n.
    Pass alpha / m for the strictest step of Holm's procedure over m tests.
    """
    d = _finite(differences)
    mean = float(d.mean())
    if abs(mean) <= 1e-12 * np.abs(d).max():
        return None
    least = least_seeds(alpha, alternative)
    if len(d) == 1:
        return least
    z = norm.ppf(1 - alpha / (2 if alternative == "two-sided" else 1))
    ratio = (z + norm.ppf(power)) * d.std(ddof=1) / abs(mean)
    return max(least, math.ceil(ratio**2 + z**2 / 2)) if ratio > 0 else least


@dataclass(frozen=True)
class Verdict:
    """What the seeds say about one claim, whose differences should be above 0."""

    outcome: Outcome
    effect: float  # mean difference
    interval: Interval
    p: float
    n: int
    seeds_needed: int | None = None  # where undecided: about how many would decide

    @property
    def head(self) -> str:
        """The outcome; where it is undecided, how many seeds would decide."""
        if self.outcome != UNDECIDED:
            return self.outcome
        return f"{self.outcome}: {self.doubt}"

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
        half = (high - low) / 2  # to two digits, as the others then: more say nothing
        digits = f"+.{max(0, 1 - math.floor(math.log10(half)))}f" if half > 1e-6 else "+.3g"
        return f"{self.effect:{digits}} ({100 * self.interval.level:g} % {low:{digits}} to {high:{digits}})"

    @property
    def seeds(self) -> str:
        """`1 seed`, `9 seeds`."""
        return "1 seed" if self.n == 1 else f"{self.n} seeds"


def verdict(
    differences: Sequence[float], p: float | None = None, alpha: float = ALPHA, family: int = 1
) -> Verdict:
    """Judge one claim by its differences, one a seed: two-sided, so that it can also be found false.

    For a family of tests give each its p from `holm`, and how many they are: `seeds_needed` then counts on
    alpha / family. "holds" and "does not hold" need p <= alpha; all else is undecided.
    """
    d = _finite(differences)
    if p is None:
        p = sign_flip_test(d).p
    effect, needed, outcome = float(d.mean()), None, UNDECIDED
    if p <= alpha:
        outcome = HOLDS if effect > 0 else FAILS
    else:
        needed = seeds_needed(d, alpha / family)
        needed = None if needed is None else max(needed, len(d) + 1)
    return Verdict(outcome, effect, interval(d, 1 - alpha), p, len(d), needed)


def _finite(values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or len(array) == 0 or not np.isfinite(array).all():
        raise ValueError(
            f"expected finite numbers, one a seed; got {array.tolist()}: leave out seeds that diverged"
        )
    return array


def _generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))
