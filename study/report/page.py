"""What the report says, in the order in which it is read: the answer first, then what it rests on."""

from __future__ import annotations

import pandas as pd

from models.config import AS_PUBLISHED, AS_WRITTEN
from study.evidence.evidence import Evidence
from study.evidence.stats import NOT_MEASURED
from study.paper.claims import Judgement
from study.paper.published import division_by_n
from study.report import checklist, curves, prose
from study.report.document import (
    Block,
    Command,
    Document,
    Fold,
    Judged,
    Link,
    Points,
    Section,
    Table,
    Words,
    folded,
    shown,
    stamped,
)
from study.report.figures import (
    autopsy_figures,
    gene_figures,
    label_figures,
    other_figures,
    paper_figures,
    reference_figures,
)
from study.report.headline import glance, in_short
from study.report.questions import open_questions
from study.report.tables import gap_table, genes_table, label_table, network_tables
from study.report.wording import SIMULATED


def build(evidence: Evidence, judgements: list[Judgement]) -> Document:
    """The whole report."""
    results = (_paper(evidence), _references(evidence), _autopsy(evidence), _questions(evidence))
    sections = (
        _short(evidence, judgements),
        _claims(evidence, judgements),
        *results,
        _other(evidence, shown(results)),
        _limits(evidence),
        _provenance(evidence),
        _checklist(evidence),
        Section("Files", (Words(prose.FILES),)),
    )
    runs = ", ".join(run.name for run in evidence.runs)
    subtitle = (
        "P. Sharma, “Loss Analysis of Denoising Autoencoders on Gene Expression Data” (2019), run again. "
        f"{len(evidence.members):,} networks of {'run' if len(evidence.runs) == 1 else 'the runs'} {runs}."
    )
    return Document(
        prose.TITLE,
        subtitle,
        Words(SIMULATED, "The data are SIMULATED.") if evidence.simulated else None,
        tuple(stamped(s) if evidence.simulated else s for s in sections if s.blocks),
    )


def _short(evidence: Evidence, judgements: list[Judgement]) -> Section:
    caption = (
        "The outcome of each claim; evidence, effect sizes and intervals are under “The claims”."
    )
    table = Table("outcomes", "The claims at a glance", caption, glance(judgements))
    return Section("In short", (Points(in_short(evidence, judgements)), table))


def _claims(evidence: Evidence, judgements: list[Judgement]) -> Section:
    verdicts = Table("claims", "The paper's claims, judged", prose.CLAIMS, _verdicts(judgements))
    folds = tuple(_claim(judgement) for judgement in judgements)
    division = Table(
        "division-by-n",
        "Figs. 4 and 10 are divided by n",
        prose.DIVISION,
        _named(division_by_n()),
        _BY_N,
        measured=False,
    )
    return Section("The claims", (verdicts, *folds, division))


def _verdicts(judgements: list[Judgement]) -> pd.DataFrame:
    """Return one row per claim: claim, where, published, as published, as written, what makes it."""
    rows = []
    for judgement in judgements:
        claim = judgement.claim
        found = [_verdict(judgement, protocol) for protocol in (AS_PUBLISHED, AS_WRITTEN)]
        link = Link(claim.id, claim.text)
        rows.append((link, claim.where, claim.published, *found, judgement.artefact))
    columns = ["claim", "where", "published", "as published", "as written", "what makes it"]
    return pd.DataFrame(rows, columns=columns)


def _verdict(judgement: Judgement, protocol: str) -> Judged:
    """Return a verdict, and what is not measured."""
    verdict, missing = judgement.verdicts[protocol], judgement.missing[protocol]
    if verdict is None:
        return Judged(NOT_MEASURED, missing)
    return Judged(verdict.outcome, "; ".join(filter(None, (verdict.details, missing))))


def _claim(judgement: Judgement) -> Fold:
    """What stands behind one claim: its verdicts in full, their parts, the autopsy's steps."""
    claim = judgement.claim
    blocks: list[Block] = [Words(claim.published, "Published:")]
    for protocol in (AS_PUBLISHED, AS_WRITTEN):
        found = judgement.verdicts.get(protocol)
        text = str(_verdict(judgement, protocol))
        blocks.append(Words(text, f"{protocol.capitalize()}:"))
        if found is not None and len(found.parts) > 1:
            key = f"{claim.id}-{protocol}".lower()
            blocks.append(
                Table(
                    key,
                    f"Parts of {claim.id}, {protocol}",
                    prose.PARTS,
                    _named(found.parts),
                    _FORMATS,
                )
            )
    if judgement.artefact:
        blocks.append(Words(judgement.artefact, "What makes it:"))
    if judgement.steps:
        rows = pd.DataFrame(
            [(item, Judged(v.outcome, v.details)) for item, v in judgement.steps.items()],
            columns=["item changed", "verdict"],
        )
        blocks.append(
            _table(f"{claim.id.lower()}-steps", f"{claim.id}, one item changed", prose.STEPS, rows)
        )
    return Fold(claim.id, f"{claim.text} ({claim.where})", tuple(blocks))


def _paper(evidence: Evidence) -> Section:
    return Section(
        "The paper's figures",
        (Words(prose.PAPER), *folded(paper_figures(evidence))),
        curves.shown_networks(evidence),
    )


def _references(evidence: Evidence) -> Section:
    labels = curves.label_names(evidence)
    parts = {
        "Networks and references": [*reference_figures(evidence), *network_tables(evidence)],
        "Genes": [*gene_figures(evidence), genes_table(evidence)],
        "Tissues and other labels": [
            *label_figures(evidence),
            *(label_table(evidence, name) for name in labels),
        ],
        "Overfitting": [gap_table(evidence)],
    }
    held = {title: [e for e in found if e is not None] for title, found in parts.items()}
    sections = [Section(title, folded(found)) for title, found in held.items() if found]
    return Section("References, genes and tissues", (Words(prose.REFERENCES), *sections))


def _autopsy(evidence: Evidence) -> Section:
    found = autopsy_figures(evidence)
    blocks = (Words(prose.AUTOPSY), *folded(found)) if found else (Words(prose.NO_AUTOPSY),)
    return Section("Autopsy", blocks, frozenset(curves.autopsy_rows(evidence)["member_id"]))


def _other(evidence: Evidence, networks: frozenset[str]) -> Section:
    """What no other section shows: other models, other settings, a user's own grid."""
    return Section("Other", folded(other_figures(evidence, networks)))


def _questions(evidence: Evidence) -> Section:
    """The paper's open questions: those that these runs answer, and the commands of the others."""
    questions = open_questions(evidence)
    answered = [
        Section(q.title, (Words(q.answer), Command(q.command), *folded(q.exhibits)), q.networks)
        for q in questions
        if q.answer
    ]
    others = [
        block
        for q in questions
        if not q.answer
        for block in (Words("", q.title), Command(q.command))
    ]
    rest = (Section("Not in these runs", tuple(others)),) if others else ()
    return Section("The paper's open questions", (Words(prose.QUESTIONS), *answered, *rest))


def _limits(evidence: Evidence) -> Section:
    members = evidence.members
    seeds = members["seed"].nunique()
    lost = int((members["status"] != "finished").sum())
    points = [
        Words(prose.ONE_SPLIT, "One split."),
        Words(
            f"These runs have {seeds} seed{'' if seeds == 1 else 's'}. {prose.FEW_SEEDS}",
            "Few seeds.",
        ),
        Words(prose.EPOCHS, "When training stops."),
        Words(prose.PROTOCOLS, "Two measures."),
        Words(prose.SLOPE, "One slope."),
        Words(prose.READ_OFF, "Read off plots."),
    ]
    if evidence.simulated:
        points.insert(0, Words(prose.SIMULATED_LIMIT, "Simulated data."))
    if lost:
        points.append(
            Words(
                f"{lost:,} of {len(members):,} networks are left out of every mean: see Provenance.",
                "Lost.",
            )
        )
    return Section("Limits", (Points(tuple(points)),))


def _provenance(evidence: Evidence) -> Section:
    data = _table(
        "data",
        "The data",
        "Which all runs of this page share.",
        checklist.data_facts(evidence.data, checklist.split_words(evidence.runs[0])),
    )
    runs = _table(
        "runs",
        "The runs",
        "What each of them trained, on which machine.",
        checklist.side_by_side(
            evidence.runs, lambda run: checklist.run_facts(run.config, run.members)
        ),
    )
    versions = _table(
        "versions",
        "Versions",
        "Of Python and of the packages that can change a number.",
        checklist.side_by_side(evidence.runs, lambda run: checklist.versions(run.config)),
    )
    commands = tuple(
        b
        for run in evidence.runs
        for b in (Words("", f"Run {run.name}:"), Command(run.config["command"]))
    )
    reproduce = next(filter(None, map(checklist.reproduce_command, evidence.runs)), None)
    again = (Words(prose.AGAIN), Command(reproduce)) if reproduce else ()
    lost = checklist.lost_members(evidence.members)
    gone = (
        (_table("lost", "Networks that did not finish", prose.LOST, lost),)
        if len(lost)
        else (Words("Every network finished."),)
    )
    return Section(
        "Provenance",
        (
            Section("Data", (data,)),
            Section("Runs", (runs, versions)),
            Section("Commands", (Words(prose.COMMANDS), *commands, *again)),
            Section("Failed and diverged networks", gone),
        ),
    )


def _checklist(evidence: Evidence) -> Section:
    items = _table("checklist", "The checklist", prose.CHECKLIST, checklist.checklist(evidence))
    bounds = _table(
        "settings",
        "Settings",
        "Every value that these runs gave each setting: the bounds of the search.",
        checklist.search_bounds(evidence),
    )
    return Section("Reproducibility checklist", (items, bounds))


def _table(key: str, title: str, caption: str, frame: pd.DataFrame) -> Table:
    return Table(key, title, caption, _named(frame), measured=False)


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns as a reader says them: noise_factor is "noise factor"."""
    return frame.rename(columns=lambda name: _NAMES.get(name, name.replace("_", " ")))


_NAMES = {
    "low": "95 % from",
    "high": "to",
    "p_holm": "p (Holm)",
    "n": "n",
    "product": "printed × n",
}
_FORMATS = {
    "effect": "+.4f",
    "95 % from": "+.4f",
    "to": "+.4f",
    "p": ".3g",
    "p (Holm)": ".3g",
    "noise factor": "g",
}
_BY_N = {
    "printed": ".3g",
    "printed × n": ".4f",
    "curve": ".3f",
    "ratio": ".3f",
    "noise factor": "g",
    "n": ",",
}
