"""What the commands' parsers share. Nothing heavy is imported: `--help` answers at once."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def command_parser(name: str, description: str, examples: str) -> argparse.ArgumentParser:
    """The parser of command `name`; `examples`, one command a line, stand below its options."""
    lines = "".join(f"  {line.strip()}\n" for line in examples.strip().splitlines())
    return argparse.ArgumentParser(
        prog=f"{Path(sys.argv[0]).name} {name}",
        description=description,
        epilog=f"examples:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
