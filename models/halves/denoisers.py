"""Denoisers of thinned counts: fitted to training samples, chosen on validation samples by molecular cross-validation.

Counts a of an input half are brought to one depth D and stabilised; s is the sample's total:

    y = sqrt(a D / s).

The square root, not a logarithm: where a ~ Poisson(mu), Var[sqrt(a)] is 1/4 for every mu above a few counts, so noise
is as large in every gene and at every level, as the model x + alpha n with one alpha (eq. 9) asks; that of log2(a + 1)
falls as 1 / mu. What is left of differences is taken out by gene: Wiener filter and mixture see y / sd, with the
standard deviation of each gene's noise from thinned training samples. A sample of half the depth has sqrt(2) times the
noise.

The loss of molecular cross-validation is the MSE between the answer to one half and the other half, b, on that scale:

    E (g(a) - sqrt(b D / s'))^2 = E (g(a) - E[sqrt(b D / s')])^2 + noise of the target,

where the halves are independent given the expression: so it is least where the true error is. Two fresh samplings of a
cell, each of which catches a molecule with probability p c or (1 - p) c, would have the share p (1 - p) c^2 of its
molecules in common, and Batson et al. give both halves such an overlap. It vanishes with c, the share of the molecules
that is counted, and that is minute in a tissue: the halves here are disjoint. For halves of equal share E[sqrt] is the
same for both; otherwise they differ by about |1 / sqrt(p) - 1 / sqrt(1 - p)| / (8 sqrt(x)) at x counts, which is not
corrected.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_utils.counts import thin
from models.denoisers.linear import Wiener, wiener_gain
from models.denoisers.mixture import Mixture, fit_round

#: Thinnings of the training samples over which their rows and the noise are averaged.
DRAWS = 8
#: Least standard deviation of a gene's noise: that of a gene with a count in one sample of a hundred.
LEAST_NOISE = 0.1
#: Groups of the mixture among which validation chooses, its classes of quality, and rounds of its fit: as grid `best`.
MIXTURE_GROUPS, MIXTURE_CLASSES, MIXTURE_ROUNDS = (1, 20), 12, 3


@dataclass(frozen=True)
class Scale:
    """The scale on which the denoisers work: `depth` is D, the median total of a training sample's input half."""

    depth: float

    def stabilised(self, counts: np.ndarray) -> np.ndarray:
        """sqrt of the counts at the common depth, (samples, genes) float64."""
        return np.sqrt(counts * self.noise_levels(counts)[:, None] ** 2)

    def noise_levels(self, counts: np.ndarray) -> np.ndarray:
        """sqrt(D / s) of each sample, (samples,): its noise, in units of that at depth D."""
        return np.sqrt(self.depth / np.maximum(counts.sum(axis=1), 1))


@dataclass(frozen=True)
class Halves:
    """Thinned samples: counts of both halves, (samples, genes), and what the denoisers see and are measured by."""

    kept: np.ndarray
    other: np.ndarray
    inputs: np.ndarray  # stabilised, (samples, genes) float64
    targets: np.ndarray
    levels: np.ndarray  # noise of each input row, (samples,)

    @classmethod
    def of(cls, counts: np.ndarray, share: float, scale: Scale, rng: np.random.Generator) -> Halves:
        """Thin the counts, and stabilise both halves."""
        kept, other = thin(counts, share, rng)
        return cls(
            kept, other, scale.stabilised(kept), scale.stabilised(other), scale.noise_levels(kept)
        )


@dataclass(frozen=True)
class Training:
    """What a fit may know: training samples alone.

    rows: each sample's stabilised input half, averaged over thinnings, (samples, genes) float64; noise: standard
    deviation by gene of the noise of an input half at depth D, (genes,); row_noise: variance of the noise that the rows
    themselves have, in units of noise^2.
    """

    counts: np.ndarray
    share: float
    scale: Scale
    rows: np.ndarray
    noise: np.ndarray
    row_noise: float

    @classmethod
    def of(
        cls, counts: np.ndarray, share: float, rng: np.random.Generator, draws: int = DRAWS
    ) -> Training:
        """From the counts of the training samples, (samples, genes).

        A difference of halves has the noise of both: E (y - y')^2 = sd^2 (D / s + D / s'). An average over R thinnings
        has the noise of the whole sample, p of that of its half, and 1 / R of what thinning adds, 1 - p.
        """
        scale = Scale(max(1.0, share * float(np.median(counts.sum(axis=1)))))
        rows, squares = np.zeros(counts.shape), np.zeros(counts.shape[1])
        levels = 0.0
        for _ in range(draws):
            halves = Halves.of(counts, share, scale, rng)
            rows += halves.inputs / draws
            squares += ((halves.inputs - halves.targets) ** 2).sum(axis=0)
            levels += (halves.levels**2).sum() + (scale.noise_levels(halves.other) ** 2).sum()
        noise = np.maximum(np.sqrt(squares / levels), LEAST_NOISE)
        of_whole = float((scale.noise_levels(counts) ** 2).mean())
        return cls(
            counts, share, scale, rows, noise, of_whole * (1 + (1 - share) / (share * draws))
        )


class HalfDenoiser:
    """What the denoisers have in common. `fit` learns from training samples, `tune` chooses on validation halves."""

    name: str
    choice = ""

    def fit(self, training: Training) -> HalfDenoiser:
        """Fit to the training samples; returns self."""
        return self

    def tune(self, validation: Halves) -> None:
        """Choose what has the least loss of molecular cross-validation; `choice` then says what."""

    def denoise(self, inputs: np.ndarray, levels: np.ndarray) -> np.ndarray:
        """The guess at the other half, (samples, genes) float64, stabilised, from `Halves.inputs` and `.levels`."""
        raise NotImplementedError


class NoDenoising(HalfDenoiser):
    """The input half as it is."""

    name = "no denoising"

    def denoise(self, inputs: np.ndarray, levels: np.ndarray) -> np.ndarray:
        return inputs.copy()


class GeneMeanOfHalves(HalfDenoiser):
    """Each gene's mean over the training samples."""

    name = "gene mean"

    def fit(self, training: Training) -> GeneMeanOfHalves:
        self.mean_ = training.rows.mean(axis=0)
        return self

    def denoise(self, inputs: np.ndarray, levels: np.ndarray) -> np.ndarray:
        return np.broadcast_to(self.mean_, inputs.shape).copy()


class PCAOfHalves(HalfDenoiser):
    """Projection on the leading principal components of the training rows; validation chooses how many."""

    name = "PCA"

    def fit(self, training: Training) -> PCAOfHalves:
        self.mean_ = training.rows.mean(axis=0)
        left = training.rows - self.mean_
        _, sizes, components = np.linalg.svd(left, full_matrices=False)
        self.components_ = components[sizes > 1e-9 * max(1.0, sizes[0])].T  # (genes, components)
        self.n_components_ = self.components_.shape[1]
        return self

    def losses(self, validation: Halves) -> np.ndarray:
        """MSE between answer and other half for 0, 1, 2, ... components: components are orthonormal, so that

        |t - V_k c_k|^2 = |t|^2 + sum_{j <= k} (c_j^2 - 2 c_j t_j), of code c and the target's code.
        """
        code, target = (
            (half - self.mean_) @ self.components_
            for half in (validation.inputs, validation.targets)
        )
        change = np.cumsum((code**2 - 2 * code * target).sum(axis=0))
        total = ((validation.targets - self.mean_) ** 2).sum()
        return (total + np.r_[0.0, change]) / validation.targets.size

    def tune(self, validation: Halves) -> None:
        self.n_components_ = int(self.losses(validation).argmin())
        self.choice = f"{self.n_components_} components"

    def denoise(self, inputs: np.ndarray, levels: np.ndarray) -> np.ndarray:
        components = self.components_[:, : self.n_components_]
        return (inputs - self.mean_) @ components @ components.T + self.mean_


class WienerOfHalves(HalfDenoiser):
    """The Wiener filter (models/denoisers/linear.py) of rows in units of their genes' noise.

    There noise is isotropic, so rows with noise of variance v have the components of clean ones, and each variance is
    v too large: the gain of a row of level alpha is c / (c + alpha^2) with c = max(variance - v, 0).
    """

    name = "Wiener"

    def fit(self, training: Training) -> WienerOfHalves:
        self.noise_, self.row_noise_ = training.noise, training.row_noise
        self.wiener_ = Wiener().fit(training.rows / training.noise)
        self.choice = "Ledoit-Wolf"
        return self

    def tune(self, validation: Halves) -> None:
        code, target = self._code(validation.inputs), self._code(validation.targets)
        losses = {
            name: float(((self._gain(name, validation.levels) * code - target) ** 2).mean())
            for name in self.wiener_.spectra_
        }
        self.choice = min(losses, key=losses.get)

    def denoise(self, inputs: np.ndarray, levels: np.ndarray) -> np.ndarray:
        guess = (self._gain(self.choice, levels) * self._code(inputs)) @ self.wiener_.components_.T
        return (guess + self.wiener_.mean_) * self.noise_

    def _code(self, rows: np.ndarray) -> np.ndarray:
        return (rows / self.noise_ - self.wiener_.mean_) @ self.wiener_.components_

    def _gain(self, name: str, levels: np.ndarray) -> np.ndarray:
        clean = np.maximum(self.wiener_.spectra_[name] - self.row_noise_, 0)
        return wiener_gain(clean, levels[:, None])  # (samples, genes)


class MixtureOfHalves(HalfDenoiser):
    """The mixture of Wiener filters (models/denoisers/mixture.py), in the same units; validation chooses its groups."""

    name = "Wiener mixture"

    def __init__(self, groups: tuple[int, ...] = MIXTURE_GROUPS, rounds: int = MIXTURE_ROUNDS):
        self.groups, self.rounds = groups, rounds

    def fit(self, training: Training) -> MixtureOfHalves:
        self.noise_, self.row_noise_ = training.noise, training.row_noise
        rows = training.rows / training.noise
        self.mixtures_: dict[int, Mixture] = {}
        for groups in [g for g in self.groups if g == 1 or 3 * g <= len(rows)]:
            mixture = None
            for _ in range(self.rounds):
                mixture = fit_round(rows, mixture, groups, MIXTURE_CLASSES, seed=0)
            self.mixtures_[groups] = mixture
        self._choose(min(self.mixtures_))
        return self

    def tune(self, validation: Halves) -> None:
        losses = {}
        for groups in self.mixtures_:
            self._choose(groups)
            losses[groups] = mean_square(
                self.denoise(validation.inputs, validation.levels), validation.targets
            )
        self._choose(min(losses, key=losses.get))

    def _choose(self, groups: int) -> None:
        self.chosen_, self.choice = groups, f"{groups} groups" if groups > 1 else "1 group"

    def denoise(self, inputs: np.ndarray, levels: np.ndarray) -> np.ndarray:
        guess, _ = self.mixtures_[self.chosen_].posterior_mean(
            inputs / self.noise_, levels, self.row_noise_
        )
        return guess * self.noise_


def mean_square(guess: np.ndarray, target: np.ndarray) -> float:
    """Mean squared difference over samples and genes."""
    return float(((guess - target) ** 2).mean())
