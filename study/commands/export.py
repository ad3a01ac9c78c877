"""`export`: a model folder, or an ONNX file, of the best network of a run."""

from __future__ import annotations

import argparse
from pathlib import Path

from study.commands.parsing import command_parser

EXAMPLES = """
python run_study.py export runs/paper --out denoiser
python run_study.py export runs/paper --member 1f6a --out dense-4
python run_study.py export runs/paper --reference wiener --out wiener --onnx wiener.onnx
"""


def parser() -> argparse.ArgumentParser:
    """Its options."""
    description = (
        "Make a model folder, for `denoise`, of the network or linear denoiser of a run that validation says is best "
        "over all noise factors. SOURCE may be a model folder, too, for --onnx."
    )
    p = command_parser("export", description, EXAMPLES)
    p.add_argument(
        "source",
        type=Path,
        metavar="SOURCE",
        help="folder of a run that has ended, or a model folder",
    )
    p.add_argument(
        "--member", metavar="ID", help="this network, as in members.parquet, or how its id begins"
    )
    p.add_argument(
        "--reference", metavar="NAME", help="wiener, pca or pca-gain instead of a network"
    )
    p.add_argument("--out", type=Path, metavar="FOLDER", help="the model folder")
    p.add_argument(
        "--onnx",
        type=Path,
        metavar="FILE",
        help="one file for onnxruntime (pip install dae-study[onnx])",
    )
    p.add_argument(
        "--data", metavar="PATH", help="where the run's data file is now (default: where it was)"
    )
    p.add_argument("--force", action="store_true", help="replace what is there")
    return p


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    """Choose, write and say so. Returns the exit status."""
    from study.denoise.denoise import export

    return export(**vars(arguments))
