"""The paper's claims C1-C10, and judging each by the evidence.

A claim is judged as published, as written, and as published with one item of the scripts changed;
claims about the error also by both measures, clean training rows and noisy test rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import product

import pandas as pd

from models.config import AS_PUBLISHED, AS_WRITTEN, NOISE_FACTORS
from study.evidence.clusters import Contrast, cluster_intervals
from study.evidence.evidence import Evidence
from study.evidence.stats import HOLDS, NOT_MEASURED
from study.paper.claim import MEASURES, NOISY, Claim, measured
from study.paper.comparisons import (
    ACROSS,
    CODE,
    CONV,
    DENSE,
    HUNDRED,
    MIDDLE,
    MIDDLE_PARTS,
    MIXED,
    SPARSITY,
    SPATIAL,
    contrasts_of_depths,
    contrasts_of_kinds,
    contrasts_of_shapes,
    conv_over_dense,
    curves_of,
    gap_by_depth,
    gap_by_noise,
    given_order,
    mixed_noise,
    order_of_depths,
    other_genes,
    other_noise,
    overfitting,
    sample_errors,
    shape_of_curves,
    usable,
)
from study.paper.judging import ClaimVerdict, Part, Rule, judge
from study.paper.shapes import Shape, shapes_of
from study.paper.steps import DIVIDED, Factorial, Step, factorial_of, steps_of

PROTOCOLS = (AS_PUBLISHED, AS_WRITTEN)
_C5 = (
    "at noise 0.5: conv 0.000577 (Fig. 10; x n: 1.0104), "
    "dense 0.639, 0.943, 0.988, about 1 (Figs. 6-9)"
)
_C5_DIVISION = (
    "Fig. 10 is C / n: 0.000577 at noise 0.5 is 1108 to 1713 times below Figs. 6-8 "
    "(0.639 to 0.988), which are not divided; times n = 1752 it is 1.0104, above all of them"
)


CLAIMS = (
    Claim(
        "C1",
        "MSE grows with depth (2 < 4 < 6 < 8 layers) at noise factor 0.5",
        "Figs. 4, 5",
        "Fig. 4: 0.000216, 0.000295, 0.000319, 0.000344; x 2921: 0.631, 0.862, 0.932, 1.004",
        DENSE,
        "by how much the deeper of two neighbours has more MSE",
        partial(order_of_depths, noise_factors=(MIDDLE,)),
        contrasts=partial(contrasts_of_depths, noise_factors=(MIDDLE,)),
        needs="noise factor 0.5",
    ),
    Claim(
        "C2",
        "the same order of depths at every noise factor",
        "section 9.1",
        "Figs. 6-9: 0.690, 1.002, 1.000, about 1 at noise 0 and 0.630, 0.891, 0.970, about 1 at "
        "noise 1; 28 of 33 neighbours differ by more than the reading error",
        DENSE,
        "by how much the deeper of two neighbours has more MSE",
        partial(order_of_depths, noise_factors=NOISE_FACTORS),
        contrasts=partial(contrasts_of_depths, noise_factors=NOISE_FACTORS),
        rule=Rule(apart=MIDDLE_PARTS),
    ),
    Claim(
        "C3",
        "for every depth MSE falls as the noise factor grows",
        "Figs. 6-9",
        "from noise 0 to 1: 0.690 to 0.630 (Fig. 6), 1.002 to 0.891 (Fig. 7), "
        "1.000 to 0.970 (Fig. 8), about 1 to about 1 (Fig. 9)",
        DENSE,
        "by how much MSE is higher before the turning point, or lower beyond it",
        partial(shape_of_curves, models=DENSE),
        contrasts=partial(contrasts_of_shapes, models=DENSE),
        shape=True,
    ),
    Claim(
        "C4",
        "for the conv model MSE falls as the noise factor grows",
        "Fig. 10",
        "Fig. 10: 0.003471 at noise 0 to 0.000344 at noise 0.9; x n: 1.0135 to 1.0034",
        (CONV,),
        "by how much MSE is higher before the turning point, or lower beyond it",
        partial(shape_of_curves, models=(CONV,)),
        contrasts=partial(contrasts_of_shapes, models=(CONV,)),
        shape=True,
        division="Fig. 10 is C / n: its numbers fall 10.1-fold, and multiplied by n = 292, 584, "
        "... 2920 they are 1.0135 to 1.0034, a fall of 1.0 %",
    ),
    Claim(
        "C5a",
        "the conv model is better than the dense ones",
        "section 9.3",
        _C5,
        (*DENSE, CONV),
        "by how much the dense MSE (geometric mean over depths) is above the conv MSE",
        conv_over_dense,
        contrasts=contrasts_of_kinds,
        needs="noise factor 0.5",
        times=1.0,
        division=_C5_DIVISION,
    ),
    Claim(
        "C5b",
        "the conv model is two orders of magnitude better than the dense ones, "
        "so there are spatial features",
        "section 9.3",
        _C5,
        (*DENSE, CONV),
        "by how much the dense MSE (geometric mean over depths) is above 100 times the conv MSE",
        partial(conv_over_dense, times=HUNDRED),
        given_order,
        needs="noise factor 0.5",
        elsewhere=((SPATIAL, "--grid gene-order"),),
        times=HUNDRED,
        division=_C5_DIVISION,
    ),
    Claim(
        "C6",
        "fewer sparsity constraints and/or a smaller code reduce the overfitting",
        "sections 9.1, 10",
        "no number: a conjecture",
        DENSE,
        "by how much the constraint or the larger code widens the gap, test MSE over train MSE",
        overfitting,
        rule=Rule(any_of=True),
        gap=True,
        in_scripts=False,
        elsewhere=(
            (SPARSITY, "--grid paper with two values of beta"),
            (CODE, "--grid paper with 4 layers"),
        ),
    ),
    Claim(
        "C7",
        "training on several noise levels, or testing at another level, may do better",
        "section 9.2",
        "no number: a conjecture",
        DENSE,
        "by how much a network for the one level has more MSE",
        mixed_noise,
        other_noise,
        rule=Rule(any_of=True),
        grid="mixed-noise",
        in_scripts=False,
        elsewhere=((MIXED, "--grid mixed-noise"), (ACROSS, "--grid cross-noise")),
    ),
    Claim(
        "C8",
        "adding layers overfits the data",
        "section 9.1",
        "no number: an explanation of Fig. 4",
        DENSE,
        "by how much the deeper of two neighbours has the wider gap, test MSE over train MSE",
        gap_by_depth,
        gap=True,
        needs="noise factor 0.5",
    ),
    Claim(
        "C9",
        "dense networks overfit data with lower noise, the conv network overfits as noise grows",
        "sections 9.2, 9.3",
        "no number: an explanation of Figs. 6-10",
        (*DENSE, CONV),
        "by how much the gap, test MSE over train MSE, changes over the noise factors as claimed",
        gap_by_noise,
        gap=True,
    ),
    Claim(
        "C10",
        "an autoencoder that learned the landmark genes can denoise the rest of the 21,000 genes",
        "section 6",
        "no number: a plan",
        DENSE,
        "by how much the other genes, predicted from noisy landmarks, have more MSE",
        also=other_genes,
        grid="inference",
        in_scripts=False,
    ),
)


@dataclass(frozen=True, eq=False)
class Judgement:
    """One claim with its evidence.

    cells: verdicts by protocol and measure, if these runs measured them. shapes: for C3 and C4, the
    shape of each model's curve, by cell. missing: by protocol, the parts that are not measured with
    the command that would measure them, or "". steps: the effect of each item of the scripts.
    factorial: all effects of the items that were corrected in every combination; None without such
    networks.
    """

    claim: Claim
    cells: dict[tuple[str, str], ClaimVerdict]
    shapes: dict[tuple[str, str], tuple[Shape, ...]]
    missing: dict[str, str]
    steps: tuple[Step, ...]
    factorial: Factorial | None = None

    def cell(self, protocol: str) -> ClaimVerdict | None:
        """Return the verdict on a protocol by its own measure; None without evidence."""
        return self.cells.get((protocol, self.claim.measure(protocol)))

    def sentence(self, protocol: str, measure: str) -> str:
        """Return a cell in words: effect, interval, parts, shapes, and a ratio of two MSE."""
        verdict = self.cells[protocol, measure]
        pieces = [verdict.sentence, *(shape.words for shape in self.shapes[protocol, measure])]
        if self.claim.times and math.isfinite(verdict.low) and len(verdict.parts) == 1:
            ends = (verdict.effect, verdict.low, verdict.high)
            ratio, low, high = (self.claim.times * (1 + end / 100) for end in ends)
            pieces.append(
                f"the dense MSE is {ratio:.3g} times the conv MSE ({low:.3g} to {high:.3g})"
            )
        return "; ".join(pieces)

    @property
    def there(self) -> bool:
        """Whether the claim holds as published."""
        verdict = self.cell(AS_PUBLISHED)
        return verdict is not None and verdict.outcome == HOLDS

    @property
    def found(self) -> bool:
        """Whether the claim, or at least the mean effect over its parts, holds as published."""
        return self.there or any(step.published.outcome == HOLDS for step in self.steps)

    @property
    def makers(self) -> list[str]:
        """The items whose correction removes the effect or, if absent as published, adds it."""
        verdict = self.cells.get((AS_PUBLISHED, NOISY))
        holds = verdict is not None and verdict.outcome == HOLDS
        steps = [step for step in self.steps if not (step.item == NOISY and self.found and holds)]
        return [step.item for step in steps if (step.makes if self.found else step.adds)]

    @property
    def lessened(self) -> list[str]:
        """The items whose correction removes some of the effect, but not provably all of it."""
        items = [step.item for step in self.steps if step.takes]
        return [item for item in items if item not in self.makers]

    @property
    def subject(self) -> str:
        """What the items explain: the claim, or only the mean effect over its parts."""
        verdict = self.cell(AS_PUBLISHED)
        whole = self.there or verdict is None or len(verdict.parts) < 2
        return self.claim.id if whole else f"the mean effect of {self.claim.id}"

    @property
    def artefact(self) -> str:
        """The items that cause the claim, in words; "" if nothing is known."""
        mean = "" if self.subject == self.claim.id else "the mean over its parts "
        pieces = []
        if self.found:
            pieces.append(f"{mean}is there as published" if mean else "there as published")
            made, some = " / ".join(self.makers), " / ".join(self.lessened)
            pieces += [f"vanishes with: {made}" if made else ""]
            pieces += [f"is lessened by: {some}" if some else ""]
            pieces += ["" if made or some else "no item is shown to make it"]
            if {step.item for step in self.steps} <= {NOISY, DIVIDED}:
                pieces.append("the items of the scripts one by one: --grid autopsy")
        elif self.makers:
            made = " / ".join(self.makers)
            pieces.append(f"not there as published; {mean}appears with: {made}")
        return "; ".join(filter(None, [*pieces, self.claim.division]))


def judge_claims(evidence: Evidence) -> list[Judgement]:
    """Judge C1-C10, in order."""
    return [judge_claim(claim, evidence) for claim in CLAIMS]


def judge_claim(claim: Claim, evidence: Evidence) -> Judgement:
    """Judge one claim."""
    cells: dict[tuple[str, str], ClaimVerdict] = {}
    shapes: dict[tuple[str, str], tuple[Shape, ...]] = {}
    rule = replace(claim.rule, smallest=evidence.smallest)
    for protocol, measure in product(PROTOCOLS, (NOISY,) if claim.gap else MEASURES):
        rows = _rows(evidence, protocol, measure)
        parts = dict(claim.compare(rows)) if claim.compare is not None else {}
        if claim.also is not None and (protocol, measure) == (AS_WRITTEN, NOISY):
            parts |= claim.also(evidence)
        verdict = judge(parts, evidence.overlap, rule)
        if verdict is not None:
            key = protocol, measure
            if claim.contrasts is not None and key == (AS_WRITTEN, NOISY):
                verdict = _over_samples(verdict, claim.contrasts(rows), evidence)
            cells[key] = verdict
            curves = curves_of(rows, claim.models) if claim.shape else {}
            shapes[key] = shapes_of(verdict, curves, evidence.smallest)
    missing = {
        protocol: _missing(claim, protocol, cells.get((protocol, claim.measure(protocol))))
        for protocol in PROTOCOLS
    }
    factorial = factorial_of(claim, evidence)
    steps = steps_of(claim, evidence, factorial)
    return Judgement(claim, cells, shapes, missing, steps, factorial)


@lru_cache(len(PROTOCOLS) * len(MEASURES))
def _rows(evidence: Evidence, protocol: str, measure: str) -> pd.DataFrame:
    """Return the networks of an unchanged protocol by which all claims are judged."""
    levels = evidence.levels
    levels = levels[(levels["changed"] == "") & (levels["protocol"] == protocol)]
    return usable(measured(levels, measure))


def _over_samples(
    verdict: ClaimVerdict, contrasts: Mapping[Part, Contrast], evidence: Evidence
) -> ClaimVerdict:
    """Add intervals over test samples to a verdict's parts, if errors by sample were recorded."""
    errors = sample_errors(evidence)
    found = cluster_intervals(errors, contrasts) if len(errors) else {}
    parts = (replace(part, samples=found.get(part.part)) for part in verdict.parts)
    return replace(verdict, parts=tuple(parts), drawn=str(evidence.clusters.name))


def _missing(claim: Claim, protocol: str, verdict: ClaimVerdict | None) -> str:
    """Return the command that would measure a claim's unmeasured parts, or why none would."""
    published = protocol == AS_PUBLISHED
    if published and not claim.in_scripts:
        return "the paper's scripts had no such networks"
    command = f"--grid {AS_PUBLISHED if published else claim.grid}"
    command += f" with {claim.needs}" if claim.needs else ""
    if verdict is None:
        return command
    elsewhere = dict(claim.elsewhere)
    commands = [
        elsewhere.get(part.part.about, command)
        for part in verdict.parts
        if part.outcome == NOT_MEASURED
    ]
    return f"the other parts: {'; '.join(dict.fromkeys(commands))}" if commands else ""
