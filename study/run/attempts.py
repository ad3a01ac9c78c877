"""Which pack trains next, and what becomes of one that failed: retried, split in two, or given up."""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from study.run.folder import RunFolder
from study.run.jobs import Workplace
from study.run.packs import Pack
from study.run.progress import ProgressLine

#: Times a pack is tried again that raised; it starts to count anew when it has come on since its last try.
RETRIES = 2
#: The same for a pack whose worker died: most often that is none of its doing, so it is tried more often; for the
#: last time as a network by itself, which cannot be split.
RETRIES_AFTER_DEATH, LAST_RETRIES = 4, 8
#: Seconds before it is tried again: twice as many after each death without progress, up to the second number. What
#: kills workers may go on for a while.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 16.0
#: How Python, numpy, torch, CUDA and Ray's memory monitor say that there is no memory left.
NO_MEMORY = re.compile(
    r"MemoryError|can't allocate memory|Cannot allocate memory|CUDA out of memory|CUBLAS_STATUS_ALLOC_FAILED|"
    r"running low on memory"
)
#: Then no pack that comes after can be kept either.
FULL = re.compile(r"No space left on device|Disk quota exceeded")


@dataclass(frozen=True)
class PackJob:
    """Train a pack."""

    pack: Pack

    @property
    def job_id(self) -> str:
        """The pack's."""
        return self.pack.pack_id

    @property
    def name(self) -> str:
        """For example `44 networks from dense-4/noise-0.5/beta-0.01/seed-0`."""
        n_members = len(self.pack.members)
        return f"{n_members} network{'s'[: n_members > 1]} from {self.pack.members[0].run_name}"

    def run(
        self, workplace: Workplace, report: Callable[[dict], None], should_stop: Callable[[], bool]
    ) -> bool:
        """Train from the checkpoint, if any. Returns False if `should_stop` ended it early."""
        from study.run.worker import run_pack  # loads torch, which the driver does without

        return run_pack(self.pack, workplace, report, should_stop)


class Attempts:
    """The queue of packs: those that wait and those in training, and the `errors` of those given up.

    A pack without memory is split in two at once; a pack whose worker keeps dying is split after
    some tries, since the cause may be the kernel, which kills what takes too much memory, or one
    member. Splitting does not change a member's numbers. If the disk is full or the folder has
    gone for good, no other pack begins.
    """

    def __init__(
        self,
        packs: list[Pack],
        folder: RunFolder,
        line: ProgressLine,
        now: Callable[[], float] = time.monotonic,
    ):
        self.waiting = deque(PackJob(pack) for pack in packs)
        self.folder, self.line, self.now = folder, line, now
        self.not_before: dict[str, float] = {}
        self.begun: dict[str, object] = {}
        self.failures: Counter[str] = Counter()
        self.errors: list[tuple[Pack, str]] = []

    def next(self) -> PackJob | None:
        """The pack to train now; None if none waits, or all wait for a pause to end."""
        now = self.now()
        job = next(
            (job for job in self.waiting if self.not_before.get(job.job_id, now) <= now), None
        )
        if job is not None:
            self.waiting.remove(job)
            self.begun[job.job_id] = self.folder.standing(job.job_id)
        return job

    @property
    def over(self) -> bool:
        """Whether nothing waits or trains."""
        return not self.waiting and not self.begun

    def reported(self, job: PackJob, progress: dict) -> None:
        """Show how far the pack is."""
        self.line.update(job.pack, progress)

    def ended(self, job: PackJob, result: bool) -> None:
        """The pack is trained to its end (`result`), or was stopped."""
        del self.begun[job.job_id]
        if result:
            self.line.pack_done(job.pack)

    def failed(self, job: PackJob, error: str, died: bool = False) -> None:
        """The pack raised, or its worker died: now it waits again, or its halves, or it is given up."""
        again = self._again(job, error, died)
        if FULL.search(error) or self._gone():
            again = []
            self.waiting.clear()
        if not again:
            self.errors.append((job.pack, error))
        elif again != [job]:
            self.folder.drop_checkpoint(job.job_id)
            reason = "no memory left" if NO_MEMORY.search(error) else "its worker keeps dying"
            n_members = len(job.pack.members)
            self.line.split(
                job.pack,
                [half.pack for half in again],
                f"a pack of {n_members} networks is split in two: {reason}",
            )
        self.waiting.extendleft(reversed(again))

    def _gone(self) -> bool:
        try:
            self.folder.check()
        except OSError:
            return True
        return False

    def _again(self, job: PackJob, error: str, died: bool) -> list[PackJob]:
        job_id, alone = job.job_id, len(job.pack.members) == 1
        if self.folder.standing(job_id) not in (None, self.begun.pop(job_id)):
            self.failures[job_id] = 0
        self.failures[job_id] += 1
        if NO_MEMORY.search(error) and not alone:
            return halves(job)
        if not died:
            return [job] if self.failures[job_id] <= RETRIES else []
        if self.failures[job_id] > (LAST_RETRIES if alone else RETRIES_AFTER_DEATH):
            return halves(job)
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self.failures[job_id] - 1))
        self.not_before[job_id] = self.now() + pause
        return [job]


def halves(job: PackJob) -> list[PackJob]:
    """Jobs for the two halves of a pack; none for a single network."""
    members = job.pack.members
    middle = len(members) // 2
    return [PackJob(Pack(half)) for half in (members[:middle], members[middle:]) if middle]
