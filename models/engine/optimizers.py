"""Optimisers over stacked parameters (K, P): one update for all members, at their own rates."""

from __future__ import annotations

import torch
from torch.optim.adam import adam

#: Numbers that Adadelta updates at a time: five arrays of this size stay in a core's level-2 cache.
CHUNK = 1 << 15


class StackedOptimizer:
    """Applies `update` elementwise to (K, P); `state` holds what it keeps between steps."""

    state_names: tuple[str, ...]

    def __init__(self, values: torch.Tensor, learning_rates: list[float]):
        self.values = values
        self.learning_rates = learning_rates
        self.step_count = 0
        self.state = {name: torch.zeros_like(values) for name in self.state_names}

    def step(self, gradients: torch.Tensor) -> None:
        """Update the parameters in place from gradients (K, P)."""
        self.step_count += 1
        for rows, learning_rate in self._runs():
            parts = (self.values, gradients, *self.state.values())
            self.update(learning_rate, *(part[rows].view(-1) for part in parts))

    def update(
        self,
        learning_rate: float,
        value: torch.Tensor,
        gradient: torch.Tensor,
        *state: torch.Tensor,
    ) -> None:
        """One step of some members' parameters, (k * P,), in place."""
        raise NotImplementedError

    def _runs(self) -> list[tuple[slice, float]]:
        """Neighbouring members of equal learning rate, which are updated together."""
        runs: list[tuple[slice, float]] = []
        for k, learning_rate in enumerate(self.learning_rates):
            if runs and runs[-1][1] == learning_rate:
                runs[-1] = (slice(runs[-1][0].start, k + 1), learning_rate)
            else:
                runs.append((slice(k, k + 1), learning_rate))
        return runs


class Adam(StackedOptimizer):
    """Adam (Kingma and Ba 2015, algorithm 1 with the bias correction).

    beta is 0.9 and 0.999, epsilon 1e-8.
    """

    state_names = ("exp_avg", "exp_avg_sq")

    def update(self, learning_rate, value, gradient, *state):
        """Do one step of some members' parameters in place."""
        exp_avg, exp_avg_sq = ([part] for part in state)
        steps_before = torch.tensor(self.step_count - 1.0, device=value.device)
        adam(
            [value],
            [gradient],
            exp_avg,
            exp_avg_sq,
            max_exp_avg_sqs=[],
            state_steps=[steps_before],
            fused=True,  # one pass over the five arrays, several times faster than many
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=learning_rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )


class Adadelta(StackedOptimizer):
    """Adadelta (Zeiler 2012) as Keras 2.2 has it: rho 0.95, epsilon 1e-7, learning rate 1."""

    state_names = ("square_avg", "acc_delta")

    def update(self, learning_rate, value, gradient, *state):
        """Do one step of some members' parameters in place, piece by piece."""
        size = CHUNK if value.device.type == "cpu" else value.numel()
        for pieces in zip(*(part.split(size) for part in (value, gradient, *state)), strict=True):
            self._update_piece(learning_rate, *pieces)

    def _update_piece(self, learning_rate, value, gradient, square_avg, acc_delta):
        rho, eps = 0.95, 1e-7
        square_avg.mul_(rho).addcmul_(gradient, gradient, value=1 - rho)
        delta = (acc_delta + eps).sqrt_().div_((square_avg + eps).sqrt_()).mul_(gradient)
        acc_delta.mul_(rho).addcmul_(delta, delta, value=1 - rho)
        value.sub_(delta, alpha=learning_rate)


OPTIMIZERS = {"adam": Adam, "adadelta": Adadelta}
