"""One verdict on a claim that has several parts, such as an order of four models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import pandas as pd

from study.evidence.effects import (
    SMALLEST,
    UNMEASURED,
    Effect,
    at_level,
    family_levels,
    numbers,
    shown_digits,
)
from study.evidence.stats import (
    ALPHA,
    HOLDS,
    NO_DIFFERENCE,
    NOT_MEASURED,
    REVERSED,
    UNDECIDED,
    Interval,
    Outcome,
    sign_flip_test,
)


class Role(StrEnum):
    """What a part does to the verdict on its claim."""

    DECIDES = "decides"
    BOUND = "must not be reversed"  # no difference is enough
    ASIDE = "is shown only"


class Part(NamedTuple):
    """A part of a claim: what is compared, at which noise factor (None: all), and its subject."""

    comparison: str
    noise_factor: float | None = None
    about: str = ""
    role: Role = Role.DECIDES

    @property
    def name(self) -> str:
        """The comparison with its noise factor."""
        at = "" if self.noise_factor is None else f" at noise {self.noise_factor:g}"
        return f"{self.comparison}{at}"


#: By part the log ratios of MSE by replicate, above 0 if the claim is right; empty if it was not
#: measured.
Differences = Mapping[Part, pd.Series]

#: What decides first: of a claim that every part must confirm, and of one that any part confirms.
ALL_OF = (REVERSED, NO_DIFFERENCE, UNDECIDED, NOT_MEASURED, HOLDS)
ANY_OF = (HOLDS, UNDECIDED, NOT_MEASURED, NO_DIFFERENCE, REVERSED)
#: What an interval covers if the replicates share one split.
ONE_SPLIT = "one split: other weights, batches and noise are covered, other splits are not"
NAMED = 3  # parts of one outcome that a sentence names; more are counted


@dataclass(frozen=True, kw_only=True)
class PartVerdict(Effect):
    """The effect of one part, and what stands beside its interval.

    sign_flips: the p of the sign-flip test, which assumes no distribution. samples: the interval
    over test samples (study/evidence/clusters.py), in percent; None if it was not measured.
    """

    part: Part
    sign_flips: float
    samples: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class ClaimVerdict(Effect):
    """The verdict on all parts together.

    Effect, interval and the other numbers are those of the part that decides: the one that is most
    surely reversed, or if the claim holds the weakest. So the interval that is shown and the
    outcome agree. `n` counts the replicates of the part that has fewest. If parts are missing that
    could still change the outcome, it is "not measured", and there is no effect.
    """

    parts: tuple[PartVerdict, ...]
    decisive: Part | None
    overlap: float

    @property
    def words(self) -> str:
        """Which parts are which: "reversed: a, b; holds: 3 of 5 parts"; "" for a single part."""
        if len(self.parts) < 2:
            return ""
        pieces = []
        for outcome in ALL_OF:
            names = [part.part.name for part in self.parts if part.outcome == outcome]
            count = f"{len(names)} of {len(self.parts)} parts"
            listed = ", ".join(names) if len(names) <= NAMED else count
            pieces += [f"{outcome}: {listed}"] if names else []
        return "; ".join(pieces)

    @property
    def sentence(self) -> str:
        """The effect that decides with its interval, the doubt, and which parts are which."""
        pieces = []
        if self.decisive is not None:
            of = f", {self.decisive.name}" if len(self.parts) > 1 else ""
            pieces.append(f"{self.shown}{of}")
            pieces.append(self.doubt if self.outcome == UNDECIDED else self.replicates)
            pieces.append("" if self.overlap else ONE_SPLIT)
            pieces.append(self._over_samples())
        return "; ".join(filter(None, [*pieces, self.words]))

    def _over_samples(self) -> str:
        """Return the deciding part's interval over test samples; "" if it was not measured."""
        [found] = [part.samples for part in self.parts if part.part == self.decisive]
        if found is None:
            return ""
        digits = shown_digits(found.low, found.high)
        return f"other test samples: {found.low:+.{digits}f} to {found.high:+.{digits}f} %"

    @property
    def frame(self) -> pd.DataFrame:
        """One row per part: what is compared, its effect and its outcome."""
        rows = [
            {
                "comparison": part.part.comparison,
                "noise_factor": part.part.noise_factor,
                **{name: getattr(part, name) for name in ("effect", "low", "high", "level", "p")},
                "sign_flips": part.sign_flips,
                **({"samples_low": part.samples.low} if part.samples else {}),
                **({"samples_high": part.samples.high} if part.samples else {}),
                "n": part.n,
                "outcome": part.outcome,
            }
            for part in self.parts
        ]
        return pd.DataFrame(rows).astype({"noise_factor": float})


@dataclass(frozen=True)
class Rule:
    """How parts make a verdict.

    smallest: the smallest effect of interest in percent. any_of: whether one part is enough, as in
    "may" and "or". apart: parts that are a claim by themselves; if it is reversed, so is this one.
    """

    smallest: float = SMALLEST
    any_of: bool = False
    apart: tuple[Part, ...] = field(default=())


def judge(
    differences: Differences, overlap: float, rule: Rule | None = None
) -> ClaimVerdict | None:
    """Judge a claim by its parts; None if no part was measured.

    Every part has the interval of the level at which Holm's procedure tests it among the parts that
    count, and its outcome is read off that interval. Parts that stand `apart` are tested as a
    family of their own as well, and have the less strict of the two levels (closed testing: if the
    smaller claim falls, so does the larger). A true claim is then reversed with a chance of at most
    ALPHA, since it takes the lower tail of a two-sided test, ALPHA / 2, in one of two families.
    """
    rule = rule or Rule()
    known = {Part(*part): values.dropna() for part, values in differences.items()}
    if not any(len(values) for values in known.values()):
        return None
    counted = [part for part in known if part.role != Role.ASIDE]
    asides = [part for part in known if part.role == Role.ASIDE]
    alphas: dict[Part, float] = {}
    for family in (counted, [part for part in counted if part in rule.apart], asides):
        found = family_levels({part: known[part] for part in family}, overlap)
        alphas |= {part: max(alpha, alphas.get(part, 0.0)) for part, alpha in found.items()}
    strictest = {part: ALPHA / max(1, len(counted)) for part in counted}
    parts = tuple(
        _part(part, values, overlap, rule.smallest, alphas[part], strictest.get(part, ALPHA))
        for part, values in known.items()
    )
    return _together([p for p in parts if p.part in counted] or list(parts), parts, overlap, rule)


def _part(
    part: Part, values: pd.Series, overlap: float, smallest: float, alpha: float, strictest: float
) -> PartVerdict:
    if not len(values):
        return PartVerdict(**numbers(UNMEASURED), part=part, sign_flips=float("nan"))
    found = at_level(values, overlap, smallest, alpha, strictest)
    return PartVerdict(**numbers(found), part=part, sign_flips=sign_flip_test(values))


def _together(
    counted: list[PartVerdict], parts: tuple[PartVerdict, ...], overlap: float, rule: Rule
) -> ClaimVerdict:
    """Combine the parts that count; the part that decides gives the numbers."""
    outcomes = [_counted_as(part) for part in counted]
    order = ANY_OF if rule.any_of else ALL_OF
    outcome = next(found for found in order if found in outcomes)
    if outcome == NOT_MEASURED:
        return ClaimVerdict(**numbers(UNMEASURED), parts=parts, decisive=None, overlap=overlap)
    deciding = [part for part in counted if part.outcome == outcome == _counted_as(part)]
    chosen = max(deciding, key=_supports) if rule.any_of else min(deciding, key=_supports)
    found = numbers(chosen) | {"n": min(part.n for part in counted if part.n)}
    if outcome == UNDECIDED:
        found["needed"] = _needed(deciding, rule.any_of)
    return ClaimVerdict(**found, parts=parts, decisive=chosen.part, overlap=overlap)


def _counted_as(part: PartVerdict) -> Outcome:
    harmless = part.part.role == Role.BOUND and part.outcome == NO_DIFFERENCE
    return HOLDS if harmless else part.outcome


def _supports(part: PartVerdict) -> float:
    """Return how far a part supports its claim: the end of its interval that decides on it."""
    end = part.low if part.outcome == HOLDS else part.high
    return part.effect if math.isnan(end) else end


def _needed(undecided: list[PartVerdict], any_of: bool) -> int | None:
    """Return the replicates that would decide one of the parts, or all of them."""
    needed = [part.needed for part in undecided]
    known = [n for n in needed if n is not None]
    if any_of:
        return min(known, default=None)
    return max(known) if len(known) == len(needed) else None
