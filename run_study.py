"""The command line of the study: `python run_study.py --grid paper`, and its commands."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from study.completion import COMPLETION_HELP, SHELLS, PrintCompletion

EXAMPLES = """examples:
  python run_study.py --grid smoke                      every model, for a few epochs
  python run_study.py --grid paper                      the paper's grid on the simulated cohort
  python run_study.py --grid paper --resume             go on after Ctrl-C or a fault
  python run_study.py --search bottleneck               the code size with the least validation MSE
  python run_study.py --data gtex-v8 --out runs/gtex    fetches the data first
  python run_study.py --data expression.gct.gz --seeds 1 --depths 2 4 --out runs/mine

other commands (python run_study.py COMMAND --help tells more):
  data [SOURCE]                  what --data can name; fetch a release of GTEx, or look at a file
  grids                          every grid: its question, members, minutes, and the section of the report it feeds
  report RUN [RUN ...]           one page with every table and figure of the paper beside those of one run or several
  reproduce MEMBER_ID --run RUN  train one network of a run again and compare
  export RUN --out FOLDER        a model folder, or an ONNX file, of the best denoiser of a run
  denoise --model FOLDER IN OUT  denoise an expression file of your own
  thinning --data COUNTS         denoise one half of raw counts and compare with the other half
"""


def parser() -> argparse.ArgumentParser:
    """The options; their names are those of the README."""
    p = argparse.ArgumentParser(
        description="Train the denoising autoencoders of a grid with Ray Tune and leave a folder with tables, "
        "models and TensorBoard logs.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # the resume command looks for --fresh and --resume by name
    )
    grid = p.add_argument_group("what to train")
    grid.add_argument(
        "--grid", help="one that `grids` lists, or your own: FILE.py:FUNCTION (default: paper)"
    )
    grid.add_argument("--seeds", type=int, metavar="N", help="seeds 0 ... N-1")
    grid.add_argument("--epochs", type=int, metavar="N", help="epochs of each network")
    grid.add_argument("--depths", nargs="+", metavar="D", help="some of 2 4 6 8 conv")
    grid.add_argument(
        "--noise", nargs="+", type=float, metavar="A", help="noise factors, e.g. 0.0 0.5"
    )
    grid.add_argument(
        "--betas", nargs="+", type=float, metavar="B", help="weights of the sparsity term"
    )
    _add_search(
        p.add_argument_group("a search, instead of a grid (also: --seeds, --epochs, --noise)")
    )
    data = p.add_argument_group("data")
    data.add_argument(
        "--data",
        default="simulated",
        help="simulated, a release of GTEx (`data` lists them), or a GCT, GCTX, h5ad, CSV, TSV, Parquet or npz file",
    )
    data.add_argument(
        "--genes-in",
        choices=("rows", "columns"),
        help="where a CSV, TSV or Parquet file has its genes",
    )
    data.add_argument(
        "--transform", choices=("auto", "none", "log2p1"), default="auto", help="default: auto"
    )
    data.add_argument(
        "--all-genes", action="store_true", help="keep every gene, not only the 943 landmark genes"
    )
    data.add_argument(
        "--data-seed", type=int, default=0, metavar="N", help="seed of the simulated cohort"
    )
    data.add_argument(
        "--split-seed", type=int, default=0, metavar="N", help="seed of the 70/10/20 split"
    )
    data.add_argument(
        "--group",
        metavar="LABEL",
        help="keep samples of one LABEL together; none: do not (default: GTEx's donor)",
    )
    _add_run(p.add_argument_group("the run"))
    _add_machine(p.add_argument_group("the machine"))
    p.add_argument(
        "--print-completion", action=PrintCompletion, choices=SHELLS, help=COMPLETION_HELP
    )
    return p


def _add_run(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--out", type=Path, metavar="DIR", help="run folder (default: runs/GRID)")
    group.add_argument(
        "--storage",
        metavar="URL",
        help="where machines without a common folder keep the run: s3://, gs://",
    )
    group.add_argument("--resume", action="store_true", help="go on with the run in the folder")
    group.add_argument(
        "--fresh", action="store_true", help="delete the run in the folder and start anew"
    )
    group.add_argument(
        "--checkpoint-seconds",
        type=float,
        default=20.0,
        metavar="S",
        help="seconds between checkpoints (default: 20)",
    )
    group.add_argument(
        "--no-report",
        action="store_true",
        help="leave out the references and the report at the end",
    )


def _add_machine(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--local", action="store_true", help="one process without Ray; the same results"
    )
    group.add_argument(
        "--pack", default="auto", metavar="N", help="networks trained as one stack (default: auto)"
    )
    group.add_argument(
        "--workers", type=int, metavar="N", help="processes on this machine (default: its cores)"
    )
    group.add_argument("--address", metavar="HOST:PORT", help="a Ray cluster to run on, or auto")
    group.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: auto"
    )
    group.add_argument(
        "--gpus-per-pack", type=float, metavar="X", help="share of a GPU for each pack, e.g. 0.25"
    )


def _add_search(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--search", metavar="NAME", help="bottleneck: which code size has the least validation MSE?"
    )
    group.add_argument(
        "--mode",
        help="one noise factor, all of several, or pareto: MSE and code size (default: one)",
    )
    group.add_argument("--trials", type=int, metavar="N", help="trials altogether (default: 40)")
    group.add_argument(
        "--timeout", type=float, metavar="S", help="seconds after which no trial begins"
    )
    group.add_argument("--sampler", help="tpe, gp or random (default: tpe)")
    group.add_argument(
        "--search-seed", type=int, metavar="N", help="seed of the sampler (default: 0)"
    )
    group.add_argument(
        "--sizes", nargs=2, type=int, metavar=("LO", "HI"), help="code sizes (default: 2 512)"
    )
    group.add_argument(
        "--tune", nargs="+", metavar="P", help="also some of width depth learning_rate beta"
    )
    group.add_argument(
        "--confirm-seeds",
        type=int,
        metavar="N",
        help="seeds of the chosen setting's test (default: 9)",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0 done, 1 failures, 2 bad input, 130 Ctrl-C, 143 SIGTERM."""
    words = sys.argv[1:] if argv is None else list(argv)
    command = words[0] if words and words[0] in COMMANDS else None
    if command is None:
        arguments, run = parser().parse_args(words), _run
    else:
        module = importlib.import_module(f"study.commands.{command}")
        arguments, run = module.parser().parse_args(words[1:]), module.run
    from data_utils.errors import (
        InputError,  # after parsing, so that --help and a typing slip answer at once
    )

    try:
        return run(arguments, words)
    except InputError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as signalled:
        resume = (
            "" if command else "; where the run had begun, go on with the same command and --resume"
        )
        print(f"interrupted{resume}", file=sys.stderr)
        return 128 + (signalled.args[0] if signalled.args else 2)


def _run(arguments: argparse.Namespace, words: list[str]) -> int:
    from data_utils.errors import InputError
    from study.grids import Narrowing
    from study.options import StudyOptions
    from study.run.provenance import command_line
    from study.study import open_study

    options = vars(arguments)
    search = {name: options.pop(name) for name in SEARCH}
    search = {name: value for name, value in search.items() if value is not None}
    if "search" in search:
        return _search(options, search, words)
    if search:
        raise InputError(
            f"--{next(iter(search)).replace('_', '-')}: belongs to a search: give --search bottleneck"
        )
    options["grid"] = options["grid"] or "paper"
    narrowing = Narrowing(
        **{name: options.pop(name) for name in ("seeds", "epochs", "depths", "noise", "betas")}
    )
    pack = options.pop("pack")
    if pack != "auto" and not pack.isdecimal():
        raise InputError(f"--pack {pack}: give a number of networks, or auto")
    command = command_line([sys.argv[0], *words])
    study = open_study(
        StudyOptions(
            narrowing=narrowing,
            pack=None if pack == "auto" else int(pack),
            command=command,
            **options,
        )
    )
    return study.run()


def _search(options: dict, search: dict, words: list[str]) -> int:
    from data_utils.errors import InputError
    from study.options import StudyOptions
    from study.run.provenance import command_line
    from study.search.search import open_search
    from study.search.space import SearchOptions

    for name, unset in (("grid", None), ("depths", None), ("betas", None), ("pack", "auto")):
        if options.pop(name) != unset:
            raise InputError(f"--{name}: does not go together with --search: leave one of them out")
    for name in ("seeds", "epochs", "noise"):
        value = options.pop(name)
        if value is not None:
            search[name] = value
    command = command_line([sys.argv[0], *words])
    return open_search(StudyOptions(command=command, **options), SearchOptions(**search)).run()


#: Options of a search.
SEARCH = (
    "search",
    "mode",
    "trials",
    "timeout",
    "sampler",
    "search_seed",
    "sizes",
    "tune",
    "confirm_seeds",
)

#: A command is its first word; study/commands/ has a module of that name with its `parser` and `run`.
COMMANDS = ("data", "grids", "report", "reproduce", "export", "denoise", "thinning")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
