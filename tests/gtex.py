"""A small release of GTEx, served on loopback in place of the real one. Not a test itself."""

import contextlib
import gzip
from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from data_utils.genes import landmark_table
from data_utils.gtex import RELEASES
from tests.web import served

N_DONORS, N_SAMPLES, N_LANDMARKS, N_OTHERS = 14, 70, 60, 25
TISSUES = [
    ("Brain", "Brain - Cortex"),
    ("Brain", "Brain - Cerebellum"),
    ("Whole Blood", "Whole Blood"),
]


def sample_ids():
    """Donors have 2 to 8 samples each."""
    donors = [f"GTEX-{11 + d}AB{d % 5}" for d in range(N_DONORS)]
    counts = [2 + (3 * d) % 7 for d in range(N_DONORS)]
    ids = [
        f"{donor}-{i:04d}-SM-{donor[-2:]}"
        for donor, n in zip(donors, counts, strict=True)
        for i in range(n)
    ]
    return ids[:N_SAMPLES]


def values(unit_scale=40.0, seed=0):
    """TPM-like, (landmarks and others, samples)."""
    rng = np.random.default_rng(seed)
    logs = 2 + rng.normal(size=(N_LANDMARKS + N_OTHERS, 4)) @ rng.normal(
        size=(4, len(sample_ids()))
    )
    return np.round(unit_scale * np.exp2(logs / 2), 3)


def gct():
    """The text of the expression file: landmark genes with versions, between others."""
    table = landmark_table()
    genes = [
        (f"{e}.{i % 9 + 1}", s)
        for i, (e, s) in enumerate(zip(table.ensembl_id, table.gene_symbol, strict=True))
    ]
    genes = genes[:N_LANDMARKS] + [(f"ENSG9{i:010d}.1", f'other 5" {i}') for i in range(N_OTHERS)]
    order = np.random.default_rng(1).permutation(len(genes))
    numbers = values()
    lines = [
        "#1.2",
        f"{len(genes)}\t{len(sample_ids())}",
        "\t".join(["Name", "Description", *sample_ids()]),
    ]
    lines += ["\t".join([*genes[i], *map(str, numbers[i])]) for i in order]
    return ("\n".join(lines) + "\n").encode()


def attributes():
    """The text of the sample attributes: all samples but the last, and one without expression."""
    rows = ["SAMPID\tSMATSSCR\tSMTS\tSMPTHNTS\tSMTSD"]
    for i, sample in enumerate([*sample_ids()[:-1], "GTEX-ZZZZ-0001-SM-1"]):
        tissue, site = TISSUES[i % 3]
        rows.append(f'{sample}\t\t{tissue}\t2 pieces, 5" long\t{site}')
    return ("\n".join(rows) + "\n").encode()


def unchecked(release):
    """The release without the checksums of its files."""
    files = {
        name: replace(getattr(release, name), sha256=None) for name in ("expression", "attributes")
    }
    return replace(release, **files)


@contextlib.contextmanager
def served_release(monkeypatch, cache, name="gtex-v8"):
    """Serve the small release at the addresses of `name`; `path` and `labels_path` are its files.

    The real release's checksums do not hold for it, and a failed try is not waited after.
    """
    release = unchecked(RELEASES[name])
    monkeypatch.setitem(RELEASES, name, release)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("DAE_STUDY_CACHE", str(cache))
    monkeypatch.setattr("data_utils.download.WAITS", (0.0,))
    paths = release.expression.paths[0], release.attributes.paths[0]
    with served(
        **dict(zip(paths, (gzip.compress(gct(), mtime=0), attributes()), strict=True))
    ) as site:
        monkeypatch.setenv("DAE_STUDY_GTEX_MIRROR", f"{site.url}/")
        yield SimpleNamespace(
            site=site, path=f"/{paths[0]}", labels_path=f"/{paths[1]}", folder=cache / name
        )
