"""Seconds from the launch of the command to the end of the first epoch of any network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.commands import Ended
from benchmarks.launched import Launched, study, study_mse, turns
from benchmarks.measure import Measurement
from benchmarks.table import LeftOut, Row
from benchmarks.wall_times import first_epoch

#: The networks of `--grid smoke`, trained for one epoch, since only the first one counts here.
GRID, EPOCHS = "smoke", 1


def comparisons(repeats: int, quick: bool) -> Iterator[Row]:
    """Measure with and without Ray, each after one launch that brings its files into the cache."""
    with_ray, local = _run("with Ray"), _run("with --local", "--local")

    def rows() -> Iterator[Row]:
        for run, aim in ((with_ray, "under 8 s"), (local, "under 3 s")):
            name = f"start-up, {run.label}"
            work = f"--grid {GRID}: launch to the end of the first epoch; warm"
            values = tuple(run.costs[0 if quick else 1 :])  # at the first, files are not cached
            if values:
                yield Measurement(name, work, "s", values, aim)
            else:
                yield LeftOut(name, work, run.failure or "interrupted before it ended")

    yield from turns(repeats if quick else repeats + 1, [with_ray, local], rows)


def _run(label: str, *options: str) -> Launched:
    def cost(ended: Ended, folder: Path) -> float:
        return first_epoch(folder / "run") - ended.started

    return Launched(label, lambda folder: study(folder, GRID, EPOCHS, *options), study_mse, cost)
