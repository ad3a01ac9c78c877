"""A run's processes, seen from outside: what belongs to it, and what still runs (no test)."""

import time
from pathlib import Path


def descendants(pid):
    """{pid: command line} of all processes below one; others' Ray on this machine is not ours."""
    parents, lines = {}, {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                after_name = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                parents[int(entry.name)] = int(after_name[1])
                lines[int(entry.name)] = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return {child: lines.get(child, "") for child in found - {pid}}


def training_workers(pid):
    """The processes below one in which Ray trains packs."""
    return [
        child for child, line in descendants(pid).items() if line.startswith("ray::ImplicitFunc")
    ]


def alive(pids):
    """Those that have not ended; a zombie has."""
    found = set()
    for pid in pids:
        try:
            if (
                Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
                != "Z"
            ):
                found.add(pid)
        except OSError:
            continue
    return found


def wait_for(condition, seconds=120):
    """What the condition gives, once that is true; AssertionError after a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {condition.__doc__}")
