"""Which pack trains next, and what becomes of one that failed: tried again, split in two, or given up. No Ray here."""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from study.run.packs import Pack

if TYPE_CHECKING:
    from study.run.folder import RunFolder
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


class Attempts:
    """The packs that wait and those in training, how often each has failed, and the `errors` of those given up.

    A pack without memory is split in two at once, one whose worker dies again and again after some tries: the cause
    may be the kernel, which kills what takes too much memory, or one member. Packs do not change a member's numbers.
    Where the disk is full, or the folder has gone for good, no other pack begins.
    """

    def __init__(
        self,
        packs: list[Pack],
        folder: RunFolder,
        line: ProgressLine,
        now: Callable[[], float] = time.monotonic,
    ):
        self.waiting, self.folder, self.line, self.now = deque(packs), folder, line, now
        self.not_before: dict[str, float] = {}
        self.begun: dict[str, object] = {}
        self.failures: Counter[str] = Counter()
        self.errors: list[tuple[Pack, str]] = []

    def next(self) -> Pack | None:
        """The pack to train now; None where none waits, or all wait for a pause to end. Then it is in training."""
        now = self.now()
        pack = next(
            (pack for pack in self.waiting if self.not_before.get(pack.pack_id, now) <= now), None
        )
        if pack is not None:
            self.waiting.remove(pack)
            self.begun[pack.pack_id] = self.folder.standing(pack.pack_id)
        return pack

    @property
    def over(self) -> bool:
        """Whether nothing waits or trains."""
        return not self.waiting and not self.begun

    def ended(self, pack: Pack, whole: bool) -> None:
        """It is trained to its end, or was stopped."""
        if self.begun.pop(pack.pack_id, self) is not self and whole:
            self.line.pack_done(pack)

    def failed(self, pack: Pack, error: str, died: bool = False) -> None:
        """It raised, or its worker died: from now on the pack itself waits, or its halves, or it is given up."""
        again = self._again(pack, error, died)
        if FULL.search(error) or self._gone():
            again = []
            self.waiting.clear()
        if not again:
            self.errors.append((pack, error))
        elif again != [pack]:
            self.folder.drop_checkpoint(pack.pack_id)
            reason = (
                "no memory left" if NO_MEMORY.search(error) else "its worker died again and again"
            )
            self.line.split(
                pack, again, f"a pack of {len(pack.members)} networks is split in two: {reason}"
            )
        self.waiting.extendleft(reversed(again))

    def _gone(self) -> bool:
        try:
            self.folder.check()
        except OSError:
            return True
        return False

    def _again(self, pack: Pack, error: str, died: bool) -> list[Pack]:
        pack_id = pack.pack_id
        if self.folder.standing(pack_id) not in (None, self.begun.pop(pack_id, None)):
            self.failures[pack_id] = 0
        self.failures[pack_id] += 1
        if NO_MEMORY.search(error) and len(pack.members) > 1:
            return halves(pack)
        if not died:
            return [pack] if self.failures[pack_id] <= RETRIES else []
        if self.failures[pack_id] > (
            RETRIES_AFTER_DEATH if len(pack.members) > 1 else LAST_RETRIES
        ):
            return halves(pack)
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self.failures[pack_id] - 1))
        self.not_before[pack_id] = self.now() + pause
        return [pack]


def halves(pack: Pack) -> list[Pack]:
    """The pack in two; nothing where it is a single network."""
    middle = len(pack.members) // 2
    return [Pack(pack.members[:middle]), Pack(pack.members[middle:])] if middle else []
