"""The reference denoisers that every network is measured against, and their errors.

    reference_errors(data, cohort, noise_factors=(0.1, 0.5), seeds=(0, 1, 2))

All are fitted to training rows only, and tuned on validation rows with the same noise (eq. 9) on
which the networks of that seed are validated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from data_utils.cohort import Cohort
from data_utils.oracle import posterior_mean
from data_utils.preparation import PreparedData, ZScore
from models.architecture import LARGEST_COVARIANCE
from models.denoisers.denoiser import ERROR_COLUMNS, Denoiser, Pairs, mse, noisy_rows
from models.denoisers.linear import PCA, GeneMean, Identity, PrincipalAxes, Wiener


class Oracle(Denoiser):
    """The exact posterior mean of the simulated cohort: no denoiser has a smaller expected MSE."""

    name = "oracle"

    def __init__(self, cohort: Cohort, scaling: ZScore):
        self.cohort, self.scaling = cohort, scaling

    def denoise(self, noisy: np.ndarray, noise_factor: np.ndarray | float) -> np.ndarray:
        """Return the posterior mean at one noise factor."""
        mixture = self.cohort.mixture.standardised(self.scaling.centre, self.scaling.scale)
        return posterior_mean(mixture, noisy, float(noise_factor))


def references(
    data: PreparedData, cohort: Cohort | None = None, code_sizes: Sequence[int] = (32,)
) -> list[Denoiser]:
    """Fit every reference to `data`, including the oracle if a simulated cohort is given.

    Beyond LARGEST_COVARIANCE genes PCA and Wiener are left out. All are tuned with the noise of
    seed 0. Raises ValueError if the cohort has other genes than `data`.
    """
    found: list[Denoiser] = [Identity(), GeneMean().fit(data.train)]
    if data.n_genes <= LARGEST_COVARIANCE:
        axes = PrincipalAxes.of(data.train)
        of_sizes = (PCA(size, gain) for gain in (False, True) for size in code_sizes)
        found += [pca.fit_axes(axes) for pca in of_sizes]
        found.append(Wiener().fit_axes(axes))
    if cohort is not None:
        if not np.array_equal(data.gene_ids, cohort.matrix.gene_ids):
            raise ValueError("the genes of the data are not those of the cohort: it has no oracle")
        found.append(Oracle(cohort, data.scaling))
    validation = Pairs.noised(data.validation, seed=0)
    return [reference.tune(validation) for reference in found]


def reference_guesses(
    data: PreparedData,
    cohort: Cohort | None,
    noise_factors: Sequence[float],
    seeds: Sequence[int],
    code_sizes: Sequence[int] = (32,),
) -> Iterator[tuple[dict, np.ndarray]]:
    """Denoise the noisy rows that the networks of each seed see, with every reference.

    Yields a row of ERROR_COLUMNS with the validation and test MSE (eq. 11), and the guess at the
    clean test rows, for each reference, code size, noise factor and seed.
    """
    fitted = references(data, cohort, code_sizes)
    for seed in seeds:
        validation = Pairs.noised(data.validation, seed)
        for reference in fitted:
            reference.tune(validation)
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
    """Return the rows of `reference_guesses` as a table."""
    return error_table(
        [row for row, _ in reference_guesses(data, cohort, noise_factors, seeds, code_sizes)]
    )


def error_table(rows: Sequence[dict]) -> pd.DataFrame:
    """Return rows with ERROR_COLUMNS; code_size is <NA> and choice is "" if there is none."""
    numbers = dict.fromkeys(("noise_factor", "val_mse", "test_mse"), "float64")
    types = numbers | {"seed": "int64", "code_size": "Int64"}
    return pd.DataFrame(rows, columns=ERROR_COLUMNS).astype(types)
