"""What GCTX and h5ad have in common: HDF5, which reads zeros where nothing was ever written."""

import math
import mmap
import struct
from pathlib import Path

import h5py
import numpy as np

from data_utils.errors import InputError

#: A global heap begins so: signature, version 1, three bytes of nothing.
HEAP = b"GCOL\x01\0\0\0"
#: Rows and columns of a chunk that is written.
CHUNK = 256


def check_heaps(path: Path, file: h5py.File) -> None:
    """Raise InputError where a global heap, which holds texts, has an object without a size.

    HDF5 2.0 goes from object to object by their sizes, so it would never come to an end.
    """
    if file.id.get_create_plist().get_sizes() != (8, 8):
        return  # other widths than all files of today have
    with (
        path.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        start = content.find(HEAP)
        while start >= 0:
            end = min(
                start + int.from_bytes(content[start + 8 : start + 16], "little"), len(content)
            )
            place = start + 16
            while place + 16 <= end:
                index, size = struct.unpack_from("<H6xQ", content, place)
                step = 16 + (size + 7) // 8 * 8 if index else size
                if step == 0:
                    raise InputError(
                        f"{path}: its texts are damaged at byte {place}; get the file again"
                    )
                place += step
            start = content.find(HEAP, start + 1)


def check_attributes(path: Path, group: h5py.Group) -> None:
    """Raise InputError where an attribute below `group` is of a kind that AnnData does not write.

    HDF5 2.0 crashes on a text whose type was damaged into a list of something.
    """

    def check(_, found: h5py.Group | h5py.Dataset) -> None:
        for name in found.attrs:
            _refuse_lists(path, found, h5py.h5a.open(found.id, name.encode()).get_type())

    check("", group)
    group.visititems(check)


def _refuse_lists(path: Path, item: h5py.Group | h5py.Dataset, kind: h5py.h5t.TypeID) -> None:
    if kind.get_class() == h5py.h5t.VLEN:
        raise InputError(
            f"{path}: {item.name!r} is of a type that its format does not have; get the file again"
        )


def check_written(path: Path, item: h5py.Group | h5py.Dataset) -> None:
    """Raise InputError where a dataset of `item` is declared but not, or not all, in the file.

    HDF5 would give zeros for it; and as much memory as it declares, be the file ever so small.
    """

    def check(_, found: h5py.Group | h5py.Dataset) -> None:
        if not isinstance(found, h5py.Dataset) or not found.size:
            return
        _refuse_lists(path, found, found.id.get_type())
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
