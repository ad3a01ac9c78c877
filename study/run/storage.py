"""`--storage`: a run's home where its machines share no file system: an object store, or a path that they do share.

The driver's run folder stays as it is. Whatever is written to a StoredFolder is written through to the storage, and
what others wrote is fetched from it. So workers deliver their parts, networks and checkpoints from a scratch folder
of their own, and `--resume` on a new machine fetches the run first.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pandas as pd
from pyarrow import ArrowException

from data_utils.errors import InputError
from data_utils.files import write_atomically
from study.options import StudyOptions
from study.run.folder import RunFolder
from study.run.lock import held
from study.run.object_store import Storage, one_line

#: Folders whose files are not changed once they are there.
KEPT = ("parts", "models", "checkpoints", "tensorboard")
#: What stays on the machine that wrote it: the lock, temporary files, Tune's own.
OWN = re.compile(r"\.|tune/")
#: Seconds between two looks at whether a stop is asked for.
STOP_SECONDS = 1.0


class StoredFolder(RunFolder):
    """A run folder whose files are written through to a storage, and fetched from it."""

    def __init__(self, path: Path | str, storage: Storage):
        super().__init__(path)
        self.storage = storage
        self._asked, self._stop = -STOP_SECONDS, False
        self._sent: dict[Path, int] = {}

    def _put(self, path: Path) -> None:
        self.storage.put(path.relative_to(self.path).as_posix(), path.read_bytes())

    def write_bytes(self, name: str, content: bytes) -> None:
        super().write_bytes(name, content)
        self.storage.put(name, content)

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        super().write_table(name, table)
        self._put(self.path / name)

    def save_model(self, member, parameters) -> None:
        super().save_model(member, parameters)
        self._put(self._model(member.member_id))

    def save_checkpoint(self, pack_id, member_ids, arrays, facts) -> None:
        super().save_checkpoint(pack_id, member_ids, arrays, facts)
        self._put(self._checkpoint(pack_id))

    def load_checkpoint(self, pack_id: str):
        path = self._checkpoint(pack_id)
        content = self.storage.get(f"checkpoints/{path.name}")
        if content is not None:
            write_atomically(path, lambda path: path.write_bytes(content))
        return super().load_checkpoint(pack_id)

    def finish_pack(self, pack_id: str, members: pd.DataFrame, metrics: pd.DataFrame) -> None:
        for path in sorted(path for path in self.tensorboard.rglob("*") if path.is_file()):
            size = path.stat().st_size
            if self._sent.get(path) != size:
                self._put(path)
                self._sent[path] = size
        super().finish_pack(pack_id, members, metrics)

    def drop_checkpoint(self, pack_id: str) -> None:
        super().drop_checkpoint(pack_id)
        self.storage.delete(f"checkpoints/{self._checkpoint(pack_id).name}")

    def standing(self, pack_id: str) -> tuple[int, int] | None:
        self.load_checkpoint(pack_id)
        return super().standing(pack_id)

    def drop_damaged(self) -> list[str]:
        before = self._files("parts")
        lines = super().drop_damaged()
        for name in before - self._files("parts"):  # else it would come back
            self.storage.delete(name)
        return lines

    def merge(self, planned, errors):
        self.fetch(KEPT)  # the rest is this process' own
        return super().merge(planned, errors)

    def clear(self) -> None:
        super().clear()
        for name in self.storage.sizes():
            self.storage.delete(name)

    def request_stop(self, stop: bool) -> None:
        super().request_stop(stop)
        self.storage.put(".stop", b"") if stop else self.storage.delete(".stop")

    def stop_requested(self) -> bool:
        now = time.monotonic()
        if now - self._asked > STOP_SECONDS:
            self._asked, self._stop = now, self.storage.get(".stop") is not None
        return self._stop

    @contextmanager
    def on_worker(self) -> Iterator[RunFolder]:
        """Make a scratch folder on the worker's machine that is written through to the storage."""
        with tempfile.TemporaryDirectory(prefix="dae-study-") as scratch:
            folder = StoredFolder(scratch, self.storage)
            folder.create()
            yield folder

    def fetch(self, below: tuple[str, ...] = ("",)) -> None:
        """Bring here what the storage has `below` these folders: what may have changed, and what is not here."""
        for name, size in self.storage.sizes().items():
            if ".." in PurePosixPath(name).parts:
                raise InputError(
                    f"{self.storage.url}: holds a file of the name {name!r}: this is no run's storage"
                )
            if OWN.match(name) or not name.startswith(below) or self._has(name, size):
                continue
            path, content = self.path / name, self.storage.get(name)
            if content is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, lambda path, content=content: path.write_bytes(content))

    def _has(self, name: str, size: int) -> bool:
        """Whether a file is here as it is in the storage."""
        path = self.path / name
        if not (name.startswith(KEPT) and path.exists() and path.stat().st_size == size):
            return False
        # A part that was half delivered when its host died is delivered again, in files of equal sizes.
        return not name.startswith("parts/") or self.part(path.name.partition(".")[0]) is not None

    def publish(self) -> None:
        """Bring to the storage what is here: what may have changed, and what it lacks."""
        sizes = self.storage.sizes()
        for name in sorted(self._files()):
            path = self.path / name
            if not (name.startswith(KEPT) and sizes.get(name) == path.stat().st_size):
                self._put(path)

    def _files(self, below: str = "") -> set[str]:
        paths = (
            path
            for path in (self.path / below).rglob("*")
            if path.is_file() and not path.name.startswith(".")
        )
        names = {path.relative_to(self.path).as_posix() for path in paths}
        return {name for name in names if not OWN.match(name)}


def open_folder(options: StudyOptions) -> RunFolder:
    """The study's run folder, checked; with a storage that holds the run to go on with, what is there is fetched first.

    Raises InputError for a folder or a storage that cannot be used, or holds what is neither to go on nor to replace.
    """
    if options.storage is None:
        options.check_folder()
        return RunFolder(options.folder)
    if re.match(r"\w+://(?!anonymous@)[^/]*@", options.storage):
        raise InputError(
            "--storage: credentials do not belong in it: set the environment variables of the store"
        )
    storage = Storage(options.storage)
    folder = StoredFolder(options.folder, storage)
    if storage.is_path:
        paths = Path(storage.url).expanduser().resolve(), folder.path
        if paths[0].is_relative_to(paths[1]) or paths[1].is_relative_to(paths[0]):
            raise InputError(
                f"--storage {storage.url}: is in --out, or the other way round: give another folder"
            )
    storage.check()
    names = {name for name in storage.sizes() if not name.startswith(".")}
    is_run = {"config.json", "plan.json"} <= names
    goes_on = options.resume and (is_run or folder.path.is_dir())
    if names and not goes_on and not (options.fresh and is_run):
        way = "--resume to go on, --fresh to replace it, or " if is_run else ""
        raise InputError(
            f"--storage {storage.url}: holds {'a run' if is_run else 'files'} already: give {way}another"
        )
    if not goes_on:
        options.check_folder()
    if goes_on:
        with held(folder.path):
            folder.fetch()
            folder.publish()
        options.check_folder()
    return folder


@contextmanager
def mark(options: StudyOptions) -> Iterator[tuple[str | None, str]]:
    """Leaves a file where the run will be while others look for it; yields what `seen` wants."""
    name = f".dae-study-{os.urandom(8).hex()}"
    if options.storage is not None:
        storage = Storage(options.storage)
        storage.put(name, b"")
        try:
            yield options.storage, name
        finally:
            storage.delete(name)
        return
    folder = options.folder
    path = next(parent for parent in (folder, *folder.parents) if parent.is_dir()) / name
    path.touch()
    try:
        yield None, str(path)
    finally:
        path.unlink(missing_ok=True)


def seen(storage: str | None, name: str) -> str:
    """Asked on another machine: nothing where the mark is seen, else why not."""
    try:
        there = (
            os.path.exists(name)
            if storage is None
            else Storage(storage, waits=(1.0,)).get(name) is not None
        )
    except (InputError, OSError, ArrowException) as error:
        return one_line(error)
    return "" if there else "it is not there"
