"""Packs on Ray Tune: one trial a pack, what failed, interruption. The cluster is that of study/run/cluster.py."""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import study.run.cluster  # noqa: F401  (first: it sets what Ray reads when it is imported)

from ray import tune  # isort: skip
from ray.tune.search import Searcher  # isort: skip

from study.run.attempts import Attempts
from study.run.folder import RunFolder
from study.run.interruption import Interruption
from study.run.packs import Pack
from study.run.trainable import train_pack

if TYPE_CHECKING:
    from study.study import Study

#: Seconds that interrupted workers get to save their state.
GRACE_SECONDS = 6.0


def run_packs(study: Study, gpus_per_pack: float, watch: Watch) -> None:
    """One trial an attempt at a pack, until all have ended or the study is interrupted."""
    folder = study.folder
    trainable = tune.with_parameters(
        train_pack,
        members=watch.members,
        data=study.data,
        folder=str(folder.path),
        storage=study.options.storage,
        device=study.device,
        checkpoint_seconds=study.options.checkpoint_seconds,
    )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as path, stopping(folder, watch):
        run_config = tune.RunConfig(name="tune", storage_path=path, verbose=0, callbacks=[watch])
        tuner = tune.Tuner(
            tune.with_resources(trainable, {"cpu": 1, "gpu": gpus_per_pack}),
            tune_config=tune.TuneConfig(
                search_alg=Suggestions(watch), num_samples=-1, reuse_actors=True
            ),
            run_config=run_config,
        )
        tuner.fit()


@contextmanager
def stopping(folder: RunFolder, watch: Watch) -> Iterator[None]:
    """On a signal the workers are asked to save and return; when they have, or after a while, Tune ends."""

    def end_tune() -> None:
        timer.cancel()
        os.kill(os.getpid(), signal.SIGUSR1)  # Tune's own way to be asked to stop

    def begin() -> None:
        timer.start()
        with suppress(OSError):  # where the folder is away nothing can be saved
            folder.request_stop(True)

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
        with suppress(OSError):
            folder.request_stop(False)


class Suggestions(Searcher):
    """Hands the waiting packs to Tune, as two numbers: where a pack begins and ends in the list of all members."""

    def __init__(self, watch: Watch):
        super().__init__()
        self.watch = watch

    def suggest(self, trial_id: str) -> dict | str | None:
        attempts = self.watch.attempts
        pack = None if self.watch.interruption else attempts.next()
        if pack is None:
            return Searcher.FINISHED if self.watch.interruption or attempts.over else None
        first = self.watch.place[pack.members[0].member_id]
        return {"first": first, "last": first + len(pack.members)}

    def on_trial_complete(
        self, trial_id: str, result: dict | None = None, error: bool = False
    ) -> None:
        """The watch is told, too, and knows more."""

    def save(self, checkpoint_path: str) -> None:
        """Tune wants a file in its own snapshot, which is not used: the run folder is the only truth."""
        Path(checkpoint_path).touch()

    def __getstate__(self) -> dict:
        """For the same snapshot; a screen cannot be pickled."""
        return {}


class Watch(tune.Callback):
    """Follows the trials: progress, and what failed. The half of a pack is as contiguous in `members` as the pack."""

    def __init__(self, packs: list[Pack], attempts: Attempts | None, interruption: Interruption):
        self.members = [member for pack in packs for member in pack.members]
        self.place = {member.member_id: i for i, member in enumerate(self.members)}
        self.attempts, self.interruption = attempts, interruption
        self.end_tune: Callable[[], None] = lambda: None

    def __getstate__(self) -> dict:
        """Tune pickles its callbacks into its own snapshot, which is not used; a screen cannot be pickled."""
        return {}

    def pack(self, trial) -> Pack:
        """The pack of one of Tune's trials."""
        return Pack(tuple(self.members[trial.config["first"] : trial.config["last"]]))

    def on_trial_result(self, iteration, trials, trial, result, **info):
        if "best_mse" in result:
            self.attempts.line.update(self.pack(trial), result)
        elif "ended" in result:
            self.attempts.ended(self.pack(trial), result["ended"])

    def on_trial_complete(self, iteration, trials, trial, **info):
        running = [other for other in trials if other.status == "RUNNING" and other is not trial]
        if self.interruption and not running:
            self.end_tune()

    def on_trial_error(self, iteration, trials, trial, **info):
        # The driver's own file: `trial.get_error()` reads its copy in the storage, which comes only some time later.
        path = Path(trial.error_file) if trial.error_file else None
        text = path.read_text(errors="replace").strip() if path and path.exists() else ""
        print(text, file=sys.stderr)  # to the run's log
        self.attempts.failed(self.pack(trial), *reason_of(text))


def reason_of(text: str) -> tuple[str, bool]:
    """Of what Ray says of a failure: the reason in one line, and whether the worker died instead of raising it."""
    lines = text.splitlines()
    died = re.search(r'Traceback|^ +File "', text, re.MULTILINE) is None  # what raised shows where
    if died:  # a heading of Tune, the reason, and what else may have caused it
        return f"its worker died: {lines[1].strip()}" if len(lines) > 1 else "its worker died", died
    return lines[-1].strip(), died


def train_packs(
    study: Study, workers: int, gpus_per_pack: float, interruption: Interruption
) -> None:
    """Train the study's unfinished packs on the cluster that is there."""
    packs = study.unfinished(workers)
    interruption.take_over()
    if interruption:  # while the cluster was starting
        return
    with study.progress(packs) as line:
        watch = Watch(packs, Attempts(packs, study.folder, line), interruption)
        run_packs(study, gpus_per_pack, watch)
    study.failed(watch.attempts)
