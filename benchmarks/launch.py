"""Time of a whole grid from launch to exit, against one Ray Tune trial per configuration."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from benchmarks.grids import NETWORKS
from benchmarks.launched import Launched, compared, study, study_mse, turns
from benchmarks.table import Row

DEFAULTS = "Ray Tune, a trial per network, its defaults"
AT_BEST = "Ray Tune, a trial per network, at its best"


def comparisons(repeats: int, quick: bool) -> Iterator[Row]:
    """Compare 10 epochs of the 44 cells with Tune, with its defaults and at its best.

    `quick` takes less work and has no target.
    """
    grid, epochs = ("few_cells", 2) if quick else ("cells", 10)
    ours, default, reuse = (
        _ours(grid, epochs),
        _peer("default", grid, epochs),
        _peer("reuse", grid, epochs),
    )

    def rows() -> Iterator[Row]:
        yield compared(
            DEFAULTS, _work(grid, epochs), "s wall", ours, default, None if quick else 8.0
        )
        yield compared(AT_BEST, _work(grid, epochs), "s wall", ours, reuse, None if quick else 1.6)

    yield from turns(repeats, [ours, reuse, default], rows)


def comparisons_of_50_epochs(repeats: int, quick: bool) -> Iterator[Row]:
    """Compare 50 epochs of the 44 cells with Tune at its best; quick: 5 epochs, no target."""
    epochs = 5 if quick else 50
    ours, reuse = _ours("cells", epochs), _peer("reuse", "cells", epochs)

    def rows() -> Iterator[Row]:
        yield compared(
            AT_BEST, _work("cells", epochs), "s wall", ours, reuse, None if quick else 2.0
        )

    yield from turns(repeats, [ours, reuse], rows)


def _work(grid: str, epochs: int) -> str:
    return f"{NETWORKS[grid]}, one seed, {epochs} epochs, launch to exit"


def _ours(grid: str, epochs: int) -> Launched:
    return Launched("this project", lambda folder: study(folder, grid, epochs), study_mse)


def _peer(kind: str, grid: str, epochs: int) -> Launched:
    def words(folder: Path) -> list[str]:
        options = ["--grid", grid, "--epochs", str(epochs), "--out", str(folder / "peer.json")]
        return [sys.executable, "-m", "benchmarks.tune_peers", kind, *options]

    def mse(folder: Path) -> float:
        return fmean(cell["val_mse"] for cell in json.loads((folder / "peer.json").read_text()))

    return Launched(f"Tune ({kind})", words, mse)
