"""One driver at a time on a storage, which has no locks: whoever has it writes a file anew all the while.

A driver that finds the file looks whether it changes. Where it does, another run is alive; where it does not, its
driver died without a word. No clocks are compared. Two that come within a second of each other read back what they
wrote, and one of them gives way.
"""

from __future__ import annotations

import atexit
import json
import os
import secrets
import socket
import threading
import time
from contextlib import suppress

from pyarrow import ArrowException

from data_utils.errors import InputError
from study.run.object_store import Storage

#: Its name.
LEASE = ".driver"
#: Seconds between two writings, for which another's file may stay as it is, and before what was written is read back.
BEAT_SECONDS, LAPSE_SECONDS, SETTLE_SECONDS = 10.0, 30.0, 1.0


class Lease:
    """This process' hold on a storage, from `acquire` to `release` or its end."""

    def __init__(self, storage: Storage):
        self.storage, self.key = storage, secrets.token_hex(8)
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self) -> None:
        """Take it. Raises InputError where another driver has it, after up to half a minute of looking on."""
        self._refuse_the_living()
        self._write(0)
        time.sleep(SETTLE_SECONDS)
        if self.key not in (found := self._read() or ""):
            raise self._taken(found)
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        atexit.register(self.release)

    def release(self) -> None:
        """Let others have it."""
        if self._thread is not None:
            self._over.set()
            self._thread.join()
            self._thread = None
            atexit.unregister(self.release)
            with suppress(OSError, ArrowException):  # then it lapses
                self.storage.delete(LEASE)

    def _refuse_the_living(self) -> None:
        first, end = self._read(), time.monotonic() + LAPSE_SECONDS
        while first is not None and time.monotonic() < end:
            time.sleep(BEAT_SECONDS / 10)
            found = self._read()
            if found is None:  # it has just ended
                return
            if found != first:
                raise self._taken(found)

    def _beat(self) -> None:
        beats = 0
        while not self._over.wait(BEAT_SECONDS):
            beats += 1
            with suppress(OSError, ArrowException):  # the storage may be away for a while
                self._write(beats)

    def _write(self, beats: int) -> None:
        content = {
            "host": socket.gethostname(),
            "process": os.getpid(),
            "key": self.key,
            "beats": beats,
        }
        self.storage.put(LEASE, json.dumps(content).encode())

    def _read(self) -> str | None:
        content = self.storage.get(LEASE)
        return None if content is None else content.decode(errors="replace")

    def _taken(self, found: str) -> InputError:
        try:
            holder = json.loads(found)
            who = f"process {holder['process']} of {holder['host']}"
        except (ValueError, KeyError, TypeError):
            who = "another process"
        return InputError(
            f"--storage {self.storage.url}: another run is using it ({who}): wait for it, or give another"
        )
