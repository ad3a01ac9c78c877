"""The grids: how many members, which, and how the command line narrows them."""

import math
from collections import Counter

import pytest

from data_utils.errors import InputError
from study.config import Phase
from study.grids import EPOCHS, GRIDS, Narrowing, plan

NOISE = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


def test_paper_grid_is_the_papers():
    members = plan("paper", Narrowing())
    assert len(members) == 4 * 11 * 3 * 3 + 11 * 3 == 429
    assert len({m.member_id for m in members}) == 429
    dense = {(f"dense-{d}", a, b, s) for d in (2, 4, 6, 8) for a in NOISE for b in (0, 1e-3, 1e-2) for s in range(3)}
    conv = {("conv", a, 0, s) for a in NOISE for s in range(3)}
    assert {(m.model, m.noise_factor, m.beta, m.seed) for m in members} == dense | conv


def test_paper_grid_is_the_protocol_as_written():
    for m in plan("paper", Narrowing()):
        assert m.phases == (Phase((m.noise_factor,), EPOCHS[m.model]),)
        assert (m.protocol, m.grid, m.output, m.sparsity, m.rho) == ("as-written", "paper", "linear", "kl", 0.05)
        assert (m.optimizer, m.learning_rate, m.batch_size) == ("adam", 1e-3, 256)


def test_smoke_grid_is_small_and_has_every_model():
    members = plan("smoke", Narrowing())
    assert {m.model for m in members} == {"dense-2", "dense-4", "dense-6", "dense-8", "conv"}
    assert len(members) <= 20
    assert max(m.epochs for m in members) <= 5
    assert {m.grid for m in members} == {"smoke"}


@pytest.mark.parametrize("grid", ["paper", "smoke"])
def test_narrowed(grid):
    members = plan(grid, Narrowing(seeds=2, epochs=7, depths=["2", "conv"], noise=[0.0, 0.35], betas=[0.0, 0.5]))
    assert Counter(m.model for m in members) == {"dense-2": 2 * 2 * 2, "conv": 2 * 2}
    assert {m.noise_factor for m in members} == {0.0, 0.35}
    assert {m.epochs for m in members} == {7}
    assert {m.seed for m in members} == {0, 1}
    assert {m.beta for m in members if m.model == "dense-2"} == {0.0, 0.5}


@pytest.mark.parametrize("grid", ["as-published", "autopsy"])
def test_narrowed_published(grid):
    members = plan(grid, Narrowing(seeds=2, epochs=7, depths=["2", "conv"], noise=[0.0, 0.35]))
    carried = [m for m in members if m.protocol == "as-published"]
    assert Counter(m.model for m in carried) == {"dense-2": 2, "conv": 2}
    assert {phase.epochs for m in members for phase in m.phases} == {7}
    assert {a for m in members for phase in m.phases for a in phase.noise_factors} == {0.0, 0.35}
    assert {m.grid for m in members} == {grid}
    with pytest.raises(InputError, match="--betas"):
        plan(grid, Narrowing(betas=[0.1]))


def test_every_grid_has_members_with_names_of_their_own():
    for grid in GRIDS:
        members = plan(grid, Narrowing())
        assert len({m.run_name for m in members}) == len({m.member_id for m in members}) == len(members) > 0


def test_narrowing_keeps_the_members_it_leaves():
    """So a wider run in the same folder trains only what is new."""
    whole = {m.member_id for m in plan("paper", Narrowing())}
    part = plan("paper", Narrowing(seeds=1, depths=["4"], noise=[0.5, 0.3]))
    assert len(part) == 2 * 3
    assert {m.member_id for m in part} <= whole


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"seeds": 0}, "--seeds 0"),
        ({"seeds": -2}, "--seeds -2"),
        ({"epochs": 0}, "--epochs 0"),
        ({"depths": ["3"]}, "--depths 3"),
        ({"depths": ["2", "dense-4"]}, "--depths dense-4"),
        ({"depths": ["2", "2"]}, "twice"),
        ({"depths": []}, "empty"),
        ({"noise": [-0.1]}, "--noise -0.1"),
        ({"noise": [math.nan]}, "--noise nan"),
        ({"noise": [math.inf]}, "--noise inf"),
        ({"noise": [0.5, 0.1, 0.5]}, "twice"),
        ({"noise": []}, "empty"),
        ({"betas": [math.nan]}, "beta"),
        ({"betas": [-1.0]}, "beta"),
        ({"betas": [0.0, 0.0]}, "twice"),
        ({"depths": ["conv"], "betas": [0.1]}, "empty"),
    ],
    ids=str,
)
def test_wrong_choices_are_input_errors(wrong, named):
    with pytest.raises(InputError, match=named):
        plan("paper", Narrowing(**wrong))


def test_unknown_grid_is_an_input_error_that_lists_them():
    with pytest.raises(InputError, match=r"'papers'.*paper, smoke"):
        plan("papers", Narrowing())
