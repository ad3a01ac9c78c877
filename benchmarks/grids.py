"""Grids of the benchmarks' members: `--grid benchmarks/grids.py:cells --epochs 10`."""

from __future__ import annotations

from benchmarks import work
from models.config import MemberConfig
from study.grids import Narrowing

#: Epochs if the command line gives none.
EPOCHS = 10


def cells(narrowing: Narrowing) -> list[MemberConfig]:
    """Return the 44 dense cells: 4 depths x 11 noise factors, one seed."""
    return work.cells(narrowing.epochs or EPOCHS)


def few_cells(narrowing: Narrowing) -> list[MemberConfig]:
    """Return 8 of the cells, 2 noise factors of each depth, for --quick."""
    return [cell for cell in cells(narrowing) if cell.noise_factor in (0.1, 0.5)]


def deep_pack(narrowing: Narrowing) -> list[MemberConfig]:
    """Return 44 networks of the largest depth."""
    return work.pack_of_44("dense-8", narrowing.epochs or EPOCHS)


#: Grids by their names on the peers' command line.
GRIDS = {"cells": cells, "few_cells": few_cells}
#: Descriptions of the grids by name.
NETWORKS = {"cells": "the 44 dense cells", "few_cells": "8 of the 44 dense cells"}
