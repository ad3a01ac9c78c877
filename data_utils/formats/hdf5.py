"""The HDF5 formats GCTX and h5ad (AnnData): a matrix with samples in rows, and labels of both axes.

GCTX: /0/DATA/0/matrix; genes in /0/META/ROW and samples in /0/META/COL, named after GCT, in which
genes are rows. h5ad: X, dense or sparse, obs and var; layers are not read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix, row_blocks

MATRIX, GENES, SAMPLES = "0/DATA/0/matrix", "0/META/ROW", "0/META/COL"
#: Rows and columns of a written chunk.
CHUNK = 256


@dataclass(frozen=True)
class _Opened:
    """An open file: its labels by id, and `take`, which reads the values of some rows."""

    samples: pd.DataFrame
    genes: pd.DataFrame
    take: Callable[[slice], np.ndarray]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.samples), len(self.genes)


def _read(open_file: Callable[[Path, h5py.File], _Opened], path: Path) -> ExpressionMatrix:
    """Read a whole file, a block at a time."""
    with h5py.File(path, "r") as file:
        opened = open_file(path, file)
        values = np.empty(opened.shape, dtype=np.float32)
        for rows in row_blocks(opened.shape):
            values[rows] = opened.take(rows)
        samples, genes = opened.samples, opened.genes
        return ExpressionMatrix(values, samples.index, genes.index, samples, genes)


def _blocks(
    open_file: Callable[[Path, h5py.File], _Opened], path: Path
) -> Iterator[ExpressionMatrix]:
    """Read some samples at a time, in order."""
    with h5py.File(path, "r") as file:
        opened = open_file(path, file)
        for rows in row_blocks(opened.shape):
            samples, genes = opened.samples.iloc[rows], opened.genes
            yield ExpressionMatrix(opened.take(rows), samples.index, genes.index, samples, genes)


def _gctx(path: Path, file: h5py.File) -> _Opened:
    ids = [f"{SAMPLES}/id", f"{GENES}/id"]
    _check_parts(path, file, (MATRIX, *ids), "GCTX")
    matrix = file[MATRIX]
    _check_matrix(path, MATRIX, matrix, (*file[ids[0]].shape, *file[ids[1]].shape))
    return _Opened(_labels(file[SAMPLES]), _labels(file[GENES]), matrix.__getitem__)


def _labels(group: h5py.Group) -> pd.DataFrame:
    """Return the labels below a group of GCTX's META, indexed by its ids."""
    ids = _column(group["id"])
    columns = {
        name: _column(dataset)
        for name, dataset in group.items()
        if name != "id" and isinstance(dataset, h5py.Dataset) and dataset.shape == ids.shape
    }
    return pd.DataFrame(columns, index=pd.Index(ids, dtype=object))


def _column(dataset: h5py.Dataset) -> np.ndarray:
    raw = dataset[()]
    if dataset.dtype.kind not in "SO" and not dataset.name.endswith("/id"):
        return raw
    texts = (t.decode("utf-8", "replace") if isinstance(t, bytes) else str(t) for t in raw)
    return np.array(list(texts), dtype=object)


def _h5ad(path: Path, file: h5py.File) -> _Opened:
    from anndata.io import read_elem, sparse_dataset  # takes a second, and only h5ad needs it

    _check_parts(path, file, ("X", "obs", "var"), "h5ad")
    x, obs, var = file["X"], read_elem(file["obs"]), read_elem(file["var"])
    if isinstance(x, h5py.Group):
        x = sparse_dataset(x)
        if x.format != "csr":
            x = x.to_memory().tocsr()
    _check_matrix(path, "X", x, (len(obs), len(var)))

    def take(rows: slice) -> np.ndarray:
        block = x[rows]
        if isinstance(block, np.ndarray):
            return block
        block.check_format(full_check=True)  # toarray would write to wherever damaged indices point
        return block.toarray()

    return _Opened(obs, var, take)


def _check_parts(path: Path, file: h5py.File, names: Iterable[str], kind: str) -> None:
    """Raise InputError if a part is missing or incomplete in the file.

    HDF5 would return zeros for the missing rest, and allocate whatever size a file declares.
    """
    for name in names:
        if name not in file:
            raise InputError(f"{path}: has no {name}: it is an HDF5 file but not a {kind} file")
        _check_written(path, file[name])
        if isinstance(file[name], h5py.Group):
            file[name].visititems(lambda _, item: _check_written(path, item))


def _check_written(path: Path, item: h5py.Group | h5py.Dataset) -> None:
    if not isinstance(item, h5py.Dataset) or not item.size:
        return
    if item.chunks is None:
        whole = item.id.get_storage_size() > 0
    else:
        counts = map(math.ceil, np.divide(item.shape, item.chunks))
        whole = item.id.get_num_chunks() == math.prod(counts)
    if not whole:
        raise InputError(
            f"{path}: not all of {item.name!r} is there: the file is cut short, get it again"
        )


def _check_matrix(path: Path, name: str, matrix: Any, expected: tuple[int, ...]) -> None:
    if matrix.shape != expected:
        raise InputError(
            f"{path}: {name} is {matrix.shape}, its names are {expected}: the file is damaged, "
            "get it again"
        )
    check_numbers(path, f"the values of {name}", matrix.dtype)


def check_numbers(path: Path, name: str, dtype: np.dtype) -> None:
    """Raise InputError unless `dtype` is numeric: numpy would convert other types to numbers."""
    if dtype.kind not in "fiub":
        raise InputError(f"{path}: {name} are of type {dtype}: they must be numbers")


read_gctx, gctx_blocks = partial(_read, _gctx), partial(_blocks, _gctx)
read_h5ad, h5ad_blocks = partial(_read, _h5ad), partial(_blocks, _h5ad)


def write_gctx(blocks: Iterable[ExpressionMatrix], path: Path) -> None:
    """Write GCTX 1.0 from blocks of samples. Labels that are numbers stay numbers."""
    with h5py.File(path, "w") as file:
        file.attrs["version"] = np.bytes_("GCTX1.0")
        samples, genes = _write_matrix(file, MATRIX, blocks)
        for group, labels in ((GENES, genes), (SAMPLES, samples)):
            file[f"{group}/id"] = _fixed(labels.index)
            for name in labels.columns:
                # A slash would make a group, and the name "id" is used for the ids.
                key = "id_" if name == "id" else name.replace("/", "_")
                column = labels[name].to_numpy()
                file[f"{group}/{key}"] = _fixed(column) if column.dtype == object else column


def _fixed(texts: Iterable[object]) -> np.ndarray:
    """Encode texts as fixed-width bytes, as in the files of the Broad Institute."""
    encoded = [str(text).encode() for text in texts]
    return np.array(encoded, dtype=f"S{max([1, *map(len, encoded)])}")


def write_h5ad(blocks: Iterable[ExpressionMatrix], path: Path) -> None:
    """Write an AnnData file from blocks of samples: X, obs = sample labels, var = gene labels."""
    from anndata.io import write_elem

    with h5py.File(path, "w") as file:
        obs, var = _write_matrix(file, "X", blocks)
        file["X"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        write_elem(file, "obs", obs)
        write_elem(file, "var", var)
        for name in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
            write_elem(file, name, {})


def _write_matrix(
    file: h5py.File, name: str, blocks: Iterable[ExpressionMatrix]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write the blocks' rows as one dataset in gzipped chunks; return sample and gene labels."""
    labels: list[pd.DataFrame] = []
    for block in blocks:
        values = block.values
        if not labels:
            chunks = tuple(min(CHUNK, side) for side in values.shape) if values.size else None
            limits = (None, values.shape[1]) if values.size else None
            packing = "gzip" if values.size else None
            dataset = file.create_dataset(
                name, data=values, chunks=chunks, maxshape=limits, compression=packing
            )
        else:
            dataset.resize(len(dataset) + len(values), axis=0)
            dataset[-len(values) :] = values
        labels.append(block.sample_labels)
    return pd.concat(labels), block.gene_labels
