"""Packs: members of one architecture and schedule shape that are trained as one stack."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, pairwise

from models.architecture import n_parameters
from models.config import EVALUATION_ROWS, MemberConfig

#: Measured on a CPU: beyond 44 members a stack gains nothing more.
LARGEST_CPU_PACK = 44
#: Into how many packs a worker's share is cut: few are long, many cost more, so all are tried.
PACKS_PER_WORKER = (2, 2.5, 3, 3.5, 4, 5, 6, 7, 8)
#: Overhead of a pack per epoch, in FLOPs per gene and training row: that of 4 members of dense-2.
PACK_COST = 1300.0
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
    """Return what members that see the same data have in common (models/training.py)."""
    seeded = member.gene_order in ("random", "shuffled") or member.train_fraction < 1
    return (
        member.scaling,
        member.layout,
        member.gene_order,
        member.train_fraction,
        member.seed if seeded else None,
    )


def stack_key(member: MemberConfig) -> tuple:
    """Return what members that can share a pack have in common.

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
    """Order members by seed, then schedule, so that those that share an input are neighbours."""
    return (member.seed, str(member.phases), member.beta, member.member_id)


def pack_cost(members: Sequence[MemberConfig], n_genes: int) -> float:
    """Estimate the training work of a pack: that of its members plus a fixed overhead."""
    first = members[0]
    own = PACK_COST * n_genes * first.epochs * first.train_fraction
    return own + sum(cost(member, n_genes) for member in members)


def plan_packs(
    members: list[MemberConfig],
    n_genes: int,
    workers: int,
    size: int | None = None,
    device: str = "cpu",
) -> list[Pack]:
    """Plan packs for this many workers, the longest first.

    `size` sets the number of members per pack. By default, a pack has one seed, takes at most the
    device's PACK_BYTES of memory and on a CPU has at most LARGEST_CPU_PACK members; of several
    plans, that which all workers complete soonest is taken.
    """
    if size is not None:
        return _cut(members, n_genes, lambda member: size, one_seed=False)
    share = sum(cost(member, n_genes) for member in members) / workers
    limits = [share / n_packs for n_packs in PACKS_PER_WORKER] + [math.inf] * (workers == 1)
    plans = [
        _cut(members, n_genes, partial(_largest, n_genes=n_genes, most=most, device=device))
        for most in limits
    ]
    return min(plans, key=lambda packs: time_of(packs, n_genes, workers))


def time_of(packs: list[Pack], n_genes: int, workers: int) -> float:
    """Estimate the work until the last worker is done; each takes the next pack once it is free."""
    busy = [0.0] * workers
    for pack in packs:
        heapq.heapreplace(busy, busy[0] + pack_cost(pack.members, n_genes))
    return max(busy)


def _cut(
    members: list[MemberConfig],
    n_genes: int,
    limit: Callable[[MemberConfig], int],
    one_seed: bool = True,
) -> list[Pack]:
    """Cut the members of each stack (and seed) into as few packs of at most `limit` as possible."""
    packs: list[Pack] = []
    ordered = sorted(members, key=lambda member: (str(stack_key(member)), *pack_order(member)))
    for _, group in groupby(ordered, key=lambda m: (stack_key(m), m.seed if one_seed else 0)):
        same = list(group)
        n_packs = math.ceil(len(same) / limit(same[0]))
        edges = [round(i * len(same) / n_packs) for i in range(n_packs + 1)]
        packs += [Pack(tuple(same[a:b])) for a, b in pairwise(edges)]
    return sorted(packs, key=lambda pack: -sum(cost(member, n_genes) for member in pack.members))


def _largest(member: MemberConfig, n_genes: int, most: float, device: str) -> int:
    """Return how many such members have at most `most` work and fit into memory; at least 1."""
    network = member.architecture
    numbers = 4 * n_parameters(network, n_genes)  # float32 values, gradients and two moments
    by_stack: float = LARGEST_CPU_PACK
    if device != "cpu":  # there all members pass at once: input, layers and answer of each
        by_stack = math.inf
        numbers += EVALUATION_ROWS * (2 * n_genes + sum(getattr(network, "hidden", ())))
    by_work = most / cost(member, n_genes)
    return max(1, int(min(by_work, by_stack, PACK_BYTES[device] // (4 * numbers))))
