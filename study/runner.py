"""Packs on Ray Tune: the cluster, its resources, one trial a pack, interruption. Only this and trainable import ray."""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Interruption below handles SIGINT and SIGTERM
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # the run folder has its own tables and logs

import ray
from ray import tune

from data_utils.errors import InputError
from study.interruption import Interruption
from study.options import StudyOptions
from study.packs import Pack
from study.progress import ProgressLine
from study.results import RunFolder
from study.trainable import train_pack

if TYPE_CHECKING:
    from study.study import Study

#: Times a pack is tried again after its worker died or raised.
RETRIES = 2
#: Seconds that interrupted workers get to save their state.
GRACE_SECONDS = 6.0
#: Seconds to wait for a cluster to answer.
ADDRESS_SECONDS = 25.0


@contextmanager
def cluster(address: str | None, workers: int | None, data_bytes: int) -> Iterator[dict[str, float]]:
    """A Ray cluster of this machine alone, with room for the data, or the one at `address`; yields its resources.

    Raises InputError where no cluster answers at `address`.
    """
    if address is not None:
        check_address(address)
    options = {"logging_level": logging.ERROR, "log_to_driver": False, "include_dashboard": False}
    if address is None:
        options["num_cpus"] = workers or len(os.sched_getaffinity(0))
        options["object_store_memory"] = max(1 << 29, 2 * data_bytes)
    else:
        options = {"address": address, **{k: v for k, v in options.items() if k != "include_dashboard"}}
    try:
        try:
            ray.init(**options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            if address is None:
                raise
            raise _no_cluster(address, str(error)) from None
        yield ray.cluster_resources()
    finally:
        ray.shutdown()


def check_address(address: str) -> None:
    """Raise InputError within half a minute when no Ray cluster answers at host:port (or "auto")."""
    if address == "auto":
        return  # ray.init knows at once whether this machine belongs to a cluster
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"--address {address}: give host:port of the cluster's head, or auto")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
        health = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", f"{host}:{port}"]
        subprocess.run(health, check=True, capture_output=True, timeout=ADDRESS_SECONDS - 10)
    except (OSError, OverflowError, UnicodeError, subprocess.SubprocessError) as error:
        raise _no_cluster(address, str(error)) from None


def _no_cluster(address: str, reason: str) -> InputError:
    first_line = reason.strip().splitlines()[0][:120] if reason.strip() else "no answer"
    return InputError(
        f"--address {address}: no Ray cluster answers ({first_line}): start one with `ray up cluster.yaml`, "
        "or leave --address out to use this machine"
    )


def worker_count(resources: dict[str, float], gpus_per_pack: float) -> int:
    """How many packs can train at once. Raises InputError where GPUs are asked for and there are none."""
    cpus = int(resources.get("CPU", 0))
    if gpus_per_pack == 0:
        return max(1, cpus)
    gpus = resources.get("GPU", 0)
    if gpus < gpus_per_pack:
        raise InputError(
            f"--gpus-per-pack {gpus_per_pack:g}: the cluster has {gpus:g} GPUs: use --device cpu or a smaller share"
        )
    return max(1, min(cpus, math.floor(gpus / gpus_per_pack + 1e-9)))


def run_packs(study: Study, packs: list[Pack], gpus_per_pack: float, watch: Watch) -> None:
    """One trial a pack, until all have ended or the study is interrupted."""
    folder = study.folder
    trainable = tune.with_parameters(
        train_pack,
        packs=packs,
        data=study.data,
        folder=str(folder.path),
        device=study.device,
        checkpoint_seconds=study.options.checkpoint_seconds,
    )
    run_config = tune.RunConfig(
        name="tune",
        storage_path=str(folder.path),
        verbose=0,
        callbacks=[watch],
        failure_config=tune.FailureConfig(max_failures=RETRIES),
    )
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1, "gpu": gpus_per_pack}),
        param_space={"pack": tune.grid_search(list(range(len(packs))))},
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=run_config,
    )
    with stopping(folder, watch):
        tuner.fit()
    shutil.rmtree(folder.path / "tune", ignore_errors=True)


@contextmanager
def stopping(folder: RunFolder, watch: Watch) -> Iterator[None]:
    """On a signal the workers are asked to save and return; when they have, or after a while, Tune ends."""

    def end_tune() -> None:
        timer.cancel()
        os.kill(os.getpid(), signal.SIGUSR1)  # Tune's own way to be asked to stop

    def begin() -> None:
        folder.request_stop(True)
        timer.start()

    timer = threading.Timer(GRACE_SECONDS, end_tune)
    timer.daemon = True
    watch.end_tune = end_tune
    folder.request_stop(False)
    watch.interruption.on_signal = begin
    try:
        yield
    finally:
        timer.cancel()
        watch.interruption.on_signal = lambda: None
        folder.request_stop(False)


class Watch(tune.Callback):
    """Follows the trials: progress, and what failed."""

    def __init__(self, packs: list[Pack], line: ProgressLine, interruption: Interruption):
        self.packs, self.line, self.interruption = packs, line, interruption
        self.errors: dict[str, str] = {}
        self.end_tune: Callable[[], None] = lambda: None

    def __getstate__(self) -> dict:
        """Tune pickles its callbacks into its own snapshot, which is not used; a screen cannot be pickled."""
        return {}

    def on_trial_result(self, iteration, trials, trial, result, **info):
        pack = self.packs[trial.config["pack"]]
        if "best_mse" in result:
            self.line.update(pack.pack_id, result)
        elif result.get("ended"):
            self.line.pack_done(pack.pack_id)

    def on_trial_complete(self, iteration, trials, trial, **info):
        running = [other for other in trials if other.status == "RUNNING" and other is not trial]
        if self.interruption and not running:
            self.end_tune()

    def on_trial_error(self, iteration, trials, trial, **info):
        # The driver's own file: `trial.get_error()` reads its copy in the storage, which comes only some time later.
        path = Path(trial.error_file) if trial.error_file else None
        lines = path.read_text(errors="replace").strip().splitlines() if path and path.exists() else []
        self.errors[self.packs[trial.config["pack"]].pack_id] = lines[-1].strip() if lines else "its worker died"


@contextmanager
def ray_executor(study: Study) -> Iterator[Callable[[Interruption], None]]:
    """Starts or joins a cluster; yields what trains the study's unfinished packs on it.

    Raises InputError where no cluster answers, or has no GPU where one was asked for.
    """
    options = study.options
    with chatter_to(study.folder.log_file), cluster(options.address, options.workers, study.data.nbytes) as resources:
        study.device, gpus_per_pack = place(options, study.device, resources)
        workers = worker_count(resources, gpus_per_pack)
        yield lambda interruption: train_packs(study, workers, gpus_per_pack, interruption)


def train_packs(study: Study, workers: int, gpus_per_pack: float, interruption: Interruption) -> None:
    """Train the study's unfinished packs on the cluster that is there."""
    packs = study.unfinished(workers)
    interruption.take_over()
    if interruption:  # while the cluster was starting
        return
    with study.progress(packs) as line:
        watch = Watch(packs, line, interruption)
        run_packs(study, packs, gpus_per_pack, watch)
    for pack in packs:
        if pack.pack_id in watch.errors:
            study.fail(pack, watch.errors[pack.pack_id])


def place(options: StudyOptions, device: str, resources: dict[str, float]) -> tuple[str, float]:
    """Device of the packs and the share of a GPU that each takes."""
    if device == "auto":
        device = "cuda" if resources.get("GPU", 0) > 0 else "cpu"
    if device == "cpu":
        if options.gpus_per_pack:
            raise InputError(f"--gpus-per-pack {options.gpus_per_pack:g}: the packs run on the CPU: leave it out")
        return device, 0.0
    return device, 1.0 if options.gpus_per_pack is None else options.gpus_per_pack


@contextmanager
def chatter_to(log: Path) -> Iterator[None]:
    """What Ray and its processes print goes to a log file; the study's own lines keep the screen."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    with tempfile.TemporaryFile() as file:  # the run folder is made only when the cluster is there
        try:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, original in zip((1, 2), saved, strict=True):
                os.dup2(original, number)
                os.close(original)
            file.seek(0)
            if log.parent.exists():
                with open(log, "ab") as kept:
                    shutil.copyfileobj(file, kept)
