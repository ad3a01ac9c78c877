"""The paper's sparsity terms: KL divergence of the code's mean activation (eqs. 1-7), and L1."""

from __future__ import annotations

from dataclasses import dataclass

import torch

#: rho_hat is kept this far from 0 and 1, where the divergence is infinite.
CLAMP = 1e-6


def kl_divergence(rho: torch.Tensor, rho_hat: torch.Tensor) -> torch.Tensor:
    """Return KL(rho || rho_hat) of two Bernoulli means, elementwise (eq. 5).

    rho_hat is clamped to [1e-6, 1 - 1e-6].
    """
    rho_hat = rho_hat.clamp(CLAMP, 1 - CLAMP)
    return rho * torch.log(rho / rho_hat) + (1 - rho) * torch.log((1 - rho) / (1 - rho_hat))


def kl_gradient(rho: torch.Tensor, rho_hat: torch.Tensor) -> torch.Tensor:
    """Return d KL(rho || rho_hat) / d rho_hat, elementwise; 0 where rho_hat is clamped."""
    clamped = rho_hat.clamp(CLAMP, 1 - CLAMP)
    return ((1 - rho) / (1 - clamped) - rho / clamped) * (clamped == rho_hat)


@dataclass(frozen=True)
class Sparsity:
    """Coefficients of K members' sparsity penalties, which lets a pack mix kinds of penalty.

    penalty_k = kl_weight_k sum_j KL(rho_k || rho_hat_kj) + l1_weight_k mean_b sum_j |h_kbj|,
    where rho_hat_kj is the mean of unit j over the batch (eq. 4). All tensors are (K, 1).
    """

    kl_weight: torch.Tensor
    l1_weight: torch.Tensor
    rho: torch.Tensor
    uses_kl: bool
    uses_l1: bool

    @classmethod
    def of(
        cls,
        kinds: list[str],
        betas: list[float],
        rhos: list[float],
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
    ) -> Sparsity:
        """Make the terms from each member's kind ("kl" or "l1"), beta and rho."""
        kl = [beta if kind == "kl" else 0.0 for kind, beta in zip(kinds, betas, strict=True)]
        l1 = [beta if kind == "l1" else 0.0 for kind, beta in zip(kinds, betas, strict=True)]
        kl_weight, l1_weight, rho = (
            torch.tensor(c, dtype=dtype, device=device).view(-1, 1) for c in (kl, l1, rhos)
        )
        return cls(kl_weight, l1_weight, rho, any(kl), any(l1))

    def members(self, block: slice) -> Sparsity:
        """Return the terms of some members."""
        kl_weight, l1_weight, rho = self.kl_weight[block], self.l1_weight[block], self.rho[block]
        return Sparsity(kl_weight, l1_weight, rho, bool(kl_weight.any()), bool(l1_weight.any()))

    def penalty(self, code: torch.Tensor) -> torch.Tensor:
        """Return the penalty of each member, (K,), for code activations (K, batch, units)."""
        total = torch.zeros(code.shape[0], dtype=code.dtype, device=code.device)
        if self.uses_kl:
            total = total + self._kl(code.mean(dim=1))
        if self.uses_l1:
            total = total + self._l1(code)
        return total

    def penalty_and_slopes(
        self, codes: list[torch.Tensor]
    ) -> tuple[torch.Tensor | float, list[torch.Tensor]]:
        """Return each member's penalty for all code layers, (K,), and its slope by layer.

        The codes are (K, batch, units), of one width; the slopes, d penalty / d code, can be added
        to that shape. Returns 0 and [] if no member has a penalty.
        """
        total: torch.Tensor | float = 0.0
        slopes: list[torch.Tensor] = []
        batch = codes[0].shape[1]
        if self.uses_kl:
            rho_hat = torch.cat([code.mean(dim=1) for code in codes], dim=1)  # (K, layers * units)
            total = total + self._kl(rho_hat)
            slope = self.kl_weight / batch * kl_gradient(self.rho, rho_hat)
            slopes = list(slope.unsqueeze(1).chunk(len(codes), dim=2))
        if self.uses_l1:
            total = total + sum(self._l1(code) for code in codes)
            of_l1 = [code.sign() * (self.l1_weight / batch).unsqueeze(2) for code in codes]
            slopes = [a + b for a, b in zip(slopes, of_l1, strict=True)] if slopes else of_l1
        return total, slopes

    def _kl(self, rho_hat: torch.Tensor) -> torch.Tensor:
        return (self.kl_weight * kl_divergence(self.rho, rho_hat)).sum(dim=1)

    def _l1(self, code: torch.Tensor) -> torch.Tensor:
        return (self.l1_weight * code.abs().mean(dim=1)).sum(dim=1)
