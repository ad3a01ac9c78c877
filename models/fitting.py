"""One network in training, with early stopping: the small loop behind the estimator.

It draws what study.training.PackTraining draws for a member of the same seed, so both give the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from data_utils.noise import add_noise, evaluation_noise, standard_normal, stream
from models.architecture import Architecture
from models.engine.dense import RESIDUAL_FREE_MSE
from models.engine.optimizers import OPTIMIZERS
from models.engine.parameters import initial_parameters
from models.engine.sparsity import Sparsity
from models.engine.stacks import stack_class
from models.engine.workspace import Targets

ONE = slice(0, 1)
#: Rows that are evaluated at a time.
ROWS = 1024


@dataclass(frozen=True)
class Settings:
    """How a network is trained; of several noise factors each row of a batch draws one."""

    noise_factors: Sequence[float]
    seed: int = 0
    epochs: int = 100
    patience: int | None = None
    """Epochs without a lower validation MSE after which training stops; None: never."""
    batch_size: int = 256
    learning_rate: float = 1e-3
    beta: float = 0.0
    rho: float = 0.05
    optimizer: str = "adam"
    initialisation: str = "centred"


@dataclass(frozen=True)
class Trained:
    """The weights of the best epoch (counted from 1), and the validation MSE after every epoch."""

    parameters: dict[str, np.ndarray]
    best_epoch: int
    curve: list[float]


def train_network(
    network: Architecture, train: np.ndarray, validation: np.ndarray, settings: Settings
) -> Trained:
    """Train on z-scored rows (samples, genes) float32. Raises ValueError where no epoch has a finite error."""
    stack = stack_class(network)(network, train.shape[1], 1)
    stack.set_member(
        0, initial_parameters(network, train.shape[1], settings.seed, settings.initialisation)
    )
    optimizer = OPTIMIZERS[settings.optimizer](stack.flat.values, [settings.learning_rate])
    sparsity = Sparsity.of(["kl"], [settings.beta], [settings.rho])
    rows, held_out = torch.from_numpy(train), torch.from_numpy(validation)
    best: tuple[dict, int] | None = None
    curve: list[float] = []
    small_error = False
    for epoch in range(settings.epochs):
        for inputs, clean in _batches(network, rows, settings, epoch):
            stack.backward(ONE, inputs, Targets(clean), sparsity, small_error)
            optimizer.step(stack.flat.gradients)
        curve.append(_validation_mse(stack, held_out, settings, small_error))
        small_error = curve[-1] < RESIDUAL_FREE_MSE
        if not math.isfinite(curve[-1]):
            break
        if best is None or curve[-1] < curve[best[1] - 1]:
            best = stack.member(0), epoch + 1
        if settings.patience is not None and epoch + 1 - best[1] >= settings.patience:
            break
    if best is None:
        raise ValueError("the training diverged in its first epoch: give a lower learning_rate")
    return Trained({name: value.numpy() for name, value in best[0].items()}, best[1], curve)


def _batches(network: Architecture, rows: torch.Tensor, settings: Settings, epoch: int):
    """Noisy inputs (1, B, genes) and clean rows (B, genes) of an epoch, in its order."""
    seed, factors = settings.seed, torch.tensor(list(settings.noise_factors))
    order = torch.randperm(len(rows), generator=stream(seed, "order", epoch))
    for batch, chosen in enumerate(order.split(settings.batch_size)):
        clean = rows[chosen]
        normal = standard_normal(clean.shape, stream(seed, "noise", epoch, batch))
        of_rows = torch.zeros(len(clean), dtype=torch.long)
        if len(factors) > 1:
            of_rows = torch.randint(
                len(factors), (len(clean),), generator=stream(seed, "noise-factor", epoch, batch)
            )
        yield _noisy(network, clean, factors[of_rows], normal), clean


def _noisy(
    network: Architecture, clean: torch.Tensor, factors: torch.Tensor, normal: torch.Tensor
) -> torch.Tensor:
    """The input of one network, (1, rows, genes), with the noise factor (rows,) as one more column if it is told."""
    column = factors.unsqueeze(1)
    noisy = add_noise(clean, column, normal)
    return (torch.cat([noisy, column], dim=1) if network.noise_input else noisy).unsqueeze(0)


def _validation_mse(stack, clean: torch.Tensor, settings: Settings, small_error: bool) -> float:
    """MSE (eq. 11) under the fixed noise of the seed; rows take the noise factors in turn."""
    normal = evaluation_noise(settings.seed, "validation", *clean.shape)
    factors = torch.tensor(list(settings.noise_factors))
    of_rows = factors[torch.arange(len(clean)) % len(factors)]
    total = 0.0
    for start in range(0, len(clean), ROWS):
        rows = slice(start, start + ROWS)
        inputs = _noisy(stack.network, clean[rows], of_rows[rows], normal[rows])
        [(squares, _)] = stack.squared_errors(ONE, [inputs], Targets(clean[rows]), small_error)
        total += float(squares[0])
    return total / clean.numel()
