"""The command line: `python run_study.py --grid paper`, and the commands.

Nothing heavy is imported before a command runs: `--help` and a typing error answer at once.
"""

from __future__ import annotations

import argparse
import inspect
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_utils.errors import InputError
from study.option import SHELLS, Options, Parser, Print, choice, completion, declared, flag, option
from study.options import GenesInOptions, Narrowing, SearchOptions, StudyOptions, ThinningOptions

DESCRIPTION = """Train the denoising autoencoders of a grid and leave a run folder with a report.

commands (COMMAND --help shows examples):
"""
EXAMPLES = """examples:
  python run_study.py --grid smoke                    every model, for a few epochs
  python run_study.py --data gtex-v8 --out runs/gtex  fetches the data first
  python run_study.py --data expression.gct.gz --seeds 1 --depths 2 4 --out runs/mine"""


@dataclass(frozen=True, kw_only=True)
class SourceOptions(GenesInOptions):
    """List what --data can name, or fetch GTEx or look at a file.

    A release of GTEx is downloaded into the cache, unless it is there. DAE_STUDY_CACHE moves the
    cache. DAE_STUDY_GTEX_MIRROR is the beginning of a mirror's addresses, in place of
    https://storage.googleapis.com.

    examples:
      python run_study.py data
      python run_study.py data gtex-v8
      python run_study.py data counts.tsv.gz
    """

    source: str | None = option(
        None, metavar="SOURCE", help="simulated, a release of GTEx, or a file", positional=True
    )


@dataclass(frozen=True, kw_only=True)
class GridsOptions(Options):
    """List the grids: question, command, networks, minutes, section.

    examples:
      python run_study.py grids
    """


@dataclass(frozen=True, kw_only=True)
class ReportOptions(Options):
    """Write one page, report/index.html, of one run or several.

    examples:
      python run_study.py report runs/paper
      python run_study.py report runs/paper runs/as-published runs/autopsy --out report
    """

    runs: tuple[Path, ...] = option(
        metavar="RUN", help="folder of a run that has ended; all on the same data", positional=True
    )
    out: Path | None = option(
        None, metavar="DIR", help="folder of the report (default: report/ in the first RUN)"
    )


@dataclass(frozen=True, kw_only=True)
class MovedDataOptions(Options):
    """Where the run's data are, for commands that need them again."""

    data: str | None = option(
        None, metavar="PATH", help="where the run's data file is now (default: where it was)"
    )


@dataclass(frozen=True, kw_only=True)
class ReproduceOptions(MovedDataOptions):
    """Train one network of a run again, and compare.

    The run is left as it is.

    examples:
      python run_study.py reproduce 1f6a --run runs/paper
      python run_study.py reproduce 1f6a0c22b3de --run runs/mine --data /elsewhere/counts.gct.gz
    """

    member_id: str = option(
        metavar="MEMBER_ID", help="as in members.parquet, or how it begins", positional=True
    )
    run: Path = option(metavar="RUN", help="folder of the run")


@dataclass(frozen=True, kw_only=True)
class ExportOptions(MovedDataOptions):
    """Write a model folder or ONNX file of the best denoiser of a run.

    It is the network or linear denoiser with the least validation error over all noise factors.
    `denoise` takes the model folder. For --onnx, RUN may be a model folder, too.

    examples:
      python run_study.py export runs/paper --out denoiser
      python run_study.py export runs/paper --member 1f6a --out dense-4
      python run_study.py export runs/paper --reference wiener --out wiener --onnx wiener.onnx
    """

    source: Path = option(
        metavar="RUN", help="folder of a run that has ended, or a model folder", positional=True
    )
    member: str | None = option(
        None, metavar="ID", help="this network, as in members.parquet, or how its id begins"
    )
    reference: str | None = option(
        None, metavar="NAME", help="wiener, pca or pca-gain instead of a network"
    )
    out: Path | None = option(None, metavar="FOLDER", help="the model folder")
    onnx: Path | None = option(
        None, metavar="FILE", help="one file for onnxruntime (pip install dae-study[onnx])"
    )
    force: bool = option(False, help="replace what exists")


@dataclass(frozen=True, kw_only=True)
class DenoiseOptions(GenesInOptions):
    """Denoise your own expression file with a model folder.

    Genes are matched by name; the output has the input's samples, genes, order and units. A page
    next to OUT, OUT's name with .check.html, reports whether to trust it.

    examples:
      python run_study.py denoise --model denoiser noisy.h5ad clean.h5ad
      python run_study.py denoise --model runs/paper counts.tsv.gz clean.tsv.gz --noise-factor 0.3
      python run_study.py denoise --model denoiser profiles.gct clean.parquet --impute --force
    """

    source: Path = option(
        metavar="IN", help="an expression file; `data` lists the formats", positional=True
    )
    out: Path = option(
        metavar="OUT", help="where to write: the ending decides the format", positional=True
    )
    model: Path = option(metavar="FOLDER", help="a model folder, or a run: its best model")
    noise_factor: str = option(
        "auto",
        metavar="A",
        help="noise in units of a gene's standard deviation; auto: estimated",
        shown=False,
    )
    impute: bool = option(False, help="set genes that IN lacks to their training mean")
    transform: str = option(
        "auto", help="to the model's log scale, and back", check=choice("auto", "none", "log2p1")
    )
    force: bool = option(False, help="replace OUT")
    no_check: bool = option(False, help="leave out the page")


def _data(options: SourceOptions, line: str) -> int:
    if options.source is None:
        _list_data()
    else:
        _look_at(options.source, options.genes_in)
    return 0


def _list_data() -> None:
    from rich.console import Console
    from rich.table import Table

    from data_utils.cache import cache_folder
    from data_utils.formats.registry import ENDINGS
    from data_utils.gtex import cached_release
    from data_utils.gtex_releases import RELEASES

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
    """Load the source, as a study does, and print what is in it."""
    from data_utils.gtex import release_folder
    from data_utils.gtex_releases import RELEASES
    from data_utils.sources import load_dataset

    dataset = load_dataset(source, genes_in=genes_in)
    for note in dataset.notes:
        print(note)
    labels = dataset.matrix.sample_labels
    counts = [f"{name} ({values.nunique():,} values)" for name, values in labels.items()]
    print(f"sample labels: {', '.join(counts) or 'none'}")
    if dataset.origin is not None:
        print(f"from {dataset.origin['expression']['url'] or 'files put there by hand'}")
    if source in RELEASES:
        print(f"in the cache: {release_folder(source)}")
    more = "" if genes_in is None else f" --genes-in {genes_in}"
    out = f"runs/{source}" if source in RELEASES else "runs/mine"
    print(f"next: python run_study.py --grid paper --data {shlex.quote(source)}{more} --out {out}")


def _grids(options: GridsOptions, line: str) -> int:
    from study.grids import describe_grids

    print(describe_grids(), end="")
    print("next: python run_study.py --grid smoke")
    return 0


def _report(options: ReportOptions, line: str) -> int:
    from study.report.folder import write_report

    first = options.runs[0]
    print(f"report: {write_report(options.runs, options.out or first / 'report')}")
    print(f"next:   python run_study.py export {shlex.quote(str(first))} --out denoiser")
    return 0


def _reproduce(options: ReproduceOptions, line: str) -> int:
    from study.reproduce import reproduce

    return reproduce(options.run, options.member_id, options.data)


def _export(options: ExportOptions, line: str) -> int:
    from study.denoise.denoise import export

    return export(**vars(options))


def _denoise(options: DenoiseOptions, line: str) -> int:
    from study.denoise.denoise import denoise

    return denoise(**vars(options))


def _thinning(options: ThinningOptions, line: str) -> int:
    from data_utils.counts import load_counts
    from study.thinning import measure
    from study.thinning_tables import check_folder, printed, write_run

    check_folder(options)
    counts = load_counts(
        options.data,
        depth=options.depth,
        genes_in=options.genes_in,
        all_genes=options.all_genes,
        data_seed=options.data_seed,
    )
    seeds = range(options.seeds)
    outcome = measure(counts, options.share, seeds, options.split_seed, options.epochs)
    folder = write_run(options, counts, outcome, line)
    print(f"{printed(outcome)}\nrun folder: {folder}")
    return 0


#: The commands, by the first word of the command line; without one a study is run. The help of a
#: command is the docstring of its options. A function takes the options and the command line, and
#: returns the exit status.
COMMANDS: dict[str, tuple[type[Options], Callable[[Any, str], int]]] = {
    "data": (SourceOptions, _data),
    "grids": (GridsOptions, _grids),
    "report": (ReportOptions, _report),
    "reproduce": (ReproduceOptions, _reproduce),
    "export": (ExportOptions, _export),
    "denoise": (DenoiseOptions, _denoise),
    "thinning": (ThinningOptions, _thinning),
}


def parser(everything: bool = False, prog: str = "") -> Parser:
    """Make the parser of a study; with `everything`, its help lists the rare options, too."""
    prog = prog or Path(sys.argv[0]).name
    lines = {name: _explanation(kind)[0].splitlines()[0] for name, (kind, _) in COMMANDS.items()}
    commands = "\n".join(
        f"  {name:<10} {line[0].lower()}{line[1:].rstrip('.')}" for name, line in lines.items()
    )
    made = Parser(
        prog,
        (StudyOptions, Narrowing, SearchOptions),
        everything,
        usage=f"{prog} [options] | {prog} COMMAND ...",
        description=DESCRIPTION + commands,
        epilog=EXAMPLES,
    )
    for name, words in {
        "--help-all": {"nargs": 0, "help": "list every option", "text": _help_all},
        "--version": {"nargs": 0, "help": "print the version", "text": _version},
        "--print-completion": {
            "metavar": "SHELL",
            "help": f"print what completes commands in {', '.join(SHELLS)}"
            if everything
            else argparse.SUPPRESS,
            "text": _completion,
        },
    }.items():
        made.add_argument(name, action=Print, **words)  # type: ignore[arg-type]  # text is Print's
    return made


def command_parser(name: str, prog: str = "") -> Parser:
    """Make the parser of a command."""
    kind, _ = COMMANDS[name]
    prog = f"{prog or Path(sys.argv[0]).name} {name}"
    description, examples = _explanation(kind)
    return Parser(prog, (kind,), True, description=description, epilog=examples)


def _explanation(kind: type[Options]) -> tuple[str, str]:
    """What the docstring of a command's options says before its examples, and the examples."""
    text, heading, examples = (inspect.getdoc(kind) or "").partition("examples:\n")
    return text.rstrip(), heading + examples


def _help_all(_: Any) -> str:
    return parser(everything=True).format_help()


def _version(_: Any) -> str:
    from importlib.metadata import version

    return f"dae-study {version('dae-study')}"


def _completion(shell: str) -> str:
    if shell not in SHELLS:
        raise InputError(f"--print-completion {shell}: use one of {', '.join(SHELLS)}")
    prog = "dae-study"
    return completion(
        parser(True, prog), {name: command_parser(name, prog) for name in COMMANDS}, shell
    )


def command_line(argv: Sequence[str]) -> str:
    """The command that repeats a run, quoted for a shell: `sys.argv` lacks the `python`."""
    words = [str(word) for word in argv]
    if words and words[0].endswith(".py"):
        words.insert(0, "python")
    return shlex.join(words)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. Returns the exit status.

    0: done, 1: failures, 2: bad input, 130: Ctrl-C, 143: SIGTERM.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    line = command_line([sys.argv[0], *words])
    name = words[0] if words and words[0] in COMMANDS else None
    try:
        if name is None:
            return _study(parser().parse_words(words), line)
        options, run = COMMANDS[name]
        return run(options.read(command_parser(name).parse_words(words[1:])), line)
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
    """Make the options of a grid or a search from the given words. Raises InputError."""
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
    """Run a grid or a search."""
    study, search = study_options(given, line)
    if search is not None:
        from study.search.search import open_search

        return open_search(study, search).run()
    from study.study import open_study

    return open_study(study).run()
