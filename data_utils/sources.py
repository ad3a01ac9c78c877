"""Loading what --data names: the simulated cohort, a GTEx release or a file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_utils.cohort import Cohort, simulate_cohort
from data_utils.errors import InputError
from data_utils.expression import (
    ExpressionMatrix,
    apply_transform,
    check_expression,
    check_finite,
    choose_transform,
)
from data_utils.files import sha256
from data_utils.genes import LandmarkMatch, landmark_table, select_landmarks, select_others
from data_utils.gtex import DONOR, RELEASES, addresses, open_release

SIMULATED = "simulated"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Checked expression values on the study's scale, with their source.

    matrix: the landmark genes (or all), transformed.
    source: "simulated", the name of a release of GTEx, or the absolute path.
    genes_matched, genes_missing: number of landmark genes found, and symbols of the missing ones;
        None and () with all genes.
    notes: lines for the log. file_size (bytes), file_sha256: of the file as given or downloaded.
    group: the label whose samples should stay together in a split; None if no such label is known.
    origin: source and date of a release's files; None for other data.
    cohort: the simulated Cohort, whose best denoiser is known; None for other data.
    others: the file's genes besides the landmark genes, transformed; None unless requested.
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
    cohort: Cohort | None = None
    others: ExpressionMatrix | None = None

    def facts(self) -> dict:
        """Return the JSON-able facts that a run records; `sha256` is that of values and ids."""
        return {
            "source": self.source,
            "simulated": self.simulated,
            "transform": self.transform,
            "transform_reason": self.transform_reason,
            "genes_matched": self.genes_matched,
            "file_size": self.file_size,
            "file_sha256": self.file_sha256,
            "origin": self.origin,
            "genes_missing": list(self.genes_missing),
            "n_samples": self.matrix.n_samples,
            "n_genes": self.matrix.n_genes,
            "sha256": self.matrix.content_hash(),
            "n_other_genes": None if self.others is None else self.others.n_genes,
            "others_sha256": None if self.others is None else self.others.content_hash(),
        }


def load_dataset(
    data: str = SIMULATED,
    *,
    genes_in: str | None = None,
    transform: str = "auto",
    all_genes: bool = False,
    other_genes: bool = False,
    data_seed: int = 0,
) -> Dataset:
    """Load "simulated" (drawn from `data_seed`), a release of GTEx, or an expression file's path.

    A release (gtex.RELEASES) is downloaded if the cache does not hold it, and has only its landmark
    genes. genes_in: see `read_expression`; transform: "auto", "none" or "log2p1"; all_genes: keep
    every gene of a file, not only its landmark genes; other_genes: also load the other genes, into
    Dataset.others. The simulated cohort has only landmark genes, on a log2 scale; genes_in,
    transform and all_genes do not change it. Raises InputError for any fault of the file or the
    arguments.
    """
    check_genes(data, all_genes, other_genes)
    if data == SIMULATED:
        return _simulated(data_seed)
    from data_utils.formats.registry import read_expression  # the simulated cohort needs no h5py

    path = Path(os.path.expanduser(data)).absolute()
    origin = None
    if data in RELEASES:
        cached = open_release(data)
        path = cached.path
        names = ("title", "unit", "stored", "expression", "attributes")
        origin = {name: cached.record[name] for name in names}
    elif data.startswith("gtex-") and not path.exists():
        raise InputError(
            f"{path}: no such file, nor a release of GTEx: give one of {', '.join(RELEASES)}, or a "
            "path"
        )
    matrix = read_expression(path, genes_in)
    match = others = None
    if not all_genes:
        whole = matrix
        matrix, match = select_landmarks(whole, str(path))
        others = _others(whole, match, str(path)) if other_genes else None
        del whole
    check_expression(matrix, str(path))
    chosen, reason = choose_transform(matrix.values, transform)
    matrix = apply_transform(matrix, chosen, str(path))
    if others is not None:
        others = apply_transform(others, chosen, str(path))
    return Dataset(
        matrix=matrix,
        source=str(path) if origin is None else data,
        simulated=False,
        transform=chosen,
        transform_reason=reason,
        genes_matched=None if match is None else match.matched,
        genes_missing=() if match is None else match.missing,
        notes=_notes(matrix, match, others, f"transform {chosen}: {reason}"),
        file_size=path.stat().st_size if origin is None else origin["expression"]["size"],
        file_sha256=sha256(path) if origin is None else origin["expression"]["sha256"],
        group=None if origin is None else DONOR,
        origin=origin,
        others=others,
    )


def check_genes(data: str, all_genes: bool, other_genes: bool = False) -> None:
    """Raise InputError if `data` are known to lack the requested genes.

    Arguments are as in `load_dataset`.
    """
    if not other_genes and (not all_genes or data not in RELEASES):
        return
    predicts = "this grid predicts the other genes of a file from its landmark genes"
    if all_genes and other_genes:
        raise InputError(f"--all-genes: {predicts}: leave it out")
    if data == SIMULATED:
        raise InputError(
            f"--data {data}: {predicts}, and simulated data have none: give a file with more genes"
        )
    if data in RELEASES:
        wanted = f"--data {data}: {predicts}: of it" if other_genes else f"--all-genes: of {data}"
        raise InputError(
            f"{wanted} only the landmark genes are kept (all would take gigabytes): "
            f"get {addresses(RELEASES[data].expression)[0]} by hand and give its path as --data"
        )


def fetch(data: str) -> None:
    """Download a GTEx release into the cache; do nothing for other data.

    Raises InputError if the download fails.
    """
    if data in RELEASES:
        open_release(data)


def _others(matrix: ExpressionMatrix, match: LandmarkMatch, name: str) -> ExpressionMatrix:
    """Return the checked genes that are not landmark genes. Raises InputError if there are none."""
    others = select_others(matrix, match)
    if not others.n_genes:
        raise InputError(
            f"{name}: has no gene besides its {match.matched} landmark genes, so none can be "
            "predicted from them: give a file with more genes"
        )
    check_finite(others, name, f" of {others.values.size}")
    return others


def _simulated(seed: int) -> Dataset:
    cohort = simulate_cohort(seed=seed)
    matrix = cohort.matrix
    size = f"{matrix.n_samples} samples x {matrix.n_genes} genes"
    return Dataset(
        matrix=matrix,
        source=SIMULATED,
        simulated=True,
        transform="none",
        transform_reason="the simulated cohort is on a log2 scale",
        genes_matched=matrix.n_genes,
        genes_missing=(),
        notes=(f"simulated cohort, seed {seed}: {size} on a log2 scale",),
        cohort=cohort,
    )


def _notes(
    matrix: ExpressionMatrix,
    match: LandmarkMatch | None,
    others: ExpressionMatrix | None,
    transform: str,
) -> tuple[str, ...]:
    notes = [f"{matrix.n_samples} samples x {matrix.n_genes} genes"]
    if match is not None:
        total = len(landmark_table())
        notes.append(f"landmark genes: {match.matched} of {total} found by {match.id_kind}")
        if match.missing:
            missing = ", ".join(match.missing)
            notes.append(f"{len(match.missing)} landmark genes are missing: {missing}")
        if match.duplicates:
            left_out = "rows left out: other rows name the same landmark genes"
            notes.append(f"{match.duplicates} {left_out}")
    if others is not None:
        notes.append(f"other genes, predicted from the landmark genes: {others.n_genes}")
    notes.append(transform)
    constant = int((np.ptp(matrix.values, axis=0) == 0).sum())
    if constant:
        notes.append(f"{constant} genes are constant over all samples: scaled, they are 0")
    return tuple(notes)
