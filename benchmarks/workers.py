"""Parallel efficiency: the training part of a run with one worker, and with two."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from benchmarks.commands import Ended
from benchmarks.grids import NETWORKS
from benchmarks.launched import Launched, compared, study, study_mse, turns
from benchmarks.table import LeftOut, Row
from benchmarks.wall_times import training_seconds

NAME = "itself with 1 worker"


def comparisons(repeats: int, quick: bool) -> Iterator[Row]:
    """Compare training seconds with 1 worker and twice those with 2; quick: less, no target."""
    grid, epochs = ("few_cells", 6) if quick else ("cells", 10)
    work = f"2 workers: {NETWORKS[grid]}, {epochs} epochs, training part; parallel efficiency"
    if len(os.sched_getaffinity(0)) < 2:
        yield LeftOut(NAME, work, "this machine has 1 core")
        return
    one, two = _run(1, grid, epochs), _run(2, grid, epochs)

    def rows() -> Iterator[Row]:
        yield compared(
            NAME, work, "s x workers", two, one, target=None if quick else 0.9, factor=2.0
        )

    yield from turns(repeats, [two, one], rows)


def _run(workers: int, grid: str, epochs: int) -> Launched:
    def cost(ended: Ended, folder: Path) -> float:
        packs = len(list((folder / "run" / "parts").glob("*.members.parquet")))
        if packs < 2 * workers:
            raise RuntimeError(f"{packs} packs are too few for {workers} workers")
        return training_seconds(folder / "run")

    return Launched(
        f"{workers} worker{'s' * (workers > 1)}",
        lambda folder: study(folder, grid, epochs, "--workers", str(workers)),
        study_mse,
        cost,
    )
