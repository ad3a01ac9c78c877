"""The releases of GTEx that --data knows: what each is, and where its open-access files are."""

from __future__ import annotations

from dataclasses import dataclass

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
