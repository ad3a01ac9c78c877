"""The epoch loop over a pack. No Ray here: it runs alone, one batch at a time, and can be saved between any two."""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch

from data_utils.noise import add_noise, evaluation_noise, standard_normal, stream
from data_utils.preparation import SPLITS, PreparedData
from models.architecture import ConvArchitecture
from models.conv_stack import ConvStack
from models.optimizers import OPTIMIZERS
from models.sparsity import Sparsity
from models.stack import RESIDUAL_FREE_MSE, DenseStack, initial_parameters
from study.config import MemberConfig, Phase

#: Members that pass through the network together on a CPU: their activations stay in its caches.
CPU_BLOCK = 3
#: Rows that are evaluated at a time.
EVALUATION_ROWS = 1024


@dataclass(frozen=True)
class Record:
    """One measurement of every member: `values` and `noise_factors` are (K,); NaN for mixed noise."""

    epoch: int
    split: str
    metric: str
    noise_factors: list[float]
    values: list[float]
    wall_time: float


@dataclass(frozen=True)
class Block:
    """Members of one seed that are computed together; those that share a schedule share one input."""

    members: slice
    shares_input: bool
    small_error: bool
    sparsity: Sparsity


class PackTraining:
    """K networks in training; `advance` trains one batch, `finished` tells when all phases are done.

    The members' seeds name every random stream, so a member's numbers do not depend on its pack.
    """

    def __init__(self, members: tuple[MemberConfig, ...], data: PreparedData, device: str = "cpu"):
        self.members, self.device = members, device
        first = members[0]
        self.phases_epochs = [phase.epochs for phase in first.phases]
        self.batch_size = first.batch_size
        data = data.variant(first.scaling, first.layout)
        self.rows = {part: _tensor(getattr(data, part), device) for part in SPLITS}
        self.n_genes = data.n_genes
        network = first.architecture
        stack = ConvStack if isinstance(network, ConvArchitecture) else DenseStack
        self.stack = stack(network, self.n_genes, len(members), device, loss=first.loss)
        for k, member in enumerate(members):
            initial = initial_parameters(network, self.n_genes, member.seed, member.initialisation)
            self.stack.set_member(k, initial)
        rates = [member.learning_rate for member in members]
        self.optimizer = OPTIMIZERS[first.optimizer](self.stack.flat.values, rates)
        terms = zip(*((member.sparsity, member.beta, member.rho) for member in members), strict=True)
        self.sparsity = Sparsity.of(*map(list, terms), device=device)
        self.epoch, self.batch, self.seconds = 0, 0, 0.0
        self.loss_sum = torch.zeros(len(members), dtype=torch.float64, device=device)
        self.diverged_epoch: list[int | None] = [None] * len(members)
        self.records: list[Record] = []
        self._sort_into_blocks([False] * len(members))
        self._orders: dict[int, torch.Tensor] = {}
        self._evaluation_noise: dict[tuple[int, str], torch.Tensor] = {}

    @property
    def finished(self) -> bool:
        return self.epoch == sum(self.phases_epochs)

    @property
    def phase(self) -> int:
        """Index of the phase that the next batch belongs to."""
        ends = np.cumsum(self.phases_epochs)
        return int(np.searchsorted(ends, self.epoch, side="right"))

    def advance(self) -> bool:
        """Train one batch; at the end of an epoch measure. Returns True when an epoch has ended."""
        started = time.perf_counter()
        start, phase = self.batch * self.batch_size, self.phase
        for seed, blocks in self.seeds:
            clean = self.rows["train"][self._order(seed)[start : start + self.batch_size]]  # (B, genes)
            normal = standard_normal(clean.shape, stream(seed, "noise", self.epoch, self.batch, device=self.device))
            choice = self._factor_choice(seed, phase, len(clean))
            for block in blocks:
                inputs = self._inputs(block, phase, clean, normal, choice)
                loss = self.stack.backward(block.members, inputs, clean, block.sparsity, block.small_error)
                self.loss_sum[block.members] += loss.double() * len(clean)
        self.optimizer.step(self.stack.flat.gradients)
        self.batch += 1
        ended = self.batch * self.batch_size >= len(self.rows["train"])
        if ended:
            self._end_epoch()
        self.seconds += time.perf_counter() - started
        return ended

    def _sort_into_blocks(self, small_error: list[bool]) -> None:
        """Blocks by seed, for members whose error is small (see RESIDUAL_FREE_MSE) or is not, (K,)."""
        self.small_error = small_error
        largest = CPU_BLOCK if self.device == "cpu" else len(self.members)
        self.seeds = _blocks_by_seed(self.members, small_error, self.sparsity, largest)

    def _order(self, seed: int) -> torch.Tensor:
        """The order of the training rows in this epoch, (rows,)."""
        if seed not in self._orders:
            n_rows = len(self.rows["train"])
            self._orders[seed] = torch.randperm(n_rows, generator=stream(seed, "order", self.epoch)).to(self.device)
        return self._orders[seed]

    def _factor_choice(self, seed: int, phase: int, n_rows: int) -> torch.Tensor | None:
        """Which of a mixed phase's noise factors each row gets, (rows,); None where there is one."""
        n_factors = len(self.members[0].phases[phase].noise_factors)
        if n_factors == 1:
            return None
        generator = stream(seed, "noise-factor", self.epoch, self.batch)
        return torch.randint(n_factors, (n_rows,), generator=generator).to(self.device)

    def _inputs(
        self, block: Block, phase: int, clean: torch.Tensor, normal: torch.Tensor, choice: torch.Tensor | None
    ) -> torch.Tensor:
        """Noisy inputs (k, rows, genes) of a block; `choice` picks each row's noise factor."""
        members = self.members[block.members]
        distinct = members[:1] if block.shares_input else members
        factors = torch.tensor([member.phases[phase].noise_factors for member in distinct], device=self.device)
        factors = factors[:, :1] if choice is None else factors[:, choice]  # (k, 1 or rows)
        noisy = add_noise(clean, factors.unsqueeze(2), normal)
        return noisy.expand(len(members), *clean.shape)

    def _end_epoch(self) -> None:
        """Loss and validation of the epoch; after a phase, every part at each of the phase's noise factors."""
        phase = self.phase
        epoch = self.epoch + 1
        losses = (self.loss_sum / len(self.rows["train"])).tolist()
        mse, activation = self._evaluate("validation", phase, factor=None)
        self._record(epoch, phase, None, "train", "loss", losses)
        self._record(epoch, phase, None, "validation", "mse", mse)
        self._record(epoch, phase, None, "validation", "mean_activation", activation)
        for k, values in enumerate(zip(losses, mse, strict=True)):
            if self.diverged_epoch[k] is None and not all(map(math.isfinite, values)):
                self.diverged_epoch[k] = epoch
        if epoch == sum(self.phases_epochs[: phase + 1]):
            self._measure_phase(epoch, phase)
        self._note_small_errors()
        self.loss_sum.zero_()
        self._orders.clear()
        self.epoch, self.batch = epoch, 0

    def _measure_phase(self, epoch: int, phase: int) -> None:
        """Every part at each of the phase's noise factors, and the training rows without noise, as the paper did."""
        n_factors = len(self.members[0].phases[phase].noise_factors)
        for factor in range(n_factors):
            for part in SPLITS:
                if part == "validation" and n_factors == 1:
                    continue  # measured at the end of every epoch
                mse, _ = self._evaluate(part, phase, factor)
                self._record(epoch, phase, factor, part, "mse", mse)
        mse, _ = self._evaluate("train", phase, factor=0, noisy=False)
        self._record(epoch, phase, None if n_factors > 1 else 0, "train-clean", "mse", mse)

    def _note_small_errors(self) -> None:
        """From each member's own last validation, so that its numbers stay its own."""
        curve = [r for r in self.records if (r.split, r.metric) == ("validation", "mse")]
        small_error = [value < RESIDUAL_FREE_MSE for value in curve[-1].values] if curve else self.small_error
        if small_error != self.small_error:
            self._sort_into_blocks(small_error)

    def _record(self, epoch: int, phase: int, factor: int | None, split: str, metric: str, values: list) -> None:
        noise_factors = [_noise_factor(member.phases[phase], factor) for member in self.members]
        self.records.append(Record(epoch, split, metric, noise_factors, values, time.time()))

    def _evaluate(
        self, part: str, phase: int, factor: int | None, noisy: bool = True
    ) -> tuple[list[float], list[float]]:
        """MSE (eq. 11) and mean code activation of each member on the fixed noise of its seed.

        With `factor` None the rows take the phase's noise factors in turn; without `noisy` the input is clean.
        """
        clean, n_members = self.rows[part], len(self.members)
        n_factors = len(self.members[0].phases[phase].noise_factors)
        in_turn = torch.arange(len(clean), device=self.device) % n_factors
        choice = in_turn if factor is None else torch.full_like(in_turn, factor)
        squared_error = torch.zeros(n_members, dtype=torch.float64, device=self.device)
        activation = torch.zeros(n_members, dtype=torch.float64, device=self.device)
        for seed, blocks in self.seeds:
            normal = self._fixed_noise(seed, part) if noisy else torch.zeros_like(clean)
            for start in range(0, len(clean), EVALUATION_ROWS):
                rows = slice(start, start + EVALUATION_ROWS)
                for block in blocks:
                    inputs = self._inputs(block, phase, clean[rows], normal[rows], choice[rows])
                    output, mean = self.stack.reconstruct(block.members, inputs)
                    error = (output - clean[rows]).square().sum(dim=2).double().sum(dim=1)
                    squared_error[block.members] += error
                    activation[block.members] += mean.double() * len(clean[rows])
        return (squared_error / clean.numel()).tolist(), (activation / len(clean)).tolist()

    def _fixed_noise(self, seed: int, part: str) -> torch.Tensor:
        """The evaluation noise of a seed; kept for validation, which is measured every epoch."""
        if (seed, part) in self._evaluation_noise:
            return self._evaluation_noise[seed, part]
        normal = evaluation_noise(seed, part, *self.rows[part].shape).to(self.device)
        if part == "validation":
            self._evaluation_noise[seed, part] = normal
        return normal

    def state(self) -> tuple[dict[str, torch.Tensor], dict]:
        """Tensors and JSON-able facts from which `restore` goes on, between any two batches."""
        tensors = {"values": self.stack.flat.values, "loss_sum": self.loss_sum, **self.optimizer.state}
        facts = {
            "epoch": self.epoch,
            "batch": self.batch,
            "seconds": self.seconds,
            "step_count": self.optimizer.step_count,
            "diverged_epoch": list(self.diverged_epoch),
            "records": [vars(record) for record in self.records],
        }
        return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}, facts

    def restore(self, tensors: dict[str, torch.Tensor], facts: dict) -> None:
        """Go on from what `state` gave, with the same members and data."""
        self.stack.flat.values.copy_(tensors["values"])
        self.loss_sum.copy_(tensors["loss_sum"])
        for name, tensor in self.optimizer.state.items():
            tensor.copy_(tensors[name])
        self.epoch, self.batch, self.seconds = facts["epoch"], facts["batch"], facts["seconds"]
        self.optimizer.step_count = facts["step_count"]
        self.diverged_epoch = list(facts["diverged_epoch"])
        self.records = [Record(**record) for record in facts["records"]]
        self._note_small_errors()
        self._orders.clear()


def _noise_factor(phase: Phase, factor: int | None) -> float:
    if factor is None:
        factor = 0
        if len(phase.noise_factors) > 1:
            return math.nan
    return phase.noise_factors[factor]


def _tensor(values: np.ndarray, device: str) -> torch.Tensor:
    """The array as a tensor, without a copy on the CPU. Ray shares it read-only, and nothing here writes to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(values).to(device)


def _blocks_by_seed(
    members: tuple[MemberConfig, ...], small_error: list[bool], sparsity: Sparsity, largest: int
) -> list[tuple[int, list[Block]]]:
    """Neighbours of one seed, and alike in small_error, in blocks of at most `largest`.

    Neighbours with one schedule stay together; those that have a schedule alone share a block without an input.
    """
    result = []
    for seed, same_seed in groupby(range(len(members)), key=lambda k: members[k].seed):
        runs: list[tuple[list[int], bool]] = []  # members, and whether they share their input
        for _, alike in groupby(same_seed, key=lambda k: (members[k].phases, small_error[k])):
            run = list(alike)
            for start in range(0, len(run), largest):
                part = run[start : start + largest]
                joins = len(part) == 1 and runs and not runs[-1][1] and len(runs[-1][0]) < largest
                if joins and small_error[runs[-1][0][0]] == small_error[part[0]]:
                    runs[-1][0].extend(part)
                else:
                    runs.append((part, len(part) > 1))
        blocks = []
        for run, shares_input in runs:
            block = slice(run[0], run[-1] + 1)
            blocks.append(Block(block, shares_input, small_error[run[0]], sparsity.members(block)))
        result.append((seed, blocks))
    return result
