"""The grids: functions that return the networks to train, each declared with its purpose.

A grid over another setting is one function:

@grid("learning-rate", "Which learning rate?", feeds="Other", minutes=5)
def learning_rate(narrowing: Narrowing) -> list[MemberConfig]:
    rates = [{"learning_rate": rate} for rate in (3e-4, 1e-3, 3e-3)]
    return _vary(narrowing, rates, noise=(0.5,), seeds=3)

A user's own grid is a function in another file, `--grid my_grid.py:wide_codes`:

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
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from pathlib import Path
from typing import Any

from data_utils.errors import InputError
from models.config import (
    AS_PUBLISHED,
    AS_WRITTEN,
    NOISE_FACTORS,
    PAPER_MODELS,
    SMALL_CODE,
    SMALL_DENSE,
    USUAL_TRAINING,
    MemberConfig,
    Phase,
    Protocol,
    training_settings,
)
from study.options import DEPTHS, Narrowing

#: The paper's models by the depth that names them in --depths. A grid names any other network.
MODELS = {name.removeprefix("dense-"): name for name in PAPER_MODELS}
DENSE = tuple(depth for depth in DEPTHS if depth != "conv")

#: Noise factors for conjectures of the paper for which it trained no networks.
THREE_NOISE = (0.1, 0.5, 1.0)
#: Noise factors of the quick grid: the ends, the middle and 0.2.
QUICK_NOISE = (0.0, 0.2, 0.5, 1.0)

#: Epochs of a network without a usual training.
OTHER_EPOCHS = 100
#: Samples for which the usual epochs were chosen: those of the simulated cohort.
USUAL_SAMPLES = 2921

#: Epochs per noise factor in the paper's scripts.
PUBLISHED_EPOCHS = 10
#: Settings of dense networks in the paper's scripts: outputs in (0, 1) for data z-scored over all
#: samples, one code layer, ReLU in all hidden layers, Keras' Adadelta.
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
#: One script, whose steps Fig. 6 shows, trained for 50 epochs; named like the autopsy's items.
LONG_EPOCHS, LONG = 50, "50 epochs per level"
#: Settings of conv in the paper's scripts: in addition, images are cut from the stream of all
#: numbers, input and target are clean, batches have 127 rows, the loss is binary cross-entropy.
PUBLISHED_CONV: dict[str, Any] = {
    **PUBLISHED_DENSE,
    "layout": "stream",
    "loss": "bce",
    "batch_size": 127,
    "noise_draws": "none",
}

#: Items of the scripts that can be corrected in any combination; `Protocol.changed` names them.
FRESH_NETWORK, LINEAR_OUTPUT, ADAM, FRESH_NOISE = FACTORS = (
    "fresh network per level",
    "linear output",
    "Adam to convergence",
    "fresh noise every epoch",
)
#: Highest rate of Adam for a ReLU code: at 0.02 dense-2's error is up to 1.6 times as large.
RELU_RATE = 0.005
#: Further items that can be corrected, by model: see `correctable`.
SCALED, TWO_CODES = "scaled on training rows", "two code layers"
NOISY_INPUT, ONE_IMAGE = "noisy input", "one image per sample"
#: Noise factors at which the autopsy trains fresh networks: the ends and the middle.
AUTOPSY_NOISE = (0.0, 0.5, 1.0)

#: Numbers of groups in a mixture of Wiener filters, from which validation chooses; the number in
#: the grid paper; and the rounds of the fit.
MIXTURE_GROUPS = (1, 8, 20, 40, 60)
PAPER_MIXTURE = 20
MIXTURE_ROUNDS = 3

#: The grid that compares noise draws, which therefore refuses --noise-draws.
FRESH_NOISE_GRID = "fresh-noise"

#: A function that makes the networks of a grid, narrowed by the command line.
Members = Callable[[Narrowing], list[MemberConfig]]


@dataclass(frozen=True)
class Grid:
    """A grid with its purpose; calling it returns its members, which carry its name."""

    name: str
    members: Members
    question: str
    feeds: str
    """The section of the report that shows its networks."""
    minutes: float
    """Minutes that it takes on 2 cores, on the simulated cohort."""
    other_genes: bool = False
    """Whether it predicts a file's other genes, and so needs a file that has such genes."""

    def __call__(self, narrowing: Narrowing) -> list[MemberConfig]:
        """Return the networks of the grid, as narrowed."""
        return [m if m.grid else replace(m, grid=self.name) for m in self.members(narrowing)]


#: By name, in the order of declaration.
GRIDS: dict[str, Grid] = {}


def grid(
    name: str, question: str, *, feeds: str, minutes: float, other_genes: bool = False
) -> Callable[[Members], Members]:
    """Declare the decorated function as a grid, with the fields of `Grid`."""

    def declare(members: Members) -> Members:
        GRIDS[name] = Grid(name, members, question, feeds, minutes, other_genes)
        return members

    return declare


@grid(
    "paper",
    "What did the paper do, what did it say it did, and do its claims hold?",
    feeds="Figs. 1-10, all claims",
    minutes=30,
)
def paper(narrowing: Narrowing) -> list[MemberConfig]:
    """Both protocols (grids as-written and as-published) and a mixture to compare; 5 seeds.

    One number of groups is enough here: the mixture is close to the best one of the grid best.
    """
    members = as_written(narrowing)
    if 0 in _either(narrowing.betas, (0,)):
        members += as_published(narrowing) + _mixtures(narrowing, (PAPER_MIXTURE,))
    return members


@grid("quick", "The same, coarsely: what is there to see?", feeds="as paper", minutes=4)
def quick(narrowing: Narrowing) -> list[MemberConfig]:
    """The grid paper with 3 seeds, 4 noise factors, and a third of the as-written epochs."""
    few = replace(
        narrowing, seeds=_either(narrowing.seeds, 3), noise=_either(narrowing.noise, QUICK_NOISE)
    )
    members = paper(few)
    return members if narrowing.epochs is not None else [*map(_shorter, members)]


def _shorter(member: MemberConfig) -> MemberConfig:
    """Return an as-written network with a third of its epochs, any other as it is."""
    if member.protocol.name != AS_WRITTEN:
        return member
    phases = tuple(replace(phase, epochs=max(1, phase.epochs // 3)) for phase in member.phases)
    return replace(member, phases=phases)


@grid("smoke", "Does everything work here?", feeds="all, coarsely", minutes=0.5)
def smoke(narrowing: Narrowing) -> list[MemberConfig]:
    """Every model at two noise factors for a few epochs: within a minute on 2 cores."""
    few = replace(narrowing, epochs=_either(narrowing.epochs, 4))
    return _vary(few, _terms(few, 0.0, 1e-3), noise=(0.1, 0.5), seeds=1)


@grid(
    "as-written",
    "How do depth, noise and sparsity change the error, done as the text says?",
    feeds="Figs. 4-10",
    minutes=20,
)
def as_written(narrowing: Narrowing) -> list[MemberConfig]:
    """Depth x noise {0.0, ..., 1.0}; at three noise factors beta 0.01 and a smaller code; 5 seeds.

    Claim C6 compares sparsity and code size. The paper trained no beta above 0, so beta 0.01 gets
    only the networks that the claim needs; --noise gives all terms the same noise factors.
    """
    plain, sparse = (
        [term for term in _terms(narrowing, 0.0, 1e-2) if bool(term["beta"]) == kind]
        for kind in (False, True)
    )
    members = _vary(narrowing, plain, noise=NOISE_FACTORS, seeds=5)
    members += _vary(narrowing, sparse, noise=THREE_NOISE, seeds=5)
    if plain and "4" in _either(narrowing.depths, DEPTHS):
        members += _vary(narrowing, plain, noise=THREE_NOISE, seeds=5, models=[SMALL_CODE])
    return members


@grid("as-published", "What do the paper's scripts give?", feeds="Figs. 4-10", minutes=5)
def as_published(narrowing: Narrowing) -> list[MemberConfig]:
    """Networks trained as in the paper's scripts: carried through noise 0.0, ..., 1.0, 5 seeds.

    dense-2 is also trained for the 50 epochs per level of the script of Fig. 6.
    """
    given = narrowing.epochs is not None
    levels = _either(narrowing.noise, NOISE_FACTORS)
    members = []
    for model, seed in product(_models(narrowing), range(_either(narrowing.seeds, 5))):
        settings = PUBLISHED_CONV if model == "conv" else PUBLISHED_DENSE
        phases = tuple(Phase((a,), _either(narrowing.epochs, PUBLISHED_EPOCHS)) for a in levels)
        member = MemberConfig(model, phases, seed, **settings)
        members.append(member)
        if model == "dense-2" and not given:
            phases = tuple(Phase((a,), LONG_EPOCHS) for a in levels)
            protocol = Protocol(AS_PUBLISHED, (LONG,))
            members.append(replace(member, phases=phases, protocol=protocol))
    return members


@grid(
    "autopsy",
    "Which steps of the scripts make each of the paper's results?",
    feeds="Autopsy",
    minutes=20,
)
def autopsy(narrowing: Narrowing) -> list[MemberConfig]:
    """As published, and dense models with every combination of FACTORS corrected, 3 seeds.

    The other items, and all items of the conv network, are corrected one at a time. Fresh networks
    are trained at a few noise factors only.
    """
    levels = _either(narrowing.noise, AUTOPSY_NOISE)
    return [
        member
        for network in as_published(replace(narrowing, seeds=_either(narrowing.seeds, 3)))
        if not network.protocol.changed
        for member in (network, *corrections(network, _epochs(narrowing, network.model), levels))
    ]


def correctable(model: str) -> tuple[str, ...]:
    """Return the items that can be corrected in a model: the scripts of dense and conv differ."""
    if model == "conv":
        return (FRESH_NETWORK, LINEAR_OUTPUT, ADAM, NOISY_INPUT, SCALED, ONE_IMAGE)
    return (*FACTORS, SCALED, TWO_CODES)


def corrections(
    published: MemberConfig, epochs: int, levels: Sequence[float]
) -> list[MemberConfig]:
    """Return copies of the published network with items corrected, named in `protocol.changed`.

    `epochs` are those that Adam needs to converge. A carried network starts each further level from
    converged weights, and trains a quarter as long there. Fresh networks are trained at those of
    `levels` that the published one was carried through. Evaluation on noisy test rows needs no
    further networks, since every network is measured both ways.
    """
    items = correctable(published.model)
    factors = FACTORS if set(FACTORS) <= set(items) else ()
    sizes = range(1, len(factors) + 1)
    sets = [chosen for size in sizes for chosen in combinations(factors, size)]
    sets += [(item,) for item in items if item not in factors]
    return [
        member for chosen in sets for member in _corrected(published, chosen, epochs, set(levels))
    ]


def _corrected(
    published: MemberConfig, items: tuple[str, ...], epochs: int, levels: Collection[float]
) -> list[MemberConfig]:
    """Return the published network with all of these items corrected; one per level if fresh."""
    usual = training_settings(published.model)
    usual["learning_rate"] = min(usual["learning_rate"], RELU_RATE)
    changes: dict[str, dict[str, Any]] = {
        LINEAR_OUTPUT: {"output": "linear", "loss": "mse"},
        ADAM: {"optimizer": "adam", **usual},
        FRESH_NOISE: {"noise_draws": "fresh"},
        NOISY_INPUT: {"noise_draws": "once"},
        SCALED: {"scaling": "train"},
        ONE_IMAGE: {"layout": "sample"},
        TWO_CODES: {"code_layers": 2},
    }
    content: dict[str, Any] = {"protocol": Protocol(published.protocol.name, items)}
    for item in items:
        content |= changes.get(item, {})
    phases, fresh = published.phases, FRESH_NETWORK in items
    if fresh:
        phases = tuple(phase for phase in phases if phase.noise_factor in levels)
    if ADAM in items:
        further = epochs if fresh else max(1, round(epochs / 4))
        phases = tuple(
            replace(phase, epochs=further if i else epochs) for i, phase in enumerate(phases)
        )
    schedules = [(phase,) for phase in phases] if fresh else [phases]
    return [replace(published, phases=schedule, **content) for schedule in schedules]


@grid(
    "cross-noise",
    "What does a wrong guess of the noise cost?",
    feeds="Noise across levels",
    minutes=16,
)
def cross_noise(narrowing: Narrowing) -> list[MemberConfig]:
    """Every model trained at each noise factor and tested at all of them; 3 seeds."""
    return _vary(narrowing, _terms(narrowing, 0.0), noise=NOISE_FACTORS, seeds=3)


@grid("mixed-noise", "Can one network serve all noise factors?", feeds="Mixed noise", minutes=4)
def mixed_noise(narrowing: Narrowing) -> list[MemberConfig]:
    """Dense models for all noise factors, without and with the factor as input, and specialists."""
    noise = _either(narrowing.noise, NOISE_FACTORS)
    members = []
    for model, seed in product(_models(narrowing, DENSE), range(_either(narrowing.seeds, 3))):
        epochs = _epochs(narrowing, model)
        mixed = MemberConfig(model, (Phase(noise, epochs),), seed, **training_settings(model))
        told = [replace(mixed, noise_input=True)] if model != "conv" else []
        members += [mixed, *told, *(replace(mixed, phases=(Phase((a,), epochs),)) for a in noise)]
    return members


@grid("sparsity", "Does sparsity help, and against what?", feeds="Sparsity", minutes=4)
def sparsity(narrowing: Narrowing) -> list[MemberConfig]:
    """Dense models at noise 0.5 x {none, KL x beta x rho, L1 x beta} x 3 seeds."""
    betas = [beta for beta in _either(narrowing.betas, (1e-3, 1e-2, 1e-1)) if beta]
    terms: list[dict[str, Any]] = [{}]
    terms += [{"beta": b, "rho": rho} for b, rho in product(betas, (0.01, 0.05, 0.2))]
    terms += [{"beta": b, "sparsity": "l1"} for b in betas]
    return _vary(narrowing, terms, noise=(0.5,), seeds=3, depths=DENSE)


@grid(FRESH_NOISE_GRID, "What is fresh noise worth?", feeds="Fresh noise", minutes=4)
def fresh_noise(narrowing: Narrowing) -> list[MemberConfig]:
    """Dense models at three noise factors x {noise drawn once, in every epoch} x 5 seeds."""
    draws = [{"noise_draws": draws} for draws in ("once", "fresh")]
    return _vary(narrowing, draws, noise=THREE_NOISE, seeds=5, depths=DENSE)


@grid("gene-order", "Are there spatial features?", feeds="Order of the genes", minutes=6)
def gene_order(narrowing: Narrowing) -> list[MemberConfig]:
    """Conv, and a dense network of the same size, at noise 0.5 x orders of the genes x 6 seeds."""
    orders = {
        "conv": ("given", "random", "correlation", "chromosome", "shuffled"),
        SMALL_DENSE: ("given", "shuffled"),
    }
    chosen = {model if model == "conv" else SMALL_DENSE for model in _models(narrowing)}
    return [
        member
        for model in sorted(chosen)
        for member in _vary(
            narrowing,
            [{"gene_order": order} for order in orders[model]],
            noise=(0.5,),
            seeds=6,
            models=[model],
        )
    ]


@grid("samples", "How many samples are enough?", feeds="Number of samples", minutes=5)
def samples(narrowing: Narrowing) -> list[MemberConfig]:
    """Dense models at noise 0.5 x 10 % ... 100 % of the training samples x 3 seeds.

    Epochs are in inverse proportion, so that all networks have the same number of updates.
    """
    shares = [{"train_fraction": tenth / 10} for tenth in range(1, 11)]

    def longer(member: MemberConfig) -> MemberConfig:
        [phase] = member.phases
        epochs = round(phase.epochs * 10 / round(member.train_fraction * 10))
        return replace(member, phases=(replace(phase, epochs=epochs),))

    return [*map(longer, _vary(narrowing, shares, noise=(0.5,), seeds=3, depths=DENSE))]


@grid(
    "best",
    "Which mixture of Wiener filters has the least error?",
    feeds="the Wiener mixture, in every figure",
    minutes=6,
)
def best(narrowing: Narrowing) -> list[MemberConfig]:
    """Mixtures of Wiener filters with 1 ... 60 groups x 5 seeds, each for all noise factors."""
    return _mixtures(narrowing, MIXTURE_GROUPS)


def _mixtures(narrowing: Narrowing, sizes: Sequence[int]) -> list[MemberConfig]:
    """Return mixtures of these numbers of groups; none if --depths chooses layers."""
    if narrowing.depths is not None:
        return []
    noise = _either(narrowing.noise, NOISE_FACTORS[1:])
    phase = Phase(noise, _either(narrowing.epochs, MIXTURE_ROUNDS))
    return [
        MemberConfig(f"mixture-{groups}", (phase,), seed)
        for groups, seed in product(sizes, range(_either(narrowing.seeds, 5)))
    ]


@grid(
    "inference",
    "Can the other genes of a file be denoised, too?",
    feeds="Other genes",
    minutes=5,
    other_genes=True,
)
def inference(narrowing: Narrowing) -> list[MemberConfig]:
    """Dense-4 at noise 0.1 ... 1.0, and mixtures of Wiener filters; 5 seeds.

    They denoise landmark genes, from which the file's other genes are predicted after the training
    (study/evidence/inference.py).
    """
    networks = _vary(
        narrowing, _terms(narrowing, 0.0), noise=NOISE_FACTORS[1:], seeds=5, depths=("4",)
    )
    return [*networks, *best(replace(narrowing, depths=None))]


@grid("all", "All of the questions above", feeds="the whole report", minutes=75)
def everything(narrowing: Narrowing) -> list[MemberConfig]:
    """The members of the other grids, each once and under the name of its grid.

    Left out are quick, smoke and the grids that need a file with more genes.
    """
    members: dict[str, MemberConfig] = {}
    names = [name for name, its in GRIDS.items() if not its.other_genes]
    for name in [name for name in names if name not in ("quick", "smoke", "all")]:
        for member in GRIDS[name](narrowing):
            members.setdefault(member.member_id, member)
    return list(members.values())


def describe_grids() -> str:
    """Return a paragraph for each grid: question, command, networks, minutes, report section."""
    return "".join(
        f"{name}: {grid.question}\n"
        f"    python run_study.py --grid {name}{' --data FILE' * grid.other_genes}\n"
        f"    {len(plan(name, Narrowing())):,} networks, about {grid.minutes:g} minutes on 2 cores"
        f"; report: {grid.feeds}\n"
        for name, grid in GRIDS.items()
    )


def plan(grid: str, narrowing: Narrowing) -> list[MemberConfig]:
    """Return the members of a grid by name, or of a user's own function (`own_grid`).

    Raises InputError for an unknown name, for options that leave no network or repeat one, and for
    --betas or --noise-draws without an effect on this grid.
    """
    if ".py:" in grid:
        members = own_grid(grid, narrowing)
    elif grid in GRIDS:
        members = GRIDS[grid](narrowing)
    else:
        raise InputError(
            f"--grid {grid}: unknown: use one of {', '.join(GRIDS)}, or FILE.py:FUNCTION"
        )
    if narrowing.noise_draws is not None:
        if grid == FRESH_NOISE_GRID:
            raise InputError(
                f"--noise-draws {narrowing.noise_draws}: {grid} compares the draws: leave it out"
            )
        members = _with_noise_draws(members, narrowing.noise_draws)
    if not members:
        raise InputError(
            f"--grid {grid}: empty with these options: widen --depths, --noise or --betas"
        )
    if narrowing.betas and not {member.beta for member in members} & set(narrowing.betas):
        raise InputError(f"--betas: does not vary in the grid {grid}: leave it out")
    _check_names(grid, members)
    return members


def _check_names(grid: str, members: list[MemberConfig]) -> None:
    """Raise InputError for a network that is planned twice, or two that share a name.

    Tables and the report name a network by `run_name`, which leaves out the epochs and, with a
    protocol other than as-written, all settings that the protocol stands for.
    """
    first: dict[str, MemberConfig] = {}
    for member in members:
        other = first.setdefault(member.run_name, member)
        if other is member:
            continue
        if other == member:
            raise InputError(
                f"--grid {grid}: holds {member.run_name} twice: "
                "give each depth, noise factor and beta once"
            )
        one, two = other.as_dict(), member.as_dict()
        different = [name for name in one if name != "grid" and one[name] != two[name]]
        words = ", ".join("epochs" if name == "phases" else name for name in different)
        raise InputError(
            f"--grid {grid}: two networks have the name {member.run_name} and differ in {words}: "
            f"give one a protocol of its own, such as Protocol({member.protocol.name!r}, "
            f"('{member.epochs} epochs',))"
        )


def _with_noise_draws(members: list[MemberConfig], draws: str) -> list[MemberConfig]:
    """Give all members with noise these draws; of members that become equal, keep the first."""
    kept: dict[MemberConfig, MemberConfig] = {}
    for member in members:
        if member.noise_draws != "none":
            member = replace(member, noise_draws=draws)
        kept.setdefault(replace(member, protocol=Protocol(member.protocol.name)), member)
    return list(kept.values())


def predicts_other_genes(grid: str) -> bool:
    """Whether a grid, by its name, needs a file with more genes than the landmark genes."""
    return grid in GRIDS and GRIDS[grid].other_genes


def own_grid(spec: str, narrowing: Narrowing) -> list[MemberConfig]:
    """Execute a user's Python file and return the networks that its function makes.

    `spec` is FILE.py:FUNCTION. Raises InputError if the file or the function is missing or fails,
    or if it returns something other than MemberConfigs.
    """
    path, _, name = spec.rpartition(":")
    file = Path(os.path.expanduser(path))
    if not os.path.isfile(file):  # also False for an impossible path
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


def _either(given: Any, usual: Any) -> Any:
    return usual if given is None else given


def _epochs(narrowing: Narrowing, model: str) -> int:
    """Return the epochs that a network needs to converge.

    A network needs a certain number of updates, and data with fewer samples have fewer in an epoch.
    """
    usual = USUAL_TRAINING.get(model)
    longer = max(1.0, USUAL_SAMPLES / (narrowing.samples or USUAL_SAMPLES))
    return _either(narrowing.epochs, round(longer * (usual.epochs if usual else OTHER_EPOCHS)))


def _models(narrowing: Narrowing, depths: Sequence[str] = DEPTHS) -> list[str]:
    return [MODELS[depth] for depth in _either(narrowing.depths, depths)]


def _terms(narrowing: Narrowing, *betas: float) -> list[dict[str, Any]]:
    return [{"beta": beta} for beta in _either(narrowing.betas, betas)]


def _vary(
    narrowing: Narrowing,
    settings: Sequence[dict[str, Any]],
    *,
    noise: Sequence[float],
    seeds: int,
    depths: Sequence[str] = DEPTHS,
    models: Sequence[str] | None = None,
) -> list[MemberConfig]:
    """Return models x noise x settings x seeds, as narrowed; models default to those of `depths`.

    Each network has its model's usual training, changed by the settings. conv is trained without a
    sparsity term, as in the paper.
    """
    return [
        MemberConfig(
            *(model, (Phase((a,), _epochs(narrowing, model)),), seed),
            **{**training_settings(model), **setting},
        )
        for model in models or _models(narrowing, depths)
        for a, setting, seed in product(
            _either(narrowing.noise, noise), settings, range(_either(narrowing.seeds, seeds))
        )
        if not (model == "conv" and setting.get("beta"))
    ]
