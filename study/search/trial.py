"""One trial of a search: its pack, the median stop, and its result in the run folder."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from models.training import PackTraining
from study.run.jobs import Workplace
from study.run.packs import Pack
from study.run.worker import run_pack
from study.search.space import Space, objective
from study.search.trials import COMPLETE, DIVERGED, FAILED, PRUNED, RUNNING, Trial, TrialsFolder

#: Shares of the epochs after which a trial is compared with others.
LOOKS = (0.5, 0.75)
#: Complete trials that the median is taken of, at the least.
LEAST_TRIALS = 10


def begin_trial(number: int, params: dict[str, float], space: Space, folder: TrialsFolder) -> Trial:
    """Keep a suggestion, so that a search that is killed goes on with it."""
    members = tuple(member.member_id for member in space.members(params))
    trial = Trial(
        number,
        dict(params),
        model=space.model(params),
        code_size=int(params["code_size"]),
        members=members,
    )
    folder.write_trial(trial)
    return trial


@dataclass(frozen=True)
class TrialJob:
    """Train a trial's networks."""

    trial: Trial
    space: Space

    @property
    def job_id(self) -> str:
        """The trial's number."""
        return str(self.trial.number)

    @property
    def name(self) -> str:
        """For example `trial 12: dense-3x48`."""
        return f"trial {self.trial.number}: {self.trial.model}"

    def run(
        self, workplace: Workplace, report: Callable[[dict], None], should_stop: Callable[[], bool]
    ) -> None:
        """Leave the result in the run folder."""
        folder = TrialsFolder(workplace.folder)
        run_trial(self.trial, self.space, replace(workplace, folder=folder), should_stop)


def run_trial(
    trial: Trial,
    space: Space,
    workplace: Workplace,
    should_stop: Callable[[], bool] = lambda: False,
) -> Trial:
    """Train a trial's pack and keep its result; it is still RUNNING if `should_stop` ended it early.

    A point that was suggested before and trained to its end is not trained again, and costs no
    seconds. An exception fails this trial alone.
    """
    folder = workplace.folder
    pack = Pack(space.members(trial.params))
    judge = Judge(trial, space, folder)
    try:
        known = folder.part(pack.pack_id)
        if known is not None:
            trial = replace(completed(trial, space, known), seconds=0.0)
        elif run_pack(pack, workplace, should_stop=should_stop, judge=judge):
            trial = completed(trial, space, folder.part(pack.pack_id))
        elif judge.trial.state != RUNNING:
            trial = judge.trial
            folder.drop_checkpoint(pack.pack_id)
    except Exception as error:
        trial = replace(
            trial, state=FAILED, error=" ".join(f"{type(error).__name__}: {error}".split())[:500]
        )
    folder.write_trial(trial)
    return trial


class Judge:
    """Asked after each epoch whether a trial is to go on: not where a network has diverged, nor by the median rule.

    The rule: at a look, the objective is above the median of the complete trials' at that same epoch. Common random
    numbers make the comparison fair. With two objectives no trial is hopeless: a small code may have a large error.
    """

    def __init__(self, trial: Trial, space: Space, folder: TrialsFolder):
        self.trial, self.folder = trial, folder
        self.options = space.options

    def __call__(self, training: PackTraining) -> bool:
        values = [r for r in training.records if (r.split, r.metric) == ("validation", "mse")]
        noise_factors = [member.noise_factor for member in training.members]
        looks = look_epochs(self.options.epochs)
        curve = tuple(
            (r.epoch, objective(r.values, noise_factors)) for r in values if r.epoch in looks
        )
        so_far = replace(self.trial, curve=curve, epochs=training.epoch, seconds=training.seconds)
        lost = [
            member
            for member, epoch in zip(training.members, training.diverged_epoch, strict=True)
            if epoch
        ]
        if lost:
            self.trial = diverged(so_far, lost[0].run_name, len(lost))
        elif (
            curve
            and curve[-1][0] == training.epoch
            and not self.options.pareto
            and self._hopeless(*curve[-1])
        ):
            self.trial = replace(so_far, state=PRUNED)
        return self.trial.state == RUNNING

    def _hopeless(self, epoch: int, value: float) -> bool:
        others = [
            dict(trial.curve).get(epoch)
            for trial in self.folder.trials()
            if trial.state == COMPLETE
        ]
        return len(others) >= LEAST_TRIALS and value > statistics.median(others)


def look_epochs(epochs: int) -> tuple[int, ...]:
    """The epochs, before the last, at which a trial is compared with others."""
    looks = {round(share * epochs) for share in LOOKS}
    return tuple(sorted(look for look in looks if 0 < look < epochs))


def completed(trial: Trial, space: Space, tables: tuple[pd.DataFrame, pd.DataFrame]) -> Trial:
    """A trial with the results of its pack, its members and metrics tables."""
    members, metrics = tables
    noise_factors = members["noise_factor"].tolist()
    curves = metrics[(metrics["split"] == "validation") & (metrics["metric"] == "mse")]
    by_epoch = curves.pivot(index="epoch", columns="member_id", values="value")[
        members["member_id"].tolist()
    ]
    curve = tuple(
        (epoch, objective(by_epoch.loc[epoch], noise_factors))
        for epoch in look_epochs(space.options.epochs)
    )
    seconds, epochs = float(members["seconds"].sum()), int(by_epoch.index.max())
    trial = replace(trial, curve=curve, epochs=epochs, seconds=seconds)
    value = objective(members["val_mse"], noise_factors)
    lost = members[members["status"] == "diverged"]
    if len(lost) or not math.isfinite(value):
        return diverged(trial, _name(members, lost), max(1, len(lost)))
    return replace(trial, state=COMPLETE, value=value)


def diverged(trial: Trial, name: str, n_members: int) -> Trial:
    """A trial whose networks, `name` the first of `n_members`, no longer give numbers."""
    error = f"{n_members} of {len(trial.members)} networks diverged, first {name}"
    return replace(trial, state=DIVERGED, error=error)


def _name(members: pd.DataFrame, lost: pd.DataFrame) -> str:
    row: Sequence = (lost if len(lost) else members).iloc[0]
    return f"noise {row['noise_factor']:g}, seed {row['seed']}"
