"""`denoise`: a file of one's own through a model."""

from __future__ import annotations

import argparse
from pathlib import Path

from study.commands.parsing import command_parser

EXAMPLES = """
python run_study.py denoise --model denoiser noisy.h5ad clean.h5ad
python run_study.py denoise --model runs/paper counts.tsv.gz clean.tsv.gz --noise-factor 0.3
python run_study.py denoise --model denoiser profiles.gct clean.parquet --impute --force
"""


def parser() -> argparse.ArgumentParser:
    """Its options."""
    description = (
        "Denoise an expression file. Genes are matched by name; the output has the input's samples, genes, order and "
        "units. Beside OUT comes a page, OUT's name with .check.html, that says whether to trust it."
    )
    p = command_parser("denoise", description, EXAMPLES)
    formats = "GCT, GCTX, h5ad, CSV, TSV, Parquet or npz"
    p.add_argument("source", type=Path, metavar="IN", help=f"{formats} file")
    p.add_argument(
        "out", type=Path, metavar="OUT", help="where to write: the ending says the format"
    )
    p.add_argument(
        "--model",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="a model folder, or a run: its best model",
    )
    p.add_argument(
        "--noise-factor",
        default="auto",
        metavar="A",
        help="noise in units of a gene's standard deviation; auto: estimated",
    )
    p.add_argument(
        "--impute", action="store_true", help="let genes that IN lacks stand at their training mean"
    )
    p.add_argument(
        "--genes-in",
        choices=("rows", "columns"),
        help="where a CSV, TSV or Parquet file has its genes",
    )
    p.add_argument(
        "--transform",
        choices=("auto", "none", "log2p1"),
        default="auto",
        help="to the model's log scale, and back",
    )
    p.add_argument("--force", action="store_true", help="replace OUT")
    p.add_argument("--no-check", action="store_true", help="leave out the page")
    return p


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    """Denoise, and say what was done. Returns the exit status."""
    from study.denoise.denoise import denoise

    return denoise(**vars(arguments))
