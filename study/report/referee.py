"""Ten questions of a referee: what the page answers, where, and else which run would answer it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from models.config import AS_PUBLISHED, AS_WRITTEN
from study.evidence.evidence import Evidence
from study.paper.claims import Judgement
from study.report.autopsy import autopsy_rows
from study.report.document import Fold, Section, Words, walk
from study.report.headline import what_makes
from study.report.wording import joined, plain_name

Judged = Mapping[Evidence, list[Judgement]]

PROTOCOLS = {AS_PUBLISHED: "as its scripts ran", AS_WRITTEN: "as its text says"}


@dataclass(frozen=True)
class Asked:
    """A question of a referee.

    places: the sections and folds that answer it. needs: by place the options of a run that has it,
    for places that not every run has. claims: whose verdicts are part of the answer.
    """

    question: str
    places: tuple[str, ...]
    needs: Mapping[str, str] = field(default_factory=dict)
    claims: tuple[str, ...] = ()


GRID, AUTOPSY, ORDER = "--grid paper", "--grid autopsy", "--grid gene-order"
GENERALISE = "To what do p and intervals generalise?"
SIMULATED = "Is the simulated cohort adequate?"
FALLS = "Why does the error fall as noise grows?"
REFEREE = (
    Asked(GENERALISE, ("Limits", "Reproducibility checklist")),
    Asked(
        "How large is the effect of depth, how sure, and was each network trained and tuned alike?",
        ("C1", "C2", "Learning curves", "Settings"),
        {"C1": GRID, "Learning curves": GRID},
        ("C1", "C2"),
    ),
    Asked(
        "Does any network beat leaving the input alone, PCA or the Wiener filter, and by how much?",
        ("Networks and references",),
        {"Networks and references": GRID},
    ),
    Asked(
        "How do the published numbers compare with ours, point by point?",
        ("Published and ours, point by point", "The paper's figures"),
        {"Published and ours, point by point": GRID},
    ),
    Asked(FALLS, ("C3", "Autopsy"), {"C3": GRID, "Autopsy": AUTOPSY}, ("C3",)),
    Asked(SIMULATED, ("Is the simulated cohort like GTEx?", "Limits")),
    Asked(
        "Have the networks converged, do they overfit?",
        ("Learning curves", "C8", "C9"),
        {"Learning curves": GRID, "C8": GRID, "C9": GRID},
        ("C8", "C9"),
    ),
    Asked(
        "Which genes and tissues fare worse?",
        ("Genes", "Tissues and other labels"),
        {"Genes": GRID, "Tissues and other labels": f"{GRID} on data with labels of samples"},
    ),
    Asked(
        "Are there spatial features?",
        ("C5b", "Are there spatial features?", "Inside the networks"),
        {"Are there spatial features?": ORDER},
        ("C5b",),
    ),
    Asked(
        "How was each setting chosen, and how is one row repeated?",
        ("Settings", "Reproducibility checklist", "Commands"),
    ),
)


def referee_answers(judged: Judged, sections: Iterable[Section]) -> tuple[Words, ...]:
    """Return an answer to each question, with links to those of its places that `sections` have."""
    there = places_of(judged, sections)
    answers = []
    for asked in REFEREE:
        missing = {place: options for place, options in asked.needs.items() if place not in there}
        parts = [_answer(asked, judged), _verdicts(asked.claims, judged)]
        if missing:
            of = "; ".join(f"{place} ({options})" for place, options in missing.items())
            parts.append(f"Not in these runs: {of}.")
        found = tuple(place for place in asked.places if place in there)
        answers.append(Words(" ".join(filter(None, parts)), asked.question, found))
    return tuple(answers)


def places_of(judged: Judged, sections: Iterable[Section]) -> set[str]:
    """Return the titles of sections and names of folds that hold results of these runs."""
    blocks = list(walk(sections))
    names = {block.title for block in blocks if isinstance(block, Section)}
    names |= {block.name for block in blocks if isinstance(block, Fold)}
    claims = [judgement for judgements in judged.values() for judgement in judgements]
    names -= {its.claim.id for its in claims} - {its.claim.id for its in claims if its.cells}
    return names if any(len(autopsy_rows(cohort)) for cohort in judged) else names - {"Autopsy"}


def _answer(asked: Asked, judged: Judged) -> str:
    """Return what the answer says besides verdicts and places; "" for most questions."""
    if asked.question == GENERALISE:
        return _generalise(judged)
    if asked.question == SIMULATED:
        measured = [plain_name(cohort.name) for cohort in judged if not cohort.simulated]
        return f"Measured, not simulated: {joined(measured)}." if measured else ""
    if asked.question == FALLS:
        return " ".join(filter(None, map(what_makes, judged.values())))
    return ""


def _generalise(judged: Judged) -> str:
    fixed = {cohort.fixed_split for cohort in judged}
    own = "to other splits of the same samples, other weights, batches and noise"
    one = "with --fixed-split only to other weights, batches and noise"
    found = [text for text, split in ((own, False), (one, True)) if split in fixed]
    return (
        f"{'; '.join(found).capitalize()}. The second interval of a claim's parts is over other "
        "test samples. No interval covers another cohort."
    )


def _verdicts(claims: tuple[str, ...], judged: Judged) -> str:
    """Return the verdicts on these claims in words, by protocol and cohort."""
    found = []
    for claim in claims:
        words = []
        for cohort, judgements in judged.items():
            of = f", {plain_name(cohort.name)}" if len(judged) > 1 else ""
            for judgement in (its for its in judgements if its.claim.id == claim):
                for protocol, name in PROTOCOLS.items():
                    verdict = judgement.cell(protocol)
                    if verdict is not None and verdict.n:
                        words.append(f"{verdict.outcome} {name}{of}")
        found += [f"{claim}: {', '.join(words)}."] if words else []
    return " ".join(found)
