"""What --data names: the simulated cohort or a file, made ready for splitting and scaling."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_utils.expression import ExpressionMatrix, check_expression
from data_utils.landmarks import LandmarkMatch, landmark_table, select_landmarks
from data_utils.transform import apply_transform, choose_transform

SIMULATED = "simulated"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Checked expression values on the scale that the study works on, and where they come from.

    matrix: the landmark genes (or all), transformed.
    source: "simulated", or the absolute path.
    genes_matched, genes_missing: landmark genes found, symbols of the others; None, () with all genes.
    notes: lines for the log. file_size: bytes; file_sha256: of the file as it lies there.
    cohort: the simulated Cohort, which knows its own best denoiser; None for a file.
    """

    matrix: ExpressionMatrix
    source: str
    simulated: bool
    transform: str
    transform_reason: str
    genes_matched: int | None
    genes_missing: tuple[str, ...]
    notes: tuple[str, ...]
    file_size: int | None = None
    file_sha256: str | None = None
    cohort: Any = None


def load_dataset(
    data: str = SIMULATED,
    *,
    genes_in: str | None = None,
    transform: str = "auto",
    all_genes: bool = False,
    data_seed: int = 0,
) -> Dataset:
    """Load what `data` names: "simulated" (drawn from `data_seed`), or the path of an expression file.

    genes_in: see `formats.read_expression`; transform: "auto", "none" or "log2p1"; all_genes: keep every gene
    of a file, not only its landmark genes. The simulated cohort has landmark genes only, on a log2 scale;
    none of the three changes it. Raises InputError for whatever is wrong with the file or the arguments.
    """
    if data == SIMULATED:
        return _simulated(data_seed)
    from data_utils.formats import read_expression  # with h5py and pyarrow; the simulated cohort needs neither

    path = Path(os.path.expanduser(data)).absolute()
    matrix = read_expression(path, genes_in)
    match = None
    if all_genes:
        check_expression(matrix, str(path))
    else:
        matrix, match = select_landmarks(matrix, str(path))
        check_expression(matrix, str(path))
    chosen, reason = choose_transform(matrix.values, transform)
    matrix = apply_transform(matrix, chosen, str(path))
    return Dataset(
        matrix=matrix,
        source=str(path),
        simulated=False,
        transform=chosen,
        transform_reason=reason,
        genes_matched=None if match is None else match.matched,
        genes_missing=() if match is None else match.missing,
        notes=_notes(matrix, match, chosen, reason),
        file_size=path.stat().st_size,
        file_sha256=_sha256(path),
    )


def _simulated(seed: int) -> Dataset:
    from data_utils.cohort import simulate_cohort  # a file needs none of it

    cohort = simulate_cohort(seed=seed)
    matrix = cohort.matrix
    size = f"simulated cohort, seed {seed}: {matrix.n_samples} samples x {matrix.n_genes} genes on a log2 scale"
    return Dataset(
        matrix=matrix,
        source=SIMULATED,
        simulated=True,
        transform="none",
        transform_reason="the simulated cohort is on a log2 scale",
        genes_matched=matrix.n_genes,
        genes_missing=(),
        notes=(size,),
        cohort=cohort,
    )


def _notes(matrix: ExpressionMatrix, match: LandmarkMatch | None, transform: str, reason: str) -> tuple[str, ...]:
    notes = [f"{matrix.n_samples} samples x {matrix.n_genes} genes"]
    if match is not None:
        total = len(landmark_table())
        notes.append(f"landmark genes: {match.matched} of {total} found by {match.id_kind}")
        if match.missing:
            notes.append(f"{len(match.missing)} landmark genes are missing: {', '.join(match.missing)}")
        if match.duplicates:
            notes.append(f"{match.duplicates} rows left out: other rows name the same landmark genes")
    notes.append(f"transform {transform}: {reason}")
    constant = int((np.ptp(matrix.values, axis=0) == 0).sum())
    if constant:
        notes.append(f"{constant} genes are constant over all samples: scaled, they are 0")
    return tuple(notes)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
