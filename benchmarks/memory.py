"""Peak memory of a worker that trains the largest pack: 44 networks of 8 layers on 2,921 x 943."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.commands import MemoryWatch, run
from benchmarks.launched import study
from benchmarks.measure import Measurement
from benchmarks.table import Row

GB = 1e9


def comparisons(repeats: int, quick: bool) -> Iterator[Row]:
    """Measure the peak resident set of a worker and its unshared part, in one run.

    Repeats are not needed, since memory hardly differs between runs.
    """
    watch = MemoryWatch()
    epochs = 1 if quick else 3
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        run(study(Path(folder), "deep_pack", epochs, "--pack", "44", "--workers", "1"), watch)
    worker = watch.largest_worker()
    if worker is None:
        raise RuntimeError("no process called itself a Ray worker")
    note = (
        f"{worker.proportional / GB:.2f} GB with shared pages divided among their users, "
        f"{worker.unique / GB:.2f} GB its own alone; "
        f"all processes together {watch.total / GB:.2f} GB"
    )
    details = {
        "proportional": worker.proportional / GB,
        "unique": worker.unique / GB,
        "all": watch.total / GB,
    }
    work = (
        "peak resident set of a worker: 44 x 8 layers on 2,921 x 943, "
        f"{epochs} epoch{'s' * (epochs > 1)}"
    )
    yield Measurement("memory", work, "GB", (worker.resident / GB,), "below 1.5 GB", note, details)
