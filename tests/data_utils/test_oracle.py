"""The oracle is exact, and calibrated on the cohort's population."""

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from data_utils.cohort import Cohort, SiteMixture, simulate_cohort
from data_utils.oracle import posterior_mean


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return simulate_cohort()


@pytest.fixture
def small() -> SiteMixture:
    """Five sites of which one is empty, three classes, 12 genes, 4 factors."""
    rng = generator(3)
    return SiteMixture(
        site_probability=np.array([0.4, 0.3, 0.2, 0.1, 0.0]),
        site_means=rng.normal(5, 1, (5, 12)),
        factors=rng.normal(0, 0.6, (12, 4)),
        gene_variance=rng.uniform(0.05, 0.6, 12),
        class_probability=np.array([0.6, 0.3, 0.1]),
        factor_scale=np.array([0.7, 1.1, 2.2]),
        noise_scale=np.array([0.9, 1.1, 1.6]),
    )


def brute_force(m: SiteMixture, noisy: np.ndarray, noise_factor: float) -> np.ndarray:
    """Compute E[x | y] by the textbook formula, with every component's dense covariance."""
    log_weights, means = [], []
    for t, p in enumerate(m.site_probability):
        for q, s, r in zip(m.class_probability, m.factor_scale, m.noise_scale, strict=True):
            if p > 0:
                clean = s**2 * m.factors @ m.factors.T + r**2 * np.diag(m.gene_variance)
                total = clean + noise_factor**2 * np.eye(len(clean))
                density = multivariate_normal(m.site_means[t], total).logpdf(noisy)
                log_weights.append(np.log(p * q) + density)
                gain = clean @ np.linalg.inv(total)
                means.append(m.site_means[t] + (noisy - m.site_means[t]) @ gain.T)
    weights = np.exp(np.array(log_weights) - logsumexp(log_weights, axis=0))
    return np.einsum("cn,cng->ng", weights, np.array(means))


@pytest.mark.parametrize("noise_factor", [0.01, 0.3, 1.0, 5.0])
def test_posterior_mean_equals_the_dense_formula(small, noise_factor):
    rng = generator(4)
    clean = small.sample(np.arange(200) % 4, rng)
    noisy = clean + noise_factor * rng.standard_normal(clean.shape)
    expected = brute_force(small, noisy, noise_factor)
    assert np.abs(posterior_mean(small, noisy, noise_factor) - expected).max() < 1e-9


def test_posterior_mean_is_exact_in_z_units_too(small):
    rng = generator(5)
    x = small.sample(np.arange(50) % 4, rng)
    centre, scale = x.mean(0), x.std(0) + 1e-3
    noisy = (x - centre) / scale + 0.5 * rng.standard_normal(x.shape)
    mixture = small.standardised(centre, scale)
    expected = brute_force(mixture, noisy, 0.5)
    assert np.abs(posterior_mean(mixture, noisy, 0.5) - expected).max() < 1e-9


def test_posterior_mean_equals_the_dense_formula_on_the_full_cohort(cohort):
    rng = generator(6)
    mean, variance = cohort.mixture.moments()
    # Dense 943 x 943 covariances are slow, so two sites alone: the others have probability 0.
    probability = np.zeros(53)
    probability[[0, 30]] = 0.6, 0.4
    mixture = SiteMixture(**(vars(cohort.mixture) | {"site_probability": probability}))
    mixture = mixture.standardised(mean, np.sqrt(variance))
    noisy = mixture.sample(np.array([0, 30, 0, 30]), rng) + 0.7 * rng.standard_normal((4, 943))
    assert (
        np.abs(posterior_mean(mixture, noisy, 0.7) - brute_force(mixture, noisy, 0.7)).max() < 1e-8
    )


def test_without_noise_the_oracle_leaves_the_data_alone(cohort):
    noisy = generator(7).standard_normal((3, 943))
    assert np.array_equal(posterior_mean(cohort.mixture, noisy, 0.0), noisy)
    almost = posterior_mean(cohort.mixture, noisy, 1e-6)
    assert np.abs(almost - noisy).max() < 1e-6


def test_with_endless_noise_the_oracle_says_the_population_mean(cohort):
    mean, variance = cohort.mixture.moments()
    mixture = cohort.mixture.standardised(mean, np.sqrt(variance))
    noisy = 1e6 * generator(8).standard_normal((3, 943))
    assert np.abs(posterior_mean(mixture, noisy, 1e6)).max() < 1e-3


def test_the_oracle_stays_finite_far_from_the_data(cohort):
    far = np.vstack([np.full(943, 1e4), np.full(943, -1e4)])
    assert np.isfinite(posterior_mean(cohort.mixture, far, 0.1)).all()


@pytest.mark.parametrize("noise_factor", [0.1, 0.5, 1.0])
def test_the_oracle_is_calibrated(cohort, noise_factor):
    """z - E[z | y] is at right angles to every function of y; so z on E[z | y] has slope 1."""
    rng = generator(9)
    mean, variance = cohort.mixture.moments()
    sites = rng.choice(53, size=1500, p=cohort.mixture.site_probability)
    mixture = cohort.mixture.standardised(mean, np.sqrt(variance))
    z = (cohort.mixture.sample(sites, rng) - mean) / np.sqrt(variance)
    y = z + noise_factor * rng.standard_normal(z.shape)
    guess = posterior_mean(mixture, y, noise_factor)
    slope = (z * guess).sum() / (guess**2).sum()
    assert slope == pytest.approx(1, abs=0.002)
    residual = z - guess
    for function in (y, guess, np.tanh(y), y**3 / 10, np.abs(y)):
        rows = (residual * (function - function.mean(0))).mean(1)  # independent between samples
        assert abs(rows.mean()) < 4 * rows.std() / np.sqrt(len(rows))
