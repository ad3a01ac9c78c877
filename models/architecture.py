"""Architectures by name: the dense networks of Fig. 2, the conv network of Fig. 3, mixtures."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass

from data_utils.errors import InputError

OUTPUTS = ("linear", "sigmoid")
CODE_ACTIVATIONS = ("sigmoid", "relu")
#: Largest number of genes for which a covariance is estimated: finding its eigenvectors, six times
#: per fit, takes minutes at 4,000 genes.
LARGEST_COVARIANCE = 4000


@dataclass(frozen=True)
class DenseArchitecture:
    """A dense autoencoder: genes -> hidden[0] -> ... -> hidden[-1] -> genes.

    Every hidden layer is ReLU except the code: the narrowest hidden layers (both layers of 32 in
    the paper's models) are sigmoid, so that their mean activation lies in (0, 1) and the KL
    divergence of eq. 5 is defined. With `code_activation` "relu" the code is ReLU, too.
    """

    name: str
    hidden: tuple[int, ...]
    output: str = "linear"
    code_activation: str = "sigmoid"
    noise_input: bool = False
    """Whether the noise factor of each row is one more input."""

    @property
    def bottleneck(self) -> int:
        """Units of the code."""
        return min(self.hidden)

    @property
    def code_layers(self) -> tuple[int, ...]:
        """Indices into `hidden` of the layers that are the code."""
        return tuple(i for i, width in enumerate(self.hidden) if width == self.bottleneck)

    def code_size(self, n_genes: int) -> int:
        """Return how many numbers the code of a sample has: the bottleneck, for any n_genes."""
        return self.bottleneck

    def layer_shapes(self, n_genes: int) -> list[tuple[int, int]]:
        """(inputs, outputs) of each layer."""
        widths = (n_genes + self.noise_input, *self.hidden, n_genes)
        return list(itertools.pairwise(widths))

    def parameter_shapes(self, n_genes: int) -> dict[str, tuple[int, ...]]:
        """Name and shape of each parameter of one network."""
        shapes: dict[str, tuple[int, ...]] = {}
        for i, (fan_in, fan_out) in enumerate(self.layer_shapes(n_genes)):
            shapes[f"layer{i}.weight"] = (fan_out, fan_in)
            shapes[f"layer{i}.bias"] = (fan_out,)
        return shapes

    def flops_per_sample(self, n_genes: int) -> int:
        """Floating-point operations of one training step on one sample.

        Each weight takes 2 operations in the product, 2 in its own gradient and 2 in the gradient
        of the layer's input, except in the first layer, whose input needs no gradient.
        """
        weights = [fan_in * fan_out for fan_in, fan_out in self.layer_shapes(n_genes)]
        return 2 * (3 * sum(weights) - weights[0])


@dataclass(frozen=True)
class ConvArchitecture:
    """The convolutional autoencoder of Fig. 3, on one image of all genes per sample.

    conv 16 - pool - conv 8 - pool - conv 8 - pool (the code) - conv 8 - up - conv 8 - up - conv 16
    - up - conv 1, kernels 3 x 3, padded to keep the size. The paper's zero-padding before the layer
    of 16 is that layer's "same" padding. ReLU, except the code (sigmoid) and the output.
    """

    name: str = "conv"
    channels: tuple[int, ...] = (16, 8, 8, 8, 8, 16, 1)
    output: str = "linear"
    code_activation: str = "sigmoid"
    noise_input = False

    def code_size(self, n_genes: int) -> int:
        """Numbers in the code of one image: 8 x 3 x 5 = 120 for the 24 x 40 of 943 genes."""
        height, width = image_shape(n_genes)
        return self.channels[2] * (height // 8) * (width // 8)

    def parameter_shapes(self, n_genes: int) -> dict[str, tuple[int, ...]]:
        """Name and shape of each parameter; they do not depend on the number of genes."""
        shapes: dict[str, tuple[int, ...]] = {}
        for i, (fan_in, fan_out) in enumerate(
            zip((1, *self.channels[:-1]), self.channels, strict=True)
        ):
            shapes[f"conv{i}.weight"] = (fan_out, fan_in, 3, 3)
            shapes[f"conv{i}.bias"] = (fan_out,)
        return shapes

    def flops_per_sample(self, n_genes: int) -> int:
        """Equivalent operations of one training step on one sample, for balancing packs.

        These are the operations times 2, since on a CPU these small convolutions reach half the
        rate of the dense networks' matrix products, as measured.
        """
        height, width = image_shape(n_genes)
        pixels = [height * width // s for s in (1, 4, 16, 64, 16, 4, 1)]
        shapes = [s for n, s in self.parameter_shapes(n_genes).items() if n.endswith("weight")]
        return 2 * sum(
            3 * 2 * math.prod(shape) * p for shape, p in zip(shapes, pixels, strict=True)
        )


@dataclass(frozen=True)
class MixtureArchitecture:
    """A mixture of Wiener filters (models/denoisers/mixture.py).

    Samples belong to `groups` (tissues, say) and to `classes` of quality; the code of a sample is
    its probability of each group.
    """

    name: str
    groups: int
    classes: int = 12
    noise_input = False

    def code_size(self, n_genes: int) -> int:
        """Return the number of groups."""
        return self.groups

    def parameter_shapes(self, n_genes: int) -> dict[str, tuple[int, ...]]:
        """Name and shape of each parameter. Raises InputError beyond LARGEST_COVARIANCE genes."""
        if n_genes > LARGEST_COVARIANCE:
            raise InputError(
                f"model {self.name!r} estimates a covariance: {n_genes} genes are more than "
                f"{LARGEST_COVARIANCE}: leave --all-genes out, or use a dense model"
            )
        return {
            "components": (n_genes, n_genes),
            "variances": (n_genes,),
            "means": (self.groups, n_genes),
            "group_weights": (self.groups,),
            "class_scales": (self.classes,),
            "class_weights": (self.classes,),
        }

    def flops_per_sample(self, n_genes: int) -> int:
        """Equivalent operations of one round of fitting per sample, measured on 2,045 rows."""
        return 260 * n_genes**2


Network = DenseArchitecture | ConvArchitecture
Architecture = Network | MixtureArchitecture

#: Hidden widths of dense networks by name. These are the paper's, as printed in Fig. 2; the number
#: in a name is the paper's count of "layers". A new line adds a network.
DENSE_WIDTHS = {
    "dense-2": (32, 32),
    "dense-4": (64, 32, 32, 64),
    "dense-6": (128, 64, 32, 32, 64, 128),
    "dense-8": (256, 128, 64, 32, 32, 64, 128, 256),
}


def architecture(
    model: str,
    output: str = "linear",
    code_activation: str = "sigmoid",
    code_layers: int = 2,
    noise_input: bool = False,
) -> Architecture:
    """Return the network called `model`.

    `model` is a name of DENSE_WIDTHS, `conv`, widths such as `dense-64x16x64`, or `mixture-8`.
    `code_layers` 1 leaves out the second code layer of a network of DENSE_WIDTHS, as the paper's
    scripts did. Raises InputError for an unknown name, output, activation or number of code layers,
    and for `conv` with `noise_input`.
    """
    for value, known, what in (
        (output, OUTPUTS, "output"),
        (code_activation, CODE_ACTIVATIONS, "code activation"),
        (code_layers, (1, 2), "number of code layers"),
    ):
        if value not in known:
            raise InputError(f"unknown {what} {value!r}: use one of {', '.join(map(str, known))}")
    if model == "conv":
        if noise_input:
            raise InputError(
                "model 'conv' has no place for the noise factor as an input: use a dense model"
            )
        return ConvArchitecture(output=output, code_activation=code_activation)
    mixture = re.fullmatch(r"mixture-([1-9]\d{0,3})", model)
    if mixture is not None:
        return MixtureArchitecture(model, int(mixture[1]))
    return DenseArchitecture(
        model, _hidden_widths(model, code_layers), output, code_activation, noise_input
    )


def _hidden_widths(model: str, code_layers: int) -> tuple[int, ...]:
    named = DENSE_WIDTHS.get(model)
    if named is not None:
        middle = len(named) // 2
        return named if code_layers == 2 else named[:middle] + named[middle + 1 :]
    match = re.fullmatch(r"dense-([1-9]\d*(?:x[1-9]\d*)+)", model)
    if match is None:
        raise InputError(
            f"model {model!r}: unknown: use {', '.join(DENSE_WIDTHS)}, conv, or all hidden widths, "
            "such as dense-64x16x64"
        )
    return tuple(int(width) for width in match[1].split("x"))


def n_parameters(network: Architecture, n_genes: int) -> int:
    """Weights and biases of one network."""
    return sum(math.prod(shape) for shape in network.parameter_shapes(n_genes).values())


def image_shape(n_genes: int) -> tuple[int, int]:
    """Height and width of the image that holds all genes of one sample, with the least padding.

    Both sides are multiples of 8, as three poolings need, and the ratio of the sides is at most 2.
    943 genes give 24 x 40, padded by 17 zeros.
    """
    heights = range(8, math.isqrt(n_genes) + 16, 8)
    shapes = [(height, 8 * math.ceil(n_genes / (8 * height))) for height in heights]
    images = [(h * w, h, w) for h, w in shapes if h <= w <= 2 * h]
    return min(images, default=(64, 8, 8))[1:]  # (8, 8): fewer than 64 genes
