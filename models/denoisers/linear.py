"""Linear denoisers: leaving the input alone, the mean of each gene, PCA, and the Wiener filter.

scikit-learn is imported only where a denoiser is fitted, so that applying a model folder starts a
second sooner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from data_utils.noise import noise_variance, noisy_moments
from models.denoisers.denoiser import Denoiser, Pairs, by_row

#: Shares of the scaled identity in the covariance, from which the validation rows choose.
SHRINKAGES = (0.0, *np.geomspace(1e-3, 1, 31).round(4).tolist())
N_FOLDS = 5
UNTUNED = "Ledoit-Wolf"
#: Noise factors for which a model folder keeps the choice; any other uses that of the nearest.
GRID = tuple(round(0.05 * i, 2) for i in range(1, 41))


def wiener_gain(variance: np.ndarray, noise_factor: np.ndarray | float) -> np.ndarray:
    """Return variance / (variance + noise_factor^2), and 1 for 0 / 0."""
    noise = noise_variance(noise_factor)
    still = (variance == 0) & (noise == 0)
    return np.where(still, 1.0, variance / (variance + noise + still))


class Identity(Denoiser):
    """The noisy input itself."""

    name = "identity"

    def denoise(self, noisy: np.ndarray, noise_factor: np.ndarray | float) -> np.ndarray:
        """Return a copy, float64."""
        return np.array(noisy, dtype=np.float64)


class GeneMean(Denoiser):
    """The training mean of each gene: as good as a network that has learnt nothing."""

    name = "gene mean"

    def fit(self, train: np.ndarray) -> Self:
        """Take the means."""
        self.mean_ = np.asarray(train, dtype=np.float64).mean(axis=0)
        return self

    def denoise(self, noisy: np.ndarray, noise_factor: np.ndarray | float) -> np.ndarray:
        """Return the means for every row."""
        return np.broadcast_to(self.mean_, np.shape(noisy)).copy()


@dataclass(frozen=True, eq=False)
class PrincipalAxes:
    """The centred training rows, and the eigenvectors of their covariance by increasing variance.

    mean (genes,), centred (rows, genes), variances (genes,), components (genes, genes), one per
    column; float64. PCA and Wiener filters of the same rows can share them.
    """

    mean: np.ndarray
    centred: np.ndarray
    variances: np.ndarray
    components: np.ndarray

    @classmethod
    def of(cls, train: np.ndarray) -> PrincipalAxes:
        """Find the axes of training rows, (samples, genes)."""
        rows = np.asarray(train, dtype=np.float64)
        mean = rows.mean(axis=0)
        centred = rows - mean
        return cls(mean, centred, *_eigen(centred))


class PCA(Denoiser):
    """The noisy input projected on the first `code_size` principal components of training rows.

    With `gain` each component is also shrunk by lambda / (lambda + alpha^2), as by a Wiener filter:
    the best that a linear network with a code of that size could do if the covariance of the
    training rows were exact. mean_ (genes,), components_ (code_size, genes), variances_
    (code_size,); float64, and float32 in a model folder.
    """

    kind = "pca"
    description = "a projection on principal components"
    code_size: int

    def __init__(self, code_size: int = 32, gain: bool = False):
        self.code_size, self.gain = code_size, gain
        self.name = "PCA with gain" if gain else "PCA"

    def fit(self, train: np.ndarray) -> Self:
        """Find the components, at most as many as there are rows or genes."""
        return self.fit_axes(PrincipalAxes.of(train))

    def fit_axes(self, axes: PrincipalAxes) -> Self:
        """Take the first components of `axes`, which PrincipalAxes.of finds in training rows."""
        n_rows = len(axes.centred)
        largest = slice(None, -1 - min(self.code_size, *axes.centred.shape), -1)
        self.mean_ = axes.mean
        self.components_ = np.ascontiguousarray(axes.components.T[largest])
        self.variances_ = axes.variances[largest] * n_rows / max(n_rows - 1, 1)
        return self

    def denoise(self, noisy: np.ndarray, noise_factor: np.ndarray | float) -> np.ndarray:
        """Project the rows."""
        factors = by_row(noise_factor, len(noisy))
        code = np.asarray(noisy, dtype=self.mean_.dtype) @ self.components_.T
        code -= self.mean_[None] @ self.components_.T  # (samples, code_size)
        if self.gain:
            code *= wiener_gain(self.variances_, factors)
        return code @ self.components_ + self.mean_

    @property
    def n_genes(self) -> int:
        """Genes of a row."""
        return self.mean_.size

    def arrays(self) -> dict[str, np.ndarray]:
        """Return mean, components and variances, float32."""
        found = {"mean": self.mean_, "components": self.components_, "variances": self.variances_}
        return {name: array.astype(np.float32) for name, array in found.items()}

    def facts(self) -> dict:
        """Return whether `gain` is on."""
        return {"gain": self.gain}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], facts: dict) -> Self:
        """Invert `arrays` and `facts`. KeyError or ValueError if they do not fit together."""
        it = cls(len(arrays["components"]), bool(facts["gain"]))
        it.mean_, it.components_ = arrays["mean"], arrays["components"]
        it.variances_ = arrays["variances"]
        fits = it.components_.shape == (it.variances_.size, it.mean_.size)
        if not fits or it.variances_.min(initial=0) < 0:
            raise ValueError("the arrays of the PCA do not fit together")
        return it


class Wiener(Denoiser):
    """The linear least-squares guess, mean + S (S + alpha^2 I)^-1 (y - mean), for a covariance S.

    Every S has the eigenvectors of the training rows' covariance C, found once; the estimates
    differ in the eigenvalues, and for each noise factor the validation rows choose among them:
    - (1 - s) C + s (mean variance) I, s from SHRINKAGES or as Ledoit and Wolf (2004) estimate it.
      Shrinking towards diag(C) would be the same: the variances of z-scored genes are all alike;
    - "cross-validated": each eigenvalue is the variance of held-out rows along that eigenvector,
      averaged over folds of the training rows and made monotonic (Bartz 2016, "Cross-validation
      based nonlinear shrinkage"), which is what the optimal gain d / (d + alpha^2) needs; C's own
      are too large at the top and too small at the bottom.
    Without validation rows S is Ledoit and Wolf's. mean_ (genes,), components_ (genes, genes), one
    per column, spectra_ (genes,) by name; float64, and float32 in a model folder.
    """

    kind = "wiener"
    description = "a Wiener filter, the best linear denoiser, tuned on validation rows"
    name = "Wiener"
    #: Once tuned: for each component, (genes,), the means over validation rows of its square, of
    #: its product with the noise and of the noise's square.
    moments_: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    #: Without `moments_`: noise factors, and the name of the spectrum to use at each.
    chosen_: tuple[np.ndarray, list[str]] = np.zeros(1), [UNTUNED]

    def fit(self, train: np.ndarray) -> Self:
        """Estimate the spectra."""
        return self.fit_axes(PrincipalAxes.of(train))

    def fit_axes(self, axes: PrincipalAxes) -> Self:
        """Estimate the spectra from `axes`, which PrincipalAxes.of finds in training rows."""
        from sklearn.covariance import ledoit_wolf_shrinkage

        self.mean_, self.components_, eigenvalues = axes.mean, axes.components, axes.variances
        ledoit_wolf = float(ledoit_wolf_shrinkage(axes.centred, assume_centered=True))
        named = {UNTUNED: ledoit_wolf} | {f"shrinkage {s:g}": s for s in SHRINKAGES}
        self.spectra_ = {
            name: (1 - s) * eigenvalues + s * eigenvalues.mean() for name, s in named.items()
        }
        self.spectra_["cross-validated"] = _cross_validated_spectrum(axes.centred)
        return self

    def tune(self, validation: Pairs) -> Self:
        """Measure the moments by which `choice` finds the best spectrum at any noise factor.

        A rotation keeps squares, so three moments of each component give the exact MSE of every S
        at every noise factor.
        """
        clean = (validation.targets - self.mean_) @ self.components_
        noise = (validation.inputs - validation.targets) / validation.noise_factor
        normal = noise @ self.components_
        square, cross, of_noise = clean**2, clean * normal, normal**2  # (samples, genes)
        self.moments_ = square.mean(axis=0), cross.mean(axis=0), of_noise.mean(axis=0)
        return self

    def validation_mse(self, noise_factor: float) -> dict[str, float]:
        """Return the MSE of every spectrum, by name, on the validation rows given to `tune`.

        Raises ValueError before `tune`.
        """
        if self.moments_ is None:
            raise ValueError("tune the filter before its validation MSE is read")
        clean, cross, normal = self.moments_
        noisy, product = noisy_moments(clean, cross, normal, noise_factor)
        gains = {
            name: wiener_gain(spectrum, noise_factor) for name, spectrum in self.spectra_.items()
        }
        return {
            name: float((g**2 * noisy - 2 * g * product + clean).mean())
            for name, g in gains.items()
        }

    def choice(self, noise_factor: float) -> str:
        """Name the covariance estimate that is used at this noise factor."""
        if self.moments_ is None:
            factors, names = self.chosen_
            return names[int(np.abs(factors - np.float64(noise_factor)).argmin())]
        if noise_factor == 0:
            return UNTUNED
        errors = self.validation_mse(noise_factor)
        return min(errors, key=errors.__getitem__)

    def denoise(self, noisy: np.ndarray, noise_factor: np.ndarray | float) -> np.ndarray:
        """Filter the rows."""
        factors, which = np.unique(by_row(noise_factor, len(noisy)), return_inverse=True)
        gains = np.stack([wiener_gain(self.spectra_[self.choice(a)], a) for a in factors])
        code = (np.asarray(noisy, dtype=self.mean_.dtype) - self.mean_) @ self.components_
        code *= gains if len(gains) == 1 else gains[which.ravel()]
        return code @ self.components_.T + self.mean_

    @property
    def n_genes(self) -> int:
        """Genes of a row."""
        return self.mean_.size

    def arrays(self) -> dict[str, np.ndarray]:
        """Return mean, components, GRID, the spectra used there, and the index of each's one."""
        names = [self.choice(a) for a in GRID]
        used = list(dict.fromkeys(names))
        found = {"mean": self.mean_, "components": self.components_}
        found |= {"spectra": np.stack([self.spectra_[name] for name in used])}
        found |= {"grid": np.array(GRID)}
        kept = {name: array.astype(np.float32) for name, array in found.items()}
        return kept | {"choice": np.array([used.index(name) for name in names])}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], facts: dict) -> Self:
        """Invert `arrays`. KeyError or ValueError if they do not fit together."""
        mean, components, spectra, grid, choice = (
            arrays[name] for name in ("mean", "components", "spectra", "grid", "choice")
        )
        shapes = (components.shape, spectra.shape[1:], choice.shape)
        if shapes != ((mean.size, mean.size), (mean.size,), (grid.size,)) or not grid.size:
            raise ValueError("the arrays of the Wiener filter do not fit together")
        known = choice.dtype.kind == "i" and set(choice) <= set(range(len(spectra)))
        if not known or spectra.min() < 0:
            raise ValueError("the spectra of the Wiener filter are damaged")
        it = cls()
        it.mean_, it.components_ = mean, components
        it.spectra_ = {f"spectrum {i}": spectrum for i, spectrum in enumerate(spectra)}
        it.chosen_ = grid, [f"spectrum {i}" for i in choice]
        return it


def _eigen(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues, ascending and not below 0, and eigenvectors (columns) of a covariance."""
    eigenvalues, components = np.linalg.eigh(centred.T @ centred / len(centred))
    return np.clip(eigenvalues, 0, None), components


def _cross_validated_spectrum(centred: np.ndarray) -> np.ndarray:
    """Return the variance of held-out rows along the components of the others, (genes,), ascending.

    Fold f has the rows f, f + N_FOLDS, ... of the training rows, which a random split chose.
    """
    from sklearn.isotonic import IsotonicRegression

    total = np.zeros(centred.shape[1])
    fold = np.arange(len(centred)) % N_FOLDS
    for f in range(min(N_FOLDS, len(centred))):
        _, components = _eigen(centred[fold != f])
        total += ((centred[fold == f] @ components) ** 2).sum(0)
    return IsotonicRegression(y_min=0).fit_transform(np.arange(len(total)), total / len(centred))
