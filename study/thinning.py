"""Denoisers on thinned counts (molecular cross-validation): fitted, chosen, measured, compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from data_utils.counts import Counts
from data_utils.errors import InputError
from data_utils.noise import numpy_stream
from data_utils.splits import Split, split_samples
from models.architecture import LARGEST_COVARIANCE
from models.halves.denoisers import (
    GeneMeanOfHalves,
    HalfDenoiser,
    Halves,
    MixtureOfHalves,
    NoDenoising,
    PCAOfHalves,
    Training,
    WienerOfHalves,
)
from models.halves.network import train_networks
from models.halves.smoothing import NeighbourSmoothing

#: Shares of a gene's residual variance, among which validation chooses what turns a guess at a root into a rate.
RESIDUAL_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
#: Least rate that a denoiser is taken to predict, in counts: the deviance of a rate of 0 has no limit.
LEAST_RATE = 1e-3
MEASURES = ("mse", "poisson_deviance")


@dataclass(frozen=True)
class Outcome:
    """What was measured on the test samples.

    errors: a row a method x seed: method, seed, choice, residual_share, val_mse, mse, poisson_deviance, noise_removed.
    samples: a row a method x test sample, means over seeds: method, sample_id, mse, poisson_deviance.
    """

    errors: pd.DataFrame
    samples: pd.DataFrame
    split: Split


def measure(
    counts: Counts,
    share: float,
    seeds: Sequence[int],
    split_seed: int = 0,
    epochs: int | None = None,
) -> Outcome:
    """Fit every denoiser to the training samples, and test them on the halves of each seed.

    Everything is fitted to the training samples, once, whatever the seeds; a seed thins validation and test samples.
    Test samples are thinned by a stream of their own, so that not even a random number of the fit depends on them.
    `epochs` of the networks: None for the default, 0 for none of them.
    Raises InputError for more genes than a covariance is estimated of.
    """
    n_genes = counts.values.shape[1]
    if n_genes > LARGEST_COVARIANCE:
        raise InputError(
            f"{counts.data.source}: {n_genes} genes are more than {LARGEST_COVARIANCE}, of which a covariance is "
            "estimated: leave --all-genes out"
        )
    split = split_samples(len(counts.values), split_seed)
    training = Training.of(counts.values[split.train], share, numpy_stream(0, "thinning-train"))
    parts = {
        part: [halves(counts.values[rows], training, part, seed) for seed in seeds]
        for part, rows in (("validation", split.validation), ("test", split.test))
    }
    rows, by_sample = [], []
    fitted = [denoiser.fit(training) for denoiser in denoisers()]
    networks = (
        train_networks(training, parts["validation"], seeds, epochs=epochs) if epochs != 0 else []
    )
    for i, (seed, validation, test) in enumerate(
        zip(seeds, parts["validation"], parts["test"], strict=True)
    ):
        for denoiser in [*fitted, *networks[i : i + 1]]:
            denoiser.tune(validation)
            row, errors = errors_of(denoiser, validation, test, training)
            rows.append({"method": denoiser.name, "seed": seed, "choice": denoiser.choice, **row})
            ids = counts.data.matrix.sample_ids[split.test]
            by_sample.append(pd.DataFrame({"method": denoiser.name, "sample_id": ids, **errors}))
    errors = pd.DataFrame(rows)
    errors["noise_removed"] = _noise_removed(errors, parts["test"], training)
    samples = (
        pd.concat(by_sample).groupby(["method", "sample_id"], sort=False, as_index=False).mean()
    )
    return Outcome(errors, samples, split)


def denoisers() -> list[HalfDenoiser]:
    """All but the networks, which are trained for all seeds at once."""
    simple = [NoDenoising(), GeneMeanOfHalves(), PCAOfHalves(), NeighbourSmoothing()]
    return [*simple, WienerOfHalves(), MixtureOfHalves()]


def halves(counts: np.ndarray, training: Training, part: str, seed: int) -> Halves:
    """The counts of a part, (samples, genes), thinned by the stream of its name and seed."""
    return Halves.of(counts, training.share, training.scale, numpy_stream(seed, f"thinning-{part}"))


def errors_of(
    denoiser: HalfDenoiser, validation: Halves, test: Halves, training: Training
) -> tuple[dict, dict[str, np.ndarray]]:
    """Means over the test samples, with what validation says; and each of MEASURES by sample, (samples,)."""
    guess = denoiser.denoise(validation.inputs, validation.levels)
    residual = ((guess - validation.targets) ** 2).mean(axis=0)  # (genes,)
    deviances = {
        share: deviance(
            predicted_counts(guess, share * residual, validation, training.share), validation.other
        ).mean()
        for share in RESIDUAL_SHARES
    }
    share = min(deviances, key=deviances.get)
    answer = denoiser.denoise(test.inputs, test.levels)
    predicted = predicted_counts(answer, share * residual, test, training.share)
    by_sample = {
        "mse": ((answer - test.targets) ** 2).mean(axis=1),
        "poisson_deviance": deviance(predicted, test.other).mean(axis=1),
    }
    row = {"residual_share": share, "val_mse": float(residual.mean())}
    return row | {name: float(values.mean()) for name, values in by_sample.items()}, by_sample


def predicted_counts(
    guess: np.ndarray, spread: np.ndarray, halves: Halves, share: float
) -> np.ndarray:
    """Expected counts of the other half, (samples, genes), from a guess at its roots and a variance by gene.

    Y^2 has the mean E[Y]^2 + Var[Y]. The residual variance of validation samples is Var[Y] for a denoiser that answers
    E[Y | input], and too large for one that answers with noise of its own (no denoising: 0 is right); so validation
    chooses the share of it. The depth is that of the input half, D / levels^2, times (1 - p) / p.
    """
    normalised = np.maximum(guess, 0) ** 2 + spread
    return np.maximum(normalised / halves.levels[:, None] ** 2 * ((1 - share) / share), LEAST_RATE)


def deviance(predicted: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Twice the Poisson log-likelihood that rates lack of the best, 2 (b log(b / rate) - b + rate), elementwise.

    It is the loss of openproblems' denoising task, rate - b log(rate), times 2, but for what depends on b alone.
    """
    return 2 * (counts * np.log(np.maximum(counts, 1) / predicted) - counts + predicted)


def _noise_removed(errors: pd.DataFrame, tests: Sequence[Halves], training: Training) -> pd.Series:
    """Share of the input's noise that is gone: 1 for the expected value itself, 0 for no denoising, less if worse.

    The target's noise is in every MSE and cancels in the difference to no denoising; the input's is that of training
    samples, noise^2, at the level of each test sample.
    """
    none = errors[errors["method"] == NoDenoising.name].set_index("seed")["mse"]
    noise = float((training.noise**2).mean())
    of_seed = dict(
        zip(none.index, (noise * float((test.levels**2).mean()) for test in tests), strict=True)
    )
    return (errors["seed"].map(none) - errors["mse"]) / errors["seed"].map(of_seed)
