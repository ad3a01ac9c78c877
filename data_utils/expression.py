"""A gene expression matrix with its names, and the checks that stand between a file and the study."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from data_utils.errors import InputError

if TYPE_CHECKING:  # who trains networks needs no labels, and pandas takes half a second to import
    import pandas as pd

#: Numbers that are looked at together: what a step needs beside the matrix stays small, whatever its size.
BLOCK = 1 << 22
MIN_SAMPLES = 20  # 80/10/10 of fewer leaves a validation set of one sample


@dataclass(frozen=True, eq=False)
class ExpressionMatrix:
    """Expression of `n_genes` genes in `n_samples` samples.

    values: (samples, genes) float32, C-contiguous; copied only where the argument is not so already.
    sample_ids: (samples,) and gene_ids: (genes,) object arrays of str.
    sample_labels, gene_labels: a row per sample and per gene, indexed by the ids, 0 or more columns. Numbers
        stay numbers; everything else is text, and a missing text is "".

    Raises ValueError where the shapes disagree: that is a mistake in the program, not in a file.
    """

    values: np.ndarray
    sample_ids: np.ndarray
    gene_ids: np.ndarray
    sample_labels: pd.DataFrame = None  # type: ignore[assignment]  # None becomes a frame
    gene_labels: pd.DataFrame = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        values = np.ascontiguousarray(self.values, dtype=np.float32)
        samples, genes = _id_array(self.sample_ids), _id_array(self.gene_ids)
        if values.shape != (len(samples), len(genes)):
            raise ValueError(f"values are {values.shape}, ids are {(len(samples), len(genes))}")
        clean = {
            "values": values,
            "sample_ids": samples,
            "gene_ids": genes,
            "sample_labels": _label_frame(self.sample_labels, samples, "sample_labels"),
            "gene_labels": _label_frame(self.gene_labels, genes, "gene_labels"),
        }
        for name, value in clean.items():
            object.__setattr__(self, name, value)

    @property
    def n_samples(self) -> int:
        return self.values.shape[0]

    @property
    def n_genes(self) -> int:
        return self.values.shape[1]

    def select(self, samples: Any = None, genes: Any = None) -> ExpressionMatrix:
        """The rows `samples` and columns `genes` (integer index arrays, in the order given; None is all)."""
        rows = np.arange(self.n_samples) if samples is None else np.asarray(samples, dtype=np.intp)
        columns = np.arange(self.n_genes) if genes is None else np.asarray(genes, dtype=np.intp)
        picked = self.values if samples is None else self.values[rows]
        return ExpressionMatrix(
            picked if genes is None else picked[:, columns],
            self.sample_ids[rows],
            self.gene_ids[columns],
            self.sample_labels.iloc[rows],
            self.gene_labels.iloc[columns],
        )

    def without_values(self) -> ExpressionMatrix:
        """The same names, labels and hash with NaN for every value, and no memory taken by the values."""
        names = copy.copy(self)
        names.__dict__["_content_hash"] = self._content_hash
        object.__setattr__(names, "values", np.broadcast_to(np.float32(np.nan), self.values.shape))
        return names

    def content_hash(self) -> str:
        """sha256 (hex) over the values and the ids: equal hashes, equal data. Labels do not count."""
        return self._content_hash

    @cached_property
    def _content_hash(self) -> str:
        digest = hashlib.sha256(f"{self.n_samples} {self.n_genes} float32 ".encode())
        digest.update(self.values.astype("<f4", copy=False))
        for ids in (self.sample_ids, self.gene_ids):
            for text in ids:
                encoded = text.encode()
                digest.update(
                    f"{len(encoded)}:".encode() + encoded
                )  # the length tells ab, c from a, bc
        return digest.hexdigest()


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Return slices that together are all rows of (rows, columns), each of about BLOCK numbers."""
    rows = max(1, BLOCK // max(1, shape[1]))
    return (slice(start, start + rows) for start in range(0, shape[0], rows))


def joined(blocks: list[ExpressionMatrix]) -> ExpressionMatrix:
    """Return blocks of samples, which have the same genes, as one matrix."""
    if len(blocks) == 1:
        return blocks[0]
    import pandas as pd

    return ExpressionMatrix(
        np.concatenate([block.values for block in blocks]),
        np.concatenate([block.sample_ids for block in blocks]),
        blocks[0].gene_ids,
        pd.concat([block.sample_labels for block in blocks]),
        blocks[0].gene_labels,
    )


def count_and_first(
    values: np.ndarray, is_wrong: Callable[[np.ndarray], np.ndarray]
) -> tuple[int, tuple[int, int] | None]:
    """How many of the values (samples, genes) `is_wrong` marks, and the place of the first of them."""
    count, first = 0, None
    for rows in row_blocks(values.shape):
        wrong = is_wrong(values[rows])
        if wrong.any():
            count += int(wrong.sum())
            if first is None:
                row, column = np.argwhere(wrong)[0]
                first = int(row) + rows.start, int(column)
    return count, first


def check_expression(matrix: ExpressionMatrix, name: str) -> None:
    """Raise InputError, naming `name` (the file), unless the study can run on `matrix`.

    Refused: fewer than MIN_SAMPLES samples, no genes, duplicate sample or gene ids, NaN or infinity.
    """
    if matrix.n_samples < MIN_SAMPLES:
        raise InputError(
            f"{name}: {matrix.n_samples} samples are too few for a training, validation and test set: "
            f"give at least {MIN_SAMPLES} (or check which way round the table lies: --genes-in rows|columns)"
        )
    if matrix.n_genes == 0:
        raise InputError(f"{name}: has no genes: give a table with at least one column of numbers")
    check_unique(matrix.sample_ids, "sample", name)
    check_unique(matrix.gene_ids, "gene", name)
    check_finite(matrix, name, f" of {matrix.values.size}")


def check_finite(matrix: ExpressionMatrix, name: str, of_all: str = "") -> None:
    """Raise InputError with the number of values that are NaN or infinite, `of_all`, and where the first is."""
    n_wrong, place = count_and_first(matrix.values, lambda block: ~np.isfinite(block))
    if place is not None:
        row, column = place
        raise InputError(
            f"{name}: {n_wrong}{of_all} values are NaN or infinite, the first is "
            f"{matrix.values[row, column]} at {where(matrix, row, column)}: remove or impute them"
        )


def check_unique(ids: np.ndarray, what: str, name: str) -> None:
    """Raise InputError naming the repeated `what` ids (the first three of them)."""
    seen: set[str] = set()
    repeated = list(dict.fromkeys(text for text in ids if text in seen or seen.add(text)))
    if repeated:
        named = ", ".join(repr(text) for text in repeated[:3]) + (
            ", ..." if len(repeated) > 3 else ""
        )
        raise InputError(
            f"{name}: {len(repeated)} {what} id(s) occur more than once ({named}): "
            f"keep one {what} of each name or rename them"
        )


def where(matrix: ExpressionMatrix, row: int, column: int) -> str:
    """The place of a value, for a message: its sample and its gene."""
    return f"sample {matrix.sample_ids[row]!r}, gene {matrix.gene_ids[column]!r}"


def _id_array(ids: Any) -> np.ndarray:
    array = np.empty(len(ids), dtype=object)
    array[:] = [_sound(text if type(text) is str else str(text)) for text in ids]
    return array


def _sound(text: str) -> str:
    """The text. Raises ValueError for one that no file can hold: half a surrogate pair, from damaged memory."""
    return text if text.isascii() else text.encode().decode()


def _label_frame(labels: pd.DataFrame | None, ids: np.ndarray, what: str) -> pd.DataFrame:
    """The labels with `ids` as index, text where they are not numbers, the first of columns of one name."""
    import pandas as pd

    index = pd.Index(ids, dtype=object)
    if labels is None:
        return pd.DataFrame(index=index)
    if len(labels) != len(ids):
        raise ValueError(f"{what} has {len(labels)} rows for {len(ids)} ids")
    if not isinstance(labels.index, pd.RangeIndex) and list(map(str, labels.index)) != list(ids):
        raise ValueError(f"{what} is indexed by other ids than the values")
    columns = {}
    for i, name in enumerate(map(str, labels.columns)):
        columns.setdefault(_sound(name), _text_or_number(labels.iloc[:, i]))
    return pd.DataFrame(columns, index=index)


def _text_or_number(column: pd.Series) -> np.ndarray:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column.dtype) and isinstance(column.dtype, np.dtype):
        return column.to_numpy()
    text = column.astype(object)
    return text.where(text.notna(), "").map(lambda cell: _sound(str(cell))).to_numpy(dtype=object)
