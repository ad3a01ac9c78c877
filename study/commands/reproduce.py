"""`reproduce`: one network of a run, trained again and compared."""

from __future__ import annotations

import argparse
from pathlib import Path

from study.commands.parsing import command_parser

EXAMPLES = """
python run_study.py reproduce 1f6a --run runs/paper
python run_study.py reproduce 1f6a0c22b3de --run runs/mine --data /elsewhere/expression.gct.gz
"""


def parser() -> argparse.ArgumentParser:
    """Its options."""
    description = "Train one network of a run again, and compare; the run is left as it is."
    p = command_parser("reproduce", description, EXAMPLES)
    p.add_argument("member_id", metavar="MEMBER_ID", help="as in members.parquet, or how it begins")
    p.add_argument("--run", type=Path, required=True, metavar="RUN", help="folder of the run")
    p.add_argument(
        "--data", metavar="PATH", help="where the run's data file is now (default: where it was)"
    )
    return p


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    """Train, compare and say so. Returns the exit status."""
    from study.reproduce import reproduce

    return reproduce(arguments.run, arguments.member_id, arguments.data)
