"""CSV, TSV and TXT tables: finding their orientation and their label columns, and writing them.

Whether genes are in rows or in columns is found by the names that are landmark genes; if these do
not decide, `genes_in` ("rows" or "columns") must. Text columns next to the numbers are labels: of
samples if samples are in rows, of genes (leading columns only) if genes are. A column of quoted
cells in a table that does not quote its numbers is text even if it looks like numbers, as in files
that R or `write_table` wrote.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv as arrow_csv

from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix
from data_utils.formats.text import (
    MISSING,
    bad_cell,
    is_number,
    number_texts,
    open_bytes,
    plain,
    ragged,
    read_lines,
    shown,
    write_rows,
)
from data_utils.genes import match_landmarks

T = TypeVar("T")

BLOCK_BYTES = 32 << 20  # a line must fit into a block: this holds a sample of two million genes
PEEK_ROWS = 10  # rows that decide which columns are text
#: Landmark names that cannot be chance; the other axis must have at most a tenth as many.
CLEAR_MATCHES = 10
#: First column names, in lower case, that are names of an id column.
ID_NAMES = ("", "id", "ids", "sample", "sample_id", "gene", "gene_id", "name")
ENSEMBL = re.compile(r"ENS[A-Z]*G\d{11}")


@dataclass(frozen=True)
class _Layout:
    """Names of the columns of a file, and which of them are text; the others are float32."""

    path: Path
    delimiter: str
    names: list[str]
    text: list[bool]
    genes_in: str | None

    def arrow_options(self) -> dict[str, Any]:
        """Arguments of Arrow's readers; columns are "0", "1", ..., since names may repeat."""
        columns = [str(i) for i in range(len(self.text))]
        kinds = [pa.string() if is_text else pa.float32() for is_text in self.text]
        return {
            "read_options": arrow_csv.ReadOptions(
                skip_rows=1, column_names=columns, block_size=BLOCK_BYTES
            ),
            "parse_options": arrow_csv.ParseOptions(delimiter=self.delimiter),
            "convert_options": arrow_csv.ConvertOptions(
                column_types=dict(zip(columns, kinds, strict=True)),
                null_values=list(MISSING),
                strings_can_be_null=False,
            ),
        }

    def checked(self, read: Callable[[], T]) -> T:
        """Call `read` and return its result; raise InputError naming a faulty row or cell.

        Raises ArrowInvalid for other faults, such as a file that is not text.
        """
        try:
            found = read()
            if any(column.null_count for column in getattr(found, "columns", ())):
                raise pa.ArrowInvalid("a number is missing")
        except pa.ArrowInvalid:
            self._find_fault()
            raise
        return found

    def _find_fault(self) -> None:
        """Read the file again, row by row, and raise InputError for the first faulty one."""
        mostly_genes = sum(_is_gene(self.names[1:])) * 2 > len(self.names) - 1
        in_rows = self.genes_in == "rows" or (self.genes_in is None and not mostly_genes)
        with (
            open_bytes(self.path) as stream,
            io.TextIOWrapper(stream, "utf-8", errors="replace", newline="") as lines,
        ):
            rows = csv.reader(islice(lines, 1, None), delimiter=self.delimiter)
            for number, row in enumerate(rows, 2):
                if row and len(row) != len(self.text):
                    raise ragged(self.path, number, row[0], len(row), len(self.text))
                for name, cell, is_text in zip(self.names, row, self.text, strict=False):
                    if not is_text and not is_number(cell):
                        sample, gene = (name, row[0])[:: 1 if in_rows else -1]
                        raise bad_cell(self.path, cell, sample, gene)


def read_table(path: Path, genes_in: str | None = None) -> ExpressionMatrix:
    """Read a .csv, .tsv or .txt table, plain or .gz, with ids in its first line and first column.

    Raises InputError for an orientation that cannot be found, letters among the numbers, empty
    cells, rows of unequal length, and a table without numbers.
    """
    layout = _layout(path, genes_in)
    with open_bytes(path) as stream:
        table = layout.checked(lambda: arrow_csv.read_csv(stream, **layout.arrow_options()))
    return assemble(path, table.columns, layout.names, layout.text, genes_in)


def table_blocks(path: Path, genes_in: str | None = None) -> Iterator[ExpressionMatrix]:
    """Read some samples at a time, in order; all at once if samples are not in rows."""
    layout = _layout(path, genes_in)
    if not samples_in_rows(layout.names, genes_in):
        yield read_table(path, genes_in)
        return
    with open_bytes(path) as stream:
        reader = layout.checked(lambda: arrow_csv.open_csv(stream, **layout.arrow_options()))
        with reader:
            while True:
                try:
                    block = layout.checked(reader.read_next_batch)
                except StopIteration:
                    return
                if block.num_rows:
                    yield assemble(path, block.columns, layout.names, layout.text, "columns")


def samples_in_rows(names: Sequence[str], genes_in: str | None) -> bool:
    """Return whether `genes_in`, or else the column names, make clear that samples are in rows."""
    if genes_in is not None:
        return genes_in == "columns"
    return _clear(match_landmarks(names).matched, 0, len(names))


def _clear(found: int, elsewhere: int, names: int) -> bool:
    return (found >= CLEAR_MATCHES or found * 2 > names) and found >= 10 * elsewhere


def assemble(
    path: Path,
    columns: Sequence[Any],
    names: Sequence[str],
    text: Sequence[bool],
    genes_in: str | None,
) -> ExpressionMatrix:
    """Make a matrix from the columns of a table, which are `text` (ids first) or float32 numbers.

    Raises InputError if it has no numbers, cells that are not numbers, or an unclear orientation.
    """
    numbers = [i for i, is_text in enumerate(text) if not is_text]
    if not numbers:
        raise InputError(f"{path}: has no column of numbers: give a table of expression values")
    texts = {i: columns[i].to_pylist() for i, is_text in enumerate(text) if is_text}
    ids, number_names = texts[0], [names[i] for i in numbers]
    leading = [i for i in texts if i < numbers[0]]
    in_rows = _genes_in_rows(path, [texts[i] for i in leading], number_names, genes_in)
    for i in texts:
        if in_rows and i > numbers[0]:  # the column of a sample holds text
            row = next((row for row, cell in enumerate(texts[i]) if not is_number(cell)), 0)
            raise bad_cell(path, texts[i][row], sample=names[i], gene=ids[row])
    values = np.empty((len(numbers), len(ids)) if in_rows else (len(ids), len(numbers)), np.float32)
    by_name = values if in_rows else values.T
    for place, i in enumerate(numbers):
        by_name[place] = columns[i].to_numpy()
    labels = pd.DataFrame({names[i]: texts[i] for i in texts if i}, index=ids)
    if in_rows:
        return ExpressionMatrix(values, number_names, ids, None, labels)
    return ExpressionMatrix(values, ids, number_names, labels, None)


def _genes_in_rows(
    path: Path, row_names: list[list[str]], column_names: list[str], genes_in: str | None
) -> bool:
    if genes_in is not None:
        return genes_in == "rows"
    rows = max(match_landmarks(column).matched for column in row_names)
    columns = match_landmarks(column_names).matched
    if _clear(rows, columns, len(row_names[0])):
        return True
    if _clear(columns, rows, len(column_names)):
        return False
    raise InputError(
        f"{path}: cannot tell where the genes lie: {rows} names of rows and {columns} names of "
        "columns are landmark genes: give --genes-in rows or --genes-in columns"
    )


def _layout(path: Path, genes_in: str | None) -> _Layout:
    header, *rows = read_lines(path, 1 + PEEK_ROWS)
    usual = _usual_delimiter(path)
    delimiter = next((mark for mark in (usual, ",", "\t", ";") if mark in header), usual)
    names = next(csv.reader([header], delimiter=delimiter))
    # cells keep their quotes, which the csv module would drop
    cell = re.compile(rf'(?:^|{delimiter})("(?:[^"]|"")*"|[^{delimiter}]*)')
    cells = [cell.findall(row) for row in rows if row]
    if not cells or len(names) < 2:
        follows = "" if cells else " and nothing follows"
        raise InputError(
            f"{path}: holds no table: its first line is {shown(header)}{follows}: give a line of "
            "column names, then one row per sample or gene"
        )
    if len(cells[0]) == len(names) + 1:
        # a table that names its id column lacks another name, so later names would shift
        if names[0].strip().lower() in ID_NAMES:
            raise InputError(
                f"{path}: its first line has {len(names)} names for {len(names) + 1} columns: "
                "name them all"
            )
        names = ["id", *names]  # write.table of R leaves out the name of the id column
    return _Layout(path, delimiter, names, _text_columns(path, names, cells), genes_in)


def _usual_delimiter(path: Path) -> str:
    return "," if ".csv" in [ending.lower() for ending in path.suffixes[-2:]] else "\t"


def _text_columns(path: Path, names: list[str], cells: list[list[str]]) -> list[bool]:
    """Return which columns are text: ids, quoted ones, and those with few numbers at first."""
    genes = _is_gene(names)
    if genes[0] and all(is_number(row[0]) for row in cells):
        raise InputError(
            f"{path}: its first column, {shown(names[0])}, holds numbers of a gene: put the sample "
            "ids there"
        )
    whole = [row for row in cells if len(row) == len(names)] or [["0"] * len(names)]
    columns = list(zip(*whole, strict=True))
    quoted = [all(cell.startswith('"') for cell in column) for column in columns]
    if all(quoted):
        quoted = [False] * len(names)  # then quotes do not mark text
    ensembl = sum(ENSEMBL.match(name) is not None for name in names) * 2 > len(names)
    text = [True]
    for i in range(1, len(names)):
        found = [cell.strip('"') for cell in columns[i]]
        found = [cell for cell in found if cell.strip() not in MISSING]
        # Next to Ensembl genes, numbers of another name are a label such as an age. Otherwise a
        # column is text if most of it is; a few letters are a fault.
        letters = sum(map(is_number, found)) * 2 < max(1, len(found))
        text.append(not genes[i] and (ensembl or quoted[i] or letters))
    return text


def _is_gene(names: Sequence[str]) -> list[bool]:
    """Return which names are genes (Ensembl or landmark), whose columns must hold numbers."""
    landmarks = set(match_landmarks(names).rows)
    return [i in landmarks or ENSEMBL.match(name) is not None for i, name in enumerate(names)]


def write_table(blocks: Iterable[ExpressionMatrix], path: Path) -> None:
    """Write samples in rows: id, sample labels (quoted), genes. Gene labels are not written."""

    def rows() -> Iterator[list[str]]:
        for number, block in enumerate(blocks):
            labels = block.sample_labels
            if number == 0:
                yield [_quote(text) for text in ("sample_id", *labels.columns, *block.gene_ids)]
            table = labels.to_numpy(dtype=object)
            for i, sample in enumerate(block.sample_ids):
                texts = [_quote(text) for text in (sample, *table[i])]
                yield [*texts, *number_texts(block.values[i])]

    write_rows(path, rows(), _usual_delimiter(path))


def _quote(text: object) -> str:
    return '"' + plain(text).replace('"', '""') + '"'
