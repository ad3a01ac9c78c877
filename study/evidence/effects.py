"""Effects over replicates in percent, with intervals and outcomes that cannot disagree.

A replicate (a seed of a study) has its own split of the samples, weights, batches and noise. An
effect is a log ratio of two MSE of the same replicate, above 0 in favour of a claim: for "MSE grows
with depth", log(MSE of the deeper network / MSE of the other). It is shown in percent.

Replicates that split one data set differently share samples, so their effects are correlated and
s^2 / J is too small a variance of a mean over J of them. Nadeau and Bengio (2003, Machine Learning
52:239) take (1 / J + n_test / n_train) s^2 and Student's t with J - 1 degrees of freedom. `overlap`
is n_test / n_train; it is 0 if all replicates have one fixed split, and the interval then covers
weights, batches and noise, but no other split.

In a family of effects, each has the interval of the level at which Holm's (1979) procedure tests
it, and the outcome is read off that interval.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtr, stdtrit  # the normal and Student's t (stats.py)

from study.evidence.stats import (
    ALPHA,
    HOLDS,
    NO_DIFFERENCE,
    NO_VERDICT,
    NOT_MEASURED,
    POWER,
    REVERSED,
    UNDECIDED,
    Outcome,
    counted,
    interval,
    standard_error,
)
from study.options import FEWEST, SMALLEST

Key = TypeVar("Key", bound=Hashable)

TOO_FEW = f"a verdict needs {FEWEST}"
#: Largest number of replicates that is ever recommended.
MOST = 100


@dataclass(frozen=True)
class Effect:
    """A mean effect over replicates in percent, its deciding interval and its outcome.

    low and high are NaN below FEWEST replicates. `level` is that of the interval: 0.95 for an
    effect by itself, more for one of a family. `needed` is the number of replicates that would
    decide, if nothing is decided yet; None if no number up to MOST would. `smallest` is the
    smallest effect of interest in percent, by which the outcome is read off the interval.
    """

    outcome: Outcome
    effect: float
    low: float
    high: float
    level: float
    p: float
    n: int
    needed: int | None = None
    smallest: float = SMALLEST

    @property
    def inverse(self) -> Effect:
        """The effect of b over a, from that of a over b."""
        effect, low, high = (
            100 * (100 / (100 + end) - 1) for end in (self.effect, self.high, self.low)
        )
        flipped = {HOLDS: REVERSED, REVERSED: HOLDS}.get(self.outcome, self.outcome)
        return replace(Effect(**numbers(self)), outcome=flipped, effect=effect, low=low, high=high)

    @property
    def shown(self) -> str:
        """The effect with its interval, e.g. `+1.1 % (95 % +0.8 to +1.3)`."""
        if not math.isfinite(self.low):
            return "not measured" if self.n == 0 else f"{_signed(self.effect, 1)} % (no interval)"
        digits = shown_digits(self.low, self.high, self.smallest)
        ends = f"{_signed(self.low, digits)} to {_signed(self.high, digits)}"
        return f"{_signed(self.effect, digits)} % ({100 * self.level:.3g} % {ends})"

    @property
    def replicates(self) -> str:
        """The number of replicates in words: "1 replicate" or "5 replicates"."""
        return counted(self.n, "replicate")

    @property
    def doubt(self) -> str:
        """The reason in words why an effect is undecided, and how many replicates would decide."""
        if self.n < FEWEST:
            return f"{self.replicates}; {TOO_FEW}"
        if self.needed is None:
            return f"{self.replicates}, and not even {MOST} would decide"
        return f"{self.replicates}; --seeds {self.needed} would decide"


#: The effect of a comparison that was not measured.
UNMEASURED = Effect(NOT_MEASURED, math.nan, math.nan, math.nan, math.nan, math.nan, n=0)


def numbers(effect: Effect) -> dict[str, Any]:
    """Return the fields of an effect by name, to make another one from them."""
    return {its.name: getattr(effect, its.name) for its in fields(Effect)}


def effects(
    differences: Mapping[Key, ArrayLike],
    overlap: float,
    smallest: float = SMALLEST,
    alpha: float = ALPHA,
) -> dict[Key, Effect]:
    """Judge a family of effects from their log ratios, one per replicate, by key.

    Keys without a value are UNMEASURED. If all effects were 0, the chance that any gets a sign is
    at most `alpha`. Raises ValueError for values that are not a row of finite numbers.
    """
    rows = {key: _row(values) for key, values in differences.items()}
    levels = family_levels(rows, overlap, alpha)
    strictest = alpha / max(1, sum(len(row) >= FEWEST for row in rows.values()))
    return {
        key: at_level(row, overlap, smallest, levels[key], strictest) for key, row in rows.items()
    }


def family_levels(
    differences: Mapping[Key, ArrayLike], overlap: float, alpha: float = ALPHA
) -> dict[Key, float]:
    """Return by key the level at which Holm's procedure tests an effect of a family.

    Effects of fewer than FEWEST replicates are not tested and do not count.
    """
    p = [t_test(values, overlap) for values in differences.values()]
    return dict(zip(differences, holm_levels(p, alpha), strict=True))


def effect_of(
    differences: ArrayLike, overlap: float, smallest: float = SMALLEST, alpha: float = ALPHA
) -> Effect:
    """Judge one effect by its log ratios, one per replicate."""
    return effects({"": differences}, overlap, smallest, alpha)[""]


def at_level(
    differences: ArrayLike, overlap: float, smallest: float, alpha: float, strictest: float
) -> Effect:
    """Judge one effect at a given level, such as that of its family.

    `alpha` is 1 minus the level of the interval; `strictest` is the alpha for computing `needed`.
    """
    row = _row(differences)
    if not len(row):
        return UNMEASURED
    low, high = (percent(end) for end in mean_interval(row, overlap, 1 - alpha))
    found = outcome(low, high, smallest)
    open_ = found in (UNDECIDED, NO_VERDICT)
    needed = replicates_needed(row, overlap, smallest, strictest) if open_ else None
    mean = percent(row.mean())
    p, level = t_test(row, overlap), 1 - alpha
    return Effect(found, mean, low, high, level, p, len(row), needed, smallest)


def outcome(low: float, high: float, smallest: float = SMALLEST) -> Outcome:
    """Return the outcome of an interval in percent; NaN bounds give no verdict.

    Ratios between 1 / (1 + s) and 1 + s are below the smallest effect of interest s, so that it
    does not matter which of two MSE is the numerator.
    """
    if math.isnan(low) or math.isnan(high):
        return NO_VERDICT
    if -smallest / (1 + smallest / 100) < low and high < smallest:
        return NO_DIFFERENCE
    if low > 0:
        return HOLDS
    return REVERSED if high < 0 else UNDECIDED


def percent(log_ratio: float) -> float:
    """Return a log ratio as a change in percent; log ratios above 700 count as 700."""
    return 100 * math.expm1(min(log_ratio, 700.0))


def mean_interval(values: ArrayLike, overlap: float, level: float) -> tuple[float, float]:
    """Return the corrected t interval of a mean over replicates; NaN below FEWEST of them.

    Equal values have an interval of width 0.
    """
    row = _row(values)
    if len(row) < FEWEST:
        return math.nan, math.nan
    found = interval(row, overlap, level)
    return found.low, found.high


def t_test(values: ArrayLike, overlap: float) -> float:
    """Return the two-sided p of the corrected t test of a mean of 0; NaN below FEWEST values."""
    row = _row(values)
    if len(row) < FEWEST:
        return math.nan
    mean, spread = abs(float(row.mean())), standard_error(row, overlap)
    if spread == 0:
        return 1.0 if mean == 0 else 0.0
    return float(2 * stdtr(len(row) - 1, -mean / spread))


def holm_levels(pvalues: Iterable[float], alpha: float = ALPHA) -> list[float]:
    """Return the level at which Holm's step-down procedure tests each of m p-values.

    The j-th smallest is tested at alpha / (m - j + 1) if all smaller ones were rejected; the first
    that is not rejected, and all after it, share its level. So the decision is p <= level, and it
    agrees with whether an interval of 1 - level excludes 0. A p of NaN is not tested.
    """
    p = np.array(list(pvalues), dtype=np.float64)
    levels = np.full(len(p), alpha)
    tested = np.argsort(p, kind="stable")[: int(np.sum(~np.isnan(p)))]
    level = 0.0
    for j, i in enumerate(tested):
        if j == 0 or p[tested[j - 1]] <= level:
            level = alpha / (len(tested) - j)
        levels[i] = level
    return [float(level) for level in levels]


def replicates_needed(
    values: ArrayLike, overlap: float, smallest: float = SMALLEST, alpha: float = ALPHA
) -> int | None:
    """Estimate how many replicates would decide, if further ones vary like these.

    It is the least J above their number at which the interval of such a mean excludes 0, or lies
    within the smallest effect, with a chance of POWER. None if no J up to MOST is enough: with
    overlapping splits the variance of the mean never falls below overlap x s^2, for any number of
    replicates.
    """
    row = _row(values)
    if len(row) < 2:
        return None
    mean, sd = float(row.mean()), float(row.std(ddof=1))
    within = math.log1p(smallest / 100) - abs(mean)
    counts = np.arange(max(FEWEST, len(row) + 1), MOST + 1)
    half = stdtrit(counts - 1, 1 - alpha / 2) + ndtri(POWER)
    half = half * sd * np.sqrt(1 / counts + overlap)
    enough = counts[half < max(abs(mean), within)]
    return int(enough[0]) if len(enough) else None


def shown_digits(low: float, high: float, smallest: float = SMALLEST) -> int:
    """Return the decimals for showing an interval in percent: two digits of its half width.

    At most two decimals are shown, except if the rounded interval would have another outcome.
    """
    half = (high - low) / 2
    digits = 1 if not half > 0 else min(2, max(0, 1 - math.floor(math.log10(half))))
    wanted = outcome(low, high, smallest)
    while digits < 15 and outcome(round(low, digits), round(high, digits), smallest) != wanted:
        digits += 1
    return digits


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}"


def _row(values: ArrayLike) -> np.ndarray:
    row = np.asarray(values, dtype=np.float64)
    if row.ndim != 1 or not np.isfinite(row).all():
        raise ValueError(f"expected finite numbers, one per replicate; got {row.tolist()}")
    return row
