"""One verdict on a claim that has several parts, such as an order of four models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from study.evidence.stats import (
    ALPHA,
    FAILS,
    HOLDS,
    NOT_MEASURED,
    UNDECIDED,
    Outcome,
    Verdict,
    holm,
    sign_flip_test,
    verdict,
)


class Part(NamedTuple):
    """A part of a claim: what is compared, at which noise factor (None: all), and its subject."""

    comparison: str
    noise_factor: float | None = None
    about: str = ""


#: By part the differences by seed, positive if the claim is right; empty if it was not measured.
Differences = Mapping[Part, pd.Series]
PART_COLUMNS = [
    "comparison",
    "noise_factor",
    "effect",
    "low",
    "high",
    "p",
    "p_holm",
    "n",
    "outcome",
]


@dataclass(frozen=True, eq=False, kw_only=True)
class ClaimVerdict(Verdict):
    """The verdict on all parts together.

    `effect` is the mean over the parts, with the interval of that mean over the seeds that have
    them all. `p` is what decides: the least Holm-adjusted p of the reversed parts, or the greatest
    p if no part is reversed. `n` counts the seeds of the part that has fewest.
    """

    unit: str
    note: str
    parts: pd.DataFrame
    """One row per part: PART_COLUMNS."""
    about: frozenset[str]
    """The subjects of the parts that were measured."""

    @property
    def tends(self) -> bool:
        """Whether all parts were measured and agree with the claim."""
        return bool((self.parts["effect"] > 0).all())

    @property
    def details(self) -> str:
        """The mean effect with its interval, the part that decides, and why it is undecided."""
        several = len(self.parts) > 1
        pieces = [f"{self.doubt}; so far " if self.outcome == UNDECIDED else ""]
        pieces += ["on average " if several else "", f"{self.size} {self.unit}".rstrip()]
        if self.note:
            pieces.append(f", {self.note}")
        if self.outcome != UNDECIDED:
            pieces.append(f"; p = {self.p:.2g}, {self.seeds}")
        if several:
            pieces.append(f"; {self._weakest()}")
        return "".join(pieces)

    @property
    def doubt(self) -> str:
        """Why the claim is undecided: if parts are missing, no number of seeds would decide."""
        missing = int((self.parts["outcome"] == NOT_MEASURED).sum())
        if missing and self.seeds_needed is None:
            return f"{self.seeds}; {missing} of {len(self.parts)} parts are not measured"
        return super().doubt

    def _weakest(self) -> str:
        """Name the least or most reversed part; of parts proven reversed, one of those."""
        proven = self.parts[self.parts["outcome"] == FAILS]
        rows = proven if len(proven) else self.parts
        row = rows.loc[rows["effect"].idxmin()]
        n_reversed = int((self.parts["effect"] < 0).sum())
        which = f"{n_reversed} of {len(self.parts)} parts reversed, most" if n_reversed else "least"
        at = "" if pd.isna(row["noise_factor"]) else f" at noise {row['noise_factor']:g}"
        p = f", Holm p = {row['p_holm']:.2g}" if len(proven) else ""
        return f"{which} {row['comparison']}{at}: {row['effect']:+.3g}{p}"


def judge(
    differences: Differences,
    unit: str = "",
    note: Callable[[float], str] | None = None,
    apart: tuple[Part, ...] = (),
) -> ClaimVerdict | None:
    """Judge a claim that every part is above 0; None if no part was measured.

    `unit` names the effect, and `note` puts an effect in other words.

    "holds" needs every part measured, above 0 and with p <= alpha: an intersection-union test
    (Berger 1982), whose error is at most alpha without adjustment, since all parts have to err
    together. "does not hold" needs one part below 0 with p <= alpha, adjusted by Holm over all
    parts, since any one may err.

    `apart` names parts that are also tested as a family of their own, for a claim that includes a
    smaller one: if the smaller claim falls, so does the larger (closed testing). A part takes the
    smaller of its two adjusted p. The error stays at alpha: a true claim fails only by the lower
    tail of two-sided tests, at alpha / 2 for each family.
    """
    differences = {Part(*part): d for part, d in differences.items()}
    measured = {part: d.dropna() for part, d in differences.items() if d.notna().any()}
    if not measured:
        return None
    p = {part: sign_flip_test(d) for part, d in measured.items()}
    adjusted, size = dict.fromkeys(p, 1.0), dict.fromkeys(p, 1)
    for family in (list(measured), [part for part in apart if part in measured]):
        for part, value in zip(family, holm([p[part] for part in family]), strict=True):
            adjusted[part], size[part] = min(adjusted[part], value), len(family)
    verdicts = {
        part: verdict(d, p[part]) if d.mean() > 0 else verdict(d, adjusted[part], family=size[part])
        for part, d in measured.items()
    }
    rows = [_row(part, verdicts.get(part), p.get(part), adjusted.get(part)) for part in differences]
    outcome, decisive, needed = _together(
        list(verdicts.values()), complete=len(measured) == len(differences)
    )
    whole = _mean_of_parts(measured)
    return ClaimVerdict(
        outcome=outcome,
        effect=whole.effect,
        interval=whole.interval,
        p=decisive,
        n=min(v.n for v in verdicts.values()),
        seeds_needed=needed,
        unit=unit,
        note=note(whole.effect) if note else "",
        parts=pd.DataFrame(rows, columns=PART_COLUMNS),
        about=frozenset(part.about for part in measured),
    )


def _together(verdicts: list[Verdict], complete: bool) -> tuple[Outcome, float, int | None]:
    """Return the outcome, the p that decides, and if undecided the seeds that would decide."""
    below = [v for v in verdicts if v.effect < 0]
    p = min(v.p for v in below) if below else max(v.p for v in verdicts)
    if p <= ALPHA and (below or complete):
        return FAILS if below else HOLDS, p, None
    needed = [v.seeds_needed for v in below or verdicts if v.outcome == UNDECIDED]
    known = [n for n in needed if n is not None]
    if below:  # one part is enough
        return UNDECIDED, p, min(known, default=None)
    return UNDECIDED, p, max(known) if complete and len(known) == len(needed) else None


def _mean_of_parts(measured: Mapping[Part, pd.Series]) -> Verdict:
    """Judge the mean over parts, of the seeds that have all of them, or else of all seeds."""
    table = pd.concat(measured, axis=1)
    complete = table.dropna()
    return verdict((complete if len(complete) else table).mean(axis=1), p=1.0)


def _row(part: Part, found: Verdict | None, p: float | None, adjusted: float | None) -> tuple:
    place = part.comparison, np.nan if part.noise_factor is None else part.noise_factor
    if found is None:
        return (*place, *[np.nan] * 5, 0, NOT_MEASURED)
    ends = found.interval.low, found.interval.high
    return (*place, found.effect, *ends, p, adjusted, found.n, found.outcome)
