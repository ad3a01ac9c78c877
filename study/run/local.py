"""Jobs in this process, one after the other, without Ray. Results are the same as on workers."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from study.run.interruption import Interruption
from study.run.jobs import Queue, Workplace


@dataclass(frozen=True)
class LocalExecutor:
    """Runs jobs in this process."""

    device: str = "cpu"

    def workers(self) -> int:
        """There is one."""
        return 1

    def run_jobs(self, queue: Queue, workplace: Workplace, interruption: Interruption) -> None:
        """Run jobs until none waits or the run is interrupted."""
        with one_thread():
            while not interruption and (job := queue.next()) is not None:
                try:
                    result = job.run(
                        workplace,
                        functools.partial(queue.reported, job),
                        lambda: bool(interruption),
                    )
                except Exception as error:  # only this job has failed, as under Ray
                    queue.failed(job, f"{type(error).__name__}: {error}")
                else:
                    queue.ended(job, result)


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread, as workers do: results must not depend on the thread count."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
