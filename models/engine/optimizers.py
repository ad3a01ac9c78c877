"""Optimisers over stacked parameters (K, P): each member has its own learning rates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby

import torch
from torch.optim.adam import adam

#: Numbers that Adadelta updates at a time: five arrays of this size stay in a level-2 cache.
CHUNK = 1 << 15
#: Share of all steps over which a cosine schedule rises to its learning rate.
WARM_UP = 0.05


@dataclass(frozen=True)
class Schedule:
    """A learning rate over the steps of a training: constant, or cosine to 0 in each phase.

    `phases` are the numbers of steps of the phases.
    """

    learning_rate: float
    kind: str = "constant"
    phases: tuple[int, ...] = ()

    def rate(self, step: int) -> float:
        """Return the rate of a step, counted from 0.

        Cosine (Loshchilov and Hutter 2017): over the first WARM_UP of a phase's steps it rises
        linearly, and then falls along half a cosine, which reaches 0 after the last. The next phase
        starts over: a network that is carried through noise levels has converged at each.
        """
        if self.kind == "constant":
            return self.learning_rate
        for n_steps in self.phases:
            if step < n_steps:
                break
            step -= n_steps
        rising = math.ceil(WARM_UP * n_steps)
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        share = (step - rising) / max(1, n_steps - rising)
        return self.learning_rate * (1 + math.cos(math.pi * share)) / 2


class StackedOptimizer:
    """An optimiser of (K, P) parameters by an elementwise `_update`, with `state` between steps."""

    state_names: tuple[str, ...]

    def __init__(self, values: torch.Tensor, schedules: list[Schedule]):
        self.values = values
        self.step_count = 0
        self.state = {name: torch.zeros_like(values) for name in self.state_names}
        #: Neighbouring members of one schedule, which are updated together.
        self.runs: list[tuple[slice, Schedule]] = []
        for schedule, run in groupby(range(len(values)), key=schedules.__getitem__):
            ks = list(run)
            self.runs.append((slice(ks[0], ks[-1] + 1), schedule))

    def step(self, gradients: torch.Tensor) -> None:
        """Update the parameters in place from gradients (K, P)."""
        self.step_count += 1
        for rows, schedule in self.runs:
            parts = (self.values, gradients, *self.state.values())
            rate = schedule.rate(self.step_count - 1)
            self._update(rate, *(part[rows].view(-1) for part in parts))

    def _update(
        self, rate: float, value: torch.Tensor, gradient: torch.Tensor, *state: torch.Tensor
    ) -> None:
        """Do one step of some members' parameters, (k * P,), in place."""
        raise NotImplementedError


class Adam(StackedOptimizer):
    """Adam (Kingma and Ba 2015) with the bias correction; beta 0.9 and 0.999, epsilon 1e-8."""

    state_names = ("exp_avg", "exp_avg_sq")

    def _update(self, rate, value, gradient, *state):
        exp_avg, exp_avg_sq = state
        steps_before = torch.tensor(self.step_count - 1.0, device=value.device)
        adam(
            *([value], [gradient], [exp_avg], [exp_avg_sq], [], [steps_before]),
            fused=True,  # one pass over the five arrays, several times faster than one by one
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )


class Adadelta(StackedOptimizer):
    """Adadelta (Zeiler 2012) as in Keras 2.2, whose learning rate is 1: rho 0.95, epsilon 1e-7."""

    state_names = ("square_avg", "acc_delta")

    def _update(self, rate, value, gradient, *state):
        rho, eps = 0.95, 1e-7
        size = CHUNK if value.device.type == "cpu" else value.numel()
        pieces = (part.split(size) for part in (value, gradient, *state))
        for its_value, its_gradient, square_avg, acc_delta in zip(*pieces, strict=True):
            square_avg.mul_(rho).addcmul_(its_gradient, its_gradient, value=1 - rho)
            delta = (acc_delta + eps).sqrt_().div_((square_avg + eps).sqrt_()).mul_(its_gradient)
            acc_delta.mul_(rho).addcmul_(delta, delta, value=1 - rho)
            its_value.sub_(delta, alpha=rate)


OPTIMIZERS: dict[str, type[StackedOptimizer]] = {"adam": Adam, "adadelta": Adadelta}
