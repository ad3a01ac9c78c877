"""Protocol as-published: its items one by one, and the autopsy that corrects one at a time."""

from collections import defaultdict
from dataclasses import asdict, replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from data_utils.cohort import simulate_cohort
from data_utils.errors import InputError
from data_utils.preparation import PreparedData, ZScore, prepare
from models.architecture import architecture
from models.config import MemberConfig, Phase, usual_settings
from models.engine.conv import ConvStack
from models.engine.dense import DenseStack
from models.engine.optimizers import Adadelta, Schedule
from models.engine.sparsity import Sparsity
from models.engine.stack import Targets
from models.networks import initial_parameters
from models.training import PackTraining
from study.evidence.evidence import by_level
from study.grids import (
    ADAM,
    FACTORS,
    FRESH_NETWORK,
    FRESH_NOISE,
    LINEAR_OUTPUT,
    NOISE_FACTORS,
    Narrowing,
    corrections,
    plan,
)
from study.run.rows import member_rows, metric_rows
from tests.small import for_all

NO_PENALTY = Sparsity.of(["kl"], [0.0], [0.05], dtype=torch.float64)


@pytest.fixture(scope="module")
def data():
    return prepare(simulate_cohort(n_samples=400, seed=3).matrix)


def as_published(model, noise, seeds=1, epochs=None):
    depth = model.removeprefix("dense-")
    members = plan(
        "as-published", Narrowing(depths=[depth], noise=noise, seeds=seeds, epochs=epochs)
    )
    return [member for member in members if not member.protocol.changed]


def trained(members, data):
    training = PackTraining(tuple(members), for_all(data))
    while not training.finished:
        training.advance()
    return training


def levels(training):
    return by_level(member_rows(training), metric_rows(training))


@pytest.mark.parametrize(
    ("model", "hidden"),
    [
        ("dense-2", (32,)),
        ("dense-4", (64, 32, 64)),
        ("dense-6", (128, 64, 32, 64, 128)),
        ("dense-8", (256, 128, 64, 32, 64, 128, 256)),
    ],
)
def test_without_the_second_code_layer(model, hidden):
    network = architecture(model, code_layers=1)
    assert network.hidden == hidden
    assert [hidden[i] for i in network.code_layers] == [32]


def test_grids():
    assert len(plan("as-published", Narrowing())) == (5 + 1) * 5
    # each of 12 dense members, 2 items alone, and 15 sets of factors, 8 of them fresh at 3 levels;
    # each of 3 conv members, 6 items alone, one of them fresh at 3 levels
    assert len(plan("autopsy", Narrowing())) == 12 * (1 + 2 + 7 + 8 * 3) + 3 * (1 + 5 + 3)
    [member] = plan("as-published", Narrowing(depths=["4"], seeds=1))
    assert [phase.noise_factors for phase in member.phases] == [(alpha,) for alpha in NOISE_FACTORS]
    assert {phase.epochs for phase in member.phases} == {10}
    assert (member.grid, str(member.protocol), member.optimizer, member.learning_rate) == (
        "as-published",
        "as-published",
        "adadelta",
        1.0,
    )
    [shorter] = plan("as-published", Narrowing(depths=["4"], seeds=1, epochs=2, noise=[0.0, 0.5]))
    assert shorter.phases == (Phase((0.0,), 2), Phase((0.5,), 2))


CHANGES = {
    FRESH_NETWORK: {"phases"},
    LINEAR_OUTPUT: {"output"},
    ADAM: {"optimizer", "phases"},
    FRESH_NOISE: {"noise_draws"},
    "noisy input": {"noise_draws"},
    "scaled on training rows": {"scaling"},
    "two code layers": {"code_layers"},
    "one image per sample": {"layout"},
}


@pytest.mark.parametrize("model", ["dense-2", "conv"])
def test_a_correction_changes_what_it_names_and_nothing_else(model):
    [published] = as_published(model, (0.0, 0.5))
    whole = asdict(published)
    found = set()
    for member in corrections(published, 8, (0.0, 0.5)):
        content = asdict(member)
        changed = {key for key in whole if content[key] != whole[key]} - {"protocol"}
        items = member.protocol.changed
        found.add(items)
        expected = set().union(*(CHANGES[item] for item in items))
        if ADAM in items:
            adam = ("batch_size", "learning_rate", "rate_schedule")
            usual = usual_settings(model)
            expected |= {name for name in adam if usual[name] != whole[name]}
            assert member.learning_rate == min(usual["learning_rate"], 0.005)
        if model == "conv" and LINEAR_OUTPUT in items:
            expected |= {"loss"}
        assert changed == expected
    if model == "conv":
        alone = (*FACTORS[:3], "noisy input", "scaled on training rows", "one image per sample")
        assert found == {(item,) for item in alone}
    else:
        sets = [tuple(sorted(s)) for n in (1, 2, 3, 4) for s in combinations(FACTORS, n)]
        assert found == {*sets, ("scaled on training rows",), ("two code layers",)}


def test_the_schedules_of_the_autopsy():
    """Fresh networks at a few levels only; Adam converges at the first level, then trains less."""
    [published] = as_published("dense-4", (0.0, 0.25, 0.5, 1.0))
    by_items = defaultdict(list)
    for member in corrections(published, 8, (0.0, 0.5)):
        by_items[member.protocol.changed].append(
            [(phase.noise_factor, phase.epochs) for phase in member.phases]
        )
    assert by_items[(LINEAR_OUTPUT,)] == [[(0.0, 10), (0.25, 10), (0.5, 10), (1.0, 10)]]
    assert by_items[(ADAM,)] == [[(0.0, 8), (0.25, 2), (0.5, 2), (1.0, 2)]]
    assert by_items[(FRESH_NETWORK,)] == [[(0.0, 10)], [(0.5, 10)]]
    assert by_items[tuple(sorted((ADAM, FRESH_NETWORK)))] == [[(0.0, 8)], [(0.5, 8)]]


def test_adadelta_is_torchs_in_float64():
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 50, generator=generator, dtype=torch.float64)
    rates = [1.0, 1.0, 0.5]
    values = start.clone()
    stacked = Adadelta(values, [Schedule(rate) for rate in rates])
    parameters = [nn.Parameter(row.clone()) for row in start]
    optimizers = [
        torch.optim.Adadelta([p], lr=rate, rho=0.95, eps=1e-7)
        for p, rate in zip(parameters, rates, strict=True)
    ]
    for _ in range(20):
        gradients = torch.randn(3, 50, generator=generator, dtype=torch.float64)
        stacked.step(gradients)
        for parameter, optimizer, gradient in zip(parameters, optimizers, gradients, strict=True):
            parameter.grad = gradient.clone()
            optimizer.step()
    torch.testing.assert_close(
        values, torch.stack([p.detach() for p in parameters]), rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("model", ["dense-4", "conv"])
@pytest.mark.parametrize("loss", ["mse", "bce"])
@pytest.mark.parametrize("code_activation", ["relu", "sigmoid"])
def test_gradients_equal_autograd(model, loss, code_activation):
    """Binary cross-entropy as Keras has it, for targets far beyond 0 and 1, and a ReLU code."""
    genes, rows = 200, 12
    network = architecture(
        model, "sigmoid", code_activation, code_layers=1 if model != "conv" else 2
    )
    stack = (ConvStack if model == "conv" else DenseStack)(
        network, genes, 1, dtype=torch.float64, loss=loss
    )
    stack.set_member(
        0, {n: v.double() for n, v in initial_parameters(network, genes, 0, "glorot").items()}
    )
    generator = torch.Generator().manual_seed(1)
    clean = 3 * torch.randn(rows, genes, generator=generator, dtype=torch.float64)
    value = stack.backward(slice(0, 1), clean.unsqueeze(0), Targets(clean), NO_PENALTY)[0]
    leaves = {name: p[0].clone().requires_grad_() for name, p in stack.parameters.items()}
    output = plain(model, code_activation, leaves, clean)
    if loss == "bce":
        p = output.clamp(1e-7, 1 - 1e-7)
        expected = nn.functional.binary_cross_entropy(p, torch.zeros_like(p), reduction="none")
        expected = (expected - clean * (p.log() - (1 - p).log())).mean()  # linear in the target
    else:
        expected = nn.functional.mse_loss(output, clean)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-10, atol=0)
    for (name, leaf), gradient in zip(
        leaves.items(), torch.autograd.grad(expected, leaves.values()), strict=True
    ):
        torch.testing.assert_close(
            stack.gradients[name][0], gradient, rtol=1e-9, atol=1e-12, msg=f"{name} {leaf.shape}"
        )


def plain(model, code_activation, parameters, x):
    """One network, written plainly."""
    sigmoid = code_activation == "sigmoid"
    weights = [p for name, p in parameters.items() if name.endswith("weight")]
    biases = [p for name, p in parameters.items() if name.endswith("bias")]
    if model == "conv":
        h = nn.functional.pad(x, (0, 256 - x.shape[1])).view(len(x), 1, 16, 16)
        for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            h = nn.functional.conv2d(h, weight, bias, padding=1)
            if i < 3:
                h = nn.functional.max_pool2d(h.sigmoid() if sigmoid and i == 2 else h.relu(), 2)
            elif i < 6:
                h = nn.functional.interpolate(h.relu(), scale_factor=2)
        return h.flatten(1)[:, : x.shape[1]].sigmoid()
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        x = nn.functional.linear(x, weight, bias)
        last, code = i == len(weights) - 1, i == len(weights) // 2 - 1
        x = x.sigmoid() if last or (sigmoid and code) else x.relu()
    return x


def test_scaling_over_all_samples_is_the_fit_on_all_values():
    matrix = simulate_cohort(n_samples=300, seed=5).matrix
    data = prepare(matrix)
    everything = ZScore.fit(matrix.values)
    variant = data.variant(scaling="all")
    for part in ("train", "validation", "test"):
        expected = everything.transform(matrix.values[getattr(data.split, part)])
        np.testing.assert_allclose(getattr(variant, part), expected, atol=2e-5)
    np.testing.assert_allclose(variant.scaling.centre, everything.centre, rtol=1e-5)
    np.testing.assert_allclose(variant.scaling.scale, everything.scale, rtol=1e-5)
    assert data.variant() is data


def test_stream_cuts_the_numbers_of_a_part_into_images():
    rng = np.random.default_rng(0)
    parts = {
        part: rng.standard_normal((n, 943)).astype(np.float32)
        for part, n in (("train", 7), ("validation", 2))
    }
    data = PreparedData(**parts, test=parts["train"], scaling=None, split=None, gene_ids=None)
    images = data.variant(layout="stream").train
    assert images.shape == (12, 576)  # 6601 numbers and 311 zeros
    np.testing.assert_array_equal(images.reshape(-1)[: 7 * 943], parts["train"].reshape(-1))
    assert not images.reshape(-1)[7 * 943 :].any()


def test_levels_are_those_of_the_phases(data):
    noise = (0.0, 0.4, 0.9)
    training = trained(as_published("dense-2", noise, seeds=2, epochs=2), data)
    table = levels(training)
    assert list(table["noise_factor"]) == [*noise, *noise]
    members = member_rows(training).set_index("member_id")
    last = table[table["noise_factor"] == 0.9].set_index("member_id")
    pd.testing.assert_series_equal(last["test_mse"], members["test_mse"])
    pd.testing.assert_series_equal(last["train_clean_mse"], members["train_clean_mse"])
    assert table["test_mse"].nunique() == 6


def test_clean_training_rows_are_measured_without_noise(data):
    """At noise 0 the noisy and the clean errors are equal; at noise 1 the clean one is smaller."""
    members = [MemberConfig("dense-2", (Phase((noise,), 3),)) for noise in (0.0, 1.0)]
    quiet, loud = member_rows(trained(members, data)).itertuples()
    assert quiet.train_clean_mse == quiet.train_mse
    assert loud.train_clean_mse < loud.train_mse


def test_more_noise_less_error_is_the_network_that_is_carried_along(data):
    """Claim C3 on a small cohort: it appears as published, and vanishes with fresh networks."""
    noise = (0.0, 0.3, 0.6, 0.9)
    [published] = as_published("dense-2", noise, epochs=20)
    carried = levels(trained([published], data))["train_clean_mse"].to_numpy()
    fresh = [m for m in corrections(published, 1, noise) if m.protocol.changed == (FRESH_NETWORK,)]
    alone = levels(trained(fresh, data))["train_clean_mse"].to_numpy()
    assert (np.diff(carried) < -0.005).all()
    assert np.ptp(alone) < 0.25 * np.ptp(carried)


@pytest.mark.parametrize(
    "wrong",
    [
        {"loss": "bce"},
        {"code_activation": "relu", "beta": 0.01},
        {"code_layers": 3},
        {"code_activation": "tanh"},
        {"initialisation": "ones"},
        {"scaling": "test"},
        {"layout": "tiles"},
    ],
    ids=str,
)
def test_switches_that_are_wrong_are_input_errors(wrong):
    with pytest.raises(InputError):
        MemberConfig("dense-2", (Phase((0.5,), 1),), **wrong)


def test_the_conv_script_sees_no_noise_in_training(data):
    """Its schedule is only what it is measured at: networks of other levels are the same."""
    [member] = as_published("conv", (0.0, 0.6), epochs=1)
    assert member.noise_draws == "none"
    other = replace(member, phases=(Phase((0.3,), 1), Phase((0.9,), 1)))
    first, second = trained([member], data), trained([other], data)
    for name, value in first.parameters(0).items():
        assert torch.equal(value, second.parameters(0)[name])
    ours, its = levels(first), levels(second)
    assert ours["train_clean_mse"].tolist() == its["train_clean_mse"].tolist()
    assert ours["test_mse"].tolist() != its["test_mse"].tolist()
    assert member_rows(first).loc[0, "train_mse"] == member_rows(first).loc[0, "train_clean_mse"]
    noisy = trained([replace(member, noise_draws="once")], data)
    assert levels(noisy)["train_clean_mse"].tolist() != ours["train_clean_mse"].tolist()
