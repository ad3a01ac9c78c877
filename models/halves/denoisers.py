"""Denoisers of thinned counts: fitted to training samples, chosen by molecular cross-validation.

Counts a of an input half are brought to one depth D and stabilised; s is the sample's total:

    y = sqrt(a D / s).

The square root, not a logarithm: where a ~ Poisson(mu), Var[sqrt(a)] is 1/4 for every mu above a
few counts, so the noise is the same in every gene and at every level, as the model x + alpha n with
one alpha (eq. 9) requires; the variance of log2(a + 1) falls as 1 / mu. The remaining differences
are removed by gene: Wiener filter and mixture see y / sd, with the standard deviation of each
gene's noise from thinned training samples. The noise factor of a sample is sqrt(D / s): at half the
depth its noise is sqrt(2) times as large.

The loss of molecular cross-validation is the MSE between the answer to one half and the other half,
b, on that scale:

    E (g(a) - sqrt(b D / s'))^2 = E (g(a) - E[sqrt(b D / s')])^2 + noise of the target,

if the halves are independent given the expression: so the denoiser of least loss has the least true
error. Two new samplings of a cell, each of which catches a molecule with probability p c or
(1 - p) c, would have the share p (1 - p) c^2 of its molecules in common, and Batson et al. give
both halves such an overlap. It vanishes with c, the share of the molecules that is counted, which
is minute in a tissue, so the halves here are disjoint. For halves of equal share E[sqrt] is the
same; otherwise it differs by about |1 / sqrt(p) - 1 / sqrt(1 - p)| / (8 sqrt(x)) at x counts, which
is not corrected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from data_utils.counts import thin
from models.denoisers.denoiser import Denoiser, Pairs, mse
from models.denoisers.linear import PCA, Wiener, wiener_gain
from models.denoisers.mixture import Mixture
from models.denoisers.mixture_fit import fit_round

#: Thinnings of the training samples over which their rows and the noise are averaged.
DRAWS = 8
#: Least standard deviation of a gene's noise: that of a gene with a count in one sample of 100.
LEAST_NOISE = 0.1
#: Numbers of groups from which validation chooses, and the mixture's classes and rounds.
MIXTURE_GROUPS, MIXTURE_CLASSES, MIXTURE_ROUNDS = (1, 20), 12, 3
#: Components with less than this share of the first one's variance are numerical noise.
LEAST_SHARE = 1e-12


@dataclass(frozen=True, eq=False)
class Halves(Pairs):
    """Thinned samples: stabilised halves as inputs and targets, and the counts of both."""

    noise_factor: np.ndarray  # of each input row, (samples,)
    kept: np.ndarray  # counts of the inputs, (samples, genes)
    other: np.ndarray  # counts of the targets


@dataclass(frozen=True)
class Thinning:
    """The thinning of samples: the share that is denoised, and its depth D in a median sample."""

    share: float
    depth: float

    def halves(self, counts: np.ndarray, rng: np.random.Generator) -> Halves:
        """Thin counts, (samples, genes), and stabilise both halves."""
        kept, other = thin(counts, self.share, rng)
        stabilised = self.stabilised(kept), self.stabilised(other)
        return Halves(*stabilised, np.sqrt(self.scales(kept)), kept, other)

    def stabilised(self, counts: np.ndarray) -> np.ndarray:
        """Return the square root of counts at the common depth, (samples, genes) float64."""
        return np.sqrt(counts * self.scales(counts)[:, None])

    def scales(self, counts: np.ndarray) -> np.ndarray:
        """Return D / s of each sample, (samples,): the square of its noise factor."""
        return self.depth / np.maximum(counts.sum(axis=1), 1)


@dataclass(frozen=True, eq=False)
class Training:
    """The training samples, which are all that a fit may use.

    rows: each sample's stabilised input half, averaged over thinnings, (samples, genes) float64;
    noise: standard deviation of each gene's noise in an input half at depth D, (genes,); row_noise:
    variance of the noise that the rows themselves have, in units of noise^2.
    """

    counts: np.ndarray
    thinning: Thinning
    rows: np.ndarray
    noise: np.ndarray
    row_noise: float

    @classmethod
    def of(cls, counts: np.ndarray, share: float, rng: np.random.Generator) -> Training:
        """Thin the counts of the training samples, (samples, genes), DRAWS times.

        A difference of halves has the noise of both: E (y - y')^2 = sd^2 (D / s + D / s'). The
        average over R thinnings has the noise of the whole sample, which is the share p of a
        half's, and 1 / R of the share 1 - p that thinning adds.
        """
        depth = share * float(np.median(counts.sum(axis=1)))
        thinning = Thinning(share, max(1.0, depth))
        rows, squares, levels = np.zeros(counts.shape), np.zeros(counts.shape[1]), 0.0
        for _ in range(DRAWS):
            halves = thinning.halves(counts, rng)
            rows += halves.inputs / DRAWS
            squares += ((halves.inputs - halves.targets) ** 2).sum(axis=0)
            for half in (halves.kept, halves.other):
                levels += float(thinning.scales(half).sum())
        noise = np.maximum(np.sqrt(squares / levels), LEAST_NOISE)
        of_whole = float(thinning.scales(counts).mean())
        row_noise = of_whole * (1 + (1 - share) / (share * DRAWS))
        return cls(counts, thinning, rows, noise, row_noise)


class PCAOfHalves(PCA):
    """PCA whose number of components is chosen on validation halves."""

    def fit(self, train: np.ndarray) -> Self:
        """Find all components of the training rows."""
        self.code_size = min(len(train) - 1, train.shape[1])
        super().fit(train)
        large = self.variances_ > LEAST_SHARE * self.variances_[:1]
        self.all_components_ = self.components_[large]
        return self

    def losses(self, validation: Pairs) -> np.ndarray:
        """Return the MSE for 0, 1, 2, ... components.

        They are orthonormal, so that for code c and the target's code t
        |t - V_k c_k|^2 = |t|^2 + sum_{j <= k} (c_j^2 - 2 c_j t_j).
        """
        halves = validation.inputs - self.mean_, validation.targets - self.mean_
        code, target = (half @ self.all_components_.T for half in halves)
        change = np.cumsum((code**2 - 2 * code * target).sum(axis=0))
        return ((halves[1] ** 2).sum() + np.r_[0.0, change]) / validation.targets.size

    def tune(self, validation: Pairs) -> Self:
        """Choose the number of components."""
        self.code_size = int(self.losses(validation).argmin())
        self.components_ = self.all_components_[: self.code_size]
        return self

    def choice(self, noise_factor: float) -> str:
        """Name the number of components."""
        return f"{self.code_size} components"


class WienerOfHalves(Wiener):
    """A Wiener filter of rows in units of their genes' noise.

    In these units noise is isotropic, so rows with noise of variance v have the same components as
    clean ones, and variances larger by v: those of clean rows are max(variance - v, 0).
    """

    def __init__(self, noise: np.ndarray, row_noise: float):
        super().__init__()
        self.noise, self.row_noise = noise, row_noise

    def fit(self, train: np.ndarray) -> Self:
        """Estimate the spectra of clean rows."""
        super().fit(train / self.noise)
        for name, spectrum in self.spectra_.items():
            self.spectra_[name] = np.maximum(spectrum - self.row_noise, 0)
        return self

    def tune(self, validation: Pairs) -> Self:
        """Choose one spectrum for all samples, whose noise factors differ."""
        halves = validation.inputs, validation.targets
        code, target = ((half / self.noise - self.mean_) @ self.components_ for half in halves)
        factors = np.asarray(validation.noise_factor)[:, None]
        losses = {
            name: mse(wiener_gain(spectrum, factors) * code, target)
            for name, spectrum in self.spectra_.items()
        }
        self.chosen_ = np.zeros(1), [min(losses, key=losses.__getitem__)]
        return self

    def denoise(self, noisy: np.ndarray, noise_factor: np.ndarray | float) -> np.ndarray:
        """Filter the rows in units of the noise."""
        return super().denoise(noisy / self.noise, noise_factor) * self.noise


class MixtureOfHalves(Denoiser):
    """A mixture of Wiener filters of rows in units of their genes' noise.

    Its number of groups is chosen on validation halves.
    """

    name = "Wiener mixture"

    def __init__(self, noise: np.ndarray, row_noise: float):
        self.noise, self.row_noise = noise, row_noise

    def fit(self, train: np.ndarray) -> Self:
        """Fit one mixture for 1 group, and for each number that is at most a third of the rows."""
        rows = train / self.noise
        self.mixtures_: dict[int, Mixture] = {}
        for groups in (g for g in MIXTURE_GROUPS if g == 1 or 3 * g <= len(rows)):
            mixture: Mixture | None = None
            for _ in range(MIXTURE_ROUNDS):
                mixture = fit_round(rows, mixture, groups, MIXTURE_CLASSES, seed=0)
                self.mixtures_[groups] = mixture
        self.chosen_ = min(self.mixtures_)
        return self

    def tune(self, validation: Pairs) -> Self:
        """Choose the number of groups."""
        losses = {}
        for groups in self.mixtures_:
            self.chosen_ = groups
            guess = self.denoise(validation.inputs, validation.noise_factor)
            losses[groups] = mse(guess, validation.targets)
        self.chosen_ = min(losses, key=losses.__getitem__)
        return self

    def choice(self, noise_factor: float) -> str:
        """Name the number of groups."""
        return "1 group" if self.chosen_ == 1 else f"{self.chosen_} groups"

    def denoise(self, noisy: np.ndarray, noise_factor: np.ndarray | float) -> np.ndarray:
        """Return the posterior mean."""
        mixture = self.mixtures_[self.chosen_]
        guess, _ = mixture.posterior_mean(noisy / self.noise, noise_factor, self.row_noise)
        return guess * self.noise
