"""What one network of the study is: a frozen description whose hash is its name."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field, fields

from data_utils.errors import InputError
from data_utils.preparation import LAYOUTS, SCALINGS
from models.architecture import Architecture, MixtureArchitecture, architecture
from models.choices import INITIALISATIONS, LOSSES, OPTIMIZERS, SPARSITIES

#: The paper's noise factors.
NOISE_FACTORS = tuple(round(0.1 * i, 1) for i in range(11))

#: Rows that are evaluated at a time.
EVALUATION_ROWS = 1024

#: Order of the genes in a network's input: models/variants.py.
GENE_ORDERS = ("given", "random", "correlation", "shuffled")


@dataclass(frozen=True)
class Phase:
    """A stretch of training: `epochs` epochs; with several noise factors one is drawn per row."""

    noise_factors: tuple[float, ...]
    epochs: int


@dataclass(frozen=True)
class MemberConfig:
    """One network: what it is, what it is trained on, and with which random streams.

    `phases` is the noise schedule, evaluated after each phase: one phase is the normal case, several in
    a row carry one network along (the paper's scripts), several factors in a phase mix noise levels.
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
    protocol: str = "as-written"
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

    def __post_init__(self):
        self._check_types()
        self._normalise()
        self._check_choices()
        if not self.phases or not all(phase.noise_factors for phase in self.phases):
            raise InputError(
                f"{self.model}: a schedule needs at least one phase, and each at least one noise factor"
            )
        for name in ("beta", "learning_rate"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"{name} is {value}: give a number of at least 0")
        for phase in self.phases:
            for noise_factor in phase.noise_factors:
                if not (math.isfinite(noise_factor) and noise_factor >= 0):
                    raise InputError(f"--noise {noise_factor:g}: a noise factor is at least 0")
            if phase.epochs < 1:
                raise InputError(f"--epochs {phase.epochs}: give at least 1 epoch")
        if self.seed < 0:
            raise InputError(f"seed {self.seed}: a seed is at least 0")
        if self.batch_size < 1:
            raise InputError(f"batch_size {self.batch_size}: give at least 1 row")
        if not 0 < self.train_fraction <= 1:
            raise InputError(
                f"train_fraction is {self.train_fraction}: give a share of the training rows, up to 1"
            )
        if not 0 < self.rho < 1:
            raise InputError(f"rho is {self.rho}: a mean activation lies between 0 and 1")

    def _check_types(self) -> None:
        """Raise InputError for a text, a whole number or a switch that is something else, as 3.0 epochs are."""
        values = [(field.name, field.type, getattr(self, field.name)) for field in fields(self)]
        values += [("epochs", "int", phase.epochs) for phase in self.phases]
        for name, kind, value in values:
            if kind in _TYPES and (
                not isinstance(value, _TYPES[kind]) or (kind == "int" and isinstance(value, bool))
            ):
                raise InputError(f"{name} is {value!r:.60}: give a value of type {kind}")

    def _check_choices(self) -> None:
        """Raise InputError for a choice that is not known, or two that do not go together."""
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise InputError(
                    f"unknown {name} {getattr(self, name)!r:.60}: use one of {', '.join(known)}"
                )
        network = self.architecture
        if (self.optimizer == "em") != isinstance(network, MixtureArchitecture):
            raise InputError(
                "optimizer 'em' fits mixtures, and nothing else does: give both, or neither"
            )
        if self.loss == "bce" and network.output != "sigmoid":
            raise InputError("loss 'bce' needs answers between 0 and 1: give output 'sigmoid'")
        if self.gene_order != "given" and self.layout != "sample":
            raise InputError(
                "the stream of all numbers has no order of genes: give gene_order 'given'"
            )
        if self.beta and self.sparsity == "kl" and network.code_activation != "sigmoid":
            raise InputError(
                "sparsity 'kl' needs mean activations between 0 and 1: give code_activation 'sigmoid'"
            )

    @property
    def architecture(self) -> Architecture:
        """The network."""
        return architecture(
            self.model, self.output, self.code_activation, self.code_layers, self.noise_input
        )

    def _normalise(self) -> None:
        """0, 0.0 and -0.0 are one number, so that equal members have one id."""
        for name in ("beta", "rho", "learning_rate", "train_fraction"):
            object.__setattr__(self, name, float(getattr(self, name)) + 0.0)
        phases = tuple(
            Phase(tuple(float(a) + 0.0 for a in p.noise_factors), p.epochs) for p in self.phases
        )
        object.__setattr__(self, "phases", phases)

    @property
    def member_id(self) -> str:
        """Twelve hex digits of the SHA-256 of the content.

        The grid that asked for it does not count, nor a switch of a protocol that stands as it does as-written.
        """
        content = self.as_dict()
        for name in _SWITCHES:
            if content[name] == MemberConfig.__dataclass_fields__[name].default:
                del content[name]
        del content["grid"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def epochs(self) -> int:
        """Epochs of all phases together."""
        return sum(phase.epochs for phase in self.phases)

    @property
    def noise_factor(self) -> float:
        """The one noise factor of the last phase; NaN where that phase mixes several."""
        factors = self.phases[-1].noise_factors
        return factors[0] if len(factors) == 1 else math.nan

    @property
    def noise_label(self) -> str:
        """The schedule in short: `0.5`, `0.0-0.1-0.2` in a row, `0.1+0.5` mixed."""
        return "-".join("+".join(map(_short, phase.noise_factors)) for phase in self.phases)

    @property
    def run_name(self) -> str:
        """Folder of the member's TensorBoard run. Members of a protocol that differ have different names.

        (But for epochs; and but for the switches of a protocol other than as-written, which its name stands for.)
        """
        noise = self.noise_label if len(self.noise_label) <= 40 else f"schedule-{self.member_id}"
        parts = [self.model, f"noise-{noise}", f"beta-{_short(self.beta)}", f"seed-{self.seed}"]
        if self.protocol != "as-written":  # the protocol's name stands for its switches
            return "/".join(
                [parts[0], self.protocol.replace(", ", "/").replace(" ", "-"), *parts[1:]]
            )
        optimizer = (
            "em" if self.optimizer == "em" else "adam"
        )  # the only one that fits a mixture, and the usual one
        usual = MemberConfig(self.model, self.phases, self.seed, self.beta, optimizer=optimizer)
        different = [name for name in _FURTHER if getattr(self, name) != getattr(usual, name)]
        parts[2:2] = [f"{name}-{getattr(self, name)}" for name in different]
        return "/".join(parts)

    def as_dict(self) -> dict:
        """JSON-able content."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: dict) -> MemberConfig:
        """The inverse of `as_dict`, also after a passage through JSON. Raises InputError for what is no network."""
        try:
            phases = tuple(Phase(tuple(p["noise_factors"]), p["epochs"]) for p in content["phases"])
            return cls(**{**content, "phases": phases})
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            reason = f"{type(error).__name__}: {str(error)!r:.100}"
            raise InputError(
                f"a network's description is damaged ({reason}): start anew with --fresh"
            ) from None


_SWITCHES = (
    *("code_layers", "code_activation", "initialisation", "loss", "scaling", "layout"),
    *("gene_order", "train_fraction", "noise_input"),
)
_FURTHER = ("rho", "sparsity", "learning_rate", "batch_size", "optimizer", "output", *_SWITCHES)
_TYPES = {"str": str, "int": int, "bool": bool}
_CHOICES = {
    "sparsity": SPARSITIES,
    "optimizer": OPTIMIZERS,
    "initialisation": INITIALISATIONS,
    "loss": LOSSES,
    "scaling": SCALINGS,
    "layout": LAYOUTS,
    "gene_order": GENE_ORDERS,
}


def _short(number: float) -> str:
    """0.5, 0.001 or 0: exact, without a needless `.0`."""
    return repr(number).removesuffix(".0")
