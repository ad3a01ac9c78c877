"""One pack from start, or from its checkpoint, to its results; and all jobs in this process."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np
import torch

from data_utils.files import patiently
from models.config import MemberConfig
from models.training import PackTraining, Record
from study.run.folder import RunFolder
from study.run.jobs import Interruption, Queue, Workplace
from study.run.packs import Pack
from study.run.rows import DIVERGED, FINISHED, member_rows, metric_rows
from study.run.tensorboard import MemberLog, hparams

#: Seconds between progress reports.
REPORT_SECONDS = 1.0

#: TensorBoard's name of each measurement.
TAGS = {
    ("train", "loss"): "loss/train",
    ("validation", "mse"): "mse/validation",
    ("test", "mse"): "mse/test",
    ("validation", "mean_activation"): "code/mean_activation",
}


def run_pack(
    pack: Pack,
    workplace: Workplace,
    report: Callable[[dict], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
    judge: Callable[[PackTraining], bool] | None = None,
) -> bool:
    """Train a pack and leave its results in the folder. Returns False when `should_stop` ended it early.

    `report` gets the epoch and the best validation MSE so far with its member's name, about once a second;
    a checkpoint is written every `checkpoint_seconds` of training and before an early return.
    A search gives a `judge`, which is asked after every epoch but the last whether to go on (if not: False, too, and
    no results); its networks do not see the test rows and are not kept.
    """
    folder = workplace.folder
    known = folder.part(pack.pack_id) if judge is None else None
    if known is not None and len(known[0]) == len(
        pack.members
    ):  # its worker died in the moment after
        folder.drop_checkpoint(pack.pack_id)
        return True
    training = PackTraining(pack.members, workplace.data, workplace.device, tested=judge is None)
    checkpoint = folder.load_checkpoint(pack.pack_id)
    if checkpoint is not None:
        arrays, facts = checkpoint
        training.restore({name: torch.from_numpy(array) for name, array in arrays.items()}, facts)
    first_epoch = training.epoch
    board = Board(folder, training)
    patiently(board.flush, should_stop)
    saved = reported = time.monotonic()
    while not training.finished:
        ended = training.advance()
        now = time.monotonic()
        if ended and judge is not None and not training.finished and not judge(training):
            board.close()
            return False
        if should_stop() and not training.finished:
            with suppress(OSError):  # then the last one counts
                save(folder, pack, training)
            return False
        if now - saved > workplace.checkpoint_seconds:
            with suppress(OSError):  # the next may be kept; what must be is the result
                save(folder, pack, training)
                board.flush()
            saved = time.monotonic()
        if ended and now - reported > REPORT_SECONDS:
            report(progress(training, first_epoch))
            reported = now
    patiently(lambda: finish(pack, folder, training, board, kept=judge is None), should_stop)
    report(progress(training, first_epoch))
    return True


def finish(pack: Pack, folder: RunFolder, training: PackTraining, board: Board, kept: bool) -> None:
    """Write a trained pack's results, and its networks where they are `kept`."""
    folder.check()
    board.close()
    for k, member in enumerate(pack.members if kept else ()):
        folder.save_model(member, arrays_of(training.stack.member(k)))
    folder.finish_pack(pack.pack_id, member_rows(training), metric_rows(training))


def progress(training: PackTraining, first_epoch: int) -> dict:
    """Where a pack stands: epoch, where it went on from, and the best validation MSE with its member's name."""
    curve = [r for r in training.records if (r.split, r.metric) == ("validation", "mse")][-1].values
    finite = [(value, k) for k, value in enumerate(curve) if math.isfinite(value)]
    best, k = min(finite, default=(math.inf, 0))
    name = training.members[k].run_name
    return {
        "epoch": training.epoch,
        "first_epoch": first_epoch,
        "best_mse": best,
        "best_name": name,
    }


def save(folder: RunFolder, pack: Pack, training: PackTraining) -> None:
    """Write the pack's checkpoint."""
    member_ids = [member.member_id for member in pack.members]
    tensors, facts = training.state()
    folder.save_checkpoint(pack.pack_id, member_ids, arrays_of(tensors), facts)


def arrays_of(tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Tensors on the CPU as the numpy arrays that a run folder keeps."""
    return {name: tensor.numpy() for name, tensor in tensors.items()}


class Board:
    """The TensorBoard runs of a pack's members; what could not be written is made anew the next time."""

    def __init__(self, folder: RunFolder, training: PackTraining):
        self.folder, self.training, self.written = folder, training, 0
        self.logs: list[MemberLog] | None = None

    def flush(self) -> None:
        """Write what was measured since the last time. Raises OSError where that cannot be written."""
        try:
            if self.logs is None:
                self.folder.check()
                self.logs, self.written = [self._log(member) for member in self.training.members], 0
            records = [
                r for r in self.training.records[self.written :] if (r.split, r.metric) in TAGS
            ]
            for k, log in enumerate(self.logs):
                log.scalars(_rows(records, k))
            self.written = len(self.training.records)
        except OSError:
            self.logs = None
            raise

    def _log(self, member: MemberConfig) -> MemberLog:
        return MemberLog(self.folder.tensorboard, member.run_name, hparams(member))

    def close(self) -> None:
        """Write the rest, and how each member ended; no more can be added."""
        self.flush()
        logs, self.logs = self.logs, None
        for log, diverged in zip(logs, self.training.diverged_epoch, strict=True):
            log.close(FINISHED if diverged is None else DIVERGED)


def _rows(records: list[Record], k: int) -> list[tuple[int, str, float, float]]:
    return [(r.epoch, TAGS[r.split, r.metric], r.values[k], r.wall_time) for r in records]


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
