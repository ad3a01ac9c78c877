"""`grids`: what the grids are."""

from __future__ import annotations

import argparse

from study.commands.parsing import command_parser


def parser() -> argparse.ArgumentParser:
    """Its options: none."""
    description = (
        "List the grids: what each asks, its command, networks, minutes on 2 cores, section."
    )
    return command_parser("grids", description, "python run_study.py grids")


def run(arguments: argparse.Namespace, words: list[str]) -> int:
    """Print the list. Returns the exit status."""
    from study.grids import describe_grids

    print(describe_grids(), end="")
    print("next: python run_study.py --grid smoke")
    return 0
