"""Linear denoisers as they are kept and applied, in numpy alone: a tuned Wiener filter, and PCA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from data_utils.noise import noise_variance

if TYPE_CHECKING:
    from models.denoisers import baselines

#: Noise factors at which a Wiener filter's covariance was chosen; between them the nearest one's is used.
GRID = tuple(round(0.05 * i, 2) for i in range(1, 41))


def wiener_gain(variance: np.ndarray, noise_factor: np.ndarray | float) -> np.ndarray:
    """variance / (variance + noise_factor^2), and 1 where there is no noise, even for a variance of 0."""
    noise = noise_variance(noise_factor)
    still = (variance == 0) & (noise == 0)
    return np.where(still, 1.0, variance / (variance + noise + still))


def by_row(noise_factor: np.ndarray | float, n_rows: int) -> np.ndarray:
    """One noise factor, or one a row, as (rows, 1) float64. Raises ValueError for others, or a negative one."""
    factors = np.asarray(noise_factor, dtype=np.float64)
    if factors.shape not in ((), (n_rows,)) or not (np.isfinite(factors) & (factors >= 0)).all():
        raise ValueError(
            f"noise_factor must be a number of at least 0, or one for each of {n_rows} rows"
        )
    return np.broadcast_to(factors, (n_rows,))[:, None]


@dataclass(frozen=True, eq=False)
class WienerDenoiser:
    """mean + V diag(gain) V^T (y - mean), with the spectrum that was chosen at the nearest noise factor of `grid`.

    mean (genes,), components (genes, genes) with a column a component, spectra (candidates, genes), grid and
    choice (n,), choice an index into spectra; all but choice float32.
    """

    mean: np.ndarray
    components: np.ndarray
    spectra: np.ndarray
    grid: np.ndarray
    choice: np.ndarray

    kind = "wiener"
    description = "a Wiener filter, the best linear denoiser, tuned on validation rows"

    @classmethod
    def of(cls, fitted: baselines.Wiener, grid: tuple[float, ...] = GRID) -> WienerDenoiser:
        """From the reference, with its choice at each noise factor of `grid`."""
        names = [fitted.choice(a) for a in grid]
        used = list(dict.fromkeys(names))
        arrays = (
            fitted.mean_,
            fitted.components_,
            np.stack([fitted.spectra_[name] for name in used]),
            np.array(grid),
        )
        return cls(
            *(array.astype(np.float32) for array in arrays),
            np.array([used.index(name) for name in names]),
        )

    def denoise(self, noisy: np.ndarray, noise_factor: np.ndarray | float) -> np.ndarray:
        """(samples, genes) z-scores to the same, float32; noise_factor is a number or (samples,)."""
        factors = by_row(noise_factor, len(noisy))
        nearest = np.abs(factors - self.grid).argmin(axis=1)
        code = (np.asarray(noisy, dtype=np.float32) - self.mean) @ self.components
        code *= wiener_gain(self.spectra[self.choice[nearest]], factors)
        return code @ self.components.T + self.mean

    def arrays(self) -> dict[str, np.ndarray]:
        """What a model folder keeps."""
        return {
            name: getattr(self, name)
            for name in ("mean", "components", "spectra", "grid", "choice")
        }

    def facts(self) -> dict:
        """Nothing beside the arrays."""
        return {}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], facts: dict) -> WienerDenoiser:
        """The inverse. Raises KeyError or ValueError where they do not fit together."""
        it = cls(*(arrays[name] for name in ("mean", "components", "spectra", "grid", "choice")))
        n, points = it.mean.size, it.grid.size
        shapes = (it.components.shape, it.spectra.shape[1:], it.choice.shape)
        if shapes != ((n, n), (n,), (points,)) or it.choice.dtype.kind != "i" or not points:
            raise ValueError("the arrays of the Wiener filter do not fit together")
        if not ((it.choice >= 0) & (it.choice < len(it.spectra))).all() or it.spectra.min() < 0:
            raise ValueError("the spectra of the Wiener filter are damaged")
        return it

    @property
    def n_genes(self) -> int:
        return self.mean.size


@dataclass(frozen=True, eq=False)
class PCADenoiser:
    """The projection on the first principal components, each shrunk by its gain if `with_gain`.

    mean (genes,), components (code_size, genes), variances (code_size,), all float32.
    """

    mean: np.ndarray
    components: np.ndarray
    variances: np.ndarray
    with_gain: bool = False

    kind = "pca"
    description = "a projection on principal components"

    @classmethod
    def of(cls, fitted: baselines.PCA) -> PCADenoiser:
        """From the reference."""
        pca = fitted.pca_
        arrays = (pca.mean_, pca.components_, pca.explained_variance_)
        return cls(*(array.astype(np.float32) for array in arrays), fitted.gain)

    def denoise(self, noisy: np.ndarray, noise_factor: np.ndarray | float) -> np.ndarray:
        """(samples, genes) z-scores to the same, float32; noise_factor is a number or (samples,)."""
        factors = by_row(noise_factor, len(noisy))
        code = (np.asarray(noisy, dtype=np.float32) - self.mean) @ self.components.T
        if self.with_gain:
            code *= wiener_gain(self.variances, factors)
        return code @ self.components + self.mean

    def arrays(self) -> dict[str, np.ndarray]:
        """What a model folder keeps."""
        return {name: getattr(self, name) for name in ("mean", "components", "variances")}

    def facts(self) -> dict:
        """Whether components are shrunk."""
        return {"gain": self.with_gain}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], facts: dict) -> PCADenoiser:
        """The inverse. Raises KeyError or ValueError where they do not fit together."""
        it = cls(arrays["mean"], arrays["components"], arrays["variances"], bool(facts["gain"]))
        if (
            it.components.shape != (it.variances.size, it.mean.size)
            or it.variances.min(initial=0) < 0
        ):
            raise ValueError("the arrays of the PCA do not fit together")
        return it

    @property
    def n_genes(self) -> int:
        return self.mean.size
