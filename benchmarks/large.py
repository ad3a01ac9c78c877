"""20,000 samples x 20,000 genes: peak memory of all processes and seconds per epoch."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.commands import MemoryWatch, run
from benchmarks.launched import say, study
from benchmarks.measure import Measurement
from benchmarks.memory import GB
from benchmarks.table import Row

EPOCHS = 2
#: Factors that the simulated genes share.
FACTORS = 50


def comparisons(repeats: int, quick: bool) -> Iterator[Row]:
    """Train each depth at 2 noise factors in one run of some minutes (quick: 4,000 x 4,000)."""
    import pandas as pd

    size = 4_000 if quick else 20_000
    watch = MemoryWatch()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        say(f"large: writing {size:,} x {size:,} values")
        write_values(folder / "large.npz", size, size)
        options = ("--data", str(folder / "large.npz"), "--all-genes")
        ended = run(study(folder, "few_cells", EPOCHS, *options), watch)
        members = pd.read_parquet(folder / "run" / "members.parquet")
    seconds = members["seconds"] / members["epochs"]
    work = f"{size:,} x {size:,} simulated values: {len(members)} dense networks, {EPOCHS} epochs"
    details = {
        "seconds_from_launch_to_exit": ended.seconds,
        **seconds.groupby(members["model"]).mean().to_dict(),
    }
    yield Measurement(
        "larger data, memory",
        f"{work}; peak of all processes, shared pages once",
        "GB",
        (watch.total / GB,),
        "within 8 GB",
    )
    note = ", ".join(
        f"{model} {mean:.3g}" for model, mean in seconds.groupby(members["model"]).mean().items()
    )
    work = f"{work}; an epoch of a network with its measurements, on one core"
    yield Measurement("larger data, time", work, "s", (float(seconds.mean()),), "", note, details)


def write_values(path: Path, n_samples: int, n_genes: int) -> None:
    """Write an npz file of (samples, genes) float32 around 8, log2: low rank plus noise."""
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((n_samples, FACTORS), dtype=np.float32)
    values = scores @ rng.standard_normal((FACTORS, n_genes), dtype=np.float32)
    values /= np.float32(FACTORS**0.5)
    for start in range(0, n_samples, 1000):  # noise of all samples at once would double the memory
        rows = values[start : start + 1000]
        rows += 0.5 * rng.standard_normal(rows.shape, dtype=np.float32)
        rows += 8
    names = {
        "sample_ids": [f"sample-{i}" for i in range(n_samples)],
        "gene_ids": [f"gene-{i}" for i in range(n_genes)],
    }
    np.savez(path, values=values, **{key: np.array(ids) for key, ids in names.items()})
