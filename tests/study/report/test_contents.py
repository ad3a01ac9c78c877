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


def points(page):
    """The points of "In short": their leads, and their texts by lead."""
    [section] = [its for its in page.sections if its.title == "In short"]
    return {words.lead: words.text for words in section.blocks[0].items}


# Tables without empty columns.


def test_a_protocol_without_a_measurement_has_no_column(tmp_path):
    written = page_of(made(tmp_path / "written", "as-written"))
    outcomes = table(written, "outcomes")
    assert list(outcomes.frame) == ["claim of the paper", "as its text says"]
    names = [link.name for link in outcomes.frame["claim of the paper"]]
    assert names == ["C1", "C2", "C3", "C6", "C7", "C8", "C9"]
    assert "Not measured: C4, C5a, C5b and C10 (below: by which grid)." in outcomes.caption
    fig4 = table(written, "fig-4").frame
    assert "as its scripts ran" not in fig4
    assert fig4["as its text says"].notna().sum() == 2 + 6  # two models and the references
    mse = table(written, "mse").frame
    assert list(mse) == ["method", "α = 0", "α = 0.5", "α = 1"]
    published = page_of(made(tmp_path / "published", "as-published"))
    assert list(table(published, "outcomes").frame) == ["claim of the paper", "as its scripts ran"]
    fig4 = table(published, "fig-4").frame
    assert "as its text says" not in fig4
    assert len(fig4) == 4


def test_what_the_scripts_did_not_train_is_called_so(tmp_path):
    page = page_of(made(tmp_path / "run", "paper", depths=("2", "conv")))
    frame = table(page, "outcomes").frame
    by_claim = dict(zip([its.name for its in frame.iloc[:, 0]], frame.iloc[:, 1], strict=True))
    assert by_claim["C6"] == "not in the scripts"
    assert by_claim["C9"].outcome in Outcome


# In short.


def test_best_begins_with_what_denoises_best_and_by_how_much(tmp_path):
    [lead, *_] = (found := points(page_of(fake_run(tmp_path / "run", "best"))))
    assert lead == "What denoises best:"
    assert (
        "the mixture of Wiener filters has 10.0 % less error than the Wiener filter" in found[lead]
    )


@pytest.mark.parametrize(
    ("grid", "title", "words"),
    [
        ("sparsity", "Does sparsity help, and against what?", "Without a sparsity term the gap"),
        ("gene-order", "Are there spatial features?", "At noise factor 0.5 the conv network"),
        ("samples", "How many samples are enough?", "From 204 to 2,045 training samples"),
        ("mixed-noise", "Can one network serve all noise levels?", "One network trained on noise"),
        ("cross-noise", "What does a wrong guess of the noise cost?", "Test MSE of a network"),
        ("fresh-noise", "What is fresh noise worth?", "A network whose noise is drawn once"),
    ],
)
def test_a_run_of_one_question_begins_with_its_answer(tmp_path, grid, title, words):
    depths = ("conv",) if grid == "gene-order" else ("2",)
    [lead, *_] = (found := points(page_of(made(tmp_path / "run", grid, depths=depths))))
    assert lead == title
    assert found[lead].startswith(words)


def test_an_autopsy_begins_with_what_makes_the_claims(tmp_path):
    run = fake_run(tmp_path / "run", "autopsy", narrowing=Narrowing(seeds=3, depths=("2", "4")))
    [lead, *_] = points(page_of(run))
    assert lead == "What makes the claims, one item of the scripts changed:"


# Published and ours.


def test_every_published_number_stands_next_to_ours(tmp_path):
    page = page_of(made(tmp_path / "run", "paper", mse=lambda *_: 0.7))
    frame = table(page, "point-by-point").frame
    # noise 0, 0.5 and 1 of two curves, and two numbers of Fig. 4
    assert frame.groupby("figure", sort=False).size().to_dict() == {
        "Fig. 4": 2,
        "Fig. 6": 3,
        "Fig. 7": 3,
    }
    last = frame[(frame["figure"] == "Fig. 7") & (frame["noise"] == 0.5)].iloc[0]
    # train-clean MSE of a made-up run is 0.03 below its test MSE
    assert last["scripts ran"].mean == pytest.approx(0.67)
    assert last["difference"] == pytest.approx(0.67 - last["published"])
    assert last["ratio"] == pytest.approx(0.67 / last["published"])
    assert last["its ratio"] == pytest.approx(0.7 / last["published"])
    best = page_of(fake_run(tmp_path / "best", "best"))
    assert not [b for b in best.blocks() if getattr(b, "key", "") == "point-by-point"]


# Learning curves.


def test_learning_curves_are_a_section_of_their_own(tmp_path):
    page = page_of(made(tmp_path / "run", "paper"))
    assert "Learning curves" in [section.title for section in page.sections]
    best = page_of(fake_run(tmp_path / "best", "best"))
    assert "Learning curves" not in [section.title for section in best.sections]


# Where a curve turns.


def test_the_claims_about_noise_have_a_table_of_turning_points(tmp_path):
    def mse(member, noise):
        return {0.0: 0.9, 0.5: 0.8, 1.0: 1.0}.get(noise, 1.0) + 0.001 * member.seed

    page = page_of(made(tmp_path / "run", "as-written", mse=mse))
    turns = table(page, "c3-turns").frame
    assert turns["model"].tolist() == ["dense-2", "dense-4"] * 2
    row = turns[turns["measured on"] == "noisy test rows"].iloc[0]
    assert (row["shape"], row["least at noise"]) == ("falls, then rises", 0.5)
    assert (row["replicates from"], row["to"]) == (0.5, 0.5)


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
