"""Expression files by their ending: the one place that knows which endings there are."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix, row_blocks
from data_utils.formats.archives import (
    h5ad_blocks,
    read_h5ad,
    read_npz,
    write_h5ad,
    write_h5ad_blocks,
    write_npz,
)
from data_utils.formats.gct import read_gct, write_gct
from data_utils.formats.gctx import gctx_blocks, read_gctx, write_gctx, write_gctx_blocks
from data_utils.formats.parquet import (
    parquet_blocks,
    read_parquet,
    write_parquet,
    write_parquet_blocks,
)
from data_utils.formats.tables import (
    delimited_blocks,
    read_delimited,
    write_delimited,
    write_delimited_blocks,
)
from data_utils.formats.text import open_bytes

# What a file begins with tells what it is; everything else that has no zero byte is taken for text.
MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x89HDF\r\n\x1a\n": "HDF5",
    b"PAR1": "Parquet",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
}


@dataclass(frozen=True)
class _Format:
    read: Callable[..., ExpressionMatrix]
    write: Callable[[ExpressionMatrix, Path], None]
    content: str  # as MAGIC names it
    oriented: bool = True  # the format says where genes lie
    blocks: Callable[..., Iterator[ExpressionMatrix]] | None = None  # reads some samples at a time
    write_blocks: Callable[[Iterable[ExpressionMatrix], Path], None] | None = None


_TABLE = _Format(
    read_delimited, write_delimited, "text", False, delimited_blocks, write_delimited_blocks
)
FORMATS = {
    ".gct": _Format(read_gct, write_gct, "text"),
    ".gctx": _Format(read_gctx, write_gctx, "HDF5", True, gctx_blocks, write_gctx_blocks),
    ".h5ad": _Format(read_h5ad, write_h5ad, "HDF5", True, h5ad_blocks, write_h5ad_blocks),
    ".csv": _TABLE,
    ".tsv": _TABLE,
    ".txt": _TABLE,
    ".parquet": _Format(
        read_parquet, write_parquet, "Parquet", False, parquet_blocks, write_parquet_blocks
    ),
    ".npz": _Format(read_npz, write_npz, "zip"),
}
ENDINGS = (
    ".gct, .gctx, .h5ad, .csv, .tsv, .txt, .parquet, .npz; .gz after .gct, .csv, .tsv and .txt"
)


def read_expression(path: str | Path, genes_in: str | None = None) -> ExpressionMatrix:
    """Read an expression file by its ending (see ENDINGS).

    genes_in: "rows" or "columns", for CSV, TSV, TXT and Parquet files whose names do not tell; formats that
    say where genes lie ignore it. Values become float32 and keep their scale. Labels of GCT, CSV, TSV and
    TXT are text. Every fault of the file, whatever library finds it, is an InputError of one line.
    """
    with _readable(Path(path), genes_in) as (chosen, arguments):
        return chosen.read(*arguments)


def read_blocks(path: str | Path, genes_in: str | None = None) -> Iterator[ExpressionMatrix]:
    """The same file some samples at a time, in order; all blocks have the same genes and kinds of labels.

    GCTX, h5ad (dense, or sparse by rows), Parquet, CSV, TSV and TXT with samples in rows stream: only a block is held.
    The others are read whole, and then cut. Raises InputError as `read_expression` does, but only when a block is
    asked for; and for a file without samples.
    """
    with _readable(Path(path), genes_in) as (chosen, arguments):
        empty = True
        for block in chosen.blocks(*arguments) if chosen.blocks else (chosen.read(*arguments),):
            cuts = list(row_blocks(block.values))
            for rows in cuts:
                empty = False
                yield (
                    block if len(cuts) == 1 else block.select(range(*rows.indices(block.n_samples)))
                )
        if empty:
            raise InputError(f"{path}: has no samples; get the file again")


@contextmanager
def _readable(path: Path, genes_in: str | None) -> Iterator[tuple[_Format, tuple]]:
    """The file's format and what its reader is called with; whatever a reader raises is an InputError."""
    if genes_in not in (None, "rows", "columns"):
        raise InputError(f"--genes-in is {genes_in!r}; say rows or columns")
    if not os.path.exists(
        path
    ):  # before its ending: a mistyped name is more often wrong than of an unknown kind
        raise InputError(f"{path}: no such file; give the path of an expression file")
    chosen = _format_of(path)
    try:
        _check_content(path, chosen)
        yield chosen, (path,) if chosen.oriented else (path, genes_in)
    except InputError:
        raise
    except EOFError as error:
        raise InputError(
            f"{path}: its compressed data end too early; get the whole file again"
        ) from error
    except Exception as error:  # h5py, pyarrow, anndata, zlib and zipfile share no class of errors
        reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        reason = "".join(
            c if c.isprintable() else "?" for c in reason
        )  # it may quote bytes of the file
        raise InputError(
            f"{path}: cannot be read as {path.suffix} ({reason}); it is damaged or another format"
        ) from error


def write_expression(matrix: ExpressionMatrix, path: str | Path) -> None:
    """Write `matrix` by the ending of `path`; an existing file is replaced only once the new one is whole.

    CSV, TSV and TXT hold samples in rows and drop gene labels; every other format carries both kinds.
    """
    path = Path(path)
    _format_of(path).write(matrix, path)


def write_blocks(blocks: Iterable[ExpressionMatrix], path: str | Path) -> None:
    """The same from blocks of samples, at least one, with the same genes and labels.

    GCTX, h5ad, Parquet, CSV, TSV and TXT are written a block at a time; the others hold all blocks first.
    """
    path = Path(path)
    chosen = _format_of(path)
    if chosen.write_blocks is not None:
        chosen.write_blocks(blocks, path)
        return
    chosen.write(joined(list(blocks)), path)


def joined(blocks: list[ExpressionMatrix]) -> ExpressionMatrix:
    """Blocks of samples as one matrix."""
    if len(blocks) == 1:
        return blocks[0]
    import pandas as pd

    return ExpressionMatrix(
        np.concatenate([block.values for block in blocks]),
        np.concatenate([block.sample_ids for block in blocks]),
        blocks[0].gene_ids,
        pd.concat([block.sample_labels for block in blocks]),
        blocks[0].gene_labels,
    )


def check_ending(path: str | Path) -> None:
    """Raise InputError unless `write_expression` knows the ending."""
    _format_of(Path(path))


def _format_of(path: Path) -> _Format:
    endings = [ending.lower() for ending in path.suffixes[-2:]]
    if endings and endings[-1] == ".gz":
        chosen = FORMATS.get(endings[0]) if len(endings) == 2 else None
        chosen = chosen if chosen is not None and chosen.content == "text" else None
    else:
        chosen = FORMATS.get(endings[-1]) if endings else None
    if chosen is None:
        raise InputError(f"{path}: ending {''.join(endings)!r} is not known; use one of {ENDINGS}")
    return chosen


def _check_content(path: Path, chosen: _Format) -> None:
    """Raise InputError unless the path is a file that holds something, of the kind that its ending says."""
    if not path.is_file():
        raise InputError(f"{path}: is not a file; give the expression file itself")
    packed = path.suffix.lower() == ".gz"
    with path.open("rb") as stream:
        head = stream.read(4096)
    if head and packed:
        _expect(path, head, "gzip")
        with open_bytes(path) as stream:
            head = stream.read(4096)
    if not head:
        raise InputError(f"{path}: is empty; get the file again")
    _expect(path, head, chosen.content)


def _expect(path: Path, head: bytes, content: str) -> None:
    found = next((kind for start, kind in MAGIC.items() if head.startswith(start)), None)
    found = found or ("binary" if b"\0" in head else "text")
    if found != content:
        raise InputError(
            f"{path}: holds {found} data where its ending says {content}; rename it or get the right file"
        )
