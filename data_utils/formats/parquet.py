"""Parquet tables, whose schema holds the columns' types, and gene labels in files written here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from data_utils.errors import InputError
from data_utils.expression import BLOCK, ExpressionMatrix
from data_utils.formats.tables import assemble, samples_in_rows
from data_utils.formats.text import shown

OWN = b"dae_study"  # schema key of files written here: which columns are labels, and gene labels


def read_parquet(path: Path, genes_in: str | None = None) -> ExpressionMatrix:
    """Read a Parquet table; ids are its pandas index or its first column. A null becomes NaN.

    Files written here have genes in columns; the orientation of others is found as for CSV.
    """
    # Not read_table: it refuses two columns of one name, and takes a folder called a=b as a column.
    with parquet.ParquetFile(path, page_checksum_verification=True) as file:
        return matrix_of(path, file.read(use_pandas_metadata=True), genes_in)


def parquet_blocks(path: Path, genes_in: str | None = None) -> Iterator[ExpressionMatrix]:
    """Read some samples at a time, in order; all at once if samples are not in rows."""
    with parquet.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
        n_rows = max(1, BLOCK // max(1, len(file.schema_arrow)))
        if file.metadata.num_rows > n_rows and samples_in_rows(file.schema_arrow.names, genes_in):
            for batch in file.iter_batches(n_rows, use_pandas_metadata=True):
                yield matrix_of(path, pa.Table.from_batches([batch]), "columns")
            return
    yield read_parquet(path, genes_in)


def matrix_of(path: Path, table: pa.Table, genes_in: str | None) -> ExpressionMatrix:
    """Convert an Arrow table that was read from `path` to a matrix."""
    own = json.loads((table.schema.metadata or {}).get(OWN, b"null"))
    if own is not None:
        return _read_own(path, table, own)
    names, columns = _ids_first(path, table)
    text = [i == 0 or not _is_number(column.type) for i, column in enumerate(columns)]
    if len(names) < 2:
        raise InputError(
            f"{path}: has {len(names)} column(s): give ids and at least one column of numbers"
        )
    cells = [
        _texts(column) if is_text else column.cast(pa.float32(), safe=False)
        for column, is_text in zip(columns, text, strict=True)
    ]
    return assemble(path, cells, names, text, genes_in)


def _ids_first(path: Path, table: pa.Table) -> tuple[list[str], list[pa.ChunkedArray]]:
    """Return names and columns with the ids first: the stored pandas index, or the first column."""
    names, columns = list(table.column_names), list(table.columns)
    index = (table.schema.pandas_metadata or {}).get("index_columns", [])
    stored = [name for name in index if isinstance(name, str) and name in names]
    if len(stored) == 1:
        place = names.index(stored[0])
        names.insert(0, names.pop(place))
        columns.insert(0, columns.pop(place))
    elif columns and _is_number(columns[0].type) and not pa.types.is_integer(columns[0].type):
        raise InputError(
            f"{path}: its first column, {shown(names[0])}, holds numbers: put the ids there"
        )
    return names, columns


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)


def _texts(column: pa.ChunkedArray) -> pa.Array:
    return pa.array(["" if cell is None else str(cell) for cell in column.to_pylist()], pa.string())


def _read_own(path: Path, table: pa.Table, own: dict) -> ExpressionMatrix:
    left = 1 + len(own["labels"])
    kinds = [field.type for field in table.schema][left:]
    if table.column_names[1:left] != own["labels"] or not all(map(_is_number, kinds)):
        raise InputError(f"{path}: its columns are not those in its schema: get the file again")
    genes = table.column_names[left:]
    values = np.empty((table.num_rows, len(genes)), dtype=np.float32)
    for place in range(len(genes)):
        values[:, place] = table.column(left + place).to_numpy()
    labels = {name: table.column(i).to_numpy() for i, name in enumerate(own["labels"], 1)}
    ids = table.column(0).to_pylist()
    gene_labels = pd.DataFrame(own["gene_labels"], index=genes)
    return ExpressionMatrix(values, ids, genes, pd.DataFrame(labels, index=ids), gene_labels)


def write_parquet(blocks: Iterable[ExpressionMatrix], path: Path) -> None:
    """Write samples in rows: sample_id, sample labels, genes; gene labels go into the schema.

    Each block is a row group.
    """
    with ExitStack() as stack:
        writer = None
        for block in blocks:
            table = table_of(block)
            if writer is None:
                writer = stack.enter_context(
                    parquet.ParquetWriter(path, table.schema, write_page_checksum=True)
                )
            writer.write_table(table.cast(writer.schema), row_group_size=max(1, len(table)))


def table_of(matrix: ExpressionMatrix) -> pa.Table:
    """Make an Arrow table of samples in rows; its schema holds what a plain table cannot."""
    labels, gene_labels = matrix.sample_labels, matrix.gene_labels
    columns = [pa.array(matrix.sample_ids, pa.string())]
    columns += [pa.array(labels[name].to_numpy(), from_pandas=False) for name in labels.columns]
    columns += [pa.array(matrix.values[:, i], from_pandas=False) for i in range(matrix.n_genes)]
    own = {
        "labels": list(labels.columns),
        "gene_labels": {name: gene_labels[name].tolist() for name in gene_labels.columns},
    }
    table = pa.Table.from_arrays(columns, ["sample_id", *labels.columns, *matrix.gene_ids])
    return table.replace_schema_metadata({OWN: json.dumps(own)})
