"""The grids: plain functions that return members."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

from data_utils.errors import InputError
from study import protocols
from study.config import NOISE_FACTORS, MemberConfig, Phase

MODELS = {"2": "dense-2", "4": "dense-4", "6": "dense-6", "8": "dense-8", "conv": "conv"}

#: Epochs after which 10 more lower validation MSE by less than 1 % on the simulated cohort (README, "Epochs").
EPOCHS = {"dense-2": 160, "dense-4": 100, "dense-6": 70, "dense-8": 70, "conv": 40}


@dataclass(frozen=True)
class Narrowing:
    """What the command line leaves of a grid; None keeps the grid's own values."""

    seeds: int | None = None
    epochs: int | None = None
    depths: Sequence[str] | None = None
    noise: Sequence[float] | None = None
    betas: Sequence[float] | None = None

    def __post_init__(self):
        if self.seeds is not None and self.seeds < 1:
            raise InputError(f"--seeds {self.seeds}: give at least 1")
        for depth in self.depths or ():
            if depth not in MODELS:
                raise InputError(f"--depths {depth}: use some of {' '.join(MODELS)}")


def paper(narrowing: Narrowing) -> list[MemberConfig]:
    """Depth {2, 4, 6, 8} x noise {0.0, ..., 1.0} x beta {0, 1e-3, 1e-2} x 3 seeds, and conv x noise x 3 seeds."""
    return _noise_grid("paper", narrowing, NOISE_FACTORS, (0.0, 1e-3, 1e-2), seeds=3)


def smoke(narrowing: Narrowing) -> list[MemberConfig]:
    """Every model at two noise factors for a few epochs: ends within a minute on 2 cores."""
    return _noise_grid("smoke", narrowing, (0.1, 0.5), (0.0, 1e-3), seeds=1, epochs=4)


def as_published(narrowing: Narrowing) -> list[MemberConfig]:
    """What the paper's scripts did: one network of each model carried through noise 0.0, ..., 1.0 x 3 seeds."""
    if narrowing.betas is not None:
        raise InputError("--betas: the grids as-published and autopsy have no sparsity term: leave it out")
    models, noise, seeds = _chosen(narrowing, NOISE_FACTORS, 3)
    return [
        replace(protocols.as_published(model, noise, seed, narrowing.epochs), grid="as-published")
        for model in models
        for seed in range(seeds)
    ]


def autopsy(narrowing: Narrowing) -> list[MemberConfig]:
    """As published, and with one item at a time set right: which item makes which claim?"""
    members = []
    for published in as_published(narrowing):
        epochs = EPOCHS[published.model] if narrowing.epochs is None else narrowing.epochs
        members += [published, *protocols.corrections(published, epochs)]
    return [replace(member, grid="autopsy") for member in members]


GRIDS: dict[str, Callable[[Narrowing], list[MemberConfig]]] = {
    "paper": paper,
    "smoke": smoke,
    "as-published": as_published,
    "autopsy": autopsy,
}


def plan(grid: str, narrowing: Narrowing) -> list[MemberConfig]:
    """The members of a grid by name. Raises InputError for an unknown name or an empty or double choice."""
    if grid not in GRIDS:
        raise InputError(f"unknown grid {grid!r}: use one of {', '.join(GRIDS)}")
    members = GRIDS[grid](narrowing)
    if not members:
        raise InputError(f"grid {grid!r} is empty with these options: widen --depths, --noise or --betas")
    if len({member.run_name for member in members}) < len(members):
        raise InputError(f"grid {grid!r} holds a member twice: give each depth, noise factor and beta once")
    return members


def _chosen(narrowing: Narrowing, noise: Sequence[float], seeds: int) -> tuple[list[str], Sequence[float], int]:
    """Models, noise factors and number of seeds: all models and the grid's own, where they are not narrowed."""
    models = [MODELS[depth] for depth in (MODELS if narrowing.depths is None else narrowing.depths)]
    noise = noise if narrowing.noise is None else narrowing.noise
    return models, noise, seeds if narrowing.seeds is None else narrowing.seeds


def _noise_grid(
    grid: str,
    narrowing: Narrowing,
    noise: Sequence[float],
    betas: Sequence[float],
    seeds: int,
    epochs: int | None = None,
) -> list[MemberConfig]:
    """Dense models x noise x beta x seed; conv without a sparsity term, as in the paper. None: each model's EPOCHS."""
    models, noise, seeds = _chosen(narrowing, noise, seeds)
    betas = betas if narrowing.betas is None else narrowing.betas
    epochs = epochs if narrowing.epochs is None else narrowing.epochs

    def member(model: str, noise_factor: float, beta: float, seed: int) -> MemberConfig:
        phase = Phase((float(noise_factor),), EPOCHS[model] if epochs is None else epochs)
        return MemberConfig(model, (phase,), seed=seed, beta=beta, grid=grid)

    choices = product(models, noise, betas, range(seeds))
    return [member(*choice) for choice in choices if choice[0] != "conv" or choice[2] == 0]
