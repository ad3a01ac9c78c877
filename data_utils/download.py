"""Downloads into the user's cache folder, which are resumed, checked and then moved into place."""

from __future__ import annotations

import base64
import binascii
import errno
import hashlib
import http.client
import json
import os
import shutil
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from rich import progress as bars
from rich.console import Console

from data_utils.errors import InputError
from data_utils.files import sha256 as checksum

#: Environment variable that moves the cache.
VARIABLE = "DAE_STUDY_CACHE"
MOVE = f"move the cache with the environment variable {VARIABLE}"

#: Seconds before each further try; a try that made progress starts the list again.
WAITS = (1.0, 2.0, 4.0, 8.0)
TIMEOUT_SECONDS = 30.0
CHUNK = 1 << 20
#: Seconds between lines of progress if the output is not a terminal.
QUIET_SECONDS = 30.0
#: HTTP statuses after which trying again may help; any other error is final for that address.
PASSING = (408, 429, 500, 502, 503, 504)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: Errors for which trying again at once does not help.
LASTING = (socket.gaierror, ConnectionRefusedError, ssl.SSLCertVerificationError)
UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH)

#: Called with the bytes so far and those of the whole file (None if the server does not send them).
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Fetched:
    """The address of a downloaded file, its size in bytes and its sha256 (hex)."""

    url: str
    size: int
    sha256: str


class _Gone(Exception):
    """Raised for an address that has no such file."""


@dataclass(frozen=True)
class _Facts:
    """What a server reports of the whole file: size in bytes, ETag or date, and md5 (hex)."""

    url: str
    size: int | None = None
    validator: str | None = None
    md5: str | None = None


def cache_folder() -> Path:
    """Return DAE_STUDY_CACHE, or else dae-study in the platform's folder for caches."""
    own = os.environ.get(VARIABLE)
    if own:
        return Path(os.path.expanduser(own)).absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "dae-study"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dae-study"


@contextmanager
def alone(folder: Path, waiting: str) -> Iterator[None]:
    """Make the folder and lock it; if another process holds the lock, print `waiting` and wait.

    Raises InputError if it cannot be written.
    """
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(Timeout):
            lock.acquire(blocking=False)
        if not lock.is_locked:
            say(waiting)
            lock.acquire()
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror}): {MOVE}") from None
    try:
        yield
    finally:
        lock.release()


def say(text: str) -> None:
    """Print a line of progress."""
    print(text, file=sys.stderr, flush=True)


def download(urls: Sequence[str], path: Path, by_hand: str, sha256: str | None = None) -> Fetched:
    """Fetch the first of `urls` that exists to `path`, unless it has been fetched before.

    Until it is complete and checked, the file is `path`.part, which a later call continues if the
    server still has the same file. The size and the md5 that the server reports (X-Goog-Hash) are
    checked, and `sha256` if it is known; a wrong file is deleted. Raises InputError if the download
    fails, with `by_hand` as the way out if no address answers.
    """
    known = _known(path)
    if path.exists() and known is not None:
        return Fetched(known.url, path.stat().st_size, checksum(path))
    gone = []
    with _progress(path.name) as progress:
        for url in urls:
            try:
                facts = _fetch(url, path, by_hand, progress)
            except _Gone as error:
                gone.append(f"{url} ({error})")
                continue
            fetched = _checked(path, facts, sha256)
            os.replace(_part(path), path)
            return fetched
    raise InputError(f"{path.name}: is at no address known: {', '.join(gone)}: {by_hand}")


def _fetch(url: str, path: Path, by_hand: str, progress: Progress) -> _Facts:
    """Try until the part holds the whole file; raise InputError if trying again is no use."""
    part, waits = _part(path), iter(WAITS)
    while True:
        before = _bytes(part)
        try:
            return _try(url, path, progress)
        except urllib.error.HTTPError as error:
            reason = " ".join(f"{error.code} {error.reason}".split())[:80]
            if error.code not in PASSING:
                raise _Gone(reason) from None
        except (OSError, http.client.HTTPException) as error:
            _refuse_local(error, path.parent)
            inner = getattr(error, "reason", error)
            reason = " ".join(str(inner).split()) or type(inner).__name__
            # urllib wraps a time-out while connecting, and no other time-out
            no_answer = inner is not error and isinstance(inner, TimeoutError)
            lasting = isinstance(inner, LASTING) or getattr(inner, "errno", None) in UNREACHABLE
            if (lasting or no_answer) and _bytes(part) == before:
                raise InputError(f"{url}: cannot be reached ({reason}): {by_hand}") from None
        if _bytes(part) > before:
            waits = iter(WAITS)
        wait = next(waits, None)
        if wait is None:
            raise InputError(f"{url}: cannot be fetched ({reason}): try again later, or {by_hand}")
        time.sleep(wait)


def _try(url: str, path: Path, progress: Progress) -> _Facts:
    """Request the missing bytes; raise OSError or HTTPException if the part is then incomplete."""
    part, known = _part(path), _known(path) or _Facts(url)
    resumable = known.url == url and known.size is not None and known.validator is not None
    have = _bytes(part) if resumable else 0
    if have and have == known.size:
        return known
    packed = path.suffix == ".gz"
    headers = {"User-Agent": "dae-study", "Accept-Encoding": "gzip" if packed else "identity"}
    if 0 < have < (known.size or 0):
        headers |= {"Range": f"bytes={have}-", "If-Range": known.validator or ""}
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        done = have if response.status == 206 else 0
        if done and not response.headers.get("Content-Range", "").startswith(f"bytes {done}-"):
            _forget(path)
            raise ConnectionError("the server sent another part than was asked for")
        facts = _facts(url, response.headers, done)
        free = shutil.disk_usage(path.parent).free
        if facts.size is not None and facts.size - done > free:
            raise _full(
                path.parent, f" ({(facts.size - done - free) / 1e6:,.1f} MB more are needed)"
            )
        _facts_file(path).write_text(json.dumps(asdict(facts)), encoding="utf-8")
        progress(done, facts.size)
        with part.open("ab" if done else "wb") as file:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                done += len(chunk)
                progress(done, facts.size)
    if not done:
        raise ConnectionError("the server sent nothing")
    if facts.size not in (None, done):
        raise ConnectionError(f"the connection broke at byte {done:,} of {facts.size:,}")
    return facts


def _facts(url: str, headers: http.client.HTTPMessage, start: int) -> _Facts:
    left = headers.get("Content-Length", "")
    size = start + int(left) if left.isdecimal() else None
    etag, md5 = headers.get("ETag", ""), None
    validator = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")
    stored = headers.get("X-Goog-Stored-Content-Encoding", "identity")
    if stored == headers.get("Content-Encoding", "identity"):  # else the server unpacked it
        for entry in ",".join(headers.get_all("X-Goog-Hash", [])).split(","):
            kind, _, value = entry.strip().partition("=")
            if kind == "md5":
                with suppress(binascii.Error):
                    md5 = base64.b64decode(value).hex()
    return _Facts(url, size, validator, md5)


def _checked(path: Path, facts: _Facts, sha256: str | None) -> Fetched:
    """Check the part; delete it and raise InputError if it is the wrong file."""
    part, wrong = _part(path), ""
    fetched = Fetched(facts.url, _bytes(part), checksum(part))
    with part.open("rb") as stream:
        head = stream.read(512).lstrip()
        stream.seek(0)
        md5 = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if head.startswith(b"<"):
        wrong = "is a web page, not the file: a login or a proxy is on the way"
    elif path.suffix == ".gz" and not head.startswith(b"\x1f\x8b"):
        wrong = "is not gzip data"
    elif facts.md5 not in (None, md5):
        wrong = "arrived damaged (its md5 is not the server's)"
    elif sha256 not in (None, fetched.sha256):
        wrong = (
            "is damaged, or not the file that is known here "
            f"(sha256 {fetched.sha256}, not {sha256})"
        )
    if wrong:
        _forget(path)
        raise InputError(
            f"{facts.url}: {wrong}: try again; a file that you trust can be given as --data PATH"
        )
    return fetched


def _refuse_local(error: Exception, folder: Path) -> None:
    """Raise InputError for an error of this machine's disk, not of the connection."""
    if isinstance(error, OSError) and error.errno in FULL:
        raise _full(folder, "") from None
    if isinstance(error, OSError) and error.filename is not None:
        raise InputError(
            f"{error.filename}: cannot be written ({error.strerror}): {MOVE}"
        ) from None


def _full(folder: Path, amount: str) -> InputError:
    return InputError(f"{folder}: the disk is full{amount}: make room and run it again, or {MOVE}")


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _bytes(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _facts_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _known(path: Path) -> _Facts | None:
    """Return the saved facts of a file that is here completely or in part; None without them."""
    try:
        return _Facts(**json.loads(_facts_file(path).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _forget(path: Path) -> None:
    _part(path).unlink(missing_ok=True)
    _facts_file(path).unlink(missing_ok=True)


@contextmanager
def _progress(name: str) -> Iterator[Progress]:
    """Show the progress of a file on stderr: a bar on a terminal, occasional lines elsewhere."""
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (bars.TextColumn("{task.description}"), bars.BarColumn(20), bars.DownloadColumn())
        times = (bars.TransferSpeedColumn(), bars.TimeRemainingColumn())
        with bars.Progress(*columns, *times, console=console) as bar:
            short = name if len(name) <= 30 else f"{name[:12]}...{name[-15:]}"
            task = bar.add_task(short, total=None)
            yield lambda done, whole: bar.update(task, completed=done, total=whole)
        return
    last = -QUIET_SECONDS

    def line(done: int, whole: int | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= QUIET_SECONDS or done == whole:
            last = now
            of = "" if whole is None else f" of {whole / 1e6:,.1f}"
            say(f"fetching {name}: {done / 1e6:,.1f}{of} MB")

    yield line
