"""The training engine against its peers, with equal epochs, batches, data and random draws.

    python benchmarks/engine.py [--quick] [--repeats N]       # CPU: loops, torch.func, JAX, SGEMM
    python benchmarks/engine.py --device cuda [--tf32]        # GPU: the dense grid, single networks
    python benchmarks/engine.py --profile [--device cuda]     # where the time of a step goes

A machine with torch and numpy alone will do for the last two: the data are then drawn with numpy.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

if not __package__:  # run as a file: import from the project's root instead of this folder
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from benchmarks.measure import Comparison, Result, geometric_mean_turns, in_turns
from benchmarks.trainers import Workers, workers
from benchmarks.work import (
    DENSE,
    bench_data,
    cells,
    conv_members,
    pack_of_44,
    shortened,
    synthetic_data,
)
from data_utils.preparation import PreparedData
from study.run.packs import plan_packs

CPU = "s CPU"
Costs = dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Size:
    """Amount of work per turn: training rows (None: all), epochs of the cells, conv networks."""

    cells_rows: int | None = None
    cells_epochs: int = 2
    pack_rows: int | None = None
    conv_rows: int | None = 512
    conv_networks: int = 33
    depths: tuple[str, ...] = DENSE


QUICK = Size(512, 1, 512, 256, 11)


def comparisons(repeats: int, quick: bool) -> Iterator[Result]:
    """Yield the CPU results as they are measured; `quick` takes fewer rows and conv networks."""
    yield from compare(repeats, QUICK if quick else Size(), bench_data())


def compare(repeats: int, size: Size, data: PreparedData) -> Iterator[Result]:
    """Yield the CPU results for a size of work and data, as they are measured."""
    with ExitStack() as open_workers:
        ours, peer = (open_workers.enter_context(workers(2)) for _ in range(2))
        yield _cells_row(repeats, size, data, ours, peer)
        yield _conv_row(repeats, size, data, ours, peer)
        sides = {"ours": ours, "vmap": peer}
        if importlib.util.find_spec("jax") is not None:
            sides["jax"] = open_workers.enter_context(workers(1, one_core=True))
        yield from _pack_rows(repeats, size, data, sides)


def _shorter(data: PreparedData, n_rows: int | None) -> PreparedData:
    return data if n_rows is None else shortened(data, n_rows)


def _note(errors: dict[str, list[float]]) -> str:
    """Return a text of each side's mean validation MSE, which shows that sides are comparable."""
    return "mean validation MSE: " + ", ".join(
        f"{name} {fmean(values):.5f}" for name, values in errors.items()
    )


def _in_turns(repeats: int, epochs: int, sides: dict[str, Workers]) -> tuple[Costs, str]:
    """Return the CPU seconds of each side and turn, and the note on their validation MSE."""
    costs = in_turns(
        repeats, {name: lambda side=side: side.train(epochs) for name, side in sides.items()}
    )
    return costs, _note({name: side.validation() for name, side in sides.items()})


def _cells_row(
    repeats: int, size: Size, data: PreparedData, ours: Workers, peer: Workers
) -> Comparison:
    data = _shorter(data, size.cells_rows)
    members = cells(
        2 + repeats * size.cells_epochs
    )  # the last epoch, which ends with all measurements, is not reached
    packs = plan_packs(members, data.n_genes, workers=2)
    ours.build("engine", [list(pack.members) for pack in packs], data)
    peer.build("loader", [[member] for member in members], data)
    costs, note = _in_turns(repeats, size.cells_epochs, {"ours": ours, "peer": peer})
    work = f"44 dense cells, 2 processes, {size.cells_epochs} epochs of {len(data.train)} rows"
    return Comparison(
        "PyTorch loop with DataLoader", work, CPU, costs["ours"], costs["peer"], 2.8, note
    )


def _conv_row(
    repeats: int, size: Size, data: PreparedData, ours: Workers, peer: Workers
) -> Comparison:
    data = _shorter(data, size.conv_rows)
    members = conv_members(2 + repeats)[: size.conv_networks]
    ours.build("engine", [members], data, one_process=True)
    peer.build("memory", [[member] for member in members], data, one_process=True)
    costs, note = _in_turns(repeats, 1, {"ours": ours, "peer": peer})
    work = f"{len(members)} conv networks, an epoch of {len(data.train)} rows"
    return Comparison(
        "plain conv loop, autograd", work, CPU, costs["ours"], costs["peer"], 2.0, note
    )


def _pack_rows(
    repeats: int, size: Size, data: PreparedData, sides: dict[str, Workers]
) -> Iterator[Result]:
    """Yield vmap, JAX and the floor on packs of 44 networks, as geometric means over depths."""
    data = _shorter(data, size.pack_rows)
    by_depth = [_pack_turns(repeats, data, model, sides) for model in size.depths]
    note = _note(
        {name: [error for _, errors in by_depth for error in errors[name]] for name in sides}
    )
    costs = {
        name: geometric_mean_turns([turns[name] for turns, _ in by_depth])
        for name in by_depth[0][0]
    }
    work = f"pack of 44 of each depth, geometric mean, an epoch of {len(data.train)} rows"
    rows = {
        "vmap": ("torch.func vmap", 1.6),
        "jax": ("JAX vmap + jit", 1.6),
        "floor": ("SGEMM floor", 0.75),
    }
    for name, (title, target) in rows.items():
        if name in costs:
            ratios = [
                Comparison("", "", CPU, turns["ours"], turns[name]).ratio for turns, _ in by_depth
            ]
            depths = ", ".join(
                f"{model} {ratio:.2f}" for model, ratio in zip(size.depths, ratios, strict=True)
            )
            remark = depths if name == "floor" else f"{depths}; {note}"
            yield Comparison(title, work, CPU, costs["ours"], costs[name], target, remark)
        else:
            from benchmarks.table import LeftOut

            yield LeftOut(title, work, "jax is not installed: pip install '.[bench]'")


def _pack_turns(
    repeats: int, data: PreparedData, model: str, sides: dict[str, Workers]
) -> tuple[Costs, dict[str, list[float]]]:
    """Return CPU seconds per epoch by side and turn, for one depth's pack, and validation MSEs.

    "floor" is the time of the pack's operations, validation included, at the rate of a large
    matrix product in the same turn.
    """
    members = pack_of_44(model, 2 + repeats)
    for name, side in sides.items():
        side.build("engine" if name == "ours" else name, [members], data, one_process=True)
    network = members[0].architecture
    forward = 2 * sum(fan_in * fan_out for fan_in, fan_out in network.layer_shapes(data.n_genes))
    operations = network.flops_per_sample(data.n_genes) * len(data.train) + forward * len(
        data.validation
    )
    operations *= len(members)
    works = {name: lambda side=side: side.train(1) for name, side in sides.items()}
    costs = in_turns(repeats, {**works, "floor": lambda: operations * sides["ours"].sgemm()})
    return costs, {name: side.validation() for name, side in sides.items()}


def table(results: list[Result]) -> str:
    """Return two lines per result: the number with its spread and target, then the work done."""
    lines = []
    for result in results:
        if hasattr(result, "ratios"):
            low, high = min(result.ratios), max(result.ratios)
            target = "" if result.target is None else f", target {result.target:g}"
            seconds = (
                f"{median(result.ours):.3g} | {median(result.peer):.3g} {result.unit} "
                "(ours | theirs)"
            )
            lines.append(
                f"{result.name:<30}{result.ratio:.2f} ({low:.2f} to {high:.2f}{target}); {seconds}"
            )
        elif hasattr(result, "values"):
            lines.append(f"{result.name:<30}{median(result.values):.4g} {result.unit}")
        else:
            lines.append(f"{result.name:<30}left out: {result.reason}")
        lines.append(
            "    " + "; ".join(part for part in (result.work, getattr(result, "note", "")) if part)
        )
    return "\n".join(lines)


def main(words: list[str] | None = None) -> int:
    """Print a table, then the same as one line of JSON; return the exit status, 2 for bad input."""
    options = _parser().parse_args(words)
    if options.device == "cuda" and not torch.cuda.is_available():
        print(
            "error: --device cuda: torch finds no GPU here: leave it out, or give cpu",
            file=sys.stderr,
        )
        return 2
    torch.backends.cuda.matmul.allow_tf32 = options.tf32
    torch.set_num_threads(1)  # study.run.worker.one_thread would need pandas
    if options.profile:
        from benchmarks.device import profile_table

        for model in (*DENSE, "conv"):
            print(
                profile_table(model, _synthetic(options, 512), options.device or "cpu"), flush=True
            )
        return 0
    results = list(_results(options))
    print(table(results))
    print(json.dumps([result.as_dict() for result in results]))
    return 0


def _results(options: argparse.Namespace) -> Iterator[Result]:
    repeats = options.repeats or (3 if options.quick else 5)
    if not options.device:
        return comparisons(repeats, options.quick)
    from benchmarks.device import dense_grid_rows

    seeds = 1 if options.quick else 3
    return dense_grid_rows(
        repeats, options.epochs, _synthetic(options), options.device, options.pack, seeds
    )


def _synthetic(options: argparse.Namespace, usual_rows: int | None = None) -> PreparedData:
    return _shorter(synthetic_data(), options.rows or usual_rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    device = "the dense grid against one network at a time on this device"
    parser.add_argument("--device", choices=("cpu", "cuda"), help=device)
    parser.add_argument(
        "--tf32", action="store_true", help="on a GPU: products in TF32, which keeps 10 bits"
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer rows and networks (with --device: one seed)"
    )
    parser.add_argument(
        "--profile", action="store_true", help="where the time of a pack's step goes"
    )
    parser.add_argument("--repeats", type=int, metavar="N", help="turns (default: 5; quick: 3)")
    parser.add_argument(
        "--epochs", type=int, default=1, metavar="N", help="epochs of a turn, with --device"
    )
    parser.add_argument(
        "--pack",
        type=int,
        metavar="N",
        help="networks of a pack, with --device (default: the study's)",
    )
    parser.add_argument(
        "--rows",
        type=int,
        metavar="N",
        help="training rows, with --device (2,045) or --profile (512)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
