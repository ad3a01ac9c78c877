"""How noisy samples are, and how unlike the training data: both read from the leading directions of the training rows.

What biology there is lies mostly in a few leading eigenvectors of the covariance; white noise lies in all directions
alike. A sample's energy outside the leading ones, a mean square a gene, is m0 + alpha^2 in the median over samples:
m0 is that of clean validation rows, which the eigenvectors have not seen. A median, because a few odd samples have
several times the energy of the others. Few directions, because the more are taken out the less is left of the training
rows than of others, and people denoise the very file that a model was trained on. By sample the same difference also
holds what that sample itself varies more than others, so one noise factor for all samples is what is used.

Samples unlike the training data have more energy, too, without noise. Noise is a sample's own, though, while what makes
samples unlike is mostly shared: an unknown tissue's, a platform's. So inner products between samples, which noise
leaves alone, tell how much of the energy is not noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

#: Leading directions, at most a quarter of genes and of rows. With 32 of 943 the energy of training rows is 2 % below
#: that of others on the simulated cohort (with 471: 30 %), and the estimate on others no worse.
LEADING = 32
#: The share of validation rows that are within the limits of `distances`.
WITHIN = 0.99
#: Noise factors at which the limits are known; between them they are interpolated.
LIMIT_GRID = (*(round(0.1 * i, 1) for i in range(11)), 1.5, 2.0, 3.0)
#: A gene that varies less outside the leading directions, z-scored, was constant: it tells nothing of noise.
LEAST_VARIANCE = 1e-6
#: Samples that are compared with each other, and with how many of those nearest to it each.
COMPARED, NEAREST = 1024, 3
ARRAYS = ("mean", "components", "variances", "outside", "limits")


@dataclass(frozen=True, eq=False)
class Gauge:
    """Leading directions of the z-scored training rows, and what is usual outside them.

    mean (genes,); components (genes, k) and variances (k,): leading eigenvectors, as columns, and eigenvalues; outside
    (genes,): mean square of clean validation rows outside them; limits (2, len(LIMIT_GRID)): of `distances`; calm: m0.
    """

    mean: np.ndarray
    components: np.ndarray
    variances: np.ndarray
    outside: np.ndarray
    limits: np.ndarray
    calm: float

    @classmethod
    def fit(cls, train: np.ndarray, validation: np.ndarray, seed: int = 0) -> Gauge:
        """From z-scored training and validation rows (samples, genes), under the noise of `seed`."""
        from sklearn.utils.extmath import randomized_svd

        from data_utils.noise import evaluation_noise

        mean = train.mean(axis=0, dtype=np.float64).astype(np.float32)
        k = max(1, min(LEADING, train.shape[1] // 4, len(train) // 4))
        _, singular, directions = randomized_svd(train - mean, k, n_iter=7, random_state=0)
        components, variances = (
            directions.T.astype(np.float32),
            (singular**2 / len(train)).astype(np.float32),
        )
        centred = validation - mean
        outside = np.square(centred - centred @ components @ components.T).mean(axis=0)
        empty = np.zeros((2, len(LIMIT_GRID)), dtype=np.float32)
        it = cls(mean, components, np.maximum(variances, LEAST_VARIANCE), outside, empty, 0.0)
        calm = max(LEAST_VARIANCE, float(np.median(it.energy(validation))))
        it = cls(*arrays_of(it), calm)
        normal = evaluation_noise(seed, "validation", *validation.shape).numpy()
        limits = [
            np.quantile(it.distances(validation + a * normal, a), WITHIN, axis=1)
            for a in LIMIT_GRID
        ]
        return cls(*arrays_of(it)[:-1], np.stack(limits, axis=1).astype(np.float32), calm)

    @cached_property
    def _used(self) -> np.ndarray:
        """Positions of the genes that were not constant."""
        return np.flatnonzero(self.outside > LEAST_VARIANCE)

    @cached_property
    def _reader(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the used genes: what reads the code by least squares (genes, k), the components, the noise that takes."""
        components = self.components[self._used].astype(np.float64)
        reader = np.linalg.pinv(components).T
        return (
            reader.astype(np.float32),
            components.astype(np.float32),
            np.square(reader).sum(axis=0),
        )

    def _read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Code (samples, k) of z-scored rows, and what is left outside; its sum of squares is the energy."""
        centred = (np.asarray(rows, dtype=np.float32) - self.mean)[:, self._used]
        reader, components, _ = self._reader
        code = centred @ reader
        return code, (centred - code @ components.T) / np.float32(
            np.sqrt(max(1, centred.shape[1] - code.shape[1]))
        )

    def energy(self, rows: np.ndarray) -> np.ndarray:
        """Mean square outside the leading directions, (samples,), of z-scored rows (samples, genes)."""
        return _squares(self._read(rows)[1])

    def noise_factor(self, rows: np.ndarray) -> float:
        """The noise factor of z-scored rows (samples, genes): 0 where they are as calm as clean ones.

        From the energy goes what clean rows have or, where it is more, what samples share.
        """
        left = self._read(rows)[1]
        energy = _squares(left)
        return float(
            np.sqrt(
                max(0.0, np.median(energy) - max(self.calm, np.median(_shared(left[:COMPARED]))))
            )
        )

    def noise_by_sample(self, energy: np.ndarray) -> np.ndarray:
        """The same for each sample alone, (samples,), with what the sample itself varies more than others."""
        return np.sqrt(np.clip(energy - self.calm, 0, None))

    def distances(self, rows: np.ndarray, noise_factor: float) -> np.ndarray:
        """How far samples are from the training rows, (2, samples): about 1 for one like them, at that noise factor.

        Within the leading directions, the mean of (v_j . y)^2 / (lambda_j + alpha^2): the squared Mahalanobis distance
        over its degrees of freedom. Outside them, energy / (m0 + alpha^2).
        """
        code, left = self._read(rows)
        variance = self.variances + noise_factor**2 * self._reader[2]
        return np.stack(
            [
                np.square(code / np.sqrt(variance)).mean(axis=1),
                _squares(left) / (self.calm + noise_factor**2),
            ]
        )

    def limits_at(self, noise_factor: float) -> np.ndarray:
        """What `distances` do not exceed for WITHIN of the validation rows, (2,)."""
        return np.array([np.interp(noise_factor, LIMIT_GRID, limit) for limit in self.limits])

    def restricted(self, genes: np.ndarray) -> Gauge:
        """For samples that have only the genes at these positions."""
        parts = (
            self.mean[genes],
            self.components[genes],
            self.variances,
            self.outside[genes],
            self.limits,
        )
        it = Gauge(*parts, self.calm)
        usual = [
            g.outside[g._used].sum() / max(1, len(g._used) - len(g.variances)) for g in (self, it)
        ]
        return Gauge(*parts, self.calm * float(usual[1] / usual[0]))

    def facts(self) -> dict:
        """What a model folder keeps as JSON."""
        return {"calm": self.calm}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], facts: dict) -> Gauge:
        """From `arrays_of` by name and `facts`. Raises KeyError or ValueError where they do not fit together."""
        it = cls(*(arrays[name] for name in ARRAYS), float(facts["calm"]))
        n, k = it.mean.size, it.variances.size
        shapes = (it.components.shape, it.outside.shape, it.limits.shape)
        if shapes != ((n, k), (n,), (2, len(LIMIT_GRID))) or not k or it.variances.min() <= 0:
            raise ValueError("the arrays of the gauge do not fit together")
        return it


def _squares(left: np.ndarray) -> np.ndarray:
    return np.square(left, dtype=np.float64).sum(axis=1)


def _shared(left: np.ndarray) -> np.ndarray:
    """Energy that each sample shares with those most like it, (samples,), less what noise alone would seem to share."""
    n = len(left)
    if n < 2:
        return np.zeros(n)
    products = (left @ left.T).astype(np.float64)
    energy = products.diagonal().copy()
    np.fill_diagonal(products, -np.inf)
    nearest = min(NEAREST, n - 1)
    largest = np.partition(products, n - nearest, axis=1)[:, n - nearest :].mean(axis=1)
    # The largest of n products of shares s + noise, of a noise that is what is not shared: sqrt(2 log n) deviations.
    noise, share = np.clip(energy - largest, 0, None), np.clip(largest, 0, None)
    by_chance = np.sqrt(2 * np.log(n) / left.shape[1]) * (noise + np.sqrt(share * noise))
    return np.clip(largest - by_chance, 0, None)


def arrays_of(gauge: Gauge) -> list[np.ndarray]:
    """Its arrays, in the order of ARRAYS."""
    return [getattr(gauge, name) for name in ARRAYS]
