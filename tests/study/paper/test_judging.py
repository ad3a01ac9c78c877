"""How the parts of a claim become its verdict."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study.evidence.effects import effects, outcome
from study.evidence.stats import HOLDS, NO_DIFFERENCE, NO_VERDICT, NOT_MEASURED, REVERSED, UNDECIDED
from study.paper.judging import ONE_SPLIT, Part, Role, Rule, judge

OVERLAP = 2 / 7
SURE = [0.99, 1.0, 1.01, 1.0]


def parts(*rows, role=Role.DECIDES):
    """One part for each row of log ratios, called a, b, ..."""
    return {
        Part("abcdefgh"[i], role=role): pd.Series(row, dtype=float) for i, row in enumerate(rows)
    }


def around(mean, n=5, spread=0.1):
    return [mean + spread * abs(mean) * math.sin(3 * i) for i in range(n)]


def outcomes(verdict):
    return [part.outcome for part in verdict.parts]


EDGE = [0.02, -0.01, 0.03, 0.0, 0.01]  # its interval has 0 in it, and more than 1 %
NOTHING = [0.001, -0.001, 0.0005, -0.0005, 0.0]


@pytest.mark.parametrize(
    ("rows", "all_of", "any_of"),
    [
        ([around(0.1), around(0.2)], HOLDS, HOLDS),
        ([around(0.1), around(-0.2)], REVERSED, HOLDS),
        ([around(-0.1), around(-0.2)], REVERSED, REVERSED),
        ([around(0.1), NOTHING], NO_DIFFERENCE, HOLDS),
        ([around(-0.1), NOTHING], REVERSED, NO_DIFFERENCE),
        ([around(0.1), EDGE], UNDECIDED, HOLDS),
        ([around(-0.1), EDGE], REVERSED, UNDECIDED),
        ([NOTHING, EDGE], NO_DIFFERENCE, UNDECIDED),
        ([around(0.1), []], NOT_MEASURED, HOLDS),
        ([around(-0.1), []], REVERSED, NOT_MEASURED),
        ([EDGE, []], UNDECIDED, UNDECIDED),
    ],
)
def test_the_outcome_of_parts(rows, all_of, any_of):
    assert judge(parts(*rows), OVERLAP).outcome == all_of
    assert judge(parts(*rows), OVERLAP, Rule(any_of=True)).outcome == any_of


def test_the_part_that_decides_gives_the_numbers():
    verdict = judge(parts(around(0.1), around(0.05), around(0.3)), OVERLAP)
    assert verdict.decisive == Part("b")
    weakest = verdict.parts[1]
    assert (verdict.effect, verdict.low, verdict.high) == (
        weakest.effect,
        weakest.low,
        weakest.high,
    )
    reversed_ = judge(parts(around(0.1), around(-0.05), around(-0.3)), OVERLAP)
    assert reversed_.decisive == Part("c")
    some = judge(parts(around(0.1), around(0.05), around(-0.3)), OVERLAP, Rule(any_of=True))
    assert some.decisive == Part("a")


def test_words_name_the_parts_or_count_them():
    verdict = judge(parts(around(0.1), around(0.05), around(-0.3)), OVERLAP)
    assert verdict.words == "reversed: c; holds: a, b"
    many = judge(parts(*[around(0.1)] * 5, around(-0.3)), OVERLAP)
    assert many.words == "reversed: f; holds: 5 of 6 parts"
    assert judge(parts(around(0.1)), OVERLAP).words == ""
    assert Part("a above b", 0.5).name == "a above b at noise 0.5"


def test_a_sentence_has_effect_interval_replicates_and_parts():
    values = np.log1p([0.019, 0.020, 0.021])
    one = judge(parts(values), 0)
    assert one.sentence == f"+2.00 % (95 % +1.75 to +2.25); 3 replicates; {ONE_SPLIT}"
    two = judge(parts(values, values + 1), OVERLAP)
    # the p of a is the larger: it is tested at 5 %, b at 2.5 %; the interval is 13 / 7 ^ .5 wider
    assert two.sentence == "+2.00 % (95 % +1.66 to +2.34), a; 3 replicates; holds: a, b"
    few = judge(parts([0.1, 0.2]), OVERLAP)
    assert few.outcome == NO_VERDICT
    assert few.sentence == "+16.2 % (no interval); 2 replicates"


def test_a_bound_need_not_hold_but_must_not_be_reversed():
    falls = parts(around(0.1))
    for beyond, expected in ((NOTHING, HOLDS), (around(-0.1), REVERSED), (EDGE, UNDECIDED)):
        bound = {Part("beyond", role=Role.BOUND): pd.Series(beyond)}
        assert judge({**falls, **bound}, OVERLAP).outcome == expected


def test_a_bound_does_not_decide_that_there_is_no_difference():
    bound = {Part("beyond", role=Role.BOUND): pd.Series([-0.004, -0.005, -0.006, -0.005])}
    verdict = judge({**parts(NOTHING), **bound}, OVERLAP)
    assert (verdict.outcome, verdict.decisive) == (NO_DIFFERENCE, Part("a"))


def test_asides_are_shown_and_do_not_decide():
    aside = {Part("aside", role=Role.ASIDE): pd.Series(around(-0.3))}
    verdict = judge({**parts(around(0.1)), **aside}, OVERLAP)
    assert verdict.outcome == HOLDS
    assert outcomes(verdict) == [HOLDS, REVERSED]
    assert verdict.level == 0.95  # the aside is in no family with it


def test_a_smaller_claim_within_takes_the_larger_with_it():
    """Six parts test the first at .05 / 6; the two that are a claim, at .05 / 2."""
    row = [-0.05, -0.2, -0.07, -0.12, -0.19]
    others = [EDGE] * 5
    assert judge(parts(row, *others), 0).outcome == UNDECIDED
    apart = Rule(apart=(Part("a"), Part("b")))
    together = judge(parts(row, *others), 0, apart)
    assert together.outcome == REVERSED
    assert together.level == pytest.approx(1 - 0.05 / 2)
    assert [round(1 - part.level, 4) for part in together.parts[2:]] == [round(0.05 / 6, 4)] * 4


def test_what_is_missing_keeps_a_claim_from_holding_but_not_from_being_reversed():
    some = judge(parts(around(1.0, 8), [], [np.nan]), OVERLAP)
    assert some.outcome == NOT_MEASURED
    assert outcomes(some) == [HOLDS, NOT_MEASURED, NOT_MEASURED]
    assert math.isnan(some.effect)
    assert some.sentence == "not measured: b, c; holds: a"
    assert judge(parts(around(-1.0, 8), [], []), OVERLAP).outcome == REVERSED
    assert judge(parts([], []), OVERLAP) is None


def test_replicates_that_would_decide_are_those_of_the_worst_part_or_of_one_that_is_enough():
    wide, narrow = [0.02, -0.01, 0.05], [0.03, -0.005, 0.05]
    far, near = judge(parts(wide), 0), judge(parts(narrow), 0)
    assert far.needed > near.needed > 3
    assert judge(parts(wide, narrow), 0).needed == far.needed  # both must hold, each at 5 %
    any_of = judge(parts(wide, narrow), 0, Rule(any_of=True))
    assert near.needed < any_of.needed < far.needed  # one must hold, at 2.5 %
    # one that leans against the claim is enough, at 2.5 %; far more would decide on the other
    unlike = [-value for value in narrow]
    assert judge(parts(wide, unlike), 0).needed == any_of.needed


# The rates of false verdicts


def study(truths, rng, replicates=5):
    """One study: parts with these true log ratios, half of whose variance is in common."""
    own, shared = rng.normal(size=(len(truths), replicates)), rng.normal(size=replicates)
    return parts(*(np.array(truths)[:, None] + 0.01 * (own + shared)))


def rate(truths, wanted, any_of=False, studies=200):
    """The share of studies whose verdict is one of `wanted`."""
    rng = np.random.Generator(np.random.PCG64(0))
    rule = Rule(any_of=any_of)
    found = [judge(study(truths, rng), 0, rule).outcome for _ in range(studies)]
    return np.mean([outcome in wanted for outcome in found])


ONE_PERCENT = math.log1p(0.01)


def test_a_claim_with_a_false_part_seldom_holds():
    """The chance is 2.5 % in each part, whatever their number; 200 studies know it to 2 %."""
    assert rate((0.0, *[0.1] * 5), {HOLDS}) <= 0.05
    assert rate([0.0] * 6, {HOLDS}) <= 0.025  # all six at once


def test_a_true_claim_seldom_falls_by_one_of_its_parts():
    assert rate([ONE_PERCENT] * 6, {REVERSED, NO_DIFFERENCE}) <= 0.05
    assert rate([0.0] * 6, {REVERSED}) <= 0.05


def test_one_of_several_parts_seldom_makes_a_false_claim_hold():
    assert rate([0.0] * 6, {HOLDS}, any_of=True) <= 0.05
    assert rate((ONE_PERCENT, *[0.0] * 5), {NO_DIFFERENCE, REVERSED}, any_of=True) <= 0.05


def test_a_true_claim_of_many_parts_is_found_more_often_than_by_parts_that_are_corrected():
    rng = np.random.Generator(np.random.PCG64(0))
    truths, by_all, by_each = [0.03] * 6, 0, 0
    for _ in range(100):
        differences = study(truths, rng)
        verdict = judge(differences, 0)
        by_all += verdict.outcome == HOLDS
        by_each += {found.outcome for found in effects(differences, 0).values()} == {HOLDS}
        if verdict.outcome == HOLDS:
            assert {round(part.level, 6) for part in verdict.parts} == {0.95}
    assert by_all >= by_each + 15


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.floats(-0.1, 0.1).map(lambda x: round(x, 4)), max_size=6),
        min_size=1,
        max_size=5,
    ),
    st.booleans(),
    st.sampled_from([0.0, OVERLAP]),
)
def test_the_interval_and_the_verdict_cannot_disagree(rows, any_of, overlap):
    verdict = judge(parts(*rows), overlap, Rule(any_of=any_of))
    if verdict is None:
        assert not any(rows)
        return
    for found in (verdict, *verdict.parts):
        if found.outcome == NOT_MEASURED:
            assert math.isnan(found.low)
        else:
            assert found.outcome == outcome(found.low, found.high)
    assert verdict.decisive is None or verdict.decisive in [part.part for part in verdict.parts]


def test_the_frame_of_parts_has_their_numbers():
    frame = judge({Part("a", 0.5): pd.Series(SURE), Part("b"): pd.Series(dtype=float)}, 0).frame
    assert frame["noise_factor"].tolist()[0] == 0.5
    assert frame["outcome"].tolist() == [HOLDS, NOT_MEASURED]
    assert frame["sign_flips"].tolist()[0] == 2 / 2**4
    assert frame["n"].tolist() == [4, 0]
