"""GCT 1.2 and 1.3: text tables with genes in rows, whose second line counts what follows.

1.2:  #1.2 / genes, samples / Name, Description, sample ids / one line per gene
1.3:  #1.3 / genes, samples, gene labels, sample labels / id, gene label names, sample ids /
      one line per sample label / one line per gene
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix
from data_utils.formats.text import (
    bad_cell,
    find_bad_cell,
    is_number,
    number_texts,
    open_bytes,
    plain,
    read_cells,
    read_lines,
    replacing,
    shown,
    write_rows,
)

VERSIONS = {"#1.2": "1.2", "#1.3": "1.3"}


@dataclass(frozen=True)
class _Header:
    genes: int
    samples: int
    gene_labels: int
    sample_labels: int
    names: list[str]  # of all columns: id, gene labels, samples
    label_rows: list[
        list[str]
    ]  # one per sample label: its name, fillers under the gene labels, its values

    @property
    def lines(self) -> int:
        return 3 + self.sample_labels

    @property
    def left(self) -> int:
        """Columns before the numbers."""
        return 1 + self.gene_labels


def read_gct(path: Path) -> ExpressionMatrix:
    """Read a .gct or .gct.gz. Labels are text. Raises InputError where header and body disagree."""
    header = _read_header(path)
    layout = {
        "delimiter": "\t",
        "skip": header.lines,
        "text": [column < header.left for column in range(len(header.names))],
        "quoted": False,  # GCT has no quoting: a gene's description may hold 5" or 3'
    }
    try:
        table = read_cells(path, **layout)
        complete = all(column.null_count == 0 for column in table.columns)
    except pa.ArrowInvalid:
        complete = False
        if not read_lines(path, header.lines + 1)[
            header.lines :
        ]:  # Arrow dislikes a body without a line
            raise _count_error(path, "gene rows", header.genes, 0) from None
        if find_bad_cell(path, **layout) is None:
            raise  # not text, for instance
    if not complete:
        row, column = find_bad_cell(path, **layout)
        raise bad_cell(path, row[column], sample=header.names[column], gene=row[0])
    if table.num_rows != header.genes:
        raise _count_error(path, "gene rows", header.genes, table.num_rows)
    return _assemble(header, table)


def read_gct_genes(path: Path, keep: Callable[[str], bool]) -> ExpressionMatrix:
    """The genes of a .gct or .gct.gz whose ids `keep` says true to, a line in memory at a time; else as `read_gct`.

    A gene that is left out is counted, and its cells are counted, not read.
    """
    header = _read_header(path)
    cells: list[list[str]] = []
    values: list[np.ndarray] = []
    rows = 0
    with open_bytes(path) as stream:
        for _ in range(header.lines):
            stream.readline()
        for number, line in enumerate(stream, header.lines + 1):
            if not line.strip():
                continue
            rows += 1
            found, name = line.count(b"\t") + 1, _text(path, line.partition(b"\t")[0])
            if found != len(header.names):
                raise _ragged(path, number, name, found, len(header.names))
            if keep(name):
                row = _text(path, line).rstrip("\r\n").split("\t")
                cells.append(row[: header.left])
                values.append(_numbers(path, header, row))
    if rows != header.genes:
        raise _count_error(path, "gene rows", header.genes, rows)
    table = np.ascontiguousarray(
        np.array(values, dtype=np.float32).reshape(len(values), header.samples).T
    )
    return _labelled(header, table, list(zip(*cells, strict=True)) or [()] * header.left)


def _text(path: Path, line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is not UTF-8 text ({shown(line[:60])}); save it as UTF-8"
        ) from error


def _numbers(path: Path, header: _Header, row: list[str]) -> np.ndarray:
    """The values of one gene, (samples,) float32, as Arrow reads them elsewhere."""
    numbers = [cell.strip(" ") for cell in row[header.left :]]
    try:
        return pa.array(numbers).cast(pa.float32()).to_numpy()
    except pa.ArrowInvalid:
        column = next((i for i, cell in enumerate(numbers) if not is_number(cell)), 0)
        raise bad_cell(path, numbers[column], header.names[header.left + column], row[0]) from None


def write_gct(matrix: ExpressionMatrix, path: Path, version: str = "1.3") -> None:
    """Write GCT 1.3, or 1.2 (which carries no sample labels, and the first gene label as Description)."""
    with replacing(path) as temporary:
        write_rows(temporary, _rows_13(matrix) if version == "1.3" else _rows_12(matrix), "\t")


def _read_header(path: Path) -> _Header:
    lines = read_lines(path, 3)
    version = VERSIONS.get(lines[0].strip())
    if version is None:
        raise InputError(
            f"{path}: starts with {shown(lines[0])}, not #1.2 or #1.3: it is no GCT file"
        )
    if len(lines) < 3:
        raise InputError(
            f"{path}: ends after line {len(lines)}; the file is cut short, get it again"
        )
    counts = lines[1].split()
    expected = 2 if version == "1.2" else 4
    if len(counts) != expected or not all(count.isdecimal() for count in counts):
        raise InputError(
            f"{path}: line 2 is {shown(lines[1])}, not the {expected} counts of GCT {version}"
        )
    genes, samples, gene_labels, sample_labels = map(
        int, counts if expected == 4 else [*counts, 1, 0]
    )
    names = lines[2].split("\t")
    if version == "1.2" and names[1:3] == ["Name", "Description"]:
        gene_labels = 2  # the by-tissue files of GTEx put a running number "id" before Name
    found = len(names) - 1 - gene_labels
    if found != samples:
        raise _count_error(path, "samples", samples, found)
    label_rows = [line.split("\t") for line in read_lines(path, 3 + sample_labels)[3:]]
    for number, row in enumerate(label_rows, 4):
        if len(row) != len(names):
            raise _ragged(path, number, row[0], len(row), len(names))
    if len(label_rows) != sample_labels:
        raise _count_error(path, "sample label rows", sample_labels, len(label_rows))
    return _Header(genes, samples, gene_labels, sample_labels, names, label_rows)


def _count_error(path: Path, what: str, promised: int, found: int) -> InputError:
    return InputError(
        f"{path}: the header promises {promised} {what}, the file has {found}; correct line 2 or get it again"
    )


def _ragged(path: Path, number: int, name: str, found: int, expected: int) -> InputError:
    return InputError(
        f"{path}: line {number}, {shown(name)}, has {found} cells where {expected} are "
        "expected; the file is damaged or cut short, get it again"
    )


def _assemble(header: _Header, table: pa.Table) -> ExpressionMatrix:
    values = np.empty((header.samples, header.genes), dtype=np.float32)
    for sample in range(header.samples):
        values[sample] = table.column(header.left + sample).to_numpy()
    return _labelled(header, values, [table.column(i).to_pylist() for i in range(header.left)])


def _labelled(header: _Header, values: np.ndarray, texts: list) -> ExpressionMatrix:
    """(samples, genes) values with the header's names; texts: the columns before the numbers."""
    names = header.names
    gene_labels = {names[i]: list(texts[i]) for i in range(1, header.left)}
    sample_labels = {row[0]: row[header.left :] for row in header.label_rows}
    genes, samples = list(texts[0]), names[header.left :]
    return ExpressionMatrix(
        values,
        samples,
        genes,
        pd.DataFrame(sample_labels, index=samples, dtype=object),
        pd.DataFrame(gene_labels, index=genes, dtype=object),
    )


def _rows_13(matrix: ExpressionMatrix) -> Iterator[list[str]]:
    genes, samples = matrix.gene_labels, matrix.sample_labels
    yield ["#1.3"]
    yield [str(n) for n in (matrix.n_genes, matrix.n_samples, genes.shape[1], samples.shape[1])]
    yield [plain(text) for text in ("id", *genes.columns, *matrix.sample_ids)]
    for name in samples.columns:
        yield [plain(text) for text in (name, *["na"] * genes.shape[1], *samples[name])]
    labels = genes.to_numpy(dtype=object)
    for i, gene in enumerate(matrix.gene_ids):
        yield [*(plain(text) for text in (gene, *labels[i])), *number_texts(matrix.values[:, i])]


def _rows_12(matrix: ExpressionMatrix) -> Iterator[list[str]]:
    descriptions = (
        matrix.gene_labels.iloc[:, 0] if matrix.gene_labels.shape[1] else ["na"] * matrix.n_genes
    )
    yield ["#1.2"]
    yield [str(matrix.n_genes), str(matrix.n_samples)]
    yield [plain(text) for text in ("Name", "Description", *matrix.sample_ids)]
    for i, (gene, description) in enumerate(zip(matrix.gene_ids, descriptions, strict=True)):
        yield [plain(gene), plain(description), *number_texts(matrix.values[:, i])]
