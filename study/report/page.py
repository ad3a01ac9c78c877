"""The content of the report in reading order: the answer first, then its evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from models.config import AS_PUBLISHED
from study.evidence.effects import FEWEST, MOST, UNMEASURED, Effect, shown_digits
from study.evidence.evidence import Evidence, Run
from study.evidence.stats import NOT_MEASURED, counted
from study.paper.claims import Judgement
from study.paper.differences import differences_table
from study.paper.published import division_by_n
from study.report import checklist
from study.report.autopsy import autopsy_figures, autopsy_rows
from study.report.cohorts import limits_of_comparison, sections_together, together
from study.report.curves import shown_networks
from study.report.document import (
    Block,
    Command,
    Document,
    Fold,
    Link,
    Points,
    Section,
    Table,
    Words,
    folded,
    linked,
    shown,
    simulated_warning,
    stamped,
)
from study.report.figures import paper_figures, point_by_point
from study.report.headline import first_picture, in_short
from study.report.inside import inside_exhibits
from study.report.learning import learning_exhibits, learning_words
from study.report.other import all_networks, other_figures
from study.report.questions.bottleneck import bottleneck_question
from study.report.questions.cross_noise import cross_question
from study.report.questions.fresh_noise import fresh_noise_question
from study.report.questions.gene_order import order_question
from study.report.questions.mixed_noise import mixed_question
from study.report.questions.other_genes import other_genes_question
from study.report.questions.question import Question
from study.report.questions.samples import samples_question
from study.report.questions.sparsity import sparsity_question
from study.report.referee import PROTOCOLS, referee_answers
from study.report.references import (
    against_references,
    cohort_table,
    gene_exhibits,
    label_exhibits,
    reference_exhibits,
)
from study.report.wording import joined, plain_name, scale_words, sentences, span

#: Functions that ask the paper's open questions, in the order of the page.
ASKERS = (
    cross_question,
    mixed_question,
    sparsity_question,
    bottleneck_question,
    fresh_noise_question,
    order_question,
    samples_question,
    other_genes_question,
)

#: The claims in a few words.
SHORT = {
    "C1": "deeper is worse at noise 0.5",
    "C2": "deeper is worse at every noise",
    "C3": "dense: more noise, less error",
    "C4": "conv: more noise, less error",
    "C5": "conv is 100 times better",
    "C5a": "conv is better than dense",
    "C5b": "conv is 100 times better",
    "C6": "fewer constraints overfit less",
    "C7": "several noise levels do better",
    "C8": "more layers overfit",
    "C9": "low noise overtrains",
    "C10": "denoises all other genes",
}
NOT_IN_SCRIPTS = "not in the scripts"


def build(judged: Mapping[Evidence, list[Judgement]]) -> Document:
    """Return the whole report of the cohorts that were judged."""
    cohorts = tuple(judged)
    parts = {plain_name(cohort.name): _of_cohort(cohort, judged[cohort]) for cohort in cohorts}
    checks = {plain_name(cohort.name): (_checklist(cohort),) for cohort in cohorts}
    limits = limits_of_comparison(cohorts)
    results = (
        Section("Comparing the cohorts", (Points(limits),) if limits else ()),
        *sections_together(parts),
    )
    origin = (_provenance(cohorts), *sections_together(checks), Section("Files", (Points(FILES),)))
    answers = referee_answers(judged, (*results, *origin))
    sections = (*results, Section("Questions of a referee", (Points(answers),)), *origin)
    simulated = [plain_name(cohort.name) for cohort in cohorts if cohort.simulated]
    networks = sum(len(cohort.members) for cohort in cohorts)
    runs = ", ".join(run.name for cohort in cohorts for run in cohort.runs)
    return Document(
        "Denoising autoencoders on gene expression: the paper's results and ours",
        "P. Sharma, “Loss Analysis of Denoising Autoencoders on Gene Expression Data” (2019), run "
        f"again. {networks:,} networks. Runs: {runs}.",
        simulated_warning(simulated, len(cohorts)),
        linked(tuple(section for section in sections if section.blocks)),
        _first(judged),
        _no_verdicts(cohorts),
    )


def _no_verdicts(cohorts: Sequence[Evidence]) -> Words | None:
    """Return which cohorts have too few replicates for verdicts; None if all have enough."""
    counts = {cohort.name: cohort.members["seed"].nunique() for cohort in cohorts}
    few = {name: counted(n, "replicate") for name, n in counts.items() if n < FEWEST}
    if not few:
        return None
    found = [plain_name(name) + f" has {n}" if len(cohorts) > 1 else n for name, n in few.items()]
    return Words(f"{joined(found)}; a verdict needs {FEWEST}: --seeds {FEWEST}.", "No verdicts.")


def _of_cohort(evidence: Evidence, judgements: list[Judgement]) -> tuple[Section, ...]:
    """Return the sections of one cohort, marked if its data are simulated."""
    asked = open_questions(evidence)
    results = (
        _paper(evidence),
        _learning(evidence),
        _references(evidence),
        Section("Inside the networks", folded(inside_exhibits(evidence))),
        _autopsy(evidence, judgements),
        _questions(evidence, asked),
    )
    sections = (
        Section("In short", (Points(in_short(evidence, judgements, asked)),)),
        *([_claims(judgements, evidence.smallest)] if _judged(judgements) else []),
        *(section for section in results if section.blocks),
        Section("Other", folded(other_figures(evidence, shown(results)))),
        Section("All networks", (all_networks(evidence),)),
        _cost_and_settings(evidence),
        _limits(evidence),
    )
    return tuple(stamped(section) if evidence.simulated else section for section in sections)


def _judged(judgements: list[Judgement]) -> bool:
    """Whether these runs measured any of the claims."""
    return any(_is_measured(its) for judgement in judgements for its in judgement.cells.values())


def _first(judged: Mapping[Evidence, list[Judgement]]) -> tuple[Block, ...]:
    """Return the top of the page: a picture, and the verdicts or the best denoisers."""
    measured = {cohort: judgements for cohort, judgements in judged.items() if _judged(judgements)}
    beside: tuple[Block, ...]
    if measured:
        beside = (_verdicts(measured, len(judged)),)
    else:
        found = {plain_name(cohort.name): against_references(cohort) for cohort in judged}
        again = {
            name: (replace(table, key=f"first-{table.key}"),)
            for name, table in found.items()
            if table is not None
        }
        beside = together(again) if again else ()
    return tuple(filter(None, (first_picture(tuple(judged)), *beside)))


def _verdicts(judged: Mapping[Evidence, list[Judgement]], cohorts: int) -> Table:
    """Return the table of verdicts: a row for each claim, a column for each protocol and cohort.

    Columns have the names of their cohorts if the page has several `cohorts`.
    """
    rows: dict[str, list] = {}
    for cohort, judgements in judged.items():
        for protocol, name in PROTOCOLS.items():
            verdicts = [_cell(judgement, protocol) for judgement in judgements]
            if not any(map(_is_measured, verdicts)):
                continue
            column = f"{name}, {plain_name(cohort.name)}" if cohorts > 1 else name
            rows[column] = verdicts
    claims = [judgement.claim for judgement in next(iter(judged.values()))]
    links = [Link(claim.id, SHORT.get(claim.id, claim.text)) for claim in claims]
    frame = pd.DataFrame({"claim of the paper": links, **rows})
    kept = [any(map(_is_measured, row)) for row in zip(*rows.values(), strict=True)]
    smallest = next(iter(judged)).smallest
    note = sentences(scale_words(smallest), _unmeasured(judged.values()))
    return Table("outcomes", "The claims", OUTCOMES, frame[kept].reset_index(drop=True), note=note)


def _is_measured(verdict: Effect | str) -> bool:
    return isinstance(verdict, Effect) and verdict.n > 0


def _cell(judgement: Judgement, protocol: str) -> Effect | str:
    """Return the verdict on a protocol, or why there is none."""
    verdict = judgement.cell(protocol)
    if verdict is None and protocol == AS_PUBLISHED and not judgement.claim.in_scripts:
        return NOT_IN_SCRIPTS
    return UNMEASURED if verdict is None else verdict


def _unmeasured(cohorts: Iterable[Sequence[Judgement]]) -> str:
    """Return a sentence on the claims that no cohort measured; "" without any."""
    by_claim = zip(*cohorts, strict=True)
    names = [
        its[0].claim.id
        for its in by_claim
        if not any(_is_measured(verdict) for judged in its for verdict in judged.cells.values())
    ]
    return f"Not measured in full: {joined(names)} (see below by which grid)." if names else ""


def _claims(judgements: list[Judgement], smallest: float) -> Section:
    rows = []
    for judgement in judgements:
        claim = judgement.claim
        for (protocol, measure), verdict in judgement.cells.items():
            if not _is_measured(verdict):
                continue
            row = {"claim": Link(claim.id), "protocol": protocol, "measured on": measure}
            rows.append(row | _row(verdict))
    note = sentences(JUDGED.format(smallest=smallest), _unmeasured([judgements]))
    frame = pd.DataFrame(rows)
    by = ("claim", "protocol", "measured on")
    verdicts = Table("claims", "The claims, judged", CLAIMS, frame, FORMATS, by=by, note=note)
    title = "Figs. 4 and 10 are divided by n"
    by_n = division_by_n().rename(columns={"n": "samples n"})  # no number of replicates
    division = _table("division-by-n", title, DIVISION, by_n, BY_N, note=DIVIDED)
    return Section("The claims", (verdicts, *map(_claim, judgements), division))


def _row(verdict: Effect) -> dict:
    """Return a verdict as a row of a table."""
    row = {"verdict": verdict.outcome, "effect, %": verdict.effect}
    digits = shown_digits(verdict.low, verdict.high, verdict.smallest)
    row["interval"] = span(verdict.low, verdict.high, digits)
    return row | {"level": verdict.level, "replicates": verdict.n}


def _claim(judgement: Judgement) -> Fold:
    """Return the details of one claim: its verdicts in words, their parts, and the steps."""
    claim = judgement.claim
    blocks: list[Block] = [
        Words(claim.published, "Published:"),
        Words(f"{claim.unit}.", "The effect, in percent:"),
    ]
    for protocol, missing in judgement.missing.items():
        if judgement.cell(protocol) is None:
            blocks.append(Words(f"{NOT_MEASURED}; {missing}.", f"{protocol.capitalize()}:"))
    for (protocol, measure), verdict in judgement.cells.items():
        own = measure == claim.measure(protocol)
        missing = judgement.missing[protocol] if own else ""
        words = (verdict.outcome, judgement.sentence(protocol, measure))
        text = ": ".join(filter(None, words)) + (f"; {missing}" if missing else "") + "."
        blocks.append(Words(text, f"{protocol.capitalize()}, {measure}:"))
        if len(verdict.parts) > 1:
            key = f"{claim.id}-{protocol}-{measure.split()[0]}".lower()
            title = f"Parts of {claim.id}, {protocol}, {measure}"
            frame = verdict.frame
            frame = frame[frame["n"] > 0]  # the words above list those that were not measured
            parts = _table(key, title, PARTS, frame, FORMATS, note=PAIRED, measured=True)
            blocks.append(parts)
    if any(judgement.shapes.values()):
        blocks.append(_turns(judgement))
    if judgement.artefact:
        blocks.append(Words(f"{judgement.artefact}.", "What makes it:"))
    if judgement.steps:
        steps = [{"item changed": step.item, **_row(step.change)} for step in judgement.steps]
        title = f"{claim.id}: what each item takes away from the effect if it is put right"
        key = f"{claim.id}-steps".lower()
        frame = pd.DataFrame(steps)
        blocks.append(_table(key, title, STEPS, frame, FORMATS, note=MAIN, measured=True))
    return Fold(claim.id, f"{claim.text} ({claim.where})", tuple(blocks))


def _turns(judgement: Judgement) -> Table:
    """Return the shape of each curve of C3 or C4, with the range of its turning point."""
    rows = [
        {
            "protocol": protocol,
            "measured on": measure,
            "model": shape.model,
            "shape": shape.word,
            "least at noise": shape.at,
            "replicates from": shape.turns[0],
            "to": shape.turns[1],
            "change to there": "none" if shape.turns == (shape.first,) * 2 else shape.fall.shown,
            "beyond": "none" if shape.turns == (shape.last,) * 2 else shape.rise.shown,
        }
        for (protocol, measure), shapes in judgement.shapes.items()
        for shape in shapes
    ]
    title = f"{judgement.claim.id}: where the curves turn"
    formats = dict.fromkeys(("least at noise", "replicates from", "to"), "g")
    key = f"{judgement.claim.id}-turns".lower()
    return Table(key, title, TURNS, pd.DataFrame(rows), formats, note=TURNED)


def _paper(evidence: Evidence) -> Section:
    blocks = (Words(PAPER), *folded(paper_figures(evidence)), *point_by_point(evidence))
    return Section("The paper's figures", blocks, shown_networks(evidence))


def _learning(evidence: Evidence) -> Section:
    exhibits = folded(learning_exhibits(evidence))
    return Section("Learning curves", (*learning_words(evidence), *exhibits))


def _references(evidence: Evidence) -> Section:
    parts = {
        "Networks and references": reference_exhibits(evidence),
        "Genes": gene_exhibits(evidence),
        "Tissues and other labels": label_exhibits(evidence),
    }
    if evidence.simulated:
        parts["Is the simulated cohort like GTEx?"] = [cohort_table()]
    sections = [Section(title, folded(found)) for title, found in parts.items() if found]
    return Section("References, genes and tissues", (Words(REFERENCES), *sections))


def _autopsy(evidence: Evidence, judgements: list[Judgement]) -> Section:
    found = folded(autopsy_figures(evidence, judgements))
    found = found or (Words("Not in these runs:"), Command("python run_study.py --grid autopsy"))
    networks = frozenset(autopsy_rows(evidence)["member_id"])
    return Section("Autopsy", (Words(AUTOPSY), *found), networks)


def open_questions(evidence: Evidence) -> list[Question]:
    """Return the paper's open questions, each answered or with the command that would answer it."""
    return [ask(evidence) for ask in ASKERS]


def _questions(evidence: Evidence, asked: Sequence[Question]) -> Section:
    """Return the paper's open questions: those that these runs answer, and the others' commands."""
    parts: list[Section] = []
    missing: list[Block] = []
    for question in asked:
        command = Command(question.command)
        if question.answer:
            blocks = (Words(question.answer), command, *folded(question.exhibits))
            parts.append(Section(question.title, blocks, question.networks))
        else:
            missing += [Words("", question.title), command]
    if missing:
        parts.append(Section("Not in these runs", tuple(missing)))
    begin = (Words(QUESTIONS), *([Words(ONE_SPLIT, "One split.")] if evidence.fixed_split else []))
    return Section("The paper's open questions", (*begin, *parts))


def _cost_and_settings(evidence: Evidence) -> Section:
    frame, title = checklist.costs(evidence), "What each part costs"
    costs = _table("costs", title, COSTS, frame, COST_FORMATS, note=COUNTED)
    frame = checklist.settings_by_model(evidence)
    settings = _table("settings-by-model", "Settings by model", CHOSEN, frame, note=ALIKE)
    parts = [Section("Cost", folded([costs]))]
    parts += [Section("Settings", folded([settings]))] if len(frame) else []
    return Section("Cost and settings", tuple(parts))


def _limits(evidence: Evidence) -> Section:
    members = evidence.members
    lost = int((members["status"] != "finished").sum())
    seeds = f"These runs have {counted(members['seed'].nunique())}."
    points = {
        "Simulated data.": SIMULATED_LIMIT if evidence.simulated else "",
        "One split.": ONE_SPLIT * evidence.fixed_split,
        "Few replicates.": f"{seeds} {FEW_SEEDS}",
        "When training stops.": EPOCHS,
        "Two measures.": MEASURES,
        "Read off plots.": READ_OFF,
        "Lost networks.": f"{lost:,} of {len(members):,} enter no mean: see Provenance."
        * (lost > 0),
    }
    limits = Points(tuple(Words(t, lead) for lead, t in points.items() if t))
    differences = _table(
        "differences", "Every difference from the paper", DIFFERENCES, differences_table()
    )
    return Section("Limits", (limits, Section("Differences", folded([differences]))))


def _provenance(cohorts: Sequence[Evidence]) -> Section:
    held = [run for cohort in cohorts for run in cohort.runs]

    def by_run(facts: Callable[[Run], pd.DataFrame]) -> pd.DataFrame:
        return checklist.side_by_side(held, facts)

    data = checklist.side_by_side([cohort.runs[0] for cohort in cohorts], checklist.run_data)
    runs = by_run(lambda run: checklist.run_facts(run.config, run.members))
    versions = by_run(lambda run: checklist.versions(run.config))
    commands: list[Block] = [Words(COMMANDS)]
    commands += [Command(run.config["command"]) for run in held]
    again = next(filter(None, map(checklist.reproduce_command, held)), None)
    commands += [Words(AGAIN), Command(again)] if again else []
    lost = checklist.lost_members(pd.concat([cohort.members for cohort in cohorts]))
    formats = {"error": checklist.first_words}
    gone = _table("lost", "Networks that did not finish", LOST, lost, formats)
    return Section(
        "Provenance",
        (
            Section("Data", folded([_table("data", "The data", DATA, data)])),
            Section("Runs", folded([_table("runs", "The runs", RUNS, runs)])),
            Section("Versions", folded([_table("versions", "Versions", VERSIONS, versions)])),
            Section("Commands", tuple(commands)),
            Section("Lost networks", (gone if len(lost) else Words("Every network finished."),)),
        ),
    )


def _checklist(evidence: Evidence) -> Section:
    answers, bounds = checklist.checklist(evidence), checklist.search_bounds(evidence)
    items = _table(
        "checklist", "The checklist", "After Pineau et al. (2021), JMLR 22:164.", answers
    )
    settings = _table("settings", "All settings", "Every value that these runs gave each.", bounds)
    return Section("Reproducibility checklist", (items, settings))


def _table(
    key: str,
    title: str,
    caption: str,
    frame: pd.DataFrame,
    formats: dict | None = None,
    note: str = "",
    measured: bool = False,
) -> Table:
    """Return a table whose columns are named for a reader: noise_factor is "noise factor"."""
    frame = frame.rename(columns=lambda name: NAMES.get(name, name.replace("_", " ")))
    return Table(key, title, caption, frame, formats or {}, note=note, measured=measured)


NAMES = {
    "effect": "effect, %",
    "low": "from",
    "high": "to",
    "sign_flips": "p of sign flips",
    "n": "replicates",
    "samples_low": "samples from",
    "samples_high": "samples to",
    "product": "printed × n",
    "ratio": "printed × n over curve",
}
FORMATS = {
    **dict.fromkeys(("effect, %", "from", "to", "samples from", "samples to"), "+.2f"),
    **dict.fromkeys(("p", "p of sign flips"), ".3g"),
    "level": ".4g",
    "noise factor": "g",
}
BY_N = {
    **{"printed": ".3g", "printed × n": ".4f", "curve": ".3f"},
    **{"printed × n over curve": ".3f", "samples n": ","},
}

OUTCOMES = "Change of MSE in percent; above 0 (right) supports the claim."
CLAIMS = "Effects, which are changes of MSE in percent, and verdicts; above 0 supports the claim."
JUDGED = (
    "Each part is judged by the interval that is shown, at the level at which Holm's procedure "
    "tests it: all of it above 0 “holds”, all below 0 is “reversed”, all within ±{smallest:g} % "
    "(the smallest effect of interest) is “no difference”, else it is “undecided”. One reversed "
    "part reverses a claim; it holds if every part does, at 95 % without a correction. The row has "
    "the part that decides."
)
DIVISION = "Published numbers that are MSE divided once more by a number of samples n."
DIVIDED = "Fig. 4 is Fig. 6 at noise 0.5 divided by N = 2921, and Fig. 10 is C / n with C about 1."
LOST = "Networks that diverged or failed, which enter no mean."
DATA = "The data, which all runs of a cohort share."
RUNS = "How each run went."
PARTS = "The parts of the claim, paired by replicate; above 0 supports it."
PAIRED = (
    "Intervals have the variance of Nadeau and "
    "Bengio (2003) for overlapping splits; the sign-flip test beside them assumes no distribution. "
    "“Samples from” and “samples to” are a 95 % interval over test samples, drawn again by whole "
    "groups of the split (donors), else by tissue, else one by one: the sentence above says which."
)
STEPS = "Mean over the parts of the claim; above 0 the item makes some or all of the effect."
MAIN = (
    "If every "
    "set of items was trained, it is a main effect, the mean over all settings of the others "
    "(Autopsy), else the effect as published over that with the item alone put right."
)
TURNS = (
    "The noise factor of the least mean MSE, the range of the replicates' own least points, and "
    "the change of MSE from the least noise factor to there and from there to the most."
)
TURNED = "Each change is measured at the turning point of the other replicates."
PAPER = (
    "Figures 1 to 10 under their own numbers. The as-published rerun is measured on clean training "
    "rows, as the paper's scripts did, as-written networks on noisy test rows. Bars are 95 % "
    "intervals over seeds."
)
REFERENCES = (
    "What a denoiser has to beat: leaving the noisy input alone (MSE α²), answering each gene's "
    "mean (about 1), PCA with as many components as the code has numbers, and the Wiener filter, "
    "the best linear denoiser."
)
QUESTIONS = (
    "The paper ends with questions; each has a grid or a search of its own. Networks of one "
    "question share split, seeds, batches and noise, so their differences are paired by seed."
)
AUTOPSY = (
    "The protocol of the paper's scripts with one item put right at a time, measured as they "
    "measured: which item makes a claim appear or vanish?"
)
COSTS = "Seconds of a single process, added up over workers and runs."
COUNTED = (
    "Of networks it is their share of their pack's training, of start and references what the runs "
    "recorded. Drawing this page is not in it. Workers run side by side, so the wall time "
    "(Provenance) is less."
)
COST_FORMATS = {"networks": ",.0f", "seconds": ",.1f", "share": ".1%"}
CHOSEN = "Settings of each model, and how they were chosen."
ALIKE = (
    "The validation rows of these runs chose none: as-written settings were chosen on the "
    "simulated cohort. Data of fewer samples get more epochs, so that a network has its number of "
    "updates. "
    "One row is repeated by the last command under Commands."
)
DIFFERENCES = (
    "What the paper's text says, what its scripts did, and what this program does under each "
    "protocol."
)
SIMULATED_LIMIT = (
    "What holds for this mixture model need not hold for measured expression: use --data."
)
ONE_SPLIT = (
    "All networks share one split of the samples, so intervals over seeds leave out the spread "
    "from split to split: they are too narrow for other samples."
)
FEW_SEEDS = (
    f"Fewer than {FEWEST} replicates give no verdict. Intervals assume normal differences "
    "(Student's t); with overlapping splits they never get narrower than their floor, so that even "
    f"{MOST} replicates leave small effects undecided."
)
EPOCHS = (
    "Each as-written model trains for a fixed number of epochs: at noise 0.5 on the simulated "
    "cohort twice as many change a dense model's validation MSE by at most 1 %, and lower that of "
    "conv by 2 %."
)
MEASURES = (
    "Only MSE on clean training rows can be compared with the paper's curves; only MSE on noisy "
    "test rows shows how well noise is removed."
)
READ_OFF = (
    "The paper's Figs. 6–8 are read off plots; Fig. 9 has no scale and is only known to be about 1."
)
VERSIONS = "Python and the packages that can change a number."
COMMANDS = "To repeat the runs (with --fresh, or another --out, if a folder still exists):"
AGAIN = "To train one network again and compare it with the recorded one:"
FILES = (
    Words("this page as Markdown.", "report.md:"),
    Words("each figure as PNG and SVG, and the CSV that it is drawn from.", "figures/:"),
    Words("each table as CSV and LaTeX.", "tables/:"),
    Words("the contents of this folder as an RO-Crate.", "ro-crate-metadata.json:"),
    Words("every network, in its run folder.", "members.parquet:"),
)
