"""What the steps of a stack share: arrays that are used again, and the clean rows of a batch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch


class Workspace:
    """Arrays by name, whose memory every step uses again.

    On a CPU the first touch of a fresh large array costs several times what the arithmetic on it does.
    """

    def __init__(self, dtype: torch.dtype = torch.float32, device: str = "cpu"):
        self.dtype, self.device = dtype, device
        self._flat: dict[str, torch.Tensor] = {}

    def __call__(self, name: str, *shape: int) -> torch.Tensor:
        """The array of this name, with any content; it is valid until the name is asked for again."""
        size = math.prod(shape)
        if name not in self._flat or self._flat[name].numel() < size:
            self._flat[name] = torch.empty(size, dtype=self.dtype, device=self.device)
        return self._flat[name][:size].view(shape)


@dataclass(frozen=True)
class Targets:
    """The clean rows that a batch is compared with, (rows, genes), and their sums, which all members share."""

    rows: torch.Tensor

    @cached_property
    def gene_sums(self) -> torch.Tensor:
        """Sum over the rows, (genes,)."""
        return self.rows.sum(dim=0)

    @cached_property
    def square_sum(self) -> torch.Tensor:
        """Sum of all squares, a float64 scalar."""
        return self.rows.square().sum(dim=1).double().sum()
