"""Random faults over smoke runs in a row: `python -m tests.faults.soak --faults 200 --seed 0`.

Each run meets one fault (its workers, several), continues by itself or with the command that it
prints, and must then have the tables of the unbroken run, number for number; packs that had ended
must be as they were, and no process may be left. Prints survived / injected by kind. Ends with 1 if
a fault was not survived. Not a test itself.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import run_study
from tests.processes import alive, descendants, training_workers
from tests.small import ROOT, assert_same_tables, expression_file, flipped, models

STUDY = ["--grid", "smoke", "--depths", "2", "4", "--noise", "0.1", "0.5", "--betas", "0", "0.001"]
STUDY += ["--epochs", "120", "--pack", "2", "--checkpoint-seconds", "0.1", "--no-report"]
N_MEMBERS = 8
#: Kind of a fault: whether it is tried without Ray, and with.
KINDS = {
    "worker killed": (False, True),
    "driver killed": (True, True),
    "Ray killed": (False, True),
    "SIGINT": (True, True),
    "SIGTERM": (True, True),
    "file damaged": (True, True),
    "folder away": (True, True),
}
#: Seconds in which a run must end after SIGINT or SIGTERM, and processes after a driver's death.
GRACE = 10.0
#: The same where the driver was killed while Ray began: its agents look for a server for a minute.
LONG_GRACE = 75.0
#: Seconds for a run that nothing hinders.
LIMIT = 600.0


def _child(words: list[str], log: str) -> None:
    os.setsid()
    number = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(number, 1)
    os.dup2(number, 2)
    sys.argv = ["run_study.py", *words]
    sys.exit(run_study.main(words))


class Forked:
    """Like subprocess.Popen, but of a process that has loaded torch already, which is quicker."""

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["study.study", "study.run.worker"])

    def __init__(self, words: list[str], log: str):
        self.process = self.context.Process(target=_child, args=(words, log), daemon=True)
        self.process.start()
        self.pid, self.kill = self.process.pid, self.process.kill

    def poll(self) -> int | None:
        """The exit status, negative after a signal; None while it runs."""
        return self.process.exitcode

    def wait(self) -> int | None:
        """Wait for the end; the exit status."""
        self.process.join()
        return self.process.exitcode


class Run:
    """One run in a process of its own, and all processes that it was seen to have."""

    def __init__(self, data: Path, out: Path, *further: str):
        self.words = [*STUDY, "--data", str(data), "--out", str(out), *further]
        self.out, self.seen = out, set()
        self.log = out.with_name(f"{out.name}.said")
        self.log.write_text("")
        if "--local" in further:
            self.process = Forked(self.words, str(self.log))
        else:
            command = [sys.executable, "run_study.py", *self.words]
            with open(self.log, "a") as log:
                self.process = subprocess.Popen(
                    command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
                )

    def look(self) -> bool:
        """Note its processes; whether it still runs."""
        self.seen |= set(descendants(self.process.pid))
        return self.process.poll() is None

    def wait(self, seconds: float = LIMIT) -> int:
        """Its exit status."""
        end = time.monotonic() + seconds
        while self.look():
            assert time.monotonic() < end, f"it has not ended within {seconds:.0f} s"
            time.sleep(0.1)
        return self.process.poll()

    def until(self, pattern: str, seconds: float) -> bool:
        """Wait until its folder has such a file, and then the seconds; False if it ends before."""
        while not list(self.out.glob(pattern)):
            if not self.look():
                return False
            time.sleep(0.02)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not self.look():
                return False
            time.sleep(min(0.1, max(0.0, end - time.monotonic())))
        return True

    def said(self) -> str:
        """All that it printed."""
        return self.log.read_text(errors="replace")

    def end(self, grace: float = GRACE) -> set[int]:
        """Kill what is left of it; returns the processes that were, after some seconds."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        end = time.monotonic() + grace
        while alive(self.seen) and time.monotonic() < end:
            time.sleep(0.1)
        left = alive(self.seen)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        return left


class Soak:
    """Injects faults; `injected` and `survived` count them by kind, `failures` has the others."""

    def __init__(self, folder: Path, seed: int, say=print):
        self.folder, self.random, self.say = folder, random.Random(seed), say
        self.data = expression_file(folder, n_samples=300, n_genes=200)
        self.injected: Counter[str] = Counter()
        self.survived: Counter[str] = Counter()
        self.failures: list[str] = []
        self.slowest_end = 0.0
        self.unbroken = folder / "unbroken"
        run = Run(self.data, self.unbroken, "--local")
        assert run.until("config.json", 0), run.said()
        started = time.monotonic()
        status = run.wait()
        assert status == 0, run.said()
        self.seconds = time.monotonic() - started
        run.end()

    def fault(self, kind: str, ray: bool) -> None:
        """One run with a fault of this kind, and what comes after it."""
        out = self.folder / "run"
        for name in ("run", "away"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        run = Run(self.data, out, *(["--workers", "2"] if ray else ["--local"]))
        before = self.injected[kind]
        try:
            self._inject(kind, run)
            if self.injected[kind] == before:
                self.say(f"{kind}: the run had ended before")
                return
            self._finish(kind, run)
            self.survived[kind] += self.injected[kind] - before
        except (AssertionError, OSError) as error:
            log = out / "log.txt"
            tail = log.read_text(errors="replace")[-3000:] if log.exists() else ""
            self.failures.append(
                f"{kind}{' (Ray)' if ray else ''}: {error}\n{run.said()[-2000:]}\n{tail}"
            )
            self.say(f"NOT SURVIVED {self.failures[-1]}")
        finally:
            run.end()
        self.say(self.line())

    def _inject(self, kind: str, run: Run) -> None:
        """At a random time of the training (and with luck one that hits the writing of a file)."""
        if kind == "worker killed":
            self._kill_workers(run)
            return
        pattern = self.random.choice(
            ["config.json", "checkpoints/[!.]*.safetensors", "parts/*.members.parquet"]
        )
        if not run.until(pattern, self.random.uniform(0, 0.4 * self.seconds)):
            return
        if kind == "Ray killed":
            victims = [pid for pid, line in descendants(run.process.pid).items() if "ray" in line]
            self.random.shuffle(victims)
            self._send(kind, victims, signal.SIGKILL)
        elif kind == "folder away":
            away = run.out.with_name("away")
            os.replace(run.out, away)
            self.injected[kind] += 1
            time.sleep(self.random.uniform(0.5, 5))
            assert not run.out.exists(), "the run made another folder in its place"
            os.replace(away, run.out)
        else:
            number = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM}.get(kind, signal.SIGKILL)
            self._send(kind, [run.process.pid], number)

    def _send(self, kind: str, pids: list[int], number: int) -> None:
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        self.injected[kind] += bool(pids)

    def _kill_workers(self, run: Run) -> None:
        """Up to five of them, one after the other, at random times."""
        kills = self.random.randint(1, 5)
        while kills and run.until("config.json", self.random.uniform(0.05, 1.0)):
            workers = training_workers(run.process.pid)
            if workers:
                self._send("worker killed", [self.random.choice(workers)], signal.SIGKILL)
                kills -= 1

    def _finish(self, kind: str, run: Run) -> None:
        started = time.monotonic()
        status = run.wait()
        took = time.monotonic() - started
        expected = {"worker killed": {0}, "SIGINT": {130}, "SIGTERM": {143}, "folder away": {0, 1}}
        expected |= {"driver killed": {-9}, "file damaged": {-9}}
        said = run.said()
        if kind in expected:
            assert status in expected[kind] | ({0} if "results:" in said else set()), (
                f"exit status {status}"
            )
        if kind in ("SIGINT", "SIGTERM"):
            self.slowest_end = max(self.slowest_end, took)
            assert status == 0 or "continue with: " in said, "no command to continue with"
        left = run.end(LONG_GRACE if kind in ("driver killed", "file damaged") else GRACE)
        assert not left, f"{len(left)} processes left"
        if status != 0:
            self._resume(kind, run.out)
        assert_same_tables(run.out, self.unbroken)
        assert models(run.out) == models(self.unbroken), "the networks differ"
        assert len(models(run.out)) == N_MEMBERS
        left = [path.name for path in (run.out / "checkpoints").iterdir()]
        assert left == [], f"left in checkpoints: {left}"

    def _resume(self, kind: str, out: Path) -> None:
        if not (out / "config.json").exists():  # killed before the run had begun
            again = Run(self.data, out, "--local", "--fresh")
        else:
            if kind == "file damaged":
                self._damage(out)
            before = {path: path.stat().st_mtime_ns for path in out.glob("parts/*")}
            again = Run(self.data, out, "--local", "--resume")
        try:
            assert again.wait() == 0, f"--resume failed: {again.said()}"
        finally:
            again.end()
        if kind != "file damaged" and "--fresh" not in again.words:
            ended = {
                path
                for path in before
                if path.with_name(f"{path.name.split('.')[0]}.members.parquet") in before
            }
            assert all(path.stat().st_mtime_ns == before[path] for path in ended), (
                "a finished pack was written again"
            )

    def _damage(self, out: Path) -> None:
        """Flip one bit of a file or cut off its end, among those that `--resume` relies on."""
        files = [
            path
            for name in ("parts", "models", "checkpoints")
            for path in sorted((out / name).iterdir())
        ]
        files = [path for path in files if path.name != "scaling.json" and path.stat().st_size]
        if files:
            path = self.random.choice(files)
            if self.random.random() < 0.5:
                flipped(path, self.random.random(), self.random.randrange(8))
            else:
                path.write_bytes(path.read_bytes()[: self.random.randrange(path.stat().st_size)])

    def line(self) -> str:
        """Survived / injected, in all and by kind."""
        kinds = ", ".join(f"{kind} {self.survived[kind]}/{n}" for kind, n in self.injected.items())
        return f"survived {self.survived.total()} / {self.injected.total()} injected ({kinds})"

    def run(self, n_faults: int, ways: list[tuple[str, bool]]) -> None:
        """Faults of these kinds (with Ray or not), at random, until there are so many."""
        while self.injected.total() < n_faults:
            self.fault(*self.random.choice(ways))


def main() -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faults", type=int, default=200, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--local", action="store_true", help="only what is tried without Ray")
    options = parser.parse_args()
    ways = [(kind, ray) for kind in options.kinds for ray in (False, True) if KINDS[kind][ray]]
    ways = [(kind, ray) for kind, ray in ways if not (ray and options.local)]
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        soak = Soak(Path(folder), options.seed, say=lambda text: print(text, flush=True))
        soak.run(options.faults, ways)
    print(
        f"\n{soak.line()}; seed {options.seed}; "
        f"at most {soak.slowest_end:.1f} s from a signal to the end"
    )
    return 1 if soak.failures else 0


if __name__ == "__main__":
    sys.exit(main())
