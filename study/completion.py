"""`--print-completion`: what a shell needs to complete the command line. The script it prints starts no Python."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from pathlib import Path

SHELLS = ("bash", "zsh", "fish")
COMPLETION_HELP = (
    'print what makes a shell complete dae-study: bash: eval "$(dae-study --print-completion bash)"'
)

#: How options name folders; any other path is a file's.
FOLDERS = ("DIR", "FOLDER", "RUN", "SOURCE")
#: What may be a name or a file.
NAME_OR_FILE = ("data", "source")


class PrintCompletion(argparse.Action):
    """Print the script for a shell and leave, as `--help` does; it is no option of a study."""

    def __init__(self, *words, **options):
        super().__init__(*words, **options, default=argparse.SUPPRESS)

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        print(completion(parser, values))
        parser.exit()


def completion(root: argparse.ArgumentParser, shell: str) -> str:
    """The script for `shell`, of the installed command `dae-study`; `root` is given the commands for it."""
    import shtab

    root.prog = "dae-study"
    added = root.add_subparsers(metavar="COMMAND")
    for name, own in command_parsers().items():
        added.add_parser(name, parents=[own], add_help=False, help=own.description.splitlines()[0])
    for parser in (root, *added.choices.values()):
        for action in parser._actions:
            if action.type is Path:
                action.complete = shtab.DIRECTORY if action.metavar in FOLDERS else shtab.FILE
            elif action.dest in NAME_OR_FILE:
                action.complete = shtab.FILE
    return shtab.complete(root, shell)


def command_parsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of every command, by its name: of every module in study/commands that has one."""
    import study.commands

    modules = (module.name for module in pkgutil.iter_modules(study.commands.__path__))
    found = {name: importlib.import_module(f"study.commands.{name}") for name in sorted(modules)}
    return {name: module.parser() for name, module in found.items() if hasattr(module, "parser")}
