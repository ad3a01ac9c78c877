"""Protocols of jobs, queues and executors, and the interruption of a run by signals.

An executor runs the jobs of a queue until the queue is over or a signal interrupts it. Training a
pack of networks is a job, and so is a trial of a search.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

from data_utils.preparation import Replicates
from study.run.folder import RunFolder


@dataclass(frozen=True)
class Workplace:
    """The data, folder and device that every job of a run needs; remote workers get a copy."""

    data: Replicates
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
        """A description of what the job trains."""

    def run(
        self, workplace: Workplace, report: Callable[[dict], None], should_stop: Callable[[], bool]
    ) -> Any:
        """Do the work, write its results to the run folder and return a small summary.

        `report` is called with the progress about once a second. Once `should_stop` returns true,
        the job saves its state and returns.
        """


class Queue(Protocol):
    """A queue of jobs of one class, which decides what happens after each one."""

    @property
    def over(self) -> bool:
        """Whether no job waits or runs."""

    def next(self) -> Job | None:
        """Begin the next job; None if none waits, or all of them wait for a pause to end."""

    def reported(self, job: Any, progress: dict) -> None:
        """Handle a job's progress."""

    def ended(self, job: Any, result: Any) -> None:
        """Handle the result of `Job.run`."""

    def failed(self, job: Any, error: str, died: bool = False) -> None:
        """Handle an exception of a job or, if `died`, the death of its worker."""


class Executor(Protocol):
    """A place to run jobs: this process (study/run/worker.py) or Ray Tune (study/run/tune.py)."""

    @property
    def device(self) -> str:
        """The device of the jobs: cpu or cuda."""

    def workers(self) -> int:
        """Wait for the workers, and return how many jobs run at the same time."""

    def run_jobs(self, queue: Queue, workplace: Workplace, interruption: Interruption) -> None:
        """Run jobs until the queue is over or the run is interrupted."""


class Interruption:
    """A context that keeps SIGINT (Ctrl-C) or SIGTERM in `number` and calls `on_signal`.

    A second signal raises KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.on_signal: Callable[[], None] = lambda: None

    def __enter__(self) -> Interruption:
        self._previous = {
            number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)
        }
        self.take_over()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def __bool__(self) -> bool:
        return self.number is not None

    def take_over(self) -> None:
        """Reinstall our handlers: ray.init replaces them."""
        for number in self._previous:
            signal.signal(number, self._note)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Raise KeyboardInterrupt at the first signal, while there is nothing to save yet."""

        def stop() -> None:
            raise KeyboardInterrupt(self.number)

        self.on_signal = stop
        try:
            if self:
                stop()
            yield
        finally:
            self.on_signal = lambda: None

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            raise KeyboardInterrupt(number)
        self.number = number
        self.on_signal()
