"""The genes besides the landmark genes: which are kept, and by what they are scaled."""

import numpy as np
import pytest

from data_utils import other_genes
from data_utils.other_genes import OtherGenes
from data_utils.preparation import SPLITS, ZScore, split_samples

SPLIT = split_samples(100, seed=3)


def values(genes=7):
    return np.random.default_rng(0).normal(5, 2, (100, genes)).astype(np.float32)


def test_each_part_is_scaled_by_the_training_rows():
    given = values()
    others = OtherGenes.of(given, SPLIT)
    expected = ZScore.fit(given[SPLIT.train])
    assert others.kept.tolist() == list(range(7))
    for part in SPLITS:
        rows = given[getattr(SPLIT, part)]
        np.testing.assert_array_equal(others.scaled(part), expected.transform(rows))
        some = others.scaled(part, rows=slice(2, 5), genes=slice(1, 3))
        np.testing.assert_array_equal(some, expected.transform(rows)[2:5, 1:3])
    np.testing.assert_allclose(others.scaled("train").std(axis=0), 1, rtol=1e-3)


@pytest.mark.parametrize(("alike", "kept"), [(63, True), (64, False), (70, False)])
def test_a_gene_that_hardly_varies_over_the_training_rows_is_left_out(alike, kept):
    given = values()
    given[SPLIT.train[:alike], 4] = 0  # of 70
    others = OtherGenes.of(given, SPLIT)
    assert (4 in others.kept) == kept
    assert others.n_genes == 6 + kept


def test_blocks_cover_each_kept_gene_once_and_change_nothing(monkeypatch):
    given = values(10)
    given[SPLIT.train, 3] = 1
    whole = OtherGenes.of(given, SPLIT).scaled("test")
    monkeypatch.setattr(other_genes, "GENE_BLOCK", 4)
    others = OtherGenes.of(given, SPLIT)
    assert others.kept.tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    blocks = [others.scaled("test", genes=block) for block in others.blocks()]
    assert [block.shape[1] for block in blocks] == [4, 4, 1]
    np.testing.assert_array_equal(np.hstack(blocks), whole)


def test_test_rows_have_no_say():
    given = values()
    before = OtherGenes.of(given, SPLIT)
    given[SPLIT.test] *= 100
    after = OtherGenes.of(given, SPLIT)
    np.testing.assert_array_equal(after.scaling.centre, before.scaling.centre)
    np.testing.assert_array_equal(after.scaled("train"), before.scaled("train"))
