"""The numbers of the open questions, on run folders whose errors are known."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_utils.errors import InputError
from models.config import MemberConfig, Phase, training_settings
from study.evidence.effects import effect_of, mean_interval
from study.evidence.effects import outcome as outcome_of
from study.evidence.evidence import load_evidence
from study.grids import Narrowing
from study.report.curves import nearest
from study.report.document import Words, walk
from study.report.page import _questions, open_questions
from study.report.questions.cross_noise import cross_errors, cross_question, guess_costs
from study.report.questions.fresh_noise import draw_errors, extra_errors, fresh_noise_question
from study.report.questions.gene_order import against_given, order_errors, order_question, pictures
from study.report.questions.mixed_noise import INFORMED, ONE, mixed_errors, mixed_question
from study.report.questions.question import change, effect, outcome
from study.report.questions.samples import doublings, sample_errors, samples_question
from study.report.questions.sparsity import at_largest_beta, sparsity_errors, sparsity_question
from tests.study.runs import fake_run

#: A network that is trained as is usual for its model.
USUAL = MemberConfig("dense-2", (Phase((0.5,), 10),), **training_settings("dense-2"))


def made(folder, grid, mse, seeds=6, **options):
    """Evidence of a made-up run whose test MSE is mse(member, noise factor)."""
    narrowing = {
        name: options.pop(name) for name in ("depths", "noise", "betas") if name in options
    }
    run = fake_run(
        folder, grid, seeds, mse, narrowing=Narrowing(seeds=seeds, **narrowing), **options
    )
    return load_evidence([run])


def exhibit(question, key):
    return next(found for found in question.exhibits if found.key == key)


# Noise across levels. Away from its own noise factor by d a made-up network has d^2 / 2 more MSE.


def test_the_cost_of_a_wrong_guess_is_the_mean_ratio(tmp_path):
    evidence = made(
        tmp_path / "run", "cross-noise", lambda member, noise: 1.0 + noise, depths=["2"]
    )
    costs = guess_costs(cross_errors(evidence))
    assert len(costs) == 20  # 0.1 ... 1.0, of both signs
    # guessed 0.5 too low: trained at 0 ... 0.5, tested at 0.5 ... 1.0
    expected = np.mean([0.125 / (1 + noise) for noise in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)])
    assert costs["dense-2", -0.5].to_numpy() == pytest.approx([expected] * 6)
    expected = np.mean([0.125 / (1 + noise) for noise in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)])
    assert costs["dense-2", 0.5].to_numpy() == pytest.approx([expected] * 6)


def test_a_specialist_that_is_the_best_costs_every_wrong_guess(tmp_path):
    question = cross_question(
        made(tmp_path / "run", "cross-noise", lambda *_: 1.0, depths=["2", "conv"])
    )
    assert "too low by 0.1: +0.5 % (95 % +0.5 to +0.5), by 0.3: +4.5 %" in question.answer
    assert "by 0.5: +12.5 % (95 % +12.5 to +12.5)" in question.answer
    assert "In 22 of 22 cases" in question.answer
    assert "(half of C7): no difference (+0.5 %" in question.answer  # .5 % is below 1 %
    heat = exhibit(question, "cross-noise").data
    cell = heat[
        (heat["model"] == "conv") & (heat["trained_at"] == 0.2) & (heat["tested_at"] == 0.8)
    ].iloc[0]
    assert cell["of_specialist"] == pytest.approx(1.18)
    assert cell["mse"] == pytest.approx(1.18)
    assert len(heat) == 2 * 121
    assert "No cell is below 0." in exhibit(question, "cross-noise").description


def test_a_guess_that_pays_is_found(tmp_path):
    """Networks trained on more noise are better everywhere, by more than the guess costs."""
    evidence = made(
        tmp_path / "run",
        "cross-noise",
        lambda member, _: 1 - 0.4 * member.noise_factor,
        9,
        depths=["2"],
    )
    question = cross_question(evidence)
    assert "(half of C7): yes (" in question.answer
    assert question.answer.endswith(
        "9 replicates): dense-2, guess +0.1, dense-2, guess +0.3 and dense-2, guess +0.5."
    )
    assert "In 1 of 11 cases" in question.answer  # nothing was trained on more than 1.0
    costs = exhibit(question, "guess-cost").data.set_index("guess")["cost"]
    assert costs[0.1] < 0 < costs[-0.1]


def test_a_seed_without_all_levels_is_left_out_of_a_guess(tmp_path):
    evidence = made(
        tmp_path / "run",
        "cross-noise",
        lambda *_: 1.0,
        3,
        depths=["2"],
        noise=[0.0, 0.1, 0.2],
        lost={0: "diverged"},
    )
    costs = guess_costs(cross_errors(evidence))
    assert list(costs["dense-2", -0.1].index) == [1, 2]  # seed 0 has no network trained at 0.0
    assert list(costs["dense-2", -0.2].index) == [1, 2]
    assert list(costs["dense-2", 0.1].index) == [1, 2]  # nor one to compare with at 0.0
    assert ("dense-2", 0.0) not in costs


def test_plain_networks_alone_are_asked(tmp_path):
    """Networks have no sparsity term, and the length of training that most networks have."""
    evidence = made(
        tmp_path / "run", "as-written", lambda member, _: 1.0 + member.beta, 2, depths=["2"]
    )
    assert len(cross_errors(evidence)) == 2 * 121
    assert cross_errors(evidence).query("trained_at == tested_at")["test_mse"].eq(1.0).all()
    longer = [MemberConfig("dense-2", (Phase((a,), 999),), 0) for a in (0.0, 0.5)]
    other = fake_run(tmp_path / "longer", mse=lambda *_: 0.7, members=longer)
    pd.testing.assert_frame_equal(
        cross_errors(load_evidence([tmp_path / "run", other])), cross_errors(evidence)
    )
    lost = replace(evidence, members=evidence.members.assign(status="diverged"))
    assert cross_question(lost).answer is None


def test_two_noise_factors_name_the_guesses_that_there_are(tmp_path):
    evidence = made(tmp_path / "run", "cross-noise", lambda *_: 1.0, depths=["2"], noise=[0.2, 0.6])
    assert "too low by 0.4: +8.0 %" in cross_question(evidence).answer


# Mixed noise.


def mixed_mse(member, noise):
    if not np.isnan(member.noise_factor):
        return 0.5 + noise
    return (0.5 + noise) * (0.95 if member.noise_input else 1.1)


def test_one_network_for_all_against_a_network_for_each(tmp_path):
    evidence = made(tmp_path / "run", "mixed-noise", mixed_mse, depths=["2"], noise=[0.0, 0.5, 1.0])
    errors = mixed_errors(evidence)
    assert len(errors) == 2 * 6 * 3
    assert errors.loc[errors["series"] == ONE, "excess"].to_numpy() == pytest.approx(
        np.full(18, 0.1)
    )
    assert errors.loc[errors["series"] == INFORMED, "excess"].to_numpy() == pytest.approx(
        np.full(18, -0.05)
    )
    question = mixed_question(evidence)
    assert "noise factors 0, 0.5, 1 at once has +10.0 % (95 % +10.0 to +10.0)" in question.answer
    assert "given the noise factor has -5.0 %" in question.answer
    assert (
        "without the noise factor, it does not (-9.1 % (95 % -9.1 to -9.1); 6 replicates); with "
        "it, it does (+5.3 % (95 % +5.3 to +5.3); 6 replicates)." in question.answer
    )
    drawn = exhibit(question, "mixed-noise").data
    at_one = drawn[drawn["noise_factor"] == 1.0].set_index("series")["mse"]
    assert at_one.to_dict() == pytest.approx(
        {
            **{"a network for each": 1.5, ONE: 1.65, INFORMED: 1.425, "identity": 1.0},
            **{"Wiener": 0.25 + 2.5e-4, "Wiener mixture": 0.225 + 2.5e-4},
        }
    )


def test_a_mixture_without_specialists_is_not_compared(tmp_path):
    mixed = [
        replace(USUAL, phases=(Phase((0.1, 0.5), 3),), seed=seed, grid="mixed-noise")
        for seed in (0, 1)
    ]
    longer = [
        replace(USUAL, phases=(Phase((0.5,), 30),), seed=seed) for seed in (0, 1)
    ]  # no fair comparison
    question = mixed_question(
        load_evidence([fake_run(tmp_path / "run", mse=mixed_mse, members=[*mixed, *longer])])
    )
    assert "hold no network for one noise factor" in question.answer
    assert [found.key for found in question.exhibits] == ["mixed-noise"]


def test_a_schedule_of_several_phases_is_no_mixture(tmp_path):
    carried = MemberConfig("dense-2", (Phase((0.1, 0.5), 3), Phase((0.5,), 3)), 0)
    assert not len(mixed_errors(load_evidence([fake_run(tmp_path / "run", members=[carried])])))


# Sparsity. The made-up gap is 0.02 everywhere, so the tests set train MSE themselves.


def sparse(tmp_path, gap, mse=lambda member, _: 0.5 + member.beta, seeds=6):
    """Evidence of the grid sparsity; gap(row) is test less train MSE."""
    evidence = made(tmp_path / "run", "sparsity", mse, seeds, depths=["2", "4"])
    members = evidence.members
    gaps = [gap(row) for row in members.itertuples()]
    return replace(evidence, members=members.assign(train_mse=members["test_mse"] - gaps))


def test_a_gap_that_grows_with_beta_makes_the_claim_hold(tmp_path):
    evidence = sparse(tmp_path, lambda row: 0.02 + row.beta * (1 if row.sparsity == "kl" else 2))
    rows = sparsity_errors(evidence)
    assert rows["term"].drop_duplicates().tolist() == [
        "no term",
        "KL, ρ = 0.01",
        "KL, ρ = 0.05",
        "KL, ρ = 0.2",
        "L1",
    ]
    changes = at_largest_beta(rows, "log_gap_change")
    none, kl, l1 = np.log(0.5 / 0.48), np.log(0.6 / 0.48), np.log(0.6 / 0.38)
    assert {part.comparison: d.mean() for part, d in changes.items()} == pytest.approx(
        {
            f"{m}, {kind} with beta 0.1": d
            for m in ("dense-2", "dense-4")
            for kind, d in (("KL", kl - none), ("L1", l1 - none))
        }
    )
    answer = sparsity_question(evidence).answer
    assert "gap test − train is 0.0200 MSE at noise factor 0.5" in answer
    gap = 100 * np.expm1((kl + l1) / 2 - none)  # 34.8
    assert f"as the ratio test / train, by {gap:+.1f} % (95 % {gap:+.1f} to {gap:+.1f})" in answer
    assert "and the test MSE by +20.0 % (95 % +20.0 to +20.0)" in answer
    assert "(first half of C6): it holds (+" in answer
    assert "least validation MSE is for dense-2 no term; for dense-4 no term." in answer


def test_a_gap_that_shrinks_with_beta_makes_the_claim_fail(tmp_path):
    evidence = sparse(tmp_path, lambda row: 0.02 - 0.1 * row.beta, seeds=9)
    assert "(first half of C6): it is reversed (-" in sparsity_question(evidence).answer


def test_the_best_setting_is_chosen_on_validation_rows(tmp_path):
    """Validation MSE prefers rho = 0.2, test MSE would prefer L1."""
    evidence = sparse(
        tmp_path, lambda _: 0.02, lambda member, _: 0.4 if member.sparsity == "l1" else 0.5
    )
    members = evidence.members
    liked = (members["rho"] == 0.2) & (members["beta"] == 0.01)
    evidence = replace(evidence, members=members.assign(val_mse=np.where(liked, 0.3, 0.6)))
    assert "is for dense-2 KL, ρ = 0.2, beta 0.01, which changes the test MSE by +0.0 % (95 % " in (
        sparsity_question(evidence).answer
    )


def test_mean_activation_and_dead_units_are_told_and_drawn(tmp_path):
    evidence = sparse(tmp_path, lambda _: 0.02)
    members = evidence.members
    activation = np.where(
        members["beta"] > 0, members["rho"] + 0.001 / members["beta"].clip(lower=1e-9), 0.5
    )
    dead = np.where((members["sparsity"] == "l1") & (members["beta"] == 0.1), 0.5, 0.0)
    evidence = replace(
        evidence, members=members.assign(mean_activation=activation, dead_units=dead)
    )
    question = sparsity_question(evidence)
    assert (
        "KL with ρ = 0.01, 0.05, 0.2 and beta 0.1 brings the mean activation of the code to 0.020, "
        "0.060 and 0.210 (without a term 0.500); at most 50 % of the code units are dead."
        in question.answer
    )
    table = exhibit(question, "sparsity-cells").frame
    assert len(table) == 2 * 13
    row = table[
        (table["model"] == "dense-4") & (table["term"] == "L1") & (table["beta"] == 0.1)
    ].iloc[0]
    assert row[
        ["dead units", "test MSE", "test MSE against no term", "seeds"]
    ].tolist() == pytest.approx([0.5, 0.6, 0.1, 6])
    assert table.loc[table["term"] == "no term", "test MSE against no term"].isna().all()


# Fresh noise.


def by_draws(member, _):
    """Drawn once, dense-2 has 10 % more MSE and dense-4 4 % less; seeds differ by far more."""
    once = {"dense-2": 1.1, "dense-4": 0.96}[member.model]
    return (0.4 + 0.1 * member.seed) * (once if member.noise_draws == "once" else 1.0)


def test_fresh_noise_is_judged_by_ratios_of_networks_of_one_seed(tmp_path):
    noise = [0.0, 0.5]
    evidence = made(tmp_path / "run", "fresh-noise", by_draws, 5, depths=["2", "4"], noise=noise)
    extra = extra_errors(draw_errors(evidence), evidence.overlap)
    assert {case: found.effect for case, found in extra.items()} == pytest.approx(
        {("dense-2", 0.5): 10.0, ("dense-4", 0.5): -4.0}  # without noise there are no draws
    )
    assert [found.outcome for found in extra.values()] == ["holds", "reversed"]
    question = fresh_noise_question(evidence)
    assert question.answer.endswith(
        "by −4.0 % (dense-4 at 0.5) to +10.0 % (dense-2 at 0.5); of 2 cases (model × noise factor, "
        "5 replicates) fresh is better in 1, once is better in 1."
    )
    table = exhibit(question, "fresh-noise-table").frame
    assert table["test, once"].tolist() == pytest.approx([0.66, 0.576])
    assert table["test, fresh"].tolist() == pytest.approx([0.6, 0.6])
    assert list(table["extra MSE of noise drawn once"]) == list(extra.values())
    drawn = exhibit(question, "fresh-noise").data.set_index("series")
    assert drawn.loc["dense-2", ["extra", "low", "high"]].tolist() == pytest.approx([0.1] * 3)


def test_a_network_without_its_pair_is_not_compared(tmp_path):
    """Of seed 0 the network with fresh noise diverged; other epochs make no pair."""
    options = {"depths": ["2"], "noise": [0.5]}
    whole = made(tmp_path / "whole", "fresh-noise", by_draws, 4, **options)
    [first] = np.flatnonzero((whole.members["noise_draws"] == "fresh") & (whole.members.seed == 0))
    part = made(
        tmp_path / "part", "fresh-noise", by_draws, 4, lost={int(first): "diverged"}, **options
    )
    assert draw_errors(part)["seed"].tolist() == [1, 1, 2, 2, 3, 3]
    longer = whole.members["noise_draws"] == "once"
    epochs = whole.members["epochs"] + longer
    other = replace(whole, members=whole.members.assign(epochs=epochs))
    assert fresh_noise_question(other).answer is None


# Order of the genes.


def by_order(**mse):
    own = (-1, 1, -2, 2, 1.5, -1.5)
    return lambda member, _: (
        mse[member.gene_order] + 0.001 * own[member.seed] * (member.gene_order != "given")
    )


def test_a_given_order_that_is_better_than_random_ones_is_spatial(tmp_path):
    orders = {"random": 0.6, "correlation": 0.7, "chromosome": 0.55, "shuffled": 0.9}
    evidence = made(tmp_path / "run", "gene-order", by_order(given=0.5, **orders), depths=["conv"])
    differences = against_given(order_errors(evidence))
    assert {order: d.mean() for (_, order), d in differences.items()} == pytest.approx(
        {order: np.log(mse / 0.5) for order, mse in orders.items()}, abs=1e-5
    )
    answer = order_question(evidence).answer
    assert "0.5000 on the given order, 0.9000 on shuffled values" in answer
    assert "leaving the input alone has 0.2500" in answer
    assert "change it: the given order is better than chance, so it has spatial features (+20.0 % "
    assert "the given order is better than this one" in answer
    assert "dense" not in answer


def test_a_given_order_like_any_other_is_not_spatial_and_a_better_one_can_be_made(tmp_path):
    evidence = made(
        tmp_path / "run",
        "gene-order",
        by_order(given=0.5, random=0.5, correlation=0.4, chromosome=0.45, shuffled=0.9),
    )
    question = order_question(evidence)
    assert "spatial features (C5), change it: no difference (" in question.answer
    assert "Genes placed by correlation change it: a better order" in question.answer
    assert (
        "a better order than the given can be made from the training rows (-20.0" in question.answer
    )
    assert (
        "order of their chromosomes change it: neighbours on the genome carry information that the "
        "given order does not use (-10" in question.answer
    )
    assert (
        "A dense network of the same size, which sees no order, differs from it by +0.0 % (95 %"
        in question.answer
    )
    table = exhibit(question, "gene-order-table").frame
    assert table["p"].notna().tolist() == [False, True, True, True, False, False, False]
    drawn = exhibit(question, "gene-order").data
    assert (drawn["kind"] == "seed").sum() == 42
    references = drawn[drawn["kind"] == "reference"].set_index("series")["mse"]
    assert references["identity"] == 0.25


# Number of samples.


def power_law(member, _):
    return member.train_fraction**-0.2


def test_a_doubling_buys_what_the_power_law_says(tmp_path):
    evidence = made(tmp_path / "run", "samples", power_law, 3, depths=["2", "4"])
    rows = sample_errors(evidence)
    assert sorted(rows["n_samples"].unique()) == [
        204,
        409,
        614,
        818,
        1022,
        1227,
        1432,
        1636,
        1840,
        2045,
    ]
    found = doublings(rows)
    assert set(found) == {"dense-2", "dense-4"}
    for by_seed in found.values():  # the numbers of samples are whole, so not quite
        assert by_seed.to_numpy() == pytest.approx(np.full(3, 2**-0.2 - 1), abs=2e-4)
    answer = samples_question(evidence).answer
    assert "From 204 to 2,045 training samples the train MSE goes from 1.5649 to 0.9800" in answer
    assert "twice the samples change it by -12.9 %" in answer


def test_all_samples_are_compared_at_as_many_updates(tmp_path):
    """The network of all samples is that of the same number of updates, not a longer one."""

    def network(fraction, epochs, seed):
        phases = (Phase((0.5,), epochs),)
        return replace(USUAL, phases=phases, seed=seed, train_fraction=fraction)

    members = [network(*of, seed) for of in ((0.5, 20), (1.0, 10), (1.0, 160)) for seed in (0, 1)]
    rows = sample_errors(load_evidence([fake_run(tmp_path / "run", members=members)]))
    assert sorted(set(zip(rows["train_fraction"], rows["epochs"], strict=True))) == [
        (0.5, 20),
        (1.0, 10),
    ]


# Pictures of the order of the genes.


def arrays():
    rng = np.random.default_rng(0)
    orders = np.array(["given", "random", "correlation"])
    images = {name: rng.normal(size=(3, 3, 4, 5)) for name in ("clean", "noisy", "denoised")}
    images["clean"][:, :, -1, -2:] = np.nan  # padding
    error = np.full((3, 4, 5), 0.5)
    error[1, 2, 3] = 2.5
    return {"order": orders, **images, "error": error, "filters": rng.normal(size=(3, 16, 3, 3))}


def test_pictures_are_drawn_from_the_arrays(tmp_path):
    assert pictures(tmp_path) == []
    content = arrays()
    np.savez(tmp_path / "examples.npz", **content)
    plots = {plot.key: plot for plot in pictures(tmp_path)}
    assert list(plots) == ["order-samples", "order-error", "order-filters"]
    for plot in plots.values():
        assert plot.figure().get_size_inches()[0] * 96 == pytest.approx(640)
    error = plots["order-error"].data.set_index(["order", "row", "column"])["value"]
    assert error["random", 2, 3] == 2.5
    shown = plots["order-samples"].data
    assert len(shown) == 3 * 3 * 2 * 20  # stages x orders x samples x pixels
    pixel = shown.query(
        "stage == 'noisy' and order == 'correlation' and sample == 'sample 2' and row == 3 "
        "and column == 1"
    )
    assert pixel["value"].tolist() == [content["noisy"][2, 1, 3, 1]]


@pytest.mark.parametrize("spoil", ["text", "shape", "names"])
def test_a_file_that_cannot_be_drawn_is_named(tmp_path, spoil):
    path = tmp_path / "examples.npz"
    content = arrays()
    if spoil == "text":
        path.write_text("not an archive")
    elif spoil == "shape":
        np.savez(path, **{**content, "error": content["error"][:2]})
    else:
        np.savez(path, error=content["error"])
    with pytest.raises(InputError, match=r"examples\.npz: cannot be drawn .*--resume"):
        pictures(tmp_path)


def test_pictures_stand_with_the_question(tmp_path):
    run = fake_run(tmp_path / "run", "gene-order", 2)
    np.savez(run / "examples.npz", **arrays())
    keys = [found.key for found in order_question(load_evidence([run])).exhibits]
    assert keys == [
        "gene-order",
        "gene-order-table",
        "order-samples",
        "order-error",
        "order-filters",
    ]


# Words.


def test_the_interval_of_an_answer_is_that_of_overlapping_splits(tmp_path):
    """Six seeds, mean log ratio log 1.2: 1 / 6 + 2 / 7 in place of 1 / 6."""
    evidence = made(
        tmp_path / "run",
        "gene-order",
        by_order(given=0.5, random=0.6, correlation=0.7, chromosome=0.5, shuffled=0.9),
        depths=["conv"],
    )
    values = against_given(order_errors(evidence))["conv", "random"]
    expected = effect_of(values, 2 / 7)
    assert expected.shown in order_question(evidence).answer
    table = exhibit(order_question(evidence), "gene-order-table").frame
    assert expected.shown in table["against the given order"].tolist()
    run, *_ = evidence.runs
    one_split = replace(evidence, runs=(replace(run, config=run.config | {"fixed_split": True}),))
    assert effect_of(values, 0.0).shown in order_question(one_split).answer
    assert effect_of(values, 0.0).shown != expected.shown
    said = [
        b
        for b in walk(_questions(one_split, open_questions(one_split)).blocks)
        if isinstance(b, Words)
    ]
    assert "One split." in [words.lead for words in said]
    assert "One split." not in [
        b.lead
        for b in walk(_questions(evidence, open_questions(evidence)).blocks)
        if isinstance(b, Words)
    ]


@given(
    st.lists(st.floats(-0.2, 0.2).map(lambda x: round(x, 4)), min_size=1, max_size=9),
    st.sampled_from([0.0, 2 / 7]),
    st.sampled_from([1.0, 5.0]),
)
def test_word_and_interval_of_an_answer_cannot_disagree(values, overlap, smallest):
    evidence = SimpleNamespace(overlap=overlap, smallest=smallest)
    text = outcome(effect(pd.Series([*values, np.nan]), evidence), "holds", "reversed")
    word, _, numbers = text.partition(" (")
    found = [float(number) for number in re.findall(r"[+-]\d+\.?\d*", numbers)]
    if len(values) < 3:
        assert word == "no verdict"
        assert "(no interval)" in numbers
    else:
        assert word == outcome_of(*found[1:3], smallest)
        low, high = mean_interval(values, overlap, 0.95)
        tolerance = 0.06
        assert found[1:3] == pytest.approx(
            100 * np.expm1([low, high]), abs=max(tolerance, (100 * (high - low) / 10))
        )


def test_effects_in_words():
    assert change(0.031) == "+3.1 %"
    assert change(-0.0004) == "−0.04 %"
    assert nearest([0.1, 0.4, 0.9]) == 0.4
    assert np.isnan(nearest([]))
