"""`data`: what --data can name, and fetching it."""

from __future__ import annotations

import argparse

from study.commands.parsing import command_parser

DESCRIPTION = """List what --data can name, or make one of them ready and say what is in it: a release of GTEx
is fetched into the cache, unless it lies there.

DAE_STUDY_CACHE moves the cache. DAE_STUDY_GTEX_MIRROR is the beginning of a mirror's addresses, in place of
https://storage.googleapis.com."""
EXAMPLES = """
python run_study.py data
python run_study.py data gtex-v8
python run_study.py data counts.tsv.gz
"""


def parser() -> argparse.ArgumentParser:
    """Its options."""
    p = command_parser("data", DESCRIPTION, EXAMPLES)
    p.add_argument(
        "source", nargs="?", metavar="SOURCE", help="simulated, a release of GTEx, or a file"
    )
    p.add_argument(
        "--genes-in",
        choices=("rows", "columns"),
        help="where a CSV, TSV or Parquet file has its genes",
    )
    return p


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    """Print the list, or fetch and look. Returns the exit status."""
    if arguments.source is None:
        _list()
    else:
        _look(arguments.source, arguments.genes_in)
    return 0


def _list() -> None:
    from rich.console import Console
    from rich.table import Table

    from data_utils.cache import cache_folder
    from data_utils.gtex import cached_release
    from data_utils.gtex_releases import RELEASES

    table = Table("--data", "what it is", "samples", "unit", "download", "in the cache", box=None)
    table.add_row("simulated", "GTEx-like cohort", "2,921", "log2", "none", "-")
    for release in RELEASES.values():
        cached, size = cached_release(release.name), release.expression.size
        there = "no" if cached is None else f"yes, {cached.record['table_size'] / 1e6:,.1f} MB"
        download = "not known" if size is None else f"about {size / 1e9:.1f} GB"
        table.add_row(
            release.name, release.title, f"{release.samples:,}", release.unit, download, there
        )
    table.add_row("PATH", "a file of yours", "any", "any", "none", "-")
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(table)
    print("a file: GCT, GCTX, h5ad, CSV, TSV (also .gz), Parquet or npz")
    print(f"cache:  {cache_folder()}, a folder for each release")
    print("next:   python run_study.py data gtex-v8")


def _look(source: str, genes_in: str | None) -> None:
    """Load the source, as a study does, and print what is in it."""
    import shlex

    from data_utils.gtex import release_folder
    from data_utils.gtex_releases import RELEASES
    from data_utils.sources import load_dataset

    dataset = load_dataset(source, genes_in=genes_in)
    for note in dataset.notes:
        print(note)
    labels = dataset.matrix.sample_labels
    counts = [f"{name} ({labels[name].nunique():,} values)" for name in labels.columns]
    print(f"sample labels: {', '.join(counts) or 'none'}")
    if dataset.origin is not None:
        print(f"from {dataset.origin['expression']['url'] or 'files put there by hand'}")
    if source in RELEASES:
        print(f"in the cache: {release_folder(source)}")
    more = "" if genes_in is None else f" --genes-in {genes_in}"
    out = f"runs/{source}" if source in RELEASES else "runs/mine"
    print(f"next: python run_study.py --grid paper --data {shlex.quote(source)}{more} --out {out}")
