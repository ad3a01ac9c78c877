"""The report of one run or several: a folder with a page, its figures and tables, and a crate."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from mimetypes import MimeTypes
from pathlib import Path
from urllib.parse import quote

from rocrate.model import ContextEntity, SoftwareApplication
from rocrate.rocrate import ROCrate

from data_utils.files import check_folder, replacing_folder
from study.evidence.evidence import Evidence, load_cohorts
from study.paper.claims import judge_claims
from study.report import exports
from study.report.document import Document
from study.report.page import build

PAGE, CRATE = "index.html", "ro-crate-metadata.json"
FORMATS = MimeTypes()  # Python's own table: the same on every machine
FORMATS.add_type("text/markdown", ".md")


def write_report(folders: Sequence[Path], out: Path, smallest: float | None = None) -> Path:
    """Write the report of run folders to the folder `out`, and return the path of its index.html.

    Runs on several sets of data are compared as cohorts. `smallest` is the smallest effect of
    interest in percent; None takes that of the runs. The same runs give the same bytes. An error
    leaves `out` unchanged. Raises InputError for folders without runs, and if `out` cannot be
    written or is not a report.
    """
    out = Path(os.path.abspath(os.path.expanduser(out)))
    cohorts = load_cohorts(folders, smallest)
    check_folder(out, "report", {PAGE, CRATE}.issubset)
    document = build({cohort: judge_claims(cohort) for cohort in cohorts})
    with replacing_folder(out) as folder:
        _write_tables(document, folder / "tables")
        images = {plot.key: exports.save(plot, folder / "figures") for plot in document.plots()}
        (folder / PAGE).write_text(exports.html(document, images), "utf-8")
        (folder / "report.md").write_text(exports.markdown(document), "utf-8")
        _write_crate(cohorts, folder, out, document.title)
    return out / PAGE


def _write_tables(document: Document, folder: Path) -> None:
    folder.mkdir()
    for table in document.tables():
        exports.plain(table).to_csv(folder / f"{table.key}.csv", index=False, lineterminator="\n")
        (folder / f"{table.key}.tex").write_text(exports.latex(table), "utf-8")


def _write_crate(cohorts: Sequence[Evidence], folder: Path, out: Path, title: str) -> None:
    """Describe the files in `folder`, and the runs relative to `out`, as an RO-Crate."""
    crate = ROCrate()
    crate.name, crate.license = title, "https://spdx.org/licenses/MIT"
    crate.description = "Tables and figures of a study of denoising autoencoders; read index.html."
    held = [run for cohort in cohorts for run in cohort.runs]
    provenance = max((run.config["provenance"] for run in held), key=lambda p: p["started"])
    crate.datePublished = datetime.fromisoformat(provenance["started"]).date()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        about = {"encodingFormat": FORMATS.guess_type(path)[0], "contentSize": path.stat().st_size}
        crate.add_file(path, path.relative_to(folder).as_posix(), properties=about)
    runs = []
    for run in held:
        about = {"@type": "Dataset", "name": run.name, "description": run.config["command"]}
        place = f"{quote(Path(os.path.relpath(run.path, out)).as_posix())}/"
        runs.append(crate.add(ContextEntity(crate, place, properties=about)))
    about = {"name": "dae-study", "version": provenance["packages"].get("dae-study") or "unknown"}
    software = crate.add(SoftwareApplication(crate, "#dae-study", properties=about))
    crate.add_action(software, identifier="#report", object=runs, result=[crate.root_dataset])
    crate.metadata.write(folder)
