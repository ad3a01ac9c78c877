"""A pack equals its members, each member equals a plain PyTorch loop; a break changes nothing."""

import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from data_utils.expression import ExpressionMatrix
from data_utils.preparation import prepare
from models import training as training_module
from models.architecture import architecture
from models.config import MemberConfig, Phase
from models.networks import initial_parameters
from models.training import PackTraining, train
from tests.models import reference
from tests.small import for_all

MODELS = ["dense-2", "dense-4", "dense-6", "dense-8", "conv"]
BATCH = 32


def cohort(n_genes=60, n_samples=120, seed=0):
    """Prepared low-rank data: 84 training rows, so batches of 32, 32 and 20."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n_samples, 5)) @ rng.normal(size=(5, n_genes)) + rng.normal(
        size=(n_samples, n_genes)
    )
    names = [
        np.array([f"{kind}{i}" for i in range(n)], dtype=object)
        for kind, n in zip("sg", values.shape, strict=True)
    ]
    return prepare(ExpressionMatrix(values.astype(np.float32), *names))


DATA = {"dense": cohort(60), "conv": cohort(200), "wide": cohort(943, 200)}


def data_of(model):
    return DATA["conv" if model == "conv" else "dense"]


def member(model="dense-2", noise=0.5, epochs=3, **other):
    usual = {
        "model": model,
        "phases": (Phase((noise,), epochs),),
        "batch_size": BATCH,
        "learning_rate": 3e-3,
    }
    return MemberConfig(**usual | other)


def trained(members, data=None):
    training = PackTraining(
        tuple(members), for_all(data_of(members[0].model) if data is None else data)
    )
    while not training.finished:
        training.advance()
    return training


def records(training, k):
    """What was measured of member k, exactly; `repr` so that NaN equals NaN."""
    return [
        (r.epoch, r.split, r.metric, repr(r.noise_factors[k]), repr(r.values[k]))
        for r in training.records
    ]


def outcome(training, k):
    """Records, final parameters and errors by sample of member k, to the last bit."""
    parameters = {name: value.numpy().tobytes() for name, value in training.stack.member(k).items()}
    own = training.rows[training.members[k].seed].get("test", ())
    samples = [its.values[k, : len(own)].numpy().tobytes() for its in training.sample_errors]
    return records(training, k), parameters, samples


def measured(training, k):
    """{(epoch, split, metric, noise factor or None): value} of member k."""
    keys = [
        (r.epoch, r.split, r.metric, None if math.isnan(r.noise_factors[k]) else r.noise_factors[k])
        for r in training.records
    ]
    assert len(set(keys)) == len(keys)
    return {key: r.values[k] for key, r in zip(keys, training.records, strict=True)}


def plainly(config, data, dtype=torch.float32):
    """The same member by the plain loop."""
    start = initial_parameters(config.architecture, data.n_genes, config.seed)
    net = reference.network(
        config.model, data.n_genes, config.output, start, dtype, noise_input=config.noise_input
    )
    schedule = [(phase.noise_factors, phase.epochs) for phase in config.phases]
    options = {
        "seed": config.seed,
        "learning_rate": config.learning_rate,
        "batch_size": config.batch_size,
        "draws": config.noise_draws,
        "rates": config.rate_schedule,
    }
    return reference.train(
        net, data, schedule, **options, kind=config.sparsity, beta=config.beta, rho=config.rho
    )


def agrees(training, k, relative=1e-4, data=None, dtype=torch.float32):
    """Member k's numbers are those of the plain loop."""
    data = DATA_BY_WIDTH[training.n_genes] if data is None else data
    own, plain = measured(training, k), plainly(training.members[k], data, dtype)
    assert {key for key in own if key[2] not in ("mean_activation", "dead_units")} == set(plain)
    for key, value in plain.items():
        assert own[key] == pytest.approx(value, rel=relative), key


DATA_BY_WIDTH = {data.n_genes: data for data in DATA.values()}


# (a) an independent loop


@pytest.mark.parametrize("output", ["linear", "sigmoid"])
@pytest.mark.parametrize("model", MODELS)
def test_members_equal_a_plain_loop(model, output):
    terms = [
        {},
        {"beta": 0.1},
        {"beta": 0.02, "sparsity": "l1"},
        {"beta": 0.1, "rho": 0.2, "seed": 1},
    ]
    # At a learning rate of 3e-3, a last bit that two kinds of CPU round differently grows to 5e-4
    # in dense-8; at 1e-3 no difference exceeds 1e-6.
    training = trained([member(model, output=output, learning_rate=1e-3, **term) for term in terms])
    for k in range(len(terms)):
        agrees(training, k, relative=1e-5)
    losses = [measured(training, k)[3, "train", "loss", 0.5] for k in range(3)]
    assert min(abs(a - b) for a, b in ((losses[0], losses[1]), (losses[0], losses[2]))) > 1e-2


def test_noise_levels_equal_a_plain_loop():
    training = trained([member("dense-4", noise) for noise in (0.0, 0.1, 1.0)])
    for k in range(3):
        agrees(training, k)


def test_943_genes_equal_a_plain_loop():
    members = [member("dense-4", beta=0.1), member("dense-4", 0.1)]
    training = trained(members, DATA["wide"])
    for k in range(2):
        agrees(training, k)


def test_loss_falls():
    own = measured(trained([member("dense-4", 0.1, epochs=30)]), 0)
    assert own[30, "train", "loss", 0.1] < 0.8 * own[1, "train", "loss", 0.1]
    assert own[30, "validation", "mse", 0.1] < own[1, "validation", "mse", 0.1]


def test_epoch_loss_is_the_mean_over_rows_of_all_batches():
    """Learning rate 0: the loss is that of one network on every row; the last batch is smaller."""
    config = member("dense-2", 0.0, epochs=2, learning_rate=0.0)
    own = measured(trained([config]), 0)
    assert own[1, "train", "loss", 0.0] == pytest.approx(own[2, "train", "mse", 0.0], rel=1e-6)
    assert own[1, "train", "loss", 0.0] == pytest.approx(own[2, "train", "loss", 0.0], rel=1e-6)


def test_mean_activation_is_the_codes():
    config = member("dense-2", 0.0, learning_rate=0.0)
    own = measured(trained([config]), 0)
    start = initial_parameters(architecture("dense-2"), 60, 0)
    _, code = reference.network("dense-2", 60, parameters=start)(
        torch.from_numpy(DATA["dense"].validation)
    )
    by_hand = code.mean().item()
    assert own[1, "validation", "mean_activation", 0.0] == pytest.approx(by_hand, rel=1e-5)


def test_evaluation_in_parts_is_the_whole(monkeypatch):
    whole = measured(trained([member("dense-2"), member("dense-2", 0.1)]), 1)
    monkeypatch.setattr(training_module, "EVALUATION_ROWS", 16)
    parts = measured(trained([member("dense-2"), member("dense-2", 0.1)]), 1)
    assert parts == pytest.approx(whole, rel=1e-5)


@pytest.mark.parametrize("noise_factors", [(0.5,), (0.1, 0.5, 1.0)])
def test_members_with_the_noise_as_an_input_equal_a_plain_loop(noise_factors):
    phases = (Phase(noise_factors, 3),)
    training = trained(
        [member("dense-4", phases=phases, noise_input=True, seed=seed) for seed in (0, 0, 1)]
    )
    assert training.stack.parameters["layer0.weight"].shape == (3, 64, 61)
    for k in range(3):
        agrees(training, k)


@pytest.mark.parametrize("rates", ["constant", "cosine"])
@pytest.mark.parametrize("draws", ["once", "fresh"])
@pytest.mark.parametrize(
    "phases",
    [
        (Phase((0.5,), 3),),
        (Phase((0.0,), 1), Phase((0.5,), 2), Phase((0.1,), 1)),
        (Phase((0.0, 0.4, 1.0), 2), Phase((0.2, 0.4, 0.6), 1)),
    ],
    ids=["one", "carried", "mixed"],
)
def test_noise_draws_and_schedules_equal_a_plain_loop_in_float64(draws, rates, phases):
    """Seeds of one pack have rows of their own: 84, 77 and 70, three batches each."""
    replicates = [cohort(60, n_samples, seed=n_samples) for n_samples in (120, 110, 100)]
    pack = [
        member("dense-4", phases=phases, seed=seed, noise_draws=draws, rate_schedule=rates, **other)
        for seed in range(3)
        for other in ({}, {"beta": 0.05})
    ]
    training = PackTraining(tuple(pack), replicates.__getitem__)
    while not training.finished:
        training.advance()
    for k, config in enumerate(pack):
        agrees(training, k, 1e-5, replicates[config.seed], torch.float64)
    alone = PackTraining(tuple(pack[4:5]), replicates.__getitem__)
    while not alone.finished:
        alone.advance()
    assert outcome(alone, 0) == outcome(training, 4)


@pytest.mark.parametrize("model", ["dense-4", "conv"])
def test_errors_of_test_samples_are_those_of_the_network_in_float64(model):
    """Two seeds with 24 and 22 test rows, carried through a phase of one and one of two factors."""
    n_genes = 200 if model == "conv" else 60
    replicates = [cohort(n_genes, n_samples, seed=n_samples) for n_samples in (120, 110)]
    phases = (Phase((0.5,), 1), Phase((0.1, 1.0), 1))
    pack = tuple(member(model, phases=phases, seed=seed) for seed in (0, 1))
    training = PackTraining(pack, replicates.__getitem__)
    after = []  # the networks at the end of each phase
    while not training.finished:
        if training.advance():
            after.append([training.parameters(k) for k in range(2)])
    found = [(its.epoch, its.noise_factors) for its in training.sample_errors]
    assert found == [(1, [0.5, 0.5]), (2, [0.1, 0.1]), (2, [1.0, 1.0])]
    own = [measured(training, k) for k in range(2)]
    for its in training.sample_errors:
        assert its.values.shape == (2, 24)
        for k, data in enumerate(replicates):
            clean = torch.from_numpy(data.test).double()
            weights = after[its.epoch - 1][k]
            net = reference.network(model, n_genes, parameters=weights, dtype=torch.float64)
            expected = reference.sample_errors(net, clean, k, its.noise_factors[k])
            values = its.values[k].double()
            torch.testing.assert_close(values[: len(clean)], expected, rtol=1e-5, atol=0)
            assert values[len(clean) :].isnan().all()
            test = own[k][its.epoch, "test", "mse", its.noise_factors[k]]
            assert values[: len(clean)].mean().item() == pytest.approx(test, rel=1e-14)
            assert expected.mean().item() == pytest.approx(test, rel=1e-6)


def test_test_rows_are_measured_once_in_each_phase(monkeypatch):
    measured_parts, evaluated = [], PackTraining._evaluated

    def noting(self, seed, part, levels):
        measured_parts.append((self.epoch + 1, part))
        return evaluated(self, seed, part, levels)

    monkeypatch.setattr(PackTraining, "_evaluated", noting)
    trained([member("dense-2", phases=CARRIED)])
    ends = list(np.cumsum([phase.epochs for phase in CARRIED]))
    assert [epoch for epoch, part in measured_parts if part == "test"] == ends


@pytest.mark.parametrize("other", [{"layout": "stream"}, {"gene_order": "shuffled"}], ids=str)
def test_rows_that_are_no_samples_have_no_errors_by_sample(other):
    config = member("dense-2", epochs=1, **other)
    assert trained([config]).sample_errors == []
    assert not PackTraining((config,), for_all(DATA["dense"]), tested=False).sample_errors


def test_a_pack_whose_seeds_need_different_numbers_of_batches_is_refused():
    replicates = [cohort(60, n_samples) for n_samples in (120, 160)]
    with pytest.raises(ValueError, match="batches per epoch"):
        PackTraining(tuple(member(seed=seed) for seed in (0, 1)), replicates.__getitem__)


# (b) a pack equals its members, to the last bit

ALONE = {"beta": 0.1, "seed": 1}


def packs_around(one):
    """Packs in which `one` keeps different company: (members, index of `one`)."""
    same_input = [
        replace(one, beta=beta, sparsity=kind)
        for beta, kind in ((0.0, "kl"), (1e-3, "l1"), (0.5, "kl"))
    ]
    other_seeds = [replace(one, seed=seed) for seed in (0, 2)]
    other_noise = [replace(one, phases=(Phase((noise,), one.epochs),)) for noise in (0.0, 0.9)]
    other_rates = [replace(one, learning_rate=rate) for rate in (1e-4, 0.03)]
    return {
        "first of a shared input": ([one, *same_input], 0),
        "last of a shared input": ([*same_input, one], 3),
        "other seeds": ([other_seeds[0], one, other_seeds[1]], 1),
        "other noise, no shared input": ([other_noise[0], one, other_noise[1]], 1),
        "other learning rates": ([other_rates[0], one, other_rates[1]], 1),
        "all": (
            [*other_seeds[:1], *same_input, *other_noise, *other_rates, one, *other_seeds[1:]],
            8,
        ),
    }


@pytest.mark.parametrize("company", packs_around(member()))
@pytest.mark.parametrize("model", MODELS)
def test_a_member_does_not_depend_on_its_pack(model, company):
    one = member(model, epochs=2, **ALONE)
    pack, k = packs_around(one)[company]
    assert pack[k] == one
    assert outcome(trained(pack), k) == outcome(trained([one]), 0)


@pytest.mark.parametrize("batch_size", [32, 140])
@pytest.mark.parametrize("output", ["linear", "sigmoid"])
@pytest.mark.parametrize("model", ["dense-2", "dense-4", "dense-8", "dense-64x15x50"])
def test_a_member_does_not_depend_on_its_pack_at_943_genes(model, output, batch_size):
    """Vectors of 943 have tails, which ATen's sigmoid rounds differently; products go to MKL."""
    one = member(model, epochs=1, **ALONE, output=output, batch_size=batch_size)
    alone = outcome(trained([one], DATA["wide"]), 0)
    packs = packs_around(one)
    for company in ("first of a shared input", "other noise, no shared input", "all"):
        pack, k = packs[company]
        assert outcome(trained(pack, DATA["wide"]), k) == alone, company


@pytest.mark.parametrize("block", [1, 2, 100])
@pytest.mark.parametrize("model", ["dense-4", "conv"])
def test_blocks_do_not_change_a_number(monkeypatch, model, block):
    pack, _ = packs_around(member(model, epochs=1, **ALONE))["all"]
    usual = trained(pack)
    monkeypatch.setattr(training_module, "CPU_BLOCK", block)
    other = trained(pack)
    for k in range(len(pack)):
        assert outcome(other, k) == outcome(usual, k)


def test_members_of_small_error_are_computed_exactly_and_keep_their_numbers(monkeypatch):
    """A block mixes members that have learnt the data with others; each equals itself alone."""
    monkeypatch.setattr("models.engine.dense.RESIDUAL_FREE_MSE", 0.8)
    pack = tuple(
        member("dense-4", noise, 20, learning_rate=rate)
        for noise in (0.0, 0.1)
        for rate in (3e-3, 1e-6)
    )
    together = trained(pack)
    assert [mse < 0.8 for mse in together.curve[-1]] == [True, False, True, False]
    for k, one in enumerate(pack):
        assert outcome(trained([one]), 0) == outcome(together, k)
    half = PackTraining(pack, for_all(DATA["dense"]))
    while half.epoch < 15:
        half.advance()
    again = PackTraining(pack, for_all(DATA["dense"]))
    again.restore(*through_a_file(half))
    while not again.finished:
        again.advance()
    assert outcome(again, 0) == outcome(together, 0)
    monkeypatch.setattr("models.engine.dense.RESIDUAL_FREE_MSE", 0.0)
    assert outcome(trained(pack), 0) != outcome(together, 0)  # the path is really another


def test_a_pack_in_another_order_holds_the_same_networks():
    pack, _ = packs_around(member("dense-2", **ALONE))["all"]
    forward, backward = trained(pack), trained(pack[::-1])
    for k in range(len(pack)):
        assert outcome(forward, k) == outcome(backward, len(pack) - 1 - k)


def test_members_differ():
    """The tests above compare numbers that could differ."""
    pack, _ = packs_around(member("dense-2", **ALONE))["all"]
    training = trained(pack)
    parameters = [tuple(sorted(outcome(training, k)[1].items())) for k in range(len(pack))]
    assert len(set(parameters)) == len(pack)


def test_train_keeps_each_member_at_its_best_epoch_and_ends_when_none_gets_better():
    pack = tuple(member("dense-2", 1.0, 200, learning_rate=rate) for rate in (0.1, 0.03))
    training = PackTraining(pack, for_all(DATA["dense"]), tested=False)
    best = train(training, patience=3)
    curves = np.array(training.curve)
    assert [its.epoch for its in best] == (curves.argmin(axis=0) + 1).tolist()
    assert [its.mse for its in best] == curves.min(axis=0).tolist()
    assert training.epoch == max(its.epoch for its in best) + 3 < 200
    for k, its in enumerate(best):
        until = trained([member("dense-2", 1.0, its.epoch, learning_rate=pack[k].learning_rate)])
        for name, value in its.parameters.items():
            assert torch.equal(value, until.parameters(0)[name])


def test_train_ends_where_no_member_has_a_finite_error():
    training = PackTraining(
        (member("dense-2", epochs=5, learning_rate=1e30),), for_all(DATA["dense"])
    )
    [best] = train(training)
    assert (best.epoch, training.epoch) == (0, 1)


# (c) a break changes nothing

BROKEN = {
    "dense-2": [
        member("dense-2", phases=(Phase((0.5,), 2), Phase((0.1,), 1)), seed=seed, beta=beta)
        for seed, beta in ((0, 0.0), (0, 0.1), (1, 0.1))
    ],
    "conv": [member("conv", noise, epochs=2) for noise in (0.1, 0.5)],
    "mixed noise": [
        member("dense-2", phases=(Phase((0.1, 0.9), 2),), seed=seed) for seed in (0, 1)
    ],
    "fresh": [
        member(
            "dense-2", phases=(Phase((0.5,), 1), Phase((0.1,), 1)), seed=seed, noise_draws="fresh"
        )
        for seed in (0, 1)
    ],
    "cosine": [member("dense-2", epochs=2, rate_schedule=kind) for kind in ("constant", "cosine")],
    "diverging": [member("dense-2", epochs=2), member("dense-2", epochs=2, learning_rate=1e30)],
}


def through_a_file(training):
    """The state as a checkpoint holds it: copies, and JSON."""
    tensors, facts = training.state()
    return {name: tensor.clone() for name, tensor in tensors.items()}, json.loads(json.dumps(facts))


@pytest.mark.parametrize("pack", BROKEN)
def test_resumed_between_any_two_batches_equals_unbroken(pack):
    members = tuple(BROKEN[pack])
    data = data_of(members[0].model)
    whole = PackTraining(members, for_all(data))
    states = [through_a_file(whole)]
    while not whole.finished:
        whole.advance()
        states.append(through_a_file(whole))
    assert len(states) == 3 * members[0].epochs + 1
    assert {facts["batch"] for _, facts in states} == {0, 1, 2}
    for state in states:
        resumed = PackTraining(members, for_all(data))
        resumed.restore(*state)
        while not resumed.finished:
            resumed.advance()
        assert resumed.diverged_epoch == whole.diverged_epoch
        for k in range(len(members)):
            assert outcome(resumed, k) == outcome(whole, k)


def test_state_is_complete_and_json_able():
    training = PackTraining(tuple(BROKEN["dense-2"]), for_all(DATA["dense"]))
    for _ in range(4):
        training.advance()
    tensors, facts = through_a_file(training)
    assert all(tensor.device.type == "cpu" for tensor in tensors.values())
    assert (facts["epoch"], facts["batch"], facts["step_count"]) == (1, 1, 4)
    resumed = PackTraining(training.members, for_all(DATA["dense"]))
    resumed.restore(tensors, facts)
    assert resumed.seconds == training.seconds > 0
    again = resumed.state()
    assert again[1] == facts
    assert all(torch.equal(again[0][name], tensor) for name, tensor in tensors.items())


def test_resumed_twice_equals_unbroken():
    members = tuple(BROKEN["dense-2"])
    training, batches = PackTraining(members, for_all(DATA["dense"])), 0
    while not training.finished:
        training.advance()
        batches += 1
        if batches in (2, 5):
            state = through_a_file(training)
            training = PackTraining(members, for_all(DATA["dense"]))
            training.restore(*state)
    whole = trained(members)
    assert batches == 9
    assert all(outcome(training, k) == outcome(whole, k) for k in range(3))


def test_restored_into_a_training_that_is_further_on():
    members = tuple(BROKEN["dense-2"])
    training = PackTraining(members, for_all(DATA["dense"]))
    training.advance()
    state = through_a_file(training)
    for _ in range(3):
        training.advance()
    training.restore(*state)
    while not training.finished:
        training.advance()
    assert outcome(training, 0) == outcome(trained(members), 0)


def test_state_is_a_snapshot():
    training = PackTraining(tuple(BROKEN["diverging"]), for_all(DATA["dense"]))
    training.advance()
    tensors, facts = training.state()
    kept = {name: tensor.clone() for name, tensor in tensors.items()}, json.dumps(facts)
    while not training.finished:
        training.advance()
    assert all(torch.equal(kept[0][name], tensor) for name, tensor in tensors.items())
    assert json.dumps(facts) == kept[1]


# (d) schedules

CARRIED = (Phase((0.0,), 2), Phase((0.5,), 1), Phase((1.0,), 2))


@pytest.mark.parametrize("model", ["dense-2", "conv"])
def test_carried_along_equals_a_plain_loop(model):
    training = trained(
        [member(model, phases=CARRIED), member(model, phases=CARRIED, beta=0.1, seed=1)]
    )
    agrees(training, 0)
    agrees(training, 1)


def test_phases_are_evaluated_at_their_own_noise_and_weights_are_carried():
    carried = trained([member("dense-2", phases=CARRIED)])
    own = measured(carried, 0)
    assert [key for key in own if key[1] == "test"] == [
        (2, "test", "mse", 0.0),
        (3, "test", "mse", 0.5),
        (5, "test", "mse", 1.0),
    ]
    assert Counter((key[1], key[2]) for key in own) == {
        ("train", "loss"): 5,
        ("validation", "mse"): 5,
        ("validation", "mean_activation"): 5,
        ("validation", "dead_units"): 3,
        ("train", "mse"): 3,
        ("test", "mse"): 3,
        ("train-clean", "mse"): 3,
    }
    first = measured(trained([member("dense-2", phases=CARRIED[:1])]), 0)
    assert {key: own[key] for key in first if key[1] != "test-across"} == {
        key: value for key, value in first.items() if key[1] != "test-across"
    }
    fresh = measured(trained([member("dense-2", phases=CARRIED[1:2])]), 0)
    assert own[3, "train", "loss", 0.5] < fresh[1, "train", "loss", 0.5]


def test_phase_of_each_epoch():
    training = PackTraining((member("dense-2", phases=CARRIED),), for_all(DATA["dense"]))
    phases = []
    while not training.finished:
        if training.batch == 0:
            phases.append(training.phase)
        training.advance()
    assert phases == [0, 0, 1, 2, 2]


def test_mixed_noise_equals_a_plain_loop():
    mixed = (Phase((0.0, 0.4, 1.0), 2), Phase((0.2,), 1))
    training = trained(
        [member("dense-2", phases=mixed), member("dense-2", phases=mixed, beta=0.1, seed=1)]
    )
    agrees(training, 0)
    agrees(training, 1)
    own = measured(training, 0)
    assert sorted(key[3] for key in own if key[:3] == (2, "test", "mse")) == [0.0, 0.4, 1.0]
    assert own[2, "test", "mse", 0.0] < own[2, "test", "mse", 1.0]


def batches(monkeypatch, members, data=None):
    """Trains, and returns [(members' indices, inputs, clean)] as the stack saw them."""
    training = PackTraining(
        tuple(members), for_all(data_of(members[0].model) if data is None else data)
    )
    seen, backward = [], training.stack.backward

    def spy(block, inputs, targets, sparsity):
        seen.append((range(*block.indices(len(members))), inputs.clone(), targets.rows.clone()))
        return backward(block, inputs, targets, sparsity)

    monkeypatch.setattr(training.stack, "backward", spy)
    while not training.finished:
        training.advance()
    return seen


def by_member(seen, k):
    """Inputs and targets of member k, batch after batch."""
    return [(inputs[ks.index(k)], clean) for ks, inputs, clean in seen if k in ks]


def test_mixed_noise_uses_every_factor_by_row(monkeypatch):
    rows = by_member(
        batches(monkeypatch, [member("dense-2", phases=(Phase((0.0, 0.5, 2.0), 2),))]), 0
    )
    sizes = torch.cat([(noisy - clean).std(dim=1) for noisy, clean in rows])
    factors = [min((0.0, 0.5, 2.0), key=lambda alpha: abs(alpha - size)) for size in sizes.tolist()]
    counts = Counter(factors)
    assert set(counts) == {0.0, 0.5, 2.0}
    assert min(counts.values()) > 2 * 84 / 3 / 2
    for size, factor in zip(sizes.tolist(), factors, strict=True):
        assert size == pytest.approx(factor, rel=0.35)


# (e) divergence


@pytest.mark.parametrize("model", ["dense-2", "dense-4", "conv"])
def test_a_diverging_member_is_marked_and_spoils_no_other(model):
    good = [member(model, beta=beta, seed=seed) for beta, seed in ((0.0, 0), (0.1, 0), (0.0, 1))]
    bad = replace(good[0], learning_rate=1e30)
    packs = [[bad, *good], [good[0], bad, *good[1:]], [*good, bad]]
    alone = trained(good)
    for pack in packs:
        training = trained(pack)
        assert training.diverged_epoch == [1 if config is bad else None for config in pack]
        for k, config in enumerate(pack):
            if config is not bad:
                assert outcome(training, k) == outcome(alone, good.index(config))


def test_the_epoch_of_divergence_is_the_first_that_is_not_finite():
    """1e39 is beyond float32: the second phase's noise is infinite."""
    first = Phase((0.5,), 2)
    good, bad = (member("dense-2", phases=(first, Phase((noise,), 2))) for noise in (0.1, 1e39))
    training = trained([bad, good])
    assert training.diverged_epoch == [3, None]
    assert all(math.isfinite(r.values[0]) == (r.epoch <= 2) for r in training.records)
    assert outcome(training, 1) == outcome(trained([good]), 0)


def test_data_that_overflow_diverge_all_and_end():
    data = replace(DATA["dense"], train=DATA["dense"].train * np.float32(1e30))
    training = trained([member("dense-2"), member("dense-2", 0.1)], data)
    assert training.diverged_epoch == [1, 1]
    assert training.finished


# (f) test rows


@pytest.mark.parametrize("model", ["dense-2", "conv"])
def test_test_rows_change_only_the_test_records(model):
    pack = [member(model, beta=0.1), member(model, 0.1)]
    before = trained(pack)
    changed = replace(data_of(model), test=data_of(model).test[::-1] + np.float32(3))
    after = trained(pack, changed)
    for k in range(2):
        assert outcome(after, k)[1] == outcome(before, k)[1]
        pairs = list(zip(records(before, k), records(after, k), strict=True))
        assert all((a == b) == (a[1] not in ("test", "test-across")) for a, b in pairs)
        assert any(a[1] == "test" for a, _ in pairs)


def test_validation_rows_do_not_train():
    changed = replace(DATA["dense"], validation=DATA["dense"].validation + np.float32(3))
    before, after = trained([member()]), trained([member()], changed)
    assert outcome(after, 0)[1] == outcome(before, 0)[1]
    assert all(
        (a == b) == (a[1] != "validation")
        for a, b in zip(records(before, 0), records(after, 0), strict=True)
    )


def test_read_only_data_are_read_only():
    """Ray shares arrays read-only between workers."""
    parts = {part: getattr(DATA["dense"], part).copy() for part in ("train", "validation", "test")}
    kept = {part: values.copy() for part, values in parts.items()}
    for values in parts.values():
        values.flags.writeable = False
    shared = trained([member()], replace(DATA["dense"], **parts))
    assert outcome(shared, 0) == outcome(trained([member()]), 0)
    assert all(np.array_equal(parts[part], values) for part, values in kept.items())


# (g) streams


def test_within_a_seed_order_and_noise_are_common(monkeypatch):
    pack = [
        member("dense-2", noise, beta=beta, noise_draws="fresh")
        for noise, beta in ((0.5, 0.0), (1.0, 0.0), (0.5, 0.1))
    ]
    seen = batches(monkeypatch, pack)
    first, double, same = (by_member(seen, k) for k in range(3))
    assert len(first) == 9
    for a, b, c in zip(first, double, same, strict=True):
        assert torch.equal(a[1], b[1])
        assert torch.equal(a[0], c[0])
        torch.testing.assert_close(2 * (a[0] - a[1]), b[0] - b[1], rtol=1e-4, atol=1e-5)


def test_architectures_see_the_same_order_and_noise(monkeypatch):
    two, eight, conv = (
        by_member(batches(monkeypatch, [member(model, epochs=2)], DATA["conv"]), 0)
        for model in ("dense-2", "dense-8", "conv")
    )
    for a, b, c in zip(two, eight, conv, strict=True):
        assert all(torch.equal(a[i], b[i]) and torch.equal(a[i], c[i]) for i in range(2))


def test_each_seed_has_its_own_order_noise_and_weights(monkeypatch):
    pack = [member(seed=seed) for seed in (0, 1)]
    seen = batches(monkeypatch, pack)
    noise, targets = [], []
    for k in range(2):
        rows = by_member(seen, k)
        targets.append(torch.cat([clean for _, clean in rows]))
        noise.append(torch.cat([(noisy - clean) / 0.5 for noisy, clean in rows]))
    assert not torch.equal(targets[0], targets[1])
    correlation = torch.corrcoef(torch.stack([values.flatten() for values in noise]))[0, 1]
    assert abs(correlation) < 5 / math.sqrt(noise[0].numel())
    start = PackTraining(tuple(pack), for_all(DATA["dense"])).stack
    assert not torch.equal(start.member(0)["layer0.weight"], start.member(1)["layer0.weight"])


def test_every_epoch_has_its_own_order_and_noise_and_takes_every_row_once(monkeypatch):
    config = member(epochs=2, noise_draws="fresh")
    rows = by_member(batches(monkeypatch, [config]), 0)
    assert [len(clean) for _, clean in rows] == [32, 32, 20] * 2
    epochs = [torch.cat([clean for _, clean in rows[i : i + 3]]) for i in (0, 3)]
    noise = [torch.cat([noisy - clean for noisy, clean in rows[i : i + 3]]) for i in (0, 3)]
    assert not torch.equal(epochs[0], epochs[1])
    everything = sorted(map(tuple, DATA["dense"].train.tolist()))
    assert all(sorted(map(tuple, epoch.tolist())) == everything for epoch in epochs)
    draws = torch.cat(noise) / 0.5  # (168, genes): no row's draw comes twice
    closest = torch.cdist(draws, draws) + 1e9 * torch.eye(len(draws))
    assert closest.min() > 1
    assert draws.std().item() == pytest.approx(1, abs=0.05)


def noise_by_row(rows):
    """{clean row: noise} of one epoch's batches."""
    pairs = [pair for noisy, clean in rows for pair in zip(noisy, clean, strict=True)]
    return {tuple(clean.tolist()): noisy - clean for noisy, clean in pairs}


def test_noise_drawn_once_is_the_same_in_every_epoch_and_differs_by_factor(monkeypatch):
    pack = [member("dense-2", noise, epochs=2) for noise in (0.5, 1.0, 0.0)]
    seen = batches(monkeypatch, pack)
    half, one, none = (by_member(seen, k) for k in range(3))
    assert not torch.equal(half[0][1], half[3][1])  # each epoch has its own order
    first, second = noise_by_row(half[:3]), noise_by_row(half[3:])
    assert len(first) == 84
    assert all(torch.equal(noise, second[row]) for row, noise in first.items())
    assert torch.cat(list(first.values())).std().item() == pytest.approx(0.5, rel=0.05)
    others = noise_by_row(one[:3])
    both = torch.stack([torch.cat([its[row] for row in first]) for its in (first, others)])
    assert abs(torch.corrcoef(both)[0, 1]) < 5 / math.sqrt(both.shape[1])
    assert all(torch.equal(noisy, clean) for noisy, clean in none)


def test_noise_drawn_once_is_kept_for_one_phase_only():
    """The sets of a phase: by seed, those of its members' noise factors."""
    phases = (Phase((0.5,), 1), Phase((0.1,), 1))
    pack = tuple(member(phases=phases, seed=seed, beta=beta) for seed in (0, 1) for beta in (0, 1))
    training = PackTraining(pack, for_all(DATA["dense"]))
    assert not training._noise_sets
    kept = []
    while not training.finished:
        ended = training.advance()
        kept.append({seed: len(sets.rows) for seed, sets in training._noise_sets.items()})
        assert bool(kept[-1]) != ended
    assert kept[0] == {0: 84, 1: 84}


def test_seeds_of_one_pack_measure_with_their_own_noise():
    """Learning rate 0 and equal weights: what differs is the evaluation noise of the seed."""
    training = PackTraining(
        tuple(member(seed=seed, learning_rate=0.0) for seed in (0, 1)), for_all(DATA["dense"])
    )
    training.stack.set_member(1, training.stack.member(0))
    while not training.finished:
        training.advance()
    first, second = (measured(training, k) for k in range(2))
    for split in ("train", "test"):
        assert first[3, split, "mse", 0.5] != second[3, split, "mse", 0.5]
        assert first[3, split, "mse", 0.5] == pytest.approx(second[3, split, "mse", 0.5], rel=0.05)
    assert first[1, "validation", "mse", 0.5] == first[3, "validation", "mse", 0.5]
