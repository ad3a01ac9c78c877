"""What executors run: jobs from a queue. A pack of networks is a job, and so is a search's trial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from data_utils.preparation import PreparedData
from study.run.folder import RunFolder
from study.run.interruption import Interruption


@dataclass(frozen=True)
class Workplace:
    """What every job of a run needs; workers on other machines get a copy."""

    data: PreparedData
    folder: RunFolder
    device: str = "cpu"
    checkpoint_seconds: float = 20.0


class Job(Protocol):
    """A piece of work for one worker."""

    @property
    def job_id(self) -> str:
        """Identifies the job within its queue."""

    @property
    def name(self) -> str:
        """What it trains, in words."""

    def run(
        self, workplace: Workplace, report: Callable[[dict], None], should_stop: Callable[[], bool]
    ) -> Any:
        """Do the work and return a small result; results proper go to the run folder.

        `report` gets the progress about once a second. When `should_stop` turns true, the job saves
        its state and returns.
        """


class Queue(Protocol):
    """Decides which job comes next, and what happens after each one; used by one thread of the driver."""

    @property
    def over(self) -> bool:
        """Whether no job waits or runs."""

    def next(self) -> Job | None:
        """Begin the next job; None if none waits, or all of them wait for a pause to end."""

    def reported(self, job: Job, progress: dict) -> None:
        """Take note of a job's progress."""

    def ended(self, job: Job, result: Any) -> None:
        """Take note of what `Job.run` returned."""

    def failed(self, job: Job, error: str, died: bool = False) -> None:
        """Take note of an exception, or (if `died`) of the worker's death."""


class Executor(Protocol):
    """Runs jobs: in this process (study/run/local.py) or on Ray Tune (study/run/tune.py)."""

    device: str

    def workers(self) -> int:
        """Jobs that run at the same time; waits until the workers are available."""

    def run_jobs(self, queue: Queue, workplace: Workplace, interruption: Interruption) -> None:
        """Run jobs until the queue is over or the run is interrupted."""
