"""Telling linear expression (counts, TPM, RPKM) from log-scale expression, and log2(x + 1)."""

import numpy as np

from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix, count_and_first, row_blocks, where

TRANSFORMS = ("auto", "none", "log2p1")
LOG_LIMIT = 30.0  # on a log2 scale this would be a count of 10^9: more reads than a sample has
STRAY_SHARE = 1e-3  # so few values beyond the limit may be mistakes in log-scale data


def choose_transform(values: np.ndarray, requested: str = "auto") -> tuple[str, str]:
    """The transform ("none" or "log2p1") for `values`, (samples, genes) finite, and the reason in a sentence.

    Raises InputError for a name that is not in TRANSFORMS.
    """
    if requested not in TRANSFORMS:
        raise InputError(f"--transform {requested}: give one of {', '.join(TRANSFORMS)}")
    if requested != "auto":
        return requested, "as requested"
    low, high = float(values.min()), float(values.max())
    span = f"the values run from {low:.6g} to {high:.6g}"
    if low < 0:
        return (
            "none",
            f"{span}: counts, TPM and RPKM are never negative, so these are on a log or centred scale",
        )
    if high > 1 and all(
        np.array_equal(values[rows], np.rint(values[rows])) for rows in row_blocks(values.shape)
    ):
        return (
            "log2p1",
            f"all {values.size} values are non-negative whole numbers, the largest {high:.6g}: counts",
        )
    if high <= LOG_LIMIT:
        return (
            "none",
            f"{span}, within a log2 scale (up to {LOG_LIMIT:g}); for TPM or RPKM give --transform log2p1",
        )
    share = float(np.mean(values > LOG_LIMIT))
    mean, median = float(values.mean(dtype=np.float64)), float(np.median(values))
    beyond = f"{share:.3%} of the values exceed {LOG_LIMIT:g}, the most that a log2 scale reaches"
    if share > STRAY_SHARE or mean > 2 * median:
        return (
            "log2p1",
            f"all values are non-negative and the largest is {high:.6g}; {beyond}: TPM, RPKM or the like",
        )
    return "none", (
        f"{span}, but only {beyond}, and the mean, {mean:.3g}, is close to the median, {median:.3g}: "
        "log-scale data with strays"
    )


def apply_transform(matrix: ExpressionMatrix, transform: str, name: str) -> ExpressionMatrix:
    """`matrix` itself for "none", or a new one of log2(x + 1) for "log2p1".

    Raises InputError, naming `name` (the file), for a negative value under log2p1.
    """
    if transform == "none":
        return matrix
    values = matrix.values
    n_negative, place = count_and_first(values, lambda block: block < 0)
    if place is not None:
        row, column = place
        raise InputError(
            f"{name}: {n_negative} values are negative, the first is {values[row, column]} at "
            f"{where(matrix, row, column)}: log2(x + 1) needs counts, TPM or RPKM: give --transform none"
        )
    # In float64 and rounded once: float32 log1p would cost an ulp or two.
    logged = np.empty_like(values)
    for row, counts in enumerate(values):
        logged[row] = np.log1p(counts, dtype=np.float64) / np.log(2)
    return ExpressionMatrix(
        logged, matrix.sample_ids, matrix.gene_ids, matrix.sample_labels, matrix.gene_labels
    )
