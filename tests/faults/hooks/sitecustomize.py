"""Faults that a process brings on itself, in every process of a run: put this folder on PYTHONPATH.

FAULT_ROOM_MB: when a pack begins, a process gets this much more memory than it has, and no more.
FAULT_KILL_PACKS_OF: a process about to train so many networks or more is killed, as by the kernel.
FAULT_CLOCK: from its first training on, the wall clock is off by these seconds, back and forth.
"""

import contextlib
import importlib.abc
import importlib.machinery
import os
import resource
import signal
import sys
import time

ROOM, KILL, CLOCK = (
    os.environ.get(f"FAULT_{name}") for name in ("ROOM_MB", "KILL_PACKS_OF", "CLOCK")
)


@contextlib.contextmanager
def limited():
    """Allocations beyond FAULT_ROOM_MB really fail in here."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    if ROOM:
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[0])
        resource.setrlimit(
            resource.RLIMIT_AS, (pages * resource.getpagesize() + (int(ROOM) << 20), before[1])
        )
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def begin(n_members):
    """Before a pack's first batch."""
    if KILL and n_members >= int(KILL):
        os.kill(os.getpid(), signal.SIGKILL)
    if CLOCK and time.time.__name__ == "time":
        real, jumps = time.time, [0]

        def jumping():
            jumps[0] += 1
            return real() + float(CLOCK) * (-1) ** (jumps[0] // 5)

        time.time = jumping


class Finder(importlib.abc.MetaPathFinder):
    """Changes study.training as it is loaded."""

    def find_spec(self, name, path, target=None):
        if name != "models.training":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            original = module.PackTraining.__init__

            def changed(self, members, *rest, **further):
                begin(len(members))
                with limited():
                    original(self, members, *rest, **further)

            module.PackTraining.__init__ = changed

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, Finder())
