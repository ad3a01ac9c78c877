"""Optimisers over stacked parameters (K, P): one update for all members, each with its own learning rate."""

from __future__ import annotations

import torch

#: Numbers updated at a time: five arrays of this size stay in a core's level-2 cache.
CHUNK = 1 << 15


class StackedOptimizer:
    """Applies `update` elementwise to (K, P), piece by piece; `state` holds what it keeps between steps."""

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
            flat = [part[rows].view(-1) for part in (self.values, gradients, *self.state.values())]
            size = CHUNK if self.values.device.type == "cpu" else flat[0].numel()
            for pieces in zip(*(part.split(size) for part in flat), strict=True):
                self.update(learning_rate, *pieces)

    def update(self, learning_rate: float, value: torch.Tensor, gradient: torch.Tensor, *state: torch.Tensor) -> None:
        """One step of a piece, in place."""
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
    """Adam (Kingma and Ba 2015, algorithm 1 with the bias correction); beta 0.9 and 0.999, epsilon 1e-8."""

    state_names = ("exp_avg", "exp_avg_sq")

    def update(self, learning_rate, value, gradient, exp_avg, exp_avg_sq):
        beta1, beta2, eps = 0.9, 0.999, 1e-8
        exp_avg.lerp_(gradient, 1 - beta1)
        exp_avg_sq.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        correction = (1 - beta2**self.step_count) ** 0.5
        denominator = exp_avg_sq.sqrt().div_(correction).add_(eps)
        value.addcdiv_(exp_avg, denominator, value=-learning_rate / (1 - beta1**self.step_count))


class Adadelta(StackedOptimizer):
    """Adadelta (Zeiler 2012) as Keras 2.2 has it: rho 0.95, epsilon 1e-7; its learning rate was 1."""

    state_names = ("square_avg", "acc_delta")

    def update(self, learning_rate, value, gradient, square_avg, acc_delta):
        rho, eps = 0.95, 1e-7
        square_avg.mul_(rho).addcmul_(gradient, gradient, value=1 - rho)
        delta = (acc_delta + eps).sqrt_().div_((square_avg + eps).sqrt_()).mul_(gradient)
        acc_delta.mul_(rho).addcmul_(delta, delta, value=1 - rho)
        value.sub_(delta, alpha=learning_rate)


OPTIMIZERS = {"adam": Adam, "adadelta": Adadelta}
