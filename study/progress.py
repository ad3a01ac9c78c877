"""One line that tells how far a study is: members done / all, elapsed, remaining, best so far."""

from __future__ import annotations

import math
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from study.packs import Pack, cost

#: Seconds between lines where the output is not a terminal.
QUIET_SECONDS = 30.0


class ProgressLine:
    """Counts work in training cost, so that the remaining time is right with packs of different size."""

    def __init__(self, packs: list[Pack], n_genes: int, members_done: int, members_all: int, console: Console):
        self.console = console
        self.works = {pack.pack_id: sum(cost(member, n_genes) for member in pack.members) for pack in packs}
        self.sizes = {pack.pack_id: len(pack.members) for pack in packs}
        self.epochs = {pack.pack_id: pack.members[0].epochs for pack in packs}
        self.shares = dict.fromkeys(self.works, 0.0)
        self.first_shares: dict[str, float] = {}
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

    def update(self, pack_id: str, progress: dict) -> None:
        """A pack has reached `progress["epoch"]`, having gone on from `progress["first_epoch"]`."""
        self.first_shares[pack_id] = progress["first_epoch"] / self.epochs[pack_id]
        self.shares[pack_id] = progress["epoch"] / self.epochs[pack_id]
        if progress["best_mse"] < self.best_mse:
            self.best_mse, self.best_name = progress["best_mse"], progress["best_name"]
        self._show()

    def pack_done(self, pack_id: str) -> None:
        """All members of a pack have ended."""
        self.shares[pack_id] = 1.0
        self.members_done += self.sizes[pack_id]
        self._show()

    def _share(self, shares: dict[str, float]) -> float:
        """Share of all work, when each pack has done its share."""
        done = sum(self.works[pack_id] * share for pack_id, share in shares.items())
        return done / sum(self.works.values()) if self.works else 1.0

    def text(self) -> str:
        """The line."""
        elapsed = time.monotonic() - self.started
        done, before = self._share(self.shares), self._share(self.first_shares)
        remaining = clock(elapsed * (1 - done) / (done - before)) if done > before else "-:--"
        parts = [f"{self.members_done}/{self.members_all} members", clock(elapsed), f"{remaining} left"]
        if self.best_name:
            parts.append(f"best {self.best_mse:.4f} {self.best_name}")
        return " · ".join(parts)

    def _show(self, force: bool = False) -> None:
        if self.console.is_terminal:
            self.live.update(self.task, completed=self._share(self.shares), description=self.text())
        elif force or time.monotonic() - self.last_line > QUIET_SECONDS:
            self.console.print(self.text(), soft_wrap=True, highlight=False, markup=False)
            self.last_line = time.monotonic()


def clock(seconds: float) -> str:
    """1:02:03 or 2:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
