"""Expression files by their ending: the one place that knows which endings there are."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data_utils.archives import read_h5ad, read_npz, write_h5ad, write_npz
from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix
from data_utils.gct import read_gct, write_gct
from data_utils.gctx import read_gctx, write_gctx
from data_utils.parquet import read_parquet, write_parquet
from data_utils.tables import read_delimited, write_delimited
from data_utils.textio import open_bytes

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


_TABLE = _Format(read_delimited, write_delimited, "text", oriented=False)
FORMATS = {
    ".gct": _Format(read_gct, write_gct, "text"),
    ".gctx": _Format(read_gctx, write_gctx, "HDF5"),
    ".h5ad": _Format(read_h5ad, write_h5ad, "HDF5"),
    ".csv": _TABLE,
    ".tsv": _TABLE,
    ".txt": _TABLE,
    ".parquet": _Format(read_parquet, write_parquet, "Parquet", oriented=False),
    ".npz": _Format(read_npz, write_npz, "zip"),
}
ENDINGS = ".gct, .gctx, .h5ad, .csv, .tsv, .txt, .parquet, .npz; .gz after .gct, .csv, .tsv and .txt"


def read_expression(path: str | Path, genes_in: str | None = None) -> ExpressionMatrix:
    """Read an expression file by its ending (see ENDINGS).

    genes_in: "rows" or "columns", for CSV, TSV, TXT and Parquet files whose names do not tell; formats that
    say where genes lie ignore it. Values become float32 and keep their scale. Labels of GCT, CSV, TSV and
    TXT are text. Every fault of the file, whatever library finds it, is an InputError of one line.
    """
    path = Path(path)
    if genes_in not in (None, "rows", "columns"):
        raise InputError(f"--genes-in is {genes_in!r}; say rows or columns")
    if not os.path.exists(path):  # before its ending: a mistyped name is more often wrong than of an unknown kind
        raise InputError(f"{path}: no such file; give the path of an expression file")
    chosen = _format_of(path)
    try:
        _check_content(path, chosen)
        return chosen.read(path) if chosen.oriented else chosen.read(path, genes_in)
    except InputError:
        raise
    except EOFError as error:
        raise InputError(f"{path}: its compressed data end too early; get the whole file again") from error
    except Exception as error:  # h5py, pyarrow, anndata, zlib and zipfile share no class of errors
        reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        reason = "".join(c if c.isprintable() else "?" for c in reason)  # it may quote bytes of the file
        raise InputError(
            f"{path}: cannot be read as {path.suffix} ({reason}); it is damaged or another format"
        ) from error


def write_expression(matrix: ExpressionMatrix, path: str | Path) -> None:
    """Write `matrix` by the ending of `path`; an existing file is replaced only once the new one is whole.

    CSV, TSV and TXT hold samples in rows and drop gene labels; every other format carries both kinds.
    """
    path = Path(path)
    _format_of(path).write(matrix, path)


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
        raise InputError(f"{path}: holds {found} data where its ending says {content}; rename it or get the right file")
