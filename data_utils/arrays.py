"""Files of arrays that hold their own checksum and so detect damage."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from data_utils.files import replacing

#: The one entry of an array file's header, and the checksum in it.
ENTRY, CHECKSUM = "json", "sha256"


class DamagedFile(ValueError):
    """Raised for a file whose content is damaged."""


def save_arrays(path: Path, arrays: dict[str, np.ndarray], metadata: dict) -> None:
    """Write arrays by name, and JSON-able metadata in the header with a checksum of both."""
    # In C order: safetensors writes an array's memory as it is and ignores its strides.
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    # One entry: safetensors writes several in any order, and equal networks should be equal files.
    header = {ENTRY: json.dumps({**metadata, CHECKSUM: _checksum(arrays, metadata)})}
    with replacing(path) as temporary:
        _save(arrays, temporary, header)


def _save(arrays: dict[str, np.ndarray], path: Path, header: dict[str, str]) -> None:
    """Save, and raise OSError for a system error, which safetensors reports only as text."""
    try:
        save_file(arrays, path, header)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None


def load_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """Read the arrays and the metadata that `save_arrays` wrote; nothing in the file is executed.

    Raises OSError, SafetensorError or ValueError for a file that cannot be read, and DamagedFile
    if the checksum does not match.
    """
    with safe_open(path, framework="np") as file:
        names, metadata = file.keys(), _metadata(file)
        arrays = {name: file.get_tensor(name) for name in names}
    if metadata.pop(CHECKSUM, None) != _checksum(arrays, metadata):
        raise DamagedFile(f"{path}: its content does not match its checksum")
    return arrays, metadata


def load_metadata(path: Path) -> dict:
    """Read only the metadata, without checking the checksum; raises as `load_arrays` does."""
    with safe_open(path, framework="np") as file:
        return _metadata(file)


def _metadata(file: safe_open) -> dict:
    found = json.loads((file.metadata() or {}).get(ENTRY, "null"))
    if not isinstance(found, dict):
        raise DamagedFile("its header is not a JSON object")
    return found


def _checksum(arrays: dict[str, np.ndarray], metadata: dict) -> str:
    digest = hashlib.sha256(json.dumps(metadata).encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data if array.size else b"")
    return digest.hexdigest()
