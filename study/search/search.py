"""A search, from its options to its run folder: a study whose networks are chosen by its trials."""

from __future__ import annotations

import math
import shlex
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from data_utils.errors import InputError
from models.config import PAPER_CODE, MemberConfig
from models.denoisers.references import reference_errors
from study.evidence.evidence import load_run
from study.evidence.search import RUNNING, answer, answer_text, search_of
from study.options import SearchOptions, StudyOptions
from study.run.attempts import LAST_RETRIES
from study.run.folder import held
from study.run.jobs import Executor, Interruption, Job
from study.run.replicates import write_replicates
from study.search.space import Space
from study.search.trials import (
    Outcome,
    TrialJob,
    TrialsFolder,
    chosen_trial,
    complete,
    open_journal,
    resumed_trial,
    sampler,
    state_of,
    trials_table,
)
from study.study import Study, open_study


class Search:
    """The queue of trials: first unfinished and lost ones, then those that Optuna suggests.

    The first suggestion is the paper's code size.
    """

    def __init__(self, space: Space, folder: TrialsFolder, say: Callable[[str], None]):
        """Open the journal. Raises InputError if it is damaged, or is another search's."""
        self.space, self.options, self.say = space, space.options, say
        self.study, storage = open_journal(folder.run.path / "optuna.journal", space)
        self.begun: dict[str, optuna.Trial] = {}
        self.waiting: deque[optuna.Trial] = deque()
        self.deaths: Counter[str] = Counter()
        self.deadline, self.workers = math.inf, 1
        self.interruption: Interruption | None = None
        # A copy of the complete trials in memory, which workers get to compare their trial with.
        self.peers = None if self.options.pareto else optuna.create_study()
        for known in self.trials():
            if known.state == TrialState.COMPLETE and self.peers is not None:
                self.peers.add_trial(known)
            if known.state == TrialState.RUNNING or (
                known.state == TrialState.COMPLETE
                and folder.part(TrialJob(known.number, known.params, space).pack.pack_id) is None
            ):
                self._set_sampler(known.number)
                trial = resumed_trial(self.study, storage, known.number)
                space.suggest(trial)  # parameters that are missing if the driver was killed then
                self.waiting.append(trial)

    def trials(self) -> list[FrozenTrial]:
        """Return all trials that have begun; do not modify them."""
        trials = self.study.get_trials(deepcopy=False)
        return [trial for trial in trials if trial.state != TrialState.WAITING]

    def start(self, interruption: Interruption, workers: int) -> None:
        """Start the clock of --timeout, and set the interruption that ends the search."""
        self.interruption, self.workers = interruption, workers
        if self.options.timeout is not None:
            self.deadline = time.monotonic() + self.options.timeout

    @property
    def left(self) -> int:
        """The number of trials that have not begun or wait to continue."""
        return max(0, self.options.trials - len(self.trials())) + len(self.waiting)

    @property
    def wanted(self) -> bool:
        """Whether another trial should begin."""
        return time.monotonic() < self.deadline and not self.interruption and self.left > 0

    @property
    def over(self) -> bool:
        """Whether no trial is running and no other one is wanted."""
        return not self.begun and not self.wanted

    def next(self) -> TrialJob | None:
        """Continue a trial, or begin one that Optuna suggests."""
        if not self.wanted or len(self.begun) >= self.workers:
            return None
        trial = self.waiting.popleft() if self.waiting else self._ask()
        peers = None if self._known(trial).state.is_finished() else self.peers
        job = TrialJob(trial.number, trial.params, self.space, peers)
        self.begun[job.job_id] = trial
        return job

    def _ask(self) -> optuna.Trial:
        number = len(self.trials())
        if number == 0:
            self.study.enqueue_trial(self.space.first(), skip_if_exists=True)
        self._set_sampler(number)
        trial = self.study.ask()
        self.space.suggest(trial)
        return trial

    def _set_sampler(self, number: int) -> None:
        self.study.sampler = sampler(self.options.sampler, self.options.search_seed, number)

    def reported(self, job: Job, progress: dict) -> None:
        """Do nothing: a trial is reported when it has ended."""

    def ended(self, job: Job, result: Outcome | None) -> None:
        """Report a trial's outcome; a stopped trial without one continues with --resume."""
        trial = self.begun.pop(job.job_id)
        if result is None:
            return
        if not self._known(trial).state.is_finished():  # else lost results were computed again
            self._tell(trial, result)
        self.say(self._line(trial))

    def _tell(self, trial: optuna.Trial, result: Outcome) -> None:
        for name in ("epochs", "seconds", "error"):
            trial.set_user_attr(name, getattr(result, name))
        values = None
        if self.peers is not None:  # Optuna accepts no reports if there are two objectives
            reported = self._known(trial).intermediate_values  # by a driver that was killed
            for epoch, value in result.looks.items():
                if math.isfinite(value) and epoch not in reported:
                    trial.report(value, epoch)
        if result.state == TrialState.COMPLETE:
            values = [result.value, float(trial.params["code_size"])]
            values = values if self.options.pareto else values[:1]
        self.study.tell(trial, values, result.state)
        if self.peers is not None and result.state == TrialState.COMPLETE:
            self.peers.add_trial(self._known(trial))

    def failed(self, job: Job, error: str, died: bool = False) -> None:
        """Try a trial again if its worker died; else, or after LAST_RETRIES, wait for --resume."""
        trial = self.begun.pop(job.job_id)
        self.deaths[job.job_id] += 1
        if died and self.deaths[job.job_id] <= LAST_RETRIES:
            self.waiting.appendleft(trial)
            return
        if not self._known(trial).state.is_finished():
            trial.set_user_attr("error", " ".join(error.split())[:500])
        self.say(self._line(trial))

    def _known(self, trial: optuna.Trial) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[trial.number]

    def _line(self, trial: optuna.Trial) -> str:
        """Return a line such as `trial 2 of 40: code 118, validation MSE 0.3412, 21 s`."""
        known, best = self._known(trial), complete(self.trials())
        result = known.user_attrs.get("error") or state_of(known)
        if known.state == TrialState.COMPLETE:
            result = f"validation MSE {known.values[0]:.4f}"
        text = (
            f"trial {known.number + 1} of {self.options.trials}: code {known.params['code_size']}, "
            f"{result}, {known.user_attrs.get('seconds', 0.0):.0f} s"
        )
        if best:
            text += f" (best {best[0].values[0]:.4f} at {best[0].params['code_size']})"
        return text


@dataclass
class SearchStudy(Study):
    """A study whose trials choose a setting; only that setting's networks see the test rows."""

    wanted: SearchOptions = field(kw_only=True)
    space: Space = field(init=False)

    def __post_init__(self) -> None:
        self.trials = TrialsFolder(self.folder)
        self.chosen: dict | None = None

    @cached_property
    def search(self) -> Search:
        """The queue of trials, from the journal in the folder, which must be locked."""
        return Search(self.space, self.trials, self.say)

    def load(self) -> None:
        """Read the data, and make the space of the search.

        Raises InputError for bad data or options.
        """
        super().load()
        self.space = Space(self.wanted, self.data.n_genes)

    def work_left(self) -> bool:
        """Whether trials are left, or networks of the chosen setting are not trained."""
        if "search" not in vars(self):  # with --resume, before Ray starts
            if not (self.folder.path / "optuna.journal").exists():
                return True  # killed before the first trial, or not a search
            with held(self.folder.path):
                for line in self.trials.drop_damaged():
                    self.say(line)
                self._plan()
        return self.search.left > 0 or super().work_left()

    @property
    def seeds(self) -> list[int]:
        """The seeds of the chosen setting's networks, which include those of the trials."""
        return list(range(max(self.wanted.seeds, self.wanted.confirm_seeds)))

    def _begin(self) -> float:
        seconds_before = super()._begin()
        if self.options.resume:  # the options may have other seeds now
            write_replicates(self.folder, self.dataset, self.data, self.seeds)
        self.trials.create()
        self._plan()
        return seconds_before

    def _train(self, executor: Executor, interruption: Interruption) -> None:
        """Run the trials, then train the chosen setting's networks."""
        options, search = self.space.options, self.search
        search.start(interruption, executor.workers())
        self.say(
            f"{search.left} of {options.trials} trials to run, {options.epochs} epochs per network"
        )
        if search.wanted:
            executor.run_jobs(search, self.workplace(executor.device), interruption)
        if interruption:
            return
        self._plan()
        self._write_plan()
        if self.chosen is not None:
            self.say(f"testing {self.chosen['model']} on {len(self.chosen['seeds'])} seeds")
            super()._train(executor, interruption)

    def _identity(self) -> dict:
        identity = super()._identity()
        del identity["members"]  # the trials choose them
        return identity | self.space.identity()

    def _config(self) -> dict:
        search = self.space.identity()
        return super()._config() | {"search": search, "seeds": list(range(search["seeds"]))}

    def _plan(self) -> None:
        """Plan the chosen setting's networks and, for comparison, those with the paper's code."""
        options, sizes = self.space.options, self.space.sizes
        trial = chosen_trial(self.search.trials(), options.pareto)
        self.planned, self.chosen = [], None
        if trial is None:
            return
        seeds = self.seeds
        chosen = self.space.members(trial.params, seeds)
        paper: tuple[MemberConfig, ...] = ()
        if sizes.low <= PAPER_CODE <= sizes.high and trial.params["code_size"] != PAPER_CODE:
            paper = self.space.members({**trial.params, "code_size": PAPER_CODE}, seeds)
        self.planned = [*chosen, *paper]
        self.chosen = {
            "trial": trial.number,
            "params": trial.params,
            "model": self.space.model(trial.params),
            "code_size": trial.params["code_size"],
            "seeds": seeds,
            "members": [member.member_id for member in chosen],
            "paper": [member.member_id for member in paper],
        }

    def _tables(self) -> pd.DataFrame:
        """Write members and metrics: the chosen setting's, then the trials', without test MSE.

        Returns the members.
        """
        tested = self.folder.merge(self.planned, self.errors)
        searched = {
            member.member_id: member
            for trial in self.search.trials()
            if trial.state == TrialState.COMPLETE
            for member in self.space.members(trial.params)
        }
        others = self.trials.merge(list(searched.values()), {})
        tables = []
        for name, own, rest in zip(("members", "metrics"), tested, others, strict=True):
            parts = [own, rest[~rest["member_id"].isin(tested[0]["member_id"])]]
            parts = [part for part in parts if len(part)]
            tables.append(pd.concat(parts, ignore_index=True) if parts else own)
            self.folder.write_table(f"{name}.parquet", tables[-1])
        return tables[0]

    def _measure_references(self) -> None:
        """Measure the references, PCA with the trials' code sizes, for the search's seeds."""
        options = self.space.options
        sizes = sorted({trial.params["code_size"] for trial in complete(self.search.trials())})
        seeds, data = list(range(options.seeds)), self.data.data(0)
        table = reference_errors(data, self.dataset.cohort, options.noise_factors, seeds, sizes)
        self.folder.write_table("references_by_size.parquet", table)

    def _end(self, seconds: float, interruption: Interruption) -> int:
        """Write tables, summary and report, and print how it ended. Returns the exit status."""
        from study.report.summary import search_markdown  # loads the plotting library

        trials = trials_table(self.search.trials(), self.space)
        self.folder.write_table("trials.parquet", trials)
        members = self._tables()
        n_members, chosen = len(members), self.chosen
        self._record(wall_seconds=seconds, device=self.device, n_members=n_members, chosen=chosen)
        run = search_of(load_run(self.folder.path))
        assert run is not None
        self.folder.write_text("summary.md", search_markdown(run))
        ended = trials[trials["state"] != RUNNING]
        n_complete = len(run.complete)
        self.say(f"{len(ended)} of {self.space.options.trials} trials ended, {n_complete} complete")
        if len(ended) and not n_complete:
            self.say(f"every trial failed, the first with: {ended['error'].iloc[0]}")
        tested = members[members["member_id"].isin([member.member_id for member in self.planned])]
        n_failed = self._say_first_error(tested)
        found = answer(run)
        if found is not None:
            self.say(answer_text(found))
        self.say(f"results: {self.folder.path / 'summary.md'}")
        journal = shlex.quote(str(self.folder.path / "optuna.journal"))
        self.say(f"trials:  optuna-dashboard {journal}")
        if interruption or n_failed or not n_complete:
            return self._unfinished(interruption)
        self._measure_references()
        if not self._report(tested, interruption):
            return 1
        self.say(f"next:    {self.options.next_command}")
        return 0


def open_search(options: StudyOptions, search: SearchOptions) -> SearchStudy:
    """Make the study of a search, checking all options that do not need the data; write nothing.

    Raises InputError for a bad option.
    """
    if options.storage is not None:
        raise InputError(
            f"--storage {options.storage}: not with --search: give an --out that all machines share"
        )
    # One split for all seeds: validation rows, which choose, must not be another seed's test rows.
    its = replace(options, grid=f"search-{search.search}", fixed_split=True)
    study = open_study(its, planned=[])
    return SearchStudy(
        study.options, study.planned, study.folder, study.console, study.device, wanted=search
    )
