"""The trials of a search: their record, Optuna's journal in the run folder, and their job.

`optuna.journal` holds the trials' parameters, states and values; the objective at the pruner's
looks (the epochs at which trials are compared) as intermediate values; epochs, seconds and error as
user attributes. Only the driver reads and writes it; `optuna-dashboard RUN/optuna.journal` shows
it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
import pandas as pd
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial

from data_utils.errors import InputError
from models.training import Training
from study.evidence.search import COMPLETE, DIVERGED, FAILED, NEAR, PRUNED, RUNNING
from study.run import rows
from study.run.folder import RunFolder
from study.run.jobs import Workplace
from study.run.packs import Pack
from study.run.worker import run_pack
from study.search.space import Space, objective

optuna.logging.set_verbosity(optuna.logging.ERROR)  # else it reports every study and trial

#: Optuna's name of the study.
STUDY = "search-bottleneck"
#: Random suggestions before a sampler makes a model of the objective.
STARTUP = 10
#: Shares of the epochs after which a trial is compared with the complete ones.
LOOKS = (0.5, 0.75)
#: Complete trials before the first is pruned.
LEAST_TRIALS = 10
#: A trial's state by Optuna's state; see `state_of`.
STATES = {
    TrialState.RUNNING: RUNNING,
    TrialState.COMPLETE: COMPLETE,
    TrialState.PRUNED: PRUNED,
    TrialState.FAIL: DIVERGED,
}


def sampler(name: str, seed: int, number: int) -> BaseSampler:
    """Make the sampler of one trial, seeded by the search's seed and the trial's number.

    So a suggestion depends on the trials so far but not on how often the search was resumed: a
    sampler that is seeded only once would repeat its first random numbers after each resume.
    """
    seed = 1000 * seed + number
    if name == "random":
        return RandomSampler(seed)
    if name == "gp":
        return GPSampler(seed=seed, n_startup_trials=STARTUP)
    return TPESampler(seed=seed, n_startup_trials=STARTUP)


def open_journal(path: Path, space: Space) -> tuple[optuna.Study, JournalStorage]:
    """Open a search's journal, or create it; no other driver may use the run folder.

    Raises InputError if the file is damaged, or is another search's.
    """
    try:
        drop_unfinished_write(path)
        storage = JournalStorage(JournalFileBackend(str(path)))
        study = optuna.create_study(
            storage=storage,
            study_name=STUDY,
            directions=["minimize"] * (2 if space.options.pareto else 1),
            load_if_exists=True,
        )
        known = study.user_attrs.get("search")
    except Exception as error:  # a damaged file may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:80]
        raise InputError(
            f"{path}: not a readable Optuna journal ({reason}): "
            "put back a copy of it, or start over with --fresh"
        ) from None
    if known is None:
        study.set_user_attr("search", space.identity())
    elif known != space.identity():
        raise InputError(
            f"{path}: holds another study: give the options it was started with, or another --out"
        )
    return study, storage


def drop_unfinished_write(path: Path) -> None:
    """Remove a killed process's traces from a journal: an incomplete last line, and a lock."""
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)
    with suppress(FileNotFoundError), open(path, "r+b") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


def resumed_trial(study: optuna.Study, storage: JournalStorage, number: int) -> optuna.Trial:
    """Return the trial of this number, which an earlier process got from `Study.ask`."""
    study_id = storage.get_study_id_from_name(STUDY)
    trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, number)
    return optuna.Trial(study, trial_id)


def state_of(trial: FrozenTrial) -> str:
    """Return a trial's state; FAILED for a running trial of Optuna that has an error."""
    if trial.state == TrialState.RUNNING and trial.user_attrs.get("error"):
        return FAILED
    return STATES[trial.state]


def complete(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the complete trials, the least objective first (the first of equals)."""
    found = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return sorted(found, key=lambda trial: (trial.values[0], trial.number))


def chosen_trial(trials: Iterable[FrozenTrial], pareto: bool) -> FrozenTrial | None:
    """Return the trial whose setting is tested, the best one; None if no trial is complete.

    With two objectives it is the one with the smallest code within 1 % of the best.
    """
    found = complete(trials)
    if not pareto or not found:
        return found[0] if found else None
    near = [trial for trial in found if trial.values[0] <= (1 + NEAR) * found[0].values[0]]
    return min(near, key=lambda trial: trial.params["code_size"])


def trials_table(trials: Iterable[FrozenTrial], space: Space) -> pd.DataFrame:
    """Return one row per trial.

    Columns: number, state, model, the searched parameters by name, val_mse, epochs, seconds, error,
    and lists: the ids of its members, and the objective at the looks (look_epochs, look_values;
    empty if there are two objectives).
    """
    names = list(space.distributions)
    table = []
    for trial in trials:
        attributes = {"epochs": 0, "seconds": 0.0, "error": ""} | trial.user_attrs
        looks = sorted(trial.intermediate_values.items())
        table.append(
            {"number": trial.number, "state": state_of(trial), "model": space.model(trial.params)}
            | {name: trial.params[name] for name in names}
            | {"val_mse": trial.values[0] if trial.state == TrialState.COMPLETE else math.nan}
            | {name: attributes[name] for name in ("epochs", "seconds", "error")}
            | {"members": [member.member_id for member in space.members(trial.params)]}
            | {"look_epochs": [epoch for epoch, _ in looks]}
            | {"look_values": [value for _, value in looks]}
        )
    columns = ["number", "state", "model", *names, "val_mse", "epochs", "seconds", "error"]
    return pd.DataFrame(table, columns=[*columns, "members", "look_epochs", "look_values"])


class TrialsFolder(RunFolder):
    """The part of a search's run folder with the checkpoints and results of its trials' packs.

    Their TensorBoard runs are in the run's own log folder, and they stop when the run does.
    """

    def __init__(self, run: RunFolder):
        super().__init__(run.path / "trials")
        self.run = run

    @property
    def tensorboard(self) -> Path:
        """The log folder of the run."""
        return self.run.tensorboard

    def stop_requested(self) -> bool:
        """Whether the run's workers are requested to stop."""
        return self.run.stop_requested()


@dataclass(frozen=True)
class Outcome:
    """The end of a trial: what the driver reports to Optuna."""

    state: TrialState
    epochs: int
    seconds: float
    looks: dict[int, float]  # the objective by epoch
    value: float = math.nan  # the objective at the end
    error: str = ""


@dataclass(frozen=True)
class TrialJob:
    """The job of training a trial's networks, which ends early if its `peers` are better.

    `peers` are the trials that were complete when this one began; without them it is not pruned.
    """

    number: int
    params: dict[str, float]
    space: Space
    peers: optuna.Study | None = None

    @property
    def job_id(self) -> str:
        """The trial's number."""
        return str(self.number)

    @property
    def name(self) -> str:
        """Number and model, for example `trial 12: dense-48x48`."""
        return f"trial {self.number}: {self.space.model(self.params)}"

    @property
    def pack(self) -> Pack:
        """The trial's networks as a pack."""
        return Pack(self.space.members(self.params))

    def run(
        self, workplace: Workplace, report: Callable[[dict], None], should_stop: Callable[[], bool]
    ) -> Outcome | None:
        """Train, and return the end of the trial; None if `should_stop` ended the training early.

        A point that was trained to its end before is not trained again, and counts 0 seconds.
        """
        folder, pack = TrialsFolder(workplace.folder), self.pack
        results, repeated, looks = folder.part(pack.pack_id), True, Looks(self)
        if results is None:
            repeated, workplace = False, replace(workplace, folder=folder)
            if run_pack(pack, workplace, should_stop=should_stop, judge=looks):
                results = folder.part(pack.pack_id)
        if results is not None:
            outcome = self._trained(results.members, results.metrics)
            return replace(outcome, seconds=0.0) if repeated else outcome
        if looks.outcome is not None:
            folder.drop_checkpoint(pack.pack_id)
        return looks.outcome

    def _trained(self, members: pd.DataFrame, metrics: pd.DataFrame) -> Outcome:
        """Return the outcome of a trained pack from its members and metrics tables."""
        noise_factors = members["noise_factor"].tolist()
        curves = metrics[(metrics["split"] == "validation") & (metrics["metric"] == "mse")]
        by_epoch = curves.pivot(index="epoch", columns="member_id", values="value")
        by_epoch = by_epoch[members["member_id"].tolist()]
        looks = {
            epoch: objective(by_epoch.loc[epoch], noise_factors)
            for epoch in look_epochs(self.space.options.epochs)
        }
        known = Outcome(
            TrialState.COMPLETE,
            int(by_epoch.index.max()),
            float(members["seconds"].sum()),
            looks,
            objective(members["val_mse"], noise_factors),
        )
        lost = members[members["status"] == rows.DIVERGED]
        if len(lost) or not math.isfinite(known.value):
            lost = lost if len(lost) else members[:1]
            names = [f"noise {row.noise_factor:g}, seed {row.seed}" for row in lost.itertuples()]
            return self.diverged(known, names)
        return known

    def diverged(self, known: Outcome, names: list[str]) -> Outcome:
        """Return the outcome of a trial whose networks of these names have diverged."""
        n_members = len(self.pack.members)
        error = f"{len(names)} of {n_members} networks diverged, first {names[0]}"
        return replace(known, state=TrialState.FAIL, value=math.nan, error=error)


class Looks:
    """The judge of a trial after each epoch except the last; sets `outcome` to end the trial.

    The trial ends if a network has diverged, or if Optuna prunes it at a look: its objective has
    not been below the median of its peers' at the same epoch. Common random numbers make that fair.
    """

    def __init__(self, job: TrialJob):
        self.job = job
        self.outcome: Outcome | None = None
        self.pruner = optuna.pruners.MedianPruner(n_startup_trials=LEAST_TRIALS)
        self.epochs = look_epochs(job.space.options.epochs)

    def __call__(self, training: Training) -> bool:
        """Whether the trial should continue."""
        ended = zip(training.members, training.diverged_epoch, strict=True)
        diverged = [member.run_name for member, epoch in ended if epoch is not None]
        if not diverged and training.epoch not in self.epochs:
            return True
        noise_factors = [member.noise_factor for member in training.members]
        looks = {
            record.epoch: objective(record.values, noise_factors)
            for record in training.records
            if (record.split, record.metric) == ("validation", "mse")
            and record.epoch in self.epochs
        }
        known = Outcome(TrialState.PRUNED, training.epoch, training.seconds, looks)
        if diverged:
            self.outcome = self.job.diverged(known, diverged)
        elif self.job.peers is not None:
            so_far = create_trial(state=TrialState.RUNNING, intermediate_values=looks)
            if self.pruner.prune(self.job.peers, so_far):
                self.outcome = known
        return self.outcome is None


def look_epochs(epochs: int) -> tuple[int, ...]:
    """Return the epochs, before the last, at which a trial is compared with others."""
    looks = {round(share * epochs) for share in LOOKS}
    return tuple(sorted(look for look in looks if 0 < look < epochs))
