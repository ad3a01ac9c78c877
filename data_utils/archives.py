"""h5ad (AnnData) and npz: containers of arrays. Nothing in them is ever unpickled."""

import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix
from data_utils.textio import replacing

SAMPLE_LABEL, GENE_LABEL = "sample_label:", "gene_label:"


def read_h5ad(path: Path) -> ExpressionMatrix:
    """Read X, obs and var of an AnnData file (samples in rows, dense or sparse), and no layers."""
    from anndata.io import read_elem  # takes a second to import, and only this format needs it

    with h5py.File(path, "r") as file:
        missing = [name for name in ("X", "obs", "var") if name not in file]
        if missing:
            raise InputError(f"{path}: has no {missing[0]}; it is an HDF5 file but not a usable h5ad file")
        values, obs, var = (read_elem(file[name]) for name in ("X", "obs", "var"))
    values = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
    if values.shape != (len(obs), len(var)):
        raise InputError(
            f"{path}: X is {values.shape} for {len(obs)} samples in obs and {len(var)} genes in var; "
            "the file is damaged, get it again"
        )
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
    with np.load(path, allow_pickle=False) as file:
        missing = [name for name in ("values", "sample_ids", "gene_ids") if name not in file.files]
        if missing:
            raise InputError(
                f"{path}: has no array {missing[0]!r}, only {', '.join(file.files[:5])}; "
                "it needs values, sample_ids and gene_ids"
            )
        values, samples, genes = file["values"], file["sample_ids"], file["gene_ids"]
        if values.dtype.kind not in "fiub":
            raise InputError(f"{path}: values are of type {values.dtype}; they must be numbers")
        if values.shape != (len(samples), len(genes)):
            raise InputError(
                f"{path}: values are {values.shape} for {len(samples)} sample_ids and {len(genes)} gene_ids; "
                "values must be (samples, genes)"
            )
        sample_labels, gene_labels = (
            pd.DataFrame({key.removeprefix(kind): file[key] for key in file.files if key.startswith(kind)}, rows)
            for kind, rows in ((SAMPLE_LABEL, range(len(samples))), (GENE_LABEL, range(len(genes))))
        )
    return ExpressionMatrix(values, samples, genes, sample_labels, gene_labels)


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
