"""Means over replicates: intervals and sign-flip tests, by hand and next to scipy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import permutation_test, ttest_1samp

from study.evidence import stats
from study.evidence.stats import interval, sign_flip_test

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
@pytest.mark.parametrize("function", [sign_flip_test, interval])
def test_what_is_no_row_of_numbers_is_refused(function, bad):
    with pytest.raises(ValueError, match="finite numbers, one per replicate"):
        function(bad)


# Intervals


def ends(values, overlap=0.0, level=0.95):
    found = interval(values, overlap, level)
    return found.low, found.high


def test_students_t_by_hand():
    # t with two degrees of freedom is 4.302653, the standard error of 1 2 6 sqrt(7 / 3)
    by_hand = 3 - 4.302653 * math.sqrt(7 / 3), 3 + 4.302653 * math.sqrt(7 / 3)
    assert ends([1, 2, 6]) == pytest.approx(by_hand)
    # t with one degree of freedom at 97.5 % is 12.706, the standard error of 1 and 3 is 1
    assert ends([1.0, 3.0]) == pytest.approx((2 - 12.7062, 2 + 12.7062), abs=1e-3)


def test_overlapping_splits_widen_it():
    # (1 / 3 + 2 / 7) / (1 / 3) = 13 / 7
    low, high = ends([1, 2, 6])
    wide = ends([1, 2, 6], overlap=2 / 7)
    assert np.subtract(*wide) / np.subtract(low, high) == pytest.approx(math.sqrt(13 / 7))


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_one_split_gets_students_t(level):
    values = normal(10)
    assert ends(values, level=level) == pytest.approx(
        tuple(ttest_1samp(values, 0).confidence_interval(level)), rel=1e-9
    )


def test_one_value_gets_no_interval_and_equal_values_a_point():
    assert np.isnan(ends([1.0])).all()
    low, high = ends([0.1 + 0.2, 0.3, 0.3])
    assert low == high == pytest.approx(0.3)


@given(st.lists(finite, min_size=1, max_size=12))
def test_an_interval_is_in_order_or_absent(values):
    found = interval(values)
    assert np.isnan(found.low) == (len(values) == 1)
    assert len(values) == 1 or found.low <= found.high
