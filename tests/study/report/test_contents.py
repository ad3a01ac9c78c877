"""What the page contains for each kind of run: tables without empty columns, words, links."""

from types import SimpleNamespace

import pytest

from study.evidence.evidence import load_cohorts
from study.evidence.stats import NO_VERDICT, Outcome
from study.grids import Narrowing
from study.paper.claims import judge_claims
from study.report.document import Table
from study.report.exports import TEMPLATES
from study.report.page import build
from study.study import Study
from tests.study.runs import fake_run


def page_of(*folders):
    """The report of run folders, not drawn."""
    return build({cohort: judge_claims(cohort) for cohort in load_cohorts(folders)})


def made(folder, grid, seeds=3, **options):
    narrowing = Narrowing(
        seeds=seeds, noise=(0.0, 0.5, 1.0), depths=options.pop("depths", ("2", "4"))
    )
    return fake_run(folder, grid, narrowing=narrowing, **options)


def table(page, key):
    return next(b for b in page.blocks() if isinstance(b, Table) and b.key == key)


# Too few replicates.


def test_too_few_replicates_are_said_once_at_the_top(tmp_path):
    few, enough = (made(tmp_path / str(n), "as-written", n, data=str(n) * 64) for n in (2, 3))
    page = page_of(few)
    assert page.note.lead == "No verdicts."
    assert page.note.text == "2 replicates; a verdict needs 3: --seeds 3."
    verdicts = {
        judgement.outcome
        for judgement in table(page, "outcomes").frame["as its text says"]
        if judgement.n
    }
    assert verdicts == {NO_VERDICT}
    assert page_of(enough).note is None
    assert page_of(enough, few).note.text.startswith("2 has 2 replicates; a verdict needs 3")


def test_every_outcome_has_its_colour():
    style = (TEMPLATES / "style.css").read_text("utf-8")
    for outcome in Outcome:
        assert f".{outcome.replace(' ', '-')}" in style


@pytest.mark.parametrize(("seeds", "lines"), [(1, 1), (2, 1), (3, 0), (0, 0)])
def test_a_run_of_too_few_replicates_says_so_in_one_line(tmp_path, seeds, lines):
    said = []
    study = SimpleNamespace(
        seeds=range(seeds),
        dataset=SimpleNamespace(notes=()),
        folder=SimpleNamespace(log_file=tmp_path / "log.txt"),
        say=said.append,
    )
    Study._note(study)
    text = f"--seeds {seeds}: no verdicts; they need 3 replicates: --seeds 3"
    assert said == [text] * lines
