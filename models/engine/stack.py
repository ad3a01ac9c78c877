"""What stacks of dense and of convolutional networks share: parameters, memory, targets, losses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch

from models.architecture import Network
from models.engine.parameters import FlatParameters
from models.engine.sparsity import Sparsity

BCE_CLIP = 1e-7


class Workspace:
    """Arrays by name, whose memory every step uses again.

    On a CPU the first touch of a large new array costs several times what its arithmetic does.
    """

    def __init__(self, dtype: torch.dtype = torch.float32, device: str = "cpu"):
        self.dtype, self.device = dtype, device
        self._flat: dict[str, torch.Tensor] = {}

    def __call__(self, name: str, *shape: int) -> torch.Tensor:
        """Return the array of this name, with any content; valid until it is asked for again."""
        size = math.prod(shape)
        if name not in self._flat or self._flat[name].numel() < size:
            self._flat[name] = torch.empty(size, dtype=self.dtype, device=self.device)
        return self._flat[name][:size].view(shape)


@dataclass(frozen=True)
class Targets:
    """The clean rows that a batch is compared with, (rows, genes), and their sums."""

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
    """Return it elementwise, as Keras 2.2 has it.

    Outputs are clipped to [1e-7, 1 - 1e-7]; targets may be any number.
    """
    output = output.clamp(BCE_CLIP, 1 - BCE_CLIP)
    return -(target * output.log() + (1 - target) * (1 - output).log())


class Stack:
    """What dense and convolutional stacks share: the parameters, by member and by name."""

    def __init__(
        self,
        network: Network,
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

    @property
    def code_units(self) -> int:
        """Units of the code."""
        raise NotImplementedError

    def reconstruct(
        self, members: slice, inputs: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the reconstructions of inputs (k, rows, genes), and their codes.

        Codes are activations, (k, rows, code_units).
        """
        raise NotImplementedError

    def backward(
        self, members: slice, inputs: torch.Tensor, targets: Targets, sparsity: Sparsity
    ) -> torch.Tensor:
        """Return the loss of each member, J = MSE (eq. 11) + penalty, (k,).

        Its gradients go to `self.gradients`. inputs is (k, rows, genes), sparsity that of these
        members.
        """
        raise NotImplementedError

    def squared_errors(
        self, members: slice, inputs: Iterable[torch.Tensor], targets: Targets
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield for each of the inputs (k, rows, genes) what the members make of them.

        That is the sum of squared errors over rows and genes, (k,) float64, and the code
        activations (k, rows, code_units). The inputs have the targets in common.
        """
        for noisy in inputs:
            output, code = self.reconstruct(members, noisy)
            yield square_sums(output.sub_(targets.rows)), code

    def set_member(self, k: int, parameters: dict[str, torch.Tensor]) -> None:
        """Give member k these parameters."""
        for name, value in parameters.items():
            self.parameters[name][k].copy_(value)

    def member(self, k: int) -> dict[str, torch.Tensor]:
        """A copy of member k's parameters on the CPU."""
        return {name: value[k].detach().cpu().clone() for name, value in self.parameters.items()}

    def note_validation(self, mse: list[float]) -> None:
        """Take note of each member's last validation MSE, (K,): a stack may compute by it."""
