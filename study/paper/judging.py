"""One verdict on a claim that has several parts, such as an order of four models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

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
    NO_VERDICT,
    NOT_MEASURED,
    REVERSED,
    UNDECIDED,
    Interval,
    Outcome,
    sign_flip_test,
)


class Role(StrEnum):
    """The role of a part in the verdict on its claim."""

    DECIDES = "decides"
    BOUND = "must not be reversed"  # no difference is enough
    ASIDE = "is shown only"


@dataclass(frozen=True)
class Part:
    """A part of a claim: the comparison, its noise factor (None: all), subject and role.

    Parts that compare the same are equal, though one may decide and the other be shown only.
    """

    comparison: str
    noise_factor: float | None = None
    about: str = ""
    role: Role = field(default=Role.DECIDES, compare=False)

    @property
    def name(self) -> str:
        """The comparison with its noise factor."""
        at = "" if self.noise_factor is None else f" at noise {self.noise_factor:g}"
        return f"{self.comparison}{at}"


#: By part the log ratios of MSE by replicate, above 0 if the claim is right; empty if it was not
#: measured.
Differences = Mapping[Part, pd.Series]

#: Outcomes by priority: for a claim that every part must confirm, and for one that any part may.
ALL_OF = (REVERSED, NO_DIFFERENCE, UNDECIDED, NO_VERDICT, NOT_MEASURED, HOLDS)
ANY_OF = (HOLDS, UNDECIDED, NO_VERDICT, NOT_MEASURED, NO_DIFFERENCE, REVERSED)
#: Outcomes that more replicates may change.
OPEN = (UNDECIDED, NO_VERDICT)
#: Note on an interval if the replicates share one split.
ONE_SPLIT = "one split: other weights, batches and noise are covered, other splits are not"
NAMED = 3  # parts of one outcome that a sentence names; more are counted


@dataclass(frozen=True, kw_only=True)
class PartVerdict(Effect):
    """The effect of one part, with a sign-flip test and an interval over test samples.

    sign_flips: the p of the sign-flip test, which assumes no distribution. samples: the interval
    over test samples (study/evidence/clusters.py), in percent; None if it was not measured.
    """

    part: Part
    sign_flips: float
    samples: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class ClaimVerdict(Effect):
    """The verdict on all parts together.

    Effect, interval and the other numbers are those of the deciding part, so that the shown
    interval and the outcome agree: the part that is most surely reversed or, if the claim holds,
    the weakest. Only `needed` is that of the whole claim, and `n` is the least number of replicates
    of a part. If missing parts could still change the outcome, it is "not measured" and has no
    effect. `drawn` is the unit of the intervals over test samples: a donor, a tissue or a sample.
    """

    parts: tuple[PartVerdict, ...]
    decisive: Part | None
    overlap: float
    drawn: str = "sample"

    @property
    def words(self) -> str:
        """The parts by outcome: "reversed: a, b; holds: 3 of 5 parts"; "" for a single part."""
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
        """The deciding effect with its interval, the doubt, and the parts by outcome."""
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
        drawn = "" if self.drawn == "sample" else f", by {self.drawn}"
        return f"other test samples{drawn}: {found.low:+.{digits}f} to {found.high:+.{digits}f} %"

    @property
    def frame(self) -> pd.DataFrame:
        """One row per part with its comparison, effect and outcome."""
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
    """The rule by which parts make a verdict.

    smallest: the smallest effect of interest in percent. any_of: whether one part is enough, as for
    "may" and "or". apart: parts that are also a claim by themselves; if that claim is reversed, so
    is this one.
    """

    smallest: float = SMALLEST
    any_of: bool = False
    apart: tuple[Part, ...] = field(default=())

    @property
    def by_one(self) -> tuple[Outcome, ...]:
        """The outcomes for which one part is enough."""
        return (HOLDS,) if self.any_of else (REVERSED, NO_DIFFERENCE)

    @property
    def by_all(self) -> tuple[Outcome, ...]:
        """The outcomes that every part must have."""
        return (NO_DIFFERENCE, REVERSED) if self.any_of else (HOLDS,)


def judge(
    differences: Differences, overlap: float, rule: Rule | None = None
) -> ClaimVerdict | None:
    """Judge a claim by its parts; None if no part was measured.

    Outcomes for which one part is enough, such as a reversed order of two models, are tested at the
    level that Holm's procedure gives each part, because many parts have many chances to be wrong.
    Parts of `apart` are also a family of their own, and get the less strict of the two levels
    (closed testing: if the smaller claim is false, so is the larger). A true claim is then reversed
    with a chance of at most ALPHA, since that takes the lower tail of a two-sided test, ALPHA / 2,
    in one of two families.

    Outcomes that every part must have, such as the right order everywhere, are tested at ALPHA in
    each part. This is the intersection-union test (Berger 1982, Technometrics 24:295), which needs
    no correction: if the claim is false, one of its parts is false, and the claim is judged to hold
    only if that part is found to hold, with a chance of at most ALPHA / 2. All parts then have
    intervals of level 1 - ALPHA. Outcomes for which one part is enough are tried first.
    """
    rule = rule or Rule()
    known = {part: values.dropna() for part, values in differences.items()}
    if not any(len(values) for values in known.values()):
        return None
    counted = [part for part in known if part.role != Role.ASIDE]
    asides = [part for part in known if part.role == Role.ASIDE]
    alphas: dict[Part, float] = {}
    for family in (counted, [part for part in counted if part in rule.apart], asides):
        found = family_levels({part: known[part] for part in family}, overlap)
        alphas |= {part: max(alpha, alphas.get(part, 0.0)) for part, alpha in found.items()}
    strictest = dict.fromkeys(known, ALPHA) | dict.fromkeys(counted, ALPHA / max(1, len(counted)))
    corrected = _parts(known, overlap, rule, alphas, strictest)
    verdict = _together(corrected, overlap, rule)
    if verdict.outcome in rule.by_one:
        return verdict
    alphas |= dict.fromkeys(counted, ALPHA)
    each = _parts(known, overlap, rule, alphas, dict.fromkeys(known, ALPHA))
    whole = _together(each, overlap, rule)
    if whole.outcome in rule.by_all:
        return whole
    needed = _needed(corrected, each, rule) if verdict.outcome in OPEN else None
    return replace(verdict, needed=needed)


def _parts(
    known: Mapping[Part, pd.Series],
    overlap: float,
    rule: Rule,
    alphas: Mapping[Part, float],
    strictest: Mapping[Part, float],
) -> tuple[PartVerdict, ...]:
    """Judge each part at its level."""
    return tuple(
        _part(part, values, overlap, rule.smallest, alphas[part], strictest[part])
        for part, values in known.items()
    )


def _part(
    part: Part, values: pd.Series, overlap: float, smallest: float, alpha: float, strictest: float
) -> PartVerdict:
    if not len(values):
        return PartVerdict(**numbers(UNMEASURED), part=part, sign_flips=float("nan"))
    found = at_level(values, overlap, smallest, alpha, strictest)
    return PartVerdict(**numbers(found), part=part, sign_flips=sign_flip_test(values))


def _together(parts: tuple[PartVerdict, ...], overlap: float, rule: Rule) -> ClaimVerdict:
    """Combine the parts that count, with the numbers of the part that decides."""
    counted = _counting(parts)
    outcomes = [_counted_as(part) for part in counted]
    order = ANY_OF if rule.any_of else ALL_OF
    outcome = next(found for found in order if found in outcomes)
    if outcome == NOT_MEASURED:
        return ClaimVerdict(**numbers(UNMEASURED), parts=parts, decisive=None, overlap=overlap)
    deciding = [part for part in counted if part.outcome == outcome == _counted_as(part)]
    chosen = max(deciding, key=_supports) if rule.any_of else min(deciding, key=_supports)
    found = numbers(chosen) | {"n": min(part.n for part in counted if part.n)}
    return ClaimVerdict(**found, parts=parts, decisive=chosen.part, overlap=overlap)


def _counting(parts: tuple[PartVerdict, ...]) -> tuple[PartVerdict, ...]:
    """Return the parts that are not ASIDE; all parts if there are no others."""
    return tuple(part for part in parts if part.part.role != Role.ASIDE) or parts


def _counted_as(part: PartVerdict) -> Outcome:
    harmless = part.part.role == Role.BOUND and part.outcome == NO_DIFFERENCE
    return HOLDS if harmless else part.outcome


def _supports(part: PartVerdict) -> float:
    """Return the support of a part for its claim: the end of its interval that decides on it."""
    end = part.low if part.outcome == HOLDS else part.high
    return part.effect if math.isnan(end) else end


def _needed(
    corrected: tuple[PartVerdict, ...], each: tuple[PartVerdict, ...], rule: Rule
) -> int | None:
    """Return how many replicates would decide on a claim, if further ones vary like these.

    If any undecided part leans to an outcome for which one part is enough, one such part must be
    decided; else all must be. `corrected` are the parts at Holm's levels, `each` at ALPHA.
    """
    pairs = [*zip(_counting(corrected), _counting(each), strict=True)]
    one = [part.needed for part, other in pairs if part.outcome in OPEN and _leans(other, rule)]
    if one:
        return min((n for n in one if n is not None), default=None)
    others = [other.needed for _, other in pairs if other.outcome in OPEN]
    known = [n for n in others if n is not None]
    return max(known, default=None) if len(known) == len(others) else None


def _leans(part: PartVerdict, rule: Rule) -> bool:
    """Return whether a part leans to an outcome for which one part is enough."""
    if part.outcome not in OPEN:
        return _counted_as(part) in rule.by_one
    half = rule.smallest / 2
    supports = part.effect > (-half if part.part.role == Role.BOUND else half)
    return supports == rule.any_of
