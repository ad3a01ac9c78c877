"""A study, from its options to its run folder: load, plan, train, write tables and report."""

from __future__ import annotations

import functools
import os
import secrets
import shlex
import textwrap
import time
import traceback
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace

import pandas as pd
from rich.console import Console

from data_utils.errors import InputError
from data_utils.files import patiently
from data_utils.preparation import Replicates, split_notes
from data_utils.sources import SIMULATED, Dataset, check_genes, fetch, load_dataset
from models.config import MemberConfig
from study.evidence.evidence import by_level
from study.grids import plan, predicts_other_genes
from study.options import FEWEST, StudyOptions, flag
from study.run.attempts import Attempts, ProgressLine, say
from study.run.folder import RUN_ID, RunFolder, held, open_folder
from study.run.jobs import Executor, Interruption, Workplace
from study.run.packs import Pack, plan_packs
from study.run.provenance import run_config
from study.run.replicates import write_replicates
from study.run.rows import FAILED

#: Longest note on the screen, in characters.
LONGEST_NOTE = 400


@dataclass
class Study:
    """A study with checked options, which `run` loads, trains and writes."""

    options: StudyOptions
    planned: list[MemberConfig]
    folder: RunFolder
    console: Console
    device: str = "cpu"
    errors: dict[str, str] = field(default_factory=dict)
    dataset: Dataset = field(init=False)
    data: Replicates = field(init=False)
    group: str | None = field(init=False)

    def run(self) -> int:
        """Train what is unfinished and write the tables. Returns the exit status.

        Raises InputError for bad data.
        """
        started = time.monotonic()
        with (
            Interruption() as interruption,
            self._executor(interruption) as executor,
            self._begun() as seconds_before,
        ):
            self._note()
            if executor is not None and self.work_left():
                self._add_seconds("start", time.monotonic() - started)
                self._train(executor, interruption)
            else:
                self.say("nothing left to train")
            try:
                return self._end(seconds_before + time.monotonic() - started, interruption)
            except OSError as error:
                self.say(f"{self.folder.path}: the tables cannot be written: {error}")
                return self._unfinished(interruption)

    def say(self, text: str) -> None:
        """Print a line on the screen."""
        say(self.console, text)

    def load(self) -> None:
        """Read the data, and plan the grid for their number of samples; nothing is written.

        Raises InputError for bad data.
        """
        options = self.options
        switches = ("genes_in", "transform", "all_genes", "data_seed")
        dataset = load_dataset(
            options.data,
            other_genes=predicts_other_genes(options.grid),
            **{name: getattr(options, name) for name in switches},
        )
        matrix = dataset.matrix
        self.group = {None: dataset.group, "none": None}.get(options.group, options.group)
        self.data = Replicates.of(matrix, options.split_seed, self.group, options.fixed_split)
        if self.planned:  # a search plans its networks later
            narrowing = replace(options.narrowing, samples=matrix.n_samples)
            self.planned = plan(options.grid, narrowing)
        notes = split_notes(self.data, min(self.seeds), self.group)
        names = matrix.without_values()  # from here on names, labels and hash are enough
        self.dataset = replace(dataset, matrix=names, notes=(*dataset.notes, *notes))

    def _note(self) -> None:
        """Print too few replicates and the notes on the data, shortened; log the notes in full."""
        if 0 < len(self.seeds) < FEWEST:
            options = f"--seeds {len(self.seeds)}"
            self.say(f"{options}: no verdicts; they need {FEWEST} replicates: --seeds {FEWEST}")
        for note in self.dataset.notes:
            self.say(textwrap.shorten(note, LONGEST_NOTE, placeholder=" ... (more in log.txt)"))
        with suppress(OSError), open(self.folder.log_file, "a", encoding="utf-8") as log:
            print(*self.dataset.notes, sep="\n", file=log)

    @contextmanager
    def _executor(self, interruption: Interruption) -> Iterator[Executor | None]:
        """Load the data, and yield the executor; None if nothing is left to train.

        Ray starts while the data are read, except with --resume, since that may need no training.
        """
        if self.options.resume:
            with interruption.at_once():
                self.load()
            with held(self.folder.path):
                for line in self.folder.drop_damaged():
                    self.say(line)
            if not self.work_left():
                yield None
                return
        with self._started() as executor:
            self.device = executor.device
            if not self.options.resume:
                with interruption.at_once():
                    self.load()
            yield executor

    def _started(self) -> AbstractContextManager[Executor]:
        if self.options.local:
            from study.run.worker import LocalExecutor  # loads torch, as the workers do

            return nullcontext(LocalExecutor(self.device))
        from study.run.cluster import ray_executor

        return ray_executor(self.options, self.device, self.folder.log_file, self.console)

    @contextmanager
    def _begun(self) -> Iterator[float]:
        """Begin, and lock the folder meanwhile, so that a second run in it is refused."""
        with held(self.folder.path) as unmake:
            try:
                seconds_before = self._begin()
            except InputError:
                unmake()
                raise
            except OSError as error:
                unmake()
                raise InputError(
                    f"{self.folder.path}: cannot be written ({error}): give another --out"
                ) from None
            yield seconds_before
            self.folder.mirror.deliver_new()

    def _begin(self) -> float:
        """Check or write the run's identity; return the seconds that it has taken so far."""
        identity, path = self._identity(), self.folder.path
        if self.options.resume:
            config = self.folder.read_json("config.json", identity=dict, wall_seconds=(int, float))
            known = config["identity"]
            different = ", ".join(key for key in identity if known.get(key) != identity[key])
            if different:
                raise InputError(
                    f"{path}: holds another study (it differs in: {different}): "
                    "give the options it was started with, or another --out"
                )
            self.folder.create()
            return config["wall_seconds"]
        if self.options.fresh:
            self.folder.clear()
        elif any(entry.name != ".lock" for entry in path.iterdir()):
            raise InputError(
                f"{path}: another run has begun there: give --resume, or another --out"
            )
        self.folder.create()
        write_replicates(self.folder, self.dataset, self.data, self.seeds)
        self._write_plan()
        facts = {RUN_ID: secrets.token_hex(8), "identity": identity, "wall_seconds": 0.0}
        config = {**self._config(), **facts}
        self.folder.write_json("config.json", config)
        return 0.0

    def _write_plan(self) -> None:
        """Write the configurations of the planned networks."""
        plan = [member.as_dict() for member in self.planned]
        self.folder.write_json("plan.json", {"members": plan})

    @property
    def seeds(self) -> list[int]:
        """The seeds of the planned networks: the study's replicates."""
        return sorted({member.seed for member in self.planned})

    def _identity(self) -> dict:
        """Return the JSON-able facts that distinguish this study from others."""
        others = self.dataset.others
        first_seeds = [seeds[0] for seeds in self.data.sharing_a_split(self.seeds)]
        return {
            "members": [member.member_id for member in self.planned],
            "data": self.dataset.matrix.content_hash(),
            "group": self.group,
            "other_genes": others and others.content_hash(),
            **self.data.identity(),
            "splits": {str(seed): self.data.split(seed).digest() for seed in first_seeds},
        }

    def _config(self) -> dict:
        """Return the content of config.json, to which a search adds."""
        config = run_config(self.options, self.dataset, self.planned, self.device)
        return {**config, "group": self.group, "fixed_split": self.options.fixed_split}

    def work_left(self) -> bool:
        """Whether there is anything to train."""
        return bool(self.unfinished(workers=1))

    def unfinished(self, workers: int) -> list[Pack]:
        """Return packs of the unfinished members; a pack with a checkpoint stays the same."""
        done = set(self.folder.finished_members()["member_id"])
        left = {member.member_id: member for member in self.planned if member.member_id not in done}
        packs = []
        for member_ids in self.folder.checkpointed_packs():
            if all(member_id in left for member_id in member_ids):
                packs.append(Pack(tuple(left.pop(member_id) for member_id in member_ids)))
        rows = {seed: len(self.data.split(seed).train) for seed in {m.seed for m in left.values()}}
        its = self.data.n_genes, workers, self.options.pack, self.device, rows
        return packs + plan_packs(list(left.values()), *its)

    def workplace(self, device: str) -> Workplace:
        """Return the data, folder and device for the jobs."""
        return Workplace(self.data, self.folder, device, self.options.checkpoint_seconds)

    def _train(self, executor: Executor, interruption: Interruption) -> None:
        """Train the unfinished packs."""
        packs = self.unfinished(executor.workers())
        waiting = sum(len(pack.members) for pack in packs)
        total = len(self.planned)
        with ProgressLine(packs, self.data.n_genes, total - waiting, total, self.console) as line:
            attempts = Attempts(packs, self.folder, line)
            executor.run_jobs(attempts, self.workplace(executor.device), interruption)
        for pack, error in attempts.errors:
            reason = " ".join(error.split())[:500]
            self.errors |= {member.member_id: reason for member in pack.members}

    def _end(self, seconds: float, interruption: Interruption) -> int:
        """Write tables, summary and report, and print how it ended. Returns the exit status."""
        from study.report.summary import summary_markdown  # loads the plotting library

        folder = self.folder
        folder.drop_half_written()
        merge = functools.partial(folder.merge, self.planned, self.errors)
        members, metrics = patiently(merge, give_up=lambda: bool(interruption))
        smallest = self.options.smallest_effect  # --resume may have given another
        config = self._record(wall_seconds=seconds, device=self.device, smallest_effect=smallest)
        summary = summary_markdown(members, config, by_level(members, metrics))
        folder.write_text("summary.md", summary)
        counts = members["status"].value_counts()
        counts_text = ", ".join(f"{n} {status}" for status, n in counts.items()) or "none"
        self.say(f"{len(members)} of {len(self.planned)} members ended ({counts_text})")
        n_failed = self._say_first_error(members)
        self.say(f"results: {folder.path / 'summary.md'}")
        self.say(f"curves:  tensorboard --logdir {shlex.quote(str(folder.tensorboard))}")
        whole = not n_failed and len(members) == len(self.planned)
        if interruption or not self._report(members, interruption) or not whole:
            return self._unfinished(interruption)
        self.say(f"next:    {self.options.next_command}")
        return 0

    def _record(self, **known: object) -> dict:
        """Add facts that are known at the end to config.json; return its content."""
        config = {**self.folder.read_json("config.json"), **known}
        self.folder.write_json("config.json", config)
        return config

    def _add_seconds(self, part: str, seconds: float) -> None:
        """Add to the seconds that a part of the run has taken, in config.json."""
        with suppress(OSError):  # no results are lost without it
            known = self.folder.read_json("config.json").get("seconds", {})
            self._record(seconds={**known, part: known.get(part, 0.0) + seconds})

    def _say_first_error(self, members: pd.DataFrame) -> int:
        """Print the first error among these networks, if any; return the number of failed ones."""
        failed = members.loc[members["status"] == FAILED, "error"]
        if len(failed):
            self.say(f"first error: {failed.iloc[0]} (log: {self.folder.log_file})")
        return len(failed)

    def _unfinished(self, interruption: Interruption) -> int:
        """Print the command that continues the run. Returns the exit status."""
        self.say(f"continue with: {self.options.resume_command}")
        return 1 if interruption.number is None else 128 + interruption.number

    def _report(self, members: pd.DataFrame, interruption: Interruption) -> bool:
        """Measure the references, if not done before, and write the report, unless --no-report.

        The run's own tables exist by now, so a failure here is reported and logged, but loses no
        results. Returns False for a failure.
        """
        if self.options.no_report:
            return True
        try:
            from study.report.folder import write_report  # loads the plotting library

            if not self._measured(members, interruption):
                return False
            page = write_report([self.folder.path], out=self.folder.path / "report")
        except Exception as error:
            with suppress(OSError), open(self.folder.log_file, "a", encoding="utf-8") as log:
                traceback.print_exc(file=log)
            reason = " ".join(str(error).split())
            self.say(f"no report: {type(error).__name__}: {reason} (log: {self.folder.log_file})")
            return False
        self.say(f"report:  {page}")
        return True

    def _measured(self, members: pd.DataFrame, interruption: Interruption) -> bool:
        """Measure the references and predict other genes, if not done; False if interrupted."""
        from study.evidence import inference, references  # loads scikit-learn

        def stopped() -> bool:
            return bool(interruption)

        run = self.planned, members, stopped
        started = time.monotonic()
        if not references.up_to_date(self.folder):
            self.say("measuring the references, and the error by gene and label ...")
            if not references.write_references(self.folder, self.dataset, self.data, *run):
                return False
            self._add_seconds("references", time.monotonic() - started)
        others = self.dataset.others
        if others is not None and not references.up_to_date(self.folder, (inference.TABLE,)):
            self.say(f"predicting {others.n_genes:,} other genes from the landmark genes ...")
            return inference.write_inference(self.folder, others.values, self.data.data, *run)
        return True


def _screen() -> Console:
    """Return a console on a copy of the standard error, which is redirected to a file for Ray."""
    file = os.fdopen(os.dup(2), "w", errors="replace")
    console = Console(file=file)
    weakref.finalize(console, file.close)
    return console


def open_study(
    options: StudyOptions, console: Console | None = None, planned: list[MemberConfig] | None = None
) -> Study:
    """Make a study, checking all options that do not need the data; write nothing.

    Without `planned`, plan the grid. Raises InputError for a bad option.
    """
    console = console or _screen()
    planned = plan(options.grid, options.narrowing) if planned is None else planned
    folder, device = open_folder(options), options.resolve_device()
    if options.address is not None:
        from study.run.cluster import check_address

        check_address(options.address)
    if options.data == SIMULATED:
        _check_simulated(options)
    check_genes(options.data, options.all_genes, predicts_other_genes(options.grid))
    fetch(options.data)  # before Ray begins: it may take an hour
    return Study(options, planned, folder, console, device)


def _check_simulated(options: StudyOptions) -> None:
    """Raise InputError for an option that could only change how a file is read."""
    unread = {"genes_in": None, "transform": "auto", "all_genes": False}
    for name, default in unread.items():
        if getattr(options, name) != default:
            raise InputError(f"{flag(name)}: simulated data are not read: give --data FILE, too")
