"""The 943 L1000 landmark genes that GTEx measures, too, found by any of their names."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix, check_unique

MIN_LANDMARKS = 50  # with fewer, the paper's code of 32 units would hardly compress
KINDS = {"ensembl_id": "Ensembl id", "gene_symbol": "gene symbol", "probe_id": "L1000 probe id"}
#: An id whose version is dropped. "ENSG00000182378.8_PAR_Y", a copy on Y of a gene on X, does not
#: match and stays another gene.
ENSEMBL_VERSION = r"^(ENSG\d{11})\.\d+$"


@dataclass(frozen=True)
class LandmarkMatch:
    """The genes of a table that were found among given ids, with their positions.

    matched: their number; missing: the symbols of the others, in the table's order.
    id_kind: kind of the names ("Ensembl id", or "gene symbol in column Description").
    duplicates: rows left out because another row is the same gene.
    rows, landmarks: (matched,) positions in the ids given and in the table; in the table's order.
    named: positions in the ids given of all rows that name a landmark gene, also the duplicates.
    """

    matched: int
    missing: tuple[str, ...]
    id_kind: str
    duplicates: int
    rows: np.ndarray = field(repr=False, compare=False)
    landmarks: np.ndarray = field(repr=False, compare=False)
    named: np.ndarray = field(repr=False, compare=False)


def landmark_table() -> pd.DataFrame:
    """Return the landmark genes: 943 rows of text, as a copy.

    The columns are ensembl_id, gene_symbol, probe_id, and the position on the genome GRCh38:
    chromosome ("1" to "22", "X") and start, from GENCODE 48 and HGNC of June 2026.
    """
    return _table().copy()


def gene_names(ids: Sequence[str]) -> list[str]:
    """Return the symbol of each landmark gene, and every other id as it is."""
    match, names = match_landmarks(ids), [str(name) for name in ids]
    symbols = _table()["gene_symbol"]
    for row, landmark in zip(match.rows, match.landmarks, strict=True):
        names[row] = symbols[landmark] or names[row]
    return names


@cache
def _table() -> pd.DataFrame:
    path = Path(__file__).with_name("landmark_genes.csv")
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def chromosome_order(ids: Sequence[str] | np.ndarray) -> np.ndarray:
    """Return the order of genes along the chromosomes, (genes,) positions in `ids`.

    Genes that are not in the table come last, in the order given.
    """
    match = match_landmarks(list(ids))
    table = _table().iloc[match.landmarks]
    number = table["chromosome"].replace({"X": "23"}).astype(int)
    placed = match.rows[np.lexsort((table["start"].astype(int), number))]
    return np.concatenate([placed, np.setdiff1d(np.arange(len(ids)), placed)])


def is_landmark(ensembl_id: str) -> bool:
    """Return whether this is a landmark gene's Ensembl id, in any case and version."""
    return re.sub(ENSEMBL_VERSION, r"\1", ensembl_id.upper()) in _landmark_ids()


@cache
def _landmark_ids() -> frozenset[str]:
    return frozenset(_table()["ensembl_id"].str.upper())


def match_landmarks(ids: Sequence[str]) -> LandmarkMatch:
    """Find the landmark genes among `ids` as `match_genes` does."""
    return match_genes(_table(), ids)


def match_genes(table: pd.DataFrame, ids: Sequence[str]) -> LandmarkMatch:
    """Find the genes of `table`, one per row, among `ids`, by the kind of name that finds the most.

    The columns of the table are those of KINDS; an unknown name is "". Case and Ensembl versions do
    not matter. Of several ids for one gene the first that is spelled exactly as in the table is
    kept, else the first.
    """
    given = pd.Series(np.asarray(ids, dtype=object), dtype=object).map(str)
    folded = _folded(given)
    matches = [_match_kind(table, given, folded, column) for column in KINDS]
    return max(matches, key=lambda match: match.matched)


def _match_kind(
    table: pd.DataFrame, given: pd.Series, folded: pd.Series, column: str
) -> LandmarkMatch:
    place = folded.map(_places(_folded(table[column])))
    hits = pd.DataFrame({"landmark": place, "inexact": given.map(_places(table[column])).isna()})
    hits = hits[place.notna()].sort_values(["landmark", "inexact"], kind="stable")
    kept = hits.drop_duplicates("landmark")
    landmarks = kept["landmark"].to_numpy(dtype=np.intp)
    symbols = table["gene_symbol"].where(table["gene_symbol"] != "", table["ensembl_id"])
    return LandmarkMatch(
        matched=len(kept),
        missing=tuple(np.delete(symbols.to_numpy(), landmarks)),
        id_kind=KINDS[column],
        duplicates=len(hits) - len(kept),
        rows=kept.index.to_numpy(dtype=np.intp),
        landmarks=landmarks,
        named=hits.index.to_numpy(dtype=np.intp),
    )


def _folded(names: pd.Series) -> pd.Series:
    """Convert names to upper case without Ensembl versions."""
    return names.str.upper().str.replace(ENSEMBL_VERSION, r"\1", regex=True)


def _places(names: pd.Series) -> pd.Series:
    """Return the position of each name except "", the first one if the name repeats."""
    places = pd.Series(np.arange(len(names)), index=names.to_numpy())
    return places[(places.index != "") & ~places.index.duplicated()]


def match_matrix(
    table: pd.DataFrame, matrix: ExpressionMatrix, name: str, least: int = MIN_LANDMARKS
) -> LandmarkMatch:
    """Find the genes of `table` among those of a matrix.

    They are found by their ids or, if fewer than `least` are, by the text column of the gene labels
    that finds the most. Raises InputError, naming `name` (the file), if two genes have the same id:
    two names may stand for one gene, but two rows of the same name are a mistake in the file.
    """
    match = match_genes(table, matrix.gene_ids)
    if match.matched >= least:
        found = set(matrix.gene_ids[match.rows])
        check_unique([gene for gene in matrix.gene_ids if gene in found], "gene", name)
        return match
    for column in matrix.gene_labels.select_dtypes(include="object").columns:
        other = match_genes(table, matrix.gene_labels[column])
        if other.matched > match.matched:
            match = replace(other, id_kind=f"{other.id_kind} in column {column}")
    return match


def select_landmarks(matrix: ExpressionMatrix, name: str) -> tuple[ExpressionMatrix, LandmarkMatch]:
    """Return the landmark genes of `matrix` in the table's order, under their Ensembl ids.

    Gene labels of the result are gene_symbol and probe_id. Raises InputError, naming `name`, if
    fewer than MIN_LANDMARKS are found, and as `match_matrix` does.
    """
    match = match_matrix(_table(), matrix, name)
    if match.matched < MIN_LANDMARKS:
        first = ", ".join(repr(gene) for gene in matrix.gene_ids[:3])
        raise InputError(
            f"{name}: {match.matched} of {len(_table())} landmark genes found among "
            f"{matrix.n_genes} genes ({first}, ...), {MIN_LANDMARKS} are needed: name genes by "
            "Ensembl id, symbol or L1000 probe id, or keep every gene with --all-genes"
        )
    table = _table().iloc[match.landmarks]
    picked = matrix.select(genes=match.rows)
    labels = table[["gene_symbol", "probe_id"]].set_axis(table["ensembl_id"])
    landmarks = replace(picked, gene_ids=table["ensembl_id"], gene_labels=labels)
    return landmarks, match


def select_others(matrix: ExpressionMatrix, match: LandmarkMatch) -> ExpressionMatrix:
    """Return the genes of `matrix` that are not landmark genes, in their order."""
    others = np.setdiff1d(np.arange(matrix.n_genes), match.named)
    return matrix.select(genes=others)
