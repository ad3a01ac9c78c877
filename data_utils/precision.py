"""The inverse covariance of one Gaussian of the simulated cohort's mixture: low rank plus diagonal."""

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.spatial.distance import cdist


class Precision:
    """P = (L L' + diag(v))^-1 by Woodbury: P = V - V L (I + L' V L)^-1 L' V with V = diag(1 / v)."""

    def __init__(self, loadings: np.ndarray, variance: np.ndarray):  # (genes, R), (genes,)
        self.variance = variance
        self.weighted = loadings / variance[:, None]  # V L
        core = np.eye(loadings.shape[1]) + loadings.T @ self.weighted
        self.core = cholesky(core, lower=True)
        # log |L L' + diag(v)| = sum log v + log |I + L' V L|
        self.log_determinant = np.log(variance).sum() + 2 * np.log(np.diag(self.core)).sum()

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """rows @ P: (samples, genes)."""
        explained = cho_solve((self.core, True), (rows @ self.weighted).T).T @ self.weighted.T
        return rows / self.variance - explained

    def log_density(self, rows: np.ndarray, means: np.ndarray) -> np.ndarray:
        """log N(row; mean, P^-1) + genes/2 log 2 pi, for every row and mean: (samples, T)."""

        def explained(m: np.ndarray) -> np.ndarray:
            return solve_triangular(self.core, (m @ self.weighted).T, lower=True).T

        root = np.sqrt(self.variance)
        distance = cdist(rows / root, means / root, "sqeuclidean")
        distance -= cdist(explained(rows), explained(means), "sqeuclidean")
        return -0.5 * (distance + self.log_determinant)
