"""Text files of GCT and tables: reading lines and numbers, errors of cells, writing rows."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import pyarrow as pa

from data_utils.errors import InputError

# Pandas would read a gene named NA as missing; here these spellings count only among numbers.
MISSING = ("", "NA", "N/A", "#N/A", "na", "null", "NULL")
# Numbers as Arrow reads them: not "1_000" and "0x10", which Python's float() and int() would read.
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)


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
    """Write rows of cells; .gz has no time stamp, so that equal data give equal bytes."""
    with path.open("wb") as raw:
        packed = path.suffix.lower() == ".gz"
        stream = cast(BinaryIO, gzip.GzipFile("", "wb", 6, raw, mtime=0)) if packed else raw
        for row in rows:
            stream.write((delimiter.join(row) + "\n").encode())
        if packed:
            stream.close()
