"""The names by which a network's configuration asks for what models/ has; without torch, so that a plan needs none."""

from __future__ import annotations

OPTIMIZERS = ("adam", "adadelta", "em")
INITIALISATIONS = ("centred", "glorot")
SPARSITIES = ("kl", "l1")
LOSSES = ("mse", "bce")
