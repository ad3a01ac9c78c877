"""The grids: functions that return the networks to train, and what each grid is for.

A grid over another setting is one function and one line of GRIDS:

def learning_rate(narrowing: Narrowing) -> list[MemberConfig]:
    rates = [{"learning_rate": rate} for rate in (3e-4, 1e-3, 3e-3)]
    return _vary("learning-rate", narrowing, lambda model: rates, noise=(0.5,), seeds=3)

A user's own grid is a function in a file of theirs, `--grid my_grid.py:wide_codes`:

from models.config import MemberConfig, Phase

def wide_codes(narrowing):
    return [
        MemberConfig(f"dense-{width}", (Phase((0.5,), 100),), seed)
        for width in ("64x64", "128x128")
        for seed in range(narrowing.seeds or 3)
    ]
"""

from __future__ import annotations

import os
import runpy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from data_utils.errors import InputError
from models.config import AS_PUBLISHED, NOISE_FACTORS, PAPER_MODELS, MemberConfig, Phase, Protocol
from study.options import DEPTHS, Narrowing

#: The paper's models by the depth that names them in --depths. A grid names any other network.
MODELS = {name.removeprefix("dense-"): name for name in PAPER_MODELS}
DENSE = tuple(depth for depth in DEPTHS if depth != "conv")

#: The dense network with as many parameters as conv: 4,723 and 4,385 for 943 genes.
SMALL_DENSE = "dense-2x2"

#: Epochs of each network, after which it has converged (models/config.py).
EPOCHS = {name: model.epochs for name, model in PAPER_MODELS.items()} | {SMALL_DENSE: 160}

#: The paper's scripts trained each network for so many epochs per noise factor.
PUBLISHED_EPOCHS = 10
#: What they did with dense networks: answers in (0, 1) for data z-scored over all samples, one code
#: layer, ReLU throughout, Keras' Adadelta.
PUBLISHED_DENSE: dict[str, Any] = {
    "protocol": Protocol(AS_PUBLISHED),
    "output": "sigmoid",
    "code_layers": 1,
    "code_activation": "relu",
    "initialisation": "glorot",
    "optimizer": "adadelta",
    "learning_rate": 1.0,
    "scaling": "all",
}
#: With conv, too: images are cuts of the stream of all numbers, and the loss is binary
#: cross-entropy.
PUBLISHED_CONV: dict[str, Any] = {**PUBLISHED_DENSE, "layout": "stream", "loss": "bce"}

#: Groups of samples in a mixture of Wiener filters, among which validation chooses; and the
#: rounds of its fit.
MIXTURE_GROUPS = (1, 8, 20, 40, 60)
MIXTURE_ROUNDS = 3


def paper(narrowing: Narrowing) -> list[MemberConfig]:
    """Depth x noise {0.0, ..., 1.0} x beta {0, 1e-3, 1e-2} x 3 seeds; conv without beta."""
    terms = _terms(narrowing, (0.0, 1e-3, 1e-2))
    return _vary("paper", narrowing, terms, noise=NOISE_FACTORS, seeds=3)


def smoke(narrowing: Narrowing) -> list[MemberConfig]:
    """Every model at two noise factors for a few epochs: within a minute on 2 cores."""
    few = narrowing if narrowing.epochs is not None else replace(narrowing, epochs=4)
    return _vary("smoke", few, _terms(few, (0.0, 1e-3)), noise=(0.1, 0.5), seeds=1)


def as_published(narrowing: Narrowing) -> list[MemberConfig]:
    """What the paper's scripts did: each model carried through noise 0.0, ..., 1.0, 3 seeds."""
    _refuse(narrowing, "as-published", "betas")
    models, noise, seeds = _chosen(narrowing, NOISE_FACTORS, 3)
    epochs = PUBLISHED_EPOCHS if narrowing.epochs is None else narrowing.epochs
    phases = tuple(Phase((float(a),), epochs) for a in noise)
    settings = {model: PUBLISHED_CONV if model == "conv" else PUBLISHED_DENSE for model in models}
    return [
        MemberConfig(model, phases, seed, grid="as-published", **settings[model])
        for model, seed in product(models, range(seeds))
    ]


def autopsy(narrowing: Narrowing) -> list[MemberConfig]:
    """As published, and with one item at a time set right, which shows what makes each claim."""
    members = []
    for published in as_published(narrowing):
        epochs = _epochs(narrowing, published.model)
        members += [published, *corrections(published, epochs)]
    return [replace(member, grid="autopsy") for member in members]


def corrections(published: MemberConfig, epochs: int) -> list[MemberConfig]:
    """Copies of the published network with one item corrected each; `protocol.changed` names it.

    `epochs` are those that Adam needs to converge. Evaluation on noisy test rows needs no network
    of its own: every network is measured both ways.
    """
    changes: dict[str, dict[str, Any]] = {
        "linear output": {"output": "linear", "loss": "mse"},
        "Adam to convergence": {
            "optimizer": "adam",
            "learning_rate": 1e-3,
            "phases": tuple(replace(phase, epochs=epochs) for phase in published.phases),
        },
        "scaled on training rows": {"scaling": "train"},
    }
    if published.model == "conv":
        changes["one image per sample"] = {"layout": "sample"}
    else:
        changes["two code layers"] = {"code_layers": 2}
    named = [("fresh network per level", {"phases": (phase,)}) for phase in published.phases]
    return [
        replace(published, protocol=Protocol(AS_PUBLISHED, name), **change)
        for name, change in (*named, *changes.items())
    ]


def cross_noise(narrowing: Narrowing) -> list[MemberConfig]:
    """Every model trained at each noise factor; every network is tested at all of them."""
    terms = _terms(narrowing, (0.0,))
    return _vary("cross-noise", narrowing, terms, noise=NOISE_FACTORS, seeds=3)


def mixed_noise(narrowing: Narrowing) -> list[MemberConfig]:
    """Dense models: one network for all noise factors, one that is told them, and specialists."""
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
    betas = (1e-3, 1e-2, 1e-1) if narrowing.betas is None else [b for b in narrowing.betas if b]
    terms: list[dict] = [{}]
    terms += [{"beta": b, "rho": rho} for b, rho in product(betas, (0.01, 0.05, 0.2))]
    terms += [{"beta": b, "sparsity": "l1"} for b in betas]
    return _vary("sparsity", narrowing, lambda model: terms, noise=(0.5,), seeds=3, depths=DENSE)


def gene_order(narrowing: Narrowing) -> list[MemberConfig]:
    """Conv and a dense network as small at noise 0.5 x orders of the genes x 6 seeds."""
    _refuse(narrowing, "gene-order", "betas")
    orders = {
        "conv": ("given", "random", "correlation", "shuffled"),
        SMALL_DENSE: ("given", "shuffled"),
    }
    chosen, noise, seeds = _chosen(narrowing, (0.5,), 6)
    models = ["conv"] if "conv" in chosen else []
    models += [SMALL_DENSE] if set(chosen) - {"conv"} else []
    return _members(
        "gene-order",
        narrowing,
        (models, noise, seeds),
        lambda model: [{"gene_order": order} for order in orders[model]],
    )


def samples(narrowing: Narrowing) -> list[MemberConfig]:
    """Dense models at noise 0.5 x 10 % ... 100 % of the training samples x 3 seeds.

    Epochs are in inverse proportion, so that all have the same number of updates.
    """
    _refuse(narrowing, "samples", "betas")
    tenths = range(1, 11)
    shares = [{"train_fraction": tenth / 10} for tenth in tenths]
    members = _vary("samples", narrowing, lambda model: shares, noise=(0.5,), seeds=3, depths=DENSE)

    def longer(member: MemberConfig) -> MemberConfig:
        [phase] = member.phases
        epochs = round(phase.epochs * 10 / round(member.train_fraction * 10))
        return replace(member, phases=(replace(phase, epochs=epochs),))

    return [longer(member) for member in members]


def best(narrowing: Narrowing) -> list[MemberConfig]:
    """Mixtures of Wiener filters of 1 ... 60 groups x 5 seeds; each serves all noise factors."""
    _refuse(narrowing, "best", "betas")
    if narrowing.depths is not None:  # a mixture has no layers
        return []
    noise = NOISE_FACTORS[1:] if narrowing.noise is None else narrowing.noise
    seeds = 5 if narrowing.seeds is None else narrowing.seeds
    phase = Phase(tuple(noise), MIXTURE_ROUNDS if narrowing.epochs is None else narrowing.epochs)
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
        """Return its networks."""
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
        f"    {len(plan(name, Narrowing())):,} networks, about {grid.minutes:g} minutes on 2 cores"
        f"; report: {grid.feeds}\n"
        for name, grid in GRIDS.items()
    )


def plan(grid: str, narrowing: Narrowing) -> list[MemberConfig]:
    """The members of a grid by name, or of a user's own function (`own_grid`).

    Raises InputError for an unknown name, or an empty or double choice.
    """
    if ".py:" in grid:
        members = own_grid(grid, narrowing)
    elif grid in GRIDS:
        members = GRIDS[grid](narrowing)
    else:
        raise InputError(
            f"--grid {grid}: unknown: use one of {', '.join(GRIDS)}, or FILE.py:FUNCTION"
        )
    if not members:
        raise InputError(
            f"--grid {grid}: empty with these options: widen --depths, --noise or --betas"
        )
    if len({member.run_name for member in members}) < len(members):
        raise InputError(
            f"--grid {grid}: holds a member twice: give each depth, noise factor and beta once"
        )
    return members


def own_grid(spec: str, narrowing: Narrowing) -> list[MemberConfig]:
    """Execute a user's Python file and return the networks that its function asks for.

    `spec` is FILE.py:FUNCTION. Raises InputError if the file or the function is missing or fails,
    or if it returns something other than MemberConfigs.
    """
    path, _, name = spec.rpartition(":")
    file = Path(os.path.expanduser(path))
    if not os.path.isfile(file):  # False, too, for a path that is impossible
        raise InputError(f"--grid {spec}: no file {file}: give FILE.py:FUNCTION")
    try:
        function = runpy.run_path(str(file)).get(name)
        members = list(function(narrowing)) if callable(function) else None
    except InputError as error:
        raise InputError(f"--grid {spec}: {str(error).removeprefix('--grid ')}") from None
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"--grid {spec}: {type(error).__name__}: {reason}: fix it") from error
    if members is None:
        raise InputError(f"--grid {spec}: no function {name!r} in {file}: give FILE.py:FUNCTION")
    if not all(isinstance(member, MemberConfig) for member in members):
        raise InputError(f"--grid {spec}: {name} must return MemberConfigs (models/config.py)")
    return members


def _refuse(narrowing: Narrowing, grid: str, option: str) -> None:
    if getattr(narrowing, option) is not None:
        raise InputError(f"--{option}: does not vary in the grid {grid}: leave it out")


def _epochs(narrowing: Narrowing, model: str) -> int:
    return EPOCHS[model] if narrowing.epochs is None else narrowing.epochs


def _chosen(
    narrowing: Narrowing, noise: Sequence[float], seeds: int, depths: Sequence[str] = DEPTHS
) -> tuple[list[str], Sequence[float], int]:
    """Models, noise factors and number of seeds: the grid's own unless they are narrowed."""
    models = [MODELS[depth] for depth in (depths if narrowing.depths is None else narrowing.depths)]
    noise = noise if narrowing.noise is None else narrowing.noise
    return models, noise, seeds if narrowing.seeds is None else narrowing.seeds


#: Of a model, the settings that a grid gives it, by name.
Settings = Callable[[str], Iterable[dict]]


def _terms(narrowing: Narrowing, betas: Sequence[float]) -> Settings:
    """The sparsity terms of each model; conv is trained without one, as in the paper."""
    terms = [{"beta": beta} for beta in (betas if narrowing.betas is None else narrowing.betas)]
    return lambda model: [term for term in terms if model != "conv" or term["beta"] == 0]


def _vary(
    grid: str,
    narrowing: Narrowing,
    settings: Settings,
    *,
    noise: Sequence[float],
    seeds: int,
    depths: Sequence[str] = DEPTHS,
) -> list[MemberConfig]:
    """The paper's models (those of `depths`) x noise x settings x seeds, as narrowed."""
    return _members(grid, narrowing, _chosen(narrowing, noise, seeds, depths), settings)


def _members(
    grid: str,
    narrowing: Narrowing,
    chosen: tuple[Sequence[str], Sequence[float], int],
    settings: Settings,
) -> list[MemberConfig]:
    models, noise, seeds = chosen
    return [
        MemberConfig(
            model, (Phase((float(a),), _epochs(narrowing, model)),), seed, grid=grid, **setting
        )
        for model in models
        for a, setting, seed in product(noise, settings(model), range(seeds))
    ]
