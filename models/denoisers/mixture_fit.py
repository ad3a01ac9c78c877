"""The fit of a pack of mixtures of Wiener filters, round by round: a round is an epoch.

Parameters are rounded to float32 after each round, as they are kept: a fit that was interrupted
continues from the same numbers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import torch

from data_utils.noise import add_noise, evaluation_noise_blocks, standard_normal, stream
from models.config import EVALUATION_ROWS
from models.denoisers.mixture import PARAMETERS, Mixture, fit_round
from models.training import Training, measures


class MixtureFit(Training):
    """K mixtures being fitted, on the CPU; the code of a row is the probability of each group."""

    def __init__(self, members, data, device="cpu", tested=True):
        super().__init__(members, data, "cpu", tested)
        members[0].architecture.parameter_shapes(self.n_genes)  # refuses too many genes
        self.batch_size = len(self.rows["train"])
        self.mixtures: list[Mixture | None] = [None] * len(members)

    def advance(self) -> bool:
        """Do one round of each member's fit on all training rows, and measure."""
        started = time.perf_counter()
        losses = [self._round(k) for k in range(len(self.members))]
        self.loss_sum.add_(torch.tensor(losses), alpha=self.batch_size)
        self._end_epoch()
        self.seconds += time.perf_counter() - started
        return True

    def parameters(self, k: int) -> dict[str, torch.Tensor]:
        """Member k's parameters, float32."""
        return {name: torch.from_numpy(array) for name, array in self.mixtures[k].arrays().items()}

    def state(self) -> tuple[dict[str, torch.Tensor], dict]:
        """Tensors and JSON-able facts from which `restore` continues, between any two rounds."""
        tensors, facts = super().state()
        for k in range(len(self.members) if self.epoch else 0):
            tensors |= {f"{name}.{k}": value for name, value in self.parameters(k).items()}
        return tensors, facts

    def restore(self, tensors: dict[str, torch.Tensor], facts: dict) -> None:
        """Continue from what `state` gave, with the same members and data."""
        super().restore(tensors, facts)
        for k in range(len(self.members) if self.epoch else 0):
            arrays = {name: tensors[f"{name}.{k}"].numpy() for name in PARAMETERS}
            self.mixtures[k] = Mixture.from_arrays(arrays, {})

    def _round(self, k: int) -> float:
        """One round of member k's fit; returns the MSE (eq. 11) on its noisy training rows."""
        member, before, phase = self.members[k], self.mixtures[k], self.phase
        order = self._order(member.seed)
        clean = self.rows["train"][order]
        normal = standard_normal(clean.shape, stream(member.seed, "noise", self.epoch, 0))
        choice = self._factor_choice(member.seed, phase, len(clean))
        factors = self._phase_factors(phase, choice)[k]
        groups, classes = member.architecture.groups, member.architecture.classes
        if before is None:
            draw = torch.rand(groups, generator=stream(member.seed, "groups"))[0]
        else:
            draw = before.group_weights[0]
        rows = clean.double().numpy()
        fitted = fit_round(rows, before, groups, classes, seed=int(float(draw) * 2**31))
        self.mixtures[k] = Mixture.from_arrays(fitted.arrays(), {})
        guess, _ = _answer(fitted, add_noise(clean, factors[:, None], normal), factors)
        return float(((guess - rows) ** 2).mean())

    def _evaluate(self, part, levels, clean_level=None):
        noisy = [(factors, True) for factors in levels]
        noisy += [(clean_level, False)] if clean_level is not None else []
        n_units = self.members[0].architecture.groups
        error = torch.zeros(len(noisy), len(self.members), dtype=torch.float64)
        moments = error.new_zeros(len(noisy), 2, len(self.members), n_units)
        for k, member in enumerate(self.members):
            for rows, clean, normal in self._fixed_noise(member.seed, part):
                for level, (of_all, has_noise) in enumerate(noisy):
                    factors = of_all[k if len(of_all) > 1 else 0]
                    factors = factors if len(factors) == 1 else factors[rows]
                    inputs = add_noise(clean, factors[:, None], normal) if has_noise else clean
                    guess, code = map(torch.from_numpy, _answer(self.mixtures[k], inputs, factors))
                    left = torch.linalg.vector_norm(guess.float().sub_(clean)[None], dim=2)
                    error[level, k] += left.double().square().sum(dim=1)[0]
                    code = code.float().double()[None]
                    sums = code.sum(dim=1), code.square().sum(dim=1)
                    moments[level, :, k] += torch.stack(sums)[:, 0]
        n_rows, n_genes = self.rows[part].shape
        return measures(error / (n_rows * n_genes), moments / n_rows)

    def _fixed_noise(
        self, seed: int, part: str
    ) -> Iterator[tuple[slice, torch.Tensor, torch.Tensor]]:
        """Rows of a part, EVALUATION_ROWS at a time: which, their values, and their seed's noise."""
        shape = self.rows[part].shape
        blocks = evaluation_noise_blocks(seed, part, *shape, EVALUATION_ROWS)
        for i, normal in enumerate(blocks):
            rows = slice(i * EVALUATION_ROWS, (i + 1) * EVALUATION_ROWS)
            yield rows, self.rows[part][rows], normal


def _answer(
    mixture: Mixture, noisy: torch.Tensor, factors: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean and groups' probabilities of noisy rows; factors has one number, or one a row."""
    factors = factors.expand(len(noisy))
    return mixture.posterior_mean(noisy.double().numpy(), factors.double().numpy())
