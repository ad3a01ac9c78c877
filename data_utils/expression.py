"""A gene expression matrix with its names, its checks and its conversion to a log2 scale."""

from __future__ import annotations

import copy
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from data_utils.errors import InputError

if TYPE_CHECKING:  # training needs no labels, and pandas takes half a second to import
    import pandas as pd

#: Numbers that are processed together; this bounds the memory of a step.
BLOCK = 1 << 22
MIN_SAMPLES = 20  # 80/10/10 of fewer leaves a validation set of one sample

TRANSFORMS = ("auto", "none", "log2p1")
LOG_LIMIT = 30.0  # on a log2 scale this would be a count of 10^9: more reads than a sample has
STRAY_SHARE = 1e-3  # up to this share of values beyond the limit may be mistakes in log-scale data


@dataclass(frozen=True, eq=False)
class ExpressionMatrix:
    """Expression of `n_genes` genes in `n_samples` samples.

    values: (samples, genes) float32, C-contiguous; copied only if the argument is not so already.
    sample_ids: (samples,) and gene_ids: (genes,) object arrays of str.
    sample_labels, gene_labels: one row per sample or gene, indexed by the ids, with 0 or more
        columns. Numbers stay numbers; everything else is text, and a missing text is "".
    """

    values: np.ndarray
    sample_ids: Any
    gene_ids: Any
    sample_labels: pd.DataFrame = None
    gene_labels: pd.DataFrame = None

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
        """Rows of the values."""
        return self.values.shape[0]

    @property
    def n_genes(self) -> int:
        """Columns of the values."""
        return self.values.shape[1]

    def select(self, samples: Any = None, genes: Any = None) -> ExpressionMatrix:
        """Return the rows `samples` and columns `genes`, by index, in their order; None is all."""
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
        """Return a copy with the same names, labels and hash, whose NaN values take no memory."""
        names = copy.copy(self)
        names.__dict__["_content_hash"] = self._content_hash
        object.__setattr__(names, "values", np.broadcast_to(np.float32(np.nan), self.values.shape))
        return names

    def content_hash(self) -> str:
        """Return a sha256 (hex) over the values and the ids, without the labels."""
        return self._content_hash

    @cached_property
    def _content_hash(self) -> str:
        digest = hashlib.sha256(f"{self.n_samples} {self.n_genes} float32 ".encode())
        digest.update(self.values.astype("<f4", copy=False).data)
        for ids in (self.sample_ids, self.gene_ids):
            for text in ids:
                encoded = text.encode()
                # the length distinguishes ab, c from a, bc
                digest.update(f"{len(encoded)}:".encode() + encoded)
        return digest.hexdigest()


def _id_array(ids: Any) -> np.ndarray:
    array = np.empty(len(ids), dtype=object)
    array[:] = [_sound(text if type(text) is str else str(text)) for text in ids]
    return array


def _sound(text: str) -> str:
    """Return the text; raise ValueError if it has half a surrogate pair, which no file can hold."""
    return text if text.isascii() else text.encode().decode()


def _label_frame(labels: pd.DataFrame | None, ids: np.ndarray, what: str) -> pd.DataFrame:
    """Index the labels by `ids`; of columns with the same name the first is kept."""
    import pandas as pd

    index = pd.Index(ids, dtype=object)
    if labels is None:
        return pd.DataFrame(index=index)
    if len(labels) != len(ids):
        raise ValueError(f"{what} has {len(labels)} rows for {len(ids)} ids")
    if not isinstance(labels.index, pd.RangeIndex) and list(map(str, labels.index)) != list(ids):
        raise ValueError(f"{what} is indexed by other ids than the values")
    columns: dict[str, np.ndarray] = {}
    for i, name in enumerate(map(str, labels.columns)):
        columns.setdefault(_sound(name), _text_or_number(labels.iloc[:, i]))
    return pd.DataFrame(columns, index=index)


def _text_or_number(column: pd.Series) -> np.ndarray:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(column.dtype) and isinstance(column.dtype, np.dtype):
        return column.to_numpy()
    text = column.astype(object)
    return text.where(text.notna(), "").map(lambda cell: _sound(str(cell))).to_numpy(dtype=object)


def row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Return slices that together are all rows of (rows, columns), each of about BLOCK numbers."""
    rows = max(1, BLOCK // max(1, shape[1]))
    return (slice(start, start + rows) for start in range(0, shape[0], rows))


def joined(blocks: list[ExpressionMatrix]) -> ExpressionMatrix:
    """Join blocks of samples with the same genes to one matrix."""
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
    """Count the values (samples, genes) that `is_wrong` marks, and find the first of them."""
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

    Refused: fewer than MIN_SAMPLES samples, no genes, duplicate sample or gene ids, NaN or
    infinity.
    """
    if matrix.n_samples < MIN_SAMPLES:
        raise InputError(
            f"{name}: {matrix.n_samples} samples are too few for a training, validation and test "
            f"set: give at least {MIN_SAMPLES} (or check which way round the table lies: "
            "--genes-in rows|columns)"
        )
    if matrix.n_genes == 0:
        raise InputError(f"{name}: has no genes: give a table with at least one column of numbers")
    check_unique(matrix.sample_ids, "sample", name)
    check_unique(matrix.gene_ids, "gene", name)
    check_finite(matrix, name, f" of {matrix.values.size}")


def check_finite(matrix: ExpressionMatrix, name: str, of_all: str = "") -> None:
    """Raise InputError, with their number and the place of the first, if values are not finite."""
    n_wrong, place = count_and_first(matrix.values, lambda block: ~np.isfinite(block))
    if place is not None:
        raise InputError(
            f"{name}: {n_wrong}{of_all} values are NaN or infinite, the first is "
            f"{matrix.values[place]} at {where(matrix, *place)}: remove or impute them"
        )


def check_unique(ids: Iterable[str], what: str, name: str) -> None:
    """Raise InputError naming the first three of the `what` ids that occur more than once."""
    repeated = [repr(text) for text, count in Counter(ids).items() if count > 1]
    if repeated:
        named = ", ".join([*repeated[:3], *["..."] * (len(repeated) > 3)])
        raise InputError(
            f"{name}: {len(repeated)} {what} id(s) occur more than once ({named}): "
            f"keep one {what} of each name or rename them"
        )


def where(matrix: ExpressionMatrix, row: int, column: int) -> str:
    """Name the sample and the gene of a value, for a message."""
    return f"sample {matrix.sample_ids[row]!r}, gene {matrix.gene_ids[column]!r}"


def choose_transform(values: np.ndarray, requested: str = "auto") -> tuple[str, str]:
    """Choose "none" or "log2p1" for `values`, (samples, genes) finite, and give the reason.

    "auto" decides whether the values are linear (counts, TPM, RPKM) or on a log scale. Raises
    InputError for another `requested`.
    """
    if requested not in TRANSFORMS:
        raise InputError(f"--transform {requested}: give one of {', '.join(TRANSFORMS)}")
    if requested != "auto":
        return requested, "as requested"
    low, high = float(values.min()), float(values.max())
    span = f"the values run from {low:.6g} to {high:.6g}"
    if low < 0:
        scales = "counts, TPM and RPKM are never negative, so these are on a log or centred scale"
        return "none", f"{span}: {scales}"
    blocks = (values[rows] for rows in row_blocks(values.shape))
    if high > 1 and all(np.array_equal(block, np.rint(block)) for block in blocks):
        whole = f"all {values.size} values are non-negative whole numbers"
        return "log2p1", f"{whole}, the largest {high:.6g}: counts"
    if high <= LOG_LIMIT:
        within = f"within a log2 scale (up to {LOG_LIMIT:g})"
        return "none", f"{span}, {within}; for TPM or RPKM give --transform log2p1"
    share = float(np.mean(values > LOG_LIMIT))
    mean, median = float(values.mean(dtype=np.float64)), float(np.median(values))
    beyond = f"{share:.3%} of the values exceed {LOG_LIMIT:g}, the most that a log2 scale reaches"
    if share > STRAY_SHARE or mean > 2 * median:
        largest = f"all values are non-negative and the largest is {high:.6g}"
        return "log2p1", f"{largest}; {beyond}: TPM, RPKM or the like"
    close = f"the mean, {mean:.3g}, is close to the median, {median:.3g}"
    return "none", f"{span}, but only {beyond}, and {close}: log-scale data with strays"


def apply_transform(matrix: ExpressionMatrix, transform: str, name: str) -> ExpressionMatrix:
    """Return `matrix` itself for "none", or a new one of log2(x + 1) for "log2p1".

    Raises InputError, naming `name` (the file), for a negative value under log2p1.
    """
    if transform == "none":
        return matrix
    values = matrix.values
    n_negative, place = count_and_first(values, lambda block: block < 0)
    if place is not None:
        raise InputError(
            f"{name}: {n_negative} values are negative, the first is {values[place]} at "
            f"{where(matrix, *place)}: log2(x + 1) needs counts, TPM or RPKM: give --transform none"
        )
    # In float64 and rounded once: float32 log1p would cost an ulp or two.
    logged = np.empty_like(values)
    for row, counts in enumerate(values):
        logged[row] = np.log1p(counts, dtype=np.float64) / np.log(2)
    return replace(matrix, values=logged)
