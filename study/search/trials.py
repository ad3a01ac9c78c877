"""The trials of a search as its run folder keeps them: one JSON file each, the only truth about it. No torch, no ray.

What Optuna knows of a search is made from these files; its database in the folder is a copy for optuna-dashboard.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import optuna
import pandas as pd
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from data_utils.errors import InputError
from study.run.folder import RunFolder
from study.run.packs import pack_id

optuna.logging.set_verbosity(
    optuna.logging.ERROR
)  # it tells of every study and trial, also of one in memory

#: Optuna's name of the study.
STUDY = "search-bottleneck"

#: `diverged`: a network's error is no number. `failed`: an exception; such a trial is tried again by --resume.
RUNNING, COMPLETE, PRUNED, DIVERGED, FAILED = "running", "complete", "pruned", "diverged", "failed"

#: Trials that this process has read, by file.
ENDED: dict[tuple, Trial] = {}
#: A trial's file.
NUMBERED = re.compile(r"\d+\.json")

OPTUNA_STATES = {
    RUNNING: TrialState.WAITING,
    COMPLETE: TrialState.COMPLETE,
    PRUNED: TrialState.PRUNED,
    DIVERGED: TrialState.FAIL,
    FAILED: TrialState.FAIL,
}


@dataclass(frozen=True)
class Trial:
    """A suggestion and what came of it.

    `curve` holds (epoch, objective) at the looks of the median stop (study/search/trial.py), `value` the objective
    at the end: the members' mean validation MSE. `members` are ids, in the order of the pack.
    """

    number: int
    params: dict[str, float]
    state: str = RUNNING
    model: str = ""
    code_size: int = 0
    members: tuple[str, ...] = ()
    value: float = math.nan
    curve: tuple[tuple[int, float], ...] = ()
    epochs: int = 0
    seconds: float = 0.0
    error: str = ""

    def values(self, pareto: bool) -> list[float] | None:
        """What Optuna minimises: the objective, and with `pareto` the code size; None where there is no result."""
        if self.state != COMPLETE:
            return None
        return [self.value, float(self.code_size)] if pareto else [self.value]

    def frozen(self, distributions: dict[str, BaseDistribution], pareto: bool) -> FrozenTrial:
        """Optuna's view of it."""
        return optuna.trial.create_trial(
            state=OPTUNA_STATES[self.state],
            values=self.values(pareto),
            params=self.params,
            distributions=distributions,
            intermediate_values={} if pareto else dict(self.curve),
            user_attrs={
                "number": self.number,
                "model": self.model,
                "members": list(self.members),
                "error": self.error,
            },
        )


class TrialsFolder(RunFolder):
    """The part of a search's run folder where the trials are: checkpoints and results of their packs, and themselves.

    Their TensorBoard runs are with the run's own, and it stops when the run does.
    """

    def __init__(self, run: RunFolder | Path | str):
        super().__init__(Path(getattr(run, "path", run)) / "trials")

    @property
    def tensorboard(self) -> Path:
        return self.path.parent / "tensorboard"

    def stop_requested(self) -> bool:
        return RunFolder(self.path.parent).stop_requested()

    def write_trial(self, trial: Trial) -> None:
        """Keep what is known of a trial, with a checksum."""
        content = asdict(trial)
        self.write_json(f"{trial.number:05d}.json", {**content, "sha256": _digest(content)})

    def trial(self, number: int) -> Trial:
        """What is known of a trial. Raises InputError when its file is not there, or is not as it was written."""
        return _checked(self.path / f"{number:05d}.json")

    def numbers(self) -> list[int]:
        """Of all trials that have begun."""
        return sorted(int(entry.name.partition(".")[0]) for entry in self._entries())

    def trials(self) -> list[Trial]:
        """All trials that have begun, by number. Raises InputError as `trial` does."""
        return sorted(map(_known, self._entries()), key=lambda trial: trial.number)

    def _entries(self) -> list[os.DirEntry]:
        try:
            with os.scandir(self.path) as entries:
                return [entry for entry in entries if NUMBERED.fullmatch(entry.name)]
        except FileNotFoundError:  # killed before the first
            return []

    def mend(self, known: Callable[[int], dict[str, float] | None]) -> list[str]:
        """Forget results that are not as they were written, so that their trials run again: a line for each.

        `known` gives the point of a trial that has ended. Raises InputError where a point is lost.
        """
        lines = self.drop_damaged()
        for number in self.numbers():
            try:
                trial = self.trial(number)
            except InputError as damaged:
                params = known(number)
                if params is None:
                    raise
                lines.append(f"{str(damaged).rpartition(': ')[0]}: trial {number + 1} runs again")
                self.write_trial(Trial(number, params))
                continue
            part = (
                self.path / "parts" / f"{pack_id(trial.members)}.members.parquet"
            )  # a damaged one is gone by now
            if trial.state == COMPLETE and not part.exists():
                self.write_trial(_anew(trial))
        return lines


def _known(entry: os.DirEntry) -> Trial:
    """A trial that has ended is read once; a worker compares its own with a thousand others at every look."""
    stat = entry.stat()
    key = (entry.path, stat.st_mtime_ns, stat.st_ino, stat.st_size)
    trial = ENDED.get(key) or _checked(Path(entry.path))
    if trial.state != RUNNING:
        ENDED[key] = trial
    return trial


def _checked(path: Path) -> Trial:
    content = RunFolder(path.parent).read_json(path.name)
    if content.pop("sha256", "") != _digest(content):
        raise InputError(f"{path}: damaged, its checksum is another: start anew with --fresh")
    curve = tuple((epoch, value) for epoch, value in content["curve"])
    return Trial(**{**content, "members": tuple(content["members"]), "curve": curve})


def _digest(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def trials_table(trials: Iterable[Trial], names: Sequence[str]) -> pd.DataFrame:
    """One row a trial: number, state, model, code_size, the searched params by name, val_mse, epochs, seconds, error,

    and as lists the member ids and the looks at the objective (look_epochs, look_values).
    """
    rows = []
    for trial in trials:
        row = {
            "number": trial.number,
            "state": trial.state,
            "model": trial.model,
            "code_size": trial.code_size,
        }
        row |= {name: trial.params[name] for name in names}
        row |= {
            "val_mse": trial.value,
            "epochs": trial.epochs,
            "seconds": trial.seconds,
            "error": trial.error,
        }
        row |= {"members": list(trial.members)}
        row |= {
            "look_epochs": [epoch for epoch, _ in trial.curve],
            "look_values": [value for _, value in trial.curve],
        }
        rows.append(row)
    columns = [
        "number",
        "state",
        "model",
        "code_size",
        *(name for name in names if name != "code_size"),
    ]
    columns += ["val_mse", "epochs", "seconds", "error", "members", "look_epochs", "look_values"]
    return pd.DataFrame(rows, columns=columns)


def reopened(trial: Trial) -> Trial:
    """A trial that --resume takes up again: one that was running, or failed with an exception, has no result yet."""
    if trial.state not in (RUNNING, FAILED):
        return trial
    return _anew(trial)


def _anew(trial: Trial) -> Trial:
    return replace(Trial(trial.number, trial.params), model=trial.model, code_size=trial.code_size)


class Journal:
    """The search as an Optuna study in a file, which optuna-dashboard opens: a copy.

    `params` has the points of its trials by number; they are asked for where a trial's own file is damaged.
    """

    def __init__(
        self, path: Path, identity: dict, distributions: dict[str, BaseDistribution], pareto: bool
    ):
        """Raises InputError for a file that holds another search or is none."""
        self.distributions, self.pareto = distributions, pareto
        try:
            storage = optuna.storages.JournalStorage(
                optuna.storages.journal.JournalFileBackend(str(path))
            )
            self.study = optuna.create_study(
                storage=storage,
                study_name=STUDY,
                directions=directions(pareto),
                load_if_exists=True,
            )
            known = self.study.user_attrs.get("search", identity)
            self.params = {
                t.user_attrs["number"]: t.params for t in self.study.get_trials(deepcopy=False)
            }
        except Exception as error:  # whatever a damaged file makes of it
            reason = f"{type(error).__name__}: {error}"[:80]
            raise InputError(
                f"{path}: no readable Optuna journal ({reason}): remove it; it is made anew"
            ) from None
        if known != identity:
            raise InputError(
                f"{path}: belongs to another search: give the options of that one, or another --out"
            )
        self.study.set_user_attr("search", identity)

    def add(self, trial: Trial) -> None:
        """Add a trial that has ended, unless it is there."""
        if trial.number not in self.params and trial.state != RUNNING:
            self.params[trial.number] = trial.params
            self.study.add_trial(trial.frozen(self.distributions, self.pareto))


def directions(pareto: bool) -> list[str]:
    """Of Optuna's objectives: the MSE, and with `pareto` the code size."""
    return ["minimize"] * (2 if pareto else 1)


def read_distributions(content: dict[str, str]) -> dict[str, BaseDistribution]:
    """Of config.json: Optuna's distributions by name."""
    return {
        name: optuna.distributions.json_to_distribution(json.dumps(value))
        for name, value in content.items()
    }
