"""Text with cells: opening it, reading typed cells, naming the bad one, and writing rows."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from data_utils.errors import InputError

T = TypeVar("T")

# Pandas takes a gene named NA or NAN for missing; here these spellings count only among numbers.
MISSING = ("", "NA", "N/A", "#N/A", "na", "null", "NULL")
# What Arrow reads as a number: not "1_000" and "0x10", which Python's float() and int() would take.
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
BLOCK_BYTES = 32 << 20  # a line must fit into a block: this holds a sample of two million genes


def shown(value: object) -> str:
    """Return a value from a file for a message: quoted, on one line, at most 60 characters."""
    text = repr(str(value))
    return text if len(text) <= 60 else text[:57] + "...'"


def open_bytes(path: Path) -> BinaryIO:
    """Open a plain or .gz file for reading its content."""
    packed = path.suffix.lower() == ".gz"
    return cast(BinaryIO, gzip.open(path, "rb")) if packed else path.open("rb")


def read_lines(path: Path, count: int) -> list[str]:
    """Read the first `count` lines without their ends. Raises InputError if they are not UTF-8."""
    with open_bytes(path) as stream:
        return [as_text(path, line, "utf-8-sig") for line in islice(stream, count)]


def as_text(path: Path, line: bytes, encoding: str = "utf-8") -> str:
    """Decode a line and drop its end. Raises InputError if it is not UTF-8."""
    try:
        return line.decode(encoding).rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is not UTF-8 text ({shown(line[:60])}): save it as UTF-8"
        ) from error


class BadCell(Exception):
    """Raised for the first cell that is not the number it should be."""

    def __init__(self, row: list[str], column: int):
        """Take the cells of its row, and its place among them."""
        super().__init__(row, column)
        self.row, self.column = row, column

    def error(self, path: Path, sample: str, gene: str) -> InputError:
        """Return the InputError that names the cell."""
        return bad_cell(path, self.row[self.column], sample, gene)


@dataclass(frozen=True)
class Cells:
    """Where the cells of a table lie, and which of its columns are text.

    skip: lines before the first row. text: whether a column is text, else it is float32.
    """

    path: Path
    delimiter: str
    skip: int
    text: Sequence[bool]
    quoted: bool

    def read(self) -> pa.Table:
        """Read all rows; columns are named "0", "1", ..., because names in a file may repeat.

        Raises BadCell, InputError for a row of another length, or ArrowInvalid.
        """
        with open_bytes(self.path) as stream:
            return self._complete(lambda: arrow_csv.read_csv(stream, **self._arrow_options()))

    def blocks(self) -> Iterator[pa.RecordBatch]:
        """Read some rows at a time, in order; raises as `read` does."""
        with open_bytes(self.path) as stream:
            reader = self._complete(lambda: arrow_csv.open_csv(stream, **self._arrow_options()))
            with reader:
                while True:
                    try:
                        block = self._complete(reader.read_next_batch)
                    except StopIteration:
                        return
                    if block.num_rows:
                        yield block

    def _complete(self, read: Callable[[], T]) -> T:
        """Return what `read` does; raises if a cell is at fault, or its table lacks a number."""
        try:
            found = read()
            if any(column.null_count for column in getattr(found, "columns", ())):
                raise pa.ArrowInvalid("a number is missing")
        except pa.ArrowInvalid:
            self._find_bad_cell()
            raise  # not text, for instance
        return found

    def _arrow_options(self) -> dict[str, Any]:
        names = [str(i) for i in range(len(self.text))]
        kinds = [pa.string() if is_text else pa.float32() for is_text in self.text]
        return {
            "read_options": arrow_csv.ReadOptions(
                skip_rows=self.skip, column_names=names, block_size=BLOCK_BYTES
            ),
            "parse_options": arrow_csv.ParseOptions(
                delimiter=self.delimiter, quote_char='"' if self.quoted else False
            ),
            "convert_options": arrow_csv.ConvertOptions(
                column_types=dict(zip(names, kinds, strict=True)),
                null_values=list(MISSING),
                strings_can_be_null=False,
            ),
        }

    def _find_bad_cell(self) -> None:
        """Read the file a second time, slowly, and raise BadCell or InputError at what is wrong."""
        with (
            open_bytes(self.path) as stream,
            io.TextIOWrapper(stream, "utf-8", errors="replace", newline="") as lines,
        ):
            rows = csv.reader(
                islice(lines, self.skip, None),
                delimiter=self.delimiter,
                quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE,
            )
            for number, row in enumerate(rows, self.skip + 1):
                if not row:
                    continue
                if len(row) != len(self.text):
                    raise ragged(self.path, number, row[0], len(row), len(self.text))
                for column, (cell, is_text) in enumerate(zip(row, self.text, strict=True)):
                    if not is_text and not is_number(cell):
                        raise BadCell(row, column)


def ragged(path: Path, number: int, name: str, found: int, expected: int) -> InputError:
    """Return the error for a row of another length than the others."""
    return InputError(
        f"{path}: line {number}, {shown(name)}, has {found} cells where {expected} are "
        "expected: the file is damaged or cut short, get it again"
    )


def bad_cell(path: Path, cell: str, sample: str, gene: str) -> InputError:
    """Return the error for a cell without a number."""
    place = f"sample {shown(sample)}, gene {shown(gene)}"
    if cell.strip() in MISSING:
        found = "an empty cell" if not cell.strip() else f"a missing value {shown(cell)}"
        return InputError(
            f"{path}: {found} at {place}: remove that sample or gene, or impute the value"
        )
    return InputError(f"{path}: {shown(cell)} at {place} is not a number: correct it or remove it")


def is_number(cell: str) -> bool:
    """Return whether a cell holds a number, infinity or NaN, as Arrow would read it."""
    return NUMBER.fullmatch(cell.strip()) is not None


def number_texts(values: np.ndarray) -> list[str]:
    """Return float32 numbers as the shortest texts that read back as the same float32."""
    return pa.array(values, type=pa.float32(), from_pandas=False).cast(pa.string()).to_pylist()


def plain(text: object) -> str:
    """Return a text without the characters that would end its cell or its line."""
    return re.sub(r"[\t\r\n\x00]", " ", str(text))


def write_rows(path: Path, rows: Iterable[Sequence[str]], delimiter: str) -> None:
    """Write rows of cells; gzip has no time stamp, so that equal data give equal bytes."""
    with path.open("wb") as raw:
        packed = path.suffix.lower() == ".gz"
        stream = cast(BinaryIO, gzip.GzipFile("", "wb", 6, raw, mtime=0)) if packed else raw
        for row in rows:
            stream.write((delimiter.join(row) + "\n").encode())
        if packed:
            stream.close()
