"""GCT 1.2 and 1.3: text tables with genes in rows, whose second line has their dimensions.

1.2:  #1.2 / genes, samples / Name, Description, sample ids / one line per gene
1.3:  #1.3 / genes, samples, gene labels, sample labels / id, gene label names, sample ids /
      one line per sample label / one line per gene
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix, joined
from data_utils.formats.text import (
    as_text,
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


@dataclass(frozen=True)
class _Header:
    genes: int
    samples: int
    gene_labels: int
    sample_labels: int
    names: list[str]  # of all columns: id, gene labels, samples
    label_rows: list[list[str]]  # per sample label: its name, fillers, its values

    @property
    def lines(self) -> int:
        return 3 + self.sample_labels

    @property
    def left(self) -> int:
        """Columns before the numbers."""
        return 1 + self.gene_labels

    def matrix(self, values: np.ndarray, texts: Sequence[Sequence[str]]) -> ExpressionMatrix:
        """Return values (samples, genes) with names; texts: the columns before the numbers."""
        gene_labels = dict(zip(self.names[1 : self.left], map(list, texts[1:]), strict=True))
        sample_labels = {row[0]: row[self.left :] for row in self.label_rows}
        genes, samples = list(texts[0]), self.names[self.left :]
        return ExpressionMatrix(
            values,
            samples,
            genes,
            pd.DataFrame(sample_labels, index=samples, dtype=object),
            pd.DataFrame(gene_labels, index=genes, dtype=object),
        )


def read_gct(path: Path, keep: Callable[[str], bool] | None = None) -> ExpressionMatrix:
    """Read a .gct or .gct.gz, or only the genes that `keep` selects by id.

    One line is in memory at a time; of genes that are not kept only the number of cells is checked.
    Labels are text. Raises InputError if header and body disagree.
    """
    header = _read_header(path)
    texts: list[list[str]] = []
    values: list[np.ndarray] = []
    rows = 0
    with open_bytes(path) as stream:
        for number, line in enumerate(stream, 1):
            if number <= header.lines or not line.strip():
                continue
            rows += 1
            found, name = line.count(b"\t") + 1, as_text(path, line.partition(b"\t")[0])
            if found != len(header.names):
                raise ragged(path, number, name, found, len(header.names))
            if keep is None or keep(name):
                *labels, numbers = as_text(path, line).split("\t", header.left)
                texts.append(labels)
                values.append(_numbers(path, header, name, numbers))
    if rows != header.genes:
        raise _count_error(path, "gene rows", header.genes, rows)
    shape = (len(values), header.samples)
    table = np.ascontiguousarray(np.array(values, dtype=np.float32).reshape(shape).T)
    return header.matrix(table, list(zip(*texts, strict=True)) or [()] * header.left)


def _numbers(path: Path, header: _Header, gene: str, line: str) -> np.ndarray:
    """Return the values of one gene, (samples,) float32, parsed by Arrow as in other tables."""
    cells = pc.utf8_trim(pc.split_pattern(pa.array([line]), "\t").flatten(), " ")
    try:
        return cells.cast(pa.float32()).to_numpy()
    except pa.ArrowInvalid:
        texts = cells.to_pylist()
        column = next((i for i, cell in enumerate(texts) if not is_number(cell)), 0)
        raise bad_cell(path, texts[column], header.names[header.left + column], gene) from None


def _read_header(path: Path) -> _Header:
    lines = read_lines(path, 3)
    version = lines[0].strip().removeprefix("#")
    if version not in ("1.2", "1.3"):
        raise InputError(
            f"{path}: starts with {shown(lines[0])}, not #1.2 or #1.3: it is no GCT file"
        )
    if len(lines) < 3:
        raise InputError(
            f"{path}: ends after line {len(lines)}: the file is cut short, get it again"
        )
    counts = lines[1].split()
    expected = 2 if version == "1.2" else 4
    if len(counts) != expected or not all(count.isdecimal() for count in counts):
        raise InputError(
            f"{path}: line 2 is {shown(lines[1])}, not the {expected} counts of GCT {version}: "
            "correct it or get the file again"
        )
    genes, samples, gene_labels, sample_labels = [*map(int, counts), 1, 0][:4]
    names = lines[2].split("\t")
    if version == "1.2" and names[1:3] == ["Name", "Description"]:
        gene_labels = 2  # the by-tissue files of GTEx put a running number "id" before Name
    found = len(names) - 1 - gene_labels
    if found != samples:
        raise _count_error(path, "samples", samples, found)
    label_rows = [line.split("\t") for line in read_lines(path, 3 + sample_labels)[3:]]
    for number, row in enumerate(label_rows, 4):
        if len(row) != len(names):
            raise ragged(path, number, row[0], len(row), len(names))
    if len(label_rows) != sample_labels:
        raise _count_error(path, "sample label rows", sample_labels, len(label_rows))
    return _Header(genes, samples, gene_labels, sample_labels, names, label_rows)


def _count_error(path: Path, what: str, promised: int, found: int) -> InputError:
    return InputError(
        f"{path}: the header promises {promised} {what}, the file has {found}: correct line 2 or "
        "get it again"
    )


def write_gct(blocks: Iterable[ExpressionMatrix], path: Path) -> None:
    """Write GCT 1.3, from blocks of samples."""
    write_rows(path, _rows(joined(list(blocks))), "\t")


def _rows(matrix: ExpressionMatrix) -> Iterator[list[str]]:
    genes, samples = matrix.gene_labels, matrix.sample_labels
    yield ["#1.3"]
    yield [str(n) for n in (matrix.n_genes, matrix.n_samples, genes.shape[1], samples.shape[1])]
    yield [plain(text) for text in ("id", *genes.columns, *matrix.sample_ids)]
    for name in samples.columns:
        yield [plain(text) for text in (name, *["na"] * genes.shape[1], *samples[name])]
    labels = genes.to_numpy(dtype=object)
    for i, gene in enumerate(matrix.gene_ids):
        yield [*(plain(text) for text in (gene, *labels[i])), *number_texts(matrix.values[:, i])]
