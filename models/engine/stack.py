"""The base of dense and convolutional stacks: parameters, memory, losses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch

from models.architecture import Architecture
from models.engine.sparsity import Sparsity

#: Each array of parameters starts at a multiple of this many numbers (64 bytes), so that vector
#: units load whole lines.
ALIGNMENT = 16
BCE_CLIP = 1e-7


@dataclass(frozen=True)
class Targets:
    """The clean rows of a batch, (rows, genes), and their sums, which all members share."""

    rows: torch.Tensor

    @cached_property
    def gene_sums(self) -> torch.Tensor:
        """Sum over the rows, (genes,)."""
        return self.rows.sum(dim=0)

    @cached_property
    def square_sum(self) -> torch.Tensor:
        """Sum of all squares, a float64 scalar."""
        return self.rows.square().sum(dim=1).double().sum()


def square_sums(errors: torch.Tensor) -> torch.Tensor:
    """Return the sum of squares of each member, (k,) float64, of errors (k, rows, genes).

    Within a row it is added in float32, over the rows in float64.
    """
    return torch.linalg.vector_norm(errors, dim=2).double().square().sum(dim=1)


def binary_cross_entropy(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the elementwise cross-entropy as Keras 2.2 computes it.

    Outputs are clipped to [1e-7, 1 - 1e-7]; targets may be any number.
    """
    output = output.clamp(BCE_CLIP, 1 - BCE_CLIP)
    return -(target * output.log() + (1 - target) * (1 - output).log())


class Stack:
    """The parameters of K networks of one architecture, and the computations with them.

    `flat` (K, P) holds all parameters, one row per member, so that an optimiser does one update;
    `parameters` names its parts, {name: (K, *shape)}, without copying. The same holds for
    `flat_gradients` and `gradients`, which `backward` fills.
    """

    code_units: int
    """Numbers in the code that `reconstruct` returns."""

    def __init__(
        self,
        network: Architecture,
        n_genes: int,
        n_members: int,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        loss: str = "mse",
    ):
        self.network, self.n_genes, self.n_members, self.loss = network, n_genes, n_members, loss
        self._memory: dict[str, torch.Tensor] = {}
        shapes = network.parameter_shapes(n_genes)
        widths = [ALIGNMENT * math.ceil(math.prod(s) / ALIGNMENT) for s in shapes.values()]
        self.flat = torch.zeros(n_members, sum(widths), dtype=dtype, device=device)
        self.flat_gradients = torch.zeros_like(self.flat)
        self.parameters, self.gradients = (
            {
                name: part[:, : math.prod(shape)].unflatten(1, shape)
                for (name, shape), part in zip(shapes.items(), flat.split(widths, 1), strict=True)
            }
            for flat in (self.flat, self.flat_gradients)
        )

    def take(self, name: str, *shape: int) -> torch.Tensor:
        """Return an array with any content, which is valid until its name is taken again.

        On a CPU the first touch of a large new array costs several times the arithmetic on it.
        """
        size = math.prod(shape)
        if name not in self._memory or self._memory[name].numel() < size:
            self._memory[name] = self.flat.new_empty(size)
        return self._memory[name][:size].view(shape)

    def reconstruct(
        self, members: slice, inputs: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return reconstructions (k, rows, genes) and codes (k, rows, code_units).

        inputs is (k, rows, genes).
        """
        raise NotImplementedError

    def backward(
        self, members: slice, inputs: torch.Tensor, targets: Targets, sparsity: Sparsity
    ) -> torch.Tensor:
        """Return each member's loss, J = MSE (eq. 11) or cross-entropy + penalty, (k,).

        Its gradients go to `self.gradients`. inputs is (k, rows, genes), sparsity that of these
        members.
        """
        raise NotImplementedError

    def squared_errors(
        self, members: slice, inputs: Iterable[torch.Tensor], targets: Targets
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the members' errors and codes for each of the inputs (k, rows, genes).

        The errors are sums of squares over rows and genes, (k,) float64; the codes are
        (k, rows, code_units). All inputs have the same targets.
        """
        for noisy in inputs:
            output, code = self.reconstruct(members, noisy)
            yield square_sums(output.sub_(targets.rows)), code

    def set_member(self, k: int, parameters: dict[str, torch.Tensor]) -> None:
        """Give member k these parameters."""
        for name, value in parameters.items():
            self.parameters[name][k].copy_(value)

    def member(self, k: int) -> dict[str, torch.Tensor]:
        """Return a copy of member k's parameters on the CPU."""
        return {name: value[k].detach().cpu().clone() for name, value in self.parameters.items()}

    def note_validation(self, mse: list[float]) -> None:
        """Take each member's last validation MSE, (K,), on which the arithmetic may depend."""
