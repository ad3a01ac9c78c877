"""The protocol of every denoiser, the noisy rows that tune and measure denoisers, and the MSE.

wiener = Wiener().fit(data.train).tune(Pairs.noised(data.validation, seed=0))
guess = wiener.denoise(noisy, 0.5)  # (samples, genes)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Self

import numpy as np

from data_utils.noise import add_noise, evaluation_noise, noisy_set

#: The class of each kind that a model folder can hold. A further kind is a class and a line here,
#: and for `export --onnx` a module in models/onnx.py.
KINDS = {
    "network": "models.denoisers.network:NetworkDenoiser",
    "wiener": "models.denoisers.linear:Wiener",
    "mixture": "models.denoisers.mixture:Mixture",
    "pca": "models.denoisers.linear:PCA",
}
#: Columns of the table of denoisers' errors.
ERROR_COLUMNS = ["reference", "noise_factor", "seed", "code_size", "choice", "val_mse", "test_mse"]
#: Rows that are denoised together.
ROWS = 1024


class Denoiser:
    """A denoiser of rows in units in which every gene has the same noise, such as z-scores.

    `fit` uses training rows only, `tune` makes choices on validation pairs, and `denoise` treats
    each row by itself: no answer depends on the other rows. Fitted attributes end in `_`. A kind
    that a model folder can hold also has `arrays` and `facts`, which together describe it
    completely, and `from_arrays`.
    """

    kind: str
    description: str
    name: str
    #: Units of the code; None if it has no code.
    code_size: int | None = None

    def fit(self, train: np.ndarray) -> Self:
        """Fit to training rows, (samples, genes). Networks and mixtures are fitted in packs."""
        return self

    def tune(self, validation: Pairs) -> Self:
        """Make choices on validation pairs, without another fit."""
        return self

    def choice(self, noise_factor: float) -> str:
        """Name what `tune` has chosen for this noise factor; "" if there is no choice."""
        return ""

    def denoise(self, noisy: np.ndarray, noise_factor: np.ndarray | float) -> np.ndarray:
        """Return the guess at the clean rows, (samples, genes) float32 or float64.

        noise_factor is a number or (samples,), the standard deviation of the noise.
        """
        raise NotImplementedError

    @property
    def n_genes(self) -> int:
        """Genes of a row."""
        raise NotImplementedError

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that a model folder stores; float arrays must be finite."""
        raise NotImplementedError

    def facts(self) -> dict:
        """Return the JSON-able facts that a model folder stores."""
        return {}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], facts: dict) -> Self:
        """Invert `arrays` and `facts`; KeyError, TypeError or ValueError if they do not fit."""
        raise NotImplementedError


def denoiser_class(kind: str) -> type[Denoiser]:
    """Import the class of a kind. Raises ValueError for an unknown kind."""
    if kind not in KINDS:
        raise ValueError(
            f"the kind of model {kind!r:.40} is not known here, only {', '.join(KINDS)}"
        )
    module, _, name = KINDS[kind].partition(":")
    return getattr(import_module(module), name)


def by_row(noise_factor: np.ndarray | float, n_rows: int) -> np.ndarray:
    """Return one noise factor, or one per row, as (rows, 1); ValueError for anything else."""
    factors = np.asarray(noise_factor, dtype=np.float64)
    if factors.shape not in ((), (n_rows,)) or not (np.isfinite(factors) & (factors >= 0)).all():
        raise ValueError(
            f"noise_factor must be a number of at least 0, or one for each of {n_rows} rows"
        )
    return np.broadcast_to(factors, (n_rows,))[:, None]


def by_blocks(
    answer: Callable[[np.ndarray, np.ndarray], np.ndarray],
    noisy: np.ndarray,
    noise_factor: np.ndarray | float,
) -> np.ndarray:
    """Apply `answer` to float64 rows and noise factors (rows, 1), ROWS at a time, for float32."""
    factors, starts = by_row(noise_factor, len(noisy)), range(0, len(noisy), ROWS)
    blocks = (slice(start, start + ROWS) for start in starts)
    answers = [answer(np.asarray(noisy[its], np.float64), factors[its]) for its in blocks]
    return np.concatenate(answers).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Noisy rows and their targets, (samples, genes) each, and the noise factor of the inputs."""

    inputs: np.ndarray
    targets: np.ndarray
    noise_factor: np.ndarray | float  # a number or (samples,)

    @classmethod
    def noised(cls, clean: np.ndarray, seed: int) -> Pairs:
        """Pair clean validation rows with noisy ones: the noise of `seed` at noise factor 1."""
        clean = np.asarray(clean, dtype=np.float64)
        normal = evaluation_noise(seed, "validation", *clean.shape).numpy().astype(np.float64)
        return cls(add_noise(clean, 1.0, normal), clean, 1.0)


def noisy_rows(clean: np.ndarray, part: str, noise_factor: float, seed: int) -> np.ndarray:
    """Add the fixed noise of `seed` to the rows of a part, (samples, genes); returns float32."""
    import torch

    normal = evaluation_noise(seed, part, *clean.shape)
    return add_noise(torch.tensor(clean), noise_factor, normal).numpy()


def noisy_training_rows(clean: np.ndarray, noise_factor: float, seed: int) -> np.ndarray:
    """Return the noisy set on which the networks of `seed` train, (samples, genes) float32."""
    import torch

    return noisy_set(torch.tensor(clean), seed, float(noise_factor)).numpy()


def mse(guess: np.ndarray, clean: np.ndarray) -> float:
    """Return the mean over samples and genes of the squared error (eq. 11)."""
    return float(_squared_error(guess, clean).mean())


def mse_by_gene_and_sample(guess: np.ndarray, clean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the MSE of each gene, (genes,), and of each sample, (samples,)."""
    error = _squared_error(guess, clean)
    return error.mean(axis=0), error.mean(axis=1)


def _squared_error(guess: np.ndarray, clean: np.ndarray) -> np.ndarray:
    return (np.asarray(guess, dtype=np.float64) - np.asarray(clean, dtype=np.float64)) ** 2
