"""ExpressionMatrix guarantees types and shapes, and check_expression names what is wrong."""

import numpy as np
import pandas as pd
import pytest

from data_utils import expression
from data_utils.errors import InputError
from data_utils.expression import (
    ExpressionMatrix,
    apply_transform,
    check_expression,
    choose_transform,
    count_and_first,
    row_blocks,
)


def matrix(samples=24, genes=6, **changes):
    values = np.arange(samples * genes, dtype=np.float32).reshape(samples, genes)
    parts = {
        "values": values,
        "sample_ids": [f"s{i}" for i in range(samples)],
        "gene_ids": [f"g{i}" for i in range(genes)],
        "sample_labels": pd.DataFrame({"tissue": [f"t{i % 3}" for i in range(samples)]}),
        "gene_labels": pd.DataFrame({"length": range(genes)}),
    }
    return ExpressionMatrix(**{**parts, **changes})


def test_values_become_contiguous_float32_and_labels_are_indexed_by_id():
    m = matrix(values=np.arange(144, dtype=np.float64).reshape(6, 24).T)
    assert m.values.dtype == np.float32
    assert m.values.flags.c_contiguous
    assert m.values[1, 2] == 49
    assert m.sample_labels.loc["s4", "tissue"] == "t1"
    assert m.gene_labels.loc["g5", "length"] == 5


def test_labels_are_text_or_numbers_and_a_missing_text_is_empty():
    labels = pd.DataFrame(
        {"a": pd.Categorical(["x", None, "y"]), "b": [1.5, np.nan, 2], "c": [True, None, 3]}
    )
    m = ExpressionMatrix(np.zeros((3, 1)), list("xyz"), ["g"], labels)
    assert m.sample_labels["a"].tolist() == ["x", "", "y"]
    assert m.sample_labels["b"].dtype == np.float64
    assert m.sample_labels["c"].tolist() == ["True", "", "3"]


@pytest.mark.parametrize(
    "change",
    [{"sample_ids": ["s"]}, {"gene_ids": ["g"]}, {"sample_labels": pd.DataFrame(index=["a"])}],
)
def test_shapes_that_disagree_are_a_programming_error(change):
    with pytest.raises(ValueError, match=r"rows|values"):
        matrix(**change)


def test_labels_of_other_samples_are_refused():
    labels = pd.DataFrame({"t": range(24)}, index=[f"s{i}" for i in reversed(range(24))])
    with pytest.raises(ValueError, match="other ids"):
        matrix(sample_labels=labels)


def test_select_takes_rows_columns_and_their_labels_in_the_order_given():
    whole = matrix()
    part = whole.select(samples=[5, 2], genes=[3, 0, 1])
    assert part.values.tolist() == [[33, 30, 31], [15, 12, 13]]
    assert part.sample_ids.tolist() == ["s5", "s2"]
    assert part.gene_ids.tolist() == ["g3", "g0", "g1"]
    assert part.sample_labels["tissue"].tolist() == ["t2", "t2"]
    assert part.gene_labels["length"].tolist() == [3, 0, 1]
    assert whole.select(genes=[1]).values.shape == (24, 1)
    assert whole.select(genes=[1]).values.flags.c_contiguous


def test_hash_sees_values_and_ids_but_not_labels():
    first = matrix()
    changed = first.values.copy()
    changed[3, 3] = np.nextafter(changed[3, 3], np.float32(np.inf))
    ids = ["s0", *first.sample_ids[1:-1], "other"]
    assert first.content_hash() == matrix().content_hash()
    assert first.content_hash() == matrix(sample_labels=None).content_hash()
    others = {matrix(values=changed).content_hash(), matrix(sample_ids=ids).content_hash()}
    assert len(others | {first.content_hash()}) == 3
    glued = [
        ExpressionMatrix(np.zeros((2, 1)), ids, ["g"]).content_hash()
        for ids in (["ab", "c"], ["a", "bc"])
    ]
    assert glued[0] != glued[1]


def test_a_good_matrix_passes_and_stays_as_it_is():
    m = matrix()
    before = m.content_hash()
    check_expression(m, "a.csv")
    assert m.content_hash() == before


@pytest.mark.parametrize(("value", "word"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_not_finite_values_are_counted_and_named_by_sample_and_gene(value, word):
    values = np.ones((24, 6), dtype=np.float32)
    values[7, 4] = values[9, 0] = value
    with pytest.raises(InputError) as error:
        check_expression(matrix(values=values), "a.csv")
    message = str(error.value)
    assert message.startswith("a.csv: 2 of 144 values")
    assert f"is {word} at sample 's7', gene 'g4'" in message
    assert "\n" not in message


@pytest.mark.parametrize(("what", "n"), [("sample", 24), ("gene", 6)])
def test_duplicate_ids_are_named(what, n):
    ids = [f"{what}{i}" for i in range(n - 1)] + [f"{what}3"]
    with pytest.raises(
        InputError, match=rf"^a\.csv: 1 {what} id\(s\) occur more than once \('{what}3'"
    ):
        check_expression(matrix(**{f"{what}_ids": ids}), "a.csv")


def test_nineteen_samples_are_too_few_and_twenty_are_enough():
    check_expression(matrix(samples=20), "a.csv")
    with pytest.raises(InputError, match=r"^a\.csv: 19 samples are too few"):
        check_expression(matrix(samples=19), "a.csv")


def test_no_genes():
    with pytest.raises(InputError, match="no genes"):
        check_expression(ExpressionMatrix(np.zeros((20, 0)), range(20), []), "a.csv")


def test_the_hash_stays_when_the_values_go():
    whole = matrix()
    names = matrix().without_values()
    assert names.content_hash() == whole.content_hash()
    assert (names.n_samples, names.n_genes) == (24, 6)
    assert names.sample_labels.equals(whole.sample_labels)
    assert np.isnan(names.values).all()
    assert names.values.strides == (0, 0)  # one number in memory
    assert np.isfinite(whole.values).all()


def test_what_is_wrong_is_counted_over_all_blocks(monkeypatch):
    monkeypatch.setattr(expression, "BLOCK", 12)  # 2 rows
    values = np.zeros((25, 6), dtype=np.float32)
    assert [(b.start, b.stop) for b in row_blocks(values[:5].shape)] == [(0, 2), (2, 4), (4, 6)]
    values[7, 4] = values[7, 2] = values[24, 0] = np.nan
    with pytest.raises(
        InputError, match=r"file: 3 of 150 values are NaN .* nan at sample 's7', gene 'g2'"
    ):
        check_expression(matrix(samples=25, values=values), "file")
    assert count_and_first(np.zeros((25, 6)), lambda block: block < 0) == (0, None)


# transforms

RNG = np.random.default_rng(0)
LOG_SCALE = RNG.normal(8, 2, (60, 100)).clip(2.8, 15).astype(np.float32)
TPM = RNG.lognormal(2, 1.5, (60, 100)).astype(np.float32)
WITH_STRAY = LOG_SCALE.copy()
WITH_STRAY[3, 4] = 400

CASES = {
    "microarray, log2": (LOG_SCALE, "none"),
    "log2(TPM + 1)": (np.log2(TPM + 1), "none"),
    "log2 of counts up to 10^8": (RNG.uniform(0, 26.6, (60, 100)), "none"),
    "z-scored": (RNG.normal(0, 1, (60, 100)), "none"),
    "centred, with a large value": (WITH_STRAY - 8, "none"),
    "one stray value among log-scale ones": (WITH_STRAY, "none"),
    "TPM": (TPM, "log2p1"),
    "RPKM of weakly expressed genes": (RNG.lognormal(0, 1.2, (60, 100)), "log2p1"),
    "counts": (RNG.negative_binomial(3, 0.001, (60, 100)), "log2p1"),
    "shallow counts": (RNG.poisson(2, (60, 100)), "log2p1"),
    "counts scaled to CPM": (RNG.negative_binomial(3, 0.01, (60, 100)) * 0.37, "log2p1"),
}


@pytest.mark.parametrize("case", CASES)
def test_auto(case):
    values, expected = CASES[case]
    assert choose_transform(values.astype(np.float32), "auto")[0] == expected


def test_reasons_hold_the_numbers_they_rest_on():
    counts = np.array([[0, 3], [55952, 7]], dtype=np.float32)
    assert "the largest 55952: counts" in choose_transform(counts, "auto")[1]
    assert "largest is 55952.5" in choose_transform(counts + 0.5, "auto")[1]
    assert "-2 to 55950" in choose_transform(counts - 2, "auto")[1]
    assert "0 to 15.5" in choose_transform(np.array([[0, 15.5]]), "auto")[1]


@pytest.mark.parametrize("requested", ["none", "log2p1"])
def test_a_request_is_followed(requested):
    assert choose_transform(TPM, requested) == (requested, "as requested")
    assert choose_transform(LOG_SCALE, requested)[0] == requested


def test_unknown_transform():
    with pytest.raises(InputError, match="--transform log: give one of auto, none, log2p1"):
        choose_transform(TPM, "log")


def of_values(values):
    samples, genes = range(len(values)), range(len(values[0]))
    return ExpressionMatrix(np.array(values), [f"s{i}" for i in samples], [f"g{i}" for i in genes])


def test_log2p1_numbers_and_the_input_is_left_alone():
    m = of_values([[0, 1, 3], [7, 1023, 0.5]])
    logged = apply_transform(m, "log2p1", "f")
    np.testing.assert_array_equal(logged.values, np.float32([[0, 1, 2], [3, 10, np.log2(1.5)]]))
    assert m.values[0, 2] == 3
    assert logged.gene_ids.tolist() == ["g0", "g1", "g2"]


def test_none_gives_back_the_same_matrix():
    m = of_values([[-1.0, 2.0]])
    assert apply_transform(m, "none", "f") is m


def test_negative_under_log2p1_names_sample_gene_and_value():
    with pytest.raises(InputError) as error:
        apply_transform(of_values([[1, 2, 3], [4, -0.25, -1]]), "log2p1", "a.csv")
    message = str(error.value)
    assert message.startswith(
        "a.csv: 2 values are negative, the first is -0.25 at sample 's1', gene 'g1'"
    )
    assert "--transform none" in message
    assert "\n" not in message
