"""A member's cost at the end and beginning of a large run: `python -m tests.faults.scale`.

CPU seconds, since a machine is not always ours alone; few epochs on tiny data, so that what is not
training shows.
Not a test itself.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import run_study
from study.run import worker
from study.search.search import Search
from tests.small import expression_file

GRID = '''"""A hundred noise factors and a hundred seeds."""
from models.config import MemberConfig, Phase

def large(narrowing):
    noise = [round(0.01 * i, 2) for i in range(100)]
    seeds = range({n_seeds})
    return [MemberConfig("dense-4x4", (Phase((a,), 1),), seed) for seed in seeds for a in noise]
'''


def ruler() -> float:
    """CPU seconds of a fixed piece of work like a run's: the machine's changing speed."""
    begun, matrix = time.process_time(), np.ones((100, 100), np.float32)
    for _ in range(20):
        matrix = np.tanh(matrix @ matrix)
        json.loads(json.dumps({f"name {i}": [i, str(i), i / 7] for i in range(100)}))
    return time.process_time() - begun


@contextlib.contextmanager
def noting(owner: object, name: str, size: Callable):
    """Record at each end of `owner.name`: CPU seconds since the last, argument size, the ruler."""
    original, notes, since = getattr(owner, name), [], []

    def noted(*arguments, **further):
        if not since:
            since.append(time.process_time())
        result = original(*arguments, **further)
        notes.append((time.process_time() - since[0], size(*arguments), ruler()))
        since[0] = time.process_time()
        return result

    setattr(owner, name, noted)
    try:
        yield notes
    finally:
        setattr(owner, name, original)


def tenths(notes: list[tuple[float, int, float]]) -> list[float]:
    """CPU milliseconds per member or trial in each tenth of a run, at the machine's mean speed."""
    usual = np.mean([ruled for *_, ruled in notes])
    ends = np.cumsum([n for _, n, _ in notes])
    parts = np.ceil(10 * ends / ends[-1]).astype(int)
    costs = []
    for part in range(1, 11):
        within = [note for note, where in zip(notes, parts, strict=True) if where == part]
        if within:
            seconds, sizes, ruled = np.sum(within, axis=0)
            costs.append(float(1000 * seconds / sizes * usual * len(within) / ruled))
    return costs


def growth(costs: list[float]) -> float:
    """The last tenth's cost by the first's, on a straight line through all of them."""
    slope, first = np.polyfit(np.arange(len(costs)), costs, 1)
    return float((first + slope * (len(costs) - 1)) / first)


def size_of(folder: Path) -> int:
    """Bytes on the disk."""
    return sum(512 * path.stat().st_blocks for path in folder.rglob("*"))


def large_grid(here: Path, n_members: int = 10_000, *words: str) -> tuple[list[float], Path]:
    """Milliseconds for each member, by tenths of a grid of so many; the run folder."""
    (here / "large.py").write_text(GRID.format(n_seeds=n_members // 100))
    out = here / "grid"
    command = [
        "--grid",
        f"{here / 'large.py'}:large",
        "--data",
        str(expression_file(here)),
        "--out",
        str(out),
    ]
    with noting(worker, "run_pack", lambda pack, *_: len(pack.members)) as notes:
        assert run_study.main([*command, "--local", "--no-report", *words]) == 0
    return tenths(notes), out


def large_search(here: Path, n_trials: int = 1000, *words: str) -> tuple[list[float], Path]:
    """Milliseconds for each trial, by tenths of a search of so many; the run folder."""
    out = here / "search"
    command = [
        "--search",
        "bottleneck",
        "--trials",
        str(n_trials),
        "--seeds",
        "1",
        "--sizes",
        "2",
        "60",
    ]
    command += [
        "--epochs",
        "24",
    ]  # a trial of 0.1 s, a hundredth of a real one, compared with all others twice
    command += ["--tune", "learning_rate", "--confirm-seeds", "1"]
    command += ["--data", str(expression_file(here)), "--out", str(out)]
    with noting(Search, "ended", lambda *_: 1) as notes:
        assert run_study.main([*command, "--local", "--no-report", *words]) == 0
    return tenths(notes), out


def main() -> int:
    """Print both; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=10_000)
    parser.add_argument("--trials", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, run, n in (
            ("grid", large_grid, options.members),
            ("search", large_search, options.trials),
        ):
            if n:
                costs, out = run(Path(folder), n)
                text = " ".join(f"{cost:.2f}" for cost in costs)
                print(
                    f"{name} of {n}: ms by tenths {text}; last / first {growth(costs):.3f}; ",
                    end="",
                )
                print(
                    f"{size_of(out) / 1e6:.0f} MB, {sum(1 for _ in out.rglob('*'))} files",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
