"""h5ad (AnnData) and npz: containers of arrays. Nothing in them is ever unpickled."""

import warnings
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix
from data_utils.hdf5 import check_attributes, check_heaps, check_numbers, check_written
from data_utils.textio import replacing, shown

SAMPLE_LABEL, GENE_LABEL = "sample_label:", "gene_label:"
NEEDED = ("values", "sample_ids", "gene_ids")


def read_h5ad(path: Path) -> ExpressionMatrix:
    """Read X, obs and var of an AnnData file (samples in rows, dense or sparse), and no layers."""
    from anndata.io import read_elem  # takes a second to import, and only this format needs it

    with h5py.File(path, "r") as file:
        check_heaps(path, file)
        check_attributes(path, file)
        missing = [name for name in ("X", "obs", "var") if name not in file]
        if missing:
            raise InputError(f"{path}: has no {missing[0]}; it is an HDF5 file but not a usable h5ad file")
        for name in ("X", "obs", "var"):
            check_written(path, file[name])
        values, obs, var = (read_elem(file[name]) for name in ("X", "obs", "var"))
    check_numbers(path, "the values of X", getattr(values, "dtype", type(values).__name__))
    if values.shape != (len(obs), len(var)):
        raise InputError(
            f"{path}: X is {values.shape} for {len(obs)} samples in obs and {len(var)} genes in var; "
            "the file is damaged, get it again"
        )
    if hasattr(values, "toarray"):
        values.check_format(full_check=True)  # toarray would write wherever damaged indices point
        values = values.toarray()
    return ExpressionMatrix(values, obs.index, var.index, obs, var)


def write_h5ad(matrix: ExpressionMatrix, path: Path) -> None:
    """Write an AnnData file: X, obs = sample labels, var = gene labels."""
    from anndata import AnnData

    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about repeated names, which check_expression judges
        obs, var = matrix.sample_labels.copy(), matrix.gene_labels.copy()
        AnnData(matrix.values, obs=obs, var=var).write_h5ad(temporary)


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
        pd.DataFrame({key.removeprefix(kind): arrays[key] for key in arrays if key.startswith(kind)}, rows)
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
                    raise InputError(f"{path}: array {shown(name)} is there twice or too long; get the file again")
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
