"""Protocol `as-published`: what the paper's scripts did, and an autopsy that corrects each item.

Every item is a switch of MemberConfig by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from models.config import AS_PUBLISHED, MemberConfig, Phase, Protocol

#: As in the scripts.
EPOCHS_PER_LEVEL = 10

#: Dense: answers in (0, 1) for data z-scored over all samples, one code layer, ReLU throughout,
#: Keras' Adadelta.
DENSE: dict[str, Any] = {
    "protocol": Protocol(AS_PUBLISHED),
    "output": "sigmoid",
    "code_layers": 1,
    "code_activation": "relu",
    "initialisation": "glorot",
    "optimizer": "adadelta",
    "learning_rate": 1.0,
    "scaling": "all",
}
#: Convolutional: also, images are cuts of the stream of all numbers, and the loss is binary
#: cross-entropy.
CONV: dict[str, Any] = {**DENSE, "layout": "stream", "loss": "bce"}


def as_published(
    model: str, noise: Sequence[float], seed: int, epochs: int | None = None
) -> MemberConfig:
    """One network, carried through the noise factors in turn, `epochs` epochs each."""
    epochs = EPOCHS_PER_LEVEL if epochs is None else epochs
    phases = tuple(Phase((float(noise_factor),), epochs) for noise_factor in noise)
    return MemberConfig(model, phases, seed=seed, **(CONV if model == "conv" else DENSE))


def corrections(published: MemberConfig, epochs_to_converge: int) -> list[MemberConfig]:
    """Copies of the published network with one item corrected each; `protocol.changed` names it.

    Evaluation on noisy test rows needs no network of its own: every network is measured both ways.
    """
    conv = published.model == "conv"
    longer = tuple(replace(phase, epochs=epochs_to_converge) for phase in published.phases)
    changes: dict[str, dict] = {
        "linear output": {"output": "linear", "loss": "mse"},
        "Adam to convergence": {"optimizer": "adam", "learning_rate": 1e-3, "phases": longer},
        "scaled on training rows": {"scaling": "train"},
    }
    if conv:
        changes["one image per sample"] = {"layout": "sample"}
    else:
        changes["two code layers"] = {"code_layers": 2}
    members = [
        replace(published, protocol=Protocol(AS_PUBLISHED, name), **change)
        for name, change in changes.items()
    ]
    fresh = Protocol(AS_PUBLISHED, "fresh network per level")
    return [
        replace(published, protocol=fresh, phases=(phase,)) for phase in published.phases
    ] + members
