"""What GCTX and h5ad have in common: HDF5, which reads zeros where nothing was ever written."""

import math
from pathlib import Path

import h5py
import numpy as np

from data_utils.errors import InputError

#: Rows and columns of a chunk that is written.
CHUNK = 256


def check_written(path: Path, item: h5py.Group | h5py.Dataset) -> None:
    """Raise InputError where a dataset of `item` is declared but not, or not all, in the file.

    HDF5 would give zeros for it; and as much memory as it declares, be the file ever so small.
    """

    def check(_, found: h5py.Group | h5py.Dataset) -> None:
        if not isinstance(found, h5py.Dataset) or not found.size:
            return
        if found.chunks is None:
            whole = found.id.get_storage_size() > 0
        else:
            counts = (
                math.ceil(size / step) for size, step in zip(found.shape, found.chunks, strict=True)
            )
            whole = found.id.get_num_chunks() == math.prod(counts)
        if not whole:
            raise InputError(
                f"{path}: not all of {found.name!r} is there; the file is cut short, get it again"
            )

    check("", item)
    if isinstance(item, h5py.Group):
        item.visititems(check)


def check_numbers(path: Path, name: str, dtype: object) -> None:
    """Raise InputError unless `dtype` is one of real numbers: numpy would read numbers from text, or half a complex."""
    if getattr(dtype, "kind", None) not in ("f", "i", "u", "b"):
        raise InputError(f"{path}: {name} are of type {dtype}; they must be numbers")


def append_rows(file: h5py.File, name: str, values: np.ndarray) -> h5py.Dataset:
    """Add rows (samples, genes) to a dataset of the file, which the first of them make, in gzipped chunks."""
    if name not in file:
        if not values.size:
            return file.create_dataset(name, data=values)
        chunks = tuple(min(CHUNK, side) for side in values.shape)
        limits = (None, values.shape[1])
        return file.create_dataset(
            name, data=values, chunks=chunks, maxshape=limits, compression="gzip"
        )
    dataset = file[name]
    dataset.resize(len(dataset) + len(values), axis=0)
    dataset[-len(values) :] = values
    return dataset
