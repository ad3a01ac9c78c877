"""The paper's networks as plain torch modules: start here.

`DenseNetwork` is Fig. 2 and `ConvNetwork` is Fig. 3. Both take noisy z-scores and return the
reconstruction and the code. A network is trained to make the reconstruction of y = x + alpha n
(eq. 9) equal to the clean x, with the loss MSE (eq. 11) + beta * penalty of the code (eqs. 1 to 7).

    network = architecture("dense-4")
    net = build(network, n_genes=943, parameters=initial_parameters(network, 943, seed=0))
    reconstruction, code = net(noisy)

Studies train hundreds of networks at a time with `models/engine`, the fast version of these modules
with gradients written by hand. These modules serve where one trained network is enough: denoising
a file, ONNX export, tests and benchmarks.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from data_utils.noise import stream
from models.architecture import Architecture, ConvArchitecture, DenseArchitecture, image_shape

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "linear": nn.Identity(),
}


class DenseNetwork(nn.Module):
    """Fig. 2: fully connected layers that narrow to the code and widen again.

    Hidden layers are ReLU. The narrowest ones (both layers of 32) are the code and sigmoid, so that
    their mean activation can be compared with rho (eq. 5).
    """

    def __init__(self, network: DenseArchitecture, n_genes: int):
        super().__init__()
        self.architecture = network
        self.n_hidden = len(network.hidden)
        self.last_code = network.code_layers[-1]
        self.code_activation = ACTIVATIONS[network.code_activation]
        self.output_activation = ACTIVATIONS[network.output]
        for i, (n_inputs, n_outputs) in enumerate(network.layer_shapes(n_genes)):
            self.add_module(f"layer{i}", nn.Linear(n_inputs, n_outputs))

    def forward(self, noisy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the reconstruction (rows, genes) and the code layers side by side (rows, units).

        A network with `noise_input` expects the noise factor of each row as the last column.
        """
        codes, h = [], noisy  # (rows, genes), or (rows, genes + 1) with the noise factor
        for i in range(self.last_code + 1):
            h = self.get_submodule(f"layer{i}")(h)  # (rows, width of layer i)
            if i in self.architecture.code_layers:
                h = self.code_activation(h)
                codes.append(h)
            else:
                h = F.relu(h)
        return self.decode(h), torch.cat(codes, dim=-1)

    def decode(self, code: torch.Tensor) -> torch.Tensor:
        """Return the reconstruction (rows, genes) from the last code layer (rows, units)."""
        h = code
        for i in range(self.last_code + 1, self.n_hidden):
            h = F.relu(self.get_submodule(f"layer{i}")(h))
        return self.output_activation(self.get_submodule(f"layer{self.n_hidden}")(h))


class ConvNetwork(nn.Module):
    """Fig. 3: three convolutions with pooling, and the way back, on one image of all genes.

    The genes fill the image row by row, zeros fill the rest. Kernels are 3 x 3 and padded, so that
    a convolution keeps the size. Shapes in the comments are those of 943 genes, 24 x 40.
    """

    def __init__(self, network: ConvArchitecture, n_genes: int):
        super().__init__()
        self.architecture, self.n_genes = network, n_genes
        self.height, self.width = image_shape(n_genes)
        self.code_activation = ACTIVATIONS[network.code_activation]
        self.output_activation = ACTIVATIONS[network.output]
        channels = (1, *network.channels)  # 1, 16, 8, 8, 8, 8, 16, 1
        for i in range(len(network.channels)):
            self.add_module(f"conv{i}", nn.Conv2d(channels[i], channels[i + 1], 3, padding=1))

    def forward(self, noisy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the reconstruction (rows, genes) and the code (rows, units) for (rows, genes)."""
        conv = [self.get_submodule(f"conv{i}") for i in range(7)]
        h = F.max_pool2d(self.first_maps(noisy), 2)  # (rows, 16, 12, 20)
        h = F.max_pool2d(F.relu(conv[1](h)), 2)  # (rows, 8, 6, 10)
        code = F.max_pool2d(self.code_activation(conv[2](h)), 2)  # (rows, 8, 3, 5)
        h = _doubled(F.relu(conv[3](code)))  # (rows, 8, 6, 10)
        h = _doubled(F.relu(conv[4](h)))  # (rows, 8, 12, 20)
        h = _doubled(F.relu(conv[5](h)))  # (rows, 16, 24, 40)
        output = conv[6](h).flatten(1)[:, : self.n_genes]  # (rows, genes)
        return self.output_activation(output), code.flatten(1)

    def first_maps(self, noisy: torch.Tensor) -> torch.Tensor:
        """Return the feature maps of the first layer (rows, 16, 24, 40), before the pooling."""
        image = F.pad(noisy, (0, self.height * self.width - self.n_genes))
        image = image.view(-1, 1, self.height, self.width)  # (rows, 1, 24, 40)
        return F.relu(self.get_submodule("conv0")(image))


def _doubled(h: torch.Tensor) -> torch.Tensor:
    """Repeat each pixel as a square of 2 x 2."""
    return F.interpolate(h, scale_factor=2.0, mode="nearest")


def build(
    network: DenseArchitecture | ConvArchitecture, n_genes: int, parameters: dict[str, torch.Tensor]
) -> DenseNetwork | ConvNetwork:
    """Build the module of an architecture with these parameters, in their dtype, without a copy.

    The names are those of `Architecture.parameter_shapes`: `layer0.weight`, `conv0.bias` and so on.
    """
    net: DenseNetwork | ConvNetwork
    with torch.device("meta"):  # no memory, and no draws from the global random state
        if isinstance(network, ConvArchitecture):
            net = ConvNetwork(network, n_genes)
        else:
            net = DenseNetwork(network, n_genes)
    net.load_state_dict(parameters, assign=True)
    return net


def initial_parameters(
    network: Architecture, n_genes: int, seed: int, initialisation: str = "centred"
) -> dict[str, torch.Tensor]:
    """Draw Glorot-uniform weights and zero biases of one network.

    With "centred" the layer after a dense sigmoid code, whose units start near 1/2 with slope 1/4,
    gets weights 4 times Glorot's and the bias -1/2 sum_j w_j, so that it starts as it would after a
    linear code. Without this the dense networks need several times the epochs.

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
    if initialisation == "centred" and isinstance(network, DenseArchitecture):
        for i in network.code_layers if network.code_activation == "sigmoid" else ():
            parameters[f"layer{i + 1}.weight"] *= 4
            parameters[f"layer{i + 1}.bias"] -= 0.5 * parameters[f"layer{i + 1}.weight"].sum(dim=1)
    return parameters
