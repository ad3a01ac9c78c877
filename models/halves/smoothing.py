"""Smoothing over nearest neighbours by diffusion, after the method that MAGIC describes (van Dijk et al. 2018).

Samples are nodes. Affinities fall as exp(-(d / d_k)^2) with the distance d between principal components, d_k being that
of the k-th neighbour, and are 0 beyond 3 k neighbours; made symmetric and divided by row sums they are the steps P of a
random walk. A sample's answer is what a walk of t steps from it finds on average: P^t X.

MAGIC lets all samples of a study smooth each other. Here the nodes are training samples, so that what a test sample is
answered depends on no other test sample; it joins the walk as one more node: it steps to its neighbours among them, or
stays at itself as each node may, and none steps to it.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from models.halves.denoisers import HalfDenoiser, Halves, Training, mean_square

NEIGHBOURS, STEPS = (2, 4, 8, 16, 32), (1, 2, 3, 4, 6, 8)
COMPONENTS = 50
#: Neighbours that a node has, in units of k.
REACH = 3


class NeighbourSmoothing(HalfDenoiser):
    """kNN smoothing; validation chooses neighbours k and steps t."""

    name = "kNN smoothing"

    def __init__(self, neighbours: tuple[int, ...] = NEIGHBOURS, steps: tuple[int, ...] = STEPS):
        self.neighbours, self.steps = neighbours, steps

    def fit(self, training: Training) -> NeighbourSmoothing:
        """Find the training samples' neighbours and their random walks."""
        self.rows_ = rows = training.rows
        self.pca_ = PCA(min(COMPONENTS, *rows.shape), svd_solver="full").fit(rows)
        code = self.pca_.transform(rows)
        self.index_ = NearestNeighbors().fit(code)
        self.walks_ = {}
        for k in dict.fromkeys(min(k, len(rows) - 1) for k in self.neighbours):
            one_way = self._affinities(code, k, own=True)
            both = (
                one_way + one_way.T + 2 * sparse.identity(len(rows), format="csr")
            )  # a node may stay
            self.walks_[k] = sparse.csr_matrix(both.multiply(1 / both.sum(axis=1)))
        self._choose(min(self.walks_), self.steps[0])
        return self

    def tune(self, validation: Halves) -> None:
        losses = {}
        for k in self.walks_:
            for t, guess in self._walked(validation.inputs, k):
                losses[k, t] = mean_square(guess, validation.targets)
        self._choose(*min(losses, key=losses.get))

    def denoise(self, inputs: np.ndarray, levels: np.ndarray) -> np.ndarray:
        return next(
            guess for t, guess in self._walked(inputs, self.chosen_[0]) if t == self.chosen_[1]
        )

    def _choose(self, k: int, t: int) -> None:
        self.chosen_, self.choice = (k, t), f"{k} neighbours, {t} steps"

    def _affinities(self, code: np.ndarray, k: int, own: bool) -> sparse.csr_matrix:
        """From samples to training samples, (samples, training samples); `own`: they are those, less themselves."""
        reach = min(REACH * k, len(self.rows_) - own)
        query = None if own else code
        distance, neighbour = self.index_.kneighbors(query, reach)
        width = np.maximum(distance[:, min(k, reach) - 1 : min(k, reach)], 1e-12)
        weight = np.exp(-((distance / width) ** 2))
        starts = np.arange(0, weight.size + 1, reach)
        return sparse.csr_matrix(
            (weight.ravel(), neighbour.ravel(), starts), (len(code), len(self.rows_))
        )

    def _walked(self, inputs: np.ndarray, k: int):
        """(t, answers) for t in `steps`. With p the first step of a sample to the others and w to itself,

        q_t = w q_(t-1) + p P^(t-1) X, so that its weights on X and on itself need no rows of X.
        """
        first = self._affinities(self.pca_.transform(inputs), k, own=False)
        total = np.asarray(first.sum(axis=1)) + 1  # its own affinity is 1
        stays, onward = 1 / total, (first.toarray() / total)
        weights, own = np.zeros_like(onward), np.ones_like(stays)
        for t in range(1, max(self.steps) + 1):
            weights, own = stays * weights + onward, stays * own
            onward = onward @ self.walks_[k]
            if t in self.steps:
                yield t, weights @ self.rows_ + own * inputs
