"""Smoothing over nearest neighbours by diffusion, after MAGIC (van Dijk et al. 2018).

Samples are nodes. Affinities fall as exp(-(d / d_k)^2) with the distance d between principal
components, where d_k is the distance of the k-th neighbour, and are 0 beyond 3 k neighbours; made
symmetric and divided by row sums they are the steps P of a random walk. The answer to a sample is
the mean of the samples in which a walk of t steps from it ends: P^t X.

MAGIC lets all samples of a study smooth each other. Here the nodes are training samples, so that
the answer to a test sample depends on no other test sample. A test sample joins the walk as one
more node, from which the walk steps to neighbours or stays, and to which no other node leads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from models.denoisers.denoiser import Denoiser, Pairs, mse

COMPONENTS = 50
#: Neighbours that a node has, in units of k.
REACH = 3


class NeighbourSmoothing(Denoiser):
    """kNN smoothing; validation chooses neighbours k and steps t."""

    name = "kNN smoothing"
    neighbours, steps = (2, 4, 8, 16, 32), (1, 2, 3, 4, 6, 8)

    def fit(self, train: np.ndarray) -> Self:
        """Find the training samples' neighbours and their random walks."""
        self.rows_, n_rows = train, len(train)
        self.pca_ = PCA(min(COMPONENTS, *train.shape), svd_solver="full").fit(train)
        code = self.pca_.transform(train)
        self.index_ = NearestNeighbors().fit(code)
        self.walks_ = {}
        stays = 2 * sparse.identity(n_rows, format="csr")
        for k in dict.fromkeys(min(k, n_rows - 1) for k in self.neighbours):
            one_way = self._affinities(code, k, own=True)
            both = one_way + one_way.T + stays
            self.walks_[k] = sparse.csr_matrix(both.multiply(1 / both.sum(axis=1)))
        self.chosen_ = min(self.walks_), self.steps[0]
        return self

    def tune(self, validation: Pairs) -> Self:
        """Choose k and t."""
        losses = {
            (k, t): mse(guess, validation.targets)
            for k in self.walks_
            for t, guess in self._walked(validation.inputs, k)
        }
        self.chosen_ = min(losses, key=losses.__getitem__)
        return self

    def choice(self, noise_factor: float) -> str:
        """Name k and t."""
        return "{} neighbours, {} steps".format(*self.chosen_)

    def denoise(self, noisy: np.ndarray, noise_factor: np.ndarray | float) -> np.ndarray:
        """Return the mean of the samples in which the walks end, (samples, genes)."""
        k, t = self.chosen_
        return dict(self._walked(noisy, k))[t]

    def _affinities(self, code: np.ndarray, k: int, own: bool) -> sparse.csr_matrix:
        """Return affinities to training samples, (samples, training samples).

        With `own` the samples are the training samples, and none is a neighbour of itself.
        """
        reach = min(REACH * k, len(self.rows_) - own)
        distance, neighbour = self.index_.kneighbors(None if own else code, reach)
        width = np.maximum(distance[:, [min(k, reach) - 1]], 1e-12)
        weight = np.exp(-((distance / width) ** 2))
        starts = np.arange(0, weight.size + 1, reach)
        shape = len(code), len(self.rows_)
        return sparse.csr_matrix((weight.ravel(), neighbour.ravel(), starts), shape)

    def _walked(self, inputs: np.ndarray, k: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (t, answers) for t in `steps`.

        With p the first step of a sample and w its probability to stay, q_t = w q_(t-1) +
        p P^(t-1) X: the weights on X and on the sample itself are computed without X.
        """
        first = self._affinities(self.pca_.transform(inputs), k, own=False)
        total = np.asarray(first.sum(axis=1)) + 1  # its own affinity is 1
        stays, onward = 1 / total, first.toarray() / total
        weights, own = np.zeros_like(onward), np.ones_like(stays)
        for t in range(1, max(self.steps) + 1):
            weights, own = stays * weights + onward, stays * own
            onward = onward @ self.walks_[k]
            if t in self.steps:
                yield t, weights @ self.rows_ + own * inputs
