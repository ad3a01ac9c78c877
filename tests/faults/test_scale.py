"""Large runs: a member or trial costs no more at the end, and the folder stays small."""

import pytest

from tests.faults.scale import growth, large_grid, large_search, size_of

MOST_BYTES = 1e9


@pytest.mark.slow
def test_ten_thousand_members(tmp_path):
    costs, out = large_grid(tmp_path, 10_000)
    assert growth(costs) < 1.2
    assert size_of(out) < MOST_BYTES


@pytest.mark.slow
def test_a_thousand_trials(tmp_path):
    costs, out = large_search(tmp_path, 1000, "--sampler", "random")
    assert growth(costs) < 1.2
    assert size_of(out) < MOST_BYTES
