"""The same grid as one Ray Tune trial per network, in plain PyTorch.

    python -m benchmarks.tune_peers default --epochs 10 --out peer.json   # DataLoader, Adam(), Tune
    python -m benchmarks.tune_peers reuse --epochs 10 --out peer.json     # the same at its best

At its best: actors are reused, the data are tensors in memory, Adam is fused, no logger writes.
Both get the data through Ray's object store once, and report every epoch.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.grids import GRIDS
from benchmarks.work import bench_data
from data_utils.preparation import PreparedData
from models.config import MemberConfig
from study.grids import Narrowing

KINDS = ("default", "reuse")


def train(
    config: dict,
    *,
    members: list[MemberConfig],
    data: PreparedData,
    kind: str,
    report: Callable[[dict], None] | None = None,
) -> None:
    """Train member `config["cell"]` and report validation MSE every epoch (by default to Tune)."""
    from benchmarks.peers import dataloader_loop, memory_loop

    if report is None:
        from ray.tune import report
    loop = {"default": dataloader_loop, "reuse": memory_loop}[kind]
    member = members[config["cell"]]
    training = loop(member, data)
    for epoch in range(member.epochs):
        [error] = training.epoch()
        report({"epoch": epoch + 1, "val_mse": error})


def tune_grid(
    kind: str, members: list[MemberConfig], data: PreparedData, storage: Path
) -> list[dict]:
    """Run one trial per member on all cores; return cell, epochs and validation MSE of each.

    Raises RuntimeError if a trial failed.
    """
    import ray
    from ray import tune

    ray.init()
    best = {"tune_config": tune.TuneConfig(reuse_actors=True)} if kind == "reuse" else {}
    quiet = {"verbose": 0} if kind == "reuse" else {}
    trainable = tune.with_parameters(train, members=members, data=data, kind=kind)  # by ray.put
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"cell": tune.grid_search(list(range(len(members))))},
        run_config=tune.RunConfig(name=kind, storage_path=str(storage), **quiet),
        **best,
    )
    results = tuner.fit()
    if results.errors:
        raise RuntimeError(
            f"{results.num_errors} trials failed, the first with {results.errors[0]}"
        )
    names = ("epoch", "val_mse")
    cells = [
        {"cell": result.config["cell"], **{name: result.metrics[name] for name in names}}
        for result in results
    ]
    ray.shutdown()
    return cells


def main(words: Sequence[str] | None = None) -> None:
    """Train the grid and write the results of its networks as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--grid", choices=GRIDS, default="cells")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(words)
    if options.kind == "reuse":
        os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    members = GRIDS[options.grid](Narrowing(epochs=options.epochs))
    with tempfile.TemporaryDirectory(prefix="tune-") as storage:  # not in the user's ~/ray_results
        cells = tune_grid(options.kind, members, bench_data(), Path(storage))
    options.out.write_text(json.dumps(cells, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
