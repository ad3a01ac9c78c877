"""The frozen description of one network of a study, whose hash is the network's identity."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache, cached_property
from typing import Any

from data_utils.errors import InputError
from data_utils.preparation import LAYOUTS, SCALINGS
from models.architecture import Architecture, MixtureArchitecture, architecture

#: The paper's noise factors.
NOISE_FACTORS = tuple(round(0.1 * i, 1) for i in range(11))
#: Units of the paper's code.
PAPER_CODE = 32
#: Rows that are evaluated at a time.
EVALUATION_ROWS = 1024
#: The two protocols: training as in the paper's text, and as in its scripts.
AS_WRITTEN, AS_PUBLISHED = "as-written", "as-published"


@dataclass(frozen=True)
class UsualTraining:
    """The usual training of a network in the as-written protocol.

    The paper's text leaves these settings open. docs/paper.md explains how they were chosen, and
    what twice as many epochs change.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    rate_schedule: str = "cosine"


#: The paper's five models by name, in its order, each with its figure.
PAPER_MODELS = {"dense-2": 6, "dense-4": 7, "dense-6": 8, "dense-8": 9, "conv": 10}
#: dense-4 with half the code; and the dense network with about as many parameters as conv (4,723,
#: and 4,385 of conv, for 943 genes).
SMALL_CODE, SMALL_DENSE = "dense-64x16x16x64", "dense-2x2"
#: Usual training by model, chosen for the 2,921 samples of the simulated cohort.
USUAL_TRAINING = {
    "dense-2": UsualTraining(epochs=80, batch_size=64, learning_rate=0.02),
    "dense-4": UsualTraining(epochs=50, batch_size=64, learning_rate=0.005),
    "dense-6": UsualTraining(epochs=40, batch_size=64, learning_rate=0.002),
    "dense-8": UsualTraining(epochs=35, batch_size=64, learning_rate=0.002),
    "conv": UsualTraining(epochs=80, batch_size=32, learning_rate=0.005),
    SMALL_DENSE: UsualTraining(epochs=160, batch_size=64, learning_rate=0.005),
}
USUAL_TRAINING[SMALL_CODE] = USUAL_TRAINING["dense-4"]
DENSE_MODELS = tuple(name for name in PAPER_MODELS if name != "conv")

#: Order of the genes in a network's input: models/member_data.py.
GENE_ORDERS = ("given", "random", "correlation", "chromosome", "shuffled")
#: Noise of the training rows: one set per noise factor for all epochs, as in the paper (section 5:
#: "ten additional training and test datasets were created"), or new draws in every batch. With
#: "none" the training rows stay clean, and the noise factor serves only to measure the network.
NOISE_DRAWS = ("once", "fresh", "none")
#: Schedules of the learning rate: models/engine/optimizers.py.
RATE_SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True)
class Phase:
    """A stretch of training with one noise factor, or with several of which each row draws one."""

    noise_factors: tuple[float, ...]
    epochs: int

    @property
    def noise_factor(self) -> float:
        """The one noise factor; NaN if there are several."""
        return self.noise_factors[0] if len(self.noise_factors) == 1 else math.nan


@dataclass(frozen=True)
class Protocol:
    """How a network is trained; `changed` names the items of `as-published` that are corrected.

    The items are sorted and unique. Tables hold them as one text (`changes`), which `items_of`
    splits.
    """

    name: str = AS_WRITTEN
    changed: tuple[str, ...] = ()

    def __post_init__(self):
        if isinstance(self.changed, str) or not all(
            isinstance(item, str) and item and _PLUS not in item for item in self.changed
        ):
            raise InputError(
                f"protocol changed is {self.changed!r:.60}: give a tuple of names without {_PLUS!r}"
            )
        object.__setattr__(self, "changed", tuple(sorted(set(self.changed))))

    @property
    def changes(self) -> str:
        """Return the items as one text: `` or `fresh network per level + linear output`."""
        return _PLUS.join(self.changed)

    def __str__(self) -> str:
        """For display: `as-written`, or `as-published, linear output`."""
        return f"{self.name}, {self.changes}" if self.changed else self.name


_PLUS = " + "  # between the items of a protocol


def items_of(changes: str) -> tuple[str, ...]:
    """Return the items in a text of `Protocol.changes`."""
    return tuple(changes.split(_PLUS)) if changes else ()


@dataclass(frozen=True)
class MemberConfig:
    """One network: its architecture, its training, and the seed of its random streams.

    `phases` is the noise schedule; a network is measured after each phase. One phase is the normal
    case. Several phases carry one network along, as the paper's scripts did. Several noise factors
    in a phase mix noise levels.
    """

    model: str
    phases: tuple[Phase, ...]
    seed: int = 0
    beta: float = 0.0
    rho: float = 0.05
    sparsity: str = "kl"
    learning_rate: float = 1e-3
    batch_size: int = 256
    optimizer: str = "adam"
    output: str = "linear"
    protocol: Protocol = Protocol()
    grid: str = field(default="", compare=False)
    code_layers: int = 2
    code_activation: str = "sigmoid"
    initialisation: str = "centred"
    loss: str = "mse"
    scaling: str = "train"
    layout: str = "sample"
    gene_order: str = "given"
    train_fraction: float = 1.0
    noise_input: bool = False
    noise_draws: str = "once"
    rate_schedule: str = "constant"

    def __post_init__(self):
        self._check_types()
        self._normalise()
        self._check_choices()
        self._check_ranges()

    def _check_types(self) -> None:
        """Raise InputError if a text, integer or switch has another type, such as 3.0 epochs."""
        if not isinstance(self.protocol, Protocol):
            raise InputError(f"protocol is {self.protocol!r:.60}: give a Protocol")
        values = [(field.name, field.type, getattr(self, field.name)) for field in fields(self)]
        values += [("epochs", "int", phase.epochs) for phase in self.phases]
        values += [("protocol name", "str", self.protocol.name)]
        for name, kind, value in values:
            if kind in ("str", "int", "bool") and type(value).__name__ != kind:
                raise InputError(f"{name} is {value!r:.60}: give a value of type {kind}")

    def _check_choices(self) -> None:
        """Raise InputError for an unknown choice, or for two that exclude each other."""
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise InputError(
                    f"unknown {name} {getattr(self, name)!r:.60}: use one of {', '.join(known)}"
                )
        if self.gene_order != "given" and self.layout != "sample":
            raise InputError(
                "the stream of all numbers has no order of genes: give gene_order 'given'"
            )
        network = self.architecture
        if isinstance(network, MixtureArchitecture):
            if self.beta or not self.is_plain(except_=_OF_MIXTURES):
                raise InputError(
                    f"{self.model}: a mixture has no setting of a network's training: leave it out"
                )
            return
        if self.loss == "bce" and network.output != "sigmoid":
            raise InputError("loss 'bce' needs answers between 0 and 1: give output 'sigmoid'")
        if self.beta and self.sparsity == "kl" and network.code_activation != "sigmoid":
            raise InputError(
                "sparsity 'kl' needs mean activations between 0 and 1: "
                "give code_activation 'sigmoid'"
            )

    def _check_ranges(self) -> None:
        """Raise InputError for a number outside its range, or an empty schedule."""
        if not self.phases or not all(phase.noise_factors for phase in self.phases):
            raise InputError(
                f"{self.model}: a schedule needs at least one phase, "
                "and each phase at least one noise factor"
            )
        for name, (is_valid, words) in _RANGES.items():
            if not is_valid(getattr(self, name)):
                raise InputError(f"{name} is {getattr(self, name)}: {words}")
        for noise_factor in self.levels:
            if not (math.isfinite(noise_factor) and noise_factor >= 0):
                raise InputError(f"--noise {noise_factor:g}: a noise factor is at least 0")
        fewest = min(phase.epochs for phase in self.phases)
        if fewest < 1:
            raise InputError(f"--epochs {fewest}: give at least 1 epoch")

    @property
    def is_mixture(self) -> bool:
        """Whether it is a mixture of Wiener filters, which is fitted, not trained."""
        return isinstance(self.architecture, MixtureArchitecture)

    @property
    def architecture(self) -> Architecture:
        """Shapes and activations of the network."""
        return architecture(
            self.model, self.output, self.code_activation, self.code_layers, self.noise_input
        )

    def _normalise(self) -> None:
        """Make 0, 0.0 and -0.0 one number, so that equal members have the same id."""
        for name in ("beta", "rho", "learning_rate", "train_fraction"):
            object.__setattr__(self, name, float(getattr(self, name)) + 0.0)
        phases = tuple(
            Phase(tuple(float(a) + 0.0 for a in p.noise_factors), p.epochs) for p in self.phases
        )
        object.__setattr__(self, "phases", phases)

    @cached_property
    def member_id(self) -> str:
        """Twelve hex digits of the SHA-256 of the content without the grid."""
        content = self.as_dict()
        del content["grid"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def epochs(self) -> int:
        """Epochs of all phases together."""
        return sum(phase.epochs for phase in self.phases)

    @property
    def levels(self) -> tuple[float, ...]:
        """Every noise factor of the schedule, phase by phase."""
        return tuple(a for phase in self.phases for a in phase.noise_factors)

    @property
    def noise_factor(self) -> float:
        """The one noise factor of the last phase; NaN if that phase mixes several."""
        return self.phases[-1].noise_factor

    @property
    def carried(self) -> bool:
        """Whether the network is carried through several phases."""
        return len(self.phases) > 1

    @property
    def mixed(self) -> bool:
        """Whether a phase mixes several noise factors."""
        return any(len(phase.noise_factors) > 1 for phase in self.phases)

    @property
    def noise_label(self) -> str:
        """The schedule for display: `0.5`, `0-0.1-0.2` for three phases, `0.1+0.5` for a mix."""
        return "-".join("+".join(map(_short, phase.noise_factors)) for phase in self.phases)

    def is_plain(self, except_: Collection[str] = ()) -> bool:
        """Whether every switch, except those of `except_`, has its model's usual value."""
        return self._unusual() <= set(except_)

    def _unusual(self) -> set[str]:
        """Return the switches whose values are not the usual ones of its model."""
        usual = usual_settings(self.model)
        return {name for name in PLAIN if getattr(self, name) != usual[name]}

    @property
    def run_name(self) -> str:
        """Folder of the member's TensorBoard run; unique within a grid, except for epochs.

        The name of any other protocol stands for its switches; a plain as-written network lists
        its unusual switches.
        """
        noise = self.noise_label if len(self.noise_label) <= 40 else f"schedule-{self.member_id}"
        if self.protocol == Protocol():
            different = self._unusual()
            switches = [f"{name}-{getattr(self, name)}" for name in PLAIN if name in different]
            first = [self.model, f"noise-{noise}", *switches]
        else:
            parts = [part for part in (self.protocol.name, *self.protocol.changed) if part]
            first = [self.model, *(part.replace(" ", "-") for part in parts), f"noise-{noise}"]
        return "/".join([*first, f"beta-{_short(self.beta)}", f"seed-{self.seed}"])

    def as_dict(self) -> dict:
        """JSON-able content."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict) -> MemberConfig:
        """Invert `as_dict`, also after JSON. Raises InputError if the content is damaged."""
        try:
            phases = tuple(Phase(tuple(p["noise_factors"]), p["epochs"]) for p in content["phases"])
            protocol = Protocol(content["protocol"]["name"], tuple(content["protocol"]["changed"]))
            return cls(**{**content, "phases": phases, "protocol": protocol})
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            reason = f"{type(error).__name__}: {str(error)!r:.100}"
            raise InputError(
                f"a network's description is damaged ({reason}): start over with --fresh"
            ) from None


#: The switches of a network and their defaults: everything but model, schedule, seed, weight of the
#: sparsity term, protocol and grid. These are also columns of the members table.
PLAIN: dict[str, object] = {
    field.name: field.default
    for field in fields(MemberConfig)
    if field.name not in ("model", "phases", "seed", "beta", "protocol", "grid")
}


def training_settings(model: str) -> dict[str, Any]:
    """Return batch size, learning rate and schedule of a model's usual training, {} without one."""
    usual = USUAL_TRAINING.get(model)
    names = ("batch_size", "learning_rate", "rate_schedule") if usual else ()
    return {name: getattr(usual, name) for name in names}


@cache
def usual_settings(model: str) -> Mapping[str, Any]:
    """Return the usual value of every switch for a model: PLAIN, updated by `training_settings`."""
    return {**PLAIN, **training_settings(model)}


_RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "beta": (lambda value: 0 <= value < math.inf, "give a number of at least 0"),
    "learning_rate": (lambda value: 0 <= value < math.inf, "give a number of at least 0"),
    "seed": (lambda value: value >= 0, "a seed is at least 0"),
    "batch_size": (lambda value: value >= 1, "give at least 1 row"),
    "train_fraction": (lambda value: 0 < value <= 1, "give a share of the training rows, up to 1"),
    "rho": (lambda value: 0 < value < 1, "a mean activation lies between 0 and 1"),
}
_CHOICES = {
    "sparsity": ("kl", "l1"),
    "optimizer": ("adam", "adadelta"),
    "initialisation": ("centred", "glorot"),
    "loss": ("mse", "bce"),
    "scaling": SCALINGS,
    "layout": LAYOUTS,
    "gene_order": GENE_ORDERS,
    "noise_draws": NOISE_DRAWS,
    "rate_schedule": RATE_SCHEDULES,
}
#: The switches that a mixture of Wiener filters may set.
_OF_MIXTURES = ("rho", "scaling", "gene_order", "layout", "noise_draws")


def _short(number: float) -> str:
    """Write a number exactly, without a needless `.0`: 0.5, 0.001 or 0."""
    return repr(number).removesuffix(".0")
