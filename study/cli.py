"""The command line of studies, `python run_study.py --grid paper`, and of the other commands.

A command is a class with its options and `execute`, and its place in COMMANDS. Slow imports wait
until a command runs, so that `--help` and typing errors answer at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import shlex
import sys
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from data_utils.errors import InputError
from study.options import (
    OF_INTEREST,
    Declared,
    GenesInOptions,
    Narrowing,
    Options,
    SearchOptions,
    StudyOptions,
    ThinningOptions,
    choice,
    declared,
    flag,
    option,
    values_of,
)

DESCRIPTION = """Train the denoising autoencoders of a grid and leave a run folder with a report.

commands (COMMAND --help shows examples):
"""
EXAMPLES = """examples:
  python run_study.py --grid smoke                    every model, for a few epochs
  python run_study.py --data gtex-v8 --out runs/gtex  fetches the data first
  python run_study.py --data expression.gct.gz --seeds 1 --depths 2 4 --out runs/mine"""
SHELLS = ("bash", "zsh", "fish")
MOVED = "where the run's data file is now (default: where it was)"


@dataclass(frozen=True, kw_only=True)
class Data(GenesInOptions):
    """List what --data can name, or fetch GTEx or look at a file.

    A release of GTEx is downloaded into the cache, unless it is there. This is tested with a local
    server; the real addresses could not be tried. DAE_STUDY_CACHE moves the cache.
    DAE_STUDY_GTEX_MIRROR is the beginning of a mirror's addresses, in place of
    https://storage.googleapis.com.

    Examples:
      python run_study.py data
      python run_study.py data gtex-v8
      python run_study.py data counts.tsv.gz
    """

    source: str | None = option(
        None, "simulated, a release of GTEx, or a file", metavar="SOURCE", positional=True
    )

    def execute(self, line: str) -> int:
        """List the data, or load the source, as a study does, and print what is in it."""
        if self.source is None:
            _list_data()
        else:
            _look_at(self.source, self.genes_in)
        return 0


def _list_data() -> None:
    from rich.console import Console
    from rich.table import Table

    from data_utils.download import cache_folder
    from data_utils.formats.registry import ENDINGS
    from data_utils.gtex import RELEASES, cached_release

    table = Table("--data", "what it is", "samples", "unit", "download", "in the cache", box=None)
    table.add_row("simulated", "GTEx-like cohort", "2,921", "log2", "none", "-")
    for release in RELEASES.values():
        cached, size = cached_release(release.name), release.expression.size
        state = "no" if cached is None else f"yes, {cached.record['table_size'] / 1e6:,.1f} MB"
        download = "not known" if size is None else f"about {size / 1e9:.1f} GB"
        samples = f"{release.samples:,}"
        table.add_row(release.name, release.title, samples, release.unit, download, state)
    table.add_row("PATH", "your own file", "any", "any", "none", "-")
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(table)
    print(f"files:  {ENDINGS}")
    print(f"cache:  {cache_folder()}, a folder for each release")
    print("next:   python run_study.py data gtex-v8")


def _look_at(source: str, genes_in: str | None) -> None:
    from data_utils.gtex import RELEASES, release_folder
    from data_utils.sources import load_dataset

    dataset = load_dataset(source, genes_in=genes_in)
    for note in dataset.notes:
        print(note)
    labels = dataset.matrix.sample_labels
    columns = () if labels is None else labels.items()
    counts = [f"{name} ({values.nunique():,} values)" for name, values in columns]
    print(f"sample labels: {', '.join(counts) or 'none'}")
    if dataset.origin is not None:
        print(f"from {dataset.origin['expression']['url'] or 'files put there by hand'}")
    if source in RELEASES:
        print(f"in the cache: {release_folder(source)}")
    more = "" if genes_in is None else f" --genes-in {genes_in}"
    out = f"runs/{source}" if source in RELEASES else "runs/mine"
    print(f"next: python run_study.py --grid paper --data {shlex.quote(source)}{more} --out {out}")


@dataclass(frozen=True, kw_only=True)
class Grids(Options):
    """List the grids: question, command, networks, minutes, section.

    Examples:
      python run_study.py grids
    """

    def execute(self, line: str) -> int:
        """Print a paragraph for each grid."""
        from study.grids import describe_grids

        print(f"{describe_grids()}next: python run_study.py --grid smoke")
        return 0


@dataclass(frozen=True, kw_only=True)
class Report(Options):
    """Write one page, report/index.html, of one run or several.

    Runs on the same data are put together; other data are another cohort, with a column of its own.

    Examples:
      python run_study.py report runs/paper
      python run_study.py report runs/paper runs/autopsy --out report
      python run_study.py report runs/simulated runs/l1000 --out cohorts
    """

    runs: tuple[Path, ...] = option(
        help="folder of a run that has ended", metavar="RUN", positional=True
    )
    out: Path | None = option(None, "folder of the report (default: report/ in the first RUN)")
    smallest_effect: float | None = option(
        None,
        "smallest change of MSE that matters to a verdict (default: that of the runs)",
        OF_INTEREST,
        metavar="PERCENT",
    )

    def execute(self, line: str) -> int:
        """Write the page."""
        from study.report.folder import write_report

        first = self.runs[0]
        page = write_report(self.runs, self.out or first / "report", self.smallest_effect)
        print(f"report: {page}")
        print(f"next:   python run_study.py export {shlex.quote(str(first))} --out denoiser")
        return 0


@dataclass(frozen=True, kw_only=True)
class Reproduce(Options):
    """Train one network of a run again, and compare.

    The run is left as it is.

    Examples:
      python run_study.py reproduce 1f6a --run runs/paper
      python run_study.py reproduce 1f6a0c22b3de --run runs/mine --data /elsewhere/counts.gct.gz
    """

    member_id: str = option(
        help="as in members.parquet, or how it begins", metavar="MEMBER_ID", positional=True
    )
    run: Path = option(help="folder of the run", metavar="RUN")
    data: str | None = option(None, MOVED, metavar="PATH")

    def execute(self, line: str) -> int:
        """Train the network again and print how it compares with the run's."""
        from study.reproduce import reproduce

        return reproduce(self.run, self.member_id, self.data)


@dataclass(frozen=True, kw_only=True)
class Export(Options):
    """Write a model folder or ONNX file of the best denoiser of a run.

    It is the network, mixture of Wiener filters or linear denoiser with the least validation error
    over all noise factors.
    `denoise` takes the model folder. For --onnx, RUN may be a model folder, too.

    Examples:
      python run_study.py export runs/paper --out denoiser
      python run_study.py export runs/paper --member 1f6a --out dense-4
      python run_study.py export runs/paper --reference wiener --out wiener --onnx wiener.onnx
    """

    source: Path = option(
        help="folder of a run that has ended, or a model folder", metavar="RUN", positional=True
    )
    member: str | None = option(
        None, "this network, as in members.parquet, or how its id begins", metavar="ID"
    )
    reference: str | None = option(None, "wiener, pca or pca-gain instead of a network")
    out: Path | None = option(None, "the model folder")
    onnx: Path | None = option(
        None, "one file for onnxruntime (pip install dae-study[onnx])", metavar="FILE"
    )
    force: bool = option(False, "replace what exists")
    data: str | None = option(None, MOVED, metavar="PATH")

    def execute(self, line: str) -> int:
        """Write the model folder or ONNX file, or both."""
        from study.denoise.denoise import export

        return export(**vars(self))


@dataclass(frozen=True, kw_only=True)
class Denoise(GenesInOptions):
    """Denoise your own expression file with a model folder.

    Genes are matched by name; the output has the input's samples, genes, order and units. A page
    next to OUT, OUT's name with .check.html, lists what speaks against trusting it.

    Examples:
      python run_study.py denoise --model denoiser noisy.h5ad clean.h5ad
      python run_study.py denoise --model runs/paper counts.tsv.gz clean.tsv.gz --noise-factor 0.3
      python run_study.py denoise --model denoiser profiles.gct clean.parquet --impute --force
    """

    source: Path = option(
        help="an expression file; `data` lists the formats", metavar="IN", positional=True
    )
    out: Path = option(
        help="where to write: the ending decides the format", metavar="OUT", positional=True
    )
    model: Path = option(help="a model folder, or a run: its best model")
    noise_factor: str = option(
        "auto",
        "noise in units of a gene's standard deviation; auto: estimated",
        metavar="A",
        shown=False,
    )
    impute: bool = option(False, "set genes that IN lacks to their training mean")
    transform: str = option(
        "auto", "to the model's log scale, and back", choice("auto", "none", "log2p1")
    )
    force: bool = option(False, "replace OUT")
    no_check: bool = option(False, "leave out the page")

    def execute(self, line: str) -> int:
        """Write the file and its page."""
        from study.denoise.denoise import denoise

        return denoise(**vars(self))


@dataclass(frozen=True, kw_only=True)
class Thinning(ThinningOptions):
    """Test denoisers on held-out halves of raw counts.

    One half of the counts, split molecule by molecule, is denoised and compared with the other.

    Examples:
      python run_study.py thinning --data counts.tsv.gz
      python run_study.py thinning --data counts.h5ad --all-genes --seeds 9 --out runs/halves
      python run_study.py thinning --data simulated --depth 2000000 --out runs/thinning-deep
    """

    def execute(self, line: str) -> int:
        """Test the denoisers, write the run folder and print the table."""
        from data_utils.counts import load_counts
        from study.thinning import check_folder, measure, printed, write_run

        check_folder(self)
        counts = load_counts(
            self.data,
            depth=self.depth,
            genes_in=self.genes_in,
            all_genes=self.all_genes,
            data_seed=self.data_seed,
        )
        outcome = measure(counts, self.share, range(self.seeds), self.split_seed, self.epochs)
        folder = write_run(self, counts, outcome, line)
        print(f"{printed(outcome)}\nrun folder: {folder}")
        return 0


#: The commands, by the first word of the command line; without one a study is run. The help of a
#: command is its docstring. `execute` takes the command line and returns the exit status.
COMMANDS: dict[str, type[Any]] = {
    kind.__name__.lower(): kind
    for kind in (Data, Grids, Report, Reproduce, Export, Denoise, Thinning)
}


@dataclass(frozen=True, kw_only=True)
class About(Options):
    """Options that print a text instead of running a study."""

    help_all: bool = option(False, "list every option")
    version: bool = option(False, "print the version")
    print_completion: str | None = option(
        None, "print what completes commands in this shell", choice(*SHELLS), rare=True
    )

    def text(self) -> str:
        """Return the requested text; "" if none of the options is given."""
        if self.help_all:
            return parser(everything=True).format_help()
        if self.version:
            from importlib.metadata import version

            return f"dae-study {version('dae-study')}"
        return completion(self.print_completion) if self.print_completion else ""


class Parser(argparse.ArgumentParser):
    """A parser of the command line into options, whose errors are InputErrors of one line."""

    def __init__(
        self, prog: str, kinds: Sequence[type[Options]], everything: bool = True, **texts: Any
    ):
        """Add the options of the dataclasses `kinds`; if two declare a name, the first counts.

        Without `everything` the help leaves out the rare options.
        """
        super().__init__(
            prog=prog,
            formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
                prog, max_help_position=27
            ),
            allow_abbrev=False,  # the resume command looks for --fresh and --resume by name
            argument_default=argparse.SUPPRESS,  # the dataclasses have the defaults
            **texts,
        )
        groups: dict[str, Any] = {"": self}
        taken: set[str] = set()
        for kind in kinds:
            hints = typing.get_type_hints(kind)
            defaults = {its.name: its.default for its in dataclasses.fields(kind)}
            for name, its in declared(kind).items():
                if name in taken:
                    continue
                taken.add(name)
                title = its.group if len(kinds) > 1 else ""
                if title not in groups:
                    groups[title] = self.add_argument_group(title)
                words = _words(its, hints[name], defaults[name])
                if its.rare and not everything:
                    words["help"] = argparse.SUPPRESS
                groups[title].add_argument(name if its.positional else flag(name), **words)

    def error(self, message: str) -> typing.NoReturn:
        """Raise InputError."""
        raise InputError(f"{message.removeprefix('argument ')}: see {self.prog} --help")


#: Placeholders of values in the help, by type.
METAVARS: dict[type, str] = {int: "N", float: "X", str: "NAME", Path: "FOLDER"}


def _words(its: Declared, hint: Any, default: Any) -> dict[str, Any]:
    """Return the arguments of argparse for an option: number of values, placeholder, help, ..."""
    kind, count = values_of(hint)
    words: dict[str, Any] = {"help": its.help}
    if its.shown and default not in (None, False, (), dataclasses.MISSING):
        shown = f"{default:g}" if isinstance(default, float) else default
        words["help"] = f"{its.help} (default: {shown})".lstrip()
    if kind is bool:
        return {**words, "action": "store_true"}
    choices = its.check.choices if its.check is not None else ()
    words["metavar"] = its.metavar or (f"{{{','.join(choices)}}}" if choices else METAVARS[kind])
    required = default is dataclasses.MISSING
    if count is not None or (its.positional and not required):
        words["nargs"] = count or "?"
    if required and not its.positional:
        words["required"] = True
    return words


def parser(
    name: str = "", everything: bool = False, prog: str = "", make: Callable[..., Parser] = Parser
) -> Parser:
    """Make the parser of a command, or of a study if `name` is ""; `everything` as in Parser."""
    prog = prog or Path(sys.argv[0]).name
    if name:
        description, examples = _explanation(COMMANDS[name])
        kinds = (COMMANDS[name],)
        return make(prog=f"{prog} {name}", kinds=kinds, description=description, epilog=examples)
    lines = [f"  {name:<10} {_line(name)[0].lower()}{_line(name)[1:-1]}" for name in COMMANDS]
    return Parser(
        prog,
        (About, StudyOptions, Narrowing, SearchOptions),
        everything,
        usage=f"{prog} [options] | {prog} COMMAND ...",
        description=DESCRIPTION + "\n".join(lines),
        epilog=EXAMPLES,
    )


def _explanation(kind: type[Options]) -> tuple[str, str]:
    """Split the docstring of a command into the text before its examples, and the examples."""
    text, heading, examples = (inspect.getdoc(kind) or "").partition("Examples:\n")
    return text.rstrip(), heading.lower() + examples


def _line(name: str) -> str:
    return _explanation(COMMANDS[name])[0].splitlines()[0]


#: Metavars of options that a shell completes with the names of files and folders.
PATHS = ("FOLDER", "RUN", "FILE", "PATH", "DATA", "COUNTS", "SOURCE", "IN", "OUT")


def completion(shell: str) -> str:
    """Return a script by which `shell` completes dae-study without starting Python."""
    import shtab

    prog = "dae-study"
    root = parser(everything=True, prog=prog)
    added = root.add_subparsers(metavar="COMMAND")
    for name in COMMANDS:
        parser(name, prog=prog, make=partial(added.add_parser, name, help=_line(name)))
    for each in (root, *added.choices.values()):
        for action in each._actions:
            if action.metavar in PATHS:
                vars(action)["complete"] = shtab.FILE
            elif isinstance(action.metavar, str) and action.metavar.startswith("{"):
                action.choices = action.metavar.strip("{}").split(",")
    return shtab.complete(root, shell)


def command_line(argv: Sequence[str]) -> str:
    """Return the command that repeats a run, quoted for a shell, with `python` if it is needed."""
    words = [str(word) for word in argv]
    if words and words[0].endswith(".py"):
        words.insert(0, "python")
    return shlex.join(words)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    0: done, 1: failures, 2: bad input, 130: Ctrl-C, 143: SIGTERM.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    line = command_line([sys.argv[0], *words])
    name = words[0] if words and words[0] in COMMANDS else None
    try:
        if name is None:
            return _study(vars(parser().parse_args(words)), line)
        return COMMANDS[name].read(vars(parser(name).parse_args(words[1:]))).execute(line)
    except InputError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as signalled:
        resume = "" if name else "; if the run had begun, repeat the command with --resume"
        print(f"interrupted{resume}", file=sys.stderr)
        return 128 + (signalled.args[0] if signalled.args else 2)


def study_options(
    given: dict[str, Any], line: str = ""
) -> tuple[StudyOptions, SearchOptions | None]:
    """Make the options of a grid or search from the given ones. Raises InputError for bad ones."""
    if "search" in given:
        for name in ("grid", "depths", "betas", "pack"):
            if name in given:
                raise InputError(f"--{name}: does not go together with --search: leave one out")
        return StudyOptions.read(given, command=line), SearchOptions.read(given)
    for name in declared(SearchOptions).keys() - declared(Narrowing).keys():
        if name in given:
            raise InputError(f"{flag(name)}: belongs to a search: give --search bottleneck")
    return StudyOptions.read(given, narrowing=Narrowing.read(given), command=line), None


def _study(given: dict[str, Any], line: str) -> int:
    """Run a grid or a search, or print the text of `About`, and return the exit status."""
    text = About.read(given).text()
    if text:
        print(text)
        return 0
    study, search = study_options(given, line)
    if search is not None:
        from study.search.search import open_search

        return open_search(study, search).run()
    from study.study import open_study

    return open_study(study).run()
