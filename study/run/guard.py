"""What becomes of a run whose own Ray dies: it ends at once and says why, instead of waiting for what cannot come back.

Left alone, Ray's driver waits a minute for a server that died, deaf to every signal, and then ends without a word;
and where it is the driver that is killed, some of Ray's processes wait a minute for each other.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray._private.node import Node

#: Seconds between looks.
LOOK_SECONDS = 0.5
#: For a process that only waits for the end of this one.
QUIET = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
#: Of Ray's processes, those without which nothing goes on, and which it does not start again.
SERVERS = ("gcs_server", "raylet")


@contextmanager
def guarded(node: Node, last_words: Callable[[str], None]) -> Iterator[None]:
    """Meanwhile: when a server of `node` has died, `last_words` is told which, and this process ends with status 1.

    With it end all its descendants; so do Ray's where this process is killed.
    """
    over, first = threading.Event(), descendants()
    pids = " ".join(str(pid) for pid, _ in first)
    # It reads until this process is gone, and then gives Ray's own reaper, which ends most of them, its time.
    heir = subprocess.Popen(
        ["sh", "-c", f"read _; sleep 2; kill -9 {pids}"], **QUIET, start_new_session=True
    )

    def watch() -> None:
        while not over.wait(LOOK_SECONDS):
            died = dead_server(node)
            if died and not over.is_set():
                with suppress(Exception):  # whatever it is, the end comes
                    last_words(f"Ray's {died} has died")
                kill(first | descendants())  # those of a dead raylet are nobody's by now
                os._exit(1)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        heir.kill()
        heir.communicate()


def dead_server(node: Node) -> str:
    """Its name, or nothing."""
    for name in SERVERS:
        if any(info.process.poll() is not None for info in node.all_processes.get(name, ())):
            return name
    return ""


def descendants() -> set[tuple[int, int]]:
    """This process' own and theirs: (process id, time at which it began); nothing where there is no /proc."""
    began, children = {}, defaultdict(list)
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent, began[int(entry.name)] = _stat(entry)
            children[parent].append(int(entry.name))
    found, new = set(), children[os.getpid()]
    while new:
        found.update(new)
        new = [child for pid in new for child in children[pid]]
    return {(pid, began[pid]) for pid in found}


def kill(processes: set[tuple[int, int]]) -> None:
    """End those of the processes that are still there."""
    for pid, began in processes:
        with suppress(OSError):
            if _stat(Path(f"/proc/{pid}"))[1] == began:
                os.kill(pid, signal.SIGKILL)


def _stat(entry: Path) -> tuple[int, int]:
    words = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
    return int(words[1]), int(words[19])  # the fields 4 and 22 of proc(5)
