"""The paper's claims C1-C7, judged as published, as written, and with one item changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from models.config import AS_PUBLISHED, AS_WRITTEN
from study.evidence.evidence import Evidence
from study.evidence.stats import FAILS, HOLDS
from study.paper.comparisons import CONV, DENSE, divided_by_n, division_by_n, usable
from study.paper.judging import NOT_MEASURED, ClaimVerdict, judge
from study.paper.paper import CLAIMS, Claim

__all__ = ["Claim", "Judgement", "division_by_n", "judge_claims"]

#: What a protocol is judged by: the scripts measured clean training rows, the text noisy test rows.
MEASURES = {AS_PUBLISHED: "train_clean_mse", AS_WRITTEN: "test_mse"}

NOISY_ROWS, DIVIDED = "test rows with noise", "conv MSE / n, as Fig. 10 prints it"
#: Items of one kind of model; the other kind stands as published.
ONE_KIND = {"two code layers": DENSE, "one image per sample": (CONV,)}
REMAINS = 0.1  # an item that leaves less of an effect than this share makes it


@dataclass(frozen=True, eq=False)
class Judgement:
    """One claim with its evidence.

    verdicts: by protocol, None without evidence in these runs.
    missing: by protocol what is not measured, and the command that would measure it.
    steps: by item the verdict as published with that item changed.
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
        sentences = []
        if self.found:
            holds = self.verdicts[AS_PUBLISHED].outcome == HOLDS
            items = self.makers or self.changed
            sentences.append(
                f"{'holds' if holds else 'tends to hold'} as published; "
                f"{'vanishes with' if self.makers else 'not made by'}: {' / '.join(items)}"
            )
            if len(self.changed) < 2:
                sentences.append("the items of the scripts one by one: --grid autopsy")
        elif self.makers:
            sentences.append(f"not found as published; appears with: {' / '.join(self.makers)}")
        if self.claim.division:
            sentences.append(self.claim.division)
        return "; ".join(sentences)


def _found(verdict: ClaimVerdict | None) -> bool:
    return verdict is not None and (verdict.outcome == HOLDS or verdict.tends)


def judge_claims(evidence: Evidence) -> list[Judgement]:
    """Judge C1-C7, in order."""
    return [_judgement(claim, evidence.levels) for claim in CLAIMS]


def _judgement(claim: Claim, levels: pd.DataFrame) -> Judgement:
    verdicts = {
        protocol: _judge(
            claim,
            levels.assign(mse=levels[measure])[
                (levels["protocol"] == protocol) & (levels["changed"] == "")
            ],
        )
        for protocol, measure in MEASURES.items()
    }
    steps = {
        item: verdict for item, rows in _variants(claim, levels) if (verdict := _judge(claim, rows))
    }
    texts = {protocol: _missing(claim, protocol, verdict) for protocol, verdict in verdicts.items()}
    missing = {protocol: text for protocol, text in texts.items() if text}
    return Judgement(claim, verdicts, missing, steps)


def _judge(claim: Claim, rows: pd.DataFrame) -> ClaimVerdict | None:
    """Judge levels of one protocol, with a column `mse`; None without evidence."""
    rows = usable(rows)
    return None if rows.empty else judge(claim.compare(rows), claim.unit, claim.note, claim.apart)


def _variants(claim: Claim, levels: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield (item, levels) as published with one item changed, for items of the claim's models."""
    levels = levels[levels["model"].isin(claim.models)].assign(mse=levels["train_clean_mse"])
    levels = levels[levels["protocol"] == AS_PUBLISHED]
    published = levels[levels["changed"] == ""]
    if not claim.in_scripts or published.empty:
        return
    yield NOISY_ROWS, published.assign(mse=published["test_mse"])
    for item, rows in levels[levels["changed"] != ""].groupby("changed", sort=False):
        kind = ONE_KIND.get(item, claim.models)
        yield item, pd.concat([rows, published[~published["model"].isin(kind)]])
    if CONV in claim.models:
        yield DIVIDED, divided_by_n(published)


def _missing(claim: Claim, protocol: str, verdict: ClaimVerdict | None) -> str:
    """Return what these runs do not measure of a claim, and the command that would measure it."""
    if protocol == AS_PUBLISHED and not claim.in_scripts:
        return "not measured: the paper's scripts had no such networks"
    grid = AS_PUBLISHED if protocol == AS_PUBLISHED else claim.grid
    command = f"--grid {grid}{claim.needs and f' with {claim.needs}'}"
    if verdict is None:
        return f"not measured: {command}"
    if (verdict.parts["outcome"] == NOT_MEASURED).any():
        return f"the other parts: {command}"
    measured = protocol == AS_PUBLISHED or claim.measured_by in verdict.about - {""}
    return "" if measured else claim.further


def _vanishes(published: ClaimVerdict, step: ClaimVerdict) -> bool:
    """Whether a step refutes the claim, leaves less than a tenth of its effect, or reverses a part.

    A part counts as reversed by more than a tenth of the effect.
    """
    small = REMAINS * published.effect
    return (
        step.outcome == FAILS or step.effect < small or bool((step.parts["effect"] < -small).any())
    )
