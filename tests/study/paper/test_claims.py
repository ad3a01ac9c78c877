"""The claims C1-C7 on runs with known numbers, and how parts become a verdict."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from models.config import NOISE_FACTORS, MemberConfig, Phase
from study.evidence.evidence import load_evidence
from study.evidence.stats import FAILS, HOLDS, UNDECIDED
from study.grids import Narrowing
from study.paper.claims import CLAIMS, judge_claims
from study.paper.comparisons import DENSE, MIDDLE_PARTS
from study.paper.judging import NOT_MEASURED, Part, judge
from study.paper.published import division_by_n, published_fig4, published_mse
from tests.study.runs import DEPTH, fake_run

PUBLISHED, WRITTEN = "as-published", "as-written"


def own(member):
    """A little of each network's own, so that no two seeds are alike."""
    return 0.0005 * math.sin(7.0 * member.seed + DEPTH.get(member.model, 1))


def judged(*runs):
    return {judgement.claim.id: judgement for judgement in judge_claims(load_evidence(runs))}


def few(seeds=3, **narrowing):
    return Narrowing(seeds=seeds, noise=(0.0, 0.5, 1.0), **narrowing)


@pytest.fixture(scope="module")
def autopsy(tmp_path_factory):
    return fake_run(tmp_path_factory.mktemp("runs") / "autopsy", "autopsy", narrowing=few())


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return fake_run(
        tmp_path_factory.mktemp("runs") / "published", "as-published", narrowing=Narrowing(seeds=8)
    )


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    return fake_run(
        tmp_path_factory.mktemp("runs") / "paper",
        "paper",
        narrowing=Narrowing(seeds=8, betas=(0.0, 0.01)),
    )


# Parts and their verdict


def parts(*rows):
    """One part a row of differences, called a, b, ..."""
    return {Part("abcdefgh"[i]): pd.Series(row, dtype=float) for i, row in enumerate(rows)}


def around(mean, n):
    return [mean + 0.1 * abs(mean) * math.sin(3 * i) for i in range(n)]


def test_every_part_must_hold_and_needs_no_adjustment():
    # six seeds of one sign: p = 2 / 2^6 = .031 for each of four parts, .125 by Holm
    verdict = judge(parts(*[around(mean, 6) for mean in (1, 2, 3, 4)]))
    assert (verdict.outcome, verdict.p, verdict.n, verdict.seeds_needed) == (HOLDS, 2 / 64, 6, None)
    assert verdict.parts["p_holm"].tolist() == [8 / 64] * 4
    assert verdict.effect == pytest.approx(np.mean([around(mean, 6) for mean in (1, 2, 3, 4)]))
    assert verdict.interval.low < verdict.effect < verdict.interval.high
    assert verdict.details.endswith("; p = 0.031, 6 seeds; least a: +1.01")
    less = judge(parts(around(1, 6), [1, 1, 1, 1, 1, -4.0]))
    assert less.outcome == UNDECIDED
    assert less.parts["outcome"].tolist() == [HOLDS, UNDECIDED]


def test_one_reversed_part_is_enough_when_holm_allows_it():
    # seven seeds: 2 / 2^7 = .0156, times 3 parts .047, times 4 parts .0625
    three = judge(parts(around(-1, 7), around(5, 7), around(5, 7)))
    assert (three.outcome, three.p) == (FAILS, 6 / 128)
    assert three.effect == pytest.approx(3, rel=0.1)
    assert "1 of 3 parts reversed, most a: -" in three.details
    assert "Holm p = 0.047" in three.details
    four = judge(parts(around(-1, 7), *[around(5, 7)] * 3))
    assert (four.outcome, four.p, four.seeds_needed) == (UNDECIDED, 8 / 128, 8)
    assert judge(parts(around(-1, 8), *[around(5, 8)] * 3)).outcome == FAILS


def test_a_smaller_claim_within_takes_the_larger_with_it():
    """Six parts need eight seeds (6 x 2^(1-8) = .047); the two that are claims need only seven."""
    differences = parts(around(-1, 7), *[around(5, 7)] * 5)
    assert judge(differences).outcome == UNDECIDED
    together = judge(differences, apart=(Part("a"), Part("b")))
    assert (together.outcome, together.p) == (FAILS, 4 / 128)
    assert together.parts["p_holm"].tolist() == pytest.approx([4 / 128] * 2 + [12 / 128] * 4)
    other = judge(differences, apart=(Part("c"), Part("d")))
    assert (other.outcome, other.seeds_needed) == (UNDECIDED, 8)


def test_the_error_of_a_true_claim_with_a_claim_within_stays_at_five_percent():
    rng = np.random.Generator(np.random.PCG64(0))
    normal = rng.normal(
        size=(120, 6, 9)
    )  # parts at 0: the edge of the claim, where errors are most frequent
    names = [Part(part) for part in "ab"]
    failed = [judge(parts(*rows), apart=tuple(names)).outcome == FAILS for rows in normal]
    assert np.mean(failed) <= 0.05


def test_too_few_seeds_say_how_many_would_decide():
    three = judge(parts([0.9, 1.0, 1.1], [0.95, 1.0, 1.05]), "MSE")
    assert three.outcome == "undecided"
    assert three.doubt == "3 seeds; --seeds 6 would decide"
    assert three.tends
    # t with two degrees of freedom 4.302653 times .075 / sqrt(3) is .186
    assert (
        three.details
        == f"{three.doubt}; so far on average +1.00 (95 % +0.81 to +1.19) MSE; least a: +1"
    )
    reversed_ = judge(parts(around(-1, 3), *[around(1, 3)] * 3))
    assert (reversed_.outcome, reversed_.doubt) == (
        "undecided",
        "3 seeds; --seeds 8 would decide",
    )  # 4 parts: 4 x 2^(1-8) = .031
    assert not reversed_.tends
    # the part that needs most decides: d = 1, ((1.96 + 0.84) / 1)^2 + 1.96^2 / 2 = 9.8
    assert judge(parts([0.9, 1.0, 1.1], [0.0, 1.0, 2.0])).seeds_needed == 10
    one = judge(parts([1.0], [2.0]))
    assert (one.n, one.seeds_needed, math.isnan(one.interval.low)) == (1, 6, True)
    assert "so far on average +1.5 (no interval)" in one.details
    assert judge(parts([0.0, 0.0])).outcome == "undecided"
    assert judge(parts([0.0, 0.0])).doubt == "2 seeds without a difference"


def test_parts_that_were_not_measured_keep_a_claim_from_holding_but_not_from_failing():
    some = judge(parts(around(1, 8), [], [np.nan]))
    assert (some.outcome, some.seeds_needed, some.tends) == (UNDECIDED, None, False)
    assert some.outcome == "undecided"
    assert some.doubt == "8 seeds; 2 of 3 parts are not measured"
    assert some.parts["outcome"].tolist() == [HOLDS, NOT_MEASURED, NOT_MEASURED]
    assert some.parts["n"].tolist() == [8, 0, 0]
    assert judge(parts(around(-1, 8), [], [])).outcome == FAILS
    assert judge(parts([], [])) is None


def test_the_mean_is_over_seeds_that_have_every_part():
    uneven = judge(parts([1.0, 2.0, 3.0, 9.0], [3.0, 4.0, 5.0]))
    assert uneven.effect == pytest.approx((2 + 3 + 4) / 3)
    assert uneven.parts["n"].tolist() == [4, 3]
    assert uneven.n == 3


# As published and as written


def test_eight_seeds_decide_the_claims_as_published(published):
    found = judged(published)
    assert list(found) == ["C1", "C2", "C3", "C4", "C5", "C6", "C7"]
    verdicts = {name: judgement.verdicts[PUBLISHED] for name, judgement in found.items()}
    outcomes = {name: verdict and verdict.outcome for name, verdict in verdicts.items()}
    expected = {
        "C1": HOLDS,
        "C2": HOLDS,
        "C3": HOLDS,
        "C4": HOLDS,
        "C5": FAILS,
        "C6": None,
        "C7": None,
    }
    assert outcomes == expected
    # .02 a layer, two layers a step; .2 per 1.0 of noise
    assert verdicts["C1"].effect == pytest.approx(0.04, abs=0.001)
    assert verdicts["C2"].effect == pytest.approx(0.04, abs=0.001)
    assert verdicts["C3"].effect == pytest.approx(0.2, abs=1e-9)
    assert [len(verdicts[name].parts) for name in ("C1", "C2", "C3", "C4", "C5")] == [
        3,
        33,
        4,
        1,
        1,
    ]
    assert {verdict.n for verdict in verdicts.values() if verdict} == {8}
    assert found["C1"].verdicts[WRITTEN] is None


def test_c5_is_the_geometric_mean_of_the_depths_over_conv(published):
    verdict = judged(published)["C5"].verdicts[PUBLISHED]
    # clean rows at 0.5: .9 + .02 depth - .1 - .03
    dense = np.exp(np.mean(np.log([0.77 + 0.02 * depth for depth in (2, 4, 6, 8)])))
    ratio = dense / (0.77 + 0.02 * 12)
    assert verdict.effect == pytest.approx(math.log10(ratio) - 2, abs=0.001)
    assert f"{ratio:.2f}" in verdict.note


def test_as_written_c3_is_reversed(paper):
    found = judged(paper)
    outcomes = {
        name: (v := judgement.verdicts[WRITTEN]) and v.outcome for name, judgement in found.items()
    }
    # the fake gap between test and train is the same everywhere, so C6 has nothing to tell
    expected = {
        "C1": HOLDS,
        "C2": HOLDS,
        "C3": FAILS,
        "C4": FAILS,
        "C5": FAILS,
        "C6": UNDECIDED,
        "C7": None,
    }
    assert outcomes == expected
    assert found["C3"].verdicts[WRITTEN].effect == pytest.approx(-0.2, abs=1e-9)
    assert found["C4"].verdicts[WRITTEN].p == 2 / 2**8
    assert found["C3"].verdicts[WRITTEN].p == pytest.approx(4 * 2 / 2**8)
    assert found["C6"].verdicts[WRITTEN].parts["comparison"].tolist() == [
        f"dense-{depth}, beta 0.01 against 0" for depth in (2, 4, 6, 8)
    ]


def test_as_written_is_the_plain_network_on_noisy_test_rows(tmp_path):
    """beta 0.01 reverses the order, and clean rows would too: neither counts."""

    def mse(member, noise):
        return 0.5 + (0.01 if member.beta == 0 else -0.01) * DEPTH[member.model] + own(member)

    run = fake_run(tmp_path / "paper", narrowing=few(8, betas=(0.0, 0.01)), mse=mse)
    assert judged(run)["C1"].verdicts[WRITTEN].effect == pytest.approx(0.02, abs=0.001)
    evidence = load_evidence([run])
    other = {"gene_order": "random", "train_fraction": 0.1, "noise_input": True}
    for name, value in other.items():  # variants of the network that a later grid trains
        plain = {"gene_order": "given", "train_fraction": 1.0, "noise_input": False}[name]
        variants = evidence.levels.assign(**{name: value, "test_mse": 9.0, "member_id": "variant"})
        levels = pd.concat([evidence.levels.assign(**{name: plain}), variants], ignore_index=True)
        judgement = judge_claims(replace(evidence, levels=levels))[0]
        assert judgement.verdicts[WRITTEN].effect == pytest.approx(0.02, abs=0.001)


def test_of_two_runs_that_differ_in_epochs_the_longer_counts(tmp_path):
    short = fake_run(
        tmp_path / "short",
        narrowing=few(8, betas=(0.0,), epochs=4),
        mse=lambda m, a: 9.0 - DEPTH[m.model],
    )
    long = fake_run(tmp_path / "long", narrowing=few(8, betas=(0.0,)))
    for runs in ((short, long), (long, short)):
        assert judged(*runs)["C1"].verdicts[WRITTEN].outcome == HOLDS


def test_one_reversed_pair_makes_c1_and_c2_fail(tmp_path):
    """Seven seeds: C2's 9 parts by Holm would need nine (9 x 2^(1-9) = .035), C1's 3 do not."""

    def mse(member, noise):
        order = {"dense-2": 0.0, "dense-4": -0.01, "dense-6": 0.02, "dense-8": 0.04, "conv": 0.5}
        return (
            0.5
            + (order[member.model] if noise == 0.5 else 0.01 * DEPTH[member.model])
            + own(member)
        )

    found = judged(fake_run(tmp_path / "paper", narrowing=few(7, betas=(0.0,)), mse=mse))
    for name in ("C1", "C2"):
        verdict = found[name].verdicts[WRITTEN]
        assert (verdict.outcome, verdict.p) == (FAILS, pytest.approx(3 * 2 / 2**7))
        assert "most dense-4 above dense-2 at noise 0.5: -0.0" in verdict.details


def test_c2_fails_where_the_order_breaks_elsewhere_and_c1_holds(tmp_path):
    def mse(member, noise):
        return 0.5 + (-0.01 if noise == 0.0 else 0.01) * DEPTH[member.model] + own(member)

    found = judged(fake_run(tmp_path / "paper", narrowing=few(10, betas=(0.0,)), mse=mse))
    assert found["C1"].verdicts[WRITTEN].outcome == HOLDS
    assert found["C2"].verdicts[WRITTEN].outcome == FAILS
    assert "27" not in found["C2"].verdicts[WRITTEN].doubt
    assert set(MIDDLE_PARTS) == {
        Part(f"dense-{b} above dense-{a}", 0.5) for a, b in pairwise((2, 4, 6, 8))
    }


def test_three_seeds_are_undecided_and_say_so(autopsy):
    found = judged(autopsy)
    verdict = found["C1"].verdicts[PUBLISHED]
    assert verdict.details.startswith("3 seeds; --seeds 6 would decide; so far on average +0.0399")
    assert found["C5"].verdicts[PUBLISHED].outcome == "undecided"
    assert found["C5"].verdicts[PUBLISHED].doubt == "3 seeds; --seeds 6 would decide"


def test_one_seed_has_an_effect_and_no_interval(tmp_path):
    found = judged(fake_run(tmp_path / "one", "as-published", narrowing=few(1)))
    verdict = found["C3"].verdicts[PUBLISHED]
    assert verdict.effect == pytest.approx(0.2)
    assert verdict.outcome == "undecided"
    assert verdict.doubt == "1 seed; --seeds 6 would decide"
    assert "(no interval)" in verdict.details


# What was not measured


def test_missing_grids_are_named(paper, published):
    written, scripts = judged(paper), judged(published)
    assert written["C1"].missing[PUBLISHED] == "--grid as-published with noise factor 0.5"
    assert scripts["C3"].missing[WRITTEN] == "--grid paper"
    assert written["C7"].missing[WRITTEN] == "--grid mixed-noise"
    assert "--search bottleneck" in written["C6"].missing[WRITTEN]
    assert scripts["C6"].missing[WRITTEN] == "--grid paper with two values of beta"
    assert scripts["C6"].missing[PUBLISHED] == "the paper's scripts had no such networks"
    assert scripts["C1"].missing[PUBLISHED] == ""
    assert written["C1"].steps == {}
    assert written["C1"].artefact == ""


def test_without_noise_one_half_c1_and_c5_are_missing(tmp_path):
    found = judged(
        fake_run(tmp_path / "run", narrowing=Narrowing(seeds=2, noise=(0.1, 0.9), betas=(0.0,)))
    )
    for name in ("C1", "C5"):
        assert found[name].verdicts[WRITTEN] is None
        assert "noise factor 0.5" in found[name].missing[WRITTEN]
    assert (found["C2"].verdicts[WRITTEN].outcome, found["C2"].verdicts[WRITTEN].doubt) == (
        "undecided",
        "2 seeds; 27 of 33 parts are not measured",
    )
    assert len(found["C3"].verdicts[WRITTEN].parts) == 4


def test_one_noise_factor_has_no_slope(tmp_path):
    found = judged(
        fake_run(tmp_path / "run", narrowing=Narrowing(seeds=2, noise=(0.5,), betas=(0.0,)))
    )
    assert found["C3"].verdicts[WRITTEN] is None
    assert found["C4"].verdicts[WRITTEN] is None
    assert found["C1"].verdicts[WRITTEN] is not None


def test_some_depths_alone_cannot_make_the_order(tmp_path):
    run = fake_run(tmp_path / "run", narrowing=few(8, depths=("2", "4"), betas=(0.0,)))
    found = judged(run)
    assert found["C1"].verdicts[WRITTEN].outcome == "undecided"
    assert found["C1"].verdicts[WRITTEN].doubt == "8 seeds; 2 of 3 parts are not measured"
    assert found["C1"].missing[WRITTEN] == "the other parts: --grid paper with noise factor 0.5"
    assert found["C3"].verdicts[WRITTEN].outcome == FAILS  # one reversed depth is enough
    assert found["C4"].verdicts[WRITTEN] is None
    assert found["C5"].verdicts[WRITTEN] is None


def test_a_seed_counts_where_all_its_members_of_a_comparison_finished(tmp_path):
    members = load_evidence([fake_run(tmp_path / "a", narrowing=few(3, betas=(0.0,)))]).members
    at = members["noise_factor"] == 0.5
    lost = {
        int(
            members.index[at & (members["model"] == "dense-8") & (members["seed"] == 1)][0]
        ): "diverged",
        int(members.index[at & (members["model"] == "conv") & (members["seed"] == 0)][0]): "failed",
    }
    found = judged(fake_run(tmp_path / "b", narrowing=few(3, betas=(0.0,)), lost=lost))
    assert found["C1"].verdicts[WRITTEN].parts["n"].tolist() == [3, 3, 2]
    assert found["C1"].verdicts[WRITTEN].n == 2
    assert found["C3"].verdicts[WRITTEN].parts["n"].tolist() == [3, 3, 3, 2]
    assert found["C4"].verdicts[WRITTEN].n == 2
    assert found["C5"].verdicts[WRITTEN].n == 1  # seed 1 lost a dense model, seed 0 the conv


def test_a_network_that_diverged_on_its_way_does_not_count_before_that_either(published):
    evidence = load_evidence([published])
    lost = (evidence.levels["model"] == "dense-4") & (evidence.levels["seed"] == 3)
    levels = evidence.levels.assign(status=evidence.levels["status"].mask(lost, "diverged"))
    assert levels.loc[lost, "train_clean_mse"].notna().all()
    verdict = judge_claims(replace(evidence, levels=levels))[0].verdicts[PUBLISHED]
    assert verdict.parts["n"].tolist() == [7, 7, 8]


# C6 and C7


def test_c6_compares_the_gaps_of_the_largest_beta_and_none(tmp_path):
    narrowing = few(8, depths=("2", "8"), betas=(0.0, 0.001, 0.01))
    evidence = load_evidence([fake_run(tmp_path / "run", narrowing=narrowing)])
    levels = evidence.levels
    own_gap = 0.001 * np.sin(7.0 * levels["seed"]) * (levels["beta"] > 0)
    for sign, outcome in ((1, HOLDS), (-1, FAILS)):
        added = levels["beta"].map({0.0: 0.0, 0.001: 0.05, 0.01: 0.01}) - 0.03 * (
            levels["model"] == "dense-8"
        )
        changed = levels.assign(train_mse=levels["test_mse"] - 0.05 - sign * added - own_gap)
        verdict = judge_claims(replace(evidence, levels=changed))[5].verdicts[WRITTEN]
        assert (verdict.outcome, len(verdict.parts)) == (outcome, 2)
        assert verdict.parts["effect"].tolist() == pytest.approx([sign * 0.01] * 2, abs=0.001)


def test_c6_compares_codes_where_networks_differ_in_their_code_alone(tmp_path):
    def member(model, seed, noise, beta=0.0):
        return MemberConfig(model, (Phase((noise,), 10),), seed=seed, beta=beta)

    models = ("dense-64x16x64", "dense-64x8x64", "dense-64x32x64", "dense-128x4x128", "dense-2")
    members = [member(m, s, a) for m in models for s in range(6) for a in (0.1, 0.5)]
    members += [member("dense-2", s, a, beta=0.01) for s in range(6) for a in (0.1, 0.5)]
    evidence = load_evidence(
        [fake_run(tmp_path / "run", members=members, mse=lambda m, a: 0.5 + a)]
    )
    code = evidence.levels["model"].str.extract(r"x(\d+)x")[0].astype(float).fillna(0)
    own_gap = 0.001 * np.sin(evidence.levels["seed"] * (1 + evidence.levels["beta"] * 50 + code))
    gap = 0.01 + 0.001 * code + evidence.levels["beta"] + own_gap
    levels = evidence.levels.assign(train_mse=evidence.levels["test_mse"] - gap)
    judgement = judge_claims(replace(evidence, levels=levels))[5]
    verdict = judgement.verdicts[WRITTEN]
    assert verdict.parts["comparison"].tolist() == [
        "dense-2, beta 0.01 against 0",
        "64xcodex64, code 32 against 8",
    ]
    assert verdict.parts["effect"].tolist() == pytest.approx([0.01, 0.024], abs=0.002)
    assert verdict.outcome == HOLDS
    assert judgement.missing[WRITTEN] == ""


def test_c6_does_not_hold_by_its_half_about_the_code_alone(tmp_path):
    members = [
        MemberConfig(f"dense-{size}x{size}", (Phase((0.5,), 10),), seed)
        for size in (16, 64)
        for seed in range(9)
    ]
    evidence = load_evidence(
        [fake_run(tmp_path / "run", members=members, mse=lambda m, a: 0.5 + a)]
    )
    gap = evidence.levels["model"].map({"dense-16x16": 0.01, "dense-64x64": 0.05}) + 0.001 * np.sin(
        7.0 * evidence.levels["seed"] * (evidence.levels["model"] == "dense-16x16")
    )
    levels = evidence.levels.assign(train_mse=evidence.levels["test_mse"] - gap)
    verdict = judge_claims(replace(evidence, levels=levels))[5].verdicts[WRITTEN]
    assert verdict.outcome == "undecided"
    assert verdict.doubt == "9 seeds; 1 of 2 parts are not measured"
    assert verdict.parts["comparison"].tolist() == [
        "sparsity (not measured)",
        "codexcode, code 64 against 16",
    ]


@pytest.mark.parametrize(("gain", "outcome"), [(0.02, HOLDS), (-0.02, FAILS)])
def test_c7_compares_the_mixture_with_the_specialists(tmp_path, gain, outcome):
    levels = (0.0, 0.5, 1.0)
    schedules = [Phase((a,), 10) for a in levels] + [Phase(levels, 10)]
    members = [
        MemberConfig(f"dense-{depth}", (schedule,), seed=seed)
        for depth in (2, 4)
        for schedule in schedules
        for seed in range(8)
    ]

    def mse(member, noise):
        mixed = len(member.phases[0].noise_factors) > 1
        return 0.5 + noise - (gain + own(member) if mixed else 0.0) + 2 * own(member)

    judgement = judged(fake_run(tmp_path / "run", members=members, mse=mse))["C7"]
    verdict = judgement.verdicts[WRITTEN]
    assert verdict.outcome == outcome
    assert verdict.parts["comparison"].tolist() == ["dense-2", "dense-4"]
    assert verdict.effect == pytest.approx(gain, abs=0.001)
    assert "cross-noise" in judgement.missing[WRITTEN]


def test_a_mixture_is_no_specialist(tmp_path):
    members = [
        MemberConfig(f"dense-{depth}", (phase,), seed=seed)
        for depth in (2, 4, 6, 8)
        for phase in (Phase((0.5,), 10), Phase((0.1, 0.5), 99))
        for seed in range(2)
    ]
    run = fake_run(
        tmp_path / "run",
        members=members,
        mse=lambda m, a: 9.0 if m.epochs == 99 else 0.1 * DEPTH[m.model],
    )
    assert judged(run)["C1"].verdicts[WRITTEN].effect == pytest.approx(0.2)


# Which item makes a claim


def test_fresh_networks_make_c3_vanish_and_the_report_says_so(autopsy):
    found = judged(autopsy)
    items = list(found["C3"].steps)
    assert items == [
        "test rows with noise",
        "fresh network per level",
        "linear output",
        "Adam to convergence",
        "scaled on training rows",
        "two code layers",
    ]
    assert (
        found["C3"].artefact == "tends to hold as published; vanishes with: fresh network per level"
    )
    assert (found["C3"].found, found["C3"].makers) == (True, ["fresh network per level"])
    assert found["C4"].artefact.startswith(
        "tends to hold as published; vanishes with: fresh network per level; Fig. 10"
    )
    steps = found["C3"].steps
    assert steps["fresh network per level"].effect == 0
    assert steps["linear output"].effect == pytest.approx(0.2)
    assert found["C1"].artefact.startswith(
        "tends to hold as published; not made by: test rows with noise / fresh"
    )


def test_items_are_judged_beside_more_seeds_of_the_published(autopsy, published):
    found = judged(published, autopsy)
    assert found["C3"].verdicts[PUBLISHED].outcome == HOLDS
    assert found["C3"].artefact == "holds as published; vanishes with: fresh network per level"
    assert {verdict.n for verdict in found["C3"].steps.values()} == {3, 8}


@pytest.mark.parametrize(
    ("left", "vanishes"),
    [
        ({2: 1.0, 4: 1.0}, False),
        ({2: 0.15, 4: 0.15}, False),
        ({2: 0.05, 4: 0.05}, True),
        ({2: 1.0, 4: -0.2}, True),
    ],
)
def test_an_item_makes_what_it_leaves_less_than_a_tenth_of_or_reverses(tmp_path, left, vanishes):
    """`left`: what "linear output" leaves of a depth's slope."""

    def mse(member, noise):
        depth = DEPTH[member.model]
        share = left[depth] if member.protocol.changed == ("linear output",) else 1.0
        return 0.9 - 0.1 * share * noise + own(member)

    members = [{"2": "dense-2", "4": "dense-4"}[depth] for depth in ("2", "4")]
    run = fake_run(tmp_path / "run", "autopsy", narrowing=few(3, depths=("2", "4")), mse=mse)
    evidence = load_evidence([run])
    # the other depths as dense-2 and dense-4, so that all four parts are there
    copies = [
        evidence.levels.assign(
            model=evidence.levels["model"].map(
                dict(zip(members, ("dense-6", "dense-8"), strict=True))
            )
        )
    ]
    levels = pd.concat([evidence.levels, *copies], ignore_index=True)
    artefact = judge_claims(replace(evidence, levels=levels))[2].artefact
    assert ("vanishes with: linear output" in artefact) == vanishes


def test_clean_rows_can_be_what_makes_a_claim(published):
    evidence = load_evidence([published])
    noisy = 0.9 + 0.1 * evidence.levels["noise_factor"] + 0.001 * np.sin(evidence.levels["seed"])
    found = judge_claims(replace(evidence, levels=evidence.levels.assign(test_mse=noisy)))
    assert found[2].artefact.startswith("holds as published; vanishes with: test rows with noise")
    assert found[2].steps["test rows with noise"].outcome == FAILS
    assert found[2].artefact.endswith("--grid autopsy")


def test_a_small_reversal_that_seeds_are_sure_of_is_enough(published):
    evidence = load_evidence([published])
    slope = np.where(
        evidence.levels["model"] == "dense-8", 0.005, -0.2
    )  # MSE per noise; the fall is .2 elsewhere
    test_mse = (
        0.9 + slope * evidence.levels["noise_factor"] + 0.001 * np.sin(evidence.levels["seed"])
    )
    found = judge_claims(replace(evidence, levels=evidence.levels.assign(test_mse=test_mse)))[2]
    assert found.steps["test rows with noise"].effect == pytest.approx((3 * 0.2 - 0.005) / 4)
    assert "vanishes with: test rows with noise" in found.artefact


def test_an_item_can_make_a_claim_appear(tmp_path):
    def mse(member, noise):
        right = member.protocol.changed == ("scaled on training rows",)
        return 0.5 + (0.01 if right else -0.01) * DEPTH[member.model] + own(member)

    found = judged(fake_run(tmp_path / "run", "autopsy", narrowing=few(), mse=mse))
    assert found["C1"].artefact == "not found as published; appears with: scaled on training rows"
    assert (found["C1"].found, found["C1"].makers) == (False, ["scaled on training rows"])


def test_c5_appears_when_the_conv_mse_is_divided_by_n(autopsy):
    judgement = judged(autopsy)["C5"]
    steps = judgement.steps
    divided = steps["conv MSE / n, as Fig. 10 prints it"]
    plain = judgement.verdicts[PUBLISHED]
    assert divided.effect - plain.effect == pytest.approx(
        math.log10(292 * 6)
    )  # the sixth level is 0.5
    assert "appears with: conv MSE / n, as Fig. 10 prints it; " in judgement.artefact
    assert (
        "0.000577 at noise 0.5 is 1108 to 1713 times below Figs. 6-8 (0.639 to 0.988)"
        in judgement.artefact
    )
    assert "times n = 1752 it is 1.0104" in judgement.artefact
    # items of one kind of model are judged against the other kind as published
    assert steps["two code layers"].effect == pytest.approx(plain.effect, abs=0.001)
    assert steps["one image per sample"].effect == pytest.approx(plain.effect, abs=0.001)


def test_an_item_run_for_some_models_is_not_mixed_with_the_published_others(tmp_path, published):
    conv = fake_run(tmp_path / "conv", "autopsy", narrowing=few(depths=("conv",)))
    steps = judged(published, conv)["C5"].steps
    assert "one image per sample" in steps  # an item of conv alone
    assert "linear output" not in steps  # the dense networks were not run with it


# The division by n


def test_the_division_by_n_with_numbers():
    table = division_by_n().set_index(["figure", "model", "noise_factor"])
    assert len(table) == 4 + 10
    fig4 = table.loc["Fig. 4", "dense-2", 0.5]
    assert (fig4["printed"], fig4["n"], fig4["curve"], fig4["curve_figure"]) == (
        0.000216,
        2921,
        0.6389,
        "Fig. 6",
    )
    assert fig4["product"] == pytest.approx(0.630936)
    assert fig4["ratio"] == pytest.approx(0.630936 / 0.6389)
    fig10 = table.loc["Fig. 10"]
    assert fig10["n"].tolist() == [292 * i for i in range(1, 11)]
    products = [1.0135, 1.0131, 1.0126, 1.0120, 1.0113, 1.0104, 1.0093, 1.0079, 1.0061, 1.0034]
    assert fig10["product"].tolist() == pytest.approx(products, abs=1e-4)
    assert fig10["curve"].isna().all()


def number(value):
    return "about 1" if value.kind == "about" else f"{value.mse:.3f}"


def test_the_claims_quote_the_numbers_of_published_csv():
    claims = {claim.id: claim for claim in CLAIMS}
    fig4 = [published_fig4()[model] for model in DENSE]
    printed = ", ".join(f"{value.printed:.6f}" for value in fig4)
    recovered = ", ".join(f"{value.mse:.3f}" for value in fig4)
    assert claims["C1"].published == f"Fig. 4: {printed}; x 2921: {recovered}"

    curves = [[published_mse(model, noise) for model in DENSE] for noise in NOISE_FACTORS]
    first, last = (", ".join(map(number, level)) for level in (curves[0], curves[-1]))
    assert f"{first} at noise 0 and {last} at noise 1" in claims["C2"].published
    # At noise 0.0 Fig. 7 lies above Fig. 8: the paper's curves do not show the order everywhere.
    pairs = [pair for level in curves for pair in pairwise(level)]
    clear = sum(deep.mse - flat.mse > deep.tolerance + flat.tolerance for flat, deep in pairs)
    assert f"{clear} of {len(pairs)} neighbours" in claims["C2"].published
    ends = zip(curves[0], curves[-1], strict=True)
    falls = ", ".join(f"{number(a)} to {number(b)} ({a.figure})" for a, b in ends)
    assert claims["C3"].published == f"from noise 0 to 1: {falls}"

    conv = [published_mse("conv", noise) for noise in NOISE_FACTORS[:-1]]
    a, b = conv[0], conv[-1]
    assert f"{a.printed:.6f} at noise 0 to {b.printed:.6f} at noise 0.9" in claims["C4"].published
    assert claims["C4"].published.endswith(f"x n: {a.mse:.4f} to {b.mse:.4f}")
    text = claims["C4"].division
    assert f"fall {a.printed / b.printed:.1f}-fold" in text
    assert f"n = {a.n}, {conv[1].n}, ... {b.n} they are {a.mse:.4f} to {b.mse:.4f}" in text
    assert text.endswith(f"a fall of {100 * (1 - b.mse / a.mse):.1f} %")

    middle, dense = conv[5], curves[5]
    quoted = f"conv {middle.printed:.6f} (Fig. 10; x n: {middle.mse:.4f}), dense "
    assert quoted + ", ".join(map(number, dense)) in claims["C5"].published
    ratios = [value.mse / middle.printed for value in dense[:3]]
    text = claims["C5"].division
    assert f"{middle.printed:.6f} at noise 0.5 is {ratios[0]:.0f} to {ratios[2]:.0f} times" in text
    assert f"({number(dense[0])} to {number(dense[2])})" in text
    assert f"times n = {middle.n} it is {middle.mse:.4f}, above all of them" in text
    assert middle.mse > max(value.mse for value in dense)
    assert claims["C6"].published == claims["C7"].published == "no number: a conjecture"
