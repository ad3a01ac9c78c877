"""Intervals hold the truth, and verdicts are seldom false, over splits of small data sets."""

import numpy as np
import pytest

from benchmarks.coverage import (
    OVERLAP,
    SCENARIOS,
    SIZES,
    Scenario,
    coverage,
    denoising,
    false_claims,
    false_verdicts,
    regression,
)


@pytest.fixture(scope="module", params=[5, 10])
def log_ratios(request):
    """Return log ratios of two exchangeable learners on 400 data sets of 60 samples."""
    return Scenario("small", 60, *regression(3)).log_ratios(400, request.param)


def test_intervals_cover_what_they_say(log_ratios):
    assert coverage(log_ratios, OVERLAP) == pytest.approx(0.955, abs=0.025)
    # as if replicates shared no sample: of 20 replicates it would be 60 %
    assert coverage(log_ratios, 0.0) < 0.88


def test_false_verdicts_are_seldom(log_ratios):
    for size in SIZES:
        assert false_verdicts(log_ratios, OVERLAP, size) <= 0.065
    # a part of three at 0 %, or all of them at 2 %: Holm's levels
    assert false_claims(log_ratios, OVERLAP, (0.0, 0.0, 0.0)) <= 0.05
    assert false_claims(log_ratios, OVERLAP, (2.0, 2.0, 2.0)) <= 0.05


def test_the_learners_are_exchangeable_or_not():
    drawn = {
        scenario.name: scenario.log_ratios(40, 2)
        for scenario in SCENARIOS
        if scenario.samples < 200
    }
    for scenario in SCENARIOS:
        if scenario.name in drawn and scenario.exchangeable:
            rows = drawn[scenario.name]
            error = rows.mean(axis=1).std(ddof=1) / np.sqrt(len(rows))
            assert abs(rows.mean()) < 4 * error
    assert drawn["PCA of 4 and of 5 components"].mean() == pytest.approx(-1.29, abs=0.1)


def test_a_data_set_is_the_same_whatever_the_number_of_others():
    scenario = Scenario("small", 60, *denoising((2, 2)))
    assert scenario.log_ratios(3, 2)[:2].tolist() == scenario.log_ratios(2, 2).tolist()
