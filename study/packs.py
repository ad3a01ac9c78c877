"""Members -> packs: networks of one architecture and schedule shape that are trained as one stack."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from itertools import groupby, pairwise

from models.architecture import n_parameters
from study.config import MemberConfig
from study.variants import data_key

#: Measured on a CPU: beyond 44 members a stack gains nothing more.
LARGEST_CPU_PACK = 44
#: Packs per worker at the least, so that none is idle for long at the end.
PACKS_PER_WORKER = 4
#: Bytes of weights, gradients and moments that the packs of one worker may take.
CPU_PACK_BYTES = 1 << 30
GPU_PACK_BYTES = 4 << 30


@dataclass(frozen=True)
class Pack:
    """Members to train as one stack."""

    members: tuple[MemberConfig, ...]

    @property
    def pack_id(self) -> str:
        """Names the pack by its members, so the same members find their checkpoint again."""
        ids = "".join(member.member_id for member in self.members)
        return hashlib.sha256(ids.encode()).hexdigest()[:12]


def stack_key(member: MemberConfig) -> tuple:
    """Members with the same key can share a pack; noise factors, beta, rho, seed and learning rate may differ."""
    shape = tuple((phase.epochs, len(phase.noise_factors)) for phase in member.phases)
    network = repr(member.architecture)
    return (network, member.optimizer, member.loss, member.batch_size, shape, *data_key(member))


def cost(member: MemberConfig, n_genes: int) -> float:
    """Training work of a member in equivalent FLOPs a training row."""
    return float(member.architecture.flops_per_sample(n_genes)) * member.epochs * member.train_fraction


def pack_order(member: MemberConfig) -> tuple:
    """Within a pack: by seed, then schedule, so that members which share an input are neighbours."""
    return (member.seed, str(member.phases), member.beta, member.member_id)


def plan_packs(
    members: list[MemberConfig],
    n_genes: int,
    workers: int,
    size: int | None = None,
    pack_bytes: int = CPU_PACK_BYTES,
) -> list[Pack]:
    """Packs for this many workers, the longest first.

    `size` sets the number of members; None chooses it: no pack takes more than a fraction of one worker's
    share of the work, none more than `pack_bytes` of memory, and packs of one stack are of like size.
    """
    largest_cost = sum(cost(member, n_genes) for member in members) / (workers * PACKS_PER_WORKER)
    packs: list[Pack] = []
    ordered = sorted(members, key=lambda member: (str(stack_key(member)), *pack_order(member)))
    for _, group in groupby(ordered, key=lambda member: (stack_key(member), member.seed if size is None else 0)):
        same = list(group)
        limit = size if size is not None else _automatic_size(same[0], n_genes, largest_cost, pack_bytes)
        n_packs = math.ceil(len(same) / limit)
        edges = [round(i * len(same) / n_packs) for i in range(n_packs + 1)]
        packs += [Pack(tuple(same[a:b])) for a, b in pairwise(edges)]
    return sorted(packs, key=lambda pack: -sum(cost(member, n_genes) for member in pack.members))


def _automatic_size(member: MemberConfig, n_genes: int, largest_cost: float, pack_bytes: int) -> int:
    by_work = int(largest_cost / cost(member, n_genes))
    by_memory = pack_bytes // (4 * 4 * n_parameters(member.architecture, n_genes))  # values, gradients, two moments
    return max(1, min(by_work, by_memory, LARGEST_CPU_PACK))
