"""A user's own grid: `--grid my_grid.py:function`, a plain function that returns members.

# my_grid.py
from models.config import MemberConfig, Phase

def wide_codes(narrowing):
    return [MemberConfig(f"dense-{width}", (Phase((0.5,), 100),), seed) for width in ("64x64", "128x128")
            for seed in range(narrowing.seeds or 3)]
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from data_utils.errors import InputError
from models.config import MemberConfig


def own_grid(spec: str, narrowing) -> list[MemberConfig]:
    """The members that FILE.py:FUNCTION returns for the narrowing (study.grids.Narrowing) of the command line.

    The file is Python and is executed. Raises InputError where there is no such file or function, where it
    raises, or where it returns something else than members.
    """
    path, _, name = spec.rpartition(":")
    file = Path(os.path.expanduser(path))
    if not os.path.isfile(file):  # False, too, for a path that cannot even be asked for
        raise InputError(f"--grid {spec}: there is no file {file}: give FILE.py:FUNCTION")
    try:
        module_spec = importlib.util.spec_from_file_location(file.stem, file)
        module = importlib.util.module_from_spec(module_spec)
        sys.modules.setdefault(file.stem, module)  # its own dataclasses look themselves up there
        module_spec.loader.exec_module(module)
        function = getattr(module, name, None)
        if not callable(function):
            raise InputError(
                f"--grid {spec}: {file} has no function {name!r}: give FILE.py:FUNCTION"
            )
        members = list(function(narrowing))
    except InputError as error:
        raise (
            error if str(error).startswith("--grid ") else InputError(f"--grid {spec}: {error}")
        ) from None
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"--grid {spec}: {type(error).__name__}: {reason}: mend the file"
        ) from error
    if not all(isinstance(member, MemberConfig) for member in members):
        raise InputError(
            f"--grid {spec}: {name} must return MemberConfigs (models/config.py): mend the file"
        )
    return members
