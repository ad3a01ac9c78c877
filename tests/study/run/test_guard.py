"""What becomes of a process whose servers die. Processes that sleep stand for Ray's."""

import os
import subprocess
import sys
import time

import pytest

from tests.processes import alive
from tests.small import ROOT

#: A server with a child of its own, which outlives it; `{act}` is what happens while they are guarded.
PROGRAM = """
import os, subprocess, sys, time
from types import SimpleNamespace
from study.run.guard import guarded

pipes = {{"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}}
server = subprocess.Popen(["bash", "-c", "sleep 600 & echo $!; wait"], start_new_session=True, **pipes)
print(server.pid, int(server.stdout.readline()), flush=True)
node = SimpleNamespace(all_processes={{"{name}": [SimpleNamespace(process=server)]}})
with guarded(node, lambda reason: print(reason, flush=True)):
    {act}
print("went on", flush=True)
{after}
time.sleep(1.2)
"""


def run(name="raylet", act="pass", after="server.kill()", wait=10.0):
    """The exit status and the lines of the program, and which of its processes are left, which are then ended."""
    code = PROGRAM.format(name=name, act=act, after=after)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    first, *lines = done.stdout.splitlines()
    pids, end = [int(pid) for pid in first.split()], time.monotonic() + wait
    while alive(pids) and time.monotonic() < end:
        time.sleep(0.1)
    left = alive(pids)
    for pid in left:
        os.kill(pid, 9)
    return done.returncode, lines, [pids.index(pid) for pid in left]


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
@pytest.mark.parametrize("name", ["gcs_server", "raylet"])
def test_with_a_server_the_process_ends_and_all_that_it_began(name):
    """In the middle of a call that never ends, too; the server's child is then nobody's."""
    assert run(name, "server.kill(); time.sleep(60)") == (1, [f"Ray's {name} has died"], [])


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_where_the_process_itself_is_killed_nothing_is_left():
    assert run(act="os.kill(os.getpid(), 9)") == (-9, [], [])


def test_another_process_may_die():
    assert run("log_monitor", "server.kill(); time.sleep(1.2)", wait=0)[:2] == (0, ["went on"])


def test_afterwards_nothing_is_guarded():
    assert run(wait=0)[:2] == (0, ["went on"])


def test_last_words_that_cannot_be_said_do_not_keep_it_from_ending():
    assert run("raylet", "sys.stdout.close(); server.kill(); time.sleep(60)") == (1, [], [])
