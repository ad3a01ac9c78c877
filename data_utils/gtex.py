"""GTEx releases by name, downloaded once and cached as landmark genes with sample labels.

    python run_study.py data gtex-v8

The addresses are those of GTEx's storage, or of a mirror of it with the same paths
(DAE_STUDY_GTEX_MIRROR).
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import urljoin

import pandas as pd

from data_utils.download import MOVE, Fetched, alone, cache_folder, download, say
from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix, check_expression
from data_utils.files import replacing, sha256, write_bytes
from data_utils.formats.gct import read_gct
from data_utils.formats.parquet import write_parquet
from data_utils.formats.text import shown
from data_utils.genes import is_landmark, select_landmarks

T = TypeVar("T")

STORAGE = "https://storage.googleapis.com/"
PORTAL = "https://www.gtexportal.org/static/datasets/"
#: Environment variable that replaces STORAGE at the start of every address.
MIRROR = "DAE_STUDY_GTEX_MIRROR"

DONOR = "donor"
#: Columns of the sample attributes, and the labels that they become.
ATTRIBUTES = {"SMTS": "tissue", "SMTSD": "site"}
SAMPLE = "SAMPID"
#: Files of a release in its cache folder.
TABLE, RECORD = "expression.parquet", "source.json"


@dataclass(frozen=True)
class WebFile:
    """A file of a release: its paths in GTEx's storage or full addresses, the likeliest first.

    size: approximate, in bytes; size and sha256 are None if unknown.
    """

    paths: tuple[str, ...]
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Release:
    """A GTEx release; name: as in --data; samples: roughly, with RNA-seq; unit: of the values."""

    name: str
    title: str
    samples: int
    unit: str
    expression: WebFile
    attributes: WebFile


@dataclass(frozen=True)
class Cached:
    """A release's table in the cache, and the record of the source and date of its data."""

    path: Path
    record: dict


_V4_RPKM = "RNA-seq_RNA-SeQCv1.1.8_gene_rpkm.gct.gz"
_V4_LABELS = "gtex_analysis_v4/annotations/GTEx_Data_V4_Annotations_SampleAttributesDS.txt"
_V6P_RPKM = "GTEx_Analysis_v6p_RNA-seq_RNA-SeQCv1.1.8_gene_rpkm.gct.gz"
_V6_LABELS = "annotations/GTEx_Data_V6_Annotations_SampleAttributesDS.txt"
_V8_TPM = "GTEx_Analysis_2017-06-05_v8_RNASeQCv1.1.9_gene_tpm.gct.gz"
_V8_LABELS = "GTEx_Analysis_v8_Annotations_SampleAttributesDS.txt"
_V10_TPM = "GTEx_Analysis_v10_RNASeQCv2.4.2_gene_tpm.gct.gz"
_V10_LABELS = "GTEx_Analysis_v10_Annotations_SampleAttributesDS.txt"

_V4 = Release(
    "gtex-v4",
    "GTEx V4, the paper's",
    2921,
    "RPKM",
    # The first address is inferred from that of the file of read counts.
    WebFile(
        (
            f"gtex_analysis_v4/rna_seq_data/GTEx_Analysis_V4_{_V4_RPKM}",
            f"gtex_analysis_v4/rna_seq_data/GTEx_Analysis_2014-01-17_{_V4_RPKM}",
            f"adult-gtex/bulk-gex/v4/rna-seq/GTEx_Analysis_V4_{_V4_RPKM}",
            f"{PORTAL}gtex_analysis_v4/rna_seq_data/GTEx_Analysis_V4_{_V4_RPKM}",
        )
    ),
    WebFile((_V4_LABELS, PORTAL + _V4_LABELS)),
)
_V6P = Release(
    "gtex-v6p",
    "GTEx V6p, 2016",
    8555,
    "RPKM",
    WebFile(
        (
            f"gtex_analysis_v6p/rna_seq_data/{_V6P_RPKM}",
            f"adult-gtex/bulk-gex/v6p/rna-seq/{_V6P_RPKM}",
        )
    ),
    WebFile((f"gtex_analysis_v6p/{_V6_LABELS}", f"gtex_analysis_v6/{_V6_LABELS}")),
)
_V8 = Release(
    "gtex-v8",
    "GTEx V8, 2019",
    17382,
    "TPM",
    WebFile(
        (f"adult-gtex/bulk-gex/v8/rna-seq/{_V8_TPM}", f"gtex_analysis_v8/rna_seq_data/{_V8_TPM}"),
        size=1_500_000_000,
        sha256="ec783825ebebb8ba8525b73cb7ff9577162bc0d2e8a7fdc408283b7639c306fb",
    ),
    WebFile(
        (
            f"adult-gtex/annotations/v8/metadata-files/{_V8_LABELS}",
            f"gtex_analysis_v8/annotations/{_V8_LABELS}",
        ),
        sha256="74f6ab4c34ed2648d708a0ae6e6dff324f6c86ea723ae7d1c37d76f5221148f0",
    ),
)
_V10 = Release(
    "gtex-v10",
    "GTEx V10, 2024",
    19616,
    "TPM",
    WebFile((f"adult-gtex/bulk-gex/v10/rna-seq/{_V10_TPM}",)),
    WebFile(
        (
            f"adult-gtex/annotations/v10/metadata-files/{_V10_LABELS}",
            f"adult-gtex/annotations/v10/{_V10_LABELS}",
        )
    ),
)
RELEASES = {release.name: release for release in (_V4, _V6P, _V8, _V10)}


def addresses(file: WebFile) -> list[str]:
    """Return the possible addresses of a file, the likeliest first."""
    mirror = os.environ.get(MIRROR)
    if mirror:
        return [f"{mirror.rstrip('/')}/{path}" for path in file.paths if "://" not in path]
    return [urljoin(STORAGE, path) for path in file.paths]


def release_folder(name: str) -> Path:
    """Return the folder of a release in the cache."""
    return cache_folder() / name


def cached_release(name: str) -> Cached | None:
    """Return a release from the cache; None if it is missing or damaged."""
    folder = release_folder(name)
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
        sound = sha256(folder / TABLE) == record["table_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Cached(folder / TABLE, record) if sound else None


def open_release(name: str) -> Cached:
    """Return the landmark genes of a release in its unit, with tissue, site and donor.

    Files that the cache does not hold are downloaded, unless they were put there by hand. Raises
    InputError if that fails.
    """
    found = cached_release(name)
    if found is not None:
        return found
    waiting = f"{name}: another process is fetching it: waiting for it to end"
    with alone(release_folder(name), waiting):
        return cached_release(name) or _fetch(RELEASES[name], release_folder(name))


def _fetch(release: Release, folder: Path) -> Cached:
    attributes, labels_from = _file(release, release.attributes, folder)
    labels = _read(read_attributes, attributes, folder)
    expression, values_from = _file(release, release.expression, folder)
    say(f"{release.name}: reading the landmark genes from {expression.name} ...")
    matrix = _read(lambda path: _landmarks(path, labels), expression, folder)
    record = {
        "source": release.name,
        "title": release.title,
        "unit": release.unit,
        "stored": datetime.now(UTC).isoformat(timespec="seconds"),
        "samples": matrix.n_samples,
        "genes": matrix.n_genes,
        "expression": values_from,
        "attributes": labels_from,
    }
    table = folder / TABLE
    try:
        with replacing(table) as temporary:
            write_parquet([matrix], temporary)
        # A reader between the two writes finds a table without a matching record: not cached.
        record |= {"table_sha256": sha256(table), "table_size": table.stat().st_size}
        write_bytes(folder / RECORD, (json.dumps(record, indent=1) + "\n").encode())
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{folder}: cannot be written ({reason}): {MOVE}") from None
    shutil.rmtree(folder / "download", ignore_errors=True)
    return Cached(table, record)


def _file(release: Release, file: WebFile, folder: Path) -> tuple[Path, dict]:
    """Return the path and the record of a file that was put here by hand, or else download it."""
    path, found = _by_hand(file, folder) or _fetched(release, file, folder)
    record = {"file": path.name, "url": found.url or None, "size": found.size}
    return path, {**record, "sha256": found.sha256}


def _by_hand(file: WebFile, folder: Path) -> tuple[Path, Fetched] | None:
    for url in addresses(file):
        name = url.rpartition("/")[2]
        for path in (folder / name, folder / name.removesuffix(".gz")):
            if path.is_file():
                found = Fetched("", path.stat().st_size, sha256(path))
                if path.name == name and file.sha256 not in (None, found.sha256):
                    raise InputError(
                        f"{path}: has sha256 {found.sha256}, not {file.sha256}: get it again from "
                        f"{url}, or give it as --data {path}"
                    )
                return path, found
    return None


def _fetched(release: Release, file: WebFile, folder: Path) -> tuple[Path, Fetched]:
    urls = addresses(file)
    path = folder / "download" / urls[0].rpartition("/")[2]
    path.parent.mkdir(exist_ok=True)
    both = " and ".join(addresses(its)[0] for its in (release.attributes, release.expression))
    by_hand = f"get {both} by hand and put them into {folder}"
    return path, download(urls, path, by_hand, file.sha256)


def _read(read: Callable[[Path], T], path: Path, folder: Path) -> T:
    """Read a file with `read`; if that fails, delete a downloaded file and raise InputError."""
    try:
        return read(path)
    except Exception as error:
        if path.parent != folder:
            path.unlink(missing_ok=True)
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(
            f"{path}: cannot be read ({reason}): it is damaged or another file, get it again"
        ) from None


def read_attributes(path: Path) -> pd.DataFrame:
    """Read tissue and site by sample id, as text, from a file of sample attributes."""
    text = path.read_bytes().decode("utf-8", errors="replace")
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
    missing = [name for name in (SAMPLE, *ATTRIBUTES) if name not in (rows.fieldnames or ())]
    if missing:
        raise InputError(
            f"{path}: has no column {missing[0]} (it begins {shown(text[:40])}): it is no file of "
            "sample attributes"
        )
    found = {row[SAMPLE]: [row[name] or "" for name in ATTRIBUTES] for row in rows}
    names = list(ATTRIBUTES.values())
    return pd.DataFrame.from_dict(found, orient="index", columns=names, dtype=object)


def _landmarks(path: Path, labels: pd.DataFrame) -> ExpressionMatrix:
    """Read the landmark genes of the expression file, and label its samples."""
    matrix, _ = select_landmarks(read_gct(path, is_landmark), str(path))
    check_expression(matrix, str(path))
    samples = matrix.sample_ids
    if not labels.index.isin(samples).any():
        raise InputError(
            f"{path}: none of its samples is in the file of sample attributes: get both of one "
            "release"
        )
    own = labels.reindex(samples).fillna("")
    own[DONOR] = [donor_of(sample) for sample in samples]
    return ExpressionMatrix(matrix.values, samples, matrix.gene_ids, own, matrix.gene_labels)


def donor_of(sample_id: str) -> str:
    """Return the donor of a sample: GTEX-1117F for GTEX-1117F-0226-SM-5GZZ7."""
    return "-".join(sample_id.split("-")[:2])
