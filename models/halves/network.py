"""A dense network that learns to answer one half of thinned counts with the other, with fresh halves every epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from data_utils.noise import numpy_stream, stream
from data_utils.scaling import ZScore
from models.architecture import architecture
from models.engine.dense import RESIDUAL_FREE_MSE, DenseStack
from models.engine.optimizers import OPTIMIZERS
from models.engine.parameters import initial_parameters
from models.engine.sparsity import Sparsity
from models.engine.workspace import Targets
from models.halves.denoisers import HalfDenoiser, Halves, Training

MODEL = "dense-256x128x256"
BATCH_SIZE, LEARNING_RATE = 256, 1e-3
#: At most so many epochs, or those of so many batches; training ends after that share of them without a better loss.
EPOCHS, UPDATES, PATIENCE = 120, 600, 0.15


class NetworkOfHalves(HalfDenoiser):
    """A trained network: member k of a stack, with the parameters of its best epoch."""

    name = "dense network"

    def __init__(self, stack: DenseStack, k: int, scaling: ZScore, choice: str):
        self.stack, self.k, self.scaling, self.choice = stack, k, scaling, choice

    def denoise(self, inputs: np.ndarray, levels: np.ndarray) -> np.ndarray:
        rows = torch.from_numpy(self.scaling.transform(inputs)).unsqueeze(0)
        answer, _ = self.stack.reconstruct(slice(self.k, self.k + 1), rows)
        return answer[0].double().numpy() * self.scaling.scale + self.scaling.centre


def train_networks(
    training: Training,
    validation: Sequence[Halves],
    seeds: Sequence[int],
    model: str = MODEL,
    epochs: int | None = None,
) -> list[NetworkOfHalves]:
    """A network for each seed, trained as one stack; `validation` has the halves of each seed, which choose the epoch.

    Beside that they differ in their initial weights. Loss: MSE of z-scored genes. The order of the samples and the
    halves that they are trained on are common to all.
    """
    scaling = ZScore.fit(training.rows)
    network = architecture(model)
    n_samples, n_genes = training.counts.shape
    stack = DenseStack(network, n_genes, len(seeds))
    for k, seed in enumerate(seeds):
        stack.set_member(k, initial_parameters(network, n_genes, seed))
    optimizer = OPTIMIZERS["adam"](stack.flat.values, [LEARNING_RATE] * len(seeds))
    no_penalty = Sparsity.of(["kl"] * len(seeds), [0.0] * len(seeds), [0.05] * len(seeds))
    pairs = [tuple(map(_tensor, (scaling, scaling), (v.inputs, v.targets))) for v in validation]
    epochs = epochs or max(EPOCHS, math.ceil(UPDATES / math.ceil(n_samples / BATCH_SIZE)))
    best = [(math.inf, 0, stack.member(k)) for k in range(len(seeds))]
    small_error = False
    for epoch in range(epochs):
        for inputs, targets in _batches(training, scaling, epoch):
            stack.backward(
                slice(None),
                inputs.expand(len(seeds), -1, -1),
                Targets(targets),
                no_penalty,
                small_error,
            )
            optimizer.step(stack.flat.gradients)
        losses = [_loss(stack, k, *pair) for k, pair in enumerate(pairs)]
        small_error = min(losses) < RESIDUAL_FREE_MSE
        for k, loss in enumerate(losses):
            if loss < best[k][0]:
                best[k] = loss, epoch + 1, stack.member(k)
        if epoch + 1 - max(its[1] for its in best) >= PATIENCE * epochs:
            break
    for k, (_, _, parameters) in enumerate(best):
        stack.set_member(k, parameters)
    return [NetworkOfHalves(stack, k, scaling, f"epoch {its[1]}") for k, its in enumerate(best)]


def _batches(training: Training, scaling: ZScore, epoch: int):
    """Input (1, B, genes) and target (B, genes) halves of an epoch, fresh in each, z-scored float32."""
    halves = Halves.of(
        training.counts, training.share, training.scale, numpy_stream(0, "training-halves", epoch)
    )
    inputs, targets = _tensor(scaling, halves.inputs), _tensor(scaling, halves.targets)
    for rows in torch.randperm(len(inputs), generator=stream(0, "order", epoch)).split(BATCH_SIZE):
        yield inputs[rows].unsqueeze(0), targets[rows]


def _loss(stack: DenseStack, k: int, inputs: torch.Tensor, targets: torch.Tensor) -> float:
    squares = next(
        stack.squared_errors(
            slice(k, k + 1), [inputs.unsqueeze(0)], Targets(targets), small_error=True
        )
    )[0]
    return float(squares[0]) / targets.numel()


def _tensor(scaling: ZScore, rows: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(scaling.transform(rows))
