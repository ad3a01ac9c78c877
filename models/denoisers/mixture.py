"""A mixture of Wiener filters: the posterior mean under a mixture of Gaussians.

A sample x belongs to a group k (a tissue, say) and to a class c of quality; given both,

    x ~ N(m_k, s_c S),    y = x + alpha n (eq. 9),    S = V diag(lambda) V^T, the same for all.

The best guess at x under that model is the groups' and classes' Wiener filters, weighted by how
probable each is given y:

    E[x | y] = sum_kc p(k, c | y, alpha)
               (m_k + V diag(s_c lambda / (s_c lambda + alpha^2)) V^T (y - m_k)).

One group and one class are the Wiener filter. The noise factor enters only this formula, so one set
of parameters serves every noise level. Four things make it better than the filter: classes, since
samples differ in how far they lie from the mean; groups; a covariance that is blended with a factor
model's; and rows weighted by the inverse of their scale. models/denoisers/mixture_fit.py fits it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from scipy.special import softmax

from data_utils.noise import noise_variance
from models.denoisers.denoiser import Denoiser, by_blocks


@dataclass(frozen=True)
class Mixture(Denoiser):
    """A mixture by its float64 parameters, with S = components diag(variances) components^T."""

    components: np.ndarray  # (genes, genes), a column per component
    variances: np.ndarray  # (genes,), descending
    means: np.ndarray  # (groups, genes)
    group_weights: np.ndarray  # (groups,), sum 1
    class_scales: np.ndarray  # (classes,), of the variance
    class_weights: np.ndarray  # (classes,), sum 1

    kind = "mixture"
    description = "a mixture of Wiener filters, the posterior mean of a mixture of Gaussians"

    @property
    def n_genes(self) -> int:
        """Genes of a row."""
        return self.variances.size

    def denoise(self, noisy: np.ndarray, noise_factor: np.ndarray | float) -> np.ndarray:
        """Return the posterior mean, float32."""
        return by_blocks(lambda *block: self.posterior_mean(*block)[0], noisy, noise_factor)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the parameters by name, in float32, as files hold them."""
        return {name: np.array(getattr(self, name), np.float32, order="C") for name in PARAMETERS}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], facts: dict) -> Mixture:
        """Invert `arrays`. Raises KeyError or ValueError if they do not fit together."""
        it = cls(**{name: np.array(arrays[name], np.float64) for name in PARAMETERS})
        n, groups, classes = it.variances.size, it.group_weights.size, it.class_weights.size
        shapes = ((n, n), (n,), (groups, n), (groups,), (classes,), (classes,))
        if tuple(getattr(it, name).shape for name in PARAMETERS) != shapes:
            raise ValueError("the arrays of the mixture do not fit together")
        return it

    def posterior_mean(
        self, noisy: np.ndarray, noise_factor: np.ndarray | float, row_noise: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return E[x | y], (rows, genes), and each group's probability, (rows, groups), for y.

        noise_factor is a number, or (rows,). `row_noise` is the variance of the noise in the
        training rows themselves: it is subtracted from the variances, down to 0 at most, to give
        those of x.
        """
        rotated, means = noisy @ self.components, self.means @ self.components
        factors = np.asarray(noise_factor, dtype=np.float64).reshape(-1, 1)  # (1 or rows, 1)
        noise = noise_variance(factors)
        n_groups, n_classes = len(self.group_weights), len(self.class_weights)
        log_density = np.empty((len(noisy), n_groups, n_classes))
        of_all = np.multiply.outer(self.class_scales, self.variances)
        clean = np.maximum(of_all - row_noise, 0)  # variances of x, (classes, genes)
        for c, of_x in enumerate(clean):
            variances = of_x + noise  # of y, (1 or rows, genes)
            log_density[:, :, c] = -0.5 * squared_distances(rotated, means, variances)
            log_density[:, :, c] -= 0.5 * np.log(variances).sum(axis=1, keepdims=True)
        log_density += np.log(self.group_weights)[:, None] + np.log(self.class_weights)
        probability = softmax(log_density, axis=(1, 2))
        guess = np.zeros_like(rotated)
        for c, of_x in enumerate(clean):
            left = noise / (of_x + noise)  # share of the distance to the mean taken as noise
            of_class = probability[:, :, c]
            own = of_class.sum(axis=1, keepdims=True) * (1 - left) * rotated
            guess += own + (of_class @ means) * left
        return guess @ self.components.T, probability.sum(axis=2)


#: Names of the arrays that make up a mixture.
PARAMETERS = tuple(field.name for field in fields(Mixture))


def squared_distances(rows: np.ndarray, means: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Return sum_j (rows_j - means_j)^2 / variances_j of every row and mean, (rows, groups).

    variances is (genes,), or (1 or rows, genes).
    """
    variances = np.atleast_2d(variances)
    scaled = rows / variances
    of_rows = (rows * scaled).sum(axis=1, keepdims=True)
    squares = of_rows - 2 * scaled @ means.T + (1 / variances) @ (means**2).T
    return np.maximum(squares, 0)
