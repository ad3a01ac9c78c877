"""The paper's claims C1-C7: what each says, and how the evidence judges it.

A claim is judged as published, as written, and as published with one item of the scripts changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pandas as pd

from models.config import AS_PUBLISHED, AS_WRITTEN, NOISE_FACTORS, items_of
from study.evidence.evidence import Evidence
from study.evidence.stats import FAILS, HOLDS, NOT_MEASURED
from study.paper.comparisons import (
    CODE,
    CONV,
    DENSE,
    MIDDLE,
    MIDDLE_PARTS,
    conv_over_dense,
    divided_by_n,
    fall_with_noise,
    mixed_noise,
    order_of_depths,
    overfitting,
    usable,
)
from study.paper.judging import ClaimVerdict, Differences, Part, judge

#: What a protocol is judged by: the scripts measured clean training rows, the text noisy test rows.
MEASURES = {AS_PUBLISHED: "train_clean_mse", AS_WRITTEN: "test_mse"}

NOISY_ROWS, DIVIDED = "test rows with noise", "conv MSE / n, as Fig. 10 prints it"
#: Items of one kind of model; the other kind stands as published.
ONE_KIND = {"two code layers": DENSE, "one image per sample": (CONV,)}
REMAINS = 0.1  # an item that leaves less of an effect than this share makes it


@dataclass(frozen=True)
class Claim:
    """One claim of the paper."""

    id: str
    text: str
    where: str
    published: str  # the paper's own numbers (published.csv)
    models: tuple[str, ...]
    compare: Callable[[pd.DataFrame], Differences]
    unit: str  # what the effect is
    grid: str = "paper"  # gives the evidence as-written
    needs: str = ""  # what the grid must contain
    in_scripts: bool = True  # whether the paper's scripts trained such networks
    apart: tuple[Part, ...] = ()  # parts that are a claim by themselves (judging.judge)
    note: Callable[[float], str] | None = None  # the effect in other words
    division: str = ""  # what the division by n has to do with it
    further: str = ""  # what else the claim says, and the command that measures it
    measured_by: str = ""  # the parts (`Part.about`) that measure this; "" if judged elsewhere


def _ratio(effect: float) -> str:
    times = 10 ** (effect + 2)
    return f"the dense MSE (geometric mean over depths) is {times:.3g} times the conv MSE"


CLAIMS = (
    Claim(
        "C1",
        "MSE grows with depth (2 < 4 < 6 < 8 layers) at noise factor 0.5",
        "Figs. 4, 5",
        "Fig. 4: 0.000216, 0.000295, 0.000319, 0.000344; x 2921: 0.631, 0.862, 0.932, 1.004",
        DENSE,
        partial(order_of_depths, noise_factors=(MIDDLE,)),
        "MSE by which the deeper of two neighbours is worse",
        needs="noise factor 0.5",
    ),
    Claim(
        "C2",
        "the same order of depths at every noise factor",
        "section 9.1",
        "Figs. 6-9: 0.690, 1.002, 1.000, about 1 at noise 0 and 0.630, 0.891, 0.970, about 1 at "
        "noise 1; 28 of 33 neighbours differ by more than the reading error",
        DENSE,
        partial(order_of_depths, noise_factors=NOISE_FACTORS),
        "MSE by which the deeper of two neighbours is worse",
        apart=MIDDLE_PARTS,
    ),
    Claim(
        "C3",
        "for every depth MSE falls as the noise factor grows",
        "Figs. 6-9",
        "from noise 0 to 1: 0.690 to 0.630 (Fig. 6), 1.002 to 0.891 (Fig. 7), "
        "1.000 to 0.970 (Fig. 8), about 1 to about 1 (Fig. 9)",
        DENSE,
        partial(fall_with_noise, models=DENSE),
        "MSE lost per 1.0 of noise factor",
    ),
    Claim(
        "C4",
        "for the conv model MSE falls as the noise factor grows",
        "Fig. 10",
        "Fig. 10: 0.003471 at noise 0 to 0.000344 at noise 0.9; x n: 1.0135 to 1.0034",
        (CONV,),
        partial(fall_with_noise, models=(CONV,)),
        "MSE lost per 1.0 of noise factor",
        division="Fig. 10 is C / n: its numbers fall 10.1-fold, and multiplied by n = 292, 584, "
        "... 2920 they are 1.0135 to 1.0034, a fall of 1.0 %",
    ),
    Claim(
        "C5",
        "the conv model is two orders of magnitude better than the dense ones, "
        "so there are spatial features",
        "section 9.3",
        "at noise 0.5: conv 0.000577 (Fig. 10; x n: 1.0104), "
        "dense 0.639, 0.943, 0.988, about 1 (Figs. 6-9)",
        (*DENSE, CONV),
        conv_over_dense,
        "log10(dense MSE / conv MSE) - 2",
        needs="noise factor 0.5",
        note=_ratio,
        division="Fig. 10 is C / n: 0.000577 at noise 0.5 is 1108 to 1713 times below Figs. 6-8 "
        "(0.639 to 0.988), which are not divided; times n = 1752 it is 1.0104, above all of them",
        further="spatial features themselves are judged among the open questions: "
        "--grid gene-order",
    ),
    Claim(
        "C6",
        "fewer sparsity constraints or a smaller code reduce the overfitting",
        "sections 9.1, 10",
        "no number: a conjecture",
        DENSE,
        overfitting,
        "test less train MSE that the constraint or the larger code adds",
        needs="two values of beta",
        in_scripts=False,
        further="the half about the code is not measured: --search bottleneck",
        measured_by=CODE,
    ),
    Claim(
        "C7",
        "training on several noise levels, or testing at another level, may do better",
        "section 9.2",
        "no number: a conjecture",
        DENSE,
        mixed_noise,
        "MSE by which training on mixed noise is better than on each level",
        grid="mixed-noise",
        in_scripts=False,
        further="testing at another level is judged among the open questions: --grid cross-noise",
    ),
)


@dataclass(frozen=True, eq=False)
class Judgement:
    """One claim with its evidence.

    verdicts: by protocol, None without evidence in these runs.
    missing: by protocol, what is not measured and the command that would measure it, or "".
    steps: by item, the verdict as published with that item changed.
    """

    claim: Claim
    verdicts: dict[str, ClaimVerdict | None]
    missing: dict[str, str]
    steps: dict[str, ClaimVerdict]

    @property
    def found(self) -> bool:
        """Whether the claim holds, or tends to, as published."""
        return _found(self.verdicts[AS_PUBLISHED])

    @property
    def changed(self) -> dict[str, ClaimVerdict]:
        """The steps that set an item right: divided by n, an effect is only on another scale."""
        return {item: step for item, step in self.steps.items() if item != DIVIDED}

    @property
    def makers(self) -> list[str]:
        """The items with which a claim that is found vanishes, or one that is not found appears."""
        published = self.verdicts[AS_PUBLISHED]
        if published is not None and self.found:
            return [item for item, step in self.changed.items() if _vanishes(published, step)]
        return [item for item, step in self.steps.items() if _found(step)]

    @property
    def artefact(self) -> str:
        """What makes the claim, in words; "" if nothing is known of that."""
        published, makers = self.verdicts[AS_PUBLISHED], " / ".join(self.makers)
        pieces = []
        if published is not None and self.found:
            holds = "holds" if published.outcome == HOLDS else "tends to hold"
            others = f"not made by: {' / '.join(self.changed)}"
            pieces += [f"{holds} as published", f"vanishes with: {makers}" if makers else others]
            if len(self.changed) < 2:
                pieces.append("the items of the scripts one by one: --grid autopsy")
        elif makers:
            pieces.append(f"not found as published; appears with: {makers}")
        return "; ".join(filter(None, [*pieces, self.claim.division]))


def _found(verdict: ClaimVerdict | None) -> bool:
    return verdict is not None and (verdict.outcome == HOLDS or verdict.tends)


def _vanishes(published: ClaimVerdict, step: ClaimVerdict) -> bool:
    """Whether a step refutes the claim, leaves less than a tenth of its effect, or reverses a part.

    A part counts as reversed by more than a tenth of the effect.
    """
    small = REMAINS * published.effect
    reverses = bool((step.parts["effect"] < -small).any())
    return step.outcome == FAILS or step.effect < small or reverses


def judge_claims(evidence: Evidence) -> list[Judgement]:
    """Judge C1-C7, in order."""
    return [_judgement(claim, evidence.levels) for claim in CLAIMS]


def _judgement(claim: Claim, levels: pd.DataFrame) -> Judgement:
    verdicts, missing = {}, {}
    for protocol, measure in MEASURES.items():
        rows = levels[(levels["protocol"] == protocol) & (levels["changed"] == "")]
        verdicts[protocol] = _judge(claim, rows.assign(mse=rows[measure]))
        missing[protocol] = _missing(claim, protocol, verdicts[protocol])
    steps = {item: _judge(claim, rows) for item, rows in _variants(claim, levels)}
    return Judgement(claim, verdicts, missing, {k: step for k, step in steps.items() if step})


def _judge(claim: Claim, rows: pd.DataFrame) -> ClaimVerdict | None:
    """Judge levels of one protocol, with a column `mse`; None without evidence."""
    rows = usable(rows)
    return None if rows.empty else judge(claim.compare(rows), claim.unit, claim.note, claim.apart)


def _variants(claim: Claim, levels: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield (item, levels) as published with one item changed, for items of the claim's models."""
    levels = levels[levels["model"].isin(claim.models) & (levels["protocol"] == AS_PUBLISHED)]
    levels = levels.assign(mse=levels["train_clean_mse"])
    published = levels[levels["changed"] == ""]
    if not claim.in_scripts or published.empty:
        return
    yield NOISY_ROWS, published.assign(mse=published["test_mse"])
    single = levels.loc[levels["changed"].map(items_of).map(len) == 1]
    for item, rows in single.groupby("changed", sort=False):
        kind = ONE_KIND.get(item, claim.models)
        yield item, pd.concat([rows, published[~published["model"].isin(kind)]])
    if CONV in claim.models:
        yield DIVIDED, divided_by_n(published)


def _missing(claim: Claim, protocol: str, verdict: ClaimVerdict | None) -> str:
    """Return what these runs do not measure of a claim, and the command that would measure it."""
    published = protocol == AS_PUBLISHED
    if published and not claim.in_scripts:
        return "the paper's scripts had no such networks"
    command = f"--grid {AS_PUBLISHED if published else claim.grid}"
    command += f" with {claim.needs}" if claim.needs else ""
    if verdict is None:
        return command
    if (verdict.parts["outcome"] == NOT_MEASURED).any():
        return f"the other parts: {command}"
    return "" if published or claim.measured_by in verdict.about - {""} else claim.further
