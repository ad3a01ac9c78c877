import json
import shutil

import pytest

from data_utils.errors import InputError
from study.evidence.evidence import load_cohorts, load_evidence
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
