"""A mixture of Wiener filters: the posterior mean under a mixture of Gaussians, fitted to training rows.

A sample x belongs to a group k (a tissue, say) and to a class c of quality; given both,

    x ~ N(m_k, s_c S),    y = x + alpha n (eq. 9),    S = V diag(lambda) V^T, the same for all.

The best guess at x under that model is the groups' and classes' Wiener filters, weighted by how probable y makes each:

    E[x | y] = sum_kc p(k, c | y, alpha) (m_k + V diag(s_c lambda / (s_c lambda + alpha^2)) V^T (y - m_k)).

One group and one class are the Wiener filter. The noise factor enters the formula alone, so one set of parameters
serves every noise level. What makes it better than the filter: samples differ in how far they lie from the mean
(classes), the covariance is blended with a factor model's, rows count by the inverse of their scale, and groups.

`fit_round` is one step of the fit; models/denoisers/mixture_fit.py fits a pack of them.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields

import numpy as np
from scipy.special import logsumexp, softmax
from sklearn.cluster import KMeans
from sklearn.decomposition import FactorAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.isotonic import IsotonicRegression

from data_utils.noise import noise_variance
from models.denoisers.denoiser import Denoiser, by_row

#: Share of the factor model in the covariance, and its factors. Of 0, .4, .6, .8, 1 the best on validation rows of the
#: simulated cohort, and within 0.1 % of the best on real L1000 profiles; 30, 60 and 100 factors are alike there.
FACTOR_SHARE = 0.8
N_FACTORS = 40
N_FOLDS = 5
#: Principal components in which k-means starts the groups.
START_COMPONENTS = 30
#: Rows at the overall mean that each group's mean counts beside its own.
PRIOR_ROWS = 0.5
#: Steps of the inner fit of classes and variances, in which the last ten change nothing that can be seen.
INNER_STEPS = 40
LEAST_VARIANCE = 1e-4
#: Rows that are denoised together.
ROWS = 1024


@dataclass(frozen=True)
class Mixture(Denoiser):
    """The parameters, float64. S = components diag(variances) components^T."""

    components: np.ndarray  # (genes, genes), a column a component
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
        """(samples, genes) z-scores to the same, float32; noise_factor is a number or (samples,)."""
        factors = by_row(noise_factor, len(noisy))[:, 0]
        answers = np.empty(np.shape(noisy), dtype=np.float32)
        for start in range(0, len(noisy), ROWS):
            rows = slice(start, start + ROWS)
            inputs = np.asarray(noisy[rows], dtype=np.float64)
            answers[rows], _ = self.posterior_mean(inputs, factors[rows])
        return answers

    def arrays(self) -> dict[str, np.ndarray]:
        """The parameters by name, float32, as they are kept."""
        return {name: np.array(getattr(self, name), np.float32, order="C") for name in PARAMETERS}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], facts: dict) -> Mixture:
        """The inverse. Raises KeyError or ValueError if the arrays do not fit together."""
        it = cls(**{name: np.array(arrays[name], np.float64) for name in PARAMETERS})
        n, groups, classes = it.variances.size, it.group_weights.size, it.class_weights.size
        shapes = ((n, n), (n,), (groups, n), (groups,), (classes,), (classes,))
        if tuple(getattr(it, name).shape for name in PARAMETERS) != shapes:
            raise ValueError("the arrays of the mixture do not fit together")
        return it

    def posterior_mean(
        self, noisy: np.ndarray, noise_factor: np.ndarray | float, row_noise: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """E[x | y], (rows, genes), and the probability of each group, (rows, groups), for y (rows, genes).

        noise_factor is a number, or (rows,). `row_noise` is the variance of the noise that the training rows had
        themselves: the variances then are those of x plus it, and x has what is left, at least 0.
        """
        rotated = noisy @ self.components
        means = self.means @ self.components
        noise = noise_variance(np.asarray(noise_factor, dtype=np.float64)).reshape(
            -1, 1
        )  # (1 or rows, 1)
        log_density = np.empty(
            (len(noisy), *np.shape(self.group_weights), *np.shape(self.class_weights))
        )
        clean = np.maximum(
            np.multiply.outer(self.class_scales, self.variances) - row_noise, 0
        )  # of x, by class
        for c, of_x in enumerate(clean):
            variances = of_x + noise  # of y, (1 or rows, genes)
            log_density[:, :, c] = -0.5 * _squared_distances(rotated, means, variances)
            log_density[:, :, c] -= 0.5 * np.log(variances).sum(axis=1, keepdims=True)
        log_density += np.log(self.group_weights)[:, None] + np.log(self.class_weights)
        probability = softmax(log_density, axis=(1, 2))
        guess = np.zeros_like(rotated)
        for c, of_x in enumerate(clean):
            left = noise / (of_x + noise)  # of the distance to the mean, what is taken as noise
            of_class = probability[:, :, c]
            guess += (
                of_class.sum(axis=1, keepdims=True) * (1 - left) * rotated
                + (of_class @ means) * left
            )
        return guess @ self.components.T, probability.sum(axis=2)


#: Names of the arrays that are a mixture.
PARAMETERS = tuple(field.name for field in fields(Mixture))


def fit_round(
    rows: np.ndarray, before: Mixture | None, n_groups: int, n_classes: int, seed: int
) -> Mixture:
    """The mixture after one more round of fitting to clean training rows, (rows, genes) float64.

    The first round, without a mixture `before`, starts from k-means; later ones sort the rows by the mixture so far,
    and count each by the inverse of its scale, so that a few loud samples do not turn the components.

    Variances and classes come from held-out rows, fold by fold: along its own components a training row varies too
    much at the top and too little at the bottom (Bartz 2016), which would make every filter too sure of itself.
    """
    n_rows = len(rows)
    groups, weights = _sorted_rows(rows, before, n_groups, seed)
    fold = np.arange(n_rows) % min(N_FOLDS, n_rows)
    left_over = np.empty_like(rows)
    for f in range(fold.max() + 1):
        train, held_out = fold != f, fold == f
        means = _group_means(rows[train], groups[train], weights[train], n_groups)
        components = _components(rows[train] - means[groups[train]], weights[train], seed)
        rotated, rotated_means = rows[held_out] @ components, means @ components
        variances = np.ones(rows.shape[1]) if before is None else before.variances
        nearest = _squared_distances(rotated, rotated_means, variances).argmin(axis=1)
        left_over[held_out] = rotated - rotated_means[nearest]
    variances, class_scales, class_weights = _fit_classes(left_over, n_classes)
    means = _group_means(rows, groups, weights, n_groups)
    components = _components(rows - means[groups], weights, seed)
    sizes = np.bincount(groups, minlength=n_groups) + 1.0
    return Mixture(components, variances, means, sizes / sizes.sum(), class_scales, class_weights)


def _sorted_rows(
    rows: np.ndarray, before: Mixture | None, n_groups: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The group of each row, and how much it counts, (rows,) each; the mean weight is 1."""
    if before is None:
        return _start(rows, n_groups, seed), np.ones(len(rows))
    squares = _squared_distances(
        rows @ before.components, before.means @ before.components, before.variances
    )
    # A row's scale is not known, so the density is that of its best one: the squares to the power -genes / 2.
    n_genes = rows.shape[1]
    groups = (
        np.log(before.group_weights) - 0.5 * n_genes * np.log(np.maximum(squares, 1e-9))
    ).argmax(axis=1)
    log_classes = _log_classes(
        squares.min(axis=1), n_genes, before.class_scales, before.class_weights
    )
    weights = 1 / (softmax(log_classes, axis=1) @ before.class_scales)
    return groups, weights / weights.mean()


def _start(rows: np.ndarray, n_groups: int, seed: int) -> np.ndarray:
    """Groups by k-means in the leading principal components, (rows,)."""
    if n_groups == 1:
        return np.zeros(len(rows), dtype=int)
    centred = rows - rows.mean(axis=0)
    leading = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :START_COMPONENTS]
    return KMeans(min(n_groups, len(rows)), n_init=4, random_state=seed).fit_predict(
        centred @ leading
    )


def _group_means(
    rows: np.ndarray, groups: np.ndarray, weights: np.ndarray, n_groups: int
) -> np.ndarray:
    """(groups, genes): weighted means, each with PRIOR_ROWS rows at the overall mean, so that none is undefined."""
    overall = weights @ rows / weights.sum()
    belongs = (groups == np.arange(n_groups)[:, None]) * weights  # (groups, rows)
    return (belongs @ rows + PRIOR_ROWS * overall) / (
        belongs.sum(axis=1, keepdims=True) + PRIOR_ROWS
    )


def _components(centred: np.ndarray, weights: np.ndarray, seed: int) -> np.ndarray:
    """Eigenvectors (columns), the largest variance first, of the rows' covariance blended with a factor model's.

    A factor model, L L^T + D, knows that what genes do not share is each gene's own; the sample covariance spreads that
    over all directions. Neither alone is as good as both.
    """
    scaled = centred * np.sqrt(weights)[:, None]
    n_factors = max(1, min(N_FACTORS, len(scaled) // 4, scaled.shape[1] // 2))
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # 60 steps are near enough: more change no error
        model = FactorAnalysis(n_factors, max_iter=60, random_state=seed).fit(scaled)
    sample = scaled.T @ scaled / len(scaled)
    blend = FACTOR_SHARE * model.get_covariance() + (1 - FACTOR_SHARE) * sample
    return np.ascontiguousarray(np.linalg.eigh(blend)[1][:, ::-1])


def _fit_classes(
    left_over: np.ndarray, n_classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Variances (genes,), and the classes' scales and weights, from rotated rows less their group's mean.

    Expectation maximisation for N(0, s_c diag(variances)), where variances do not grow from one component to the next.
    """
    squares, n_genes = left_over**2, left_over.shape[1]
    variances = _descending(squares.mean(axis=0))
    quantiles = (np.arange(n_classes) + 0.5) / n_classes
    scales = np.maximum(np.quantile((squares / variances).mean(axis=1), quantiles), LEAST_VARIANCE)
    class_weights = np.full(n_classes, 1 / n_classes)
    for _ in range(INNER_STEPS):
        distance = (squares / variances).sum(axis=1)  # (rows,)
        log_classes = _log_classes(distance, n_genes, scales, class_weights)
        belongs = softmax(log_classes, axis=1)  # (rows, classes)
        class_weights = belongs.mean(axis=0) + 1e-4
        class_weights /= class_weights.sum()
        # half a row of scale 1 beside its own, so that an empty class has a scale
        scales = (belongs.T @ distance + 0.5 * n_genes) / ((belongs.sum(axis=0) + 0.5) * n_genes)
        variances = _descending((squares * (belongs @ (1 / scales))[:, None]).mean(axis=0))
    return variances, scales, class_weights


def _log_classes(
    distance: np.ndarray, n_genes: int, scales: np.ndarray, class_weights: np.ndarray
) -> np.ndarray:
    """log p(row, class) but for a constant, (rows, classes), from the squared distance to the mean, (rows,)."""
    log_density = -0.5 * (distance[:, None] / scales + n_genes * np.log(scales)) + np.log(
        class_weights
    )
    return log_density - logsumexp(log_density, axis=1, keepdims=True)


def _descending(values: np.ndarray) -> np.ndarray:
    fitted = IsotonicRegression(increasing=False, y_min=LEAST_VARIANCE).fit_transform(
        np.arange(len(values)), values
    )
    return np.maximum(fitted, LEAST_VARIANCE)


def _squared_distances(rows: np.ndarray, means: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """sum_j (rows_j - means_j)^2 / variances_j of every row and mean, (rows, groups); variances (1 or rows, genes)."""
    variances = np.atleast_2d(variances)
    scaled = rows / variances
    squares = (
        (rows * scaled).sum(axis=1, keepdims=True)
        - 2 * scaled @ means.T
        + (1 / variances) @ (means**2).T
    )
    return np.maximum(squares, 0)
