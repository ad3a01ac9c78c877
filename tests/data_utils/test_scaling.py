"""The z-score: its numbers, constant genes, and that it knows the training rows alone."""

import warnings

import numpy as np
import pytest

from data_utils import expression, preparation
from data_utils.expression import ExpressionMatrix
from data_utils.preparation import SPLITS, prepare
from data_utils.scaling import ZScore


def values(n_samples=100, n_genes=12, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n_samples, n_genes)) * rng.uniform(0.1, 5, n_genes) + 7).astype(
        np.float32
    )


def matrix(data):
    samples, genes = (
        [f"{kind}{i}" for i in range(n)] for kind, n in zip("sg", data.shape, strict=True)
    )
    return ExpressionMatrix(data, np.array(samples, dtype=object), np.array(genes, dtype=object))


def test_z_score_as_numbers():
    scaling = ZScore.fit(np.array([[1.0, 10.0], [3.0, 10.5]], dtype=np.float32))
    assert scaling.centre.tolist() == [2.0, 10.25]
    assert scaling.scale.tolist() == pytest.approx([1.001, 0.251], rel=1e-12)
    scaled = scaling.transform(np.array([[2.0, 10.25], [5.0, 11.25]], dtype=np.float32))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, [[0, 0], [3 / 1.001, 1 / 0.251]], rtol=1e-6)


def test_training_rows_have_mean_0_and_std_just_below_1():
    data = values()
    scaled = ZScore.fit(data).transform(data).astype(float)
    std = data.std(axis=0, dtype=float)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.std(axis=0), std / (std + 1e-3), rtol=1e-5)


@pytest.mark.parametrize("constant", [0.1, 0.0, -3.3, 1 / 3, 12345.678, 1e-30, 3e38])
@pytest.mark.parametrize("n_samples", [3, 70, 2045])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_constant_gene_is_exactly_0(constant, n_samples, dtype):
    """Sums of float32 are exact in float64; of float64 numbers such as 0.1 they are not."""
    data = values(n_samples, 3).astype(dtype)
    data[:, 1] = constant
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scaling = ZScore.fit(data)
        scaled = scaling.transform(data)
    assert (scaled[:, 1] == 0).all()
    assert scaling.scale[1] == 1e-3
    assert np.isfinite(scaled).all()
    assert (scaling.inverse_transform(scaled)[:, 1] == np.float32(constant)).all()


def test_inverse_gives_the_data_back():
    data = values()
    scaling = ZScore.fit(data[:70])
    back = scaling.inverse_transform(scaling.transform(data))
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, data, rtol=1e-6, atol=1e-6)


def test_large_values_lose_no_digits():
    """Float32 sums of 1e7 + x would leave no spread at all."""
    data = (1e7 + np.arange(2000) % 4)[:, None].astype(np.float32)
    scaling = ZScore.fit(data)
    assert scaling.centre[0] == 10_000_001.5
    assert scaling.scale[0] == pytest.approx(1.25**0.5 + 1e-3, rel=1e-12)


def test_inputs_are_left_alone():
    data = values()
    kept = data.copy()
    data.flags.writeable = False
    scaling = ZScore.fit(data)
    scaling.inverse_transform(scaling.transform(data))
    assert np.array_equal(data, kept)


@pytest.mark.parametrize("part", ["test", "validation"])
def test_nothing_from_held_out_rows_reaches_the_scaling(part):
    data = values()
    before = prepare(matrix(data))
    changed = data.copy()
    changed[getattr(before.split, part)] += 1e6
    after = prepare(matrix(changed))
    assert np.array_equal(after.scaling.centre, before.scaling.centre)
    assert np.array_equal(after.scaling.scale, before.scaling.scale)
    for other in SPLITS:
        assert np.array_equal(getattr(after, other), getattr(before, other)) == (other != part)


def test_training_rows_do_reach_the_scaling():
    data = values()
    before = prepare(matrix(data))
    changed = data.copy()
    changed[before.split.train[0]] += 1
    assert (prepare(matrix(changed)).scaling.centre != before.scaling.centre).all()


def test_prepared_parts_are_the_scaled_rows_of_the_split():
    data = values()
    prepared = prepare(matrix(data), split_seed=4)
    assert prepared.n_genes == 12
    assert list(prepared.gene_ids) == [f"g{i}" for i in range(12)]
    train = data[prepared.split.train].astype(float)
    for part in SPLITS:
        rows = data[getattr(prepared.split, part)].astype(float)
        expected = (rows - train.mean(axis=0)) / (train.std(axis=0) + 1e-3)
        np.testing.assert_allclose(getattr(prepared, part), expected, rtol=1e-5, atol=1e-6)
        assert getattr(prepared, part).dtype == np.float32
    assert not np.array_equal(prepare(matrix(data), split_seed=5).split.test, prepared.split.test)


def test_a_gene_that_is_constant_in_training_only_stays_finite():
    data = values()
    split = prepare(matrix(data)).split
    data[:, 2] = 0.1
    data[split.test, 2] = 0.6
    prepared = prepare(matrix(data))
    assert (prepared.train[:, 2] == 0).all()
    np.testing.assert_allclose(prepared.test[:, 2], 0.5 / 1e-3, rtol=1e-5)


def test_blocks_of_rows_and_genes_change_no_bit(monkeypatch):
    data = values(60, 50)
    data[:, 7] = 0.1
    whole = prepare(matrix(data))
    monkeypatch.setattr(expression, "BLOCK", 130)
    monkeypatch.setattr(preparation, "GENE_BLOCK", 16)
    in_blocks = prepare(matrix(data))
    for part in SPLITS:
        assert np.array_equal(getattr(in_blocks, part), getattr(whole, part))
    assert np.array_equal(in_blocks.scaling.centre, whole.scaling.centre)
    assert np.array_equal(in_blocks.scaling.scale, whole.scaling.scale)
