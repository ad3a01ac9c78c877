"""The Ray cluster: a small one of this machine's own, started in the background, or one that is there already."""

from __future__ import annotations

import logging
import math
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault(
    "RAY_enable_metrics_collection", "0"
)  # there is no dashboard that would show them
os.environ.setdefault(
    "RAY_prestart_worker_first_driver", "0"
)  # Tune's workers have an environment of their own
os.environ.setdefault(
    "TUNE_DISABLE_SIGINT_HANDLER", "1"
)  # study.interruption handles SIGINT and SIGTERM
os.environ.setdefault(
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1"
)  # the run folder has its own tables and logs

import ray
from ray._private import ray_constants
from ray._raylet import AuthenticationTokenLoader, Config
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from data_utils.errors import InputError
from study.options import StudyOptions
from study.run.guard import guarded
from study.run.storage import mark, seen

if TYPE_CHECKING:
    from study.study import Study

# Processes of which a cluster of this machine alone has no use: autoscaler, dashboard and a reader of logs. `ray.init`
# has no option for the first and the last, and starts the second without its pages. They take 2 CPU seconds of a start.
for _name in ("start_monitor", "start_api_server", "start_log_monitor"):
    setattr(ray._private.node.Node, _name, lambda *args, **options: None)

#: What tells Ray whether a token is asked for, and where it is.
ACCESS = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
#: Times that Ray is started here: it gives up after 30 s, which cannot be set and are too few on a very busy machine.
START_TRIES = 3
#: Seconds to wait for a cluster to answer, and for each of its nodes.
ADDRESS_SECONDS, NODE_SECONDS = 25.0, 60.0


@contextmanager
def cluster_of(study: Study) -> Iterator[Callable[[], tuple[int, float]]]:
    """Starts or joins the study's cluster; yields what waits for it and returns workers and share of a GPU for each.

    Raises InputError where no cluster answers, or has no GPU where one was asked for.
    """
    options = study.options

    def last_words(reason: str) -> None:
        study.console.show_cursor()
        study.say(f"{reason}, and the run ends with it: what had ended is kept")
        study.say(f"go on with: {options.resume_command}")
        keep()

    with (
        chatter_to(study.folder.log_file) as keep,
        cluster(options.address, options.workers, last_words) as ready,
    ):
        # On the CPUs of this machine nothing is wanting; what a cluster lacks is told before anything is written.
        known = {} if options.address is None and study.device == "cpu" else ready()
        if options.address is not None:
            check_nodes(options)
        study.device, gpus_per_pack = place(options, study.device, known)
        worker_count(known, gpus_per_pack)
        yield lambda: (worker_count(ready(), gpus_per_pack), gpus_per_pack)


@contextmanager
def cluster(
    address: str | None,
    workers: int | None,
    last_words: Callable[[str], None] = lambda reason: None,
) -> Iterator[Callable[[], dict[str, float]]]:
    """A Ray cluster of this machine alone, or the one at `address`.

    It starts in a thread, since that takes seconds in which there is other work; the function it yields waits for it
    and returns its resources, or raises InputError where no cluster answers at `address`. Where this machine's own
    dies, the process ends after its `last_words` (see study/run/guard.py).
    """
    if address is not None:
        check_address(address)
    options = {"logging_level": logging.ERROR, "log_to_driver": False, "include_dashboard": False}
    if address is None:
        options["num_cpus"] = workers or len(os.sched_getaffinity(0))
    else:
        options = {
            "address": address,
            **{k: v for k, v in options.items() if k != "include_dashboard"},
        }
    with (
        nullcontext() if address else closed() as token,
        ExitStack() as watch,
        ThreadPoolExecutor(1) as thread,
    ):

        def ended(reason: str) -> None:
            last_words(reason)
            shutil.rmtree(token.parent)

        def start() -> dict[str, float]:
            resources = _start(options)
            if token is not None:
                watch.enter_context(guarded(ray._private.worker._global_node, ended))
            return resources

        started = thread.submit(start)
        try:
            yield started.result
        finally:
            started.exception()  # Ray can be shut down only once it is up
            watch.close()
            ray.shutdown()


def check_nodes(options: StudyOptions) -> None:
    """Raise InputError where a node of the cluster does not see what is written to the run folder, or the storage."""
    with mark(options) as there:
        asked = {}
        for node in ray.nodes():
            if node["Alive"]:
                place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                task = ray.remote(seen).options(num_cpus=0, scheduling_strategy=place)
                asked[node["NodeManagerAddress"]] = task.remote(*there)
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=NODE_SECONDS)
        found = {name: _answer(task) for name, task in asked.items()}
    blind = [f"{name} ({reason})" for name, reason in found.items() if reason]
    if blind and options.storage is None:
        raise InputError(
            f"{options.folder}: is not one folder for the whole cluster: not seen by {', '.join(blind)}: "
            "give an --out that all nodes share, or --storage s3://BUCKET/PATH"
        )
    if blind:
        raise InputError(
            f"--storage {options.storage}: cannot be read by {', '.join(blind)}: give the nodes the credentials, or "
            "a storage that all of them reach"
        )


def _answer(task: ray.ObjectRef) -> str:
    try:
        return ray.get(task, timeout=0.1)
    except ray.exceptions.RayError as error:
        return f"no answer: {type(error).__name__}"


@contextmanager
def closed() -> Iterator[Path]:
    """Whatever Ray starts meanwhile listens on loopback alone, and wants a token that is made for this run.

    The token is in a file of mode 600, which goes with the run; it is in no log, argument or run folder. Yields the
    file's path.
    """
    saved = {
        name: os.environ.pop(name, None) for name in ACCESS
    }  # without a mode, ray.init asks for a token
    everywhere, ray_constants.ENABLE_RAY_CLUSTER = (
        ray_constants.ENABLE_RAY_CLUSTER,
        False,
    )  # read at import elsewhere
    try:
        with tempfile.TemporaryDirectory(prefix="dae-study-") as folder:
            path = Path(folder) / "token"
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(32))
            os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)
            AuthenticationTokenLoader.instance().reset_cache()
            yield path
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = everywhere
        for name, value in saved.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        Config.initialize("")  # Ray keeps what it read
        AuthenticationTokenLoader.instance().reset_cache()


def _start(options: dict) -> dict[str, float]:
    address = options.get("address")
    for tries_left in reversed(range(START_TRIES)):
        try:
            ray.init(**{"address": "local", **options})  # whatever RAY_ADDRESS says
            break
        except (ConnectionError, RuntimeError, ValueError) as error:
            if address is None:
                raise
            raise _no_cluster(address, str(error)) from None
        except Exception as error:  # Ray has no class of its own for it
            if "timed out during startup" not in str(error) or not tries_left:
                raise
    return ray.cluster_resources()


def check_address(address: str) -> None:
    """Raise InputError within half a minute when no Ray cluster answers at host:port (or "auto")."""
    if address == "auto":
        return  # ray.init knows at once whether this machine belongs to a cluster
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"--address {address}: give host:port of the cluster's head, or auto")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
        health = [
            sys.executable,
            "-m",
            "ray.scripts.scripts",
            "health-check",
            "--address",
            f"{host}:{port}",
        ]
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


def place(options: StudyOptions, device: str, resources: dict[str, float]) -> tuple[str, float]:
    """Device of the packs and the share of a GPU that each takes."""
    if device == "auto":
        device = "cuda" if resources.get("GPU", 0) > 0 else "cpu"
    if device == "cpu":
        if options.gpus_per_pack:
            raise InputError(
                f"--gpus-per-pack {options.gpus_per_pack:g}: the packs run on the CPU: leave it out"
            )
        return device, 0.0
    return device, 1.0 if options.gpus_per_pack is None else options.gpus_per_pack


@contextmanager
def chatter_to(log: Path) -> Iterator[Callable[[], None]]:
    """What Ray and its processes print goes to a log file, at the end or when what is yielded is called.

    The study's own lines keep the screen.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    with tempfile.TemporaryFile() as file:  # the run folder is made only when the cluster is there

        def keep() -> None:
            file.seek(0)
            with suppress(OSError), open(log, "ab") as kept:  # no folder, or a full disk
                shutil.copyfileobj(file, kept)

        try:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            yield keep
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, original in zip((1, 2), saved, strict=True):
                os.dup2(original, number)
                os.close(original)
            keep()
