"""h5ad (AnnData) and npz: containers of arrays. Nothing in them is ever unpickled."""

import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix, row_blocks
from data_utils.formats.hdf5 import append_rows, check_numbers, check_written
from data_utils.formats.text import replacing, shown

SAMPLE_LABEL, GENE_LABEL = "sample_label:", "gene_label:"
NEEDED = ("values", "sample_ids", "gene_ids")


def read_h5ad(path: Path) -> ExpressionMatrix:
    """Read X, obs and var of an AnnData file (samples in rows, dense or sparse), and no layers."""

    with h5py.File(path, "r") as file:
        obs, var = _frames(path, file)
        values = _elem(file["X"])
    check_numbers(path, "the values of X", getattr(values, "dtype", type(values).__name__))
    _check_shape(path, values.shape, obs, var)
    if hasattr(values, "toarray"):
        values.check_format(full_check=True)  # toarray would write wherever damaged indices point
        values = values.toarray()
    return ExpressionMatrix(values, obs.index, var.index, obs, var)


def h5ad_blocks(path: Path) -> Iterator[ExpressionMatrix]:
    """The file some samples at a time, in order; all at once where X is kept by columns."""
    with h5py.File(path, "r") as file:
        obs, var = _frames(path, file)
        x = file["X"]
        if isinstance(x, h5py.Dataset) and x.ndim == 2:
            check_numbers(path, "the values of X", x.dtype)
            _check_shape(path, x.shape, obs, var)
            for rows in row_blocks(x):
                yield ExpressionMatrix(x[rows], obs.index[rows], var.index, obs.iloc[rows], var)
            return
        if x.attrs.get("encoding-type") == "csr_matrix":
            shape = tuple(int(n) for n in x.attrs["shape"])
            _check_shape(path, shape, obs, var)
            for rows in row_blocks(np.broadcast_to(np.float32(0), shape)):
                yield ExpressionMatrix(
                    _csr_rows(path, x, rows), obs.index[rows], var.index, obs.iloc[rows], var
                )
            return
    yield read_h5ad(path)


def _csr_rows(path: Path, x: h5py.Group, rows: slice) -> np.ndarray:
    """Some rows of a sparse X, dense."""
    from scipy.sparse import csr_matrix

    check_numbers(path, "the values of X", x["data"].dtype)
    shape = tuple(int(n) for n in x.attrs["shape"])
    pointers = x["indptr"][rows.start : min(rows.stop, shape[0]) + 1].astype(np.int64)
    left, right = int(pointers[0]), int(pointers[-1])
    if not 0 <= left <= right <= len(x["data"]):
        raise InputError(f"{path}: the row pointers of X are damaged; get the file again")
    parts = x["data"][left:right], x["indices"][left:right], pointers - left
    block = csr_matrix(parts, shape=(len(pointers) - 1, shape[1]))
    block.check_format(full_check=True)  # toarray would write wherever damaged indices point
    return block.toarray()


def _frames(path: Path, file: h5py.File) -> tuple[pd.DataFrame, pd.DataFrame]:
    """obs and var, of a file whose X, obs and var are all there."""
    missing = [name for name in ("X", "obs", "var") if name not in file]
    if missing:
        raise InputError(
            f"{path}: has no {missing[0]}; it is an HDF5 file but not a usable h5ad file"
        )
    for name in ("X", "obs", "var"):
        check_written(path, file[name])
    return _elem(file["obs"]), _elem(file["var"])


def _elem(item: h5py.Group | h5py.Dataset):
    from anndata.io import read_elem  # takes a second to import, and only this format needs it

    return read_elem(item)


def _check_shape(path: Path, shape: tuple[int, ...], obs: pd.DataFrame, var: pd.DataFrame) -> None:
    if shape != (len(obs), len(var)):
        raise InputError(
            f"{path}: X is {shape} for {len(obs)} samples in obs and {len(var)} genes in var; "
            "the file is damaged, get it again"
        )


def write_h5ad(matrix: ExpressionMatrix, path: Path) -> None:
    """Write an AnnData file: X, obs = sample labels, var = gene labels."""
    write_h5ad_blocks([matrix], path)


def write_h5ad_blocks(blocks: Iterable[ExpressionMatrix], path: Path) -> None:
    """The same from blocks of samples with the same genes and labels."""
    from anndata.io import write_elem

    labels, var = [], None
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        for block in blocks:
            x = append_rows(file, "X", block.values)
            labels.append(block.sample_labels)
            var = block.gene_labels
        x.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        write_elem(file, "obs", pd.concat(labels))
        write_elem(file, "var", var)
        for name in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
            write_elem(file, name, {})


def read_npz(path: Path) -> ExpressionMatrix:
    """Read values, sample_ids, gene_ids, and labels from keys "sample_label:NAME" and "gene_label:NAME"."""
    arrays = _arrays(path)
    values, samples, genes = (arrays[name] for name in NEEDED)
    check_numbers(path, "values", values.dtype)
    if values.shape != (*samples.shape, *genes.shape):
        raise InputError(
            f"{path}: values are {values.shape} for {samples.size} sample_ids and {genes.size} gene_ids; "
            "values must be (samples, genes)"
        )
    sample_labels, gene_labels = (
        pd.DataFrame(
            {key.removeprefix(kind): arrays[key] for key in arrays if key.startswith(kind)}, rows
        )
        for kind, rows in ((SAMPLE_LABEL, range(len(samples))), (GENE_LABEL, range(len(genes))))
    )
    return ExpressionMatrix(values, samples, genes, sample_labels, gene_labels)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays that count, each read to the end of its member: there, and not before, zip compares its checksum."""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        missing = [name for name in NEEDED if name not in names]
        if missing:
            raise InputError(
                f"{path}: has no array {missing[0]!r}, only {', '.join(map(shown, names[:5]))}; "
                f"it needs {', '.join(NEEDED)}"
            )
        for member, name in zip(archive.infolist(), names, strict=True):
            if name not in NEEDED and not name.startswith((SAMPLE_LABEL, GENE_LABEL)):
                continue
            with archive.open(member) as stream:
                array = np.lib.format.read_array(stream, allow_pickle=False)
                if name in arrays or stream.read(1):
                    raise InputError(
                        f"{path}: array {shown(name)} is there twice or too long; get the file again"
                    )
            arrays[name] = np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
    return arrays


def write_npz(matrix: ExpressionMatrix, path: Path) -> None:
    """Write plain arrays; text as arrays of unicode, so that no pickle is needed."""
    arrays = {
        "values": matrix.values,
        "sample_ids": matrix.sample_ids.astype(str),
        "gene_ids": matrix.gene_ids.astype(str),
    }
    for start, frame in ((SAMPLE_LABEL, matrix.sample_labels), (GENE_LABEL, matrix.gene_labels)):
        for name in frame.columns:
            column = frame[name].to_numpy()
            arrays[start + name] = column.astype(str) if column.dtype == object else column
    with replacing(path) as temporary:
        np.savez_compressed(temporary, **arrays)
