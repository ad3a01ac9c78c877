"""Files and folders: atomic replacement, checks, checksums; and versions of packages."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import TypeVar

from data_utils.errors import InputError

T = TypeVar("T")

#: Errors of a storage that may come back: a mount, a network file system, a moved folder.
PASSING = {
    *(errno.ENOENT, errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.ENOTCONN),
    *(errno.EROFS, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EREMOTEIO),
    errno.EAGAIN,
}
#: Seconds to wait for a storage to come back.
PATIENCE_SECONDS = 60.0


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path that replaces `path` if the block ends without an exception.

    It is in the same folder and ends in the same name. A reader never sees half a file, and a
    writer that fails leaves the old one.
    """
    # Process ids are not enough: two hosts that share the folder may have the same ones.
    temporary = path.with_name(f".tmp.{secrets.token_hex(4)}.{path.name}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file completely, or leave the old one."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder that replaces `path` if the block ends without an exception.

    Parents are made. If anything fails, the old folder stays and the new one is removed.
    Raises InputError if the system refuses to write.
    """
    new, old = (
        path.with_name(f".{path.name}.{secrets.token_hex(4)}.{kind}") for kind in ("new", "old")
    )
    try:
        new.mkdir(parents=True)
        yield new
        if path.exists():
            path.rename(old)
        try:
            new.rename(path)
        except OSError:
            with suppress(OSError):
                old.rename(path)
            raise
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}): give another folder"
        ) from None
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)


def names_in(path: Path) -> set[str]:
    """Return the names in a folder, none if it does not exist. Raises InputError for a file."""
    # os.path, not Path.exists, which raises if the path cannot be read (too long, no rights)
    if os.path.lexists(path) and not os.path.isdir(path):
        raise InputError(f"{path}: is a file, not a folder: give another --out")
    return {entry.name for entry in path.iterdir()} if os.path.isdir(path) else set()


def check_writable(path: Path) -> None:
    """Raise InputError if a folder cannot be made or written."""
    parent = next(p for p in (path, *path.parents) if os.path.exists(p))
    if not (parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)):
        raise InputError(f"{path}: cannot be written (below {parent}): give another --out")


def check_folder(
    path: Path, kind: str, owns: Callable[[set[str]], bool], replace: str | None = None
) -> None:
    """Raise InputError unless a folder of this `kind` may be written at `path`.

    owns: decides by the names in a folder whether it is of this kind; no other is ever replaced.
    replace: the option that would allow replacing; None if it was given.
    """
    names = names_in(path)
    if os.path.islink(path):
        raise InputError(f"{path}: is a link, which is not replaced: give another --out")
    if names and not owns(names):
        raise InputError(
            f"{path}: holds files but no {kind}, so it is not replaced: give another --out"
        )
    if names and replace:
        raise InputError(f"{path}: exists already: give {replace} to replace it, or another --out")
    check_writable(path.parent)


def check_file(path: Path, force: bool = False) -> None:
    """Raise InputError unless a file may be written at `path`, with `force` over an old one."""
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist: make it first")
    if path.is_dir():
        raise InputError(f"{path}: is a folder: give the name of a file")
    if os.path.lexists(path) and not force:
        raise InputError(f"{path}: exists already: give --force to replace it, or another name")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"{path}: the folder {path.parent} cannot be written: give another one")


def patiently(act: Callable[[], T], give_up: Callable[[], bool] = lambda: False) -> T:
    """Call `act` and return its result, trying again while the storage is away.

    Its OSError is raised after a minute, or once `give_up` returns true; at once for errors that do
    not pass by themselves, such as a full disk.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return act()
        except OSError as error:
            if error.errno not in PASSING or give_up() or time.monotonic() > end:
                raise
        time.sleep(0.5)


def sha256(content: bytes | Path) -> str:
    """Return the checksum of bytes, or of a file, in hex digits."""
    if isinstance(content, Path):
        with content.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    return hashlib.sha256(content).hexdigest()


def package_versions(names: Iterable[str]) -> dict[str, str | None]:
    """Return the versions of packages, without importing them; None if not installed."""
    installed = {name: list(metadata.distributions(name=name)) for name in names}
    return {name: found[0].version if found else None for name, found in installed.items()}
