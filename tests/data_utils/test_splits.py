"""Shares of the split, and that nothing is lost or used twice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_utils.splits import split_samples


@pytest.mark.parametrize(
    ("n_samples", "sizes"), [(2921, (2045, 292, 584)), (1119, (783, 112, 224)), (100, (70, 10, 20)), (20, (14, 2, 4))]
)
def test_shares(n_samples, sizes):
    split = split_samples(n_samples)
    assert (len(split.train), len(split.validation), len(split.test)) == sizes


@given(st.integers(20, 3000), st.integers(0, 2**31))
def test_parts_are_disjoint_sorted_and_cover_all(n_samples, seed):
    split = split_samples(n_samples, seed)
    parts = (split.train, split.validation, split.test)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(n_samples))
    assert all((np.diff(part) > 0).all() for part in parts)
    assert abs(len(split.test) - 0.2 * n_samples) <= 0.5
    assert abs(len(split.validation) - 0.1 * n_samples) <= 0.5


def test_a_seed_is_its_split():
    first, again, other = split_samples(500, 1), split_samples(500, 1), split_samples(500, 2)
    assert np.array_equal(first.test, again.test)
    assert np.array_equal(first.validation, again.validation)
    assert not np.array_equal(first.test, other.test)
    assert not np.array_equal(first.validation, other.validation)


def test_samples_are_drawn_from_the_whole_file():
    """Samples often come sorted by tissue: no part is a stretch of the file."""
    split = split_samples(3000, 0)
    for part in (split.train, split.validation, split.test):
        assert part.mean() == pytest.approx(1499.5, abs=5 * 866 / len(part) ** 0.5)
        assert np.diff(part).max() < 200


def test_every_sample_is_tested_under_some_seed():
    tested = np.concatenate([split_samples(50, seed).test for seed in range(60)])
    assert set(tested) == set(range(50))


def test_labels_name_the_part_of_each_sample():
    split = split_samples(60, 3)
    labels = split.labels()
    assert labels.shape == (60,)
    for name in ("train", "validation", "test"):
        assert np.array_equal(np.flatnonzero(labels == name), getattr(split, name))
