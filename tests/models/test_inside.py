"""What is inside a network: its code, what a unit does to each gene, and its feature maps."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models.architecture import architecture
from models.denoisers.network import NetworkDenoiser
from models.inside import code, first_maps, unit_effects

GENES = 50
NOISY = np.random.default_rng(1).normal(size=(5, GENES)).astype(np.float32)


def drawn(model, scale=0.3):
    """A network whose parameters all differ from 0."""
    network, rng = architecture(model), np.random.default_rng(0)
    shapes = network.parameter_shapes(GENES)
    parameters = {name: scale * rng.normal(size=shape) for name, shape in shapes.items()}
    return NetworkDenoiser(network, GENES, parameters)


def test_the_code_is_that_of_the_last_code_layer():
    network = drawn("dense-4")
    w, h = network.parameters, NOISY.astype(np.float64)
    for i in range(3):
        h = h @ w[f"layer{i}.weight"].T + w[f"layer{i}.bias"]
        h = np.maximum(h, 0) if i == 0 else 1 / (1 + np.exp(-h))
    np.testing.assert_allclose(code(network, NOISY), h, rtol=1e-10)
    assert h.shape == (5, 32)


def test_a_unit_that_drives_one_gene_changes_that_gene_and_no_other():
    """Unit 3 opens hidden unit 10 with weight 2, which lowers gene 7 by 1.5 and gene 9 by 0."""
    network = drawn("dense-4", scale=0.0)
    network.parameters["layer3.weight"][10, 3] = 2.0
    network.parameters["layer3.bias"][10] = -0.5
    network.parameters["layer4.weight"][7, 10] = -1.5
    effects = unit_effects(network, np.full(32, 0.5))
    assert effects.shape == (32, GENES)
    assert effects[3, 7] == -3.0
    assert np.flatnonzero(effects).tolist() == [3 * GENES + 7]
    closed = unit_effects(network, np.full(32, 0.2))  # 2 x 0.2 - 0.5 is below 0
    assert not closed.any()


@pytest.mark.parametrize("model", ["dense-2", "dense-8", "dense-8x16x8"])
def test_an_effect_is_the_change_of_the_output_per_unit_of_code(model):
    network, step = drawn(model), 1e-6
    at = code(network, NOISY).mean(axis=0)
    effects, decode = unit_effects(network, at), network.module().decode
    for unit in range(len(at)):
        moved = [at + sign * step * np.eye(len(at))[unit] for sign in (1, -1)]
        up, down = (decode(torch.from_numpy(its)).detach().numpy() for its in moved)
        np.testing.assert_allclose(effects[unit], (up - down) / (2 * step), atol=1e-6)


def test_feature_maps_are_the_convolution_after_its_relu():
    network = drawn("conv")
    images = F.pad(torch.from_numpy(NOISY.astype(np.float64)), (0, 14)).view(5, 1, 8, 8)
    weight, bias = (
        torch.from_numpy(network.parameters[f"conv0.{of}"]) for of in ("weight", "bias")
    )
    expected = F.relu(F.conv2d(images, weight, bias, padding=1)).numpy()
    np.testing.assert_allclose(first_maps(network, NOISY), expected, rtol=1e-12)
    assert expected.shape == (5, 16, 8, 8)


def test_each_kind_of_network_has_its_own_inside():
    with pytest.raises(ValueError, match="conv has no dense code"):
        code(drawn("conv"), NOISY)
    with pytest.raises(ValueError, match="dense-2 has no feature maps"):
        first_maps(drawn("dense-2"), NOISY)
