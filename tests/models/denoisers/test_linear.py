"""Linear denoisers: closed forms, exact cases, and what is chosen."""

import numpy as np
import pytest
from sklearn import decomposition
from sklearn.covariance import ledoit_wolf

from data_utils.noise import evaluation_noise
from models.denoisers.denoiser import Pairs, mse, mse_by_gene_and_sample, noisy_rows
from models.denoisers.linear import PCA, SHRINKAGES, GeneMean, Identity, Wiener
from models.denoisers.references import references
from tests.small import prepared

ALPHAS = (0.1, 0.5, 1.0)


def generator(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def low_rank(n_samples=200, n_genes=30, rank=4, seed=0):
    rng = generator(seed)
    return rng.normal(size=(n_samples, rank)) @ rng.normal(size=(rank, n_genes)) + rng.normal(
        size=n_genes
    )


class Gaussian:
    """Rows of a Gaussian that is known: rank 3 plus noise of each gene."""

    def __init__(self, n_genes=20, seed=1):
        rng = generator(seed)
        loadings = rng.normal(size=(n_genes, 3))
        self.covariance = loadings @ loadings.T + np.diag(rng.uniform(0.1, 0.6, n_genes))
        self.mean = rng.normal(size=n_genes)

    def rows(self, n_samples, seed):
        return generator(seed).multivariate_normal(self.mean, self.covariance, n_samples)

    def wiener(self, noisy, alpha):
        """The textbook: mean + S (S + alpha^2 I)^-1 (y - mean)."""
        return closed_form(self.covariance, self.mean, noisy, alpha)

    def least_error(self, alpha):
        """trace(S - S (S + alpha^2 I)^-1 S) / genes."""
        s = self.covariance
        return np.trace(s - s @ np.linalg.solve(s + alpha**2 * np.eye(len(s)), s)) / len(s)


def closed_form(covariance, mean, noisy, alpha):
    return (
        mean
        + (noisy - mean)
        @ np.linalg.inv(covariance + alpha**2 * np.eye(len(covariance)))
        @ covariance
    )


def noised(clean, alpha, seed=9):
    return clean + alpha * generator(seed).normal(size=clean.shape)


def unshrunk(train, share=0.0):
    """A Wiener filter of the training rows' covariance, shrunk by `share`."""
    wiener = Wiener().fit(train)
    wiener.chosen_ = np.zeros(1), [f"shrinkage {share:g}"]
    return wiener


def tuned(denoiser, train, validation, seed=0):
    return denoiser.fit(train).tune(Pairs.noised(validation, seed))


def test_identity_leaves_the_input_alone_and_errs_by_the_noise():
    data = prepared()
    noisy = noisy_rows(data.test, "test", 0.5, seed=3)
    assert np.array_equal(Identity().fit(data.train).denoise(noisy, 0.5), noisy)
    normal = evaluation_noise(3, "test", *data.test.shape).numpy()
    assert mse(noisy, data.test) == pytest.approx(0.25 * (normal**2).mean(dtype=float), rel=1e-5)


def test_identity_gives_a_copy():
    noisy = np.zeros((2, 3))
    Identity().denoise(noisy, 0.1)[:] = 1
    assert not noisy.any()


def test_gene_mean_errs_by_the_variance_and_the_shift():
    train, test = low_rank(seed=1), low_rank(seed=2)
    guess = GeneMean().fit(train).denoise(noised(test, 5.0), 5.0)
    assert np.array_equal(guess, np.tile(train.mean(0), (200, 1)))
    by_hand = test.var(0).mean() + ((test.mean(0) - train.mean(0)) ** 2).mean()
    assert mse(guess, test) == pytest.approx(by_hand, rel=1e-12)


def test_gene_mean_of_z_scored_training_rows_errs_by_one():
    data = prepared()
    assert mse(GeneMean().fit(data.train).denoise(data.train, 0), data.train) == pytest.approx(
        1, abs=0.01
    )


@pytest.mark.parametrize("gain", [False, True])
def test_pca_is_exact_on_rows_of_its_rank(gain):
    clean = low_rank(rank=4)
    assert mse(PCA(4, gain).fit(clean).denoise(clean, 0.0), clean) < 1e-24
    assert mse(PCA(3, gain).fit(clean).denoise(clean, 0.0), clean) > 1e-2


def test_pca_keeps_the_noise_of_its_components_alone():
    clean = low_rank(n_samples=4000, rank=4)
    guess = PCA(4).fit(clean).denoise(noised(clean, 0.5), 0.5)
    assert mse(guess, clean) == pytest.approx(
        0.25 * 4 / 30, rel=0.03
    )  # k directions of 30, alpha^2 each


@pytest.mark.parametrize("n_samples", [200, 12])
def test_pca_is_that_of_scikit_learn(n_samples):
    rows = noised(low_rank(n_samples), 0.1)
    its, theirs = PCA(5).fit(rows), decomposition.PCA(5, svd_solver="full").fit(rows)
    np.testing.assert_allclose(its.mean_, theirs.mean_, rtol=1e-12)
    np.testing.assert_allclose(its.variances_, theirs.explained_variance_, rtol=1e-10)
    np.testing.assert_allclose(np.abs(its.components_ @ theirs.components_.T), np.eye(5), atol=1e-7)


def test_pca_of_fewer_rows_or_genes_than_units():
    clean = low_rank(n_samples=6, rank=5)
    assert mse(PCA(32).fit(clean).denoise(clean, 0), clean) < 1e-24


def test_gain_helps_pca_where_noise_is_strong():
    known = Gaussian()
    train, test = known.rows(3000, 1), known.rows(1000, 2)
    noisy = noised(test, 1.5)
    plain, shrunk = (
        mse(PCA(10, gain).fit(train).denoise(noisy, 1.5), test) for gain in (False, True)
    )
    assert shrunk < 0.8 * plain


@pytest.mark.parametrize("alpha", ALPHAS)
def test_wiener_without_validation_is_the_closed_form_with_ledoit_wolf(alpha):
    train, test = Gaussian().rows(60, 1), Gaussian().rows(30, 2)
    covariance, share = ledoit_wolf(train)
    assert share > 0.01
    wiener = Wiener().fit(train)
    assert wiener.choice(alpha) == "Ledoit-Wolf"
    expected = closed_form(covariance, train.mean(0), noised(test, alpha), alpha)
    np.testing.assert_allclose(
        wiener.denoise(noised(test, alpha), alpha), expected, rtol=1e-9, atol=1e-10
    )


@pytest.mark.parametrize("share", [0.0, SHRINKAGES[20], 1.0])
def test_wiener_shrinks_towards_the_scaled_identity(share):
    train = Gaussian().rows(60, 1)
    c = np.cov(train.T, bias=True)
    shrunk = (1 - share) * c + share * np.trace(c) / len(c) * np.eye(len(c))
    wiener = unshrunk(train, share)
    expected = closed_form(shrunk, train.mean(0), noised(train, 0.5), 0.5)
    np.testing.assert_allclose(
        wiener.denoise(noised(train, 0.5), 0.5), expected, rtol=1e-9, atol=1e-10
    )


@pytest.mark.parametrize("alpha", ALPHAS)
def test_tuned_wiener_reaches_the_least_error_of_a_known_gaussian(alpha):
    known = Gaussian()
    wiener = tuned(Wiener(), known.rows(4000, 1), known.rows(500, 2))
    test = known.rows(4000, 3)
    noisy = noised(test, alpha)
    error = mse(wiener.denoise(noisy, alpha), test)
    assert error == pytest.approx(mse(known.wiener(noisy, alpha), test), rel=0.01)
    assert error == pytest.approx(known.least_error(alpha), rel=0.02)
    others = [Identity(), GeneMean(), *(PCA(k, gain) for k in (2, 3, 10) for gain in (False, True))]
    for other in others:
        assert error < mse(other.fit(known.rows(4000, 1)).denoise(noisy, alpha), test), other.name


def test_wiener_without_noise_leaves_the_input_alone_even_where_a_gene_is_constant():
    train = low_rank(n_samples=10)
    train[:, 0] = 2.0
    for wiener in (Wiener().fit(train), unshrunk(train)):
        np.testing.assert_allclose(wiener.denoise(train, 0.0), train, atol=1e-12)


def test_a_direction_without_variance_has_no_gain_and_no_nan():
    train = np.zeros((10, 4))
    train[:, 0] = np.arange(10)
    for reference in (PCA(3, gain=True).fit(train), unshrunk(train)):
        for alpha in (0.0, 1e-6):
            np.testing.assert_allclose(reference.denoise(train, alpha), train, atol=1e-6)


def test_wiener_tells_the_validation_error_that_its_guess_has():
    data = prepared()
    wiener = tuned(Wiener(), data.train, data.validation, seed=4)
    for alpha in ALPHAS:
        guess = wiener.denoise(noisy_rows(data.validation, "validation", alpha, seed=4), alpha)
        errors = wiener.validation_mse(alpha)
        assert errors[wiener.choice(alpha)] == min(errors.values())
        assert mse(guess, data.validation) == pytest.approx(min(errors.values()), rel=1e-5)


def test_wiener_shrinks_more_where_rows_are_few():
    best = {}
    for n_rows in (15, 4000):
        errors = tuned(
            Wiener(), Gaussian().rows(n_rows, 1), Gaussian().rows(500, 2)
        ).validation_mse(0.5)
        best[n_rows] = min(
            (e, float(name.split()[1]))
            for name, e in errors.items()
            if name.startswith("shrinkage")
        )[1]
    assert best[15] > 0.05 > 0.01 > best[4000]


def test_cross_validated_spectrum_is_that_of_the_population():
    rows = generator(5).normal(size=(90, 60)) * np.r_[np.full(10, 4.0), np.ones(50)]
    spectrum = Wiener().fit(rows).spectra_["cross-validated"]
    assert (np.diff(spectrum) >= 0).all()
    assert spectrum[:50].mean() == pytest.approx(
        1.0, rel=0.25
    )  # eigenvalues of the sample: 0.05 to 3
    assert spectrum[0] > 0.5 > 0.1 > np.linalg.eigvalsh(np.cov(rows.T))[0]


def test_two_fits_are_equal_and_leave_the_rows_alone():
    data = prepared()
    before = data.train.copy(), data.validation.copy()
    noisy = noisy_rows(data.test, "test", 0.5, 0)
    for one, other in zip(references(data), references(data), strict=True):
        assert np.array_equal(one.denoise(noisy, 0.5), other.denoise(noisy, 0.5))
    assert np.array_equal(before[0], data.train)
    assert np.array_equal(before[1], data.validation)


def test_mse_by_gene_and_by_sample_by_hand():
    clean = np.zeros((3, 2))
    guess = np.array([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0]])
    assert mse(guess, clean) == pytest.approx(15 / 6)
    by_gene, by_sample = mse_by_gene_and_sample(guess, clean)
    assert by_gene.tolist() == pytest.approx([10 / 3, 5 / 3])
    assert by_sample.tolist() == [2.5, 4.5, 0.5]


def test_mse_is_summed_in_double_precision():
    clean = np.zeros((1000, 1000), np.float32)
    assert mse(np.full_like(clean, 0.1), clean) == pytest.approx(
        float(np.float32(0.1)) ** 2, rel=1e-12
    )
