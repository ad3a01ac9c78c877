"""A process that reads damaged files, so that a crash, a hang or memory hunger is a result.

Not a test itself. It is spawned once, and again after it died; what it answers is one of

    ("done", result), ("refused", the message of an InputError), ("raised", a traceback)
"""

import multiprocessing
import os
import resource
import signal
import traceback
import warnings
from pathlib import Path

DEADLINE = 5.0  # seconds of computing an input: those of a busy machine do not count
PATIENCE = 120.0  # seconds by the clock, after which it waits for something that does not come
MEMORY = 512 << 20  # bytes that an input may take on top of what the process held when it began


class Child:
    """Runs tasks (tests/fuzz/tasks.py) by name in another process that works in `folder`."""

    def __init__(self, folder):
        self.folder, self.process = folder, None

    def run(self, task, *arguments):
        """The answer. Raises AssertionError where the process died or went on for too long."""
        if self.process is None:
            self._start()
        self.pipe.send((task, arguments))
        if not self.pipe.poll(PATIENCE):
            self.stop()
            raise AssertionError(f"hang: {task} waited for {PATIENCE:g} s")
        try:
            return self.pipe.recv()
        except EOFError:
            self.process.join()
            code = self.process.exitcode
            self.stop()
            reason = (
                f"hang: more than {DEADLINE:g} s"
                if code == -signal.SIGPROF
                else f"crash: ended with {code}"
            )
            raise AssertionError(f"{task}: {reason}") from None

    def outcome(self, task, *arguments, path):
        """Like `run`; a refusal must be a printable line that names `path`, and nothing raises."""
        kind, content = self.run(task, *arguments)
        assert kind != "raised", content
        if kind == "refused":
            assert content.isprintable(), repr(content)
            assert str(path) in content, content
            assert len(content) < 700, content
        return kind, content

    def stop(self):
        """End the process; the next task starts another."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.pipe.close()
            self.process = None

    def _start(self):
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, str(self.folder)), daemon=True)
        self.process.start()
        other.close()
        assert self.pipe.poll(PATIENCE), "the process that reads did not start"
        self.pipe.recv()


def _serve(pipe, folder):
    from tests.fuzz.tasks import TASKS

    warnings.simplefilter("ignore")
    os.chdir(folder)
    held = Path("/proc/self/statm")
    if held.exists():
        limit = int(held.read_text().split()[0]) * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    pipe.send("ready")
    while True:
        try:
            task, arguments = pipe.recv()
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_PROF, DEADLINE)  # whose signal ends the process
        answer = _answer(TASKS[task], arguments)
        signal.setitimer(signal.ITIMER_PROF, 0)
        pipe.send(answer)


def _answer(task, arguments):
    from data_utils.errors import InputError

    try:
        return "done", task(*arguments)
    except InputError as error:
        return "refused", str(error)
    except BaseException:
        return "raised", traceback.format_exc()
