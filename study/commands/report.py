"""`report`: one page from one run or several."""

from __future__ import annotations

import argparse
from pathlib import Path

from study.commands.parsing import command_parser

EXAMPLES = """
python run_study.py report runs/paper
python run_study.py report runs/paper runs/as-published runs/autopsy --out report
"""


def parser() -> argparse.ArgumentParser:
    """Its options."""
    p = command_parser(
        "report",
        "Write one page, report/index.html, from the tables of one run or several.",
        EXAMPLES,
    )
    p.add_argument(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="folder of a run that has ended; all on one data",
    )
    p.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the report (default: report/ in the first RUN)",
    )
    return p


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    """Write the page and say where it is. Returns the exit status."""
    import shlex

    from study.report.folder import write_report

    print(f"report: {write_report(arguments.runs, arguments.out or arguments.runs[0] / 'report')}")
    print(
        f"next:   python run_study.py export {shlex.quote(str(arguments.runs[0]))} --out denoiser"
    )
    return 0
