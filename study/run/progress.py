"""One line that tells how far a study is: members done / all, elapsed, remaining, best so far."""

from __future__ import annotations

import math
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from study.run.packs import Pack, cost

#: Seconds between lines where the output is not a terminal.
QUIET_SECONDS = 30.0


def say(console: Console, text: str) -> None:
    """Print text on the screen as it is, as one line."""
    console.print(text, soft_wrap=True, highlight=False, markup=False)


class ProgressLine:
    """Counts work in training cost, so that the remaining time is right with packs of different size."""

    def __init__(
        self, packs: list[Pack], n_genes: int, members_done: int, members_all: int, console: Console
    ):
        self.console = console
        self.n_genes = n_genes
        self.works: dict[str, float] = {}
        self.shares: dict[str, float] = {}
        self.first_shares: dict[str, float] = {}
        self.work = self.done = self.before = (
            0.0  # sums over packs: all, reached, and found when they began
        )
        for pack in packs:
            self._add(pack)
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

    def __exit__(self, *_) -> None:
        self._show(force=True)
        if self.console.is_terminal:
            self.live.stop()  # elsewhere it would print an empty line

    def _add(self, pack: Pack) -> None:
        self.works[pack.pack_id] = sum(cost(member, self.n_genes) for member in pack.members)
        self.work += self.works[pack.pack_id]
        self.shares[pack.pack_id] = self.first_shares[pack.pack_id] = 0.0

    def _reached(self, pack: Pack, share: float, first: float) -> None:
        """Sums are kept up to date, not made anew: a run may have ten thousand packs."""
        work, pack_id = self.works[pack.pack_id], pack.pack_id
        self.done += work * (share - self.shares[pack_id])
        self.before += work * (first - self.first_shares[pack_id])
        self.shares[pack_id], self.first_shares[pack_id] = share, first

    def update(self, pack: Pack, progress: dict) -> None:
        """A pack has reached `progress["epoch"]`, having gone on from `progress["first_epoch"]`."""
        epochs = pack.members[0].epochs
        self._reached(pack, progress["epoch"] / epochs, progress["first_epoch"] / epochs)
        if progress["best_mse"] < self.best_mse:
            self.best_mse, self.best_name = progress["best_mse"], progress["best_name"]
        self._show()

    def pack_done(self, pack: Pack) -> None:
        """All members of a pack have ended."""
        self._reached(pack, 1.0, self.first_shares[pack.pack_id])
        self.members_done += len(pack.members)
        self._show()

    def split(self, pack: Pack, parts: list[Pack], reason: str) -> None:
        """Others are trained in a pack's place, from the start."""
        self._reached(pack, 0.0, 0.0)
        self.work -= self.works.pop(pack.pack_id)
        for part in parts:
            self._add(part)
        say(self.console, reason)

    def text(self) -> str:
        """The line."""
        elapsed, new = time.monotonic() - self.started, self.done - self.before
        remaining = (
            clock(elapsed * max(0.0, self.work - self.done) / new)
            if new > 1e-9 * self.work
            else "-:--"
        )
        parts = [
            f"{self.members_done}/{self.members_all} members",
            clock(elapsed),
            f"{remaining} left",
        ]
        if self.best_name:
            parts.append(f"best {self.best_mse:.4f} {self.best_name}")
        return " · ".join(parts)

    def _show(self, force: bool = False) -> None:
        if self.console.is_terminal:
            self.live.update(
                self.task,
                completed=self.done / self.work if self.work else 1.0,
                description=self.text(),
            )
        elif force or time.monotonic() - self.last_line > QUIET_SECONDS:
            say(self.console, self.text())
            self.last_line = time.monotonic()


def clock(seconds: float) -> str:
    """1:02:03 or 2:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
