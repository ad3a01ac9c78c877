"""Packs in this process, one after the other, without Ray. The results are those of the workers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from study.run.attempts import Attempts
from study.run.interruption import Interruption
from study.run.worker import run_pack

if TYPE_CHECKING:
    from study.study import Study


@contextmanager
def local_executor(study: Study) -> Iterator[Callable[[Interruption], None]]:
    """Yields what trains the study's unfinished packs."""
    with one_thread():
        yield lambda interruption: train_packs(study, interruption)


@contextmanager
def one_thread() -> Iterator[None]:
    """As in the workers: results do not depend on a number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def train_packs(study: Study, interruption: Interruption) -> None:
    """Train the study's unfinished packs."""
    packs = study.unfinished(workers=1)
    with study.progress(packs) as line:
        attempts = Attempts(packs, study.folder, line)
        while not interruption and (pack := attempts.next()) is not None:
            try:
                whole = run_pack(
                    pack,
                    study.data,
                    study.folder,
                    study.device,
                    functools.partial(line.update, pack),
                    lambda: bool(interruption),
                    study.options.checkpoint_seconds,
                )
            except Exception as error:  # whatever it is, this pack alone has failed, as under Ray
                attempts.failed(pack, f"{type(error).__name__}: {error}")
            else:
                attempts.ended(pack, whole)
    study.failed(attempts)
