"""Files that are whole or not there, and that tell when they were damaged: each array file holds its own checksum."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

T = TypeVar("T")

#: The one entry of an array file's header, and the checksum in it.
ENTRY, CHECKSUM = "json", "sha256"

#: What a storage says that may be back in a while: a mount, a network file system, a folder that somebody moved.
PASSING = {
    errno.ENOENT,
    errno.EIO,
    errno.ENXIO,
    errno.ENODEV,
    errno.ESTALE,
    errno.ENOTCONN,
    errno.EROFS,
}
PASSING |= {errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EREMOTEIO, errno.EAGAIN}
#: Seconds to wait for it.
PATIENCE_SECONDS = 60.0


class DamagedFile(ValueError):
    """A file whose content is not what was written."""


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """`write` fills a file of a temporary name, which is then renamed."""
    # Process ids are not enough: two hosts that share the folder have the same ones.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def patiently(act: Callable[[], T], give_up: Callable[[], bool] = lambda: False) -> T:
    """What `act` gives, tried again while the storage is away, for a minute or until `give_up`.

    Then its OSError is raised; at once where the disk is full, since that does not pass by itself.
    """
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return act()
        except OSError as error:
            if error.errno not in PASSING or give_up() or time.monotonic() > end:
                raise
        time.sleep(0.5)


def sha256(content: bytes) -> str:
    """Hex digits of the checksum."""
    return hashlib.sha256(content).hexdigest()


def save_arrays(path: Path, arrays: dict[str, np.ndarray], metadata: dict) -> None:
    """Arrays by name, and JSON-able metadata in the header, with the checksum of both."""
    # In C order: safetensors writes an array's memory as it lies, without a look at its strides.
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    # One entry: safetensors writes several in any order, and equal networks should be equal files.
    header = {ENTRY: json.dumps({**metadata, CHECKSUM: _checksum(arrays, metadata)})}
    write_atomically(path, lambda path: _save(arrays, path, header))


def _save(arrays: dict[str, np.ndarray], path: Path, header: dict[str, str]) -> None:
    """safetensors names an error of the system by its number alone, in a text."""
    try:
        save_file(arrays, path, header)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None


def load_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """What `save_arrays` wrote: the arrays and the metadata. Nothing in the file is executed.

    Raises OSError, SafetensorError or ValueError for a file that cannot be read, DamagedFile where the checksum does
    not match. A file of safetensors of an earlier version, without ENTRY and checksum, is read as it is.
    """
    with safe_open(path, framework="np") as file:
        arrays, metadata = {name: file.get_tensor(name) for name in file.keys()}, _metadata(file)  # noqa: SIM118
        own = ENTRY in (file.metadata() or {})
    expected = metadata.pop(CHECKSUM, None)
    if (own or expected is not None) and expected != _checksum(arrays, metadata):
        raise DamagedFile(f"{path}: its content does not match its checksum")
    return arrays, metadata


def load_metadata(path: Path) -> dict:
    """The metadata alone, unchecked; raises as `load_arrays` does."""
    with safe_open(path, framework="np") as file:
        return _metadata(file)


def _metadata(file: safe_open) -> dict:
    header = file.metadata() or {}
    found = (
        json.loads(header[ENTRY])
        if ENTRY in header
        else {name: json.loads(text) for name, text in header.items()}
    )
    if not isinstance(found, dict):
        raise DamagedFile("its header is no JSON object")
    return found


def _checksum(arrays: dict[str, np.ndarray], metadata: dict) -> str:
    digest = hashlib.sha256(json.dumps(metadata).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data if array.size else b"")
    return digest.hexdigest()
