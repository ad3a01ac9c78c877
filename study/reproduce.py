"""Training one network of a run again in this process, and comparing it with the run's record.

    python run_study.py reproduce 1f6a0c22b3de --run runs/paper

Nothing is written to the run folder. Both networks are bit-identical on the same kind of CPU with
the same versions.
"""

from __future__ import annotations

import math
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from rich.console import Console
from rich.table import Table

from data_utils.errors import InputError
from data_utils.files import package_versions
from data_utils.preparation import Replicates
from data_utils.sources import load_dataset
from models.config import MemberConfig
from models.training import Training
from study.evidence.evidence import Run, load_run
from study.run.folder import RunFolder
from study.run.rows import FAILED, member_rows, metric_rows
from study.run.worker import arrays_of, one_thread, training_of

#: Relative difference up to which numbers count as equal.
TOLERANCE = 1e-6
MEASURES = (
    *("train_mse", "val_mse", "test_mse", "train_clean_mse", "best_val_mse"),
    *("mean_activation", "dead_units"),
)
#: Members that a message names.
NAMED = 4


class Comparison(NamedTuple):
    """A compared quantity: its text then and now, and the absolute and relative difference."""

    what: str
    recorded: str
    again: str
    absolute: float
    relative: float


def reproduce(path: Path, member_id: str, data: str | None = None) -> int:
    """Train one network of the run in `path` again and print how it compares with the record.

    `member_id` may be the beginning of an id. `data` is the present path of the run's data file.
    Returns 0 if everything is equal within TOLERANCE, else 1. Raises InputError for a folder that
    is not a run, an id that matches none or several networks, and other data than the run's.
    """
    run = load_run(path)
    folder = RunFolder(run.path)
    member = find_member(run, folder, member_id)
    _, weights = folder.load_model(member.member_id)
    replicates = run_data(run, data)
    device = "cuda" if run.config.get("device") == "cuda" and torch.cuda.is_available() else "cpu"
    line = f"training {member.run_name} again: {member.epochs} epochs on {device}"
    Console(stderr=True).print(line, markup=False, soft_wrap=True)
    with one_thread():  # as in the workers; a network's numbers do not depend on its pack
        training = training_of((member,), replicates.data, device)
        while not training.finished:
            training.advance()
    weights_differ = _weights(weights, arrays_of(training.parameters(0)))
    numbers = [*_measures(run, training), _metrics(run, training)]

    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(f"member {member.member_id} of {run.path}")
    table = Table("measure", "recorded", "again", "difference", "relative", box=None)
    for it in (*numbers, weights_differ):
        table.add_row(*it[:3], f"{it.absolute:.3g}", f"{it.relative:.2g}")
    console.print(table)
    identical = [weights_differ.absolute == 0, all(it.absolute == 0 for it in numbers)]
    for what, same in zip(("weights", "numbers"), identical, strict=True):
        console.print(f"{what}: {'bit-identical' if same else 'not bit-identical'}")
    if not all(identical):
        console.print(f"the run had {_circumstances(run, device)}")
    equal = all(it.relative <= TOLERANCE for it in (*numbers, weights_differ))
    above = f"NOT equal: a relative difference is above {TOLERANCE:g}"
    console.print(f"equal within {TOLERANCE:g}" if equal else above)
    return 0 if equal else 1


def planned_members(folder: RunFolder) -> list[MemberConfig]:
    """Read the networks of a run from its plan."""
    plan = folder.read_json("plan.json", members=list)["members"]
    return [MemberConfig.from_dict(member) for member in plan]


def find_member(run: Run, folder: RunFolder, member_id: str) -> MemberConfig:
    """Return the network whose id begins with `member_id`.

    Raises InputError for none, several, or one that failed.
    """
    planned = {member.member_id: member for member in planned_members(folder)}
    found = [name for name in planned if name.startswith(member_id)]
    if len(found) != 1:
        named = found or get_close_matches(member_id, planned, NAMED, cutoff=0)
        listed = ", ".join(f"{name} ({planned[name].run_name})" for name in named[:NAMED])
        problem = (
            f"{len(found)} members have an id that begins so" if found else "no member has that id"
        )
        raise InputError(f"{member_id!r}: {problem} in {run.path}: give one such as {listed}")
    row = run.members[run.members["member_id"] == found[0]]
    if not len(row) or row["status"].item() == FAILED:
        raise InputError(
            f"{found[0]}: has not ended in {run.path}: finish the run with --resume first"
        )
    return planned[found[0]]


def run_data(run: Run, path: str | None) -> Replicates:
    """Load the run's data again, with its splits.

    Raises InputError if the values or splits differ from the run's.
    """
    recorded = run.config["data"]
    dataset = load_dataset(
        path or recorded["source"],
        genes_in=recorded.get("genes_in"),
        transform=recorded["transform"],
        all_genes=recorded["genes_matched"] is None,
        data_seed=recorded["data_seed"] or 0,
    )
    found = dataset.matrix.content_hash()
    if found != recorded["sha256"]:
        raise InputError(
            f"{dataset.source}: holds other data than the run had (sha256 {found[:12]}..., the "
            f"run's {recorded['sha256'][:12]}...): give the run's own file with --data"
        )
    its = run.config["identity"]
    data = Replicates.of(dataset.matrix, its["split_seed"], its["group"], its["fixed_split"])
    if any(data.split(int(seed)).digest() != split for seed, split in its["splits"].items()):
        raise InputError(
            f"{dataset.source}: its samples are split differently than in the run "
            f"(--group {its['group']}): give the run's own file with --data"
        )
    return data


def _measures(run: Run, training: Training) -> list[Comparison]:
    """Compare the numbers of the members table."""
    again = member_rows(training).iloc[0]
    then = run.members.set_index("member_id").loc[again["member_id"]]
    return [
        Comparison(n, f"{then[n]:.9g}", f"{again[n]:.9g}", *_difference([then[n]], [again[n]]))
        for n in MEASURES
    ]


def _metrics(run: Run, training: Training) -> Comparison:
    """Compare all curves; a recorded value that is missing now counts as different."""
    again = metric_rows(training)
    recorded = run.metrics[run.metrics["member_id"] == training.members[0].member_id]
    keys = ["epoch", "split", "metric", "noise_factor"]
    both = recorded.merge(again, on=keys, how="left", suffixes=("", "_again"))
    difference = _difference(both["value"], both["value_again"])
    return Comparison("metrics", f"{len(recorded)} values", f"{len(again)} values", *difference)


def _weights(recorded: dict[str, np.ndarray], again: dict[str, np.ndarray]) -> Comparison:
    """Compare all weights and biases, relative to the largest of each array."""
    absolute = relative = math.inf
    if {n: a.shape for n, a in recorded.items()} == {n: a.shape for n, a in again.items()}:
        pairs = [_difference(recorded[n], again[n], of_largest=True) for n in recorded]
        absolute, relative = map(max, zip(*pairs, strict=True))
    then, now = (f"{sum(a.size for a in it.values())} numbers" for it in (recorded, again))
    return Comparison("weights", then, now, absolute, relative)


def _difference(then: ArrayLike, now: ArrayLike, of_largest: bool = False) -> tuple[float, float]:
    """Return the largest absolute and relative difference.

    Equal values, NaN and infinite ones included, differ by 0; a NaN in only one of them by inf.
    """
    then, now = np.asarray(then, dtype=np.float64), np.asarray(now, dtype=np.float64)
    alike = (then == now) | (np.isnan(then) & np.isnan(now))
    with np.errstate(invalid="ignore", divide="ignore"):
        absolute = np.where(alike, 0.0, np.abs(then - now))
        size = np.maximum(np.abs(then), np.abs(now))
        relative = np.where(alike, 0.0, absolute / (size.max(initial=0.0) if of_largest else size))
    absolute, relative = (
        np.nan_to_num(v, nan=math.inf, posinf=math.inf) for v in (absolute, relative)
    )
    return float(absolute.max(initial=0.0)), float(relative.max(initial=0.0))


def _circumstances(run: Run, device: str) -> str:
    """Return a text of the versions and the device that differ from the run's."""
    recorded = run.config["provenance"]["packages"]
    now = package_versions(tuple(recorded))
    different = [f"{n} {then} (now {now[n]})" for n, then in recorded.items() if now[n] != then]
    if run.config["device"] != device:
        different.append(f"device {run.config['device']} (now {device})")
    return ", ".join(different) or "the same versions and device"
