import json
import re
import shutil

import pytest

import run_study
from data_utils.errors import InputError
from models.config import AS_WRITTEN
from study.evidence.evidence import load_cohorts, load_evidence
from study.evidence.stats import HOLDS, NO_DIFFERENCE
from study.options import Narrowing
from study.paper.claims import judge_claims
from study.report.page import build
from tests.study.runs import fake_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs on one data set, and one on another."""
    folder = tmp_path_factory.mktemp("runs")
    return [
        fake_run(folder / "simulated", "smoke", seeds=2),
        fake_run(folder / "best", "best", seeds=2),
        fake_run(folder / "lungs", "smoke", seeds=2, data="b" * 64, simulated=False),
    ]


def test_runs_on_the_same_data_are_one_cohort(runs):
    cohorts = load_cohorts([runs[0], runs[2], runs[1], runs[0]])
    assert [[run.name for run in cohort.runs] for cohort in cohorts] == [
        ["simulated", "best"],
        ["lungs"],
    ]
    has_mixtures = ["mixture-8" in set(cohort.members["model"]) for cohort in cohorts]
    assert has_mixtures == [True, False]
    assert len({cohort.name for cohort in cohorts}) == 2


def test_another_split_is_another_cohort(runs, tmp_path):
    other = shutil.copytree(runs[0], tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    config["identity"]["split_seed"] = 7
    (other / "config.json").write_text(json.dumps(config))
    assert [cohort.name for cohort in load_cohorts([runs[0], other])] == ["simulated", "other"]
    with pytest.raises(
        InputError, match=r"other: has other data or another split than .*simulated"
    ):
        load_evidence([runs[0], other])


def with_smallest(run, folder, value):
    """A copy of a run that was made with another smallest effect of interest."""
    other = shutil.copytree(run, folder)
    config = json.loads((other / "config.json").read_text()) | {"smallest_effect": value}
    (other / "config.json").write_text(json.dumps(config))
    return other


def test_the_smallest_effect_is_that_of_the_runs_or_the_one_that_is_given(runs, tmp_path, capsys):
    assert {cohort.smallest for cohort in load_cohorts(runs)} == {1.0}
    other = with_smallest(runs[2], tmp_path / "other", 2.5)
    assert load_evidence([other]).smallest == 2.5
    words = ["report", *map(str, (runs[0], other)), "--out", str(tmp_path / "out")]
    assert run_study.main(words) == 2
    line = (
        r"error: .*simulated: has --smallest-effect 1, .*other: 2\.5: give the one for the "
        r"report, --smallest-effect PERCENT\n"
    )
    assert re.fullmatch(line, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()
    assert {cohort.smallest for cohort in load_cohorts([runs[0], other], 0.5)} == {0.5}


@pytest.mark.parametrize("value", ["0", "100", "nan", "much"])
def test_a_smallest_effect_that_is_no_percentage_is_one_line(runs, capsys, value):
    for words in (["report", str(runs[0])], ["--grid", "smoke"]):
        assert run_study.main([*words, "--smallest-effect", value]) == 2
        assert re.fullmatch(rf"error: --smallest-effect {value}: .*\n", capsys.readouterr().err)


@pytest.mark.parametrize("value", [0, 100, "1", None])
def test_a_configuration_without_a_percentage_is_bad_input(runs, tmp_path, value):
    with pytest.raises(InputError, match="cannot be read"):
        load_evidence([with_smallest(runs[0], tmp_path / "other", value)])


def test_the_page_says_which_effect_is_the_smallest_of_interest(tmp_path):
    """Depths differ by 2 to 4 %, which is no difference if 10 % are the least that matters."""
    narrowing = Narrowing(seeds=3, noise=(0.0, 0.5, 1.0), depths=("2", "4"), betas=(0.0,))
    run = fake_run(tmp_path / "run", narrowing=narrowing)
    captions, outcomes = [], []
    for smallest in (1.0, 10.0):
        cohorts = load_cohorts([run], smallest)
        judged = {cohort: judge_claims(cohort) for cohort in cohorts}
        tables = {table.key: table for table in build(judged).tables()}
        captions.append([tables[key].description for key in ("outcomes", "claims", "against")])
        [part, *_] = judged[cohorts[0]][0].cell(AS_WRITTEN).parts
        outcomes.append(part.outcome)
    assert outcomes == [HOLDS, NO_DIFFERENCE]
    for smallest, (first, claims, against) in zip(("1 %", "10 %"), captions, strict=True):
        assert f"grey band is {smallest}" in first
        assert f"grey band is {smallest}" in against
        assert f"within ±{smallest}" in claims
