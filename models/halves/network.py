"""A dense network that learns to predict one half of thinned counts from the other.

The samples are thinned again in every epoch, so that it never sees the same halves twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from data_utils.noise import numpy_stream
from data_utils.preparation import PreparedData, Split, ZScore
from models.config import MemberConfig, Phase
from models.denoisers.denoiser import Denoiser
from models.denoisers.network import saved
from models.engine.stack import Targets
from models.halves.denoisers import Halves, Training
from models.training import Block, PackTraining, measures, train

MODEL = "dense-256x128x256"
#: Epochs of training, or more if UPDATES batches take more; training ends early after the share
#: PATIENCE of them without a lower loss.
EPOCHS, UPDATES, PATIENCE = 120, 600, 0.15


class NetworkOfHalves(Denoiser):
    """A trained network with the parameters of its best epoch."""

    name = "dense network"

    def __init__(self, network: Denoiser, scaling: ZScore, epoch: int):
        self.network, self.scaling, self.epoch = network, scaling, epoch

    def choice(self, noise_factor: float) -> str:
        """Name the epoch that validation chose."""
        return f"epoch {self.epoch}"

    def denoise(self, noisy: np.ndarray, noise_factor: np.ndarray | float) -> np.ndarray:
        """Return the network's output, float64."""
        answer = self.network.denoise(self.scaling.transform(noisy), noise_factor)
        return answer.astype(np.float64) * self.scaling.scale + self.scaling.centre


class TrainingOfHalves(PackTraining):
    """Networks that are trained on the same halves in the same order.

    They differ in their initial weights and in the halves (inputs, targets), z-scored (samples,
    genes), on which each is validated. Loss: MSE of z-scored genes.
    """

    def __init__(
        self,
        members: tuple[MemberConfig, ...],
        training: Training,
        scaling: ZScore,
        validation: Sequence[Halves],
    ):
        rows = scaling.transform(training.rows)
        none = np.array([], dtype=int)
        split = Split(np.arange(len(rows)), none, none)
        genes = np.arange(rows.shape[1])
        data = PreparedData(rows, rows[:0], rows[:0], scaling, split, genes)
        super().__init__(members, lambda seed: data, tested=False)
        self.halves, self.scaling = training, scaling
        self.validation = [self._pair(halves) for halves in validation]
        self.drawn_in, self.drawn = -1, self.validation[0]  # an epoch, and its halves

    def _pair(self, halves: Halves) -> tuple[torch.Tensor, torch.Tensor]:
        inputs, targets = map(self.scaling.transform, (halves.inputs, halves.targets))
        return torch.from_numpy(inputs), torch.from_numpy(targets)

    def _batch(self, seed: int) -> tuple[torch.Tensor, Callable[[Block], torch.Tensor]]:
        if self.drawn_in != self.epoch:
            rng, self.drawn_in = numpy_stream(0, "training-halves", self.epoch), self.epoch
            self.drawn = self._pair(self.halves.thinning.halves(self.halves.counts, rng))
        start = self.batch * self.batch_size
        rows = self._order(self.members[0].seed)[start : start + self.batch_size]
        inputs, targets = (half[rows] for half in self.drawn)
        return targets, lambda block: inputs.expand(
            block.members.stop - block.members.start, -1, -1
        )

    def _evaluate(self, part, levels, clean_level=None):
        mse = torch.zeros(1, len(self.members), dtype=torch.float64)
        moments = mse.new_zeros(1, 2, len(self.members), self.stack.code_units)
        for k, (inputs, targets) in enumerate(self.validation):
            found = self.stack.squared_errors(slice(k, k + 1), [inputs[None]], Targets(targets))
            [(squares, code)] = found
            mse[0, k] = squares[0] / targets.numel()
            moments[0, :, k] = torch.stack([code[0].mean(dim=0), code[0].square().mean(dim=0)])
        return measures(mse, moments)

    def _measure_phase(self) -> None:
        """Measure nothing more at the end: fresh halves have no fixed training error."""


def train_networks(
    training: Training,
    validation: Sequence[Halves],
    seeds: Sequence[int],
    epochs: int | None = None,
) -> list[NetworkOfHalves]:
    """Train one network per seed, and return each at its best epoch on its `validation` halves."""
    scaling = ZScore.fit(training.rows)
    n_samples, n_genes = training.counts.shape
    batch_size = MemberConfig.batch_size
    epochs = epochs or max(EPOCHS, math.ceil(UPDATES / math.ceil(n_samples / batch_size)))
    phases = (Phase((0.0,), epochs),)
    members = tuple(MemberConfig(MODEL, phases, seed) for seed in seeds)
    best = train(
        TrainingOfHalves(members, training, scaling, validation), math.ceil(PATIENCE * epochs)
    )
    networks = []
    for member, its in zip(members, best, strict=True):
        parameters = {name: value.numpy() for name, value in its.parameters.items()}
        network = saved(member.architecture, n_genes, parameters)
        networks.append(NetworkOfHalves(network, scaling, its.epoch))
    return networks
