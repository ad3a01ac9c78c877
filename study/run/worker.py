"""Training one pack from its start or checkpoint to its results, and running jobs in-process."""

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
from data_utils.preparation import PreparedData
from models.config import MemberConfig
from models.training import PackTraining, Training
from study.run.folder import Part, RunFolder
from study.run.jobs import Interruption, Queue, Workplace
from study.run.packs import Pack
from study.run.rows import DIVERGED, FINISHED, member_rows, metric_rows, sample_rows
from study.run.tensorboard import TAGS, MemberLog, hparams

#: Seconds between progress reports.
REPORT_SECONDS = 1.0


def training_of(
    members: tuple[MemberConfig, ...],
    data: Callable[[int], PreparedData],
    device: str = "cpu",
    tested: bool = True,
) -> Training:
    """Begin the fit of a pack, whose members are either all networks or all mixtures."""
    if members[0].is_mixture:
        from models.denoisers.mixture_fit import MixtureFit  # scikit-learn takes a second to load

        return MixtureFit(members, data, device, tested)
    return PackTraining(members, data, device, tested)


def run_pack(
    pack: Pack,
    workplace: Workplace,
    report: Callable[[dict], None] = lambda progress: None,
    should_stop: Callable[[], bool] = lambda: False,
    judge: Callable[[Training], bool] | None = None,
) -> bool:
    """Train a pack and write its results to the folder; return False if it was ended early.

    `report` gets the pack's progress about once a second. A checkpoint is written every
    `checkpoint_seconds` of training, and when `should_stop` ends it early. A search gives a
    `judge`, which decides after every epoch except the last whether the pack continues (if not, no
    results are written); its networks do not see the test rows and are not saved.
    """
    folder = workplace.folder
    known = folder.part(pack.pack_id) if judge is None else None
    if known is not None and len(known.members) == len(pack.members):  # its worker died afterwards
        folder.drop_checkpoint(pack.pack_id)
        return True
    data, device = workplace.data.data, workplace.device
    training = training_of(pack.members, data, device, tested=judge is None)
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
            with suppress(OSError):  # the previous checkpoint remains
                save(folder, pack, training)
            return False
        if now - saved > workplace.checkpoint_seconds:
            with suppress(OSError):  # the next checkpoint may succeed; only the result must
                save(folder, pack, training)
                board.flush()
            saved = time.monotonic()
        if ended and now - reported > REPORT_SECONDS:
            report(progress(training, first_epoch))
            reported = now

    def end() -> None:
        finish(pack, workplace, training, board, kept=judge is None)

    patiently(end, should_stop)
    report(progress(training, first_epoch))
    return True


def finish(pack: Pack, workplace: Workplace, training: Training, board: Board, kept: bool) -> None:
    """Write a trained pack's results, and its networks if they are `kept`."""
    folder = workplace.folder
    folder.check()
    board.close()
    for k, member in enumerate(pack.members if kept else ()):
        folder.save_model(member, arrays_of(training.parameters(k)))
    samples = sample_rows(training, workplace.data)
    folder.finish_pack(pack.pack_id, Part(member_rows(training), metric_rows(training), samples))


def progress(training: Training, first_epoch: int) -> dict:
    """Return the epoch, the first epoch of this attempt, and the best network's validation MSE."""
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


def save(folder: RunFolder, pack: Pack, training: Training) -> None:
    """Write the pack's checkpoint."""
    member_ids = [member.member_id for member in pack.members]
    tensors, facts = training.state()
    folder.save_checkpoint(pack.pack_id, member_ids, arrays_of(tensors), facts)


def arrays_of(tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Return tensors on the CPU as the numpy arrays that a run folder keeps."""
    return {name: tensor.numpy() for name, tensor in tensors.items()}


class Board:
    """The TensorBoard runs of a pack's members, written again from the start after a failure."""

    def __init__(self, folder: RunFolder, training: Training):
        self.folder, self.training, self.written = folder, training, 0
        self.logs: list[MemberLog] = []

    def flush(self) -> None:
        """Write the measurements since the last call. Raises OSError if that fails."""
        try:
            if not self.logs:
                self.folder.check()
                self.written = 0
                self.logs = [
                    MemberLog(self.folder.tensorboard, member.run_name, hparams(member))
                    for member in self.training.members
                ]
            new = self.training.records[self.written :]
            shown = [(r, TAGS[r.split, r.metric]) for r in new if (r.split, r.metric) in TAGS]
            for k, log in enumerate(self.logs):
                log.scalars([(r.epoch, tag, r.values[k], r.wall_time) for r, tag in shown])
            self.written = len(self.training.records)
        except OSError:
            self.logs = []
            raise

    def close(self) -> None:
        """Write the remaining measurements and each member's status, and close the runs."""
        self.flush()
        logs, self.logs = self.logs, []
        for log, diverged in zip(logs, self.training.diverged_epoch, strict=True):
            log.close(FINISHED if diverged is None else DIVERGED)


@dataclass(frozen=True)
class LocalExecutor:
    """An executor in this process, which runs one job at a time with the same results as Ray."""

    device: str = "cpu"

    def workers(self) -> int:
        """Return 1, the number of jobs that run at the same time."""
        return 1

    def run_jobs(self, queue: Queue, workplace: Workplace, interruption: Interruption) -> None:
        """Run jobs until none waits or the run is interrupted."""
        with one_thread():
            while not interruption and (job := queue.next()) is not None:
                report = functools.partial(queue.reported, job)
                try:
                    result = job.run(workplace, report, lambda: bool(interruption))
                except Exception as error:  # as under Ray, other jobs continue
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
