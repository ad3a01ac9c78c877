"""GCTX, the HDF5 form of GCT: /0/DATA/0/matrix is (samples, genes), /0/META/ROW are genes, COL samples.

ROW and COL are named after GCT, where genes lie in rows; as h5py sees it the matrix has samples in rows.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix, row_blocks
from data_utils.formats.hdf5 import append_rows, check_numbers, check_written
from data_utils.formats.text import replacing, shown

MATRIX, GENES, SAMPLES = "0/DATA/0/matrix", "0/META/ROW", "0/META/COL"
BATCH = 256  # samples read at once: the block asked for is all that is ever held, beside one batch


def read_gctx(path: Path | str, samples=None, genes=None) -> ExpressionMatrix:
    """Read a GCTX file, or only the block of `samples` and `genes` (None is all).

    Each is a sequence of integer positions or of ids, and the result keeps its order. Raises InputError for
    an id or a position that the file does not have, and where ids and matrix disagree.
    """
    path = Path(path)
    with h5py.File(path, "r") as file:
        matrix, sample_ids, gene_ids = _opened(path, file)
        rows = _positions(samples, sample_ids, f"{path}: sample")
        columns = _positions(genes, gene_ids, f"{path}: gene")
        return ExpressionMatrix(
            _read_block(matrix, rows, columns),
            sample_ids[rows],
            gene_ids[columns],
            _read_labels(file[SAMPLES], rows, len(sample_ids)),
            _read_labels(file[GENES], columns, len(gene_ids)),
        )


def gctx_blocks(path: Path) -> Iterator[ExpressionMatrix]:
    """The file some samples at a time, in order."""
    with h5py.File(path, "r") as file:
        matrix, sample_ids, gene_ids = _opened(path, file)
        columns = np.arange(len(gene_ids))
        samples = _read_labels(file[SAMPLES], np.arange(len(sample_ids)), len(sample_ids))
        genes = _read_labels(file[GENES], columns, len(gene_ids))
        for rows in row_blocks(matrix):
            values = _read_block(matrix, np.arange(len(sample_ids))[rows], columns)
            labels = samples.iloc[rows].reset_index(drop=True)
            yield ExpressionMatrix(values, sample_ids[rows], gene_ids, labels, genes)


def _opened(path: Path, file: h5py.File) -> tuple[h5py.Dataset, np.ndarray, np.ndarray]:
    """The matrix and the ids of samples and genes. Raises InputError where they are not all there, or disagree."""
    for needed in (MATRIX, f"{GENES}/id", f"{SAMPLES}/id"):
        if not isinstance(file.get(needed), h5py.Dataset):
            raise InputError(f"{path}: has no {needed}; it is an HDF5 file but not a GCTX file")
        check_written(path, file[needed])
    matrix, sample_ids, gene_ids = file[MATRIX], file[f"{SAMPLES}/id"], file[f"{GENES}/id"]
    if matrix.shape != (*sample_ids.shape, *gene_ids.shape):
        raise InputError(
            f"{path}: the matrix is {matrix.shape} for {sample_ids.size} sample and {gene_ids.size} "
            "gene ids; the file is damaged, get it again"
        )
    check_numbers(path, f"the values of {MATRIX}", matrix.dtype)
    return matrix, _texts(sample_ids), _texts(gene_ids)


def write_gctx(matrix: ExpressionMatrix, path: Path | str) -> None:
    """Write GCTX 1.0. Labels that are numbers stay numbers."""
    write_gctx_blocks([matrix], Path(path))


def write_gctx_blocks(blocks: Iterable[ExpressionMatrix], path: Path) -> None:
    """Write GCTX 1.0 from blocks of samples with the same genes."""
    ids, labels = [], []
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["version"] = np.bytes_("GCTX1.0")
        for block in blocks:
            if not ids:
                _write_meta(file, GENES, block.gene_ids, block.gene_labels)
            append_rows(file, MATRIX, block.values)
            ids.append(block.sample_ids)
            labels.append(block.sample_labels)
        _write_meta(file, SAMPLES, np.concatenate(ids), pd.concat(labels))


def _write_meta(file: h5py.File, group: str, ids: np.ndarray, labels: pd.DataFrame) -> None:
    file[f"{group}/id"] = _fixed(ids)
    for name in labels.columns:
        # A slash would make a group, and "id" is taken.
        key = "id_" if name == "id" else name.replace("/", "_")
        column = labels[name].to_numpy()
        file[f"{group}/{key}"] = _fixed(column) if column.dtype == object else column


def _read_block(matrix: h5py.Dataset, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(rows, columns) float32. HDF5 takes increasing positions only, and one list of them at a time."""
    values = np.empty((len(rows), len(columns)), dtype=np.float32)
    if not values.size:
        return values
    left, right = columns.min(), columns.max() + 1
    order = np.argsort(rows, kind="stable")
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        wanted, place = np.unique(rows[batch], return_inverse=True)
        dense = wanted[-1] - wanted[0] + 1 == len(wanted)
        picked = slice(wanted[0], wanted[-1] + 1) if dense else wanted
        values[batch] = matrix[picked, left:right][place][:, columns - left]
    return values


def _positions(wanted, ids: np.ndarray, what: str) -> np.ndarray:
    if wanted is None:
        return np.arange(len(ids))
    wanted = np.asarray(wanted)
    if wanted.dtype.kind not in "iu" and wanted.size:
        places = {text: place for place, text in enumerate(ids)}
        unknown = [text for text in wanted if str(text) not in places]
        if unknown:
            raise InputError(
                f"{what} id {shown(unknown[0])} is not in the file; ask for ids that are"
            )
        wanted = np.array([places[str(text)] for text in wanted])
    if wanted.size and not (wanted.min() >= 0 and wanted.max() < len(ids)):
        outside = wanted.min() if wanted.min() < 0 else wanted.max()
        raise InputError(f"{what} {outside} asked for of {len(ids)}; ask for 0 to {len(ids) - 1}")
    return wanted.astype(np.intp)


def _read_labels(group: h5py.Group, picked: np.ndarray, count: int) -> pd.DataFrame:
    columns = {}
    for name, dataset in group.items():
        if name != "id" and isinstance(dataset, h5py.Dataset) and dataset.shape == (count,):
            values = _texts(dataset) if dataset.dtype.kind in "SO" else dataset[()]
            columns[name] = values[picked]
    return pd.DataFrame(columns, index=range(len(picked)))


def _texts(dataset: h5py.Dataset) -> np.ndarray:
    raw = dataset[()]
    return np.array(
        [t.decode("utf-8", "replace") if isinstance(t, bytes) else str(t) for t in raw],
        dtype=object,
    )


def _fixed(texts: np.ndarray) -> np.ndarray:
    """Fixed-width bytes, as the files of the Broad Institute have them."""
    encoded = [str(text).encode() for text in texts]
    return np.array(encoded, dtype=f"S{max([1, *map(len, encoded)])}")
