"""The 943 L1000 landmark genes that GTEx measures too: finding them under whatever name a file gives them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix

MIN_LANDMARKS = 50  # fewer would be another study: the smallest code of the grid has 32 units
KINDS = {"ensembl_id": "Ensembl id", "gene_symbol": "gene symbol", "probe_id": "L1000 probe id"}
# A version is dropped. "ENSG00000182378.8_PAR_Y" is the copy on Y of a gene on X and stays apart.
ENSEMBL_VERSION = r"^(ENSG\d{11})\.\d+$"


@dataclass(frozen=True)
class LandmarkMatch:
    """Which of the landmark genes were found, and where.

    matched: their number; missing: the symbols of the others, in the table's order.
    id_kind: what the names are, for a message ("Ensembl id", or "gene symbol in column Description").
    duplicates: rows left out because another row is the same gene.
    rows, landmarks: (matched,) positions in the ids given and in `landmark_table()`; in the table's order.
    """

    matched: int
    missing: tuple[str, ...]
    id_kind: str
    duplicates: int
    rows: np.ndarray = field(repr=False, compare=False)
    landmarks: np.ndarray = field(repr=False, compare=False)


def landmark_table() -> pd.DataFrame:
    """The landmark genes: 943 rows of ensembl_id, gene_symbol and probe_id. A copy, the caller's own."""
    return _table().copy()


def match_landmarks(ids: Sequence[str]) -> LandmarkMatch:
    """Find the landmark genes among `ids` as `match_genes` does."""
    return match_genes(_table(), ids)


def match_genes(table: pd.DataFrame, ids: Sequence[str]) -> LandmarkMatch:
    """Find the genes of `table`, a row a gene, among `ids`: the one kind of name that finds the most of them.

    The columns of the table are those of KINDS; a name that is not known is "". Case and Ensembl versions do not
    matter. Of several ids for one gene the first that is spelled exactly as in the table is kept, else the first.
    """
    given = pd.Series(np.asarray(ids, dtype=object), dtype=object).map(str)
    folded = _folded(given)
    matches = [_match_kind(table, given, folded, column) for column in KINDS]
    return max(matches, key=lambda match: match.matched)


def match_matrix(
    table: pd.DataFrame, matrix: ExpressionMatrix, name: str, least: int = MIN_LANDMARKS
) -> LandmarkMatch:
    """Find the genes of `table` among those of a matrix: by their ids or, where `least` are not found, by a label.

    Raises InputError, naming `name` (the file), when two genes bear one and the same id.
    """
    match = match_genes(table, matrix.gene_ids)
    if match.matched < least:
        return _best_label(table, matrix, match)
    _refuse_repeated(matrix.gene_ids, match, name)
    return match


def is_landmark(ensembl_id: str) -> bool:
    """Whether this is the Ensembl id of a landmark gene, in whatever case and version."""
    return re.sub(ENSEMBL_VERSION, r"\1", ensembl_id.upper()) in _landmark_ids()


def count_landmarks(ids: Sequence[str]) -> int:
    """How many different landmark genes `ids` name."""
    return match_landmarks(ids).matched


def select_landmarks(matrix: ExpressionMatrix, name: str) -> tuple[ExpressionMatrix, LandmarkMatch]:
    """The landmark genes of `matrix` in the table's order, under their Ensembl ids.

    Gene labels of the result are gene_symbol and probe_id. Genes are found by their ids or, where those
    do not tell, by a text column of the gene labels. Raises InputError, naming `name`, when fewer than
    MIN_LANDMARKS are found, and when two genes bear one and the same id.
    """
    match = match_matrix(_table(), matrix, name)
    if match.matched < MIN_LANDMARKS:
        first = ", ".join(repr(gene) for gene in matrix.gene_ids[:3])
        raise InputError(
            f"{name}: {match.matched} of {len(_table())} landmark genes found among {matrix.n_genes} genes "
            f"({first}, ...), {MIN_LANDMARKS} are needed: name genes by Ensembl id, symbol or L1000 "
            "probe id, or keep every gene with --all-genes"
        )
    table = _table().iloc[match.landmarks]
    picked = matrix.select(genes=match.rows)
    labels = table[["gene_symbol", "probe_id"]].set_axis(table["ensembl_id"])
    landmarks = ExpressionMatrix(
        picked.values, picked.sample_ids, table["ensembl_id"], picked.sample_labels, labels
    )
    return landmarks, match


@cache
def _table() -> pd.DataFrame:
    path = Path(__file__).with_name("landmark_genes.csv")
    return pd.read_csv(path, dtype=str, keep_default_na=False)


@cache
def _landmark_ids() -> frozenset[str]:
    return frozenset(_table()["ensembl_id"].str.upper())


def _folded(names: pd.Series) -> pd.Series:
    """Without what does not matter in a name: its case, and an Ensembl version."""
    return names.str.upper().str.replace(ENSEMBL_VERSION, r"\1", regex=True)


def _places(names: pd.Series) -> pd.Series:
    """The position of each name, the first of those that repeat; of "" none."""
    places = pd.Series(np.arange(len(names)), index=names.to_numpy())
    return places[(places.index != "") & ~places.index.duplicated()]


def _match_kind(
    table: pd.DataFrame, given: pd.Series, folded: pd.Series, column: str
) -> LandmarkMatch:
    place = folded.map(_places(_folded(table[column])))
    hits = pd.DataFrame({"landmark": place, "inexact": given.map(_places(table[column])).isna()})
    hits = hits[place.notna()].sort_values(["landmark", "inexact"], kind="stable")
    kept = hits.drop_duplicates("landmark")
    landmarks = kept["landmark"].to_numpy(dtype=np.intp)
    symbols = table["gene_symbol"].where(table["gene_symbol"] != "", table["ensembl_id"])
    missing = np.delete(symbols.to_numpy(), landmarks)
    return LandmarkMatch(
        matched=len(kept),
        missing=tuple(missing),
        id_kind=KINDS[column],
        duplicates=len(hits) - len(kept),
        rows=kept.index.to_numpy(dtype=np.intp),
        landmarks=landmarks,
    )


def _best_label(
    table: pd.DataFrame, matrix: ExpressionMatrix, match: LandmarkMatch
) -> LandmarkMatch:
    """The match of the gene label column that finds the most genes, or `match` if none finds more."""
    for column in matrix.gene_labels.select_dtypes(include="object").columns:
        found = match_genes(table, matrix.gene_labels[column])
        if found.matched > match.matched:
            match = replace(found, id_kind=f"{found.id_kind} in column {column}")
    return match


def _refuse_repeated(ids: np.ndarray, match: LandmarkMatch, name: str) -> None:
    """Two rows under two names may be one gene; two rows under one name are a mistake in the file."""
    counts = pd.Series(ids).value_counts()
    repeated = [gene for gene in ids[match.rows] if counts[gene] > 1]
    if repeated:
        raise InputError(
            f"{name}: {len(repeated)} gene id(s) occur more than once ({', '.join(map(repr, repeated[:3]))}): "
            "keep one gene of each name or rename them"
        )
