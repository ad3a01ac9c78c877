"""The claims C1-C10 on runs with known numbers."""

import json
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from models.config import NOISE_FACTORS, MemberConfig, Phase, training_settings
from study.evidence.effects import percent
from study.evidence.evidence import load_evidence
from study.evidence.stats import HOLDS, NO_DIFFERENCE, NO_VERDICT, NOT_MEASURED, REVERSED, UNDECIDED
from study.grids import Narrowing, correctable
from study.paper.claim import CLEAN, NOISY
from study.paper.claims import CLAIMS, judge_claim, judge_claims
from study.paper.comparisons import DENSE, MIDDLE_PARTS, turning_points
from study.paper.judging import Part
from study.paper.published import division_by_n, published_fig4, published_mse
from tests.study.runs import DEPTH, fake_run

PUBLISHED, WRITTEN = "as-published", "as-written"
IDS = ["C1", "C2", "C3", "C4", "C5a", "C5b", "C6", "C7", "C8", "C9", "C10"]


def own(member):
    """A little of each network's own, so that no two seeds are alike."""
    return 0.0005 * math.sin(7.0 * member.seed + DEPTH.get(member.model, 1))


def usual(model, phase, seed, **content):
    """A network of one phase with the usual settings of its model."""
    return MemberConfig(model, (phase,), seed, **training_settings(model), **content)


class Judged(dict):
    """By id the judgement of a claim, which is made when it is asked for."""

    def __init__(self, evidence):
        super().__init__()
        self.evidence = evidence

    def __missing__(self, name):
        [claim] = [claim for claim in CLAIMS if claim.id == name]
        return self.setdefault(name, judge_claim(claim, self.evidence))


of_claims = Judged


def judged(*runs):
    return of_claims(load_evidence(runs))


def few(seeds=5, **narrowing):
    return Narrowing(seeds=seeds, noise=(0.0, 0.5, 1.0), **narrowing)


def outcomes(judgements, protocol):
    return {name: (v := judgements[name].cell(protocol)) and v.outcome for name in IDS}


def comparisons(verdict):
    return [part.part.comparison for part in verdict.parts]


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
        "as-written",
        narrowing=Narrowing(seeds=8, betas=(0.0, 0.01)),
    )


# As published and as written


def test_the_claims_as_published(published):
    found = judged(published)
    assert [judgement.claim.id for judgement in judge_claims(found.evidence)] == IDS
    assert outcomes(found, PUBLISHED) == {
        **dict.fromkeys(("C1", "C2", "C3", "C4"), HOLDS),
        **dict.fromkeys(("C5a", "C5b"), REVERSED),
        **dict.fromkeys(("C6", "C7", "C10"), None),
        "C8": NO_DIFFERENCE,  # train MSE is .02 below test MSE everywhere
        "C9": NO_DIFFERENCE,  # and .02 of .92 and of .72 differ by less than 1 %
    }
    cells = {name: found[name].cell(PUBLISHED) for name in ("C1", "C2", "C3", "C4", "C5a", "C9")}
    assert [len(cell.parts) for cell in cells.values()] == [3, 33, 8, 2, 1, 5]
    assert {cell.n for cell in cells.values()} == {8}
    # clean rows at .5 have .77 + .02 depth: the least step is from 6 to 8 layers
    assert cells["C1"].decisive == Part("dense-8 above dense-6", 0.5)
    assert cells["C1"].effect == pytest.approx(100 * (0.93 / 0.89 - 1), abs=0.1)
    assert found["C1"].cell(WRITTEN) is None


def test_as_written_c3_and_c4_are_reversed(paper):
    found = judged(paper)
    assert outcomes(found, WRITTEN) == {
        **dict.fromkeys(("C1", "C2"), HOLDS),
        **dict.fromkeys(("C3", "C4", "C5a", "C5b"), REVERSED),
        "C6": NO_DIFFERENCE,  # the half about the code: gaps are alike
        "C7": NOT_MEASURED,  # the half about mixed noise
        "C8": NO_DIFFERENCE,  # gaps are .02 everywhere
        "C9": REVERSED,
        "C10": None,
    }
    c3 = found["C3"].cell(WRITTEN)
    assert c3.decisive.comparison == "dense-2 does not rise again"
    assert "reversed: 4 of 8 parts" in c3.words
    assert [part.part.comparison for part in c3.parts if part.outcome == NO_DIFFERENCE] == [
        f"dense-{depth} falls" for depth in (2, 4, 6, 8)
    ]


def test_c3_and_c4_have_four_cells(paper, published):
    found = judged(paper, published)
    for name in ("C1", "C2", "C3", "C4", "C5a"):
        assert len(found[name].cells) == 4
    assert {key: cell.outcome for key, cell in found["C3"].cells.items()} == {
        (PUBLISHED, CLEAN): HOLDS,
        (PUBLISHED, NOISY): HOLDS,
        (WRITTEN, CLEAN): REVERSED,
        (WRITTEN, NOISY): REVERSED,
    }
    assert set(found["C8"].cells) == {(PUBLISHED, NOISY), (WRITTEN, NOISY)}


def test_as_written_is_the_plain_network_on_noisy_test_rows(tmp_path):
    """beta 0.01 reverses the order, and clean rows would too: neither counts."""

    def mse(member, noise):
        return 0.5 + (0.01 if member.beta == 0 else -0.01) * DEPTH[member.model] + own(member)

    run = fake_run(tmp_path / "paper", narrowing=few(8, betas=(0.0, 0.01)), mse=mse)
    expected = pytest.approx(100 * (0.58 / 0.56 - 1), abs=0.2)
    assert judged(run)["C1"].cell(WRITTEN).effect == expected
    evidence = load_evidence([run])
    other = {"gene_order": "random", "train_fraction": 0.1, "noise_input": True}
    for name, value in other.items():  # variants of the network that a later grid trains
        plain = {"gene_order": "given", "train_fraction": 1.0, "noise_input": False}[name]
        variants = evidence.levels.assign(**{name: value, "test_mse": 9.0, "member_id": "variant"})
        levels = pd.concat([evidence.levels.assign(**{name: plain}), variants], ignore_index=True)
        found = of_claims(replace(evidence, levels=levels))
        assert found["C1"].cell(WRITTEN).effect == expected


def test_of_two_runs_that_differ_in_epochs_the_longer_counts(tmp_path):
    short = fake_run(
        tmp_path / "short",
        narrowing=few(betas=(0.0,), epochs=4),
        mse=lambda m, a: 9.0 - 0.5 * DEPTH[m.model],
    )
    long = fake_run(tmp_path / "long", narrowing=few(betas=(0.0,)))
    for runs in ((short, long), (long, short)):
        assert judged(*runs)["C1"].cell(WRITTEN).outcome == HOLDS


def test_one_reversed_pair_reverses_c1_and_c2(tmp_path):
    """C2's 9 parts would test it at .05 / 9, C1's 3 at .05 / 3: C2 falls with C1."""

    def mse(member, noise):
        order = {"dense-2": 0.0, "dense-4": -0.01, "dense-6": 0.02, "dense-8": 0.04, "conv": 0.5}
        return 0.5 + (order.get(member.model, 0) if noise == 0.5 else 0.01 * DEPTH[member.model])

    found = judged(fake_run(tmp_path / "paper", narrowing=few(betas=(0.0,)), mse=mse))
    for name in ("C1", "C2"):
        verdict = found[name].cell(WRITTEN)
        assert verdict.outcome == REVERSED
        assert verdict.decisive == Part("dense-4 above dense-2", 0.5)
        assert verdict.effect == pytest.approx(-2)
    assert set(MIDDLE_PARTS) == {
        Part(f"dense-{b} above dense-{a}", 0.5) for a, b in pairwise((2, 4, 6, 8))
    }


def test_c2_is_reversed_where_the_order_breaks_elsewhere_and_c1_holds(tmp_path):
    def mse(member, noise):
        return 0.5 + (-0.01 if noise == 0.0 else 0.01) * DEPTH[member.model] + own(member) / 5

    found = judged(fake_run(tmp_path / "paper", narrowing=few(betas=(0.0,)), mse=mse))
    assert found["C1"].cell(WRITTEN).outcome == HOLDS
    assert found["C2"].cell(WRITTEN).outcome == REVERSED
    assert found["C2"].cell(WRITTEN).decisive.noise_factor == 0.0


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_and_two_seeds_give_no_verdict(tmp_path, seeds):
    found = judged(fake_run(tmp_path / "run", "as-published", narrowing=few(seeds)))
    for name in ("C1", "C3", "C4", "C5a", "C8", "C9"):
        verdict = found[name].cell(PUBLISHED)
        assert verdict.outcome == NO_VERDICT
        assert math.isnan(verdict.low)
        assert "(no interval)" in verdict.sentence
    assert [shape.word for shape in found["C3"].shapes[PUBLISHED, CLEAN]] == ["no verdict"] * 4


def test_splits_that_overlap_widen_the_interval(tmp_path, paper):
    evidence = load_evidence([paper])
    assert evidence.overlap == pytest.approx(2 / 7)
    counts = [(seed, part, n, 1.0) for seed in (0, 1) for part, n in (("train", 60), ("test", 30))]
    replicates = pd.DataFrame(counts, columns=["seed", "split", "samples", "mean_square"])
    assert replace(evidence, replicates=replicates).overlap == 0.5
    [run] = evidence.runs
    fixed = replace(evidence, runs=(replace(run, config={**run.config, "fixed_split": True}),))
    assert fixed.overlap == 0
    wide, narrow = (of_claims(its)["C1"].cell(WRITTEN) for its in (evidence, fixed))
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_the_smallest_effect_of_interest_is_a_choice(paper):
    judgements = judge_claims(replace(load_evidence([paper]), smallest=50.0))
    assert judgements[0].cell(WRITTEN).outcome == NO_DIFFERENCE


@pytest.mark.parametrize("group", [None, "donor"])
def test_an_interval_over_test_samples_stands_beside_that_over_replicates(tmp_path, group):
    run = fake_run(tmp_path / "run", narrowing=few(betas=(0.0,)))
    without = judged(run)["C1"]
    assert {part.samples for part in without.cell(WRITTEN).parts} == {None}
    config = json.loads((run / "config.json").read_text()) | {"group": group}
    (run / "config.json").write_text(json.dumps(config))
    evidence = load_evidence([run])
    ids = [f"s{i}" for i in range(30)]
    groups = pd.DataFrame({"sample_id": ids, "split": "test", "group": np.arange(30) // 2})
    groups.assign(seed=0).to_parquet(run / "split.parquet", index=False)
    samples = evidence.levels[["member_id", "noise_factor", "test_mse", "model"]].merge(
        pd.DataFrame({"sample_id": ids, "level": np.exp(np.sin(np.arange(30)))}), how="cross"
    )
    own = samples["model"].map(DEPTH) * samples["level"] * 0.001
    samples["squared_error"] = samples["test_mse"] * samples["level"] * (1 + own)
    columns = ["member_id", "noise_factor", "sample_id", "squared_error"]
    samples[columns].to_parquet(run / "samples.parquet", index=False)
    found = judged(run)
    for name, whole in (("C1", 3), ("C2", 9), ("C3", 8), ("C4", 2), ("C5a", 1)):
        verdict = found[name].cell(WRITTEN)
        beside = [part.samples for part in verdict.parts if part.samples is not None]
        assert len(beside) == whole
        decided = verdict.decisive is not None  # C2 lacks noise factors
        words = f"other test samples, by {group or 'group'}: "
        assert (words in found[name].sentence(WRITTEN, NOISY)) == decided
    part = found["C1"].cell(WRITTEN).parts[0]
    # MSE as recorded for the samples, .002 x (mean of squared levels / mean of levels) above
    level = np.exp(np.sin(np.arange(30)))
    more = 100 * 0.002 * (level**2).sum() / level.sum()
    assert part.samples.low < part.effect + more < part.samples.high
    assert found["C1"].cell(PUBLISHED) is None
    frame = found["C1"].cell(WRITTEN).frame
    assert frame["samples_low"].tolist()[0] == part.samples.low


def run_with_errors_of_tissues(folder, tissues, per_tissue=6):
    """A run whose effects of depth are those of the tissues: the same in all samples of one."""
    run = fake_run(folder, narrowing=few(betas=(0.0,)))
    levels = load_evidence([run]).levels
    ids = [f"s{i}" for i in range(tissues * per_tissue)]
    own = np.repeat(np.sin(7.0 * np.arange(tissues)), per_tissue)
    samples = levels[["member_id", "noise_factor", "model"]].merge(
        pd.DataFrame({"sample_id": ids, "own": own}), how="cross"
    )
    samples["squared_error"] = 0.5 + 0.01 * samples["model"].map(DEPTH) * (1 + samples["own"])
    columns = ["member_id", "noise_factor", "sample_id", "squared_error"]
    samples[columns].to_parquet(run / "samples.parquet", index=False)
    split = pd.DataFrame({"seed": 0, "sample_id": ids, "split": "test"})
    split["tissue"] = [f"tissue {i // per_tissue}" for i in range(len(ids))]
    split.to_parquet(run / "split.parquet", index=False)
    return run, split


def test_without_groups_whole_tissues_are_drawn(tmp_path):
    """Errors are constant within a tissue, of 6 samples: its interval is 6 ^ .5 times as wide."""
    run, split = run_with_errors_of_tissues(tmp_path / "run", tissues=20)
    by_tissue = judged(run)["C1"]
    split.drop(columns="tissue").to_parquet(run / "split.parquet", index=False)
    by_sample = judged(run)["C1"]
    pairs = zip(by_tissue.cell(WRITTEN).parts, by_sample.cell(WRITTEN).parts, strict=True)
    for wide, narrow in pairs:
        ratio = (wide.samples.high - wide.samples.low) / (narrow.samples.high - narrow.samples.low)
        assert ratio == pytest.approx(math.sqrt(6), rel=0.2)
    assert "other test samples, by tissue: " in by_tissue.sentence(WRITTEN, NOISY)
    assert "other test samples: " in by_sample.sentence(WRITTEN, NOISY)


def test_of_few_tissues_single_samples_are_drawn(tmp_path):
    run, _ = run_with_errors_of_tissues(tmp_path / "run", tissues=9)
    assert "other test samples: " in judged(run)["C1"].sentence(WRITTEN, NOISY)


# Shapes


def test_a_turning_point_is_that_of_the_other_replicates():
    mse = pd.DataFrame([[3.0, 1.0, 5.0], [3.0, 4.0, 2.0], [3.0, 4.0, 2.0]], columns=[0, 0.5, 1])
    # without the first: means 3, 4, 2; without the second: 3, 2.5, 3.5
    assert turning_points(mse).tolist() == [1, 0.5, 0.5]


@pytest.mark.parametrize(
    ("curve", "word", "outcome", "words"),
    [
        ({0.0: 1.2, 0.5: 1.1, 1.0: 1.0}, "falls", HOLDS, "to noise 1 MSE changes by -16.66"),
        ({0.0: 1.0, 0.5: 1.1, 1.0: 1.2}, "rises", REVERSED, "from there to 1 by +20.0"),
        (
            {0.0: 1.1, 0.5: 1.0, 1.0: 1.2},
            "falls, then rises",
            REVERSED,
            "to noise 0.5 MSE changes by -9.09",
        ),
        ({0.0: 1.0, 0.5: 1.001, 1.0: 1.0}, "flat", NO_DIFFERENCE, "is flat from noise 0 to 1"),
        ({0.0: 1.0, 0.5: 1.3, 1.0: 1.0}, "undecided", NO_DIFFERENCE, "is undecided"),
    ],
)
def test_the_shape_of_a_curve(tmp_path, curve, word, outcome, words):
    def mse(member, noise):
        return curve.get(noise, 1.0) * (1 + 0.1 * own(member) * noise)

    run = fake_run(tmp_path / "run", narrowing=few(betas=(0.0,), depths=("conv",)), mse=mse)
    judgement = judged(run)["C4"]
    [shape] = judgement.shapes[WRITTEN, NOISY]
    assert shape.word == word
    assert words in shape.words
    assert words in judgement.sentence(WRITTEN, NOISY)
    assert judgement.cell(WRITTEN).outcome == outcome


def test_a_turning_point_has_its_range_over_the_replicates(tmp_path):
    """Seeds 0 and 2 have their least MSE at noise 0.5, seed 1 at 1.0, and the mean at 0.5."""

    def mse(member, noise):
        return {0.0: 1.2, 0.5: 1.0, 1.0: 0.99 if member.seed == 1 else 1.1}.get(noise, 1.3)

    run = fake_run(tmp_path / "run", narrowing=few(3, betas=(0.0,), depths=("conv",)), mse=mse)
    judgement = judged(run)["C4"]
    [shape] = judgement.shapes[WRITTEN, NOISY]
    assert (shape.at, shape.turns) == (0.5, (0.5, 1.0))
    assert "least at noise 0.5 (replicates: 0.5 to 1)" in judgement.sentence(WRITTEN, NOISY)


def test_a_part_without_width_decides_nothing(tmp_path):
    """Of every replicate's others the least mean MSE is at noise 0; the rise is undecided."""
    at_most_noise = dict(enumerate([1.1, 0.99, 1.2, 1.0, 1.3]))

    def mse(member, noise):
        return 1.0 if noise == 0 else 1.4 if noise < 1 else at_most_noise[member.seed]

    run = fake_run(tmp_path / "run", narrowing=few(betas=(0.0,), depths=("conv",)), mse=mse)
    cell = judged(run)["C4"].cell(WRITTEN)
    falls, beyond = cell.parts
    assert (falls.effect, falls.outcome) == (0, NO_DIFFERENCE)
    assert (beyond.outcome, cell.outcome) == (UNDECIDED, UNDECIDED)
    assert cell.decisive == beyond.part


def test_where_a_curve_turns_and_by_how_much(tmp_path):
    curve = {0.0: 1.1, 0.5: 1.0, 1.0: 1.2}
    run = fake_run(
        tmp_path / "run",
        narrowing=few(betas=(0.0,), depths=("4",)),
        mse=lambda member, noise: curve.get(noise, 1.0) * (1 + 0.002 * member.seed * noise),
    )
    [shape] = judged(run)["C3"].shapes[WRITTEN, NOISY]
    assert (shape.model, shape.first, shape.at, shape.last) == ("dense-4", 0.0, 0.5, 1.0)
    # seeds 0 ... 4: .5 has 1 + .001 seed, 1.0 has 1.2 (1 + .002 seed)
    fall = np.mean(np.log(1 + 0.001 * np.arange(5)) - math.log(1.1))
    assert shape.fall.effect == pytest.approx(percent(fall))
    assert shape.fall.low < shape.fall.effect < shape.fall.high < 0
    rise = np.mean(np.log(1.2 * (1 + 0.002 * np.arange(5)) / (1 + 0.001 * np.arange(5))))
    assert shape.rise.effect == pytest.approx(percent(rise))
    assert (shape.fall.outcome, shape.rise.outcome) == (REVERSED, HOLDS)


# What was not measured


def test_missing_grids_are_named(paper, published):
    written, scripts = judged(paper), judged(published)
    assert written["C1"].missing[PUBLISHED] == "--grid as-published with noise factor 0.5"
    assert scripts["C3"].missing[WRITTEN] == "--grid paper"
    assert written["C7"].missing[WRITTEN] == "the other parts: --grid mixed-noise"
    assert scripts["C7"].missing[WRITTEN] == "--grid mixed-noise"
    assert written["C6"].missing[WRITTEN] == ""
    assert written["C5b"].missing[WRITTEN] == "the other parts: --grid gene-order"
    assert scripts["C6"].missing[PUBLISHED] == "the paper's scripts had no such networks"
    assert scripts["C10"].missing[WRITTEN] == "--grid inference"
    assert scripts["C1"].missing[PUBLISHED] == ""
    assert written["C1"].steps == ()
    assert written["C1"].artefact == ""


def test_without_noise_one_half_c1_c5_and_c8_are_missing(tmp_path):
    found = judged(
        fake_run(tmp_path / "run", narrowing=Narrowing(seeds=3, noise=(0.1, 0.9), betas=(0.0,)))
    )
    for name in ("C1", "C5a", "C5b", "C8"):
        assert found[name].cell(WRITTEN) is None
        assert "noise factor 0.5" in found[name].missing[WRITTEN]
    assert found["C2"].cell(WRITTEN).outcome == NOT_MEASURED
    assert "not measured: 27 of 33 parts" in found["C2"].cell(WRITTEN).sentence
    assert found["C3"].cell(WRITTEN).outcome == REVERSED


def test_one_noise_factor_has_no_shape(tmp_path):
    found = judged(
        fake_run(tmp_path / "run", narrowing=Narrowing(seeds=3, noise=(0.5,), betas=(0.0,)))
    )
    assert found["C3"].cell(WRITTEN) is None
    assert found["C4"].cell(WRITTEN) is None
    assert found["C9"].cell(WRITTEN) is None
    assert found["C1"].cell(WRITTEN) is not None


def test_some_depths_alone_cannot_make_the_order(tmp_path):
    run = fake_run(tmp_path / "run", narrowing=few(depths=("2", "4"), betas=(0.0,)))
    found = judged(run)
    assert found["C1"].cell(WRITTEN).outcome == NOT_MEASURED
    assert found["C1"].missing[WRITTEN] == "the other parts: --grid paper with noise factor 0.5"
    assert found["C3"].cell(WRITTEN).outcome == REVERSED  # one reversed depth is enough
    assert found["C4"].cell(WRITTEN) is None
    assert found["C5a"].cell(WRITTEN) is None


def test_a_seed_counts_where_all_its_members_of_a_comparison_finished(tmp_path):
    members = load_evidence([fake_run(tmp_path / "a", narrowing=few(4, betas=(0.0,)))]).members
    at = members["noise_factor"] == 0.5
    lost = {
        int(
            members.index[at & (members["model"] == "dense-8") & (members["seed"] == 1)][0]
        ): "diverged",
        int(members.index[at & (members["model"] == "conv") & (members["seed"] == 0)][0]): "failed",
    }
    found = judged(fake_run(tmp_path / "b", narrowing=few(4, betas=(0.0,)), lost=lost))
    counts = {name: [part.n for part in found[name].cell(WRITTEN).parts] for name in ("C1", "C3")}
    assert counts == {"C1": [4, 4, 3], "C3": [4] * 6 + [3] * 2}
    assert found["C1"].cell(WRITTEN).n == 3
    assert found["C4"].cell(WRITTEN).n == 3
    assert found["C5a"].cell(WRITTEN).n == 2  # seed 1 lost a dense model, seed 0 the conv


def test_a_network_that_diverged_on_its_way_does_not_count_before_that_either(published):
    evidence = load_evidence([published])
    lost = (evidence.levels["model"] == "dense-4") & (evidence.levels["seed"] == 3)
    levels = evidence.levels.assign(status=evidence.levels["status"].mask(lost, "diverged"))
    assert levels.loc[lost, "train_clean_mse"].notna().all()
    verdict = of_claims(replace(evidence, levels=levels))["C1"].cell(PUBLISHED)
    assert [part.n for part in verdict.parts] == [7, 7, 8]


# C5


def test_c5_is_the_geometric_mean_of_the_depths_over_conv(published):
    judgement = judged(published)["C5a"]
    # clean rows at 0.5: .9 + .02 depth - .1 - .03
    dense = np.exp(np.mean(np.log([0.77 + 0.02 * depth for depth in (2, 4, 6, 8)])))
    ratio = dense / (0.77 + 0.02 * 12)
    verdict = judgement.cell(PUBLISHED)
    assert verdict.effect == pytest.approx(100 * (ratio - 1), abs=0.1)
    assert f"the dense MSE is {ratio:.3g} times the conv MSE (" in (
        judgement.sentence(PUBLISHED, CLEAN)
    )


def test_a_better_conv_network_is_not_a_hundred_times_better(tmp_path):
    def mse(member, noise):
        return (0.5 if member.model == "conv" else 1.0) + own(member)

    found = judged(fake_run(tmp_path / "run", narrowing=few(betas=(0.0,)), mse=mse))
    assert found["C5a"].cell(WRITTEN).outcome == HOLDS
    assert found["C5a"].cell(WRITTEN).effect == pytest.approx(100, abs=0.5)
    assert found["C5b"].cell(WRITTEN).outcome == REVERSED
    assert found["C5b"].cell(WRITTEN).effect == pytest.approx(-98, abs=0.1)


@pytest.mark.parametrize(
    ("random", "outcome"), [(0.012, HOLDS), (0.005, NO_DIFFERENCE), (0.0048, REVERSED)]
)
def test_spatial_features_need_the_order_of_the_genes(tmp_path, random, outcome):
    def mse(member, noise):
        orders = {"given": 0.005, "random": random}
        order = orders.get(member.gene_order, 0.004)
        return (order if member.model == "conv" else 1.0) * (1 + 0.1 * own(member))

    depth = fake_run(tmp_path / "run", narrowing=few(betas=(0.0,)), mse=mse)
    alone = judged(depth)["C5b"].cell(WRITTEN)
    assert alone.outcome == NOT_MEASURED
    orders = fake_run(tmp_path / "orders", "gene-order", narrowing=Narrowing(seeds=5), mse=mse)
    verdict = judged(depth, orders)["C5b"].cell(WRITTEN)
    assert verdict.outcome == outcome
    assert [part.part.about for part in verdict.parts] == ["", "spatial"]
    assert verdict.parts[1].outcome == outcome


# C6 to C10


def with_gap(evidence, gap):
    """Set train MSE so that test over train MSE is 1 + gap."""
    return replace(
        evidence, levels=evidence.levels.assign(train_mse=evidence.levels["test_mse"] / (1 + gap))
    )


def test_c6_compares_the_gaps_of_the_largest_beta_and_none(tmp_path):
    narrowing = few(depths=("2", "8"), betas=(0.0, 0.001, 0.01))
    evidence = load_evidence([fake_run(tmp_path / "run", narrowing=narrowing)])
    levels = evidence.levels
    own_gap = 0.001 * np.sin(7.0 * levels["seed"]) * (levels["beta"] > 0)
    added = levels["beta"].map({0.0: 0.0, 0.001: 0.5, 0.01: 0.1})
    verdict = of_claims(with_gap(evidence, 0.1 + added + own_gap))["C6"].cell(WRITTEN)
    assert verdict.outcome == HOLDS  # the half about the code is not needed
    assert comparisons(verdict) == [
        "dense-2, beta 0.01 against 0",
        "dense-8, beta 0.01 against 0",
        "a larger code",
    ]
    effects = [part.effect for part in verdict.parts[:2]]
    assert effects == pytest.approx([100 * (1.2 / 1.1 - 1)] * 2, abs=0.1)
    shrinks = of_claims(with_gap(evidence, 0.2 - added + own_gap))["C6"].cell(WRITTEN)
    assert [part.outcome for part in shrinks.parts] == [REVERSED, REVERSED, NOT_MEASURED]
    assert shrinks.outcome == NOT_MEASURED


def test_a_gap_does_not_depend_on_how_easy_the_test_rows_are(tmp_path):
    narrowing = few(depths=("2", "8"), betas=(0.0, 0.01))
    evidence = load_evidence([fake_run(tmp_path / "run", narrowing=narrowing)])
    levels = evidence.levels
    gap = 0.1 + 10 * levels["beta"] + 0.001 * np.sin(levels["seed"] * (levels["beta"] > 0))
    easy = levels["seed"].map({0: 0.9, 1: 1.1, 2: 1.0, 3: 0.8, 4: 1.2})
    plain, biased = (
        of_claims(with_gap(evidence, (1 + gap) * by - 1))["C6"].cell(WRITTEN) for by in (1, easy)
    )
    assert (plain.effect, plain.low) == pytest.approx((biased.effect, biased.low))


def test_c6_compares_codes_where_networks_differ_in_their_code_alone(tmp_path):
    def member(model, seed, noise, beta=0.0):
        return usual(model, Phase((noise,), 10), seed, beta=beta)

    models = ("dense-64x16x64", "dense-64x8x64", "dense-64x32x64", "dense-128x4x128", "dense-2")
    members = [member(m, s, a) for m in models for s in range(6) for a in (0.1, 0.5)]
    members += [member("dense-2", s, a, beta=0.01) for s in range(6) for a in (0.1, 0.5)]
    evidence = load_evidence(
        [fake_run(tmp_path / "run", members=members, mse=lambda m, a: 0.5 + a)]
    )
    code = evidence.levels["model"].str.extract(r"x(\d+)x")[0].astype(float).fillna(0)
    seed = evidence.levels["seed"]
    own_gap = 1e-4 * np.sin(seed * (1 + evidence.levels["beta"] * 50 + code))
    gap = 0.01 + 0.001 * code - evidence.levels["beta"] + own_gap
    judgement = of_claims(with_gap(evidence, gap))["C6"]
    verdict = judgement.cell(WRITTEN)
    assert comparisons(verdict) == ["dense-2, beta 0.01 against 0", "64xcodex64, code 32 against 8"]
    effects = [part.effect for part in verdict.parts]
    assert effects == pytest.approx([100 * (1 / 1.01 - 1), 100 * (1.042 / 1.018 - 1)], abs=0.02)
    assert verdict.outcome == HOLDS  # "and/or": one of them does
    assert verdict.words.startswith("undecided: dense-2") or "reversed: dense-2" in verdict.words
    assert judgement.missing[WRITTEN] == ""


@pytest.mark.parametrize(("gain", "outcome"), [(0.02, HOLDS), (-0.02, REVERSED)])
def test_c7_compares_the_mixture_with_the_specialists(tmp_path, gain, outcome):
    levels = (0.0, 0.5, 1.0)
    schedules = [Phase((a,), 10) for a in levels] + [Phase(levels, 10)]
    members = [
        usual(f"dense-{depth}", schedule, seed)
        for depth in (2, 4)
        for schedule in schedules
        for seed in range(5)
    ]

    def mse(member, noise):
        mixed = len(member.phases[0].noise_factors) > 1
        return 1.5 - (gain + 0.1 * own(member) if mixed else 0.0)

    verdict = judged(fake_run(tmp_path / "run", members=members, mse=mse))["C7"].cell(WRITTEN)
    assert comparisons(verdict) == [
        "dense-2 trained on mixed noise",
        "dense-4 trained on mixed noise",
        "dense-2 trained at another level",
        "dense-4 trained at another level",
    ]
    assert [part.outcome for part in verdict.parts[:2]] == [outcome] * 2
    # Trained at a distance d a made-up network has d^2 / 2 more: .125 of 1.5 from .5 away
    assert verdict.parts[2].effect == pytest.approx(100 * (1.5 / 1.625 - 1), abs=0.01)
    assert verdict.outcome == outcome


def test_c7_testing_at_another_level_may_be_better(tmp_path):
    """A network trained at 1.0 is better everywhere, by more than the distance costs."""
    members = [usual("dense-2", Phase((a,), 10), seed) for a in (0.5, 1.0) for seed in range(5)]

    def mse(member, noise):
        return 1.5 - 0.4 * (member.noise_factor == 1.0) + 0.1 * own(member)

    verdict = judged(fake_run(tmp_path / "run", members=members, mse=mse))["C7"].cell(WRITTEN)
    part = verdict.parts[-1]
    # tested at .5: 1.5 / (1.1 + .125); tested at 1: 1.1 / (1.5 + .125)
    expected = math.sqrt(1.5 / 1.225 * 1.1 / 1.625)
    assert part.effect == pytest.approx(100 * (expected - 1), abs=0.05)


def test_c8_and_c9_judge_the_gap(tmp_path):
    evidence = load_evidence([fake_run(tmp_path / "run", narrowing=few(betas=(0.0,)))])
    depth, noise = evidence.levels["model"].map(DEPTH), evidence.levels["noise_factor"]
    own_gap = 0.001 * np.sin(5.0 * evidence.levels["seed"] + depth)
    conv = evidence.levels["model"] == "conv"
    gap = 0.02 * depth + np.where(conv, 0.1, -0.05) * noise + own_gap + 0.1
    found = of_claims(with_gap(evidence, gap))
    assert found["C8"].cell(WRITTEN).outcome == HOLDS
    assert found["C8"].cell(WRITTEN).parts[0].effect == pytest.approx(
        100 * (1.155 / 1.115 - 1), abs=0.2
    )
    assert found["C9"].cell(WRITTEN).outcome == HOLDS
    assert comparisons(found["C9"].cell(WRITTEN))[-2:] == [
        "dense-8 overfits less at the most noise",
        "conv overfits more at the most noise",
    ]
    other = of_claims(with_gap(evidence, 0.9 - gap))
    assert other["C8"].cell(WRITTEN).outcome == REVERSED
    assert other["C9"].cell(WRITTEN).words == "reversed: 5 of 5 parts"


def test_c10_compares_landmarks_denoised_by_a_network_with_noisy_ones(paper):
    factor = {"noisy": 1.0, "Wiener": 0.6, "dense-2": 0.8, "dense-4": 0.7, "Wiener mixture": 0.5}
    rows = [
        (name, predictor, noise, seed, by * (0.1 + noise) * (1 + 0.001 * seed * by))
        for name, by in factor.items()
        for predictor in ("ridge", "network")
        for noise in (0.0, 0.5, 1.0)
        for seed in range(5)
    ]
    columns = ["input", "predictor", "noise_factor", "seed", "test_mse"]
    inference = pd.DataFrame(rows, columns=columns)
    judgement = of_claims(replace(load_evidence([paper]), inference=inference))["C10"]
    verdict = judgement.cell(WRITTEN)
    assert verdict.outcome == HOLDS
    decides = [part for part in verdict.parts if part.part.role == "decides"]
    assert len(decides) == 2 * 2  # noise factors above 0, networks
    assert decides[0].part.name == (
        "ridge from landmarks denoised by dense-2, against noisy at noise 0.5"
    )
    assert decides[0].effect == pytest.approx(25, abs=0.2)
    against = [part for part in verdict.parts if part.part.about == "Wiener"]
    assert {part.outcome for part in against} == {REVERSED}
    assert judgement.missing[WRITTEN] == ""


def test_a_mixture_is_no_specialist(tmp_path):
    members = [
        usual(f"dense-{depth}", phase, seed)
        for depth in (2, 4, 6, 8)
        for phase in (Phase((0.5,), 10), Phase((0.1, 0.5), 99))
        for seed in range(3)
    ]
    run = fake_run(
        tmp_path / "run",
        members=members,
        mse=lambda m, a: 9.0 if m.epochs == 99 else 0.1 * DEPTH[m.model],
    )
    verdict = judged(run)["C1"].cell(WRITTEN)
    assert [part.effect for part in verdict.parts] == pytest.approx([100, 50, 100 / 3])


# Which item makes a claim


def test_fresh_networks_make_c3_vanish_and_the_report_says_so(autopsy):
    found = judged(autopsy)
    steps = {step.item: step for step in found["C3"].steps}
    assert list(steps) == [
        "noisy test rows",
        "fresh network per level",
        "linear output",
        "Adam to convergence",
        "fresh noise every epoch",
        "scaled on training rows",
        "two code layers",
    ]
    assert found["C3"].artefact == "there as published; vanishes with: fresh network per level"
    assert (found["C3"].found, found["C3"].makers) == (True, ["fresh network per level"])
    assert found["C4"].artefact.startswith(
        "there as published; vanishes with: fresh network per level; Fig. 10"
    )
    fresh = steps["fresh network per level"]
    # clean rows fall from .87 + .02 depth by .2
    falls = [math.log((0.87 + 0.02 * d) / (0.67 + 0.02 * d)) for d in (2, 4, 6, 8)]
    assert fresh.published.effect == pytest.approx(percent(np.mean(falls)), abs=0.1)
    # a mean over both measures and all other items, of which none does anything
    assert fresh.change.effect == pytest.approx(fresh.published.effect, rel=0.05)
    assert fresh.changed.outcome == NO_DIFFERENCE
    assert fresh.changed.effect == pytest.approx(0, abs=1e-9)
    assert steps["linear output"].change.outcome == NO_DIFFERENCE
    assert found["C1"].artefact == "there as published; no item is shown to make it"


def test_items_are_judged_with_the_seeds_that_both_have(autopsy, published):
    found = judged(published, autopsy)
    assert found["C3"].cell(PUBLISHED).n == 8
    assert {step.published.n for step in found["C1"].steps} == {8}
    assert {step.change.n for step in found["C1"].steps} == {5}
    assert [step.changed.n for step in found["C1"].steps] == [8, 5, 5, 5, 5, 5, 5]


@pytest.mark.parametrize(("left", "makes"), [(1.0, False), (0.3, False), (0.01, True)])
def test_an_item_makes_an_effect_if_it_takes_all_of_it_away(tmp_path, left, makes):
    def mse(member, noise):
        share = left if "linear output" in member.protocol.changed else 1.0
        return 0.9 - 0.1 * share * noise + 0.1 * own(member) * noise

    run = fake_run(tmp_path / "run", "autopsy", narrowing=few(depths=("2", "4")), mse=mse)
    judgement = judged(run)["C3"]
    [step] = [step for step in judgement.steps if step.item == "linear output"]
    assert step.makes == makes
    assert ("vanishes with: linear output" in judgement.artefact) == makes
    assert (step.change.outcome == HOLDS) == (left < 1)
    assert ("is lessened by: linear output" in judgement.artefact) == (left == 0.3)


def test_clean_rows_can_be_what_makes_a_claim(published):
    evidence = load_evidence([published])
    noisy = 0.9 + 0.1 * evidence.levels["noise_factor"] + 0.001 * np.sin(evidence.levels["seed"])
    found = of_claims(replace(evidence, levels=evidence.levels.assign(test_mse=noisy)))
    assert found["C3"].artefact.startswith("there as published; vanishes with: noisy test rows")
    assert found["C3"].steps[0].changed.outcome == REVERSED
    assert found["C3"].artefact.endswith("--grid autopsy")


def test_an_item_can_make_a_claim_appear(tmp_path):
    def mse(member, noise):
        right = member.protocol.changed == ("scaled on training rows",)
        return 0.5 + (0.01 if right else -0.01) * DEPTH[member.model] + 0.1 * own(member)

    found = judged(fake_run(tmp_path / "run", "autopsy", narrowing=few(), mse=mse))
    assert found["C1"].artefact == (
        "not there as published; the mean over its parts appears with: scaled on training rows"
    )
    assert (found["C1"].found, found["C1"].makers) == (False, ["scaled on training rows"])


def test_c5_appears_when_the_conv_mse_is_divided_by_n(autopsy):
    judgement = judged(autopsy)["C5b"]
    steps = {step.item: step for step in judgement.steps}
    divided = steps["conv MSE / n, as Fig. 10 prints it"]
    plain = judgement.cell(PUBLISHED)
    # the sixth level is 0.5
    assert (1 + divided.changed.effect / 100) / (1 + plain.effect / 100) == pytest.approx(292 * 6)
    assert divided.adds
    assert "appears with: conv MSE / n, as Fig. 10 prints it; " in judgement.artefact
    assert (
        "0.000577 at noise 0.5 is 1108 to 1713 times below Figs. 6-8 (0.639 to 0.988)"
        in judgement.artefact
    )
    assert "times n = 1752 it is 1.0104" in judgement.artefact
    assert set(steps) == {
        *("noisy test rows", "conv MSE / n, as Fig. 10 prints it"),
        *correctable("dense-2"),
        *correctable("conv"),
    }


DENSE_ONLY = ("fresh noise every epoch", "two code layers")
CONV_ONLY = ("noisy input", "one image per sample")


@pytest.mark.parametrize("item", [*DENSE_ONLY, *CONV_ONLY])
def test_an_item_of_one_kind_of_model_is_judged_against_the_other_as_published(tmp_path, item):
    """The item doubles the MSE of the networks that have it, and no other item does anything."""

    def mse(member, noise):
        return (2.03 if item in member.protocol.changed else 1.03) + 0.001 * math.sin(member.seed)

    steps = judged(fake_run(tmp_path / "run", "autopsy", narrowing=few(), mse=mse))["C5a"].steps
    effects = {step.item: step.changed.effect for step in steps}
    expected = 100.0 if item in DENSE_ONLY else -50.0
    assert effects.pop(item) == pytest.approx(expected, abs=0.1)
    del effects["conv MSE / n, as Fig. 10 prints it"]
    assert list(effects.values()) == pytest.approx([0.0] * len(effects), abs=1e-6)


def test_an_item_run_for_some_models_is_not_mixed_with_the_published_others(tmp_path, published):
    conv = fake_run(tmp_path / "conv", "autopsy", narrowing=few(depths=("conv",)))
    items = {step.item for step in judged(published, conv)["C5a"].steps}
    assert set(CONV_ONLY) <= items
    assert "linear output" not in items  # the dense networks were not run with it


def test_an_item_run_for_some_depths_is_compared_with_these_as_published(tmp_path, published):
    """Deeper networks have more MSE, so that all depths are no standard for two of them."""
    some = fake_run(tmp_path / "some", "autopsy", narrowing=few(depths=("2", "conv")))
    steps = {step.item: step for step in judged(published, some)["C5a"].steps}
    step = steps["linear output"]
    assert step.published.effect == pytest.approx(percent(math.log(0.81 / 1.01)), abs=0.1)
    assert step.change.effect == pytest.approx(0, abs=1e-9)


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
    assert quoted + ", ".join(map(number, dense)) in claims["C5b"].published
    ratios = [value.mse / middle.printed for value in dense[:3]]
    text = claims["C5b"].division
    assert f"{middle.printed:.6f} at noise 0.5 is {ratios[0]:.0f} to {ratios[2]:.0f} times" in text
    assert f"({number(dense[0])} to {number(dense[2])})" in text
    assert f"times n = {middle.n} it is {middle.mse:.4f}, above all of them" in text
    assert middle.mse > max(value.mse for value in dense)
    assert claims["C6"].published == claims["C7"].published == "no number: a conjecture"
