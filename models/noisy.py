"""Noisy rows for training and measuring, made for some members of a pack at a time."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from data_utils.noise import add_noise


class Noisy:
    """Noisy versions of a seed's rows, made for some members at a time.

    `factors` are the noise factors, (K or 1, 1 or rows).
    """

    factors: torch.Tensor

    def own(self, members: slice) -> torch.Tensor:
        """Return the noise factors of some members, (k or 1, 1 or rows, 1)."""
        return (self.factors if len(self.factors) == 1 else self.factors[members]).unsqueeze(2)

    def write(self, members: slice, out: torch.Tensor) -> None:
        """Write the noisy rows of some members to `out`, (k, rows, genes)."""
        raise NotImplementedError


@dataclass(frozen=True)
class NoisyNow(Noisy):
    """Clean rows and a draw from N(0, 1), (rows, genes), that is scaled by the factors (eq. 9)."""

    factors: torch.Tensor
    clean: torch.Tensor
    normal: torch.Tensor

    def write(self, members: slice, out: torch.Tensor) -> None:
        """Write the noisy rows of some members to `out`, (k, rows, genes)."""
        add_noise(self.clean, self.own(members), self.normal, out=out)


@dataclass(frozen=True)
class NoiseSets:
    """The noisy training sets of a seed in one phase, as one array.

    `rows` is (sets * training rows, genes); `first` is the first row of a member's set of each of
    its noise factors, (K, factors), 0 for members of other seeds.
    """

    rows: torch.Tensor
    first: torch.Tensor


@dataclass(frozen=True)
class NoisyOnce(Noisy):
    """Rows of sets that were drawn once: `at` are their places in the sets, (K, rows)."""

    factors: torch.Tensor
    sets: NoiseSets
    at: torch.Tensor

    def write(self, members: slice, out: torch.Tensor) -> None:
        """Write the noisy rows of some members to `out`, (k, rows, genes)."""
        for rows, at in zip(out, self.at[members], strict=True):
            if rows.is_contiguous():
                torch.index_select(self.sets.rows, 0, at, out=rows)
            else:
                rows.copy_(self.sets.rows[at])
