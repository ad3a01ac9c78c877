"""CSV, TSV and TXT: which way round they lie, and which columns are labels.

A table does not say whether genes lie in rows or in columns. The names that are landmark genes tell; where
they do not, `genes_in` ("rows" or "columns") must. Beside the numbers, text columns are labels: of samples
where samples lie in rows, of genes (leading columns only) where genes do. A column of quoted cells in a
table that does not quote its numbers is text even where it looks like numbers: so R and this writer mean it.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix
from data_utils.formats.text import (
    MISSING,
    bad_cell,
    find_bad_cell,
    is_number,
    number_texts,
    plain,
    read_cell_blocks,
    read_cells,
    read_lines,
    replacing,
    shown,
    write_rows,
)
from data_utils.genes import count_landmarks, match_landmarks

PEEK_ROWS = 10  # rows that tell which columns are text
CLEAR_MATCHES = (
    10  # landmark names that cannot be chance; the other side must have a tenth of them at most
)
#: First names of a table that names its id column.
ID_NAMES = ("", "id", "ids", "sample", "sample_id", "gene", "gene_id", "name")
ENSEMBL = re.compile(r"ENS[A-Z]*G\d{11}")


def read_delimited(path: Path, genes_in: str | None = None) -> ExpressionMatrix:
    """Read a .csv, .tsv or .txt table, plain or .gz; ids lie in its first line and first column.

    Raises InputError for an orientation that cannot be told, letters among the numbers, empty cells, rows of
    unequal length, and a table without numbers.
    """
    names, layout = _layout(path)
    try:
        table = read_cells(path, **layout)
        complete = all(column.null_count == 0 for column in table.columns)
    except pa.ArrowInvalid:
        complete = False
        if find_bad_cell(path, **layout) is None:
            raise  # not text, for instance
    if not complete:
        raise _bad_cell(path, names, layout, genes_in)
    return assemble(path, table.columns, names, layout["text"], genes_in)


def delimited_blocks(path: Path, genes_in: str | None = None) -> Iterator[ExpressionMatrix]:
    """The table some samples at a time, in order; all at once where samples do not lie in rows."""
    names, layout = _layout(path)
    if not samples_in_rows(names, genes_in):
        yield read_delimited(path, genes_in)
        return
    try:
        for batch in read_cell_blocks(path, **layout):
            if any(column.null_count for column in batch.columns):
                raise _bad_cell(path, names, layout, genes_in)
            yield assemble(path, batch.columns, names, layout["text"], "columns")
    except pa.ArrowInvalid:
        if find_bad_cell(path, **layout) is None:
            raise
        raise _bad_cell(path, names, layout, genes_in) from None


def samples_in_rows(names: Sequence[str], genes_in: str | None) -> bool:
    """Whether the names of the columns alone say that they are genes."""
    if genes_in is not None:
        return genes_in == "columns"
    return _clear(count_landmarks(names), 0, len(names))


def _layout(path: Path) -> tuple[list[str], dict]:
    """The names of the columns, and what `read_cells` needs to know."""
    delimiter, names, rows = _peek(path)
    return names, {
        "delimiter": delimiter,
        "skip": 1,
        "text": _text_columns(path, names, rows, delimiter),
        "quoted": True,
    }


def _bad_cell(path: Path, names: list[str], layout: dict, genes_in: str | None) -> InputError:
    """The error for the first cell that holds no number where one should be."""
    row, column = find_bad_cell(path, **layout)
    in_rows = genes_in == "rows" or (genes_in is None and not _mostly_genes(names[1:]))
    sample, gene = (names[column], row[0]) if in_rows else (row[0], names[column])
    return bad_cell(path, row[column], sample, gene)


def write_delimited(matrix: ExpressionMatrix, path: Path) -> None:
    """Write samples in rows: id, sample labels (quoted), genes. Gene labels have no place in such a table."""
    write_delimited_blocks([matrix], path)


def write_delimited_blocks(blocks: Iterable[ExpressionMatrix], path: Path) -> None:
    """The same from blocks of samples with the same genes and labels."""

    def rows() -> Iterator[list[str]]:
        for number, block in enumerate(blocks):
            labels = block.sample_labels
            if number == 0:
                yield [_quote(text) for text in ("sample_id", *labels.columns, *block.gene_ids)]
            table = labels.to_numpy(dtype=object)
            for i, sample in enumerate(block.sample_ids):
                yield [
                    *(_quote(text) for text in (sample, *table[i])),
                    *number_texts(block.values[i]),
                ]

    with replacing(path) as temporary:
        write_rows(temporary, rows(), _usual_delimiter(path))


def assemble(
    path: Path, columns: Sequence, names: Sequence[str], text: Sequence[bool], genes_in: str | None
) -> ExpressionMatrix:
    """The matrix of a table whose columns are known to be `text` (ids first) or float32 numbers."""
    numbers = [i for i, is_text in enumerate(text) if not is_text]
    if not numbers:
        raise InputError(f"{path}: has no column of numbers; give a table of expression values")
    leading = range(numbers[0])
    texts = {i: columns[i].to_pylist() for i, is_text in enumerate(text) if is_text}
    ids = texts[0]
    if _genes_in_rows(path, [texts[i] for i in leading], [names[i] for i in numbers], genes_in):
        for i in texts:
            if i > numbers[0]:  # a sample whose numbers are no numbers
                row = next((row for row, cell in enumerate(texts[i]) if not is_number(cell)), 0)
                raise bad_cell(path, texts[i][row], sample=names[i], gene=ids[row])
        values = np.empty((len(numbers), len(ids)), dtype=np.float32)
        for place, i in enumerate(numbers):
            values[place] = columns[i].to_numpy()
        labels = pd.DataFrame({names[i]: texts[i] for i in leading if i}, index=ids)
        return ExpressionMatrix(values, [names[i] for i in numbers], ids, None, labels)
    values = np.empty((len(ids), len(numbers)), dtype=np.float32)
    for place, i in enumerate(numbers):
        values[:, place] = columns[i].to_numpy()
    labels = pd.DataFrame({names[i]: texts[i] for i in texts if i}, index=ids)
    return ExpressionMatrix(values, ids, [names[i] for i in numbers], labels, None)


def is_gene_name(names: Sequence[str]) -> list[bool]:
    """Which names are Ensembl gene ids or landmark genes: their columns hold numbers, whatever is in them."""
    landmarks = set(match_landmarks(names).rows)
    return [i in landmarks or ENSEMBL.match(name) is not None for i, name in enumerate(names)]


def _mostly_genes(names: Sequence[str]) -> bool:
    return sum(is_gene_name(names)) * 2 > len(names)


def _genes_in_rows(
    path: Path, row_names: list[list[str]], column_names: list[str], genes_in: str | None
) -> bool:
    if genes_in is not None:
        return genes_in == "rows"
    rows = max(count_landmarks(column) for column in row_names)
    columns = count_landmarks(column_names)
    if _clear(rows, columns, len(row_names[0])):
        return True
    if _clear(columns, rows, len(column_names)):
        return False
    raise InputError(
        f"{path}: cannot tell where the genes lie: {rows} names of rows and {columns} names of columns are "
        "landmark genes; say --genes-in rows or --genes-in columns"
    )


def _clear(found: int, elsewhere: int, names: int) -> bool:
    return (found >= CLEAR_MATCHES or found * 2 > names) and found >= 10 * elsewhere


def _peek(path: Path) -> tuple[str, list[str], list[str]]:
    """The delimiter, the names of all columns, and the first lines below them."""
    header, *rows = read_lines(path, 1 + PEEK_ROWS)
    usual = _usual_delimiter(path)
    delimiter = next((mark for mark in (usual, ",", "\t", ";") if mark in header), usual)
    rows = [row for row in rows if row]
    names = next(csv.reader([header], delimiter=delimiter))
    if not rows or len(names) < 2:
        follows = "" if rows else " and nothing follows"
        raise InputError(
            f"{path}: holds no table: its first line is {shown(header)}{follows}; "
            "give a line of column names, then one row per sample or gene"
        )
    if len(_cells(rows[0], delimiter)) == len(names) + 1:
        if (
            names[0].strip().lower() in ID_NAMES
        ):  # then another name is missing, and all that follow would shift
            raise InputError(
                f"{path}: its first line has {len(names)} names for {len(names) + 1} columns; name them all"
            )
        names = ["id", *names]  # write.table of R leaves out the name of the id column
    return delimiter, names, rows


def _usual_delimiter(path: Path) -> str:
    return "," if ".csv" in [ending.lower() for ending in path.suffixes[-2:]] else "\t"


def _text_columns(path: Path, names: list[str], rows: list[str], delimiter: str) -> list[bool]:
    """Whether each column is text: the ids, and what is quoted or holds no number in the first rows."""
    cells = [_cells(row, delimiter) for row in rows]
    columns = list(zip(*(row for row in cells if len(row) == len(names)), strict=True))
    quoted = [all(cell.startswith('"') for cell in column) for column in columns] or [False] * len(
        names
    )
    if all(quoted):
        quoted = [False] * len(names)  # then quotes say nothing
    genes = is_gene_name(names)
    ensembl = sum(ENSEMBL.match(name) is not None for name in names) * 2 > len(names)
    text = [True]
    for i in range(1, len(names)):
        found = [cell.strip('"') for cell in columns[i]] if columns else ["0"]
        found = [cell for cell in found if cell.strip() not in MISSING]
        # Among Ensembl genes an unknown number is a label such as an age; letters in few cells are a mistake.
        letters = sum(map(is_number, found)) * 2 < max(1, len(found))
        text.append(not genes[i] and (ensembl or quoted[i] or letters))
    if genes[0] and all(is_number(row[0]) for row in cells):
        raise InputError(
            f"{path}: its first column, {shown(names[0])}, holds numbers of a gene; put the sample ids there"
        )
    return text


def _cells(line: str, delimiter: str) -> list[str]:
    """The cells of a line with their quotes, which the csv module would drop."""
    return re.findall(rf'(?:^|{delimiter})("(?:[^"]|"")*"|[^{delimiter}]*)', line)


def _quote(text: object) -> str:
    return '"' + plain(text).replace('"', '""') + '"'
