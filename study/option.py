"""Options of the command line as fields of dataclasses: type, default, help and check in one place.

@dataclass(frozen=True, kw_only=True)
class ReportOptions(Options):
    runs: tuple[Path, ...] = option(help="folders of runs", metavar="RUN", positional=True)
    out: Path | None = option(None, help="folder of the report", metavar="DIR")
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from data_utils.errors import InputError

#: What a value's text must be, by its type.
KINDS = {int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class Check:
    """What a value must be: a test, the way out if it fails, and the choices if there is a list."""

    passes: Callable[[Any], bool]
    way_out: str
    choices: tuple[str, ...] = ()


def at_least(least: float) -> Check:
    """Finite, and not below `least`."""
    return Check(lambda value: least <= value < math.inf, f"give at least {least:g}")


def between(least: float, most: float) -> Check:
    """From `least` to `most`, both included."""
    return Check(lambda value: least <= value <= most, f"give {least:g} to {most:g}")


def choice(*names: str) -> Check:
    """One of the names."""
    return Check(names.__contains__, f"use one of {', '.join(names)}", names)


@dataclass(frozen=True)
class Declared:
    """What the command line has to know of a field besides its name, type and default."""

    help: str = ""
    metavar: str | Sequence[str] | None = None
    check: Check | None = None
    """Applied to each value of a tuple."""
    group: str = ""
    rare: bool = False
    """Listed by --help-all only."""
    positional: bool = False
    read: Callable[[str], Any] | None = None
    """Converts the text, in place of the type."""
    shown: bool = True
    """Whether the help shows the default."""


def option(default: Any = dataclasses.MISSING, **its: Any) -> Any:
    """Make a dataclass field that is an option, with the fields of `Declared`.

    It is required without a default.
    """
    return dataclasses.field(default=default, metadata={"option": Declared(**its)})


def declared(kind: type[Options]) -> dict[str, Declared]:
    """The options among the fields of a dataclass, by field name."""
    fields = dataclasses.fields(kind)
    return {f.name: f.metadata["option"] for f in fields if "option" in f.metadata}


def flag(name: str) -> str:
    """The option's name on the command line: --data-seed for data_seed."""
    return f"--{name.replace('_', '-')}"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options whose checks are applied when they are made, from words or from Python."""

    def __post_init__(self) -> None:
        for name, its in declared(type(self)).items():
            value = getattr(self, name)
            if its.check is None or value is None:
                continue
            for item in value if isinstance(value, (tuple, list)) else (value,):
                if not its.check.passes(item):
                    shown = f"{item:g}" if isinstance(item, float) else item
                    raise InputError(f"{flag(name)} {shown}: {its.check.way_out}")

    @classmethod
    def read(cls, given: dict[str, Any], **other: Any) -> typing.Self:
        """Make the options from the words of the command line: those of this class among them."""
        types_ = typing.get_type_hints(cls)
        values = {
            name: _value(name, its, types_[name], given[name])
            for name, its in declared(cls).items()
            if name in given
        }
        return cls(**values, **other)


class Parser(argparse.ArgumentParser):
    """Splits words into options. Its errors are InputErrors of one line."""

    def __init__(self, prog: str, kinds: Sequence[type[Options]], everything: bool, **texts: str):
        """Take the options of the dataclasses `kinds`; of a name that two declare, the first."""
        super().__init__(
            prog=prog,
            formatter_class=_Formatter,
            allow_abbrev=False,  # the resume command looks for --fresh and --resume by name
            argument_default=argparse.SUPPRESS,  # the defaults are those of the dataclasses
            **texts,  # type: ignore[arg-type]  # usage, description and epilog
        )
        self.titles: dict[str, argparse._ArgumentGroup] = {}
        self.everything, self.grouped = everything, len(kinds) > 1
        taken: set[str] = set()
        for kind in kinds:
            self._add(kind, taken)

    def _add(self, kind: type[Options], taken: set[str]) -> None:
        hints = typing.get_type_hints(kind)
        fields = {field.name: field for field in dataclasses.fields(kind)}
        for name, its in declared(kind).items():
            if name in taken:
                continue
            taken.add(name)
            hidden = its.rare and not self.everything
            words: dict[str, Any] = _arity(hints[name])
            if "action" not in words:
                choices = its.check.choices if its.check is not None else ()
                words["metavar"] = its.metavar or (f"{{{','.join(choices)}}}" if choices else "X")
            words["help"] = argparse.SUPPRESS if hidden else _help(its, fields[name].default)
            required = fields[name].default is dataclasses.MISSING
            if its.positional and not required:
                words["nargs"] = "?"
            elif not its.positional and required:
                words["required"] = True
            group = self._group(its.group) if self.grouped else self
            group.add_argument(name if its.positional else flag(name), **words)

    def _group(self, title: str) -> argparse._ArgumentGroup:
        if title not in self.titles:
            self.titles[title] = self.add_argument_group(title)
        return self.titles[title]

    def error(self, message: str) -> typing.NoReturn:
        """Raise InputError."""
        raise InputError(f"{message.removeprefix('argument ')}: see {self.prog} --help")

    def parse_words(self, words: Iterable[str]) -> dict[str, Any]:
        """The options that the words give, as text. Raises InputError."""
        return vars(self.parse_args(list(words)))


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str, **widths: Any):
        super().__init__(prog, **{"max_help_position": 27, **widths})


class Print(argparse.Action):
    """An option that prints a text and exits, as --help does."""

    def __init__(self, *names: Any, text: Callable[[Any], str], **words: Any):
        super().__init__(*names, **words)
        self.text = text

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        """Print, and exit with status 0."""
        print(self.text(values))
        parser.exit()


def _help(its: Declared, default: Any) -> str:
    """The help, with the default, unless that leaves the choice to the program."""
    if not its.shown or default in (None, False, (), dataclasses.MISSING):
        return its.help
    text = f"{default:g}" if isinstance(default, float) else default
    return f"{its.help} (default: {text})".lstrip()


def _item(hint: Any) -> tuple[Any, int | str | None]:
    """Of a type: the type of one value, and argparse's number of values; None stands for one."""
    if isinstance(hint, types.UnionType):
        [hint] = [inner for inner in typing.get_args(hint) if inner is not types.NoneType]
    if typing.get_origin(hint) in (tuple, Sequence):
        inner = typing.get_args(hint)
        return inner[0], len(inner) if len(inner) > 1 and inner[1] is not ... else "+"
    return hint, None


def _arity(hint: Any) -> dict[str, Any]:
    item, count = _item(hint)
    if item is bool:
        return {"action": "store_true"}
    return {} if count is None else {"nargs": count}


def _value(name: str, its: Declared, hint: Any, given: Any) -> Any:
    """The value of the given text. Raises InputError for a text of another type."""
    item, count = _item(hint)
    if item is bool or given is None:
        return given
    if count is not None:
        return tuple(_one(name, its, item, text) for text in given)
    return _one(name, its, item, given)


def _one(name: str, its: Declared, item: Any, text: str) -> Any:
    try:
        return item(text) if its.read is None else its.read(text)
    except ValueError:
        way_out = its.check.way_out if its.read and its.check else f"give {KINDS.get(item, 'text')}"
        raise InputError(f"{flag(name)} {text}: {way_out}") from None


#: Metavars of options that a shell completes with the names of folders, and of files.
FOLDERS = ("DIR", "FOLDER", "RUN")
FILES = ("FILE", "PATH", "DATA", "COUNTS", "SOURCE", "IN", "OUT")
SHELLS = ("bash", "zsh", "fish")


def completion(root: Parser, commands: dict[str, Parser], shell: str) -> str:
    """The script that makes `shell` complete the command `root.prog`; it starts no Python."""
    import shtab

    added = root.add_subparsers(metavar="COMMAND")
    for name, own in commands.items():
        added.add_parser(
            name,
            prog=f"{root.prog} {name}",
            kinds=(),
            everything=True,
            parents=[own],
            add_help=False,
            help=(own.description or "").splitlines()[0],
        )
    for parser in (root, *added.choices.values()):
        for action in parser._actions:
            if action.metavar in FOLDERS:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]  # as shtab wants it
            elif action.metavar in FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            elif isinstance(action.metavar, str) and action.metavar.startswith("{"):
                action.choices = action.metavar.strip("{}").split(",")
    return shtab.complete(root, shell)
