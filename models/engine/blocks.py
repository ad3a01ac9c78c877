"""Members of a pack that pass through the network together, and the stack that holds them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from models.architecture import ConvArchitecture, Network
from models.config import MemberConfig
from models.engine.conv import ConvStack
from models.engine.dense import DenseStack
from models.engine.sparsity import Sparsity
from models.engine.stack import Stack


def stack_class(network: Network) -> type[Stack]:
    """Return the class that holds networks of this architecture."""
    return ConvStack if isinstance(network, ConvArchitecture) else DenseStack


@dataclass(frozen=True)
class Block:
    """Members of one seed that are computed together; those of one schedule share one input."""

    members: slice
    shares_input: bool
    sparsity: Sparsity


def blocks_by_seed(
    members: tuple[MemberConfig, ...], sparsity: Sparsity, largest: int
) -> list[tuple[int, list[Block]]]:
    """Return neighbours of one seed in blocks of at most `largest`.

    Neighbours with one schedule stay together; those that have a schedule alone share a block
    without an input.
    """
    result = []
    for seed, same_seed in groupby(range(len(members)), key=lambda k: members[k].seed):
        runs: list[tuple[list[int], bool]] = []  # members, and whether they share their input
        for _, alike in groupby(same_seed, key=lambda k: members[k].phases):
            run = list(alike)
            for start in range(0, len(run), largest):
                part = run[start : start + largest]
                joins = len(part) == 1 and runs and not runs[-1][1] and len(runs[-1][0]) < largest
                if joins:
                    runs[-1][0].extend(part)
                else:
                    runs.append((part, len(part) > 1))
        blocks = []
        for run, shares_input in runs:
            block = slice(run[0], run[-1] + 1)
            blocks.append(Block(block, shares_input, sparsity.members(block)))
        result.append((seed, blocks))
    return result
