"""Measuring the engine on one device: packs against single networks, and a step's operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.measure import Comparison, Measurement, Result, in_turns, wall_seconds
from benchmarks.peers import Loop
from benchmarks.trainers import Engine
from benchmarks.work import DENSE, EPOCHS, conv_members, dense_grid, pack_of_44
from study.run.packs import plan_packs

WALL = "s wall"


def dense_grid_rows(
    repeats: int, epochs: int, data, device: str, pack: int | None = None, seeds: int = 3
) -> Iterator[Result]:
    """Compare packs with one network at a time on `device`, by depth; then train the whole grid.

    `pack` is the number of networks in a pack; None leaves it to the study.
    """
    members = dense_grid(
        3 + repeats * epochs, seeds
    )  # the last epoch, with its tests, is not reached
    packs = plan_packs(members, data.n_genes, 1, pack, device)
    grid_seconds = {"ours": [0.0] * repeats, "peer": [0.0] * repeats}
    for model in DENSE:
        ours = [Engine(list(p.members), data, device) for p in packs if p.members[0].model == model]
        peer = [Loop([member], data, device) for member in members if member.model == model]
        _train(ours, 1), _train(peer, 1)  # warm
        works = {
            "ours": lambda ours=ours: _train(ours, epochs),
            "peer": lambda peer=peer: _train(peer, epochs),
        }
        timed = {
            name: lambda work=work: wall_seconds(_waits(work, device))
            for name, work in works.items()
        }
        costs = in_turns(repeats, timed)
        for name, values in costs.items():
            whole = [value * EPOCHS[model] / epochs for value in values]
            grid_seconds[name] = [a + b for a, b in zip(grid_seconds[name], whole, strict=True)]
        errors = {"ours": _train(ours, 1), "peer": _train(peer, 1)}
        note = "mean validation MSE: " + ", ".join(
            f"{name} {error:.5f}" for name, error in errors.items()
        )
        work = (
            f"{len(peer)} {model} in {len(ours)} pack(s), "
            f"{epochs} epochs of {len(data.train)} rows, {device}"
        )
        yield Comparison(
            "one network at a time", work, WALL, costs["ours"], costs["peer"], note=note
        )
    work = f"{len(members)} dense networks to their last epoch, {device}, from seconds an epoch"
    yield Comparison(
        "one network at a time",
        work,
        WALL,
        *(tuple(grid_seconds[name]) for name in ("ours", "peer")),
    )
    yield Measurement("this project", work, WALL, tuple(grid_seconds["ours"]))
    if device == "cuda":
        yield Measurement("GPU memory", work, "GiB", (torch.cuda.max_memory_allocated() / 2**30,))


def _train(trainers: list, epochs: int) -> float:
    """Train each trainer for some epochs, and return the mean validation MSE after the last one."""
    errors = [[one.epoch() for _ in range(epochs)][-1] for one in trainers]
    values = [value for group in errors for value in group]
    return sum(values) / len(values)


def _waits(work: Callable[[], object], device: str) -> Callable[[], None]:
    """Return the work, followed by waiting until the device has finished it."""

    def done() -> None:
        work()
        if device == "cuda":
            torch.cuda.synchronize()

    return done


#: Groups of operators by name; operators in no group are ELEMENTWISE.
GROUPS = {
    "products": ("mm", "bmm", "baddbmm", "addmm", "convolution", "conv"),
    "noise": ("normal_", "randn"),
    "copies": (
        "copy_",
        "cat",
        "index",
        "clone",
        "contiguous",
        "unfold",
        "im2col",
        "col2im",
        "pad",
        "stack",
    ),
    "reductions": ("sum", "mean", "amax", "max_pool2d", "pool"),
}
ELEMENTWISE = "elementwise and other"
LABELS = ("optimiser", "evaluation")


def profile_table(model: str, data, device: str = "cpu", epochs: int = 1) -> str:
    """Return a text of milliseconds per step and time share by operator group, for one pack.

    A pack has 44 networks, 11 of conv.
    """
    members = conv_members(epochs + 2)[:11] if model == "conv" else pack_of_44(model, epochs + 2)
    engine = Engine(members, data, device)
    training = engine.training
    for owner, method, label in (
        (training.optimizer, "step", LABELS[0]),
        (training, "_evaluate", LABELS[1]),
    ):
        if hasattr(owner, method):
            setattr(owner, method, _labelled(getattr(owner, method), label))
    engine.epoch()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with profile(activities=activities) as profiler:
        seconds = wall_seconds(_waits(lambda: [engine.epoch() for _ in range(epochs)], device))
    steps = epochs * -(-len(data.train) // members[0].batch_size)
    times = _group_times(profiler.events(), device)
    times["Python, dispatch, waiting"] = max(0.0, seconds - sum(times.values()))
    lines = [
        f"{model}, {len(members)} networks, {device}: "
        f"{seconds / steps * 1e3:.2f} ms a step (with the profiler)"
    ]
    for name, value in sorted(times.items(), key=lambda item: -item[1]):
        lines.append(f"  {name:<28} {value / steps * 1e3:9.3f} ms {value / seconds:7.1%}")
    return "\n".join(lines)


def _labelled(function: Callable, label: str) -> Callable:
    def inner(*arguments, **options):
        with record_function(label):
            return function(*arguments, **options)

    return inner


def _group_times(events, device: str) -> dict[str, float]:
    """Sum the seconds of each group: by enclosing label, or else by the operator's name."""
    times: dict[str, float] = {}
    for event in events:
        microseconds = (
            event.self_cpu_time_total if device == "cpu" else event.self_device_time_total
        )
        if not microseconds or event.device_type != torch.autograd.DeviceType.CPU:
            continue
        group = _group(event)
        times[group] = times.get(group, 0.0) + microseconds * 1e-6
    return times


def _group(event) -> str:
    ancestor = event
    while ancestor is not None:
        if ancestor.name in LABELS:
            return ancestor.name
        ancestor = ancestor.cpu_parent
    name = event.name.removeprefix("aten::")
    for group, names in GROUPS.items():
        if name in names or any(len(part) > 3 and part in name for part in names):
            return group
    return ELEMENTWISE
