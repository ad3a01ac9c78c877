"""Opening the run folder: whether it may be begun or continued, and one process at a time on it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from data_utils.errors import InputError
from study.options import StudyOptions
from study.run.folder import RunFolder
from study.run.storage import Storage

#: What a storage must not hold, by how the run begins, and the way out. Not here: what may go on.
TAKEN = {
    (
        "run",
        "new",
    ): "holds a run already: give --resume to continue, --fresh to replace it, or another",
    ("files", "new"): "holds files already: give another",
    ("files", "fresh"): "holds files already: give another",
    ("files", "resume"): "holds files already: give another",
}


def open_folder(options: StudyOptions) -> RunFolder:
    """Check the study's run folder; if its storage holds the run to resume, fetch that first.

    Raises InputError for a folder or a storage that cannot be used, or that holds what is neither
    to be resumed nor to be replaced.
    """
    if options.storage is None:
        options.check_folder()
        return RunFolder(options.folder)
    storage = _storage(options.storage, options.folder.resolve())
    folder = RunFolder(options.folder, storage)
    begins = "resume" if options.resume else "fresh" if options.fresh else "new"
    holds = _held_by(storage)
    here = folder.path.is_dir()  # what was not delivered before an interruption
    resumed = begins == "resume" and (holds == "run" or here)
    if not resumed and (holds, begins) in TAKEN:
        raise InputError(f"--storage {storage.url}: {TAKEN[holds, begins]}")
    if resumed:
        with held(folder.path):
            folder.fetch()
            folder.publish()
    options.check_folder()
    return folder


def _held_by(storage: Storage) -> str:
    names = {name for name in storage.sizes() if not name.startswith(".")}
    if {"config.json", "plan.json"} <= names:
        return "run"
    return "files" if names else "nothing"


def _storage(url: str, folder: Path) -> Storage:
    if re.match(r"\w+://(?!anonymous@)[^/]*@", url):
        raise InputError(
            "--storage: holds credentials: leave them out and set the store's environment variables"
        )
    storage = Storage(url)
    if storage.is_path:
        path = Path(url).expanduser().resolve()
        if path.is_relative_to(folder) or folder.is_relative_to(path):
            raise InputError(
                f"--storage {url}: is in --out, or the other way round: give another folder"
            )
    storage.check()
    return storage


@contextmanager
def held(path: Path) -> Iterator[Callable[[], None]]:
    """Make the folder if it is missing, and hold it for this process; yields what undoes the making.

    Raises InputError if it cannot be written or another process holds it.
    """
    created = [folder for folder in (path, *path.parents) if not os.path.exists(folder)]

    def undo() -> None:
        if created:
            shutil.rmtree(path, ignore_errors=True)
        for parent in created[1:]:
            with suppress(OSError):  # somebody else uses it by now
                parent.rmdir()

    lock = FileLock(path / ".lock", timeout=0)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise InputError(f"{path}: another run is using this folder: give another --out") from None
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}): give another --out"
        ) from None
    try:
        yield undo
    finally:
        lock.release()
