"""The inside of a trained network: its code, each code unit's effect on genes, feature maps."""

from __future__ import annotations

import numpy as np
import torch

from models.denoisers.network import NetworkDenoiser
from models.networks import ConvNetwork, DenseNetwork


def code(denoiser: NetworkDenoiser, noisy: np.ndarray) -> np.ndarray:
    """Return a dense network's code of noisy rows: the last code layer, (rows, units)."""
    with torch.no_grad():
        _, codes = _dense(denoiser)(_rows(noisy))  # all code layers side by side
    return codes[:, -denoiser.network.code_size(denoiser.genes) :].numpy()


def unit_effects(denoiser: NetworkDenoiser, at: np.ndarray) -> np.ndarray:
    """Return the effect of each code unit of a dense network on each gene, (units, genes).

    It is the change of the output per unit of code, d output / d code, at the code `at`, (units,):
    the product of the decoder's weights along all paths that are open there.
    """
    jacobian = torch.autograd.functional.jacobian(_dense(denoiser).decode, _rows(at))
    return jacobian.numpy().T


def first_maps(denoiser: NetworkDenoiser, noisy: np.ndarray) -> np.ndarray:
    """Return the feature maps of a conv network's first layer, (rows, channels, height, width).

    They are taken after the ReLU and before the pooling.
    """
    module = denoiser.module()
    if not isinstance(module, ConvNetwork):
        raise ValueError(f"{denoiser.network.name} has no feature maps")
    with torch.no_grad():
        return module.first_maps(_rows(noisy)).numpy()


def _dense(denoiser: NetworkDenoiser) -> DenseNetwork:
    module = denoiser.module()
    if not isinstance(module, DenseNetwork):
        raise ValueError(f"{denoiser.network.name} has no dense code")
    return module


def _rows(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float64))
