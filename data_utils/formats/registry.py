"""Expression files by their ending. A new format is a module here and a line in FORMATS."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix, row_blocks
from data_utils.files import check_file, replacing
from data_utils.formats.gct import read_gct, write_gct
from data_utils.formats.hdf5 import (
    gctx_blocks,
    h5ad_blocks,
    read_gctx,
    read_h5ad,
    write_gctx,
    write_h5ad,
)
from data_utils.formats.npz import read_npz, write_npz
from data_utils.formats.parquet import parquet_blocks, read_parquet, write_parquet
from data_utils.formats.tables import read_table, table_blocks, write_table
from data_utils.formats.text import open_bytes

# Kinds of content by a file's first bytes; anything else is text unless it has a zero byte.
MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x89HDF\r\n\x1a\n": "HDF5",
    b"PAR1": "Parquet",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
}


@dataclass(frozen=True)
class Format:
    """The reading and writing of files with one ending.

    content: a kind of MAGIC, or "text". write: takes blocks of samples with the same genes and
    labels. blocks: reads some samples at a time; if None, a file is read whole and then cut.
    oriented: whether the format fixes which axis genes are on; else `read` and `blocks` also take
    genes_in.
    """

    content: str
    read: Callable[..., ExpressionMatrix]
    write: Callable[[Iterable[ExpressionMatrix], Path], None]
    blocks: Callable[..., Iterator[ExpressionMatrix]] | None = None
    oriented: bool = True


TABLE = Format("text", read_table, write_table, table_blocks, oriented=False)
FORMATS = {
    ".gct": Format("text", read_gct, write_gct),
    ".gctx": Format("HDF5", read_gctx, write_gctx, gctx_blocks),
    ".h5ad": Format("HDF5", read_h5ad, write_h5ad, h5ad_blocks),
    ".csv": TABLE,
    ".tsv": TABLE,
    ".txt": TABLE,
    ".parquet": Format("Parquet", read_parquet, write_parquet, parquet_blocks, oriented=False),
    ".npz": Format("zip", read_npz, write_npz),
}
_TEXTS = [ending for ending, its in FORMATS.items() if its.content == "text"]
#: For messages and help.
ENDINGS = f"{', '.join(FORMATS)}; .gz after {', '.join(_TEXTS)}"


def read_expression(path: str | Path, genes_in: str | None = None) -> ExpressionMatrix:
    """Read an expression file by its ending (see ENDINGS).

    genes_in: "rows" or "columns", for tables (CSV, TSV, TXT, Parquet) whose orientation cannot be
    found from their names; other formats ignore it. Values become float32 and keep their scale.
    Labels of GCT, CSV, TSV and TXT are text. Raises InputError, of one line, for any fault of the
    file.
    """
    with _readable(Path(path), genes_in) as (chosen, arguments):
        return chosen.read(*arguments)


def read_blocks(path: str | Path, genes_in: str | None = None) -> Iterator[ExpressionMatrix]:
    """Read a file some samples at a time, in order; all have the same genes and kinds of labels.

    Only one block is in memory for GCTX, h5ad and tables with samples in rows. Raises InputError
    when a block is taken, as `read_expression` does, and for a file without samples.
    """
    with _readable(Path(path), genes_in) as (chosen, arguments):
        empty = True
        for block in chosen.blocks(*arguments) if chosen.blocks else (chosen.read(*arguments),):
            cuts = list(row_blocks(block.values.shape))
            for rows in cuts:
                empty = False
                whole = len(cuts) == 1
                yield block if whole else block.select(range(*rows.indices(block.n_samples)))
        if empty:
            raise InputError(f"{path}: has no samples: get the file again")


def write_expression(matrix: ExpressionMatrix, path: str | Path) -> None:
    """Write `matrix` by the ending of `path`, as a whole file or not at all.

    CSV, TSV and TXT have samples in rows and no gene labels; the other formats hold both kinds.
    """
    write_blocks([matrix], path)


def write_blocks(blocks: Iterable[ExpressionMatrix], path: str | Path) -> None:
    """Write blocks of samples, at least one, as `write_expression` does.

    GCT and npz are first collected in memory; the others are written a block at a time.
    """
    path = Path(path)
    chosen = format_of(path)
    check_file(path, force=True)
    with replacing(path) as temporary:
        chosen.write(blocks, temporary)


def format_of(path: Path) -> Format:
    """Return the format of a path by its ending. Raises InputError if it is unknown."""
    endings = [ending.lower() for ending in path.suffixes[-2:]]
    packed = endings[-1:] == [".gz"]
    chosen = FORMATS.get("".join(endings[:-1] if packed else endings[-1:]))
    if chosen is None or (packed and chosen.content != "text"):
        raise InputError(f"{path}: ending {''.join(endings)!r} is not known: use one of {ENDINGS}")
    return chosen


@contextmanager
def _readable(path: Path, genes_in: str | None) -> Iterator[tuple[Format, tuple]]:
    """Yield the file's format and its reader's arguments; turn any failure into an InputError."""
    if genes_in not in (None, "rows", "columns"):
        raise InputError(f"--genes-in {genes_in}: give rows or columns")
    # before its ending: a mistyped name is more common than an unknown kind of file
    if not os.path.exists(path):
        raise InputError(f"{path}: no such file: give the path of an expression file")
    chosen = format_of(path)
    try:
        _check_content(path, chosen)
        yield chosen, (path,) if chosen.oriented else (path, genes_in)
    except InputError:
        raise
    except EOFError as error:
        raise InputError(
            f"{path}: its compressed data end too early: get the whole file again"
        ) from error
    except Exception as error:  # h5py, pyarrow, anndata, zlib and zipfile share no class of errors
        reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        # the message may quote bytes of the file
        reason = "".join(c if c.isprintable() else "?" for c in reason)
        raise InputError(
            f"{path}: cannot be read as {path.suffix} ({reason}): it is damaged or another format"
        ) from error


def _check_content(path: Path, chosen: Format) -> None:
    """Raise InputError unless the path is a file whose content fits its ending."""
    if not path.is_file():
        raise InputError(f"{path}: is not a file: give the expression file itself")
    with path.open("rb") as stream:
        head = stream.read(4096)
    if head and path.suffix.lower() == ".gz":
        _expect(path, head, "gzip")
        with open_bytes(path) as unpacked:
            head = unpacked.read(4096)
    if not head:
        raise InputError(f"{path}: is empty: get the file again")
    _expect(path, head, chosen.content)


def _expect(path: Path, head: bytes, content: str) -> None:
    found = next((kind for start, kind in MAGIC.items() if head.startswith(start)), None)
    found = found or ("binary" if b"\0" in head else "text")
    if found != content:
        raise InputError(
            f"{path}: holds {found} data but its ending stands for {content}: rename it or get the "
            "right file"
        )
