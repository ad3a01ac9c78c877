"""auto tells linear from log-scale expression, says why in numbers, and log2(x + 1) is exact."""

import numpy as np
import pytest

from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix
from data_utils.transform import apply_transform, choose_transform

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


def matrix(values):
    values = np.asarray(values)
    return ExpressionMatrix(
        values, [f"s{i}" for i in range(len(values))], [f"g{i}" for i in range(values.shape[1])]
    )


def test_log2p1_numbers_and_the_input_is_left_alone():
    m = matrix([[0, 1, 3], [7, 1023, 0.5]])
    logged = apply_transform(m, "log2p1", "f")
    np.testing.assert_array_equal(logged.values, np.float32([[0, 1, 2], [3, 10, np.log2(1.5)]]))
    assert m.values[0, 2] == 3
    assert logged.gene_ids.tolist() == ["g0", "g1", "g2"]


def test_none_gives_back_the_same_matrix():
    m = matrix([[-1.0, 2.0]])
    assert apply_transform(m, "none", "f") is m


def test_negative_under_log2p1_names_sample_gene_and_value():
    with pytest.raises(InputError) as error:
        apply_transform(matrix([[1, 2, 3], [4, -0.25, -1]]), "log2p1", "a.csv")
    message = str(error.value)
    assert message.startswith(
        "a.csv: 2 values are negative, the first is -0.25 at sample 's1', gene 'g1'"
    )
    assert "--transform none" in message
    assert "\n" not in message
