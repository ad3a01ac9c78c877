"""What --data names: the simulated cohort, a release of GTEx or a file, made ready for splitting and scaling."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix, check_expression
from data_utils.files import sha256
from data_utils.genes import LandmarkMatch, landmark_table, select_landmarks
from data_utils.gtex import RELEASES
from data_utils.transform import apply_transform, choose_transform

SIMULATED = "simulated"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Checked expression values on the scale that the study works on, and where they come from.

    matrix: the landmark genes (or all), transformed.
    source: "simulated", the name of a release of GTEx, or the absolute path.
    genes_matched, genes_missing: landmark genes found, symbols of the others; None, () with all genes.
    notes: lines for the log. file_size: bytes; file_sha256: of the file as it lies there, or as it was fetched.
    group: the label whose samples should stay together in a split; None where nothing is known of one.
    origin: of a release, where its files came from and when; None for others.
    cohort: the simulated Cohort, which knows its own best denoiser; None for others.
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
    group: str | None = None
    origin: dict | None = None
    cohort: Any = None

    def facts(self) -> dict:
        """What a run keeps of it, JSON-able: all but values, names, notes, cohort; `sha256` is that of the values."""
        names = (
            "source",
            "simulated",
            "transform",
            "transform_reason",
            "genes_matched",
            "file_size",
            "file_sha256",
        )
        return {
            **{name: getattr(self, name) for name in (*names, "origin")},
            "genes_missing": list(self.genes_missing),
            "n_samples": self.matrix.n_samples,
            "n_genes": self.matrix.n_genes,
            "sha256": self.matrix.content_hash(),
        }


def load_dataset(
    data: str = SIMULATED,
    *,
    genes_in: str | None = None,
    transform: str = "auto",
    all_genes: bool = False,
    data_seed: int = 0,
) -> Dataset:
    """Load what `data` names: "simulated" (drawn from `data_seed`), a release of GTEx, or an expression file's path.

    A release (gtex.RELEASES) is fetched where the cache does not hold it; it has its landmark genes only.
    genes_in: see `formats.read_expression`; transform: "auto", "none" or "log2p1"; all_genes: keep every gene
    of a file, not only its landmark genes. The simulated cohort has landmark genes only, on a log2 scale;
    none of the three changes it. Raises InputError for whatever is wrong with the file or the arguments.
    """
    if data == SIMULATED:
        return _simulated(data_seed)
    from data_utils.formats.registry import (
        read_expression,  # with h5py and pyarrow; the simulated cohort needs neither
    )

    path, known = Path(os.path.expanduser(data)).absolute(), {}
    if data in RELEASES:
        fetch(data, all_genes)
        path, known = _release(data)
    elif data.startswith("gtex-") and not path.exists():
        raise InputError(
            f"{path}: no such file, nor a release of GTEx: give one of {', '.join(RELEASES)}, or a path"
        )
    matrix = read_expression(path, genes_in)
    match = None
    if all_genes:
        check_expression(matrix, str(path))
    else:
        matrix, match = select_landmarks(matrix, str(path))
        check_expression(matrix, str(path))
    chosen, reason = choose_transform(matrix.values, transform)
    matrix = apply_transform(matrix, chosen, str(path))
    dataset = Dataset(
        matrix=matrix,
        source=str(path),
        simulated=False,
        transform=chosen,
        transform_reason=reason,
        genes_matched=None if match is None else match.matched,
        genes_missing=() if match is None else match.missing,
        notes=_notes(matrix, match, chosen, reason),
    )
    return replace(
        dataset, **(known or {"file_size": path.stat().st_size, "file_sha256": sha256(path)})
    )


def fetch(data: str, all_genes: bool = False) -> None:
    """Have a release of GTEx in the cache; nothing for other data. Raises InputError where that cannot be."""
    if data not in RELEASES:
        return
    from data_utils.gtex import addresses, open_release

    if all_genes:
        raise InputError(
            f"--all-genes: of {data} only the landmark genes are kept (all would take gigabytes): get "
            f"{addresses(RELEASES[data].expression)[0]} by hand and give its path as --data"
        )
    open_release(data)


def _release(name: str) -> tuple[Path, dict]:
    """The file in the cache with the landmark genes of a release, and what a Dataset tells of it."""
    from data_utils.gtex import DONOR, open_release

    cached = open_release(name)
    values = cached.record["expression"]
    return cached.path, {
        "source": name,
        "file_size": values["size"],
        "file_sha256": values["sha256"],
        "group": DONOR,
        "origin": {
            key: cached.record[key]
            for key in ("title", "unit", "stored", "expression", "attributes")
        },
    }


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


def _notes(
    matrix: ExpressionMatrix, match: LandmarkMatch | None, transform: str, reason: str
) -> tuple[str, ...]:
    notes = [f"{matrix.n_samples} samples x {matrix.n_genes} genes"]
    if match is not None:
        total = len(landmark_table())
        notes.append(f"landmark genes: {match.matched} of {total} found by {match.id_kind}")
        if match.missing:
            notes.append(
                f"{len(match.missing)} landmark genes are missing: {', '.join(match.missing)}"
            )
        if match.duplicates:
            notes.append(
                f"{match.duplicates} rows left out: other rows name the same landmark genes"
            )
    notes.append(f"transform {transform}: {reason}")
    constant = int((np.ptp(matrix.values, axis=0) == 0).sum())
    if constant:
        notes.append(f"{constant} genes are constant over all samples: scaled, they are 0")
    return tuple(notes)
