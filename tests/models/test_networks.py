"""The plain networks compute Figs. 2 and 3, checked against the formulas in numpy."""

import math

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d

from models.architecture import architecture
from models.denoisers.network import NetworkDenoiser
from models.networks import build, initial_parameters

DENSE = ["dense-2", "dense-4", "dense-6", "dense-8"]


def drawn(network, n_genes):
    """Float64 parameters that all differ from 0."""
    rng = np.random.default_rng(0)
    return {
        name: torch.from_numpy(0.3 * rng.normal(size=shape))
        for name, shape in network.parameter_shapes(n_genes).items()
    }


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def relu(values):
    return np.maximum(values, 0)


@pytest.mark.parametrize(("output", "of_output"), [("linear", lambda x: x), ("sigmoid", sigmoid)])
def test_dense_4_is_the_formula_of_fig_2(output, of_output):
    network = architecture("dense-4", output)
    parameters = drawn(network, 50)
    x = np.random.default_rng(1).normal(size=(3, 50))
    answer, code = build(network, 50, parameters)(torch.from_numpy(x))
    w = {name: value.numpy() for name, value in parameters.items()}
    h, codes = x, []
    for i, activation in enumerate((relu, sigmoid, sigmoid, relu, of_output)):
        h = activation(h @ w[f"layer{i}.weight"].T + w[f"layer{i}.bias"])
        codes += [h] if activation is sigmoid and i in (1, 2) else []
    np.testing.assert_allclose(answer.detach(), h, rtol=1e-10)
    np.testing.assert_allclose(code.detach(), np.concatenate(codes, axis=1), rtol=1e-10)


def pooled(h):
    return h.reshape(len(h), h.shape[1] // 2, 2, h.shape[2] // 2, 2).max(axis=(2, 4))


def doubled(h):
    return h.repeat(2, axis=1).repeat(2, axis=2)


def test_conv_is_the_formula_of_fig_3():
    network = architecture("conv")
    parameters = drawn(network, 120)  # an image of 8 x 16 with eight zeros
    x = np.random.default_rng(1).normal(size=120)
    answer, code = build(network, 120, parameters)(torch.from_numpy(x[None]))

    def conv(h, i):
        kernel, bias = (parameters[f"conv{i}.{part}"].numpy() for part in ("weight", "bias"))
        sums = [
            sum(correlate2d(c, k, "same") for c, k in zip(h, one, strict=True)) for one in kernel
        ]
        return np.stack(sums) + bias[:, None, None]

    h = np.append(x, np.zeros(8)).reshape(1, 8, 16)
    h = pooled(relu(conv(h, 0)))
    h = pooled(relu(conv(h, 1)))
    by_hand = h = pooled(sigmoid(conv(h, 2)))
    for i in (3, 4, 5):
        h = doubled(relu(conv(h, i)))
    np.testing.assert_allclose(answer[0].detach(), conv(h, 6).ravel()[:120], rtol=1e-10)
    np.testing.assert_allclose(code[0].detach(), by_hand.ravel(), rtol=1e-10)
    assert code.shape == (1, network.code_size(120))


def test_build_draws_nothing_from_the_global_generator():
    before = torch.get_rng_state()
    network = architecture("dense-2")
    build(network, 20, initial_parameters(network, 20, seed=0))
    assert torch.equal(torch.get_rng_state(), before)


def test_build_refuses_parameters_of_another_network():
    parameters = drawn(architecture("dense-2"), 20)
    with pytest.raises(RuntimeError, match="size mismatch"):
        build(architecture("dense-2"), 21, parameters)


@pytest.mark.parametrize("noise_input", [False, True])
def test_a_denoiser_answers_with_the_plain_network(noise_input):
    network = architecture("dense-16x8x16", noise_input=noise_input)
    parameters = {name: value.float() for name, value in drawn(network, 20).items()}
    denoiser = NetworkDenoiser(network, 20, {k: v.numpy() for k, v in parameters.items()})
    noisy = np.random.default_rng(2).normal(size=(5, 20)).astype(np.float32)
    factors = np.linspace(0, 1, 5)
    inputs = np.column_stack([noisy, factors]) if noise_input else noisy
    net = build(network, 20, {k: v.double() for k, v in parameters.items()})
    expected = net(torch.from_numpy(inputs.astype(np.float64)))[0].detach().float()
    np.testing.assert_array_equal(denoiser.denoise(noisy, factors), expected)


@pytest.mark.parametrize(("model", "told"), [("conv", False), ("dense-16x8x16", True)])
def test_a_denoiser_that_is_not_exact_answers_alike(model, told):
    network = architecture(model, noise_input=told)
    parameters = {name: value.float().numpy() for name, value in drawn(network, 70).items()}
    noisy = np.random.default_rng(3).normal(size=(5, 70)).astype(np.float32)
    exact, fast = (
        NetworkDenoiser(network, 70, parameters, its).denoise(noisy, 0.3) for its in (True, False)
    )
    np.testing.assert_allclose(fast, exact, atol=2e-6)
    assert exact.std() > 0.01


def readers(model):
    """Indices of the layers that read a dense network's sigmoid code."""
    return [i + 1 for i in architecture(model).code_layers] if model != "conv" else []


@pytest.mark.parametrize("model", [*DENSE, "conv", "dense-64x16x64"])
def test_initial_weights_are_glorot_uniform(model):
    """4 times that for what reads a dense code, where the slope is 1/4."""
    for name, value in initial_parameters(architecture(model), 943, seed=1).items():
        if not name.endswith("weight"):
            continue
        area = 9 if model == "conv" else 1
        factor = 4 if name in [f"layer{i}.weight" for i in readers(model)] else 1
        bound = factor * math.sqrt(6 / (area * (value.shape[0] + value.shape[1])))
        assert value.abs().max() <= bound
        assert value.abs().max() > 0.9 * bound
        assert value.abs().mean().item() == pytest.approx(
            bound / 2, rel=12 / math.sqrt(12 * value.numel())
        )
        assert abs(value.mean().item()) < 4 * bound / math.sqrt(3 * value.numel())


@pytest.mark.parametrize("model", [*DENSE, "conv", "dense-64x16x64"])
def test_initial_biases_are_zero_except_of_what_reads_a_dense_code(model):
    start = initial_parameters(architecture(model), 943, seed=1)
    assert len(readers(model)) == {"conv": 0, "dense-64x16x64": 1}.get(model, 2)
    for name, value in start.items():
        if name in [f"layer{i}.bias" for i in readers(model)]:
            weight = start[name.replace("bias", "weight")]
            torch.testing.assert_close(
                value, -(weight @ torch.full((weight.shape[1],), 0.5)), rtol=1e-5, atol=1e-5
            )
            assert value.abs().max() > 0.1
        elif name.endswith("bias"):
            assert (value == 0).all()


@pytest.mark.parametrize("model", [*DENSE, "conv"])
def test_a_seed_is_its_weights(model):
    first, again, other = (initial_parameters(architecture(model), 100, seed) for seed in (3, 3, 4))
    for name, value in first.items():
        assert torch.equal(value, again[name])
        assert name.endswith("weight") <= (not torch.equal(value, other[name]))


def test_weights_of_one_network_differ_where_shapes_agree():
    conv = initial_parameters(architecture("conv"), 943, seed=0)
    same_shape = [value for value in conv.values() if value.shape == (8, 8, 3, 3)]
    assert len(same_shape) == 3
    assert not torch.equal(same_shape[0], same_shape[1])
    assert not torch.equal(same_shape[1], same_shape[2])


def test_depths_start_from_the_same_weights_where_shapes_agree():
    weights = {}
    for model in DENSE:
        for name, value in initial_parameters(architecture(model), 943, seed=5).items():
            if name.endswith("weight"):
                weights.setdefault(tuple(value.shape), []).append(value)
    assert len(weights[32, 32]) == 4
    assert len(weights[32, 64]) == 3
    assert len(weights[128, 64]) == 2
    assert all(torch.equal(same[0], value) for same in weights.values() for value in same[1:])
    linear, sigmoid = (
        initial_parameters(architecture("dense-2", output), 60, 0)
        for output in ("linear", "sigmoid")
    )
    assert all(torch.equal(value, sigmoid[name]) for name, value in linear.items())


def test_initial_weights_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    initial_parameters(architecture("dense-8"), 60, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
