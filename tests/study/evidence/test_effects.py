"""Effects over replicates: intervals, outcomes that agree with them, and factorials."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from study.evidence.effects import (
    MOST,
    at_level,
    effect_of,
    effects,
    holm_levels,
    mean_interval,
    outcome,
    percent,
    replicates_needed,
    t_test,
)
from study.evidence.factorial import factorial_contrasts, factorial_effects
from study.evidence.stats import HOLDS, NO_DIFFERENCE, NO_VERDICT, NOT_MEASURED, REVERSED, UNDECIDED

OVERLAP = 2 / 7  # 20 % of the samples are test rows, 70 % training rows
logs = st.floats(-0.2, 0.2).map(lambda x: round(x, 4))
rows = st.lists(logs, min_size=1, max_size=12)
families = st.dictionaries(st.text("abc", min_size=1, max_size=2), rows, min_size=1, max_size=5)


def holm(pvalues):
    """Holm's (1979) adjusted p-values."""
    p = np.asarray(pvalues, dtype=float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order]), 1)
    return adjusted


def normal(*shape, seed=0):
    return np.random.Generator(np.random.PCG64(seed)).normal(size=shape)


# Interval and test


def test_an_interval_by_hand():
    # mean .02, sd .01, J = 3: se = .01 sqrt(1/3 + 2/7) = .0078680; t with 2 degrees is 4.302653
    low, high = mean_interval([0.01, 0.02, 0.03], OVERLAP, 0.95)
    assert (low, high) == pytest.approx((0.02 - 0.0338532, 0.02 + 0.0338532), abs=1e-6)
    # one fixed split: Student's t interval
    plain = mean_interval([0.01, 0.02, 0.03], 0, 0.95)
    assert plain == pytest.approx(tuple(ttest_1samp([0.01, 0.02, 0.03], 0).confidence_interval()))


def test_the_p_of_one_fixed_split_is_that_of_students_test():
    values = normal(8) + 0.5
    assert t_test(values, 0) == pytest.approx(ttest_1samp(values, 0).pvalue)
    assert t_test(values, OVERLAP) > t_test(values, 0)


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [0.5, 0.6]])
def test_one_and_two_replicates_give_no_verdict(values):
    found = effect_of(values, OVERLAP)
    assert found.outcome == NO_VERDICT
    assert math.isnan(found.low)
    assert found.doubt == f"{found.replicates}; a verdict needs 3"
    assert "no interval" in found.shown


def test_equal_values_are_sure():
    assert effect_of([0.05] * 3, OVERLAP).outcome == HOLDS
    assert effect_of([-0.05] * 3, OVERLAP).outcome == REVERSED
    assert effect_of([0.0] * 3, OVERLAP).outcome == NO_DIFFERENCE
    assert effect_of([0.0] * 3, OVERLAP).p == 1


@pytest.mark.parametrize("bad", [[math.nan, 1.0], [[1.0], [2.0]], [math.inf]])
def test_what_is_no_row_of_numbers_is_refused(bad):
    with pytest.raises(ValueError, match="one per replicate"):
        effect_of(bad, 0)


# Outcomes


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.2, 3.0, HOLDS),
        (1.5, 3.0, HOLDS),
        (-3.0, -0.2, REVERSED),
        (0.2, 0.8, NO_DIFFERENCE),  # an effect, but none of interest
        (-0.9, 0.9, NO_DIFFERENCE),
        (-0.9, 1.1, UNDECIDED),
        (0.0, 2.0, UNDECIDED),
        (math.nan, math.nan, NO_VERDICT),
    ],
)
def test_an_outcome_is_read_off_its_interval(low, high, expected):
    assert outcome(low, high, 1.0) == expected


def test_the_smallest_effect_of_interest_is_a_choice():
    values = [0.018, 0.020, 0.022]
    assert effect_of(values, 0).outcome == HOLDS
    assert effect_of(values, 0, smallest=5).outcome == NO_DIFFERENCE


@given(families, st.sampled_from([0.0, OVERLAP, 1.0]), st.sampled_from([0.5, 1.0, 5.0]))
def test_the_interval_and_the_outcome_cannot_disagree(family, overlap, smallest):
    found = effects(family, overlap, smallest)
    p = [t_test(values, overlap) for values in family.values()]
    adjusted = holm([1.0 if math.isnan(value) else value for value in p])
    tested = sum(not math.isnan(value) for value in p)
    for effect, holms in zip(found.values(), adjusted * max(tested, 1) / len(p), strict=True):
        assert effect.outcome == outcome(effect.low, effect.high, smallest)
        if effect.n < 3:
            assert effect.outcome == NO_VERDICT
            continue
        assert effect.low <= effect.effect + 1e-9
        assert effect.effect <= effect.high + 1e-9
        if len(p) == tested and abs(holms - 0.05) > 1e-6:
            assert (effect.low > 0 or effect.high < 0) == (holms <= 0.05)


@given(rows.filter(lambda row: len(row) > 2), st.sampled_from([0.0, OVERLAP]))
def test_the_shown_numbers_have_the_outcome_too(row, overlap):
    found = effect_of(row, overlap)
    low, high = map(float, re.findall(r"[+-]\d+\.?\d*", found.shown)[1:])
    assert outcome(low, high) == found.outcome


def test_an_effect_is_shown_with_the_digits_of_its_interval():
    # t with two degrees 4.302653 x sd / sqrt(3)
    found = effect_of(np.log1p([0.019, 0.020, 0.021]), 0)
    assert found.shown == "+2.00 % (95 % +1.75 to +2.25)"
    assert effect_of([math.log(2)] * 3, 0).shown == "+100.0 % (95 % +100.0 to +100.0)"
    assert percent(math.log(0.5)) == pytest.approx(-50)


# Holm's levels


def test_holms_levels_by_hand():
    # sorted .005 .01 .03 .04: .005 <= .05/4, .01 <= .05/3, .03 > .05/2: the last two at .05/2
    levels = holm_levels([0.01, 0.04, 0.03, 0.005])
    assert levels == pytest.approx([0.05 / 3, 0.05 / 2, 0.05 / 2, 0.05 / 4])
    assert holm_levels([0.001, 0.002]) == pytest.approx([0.025, 0.05])
    assert holm_levels([0.9, 0.8, 0.7]) == pytest.approx([0.05 / 3] * 3)
    assert holm_levels([math.nan, 0.04]) == pytest.approx([0.05, 0.05])
    assert holm_levels([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holms_levels_decide_as_holms_adjusted_p(pvalues):
    adjusted = holm(pvalues)
    sure = np.abs(adjusted - 0.05) > 1e-9
    decided = np.array(pvalues) <= np.array(holm_levels(pvalues))
    assert (decided == (adjusted <= 0.05))[sure].all()


def test_a_part_that_is_not_measured_does_not_count():
    found = effects({"a": [0.04, 0.05, 0.06], "b": []}, 0)
    assert found["b"].outcome == NOT_MEASURED
    assert found["a"].level == 0.95


# How many replicates


def test_replicates_needed_for_an_effect_and_for_its_absence():
    # d = .5: the paired t test needs 34 (tables), here t in place of a normal approximation
    values = np.array([-0.5, 1.5, -0.5, 1.5]) * math.sqrt(3 / 4)
    values = values / values.std(ddof=1)
    values = (values + 0.5 - values.mean()) * 0.1
    assert replicates_needed(values, 0) == pytest.approx(34, abs=1)
    # with overlapping splits the standard error stays above sqrt(2/7) s = .53 s
    assert replicates_needed(values, OVERLAP) is None
    none = effect_of(values, OVERLAP)
    assert none.doubt == f"4 replicates, and not even {MOST} would decide"
    small = [0.004, -0.004, 0.004, -0.004]
    assert replicates_needed(small, 0) == 5  # (2.78 + .84) x .00462 / sqrt(5) = .0075 < .00995
    assert effect_of(small, 0).outcome == NO_DIFFERENCE


def test_as_many_replicates_as_needed_decide_four_times_in_five():
    n = replicates_needed(np.array([-1.0, 1.0]) / math.sqrt(2) * 0.1 + 0.08, 0)
    assert n == 15
    decided = [effect_of(row * 0.1 + 0.08, 0).outcome == HOLDS for row in normal(600, n)]
    assert np.mean(decided) == pytest.approx(0.8, abs=0.05)


def test_an_effect_at_another_level():
    values = [0.01, 0.02, 0.03, 0.025]
    assert at_level(values, 0, 1.0, 0.05, 0.05) == effect_of(values, 0)
    assert at_level(values, 0, 1.0, 0.01, 0.01).low < effect_of(values, 0).low


# Factorials


def factorial(effect, items="ab", seeds=4):
    """One row per seed and combination; `effect(levels, seed)` gives the value."""
    combos = np.array(np.meshgrid(*[[0, 1]] * len(items), indexing="ij")).reshape(len(items), -1).T
    return pd.DataFrame(
        [
            {"seed": seed, **dict(zip(items, map(int, combo), strict=True))}
            | {"value": effect(dict(zip(items, combo, strict=True)), seed)}
            for seed in range(seeds)
            for combo in combos
        ]
    )


def test_a_factorial_finds_main_effects_and_interactions():
    table = factorial(lambda x, seed: 0.1 * x["a"] - 0.04 * x["b"] + 0.02 * x["a"] * x["b"], "abc")
    found = factorial_contrasts(table, ["a", "b", "c"])
    # of a: .1 without b, .12 with it, .11 on average; of b: -.04 and -.02
    expected = {"a": 0.11, "b": -0.03, "c": 0.0, "ab": 0.02, "ac": 0.0, "bc": 0.0}
    assert {"".join(key): values.mean() for key, values in found.items()} == pytest.approx(expected)
    judged = factorial_effects(table, ["a", "b", "c"], OVERLAP)
    outcomes = {"".join(key): effect.outcome for key, effect in judged.items()}
    assert outcomes["a"] == outcomes["ab"] == HOLDS
    assert outcomes["b"] == REVERSED
    assert outcomes["c"] == NO_DIFFERENCE
    assert judged["a",].effect == pytest.approx(percent(0.11))


def test_a_factorials_intervals_are_of_replicates_and_of_one_family():
    own = [0.01, -0.01, 0.0, 0.02]
    table = factorial(lambda x, seed: (0.05 + own[seed]) * x["a"])
    judged = factorial_effects(table, ["a", "b"], OVERLAP)
    alone = effect_of([0.05 + value for value in own], OVERLAP, alpha=0.05 / 3)
    assert (judged["a",].low, judged["a",].high) == pytest.approx((alone.low, alone.high))


def test_a_replicate_that_lacks_a_combination_does_not_count():
    table = factorial(lambda x, seed: 0.1 * x["a"] + seed)
    table = table.drop(table.index[(table["seed"] == 2) & (table["a"] == 1) & (table["b"] == 1)])
    found = factorial_contrasts(table, ["a", "b"])
    assert list(found["a",].index) == [0, 1, 3]
    assert found["a",].tolist() == pytest.approx([0.1] * 3)


def test_half_a_factorial_cannot_tell_a_main_effect_from_an_interaction():
    table = factorial(lambda x, seed: 0.1 * x["a"], "abc")
    half = table[(table["a"] + table["b"] + table["c"]) % 2 == 0]
    with pytest.raises(ValueError, match="cannot be told apart"):
        factorial_contrasts(half, ["a", "b", "c"])
    with pytest.raises(ValueError, match="as often changed"):
        factorial_contrasts(table[table["a"] + table["b"] < 2], ["a", "b"])
    with pytest.raises(ValueError, match="0 and 1"):
        factorial_contrasts(table.assign(a=table["a"] * 2), ["a", "b"])
