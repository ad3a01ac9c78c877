"""One process at a time on a run folder."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from data_utils.errors import InputError


@contextmanager
def held(path: Path) -> Iterator[Callable[[], None]]:
    """Makes the folder where it is not there and holds it for this process; yields what undoes the making.

    Raises InputError where it cannot be written or another process holds it.
    """
    created = [folder for folder in (path, *path.parents) if not os.path.exists(folder)]

    def undo() -> None:
        if created:
            shutil.rmtree(path, ignore_errors=True)
        for parent in created[1:]:
            with suppress(OSError):  # somebody else uses it by now
                parent.rmdir()

    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = open(path / ".lock", "a")  # noqa: SIM115  (held until the end)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}): give another --out"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(
                f"{path}: another run is using this folder: give another --out"
            ) from None
        yield undo
