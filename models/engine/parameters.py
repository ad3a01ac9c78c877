"""The parameters of K networks in one array, and what they start from."""

from __future__ import annotations

import math

import torch

from data_utils.noise import stream
from models.architecture import Architecture, DenseArchitecture

#: Parameters start at multiples of this many numbers (64 bytes): vector units load whole lines.
ALIGNMENT = 16


class FlatParameters:
    """The parameters of K members as one matrix (K, P), so that an optimiser is one update.

    Each member is a row. `views(flat)` names its parts: {name: (K, *shape)}, without copying.
    """

    def __init__(
        self, shapes: dict[str, tuple[int, ...]], n_members: int, dtype: torch.dtype, device: str
    ):
        self.shapes = shapes
        self.offsets: dict[str, int] = {}
        width = 0
        for name, shape in shapes.items():
            self.offsets[name] = width
            width += ALIGNMENT * math.ceil(math.prod(shape) / ALIGNMENT)
        self.values = torch.zeros(n_members, width, dtype=dtype, device=device)
        self.gradients = torch.zeros_like(self.values)

    def views(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """The named parts of a (K, P) matrix."""
        return {
            name: flat[:, offset : offset + math.prod(shape)].unflatten(1, shape)
            for (name, shape), offset in zip(
                self.shapes.items(), self.offsets.values(), strict=True
            )
        }


def initial_parameters(
    network: Architecture, n_genes: int, seed: int, initialisation: str = "centred"
) -> dict[str, torch.Tensor]:
    """Draw Glorot-uniform weights, with zero biases, for one network.

    With "centred" initialisation the layers that read a dense sigmoid code differ. A sigmoid unit
    starts at 1/2 with slope 1/4; such a layer starts with weights 4 times Glorot's and the bias
    -1/2 sum_j w_j, so that it answers as it would to a linear code. Without this the dense networks
    need several times the epochs.

    A weight is drawn from a stream named by the seed, its shape and how many weights of that shape
    came before it, so networks that differ elsewhere start from the same draws where shapes agree.
    """
    parameters: dict[str, torch.Tensor] = {}
    seen: dict[tuple[int, ...], int] = {}
    for name, shape in network.parameter_shapes(n_genes).items():
        if name.endswith("bias"):
            parameters[name] = torch.zeros(shape)
            continue
        fan_out, fan_in = (extent * math.prod(shape[2:]) for extent in shape[:2])
        bound = math.sqrt(6 / (fan_in + fan_out))
        draws = torch.rand(shape, generator=stream(seed, "weights", *shape, seen.get(shape, 0)))
        seen[shape] = seen.get(shape, 0) + 1
        parameters[name] = (2 * draws - 1) * bound
    if (
        initialisation == "glorot"
        or not isinstance(network, DenseArchitecture)
        or network.code_activation != "sigmoid"
    ):
        return parameters
    for i in network.code_layers:
        parameters[f"layer{i + 1}.weight"] *= 4
        parameters[f"layer{i + 1}.bias"] -= 0.5 * parameters[f"layer{i + 1}.weight"].sum(dim=1)
    return parameters
