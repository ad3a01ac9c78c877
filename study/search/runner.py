"""A search on Ray Tune: `ray.tune.search.optuna.OptunaSearch` suggests, a Tune trial is a trial of the search."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from study.run import tune as runner  # first: it sets what Ray reads when it is imported

from ray import tune  # isort: skip
from ray.tune.search import Searcher  # isort: skip
from ray.tune.search.optuna import OptunaSearch  # isort: skip

import torch

from data_utils.preparation import PreparedData
from study.run.attempts import LAST_RETRIES
from study.run.cluster import cluster_of
from study.run.interruption import Interruption
from study.search.loop import Search
from study.search.space import Space
from study.search.trial import run_trial
from study.search.trials import DIVERGED, FAILED, RUNNING, STUDY, TrialsFolder

if TYPE_CHECKING:
    from study.search.search import SearchStudy

#: Tune's names of the objectives.
METRICS = ["val_mse", "code_size"]


@contextmanager
def ray_search(study: SearchStudy) -> Iterator[Callable[[Interruption], None]]:
    """Starts or joins a cluster; yields what runs the search's trials and then trains the chosen setting's networks.

    Raises InputError where no cluster answers, or has no GPU where one was asked for.
    """
    with cluster_of(study) as ready:

        def train(interruption: Interruption) -> None:
            workers, gpus = ready()
            interruption.take_over()
            run_trials(study, workers, gpus, interruption)
            if not interruption and study.choose():
                runner.train_packs(study, workers, gpus, interruption)

        yield train


def run_trials(study: SearchStudy, workers: int, gpus: float, interruption: Interruption) -> None:
    """Until there are enough, the time is up, or the search is interrupted."""
    search = study.begin_search(interruption)
    if not search.wanted:
        return
    trainable = tune.with_parameters(
        train_trial,
        space=study.space,
        data=study.data,
        folder=str(study.folder.path),
        device=study.device,
        checkpoint_seconds=study.options.checkpoint_seconds,
    )
    watch = SearchWatch(interruption)
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1, "gpu": gpus}),
        tune_config=tune.TuneConfig(
            search_alg=Suggestions(search),
            num_samples=search.options.trials,
            max_concurrent_trials=workers,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(study.folder.path),
            verbose=0,
            callbacks=[watch],
            failure_config=tune.FailureConfig(max_failures=LAST_RETRIES),
        ),
    )
    with runner.stopping(study.folder, watch):
        tuner.fit()
    shutil.rmtree(study.folder.path / "tune", ignore_errors=True)


def train_trial(
    config: dict,
    *,
    space: Space,
    data: PreparedData,
    folder: str,
    device: str,
    checkpoint_seconds: float,
) -> None:
    """The Tune trainable: trial `config["number"]` of the run folder, from its checkpoint where it has one."""
    torch.set_num_threads(1)
    trials = TrialsFolder(Path(folder))
    trial = run_trial(
        trials.trial(config["number"]),
        space,
        data,
        trials,
        device,
        trials.stop_requested,
        checkpoint_seconds,
    )
    tune.report(
        dict(zip(METRICS, (trial.value, trial.code_size), strict=True))
    )  # Tune insists; nobody reads it


class Suggestions(OptunaSearch):
    """OptunaSearch on the search's own Optuna study, which already knows the trials in the run folder.

    A result is read from the run folder: Tune's own comes late where a worker was restarted, and cannot say
    "pruned" or NaN.
    """

    def __init__(self, search: Search):
        pareto = search.options.pareto
        super().__init__(
            space=search.space.distributions,
            metric=METRICS if pareto else METRICS[0],
            mode=["min", "min"] if pareto else "min",
            sampler=search.study.sampler,
            study_name=STUDY,
            storage=search.storage,
        )
        self.search = search

    def suggest(self, trial_id: str) -> dict | str | None:
        if not self.search.wanted:
            return Searcher.FINISHED
        super().suggest(trial_id)
        return {"number": self.search.begin(self._ot_trials[trial_id]).number}

    def on_trial_result(self, trial_id: str, result: dict) -> None:
        """A trial reports to the run folder."""

    def on_trial_complete(
        self, trial_id: str, result: dict | None = None, error: bool = False
    ) -> None:
        suggestion = self._ot_trials[trial_id]
        if error:
            died = self.search.folder.trial(suggestion.number)
            self.search.folder.write_trial(replace(died, state=FAILED, error="its worker died"))
        trial = self.search.ended(suggestion)
        if trial.state != RUNNING:
            values = dict(
                zip(METRICS, trial.values(self.search.options.pareto) or (), strict=False)
            )
            super().on_trial_complete(trial_id, values, error=trial.state in (DIVERGED, FAILED))

    def save(self, checkpoint_path: str) -> None:
        """Tune wants a file in its own snapshot, which is not used: the run folder is the only truth."""
        Path(checkpoint_path).touch()

    def __getstate__(self) -> dict:
        """For the same snapshot; a screen cannot be pickled."""
        return {}


class SearchWatch(runner.Watch):
    """Ends Tune when an interrupted search's workers have returned."""

    def __init__(self, interruption: Interruption):
        super().__init__([], None, interruption)

    def on_trial_result(self, iteration, trials, trial, result, **info):
        pass

    def on_trial_error(self, iteration, trials, trial, **info):
        pass
