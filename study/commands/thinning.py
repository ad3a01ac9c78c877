"""`thinning`: denoisers of counts, tested on halves of them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from study.commands.parsing import command_parser

EXAMPLES = """
python run_study.py thinning --data counts.tsv.gz
python run_study.py thinning --data counts.h5ad --all-genes --seeds 9 --out runs/halves
python run_study.py thinning --data simulated --depth 2000000 --out runs/thinning-deep
"""


def parser() -> argparse.ArgumentParser:
    """Its options."""
    description = "Denoise one half of raw counts, split molecule by molecule, and compare with the other half."
    p = command_parser("thinning", description, EXAMPLES)
    p.add_argument(
        "--data",
        required=True,
        metavar="COUNTS",
        help="a file of raw counts in any format that is read, or simulated",
    )
    p.add_argument(
        "--seeds", type=int, default=5, metavar="N", help="thinnings 0 ... N-1 (default: 5)"
    )
    p.add_argument(
        "--share",
        type=float,
        default=0.5,
        metavar="P",
        help="of a count, what is denoised (default: 0.5)",
    )
    p.add_argument(
        "--depth",
        type=int,
        metavar="N",
        help="counts a sample: a deeper file is thinned to it first",
    )
    p.add_argument(
        "--genes-in",
        choices=("rows", "columns"),
        help="where a CSV, TSV or Parquet file has its genes",
    )
    p.add_argument(
        "--all-genes", action="store_true", help="keep every gene, not only the 943 landmark genes"
    )
    p.add_argument(
        "--epochs", type=int, metavar="N", help="epochs of the dense network; 0 leaves it out"
    )
    p.add_argument(
        "--data-seed", type=int, default=0, metavar="N", help="seed of the simulated counts"
    )
    p.add_argument(
        "--split-seed", type=int, default=0, metavar="N", help="seed of the 70/10/20 split"
    )
    p.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/thinning)")
    p.add_argument("--fresh", action="store_true", help="replace the run in the folder")
    return p


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    """Measure, write and print. Returns the exit status."""
    from data_utils.counts import load_counts
    from study.run.provenance import command_line
    from study.thinning import ThinningOptions, measure
    from study.thinning_tables import check_folder, printed, write_run

    options = ThinningOptions(**vars(arguments))
    check_folder(options)
    counts = load_counts(
        options.data,
        depth=options.depth,
        genes_in=options.genes_in,
        all_genes=options.all_genes,
        data_seed=options.data_seed,
    )
    outcome = measure(
        counts, options.share, range(options.seeds), options.split_seed, options.epochs
    )
    folder = write_run(options, counts, outcome, command_line([sys.argv[0], *words]))
    print(f"{printed(outcome)}\nrun folder: {folder}")
    return 0
