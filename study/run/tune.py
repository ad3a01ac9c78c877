"""Jobs on Ray Tune: one trial per attempt at a job. The cluster is that of study/run/cluster.py.

A trial's name and config state what it trains. Our own searcher replaces `grid_search` with
`FailureConfig` because a grid is fixed at the start, whereas a search's next trial depends on those
that have ended, and a pack that failed may be split in two; and because Tune retries at once and
never resets its count of failures, whereas a pack waits for a growing pause and may fail as often
as it makes progress. The run folder is the only record, so Tune's snapshots are not used.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher

from study.run.folder import RunFolder
from study.run.jobs import Interruption, Job, Queue, Workplace

#: Seconds that interrupted workers get to save their state.
GRACE_SECONDS = 6.0


@dataclass(frozen=True)
class TuneExecutor:
    """Runs jobs on the workers of a Ray cluster."""

    device: str
    gpus_per_job: float
    workers: Callable[[], int]

    def run_jobs(self, queue: Queue, workplace: Workplace, interruption: Interruption) -> None:
        """Run jobs until the queue is over or the run is interrupted."""
        self.workers()
        interruption.take_over()
        if interruption:  # while the cluster was starting
            return
        trainable = tune.with_resources(
            tune.with_parameters(run_job, workplace=workplace), {"cpu": 1, "gpu": self.gpus_per_job}
        )
        jobs = Jobs(queue, interruption)
        follower = Follower(jobs)
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as path,
            stoppable(workplace.folder, jobs),
        ):
            tune.Tuner(
                trainable,
                tune_config=tune.TuneConfig(
                    search_alg=jobs,
                    num_samples=-1,
                    reuse_actors=True,
                    trial_name_creator=lambda trial: trial.config["job"],
                    trial_dirname_creator=lambda trial: trial.trial_id,
                ),
                run_config=tune.RunConfig(
                    name="tune", storage_path=path, verbose=0, callbacks=[follower], stop=follower
                ),
            ).fit()


def run_job(config: dict, *, workplace: Workplace) -> None:
    """Run one job as Tune's trainable, from its checkpoint in the run folder if it has one."""
    import torch  # not above: the driver also loads this module, and needs no torch

    torch.set_num_threads(1)  # there is one process per core
    job: Job = ray.get(config["content"])
    with workplace.folder.on_worker() as folder:
        result = job.run(replace(workplace, folder=folder), tune.report, folder.stop_requested)
    tune.report({"result": result})


class Jobs(Searcher):
    """The searcher that hands the queue's jobs to Tune and keeps those that have begun."""

    def __init__(self, queue: Queue, interruption: Interruption):
        super().__init__()
        self.queue, self.interruption = queue, interruption
        self.begun: dict[str, Job] = {}

    def suggest(self, trial_id: str) -> Any:
        """Begin the next job as a trial; FINISHED ends the run, None makes Tune wait."""
        job = None if self.interruption else self.queue.next()
        if job is None:
            return Searcher.FINISHED if self.interruption or self.queue.over else None
        self.begun[trial_id] = job
        return {"job": job.name, "content": ray.put(job)}

    def on_trial_complete(
        self, trial_id: str, result: dict | None = None, error: bool = False
    ) -> None:
        """Do nothing: the follower gets more details."""

    def save(self, checkpoint_path: str) -> None:
        """Write an empty file, which Tune needs for its snapshot; the snapshot is not used."""
        Path(checkpoint_path).touch()

    def __getstate__(self) -> dict:
        """Pickle nothing: Tune's snapshot is not used, and a screen cannot be pickled."""
        return {}


class Follower(tune.Callback, tune.Stopper):
    """The callback that reports jobs' progress to the queue, and ends Tune when interrupted."""

    def __init__(self, jobs: Jobs):
        self.jobs, self.deadline = jobs, 0.0
        self.running: set[str] = set()

    def __getstate__(self) -> dict:
        """Pickle nothing: Tune pickles callbacks into its snapshot, which is not used."""
        return {}

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """Count the trial as running on a worker."""
        self.running.add(trial.trial_id)

    def on_trial_result(
        self, iteration: int, trials: list, trial: Any, result: dict, **info: Any
    ) -> None:
        """Pass a job's progress or its result to the queue."""
        job = self.jobs.begun.get(trial.trial_id)
        if job is not None and "result" in result:
            self._over(trial)
            self.jobs.queue.ended(job, result["result"])
        elif job is not None:
            self.jobs.queue.reported(job, result)

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        """Pass a failure to the queue, and copy Ray's report of it to the run's log."""
        # Read the driver's own file: `trial.get_error()` reads a copy that is made later.
        path = Path(trial.error_file) if trial.error_file else None
        text = path.read_text(errors="replace").strip() if path and path.exists() else ""
        print(text, file=sys.stderr)
        job = self._over(trial)
        if job is not None:
            self.jobs.queue.failed(job, *reason_of(text))

    def _over(self, trial: Any) -> Job | None:
        self.running.discard(trial.trial_id)
        return self.jobs.begun.pop(trial.trial_id, None)

    def __call__(self, trial_id: str, result: dict) -> bool:
        """Return False: a worker decides itself when its trial stops."""
        return False

    def stop_all(self) -> bool:
        """Whether an interrupted run's workers have all returned, or GRACE_SECONDS have passed."""
        if not self.jobs.interruption:
            return False
        self.deadline = self.deadline or time.monotonic() + GRACE_SECONDS
        return not self.running or time.monotonic() > self.deadline


@contextmanager
def stoppable(folder: RunFolder, jobs: Jobs) -> Iterator[None]:
    """Make a signal request the workers, through the run folder, to save and return."""

    def ask() -> None:
        with suppress(OSError):  # if the folder is away, nothing can be saved
            folder.request_stop(True)

    folder.request_stop(False)
    jobs.interruption.on_signal = ask
    try:
        yield
    finally:
        jobs.interruption.on_signal = lambda: None
        with suppress(OSError):
            folder.request_stop(False)


def reason_of(text: str) -> tuple[str, bool]:
    """Return a one-line reason from Ray's report of a failure, and whether the worker died."""
    lines = text.splitlines()
    died = re.search(r'Traceback|^ +File "', text, re.MULTILINE) is None  # exceptions have these
    if died:  # the report is a heading of Tune, the reason, and other possible causes
        return f"its worker died: {lines[1].strip()}" if len(lines) > 1 else "its worker died", died
    return lines[-1].strip(), died
