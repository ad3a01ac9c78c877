"""The one training loop: of a run's packs, the estimator's network and those for thinned counts.

It runs in any process, one batch at a time, and can be saved between any two.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch

from data_utils.noise import (
    add_noise,
    evaluation_noise,
    evaluation_noise_blocks,
    standard_normal,
    stream,
)
from data_utils.preparation import SPLITS, PreparedData
from models.architecture import MixtureArchitecture
from models.config import EVALUATION_ROWS, NOISE_FACTORS, MemberConfig, Phase
from models.engine.blocks import Block, blocks_by_seed, stack_class
from models.engine.optimizers import OPTIMIZERS
from models.engine.parameters import initial_parameters
from models.engine.sparsity import Sparsity
from models.engine.stack import Targets, Workspace
from models.variants import member_data

#: Members that pass through the network together on a CPU: their activations stay in its caches.
CPU_BLOCK = 4
#: A code unit is dead if its activation varies less than this (standard deviation) over the rows.
DEAD_UNIT_STD = 0.01


@dataclass(frozen=True)
class Record:
    """One measurement of every member: values and noise factors, (K,); NaN for mixed noise."""

    epoch: int
    split: str
    metric: str
    noise_factors: list[float]
    values: list[float]
    wall_time: float


class Training:
    """The fit of a pack of members: its schedule, and what is measured of it.

    `advance` does one step, `finished` tells when all phases are done, and `state` and `restore`
    carry it over an interruption between any two steps. Kinds of fit differ in the step and in
    `_evaluate`. The members' seeds name every random stream, so a member's numbers do not depend on
    its pack.
    Without `tested` the test rows are not even looked at: a search chooses by validation alone.
    """

    def __init__(
        self,
        members: tuple[MemberConfig, ...],
        data: PreparedData,
        device: str = "cpu",
        tested: bool = True,
    ):
        self.members, self.device = members, device
        self.phases_epochs = [phase.epochs for phase in members[0].phases]
        data = member_data(data, members[0])
        self.parts = [part for part in SPLITS if tested or part != "test"]
        self.rows = {part: _tensor(getattr(data, part), device) for part in self.parts}
        self.n_genes = data.n_genes
        self.epoch, self.batch, self.seconds = 0, 0, 0.0
        self.loss_sum = torch.zeros(len(members), dtype=torch.float64, device=device)
        self.diverged_epoch: list[int | None] = [None] * len(members)
        self.records: list[Record] = []
        self._orders: dict[int, torch.Tensor] = {}

    @property
    def finished(self) -> bool:
        """Whether all phases are done."""
        return self.epoch == sum(self.phases_epochs)

    @property
    def phase(self) -> int:
        """Index of the phase that the next batch belongs to."""
        ends = np.cumsum(self.phases_epochs)
        return int(np.searchsorted(ends, self.epoch, side="right"))

    @property
    def curve(self) -> list[list[float]]:
        """The members' validation MSE after every epoch, (epochs, K)."""
        curve: dict[int, list[float]] = {}
        for record in self.records:
            if (record.split, record.metric) == ("validation", "mse"):
                curve.setdefault(record.epoch, record.values)  # a phase's end measures more
        return list(curve.values())

    def _order(self, seed: int) -> torch.Tensor:
        """The order of the training rows in this epoch, (rows,)."""
        if seed not in self._orders:
            n_rows = len(self.rows["train"])
            self._orders[seed] = torch.randperm(
                n_rows, generator=stream(seed, "order", self.epoch)
            ).to(self.device)
        return self._orders[seed]

    def _factor_choice(self, seed: int, phase: int, n_rows: int) -> torch.Tensor | None:
        """Which of a mixed phase's noise factors each row gets, (rows,); None if there is one."""
        n_factors = len(self.members[0].phases[phase].noise_factors)
        if n_factors == 1:
            return None
        generator = stream(seed, "noise-factor", self.epoch, self.batch)
        return torch.randint(n_factors, (n_rows,), generator=generator).to(self.device)

    def _phase_factors(self, phase: int, choice: torch.Tensor | None) -> torch.Tensor:
        """The members' noise factors of a phase, (K, 1).

        (K, rows) where `choice`, (rows,), picks each row's.
        """
        factors = torch.tensor(
            [member.phases[phase].noise_factors for member in self.members], device=self.device
        )
        return factors[:, :1] if choice is None else factors[:, choice]

    def _end_epoch(self) -> None:
        """Record the epoch's loss and validation; after a phase, measure every part."""
        phase, epoch = self.phase, self.epoch + 1
        losses = (self.loss_sum / len(self.rows["train"])).tolist()
        n_factors = len(self.members[0].phases[phase].noise_factors)
        n_rows = len(self.rows["validation"])
        in_turn = torch.arange(n_rows, device=self.device) % n_factors if n_factors > 1 else None
        [(mse, activation, dead)] = self._evaluate(
            "validation", [self._phase_factors(phase, in_turn)]
        )
        self._record(epoch, phase, None, "train", "loss", losses)
        self._record(epoch, phase, None, "validation", "mse", mse)
        self._record(epoch, phase, None, "validation", "mean_activation", activation)
        for k, values in enumerate(zip(losses, mse, strict=True)):
            if self.diverged_epoch[k] is None and not all(map(math.isfinite, values)):
                self.diverged_epoch[k] = epoch
        if epoch == sum(self.phases_epochs[: phase + 1]):
            self._record(epoch, phase, None, "validation", "dead_units", dead)
            self._measure_phase(epoch, phase)
            if len(self.phases_epochs) == 1 and "test" in self.parts:
                self._measure_across(epoch)
        self.loss_sum.zero_()
        self._orders.clear()
        self.epoch, self.batch = epoch, 0

    def _measure_phase(self, epoch: int, phase: int) -> None:
        """Measure every part at each of the phase's noise factors.

        The training rows are measured without noise, too, as the paper did.
        """
        n_factors = len(self.members[0].phases[phase].noise_factors)
        levels = [
            self._phase_factors(phase, torch.tensor([i], device=self.device))
            for i in range(n_factors)
        ]
        # With one noise factor every epoch has measured the validation rows already.
        parts = [part for part in self.parts if part != "validation" or n_factors > 1]
        clean_levels = {"train": self._phase_factors(phase, None)}
        measured = {part: self._evaluate(part, levels, clean_levels.get(part)) for part in parts}
        for factor in range(n_factors):
            for part in parts:
                self._record(epoch, phase, factor, part, "mse", measured[part][factor][0])
        clean, own = measured["train"][-1][0], None if n_factors > 1 else 0
        self._record(epoch, phase, own, "train-clean", "mse", clean)

    def _measure_across(self, epoch: int) -> None:
        """Measure the test rows at every noise factor of the study, whatever was trained on."""
        levels = [
            torch.tensor([[noise_factor]], device=self.device) for noise_factor in NOISE_FACTORS
        ]
        for noise_factor, (values, _, _) in zip(
            NOISE_FACTORS, self._evaluate("test", levels), strict=True
        ):
            here = [noise_factor] * len(self.members)
            self.records.append(Record(epoch, "test-across", "mse", here, values, time.time()))

    def _record(
        self, epoch: int, phase: int, factor: int | None, split: str, metric: str, values: list
    ) -> None:
        noise_factors = [_noise_factor(member.phases[phase], factor) for member in self.members]
        self.records.append(Record(epoch, split, metric, noise_factors, values, time.time()))

    def advance(self) -> bool:
        """Do one step; at the end of an epoch measure. Returns True when an epoch has ended."""
        raise NotImplementedError

    def parameters(self, k: int) -> dict[str, torch.Tensor]:
        """A copy of member k's parameters, on the CPU."""
        raise NotImplementedError

    def _evaluate(
        self, part: str, levels: list[torch.Tensor], clean_level: torch.Tensor | None = None
    ) -> list[tuple[list[float], list[float], list[float]]]:
        """Return each member's MSE (eq. 11), mean code activation and share of dead code units.

        By level, then measure, then member.
        A level is given as noise factors: (K, 1), one for all members (1, 1), or (K, rows) with one
        a row. At `clean_level`, which comes last, the input has no noise.
        """
        raise NotImplementedError

    def state(self) -> tuple[dict[str, torch.Tensor], dict]:
        """Tensors and JSON-able facts from which `restore` continues, between any two steps."""
        facts = {
            "epoch": self.epoch,
            "batch": self.batch,
            "seconds": self.seconds,
            "diverged_epoch": list(self.diverged_epoch),
            "records": [vars(record) for record in self.records],
        }
        return {"loss_sum": self.loss_sum.detach().cpu().clone()}, facts

    def restore(self, tensors: dict[str, torch.Tensor], facts: dict) -> None:
        """Continue from what `state` gave, with the same members and data."""
        self.loss_sum.copy_(tensors["loss_sum"])
        self.epoch, self.batch, self.seconds = facts["epoch"], facts["batch"], facts["seconds"]
        self.diverged_epoch = list(facts["diverged_epoch"])
        self.records = [Record(**record) for record in facts["records"]]
        self._orders.clear()


class PackTraining(Training):
    """K networks in training, one batch a step."""

    def __init__(
        self,
        members: tuple[MemberConfig, ...],
        data: PreparedData,
        device: str = "cpu",
        tested: bool = True,
    ):
        super().__init__(members, data, device, tested)
        first = members[0]
        self.batch_size = first.batch_size
        network = first.architecture
        assert not isinstance(network, MixtureArchitecture)  # those have a fit of their own
        self.stack = stack_class(network)(
            network, self.n_genes, len(members), device, loss=first.loss
        )
        for k, member in enumerate(members):
            initial = initial_parameters(network, self.n_genes, member.seed, member.initialisation)
            self.stack.set_member(k, initial)
        rates = [member.learning_rate for member in members]
        self.optimizer = OPTIMIZERS[first.optimizer](self.stack.flat.values, rates)
        terms = zip(
            *((member.sparsity, member.beta, member.rho) for member in members), strict=True
        )
        self.sparsity = Sparsity.of(*map(list, terms), device=device)
        self.workspace = Workspace(device=device)
        largest = CPU_BLOCK if device == "cpu" else len(members)
        self.seeds = blocks_by_seed(members, self.sparsity, largest)
        self._validation_noise: dict[int, torch.Tensor] = {}

    def parameters(self, k: int) -> dict[str, torch.Tensor]:
        """A copy of member k's parameters, on the CPU."""
        return self.stack.member(k)

    def advance(self) -> bool:
        """Train one batch; at the end of an epoch measure. Returns True when an epoch has ended."""
        started = time.perf_counter()
        losses = torch.empty(len(self.members), device=self.device)
        for seed, blocks in self.seeds:
            clean, inputs_of = self._batch(seed)
            targets = Targets(clean)
            for block in blocks:
                losses[block.members] = self.stack.backward(
                    block.members, inputs_of(block), targets, block.sparsity
                )
        self.loss_sum.add_(losses, alpha=len(clean))
        self.optimizer.step(self.stack.flat.gradients)
        self.batch += 1
        ended = self.batch * self.batch_size >= len(self.rows["train"])
        if ended:
            self._end_epoch()
            self.stack.note_validation(self.curve[-1])
        self.seconds += time.perf_counter() - started
        return ended

    def _batch(self, seed: int) -> tuple[torch.Tensor, Callable[[Block], torch.Tensor]]:
        """Return the clean rows of this batch, (B, genes), and what makes a block's inputs."""
        start = self.batch * self.batch_size
        order = self._order(seed)[start : start + self.batch_size]
        shape = (len(order), self.n_genes)
        clean = self.workspace("clean", *shape)
        torch.index_select(self.rows["train"], 0, order, out=clean)
        generator = stream(seed, "noise", self.epoch, self.batch, device=self.device)
        normal = standard_normal(shape, generator, out=self.workspace("normal", *shape))
        phase = self.phase
        factors = self._phase_factors(phase, self._factor_choice(seed, phase, len(clean)))
        return clean, lambda block: self._inputs(block, factors, clean, normal)

    def _inputs(
        self, block: Block, factors: torch.Tensor, clean: torch.Tensor, normal: torch.Tensor
    ) -> torch.Tensor:
        """Return a block's noisy inputs, (k, rows, genes).

        factors are the members' noise factors, (K or 1, 1 or rows). Networks that are told the
        noise factor get it as one more column.
        """
        n_members = block.members.stop - block.members.start
        if len(factors) > 1:
            factors = factors[block.members][: 1 if block.shares_input else n_members]
        factors = factors.unsqueeze(2)
        told = self.stack.network.noise_input
        inputs = self.workspace("inputs", len(factors), len(clean), self.n_genes + told)
        add_noise(clean, factors, normal, out=inputs[:, :, : self.n_genes])
        if told:
            inputs[:, :, self.n_genes :] = factors
        return inputs.expand(n_members, *inputs.shape[1:])

    def _evaluate(
        self, part: str, levels: list[torch.Tensor], clean_level: torch.Tensor | None = None
    ) -> list[tuple[list[float], list[float], list[float]]]:
        # What depends on the targets alone is computed once for all levels.
        clean, n_members, n_units = self.rows[part], len(self.members), self.stack.code_units
        n_levels = len(levels) + (clean_level is not None)
        squared_error = torch.zeros(n_levels, n_members, dtype=torch.float64, device=self.device)
        moments = squared_error.new_zeros(
            n_levels, 2, n_members, n_units
        )  # sums of the code and its square
        for seed, blocks in self.seeds:
            starts = range(0, len(clean), EVALUATION_ROWS)
            for start, normal in zip(starts, self._fixed_noise(seed, part), strict=True):
                rows = slice(start, start + EVALUATION_ROWS)
                targets = Targets(clean[rows])
                noisy = [
                    (factors if factors.shape[1] == 1 else factors[:, rows], normal)
                    for factors in levels
                ]
                if clean_level is not None:
                    noisy.append((clean_level, torch.zeros(1, 1, device=self.device)))
                for block in blocks:
                    inputs = (
                        self._inputs(block, factors, clean[rows], draws) for factors, draws in noisy
                    )
                    measured = self.stack.squared_errors(block.members, inputs, targets)
                    for level, (error, code) in enumerate(measured):
                        squared_error[level, block.members] += error
                        code = code.double()
                        moments[level, :, block.members] += torch.stack(
                            [code.sum(dim=1), code.square().sum(dim=1)]
                        )
        return measures(squared_error / clean.numel(), moments / len(clean))

    def _fixed_noise(self, seed: int, part: str) -> Iterable[torch.Tensor]:
        """Return the evaluation noise of a seed, EVALUATION_ROWS rows at a time.

        That of validation, which every epoch measures, is kept.
        """
        n_rows = len(self.rows[part])
        if part != "validation":
            blocks = evaluation_noise_blocks(seed, part, n_rows, self.n_genes, EVALUATION_ROWS)
            return (normal.to(self.device) for normal in blocks)
        if seed not in self._validation_noise:
            self._validation_noise[seed] = evaluation_noise(seed, part, n_rows, self.n_genes).to(
                self.device
            )
        return self._validation_noise[seed].split(EVALUATION_ROWS)

    def state(self) -> tuple[dict[str, torch.Tensor], dict]:
        """Tensors and JSON-able facts from which `restore` continues, between any two batches."""
        tensors, facts = super().state()
        own = {"values": self.stack.flat.values, **self.optimizer.state}
        tensors |= {name: tensor.detach().cpu().clone() for name, tensor in own.items()}
        return tensors, {**facts, "step_count": self.optimizer.step_count}

    def restore(self, tensors: dict[str, torch.Tensor], facts: dict) -> None:
        """Continue from what `state` gave, with the same members and data."""
        super().restore(tensors, facts)
        self.stack.flat.values.copy_(tensors["values"])
        for name, tensor in self.optimizer.state.items():
            tensor.copy_(tensors[name])
        self.optimizer.step_count = facts["step_count"]
        if self.curve:
            self.stack.note_validation(self.curve[-1])


@dataclass(frozen=True)
class Best:
    """A member at the epoch of its least validation MSE; epoch 0 if no epoch had a finite one."""

    epoch: int
    mse: float
    parameters: dict[str, torch.Tensor]


def train(training: Training, patience: int | None = None) -> list[Best]:
    """Train all members, and return each at its best epoch.

    It ends with the schedule, or once `patience` epochs have brought none of them a lower
    validation MSE, or once none is finite.
    """
    best = [Best(0, math.inf, training.parameters(k)) for k in range(len(training.members))]
    while not training.finished:
        if not training.advance():
            continue
        mse = training.curve[-1]
        for k, value in enumerate(mse):
            if value < best[k].mse:
                best[k] = Best(training.epoch, value, training.parameters(k))
        waited = training.epoch - max(its.epoch for its in best)
        if not any(map(math.isfinite, mse)) or (patience is not None and waited >= patience):
            break
    return best


def measures(
    mse: torch.Tensor, moments: torch.Tensor
) -> list[tuple[list[float], list[float], list[float]]]:
    """What `Training._evaluate` returns: by level, for each member.

    mse (levels, K); moments (levels, 2, K, units), the means of the code and of its square.
    """
    mean, square = moments.unbind(dim=1)
    spread = (square - mean.square()).clamp(min=0).sqrt()
    dead = torch.where(spread.isfinite(), (spread < DEAD_UNIT_STD).double(), math.nan)
    found = mse, mean.mean(dim=2), dead.mean(dim=2)
    return list(zip(*(measure.tolist() for measure in found), strict=True))


def _noise_factor(phase: Phase, factor: int | None) -> float:
    if factor is None:
        factor = 0
        if len(phase.noise_factors) > 1:
            return math.nan
    return phase.noise_factors[factor]


def _tensor(values: np.ndarray, device: str) -> torch.Tensor:
    """Return the array as a tensor, without a copy on the CPU.

    Ray shares it read-only, and nothing here writes to it.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(values).to(device)
