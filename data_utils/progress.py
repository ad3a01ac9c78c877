"""What a download shows: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from data_utils import download

#: Seconds between lines where the output is not a terminal.
QUIET_SECONDS = 30.0


class Show:
    """Tells of what is being fetched, on stderr unless another console is given."""

    def __init__(self, console: Console | None = None):
        self.console = console or Console(stderr=True)

    def line(self, text: str) -> None:
        """A line, as it is."""
        self.console.print(text, soft_wrap=True, highlight=False, markup=False)

    @contextmanager
    def progress(self, name: str) -> Iterator[download.Progress]:
        """Yields what is told of each piece of the file `name`: the bytes there are, and those of the whole."""
        if not self.console.is_terminal:
            yield self._lines(name)
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(20),
            DownloadColumn(),
            TransferSpeedColumn(),
        )
        with Progress(*columns, TimeRemainingColumn(), console=self.console) as bar:
            task = bar.add_task(
                name if len(name) <= 30 else f"{name[:12]}...{name[-15:]}", total=None
            )
            yield lambda done, whole: bar.update(task, completed=done, total=whole)

    def _lines(self, name: str) -> download.Progress:
        last = -QUIET_SECONDS

        def tell(done: int, whole: int | None) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= QUIET_SECONDS or done == whole:
                last = now
                self.line(
                    f"fetching {name}: {done / 1e6:,.1f}{'' if whole is None else f' of {whole / 1e6:,.1f}'} MB"
                )

        return tell
