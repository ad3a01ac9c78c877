"""What the readers and writers of text tables share: opening, typed cells, naming what is wrong."""

import csv
import gzip
import io
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from data_utils.errors import InputError

# Pandas calls a gene named NA or NAN missing; here these spellings count only where a number is expected.
MISSING = ("", "NA", "N/A", "#N/A", "na", "null", "NULL")
# What Arrow reads as a number: no "1_000" and no "0x10", which Python's float() and int() would take.
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)
BLOCK_BYTES = 32 << 20  # a line must fit into a block: this holds a sample of two million genes


def shown(value: object) -> str:
    """A value from a file as a message shows it: quoted, on one line, cut at 60 characters."""
    text = repr(str(value))
    return text if len(text) <= 60 else text[:57] + "...'"


def open_bytes(path: Path) -> BinaryIO:
    """The bytes of a plain or .gz file, decompressed."""
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")


def read_lines(path: Path, count: int) -> list[str]:
    """The first `count` lines (fewer in a short file) without their ends. Raises InputError if not UTF-8."""
    with open_bytes(path) as stream:
        lines = list(islice(stream, count))
    try:
        return [line.decode("utf-8-sig").rstrip("\r\n") for line in lines]
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error


def read_cells(
    path: Path, *, delimiter: str, skip: int, text: Sequence[bool], quoted: bool
) -> pa.Table:
    """The cells below the first `skip` lines as one column per entry of `text`: string, or float32.

    Columns are named "0", "1", ...: names in a file may repeat. A missing number is null. Raises
    pyarrow.ArrowInvalid on ragged rows and on letters among the numbers; `find_bad_cell` then says where.
    """
    with open_bytes(path) as stream:
        return arrow_csv.read_csv(stream, **_options(delimiter, skip, text, quoted))


def read_cell_blocks(
    path: Path, *, delimiter: str, skip: int, text: Sequence[bool], quoted: bool
) -> Iterator[pa.RecordBatch]:
    """The same cells some rows at a time, in order."""
    with (
        open_bytes(path) as stream,
        arrow_csv.open_csv(stream, **_options(delimiter, skip, text, quoted)) as blocks,
    ):
        yield from (block for block in blocks if block.num_rows)


def _options(delimiter: str, skip: int, text: Sequence[bool], quoted: bool) -> dict:
    """Arrow's options for cells whose columns are known to be text or numbers."""
    names = [str(i) for i in range(len(text))]
    types = {
        name: pa.string() if is_text else pa.float32()
        for name, is_text in zip(names, text, strict=True)
    }
    return {
        "read_options": arrow_csv.ReadOptions(
            skip_rows=skip, column_names=names, block_size=BLOCK_BYTES
        ),
        "parse_options": arrow_csv.ParseOptions(
            delimiter=delimiter, quote_char='"' if quoted else False
        ),
        "convert_options": arrow_csv.ConvertOptions(
            column_types=types, null_values=list(MISSING), strings_can_be_null=False
        ),
    }


def find_bad_cell(path: Path, *, delimiter: str, skip: int, text: Sequence[bool], quoted: bool):
    """The first cell that is not the number it should be, as (cells of its row, column), or None.

    The slow second reading of a file that `read_cells` refused or found incomplete. Raises InputError at the
    first row of another length than `text`.
    """
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    with (
        open_bytes(path) as stream,
        io.TextIOWrapper(stream, "utf-8", errors="replace", newline="") as lines,
    ):
        for _ in range(skip):
            lines.readline()
        for number, row in enumerate(
            csv.reader(lines, delimiter=delimiter, quoting=quoting), skip + 1
        ):
            if not row:
                continue
            if len(row) != len(text):
                raise InputError(
                    f"{path}: line {number}, {shown(row[0])}, has {len(row)} cells where {len(text)} "
                    "are expected; the file is damaged or cut short, get it again"
                )
            for column, (cell, is_text) in enumerate(zip(row, text, strict=True)):
                if not is_text and not is_number(cell):
                    return row, column
    return None


def bad_cell(path: Path, cell: str, sample: str, gene: str) -> InputError:
    """The error for a cell without a number."""
    place = f"sample {shown(sample)}, gene {shown(gene)}"
    if cell.strip() in MISSING:
        found = "an empty cell" if not cell.strip() else f"a missing value {shown(cell)}"
        return InputError(
            f"{path}: {found} at {place}; remove that sample or gene, or impute the value"
        )
    return InputError(f"{path}: {shown(cell)} at {place} is not a number; correct it or remove it")


def number_texts(values: np.ndarray) -> list[str]:
    """float32 numbers as the shortest texts that read back as the same float32."""
    return pa.array(values, type=pa.float32(), from_pandas=False).cast(pa.string()).to_pylist()


def plain(text: object) -> str:
    """A text without the characters that would end its cell or its line."""
    return re.sub(r"[\t\r\n\x00]", " ", str(text))


def write_rows(path: Path, rows: Iterable[Sequence[str]], delimiter: str) -> None:
    """Write finished cells, a line per row; gzip without a time stamp, so equal data give equal bytes."""
    with path.open("wb") as raw:
        packed = path.suffix.lower() == ".gz"
        stream = gzip.GzipFile("", "wb", 6, raw, mtime=0) if packed else raw
        for row in rows:
            stream.write((delimiter.join(row) + "\n").encode())
        if packed:
            stream.close()


def is_number(cell: str) -> bool:
    """Whether a cell holds a finite or infinite number or NaN, as `read_cells` would read it."""
    return NUMBER.fullmatch(cell.strip()) is not None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path in the folder of `path` that takes its place once the block has ended well.

    A reader never sees half a file, and an interrupted writer leaves the old one.
    """
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; make it first")
    endings = "".join(path.suffixes[-2:]) if path.suffix.lower() == ".gz" else path.suffix
    temporary = path.parent / f".{uuid.uuid4().hex}.tmp{endings}"
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
