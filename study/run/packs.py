"""Packs: members of one architecture and schedule shape that are trained as one stack."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, pairwise

from data_utils.preparation import IMAGE_PIXELS, TEST_SHARE, VALIDATION_SHARE
from models.architecture import n_parameters
from models.config import EVALUATION_ROWS, MemberConfig

#: Members beyond which a larger stack is no faster per member, measured on a CPU.
LARGEST_CPU_PACK = 44
#: Numbers of packs per worker that are tried: few packs are long, many have more overhead.
PACKS_PER_WORKER = (2, 2.5, 3, 3.5, 4, 5, 6, 7, 8)
#: Overhead per epoch, in FLOPs per gene and training row, of a pack, of each of its seeds (which
#: have their own rows) and of a seed's draws if noise is fresh. Dense-2 itself takes 400.
PACK_COST = 70.0
SEED_COST = 300.0
FRESH_COST = 950.0
#: Bytes that a pack may take, by device.
PACK_BYTES = {"cpu": 1 << 30, "cuda": 4 << 30}


@dataclass(frozen=True)
class Pack:
    """Members to train as one stack."""

    members: tuple[MemberConfig, ...]

    @property
    def pack_id(self) -> str:
        """Name the pack by its members, so that the same members find their checkpoint again."""
        return pack_id(member.member_id for member in self.members)


def pack_id(member_ids: Iterable[str]) -> str:
    """Name the pack of these members, in this order."""
    return hashlib.sha256("".join(member_ids).encode()).hexdigest()[:12]


def data_key(member: MemberConfig) -> tuple:
    """Return the settings that decide what data members of a seed see (models/member_data.py)."""
    return (member.scaling, member.layout, member.gene_order, member.train_fraction)


def stack_key(member: MemberConfig) -> tuple:
    """Return the settings that must agree for members to share a pack.

    Noise factors, beta, rho, seed, learning rate and its schedule may differ.
    """
    shape = tuple((phase.epochs, len(phase.noise_factors)) for phase in member.phases)
    kind = (repr(member.architecture), member.optimizer, member.loss, member.batch_size)
    return (*kind, member.noise_draws, shape, *data_key(member))


def cost(member: MemberConfig, n_genes: int) -> float:
    """Estimate the training work of a member in equivalent FLOPs per training row."""
    flops = float(member.architecture.flops_per_sample(n_genes))
    return flops * member.epochs * member.train_fraction


def pack_order(member: MemberConfig) -> tuple:
    """Return a sort key by seed and schedule, which puts members that share an input together."""
    return (member.seed, str(member.phases), member.beta, member.member_id)


def pack_cost(members: Sequence[MemberConfig], n_genes: int) -> float:
    """Estimate the training work of a pack: member cost plus overhead of the pack and its seeds."""
    first = members[0]
    n_seeds = len({member.seed for member in members})
    per_seed = SEED_COST + FRESH_COST * (first.noise_draws == "fresh")
    overhead = PACK_COST + per_seed * n_seeds
    own = overhead * n_genes * first.epochs * first.train_fraction
    return own + sum(cost(member, n_genes) for member in members)


def pack_bytes(
    members: Sequence[MemberConfig], n_genes: int, rows: Mapping[int, int], device: str = "cpu"
) -> float:
    """Estimate a pack's memory in bytes: parameters, each seed's samples and noisy training sets.

    `rows` are the training rows by seed.
    """
    network = members[0].architecture
    numbers = 4.0 * n_parameters(network, n_genes)  # float32 values, gradients and two moments
    if device != "cpu":  # all members pass at once: input, layers and output of each
        numbers += EVALUATION_ROWS * (2 * n_genes + sum(getattr(network, "hidden", ())))
    total = numbers * len(members)
    for seed, same_seed in groupby(sorted(members, key=lambda m: m.seed), key=lambda m: m.seed):
        phases = zip(*(member.phases for member in same_seed), strict=True)
        drawn = [len({a for its in phase for a in its.noise_factors}) for phase in phases]
        n_sets = max(drawn) if members[0].noise_draws == "once" else 0
        total += (1 / (1 - TEST_SHARE - VALIDATION_SHARE) + n_sets) * n_genes * rows.get(seed, 0)
    return 4 * total


def plan_packs(
    members: list[MemberConfig],
    n_genes: int,
    workers: int,
    size: int | None = None,
    device: str = "cpu",
    rows: Mapping[int, int] | None = None,
) -> list[Pack]:
    """Plan packs for this many workers, the longest first.

    `size` sets the largest number of members per pack. By default, a pack takes at most the
    device's PACK_BYTES of memory and on a CPU has at most LARGEST_CPU_PACK members; among several
    plans, with one seed per pack and with several, the one that all workers complete soonest is
    returned. All seeds of a pack have equally many batches; `rows` are the training rows by seed.
    """
    known = rows or {}
    if size is not None:
        return _cut(members, n_genes, known, size, lambda pack: True, one_seed=False)
    share = sum(cost(member, n_genes) for member in members) / workers
    limits = [share / n_packs for n_packs in PACKS_PER_WORKER] + [math.inf] * (workers == 1)

    largest = LARGEST_CPU_PACK if device == "cpu" else len(members)

    def fits(pack: Sequence[MemberConfig], most: float) -> bool:
        quick = sum(cost(member, n_genes) for member in pack) <= most
        return quick and pack_bytes(pack, n_genes, known, device) <= PACK_BYTES[device]

    plans = [
        _cut(members, n_genes, known, largest, partial(fits, most=most), one_seed)
        for one_seed in (True, False)
        for most in limits
    ]
    return min(plans, key=lambda packs: time_of(packs, n_genes, workers))


def time_of(packs: list[Pack], n_genes: int, workers: int) -> float:
    """Estimate the work until the last worker ends, if a free worker takes the next pack."""
    busy = [0.0] * workers
    for pack in packs:
        heapq.heapreplace(busy, busy[0] + pack_cost(pack.members, n_genes))
    return max(busy)


def batches(member: MemberConfig, n_genes: int, rows: int) -> int:
    """Return the number of batches in an epoch of `rows` training samples (models/training.py)."""
    if member.layout == "stream":
        rows = math.ceil(rows * n_genes / IMAGE_PIXELS)
    if member.train_fraction < 1:
        rows = max(1, round(member.train_fraction * rows))
    return math.ceil(rows / member.batch_size)


def _cut(
    members: list[MemberConfig],
    n_genes: int,
    rows: Mapping[int, int],
    largest: int,
    fits: Callable[[Sequence[MemberConfig]], bool],
    one_seed: bool,
) -> list[Pack]:
    """Cut members that can share a pack into as few packs of at most `largest` as fit.

    With `one_seed` a pack has one seed only. Returns the packs, the longest first.
    """

    def key(member: MemberConfig) -> tuple:
        n_batches = batches(member, n_genes, rows.get(member.seed, 0))
        return str(stack_key(member)), n_batches, member.seed if one_seed else 0

    packs: list[Pack] = []
    keys = {member.member_id: key(member) for member in members}
    ordered = sorted(members, key=lambda member: (*keys[member.member_id], *pack_order(member)))
    for _, group in groupby(ordered, key=lambda member: keys[member.member_id]):
        same = tuple(group)
        n_packs = math.ceil(len(same) / largest)
        while not all(map(fits, cut := _evenly(same, n_packs))) and n_packs < len(same):
            n_packs = min(len(same), n_packs + max(1, n_packs // 8))
        packs += map(Pack, cut)
    return sorted(packs, key=lambda pack: -sum(cost(member, n_genes) for member in pack.members))


def _evenly(members: tuple[MemberConfig, ...], n_packs: int) -> list[tuple[MemberConfig, ...]]:
    edges = [round(i * len(members) / n_packs) for i in range(n_packs + 1)]
    return [members[a:b] for a, b in pairwise(edges)]
