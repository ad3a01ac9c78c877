"""What the page contains for each kind of run: tables without empty columns, words, links."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from models.config import USUAL_TRAINING, MemberConfig, Phase
from study.evidence.evidence import load_cohorts
from study.evidence.stats import NO_DIFFERENCE, NO_VERDICT, Outcome
from study.grids import GRIDS, Narrowing
from study.paper.claims import judge_claims
from study.report.document import Fold, Section, Table
from study.report.exports import TEMPLATES
from study.report.page import build
from study.study import Study
from tests.study.report.questions.test_bottleneck import search_run
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
    assert names == ["C3", "C6", "C8"]
    assert (
        "Not measured in full: C1, C2, C4, C5a, C5b, C7, C9 and C10 (see below by which grid)."
        in outcomes.description
    )
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
    page = page_of(made(tmp_path / "run", "paper"))
    frame = table(page, "outcomes").frame
    by_claim = dict(zip([its.name for its in frame.iloc[:, 0]], frame.iloc[:, 1], strict=True))
    assert by_claim["C6"] == "not in the scripts"
    assert by_claim["C8"].outcome == NO_DIFFERENCE  # made-up gaps are alike


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


def test_a_search_begins_with_its_answer(tmp_path):
    run = search_run(tmp_path / "search")
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"grid": "search-bottleneck"}))
    [lead, *_] = (found := points(page_of(run)))
    assert lead == "Does a smaller code do better?"
    assert found[lead].startswith("Validation MSE is least with a code of 16 units")


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


# What it cost, and how settings were chosen.


def test_the_parts_of_the_cost_sum_up_to_the_total(tmp_path):
    run = made(tmp_path / "run", "paper")
    config = json.loads((run / "config.json").read_text())
    config["seconds"] = {"start": 3.0, "references": 7.0}
    (run / "config.json").write_text(json.dumps(config))
    frame = table(page_of(run), "costs").frame.set_index("part")
    members = pd.read_parquet(run / "members.parquet")  # each of 2 seconds
    dense_2 = (members["model"] == "dense-2") & (members["protocol"] == "as-written")
    assert frame.loc["as-written, dense-2", "networks"] == dense_2.sum()
    assert frame.loc["as-written, dense-2", "seconds"] == 2.0 * dense_2.sum()
    assert frame.loc["start: data, splits, workers", "seconds"] == 3.0
    assert frame.loc["references", "seconds"] == 7.0
    parts, total = frame.drop(index="total"), frame.loc["total"]
    assert total["seconds"] == 2.0 * len(members) + 10 == parts["seconds"].sum()
    assert total["networks"] == len(members) == parts["networks"].sum()
    assert (total["share"], parts["share"].sum()) == (1.0, pytest.approx(1.0))


def test_what_no_run_recorded_is_no_part_of_the_cost(tmp_path):
    parts = table(page_of(made(tmp_path / "run", "as-written")), "costs").frame["part"]
    assert "references" not in parts.tolist()


def test_settings_by_model_say_how_they_were_chosen(tmp_path):
    planned = GRIDS["paper"](Narrowing(seeds=2, noise=(0.5,), depths=("2", "conv")))
    other = replace(planned[0], learning_rate=0.5)
    own = MemberConfig("dense-3x3", (Phase((0.5,), 9),), 0)
    run = fake_run(tmp_path / "run", members=[*planned, other, own], mse=lambda *_: 0.5)
    frame = table(page_of(run), "settings-by-model").frame.set_index(["protocol", "model"])
    conv = frame.loc[("as-written", "conv")]
    usual = USUAL_TRAINING["conv"]
    assert conv["batch size"] == str(usual.batch_size)
    assert conv["learning rate"] == f"{usual.learning_rate:g}"
    assert conv["optimizer"] == "adam"
    assert conv["chosen"] == "validation MSE at noise 0.5, simulated cohort"
    assert frame.loc[("as-published", "conv"), "optimizer"] == "adadelta"
    assert frame.loc[("as-published", "conv"), "chosen"] == "the paper's scripts"
    assert frame.loc[("as-written", "dense-3x3"), "chosen"] == "defaults, not tuned for this model"
    dense = frame.loc[("as-written", "dense-2")]
    assert dense["learning rate"] == f"{USUAL_TRAINING['dense-2'].learning_rate:g}, 0.5"
    assert dense["chosen"] == "by the grid"
    few = fake_run(
        tmp_path / "few",
        members=[
            replace(its, phases=(Phase((0.5,), 2),))
            for its in planned
            if its.model == "conv" and its.protocol.name == "as-written"
        ],
    )
    frame = table(page_of(few), "settings-by-model").frame
    assert frame["chosen"].tolist() == [
        f"validation MSE at noise 0.5, simulated cohort; fewer epochs than {usual.epochs}"
    ]


# Questions of a referee.


def referee(page):
    [section] = [its for its in page.sections if its.title == "Questions of a referee"]
    return section.blocks[0].items


@pytest.mark.parametrize(
    "grid", ["paper", "as-published", "autopsy", "best", "gene-order", "samples"]
)
def test_every_question_of_a_referee_has_a_link_or_the_grid_that_answers_it(tmp_path, grid):
    narrowing = Narrowing(seeds=3) if grid in ("best", "autopsy") else None
    run = (
        made(tmp_path / "run", grid, depths=("2", "conv"))
        if narrowing is None
        else fake_run(tmp_path / "run", grid, narrowing=narrowing)
    )
    page = page_of(run)
    answers = referee(page)
    assert len(answers) == 10
    blocks = list(page.blocks())
    names = {b.title for b in blocks if isinstance(b, Section)}
    names |= {b.name for b in blocks if isinstance(b, Fold)}
    for answer in answers:
        assert answer.places or "Not in these runs: " in answer.text
        assert set(answer.places) <= names
    missing = {a.lead: a.text.partition("Not in these runs: ")[2] for a in answers}
    spatial = missing["Are there spatial features?"]
    assert spatial == (
        "" if grid == "gene-order" else "Are there spatial features? (--grid gene-order)."
    )
    falls = missing["Why does the error fall as noise grows?"]
    assert ("Autopsy (--grid autopsy)" in falls) == (grid != "autopsy")
    points = missing["How do the published numbers compare with ours, point by point?"]
    assert points.endswith("(--grid paper).") == (
        grid in ("best", "autopsy")
        and not any(b.key == "point-by-point" for b in blocks if isinstance(b, Table))
    )


def test_a_referee_reads_verdicts_and_what_intervals_cover(tmp_path):
    run = made(tmp_path / "run", "as-written")
    texts = {answer.lead: answer.text for answer in referee(page_of(run))}
    assert texts["To what do p and intervals generalise?"].startswith(
        "To other splits of the same samples, other weights, batches and noise."
    )
    # made-up MSE grows with noise and with depth, in as-written networks
    assert "C3: reversed as its text says." in texts["Why does the error fall as noise grows?"]
    [depth] = [text for lead, text in texts.items() if "effect of depth" in lead]
    assert "C1" not in depth  # two of four depths
    assert texts["Is the simulated cohort adequate?"] == ""
    real = page_of(made(tmp_path / "real", "as-written", simulated=False))
    texts = {answer.lead: answer.text for answer in referee(real)}
    assert texts["Is the simulated cohort adequate?"] == "Measured, not simulated: <expression>."


# Too few replicates.


def test_too_few_replicates_are_said_once_at_the_top(tmp_path):
    few, enough = (made(tmp_path / str(n), "as-written", n, data=str(n) * 64) for n in (2, 3))
    page = page_of(few)
    assert page.note.lead == "No verdicts."
    assert page.note.text == "2 replicates; a verdict needs 3: --seeds 3."
    assert page.first[0].note.startswith(  # the scripts' protocol was not run
        "Published: clean training rows in; all others: noisy test rows in. Bars are 95 % "
    )
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
