"""Thinning deals out every molecule, and what is no counts is refused."""

import numpy as np
import pytest

from data_utils.counts import load_counts, rates, simulate_counts, thin
from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix
from data_utils.formats.registry import write_expression
from data_utils.genes import landmark_table
from data_utils.noise import numpy_stream


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_halves_sum_to_the_counts_and_have_the_variance_of_thinning(share):
    counts = np.tile([0, 1, 7, 300], (50_000, 1))
    kept, other = thin(counts, share, numpy_stream(0, "test"))
    assert (kept + other == counts).all()
    assert kept.min() >= 0 <= other.min()
    x = counts[0]
    error = np.sqrt(share * (1 - share) * x / len(counts))
    assert (np.abs(kept.mean(axis=0) - share * x) <= 4 * error).all()
    assert kept.var(axis=0) == pytest.approx(share * (1 - share) * x, rel=0.03)


def test_halves_of_poisson_counts_are_independent_and_of_others_are_not():
    """Cov[a, b] = p (1 - p) (Var x - E x): 0 for Poisson counts, p (1 - p) Var(mu) for mixtures."""
    n, share, rng = 200_000, 0.3, numpy_stream(1, "test")
    kept, other = thin(rng.poisson(20.0, n), share, rng)
    assert kept.mean() == pytest.approx(6, abs=4 * np.sqrt(6 / n))
    assert kept.var() == pytest.approx(6, rel=0.02)
    assert other.var() == pytest.approx(14, rel=0.02)
    assert abs(np.cov(kept, other)[0, 1]) < 4 * np.sqrt(6 * 14 / n)
    assert (kept < 5).mean() * (other > 15).mean() == pytest.approx(
        ((kept < 5) & (other > 15)).mean(), abs=0.003
    )
    mixed = rng.poisson(np.where(rng.random(n) < 0.5, 10.0, 30.0))
    assert np.cov(*thin(mixed, share, rng))[0, 1] == pytest.approx(0.3 * 0.7 * 100, rel=0.03)


def test_simulated_counts_have_the_rates_of_their_log2_values():
    values = np.tile(np.float32([1, 2, 3, 5]), (20_000, 1))
    assert rates(values, 460)[0].tolist() == [20, 40, 80, 320]
    counts = simulate_counts(values, 460, seed=3)
    assert counts.mean(axis=0) == pytest.approx([20, 40, 80, 320], rel=0.005)
    assert counts.var(axis=0) == pytest.approx([20, 40, 80, 320], rel=0.04)


def counts_file(folder, values, name="counts.npz"):
    genes = landmark_table()["ensembl_id"].tolist()[: values.shape[1]]
    path = folder / name
    write_expression(ExpressionMatrix(values, [f"s{i}" for i in range(len(values))], genes), path)
    return path


def test_a_file_of_counts_comes_as_it_is_or_thinned_to_a_depth(tmp_path):
    values = np.random.default_rng(0).poisson(1000, (20, 60)).astype(np.float32)
    values[3] = 1  # 60 counts: fewer than the depth
    path = counts_file(tmp_path, values)
    whole, thinned = load_counts(str(path)), load_counts(str(path), depth=3000)
    assert (whole.values == values).all()
    assert (thinned.values <= values).all()
    totals = thinned.values.sum(axis=1)
    assert totals[3] == 60
    assert np.abs(np.delete(totals, 3) - 3000).max() < 5 * np.sqrt(3000)
    assert whole.data.matrix.content_hash() != thinned.data.matrix.content_hash()


@pytest.mark.parametrize(
    ("value", "said"),
    [(-1.0, "1 of 1200 values are negative, the first is -1 at sample 's5'"), (2.5, "not whole")],
)
def test_values_that_are_no_counts_are_refused(tmp_path, value, said):
    values = np.random.default_rng(0).poisson(1000, (20, 60)).astype(np.float32)
    values[5, 7] = value
    with pytest.raises(InputError, match=said):
        load_counts(str(counts_file(tmp_path, values)))


def test_a_sample_without_counts_is_refused(tmp_path):
    values = np.ones((20, 60), dtype=np.float32)
    values[4] = 0
    with pytest.raises(InputError, match="1 samples have no counts, the first is 's4'"):
        load_counts(str(counts_file(tmp_path, values)))
