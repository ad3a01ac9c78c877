"""The run folder, the only record of a run: checkpoints, finished packs, models and the tables.

A file is written under a temporary name and then renamed, so it is complete or missing. A pack is
finished once its part of the members table exists; a run continues with the planned members that
no part holds. Networks are read and written as numpy arrays by name, without torch.

With a storage (`--storage`: a bucket, or a path that machines share) the folder is a copy: files
written here are also written there, and files that others wrote there are fetched. Workers deliver
from their own scratch folders, and `--resume` on a new machine fetches the run first.
"""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from safetensors import SafetensorError

from data_utils.arrays import load_arrays, load_metadata, save_arrays
from data_utils.errors import InputError
from data_utils.files import sha256, write_bytes
from models.config import MemberConfig
from study.options import StudyOptions
from study.run.rows import (
    FAILED,
    MEMBER_COLUMNS,
    METRIC_COLUMNS,
    SAMPLE_COLUMNS,
    describe,
    member_table,
    typed_table,
)
from study.run.storage import KEPT, Mirror, Storage, one_line, open_storage

#: Exceptions that reading a truncated or damaged file may raise.
UNREADABLE = (OSError, SafetensorError, KeyError, ValueError, TypeError, RecursionError)
#: The entry of config.json that distinguishes a run from others in the same folder.
RUN_ID = "run_id"
#: Seconds between checks of the storage for a request to stop.
STOP_SECONDS = 1.0


class Part(NamedTuple):
    """The tables of a pack's results: one row per member, per measurement, and per test sample."""

    members: pd.DataFrame
    metrics: pd.DataFrame
    samples: pd.DataFrame


#: Names of the tables in the order of writing: a pack is finished once its members are written.
PART_TABLES = Part._fields[::-1]


class RunFolder:
    """The folder of one run, through which workers and the driver read and write its files."""

    def __init__(self, path: Path | str, storage: Storage | None = None):
        self.path = Path(path).resolve()
        self.mirror = Mirror(self.path, storage)
        self._asked = -math.inf

    @property
    def tensorboard(self) -> Path:
        """The log folder for TensorBoard."""
        return self.path / "tensorboard"

    @property
    def log_file(self) -> Path:
        """The log of Ray's output and of every error in full."""
        return self.path / "log.txt"

    def create(self) -> None:
        """Make the folder and its parts. Raises InputError if it cannot be written."""
        try:
            for name in KEPT:
                (self.path / name).mkdir(parents=True, exist_ok=True)
            self.drop_half_written()
        except OSError as error:
            raise _unwritable(self.path, error) from None

    def drop_half_written(self) -> None:
        """Remove temporary files of killed processes; no process may be writing now."""
        for name in ("", "checkpoints", "parts", "models"):
            for leftover in (self.path / name).glob(".*tmp*"):
                leftover.unlink(missing_ok=True)

    def written(self, folder: str, ending: str) -> list[Path]:
        """List a folder's files by their ending, without those that are being written."""
        return sorted((self.path / folder).glob(f"[!.]*{ending}"))

    def check(self) -> None:
        """Raise OSError if the folder is gone, so that no writer makes a new one in its place."""
        os.stat(self.path / "parts")

    def exists(self) -> bool:
        """Whether the folder exists and can be read."""
        return os.path.isdir(self.path / "parts")

    @contextmanager
    def on_worker(self) -> Iterator[RunFolder]:
        """Yield a worker's folder to write to: this one or, with a storage, a scratch folder."""
        if self.mirror.storage is None:
            yield self
            return
        with tempfile.TemporaryDirectory(prefix="dae-study-") as scratch:
            folder = RunFolder(scratch, self.mirror.storage)
            folder.create()
            yield folder

    def clear(self) -> None:
        """Delete an earlier run, here and in the storage, except this process's lock."""
        for path in self.path.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != ".lock":
                path.unlink()
        self.mirror.clear()

    def request_stop(self, stop: bool) -> None:
        """Request workers to save and stop, or withdraw that request."""
        self.write_bytes(".stop", b"") if stop else self._remove(".stop")

    def stop_requested(self) -> bool:
        """Whether workers are requested to save and stop."""
        now = time.monotonic()
        if now - self._asked > STOP_SECONDS:
            self._asked = now
            self.mirror.fetch(".stop")
        return (self.path / ".stop").exists()

    # files

    def read_json(self, name: str, **kinds: type | tuple[type, ...]) -> dict:
        """Read a JSON object; raise InputError unless it has entries of the `kinds`, by name."""
        try:
            content = json.loads((self.path / name).read_text("utf-8"))
            if not isinstance(content, dict):
                raise ValueError("it is no JSON object")
            for key, kind in kinds.items():
                if not isinstance(content.get(key), kind):
                    raise ValueError(f"its entry {key!r} is missing or damaged")
            return content
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(
                f"{self.path / name}: not a readable run file ({error}): start over with --fresh"
            ) from None

    def write_json(self, name: str, content: dict) -> None:
        """Write an indented JSON file."""
        self.write_text(name, json.dumps(content, indent=1) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write a text file."""
        self.write_bytes(name, text.encode("utf-8"))

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a binary file."""
        write_bytes(self.path / name, content)
        self.mirror.deliver(name)

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """Write a table as Parquet, without its index."""
        self.write_bytes(name, table.to_parquet(index=False, write_page_checksum=True))

    def _save(self, path: Path, arrays: dict[str, np.ndarray], metadata: dict) -> None:
        save_arrays(path, arrays, metadata)
        self.mirror.deliver(path.relative_to(self.path).as_posix())

    def _remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)
        self.mirror.delete(name)

    # networks and checkpoints

    def save_model(self, member: MemberConfig, parameters: dict[str, np.ndarray]) -> None:
        """Write one network's parameters, with its configuration in the file's header."""
        self._save(self._model(member.member_id), parameters, {"member": member.as_dict()})

    def load_model(self, member_id: str) -> tuple[dict, dict[str, np.ndarray]]:
        """Read a network's configuration (for MemberConfig.from_dict) and parameters.

        Raises InputError if the file is missing or damaged.
        """
        try:
            arrays, metadata = load_arrays(self._model(member_id))
            return metadata["member"], arrays
        except UNREADABLE as error:
            raise InputError(
                f"{self._model(member_id)}: no readable network ({one_line(error)}): "
                "--resume trains it again"
            ) from None

    def save_checkpoint(
        self, pack_id: str, member_ids: list[str], arrays: dict[str, np.ndarray], facts: dict
    ) -> None:
        """Write the state of a pack's training."""
        self._save(self._checkpoint(pack_id), arrays, {"members": member_ids, "facts": facts})

    def load_checkpoint(self, pack_id: str) -> tuple[dict[str, np.ndarray], dict] | None:
        """Read a checkpoint's arrays and facts; None if there is no readable one."""
        self._fetch_checkpoint(f"checkpoints/{pack_id}.safetensors")
        try:
            arrays, metadata = load_arrays(self._checkpoint(pack_id))
            return arrays, metadata["facts"]
        except UNREADABLE:
            return None

    def drop_checkpoint(self, pack_id: str) -> None:
        """Remove the checkpoint of a pack that has ended or was split."""
        self._remove(f"checkpoints/{pack_id}.safetensors")

    def standing(self, pack_id: str) -> tuple[int, int] | None:
        """Read the epoch and batch of a pack's checkpoint, which grow as it makes progress."""
        self._fetch_checkpoint(f"checkpoints/{pack_id}.safetensors")
        try:
            facts = load_metadata(self._checkpoint(pack_id))["facts"]
            return facts["epoch"], facts["batch"]
        except UNREADABLE:
            return None

    def checkpointed_packs(self) -> list[list[str]]:
        """Read the member ids of every pack that has a readable checkpoint."""
        packs = []
        for path in self.written("checkpoints", ".safetensors"):
            with suppress(*UNREADABLE):
                member_ids = load_metadata(path)["members"]
                if len(set(member_ids)) == len(member_ids) > 0:  # else no pack could have left it
                    packs.append(list(member_ids))
        return packs

    def _model(self, member_id: str) -> Path:
        return self.path / "models" / f"{member_id}.safetensors"

    def _checkpoint(self, pack_id: str) -> Path:
        return self.path / "checkpoints" / f"{pack_id}.safetensors"

    # results

    def finish_pack(self, pack_id: str, part: Part) -> None:
        """Write a pack's results, the members' part last as the commit, and drop its checkpoint."""
        self.mirror.deliver_new("tensorboard")
        tables = {name: getattr(part, name) for name in PART_TABLES}
        parts = {name: table.to_parquet(index=False) for name, table in tables.items()}
        sums = {name: sha256(content) for name, content in parts.items()}
        self.write_json(f"parts/{pack_id}.sha256", sums)
        for name, content in parts.items():
            self.write_bytes(f"parts/{pack_id}.{name}.parquet", content)
        self.drop_checkpoint(pack_id)

    def part(self, pack_id: str) -> Part | None:
        """Read a finished pack's tables; None if one is missing or damaged."""
        try:
            expected = json.loads((self.path / "parts" / f"{pack_id}.sha256").read_text("utf-8"))
            tables = {}
            for name in PART_TABLES:
                content = (self.path / "parts" / f"{pack_id}.{name}.parquet").read_bytes()
                if sha256(content) != expected[name]:
                    return None
                # Threads off: if memory is short, pyarrow waits for a new thread and never ends.
                tables[name] = pd.read_parquet(io.BytesIO(content), use_threads=False)
            return Part(**tables)
        except UNREADABLE:
            return None

    def _parts(self) -> Iterable[Part]:
        for path in self.written("parts", ".members.parquet"):
            part = self.part(_pack_id(path.name))
            if part is not None:  # else its members count as unfinished
                yield part

    def finished_members(self) -> pd.DataFrame:
        """Return one row for each member of a finished pack, without damaged parts."""
        return _concat((part.members for part in self._parts()), MEMBER_COLUMNS)

    def drop_damaged(self) -> list[str]:
        """Remove damaged results and networks from the record, so that their members train again.

        Returns one line per file. Raises InputError if a file exists but cannot be read now.
        """
        lines = []
        for path in self.written("parts", ".members.parquet"):
            pack_id = _pack_id(path.name)
            part = self.part(pack_id)
            if part is None:
                _readable(*(path.with_name(f"{pack_id}.{name}.parquet") for name in PART_TABLES))
                lines.append(f"{path}: cut short or damaged: its pack trains again")
                self._remove(f"parts/{path.name}")
                continue
            bad = [name for name in part.members["member_id"] if not self._sound(name)]
            if bad:
                lines += [f"{self._model(name)}: damaged: it trains again" for name in bad]
                left = Part(*(table[~table["member_id"].isin(bad)] for table in part))
                self.finish_pack(pack_id, left)
        return lines

    def _sound(self, member_id: str) -> bool:
        """Whether a network is undamaged, or was removed on purpose."""
        try:
            load_arrays(self._model(member_id))
        except FileNotFoundError:
            return True
        except UNREADABLE:
            return False
        return True

    def merge(
        self, planned: list[MemberConfig], errors: dict[str, str]
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Write members.parquet, metrics.parquet and samples.parquet in the order of the plan.

        Returns the first two. `errors` holds the message of each member whose pack failed; a
        planned member that is neither finished nor failed has no row.
        """
        self.fetch(KEPT)  # only this process writes the other files
        parts = list(self._parts())
        order = {member.member_id: i for i, member in enumerate(planned)}
        members = _concat((part.members for part in parts), MEMBER_COLUMNS)
        lost = errors.keys() - set(members["member_id"])
        failed = [
            {**describe(member), "status": FAILED, "epochs": 0, "error": errors[member.member_id]}
            for member in planned
            if member.member_id in lost
        ]
        whole = Part(
            members=_concat([members, member_table(failed)], MEMBER_COLUMNS),
            metrics=_concat((part.metrics for part in parts), METRIC_COLUMNS),
            samples=_concat((part.samples for part in parts), SAMPLE_COLUMNS),
        )
        ordered = Part(
            *(
                table[table["member_id"].isin(order)]
                .sort_values("member_id", key=lambda ids: ids.map(order), kind="stable")
                .reset_index(drop=True)
                for table in whole
            )
        )
        for name in PART_TABLES:
            self.write_table(f"{name}.parquet", getattr(ordered, name))
        return ordered.members, ordered.metrics

    def fetch(self, below: tuple[str, ...] = ("",)) -> None:
        """Fetch the storage's files `below` these folders that are new or missing here.

        Checkpoints that are further here, and lines of the log, are kept if this machine could not
        deliver them.
        """
        for name, size in self.mirror.files(below).items():
            if name.startswith("checkpoints/"):
                self._fetch_checkpoint(name)
            elif name == self.log_file.name:
                self._fetch_log()
            elif not self._has(name, size):
                self.mirror.fetch(name)

    def _has(self, name: str, size: int) -> bool:
        """Whether a file of the storage is here already."""
        path = self.path / name
        if not (name.startswith(KEPT) and path.exists() and path.stat().st_size == size):
            return False
        # If a host died while delivering a part, the part is written again, with files of the same
        # sizes: only a complete part counts as fetched.
        return not name.startswith("parts/") or self.part(_pack_id(name)) is not None

    def _fetch_checkpoint(self, name: str) -> None:
        """Fetch a pack's checkpoint, unless the one here is at least as far."""
        if self.mirror.storage is None:
            return
        if not (self.path / name).exists():
            self.mirror.fetch(name)
            return
        with tempfile.TemporaryDirectory(prefix="dae-study-") as scratch:
            Mirror(Path(scratch), self.mirror.storage).fetch(name)
            if _reached(Path(scratch, name)) > _reached(self.path / name):
                write_bytes(self.path / name, Path(scratch, name).read_bytes())
            else:
                self.mirror.prefer_own(name)

    def _fetch_log(self) -> None:
        """Fetch the log, and add the lines that only the one here has."""
        here = self.log_file.read_bytes().splitlines(True) if self.log_file.exists() else []
        self.mirror.fetch(self.log_file.name)
        fetched = self.log_file.read_bytes().splitlines(True)
        pairs = zip(here, fetched, strict=False)
        shared = len([*takewhile(lambda lines: lines[0] == lines[1], pairs)])
        if here[shared:]:
            write_bytes(self.log_file, b"".join(fetched + here[shared:]))


def _reached(checkpoint: Path) -> tuple[int, int]:
    """Return the epoch and batch of a checkpoint, (-1, -1) of a missing or damaged one."""
    try:
        facts = load_arrays(checkpoint)[1]["facts"]
        return facts["epoch"], facts["batch"]
    except UNREADABLE:
        return -1, -1


def open_folder(options: StudyOptions) -> RunFolder:
    """Check and return the study's run folder, after fetching a run to resume from its storage.

    Raises InputError for a folder or a storage that cannot be used, or whose files are neither to
    be resumed nor to be replaced.
    """
    storage = None if options.storage is None else open_storage(options.storage, options.folder)
    folder = RunFolder(options.folder, storage)
    if storage is not None:
        names = {name for name in storage.sizes() if not name.startswith(".")}
        is_run = {"config.json", "plan.json"} <= names
        # This folder may hold files that an interrupted run could not deliver.
        if options.resume and (is_run or folder.path.is_dir()):
            with held(folder.path):
                _check_same_run(folder, storage)
                folder.fetch()
                folder.mirror.deliver_new()
        elif is_run and not options.fresh:
            raise InputError(
                f"--storage {storage.url}: holds a run already: give --resume to continue, "
                "--fresh to replace it, or another"
            )
        elif names and not is_run:
            raise InputError(f"--storage {storage.url}: holds files already: give another")
    options.check_folder()
    return folder


def _check_same_run(folder: RunFolder, storage: Storage) -> None:
    """Raise InputError if the folder holds another run than the storage, such as an older one."""
    config, its = folder.path / "config.json", storage.get("config.json")
    if its is not None and config.exists() and _run_id(config.read_bytes()) != _run_id(its):
        raise InputError(
            f"{folder.path}: holds another run than --storage {storage.url}: "
            "give another --out to continue that of the storage"
        )


def _run_id(config: bytes) -> str | None:
    """Return the id of the run that a config.json is of; None for a damaged one."""
    try:
        return json.loads(config)[RUN_ID]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


@contextmanager
def held(path: Path) -> Iterator[Callable[[], None]]:
    """Make the folder if it is missing, and lock it; yield a function that undoes the making.

    Raises InputError if it cannot be written or another process holds it.
    """
    created = [folder for folder in (path, *path.parents) if not os.path.exists(folder)]

    def unmake() -> None:
        if created:
            shutil.rmtree(path, ignore_errors=True)
        for parent in created[1:]:
            with suppress(OSError):  # others use it by now
                parent.rmdir()

    lock = FileLock(path / ".lock", timeout=0)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InputError(f"{path}: another run is using this folder: give another --out") from None
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        yield unmake
    finally:
        lock.release()


def _unwritable(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be written ({error.strerror}): give another --out")


def _readable(*paths: Path) -> None:
    """Raise InputError for a file that exists but cannot be read now: it may be undamaged."""
    for path in paths:
        try:
            path.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read ({error.strerror}): repair the storage, then --resume"
            ) from None


def _pack_id(name: str) -> str:
    return name.rpartition("/")[2].partition(".")[0]


def _concat(tables: Iterable[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    tables = [table for table in tables if len(table)]
    if not tables:
        return typed_table([], columns)
    return pd.concat(tables, ignore_index=True).reindex(columns=columns)
