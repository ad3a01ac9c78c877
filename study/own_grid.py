"""A user's own grid: `--grid my_grid.py:wide_codes`, a function in a file that returns networks.

# my_grid.py
from models.config import MemberConfig, Phase

def wide_codes(narrowing):
    return [
        MemberConfig(f"dense-{width}", (Phase((0.5,), 100),), seed)
        for width in ("64x64", "128x128")
        for seed in range(narrowing.seeds or 3)
    ]
"""

from __future__ import annotations

import os
import runpy
from pathlib import Path

from data_utils.errors import InputError
from models.config import MemberConfig
from study.options import Narrowing


def own_grid(spec: str, narrowing: Narrowing) -> list[MemberConfig]:
    """Execute a user's Python file and return the networks that its function asks for.

    `spec` is FILE.py:FUNCTION. Raises InputError if the file or the function is missing or fails,
    or if it returns something other than MemberConfigs.
    """
    path, _, name = spec.rpartition(":")
    file = Path(os.path.expanduser(path))
    if not os.path.isfile(file):  # False, too, for a path that is impossible
        raise InputError(f"--grid {spec}: no file {file}: give FILE.py:FUNCTION")
    try:
        function = runpy.run_path(str(file)).get(name)
        members = list(function(narrowing)) if callable(function) else None
    except InputError as error:
        raise InputError(f"--grid {spec}: {str(error).removeprefix('--grid ')}") from None
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"--grid {spec}: {type(error).__name__}: {reason}: fix it") from error
    if members is None:
        raise InputError(f"--grid {spec}: no function {name!r} in {file}: give FILE.py:FUNCTION")
    if not all(isinstance(member, MemberConfig) for member in members):
        raise InputError(f"--grid {spec}: {name} must return MemberConfigs (models/config.py)")
    return members
