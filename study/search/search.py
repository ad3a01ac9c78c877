"""A search from its options to its run folder: a study whose networks are found on the way."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field, replace

import pandas as pd

from data_utils.errors import InputError
from models.config import MemberConfig
from models.denoisers.baselines import reference_errors
from study.evidence.search import answer, answer_text, load_search, search_markdown
from study.options import SearchOptions, StudyOptions
from study.run.jobs import Executor, Interruption
from study.run.opening import held
from study.run.rows import FAILED
from study.run.tensorboard import hparams, write_hparams_experiment
from study.search.loop import Search, chosen_trial, journal
from study.search.space import PAPER_CODE, Space
from study.search.trials import COMPLETE, RUNNING, Trial, TrialsFolder, reopened, trials_table
from study.study import Study, open_study


@dataclass
class SearchStudy(Study):
    """A study whose planned networks are those of the setting that its trials choose: they alone are tested."""

    wanted: SearchOptions = field(kw_only=True)
    space: Space = field(init=False)

    def __post_init__(self):
        self.trials = TrialsFolder(self.folder)
        self.search: Search | None = None
        self.chosen: dict | None = None

    def load(self) -> None:
        """Read the data, and see what can be searched on them. Raises InputError for bad data or options."""
        super().load()
        self.space = Space(self.wanted, self.data.n_genes)

    def work_left(self) -> bool:
        """Whether trials are wanted still, or the chosen setting's networks are not all trained."""
        if self.options.resume and self.search is None:
            with held(self.folder.path):
                for line in self.trials.mend(
                    lambda number: journal(self.space, self.trials).params.get(number)
                ):
                    self.say(line)
            self._plan()
        ended = [trial for trial in self.trials.trials() if reopened(trial).state != RUNNING]
        return len(ended) < self.space.options.trials or super().work_left()

    def _train(self, executor: Executor, interruption: Interruption) -> None:
        """Run the trials, then train the chosen setting's networks."""
        search = self.begin_search(interruption, executor.workers())
        if search.wanted:
            executor.run_jobs(search, self.workplace(executor.device), interruption)
        if not interruption and self.choose():
            super()._train(executor, interruption)

    def _identity(self) -> dict:
        identity = super()._identity()
        del identity["members"]  # they are found on the way
        return identity | self.space.identity()

    def _config(self) -> dict:
        search = self.space.identity()
        return super()._config() | {"search": search, "seeds": list(range(search["seeds"]))}

    def _begin(self) -> float:
        seconds_before = super()._begin()
        self.trials.create()
        self.search = Search(self.space, self.trials, self.say)
        return seconds_before

    def _write_preparation(self) -> None:
        super()._write_preparation()
        names = hparams(self.space.members(self.space.first())[0])
        write_hparams_experiment(self.folder.tensorboard, dict.fromkeys(names))

    def begin_search(self, interruption: Interruption, workers: int) -> Search:
        """The search, from now on with an eye on the clock and on signals."""
        options = self.space.options
        self.search.begin_now(interruption, workers)
        left = options.trials - self.search.asked
        self.say(
            f"{max(0, left)} of {options.trials} trials to run, {options.epochs} epochs a network"
        )
        return self.search

    def choose(self) -> bool:
        """Plan the networks of the chosen setting, and of the paper's code size; False where no trial is complete."""
        self._plan()
        self.folder.write_json(
            "plan.json", {"members": [member.as_dict() for member in self.planned]}
        )
        if self.chosen is not None:
            self.say(f"testing {self.chosen['model']} on {len(self.chosen['seeds'])} seeds")
        return self.chosen is not None

    def _plan(self) -> None:
        options = self.space.options
        trial = chosen_trial(self.trials.trials(), options.pareto)
        self.planned, self.chosen = [], None
        if trial is None:
            return
        seeds = range(max(options.seeds, options.confirm_seeds))
        chosen = self.space.members(trial.params, seeds)
        paper: tuple[MemberConfig, ...] = ()
        if self.space.has(PAPER_CODE) and trial.code_size != PAPER_CODE:
            paper = self.space.members({**trial.params, "code_size": PAPER_CODE}, seeds)
        self.planned = [*chosen, *paper]
        self.chosen = {
            **{
                "trial": trial.number,
                "params": trial.params,
                "model": trial.model,
                "code_size": trial.code_size,
            },
            "seeds": list(seeds),
            "members": [member.member_id for member in chosen],
            "paper": [member.member_id for member in paper],
        }

    def _tables(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Members and metrics: those of the chosen setting, which are tested, then the trials', which are not."""
        tested, measured = self.folder.merge(self.planned, self.errors)
        members = {
            member.member_id: member
            for trial in self._complete()
            for member in self.space.members(trial.params)
        }
        searched = self.trials.merge(list(members.values()), {})
        tables = []
        for name, own, others in zip(
            ("members", "metrics"), (tested, measured), searched, strict=True
        ):
            others = others[~others["member_id"].isin(tested["member_id"])]
            parts = [part for part in (own, others) if len(part)]
            tables.append(pd.concat(parts, ignore_index=True) if parts else own)
            self.folder.write_table(f"{name}.parquet", tables[-1])
        return tables[0], tables[1]

    def _complete(self) -> list[Trial]:
        return [trial for trial in self.trials.trials() if trial.state == COMPLETE]

    def _measure_references(self) -> None:
        """What PCA with codes of the trials' sizes, Wiener and the others reach on the rows and seeds of the search."""
        sizes = sorted({trial.code_size for trial in self._complete()})
        options = self.space.options
        table = reference_errors(
            self.data, self.dataset.cohort, options.noise_factors, list(range(options.seeds)), sizes
        )
        self.folder.write_table("references_by_size.parquet", table)

    def _end(self, seconds: float, interruption: Interruption) -> int:
        """Write the tables, the summary and the report, and say how it ended. Returns the exit status."""
        trials = self.trials.trials()
        self.folder.write_table(
            "trials.parquet", trials_table(trials, list(self.space.distributions))
        )
        members, _ = self._tables()
        known = {
            "wall_seconds": seconds,
            "device": self.device,
            "n_members": len(members),
            "chosen": self.chosen,
        }
        self.folder.write_json("config.json", {**self.folder.read_json("config.json"), **known})
        run = load_search(self.folder.path)
        self.folder.write_text("summary.md", search_markdown(run))
        ended = [trial for trial in trials if trial.state != RUNNING]
        complete = sum(trial.state == COMPLETE for trial in trials)
        self.say(f"{len(ended)} of {self.space.options.trials} trials ended, {complete} complete")
        tested = members[members["member_id"].isin([member.member_id for member in self.planned])]
        failed = tested.loc[tested["status"] == FAILED, "error"]
        if len(ended) and not complete:
            self.say(f"every trial failed, the first with: {ended[0].error}")
        if len(failed):
            self.say(f"first error: {failed.iloc[0]} (log: {self.folder.log_file})")
        found = answer(run)
        if found is not None:
            self.say(answer_text(found))
        self.say(f"results: {self.folder.path / 'summary.md'}")
        self.say(
            f"trials:  optuna-dashboard {shlex.quote(str(self.folder.path / 'optuna.journal'))}"
        )
        if interruption or len(failed) or not complete:
            return self._unfinished(interruption)
        self._measure_references()
        if not self._report(tested, interruption):
            return 1
        self.say(f"next:    {self.options.next_command}")
        return 0


def open_search(options: StudyOptions, search: SearchOptions) -> SearchStudy:
    """Check everything that can be checked without the data; nothing is written yet.

    Raises InputError for a bad option.
    """
    if options.storage is not None:
        raise InputError(
            f"--storage {options.storage}: not with --search: give an --out that all machines share"
        )
    study = open_study(replace(options, grid=f"search-{search.search}"), planned=[])
    return SearchStudy(
        study.options, study.planned, study.folder, study.console, study.device, wanted=search
    )
