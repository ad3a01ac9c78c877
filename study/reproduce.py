"""One network of a run trained again in this process, and compared with what the run recorded of it.

    python run_study.py reproduce 1f6a0c22b3de --run runs/paper

Nothing is written to the run folder. On the same kind of CPU, with the same versions, the two are bit-identical.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from data_utils.errors import InputError
from data_utils.preparation import PreparedData, prepare
from data_utils.sources import load_dataset
from models.config import MemberConfig
from models.training import PackTraining
from study.evidence.evidence import Run, load_evidence
from study.run.folder import RunFolder
from study.run.local import one_thread
from study.run.provenance import package_versions
from study.run.rows import FAILED, member_rows, metric_rows
from study.run.worker import arrays_of

#: Relative difference up to which a number counts as the same.
TOLERANCE = 1e-6
MEASURES = (
    "train_mse",
    "val_mse",
    "test_mse",
    "train_clean_mse",
    "best_val_mse",
    "mean_activation",
    "dead_units",
)
#: Members that a message names.
NAMED = 4


@dataclass(frozen=True)
class Comparison:
    """A line of the table: what was compared, its text then and now, the difference, absolute and relative."""

    what: str
    recorded: str
    again: str
    difference: float
    relative: float


def reproduce(path: Path, member_id: str, data: str | None = None) -> int:
    """Train one member of the run in `path` again and print how it compares; `member_id` may be its beginning.

    `data` is where the run's data file is now. Returns 0 where all is equal within TOLERANCE, 1 where not. Raises
    InputError for a folder that is no run, an id that names none or several, and other data.
    """
    run = load_evidence([path]).runs[0]
    folder = RunFolder(run.path)
    member = find_member(run, folder, member_id)
    _, weights = folder.load_model(member.member_id)
    prepared = run_data(run, data)
    device = "cuda" if run.config.get("device") == "cuda" and torch.cuda.is_available() else "cpu"
    Console(stderr=True).print(
        f"training {member.run_name} again: {member.epochs} epochs on {device}", markup=False
    )
    training = _train(member, prepared, device)
    comparisons = [*_measures(run, training), _metrics(run, training), _weights(weights, training)]
    return _tell(run, member, comparisons, device)


def find_member(run: Run, folder: RunFolder, member_id: str) -> MemberConfig:
    """The member of that id, or whose id alone begins so. Raises InputError for none, several or a failed one."""
    plan = folder.read_json("plan.json", members=list)["members"]
    planned = {item.member_id: item for item in map(MemberConfig.from_dict, plan)}
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


def run_data(run: Run, path: str | None) -> PreparedData:
    """The run's data, loaded and split again. Raises InputError where they are not those of the run."""
    recorded = run.config["data"]
    dataset = load_dataset(
        path or recorded["source"],
        genes_in=recorded.get("genes_in"),  # earlier runs do not tell
        transform=recorded["transform"],
        all_genes=recorded["genes_matched"] is None,
        data_seed=recorded["data_seed"] or 0,
    )
    found = dataset.matrix.content_hash()
    if found != recorded["sha256"]:
        raise InputError(
            f"{dataset.source}: holds other data than the run had (sha256 {found[:12]}..., the run's "
            f"{recorded['sha256'][:12]}...): give the run's own file with --data"
        )
    prepared = prepare(dataset.matrix, run.config["split_seed"], run.config.get("group"))
    split = run.config["identity"].get("split")
    if split is not None and prepared.split.digest() != split:
        raise InputError(
            f"{dataset.source}: its label {run.config['group']!r} groups the samples otherwise than in the run: "
            "give the run's own file with --data"
        )
    return prepared


def _train(member: MemberConfig, data: PreparedData, device: str) -> PackTraining:
    """The member alone, on one thread as in the workers: its numbers do not depend on its pack."""
    with one_thread():
        training = PackTraining((member,), data, device)
        while not training.finished:
            training.advance()
        return training


def _measures(run: Run, training: PackTraining) -> list[Comparison]:
    """The numbers of the members table, but for those that an older run does not have."""
    again = member_rows(training).iloc[0]
    recorded = run.members[run.members["member_id"] == again["member_id"]].iloc[0]
    there = [name for name in MEASURES if name in run.members and run.members[name].notna().any()]
    pairs = {name: (recorded[name], again[name]) for name in there}
    return [
        Comparison(
            name, f"{then:.9g}", f"{now:.9g}", *_difference(np.array([then]), np.array([now]))
        )
        for name, (then, now) in pairs.items()
    ]


def _metrics(run: Run, training: PackTraining) -> Comparison:
    """All curves at once. What was recorded and is not measured now counts as different."""
    again = metric_rows(training)
    keys = ["epoch", "split", "metric", "noise_factor"]
    recorded = run.metrics[run.metrics["member_id"] == training.members[0].member_id]
    both = recorded.merge(
        again, on=keys, how="left", suffixes=("", "_again")
    )  # a value that is missing is NaN
    differences = _difference(both["value"].to_numpy(), both["value_again"].to_numpy())
    return Comparison("metrics", f"{len(recorded)} values", f"{len(again)} values", *differences)


def _weights(recorded: dict[str, np.ndarray], training: PackTraining) -> Comparison:
    """All weights and biases; relative to the largest of each array."""
    again = arrays_of(training.stack.member(0))
    sizes = [
        f"{sum(array.size for array in arrays.values())} numbers" for arrays in (recorded, again)
    ]
    if {n: a.shape for n, a in recorded.items()} != {n: a.shape for n, a in again.items()}:
        return Comparison("weights", *sizes, math.inf, math.inf)
    differences = [_difference(recorded[name], again[name], of_largest=True) for name in recorded]
    return Comparison(
        "weights", *sizes, *(max(column) for column in zip(*differences, strict=True))
    )


def _difference(then: np.ndarray, now: np.ndarray, of_largest: bool = False) -> tuple[float, float]:
    """Largest absolute and relative difference; 0 where the two are alike, be it NaN or infinite, else NaN is inf."""
    then, now = np.asarray(then, dtype=np.float64), np.asarray(now, dtype=np.float64)
    alike = (then == now) | (np.isnan(then) & np.isnan(now))
    with np.errstate(invalid="ignore", divide="ignore"):
        absolute = np.where(alike, 0.0, np.abs(then - now))
        size = np.maximum(np.abs(then), np.abs(now))
        relative = np.where(alike, 0.0, absolute / (size.max(initial=0.0) if of_largest else size))
    largest = (
        np.where(np.isnan(values), math.inf, values).max(initial=0.0)
        for values in (absolute, relative)
    )
    return tuple(map(float, largest))


def _tell(run: Run, member: MemberConfig, comparisons: list[Comparison], device: str) -> int:
    """Print the table and the verdict; returns the exit status."""
    console = Console(highlight=False, markup=False)
    table = Table("measure", "recorded", "again", "difference", "relative", box=None)
    for c in comparisons:
        table.add_row(c.what, c.recorded, c.again, f"{c.difference:.3g}", f"{c.relative:.2g}")
    console.print(f"member {member.member_id} of {run.path}", soft_wrap=True)
    console.print(table)
    weights, others = comparisons[-1], comparisons[:-1]
    for what, identical in (
        ("weights", weights.difference == 0),
        ("numbers", all(c.difference == 0 for c in others)),
    ):
        console.print(f"{what}: {'bit-identical' if identical else 'not bit-identical'}")
    equal = all(c.relative <= TOLERANCE for c in comparisons)
    if not equal or any(c.difference for c in comparisons):
        _tell_circumstances(run, device, console)
    verdict = (
        f"equal within {TOLERANCE:g}"
        if equal
        else f"NOT equal: a relative difference is above {TOLERANCE:g}"
    )
    console.print(verdict, soft_wrap=True)
    return 0 if equal else 1


def _tell_circumstances(run: Run, device: str, console: Console) -> None:
    """What is other than in the run and may be the cause."""
    recorded = run.config["provenance"]["packages"]
    now = package_versions(tuple(recorded))
    different = [
        f"{name} {then} (now {now[name]})" for name, then in recorded.items() if now[name] != then
    ]
    if run.config["device"] != device:
        different.append(f"device {run.config['device']} (now {device})")
    console.print(
        f"the run had {', '.join(different) or 'the same versions and device'}", soft_wrap=True
    )
