"""Splits lose nothing and use nothing twice, and scaling uses only the training rows."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_utils import expression, preparation
from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix
from data_utils.preparation import (
    SPLITS,
    Replicates,
    ZScore,
    group_values,
    prepare,
    split_notes,
    split_samples,
)


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
    data = Replicates(values(10), np.arange(10), np.arange(12), labels["donor"].to_numpy())
    [note] = split_notes(data, 0, "donor")
    assert "6 training, 2 validation, 2 test samples of 3, 1, 1" in note
    assert "--group none" in note
    assert "seed 0" in note
    assert split_notes(Replicates(values(10), np.arange(10), np.arange(12)), 0, None) == ()


# scaling


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


def test_each_replicate_has_its_own_split_and_scaling():
    replicates = Replicates.of(matrix(values()), split_seed=4)
    for seed in (0, 1, 5):
        expected = prepare(matrix(values()), split_seed=4 + seed)
        data = replicates.data(seed)
        assert data.split.digest() == replicates.split(seed).digest() == expected.split.digest()
        assert np.array_equal(data.scaling.centre, expected.scaling.centre)
        for part in SPLITS:
            assert np.array_equal(getattr(data, part), getattr(expected, part))
    digests = {replicates.split(seed).digest() for seed in range(10)}
    assert len(digests) == 10


def test_a_fixed_split_is_that_of_every_replicate():
    replicates = Replicates.of(matrix(values()), split_seed=4, fixed=True)
    assert replicates.data(0) is replicates.data(7)
    expected = prepare(matrix(values()), split_seed=4)
    assert np.array_equal(replicates.data(7).test, expected.test)


def test_groups_stay_together_in_every_replicate():
    labels = pd.DataFrame({"donor": [f"donor-{i % 17}" for i in range(200)]})
    data = values(200)
    names = [f"s{i}" for i in range(200)], [f"g{i}" for i in range(data.shape[1])]
    replicates = Replicates.of(ExpressionMatrix(data, *names, labels), group="donor")
    donors = labels["donor"].to_numpy()
    for seed in range(8):
        parts = [set(donors[getattr(replicates.split(seed), part)]) for part in SPLITS]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 17
    assert len({replicates.split(seed).digest() for seed in range(8)}) == 8


def test_only_the_replicates_last_asked_for_are_kept(monkeypatch):
    replicates = Replicates.of(matrix(values()))
    monkeypatch.setattr(preparation, "KEPT_BYTES", 2 * replicates.values.nbytes)
    first, second = replicates.data(0), replicates.data(1)
    assert replicates.data(0) is first
    replicates.data(2)
    assert replicates.data(0) is first
    assert replicates.data(1) is not second
    monkeypatch.setattr(preparation, "KEPT_BYTES", 0)
    last = replicates.data(3)
    assert replicates.data(3) is last


def test_equal_identities_are_equal_splits():
    rows, genes, donors = values(30), np.arange(12), np.array(list("abcdefghij") * 3, dtype=object)
    first = Replicates(rows, np.arange(30), genes, donors).identity()
    assert first == Replicates(rows, np.arange(30), genes, donors.copy()).identity()
    others = [
        Replicates(rows, np.arange(30), genes),
        Replicates(rows, np.arange(30), genes, donors[::-1]),
        Replicates(rows, np.arange(30), genes, donors, split_seed=1),
        Replicates(rows, np.arange(30), genes, donors, fixed=True),
    ]
    assert all(other.identity() != first for other in others)


def test_the_mean_square_of_a_part_is_the_error_of_answering_0(monkeypatch):
    data = prepare(matrix(values()))
    monkeypatch.setattr(preparation, "row_blocks", lambda shape: (slice(0, 7), slice(7, None)))
    for part in SPLITS:
        expected = np.mean(getattr(data, part).astype(float) ** 2)
        assert data.mean_square(part) == pytest.approx(expected, rel=1e-12)
    assert data.mean_square("train") == pytest.approx(1, abs=0.02)


def test_a_pickled_copy_has_the_values_once():
    replicates = Replicates.of(matrix(values()), split_seed=2)
    before = [replicates.data(seed) for seed in range(5)]
    copy = pickle.loads(pickle.dumps(replicates))
    assert len(pickle.dumps(replicates)) < 1.5 * replicates.values.nbytes + 2000
    for seed, data in enumerate(before):
        assert np.array_equal(copy.data(seed).validation, data.validation)
