"""The queue of packs to train, what happens to a pack that failed, and the progress line."""

from __future__ import annotations

import math
import re
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from study.run.folder import RunFolder
from study.run.jobs import Workplace
from study.run.packs import Pack, cost

#: How often a pack that raised an exception is tried again. The count resets with its progress.
RETRIES = 2
#: How often a pack is tried again if its worker died, which is rarely the pack's fault; the second
#: number is for a single network, which cannot be split.
RETRIES_AFTER_DEATH, LAST_RETRIES = 4, 8
#: Seconds until a pack whose worker died is tried again, doubled after each death without progress,
#: up to the second number: the cause may last a while.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 16.0
#: How Python, numpy, torch, CUDA and Ray's memory monitor report that no memory is left.
NO_MEMORY = re.compile(
    "MemoryError|can't allocate memory|Cannot allocate memory|CUDA out of memory|"
    "CUBLAS_STATUS_ALLOC_FAILED|running low on memory"
)
#: Errors after which no other pack's results can be written either.
FULL = re.compile("No space left on device|Disk quota exceeded")
#: Seconds between lines if the output is not a terminal.
QUIET_SECONDS = 30.0


@dataclass(frozen=True)
class PackJob:
    """The job of training one pack."""

    pack: Pack

    @property
    def job_id(self) -> str:
        """The pack's id."""
        return self.pack.pack_id

    @property
    def name(self) -> str:
        """Name it, for example `44 networks from dense-4/noise-0.5/beta-0.01/seed-0`."""
        n_members = len(self.pack.members)
        return f"{n_members} network{'s'[: n_members > 1]} from {self.pack.members[0].run_name}"

    def run(
        self, workplace: Workplace, report: Callable[[dict], None], should_stop: Callable[[], bool]
    ) -> bool:
        """Train from the checkpoint, if any. Returns False if `should_stop` ended it early."""
        from study.run.worker import run_pack  # loads torch, which the driver does without

        return run_pack(self.pack, workplace, report, should_stop)

    def halves(self) -> list[PackJob]:
        """Return jobs for the two halves of the pack; none for a single network."""
        members = self.pack.members
        middle = len(members) // 2
        return [PackJob(Pack(half)) for half in (members[:middle], members[middle:]) if middle]


class Attempts:
    """The queue of packs: those that wait, those in training, and the `errors` of those given up.

    A pack that runs out of memory is split in two at once. A pack whose worker keeps dying is split
    after some tries, since the kernel may kill it for its memory, or one member may be the cause.
    Splitting does not change a member's numbers. If the disk is full or the folder is gone, no
    other pack begins.
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
        """Begin the next pack; None if none waits, or all wait for a pause to end."""
        now = self.now()
        job = next((j for j in self.waiting if self.not_before.get(j.job_id, now) <= now), None)
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
        """Remove a pack that has finished (`result` is true) or was stopped from those begun."""
        del self.begun[job.job_id]
        if result:
            self.line.pack_done(job.pack)

    def failed(self, job: PackJob, error: str, died: bool = False) -> None:
        """Put the pack, or its halves, back into the queue, or give it up."""
        again = self._again(job, error, died)
        if FULL.search(error) or not self.folder.exists():
            again = []
            self.waiting.clear()
        if not again:
            self.errors.append((job.pack, error))
        elif again != [job]:
            self.folder.drop_checkpoint(job.job_id)
            reason = "no memory left" if NO_MEMORY.search(error) else "its worker keeps dying"
            self.line.split(job.pack, [half.pack for half in again], reason)
        self.waiting.extendleft(reversed(again))

    def _again(self, job: PackJob, error: str, died: bool) -> list[PackJob]:
        job_id, alone = job.job_id, len(job.pack.members) == 1
        if self.folder.standing(job_id) not in (None, self.begun.pop(job_id)):
            self.failures[job_id] = 0
        self.failures[job_id] += 1
        if NO_MEMORY.search(error) and not alone:
            return job.halves()
        if not died:
            return [job] if self.failures[job_id] <= RETRIES else []
        if self.failures[job_id] > (LAST_RETRIES if alone else RETRIES_AFTER_DEATH):
            return job.halves()
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self.failures[job_id] - 1))
        self.not_before[job_id] = self.now() + pause
        return [job]


class ProgressLine:
    """The progress of a study: members done, time elapsed and remaining, best error so far.

    Work is counted in training cost, so that the remaining time is right for packs of any size.
    """

    def __init__(
        self, packs: list[Pack], n_genes: int, members_done: int, members_all: int, console: Console
    ):
        self.console, self.n_genes = console, n_genes
        #: Each pack's work, the share of it done before this run, and the share done now.
        self.packs: dict[str, tuple[float, float, float]] = {}
        self._add(packs)
        self.members_done, self.members_all = members_done, members_all
        self.best_mse, self.best_name = math.inf, ""
        self.started = self.last_line = time.monotonic()
        columns = (BarColumn(bar_width=12), TextColumn("{task.description}"))
        self.live = Progress(*columns, console=console, refresh_per_second=2)
        self.task = self.live.add_task(self.text(), total=1.0)

    def __enter__(self) -> ProgressLine:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._show(force=True)
        if self.console.is_terminal:
            self.live.stop()  # elsewhere it would print an empty line

    def update(self, pack: Pack, progress: dict) -> None:
        """Show the epoch that a pack has reached, and the best error so far."""
        epochs, (work, *_) = pack.members[0].epochs, self.packs[pack.pack_id]
        shares = progress["first_epoch"] / epochs, progress["epoch"] / epochs
        self.packs[pack.pack_id] = work, *shares
        if progress["best_mse"] < self.best_mse:
            self.best_mse, self.best_name = progress["best_mse"], progress["best_name"]
        self._show()

    def pack_done(self, pack: Pack) -> None:
        """Count all members of a pack as done."""
        self.packs[pack.pack_id] = *self.packs[pack.pack_id][:2], 1.0
        self.members_done += len(pack.members)
        self._show()

    def split(self, pack: Pack, parts: list[Pack], reason: str) -> None:
        """Replace a pack by its parts, which train from the start, and print the reason."""
        del self.packs[pack.pack_id]
        self._add(parts)
        n_members = len(pack.members)
        say(self.console, f"a pack of {n_members} networks is split in two: {reason}")

    @property
    def share(self) -> float:
        """The share of the work that is done."""
        work = sum(work for work, _, _ in self.packs.values())
        return sum(work * done for work, _, done in self.packs.values()) / work if work else 1.0

    def text(self) -> str:
        """Return the text of the progress line."""
        elapsed = time.monotonic() - self.started
        left = sum(work * (1 - done) for work, _, done in self.packs.values())
        new = sum(work * (done - first) for work, first, done in self.packs.values())
        remaining = clock(elapsed * left / new) if new > 0 else "-:--"
        members = f"{self.members_done}/{self.members_all} members"
        best = f" · best {self.best_mse:.4f} {self.best_name}" if self.best_name else ""
        return f"{members} · {clock(elapsed)} · {remaining} left{best}"

    def _add(self, packs: list[Pack]) -> None:
        for pack in packs:
            work = sum(cost(member, self.n_genes) for member in pack.members)
            self.packs[pack.pack_id] = work, 0.0, 0.0

    def _show(self, force: bool = False) -> None:
        if self.console.is_terminal:
            self.live.update(self.task, completed=self.share, description=self.text())
        elif force or time.monotonic() - self.last_line > QUIET_SECONDS:
            say(self.console, self.text())
            self.last_line = time.monotonic()


def say(console: Console, text: str) -> None:
    """Print text on the screen as it is, as one line."""
    console.print(text, soft_wrap=True, highlight=False, markup=False)


def clock(seconds: float) -> str:
    """Write a duration as 1:02:03 or 2:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
