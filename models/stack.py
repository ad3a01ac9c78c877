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
from models.workspace import Targets, Workspace

#: Parameters start at multiples of this many numbers (64 bytes), so that vector units load whole lines.
ALIGNMENT = 16

#: Up to this width of the last hidden layer, a linear output's gradients are formed without its residual.
#: Counted: 4 B H M + 4 H^2 M operations instead of 6 B H M (as many at H = B / 2), and no array of batch B x genes M.
RESIDUAL_FREE_WIDTH = 128
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
        self.workspace = Workspace(dtype, device)
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

    @property
    def code_units(self) -> int:
        """Units of all code layers together."""
        return sum(self.network.hidden[i] for i in self.network.code_layers)

    def _layer(self, i: int, members: slice, tensors: dict) -> tuple[torch.Tensor, torch.Tensor]:
        return tensors[f"layer{i}.weight"][members], tensors[f"layer{i}.bias"][members]

    def _hidden(self, members: slice, inputs: torch.Tensor) -> list[torch.Tensor]:
        """The inputs, then each hidden layer's activations, (k, rows, units)."""
        activations = [inputs]
        for i, width in enumerate(self.network.hidden):
            weight, bias = self._layer(i, members, self.parameters)
            h = self.workspace(f"h{i}", *inputs.shape[:2], width)
            torch.baddbmm(bias.unsqueeze(1), activations[-1], weight.mT, out=h)
            activations.append(_sigmoid_(h) if i in self.sigmoid_layers else h.relu_())
        return activations

    def _output(self, members: slice, h: torch.Tensor) -> torch.Tensor:
        """The reconstruction (k, rows, genes) from the last hidden layer."""
        weight, bias = self._layer(len(self.network.hidden), members, self.parameters)
        output = self.workspace("output", *h.shape[:2], self.n_genes)
        torch.baddbmm(bias.unsqueeze(1), h, weight.mT, out=output)
        return _sigmoid_(output) if self.network.output == "sigmoid" else output

    def reconstruct(self, members: slice, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Reconstructions (k, rows, genes) and code activations (k, rows, code_units) for inputs (k, rows, genes).

        The reconstructions are the stack's own array: the next call writes over them.
        """
        activations = self._hidden(members, inputs)
        code = torch.cat([activations[i + 1] for i in self.network.code_layers], dim=2)
        return self._output(members, activations[-1]), code

    def backward(
        self, members: slice, inputs: torch.Tensor, targets: Targets, sparsity: Sparsity, small_error: bool = False
    ) -> torch.Tensor:
        """Loss of each member, J = MSE (eq. 11) + penalty, (k,); its gradients go to `self.gradients`.

        inputs is (k, rows, genes), sparsity that of these members. `small_error` says that
        their MSE is below RESIDUAL_FREE_MSE.
        """
        activations = self._hidden(members, inputs)
        if self.network.output == "linear" and self.network.hidden[-1] <= RESIDUAL_FREE_WIDTH and not small_error:
            loss, delta = self._linear_output_backward(members, activations[-1], targets)
        else:
            loss, delta = self._output_backward(members, activations[-1], targets)
        code_layers = self.network.code_layers
        penalty, slopes = sparsity.penalty_and_slopes([activations[i + 1] for i in code_layers])
        loss += penalty
        for i in reversed(range(len(self.network.hidden))):
            h = activations[i + 1]  # this layer's activations; delta becomes d J / d (what they act on)
            if slopes and i in code_layers:
                delta += slopes[code_layers.index(i)]
            if i in self.sigmoid_layers:
                slope = torch.mul(h, h, out=self.workspace("slope", *h.shape))
                delta *= torch.sub(h, slope, out=slope)  # h (1 - h)
            else:
                torch.ops.aten.threshold_backward.grad_input(delta, h, 0, grad_input=delta)
            weight, _ = self._layer(i, members, self.parameters)
            weight_gradient, bias_gradient = self._layer(i, members, self.gradients)
            torch.bmm(delta.mT, activations[i], out=weight_gradient)
            torch.sum(delta, dim=1, out=bias_gradient)
            if i > 0:
                delta = torch.bmm(delta, weight, out=self.workspace(f"delta{i - 1}", *activations[i].shape))
        return loss

    def _output_backward(self, members: slice, h: torch.Tensor, targets: Targets) -> tuple[torch.Tensor, torch.Tensor]:
        """MSE of each member (k,) and d MSE / d h; the output layer's gradients are stored."""
        clean = targets.rows
        weight, bias = self._layer(len(self.network.hidden), members, self.parameters)
        if self.network.output == "linear":
            delta = self.workspace("output", len(h), *clean.shape)
            torch.sub(bias.unsqueeze(1), clean, out=delta).baddbmm_(h, weight.mT)
        else:
            output = self._output(members, h)
            delta = torch.sub(output, clean, out=self.workspace("delta", *output.shape))
        if self.loss == "bce":
            loss = binary_cross_entropy(output, clean).mean(dim=(1, 2))
            delta *= (output > BCE_CLIP) & (output < 1 - BCE_CLIP)  # where it is clipped the answer changes nothing
            scale = 1 / clean.numel()
        else:
            loss = torch.linalg.vector_norm(delta, dim=2).double().square().sum(dim=1) / clean.numel()
            scale = 2 / clean.numel()
            if self.network.output == "sigmoid":
                slope = torch.mul(output, output, out=self.workspace("slope", *output.shape))
                delta *= torch.sub(output, slope, out=slope)
        weight_gradient, bias_gradient = self._layer(len(self.network.hidden), members, self.gradients)
        torch.baddbmm(weight_gradient, delta.mT, h, beta=0, alpha=scale, out=weight_gradient)
        torch.sum(delta, dim=1, out=bias_gradient).mul_(scale)
        below = self.workspace(f"delta{len(self.network.hidden) - 1}", *h.shape)
        return loss.to(delta.dtype), torch.baddbmm(below, delta, weight, beta=0, alpha=scale, out=below)

    def _linear_output_backward(
        self, members: slice, h: torch.Tensor, targets: Targets
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The same for a linear output, without forming the residual r = h W^T + b - x, (B, M).

        With h (B, H), W (M, H): r^T h = W (h^T h) + b (1^T h) - x^T h; r^T 1 = W (h^T 1) + B b - x^T 1;
        r W = h (W^T W) + b W - x W; and of |r|^2 each term is a product of these that are small:
        |r|^2 = <h^T h, W^T W> + 2 <1^T h, b W> + B |b|^2 - 2 <h, x W> - 2 <b, 1^T x> + |x|^2.
        r is a difference of near equals when the MSE is small: use it where the MSE is not below
        RESIDUAL_FREE_MSE (float32: the loss is then right to 1e-5).
        """
        last = len(self.network.hidden)
        weight, bias = self._layer(last, members, self.parameters)  # (k, M, H), (k, M)
        weight_gradient, bias_gradient = self._layer(last, members, self.gradients)
        n_rows, scale = len(targets.rows), 2 / targets.rows.numel()
        x = targets.rows.expand(len(h), *targets.rows.shape)
        hh, h_sum = torch.bmm(h.mT, h), h.sum(dim=1)  # (k, H, H), (k, H)
        ww, bw = torch.bmm(weight.mT, weight), self._weighted_sum(weight, bias.unsqueeze(2), dim=1)
        xw = torch.bmm(x, weight, out=self.workspace(f"delta{last - 1}", *h.shape))  # (k, B, H)
        squares = (hh * ww).sum(dim=(1, 2)) - 2 * (h * xw).sum(dim=(1, 2)) + 2 * (h_sum * bw).sum(dim=1)
        squares = squares + (bias * (n_rows * bias - 2 * targets.gene_sums)).sum(dim=1)
        loss = (squares.double() + targets.square_sum) / targets.rows.numel()
        torch.bmm(x.mT, h, out=weight_gradient)
        weight_gradient.baddbmm_(weight, hh, beta=-scale, alpha=scale)
        weight_gradient.addcmul_(bias.unsqueeze(2), h_sum.unsqueeze(1), value=scale)
        answered = self._weighted_sum(weight, h_sum.unsqueeze(1), dim=2)  # (k, M)
        torch.sub(answered, targets.gene_sums, out=bias_gradient)
        bias_gradient.add_(bias, alpha=n_rows).mul_(scale)
        return loss.to(h.dtype), xw.baddbmm_(h, ww, beta=-scale, alpha=scale).add_(bw.unsqueeze(1), alpha=scale)

    def _weighted_sum(self, weight: torch.Tensor, factors: torch.Tensor, dim: int) -> torch.Tensor:
        """Sum of weight * factors, (k, M, H), over `dim`.

        It is a matrix times a vector, but the library's routine for that adds in another order when it is given
        one member alone.
        """
        return torch.mul(weight, factors, out=self.workspace("weighted", *weight.shape)).sum(dim=dim)
