"""Packs on Ray Tune: one trial a pack, what failed, interruption. The cluster is that of study/cluster.py."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import study.cluster  # noqa: F401  (first: it sets what Ray reads when it is imported)

from ray import tune  # isort: skip

from study.interruption import Interruption
from study.packs import Pack
from study.progress import ProgressLine
from study.results import RunFolder
from study.trainable import train_pack

if TYPE_CHECKING:
    from study.study import Study

#: Times a pack is tried again after its worker died or raised.
RETRIES = 2
#: Seconds that interrupted workers get to save their state.
GRACE_SECONDS = 6.0


def run_packs(study: Study, packs: list[Pack], gpus_per_pack: float, watch: Watch) -> None:
    """One trial a pack, until all have ended or the study is interrupted."""
    folder = study.folder
    trainable = tune.with_parameters(
        train_pack,
        packs=packs,
        data=study.data,
        folder=str(folder.path),
        storage=study.options.storage,
        device=study.device,
        checkpoint_seconds=study.options.checkpoint_seconds,
    )
    run_config = tune.RunConfig(
        name="tune",
        storage_path=str(folder.path),
        verbose=0,
        callbacks=[watch],
        failure_config=tune.FailureConfig(max_failures=RETRIES),
    )
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1, "gpu": gpus_per_pack}),
        param_space={"pack": tune.grid_search(list(range(len(packs))))},
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=run_config,
    )
    with stopping(folder, watch):
        tuner.fit()
    shutil.rmtree(folder.path / "tune", ignore_errors=True)


@contextmanager
def stopping(folder: RunFolder, watch: Watch) -> Iterator[None]:
    """On a signal the workers are asked to save and return; when they have, or after a while, Tune ends."""

    def end_tune() -> None:
        timer.cancel()
        os.kill(os.getpid(), signal.SIGUSR1)  # Tune's own way to be asked to stop

    def begin() -> None:
        folder.request_stop(True)
        timer.start()

    timer = threading.Timer(GRACE_SECONDS, end_tune)
    timer.daemon = True
    watch.end_tune = end_tune
    folder.request_stop(False)
    watch.interruption.on_signal = begin
    try:
        yield
    finally:
        timer.cancel()
        watch.interruption.on_signal = lambda: None
        folder.request_stop(False)


class Watch(tune.Callback):
    """Follows the trials: progress, and what failed."""

    def __init__(self, packs: list[Pack], line: ProgressLine, interruption: Interruption):
        self.packs, self.line, self.interruption = packs, line, interruption
        self.errors: dict[str, str] = {}
        self.end_tune: Callable[[], None] = lambda: None

    def __getstate__(self) -> dict:
        """Tune pickles its callbacks into its own snapshot, which is not used; a screen cannot be pickled."""
        return {}

    def on_trial_result(self, iteration, trials, trial, result, **info):
        pack = self.packs[trial.config["pack"]]
        if "best_mse" in result:
            self.line.update(pack.pack_id, result)
        elif result.get("ended"):
            self.line.pack_done(pack.pack_id)

    def on_trial_complete(self, iteration, trials, trial, **info):
        running = [other for other in trials if other.status == "RUNNING" and other is not trial]
        if self.interruption and not running:
            self.end_tune()

    def on_trial_error(self, iteration, trials, trial, **info):
        # The driver's own file: `trial.get_error()` reads its copy in the storage, which comes only some time later.
        path = Path(trial.error_file) if trial.error_file else None
        lines = path.read_text(errors="replace").strip().splitlines() if path and path.exists() else []
        self.errors[self.packs[trial.config["pack"]].pack_id] = lines[-1].strip() if lines else "its worker died"


def train_packs(study: Study, workers: int, gpus_per_pack: float, interruption: Interruption) -> None:
    """Train the study's unfinished packs on the cluster that is there."""
    packs = study.unfinished(workers)
    interruption.take_over()
    if interruption:  # while the cluster was starting
        return
    with study.progress(packs) as line:
        watch = Watch(packs, line, interruption)
        run_packs(study, packs, gpus_per_pack, watch)
    for pack in packs:
        if pack.pack_id in watch.errors:
            study.fail(pack, watch.errors[pack.pack_id])
