"""npz: numpy arrays in a zip. Nothing in it is ever unpickled."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix, joined
from data_utils.formats.hdf5 import check_numbers
from data_utils.formats.text import shown

SAMPLE_LABEL, GENE_LABEL = "sample_label:", "gene_label:"
NEEDED = ("values", "sample_ids", "gene_ids")


def read_npz(path: Path) -> ExpressionMatrix:
    """Read values, ids, and labels of the keys "sample_label:NAME" and "gene_label:NAME"."""
    arrays = _arrays(path)
    values, samples, genes = (arrays[name] for name in NEEDED)
    check_numbers(path, "values", values.dtype)
    if values.shape != (*samples.shape, *genes.shape):
        raise InputError(
            f"{path}: values are {values.shape} for {samples.size} sample_ids and {genes.size} "
            "gene_ids: values must be (samples, genes)"
        )
    labels = (
        {key.removeprefix(kind): array for key, array in arrays.items() if key.startswith(kind)}
        for kind in (SAMPLE_LABEL, GENE_LABEL)
    )
    frames = (
        pd.DataFrame(columns, index=range(len(ids)))
        for columns, ids in zip(labels, (samples, genes), strict=True)
    )
    return ExpressionMatrix(values, samples, genes, *frames)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays, each read to the end of its zip member, where the checksum is compared."""
    arrays: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
        missing = [name for name in NEEDED if name not in names]
        if missing:
            raise InputError(
                f"{path}: has no array {missing[0]!r}, only {', '.join(map(shown, names[:5]))}: "
                f"it needs {', '.join(NEEDED)}"
            )
        for member, name in zip(archive.infolist(), names, strict=True):
            if name not in NEEDED and not name.startswith((SAMPLE_LABEL, GENE_LABEL)):
                continue
            with archive.open(member) as stream:
                array = np.lib.format.read_array(stream, allow_pickle=False)
                if name in arrays or stream.read(1):
                    raise InputError(
                        f"{path}: array {shown(name)} is there twice or too long: get it again"
                    )
            arrays[name] = np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
    return arrays


def write_npz(blocks: Iterable[ExpressionMatrix], path: Path) -> None:
    """Write plain arrays, and text as unicode arrays, so that no pickle is needed."""
    matrix = joined(list(blocks))
    arrays: dict[str, Any] = {
        "values": matrix.values,
        "sample_ids": matrix.sample_ids.astype(str),
        "gene_ids": matrix.gene_ids.astype(str),
    }
    for start, frame in ((SAMPLE_LABEL, matrix.sample_labels), (GENE_LABEL, matrix.gene_labels)):
        for name in frame.columns:
            column = frame[name].to_numpy()
            arrays[start + name] = column.astype(str) if column.dtype == object else column
    np.savez_compressed(path, **arrays)
