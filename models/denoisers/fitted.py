"""What every denoiser that can be kept and applied has in common, and the kinds of them."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol

import numpy as np

#: A kind's class: a further kind is one class (see FittedDenoiser) and one line here. Loaded when it is asked for.
KINDS = {
    "network": "models.denoisers.network:NetworkDenoiser",
    "wiener": "models.denoisers.linear:WienerDenoiser",
    "mixture": "models.denoisers.mixture:Mixture",
    "pca": "models.denoisers.linear:PCADenoiser",
}


class FittedDenoiser(Protocol):
    """A denoiser of z-scored rows. Its arrays and its JSON-able facts are all of it.

    For `export --onnx` it also needs an entry in models/onnx.py.
    """

    kind: str
    description: str
    n_genes: int

    def denoise(self, noisy: np.ndarray, noise_factor: np.ndarray | float) -> np.ndarray:
        """(samples, genes) z-scores to the same, float32; noise_factor is a number or (samples,)."""

    def arrays(self) -> dict[str, np.ndarray]:
        """What a model folder keeps in its array file; float arrays must be finite."""

    def facts(self) -> dict:
        """What a model folder keeps as JSON."""

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], facts: dict) -> FittedDenoiser:
        """The inverse. Raises KeyError, TypeError or ValueError where they do not fit together."""


def denoiser_class(kind: str) -> type[FittedDenoiser]:
    """The class of a kind. Raises ValueError for one that is not known."""
    if kind not in KINDS:
        raise ValueError(
            f"the kind of model {kind!r:.40} is not known here, only {', '.join(KINDS)}"
        )
    module, _, name = KINDS[kind].partition(":")
    return getattr(import_module(module), name)
