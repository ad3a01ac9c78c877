"""K mixtures of Wiener filters (models/denoisers/mixture.py), held and asked as every stack of networks is.

They are fitted rather than descended to: `backward` gives the parameters after one more round in place of gradients,
and the optimizer "em" takes them over. So a round is an epoch, and all else of a training is as for the networks.
"""

from __future__ import annotations

import numpy as np
import torch

from models.architecture import MixtureArchitecture
from models.denoisers.mixture import Mixture, fit_round
from models.engine.dense import Stack
from models.engine.sparsity import Sparsity
from models.engine.workspace import Targets


class MixtureStack(Stack):
    """K mixtures; the last column of an input row is its noise factor."""

    network: MixtureArchitecture

    @property
    def code_units(self) -> int:
        """The code is the probability of each group."""
        return self.network.groups

    def reconstruct(
        self, members: slice, inputs: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Posterior means (k, rows, genes) and groups' probabilities (k, rows, groups) for (k, rows, genes + 1)."""
        answers = [
            _answer(self._mixture(k), rows.cpu().double().numpy())
            for k, rows in zip(range(self.n_members)[members], inputs, strict=True)
        ]
        return tuple(
            torch.from_numpy(np.stack(part)).to(inputs) for part in zip(*answers, strict=True)
        )

    def backward(
        self,
        members: slice,
        inputs: torch.Tensor,
        targets: Targets,
        sparsity: Sparsity,
        small_error: bool = False,
    ) -> torch.Tensor:
        """MSE (eq. 11) of each member's next parameters on these inputs, (k,); they go to `self.gradients`.

        targets holds all training rows. Of a member that has not begun, the group weights are its seed's draws.
        """
        rows = targets.rows.cpu().double().numpy()
        losses = []
        for k, noisy in zip(range(self.n_members)[members], inputs, strict=True):
            before, seed = self._mixture(k), int(self.parameters["group_weights"][k, 0] * 2**31)
            begun = before.class_weights.sum() > 0
            mixture = fit_round(
                rows, before if begun else None, self.network.groups, self.network.classes, seed
            )
            for name, gradient in self.gradients.items():
                gradient[k].copy_(torch.from_numpy(getattr(mixture, name)))
            guess, _ = _answer(mixture, noisy.cpu().double().numpy())
            losses.append(((guess - rows) ** 2).mean())
        return torch.tensor(losses, dtype=inputs.dtype, device=inputs.device)

    def _mixture(self, k: int) -> Mixture:
        return Mixture(
            **{name: value[k].cpu().double().numpy() for name, value in self.parameters.items()}
        )


def _answer(mixture: Mixture, told: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and groups' probabilities of rows whose last column is the noise factor."""
    return mixture.posterior_mean(told[:, :-1], told[:, -1])
