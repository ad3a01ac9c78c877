"""Denoisers of thinned counts, on counts whose rates are known."""

import numpy as np
import pytest

from data_utils.noise import numpy_stream
from models.denoisers.denoiser import mse
from models.denoisers.linear import GeneMean, Identity
from models.denoisers.mixture import Mixture
from models.halves.denoisers import MixtureOfHalves, PCAOfHalves, Thinning, Training, WienerOfHalves
from models.halves.network import train_networks
from models.halves.smoothing import NeighbourSmoothing

N_GENES, RANK = 40, 4


def low_rank_counts(n_samples, seed=0, level=20.0, size=25.0):
    """Draw Poisson counts: the rates' roots span the mean and RANK directions, totals are equal."""
    rng = np.random.default_rng(seed)
    mean = np.full(N_GENES, level)
    directions = np.random.default_rng(99).normal(size=(N_GENES, RANK))
    directions = np.linalg.qr(np.c_[mean, directions])[0][
        :, 1:
    ].T  # (RANK, genes), orthogonal to the mean
    scores = rng.normal(size=(n_samples, RANK))
    scores *= size / np.linalg.norm(
        scores, axis=1, keepdims=True
    )  # so |root|^2, the total, is constant
    return rng.poisson((mean + scores @ directions) ** 2)


@pytest.fixture(scope="module")
def training():
    return Training.of(low_rank_counts(300), 0.5, numpy_stream(0, "train"))


@pytest.fixture(scope="module")
def parts(training):
    return [
        training.thinning.halves(low_rank_counts(200, seed), numpy_stream(seed, "part"))
        for seed in (1, 2)
    ]


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_the_noise_of_thinning_is_found(share):
    """It is 1/4 for the root of Poisson counts.

    Rows without signal vary by the noise of the whole count and that of the draws.
    """
    counts = np.random.default_rng(0).poisson(400.0, (3000, N_GENES))
    training = Training.of(counts, share, numpy_stream(0, "train"))
    assert training.noise == pytest.approx(np.full(N_GENES, 0.5), rel=0.03)
    assert training.row_noise == pytest.approx(share + (1 - share) / 8, rel=0.01)
    assert (training.rows / training.noise).var(axis=0).mean() == pytest.approx(
        training.row_noise, rel=0.05
    )


def test_stabilised_counts_have_one_depth_and_noise_by_their_own():
    thinning = Thinning(0.5, 100.0)
    counts = np.array([[16, 9], [64, 36], [0, 0]])
    assert thinning.stabilised(counts) == pytest.approx(np.array([[8, 6], [8, 6], [0, 0]]))
    assert thinning.scales(counts)[:2] == pytest.approx([4, 1])


def test_cross_validation_finds_the_true_rank(training, parts):
    pca = PCAOfHalves().fit(training.rows)
    losses = pca.losses(parts[0])
    assert losses.argmin() == RANK
    for k in (0, RANK, 20):  # the loss is that of the answers
        pca.components_ = pca.all_components_[:k]
        guess = pca.denoise(parts[0].inputs, parts[0].noise_factor)
        assert mse(guess, parts[0].targets) == pytest.approx(losses[k], rel=1e-9)


def test_what_each_denoiser_removes(training, parts):
    """Without denoising the error is both halves' noise, 1/4 each; a projection keeps 4/40 of one.

    Of the noise in 40 genes, that along the total is gone: every sample is brought to one depth.
    """
    validation, test = parts
    errors = {}
    for denoiser in (
        Identity(),
        GeneMean(),
        PCAOfHalves(),
        WienerOfHalves(training.noise, training.row_noise),
        MixtureOfHalves(training.noise, training.row_noise),
    ):
        denoiser.fit(training.rows).tune(validation)
        errors[denoiser.name] = mse(denoiser.denoise(test.inputs, test.noise_factor), test.targets)
    assert errors["identity"] == pytest.approx(0.5 * 39 / 40, rel=0.03)
    assert errors["PCA"] == pytest.approx(0.25 * 39 / 40 + 0.25 * RANK / N_GENES, rel=0.04)
    assert errors["Wiener"] == pytest.approx(errors["PCA"], rel=0.02)
    assert errors["Wiener mixture"] == pytest.approx(errors["PCA"], rel=0.03)
    assert errors["gene mean"] > 5


def test_a_network_learns_from_halves(training, parts):
    first, second = train_networks(training, parts, seeds=(0, 1), epochs=60)
    mean = GeneMean().fit(training.rows)
    test = parts[1]
    errors = [
        mse(d.denoise(test.inputs, test.noise_factor), test.targets) for d in (first, second, mean)
    ]
    assert max(errors[:2]) < 0.5 * errors[2]
    assert errors[0] != errors[1]
    [alone] = train_networks(training, parts[:1], seeds=(0,), epochs=60)
    np.testing.assert_array_equal(
        *(d.denoise(test.inputs, test.noise_factor) for d in (first, alone))
    )


def test_a_mixture_of_one_is_the_wiener_filter_of_what_noisy_rows_leave():
    rng = np.random.default_rng(0)
    components, mean = np.linalg.qr(rng.normal(size=(5, 5)))[0], rng.normal(size=(1, 5))
    variances, rows = np.array([9.0, 4.0, 2.0, 1.0, 0.4]), rng.normal(size=(3, 5))
    mixture = Mixture(components, variances, mean, np.ones(1), np.ones(1), np.ones(1))
    guess, _ = mixture.posterior_mean(rows, 0.8, row_noise=0.5)
    clean = np.array([8.5, 3.5, 1.5, 0.5, 0.0])
    expected = mean + ((rows - mean) @ components * (clean / (clean + 0.64))) @ components.T
    assert guess == pytest.approx(expected, abs=1e-12)


def test_smoothing_over_all_neighbours_for_long_gives_the_mean():
    """Samples that are equally far from each other: no neighbour counts more than another."""
    rows = 3 * np.eye(12, 15)
    training = Training(rows**2, Thinning(0.5, 9.0), rows, np.ones(15), 0.5)
    smoothing = NeighbourSmoothing()
    smoothing.neighbours, smoothing.steps = (12,), (60,)
    smoothing.fit(training.rows)
    inputs = np.random.default_rng(0).random((4, 15))
    assert smoothing.denoise(inputs, np.ones(4)) == pytest.approx(
        np.tile(rows.mean(axis=0), (4, 1)), abs=1e-9
    )


def test_smoothing_for_long_forgets_where_it_began_and_weighs_samples_by_their_affinities(
    training, parts
):
    smoothing = NeighbourSmoothing()
    smoothing.neighbours, smoothing.steps = (300,), (60,)
    smoothing.fit(training.rows)
    answers = smoothing.denoise(parts[0].inputs[:5], parts[0].noise_factor[:5])
    assert np.ptp(answers, axis=0).max() < 1e-6
    walk = smoothing.walks_[smoothing.chosen_[0]].toarray()
    weights = (
        1 / walk.diagonal()
    )  # each node's own affinity is the same: the rest is the sum of its affinities
    assert answers[0] == pytest.approx(weights @ training.rows / weights.sum(), rel=1e-6)


def test_smoothing_finds_what_tight_groups_share():
    """Two kinds of samples: the mean of about k neighbours has little noise left."""
    rng = np.random.default_rng(0)
    kinds = np.where(rng.random((2, N_GENES)) < 0.5, 300.0, 500.0)
    counts = rng.poisson(kinds[rng.integers(2, size=300)])
    training = Training.of(counts[:200], 0.5, numpy_stream(0, "train"))
    validation, test = (
        training.thinning.halves(counts[rows], numpy_stream(rows.start, "part"))
        for rows in (slice(200, 250), slice(250, 300))
    )
    smoothing = NeighbourSmoothing().fit(training.rows)
    smoothing.tune(validation)
    error = mse(smoothing.denoise(test.inputs, test.noise_factor), test.targets)
    assert error == pytest.approx(0.25, abs=0.02)
    untouched = mse(test.inputs, test.targets)
    assert untouched == pytest.approx(0.5, abs=0.03)
