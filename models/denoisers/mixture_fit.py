"""The fit of mixtures of Wiener filters, round by round.

`fit_round` does one round; `MixtureFit` does the rounds of a pack, one per epoch. Parameters are
rounded to float32 after each round, the precision in which they are saved, so that an interrupted
fit continues from the same numbers.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from scipy.special import logsumexp, softmax
from sklearn.cluster import KMeans
from sklearn.decomposition import FactorAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.isotonic import IsotonicRegression

from data_utils.noise import stream
from data_utils.preparation import PreparedData
from models.architecture import MixtureArchitecture
from models.config import MemberConfig
from models.denoisers.mixture import PARAMETERS, Mixture, squared_distances
from models.engine.stack import Targets, square_sums
from models.noisy import Noisy
from models.training import Block, Training, blocks_by_seed

#: Share of the factor model in the covariance, and its number of factors. Of the shares 0, .4, .6,
#: .8 and 1 this one is the best on validation rows of the simulated cohort, and within 0.1 % of the
#: best on real L1000 profiles, where 30, 60 and 100 factors make no difference.
FACTOR_SHARE = 0.8
N_FACTORS = 40
N_FOLDS = 5
#: Principal components in which k-means starts the groups.
START_COMPONENTS = 30
#: Rows at the overall mean that are added to each group before its mean is taken.
PRIOR_ROWS = 0.5
#: Steps of the inner fit of classes and variances; the last ten change nothing visible.
INNER_STEPS = 40
LEAST_VARIANCE = 1e-4


class MixtureFit(Training):
    """K mixtures being fitted, on the CPU; the code of a row is the probability of each group."""

    def __init__(
        self,
        members: tuple[MemberConfig, ...],
        data: Callable[[int], PreparedData],
        device: str = "cpu",
        tested: bool = True,
    ):
        super().__init__(members, data, "cpu", tested)
        networks = (member.architecture for member in members)
        self.networks = [its for its in networks if isinstance(its, MixtureArchitecture)]
        self.networks[0].parameter_shapes(self.n_genes)  # refuses too many genes
        self.code_units = self.networks[0].groups
        self.seeds = blocks_by_seed(members, largest=1)
        self.mixtures: list[Mixture] = []  # empty before the first round

    def advance(self) -> bool:
        """Do one round of each member's fit on all training rows, and measure; returns True."""
        started = time.perf_counter()
        rounds = [self._round(k) for k in range(len(self.members))]
        self.mixtures = [mixture for mixture, _ in rounds]
        self.loss_sum.add_(torch.tensor([loss for _, loss in rounds]) * self._n_rows("train"))
        self._end_epoch()
        self.seconds += time.perf_counter() - started
        return True

    def parameters(self, k: int) -> dict[str, torch.Tensor]:
        """Return member k's parameters, float32."""
        return {name: torch.from_numpy(array) for name, array in self.mixtures[k].arrays().items()}

    def state(self) -> tuple[dict[str, torch.Tensor], dict]:
        """Return the tensors and JSON-able facts from which `restore` continues after any round."""
        tensors, facts = super().state()
        for k in range(len(self.mixtures)):
            tensors |= {f"{name}.{k}": value for name, value in self.parameters(k).items()}
        return tensors, facts

    def restore(self, tensors: dict[str, torch.Tensor], facts: dict) -> None:
        """Continue from the tensors and facts of `state`, with the same members and data."""
        super().restore(tensors, facts)
        self.mixtures = [
            Mixture.from_arrays({name: tensors[f"{name}.{k}"].numpy() for name in PARAMETERS}, {})
            for k in range(len(self.members) if self.epoch else 0)
        ]

    def _round(self, k: int) -> tuple[Mixture, float]:
        """Do a round of member k's fit; returns it and its MSE (eq. 11) on noisy training rows."""
        member, network = self.members[k], self.networks[k]
        before = self.mixtures[k] if self.mixtures else None
        order = self._order(member.seed)
        clean = self.rows[member.seed]["train"][order]
        noisy = self._noisy_batch(member.seed, order, clean)
        if before is None:
            draw = torch.rand(network.groups, generator=stream(member.seed, "groups"))[0]
        else:
            draw = before.group_weights[0]
        rows, seed = clean.double().numpy(), int(float(draw) * 2**31)
        fitted = fit_round(rows, before, network.groups, network.classes, seed)
        guess, _ = self._answer(k, fitted, noisy, len(clean))
        return Mixture.from_arrays(fitted.arrays(), {}), float(((guess - rows) ** 2).mean())

    def _answers(
        self, block: Block, noisy: Iterable[Noisy], targets: Targets
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        k, clean = block.members.start, targets.rows
        for its in noisy:
            answer = self._answer(k, self.mixtures[k], its, len(clean))
            guess, code = map(torch.from_numpy, answer)
            yield square_sums(guess.float().sub_(clean)[None]), code.float()[None]

    def _guesses(self, block: Block, noisy: Iterable[Noisy], n_rows: int) -> Iterator[torch.Tensor]:
        k = block.members.start
        for its in noisy:
            yield torch.from_numpy(self._answer(k, self.mixtures[k], its, n_rows)[0]).float()[None]

    def _answer(
        self, k: int, mixture: Mixture, noisy: Noisy, n_rows: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return posterior means (rows, genes) and group probabilities of member k's noisy rows."""
        member = slice(k, k + 1)
        inputs = self._empty("inputs", 1, n_rows, self.n_genes)
        noisy.write(member, inputs)
        factors = noisy.own(member).flatten().expand(n_rows)
        return mixture.posterior_mean(inputs[0].double().numpy(), factors.double().numpy())


def fit_round(
    rows: np.ndarray, before: Mixture | None, n_groups: int, n_classes: int, seed: int
) -> Mixture:
    """Return the mixture after one more round of fitting to training rows, (rows, genes) float64.

    The first round, without a mixture `before`, starts from k-means. Later ones assign the rows to
    groups by the mixture `before`, and weight each row by the inverse of its scale, so that a few
    samples of large scale do not dominate the components.

    Variances and classes come from held-out rows, fold by fold: along its own components a training
    row varies too much at the top and too little at the bottom (Bartz 2016), so that every filter
    would remove too little noise.
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
        nearest = squared_distances(rotated, rotated_means, variances).argmin(axis=1)
        left_over[held_out] = rotated - rotated_means[nearest]
    variances, class_scales, class_weights = _fit_classes(left_over, n_classes)
    means = _group_means(rows, groups, weights, n_groups)
    components = _components(rows - means[groups], weights, seed)
    sizes = np.bincount(groups, minlength=n_groups) + 1.0
    return Mixture(components, variances, means, sizes / sizes.sum(), class_scales, class_weights)


def _sorted_rows(
    rows: np.ndarray, before: Mixture | None, n_groups: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the group of each row, and its weight, (rows,) each; the mean weight is 1."""
    if before is None:
        return _start(rows, n_groups, seed), np.ones(len(rows))
    rotated, means = rows @ before.components, before.means @ before.components
    squares = squared_distances(rotated, means, before.variances)
    # A row's scale is unknown. At its most likely scale the density is proportional to
    # squares ^ (-genes / 2).
    n_genes = rows.shape[1]
    log_density = np.log(before.group_weights)
    log_density = log_density - 0.5 * n_genes * np.log(np.maximum(squares, 1e-9))
    groups = log_density.argmax(axis=1)
    classes = before.class_scales, before.class_weights
    log_classes = _log_classes(squares.min(axis=1), n_genes, *classes)
    weights = 1 / (softmax(log_classes, axis=1) @ before.class_scales)
    return groups, weights / weights.mean()


def _start(rows: np.ndarray, n_groups: int, seed: int) -> np.ndarray:
    """Return groups by k-means in the leading principal components, (rows,)."""
    if n_groups == 1:
        return np.zeros(len(rows), dtype=int)
    centred = rows - rows.mean(axis=0)
    leading = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :START_COMPONENTS]
    means = KMeans(min(n_groups, len(rows)), n_init=4, random_state=seed)
    return means.fit_predict(centred @ leading)


def _group_means(
    rows: np.ndarray, groups: np.ndarray, weights: np.ndarray, n_groups: int
) -> np.ndarray:
    """Return weighted means, (groups, genes), of the groups with PRIOR_ROWS at the overall mean.

    The added rows give even an empty group a mean.
    """
    overall = weights @ rows / weights.sum()
    belongs = (groups == np.arange(n_groups)[:, None]) * weights  # (groups, rows)
    sizes = belongs.sum(axis=1, keepdims=True) + PRIOR_ROWS
    return (belongs @ rows + PRIOR_ROWS * overall) / sizes


def _components(centred: np.ndarray, weights: np.ndarray, seed: int) -> np.ndarray:
    """Return eigenvectors (columns), the largest variance first, of the blended covariance.

    A factor model, L L^T + D, keeps the variance that genes do not share within each gene; the
    sample covariance spreads it over all directions. The blend is better than either.
    """
    scaled = centred * np.sqrt(weights)[:, None]
    n_factors = max(1, min(N_FACTORS, len(scaled) // 4, scaled.shape[1] // 2))
    with warnings.catch_warnings():
        # 60 steps are near enough: more change no error
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = FactorAnalysis(n_factors, max_iter=60, random_state=seed).fit(scaled)
    sample = scaled.T @ scaled / len(scaled)
    blend = FACTOR_SHARE * model.get_covariance() + (1 - FACTOR_SHARE) * sample
    return np.ascontiguousarray(np.linalg.eigh(blend)[1][:, ::-1])


def _fit_classes(
    left_over: np.ndarray, n_classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return variances (genes,), and scales and weights of classes, of rotated, centred rows.

    Expectation maximisation for N(0, s_c diag(variances)), with variances that never increase from
    one component to the next.
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
        # half a row of scale 1 is added, so that an empty class has a scale
        scales = (belongs.T @ distance + 0.5 * n_genes) / ((belongs.sum(axis=0) + 0.5) * n_genes)
        variances = _descending((squares * (belongs @ (1 / scales))[:, None]).mean(axis=0))
    return variances, scales, class_weights


def _log_classes(
    distance: np.ndarray, n_genes: int, scales: np.ndarray, class_weights: np.ndarray
) -> np.ndarray:
    """Return log p(class | row), (rows, classes), from squared distances to the mean, (rows,)."""
    log_density = -0.5 * (distance[:, None] / scales + n_genes * np.log(scales))
    log_density += np.log(class_weights)
    return log_density - logsumexp(log_density, axis=1, keepdims=True)


def _descending(values: np.ndarray) -> np.ndarray:
    regression = IsotonicRegression(increasing=False, y_min=LEAST_VARIANCE)
    return np.maximum(regression.fit_transform(np.arange(len(values)), values), LEAST_VARIANCE)
