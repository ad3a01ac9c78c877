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
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from data_utils.cache import MOVE, Cached, alone, cache_folder, file_sha256, load_cached, store
from data_utils.download import Fetched, download
from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix, check_expression
from data_utils.formats.text import shown
from data_utils.genes import is_landmark, select_landmarks
from data_utils.gtex_releases import RELEASES, Release, WebFile
from data_utils.progress import Show

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
    from data_utils.formats.parquet import write_parquet

    try:
        stored = store(folder, record, lambda path: write_parquet(matrix, path))
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
                found = Fetched("", path.stat().st_size, file_sha256(path))
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
