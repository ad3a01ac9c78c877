"""Shares of the split, and that nothing is lost or used twice."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_utils.errors import InputError
from data_utils.splits import group_values, split_notes, split_samples


@pytest.mark.parametrize(
    ("n_samples", "sizes"),
    [(2921, (2045, 292, 584)), (1119, (783, 112, 224)), (100, (70, 10, 20)), (20, (14, 2, 4))],
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


# groups: all samples of one stay together


def sizes(split):
    return [len(part) for part in (split.train, split.validation, split.test)]


def groups_of(counts, seed=0):
    """A group "0", "1", ... of each size, in a random order of samples."""
    return np.random.default_rng(seed).permutation(
        np.repeat([str(i) for i in range(len(counts))], counts)
    )


@given(st.lists(st.integers(1, 40), min_size=3, max_size=60), st.integers(0, 2**31))
def test_no_group_is_in_two_parts_and_shares_are_near(counts, seed):
    groups = groups_of(counts)
    split = split_samples(len(groups), seed, groups)
    parts = (split.train, split.validation, split.test)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(groups)))
    assert all(len(part) and (np.diff(part) > 0).all() for part in parts)
    found = [set(groups[part]) for part in parts]
    assert sum(map(len, found)) == len(set(groups))
    for part, share in zip(parts, (0.7, 0.1, 0.2), strict=True):
        assert abs(len(part) - share * len(groups)) <= 2 * max(counts)


def test_shares_of_many_groups_are_those_of_samples():
    """With GTEx V4's samples per donor, a share is off by less than half of the smallest group."""
    groups = groups_of(np.random.default_rng(3).integers(5, 26, size=187))
    n = len(groups)
    for seed in range(20):
        train, validation, test = sizes(split_samples(n, seed, groups))
        assert abs(validation - 0.1 * n) <= 3
        assert abs(test - 0.2 * n) <= 5
        assert abs(train - 0.7 * n) <= 3


def test_a_small_case_to_the_sample():
    """Numpy guarantees its PCG64 stream, so ten samples are split equally on every machine."""
    groups = list("aabbccddee")
    split = split_samples(10, 0, groups)
    assert split.labels()[::2].tolist() == ["validation", "train", "test", "train", "train"]
    assert split.labels()[1::2].tolist() == split.labels()[::2].tolist()
    assert split.digest() == split_samples(10, 0, np.array(groups, dtype=object)).digest()
    assert split.digest() != split_samples(10, 3, groups).digest()
    assert sizes(split) == [6, 2, 2]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([80, 10, 10], [80, 10, 10]),
        ([1, 98, 1], [98, 1, 1]),
        ([20] * 5, [60, 20, 20]),
        ([10] * 10, [70, 10, 20]),
    ],
)
def test_the_sizes_that_groups_force(counts, expected):
    groups = groups_of(counts)
    assert [sizes(split_samples(len(groups), seed, groups)) for seed in range(5)] == [expected] * 5


def test_every_group_is_tested_under_some_seed():
    groups = groups_of([4] * 20)
    tested = [set(groups[split_samples(80, seed, groups).test]) for seed in range(60)]
    assert set().union(*tested) == set(groups)


def test_groups_change_nothing_where_they_are_not_asked_for():
    """The split by samples is that of earlier versions: sums of row numbers, written down."""
    split = split_samples(100, 0)
    assert [int(part.sum()) for part in (split.train, split.validation, split.test)] == [
        3323,
        465,
        1162,
    ]


def test_too_few_groups_are_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="2 groups"):
        split_samples(4, 0, list("aabb"))


LABELS = pd.DataFrame({"donor": ["a", "b", "c", "c"], "batch": [1.0, 2.0, 2.0, np.nan], "one": "x"})


def test_group_values_are_texts():
    assert group_values(LABELS, None) is None
    assert group_values(LABELS, "donor").tolist() == ["a", "b", "c", "c"]
    assert group_values(LABELS, "batch").tolist() == ["1.0", "2.0", "2.0", "nan"]


@pytest.mark.parametrize(
    ("labels", "group", "words"),
    [
        (
            LABELS,
            "patient",
            "--group patient: the samples have no such label (they have: donor, batch, one)",
        ),
        (LABELS[[]], "donor", "(they have: none at all)"),
        (LABELS, "one", "--group one: has 1 different value(s), 3 are needed"),
    ],
)
def test_a_bad_label_is_one_line_that_lists_the_labels(labels, group, words):
    with pytest.raises(InputError) as error:
        group_values(labels, group)
    assert words in str(error.value)


def test_the_note_tells_parts_and_groups():
    labels = pd.DataFrame({"donor": list("aabbccddee")})
    split = split_samples(10, 0, labels["donor"])
    [note] = split_notes(split, labels, "donor")
    assert "6 training, 2 validation, 2 test samples of 3, 1, 1" in note
    assert "--group none" in note
    assert split_notes(split, labels, None) == ()
