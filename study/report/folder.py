"""The report of one run or several: a folder with a page to read and the files that it is made of. No torch, no ray."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from data_utils.files import check_folder, replacing_folder
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
    check_folder(out, "report", {PAGE, crate.NAME}.issubset)
    document = build(evidence, judge_claims(evidence))
    with replacing_folder(out) as folder:
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
