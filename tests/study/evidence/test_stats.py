"""Paired statistics: p-values by hand, Holm's example, coverage, and what a reader is told."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap, permutation_test, ttest_1samp

from study.evidence import stats
from study.evidence.stats import (
    FAILS,
    HOLDS,
    UNDECIDED,
    Verdict,
    holm,
    interval,
    seeds_needed,
    sign_flip_test,
    verdict,
)

#: By number of values: the measured share of 95 % BCa intervals that hold the mean.
COVERAGE = {3: 0.72, 5: 0.84, 10: 0.90, 20: 0.92}
finite = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))


def normal(*shape, seed=0):
    return np.random.Generator(np.random.PCG64(seed)).normal(size=shape)


# The sign-flip test


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        # n = 3, all of one sign: +++ and --- are as far from 0
        ([1.0, 2.0, 3.0], 2 / 8),
        ([-1.0, -2.0, -3.0], 2 / 8),
        # 1 + 2 - 3 = 0: sums 6, 4, 2, 0, 0, -2, -4, -6
        ([1.0, 2.0, -3.0], 1.0),
        # -1 + 2 + 3 = 4: as far are 6, 4, -4 and -6
        ([-1.0, 2.0, 3.0], 4 / 8),
        # n = 5, one against four: -1 + 2 + 4 + 8 + 16 = 29, above it only 31
        ([-1.0, 2.0, 4.0, 8.0, 16.0], 4 / 32),
        ([1.0, 2.0, 4.0, 8.0, 16.0], 2 / 32),
        # n = 5 with ties: sums of -1 + 1 + 1 + 1 + 1 = 3 or above: 5 have one minus, 1 has none
        ([-1.0, 1.0, 1.0, 1.0, 1.0], 12 / 32),
        ([5.0], 1.0),
        ([0.0, 0.0, 0.0], 1.0),
    ],
)
def test_sign_flips_by_hand(differences, p):
    assert sign_flip_test(differences) == p


def test_sums_that_differ_by_rounding_are_ties():
    assert 0.1 + 0.2 != 0.3
    assert sign_flip_test([0.1, 0.2, -0.3]) == 1.0
    assert sign_flip_test([0.1] * 10 + [-0.1]) == 24 / 2**11


@given(st.lists(finite, min_size=2, max_size=7))
def test_sign_flips_are_scipys_permutation_test(differences):
    whole = np.round(differences)  # scipy compares rounded sums with a tolerance of its own
    how = {"permutation_type": "samples", "n_resamples": np.inf, "vectorized": True}
    theirs = permutation_test((whole,), lambda x, axis: x.sum(axis), **how)
    assert sign_flip_test(whole) == pytest.approx(theirs.pvalue, abs=1e-12)


@given(st.lists(finite, min_size=1, max_size=12))
def test_a_sign_flip_p_is_in_range_and_mirrors(differences):
    p = sign_flip_test(differences)
    assert 2 ** (1 - len(differences)) <= p <= 1
    assert sign_flip_test(-np.array(differences)) == p


def test_many_differences_are_flipped_at_random_always_in_the_same_way(monkeypatch):
    differences = normal(40) + 0.4
    p = sign_flip_test(differences)
    assert p == sign_flip_test(differences)
    assert p == pytest.approx(ttest_1samp(differences, 0).pvalue, rel=0.3)
    assert sign_flip_test(np.ones(20)) == 2 / 2**20
    monkeypatch.setattr(stats, "FLIPS", 999)
    assert sign_flip_test(np.ones(40)) == 1 / 1000  # (b + 1) / (m + 1): never 0


def test_sign_flips_err_as_often_as_they_say():
    rejected = [sign_flip_test(row) <= 0.05 for row in normal(2000, 8)]
    assert np.mean(rejected) == pytest.approx(0.047, abs=0.015)  # 12 of 256 flips


@pytest.mark.parametrize("bad", [[], [1.0, math.nan], [math.inf], [[1.0], [2.0]]])
@pytest.mark.parametrize("function", [sign_flip_test, interval, seeds_needed, verdict])
def test_what_is_no_row_of_numbers_is_refused(function, bad):
    with pytest.raises(ValueError, match="finite numbers, one per seed"):
        function(bad)


# Holm


def test_holm_by_hand():
    # sorted .005 .01 .03 .04 times 4 3 2 1: .02 .03 .06 .04; the last is raised to the third
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1.0, 1.0])
    assert holm([]).tolist() == []
    assert holm([0.2]).tolist() == [0.2]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_lies_between_the_p_and_bonferroni(pvalues):
    p, adjusted = np.array(pvalues), holm(pvalues)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(len(p) * p, 1) + 1e-15).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()
    assert adjusted[np.argmin(p)] == pytest.approx(min(len(p) * p.min(), 1))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_holm_does_not_depend_on_the_order(pvalues, random):
    shuffled = random.sample(range(len(pvalues)), len(pvalues))
    np.testing.assert_array_equal(holm([pvalues[i] for i in shuffled]), holm(pvalues)[shuffled])


# Intervals


def share_with_0(intervals):
    return np.mean([found.low <= 0 <= found.high for found in intervals])


def coverage(n, repetitions, level=0.95):
    draws = normal(repetitions, n, seed=n)
    return share_with_0([interval(row, level) for row in draws])


def test_bca_covers_what_it_says(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 999)
    assert coverage(30, 400) == pytest.approx(0.94, abs=0.03)
    assert coverage(30, 300, level=0.8) == pytest.approx(0.79, abs=0.06)


@pytest.mark.slow
def test_bca_covers_less_of_few_values_as_its_docstring_says(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 999)
    monkeypatch.setattr(stats, "BCA_FROM", 2)
    for n, expected in COVERAGE.items():
        assert coverage(n, 4000) == pytest.approx(expected, abs=0.015)


def students_t(values, level=0.95):
    return pytest.approx(tuple(ttest_1samp(values, 0).confidence_interval(level)), rel=1e-9)


def ends(values, level=0.95):
    found = interval(values, level)
    return found.low, found.high


def test_bca_follows_the_skew():
    values = np.exp(normal(40, seed=3))
    found = interval(values)
    rng = np.random.Generator(np.random.PCG64(1))
    means = rng.choice(values, (9999, 40)).mean(1)
    plain = np.percentile(means, [2.5, 97.5])  # the percentile method
    width = plain[1] - plain[0]
    assert found.low > plain[0] + 0.03 * width
    assert found.high > plain[1] + 0.06 * width
    assert interval(values) == found


def test_nine_values_get_students_t_and_ten_bca():
    values = normal(10)
    assert ends(values[:9]) == students_t(values[:9])
    assert ends(values[:9], 0.8) == students_t(values[:9], 0.8)
    for level in (0.8, 0.95):
        assert ends(values, level) != students_t(values, level)
        how = {"confidence_level": level, "method": "BCa", "n_resamples": 9999}
        theirs = bootstrap((values,), np.mean, rng=np.random.Generator(np.random.PCG64(0)), **how)
        assert ends(values, level) == tuple(theirs.confidence_interval)
    # t with one degree of freedom at 97.5 % is 12.706, the standard error of 1 and 3 is 1
    assert ends([1.0, 3.0]) == pytest.approx((2 - 12.7062, 2 + 12.7062), abs=1e-3)


def test_if_the_bootstrap_is_degenerate_it_is_students_t(monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 1)
    values = normal(10)
    assert ends(values) == students_t(values)


def test_students_t_covers_what_it_says_of_three_values():
    assert coverage(3, 2000) == pytest.approx(0.95, abs=0.015)
    # t with two degrees of freedom is 4.302653, the standard error of 1 2 6 sqrt(7 / 3)
    by_hand = 3 - 4.302653 * math.sqrt(7 / 3), 3 + 4.302653 * math.sqrt(7 / 3)
    assert ends([1, 2, 6]) == pytest.approx(by_hand)


def test_one_value_gets_no_interval_and_equal_values_a_point():
    assert np.isnan(ends([1.0])).all()
    for repeated in (1, 10):  # below and above the number from which it is BCa
        low, high = ends([0.1 + 0.2, 0.3, 0.3] * repeated)
        assert low == high == pytest.approx(0.3)


@given(st.lists(finite, min_size=1, max_size=12))
def test_an_interval_is_in_order_or_absent(values):
    found = interval(values)
    assert np.isnan(found.low) == (len(values) == 1)
    assert len(values) == 1 or found.low <= found.high
    if len(values) >= 10:  # BCa: no mean of a resample is outside the values
        assert min(values) - 1e-6 <= found.low
        assert found.high <= max(values) + 1e-6


# How many seeds


@pytest.mark.parametrize(
    ("alpha", "least"),
    [(0.05, 6), (0.05 / 7, 9), (0.25, 3)],  # 2 / 2^9 = .0039 <= .0071 < 2 / 2^8; 2 / 2^3 = .25
)
def test_the_least_number_of_seeds(alpha, least):
    assert seeds_needed([1.0, 1.0], alpha) == least


@given(st.floats(1e-5, 0.5).map(lambda alpha: round(alpha, 6)))
def test_the_least_number_of_seeds_is_what_the_test_can_reach(alpha):
    n = seeds_needed([1.0], alpha)
    assert sign_flip_test(np.ones(n)) <= alpha
    assert sign_flip_test(np.ones(n - 1)) > alpha


def test_seeds_needed_for_a_large_effect_is_the_least():
    assert seeds_needed([1.0, 1.1, 0.9]) == 6
    assert seeds_needed([-1.0, -1.1, -0.9]) == 6
    assert seeds_needed([1.0]) == 6
    assert seeds_needed([1.0, 1.0]) == 6
    assert seeds_needed([0.0, 0.0, 0.0]) is None
    assert seeds_needed([1.0, -1.0]) is None


def test_seeds_needed_for_a_small_effect_is_that_of_a_t_test():
    # d = 0.5: ((1.959964 + 0.841621) / 0.5)^2 + 1.959964^2 / 2 = 31.396 + 1.921 = 33.3; tables: 34
    differences = np.array([-0.5, 1.5, -0.5, 1.5]) * math.sqrt(3 / 4)
    differences = differences / differences.std(ddof=1)
    differences += 0.5 - differences.mean()
    assert seeds_needed(differences) == 34


def test_as_many_seeds_as_needed_decide_four_times_in_five():
    n = seeds_needed(np.array([-1.0, 1.0]) / math.sqrt(2) + 0.8)  # d = 0.8
    assert n == 15
    decided = [sign_flip_test(row + 0.8) <= 0.05 for row in normal(600, n)]
    assert np.mean(decided) == pytest.approx(0.8, abs=0.05)


# Verdicts


def test_three_seeds_cannot_decide_and_six_can():
    differences = [0.010, 0.012, 0.011]
    three = verdict(differences)
    assert (three.outcome, three.p, three.n) == (UNDECIDED, 0.25, 3)
    # t with two degrees of freedom 4.302653 times .001 / sqrt(3) is .0025
    assert three.size == "+0.0110 (95 % +0.0085 to +0.0135)"
    assert three.outcome == "undecided"
    assert three.doubt == "3 seeds; --seeds 6 would decide"
    six = verdict(differences * 2)
    assert (six.outcome, six.p, six.seeds_needed) == (HOLDS, 2 / 64, None)
    assert six.effect == pytest.approx(0.011)
    assert six.interval.low <= 0.011 <= six.interval.high
    assert six.outcome == "holds"
    # t with five degrees of freedom 2.570582 times .000894 / sqrt(6) is .00094
    assert six.size == "+0.01100 (95 % +0.01006 to +0.01194)"


def test_a_claim_is_false_where_the_differences_are_below_zero():
    false = verdict([-0.010, -0.012, -0.011] * 2)
    assert false.outcome == FAILS
    assert (false.outcome, false.effect) == ("does not hold", pytest.approx(-0.011))


@pytest.mark.parametrize(
    ("differences", "size"),
    [
        # as many digits as the interval has
        ([-2.051, -2.049, -2.050], "-2.0500 (95 % -2.0525 to -2.0475)"),
        ([1000.0, 3000.0, 2000.0], "+2000 (95 % -484 to +4484)"),
        ([0.25, 0.25], "+0.25 (95 % +0.25 to +0.25)"),
        ([0.25], "+0.25 (no interval)"),
        ([0.0, 0.0], "+0 (95 % +0 to +0)"),
        ([1e-9, 3e-9, 2e-9], "+2e-09 (95 % -4.84e-10 to +4.48e-09)"),
    ],
)
def test_a_size_has_the_digits_that_its_interval_supports(differences, size):
    assert verdict(differences).size == size


def test_undecided_differences_say_what_would_help():
    assert verdict([0.0, 0.0]).outcome == "undecided"
    assert verdict([0.0, 0.0]).doubt == "2 seeds without a difference"
    assert verdict([1.0]).outcome == "undecided"
    assert verdict([1.0]).doubt == "1 seed; --seeds 6 would decide"
    small = verdict([1.0, -0.99, 1.01, -1.0])
    assert small.outcome == "undecided"
    assert small.doubt == "4 seeds; the difference is too small for 100 seeds to decide"


def test_more_seeds_than_there_are_are_asked_for():
    # six differences that the formula would have decided, and the test did not
    nearly = [1.0, 1.0, 1.0, 1.0, 1.0, -0.01]
    assert seeds_needed(nearly) == 6
    assert sign_flip_test(nearly) == 4 / 64
    assert verdict(nearly).seeds_needed == 7


def test_a_family_asks_for_more():
    differences = [0.010, 0.012, 0.011] * 2
    adjusted = holm([sign_flip_test(differences)] * 7)
    judged = verdict(differences, p=adjusted[0], family=7)
    assert judged.outcome == UNDECIDED
    assert judged.p == pytest.approx(14 / 64)
    assert judged.seeds_needed == 9
    assert replace(judged, seeds_needed=101).doubt.endswith("too small for 100 seeds to decide")
    assert isinstance(judged, Verdict)
