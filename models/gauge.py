"""How noisy samples are, and how unlike the training data: both read from the spectrum of the training rows.

With V the eigenvectors of the training rows' covariance and y = s + alpha n, E (v_j . y)^2 = lambda_j + alpha^2. White
noise shows best where lambda is small. The mean over the lower half of the directions is a sample's energy there;
its median over samples is m0 for clean rows of the kind that the model was trained on and m0 + alpha^2 for noisy
ones, m0 that of the validation rows, which the eigenvectors have not seen. A median, because a few odd samples have
several times the energy of the others. By sample the same difference also holds what that sample itself varies more
than others, so one noise factor for all samples is what is used, and the others are shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from models.baselines import Wiener

#: Directions whose variance is below this hold nothing but genes that were constant: they are left out.
LEAST_VARIANCE = 1e-3
#: Leading directions in which a sample's distance is measured, as a share of the training rows' variance ...
LEADING_SHARE = 0.5
#: ... and the share of validation rows that are within the limit of that distance, and of the energy outside.
WITHIN = 0.99
#: Noise factors at which the limits are known; between them they are interpolated.
LIMIT_GRID = (*(round(0.1 * i, 1) for i in range(11)), 1.5, 2.0, 3.0)
ARRAYS = ("mean", "components", "variances", "limits")


@dataclass(frozen=True, eq=False)
class Gauge:
    """Spectrum and limits.

    mean (genes,); components (genes, directions), variances (directions,), ascending: of held-out training rows; limits
    (2, len(LIMIT_GRID)): of `distances`, at noise factors; calm: m0, the median energy of clean rows; n_rows: the
    validation rows behind calm and limits.
    """

    mean: np.ndarray
    components: np.ndarray
    variances: np.ndarray
    limits: np.ndarray
    calm: float
    n_rows: int

    @classmethod
    def fit(cls, wiener: Wiener, validation: np.ndarray, seed: int = 0) -> Gauge:
        """From the fitted reference filter and z-scored validation rows, under the noise of `seed`."""
        from data_utils.noise import evaluation_noise

        variances = wiener.spectra_.get("cross-validated", wiener.spectra_["Ledoit-Wolf"])
        kept = variances > LEAST_VARIANCE
        arrays = (wiener.mean_, wiener.components_[:, kept], variances[kept], np.zeros((2, len(LIMIT_GRID))))
        it = cls(*(array.astype(np.float32) for array in arrays), 0.0, len(validation))
        normal = evaluation_noise(seed, "validation", *validation.shape).numpy()
        limits = [np.quantile(it.distances(validation + a * normal, a), WITHIN, axis=1) for a in LIMIT_GRID]
        calm = float(np.median(it.energy(validation)))
        return cls(*arrays_of(it)[:3], np.stack(limits, axis=1).astype(np.float32), calm, len(validation))

    @property
    def n_leading(self) -> int:
        """Directions that hold LEADING_SHARE of the variance, at least 1."""
        share = np.cumsum(self.variances[::-1].astype(np.float64)) / self.variances.sum(dtype=np.float64)
        return int(np.searchsorted(share, LEADING_SHARE)) + 1

    def energy(self, rows: np.ndarray) -> np.ndarray:
        """Mean square along the directions of least variance, (samples,), of z-scored rows (samples, genes)."""
        lower = max(1, len(self.variances) // 2)
        code = (np.asarray(rows, dtype=np.float32) - self.mean) @ self.components[:, :lower]
        return np.square(code, dtype=np.float64).mean(axis=1)

    def noise_factor(self, energy: np.ndarray) -> float:
        """The noise factor of samples of this `energy`, (samples,): 0 where they are as calm as clean rows."""
        return float(np.sqrt(max(0.0, np.median(energy) - self.calm)))

    def noise_by_sample(self, energy: np.ndarray) -> np.ndarray:
        """The same for each sample alone, (samples,), with what the sample itself varies more than others."""
        return np.sqrt(np.clip(energy - self.calm, 0, None))

    def distances(self, rows: np.ndarray, noise_factor: float) -> np.ndarray:
        """How far samples are from the training rows, (2, samples): about 1 for one like them, at that noise factor.

        The mean of (v_j . y)^2 / (lambda_j + alpha^2) over the leading directions (the Mahalanobis distance, squared
        and divided by its degrees of freedom), and over all others: the energy outside.
        """
        code = (np.asarray(rows, dtype=np.float32) - self.mean) @ self.components
        ratios = np.square(code, dtype=np.float64) / (self.variances + noise_factor**2)
        leading = self.n_leading
        outside = ratios[:, :-leading].mean(axis=1) if leading < ratios.shape[1] else np.ones(len(ratios))
        return np.stack([ratios[:, -leading:].mean(axis=1), outside])

    def limits_at(self, noise_factor: float) -> np.ndarray:
        """What `distances` do not exceed for WITHIN of the validation rows, (2,)."""
        return np.array([np.interp(noise_factor, LIMIT_GRID, limit) for limit in self.limits])

    def restricted(self, genes: np.ndarray) -> Gauge:
        """For samples that have only the genes at these positions: the spectrum of their covariance."""
        mean = self.mean[genes]
        rows = self.components[genes].astype(np.float64)
        variances, components = np.linalg.eigh((rows * self.variances) @ rows.T)
        kept = variances > LEAST_VARIANCE
        it = Gauge(mean, components[:, kept], variances[kept], self.limits, self.calm, self.n_rows)
        lower = [g.variances[: max(1, len(g.variances) // 2)].mean() for g in (self, it)]
        arrays = (array.astype(np.float32) for array in arrays_of(it))
        return Gauge(*arrays, self.calm * float(lower[1] / lower[0]), self.n_rows)

    def facts(self) -> dict:
        """What a model folder keeps as JSON."""
        return {"calm": self.calm, "n_rows": self.n_rows}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], facts: dict) -> Gauge:
        """From `arrays_of` by name and `facts`. Raises KeyError or ValueError where they do not fit together."""
        it = cls(*(arrays[name] for name in ARRAYS), float(facts["calm"]), int(facts["n_rows"]))
        if it.components.shape != (it.mean.size, it.variances.size) or it.limits.shape != (2, len(LIMIT_GRID)):
            raise ValueError("the arrays of the spectrum do not fit together")
        if not it.variances.size or it.variances.min() <= 0:
            raise ValueError("the spectrum has a variance of 0")
        return it


def arrays_of(gauge: Gauge) -> list[np.ndarray]:
    """Its arrays, in the order of ARRAYS."""
    return [getattr(gauge, name) for name in ARRAYS]
