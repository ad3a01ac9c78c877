"""The course of a search: which trial comes next, and what Optuna is told of the last."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import replace

import optuna

from data_utils.errors import InputError
from study.run.attempts import LAST_RETRIES
from study.run.jobs import Interruption
from study.search.sampler import TrialSampler
from study.search.space import Space
from study.search.trial import TrialJob, begin_trial
from study.search.trials import (
    COMPLETE,
    FAILED,
    OPTUNA_STATES,
    RUNNING,
    STUDY,
    Journal,
    Trial,
    TrialsFolder,
    directions,
    reopened,
)


class Search:
    """Asks Optuna for trials and tells it what came of them.

    `study` lives in memory and is made from the trials in the folder: those that have ended are known to it, those
    that had begun come first, under their number. A search that begins, begins with the paper's code size.
    """

    def __init__(self, space: Space, folder: TrialsFolder, say: Callable[[str], None]):
        """Raises InputError where a trial's file is missing, or the Optuna journal beside them is another search's."""
        self.space, self.options, self.folder, self.say = space, space.options, folder, say
        pareto = self.options.pareto
        self.storage = optuna.storages.InMemoryStorage()
        self.study = optuna.create_study(
            study_name=STUDY,
            storage=self.storage,
            sampler=TrialSampler(self.options.sampler, self.options.search_seed),
            directions=directions(pareto),
        )
        self.journal = journal(space, folder)
        trials = folder.trials()
        self.best = best_trial(trials)
        for number, trial in enumerate(map(reopened, trials)):
            if trial.number != number:
                raise InputError(
                    f"{folder.path}: the file of trial {number} is missing: start anew with --fresh"
                )
            if trial.state == RUNNING:
                self.study.enqueue_trial(trial.params)
            else:
                self.study.add_trial(trial.frozen(space.distributions, pareto))
                self.journal.add(trial)
        if not self.study.get_trials(deepcopy=False):
            self.study.enqueue_trial(space.first())
        self.deadline, self.workers = math.inf, 1
        self.interruption: Interruption | None = None
        self.begun: dict[str, optuna.Trial] = {}
        self.again: deque[TrialJob] = deque()
        self.deaths: Counter[str] = Counter()

    def begin_now(self, interruption: Interruption, workers: int) -> None:
        """Count the time from now on; a signal ends the search."""
        self.interruption, self.workers = interruption, workers
        if self.options.timeout is not None:
            self.deadline = time.monotonic() + self.options.timeout

    @property
    def asked(self) -> int:
        """Trials that have begun."""
        waiting = OPTUNA_STATES[RUNNING]
        return sum(trial.state != waiting for trial in self.study.get_trials(deepcopy=False))

    @property
    def wanted(self) -> bool:
        """Whether another trial is to begin."""
        return (
            self.asked < self.options.trials
            and time.monotonic() < self.deadline
            and not self.interruption
        )

    @property
    def over(self) -> bool:
        """Whether no trial runs or is wanted."""
        return not self.begun and not self.wanted

    def next(self) -> TrialJob | None:
        """Begin a trial that Optuna suggests, or repeat one whose worker died."""
        if self.again:
            return self.again.popleft()
        if not self.wanted or len(self.begun) >= self.workers:
            return None
        suggestion = self.study.ask(self.space.distributions)
        trial = begin_trial(suggestion.number, suggestion.params, self.space, self.folder)
        job = TrialJob(trial, self.space)
        self.begun[job.job_id] = suggestion
        return job

    def reported(self, job: TrialJob, progress: dict) -> None:
        """Trials report to the run folder."""

    def failed(self, job: TrialJob, error: str, died: bool = False) -> None:
        """Repeat a trial whose worker died; give it up after some tries."""
        self.deaths[job.job_id] += 1
        if died and self.deaths[job.job_id] <= LAST_RETRIES:
            self.again.append(job)
        else:
            self.folder.write_trial(replace(job.trial, state=FAILED, error=error))
            self.ended(job)

    def ended(self, job: TrialJob, result: None = None) -> None:
        """Take note of a trial; one without a result in the folder continues with --resume."""
        suggestion = self.begun.pop(job.job_id)
        trial = self.folder.trial(suggestion.number)
        if trial.state == RUNNING:
            return
        pareto = self.options.pareto
        for epoch, value in () if pareto else trial.curve:
            if math.isfinite(value):
                suggestion.report(value, epoch)
        self.study.tell(suggestion, trial.values(pareto), OPTUNA_STATES[trial.state])
        self.journal.add(trial)
        self.best = best_trial(known for known in (self.best, trial) if known is not None)
        self.say(self._line(trial))

    def _line(self, trial: Trial) -> str:
        """For the screen, e.g. `trial 12 of 40: code 118, validation MSE 0.3412, 21 s (best 0.3398 at 96)`."""
        result = (
            f"validation MSE {trial.value:.4f}"
            if trial.state == COMPLETE
            else trial.error or trial.state
        )
        known = (
            f" (best {self.best.value:.4f} at {self.best.code_size})"
            if self.best is not None
            else ""
        )
        head = f"trial {trial.number + 1} of {self.options.trials}: code {trial.code_size}"
        return f"{head}, {result}, {trial.seconds:.0f} s{known}"


def journal(space: Space, folder: TrialsFolder) -> Journal:
    """The search's copy for optuna-dashboard. Raises InputError where the file is another search's, or none."""
    path = folder.path.parent / "optuna.journal"
    return Journal(path, space.identity(), space.distributions, space.options.pareto)


def best_trial(trials: Iterable[Trial]) -> Trial | None:
    """The complete trial with the least objective (the first of equals); None where there is none."""
    return min(
        (t for t in trials if t.state == COMPLETE), key=lambda t: (t.value, t.number), default=None
    )


def chosen_trial(trials: Iterable[Trial], pareto: bool) -> Trial | None:
    """The trial whose setting is tested: the best, or with two objectives the smallest code within 1 % of the best."""
    trials = list(trials)
    best = best_trial(trials)
    if best is None or not pareto:
        return best
    near = [t for t in trials if t.state == COMPLETE and t.value <= 1.01 * best.value]
    return min(near, key=lambda t: (t.code_size, t.value, t.number))
