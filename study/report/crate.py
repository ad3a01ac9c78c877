"""ro-crate-metadata.json: what the folder of a report holds, as an RO-Crate (https://w3id.org/ro/crate)."""

from __future__ import annotations

import os
from datetime import datetime
from mimetypes import MimeTypes
from pathlib import Path
from urllib.parse import quote

from rocrate.model import ContextEntity, SoftwareApplication
from rocrate.rocrate import ROCrate

from study.evidence.evidence import Evidence

NAME = "ro-crate-metadata.json"
FORMATS = MimeTypes()  # Python's own table: the same on every machine
FORMATS.add_type("text/markdown", ".md")


def write_crate(evidence: Evidence, folder: Path, out: Path, title: str) -> None:
    """Describe the files of the report in `folder`, and the runs it is made from, relative to its place `out`."""
    crate = ROCrate()
    crate.name, crate.license = title, "https://spdx.org/licenses/MIT"
    crate.description = "Tables and figures of a study of denoising autoencoders; read index.html."
    provenance = [run.config.get("provenance") or {} for run in evidence.runs]
    started = max(str(known.get("started") or "1970-01-01") for known in provenance)
    crate.datePublished = datetime.fromisoformat(started).date()  # the same runs give the same file
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        about = {"encodingFormat": FORMATS.guess_type(path)[0], "contentSize": path.stat().st_size}
        crate.add_file(path, path.relative_to(folder).as_posix(), properties=about)
    runs = []
    for run in evidence.runs:
        about = {"@type": "Dataset", "name": run.name, "description": run.config.get("command")}
        place = f"{quote(Path(os.path.relpath(run.path, out)).as_posix())}/"
        runs.append(crate.add(ContextEntity(crate, place, properties=about)))
    version = (provenance[-1].get("packages") or {}).get("dae-study", "unknown")
    about = {"name": "dae-study", "version": version}
    software = crate.add(SoftwareApplication(crate, "#dae-study", properties=about))
    crate.add_action(software, identifier="#report", object=runs, result=[crate.root_dataset])
    crate.metadata.write(folder)
