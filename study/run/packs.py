"""Members -> packs: networks of one architecture and schedule shape that are trained as one stack."""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from models.architecture import n_parameters
from models.config import EVALUATION_ROWS, MemberConfig

#: Measured on a CPU: beyond 44 members a stack gains nothing more.
LARGEST_CPU_PACK = 44
#: Packs that a worker's share of the work is cut into: few are long, many cost more, so several numbers are tried.
PACKS_PER_WORKER = (2, 2.5, 3, 3.5, 4, 5, 6, 7, 8)
#: What an epoch of a pack costs beside its members, in FLOPs a gene and training row: measured, 4 members of dense-2.
PACK_COST = 1300.0
#: Bytes that a pack may take (see `member_bytes`).
CPU_PACK_BYTES = 1 << 30
GPU_PACK_BYTES = 4 << 30


@dataclass(frozen=True)
class Pack:
    """Members to train as one stack."""

    members: tuple[MemberConfig, ...]

    @property
    def pack_id(self) -> str:
        """Names the pack by its members, so the same members find their checkpoint again."""
        return pack_id(member.member_id for member in self.members)


def pack_id(member_ids: Iterable[str]) -> str:
    """The name of the pack of these members, in this order."""
    return hashlib.sha256("".join(member_ids).encode()).hexdigest()[:12]


def data_key(member: MemberConfig) -> tuple:
    """Members with the same key see the same data (models/variants.py)."""
    seeded = member.gene_order in ("random", "shuffled") or member.train_fraction < 1
    return (
        member.scaling,
        member.layout,
        member.gene_order,
        member.train_fraction,
        member.seed if seeded else None,
    )


def stack_key(member: MemberConfig) -> tuple:
    """Members with the same key can share a pack; noise factors, beta, rho, seed and learning rate may differ."""
    shape = tuple((phase.epochs, len(phase.noise_factors)) for phase in member.phases)
    network = repr(member.architecture)
    return (network, member.optimizer, member.loss, member.batch_size, shape, *data_key(member))


def cost(member: MemberConfig, n_genes: int) -> float:
    """Training work of a member in equivalent FLOPs a training row."""
    return (
        float(member.architecture.flops_per_sample(n_genes)) * member.epochs * member.train_fraction
    )


def pack_order(member: MemberConfig) -> tuple:
    """Within a pack: by seed, then schedule, so that members which share an input are neighbours."""
    return (member.seed, str(member.phases), member.beta, member.member_id)


def pack_cost(members: Sequence[MemberConfig], n_genes: int) -> float:
    """Training work of a pack: its members' and its own, which makes a small pack dear."""
    first = members[0]
    own = PACK_COST * n_genes * first.epochs * first.train_fraction
    return own + sum(cost(member, n_genes) for member in members)


def plan_packs(
    members: list[MemberConfig],
    n_genes: int,
    workers: int,
    size: int | None = None,
    device: str = "cpu",
    pack_bytes: int | None = None,
) -> list[Pack]:
    """Packs for this many workers, the longest first.

    `size` sets the number of members; None chooses it: of packs of one seed, of at most `pack_bytes` of memory (None:
    the device's), on a CPU of at most LARGEST_CPU_PACK members, and of like size for one stack, those with which all
    workers are done soonest.
    """
    if pack_bytes is None:
        pack_bytes = CPU_PACK_BYTES if device == "cpu" else GPU_PACK_BYTES

    def largest(same: list[MemberConfig], most: float = math.inf) -> int:
        return _largest(same[0], n_genes, most, device, pack_bytes)

    if size is not None:
        return _cut(members, n_genes, lambda same: size, one_seed=False)
    share = sum(cost(member, n_genes) for member in members) / workers
    plans = [
        _cut(members, n_genes, lambda same, most=most: largest(same, most))
        for most in (share / n_packs for n_packs in PACKS_PER_WORKER)
    ]
    if workers == 1:
        plans.append(_cut(members, n_genes, largest))
    return min(plans, key=lambda packs: time_of(packs, n_genes, workers))


def time_of(packs: list[Pack], n_genes: int, workers: int) -> float:
    """Work until the last worker is done, when each takes the next pack as soon as it is free."""
    busy = [0.0] * workers
    for pack in packs:
        heapq.heapreplace(busy, busy[0] + pack_cost(pack.members, n_genes))
    return max(busy)


def _cut(
    members: list[MemberConfig],
    n_genes: int,
    limit: Callable[[list[MemberConfig]], int],
    one_seed: bool = True,
) -> list[Pack]:
    """The members of each stack (and seed) in as few packs of at most `limit` as possible, the longest pack first."""
    packs: list[Pack] = []
    ordered = sorted(members, key=lambda member: (str(stack_key(member)), *pack_order(member)))
    for _, group in groupby(
        ordered, key=lambda member: (stack_key(member), member.seed if one_seed else 0)
    ):
        same = list(group)
        n_packs = math.ceil(len(same) / limit(same))
        edges = [round(i * len(same) / n_packs) for i in range(n_packs + 1)]
        packs += [Pack(tuple(same[a:b])) for a, b in pairwise(edges)]
    return sorted(packs, key=lambda pack: -sum(cost(member, n_genes) for member in pack.members))


def member_bytes(member: MemberConfig, n_genes: int, device: str) -> int:
    """Memory that a member adds to its pack: float32 values, gradients and two moments.

    On a GPU all members pass through the network together (on a CPU a few), so there each also adds the input, the
    layers and the answer of EVALUATION_ROWS rows.
    """
    network = member.architecture
    numbers = 4 * n_parameters(network, n_genes)
    if device != "cpu":
        numbers += EVALUATION_ROWS * (2 * n_genes + sum(getattr(network, "hidden", ())))
    return 4 * numbers


def _largest(member: MemberConfig, n_genes: int, most: float, device: str, pack_bytes: int) -> int:
    """Members of this kind that together have at most `most` work and take at most `pack_bytes`; at least 1."""
    by_work = most / cost(member, n_genes)
    by_stack = LARGEST_CPU_PACK if device == "cpu" else math.inf
    return max(1, int(min(by_work, by_stack, pack_bytes // member_bytes(member, n_genes, device))))
