"""K dense autoencoders of one architecture, held as stacked weights: reconstruction, loss and gradients.

Members never meet in an operation: products are batched over members, everything else is elementwise
or a reduction within a member. So a member's numbers do not depend on who else is in its pack (on a
CPU with one thread to the last bit, which a test holds).
"""

from __future__ import annotations

import math

import torch

from data_utils.noise import stream
from models.architecture import Architecture, ConvArchitecture, DenseArchitecture
from models.sparsity import Sparsity

#: Parameters start at multiples of this many numbers (64 bytes), so that vector units load whole lines.
ALIGNMENT = 16

#: Up to this width of the last hidden layer, a linear output's gradients are formed without its residual.
#: Counted: 4 B H M + 4 H^2 M operations instead of 6 B H M, and no array of batch B x genes M.
RESIDUAL_FREE_WIDTH = 64
RESIDUAL_FREE_MSE = 0.05

LOSSES = ("mse", "bce")
BCE_CLIP = 1e-7


def _sigmoid_(h: torch.Tensor) -> torch.Tensor:
    """Sigmoid of (k, rows, units) in place, on a CPU member by member.

    There the last numbers of an array, which fill no vector, take another code path with another rounding.
    """
    for part in h if h.device.type == "cpu" else (h,):
        part.sigmoid_()
    return h


def binary_cross_entropy(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Elementwise, as Keras 2.2 has it: outputs are clipped to [1e-7, 1 - 1e-7], targets may be any number."""
    output = output.clamp(BCE_CLIP, 1 - BCE_CLIP)
    return -(target * output.log() + (1 - target) * (1 - output).log())


class FlatParameters:
    """The parameters of K members as one matrix (K, P): one row a member, so an optimiser is one update.

    `views(flat)` names its parts: {name: (K, *shape)}, without copying.
    """

    def __init__(self, shapes: dict[str, tuple[int, ...]], n_members: int, dtype: torch.dtype, device: str):
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
            for (name, shape), offset in zip(self.shapes.items(), self.offsets.values(), strict=True)
        }


INITIALISATIONS = ("centred", "glorot")


def initial_parameters(
    network: Architecture, n_genes: int, seed: int, initialisation: str = "centred"
) -> dict[str, torch.Tensor]:
    """Glorot-uniform weights and zero biases of one network; "centred": but for what reads a dense sigmoid code.

    A sigmoid unit starts at 1/2 with slope 1/4. A layer that reads the code starts with weights 4 times
    Glorot's and the bias -1/2 sum_j w_j, so that it answers as it would to a linear code: without this the
    dense networks need several times the epochs.

    A weight is drawn from a stream named by the seed, its shape and how many weights of that shape came
    before it, so networks that differ elsewhere start from the same draws where shapes agree.
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
    if initialisation == "glorot" or network.code_activation != "sigmoid" or isinstance(network, ConvArchitecture):
        return parameters
    for i in network.code_layers:
        parameters[f"layer{i + 1}.weight"] *= 4
        parameters[f"layer{i + 1}.bias"] -= 0.5 * parameters[f"layer{i + 1}.weight"].sum(dim=1)
    return parameters


class Stack:
    """What dense and convolutional stacks share: the parameters, by member and by name."""

    def __init__(
        self,
        network: Architecture,
        n_genes: int,
        n_members: int,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        loss: str = "mse",
    ):
        self.loss = loss
        self.network, self.n_genes, self.n_members = network, n_genes, n_members
        self.flat = FlatParameters(network.parameter_shapes(n_genes), n_members, dtype, device)
        self.parameters = self.flat.views(self.flat.values)
        self.gradients = self.flat.views(self.flat.gradients)

    def set_member(self, k: int, parameters: dict[str, torch.Tensor]) -> None:
        """Give member k these parameters."""
        for name, value in parameters.items():
            self.parameters[name][k].copy_(value)

    def member(self, k: int) -> dict[str, torch.Tensor]:
        """A copy of member k's parameters on the CPU."""
        return {name: value[k].detach().cpu().clone() for name, value in self.parameters.items()}


class DenseStack(Stack):
    """K dense networks; weights are (K, outputs, inputs), as in torch.nn.Linear."""

    network: DenseArchitecture

    @property
    def sigmoid_layers(self) -> tuple[int, ...]:
        """Hidden layers that are sigmoid rather than ReLU."""
        return self.network.code_layers if self.network.code_activation == "sigmoid" else ()

    def _layer(self, i: int, members: slice, tensors: dict) -> tuple[torch.Tensor, torch.Tensor]:
        return tensors[f"layer{i}.weight"][members], tensors[f"layer{i}.bias"][members]

    def _hidden(self, members: slice, inputs: torch.Tensor) -> list[torch.Tensor]:
        """The inputs, then each hidden layer's activations, (k, rows, units)."""
        activations = [inputs]
        for i in range(len(self.network.hidden)):
            weight, bias = self._layer(i, members, self.parameters)
            h = torch.baddbmm(bias.unsqueeze(1), activations[-1], weight.mT)
            activations.append(_sigmoid_(h) if i in self.sigmoid_layers else h.relu_())
        return activations

    def _output(self, members: slice, h: torch.Tensor) -> torch.Tensor:
        """The reconstruction (k, rows, genes) from the last hidden layer."""
        weight, bias = self._layer(len(self.network.hidden), members, self.parameters)
        output = torch.baddbmm(bias.unsqueeze(1), h, weight.mT)
        return _sigmoid_(output) if self.network.output == "sigmoid" else output

    def reconstruct(self, members: slice, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Reconstructions (k, rows, genes) and code activations (k, rows, code_units) for inputs (k, rows, genes)."""
        activations = self._hidden(members, inputs)
        code = torch.cat([activations[i + 1] for i in self.network.code_layers], dim=2)
        return self._output(members, activations[-1]), code

    @property
    def code_units(self) -> int:
        """Units of all code layers together."""
        return sum(self.network.hidden[i] for i in self.network.code_layers)

    def backward(
        self, members: slice, inputs: torch.Tensor, clean: torch.Tensor, sparsity: Sparsity, small_error: bool = False
    ) -> torch.Tensor:
        """Loss of each member, J = MSE (eq. 11) + penalty, (k,); its gradients go to `self.gradients`.

        inputs is (k, rows, genes), clean (rows, genes), sparsity that of these members. `small_error` says that
        their MSE is below RESIDUAL_FREE_MSE.
        """
        activations = self._hidden(members, inputs)
        if self.network.output == "linear" and self.network.hidden[-1] <= RESIDUAL_FREE_WIDTH and not small_error:
            loss, delta = self._linear_output_backward(members, activations[-1], clean)
        else:
            loss, delta = self._output_backward(members, activations[-1], clean)
        for i in reversed(range(len(self.network.hidden))):
            h = activations[i + 1]  # this layer's activations; delta becomes d J / d (what they act on)
            if i in self.network.code_layers:
                loss += sparsity.penalty(h)
                sparsity.add_gradient(h, delta)
            delta *= h * (1 - h) if i in self.sigmoid_layers else h > 0
            weight, _ = self._layer(i, members, self.parameters)
            weight_gradient, bias_gradient = self._layer(i, members, self.gradients)
            torch.bmm(delta.mT, activations[i], out=weight_gradient)
            torch.sum(delta, dim=1, out=bias_gradient)
            if i > 0:
                delta = torch.bmm(delta, weight)
        return loss

    def _output_backward(
        self, members: slice, h: torch.Tensor, clean: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """MSE of each member (k,) and d MSE / d h; the output layer's gradients are stored."""
        output = self._output(members, h)
        delta = output - clean
        if self.loss == "bce":
            loss = binary_cross_entropy(output, clean).mean(dim=(1, 2))
            delta *= (output > BCE_CLIP) & (output < 1 - BCE_CLIP)  # where it is clipped the answer changes nothing
            delta /= clean.numel()
        else:
            loss = delta.square().mean(dim=(1, 2))
            delta *= 2 / clean.numel()
            if self.network.output == "sigmoid":
                delta *= output * (1 - output)
        last = len(self.network.hidden)
        weight_gradient, bias_gradient = self._layer(last, members, self.gradients)
        torch.bmm(delta.mT, h, out=weight_gradient)
        torch.sum(delta, dim=1, out=bias_gradient)
        return loss, torch.bmm(delta, self._layer(last, members, self.parameters)[0])

    def _linear_output_backward(
        self, members: slice, h: torch.Tensor, clean: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The same for a linear output, without forming the residual r = h W^T + b - x, (B, M).

        With h (B, H), W (M, H): r^T h = W (h^T h) + b (1^T h) - x^T h; r^T 1 = W (h^T 1) + B b - x^T 1;
        r W = h (W^T W) + b W - x W; |r|^2 = <r^T h, W> + <r^T 1, b> - <r, x>.
        Products of a matrix and a vector are written out as sums: the library's routine for them adds in another
        order when it is given one member alone. r is a difference of near equals when the MSE is small: use it
        where the MSE is not below RESIDUAL_FREE_MSE (float32: the loss is then right to 1e-5).
        """
        last = len(self.network.hidden)
        weight, bias = self._layer(last, members, self.parameters)  # (k, M, H), (k, M)
        weight_gradient, bias_gradient = self._layer(last, members, self.gradients)
        x = clean.expand(len(h), *clean.shape)
        h_sum, x_sum = h.sum(dim=1), clean.sum(dim=0)  # (k, H), (M,)
        xh = torch.bmm(x.mT, h)  # (k, M, H)
        torch.baddbmm(xh, weight, torch.bmm(h.mT, h), beta=-1, out=weight_gradient)
        weight_gradient += bias.unsqueeze(2) * h_sum.unsqueeze(1)
        answered = (weight * h_sum.unsqueeze(1)).sum(dim=2) + len(clean) * bias
        torch.sub(answered, x_sum, out=bias_gradient)
        rx = (xh * weight).sum(dim=(1, 2)) + (bias * x_sum).sum(dim=1) - clean.square().sum()
        loss = (weight_gradient * weight).sum(dim=(1, 2)) + (bias_gradient * bias).sum(dim=1) - rx
        delta = torch.baddbmm(torch.bmm(x, weight), h, torch.bmm(weight.mT, weight), beta=-1)
        delta += (bias.unsqueeze(2) * weight).sum(dim=1, keepdim=True)
        scale = 2 / clean.numel()
        weight_gradient *= scale
        bias_gradient *= scale
        return loss / clean.numel(), delta * scale
