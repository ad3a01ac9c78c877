"""Run all benchmarks, or some, and print one table (`make bench`).

python -m benchmarks [NAMES ...] [--quick] [--repeats N] [--out FILE]
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.table import Conditions, LeftOut, Row, render, write_json
from data_utils.errors import InputError

Benchmark = Callable[[int, bool], Iterator[Row]]

#: Module and function of each benchmark, imported just before it runs, so that a missing package
#: stops only the benchmark that needs it.
BENCHMARKS = {
    "engine": "benchmarks.engine:comparisons",
    "startup": "benchmarks.startup:comparisons",
    "memory": "benchmarks.memory:comparisons",
    "workers": "benchmarks.workers:comparisons",
    "launch": "benchmarks.launch:comparisons",
    "launch-50": "benchmarks.launch:comparisons_of_50_epochs",
    "large": "benchmarks.large:comparisons",
}
#: Benchmarks that --quick leaves out, unless they are named.
SLOW = ("launch-50", "large")
REPEATS = 5
#: Repeats with --quick, by benchmark; others, which launch whole runs, are repeated once.
QUICK_REPEATS = {"engine": 3}

EPILOG = """names, and how long each takes on 2 idle cores with 5 repeats:
  engine     the training engine against plain loops, torch.func and JAX
  startup    seconds from launch to the first epoch: 3 min
  memory     of a worker with the largest pack: 1 min
  workers    parallel efficiency: 5 min
  launch     10 epochs of the 44 dense cells, launch to exit, against Ray Tune: 25 min
  launch-50  50 epochs of them: 20 min
  large      20,000 samples x 20,000 genes: 5 min
With --quick, all together take less than 4 minutes.
"""


def main(
    words: Sequence[str] | None = None, benchmarks: dict[str, str | Benchmark] = BENCHMARKS
) -> int:
    """Measure, print one table, write it as JSON and return the exit status.

    The status is 0 if every benchmark was tried, even if a target was missed; 2 for bad input (one
    line); 130 after Ctrl-C, with the measurements until then.
    """
    options = _parser().parse_args(words)
    try:
        names = _chosen(options, benchmarks)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    conditions = Conditions.now(options.quick, sys.argv[1:] if words is None else list(words))
    rows: dict[str, list[Row]] = {}
    status = 0
    try:
        for name in names:
            repeats = options.repeats or (QUICK_REPEATS.get(name, 1) if options.quick else REPEATS)
            rows[name] = []
            _measure(name, benchmarks[name], repeats, options.quick, rows[name])
    except KeyboardInterrupt:
        print("interrupted: what was measured until here", file=sys.stderr)
        status = 130
    for name in benchmarks:
        if options.quick and not options.names and name in SLOW:
            rows[name] = [
                LeftOut(name, "", f"too long for a quick look: python -m benchmarks {name}")
            ]
    facts = conditions.as_dict()
    print(render(rows, facts), end="")
    write_json(options.out, rows, facts)
    print(f"as JSON: {options.out}")
    return status


def _measure(
    name: str, benchmark: str | Benchmark, repeats: int, quick: bool, rows: list[Row]
) -> None:
    """Add a benchmark's rows to `rows` one by one; if it fails, add a row with the reason."""
    started = time.monotonic()
    print(f"{name} ...", file=sys.stderr, flush=True)
    try:
        if isinstance(benchmark, str):
            module, _, function = benchmark.partition(":")
            benchmark = getattr(importlib.import_module(module), function)
        for row in benchmark(repeats, quick):
            rows.append(row)
    except Exception as error:  # the other benchmarks continue after any error
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        print(f"{name}: {reason}", file=sys.stderr)
        rows.append(LeftOut(name, "", reason))
    print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def _chosen(options: argparse.Namespace, benchmarks: dict[str, str | Benchmark]) -> list[str]:
    """Return the chosen names in the order of `benchmarks`. Raises InputError for bad options."""
    for name in options.names:
        if name not in benchmarks:
            raise InputError(f"unknown benchmark {name!r}: use some of {' '.join(benchmarks)}")
    if options.repeats is not None and options.repeats < 1:
        raise InputError(f"--repeats {options.repeats}: give at least 1")
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.open("a").close()
    except OSError as error:
        raise InputError(
            f"--out {options.out}: cannot be written ({error.strerror}): give another file"
        ) from None
    usual = [name for name in benchmarks if not (options.quick and name in SLOW)]
    return [name for name in benchmarks if name in (options.names or usual)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure this project against its peers, in turns, and print one table.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="some of the benchmarks (default: all)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="a few minutes: less work, fewer repeats"
    )
    parser.add_argument(
        "--repeats", type=int, metavar="N", help=f"turns of each comparison (default: {REPEATS})"
    )
    out = Path("benchmarks/results.json")
    parser.add_argument(
        "--out", type=Path, default=out, metavar="FILE", help=f"JSON file (default: {out})"
    )
    return parser


if __name__ == "__main__":
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # as for Ctrl-C, so that no command is left running
    sys.exit(main())
