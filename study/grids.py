"""The grids: plain functions that return members, and what each is for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

from data_utils.errors import InputError
from models.config import NOISE_FACTORS, MemberConfig, Phase
from study import protocols
from study.options import Narrowing
from study.own_grid import own_grid

MODELS = {"2": "dense-2", "4": "dense-4", "6": "dense-6", "8": "dense-8", "conv": "conv"}

#: Epochs after which 10 more lower validation MSE by less than 1 % on the simulated cohort (README, "Epochs").
EPOCHS = {"dense-2": 160, "dense-4": 100, "dense-6": 70, "dense-8": 70, "conv": 40}
DENSE = ("2", "4", "6", "8")

#: The dense network with as many parameters as conv: 4,723 and 4,385 for 943 genes.
SMALL_DENSE = "dense-2x2"
EPOCHS[SMALL_DENSE] = 160

#: Groups of samples in a mixture of Wiener filters, of which validation chooses; and rounds of its fit.
MIXTURE_GROUPS = (1, 8, 20, 40, 60)
EPOCHS["mixture"] = 3


def paper(narrowing: Narrowing) -> list[MemberConfig]:
    """Depth {2, 4, 6, 8} x noise {0.0, ..., 1.0} x beta {0, 1e-3, 1e-2} x 3 seeds, and conv x noise x 3 seeds."""
    return _noise_grid("paper", narrowing, NOISE_FACTORS, (0.0, 1e-3, 1e-2), seeds=3)


def smoke(narrowing: Narrowing) -> list[MemberConfig]:
    """Every model at two noise factors for a few epochs: ends within a minute on 2 cores."""
    return _noise_grid("smoke", narrowing, (0.1, 0.5), (0.0, 1e-3), seeds=1, epochs=4)


def as_published(narrowing: Narrowing) -> list[MemberConfig]:
    """What the paper's scripts did: one network of each model carried through noise 0.0, ..., 1.0 x 3 seeds."""
    _refuse(narrowing, "as-published", "betas")
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
        members += [
            published,
            *protocols.corrections(published, _epochs(narrowing, published.model)),
        ]
    return [replace(member, grid="autopsy") for member in members]


def cross_noise(narrowing: Narrowing) -> list[MemberConfig]:
    """Every model trained at each noise factor, without a sparsity term. Every network is tested at all of them."""
    return _noise_grid("cross-noise", narrowing, NOISE_FACTORS, (0.0,), seeds=3)


def mixed_noise(narrowing: Narrowing) -> list[MemberConfig]:
    """Dense models: one network for all noise factors (one drawn a row), one that is told it, and the specialists."""
    _refuse(narrowing, "mixed-noise", "betas")
    models, noise, seeds = _chosen(narrowing, NOISE_FACTORS, 3, DENSE)
    members = []
    for model, seed in product(models, range(seeds)):
        epochs = _epochs(narrowing, model)
        mixed = MemberConfig(model, (Phase(tuple(noise), epochs),), seed, grid="mixed-noise")
        told = [replace(mixed, noise_input=True)] if model != "conv" else []
        members += [mixed, *told, *(replace(mixed, phases=(Phase((a,), epochs),)) for a in noise)]
    return members


def sparsity(narrowing: Narrowing) -> list[MemberConfig]:
    """Dense models at noise 0.5 x {none, KL x beta x rho, L1 x beta} x 3 seeds."""
    models, noise, seeds = _chosen(narrowing, (0.5,), 3, DENSE)
    betas = [beta for beta in (1e-3, 1e-2, 1e-1) if narrowing.betas is None] + [
        b for b in narrowing.betas or () if b
    ]
    terms = [{}, *({"beta": b, "rho": rho} for b, rho in product(betas, (0.01, 0.05, 0.2)))]
    terms += [{"beta": b, "sparsity": "l1"} for b in betas]
    return [
        MemberConfig(
            model, (Phase((a,), _epochs(narrowing, model)),), seed, grid="sparsity", **term
        )
        for model, a, term, seed in product(models, noise, terms, range(seeds))
    ]


def gene_order(narrowing: Narrowing) -> list[MemberConfig]:
    """Conv at noise 0.5 x {given, random, by correlation, shuffled values}, and a dense network as small, x 6 seeds."""
    _refuse(narrowing, "gene-order", "betas")
    models, noise, seeds = _chosen(narrowing, (0.5,), 6)
    orders = {
        "conv": ("given", "random", "correlation", "shuffled"),
        SMALL_DENSE: ("given", "shuffled"),
    }
    chosen = [
        model
        for model in orders
        if model in models or (model == SMALL_DENSE and set(models) - {"conv"})
    ]
    return [
        MemberConfig(
            model,
            (Phase((a,), _epochs(narrowing, model)),),
            seed,
            grid="gene-order",
            gene_order=order,
        )
        for model in chosen
        for a, order, seed in product(noise, orders[model], range(seeds))
    ]


def samples(narrowing: Narrowing) -> list[MemberConfig]:
    """Dense models at noise 0.5 x 10 %, 20 % ... 100 % of the training samples x 3 seeds, with as many updates each."""
    _refuse(narrowing, "samples", "betas")
    models, noise, seeds = _chosen(narrowing, (0.5,), 3, DENSE)
    members = []
    for model, a, tenths, seed in product(models, noise, range(1, 11), range(seeds)):
        phase = Phase((a,), round(_epochs(narrowing, model) * 10 / tenths))
        members.append(
            MemberConfig(model, (phase,), seed, grid="samples", train_fraction=tenths / 10)
        )
    return members


def best(narrowing: Narrowing) -> list[MemberConfig]:
    """Mixtures of Wiener filters of 1 ... 60 groups x 5 seeds (of k-means and noise); each serves all noise factors."""
    _refuse(narrowing, "best", "betas")
    if narrowing.depths is not None:  # a mixture has no layers
        return []
    noise = NOISE_FACTORS[1:] if narrowing.noise is None else narrowing.noise
    seeds = 5 if narrowing.seeds is None else narrowing.seeds
    phase = Phase(tuple(noise), EPOCHS["mixture"] if narrowing.epochs is None else narrowing.epochs)
    return [
        MemberConfig(f"mixture-{groups}", (phase,), seed, grid="best", optimizer="em")
        for groups, seed in product(MIXTURE_GROUPS, range(seeds))
    ]


def everything(narrowing: Narrowing) -> list[MemberConfig]:
    """The members of all other grids but smoke, each once."""
    members: dict[str, MemberConfig] = {}
    for name, grid in GRIDS.items():
        if name not in ("smoke", "all"):
            for member in grid(narrowing):
                members.setdefault(member.member_id, member)
    return list(members.values())


@dataclass(frozen=True)
class Grid:
    """A grid and what it is for; calling it gives its members."""

    members: Callable[[Narrowing], list[MemberConfig]]
    question: str
    feeds: str
    """The section of the report that is made from it."""
    minutes: float
    """On 2 cores, on the simulated cohort."""

    def __call__(self, narrowing: Narrowing) -> list[MemberConfig]:
        return self.members(narrowing)


GRIDS: dict[str, Grid] = {
    "paper": Grid(
        paper,
        "How do depth, noise and sparsity change the error, done as the text says?",
        "Figs. 4-10",
        23,
    ),
    "smoke": Grid(smoke, "Does everything work here?", "all, coarsely", 0.5),
    "as-published": Grid(as_published, "What do the paper's scripts give?", "Figs. 4-10", 3),
    "autopsy": Grid(
        autopsy, "Which step of the scripts makes each of the paper's results?", "Autopsy", 20
    ),
    "cross-noise": Grid(
        cross_noise, "What does a wrong guess of the noise cost?", "Noise across levels", 16
    ),
    "mixed-noise": Grid(mixed_noise, "Can one network serve all noise levels?", "Mixed noise", 4),
    "sparsity": Grid(sparsity, "Does sparsity help, and against what?", "Sparsity", 4),
    "gene-order": Grid(gene_order, "Are there spatial features?", "Order of the genes", 6),
    "samples": Grid(samples, "How many samples are enough?", "Number of samples", 5),
    "best": Grid(
        best, "What denoises best, whatever the noise?", "the Wiener mixture, in every figure", 6
    ),
    "all": Grid(everything, "All of the questions above", "the whole report", 75),
}


def describe_grids() -> str:
    """A paragraph for each grid: question, command, networks, minutes, section of the report."""
    return "".join(
        f"{name}: {grid.question}\n"
        f"    python run_study.py --grid {name}\n"
        f"    {len(plan(name, Narrowing())):,} networks, about {grid.minutes:g} minutes on 2 cores; "
        f"report: {grid.feeds}\n"
        for name, grid in GRIDS.items()
    )


def plan(grid: str, narrowing: Narrowing) -> list[MemberConfig]:
    """The members of a grid by name, or of a function of the user's own (study/own_grid.py).

    Raises InputError for an unknown name, or an empty or double choice.
    """
    if ".py:" in grid:
        members = own_grid(grid, narrowing)
    elif grid in GRIDS:
        members = GRIDS[grid](narrowing)
    else:
        raise InputError(
            f"unknown grid {grid!r}: use one of {', '.join(GRIDS)}, or FILE.py:FUNCTION for your own"
        )
    if not members:
        raise InputError(
            f"grid {grid!r} is empty with these options: widen --depths, --noise or --betas"
        )
    if len({member.run_name for member in members}) < len(members):
        raise InputError(
            f"grid {grid!r} holds a member twice: give each depth, noise factor and beta once"
        )
    return members


def _refuse(narrowing: Narrowing, grid: str, option: str) -> None:
    if getattr(narrowing, option) is not None:
        raise InputError(f"--{option}: the grid {grid} does not vary it: leave it out")


def _epochs(narrowing: Narrowing, model: str) -> int:
    return EPOCHS[model] if narrowing.epochs is None else narrowing.epochs


def _chosen(
    narrowing: Narrowing, noise: Sequence[float], seeds: int, depths: Sequence[str] = tuple(MODELS)
) -> tuple[list[str], Sequence[float], int]:
    """Models, noise factors and number of seeds: the grid's own where they are not narrowed."""
    models = [MODELS[depth] for depth in (depths if narrowing.depths is None else narrowing.depths)]
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
