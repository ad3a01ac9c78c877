"""Running whole commands as a user would, and measuring their time and memory until they exit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: Seconds between measurements of the memory of a command's processes.
LOOK_SECONDS = 0.2
#: Seconds that an interrupted command gets to end by itself.
GRACE_SECONDS = 15.0

STUDY = (sys.executable, "run_study.py")


class CommandFailed(Exception):
    """Raised with a one-line reason for a command whose status is not 0."""


@dataclass
class ProcessMemory:
    """Peak memory of one process in bytes.

    Resident; proportional (shared pages are divided among their users); unique to the process.
    """

    command: str
    resident: int = 0
    proportional: int = 0
    unique: int = 0


@dataclass
class MemoryWatch:
    """Peak memory of a process and all its descendants, read from Linux's /proc."""

    processes: dict[int, ProcessMemory] = field(default_factory=dict)
    total: int = 0
    """Peak of the sum of the proportional sets: shared pages count once."""

    def look(self, root: int) -> None:
        """Update the peaks with the present memory of `root` and its descendants."""
        total = 0
        for pid in _family(root, set(self.processes)):
            try:
                now = _memory(pid)
                command = (
                    Path(f"/proc/{pid}/cmdline")
                    .read_text(errors="replace")
                    .replace("\0", " ")
                    .strip()
                )
            except OSError:  # the process has ended meanwhile
                continue
            peak = self.processes.setdefault(pid, ProcessMemory(command))
            peak.command = (
                command or peak.command
            )  # a Ray worker takes its name some time after its start
            peak.resident = max(peak.resident, now["Rss"])
            peak.proportional = max(peak.proportional, now["Pss"])
            peak.unique = max(peak.unique, now["Private_Clean"] + now["Private_Dirty"])
            total += now["Pss"]
        self.total = max(self.total, total)

    def largest_worker(self) -> ProcessMemory | None:
        """Return the Ray worker with the largest resident set; None if there was no worker."""
        workers = [
            process for process in self.processes.values() if process.command.startswith("ray::")
        ]
        return max(workers, key=lambda process: process.resident, default=None)


@dataclass(frozen=True)
class Ended:
    """A command that ended with status 0."""

    started: float
    """Seconds since 1970."""
    seconds: float
    """From launch to exit."""


def run(words: Sequence[str], watch: MemoryWatch | None = None) -> Ended:
    """Run a command in the project's folder to its end; show its output only if it fails.

    Raises CommandFailed. On Ctrl-C the command and its processes are ended first.
    """
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    environment.pop("OMP_NUM_THREADS", None)  # each command sets its own number of threads
    with tempfile.TemporaryFile() as said:
        started, clock = time.time(), time.perf_counter()
        process = subprocess.Popen(
            words,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        try:
            while watch is not None and process.poll() is None:
                watch.look(process.pid)
                time.sleep(LOOK_SECONDS)
            status = process.wait()
        finally:
            _end(process)
        seconds = time.perf_counter() - clock
        if status != 0:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
            raise CommandFailed(f"ended with status {status}: {lines[-1].strip()[:200]}")
    return Ended(started, seconds)


def _end(process: subprocess.Popen) -> None:
    """Terminate a process, and kill its group after GRACE_SECONDS; do nothing if it has ended."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _family(root: int, known: set[int]) -> set[int]:
    """Return `root`, its descendants and those `known` processes that are still alive.

    A known process is no longer a descendant of `root` once its parent has ended.
    """
    parents = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                stat = Path(entry.path, "stat").read_text(errors="replace")
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    family = {pid for pid in (root, *known) if pid in parents}
    children = family
    while children:
        children = {pid for pid, parent in parents.items() if parent in family} - family
        family |= children
    return family


def _memory(pid: int) -> dict[str, int]:
    """Return a process's memory in bytes, by the names in /proc/PID/smaps_rollup."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {
        name: 1024 * int(value.split()[0])
        for name, _, value in (line.partition(":") for line in lines)
    }
