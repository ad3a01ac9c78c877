"""Data that the tests of running studies share."""

import pytest

from data_utils.cohort import simulate_cohort
from data_utils.formats.registry import write_expression


@pytest.fixture(scope="module")
def small_cohort(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "cohort.npz"
    write_expression(simulate_cohort(n_samples=300, seed=1).matrix, path)
    return path
