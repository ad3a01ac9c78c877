"""Grids of the benchmarks' members: `--grid benchmarks/grids.py:cells --epochs 10`."""

from __future__ import annotations

from benchmarks import work
from models.config import MemberConfig
from study.grids import Narrowing

#: Epochs where the command line gives none.
EPOCHS = 10


def cells(narrowing: Narrowing) -> list[MemberConfig]:
    """The 44 dense cells: 4 depths x 11 noise factors, one seed."""
    return work.cells(narrowing.epochs or EPOCHS)


def few_cells(narrowing: Narrowing) -> list[MemberConfig]:
    """8 of the cells, 2 noise factors of each depth: for a quick look."""
    return [cell for cell in cells(narrowing) if cell.noise_factor in (0.1, 0.5)]


def deep_pack(narrowing: Narrowing) -> list[MemberConfig]:
    """44 networks of the largest depth."""
    return work.pack_of_44("dense-8", narrowing.epochs or EPOCHS)


#: By the name that the peers' command line gives.
GRIDS = {"cells": cells, "few_cells": few_cells}
#: The same in words.
NETWORKS = {"cells": "the 44 dense cells", "few_cells": "8 of the 44 dense cells"}
