"""The training loop of packs in a run, the estimator's network and networks for thinned counts.

It runs in any process, one batch at a time, and can be saved between any two batches.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch

from data_utils.noise import (
    evaluation_noise,
    evaluation_noise_blocks,
    noisy_set,
    standard_normal,
    stream,
)
from data_utils.preparation import SPLITS, PreparedData
from models.config import EVALUATION_ROWS, NOISE_FACTORS, MemberConfig
from models.engine.optimizers import OPTIMIZERS, Schedule
from models.engine.sparsity import Sparsity
from models.engine.stack import Targets
from models.engine.stacks import stack_class
from models.member_data import member_data, rows_are_samples
from models.networks import initial_parameters
from models.noisy import NoiseSets, Noisy, NoisyNow, NoisyOnce

#: Members that pass through the network together on a CPU: their activations stay in its caches.
CPU_BLOCK = 4
#: A code unit is dead if its activation varies less than this over the rows.
DEAD_UNIT_STD = 0.01

#: MSE (eq. 11), mean code activation and share of dead code units, each of every member.
Measures = tuple[list[float], list[float], list[float]]


@dataclass(frozen=True)
class Record:
    """A measurement of all members: `values` and `noise_factors` are (K,); NaN for mixed noise."""

    epoch: int
    split: str
    metric: str
    noise_factors: list[float]
    values: list[float]
    wall_time: float


@dataclass(frozen=True)
class SampleErrors:
    """Squared errors of the test rows, means over genes, at one noise factor per member.

    `values` is (K, rows) float32, in the order of `Split.test` of each member's seed; for a seed
    with fewer test rows than another it ends in NaN. `noise_factors` is (K,).
    """

    epoch: int
    noise_factors: list[float]
    values: torch.Tensor


@dataclass(frozen=True)
class Block:
    """Members of one seed that are computed together, on one input if they share a schedule."""

    members: slice
    shares_input: bool
    sparsity: Sparsity


def blocks_by_seed(
    members: tuple[MemberConfig, ...], largest: int, device: str = "cpu"
) -> list[tuple[int, list[Block]]]:
    """Group neighbouring members of one seed into blocks of at most `largest`, by seed.

    Neighbours with the same schedule form a block that shares its input. Those whose schedule no
    neighbour has form a block in which each has its own input.
    """
    kinds, betas, rhos = (
        [getattr(m, name) for m in members] for name in ("sparsity", "beta", "rho")
    )
    sparsity = Sparsity.of(kinds, betas, rhos, device=device)
    result = []
    for seed, same_seed in groupby(range(len(members)), key=lambda k: members[k].seed):
        runs: list[tuple[list[int], bool]] = []  # members, and whether they share their input
        for _, alike in groupby(same_seed, key=lambda k: members[k].phases):
            run = list(alike)
            for start in range(0, len(run), largest):
                part = run[start : start + largest]
                if len(part) == 1 and runs and not runs[-1][1] and len(runs[-1][0]) < largest:
                    runs[-1][0].extend(part)
                else:
                    runs.append((part, len(part) > 1))
        slices = [(slice(run[0], run[-1] + 1), shares_input) for run, shares_input in runs]
        result.append((seed, [Block(*it, sparsity.members(it[0])) for it in slices]))
    return result


class Training:
    """The fit of a pack of members: its schedule and its measurements.

    `advance` does one step, `finished` is true after all phases, and `state` and `restore` carry a
    fit over an interruption between any two steps. Kinds of fit differ in the step and in how they
    denoise (`_answers`, `_guesses`).
    The members' seeds name every random stream, so a member's numbers do not depend on its pack.
    `data` gives the data of each seed: a seed is a replicate with a split of its own. Without
    `tested` the test rows are not used at all: a search chooses by validation only.
    """

    #: The members in blocks that are computed together, by seed.
    seeds: list[tuple[int, list[Block]]]
    code_units: int

    def __init__(
        self,
        members: tuple[MemberConfig, ...],
        data: Callable[[int], PreparedData],
        device: str = "cpu",
        tested: bool = True,
    ):
        self.members, self.device = members, device
        self.ends = np.cumsum([phase.epochs for phase in members[0].phases])
        self.noise_draws = members[0].noise_draws
        self.parts = [part for part in SPLITS if tested or part != "test"]
        #: By seed and part, (rows, genes).
        self.rows: dict[int, dict[str, torch.Tensor]] = {}
        for member in members:
            if member.seed not in self.rows:
                own = member_data(data(member.seed), member)
                parts = {part: _tensor(getattr(own, part), device) for part in self.parts}
                self.rows[member.seed] = parts
        self.n_genes = self.rows[members[0].seed]["train"].shape[1]
        self.epoch, self.batch, self.seconds = 0, 0, 0.0
        self.loss_sum = torch.zeros(len(members), dtype=torch.float64, device=device)
        self.diverged_epoch: list[int | None] = [None] * len(members)
        self.records: list[Record] = []
        #: After each phase, at each of its noise factors; none if a row is not a sample.
        self.sample_errors: list[SampleErrors] = []
        self._orders: dict[int, torch.Tensor] = {}
        self._validation_noise: dict[int, torch.Tensor] = {}
        self._noise_sets: dict[int, NoiseSets] = {}

    def advance(self) -> bool:
        """Do one step, and measure at the end of an epoch. Returns True if an epoch has ended."""
        raise NotImplementedError

    def parameters(self, k: int) -> dict[str, torch.Tensor]:
        """Return a copy of member k's parameters, on the CPU."""
        raise NotImplementedError

    def _answers(
        self, block: Block, noisy: Iterable[Noisy], targets: Targets
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield a block's sums of squared errors, (k,) float64, and codes, (k, rows, units).

        The targets are the clean rows of the noisy ones.
        """
        raise NotImplementedError

    def _guesses(self, block: Block, noisy: Iterable[Noisy], n_rows: int) -> Iterator[torch.Tensor]:
        """Yield a block's reconstructions, (k, rows, genes), of each of the noisy rows."""
        raise NotImplementedError

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.epoch == self.ends[-1]

    @property
    def phase(self) -> int:
        """Index of the phase that the next batch belongs to."""
        return int(np.searchsorted(self.ends, self.epoch, side="right"))

    @property
    def curve(self) -> list[list[float]]:
        """The members' validation MSE after every epoch, (epochs, K)."""
        curve: dict[int, list[float]] = {}
        for record in self.records:
            if (record.split, record.metric) == ("validation", "mse"):
                curve.setdefault(record.epoch, record.values)  # the end of a phase adds records
        return list(curve.values())

    @property
    def _n_factors(self) -> int:
        """Noise factors that this phase mixes."""
        return len(self.members[0].phases[self.phase].noise_factors)

    def _n_rows(self, part: str) -> torch.Tensor:
        """Return how many rows each member has in a part, (K,) float64."""
        n_rows = [len(self.rows[member.seed][part]) for member in self.members]
        return torch.tensor(n_rows, dtype=torch.float64, device=self.device)

    def _order(self, seed: int) -> torch.Tensor:
        """Return the order of the training rows in this epoch, (rows,)."""
        if seed not in self._orders:
            generator = stream(seed, "order", self.epoch)
            order = torch.randperm(len(self.rows[seed]["train"]), generator=generator)
            self._orders[seed] = order.to(self.device)
        return self._orders[seed]

    def _factor_choice(self, seed: int, n_rows: int) -> torch.Tensor | None:
        """Draw the index of each row's noise factor, (rows,); None if the phase has only one."""
        if self._n_factors == 1:
            return None
        generator = stream(seed, "noise-factor", self.epoch, self.batch)
        return torch.randint(self._n_factors, (n_rows,), generator=generator).to(self.device)

    def _factors(self, choice: torch.Tensor | int | None = None) -> torch.Tensor:
        """Return each member's noise factor number `choice` (0 by default) in this phase, (K, 1).

        With a choice for each row, (rows,), it is (K, rows).
        """
        phase = self.phase
        factors = [member.phases[phase].noise_factors for member in self.members]
        chosen = [choice or 0] if not isinstance(choice, torch.Tensor) else choice
        return torch.tensor(factors, device=self.device)[:, chosen]

    def _empty(self, name: str, *shape: int) -> torch.Tensor:
        """Return an array with any content, which is valid until its name is requested again."""
        return torch.empty(shape, device=self.device)

    def _noisy_batch(self, seed: int, order: torch.Tensor, clean: torch.Tensor) -> Noisy:
        """Return noisy versions of `clean`, (B, genes), the training rows at `order`, (B,)."""
        choice = self._factor_choice(seed, len(clean))
        factors = self._factors(choice)
        if self.noise_draws == "none":
            return self._without_noise(clean)
        if self.noise_draws == "once":
            sets = self._sets(seed)
            return NoisyOnce(
                factors, sets, sets.first[:, [0] if choice is None else choice] + order
            )
        generator = stream(seed, "noise", self.epoch, self.batch, device=self.device)
        normal = self._empty("normal", *clean.shape)
        return NoisyNow(factors, clean, standard_normal(clean.shape, generator, out=normal))

    def _without_noise(self, clean: torch.Tensor) -> Noisy:
        """Return rows as they are, for all members."""
        return NoisyNow(self._factors(), clean, torch.zeros(1, 1, device=self.device))

    def _sets(self, seed: int) -> NoiseSets:
        """Return the noisy training sets of a seed for this phase, made when first needed."""
        if seed not in self._noise_sets:
            clean, phase = self.rows[seed]["train"], self.phase
            own = [m.phases[phase].noise_factors if m.seed == seed else () for m in self.members]
            factors = dict.fromkeys(a for its in own for a in its)
            rows = clean.new_empty(len(factors), *clean.shape)
            for a, noisy in zip(factors, rows, strict=True):
                noisy.copy_(noisy_set(clean, seed, a))
            place = {a: i * len(clean) for i, a in enumerate(factors)}
            first = [[place[a] for a in its] or [0] * self._n_factors for its in own]
            sets = NoiseSets(rows.flatten(0, 1), torch.tensor(first, device=self.device))
            self._noise_sets[seed] = sets
        return self._noise_sets[seed]

    def _evaluate(
        self, part: str, levels: list[torch.Tensor], without_noise: bool = False
    ) -> list[Measures]:
        """Measure the members on a part at each level, and then without noise if `without_noise`.

        A level is given as noise factors: (K, 1), one for all members (1, 1), or (K, rows) with one
        per row. For training rows the levels have to be the phase's noise factors, in its order.
        """
        n_members, n_levels = len(self.members), len(levels) + without_noise
        squared_error = torch.zeros(n_levels, n_members, dtype=torch.float64, device=self.device)
        # sums of the code and its square
        moments = squared_error.new_zeros(n_levels, 2, n_members, self.code_units)
        for seed, blocks in self.seeds:
            for targets, noisy in self._evaluated(seed, part, levels):
                if without_noise:
                    noisy.append(self._without_noise(targets.rows))
                for block in blocks:
                    for level, (error, code) in enumerate(self._answers(block, noisy, targets)):
                        squared_error[level, block.members] += error
                        code = code.double()
                        sums = [code.sum(dim=1), code.square().sum(dim=1)]
                        moments[level, :, block.members] += torch.stack(sums)
        n_rows = self._n_rows(part)
        return measures(squared_error / (n_rows * self.n_genes), moments / n_rows.unsqueeze(1))

    def _evaluated(
        self, seed: int, part: str, levels: list[torch.Tensor]
    ) -> Iterator[tuple[Targets, list[Noisy]]]:
        """Yield a seed's rows of a part, EVALUATION_ROWS at a time, and their noisy versions.

        All levels of a block of rows come together, so that stacks can reuse their products with
        the targets.
        """
        clean, starts = self.rows[seed][part], range(0, len(self.rows[seed][part]), EVALUATION_ROWS)
        if part == "train" and self.noise_draws == "none":
            for rows in clean.split(EVALUATION_ROWS):
                yield Targets(rows), [self._without_noise(rows) for _ in levels]
            return
        if part == "train" and self.noise_draws == "once":
            sets = self._sets(seed)
            for start, rows in zip(starts, clean.split(EVALUATION_ROWS), strict=True):
                at = torch.arange(start, start + len(rows), device=self.device)
                first = sets.first.unsqueeze(2).unbind(dim=1)  # (K, 1) of each level
                pairs = zip(levels, first, strict=True)
                yield Targets(rows), [NoisyOnce(a, sets, its + at) for a, its in pairs]
            return
        for start, normal in zip(starts, self._fixed_noise(seed, part), strict=True):
            targets = Targets(clean[start : start + EVALUATION_ROWS])
            own = slice(start, start + len(targets.rows))
            factors = (a if a.shape[1] == 1 else a[:, own] for a in levels)
            yield targets, [NoisyNow(a, targets.rows, normal) for a in factors]

    def _fixed_noise(self, seed: int, part: str) -> Iterable[torch.Tensor]:
        """Return the evaluation noise of a seed, EVALUATION_ROWS rows at a time.

        The noise of validation rows is kept, since they are measured in every epoch.
        """
        n_rows, n_genes = self.rows[seed][part].shape
        if part != "validation":
            blocks = evaluation_noise_blocks(seed, part, n_rows, n_genes, EVALUATION_ROWS)
            return (normal.to(self.device) for normal in blocks)
        if seed not in self._validation_noise:
            normal = evaluation_noise(seed, part, n_rows, n_genes)
            self._validation_noise[seed] = normal.to(self.device)
        return self._validation_noise[seed].split(EVALUATION_ROWS)

    def _end_epoch(self) -> None:
        """Record the epoch's loss and validation; after a phase, measure all parts."""
        losses = (self.loss_sum / self._n_rows("train")).tolist()
        most = max(len(parts["validation"]) for parts in self.rows.values())
        in_turn = torch.arange(most, device=self.device) % self._n_factors
        level = self._factors(in_turn if self._n_factors > 1 else None)
        [(mse, activation, dead)] = self._evaluate("validation", [level])
        self._record("train", "loss", losses)
        self._record("validation", "mse", mse)
        self._record("validation", "mean_activation", activation)
        for k, values in enumerate(zip(losses, mse, strict=True)):
            if self.diverged_epoch[k] is None and not all(map(math.isfinite, values)):
                self.diverged_epoch[k] = self.epoch + 1
        if self.epoch + 1 in self.ends:
            self._record("validation", "dead_units", dead)
            self._measure_phase()
            if len(self.ends) == 1 and "test" in self.parts:
                self._measure_across()
            self._noise_sets.clear()
        self.loss_sum.zero_()
        self._orders.clear()
        self.epoch, self.batch = self.epoch + 1, 0

    def _measure_phase(self) -> None:
        """Measure each part at each noise factor of the phase, training rows also without noise."""
        levels = [self._factors(i) for i in range(self._n_factors)]
        by_sample = "test" in self.parts and rows_are_samples(self.members[0])
        # With one noise factor the validation rows have been measured at the epoch's end.
        parts = [part for part in self.parts if part != "validation" or len(levels) > 1]
        mse = {}
        for part in parts:
            if part == "test" and by_sample:
                mse[part] = self._measure_samples(levels)
            else:
                mse[part] = [its for its, *_ in self._evaluate(part, levels, part == "train")]
        for i in range(len(levels)):
            for part in parts:
                self._record(part, "mse", mse[part][i], self._factors_at(i))
        self._record("train-clean", "mse", mse["train"][-1])

    def _factors_at(self, i: int) -> list[float]:
        """Return the i-th noise factor of this phase for each member."""
        return [member.phases[self.phase].noise_factors[i] for member in self.members]

    def _measure_samples(self, levels: list[torch.Tensor]) -> list[list[float]]:
        """Keep the squared error of every test row at each level; return the members' MSE there.

        The levels are the phase's noise factors.
        """
        most = max(len(parts["test"]) for parts in self.rows.values())
        values = torch.full((len(levels), len(self.members), most), math.nan)
        sums = torch.zeros(len(levels), len(self.members), dtype=torch.float64)
        for seed, blocks in self.seeds:
            start = 0
            for targets, noisy in self._evaluated(seed, "test", levels):
                rows = slice(start, start := start + len(targets.rows))
                for block in blocks:
                    for i, guess in enumerate(self._guesses(block, noisy, len(targets.rows))):
                        errors = (guess - targets.rows).square().mean(dim=2).cpu()
                        values[i, block.members, rows] = errors
                        sums[i, block.members] += errors.double().sum(dim=1)
        for i, its in enumerate(values):
            self.sample_errors.append(SampleErrors(self.epoch + 1, self._factors_at(i), its))
        return (sums / self._n_rows("test").cpu()).tolist()

    def _measure_across(self) -> None:
        """Measure the test rows of all members at each noise factor of the paper."""
        levels = [torch.tensor([[a]], device=self.device) for a in NOISE_FACTORS]
        for a, (mse, _, _) in zip(NOISE_FACTORS, self._evaluate("test", levels), strict=True):
            self._record("test-across", "mse", mse, [a] * len(self.members))

    def _record(
        self, split: str, metric: str, values: list[float], at: Sequence[float] | None = None
    ) -> None:
        """Keep a measurement of this epoch at these noise factors, or at those of the phase."""
        at = at or [member.phases[self.phase].noise_factor for member in self.members]
        record = Record(self.epoch + 1, split, metric, list(at), values, time.time())
        self.records.append(record)

    def state(self) -> tuple[dict[str, torch.Tensor], dict]:
        """Return the tensors and JSON-able facts from which `restore` continues."""
        facts = {
            "epoch": self.epoch,
            "batch": self.batch,
            "seconds": self.seconds,
            "diverged_epoch": list(self.diverged_epoch),
            "records": [vars(record) for record in self.records],
            "sample_errors": [[its.epoch, its.noise_factors] for its in self.sample_errors],
        }
        tensors = {f"sample_errors.{i}": its.values for i, its in enumerate(self.sample_errors)}
        return {"loss_sum": self.loss_sum.detach().cpu().clone(), **tensors}, facts

    def restore(self, tensors: dict[str, torch.Tensor], facts: dict) -> None:
        """Continue from what `state` gave, with the same members and data."""
        self.loss_sum.copy_(tensors["loss_sum"])
        self.epoch, self.batch, self.seconds = facts["epoch"], facts["batch"], facts["seconds"]
        self.diverged_epoch = list(facts["diverged_epoch"])
        self.records = [Record(**record) for record in facts["records"]]
        self.sample_errors = [
            SampleErrors(epoch, at, tensors[f"sample_errors.{i}"])
            for i, (epoch, at) in enumerate(facts["sample_errors"])
        ]
        self._orders.clear()
        self._noise_sets.clear()


class PackTraining(Training):
    """K networks in training, one batch per step."""

    def __init__(
        self,
        members: tuple[MemberConfig, ...],
        data: Callable[[int], PreparedData],
        device: str = "cpu",
        tested: bool = True,
    ):
        super().__init__(members, data, device, tested)
        first, network = members[0], members[0].architecture
        self.batch_size, self.noise_input = first.batch_size, network.noise_input
        n_batches = {
            math.ceil(len(parts["train"]) / self.batch_size) for parts in self.rows.values()
        }
        if len(n_batches) > 1:
            raise ValueError(f"the members of a pack have different batches per epoch: {n_batches}")
        [self.n_batches] = n_batches
        kind = stack_class(network)
        self.stack = kind(network, self.n_genes, len(members), device, loss=first.loss)
        for k, member in enumerate(members):
            initial = initial_parameters(network, self.n_genes, member.seed, member.initialisation)
            self.stack.set_member(k, initial)
        steps = tuple(phase.epochs * self.n_batches for phase in first.phases)
        schedules = [Schedule(m.learning_rate, m.rate_schedule, steps) for m in members]
        self.optimizer = OPTIMIZERS[first.optimizer](self.stack.flat, schedules)
        self.code_units = self.stack.code_units
        self.seeds = blocks_by_seed(members, CPU_BLOCK if device == "cpu" else len(members), device)

    def parameters(self, k: int) -> dict[str, torch.Tensor]:
        """Return a copy of member k's parameters, on the CPU."""
        return self.stack.member(k)

    def advance(self) -> bool:
        """Train a batch, and measure at the end of an epoch. Returns True if an epoch has ended."""
        started = time.perf_counter()
        for seed, blocks in self.seeds:
            clean, inputs_of = self._batch(seed)
            targets = Targets(clean)
            for block in blocks:
                losses = self.stack.backward(
                    block.members, inputs_of(block), targets, block.sparsity
                )
                self.loss_sum[block.members].add_(losses, alpha=len(clean))
        self.optimizer.step(self.stack.flat_gradients)
        self.batch += 1
        ended = self.batch == self.n_batches
        if ended:
            self._end_epoch()
            self.stack.note_validation(self.curve[-1])
        self.seconds += time.perf_counter() - started
        return ended

    def _batch(self, seed: int) -> tuple[torch.Tensor, Callable[[Block], torch.Tensor]]:
        """Return this batch's clean rows, (B, genes), and a function from a block to its inputs."""
        start = self.batch * self.batch_size
        order = self._order(seed)[start : start + self.batch_size]
        clean = self._empty("clean", len(order), self.n_genes)
        torch.index_select(self.rows[seed]["train"], 0, order, out=clean)
        noisy = self._noisy_batch(seed, order, clean)
        return clean, lambda block: self._inputs(block, noisy, len(clean))

    def _empty(self, name: str, *shape: int) -> torch.Tensor:
        return self.stack.take(name, *shape)

    def _inputs(self, block: Block, noisy: Noisy, n_rows: int) -> torch.Tensor:
        """Return the noisy inputs of a block, (k, rows, genes).

        Networks with `noise_input` get the noise factor as one more column.
        """
        n_members = block.members.stop - block.members.start
        shared = block.shares_input or len(noisy.factors) == 1
        members = slice(block.members.start, block.members.start + (1 if shared else n_members))
        shape = (members.stop - members.start, n_rows, self.n_genes + self.noise_input)
        inputs = self._empty("inputs", *shape)
        noisy.write(members, inputs[:, :, : self.n_genes])
        if self.noise_input:
            inputs[:, :, self.n_genes :] = noisy.own(members)
        return inputs.expand(n_members, *inputs.shape[1:])

    def _answers(
        self, block: Block, noisy: Iterable[Noisy], targets: Targets
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        inputs = (self._inputs(block, its, len(targets.rows)) for its in noisy)
        return self.stack.squared_errors(block.members, inputs, targets)

    def _guesses(self, block: Block, noisy: Iterable[Noisy], n_rows: int) -> Iterator[torch.Tensor]:
        for its in noisy:
            yield self.stack.reconstruct(block.members, self._inputs(block, its, n_rows))[0]

    def state(self) -> tuple[dict[str, torch.Tensor], dict]:
        """Return the tensors and JSON-able facts from which `restore` continues."""
        tensors, facts = super().state()
        own = {"values": self.stack.flat, **self.optimizer.state}
        tensors |= {name: tensor.detach().cpu().clone() for name, tensor in own.items()}
        return tensors, {**facts, "step_count": self.optimizer.step_count}

    def restore(self, tensors: dict[str, torch.Tensor], facts: dict) -> None:
        """Continue from what `state` gave, with the same members and data."""
        super().restore(tensors, facts)
        self.stack.flat.copy_(tensors["values"])
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

    Training ends with the schedule, or after `patience` epochs without a lower validation MSE of
    any member, or once no member's is finite.
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


def measures(mse: torch.Tensor, moments: torch.Tensor) -> list[Measures]:
    """Turn MSE and moments of the code into `Measures`, one per level.

    mse is (levels, K); moments is (levels, 2, K, units), the means of the code and of its square.
    """
    mean, square = moments.unbind(dim=1)
    spread = (square - mean.square()).clamp(min=0).sqrt()
    dead = torch.where(spread.isfinite(), (spread < DEAD_UNIT_STD).double(), math.nan)
    found = mse, mean.mean(dim=2), dead.mean(dim=2)
    return list(zip(*(measure.tolist() for measure in found), strict=True))


def _tensor(values: np.ndarray, device: str) -> torch.Tensor:
    """Convert an array to a tensor, on the CPU without a copy.

    Ray shares arrays read-only; nothing here writes to them.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(values).to(device)
