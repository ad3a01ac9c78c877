"""The oracle: the exact posterior mean of the simulated cohort's mixture under noise."""

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from data_utils.cohort import SiteMixture
from data_utils.noise import noise_variance


def posterior_mean(mixture: SiteMixture, noisy: np.ndarray, noise_factor: float) -> np.ndarray:
    """Return E[x | y] of y = x + noise_factor * N(0, 1), in the mixture's units: (samples, genes).

    Within a component c = (t, k) of equation (1) the posterior mean is linear (Wiener),
        E[x | y, c] = y - a^2 P_k (y - mu_t),   P_k = (s_k^2 F F' + r_k^2 diag(d) + a^2 I)^-1,
    and the components are weighted by their responsibilities p(c | y), found in log space. P_k
    depends only on the class, so sites are averaged before it is applied: K products, not T K.
    """
    y = np.asarray(noisy, dtype=np.float64)
    if noise_factor == 0:
        return y.copy()
    variance = noise_variance(noise_factor)
    precisions = [
        Precision(s * mixture.factors, r**2 * mixture.gene_variance + variance)
        for s, r in zip(mixture.factor_scale, mixture.noise_scale, strict=True)
    ]
    with np.errstate(divide="ignore"):  # probability 0 has log weight -inf, as it should
        log_sites = np.log(mixture.site_probability)[:, None]
        log_prior = log_sites + np.log(mixture.class_probability)  # (T, K)
    log_joint = np.stack([p.log_density(y, mixture.site_means) for p in precisions], axis=2)
    log_joint += log_prior  # (samples, T, K)
    weight = np.exp(log_joint - logsumexp(log_joint, axis=(1, 2), keepdims=True))
    residual = np.zeros_like(y)
    for k, precision in enumerate(precisions):
        of_class = weight[:, :, k]  # (samples, T)
        residual += precision.apply(of_class.sum(1)[:, None] * y - of_class @ mixture.site_means)
    return y - variance * residual


class Precision:
    """P = (L L' + diag(v))^-1 by Woodbury: V - V L (I + L' V L)^-1 L' V, V = diag(1 / v)."""

    def __init__(self, loadings: np.ndarray, variance: np.ndarray):
        """Factorise P for loadings L (genes, R) and variance v (genes,)."""
        self.variance = variance
        self.weighted = loadings / variance[:, None]  # V L
        core = np.eye(loadings.shape[1]) + loadings.T @ self.weighted
        self.core = cholesky(core, lower=True)
        # log |L L' + diag(v)| = sum log v + log |I + L' V L|
        self.log_determinant = np.log(variance).sum() + 2 * np.log(np.diag(self.core)).sum()

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """Return rows @ P, (samples, genes)."""
        explained = cho_solve((self.core, True), (rows @ self.weighted).T).T @ self.weighted.T
        return rows / self.variance - explained

    def log_density(self, rows: np.ndarray, means: np.ndarray) -> np.ndarray:
        """Return log N(row; mean, P^-1) + genes/2 log 2 pi of all rows and means, (samples, T)."""

        def explained(m: np.ndarray) -> np.ndarray:
            return solve_triangular(self.core, (m @ self.weighted).T, lower=True).T

        root = np.sqrt(self.variance)
        distance = cdist(rows / root, means / root, "sqeuclidean")
        distance -= cdist(explained(rows), explained(means), "sqeuclidean")
        return -0.5 * (distance + self.log_determinant)
