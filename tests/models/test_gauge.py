"""The noise factor is found again on held-out rows, and unlike samples are told from noisy ones."""

import numpy as np
import pytest

from data_utils.cohort import simulate_cohort
from data_utils.expression import ExpressionMatrix
from data_utils.preparation import prepare
from models.denoisers.denoiser import noisy_rows
from models.gauge import LIMIT_GRID, Gauge
from tests.small import expression

NOISE = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)


@pytest.fixture(scope="module")
def data():
    return prepare(simulate_cohort().matrix)


@pytest.fixture(scope="module")
def gauge(data):
    return Gauge.fit(data.train, data.validation)


@pytest.mark.parametrize("noise", NOISE)
def test_noise_is_found_on_rows_it_has_not_seen(noise, data, gauge):
    found = gauge.noise_factor(noisy_rows(data.test, "test", noise, seed=1))
    assert abs(found - noise) <= (0.06 if noise < 0.2 else 0.03)


@pytest.mark.parametrize("noise", NOISE)
def test_and_on_the_training_rows_themselves_and_with_genes_missing(noise, data, gauge):
    found = gauge.noise_factor(noisy_rows(data.train, "train", noise, seed=1))
    assert noise - 0.06 <= found <= noise + 0.03
    genes = np.sort(np.random.default_rng(0).permutation(data.n_genes)[:700])
    noisy = noisy_rows(data.test, "test", noise, seed=1)[:, genes]
    assert abs(gauge.restricted(genes).noise_factor(noisy) - noise) <= (
        0.06 if noise < 0.2 else 0.03
    )


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0])
def test_few_of_its_own_kind_are_beyond_the_limits_and_all_of_another_are(noise, data, gauge):
    noisy = noisy_rows(data.test, "test", noise, seed=1)
    assert (gauge.distances(noisy, noise) > gauge.limits_at(noise)[:, None]).mean(
        axis=1
    ).max() < 0.04
    shift = 2 * np.random.default_rng(2).standard_normal(data.n_genes).astype(
        np.float32
    )  # of an unknown tissue
    other = noisy + shift
    found = gauge.noise_factor(other)
    assert found < noise + 0.55  # although their energy is that of noise 2
    assert (gauge.distances(other, found)[1] > gauge.limits_at(found)[1]).mean() > 0.95


def test_genes_that_were_constant_tell_nothing():
    values = expression(120).values.copy()
    values[:, 7] = 3.0
    matrix = expression(120)
    data = prepare(ExpressionMatrix(values, matrix.sample_ids, matrix.gene_ids))
    gauge = Gauge.fit(data.train, data.validation)
    other = data.test.copy()
    other[:, 7] = 1000.0  # it varies in other data
    np.testing.assert_allclose(gauge.energy(other), gauge.energy(data.test))


def test_distances_by_hand(data, gauge):
    rows, noise = data.test[:5].astype(np.float64), 0.3
    centred = rows - gauge.mean
    code = centred @ gauge.components
    left = ((centred - code @ gauge.components.T) ** 2).sum(1) / (
        data.n_genes - len(gauge.variances)
    )
    inside = (code**2 / (gauge.variances + noise**2)).mean(1)
    found = gauge.distances(data.test[:5], noise)
    np.testing.assert_allclose(found, [inside, left / (gauge.calm + noise**2)], rtol=1e-4)
    assert gauge.limits.shape == (2, len(LIMIT_GRID))
