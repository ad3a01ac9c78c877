"""Each switch of a member's data does what it says, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from data_utils.genes import landmark_table
from models.member_data import correlation_order, member_data
from models.training import PackTraining
from study.run.packs import stack_key
from tests.small import for_all, member, prepared

DATA = prepared()
PARTS = ("train", "validation", "test")


def columns(data):
    return {gene: data.train[:, i] for i, gene in enumerate(data.gene_ids)}


@pytest.mark.parametrize("order", ["random", "correlation"])
def test_an_order_moves_whole_genes(order):
    data = member_data(DATA, member(gene_order=order))
    assert not np.array_equal(data.gene_ids, DATA.gene_ids)
    assert sorted(data.gene_ids) == sorted(DATA.gene_ids)
    for gene, values in columns(data).items():
        assert np.array_equal(values, columns(DATA)[gene])
    where = [list(DATA.gene_ids).index(gene) for gene in data.gene_ids]
    for part in PARTS:
        assert np.array_equal(getattr(data, part), getattr(DATA, part)[:, where])
    assert np.array_equal(data.scaling.centre, DATA.scaling.centre[where])


def test_the_order_of_the_chromosomes_is_that_of_the_gene_table():
    table = landmark_table()[: DATA.n_genes]
    named = replace(DATA, gene_ids=table["ensembl_id"].to_numpy())
    data = member_data(named, member(gene_order="chromosome"))
    place = table.set_index("ensembl_id").loc[data.gene_ids]
    number = place["chromosome"].replace({"X": "23"}).astype(int)
    assert (number * 10**9 + place["start"].astype(int)).is_monotonic_increasing
    assert len(set(place["chromosome"])) > 10


def test_a_random_order_is_the_seeds():
    first, again, other = (
        member_data(DATA, member(gene_order="random", seed=seed)).gene_ids for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    noise = member_data(DATA, member(gene_order="random", seed=0, noise=0.1)).gene_ids
    assert np.array_equal(first, noise)


def test_shuffled_values_keep_each_gene_and_lose_the_correlations():
    data = member_data(DATA, member(gene_order="shuffled"))
    for part in PARTS:
        before, after = getattr(DATA, part), getattr(data, part)
        assert np.array_equal(np.sort(before, axis=0), np.sort(after, axis=0))
        assert not np.array_equal(before, after)

    def correlation(data):
        return np.abs(np.corrcoef(data.train, rowvar=False) - np.eye(data.n_genes)).mean()

    assert correlation(DATA) > 0.25
    assert correlation(data) < 0.1


def test_correlated_genes_come_together():
    """Four groups of genes, mixed up: in an image with rows of 16, every row is one group again."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(400, 4))
    group = rng.permutation(np.repeat(np.arange(4), 16))
    train = scores[:, group] + 0.3 * rng.normal(size=(400, 64))
    rows = group[correlation_order(train, 16)].reshape(4, 16)
    assert all(len(set(row)) == 1 for row in rows.tolist())


def test_more_training_rows_are_the_fewer_and_others():
    few, more = (member_data(DATA, member(train_fraction=f)) for f in (0.25, 0.5))
    assert len(few.train), len(more.train) == (21, 42)
    assert np.array_equal(more.train[:21], few.train)
    rows = {row.tobytes() for row in DATA.train}
    assert {row.tobytes() for row in more.train} <= rows
    for part in ("validation", "test"):
        assert np.array_equal(getattr(few, part), getattr(DATA, part))
    other = member_data(DATA, member(train_fraction=0.25, seed=1))
    assert not np.array_equal(other.train, few.train)


def test_members_share_a_pack_where_they_share_the_data():
    usual = member()
    assert stack_key(usual) == stack_key(replace(usual, seed=1))
    orders = ("random", "shuffled", "correlation")
    for switch in (*({"gene_order": order} for order in orders), {"train_fraction": 0.5}):
        one, other = replace(usual, **switch), replace(usual, **switch, seed=1)
        assert stack_key(one) == stack_key(other) != stack_key(usual)
    assert stack_key(usual) != stack_key(replace(usual, noise_input=True))


def test_dead_units_are_those_that_do_not_vary():
    """A code unit with weights 0 answers the same to all; the others vary."""
    training = PackTraining((member(epochs=1), member(epochs=1, seed=1)), for_all(DATA))
    stack = training.stack
    for k, dead in ((0, 8), (1, 0)):
        stack.parameters["layer0.weight"][k, :dead] = 0
    values = training._evaluate("validation", [training._factors()])[0][2]
    assert values == [8 / 64, 0.0]


def test_a_member_that_is_not_finite_has_no_share_of_dead_units():
    training = PackTraining((member(epochs=1),), for_all(DATA))
    training.stack.parameters["layer0.weight"][0] = float("nan")
    assert np.isnan(training._evaluate("validation", [training._factors()])[0][2]).all()
