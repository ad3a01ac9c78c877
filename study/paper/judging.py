"""One verdict on a claim that has several parts, such as an order of four models: differences in, verdict out."""

from __future__ import annotations

from dataclasses import dataclass, field

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

#: A part of a claim: what is compared, and the noise factor (None: over all, or none).
Part = tuple[str, float | None]
#: By part the differences by seed, positive where the claim says so; empty where the part was not measured.
Differences = dict[Part, pd.Series]
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


@dataclass(frozen=True, eq=False)
class ClaimVerdict(Verdict):
    """The verdict on all parts together.

    effect is the mean over the parts, with the interval of that mean over seeds that have them all. p is what decides:
    the least Holm-adjusted p of the reversed parts, or the greatest p where no part is reversed. n counts the seeds of
    the part that has fewest. parts: one row a part, PART_COLUMNS.
    """

    unit: str = ""
    note: str = ""
    parts: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=PART_COLUMNS))

    @property
    def tends(self) -> bool:
        """All parts were measured, and point the way of the claim."""
        return bool((self.parts["effect"] > 0).all())

    @property
    def text(self) -> str:
        """For a reader, in one line: the outcome and its details."""
        return f"{self.outcome}: {self.details}"

    @property
    def details(self) -> str:
        """Mean effect with interval and meaning, and the part that decides; why it is undecided."""
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
        """The part that is least, or most reversed; of parts that are found reversed, one of those."""
        found = self.parts[self.parts["outcome"] == FAILS]
        rows = found if len(found) else self.parts
        row = rows.loc[rows["effect"].astype(float).idxmin()]
        reversed_ = int((self.parts["effect"] < 0).sum())
        count = f"{reversed_} of {len(self.parts)} parts reversed, most" if reversed_ else "least"
        p = f", Holm p = {row['p_holm']:.2g}" if len(found) else ""
        return (
            f"{count} {part_name(row['comparison'], row['noise_factor'])}: {row['effect']:+.3g}{p}"
        )


def part_name(comparison: str, noise_factor: float | None) -> str:
    """`dense-4 above dense-2 at noise 0.5`."""
    return comparison if pd.isna(noise_factor) else f"{comparison} at noise {noise_factor:g}"


def judge(
    differences: Differences,
    unit: str = "",
    note: str = "",
    apart: tuple[Part, ...] = (),
    alpha: float = ALPHA,
) -> ClaimVerdict | None:
    """Judge a claim that says that every part is above 0; None where no part was measured.

    "holds" needs every part measured, above 0 and with p <= alpha: an intersection-union test (Berger 1982), whose
    error is at most alpha without adjustment, since all parts have to err together. "does not hold" needs one part
    below 0 with p <= alpha, adjusted by Holm over all parts, for any one may err.

    `apart` names parts that are tested as a family of their own too, for a claim that includes a smaller one: with
    the smaller claim the larger falls (closed testing). A part takes the smaller of its two adjusted p. The error
    stays at alpha: a true claim fails by the lower tail of two-sided tests alone, at alpha / 2 for each family.
    """
    measured = {part: d.dropna() for part, d in differences.items() if d.notna().any()}
    if not measured:
        return None
    families = [
        [part for part in family if part in measured] for family in (list(differences), apart)
    ]
    p = {part: sign_flip_test(d).p for part, d in measured.items()}
    adjusted, size = dict.fromkeys(p, 1.0), {}
    for family in families:  # all parts first, so that `size` ends as the smaller family's
        for part, value in zip(family, holm([p[part] for part in family]), strict=True):
            adjusted[part], size[part] = min(adjusted[part], value), len(family)
    verdicts = {}
    for part, d in measured.items():
        above = d.mean() > 0
        verdicts[part] = verdict(
            d, p[part] if above else adjusted[part], alpha, 1 if above else size[part]
        )
    rows = [_row(part, verdicts.get(part), p.get(part), adjusted.get(part)) for part in differences]
    table = pd.DataFrame(rows, columns=PART_COLUMNS)
    whole = _mean_of_parts(measured)
    outcome, decisive, needed = _together(
        list(verdicts.values()), len(measured) == len(differences), alpha
    )
    n = min(v.n for v in verdicts.values())
    return ClaimVerdict(
        outcome, whole.effect, whole.interval, decisive, n, needed, unit, note, table
    )


def _together(
    verdicts: list[Verdict], complete: bool, alpha: float
) -> tuple[Outcome, float, int | None]:
    """Outcome, the p that decides, and where it is undecided the seeds that would decide."""
    below = [v for v in verdicts if v.effect < 0]
    p = min(v.p for v in below) if below else max(v.p for v in verdicts)
    if p <= alpha and (below or complete):
        return FAILS if below else HOLDS, p, None
    needed = [v.seeds_needed for v in below or verdicts if v.outcome == UNDECIDED]
    if below:  # one part is enough
        return UNDECIDED, p, min((n for n in needed if n is not None), default=None)
    return UNDECIDED, p, max(needed) if complete and None not in needed else None


def _mean_of_parts(measured: Differences) -> Verdict:
    """Effect and interval of the mean over parts, of the seeds that have all parts (where there are none, of all)."""
    table = pd.concat(measured, axis=1)
    complete = table.dropna()
    return verdict((complete if len(complete) else table).mean(axis=1), p=1.0)


def _row(part: Part, found: Verdict | None, p: float | None, adjusted: float | None) -> tuple:
    comparison, noise_factor = part
    noise_factor = np.nan if noise_factor is None else noise_factor
    if found is None:
        return (comparison, noise_factor, *[np.nan] * 5, 0, NOT_MEASURED)
    low, high = found.interval.low, found.interval.high
    return (comparison, noise_factor, found.effect, low, high, p, adjusted, found.n, found.outcome)
