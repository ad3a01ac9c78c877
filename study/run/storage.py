"""`--storage`: files by name in an object store (s3://, gs://) or below a path.

Credentials come from the environment (AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS and so on)
or from the machine's role; AWS_ENDPOINT_URL is honoured. Without credentials, as for an emulator at
CLOUD_STORAGE_EMULATOR_ENDPOINT, use gs://anonymous@BUCKET/PATH.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TypeVar

from pyarrow import ArrowException, fs

from data_utils.errors import InputError
from data_utils.files import write_bytes

#: Seconds to wait before each new attempt at a failed call: a storage may vanish for a while.
WAITS = (0.5, 1, 2, 4, 8, 15, 30)
#: Seconds in which Google's client retries: by default it reports missing credentials after 15 min.
GOOGLE_SECONDS = 5

#: Folders of a run whose files do not change once they exist.
KEPT = ("parts", "models", "checkpoints", "tensorboard")

T = TypeVar("T")


class Storage:
    """Files by name below a path or URL, whose failed calls are tried again for a minute."""

    def __init__(self, url: str, waits: tuple[float, ...] = WAITS):
        self.url, self.waits = url, waits
        try:
            if "://" in url:
                filesystem, path = fs.FileSystem.from_uri(_impatient(url))
            else:
                filesystem, path = fs.LocalFileSystem(), str(Path(url).expanduser().absolute())
        except (ArrowException, OSError, ValueError) as error:
            raise InputError(
                f"--storage {url}: {one_line(error)}: give a path, s3://BUCKET/PATH or gs://..."
            ) from None
        self.is_path = isinstance(filesystem, fs.LocalFileSystem)
        self._files = fs.SubTreeFileSystem(path, filesystem)
        self._root = (filesystem, path)

    def __reduce__(self) -> tuple:
        """Pickle as the URL, so that each process reads its own credentials."""
        return Storage, (self.url, self.waits)

    def check(self) -> None:
        """Raise InputError if the storage cannot be reached, or the bucket does not exist."""
        filesystem, path = self._root
        bucket = path if self.is_path else path.partition("/")[0]
        try:
            if self.is_path:
                filesystem.create_dir(path)
            if filesystem.get_file_info(bucket).type != fs.FileType.Directory:
                raise FileNotFoundError(
                    f"there is no {'folder' if self.is_path else 'bucket'} {bucket}"
                )
        except (ArrowException, OSError) as error:
            raise InputError(
                f"--storage {self.url}: cannot be used ({one_line(error)}): make it first, and "
                "check the credentials"
            ) from None

    def put(self, name: str, content: bytes) -> None:
        """Write a file, completely or not at all."""
        self._again(lambda: self._put(name, content))

    def _put(self, name: str, content: bytes) -> None:
        if self.is_path:
            path = Path(self._root[1], name)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, content)
            return
        with self._files.open_output_stream(name) as stream:  # closing makes the object appear
            stream.write(content)

    def get(self, name: str) -> bytes | None:
        """Read a file; None if it is missing."""

        def read() -> bytes | None:
            try:
                with self._files.open_input_stream(name) as stream:
                    return stream.read()
            except FileNotFoundError:
                return None

        return self._again(read)

    def sizes(self) -> dict[str, int]:
        """Return the size of every file in bytes, by name."""
        selector = fs.FileSelector("", recursive=True, allow_not_found=True)
        found = self._again(lambda: self._files.get_file_info(selector))
        return {info.path: info.size for info in found if info.type == fs.FileType.File}

    def delete(self, name: str) -> None:
        """Remove a file, if it exists."""
        if self._again(lambda: self._files.get_file_info(name)).type == fs.FileType.File:
            self._again(lambda: self._files.delete_file(name))

    def _again(self, work: Callable[[], T]) -> T:
        for wait in self.waits:
            try:
                return work()
            except (ArrowException, OSError):
                time.sleep(wait)
        return work()


class Mirror:
    """The copying between a run folder and a storage; does nothing without a storage."""

    def __init__(self, path: Path, storage: Storage | None):
        self.path, self.storage = path, storage
        self._sizes: dict[str, int] = {}  # of the files that the storage is known to hold

    def deliver(self, name: str) -> None:
        """Write a file of the folder to the storage."""
        if self.storage is not None:
            content = (self.path / name).read_bytes()
            self.storage.put(name, content)
            self._sizes[name] = len(content)

    def deliver_new(self, below: str = "") -> None:
        """Deliver the files `below` a folder that are new or may have changed."""
        if self.storage is None:
            return
        for path in sorted(path for path in (self.path / below).rglob("*") if path.is_file()):
            name = path.relative_to(self.path).as_posix()
            known = name.startswith(KEPT) and self._sizes.get(name) == path.stat().st_size
            if not known and "/." not in f"/{name}":
                self.deliver(name)

    def fetch(self, name: str) -> None:
        """Write a file of the storage, if it exists, to the folder."""
        content = None if self.storage is None else self.storage.get(name)
        if content is not None:
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, content)

    def files(self, below: tuple[str, ...]) -> dict[str, int]:
        """List the storage's files `below` these folders of a run, with their sizes in bytes.

        Raises InputError if the storage is not a run's.
        """
        if self.storage is None:
            return {}
        self._sizes = self.storage.sizes()
        for name in self._sizes:
            if ".." in PurePosixPath(name).parts:
                raise InputError(
                    f"--storage {self.storage.url}: holds a file of the name {name!r}, so it is no "
                    "run's storage: give another"
                )
        return {
            name: size
            for name, size in self._sizes.items()
            if not name.startswith(".") and name.startswith(below)
        }

    def prefer_own(self, name: str) -> None:
        """Make `deliver_new` replace the storage's file by the one here, even with equal sizes."""
        self._sizes.pop(name, None)

    def delete(self, name: str) -> None:
        """Remove a file of the storage, if it exists."""
        if self.storage is not None:
            self.storage.delete(name)

    def clear(self) -> None:
        """Remove all files of the storage."""
        for name in self.storage.sizes() if self.storage is not None else ():
            self.delete(name)


def open_storage(url: str, folder: Path) -> Storage:
    """Return the storage of a run folder. Raises InputError if it cannot be used."""
    if re.match(r"\w+://(?!anonymous@)[^/]*@", url):
        raise InputError(
            "--storage: holds credentials: leave them out and set the store's environment variables"
        )
    storage = Storage(url)
    if storage.is_path:
        path, folder = Path(url).expanduser().resolve(), folder.resolve()
        if path.is_relative_to(folder) or folder.is_relative_to(path):
            raise InputError(
                f"--storage {url}: is in --out, or the other way round: give another folder"
            )
    storage.check()
    return storage


def one_line(error: Exception) -> str:
    """Return the beginning of an error's message, as one line."""
    return " ".join(str(error).split())[:200]


def _impatient(url: str) -> str:
    if not url.startswith(("gs://", "gcs://")) or "retry_limit_seconds" in url:
        return url
    return f"{url}{'&' if '?' in url else '?'}retry_limit_seconds={GOOGLE_SECONDS}"
