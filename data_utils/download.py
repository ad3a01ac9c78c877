"""A file from the web, whole or not at all: resumed where the connection broke, checked, and only then in its place."""

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
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from data_utils.cache import MOVE
from data_utils.errors import InputError
from data_utils.files import sha256 as checksum

#: Seconds before each further try; a try that brought bytes begins the list anew.
WAITS = (1.0, 2.0, 4.0, 8.0)
TIMEOUT_SECONDS = 30.0
CHUNK = 1 << 20
#: Statuses that another moment may change; any other error status is the server's last word on that address.
PASSING = (408, 429, 500, 502, 503, 504)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: What a try may end with: the connection's faults. An HTTPError is an OSError, too, and is looked at first.
BROKEN = (OSError, http.client.HTTPException)

#: Called with the bytes there are and those of the whole file (None where the server does not tell).
Progress = Callable[[int, "int | None"], None]


@dataclass(frozen=True)
class Fetched:
    """Where a file came from, its bytes and its sha256 (hex)."""

    url: str
    size: int
    sha256: str


class _Gone(Exception):
    """An address that has no such file."""


@dataclass(frozen=True)
class _Facts:
    """What a server says of the whole file: its bytes, what it is known by, its md5 (hex); None where untold."""

    url: str
    size: int | None = None
    validator: str | None = None
    md5: str | None = None


def download(
    urls: Sequence[str],
    path: Path,
    by_hand: str,
    *,
    sha256: str | None = None,
    progress: Progress = lambda done, whole: None,
    waits: Sequence[float] | None = None,
) -> Fetched:
    """Fetch the first of `urls` that is there to `path`.

    Until it is whole and checked it is `path`.part, from which a later call goes on if the server still has the same
    file; a file that is there is not fetched again. Checked are the size that the server tells, its md5 (X-Goog-Hash),
    and `sha256` where it is known. Raises InputError of one line for whatever goes wrong, with `by_hand`, the way out
    without this function, where no address answers; a file that is the wrong one is not kept.
    """
    facts = _known(path)
    if path.exists() and facts is not None:
        return Fetched(facts.url, path.stat().st_size, checksum(path))
    gone = []
    for url in urls:
        try:
            return _download(
                url, path, by_hand, sha256, progress, WAITS if waits is None else waits
            )
        except _Gone as error:
            gone.append(f"{url} ({error})")
    raise InputError(f"{path.name}: is at no address known: {', '.join(gone)}: {by_hand}")


def _download(
    url: str,
    path: Path,
    by_hand: str,
    sha256: str | None,
    progress: Progress,
    waits: Sequence[float],
) -> Fetched:
    part = _part(path)
    left = iter(waits)
    while True:
        before = _bytes(part)
        try:
            facts = _try(url, path, progress)
            break
        except urllib.error.HTTPError as error:
            reason = " ".join(f"{error.code} {error.reason}".split())[:80]
            if error.code not in PASSING:
                raise _Gone(reason) from None
        except BROKEN as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise _full(path.parent, None) from None
            if isinstance(error, OSError) and error.filename is not None:
                raise InputError(
                    f"{error.filename}: cannot be written ({error.strerror}): {MOVE}"
                ) from None
            reason, final = _reason(error)
            if final and _bytes(part) == before:
                raise InputError(f"{url}: cannot be reached ({reason}): {by_hand}") from None
        left = iter(waits) if _bytes(part) > before else left
        wait = next(left, None)
        if wait is None:
            raise InputError(f"{url}: cannot be fetched ({reason}): try again later, or {by_hand}")
        time.sleep(wait)
    fetched = _checked(path, facts, sha256)
    os.replace(part, path)
    return fetched


def _try(url: str, path: Path, progress: Progress) -> _Facts:
    """One request for what is missing. Returns once all of the file is in its part; else raises one of BROKEN."""
    part, known = _part(path), _known(path)
    have = _bytes(part) if known is not None and known.url == url else 0
    if have and have == known.size:
        return known
    headers = {
        "User-Agent": "dae-study",
        "Accept-Encoding": "gzip" if path.suffix == ".gz" else "identity",
    }
    if have and known.validator:
        headers |= {"Range": f"bytes={have}-", "If-Range": known.validator}
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS
        )
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        _forget(path)  # our part is longer than the file is now: it is of another one
        raise ConnectionError("the server has another file now") from None
    with response:
        start = have if response.status == 206 and _range_start(response) == have else 0
        if response.status == 206 and not start:
            _forget(path)
            raise ConnectionError("the server sent another part than was asked for")
        facts = _facts(url, response.headers, start)
        _check_room(path.parent, start, facts.size)
        _facts_file(path).write_text(json.dumps(asdict(facts)), encoding="utf-8")
        with part.open("ab" if start else "wb") as file:
            done = _copy(response, file, start, facts, progress)
    if not done:
        raise ConnectionError("the server sent nothing")
    if facts.size is not None and done != facts.size:
        raise ConnectionError(f"the connection broke at byte {done:,} of {facts.size:,}")
    return facts


def _copy(
    response: http.client.HTTPResponse, file: BinaryIO, done: int, facts: _Facts, progress: Progress
) -> int:
    """Write what comes; returns the bytes there are then."""
    progress(done, facts.size)
    while chunk := response.read(CHUNK):
        file.write(chunk)
        done += len(chunk)
        progress(done, facts.size)
    return done


def _facts(url: str, headers: http.client.HTTPMessage, start: int) -> _Facts:
    left = headers.get("Content-Length", "")
    size = start + int(left) if left.isdecimal() else None
    etag, md5 = headers.get("ETag", ""), None
    validator = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")
    as_stored = headers.get("X-Goog-Stored-Content-Encoding", "identity") == headers.get(
        "Content-Encoding", "identity"
    )
    for entry in ",".join(headers.get_all("X-Goog-Hash", [])).split(","):
        kind, _, value = entry.strip().partition("=")
        if kind == "md5" and as_stored:  # else the server unpacked what the hash is of
            with suppress(binascii.Error):
                md5 = base64.b64decode(value).hex()
    return _Facts(url, size, validator, md5)


def _checked(path: Path, facts: _Facts, sha256: str | None) -> Fetched:
    """What was fetched. Raises InputError, with nothing kept, for another file than server or caller tell of."""
    part, wrong = _part(path), ""
    fetched = Fetched(facts.url, _bytes(part), checksum(part))
    with part.open("rb") as stream:
        head = stream.read(512).lstrip()
    if head.startswith(b"<"):
        wrong = "is a web page, not the file: a login or a proxy is on the way"
    elif path.suffix == ".gz" and not head.startswith(b"\x1f\x8b"):
        wrong = "is not gzip data"
    elif facts.md5 is not None and _md5(part) != facts.md5:
        wrong = "arrived damaged (its md5 is not the server's)"
    elif sha256 is not None and fetched.sha256 != sha256:
        wrong = f"is damaged, or not the file that is known here (sha256 {fetched.sha256}, not {sha256})"
    if wrong:
        _forget(path)
        raise InputError(
            f"{facts.url}: {wrong}: try again; a file that you trust can be given as --data PATH"
        )
    return fetched


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _range_start(response: http.client.HTTPResponse) -> int | None:
    first = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(first) if first.isdecimal() else None


def _check_room(folder: Path, have: int, whole: int | None) -> None:
    """Raise InputError where the rest of the file does not fit on the disk."""
    free = shutil.disk_usage(folder).free
    if whole is not None and whole - have > free:
        raise _full(folder, whole - have - free)


def _full(folder: Path, lacking: int | None) -> InputError:
    amount = "" if lacking is None else f" ({lacking / 1e6:,.1f} MB more are needed)"
    return InputError(f"{folder}: the disk is full{amount}: make room and run it again, or {MOVE}")


def _reason(error: Exception) -> tuple[str, bool]:
    """What broke, in short, and whether it is the kind that trying again at once does not mend."""
    inner = getattr(error, "reason", error)
    text = " ".join(str(inner).split()) or type(inner).__name__
    final = isinstance(
        inner, (socket.gaierror, ConnectionRefusedError, ssl.SSLCertVerificationError)
    )
    unreachable = isinstance(inner, OSError) and inner.errno in (
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
    )
    no_answer = inner is not error and isinstance(
        inner, TimeoutError
    )  # to the connecting: urllib wraps that one
    return text, final or unreachable or no_answer


def _part(path: Path) -> Path:
    return path.with_name(f"{path.name}.part")


def _bytes(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _facts_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _known(path: Path) -> _Facts | None:
    """What the server said of the file that is there, whole or in part; None where that was not kept."""
    try:
        return _Facts(**json.loads(_facts_file(path).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _forget(path: Path) -> None:
    _part(path).unlink(missing_ok=True)
    _facts_file(path).unlink(missing_ok=True)
