"""The sampler of a search: what it suggests depends on the trials so far, not on how often the search was resumed."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

#: Random suggestions before a model of the objective is made.
STARTUP = 10


class TrialSampler(BaseSampler):
    """One of Optuna's samplers, made anew for each trial and seeded by the search's seed and the trial's number.

    A sampler that lives on would have drawn more random numbers in an unbroken search than in a resumed one, which
    would suggest its first points once more.
    """

    def __init__(self, name: str, seed: int):
        self.name, self.seed = name, seed
        self.sampler = self._sampler(0)

    def _sampler(self, number: int) -> BaseSampler:
        seed = 1000 * self.seed + number
        if self.name == "random":
            return optuna.samplers.RandomSampler(seed)
        if self.name == "gp":
            return optuna.samplers.GPSampler(seed=seed, n_startup_trials=STARTUP)
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self.sampler = self._sampler(trial.number)
        self.sampler.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self.sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict
    ) -> dict[str, Any]:
        return self.sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self.sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: list[float] | None
    ) -> None:
        self.sampler.after_trial(study, trial, state, values)
