"""K dense autoencoders of one architecture as stacked weights: reconstruction, loss, gradients.

This is the fast version of `models.networks.DenseNetwork` and its autograd: a test holds that both
give the same reconstructions, codes, losses and gradients in float64. docs/packs.md explains it.

Members never meet in an operation: products are batched over members, everything else is
elementwise or a reduction within a member. So a member's numbers do not depend on who else is in
its pack (on a CPU with one thread to the last bit, which a test holds).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

import torch

from models.architecture import DenseArchitecture
from models.engine.sparsity import Sparsity
from models.engine.stack import BCE_CLIP, Stack, Targets, binary_cross_entropy, square_sums

#: Up to this width H of the last hidden layer, a linear output's gradients are formed without its
#: residual: with batch B and M genes this takes 4 B H M + 4 H^2 M operations instead of 6 B H M (as
#: many at H = B / 2), and no array of B x M. Below this MSE float32 is too coarse for it.
RESIDUAL_FREE_WIDTH, RESIDUAL_FREE_MSE = 128, 0.05


def _sigmoid_(h: torch.Tensor) -> torch.Tensor:
    """Take the sigmoid of (k, rows, units) in place, on a CPU member by member.

    On a CPU the last numbers of an array, too few for a vector, take another code path, which
    rounds differently: a member's numbers would depend on its place in the pack.
    """
    for part in h if h.device.type == "cpu" else (h,):
        part.sigmoid_()
    return h


class DenseStack(Stack):
    """K dense networks; weights are (K, outputs, inputs), as in torch.nn.Linear."""

    network: DenseArchitecture

    def __init__(self, network, n_genes, n_members, device="cpu", dtype=torch.float32, loss="mse"):
        super().__init__(network, n_genes, n_members, device, dtype, loss)
        self.last = len(network.hidden)  # index of the output layer
        self.code_layers: tuple[int, ...] = network.code_layers
        self.sigmoid_layers = self.code_layers if network.code_activation == "sigmoid" else ()
        self.code_units = sum(network.hidden[i] for i in self.code_layers)
        self._large_error = [True] * n_members

    def _layer(self, i: int, members: slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weight (k, outputs, inputs) and bias (k, outputs) of a layer."""
        return tuple(self.parameters[f"layer{i}.{part}"][members] for part in ("weight", "bias"))

    def _layer_gradients(self, i: int, members: slice) -> tuple[torch.Tensor, torch.Tensor]:
        return tuple(self.gradients[f"layer{i}.{part}"][members] for part in ("weight", "bias"))

    def _hidden(self, members: slice, inputs: torch.Tensor) -> list[torch.Tensor]:
        """Return the inputs, then each hidden layer's activations, (k, rows, units)."""
        activations = [inputs]
        for i, width in enumerate(self.network.hidden):
            weight, bias = self._layer(i, members)
            h = self.take(f"h{i}", *inputs.shape[:2], width)
            torch.baddbmm(bias.unsqueeze(1), activations[-1], weight.mT, out=h)
            activations.append(_sigmoid_(h) if i in self.sigmoid_layers else h.relu_())
        return activations

    def _output(self, members: slice, h: torch.Tensor) -> torch.Tensor:
        """Return the reconstruction (k, rows, genes) from the last hidden layer."""
        weight, bias = self._layer(self.last, members)
        output = self.take("output", *h.shape[:2], self.n_genes)
        torch.baddbmm(bias.unsqueeze(1), h, weight.mT, out=output)
        return _sigmoid_(output) if self.network.output == "sigmoid" else output

    def _code(self, activations: list[torch.Tensor]) -> torch.Tensor:
        """Return the code layers side by side, (k, rows, code_units)."""
        return torch.cat([activations[i + 1] for i in self.code_layers], dim=2)

    def reconstruct(
        self, members: slice, inputs: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return reconstructions and codes: see `Stack`."""
        activations = self._hidden(members, inputs)
        return self._output(members, activations[-1]).clone(), self._code(activations)

    def note_validation(self, mse: list[float]) -> None:
        """Take note of each member's last validation MSE, (K,), which decides on its arithmetic."""
        self._large_error = [not value < RESIDUAL_FREE_MSE for value in mse]

    def _runs(self, members: slice) -> list[tuple[slice, slice, bool]]:
        """Split members into runs of neighbours whose output layers are computed alike.

        Returns for each run its place among all members, its place among these, and whether its
        residual is not formed.
        """
        if self.network.output != "linear" or self.network.hidden[-1] > RESIDUAL_FREE_WIDTH:
            return [(members, slice(None), False)]
        first, stop, _ = members.indices(self.n_members)
        runs = []
        for free, run in groupby(range(first, stop), key=self._large_error.__getitem__):
            ks = list(run)
            a, b = ks[0], ks[-1] + 1
            runs.append((slice(a, b), slice(a - first, b - first), free))
        return runs

    def squared_errors(
        self, members: slice, inputs: Iterable[torch.Tensor], targets: Targets
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield errors and codes, if possible without forming reconstructions: see `Stack`."""
        runs, products = self._runs(members), None
        for noisy in inputs:
            squares, codes = [], []
            for these, own, free in runs:
                activations = self._hidden(these, noisy[own])
                if free:
                    # The products depend on the targets only: they are kept unless another run
                    # overwrites their memory.
                    if products is None or len(runs) > 1:
                        products = self._output_products(these, targets)
                    squares.append(
                        self._linear_output(these, activations[-1], targets, products)[0]
                    )
                else:
                    residual = self._residual(these, activations[-1], targets.rows)[1]
                    squares.append(square_sums(residual))
                codes.append(self._code(activations))
            yield torch.cat(squares), torch.cat(codes)

    def backward(
        self, members: slice, inputs: torch.Tensor, targets: Targets, sparsity: Sparsity
    ) -> torch.Tensor:
        """Return losses and store their gradients: see `Stack`."""
        losses = [
            self._backward(these, inputs[own], targets, sparsity.members(own), free)
            for these, own, free in self._runs(members)
        ]
        return torch.cat(losses)

    def _backward(
        self, members: slice, inputs: torch.Tensor, targets: Targets, sparsity: Sparsity, free: bool
    ) -> torch.Tensor:
        """Do `backward` for members whose output layers are computed alike."""
        activations = self._hidden(members, inputs)
        output_backward = self._linear_output_backward if free else self._output_backward
        loss, delta = output_backward(members, activations[-1], targets)
        penalty, slopes = sparsity.penalty_and_slopes(
            [activations[i + 1] for i in self.code_layers]
        )
        loss += penalty
        for i in reversed(range(self.last)):
            h = activations[i + 1]  # of this layer; delta becomes d J / d (its pre-activations)
            if slopes and i in self.code_layers:
                delta += slopes[self.code_layers.index(i)]
            if i in self.sigmoid_layers:
                self._times_slope_(delta, h)
            else:
                torch.ops.aten.threshold_backward.grad_input(delta, h, 0, grad_input=delta)
            weight_gradient, bias_gradient = self._layer_gradients(i, members)
            torch.bmm(delta.mT, activations[i], out=weight_gradient)
            torch.sum(delta, dim=1, out=bias_gradient)
            if i > 0:
                below = self.take(f"delta{i - 1}", *activations[i].shape)
                delta = torch.bmm(delta, self._layer(i, members)[0], out=below)
        return loss

    def _times_slope_(self, delta: torch.Tensor, answers: torch.Tensor) -> None:
        """Multiply delta in place by s (1 - s), the slope of a sigmoid with the answers s."""
        slope = torch.mul(answers, answers, out=self.take("slope", *answers.shape))
        delta *= torch.sub(answers, slope, out=slope)

    def _residual(
        self, members: slice, h: torch.Tensor, clean: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        """Return the reconstruction (None if linear), and its residual, (k, rows, genes)."""
        residual = self.take("residual", len(h), *clean.shape)
        if self.network.output == "linear":
            weight, bias = self._layer(self.last, members)
            return None, torch.sub(bias.unsqueeze(1), clean, out=residual).baddbmm_(h, weight.mT)
        output = self._output(members, h)
        return output, torch.sub(output, clean, out=residual)

    def _output_backward(
        self, members: slice, h: torch.Tensor, targets: Targets
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return each member's loss (k,) and d loss / d h; store the output layer's gradients."""
        clean = targets.rows
        output, delta = self._residual(members, h, clean)
        if output is not None and self.loss == "bce":
            loss = binary_cross_entropy(output, clean).mean(dim=(1, 2))
            # A clipped answer has no gradient.
            delta *= (output > BCE_CLIP) & (output < 1 - BCE_CLIP)
            scale = 1 / clean.numel()
        else:
            loss = square_sums(delta) / clean.numel()
            scale = 2 / clean.numel()
            if output is not None:
                self._times_slope_(delta, output)
        weight_gradient, bias_gradient = self._layer_gradients(self.last, members)
        torch.baddbmm(weight_gradient, delta.mT, h, beta=0, alpha=scale, out=weight_gradient)
        torch.sum(delta, dim=1, out=bias_gradient).mul_(scale)
        below = self.take(f"delta{self.last - 1}", *h.shape)
        weight, _ = self._layer(self.last, members)
        torch.baddbmm(below, delta, weight, beta=0, alpha=scale, out=below)
        return loss.to(delta.dtype), below

    def _linear_output_backward(
        self, members: slice, h: torch.Tensor, targets: Targets
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Do `_output_backward` for a linear output without its residual r = h W^T + b - x, (B, M).

        With the products of `_linear_output` and `_output_products`:
        r^T h = W (h^T h) + b (1^T h) - x^T h; r^T 1 = W (h^T 1) + B b - x^T 1;
        r W = h (W^T W) + b W - x W.
        """
        weight, bias = self._layer(self.last, members)  # (k, M, H), (k, M)
        weight_gradient, bias_gradient = self._layer_gradients(self.last, members)
        n_rows, scale = len(targets.rows), 2 / targets.rows.numel()
        products = ww, bw, xw = self._output_products(members, targets)
        squares, (hh, h_sum) = self._linear_output(members, h, targets, products)
        torch.bmm(targets.rows.expand(len(h), -1, -1).mT, h, out=weight_gradient)
        weight_gradient.baddbmm_(weight, hh, beta=-scale, alpha=scale)
        weight_gradient.addcmul_(bias.unsqueeze(2), h_sum.unsqueeze(1), value=scale)
        answered = self._weighted_sum(weight, h_sum.unsqueeze(1), dim=2)  # (k, M)
        torch.sub(answered, targets.gene_sums, out=bias_gradient)
        bias_gradient.add_(bias, alpha=n_rows).mul_(scale)
        delta = xw.baddbmm_(h, ww, beta=-scale, alpha=scale).add_(bw.unsqueeze(1), alpha=scale)
        return (squares / targets.rows.numel()).to(h.dtype), delta

    def _output_products(
        self, members: slice, targets: Targets
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return W^T W (k, H, H), b W (k, H) and x W (k, B, H), which do not depend on inputs."""
        weight, bias = self._layer(self.last, members)
        x = targets.rows.expand(len(weight), -1, -1)
        xw = self.take(f"delta{self.last - 1}", *x.shape[:2], weight.shape[2])
        bw = self._weighted_sum(weight, bias.unsqueeze(2), dim=1)
        return torch.bmm(weight.mT, weight), bw, torch.bmm(x, weight, out=xw)

    def _linear_output(
        self, members: slice, h: torch.Tensor, targets: Targets, products: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """Return |r|^2 of each member, (k,) float64, without forming r; and h^T h and 1^T h.

        |r|^2 = <h^T h, W^T W> + 2 <1^T h, b W> + B |b|^2 - 2 <h, x W> - 2 <b, 1^T x> + |x|^2, with
        the products of `_output_products`. If the MSE is small, that is a difference of nearly
        equal numbers: use it only from RESIDUAL_FREE_MSE upwards, where float32 is right to 1e-5.
        """
        _, bias = self._layer(self.last, members)
        ww, bw, xw = products
        hh, h_sum = torch.bmm(h.mT, h), h.sum(dim=1)  # (k, H, H), (k, H)
        squares = (hh * ww).sum(dim=(1, 2)) - 2 * (h * xw).sum(dim=(1, 2))
        squares = squares + 2 * (h_sum * bw).sum(dim=1)
        squares = squares + (bias * (len(targets.rows) * bias - 2 * targets.gene_sums)).sum(dim=1)
        return squares.double() + targets.square_sum, (hh, h_sum)

    def _weighted_sum(self, weight: torch.Tensor, factors: torch.Tensor, dim: int) -> torch.Tensor:
        """Return the sum of weight * factors, (k, M, H), over `dim`.

        This is a matrix times a vector, but the library's routine for that adds in another order
        for a single member.
        """
        products = self.take("weighted", *weight.shape)
        return torch.mul(weight, factors, out=products).sum(dim=dim)
