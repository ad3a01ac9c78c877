"""The report of one run or several: a folder with a page to read and the files that it is made of. No torch, no ray."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from data_utils.errors import InputError
from study.evidence.evidence import load_evidence
from study.paper.claims import judge_claims
from study.report import crate, exports
from study.report.document import Document
from study.report.page import build

PAGE = "index.html"
LARGEST_SVG = 200_000  # bytes; the page shows a larger drawing as PNG


def write_report(folders: Sequence[Path], out: Path) -> Path:
    """Write the report of run folders to the folder `out`; returns the path of its index.html.

    The same runs give the same bytes. `out` is there whole or, where anything fails, as it was before. Raises
    InputError for folders that hold no runs of one study, and for an `out` that cannot be written or is no report.
    """
    out = Path(os.path.abspath(os.path.expanduser(out)))
    evidence = load_evidence(folders)
    _check(out)
    document = build(evidence, judge_claims(evidence))
    with _replacing(out) as folder:
        _write_tables(document, folder / "tables")
        images = {plot.key: _write_figure(plot, folder / "figures") for plot in document.plots()}
        (folder / PAGE).write_text(exports.html(document, images), "utf-8")
        (folder / "report.md").write_text(exports.markdown(document), "utf-8")
        crate.write_crate(evidence, folder, out, document.title)
    return out / PAGE


def _write_tables(document: Document, folder: Path) -> None:
    folder.mkdir()
    for table in document.tables():
        table.frame.to_csv(folder / f"{table.key}.csv", index=False, lineterminator="\n")
        (folder / f"{table.key}.tex").write_text(exports.latex(table), "utf-8")


def _write_figure(plot, folder: Path) -> exports.Image:
    saved = exports.save(plot, folder)
    small = saved["svg"].stat().st_size <= LARGEST_SVG
    return exports.embedded(saved["svg" if small else "png"], saved["width"], saved["height"])


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """A new folder beside `out`, which takes its place at the end; after an error nothing is left of it."""
    new, old = (out.with_name(f".{out.name}.{os.getpid()}.{kind}") for kind in ("new", "old"))
    try:
        new.mkdir(parents=True)
        yield new
        if out.exists():
            out.rename(old)
        try:
            new.rename(out)
        except OSError:
            with suppress(OSError):
                old.rename(out)
            raise
    except OSError as error:
        raise InputError(
            f"{out}: cannot be written ({error.strerror}): give another folder for the report"
        ) from None
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if out.exists():
            shutil.rmtree(old, ignore_errors=True)


def _check(out: Path) -> None:
    """Raise InputError where `out` cannot be made, or holds something else than an earlier report."""
    parent = next(path for path in out.parents if os.path.lexists(path))
    if not (parent.is_dir() and os.access(parent, os.W_OK | os.X_OK)):
        raise InputError(
            f"{out}: cannot be written (below {parent}): give another folder for the report"
        )
    if not os.path.lexists(out):
        return
    if out.is_symlink() or not out.is_dir():
        raise InputError(f"{out}: is no folder: give another for the report")
    names = {entry.name for entry in out.iterdir()}
    if names and not {PAGE, crate.NAME} <= names:
        raise InputError(
            f"{out}: holds files but no report, so it is not replaced: give another folder for the report"
        )
