"""The user's cache folder: its place, a lock for each part of it, and tables with checksums."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from data_utils.errors import InputError
from data_utils.files import sha256, write_bytes

#: Environment variable that moves the cache.
VARIABLE = "DAE_STUDY_CACHE"
MOVE = f"move the cache with the environment variable {VARIABLE}"
TABLE, RECORD = "expression.parquet", "source.json"


@dataclass(frozen=True)
class Cached:
    """A table in the cache with its record: where its data came from, and when."""

    path: Path
    record: dict


def cache_folder() -> Path:
    """Return DAE_STUDY_CACHE, or else dae-study in the platform's folder for caches."""
    own = os.environ.get(VARIABLE)
    if own:
        return Path(os.path.expanduser(own)).absolute()
    if sys.platform == "darwin":
        usual = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        usual = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return usual / "dae-study"


def load_cached(folder: Path) -> Cached | None:
    """Load the table in a folder of the cache; None if it is missing or damaged."""
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
        sound = sha256(folder / TABLE) == record["table_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Cached(folder / TABLE, record) if sound else None


def store(folder: Path, record: dict, write: Callable[[Path], None]) -> Cached:
    """Let `write` fill the folder's table, and record its checksum.

    A reader between the two writes finds a table that does not match its record: as good as none.
    """
    table = folder / TABLE
    write(table)
    record = {**record, "table_sha256": sha256(table), "table_size": table.stat().st_size}
    write_bytes(folder / RECORD, (json.dumps(record, indent=1) + "\n").encode())
    return Cached(table, record)


@contextmanager
def alone(folder: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Make the folder and lock it; call `waiting` once if another process has it, and wait.

    Raises InputError if it cannot be written.
    """
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(Timeout):
            lock.acquire(blocking=False)
        if not lock.is_locked:
            waiting()
            lock.acquire()
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}): {MOVE}") from None
    try:
        yield
    finally:
        lock.release()
