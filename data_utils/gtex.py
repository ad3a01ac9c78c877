"""GTEx by name: its open-access expression files, fetched once and kept as the landmark genes with their labels.

    python run_study.py data gtex-v8

The addresses are those of the GTEx portal's storage, or of a mirror of it with the same paths (DAE_STUDY_GTEX_MIRROR).
"""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from data_utils.cache import MOVE, Cached, alone, cache_folder, load_cached, store
from data_utils.download import Fetched, download
from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix, check_expression
from data_utils.files import sha256
from data_utils.formats.text import shown
from data_utils.genes import is_landmark, select_landmarks
from data_utils.progress import Show

STORAGE = "https://storage.googleapis.com/"
PORTAL = "https://www.gtexportal.org/static/datasets/"


@dataclass(frozen=True)
class WebFile:
    """A file and its addresses: paths in GTEx's storage, the likeliest first, then whole addresses elsewhere.

    size: bytes, about, for a list; None where it is not known. sha256: of the file, where it is known.
    """

    storage_paths: tuple[str, ...]
    elsewhere: tuple[str, ...] = ()
    size: int | None = None
    sha256: str | None = None

    @property
    def urls(self) -> tuple[str, ...]:
        return (*(STORAGE + path for path in self.storage_paths), *self.elsewhere)


@dataclass(frozen=True)
class Release:
    """name: as --data takes it. samples: with RNA-seq, about. unit: of the expression values."""

    name: str
    title: str
    samples: int
    unit: str
    expression: WebFile
    attributes: WebFile


_V4_RPKM = "RNA-seq_RNA-SeQCv1.1.8_gene_rpkm.gct.gz"
_V4_LABELS = "annotations/GTEx_Data_V4_Annotations_SampleAttributesDS.txt"
_V6P_RPKM = "GTEx_Analysis_v6p_RNA-seq_RNA-SeQCv1.1.8_gene_rpkm.gct.gz"
_V8_TPM = "GTEx_Analysis_2017-06-05_v8_RNASeQCv1.1.9_gene_tpm.gct.gz"
_V8_LABELS = "GTEx_Analysis_v8_Annotations_SampleAttributesDS.txt"
_V10_LABELS = "GTEx_Analysis_v10_Annotations_SampleAttributesDS.txt"

RELEASES = {
    release.name: release
    for release in (
        Release(
            "gtex-v4",
            "GTEx V4, the paper's",
            2921,
            "RPKM",
            # The storage's address is inferred from that of the file of reads beside it.
            WebFile(
                (
                    f"gtex_analysis_v4/rna_seq_data/GTEx_Analysis_V4_{_V4_RPKM}",
                    f"gtex_analysis_v4/rna_seq_data/GTEx_Analysis_2014-01-17_{_V4_RPKM}",
                    f"adult-gtex/bulk-gex/v4/rna-seq/GTEx_Analysis_V4_{_V4_RPKM}",
                ),
                (f"{PORTAL}gtex_analysis_v4/rna_seq_data/GTEx_Analysis_V4_{_V4_RPKM}",),
            ),
            WebFile(
                (f"gtex_analysis_v4/{_V4_LABELS}",), (f"{PORTAL}gtex_analysis_v4/{_V4_LABELS}",)
            ),
        ),
        Release(
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
            WebFile(
                tuple(
                    f"gtex_analysis_{v}/annotations/GTEx_Data_V6_Annotations_SampleAttributesDS.txt"
                    for v in ("v6p", "v6")
                )
            ),
        ),
        Release(
            "gtex-v8",
            "GTEx V8, 2019",
            17382,
            "TPM",
            WebFile(
                (
                    f"adult-gtex/bulk-gex/v8/rna-seq/{_V8_TPM}",
                    f"gtex_analysis_v8/rna_seq_data/{_V8_TPM}",
                ),
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
        ),
        Release(
            "gtex-v10",
            "GTEx V10, 2024",
            19616,
            "TPM",
            WebFile(
                ("adult-gtex/bulk-gex/v10/rna-seq/GTEx_Analysis_v10_RNASeQCv2.4.2_gene_tpm.gct.gz",)
            ),
            WebFile(
                (
                    f"adult-gtex/annotations/v10/metadata-files/{_V10_LABELS}",
                    f"adult-gtex/annotations/v10/{_V10_LABELS}",
                )
            ),
        ),
    )
}

#: Environment variable: the beginning of every address in place of GTEx's own.
MIRROR = "DAE_STUDY_GTEX_MIRROR"
DONOR = "donor"
#: Columns of the sample attributes, and what the labels are called here.
ATTRIBUTES = {"SMTS": "tissue", "SMTSD": "site"}
SAMPLE = "SAMPID"


def release_folder(name: str) -> Path:
    """Where a release lies in the cache."""
    return cache_folder() / name


def cached_release(name: str) -> Cached | None:
    """What the cache holds of a release, if it is whole."""
    return load_cached(release_folder(name))


def open_release(name: str, show: Show | None = None) -> Cached:
    """The landmark genes of a release in its unit, (samples, genes), with tissue, site and donor, as a Parquet file.

    What the cache does not hold is fetched, unless it was put there by hand. Raises InputError of one line, and leaves
    no half of a file in the cache, where that fails.
    """
    found = cached_release(name)
    if found is not None:
        return found
    release, folder, show = RELEASES[name], release_folder(name), show or Show()
    with alone(
        folder, lambda: show.line(f"{name}: another process is fetching it: waiting for it to end")
    ):
        return cached_release(name) or _fetch(release, folder, show)


def addresses(file: WebFile) -> list[str]:
    """Where a file may be, the likeliest first. A mirror has the paths of GTEx's storage."""
    mirror = os.environ.get(MIRROR)
    if not mirror:
        return list(file.urls)
    return [mirror.rstrip("/") + "/" + path for path in file.storage_paths]


def donor_of(sample_id: str) -> str:
    """GTEX-1117F of GTEX-1117F-0226-SM-5GZZ7."""
    return "-".join(sample_id.split("-")[:2])


def _fetch(release: Release, folder: Path, show: Show) -> Cached:
    attributes, labels_from = _file(release, release.attributes, folder, show)
    labels = _within(folder, attributes, read_attributes)
    expression, values_from = _file(release, release.expression, folder, show)
    show.line(f"{release.name}: reading the landmark genes from {expression.name} ...")
    matrix = _within(folder, expression, lambda path: _landmarks(path, labels))
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
    from data_utils.formats.registry import write_expression

    try:
        stored = store(folder, record, lambda path: write_expression(matrix, path))
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written ({error.strerror or error}): {MOVE}"
        ) from None
    shutil.rmtree(folder / "download", ignore_errors=True)
    return stored


def _file(release: Release, file: WebFile, folder: Path, show: Show) -> tuple[Path, dict]:
    """A file that was put into the folder by hand, or else from the web; and what is recorded of it."""
    urls = addresses(file)
    for url in urls:
        name = url.rpartition("/")[2]
        for path in (folder / name, folder / name.removesuffix(".gz")):
            if path.is_file():
                found = Fetched("", path.stat().st_size, sha256(path))
                if file.sha256 not in (None, found.sha256) and path.name == name:
                    raise InputError(
                        f"{path}: has sha256 {found.sha256}, not {file.sha256}: get it again from {url}, or give it "
                        f"as --data {path}"
                    )
                return path, _recorded(found, path)
    target = folder / "download" / urls[0].rpartition("/")[2]
    target.parent.mkdir(exist_ok=True)
    by_hand = f"get {_first(release.attributes)} and {_first(release.expression)} by hand and put them into {folder}"
    with show.progress(target.name) as progress:
        found = download(urls, target, by_hand, sha256=file.sha256, progress=progress)
    return target, _recorded(found, target)


def _first(file: WebFile) -> str:
    return addresses(file)[0]


def _recorded(found: Fetched, path: Path) -> dict:
    return {"file": path.name, "url": found.url or None, "size": found.size, "sha256": found.sha256}


def _within(folder: Path, path: Path, read: Callable[[Path], object]):
    """What `read` makes of the file. A fetched file that it refuses is not kept: the next call fetches it again."""
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
    """Tissue and site by sample id, texts, of a file of sample attributes. Raises InputError where it is none."""
    text = path.read_bytes().decode("utf-8", errors="replace")
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t", quoting=csv.QUOTE_NONE)
    missing = [name for name in (SAMPLE, *ATTRIBUTES) if name not in (rows.fieldnames or ())]
    if missing:
        begins = shown(text[:40])
        raise InputError(
            f"{path}: has no column {missing[0]} (it begins {begins}): it is no file of sample attributes"
        )
    found = {row[SAMPLE]: [row[name] or "" for name in ATTRIBUTES] for row in rows}
    return pd.DataFrame.from_dict(
        found, orient="index", columns=list(ATTRIBUTES.values()), dtype=object
    )


def _landmarks(path: Path, labels: pd.DataFrame) -> ExpressionMatrix:
    """The landmark genes of the expression file, with the labels of its samples."""
    from data_utils.formats.gct import read_gct_genes

    matrix, _ = select_landmarks(read_gct_genes(path, is_landmark), str(path))
    check_expression(matrix, str(path))
    if not labels.index.isin(matrix.sample_ids).any():
        raise InputError(
            f"{path}: none of its samples is in the file of sample attributes: get both of one release"
        )
    own = labels.reindex(matrix.sample_ids).fillna("")
    own[DONOR] = [donor_of(sample) for sample in matrix.sample_ids]
    return ExpressionMatrix(
        matrix.values, matrix.sample_ids, matrix.gene_ids, own, matrix.gene_labels
    )
