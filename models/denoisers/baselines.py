"""The reference denoisers that every network is measured against: identity, gene mean, PCA, Wiener, oracle.

All take z-scored values (samples, genes), are fitted on training rows alone, and choose what is to be chosen on
validation rows, under the very noise (eq. 9) on which the networks of that seed are validated.

    wiener = Wiener().fit(data.train, data.validation, seed=0)
    guess = wiener.denoise(noisy, 0.5)               # (samples, genes) float64
    reference_errors(data, cohort, (0.1, 0.5), seeds=(0, 1, 2))
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from sklearn import decomposition
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.isotonic import IsotonicRegression

from data_utils.noise import add_noise, evaluation_noise, noisy_moments
from models.architecture import LARGEST_COVARIANCE
from models.denoisers.linear import wiener_gain

if TYPE_CHECKING:
    from data_utils.cohort import Cohort
    from data_utils.preparation import PreparedData
    from data_utils.scaling import ZScore

#: Shares of the scaled identity in the covariance, from which the validation rows choose.
SHRINKAGES = (0.0, *np.geomspace(1e-3, 1, 31).round(4).tolist())
N_FOLDS = 5
ERROR_COLUMNS = ["reference", "noise_factor", "seed", "code_size", "choice", "val_mse", "test_mse"]


class Reference:
    """What the references have in common. `fit` returns self; fitted attributes end in `_`."""

    name: str
    code_size: int | None = None

    def fit(
        self, train: np.ndarray, validation: np.ndarray | None = None, seed: int = 0
    ) -> Reference:
        """Fit on training rows; with validation rows, also choose on them, under the noise of `seed`."""
        self._fit(np.asarray(train, dtype=np.float64))
        return self if validation is None else self.tune(validation, seed)

    def tune(self, validation: np.ndarray, seed: int = 0) -> Reference:
        """Choose anew on validation rows under the noise of `seed`, without another fit."""
        return self

    def choice(self, noise_factor: float) -> str:
        """What was chosen on the validation rows for this noise factor; "" where there is nothing to choose."""
        return ""

    def denoise(self, noisy: np.ndarray, noise_factor: float) -> np.ndarray:
        """The guess at the clean rows: (samples, genes) float64."""
        raise NotImplementedError

    def _fit(self, train: np.ndarray) -> None:
        pass


class Identity(Reference):
    """Leaves the noisy input alone. Its expected MSE is noise_factor^2."""

    name = "identity"

    def denoise(self, noisy: np.ndarray, noise_factor: float) -> np.ndarray:
        return np.array(noisy, dtype=np.float64)


class GeneMean(Reference):
    """Answers each gene's training mean, whatever the input: the error of a network that has learnt nothing."""

    name = "gene mean"

    def _fit(self, train: np.ndarray) -> None:
        self.mean_ = train.mean(axis=0)

    def denoise(self, noisy: np.ndarray, noise_factor: float) -> np.ndarray:
        return np.broadcast_to(self.mean_, np.shape(noisy)).copy()


class PCA(Reference):
    """The noisy input projected on the first `code_size` principal components of the training rows.

    With `gain` each component is also shrunk by lambda / (lambda + alpha^2), as by a Wiener filter: the best that
    a linear network with a code of that size could do if the training rows told the covariance exactly.
    """

    def __init__(self, code_size: int = 32, gain: bool = False):
        self.code_size, self.gain = code_size, gain

    @property
    def name(self) -> str:
        return "PCA with gain" if self.gain else "PCA"

    def _fit(self, train: np.ndarray) -> None:
        n_components = min(
            self.code_size, *train.shape
        )  # there are no more components than rows or genes
        with np.errstate(invalid="ignore"):  # shares of a variance of 0, which nobody asks for
            self.pca_ = decomposition.PCA(n_components, svd_solver="covariance_eigh").fit(train)

    def denoise(self, noisy: np.ndarray, noise_factor: float) -> np.ndarray:
        code = self.pca_.transform(np.asarray(noisy, dtype=np.float64))  # (samples, code_size)
        if self.gain:
            code *= wiener_gain(self.pca_.explained_variance_, noise_factor)
        return self.pca_.inverse_transform(code)


class Wiener(Reference):
    """The linear least-squares guess, mean + S (S + alpha^2 I)^-1 (y - mean), S an estimate of the covariance.

    Every S has the eigenvectors of the training rows' covariance C, found once; the estimates differ in the
    eigenvalues, and for each noise factor the validation rows choose among them:
    - (1 - s) C + s (mean variance) I, s from `shrinkages` or as Ledoit and Wolf (2004) estimate it. Shrinking
      towards diag(C) would be the same, because the variances of z-scored genes are all alike;
    - "cross-validated": each eigenvalue is the variance of held-out rows along that eigenvector, averaged over
      folds of the training rows and made monotonic (Bartz 2016, "Cross-validation based nonlinear shrinkage"). That
      is what the optimal gain d / (d + alpha^2) asks for; C's own are too large at the top, too small at the bottom.
    Without validation rows S is Ledoit and Wolf's.
    """

    name = "Wiener"

    def __init__(self, shrinkages: Sequence[float] = SHRINKAGES, n_folds: int = N_FOLDS):
        self.shrinkages, self.n_folds = shrinkages, n_folds

    def _fit(self, train: np.ndarray) -> None:
        self.mean_ = train.mean(axis=0)
        centred = train - self.mean_
        eigenvalues, self.components_ = _eigen(
            centred
        )  # (genes,), (genes, genes): a column a component
        ledoit_wolf = float(ledoit_wolf_shrinkage(centred, assume_centered=True))
        named = {"Ledoit-Wolf": ledoit_wolf} | {f"shrinkage {s:g}": s for s in self.shrinkages}
        self.spectra_ = {
            name: (1 - s) * eigenvalues + s * eigenvalues.mean() for name, s in named.items()
        }
        if self.n_folds > 1:
            self.spectra_["cross-validated"] = _cross_validated_spectrum(centred, self.n_folds)
        self.moments_ = None

    def tune(self, validation: np.ndarray, seed: int = 0) -> Wiener:
        """Choose anew on validation rows under the noise of `seed`, without another fit.

        A rotation keeps squares, so three moments of each component give the exact MSE of every S at every
        noise factor.
        """
        clean = (np.asarray(validation, dtype=np.float64) - self.mean_) @ self.components_
        normal = (
            evaluation_noise(seed, "validation", *clean.shape).numpy().astype(np.float64)
            @ self.components_
        )
        self.moments_ = (
            (clean**2).mean(0),
            (clean * normal).mean(0),
            (normal**2).mean(0),
        )  # (genes,) each
        return self

    def validation_mse(self, noise_factor: float) -> dict[str, float]:
        """MSE of every candidate on the validation rows that `tune` was given."""
        clean = self.moments_[0]
        noisy, product = noisy_moments(*self.moments_, noise_factor)
        gains = {
            name: wiener_gain(spectrum, noise_factor) for name, spectrum in self.spectra_.items()
        }
        return {
            name: float((g**2 * noisy - 2 * g * product + clean).mean())
            for name, g in gains.items()
        }

    def choice(self, noise_factor: float) -> str:
        """The name of the covariance estimate that is used at this noise factor."""
        if self.moments_ is None or noise_factor == 0:
            return "Ledoit-Wolf"
        errors = self.validation_mse(noise_factor)
        return min(errors, key=errors.get)

    def denoise(self, noisy: np.ndarray, noise_factor: float) -> np.ndarray:
        gain = wiener_gain(self.spectra_[self.choice(noise_factor)], noise_factor)
        code = (np.asarray(noisy, dtype=np.float64) - self.mean_) @ self.components_
        return (code * gain) @ self.components_.T + self.mean_


class Oracle(Reference):
    """The exact posterior mean of the simulated cohort: no denoiser has a smaller expected error on its rows."""

    name = "oracle"

    def __init__(self, cohort: Cohort, scaling: ZScore):
        self.cohort, self.scaling = cohort, scaling

    def denoise(self, noisy: np.ndarray, noise_factor: float) -> np.ndarray:
        return self.cohort.posterior_mean(
            noisy, noise_factor, self.scaling.centre, self.scaling.scale
        )


def _eigen(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, ascending and not below 0, and eigenvectors (columns) of the covariance of centred rows."""
    eigenvalues, components = np.linalg.eigh(centred.T @ centred / len(centred))
    return np.clip(eigenvalues, 0, None), components


def _cross_validated_spectrum(centred: np.ndarray, n_folds: int) -> np.ndarray:
    """Variance of held-out rows along the components of the others, (genes,), averaged over folds, ascending.

    Fold f has the rows f, f + n_folds, ...: the split that made the training rows was random already.
    """
    total = np.zeros(centred.shape[1])
    fold = np.arange(len(centred)) % n_folds
    for f in range(min(n_folds, len(centred))):
        _, components = _eigen(centred[fold != f])
        total += ((centred[fold == f] @ components) ** 2).sum(0)
    return IsotonicRegression(y_min=0).fit_transform(np.arange(len(total)), total / len(centred))


def references(
    data: PreparedData, cohort: Cohort | None = None, code_sizes: Sequence[int] = (32,)
) -> list[Reference]:
    """Every reference, fitted on the training rows of `data`; the oracle where `data` is of a simulated cohort.

    Beyond LARGEST_COVARIANCE genes without PCA and Wiener.
    """
    found: list[Reference] = [Identity(), GeneMean()]
    if data.n_genes <= LARGEST_COVARIANCE:
        found += [PCA(code_size, gain) for gain in (False, True) for code_size in code_sizes]
        found.append(Wiener())
    if cohort is not None:
        if not np.array_equal(data.gene_ids, cohort.matrix.gene_ids):
            raise ValueError(
                "the data have other genes than the cohort: its posterior mean is not theirs"
            )
        found.append(Oracle(cohort, data.scaling))
    return [reference.fit(data.train, data.validation) for reference in found]


def reference_guesses(
    data: PreparedData,
    cohort: Cohort | None,
    noise_factors: Sequence[float],
    seeds: Sequence[int],
    code_sizes: Sequence[int] = (32,),
) -> Iterator[tuple[dict, np.ndarray]]:
    """Every reference on the noisy rows that the networks of a seed see, one after the other.

    Yields a row of ERROR_COLUMNS with the validation and test MSE (eq. 11), and the guess at the clean test rows,
    (samples, genes) float64, for each reference, code size, noise factor and seed.
    """
    fitted = references(data, cohort, code_sizes)
    for seed in seeds:
        for reference in fitted:
            reference.tune(data.validation, seed)
        for noise_factor in noise_factors:
            noisy = {
                part: noisy_rows(getattr(data, part), part, noise_factor, seed)
                for part in ("validation", "test")
            }
            for reference in fitted:
                guess = {
                    part: reference.denoise(rows, noise_factor) for part, rows in noisy.items()
                }
                row = {
                    "reference": reference.name,
                    "noise_factor": noise_factor,
                    "seed": seed,
                    "code_size": reference.code_size,
                    "choice": reference.choice(noise_factor),
                    "val_mse": mse(guess["validation"], data.validation),
                    "test_mse": mse(guess["test"], data.test),
                }
                yield row, guess["test"]


def reference_errors(
    data: PreparedData,
    cohort: Cohort | None,
    noise_factors: Sequence[float],
    seeds: Sequence[int],
    code_sizes: Sequence[int] = (32,),
) -> pd.DataFrame:
    """The rows of `reference_guesses` as a table: code_size is <NA> and choice is "" where there is none."""
    return error_table(
        [row for row, _ in reference_guesses(data, cohort, noise_factors, seeds, code_sizes)]
    )


def error_table(rows: Sequence[dict]) -> pd.DataFrame:
    """Rows of `reference_guesses` with the columns ERROR_COLUMNS."""
    return pd.DataFrame(rows, columns=ERROR_COLUMNS).astype({"code_size": "Int64"})


def noisy_rows(clean: np.ndarray, part: str, noise_factor: float, seed: int) -> np.ndarray:
    """Eq. 9 with the fixed noise of `seed` for `part`, all of whose rows `clean` holds: (samples, genes) float32."""
    return add_noise(
        torch.tensor(clean), noise_factor, evaluation_noise(seed, part, *clean.shape)
    ).numpy()


def mse(guess: np.ndarray, clean: np.ndarray) -> float:
    """Eq. 11: the mean over samples and genes of the squared error."""
    return float(_squared_error(guess, clean).mean())


def mse_by_gene_and_sample(guess: np.ndarray, clean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eq. 11 for each gene alone, (genes,), and for each sample alone, (samples,); the mean of either is the MSE."""
    error = _squared_error(guess, clean)
    return error.mean(axis=0), error.mean(axis=1)


def _squared_error(guess: np.ndarray, clean: np.ndarray) -> np.ndarray:
    return (np.asarray(guess, dtype=np.float64) - np.asarray(clean, dtype=np.float64)) ** 2
