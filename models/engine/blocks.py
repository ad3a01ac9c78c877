"""Members of a pack that pass through the network together."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from models.config import MemberConfig
from models.engine.sparsity import Sparsity


@dataclass(frozen=True)
class Block:
    """Members of one seed that are computed together; those that share a schedule share one input."""

    members: slice
    shares_input: bool
    small_error: bool
    sparsity: Sparsity


def blocks_by_seed(
    members: tuple[MemberConfig, ...], small_error: list[bool], sparsity: Sparsity, largest: int
) -> list[tuple[int, list[Block]]]:
    """Neighbours of one seed, and alike in small_error, in blocks of at most `largest`.

    Neighbours with one schedule stay together; those that have a schedule alone share a block without an input.
    """
    result = []
    for seed, same_seed in groupby(range(len(members)), key=lambda k: members[k].seed):
        runs: list[tuple[list[int], bool]] = []  # members, and whether they share their input
        for _, alike in groupby(same_seed, key=lambda k: (members[k].phases, small_error[k])):
            run = list(alike)
            for start in range(0, len(run), largest):
                part = run[start : start + largest]
                joins = len(part) == 1 and runs and not runs[-1][1] and len(runs[-1][0]) < largest
                if joins and small_error[runs[-1][0][0]] == small_error[part[0]]:
                    runs[-1][0].extend(part)
                else:
                    runs.append((part, len(part) > 1))
        blocks = []
        for run, shares_input in runs:
            block = slice(run[0], run[-1] + 1)
            blocks.append(Block(block, shares_input, small_error[run[0]], sparsity.members(block)))
        result.append((seed, blocks))
    return result
