"""ro-crate-metadata.json: the folder of a report, described by RO-Crate 1.1 (https://w3id.org/ro/crate/1.1)."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from study.evidence.evidence import Evidence, Run
from study.run.provenance import PROJECT

NAME = "ro-crate-metadata.json"
NO_LICENCE = "The project states no licence."
FORMATS = {
    ".html": "text/html",
    ".md": "text/markdown",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".csv": "text/csv",
    ".tex": "application/x-tex",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
}
RUN_FILES = {
    "config.json": "Data, versions, seeds, git state and hardware of the run",
    "plan.json": "Every network of the run, as it was planned",
    "members.parquet": "One row a network: configuration, status, errors, parameters",
    "metrics.parquet": "One row a network x epoch x split x metric",
    "split.parquet": "Which sample trains, validates and tests",
    "references.parquet": "MSE of identity, gene mean, PCA, Wiener, mixture of Wiener filters and oracle",
    "genes.parquet": "MSE by gene",
    "labels.parquet": "MSE by value of a sample label such as tissue",
}


def crate(evidence: Evidence, folder: Path, out: Path, title: str) -> dict:
    """The metadata of the report in `folder` (its files as they are), which will stand at `out`.

    Files of the report are the parts of the root dataset. Files of the runs lie outside it, so they are no parts:
    they are named, relative to the report, as what the report was made from.
    """
    parts = [
        _file(path, path.relative_to(folder).as_posix())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    runs = [_run(run, out) for run in evidence.runs]
    read = [
        _run_file(run, name, out)
        for run in evidence.runs
        for name in RUN_FILES
        if (run.path / name).exists()
    ]
    kind = "simulated data" if evidence.simulated else f"{evidence.data.get('source')}"
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": title,
        "description": f"Tables and figures of a study of denoising autoencoders on {kind}; index.html is to be read.",
        "datePublished": date_of(evidence),
        "license": {"@id": "#licence"},
        "hasPart": [{"@id": part["@id"]} for part in parts],
        "isBasedOn": [{"@id": run["@id"]} for run in runs],
        "mainEntity": {"@id": "index.html"},
    }
    action = {
        "@id": "#report",
        "@type": "CreateAction",
        "name": "The report is made from the tables of the runs",
        "instrument": {"@id": "#dae-study"},
        "object": [{"@id": file["@id"]} for file in read],
        "result": {"@id": "./"},
    }
    graph = [_DESCRIPTOR, root, _licence(), _software(evidence), action, *parts, *runs, *read]
    return {"@context": "https://w3id.org/ro/crate/1.1/context", "@graph": graph}


_DESCRIPTOR = {
    "@id": NAME,
    "@type": "CreativeWork",
    "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
    "about": {"@id": "./"},
}


def date_of(evidence: Evidence) -> str:
    """The day on which the last run began: the same inputs give the same report. (Of old runs, their file's day.)"""
    return max(_date(run) for run in evidence.runs)


def _date(run: Run) -> str:
    started = (run.config.get("provenance") or {}).get("started")
    if started:
        return str(started)[:10]
    return (
        datetime.fromtimestamp((run.path / "config.json").stat().st_mtime, UTC).date().isoformat()
    )


def _file(path: Path, identifier: str, **more) -> dict:
    return {
        "@id": quote(identifier),
        "@type": "File",
        "name": path.name,
        "encodingFormat": FORMATS.get(path.suffix, "application/octet-stream"),
        "contentSize": str(path.stat().st_size),
        **more,
    }


def _relative(path: Path, out: Path) -> str:
    return Path(os.path.relpath(path, out)).as_posix()


def _run(run: Run, out: Path) -> dict:
    return {
        "@id": f"{quote(_relative(run.path, out))}/",
        "@type": "Dataset",
        "name": f"Run {run.name}",
        "description": f"Run folder of the command: {run.config.get('command')}",
        "hasPart": [
            {"@id": quote(_relative(run.path / n, out))}
            for n in RUN_FILES
            if (run.path / n).exists()
        ],
    }


def _run_file(run: Run, name: str, out: Path) -> dict:
    path = run.path / name
    return _file(path, _relative(path, out), description=RUN_FILES[name])


def _software(evidence: Evidence) -> dict:
    known = evidence.runs[-1].config.get("provenance") or {}
    version = (
        (known.get("packages") or {}).get("dae-study")
        or (known.get("git") or {}).get("commit")
        or "unknown"
    )
    return {
        "@id": "#dae-study",
        "@type": "SoftwareApplication",
        "name": "dae-study",
        "version": version,
    }


def _licence() -> dict:
    """The project's own licence: the first line of its file, or that there is none."""
    files = sorted(PROJECT.glob("LICEN[CS]E*"))
    lines = files[0].read_text("utf-8").strip().splitlines() if files else []
    return {
        "@id": "#licence",
        "@type": "CreativeWork",
        "name": lines[0].strip() if lines else NO_LICENCE,
    }
