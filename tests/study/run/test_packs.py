"""Packs hold each member once, only with its like, and within their size."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.config import NOISE_FACTORS, PAPER_MODELS, MemberConfig, Phase
from study.grids import GRIDS, Narrowing, plan
from study.run.packs import (
    PACK_BYTES,
    Pack,
    batches,
    cost,
    pack_bytes,
    pack_cost,
    plan_packs,
    stack_key,
    time_of,
)

TERMS = Narrowing(seeds=3, noise=NOISE_FACTORS, betas=(0.0, 1e-3, 1e-2))
#: 429 networks: the dense models with and without a sparsity term, and conv without.
PAPER = [m for m in plan("as-written", TERMS) if m.model in PAPER_MODELS]


def ids(members):
    return sorted(m.member_id for m in members)


def check(planned, members):
    assert ids(m for pack in planned for m in pack.members) == ids(members)
    assert all(len({stack_key(m) for m in pack.members}) == 1 for pack in planned)
    work = [sum(cost(m, 943) for m in pack.members) for pack in planned]
    assert work == sorted(work, reverse=True)


@pytest.mark.parametrize("name", [name for name in GRIDS if name != "all"])
def test_every_grid_has_packs(name):
    """Whatever a grid's networks have, such as no noise at all, a run can plan them."""
    members = plan(name, Narrowing(seeds=2))
    check(plan_packs(members, 943, 2, rows={0: 2045, 1: 2045}), members)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.sampled_from(PAPER), unique=True, max_size=60),
    st.integers(1, 50),
    st.integers(1, 9),
)
def test_every_member_once_within_the_size_longest_first(members, size, workers):
    planned = plan_packs(members, 943, workers, size)
    check(planned, members)
    assert all(1 <= len(pack.members) <= size for pack in planned)
    for key in {stack_key(m) for m in members}:
        sizes = [len(pack.members) for pack in planned if stack_key(pack.members[0]) == key]
        assert max(sizes) - min(sizes) <= 1
        assert len(sizes) == -(-sum(sizes) // size)


@pytest.mark.parametrize("workers", [1, 2, 8, 64, 1000])
def test_automatic_size(workers):
    planned = plan_packs(PAPER, 943, workers)
    check(planned, PAPER)
    share = sum(cost(m, 943) for m in PAPER) / workers
    for pack in planned:
        assert len(pack.members) <= 44
        assert (
            workers == 1
            or len(pack.members) == 1
            or sum(cost(m, 943) for m in pack.members) <= share / 2
        )


def test_a_network_is_hashed_once_however_many_plans_are_compared(monkeypatch):
    members, original, hashed = GRIDS["as-written"](Narrowing(seeds=1)), MemberConfig.as_dict, []

    def noting(member):
        hashed.append(member)
        return original(member)

    monkeypatch.setattr(MemberConfig, "as_dict", noting)
    check(plan_packs(members, 943, 2), members)
    assert len(hashed) == len(members)


def simulated(planned, workers):
    """Work until the last worker is done: the next pack goes to who is free first."""
    busy = [0.0] * workers
    for pack in planned:
        busy[busy.index(min(busy))] += pack_cost(pack.members, 943)
    return max(busy)


FORTY_FOUR = [m for m in PAPER if m.seed == 0 and m.beta == 0 and m.model != "conv"]


@pytest.mark.parametrize(("members", "workers"), [(PAPER, 2), (PAPER, 4), (FORTY_FOUR, 2)])
def test_no_worker_waits_for_long_at_the_end(members, workers):
    planned = plan_packs(members, 943, workers)
    assert simulated(planned, workers) == time_of(planned, 943, workers)
    assert (
        time_of(planned, 943, workers)
        < 1.05 * sum(pack_cost(p.members, 943) for p in planned) / workers
    )
    assert sum(len(pack.members) >= 4 for pack in planned) >= 0.4 * len(planned)


def test_one_worker_gets_whole_stacks():
    assert [len(pack.members) for pack in plan_packs(FORTY_FOUR, 943, 1)] == [11, 11, 11, 11]


def test_a_small_pack_is_costly():
    """Measured, dense-2: 25 ms a member alone, 17 in a pack of 3, 13 in one of 11.

    Five of one seed each: 23 ms.
    """
    twos = [m for m in PAPER if m.model == "dense-2" and m.beta == 0]
    own = [m for m in twos if m.seed == 0]
    a_member = {n: pack_cost(own[:n], 943) / n for n in (1, 3, 11)}
    assert 1.7 < a_member[1] / a_member[11] < 2
    assert 1.1 < a_member[3] / a_member[11] < 1.4
    seeds = [m for m in twos if m.noise_factor == 0.5]
    assert 0.9 < pack_cost(seeds, 943) / len(seeds) / a_member[1] < 0.97
    fresh = [replace(m, noise_draws="fresh") for m in own]
    assert pack_cost(fresh[:1], 943) > 2 * pack_cost(own[:1], 943)


def test_memory_bounds_the_pack(monkeypatch):
    eights = [m for m in PAPER if m.model == "dense-8"]
    bytes_each = 4 * 4 * 571_759
    monkeypatch.setitem(PACK_BYTES, "cpu", 5 * bytes_each)
    planned = plan_packs(eights, 943, 1)
    assert max(len(pack.members) for pack in planned) <= 5
    monkeypatch.setitem(PACK_BYTES, "cpu", 1)
    assert len(plan_packs(eights, 943, 1)) == len(eights)


def test_on_a_gpu_memory_alone_bounds_the_pack(monkeypatch):
    many = [
        replace(m, rho=rho)
        for m in PAPER
        if (m.model, m.seed) == ("dense-2", 0)
        for rho in (0.05, 0.1, 0.2)
    ]
    assert len(many) == 99
    assert [len(pack.members) for pack in plan_packs(many, 943, 1, device="cuda")] == [99]
    assert max(len(pack.members) for pack in plan_packs(many, 943, 1)) <= 44
    each = 4 * (
        4 * 62_383 + 1024 * (2 * 943 + 2 * 32)
    )  # weights, gradients, moments; inputs, answers, two layers
    for members, expected in ((60, [50, 49]), (10, 9 * [10] + [9])):
        monkeypatch.setitem(PACK_BYTES, "cuda", members * each)
        planned = plan_packs(many, 943, 1, device="cuda")
        assert sorted((len(pack.members) for pack in planned), reverse=True) == expected


def test_pack_1_is_one_configuration_a_trial():
    planned = plan_packs(PAPER, 943, 2, size=1)
    assert len(planned) == 429
    assert {len(pack.members) for pack in planned} == {1}
    assert planned[0].members[0].model in ("dense-8", "conv")


def test_nothing_to_train_is_no_pack():
    assert plan_packs([], 943, 2) == []


def test_the_plan_does_not_depend_on_the_order_of_the_members():
    forward, backward = (plan_packs(members, 943, 2, 7) for members in (PAPER, PAPER[::-1]))
    assert [pack.pack_id for pack in forward] == [pack.pack_id for pack in backward]


def test_stack_key_separates_what_cannot_share_a_stack():
    one = MemberConfig("dense-2", (Phase((0.5,), 4),))
    for other in (
        {"model": "dense-4"},
        {"output": "sigmoid"},
        {"batch_size": 64},
        {"noise_draws": "fresh"},
        {"phases": (Phase((0.5,), 5),)},
        {"phases": (Phase((0.5, 0.1), 4),)},
        {"phases": (Phase((0.5,), 2), Phase((0.5,), 2))},
    ):
        assert stack_key(replace(one, **other)) != stack_key(one)
    for same in (
        {"seed": 1},
        {"beta": 0.1},
        {"rho": 0.1},
        {"sparsity": "l1"},
        {"learning_rate": 0.1},
        {"rate_schedule": "cosine"},
        {"phases": (Phase((0.1,), 4),)},
    ):
        assert stack_key(replace(one, **same)) == stack_key(one)


def test_pack_id_is_its_members():
    a, b, c = PAPER[:3]
    pack = Pack((a, b))
    assert pack.pack_id == Pack((a, b)).pack_id
    assert (
        len({Pack(members).pack_id for members in ((a, b), (b, a), (a,), (a, c), (a, b, c))}) == 5
    )
    assert Pack((replace(a, grid="other"), b)).pack_id == pack.pack_id


def test_neighbours_share_an_input():
    """Members of one seed and schedule lie side by side, so that their noisy input is made once."""
    twos = [m for m in PAPER if m.model == "dense-2"]
    [pack] = plan_packs(twos, 943, 1, size=len(twos))
    runs = [(m.seed, m.phases) for m in pack.members]
    assert sum(a != b for a, b in pairwise(runs)) == 3 * 11 - 1


def test_cost_grows_with_depth_epochs_and_genes():
    costs = [cost(MemberConfig(f"dense-{d}", (Phase((0.5,), 10),)), 943) for d in (2, 4, 6, 8)]
    assert costs == sorted(costs)
    two = MemberConfig("dense-2", (Phase((0.5,), 10),))
    assert cost(replace(two, phases=(Phase((0.1,), 10), Phase((0.2,), 10))), 943) == 2 * cost(
        two, 943
    )
    assert cost(two, 200) < cost(two, 943)


def test_all_genes_of_a_large_file_make_small_packs():
    """A dense-8 of 20,000 genes takes 165 MB with gradients and moments: 6 fit into 1 GiB."""
    eights = [m for m in PAPER if m.model == "dense-8" and m.seed == 0]
    planned = plan_packs(eights, 20_000, 1)
    assert max(len(pack.members) for pack in planned) == 6
    assert len(planned) == 6
    assert (
        max(len(pack.members) for pack in plan_packs(eights, 20_000, 1, size=11)) == 11
    )  # as asked for


def test_few_networks_per_seed_are_packed_with_those_of_other_seeds():
    """Five seeds of one setting are one pack; many of each seed are packs of their own."""
    seeds = [replace(PAPER[0], seed=seed) for seed in range(5)]
    assert [len(pack.members) for pack in plan_packs(seeds, 943, 1)] == [5]
    both = plan_packs(seeds, 943, 2)
    assert sum(len(pack.members) for pack in both) == 5
    assert all({m.seed for m in pack.members} == {0} for pack in plan_packs(FORTY_FOUR, 943, 1))


def test_seeds_with_other_numbers_of_batches_are_apart():
    """A split by groups has 511 or 513 training rows: 2 or 3 batches of 256."""
    members = [replace(PAPER[0], seed=seed, batch_size=256) for seed in range(6)]
    rows = {0: 511, 1: 513, 2: 512, 3: 600, 4: 768, 5: 769}
    for size in (None, 6):
        planned = plan_packs(members, 943, 1, size, rows=rows)
        assert sorted(sorted(m.seed for m in pack.members) for pack in planned) == [
            [0, 2],
            [1, 3, 4],
            [5],
        ]


@pytest.mark.parametrize(
    ("changes", "n_batches"),
    [
        ({}, 3),
        ({"train_fraction": 0.1}, 1),
        ({"train_fraction": 0.5}, 2),
        ({"layout": "stream"}, 4),
        ({"batch_size": 100}, 6),
    ],
)
def test_batches_are_those_of_the_training(changes, n_batches):
    one = replace(PAPER[0], **({"batch_size": 256} | changes))
    assert batches(one, 943, 520) == n_batches


def test_noise_sets_that_are_drawn_once_take_memory(monkeypatch):
    """A pack of 11 noise factors has 11 noisy training sets of each seed; fresh noise has none."""
    rows = {0: 2045, 1: 2045}
    one_set = 4 * 2045 * 943
    own = [m for m in PAPER if (m.model, m.seed, m.beta) == ("dense-2", 0, 0)]
    parameters = 16 * 62_383 * len(own)
    samples = one_set / 0.7
    assert pack_bytes(own, 943, rows) == pytest.approx(parameters + samples + 11 * one_set)
    betas = [replace(m, beta=beta) for m in own for beta in (0, 0.1)]
    assert pack_bytes(betas, 943, rows) == pytest.approx(2 * parameters + samples + 11 * one_set)
    two = [replace(m, seed=seed) for m in own for seed in (0, 1)]
    assert pack_bytes(two, 943, rows) == pytest.approx(2 * pack_bytes(own, 943, rows))
    fresh = [replace(m, noise_draws="fresh") for m in own]
    assert pack_bytes(fresh, 943, rows) == pytest.approx(parameters + samples)
    carried = [replace(own[0], phases=(Phase((0.1,), 1), Phase((0.5, 0.9), 1)))]
    expected = parameters / len(own) + samples + 2 * one_set  # those of one phase at a time
    assert pack_bytes(carried, 943, rows) == pytest.approx(expected)
    monkeypatch.setitem(PACK_BYTES, "cpu", parameters + samples + 3 * one_set)
    assert max(len(pack.members) for pack in plan_packs(own, 943, 1, rows=rows)) <= 3
