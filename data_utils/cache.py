"""The user's cache folder: where it is, one process at a time in a part of it, and tables that tell when damaged."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from data_utils.errors import InputError

#: Environment variable that moves the cache.
VARIABLE = "DAE_STUDY_CACHE"
MOVE = f"move the cache with the environment variable {VARIABLE}"
TABLE, RECORD = "expression.parquet", "source.json"


@dataclass(frozen=True)
class Cached:
    """A table in the cache, and what is recorded of it: where its data came from, and when."""

    path: Path
    record: dict


def cache_folder() -> Path:
    """DAE_STUDY_CACHE, else dae-study in the platform's folder for caches."""
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


def file_sha256(path: Path) -> str:
    """sha256 (hex) of a file as it lies there."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load_cached(folder: Path) -> Cached | None:
    """The table in a folder of the cache; None where there is none, or it is not as it was written."""
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
        sound = file_sha256(folder / TABLE) == record["table_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Cached(folder / TABLE, record) if sound else None


def store(folder: Path, record: dict, write: Callable[[Path], None]) -> Cached:
    """Let `write` fill the folder's table, record it and return it. A reader sees the old two or the new two.

    Whoever reads between the two writes finds a table that does not match its record, which is as good as none.
    """
    table, temporary = folder / TABLE, folder / f".{RECORD}.tmp"
    write(table)
    record = {**record, "table_sha256": file_sha256(table), "table_size": table.stat().st_size}
    temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, folder / RECORD)
    return Cached(table, record)


@contextmanager
def alone(folder: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Makes the folder and holds it for this process; calls `waiting` where another one holds it, and waits.

    Raises InputError where it cannot be written.
    """
    import fcntl  # not on Windows, where all else here works

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / ".lock", "a")  # noqa: SIM115  (held until the end)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}): {MOVE}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
