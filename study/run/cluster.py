"""The Ray cluster: either started in the background on this machine, or an existing one."""

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
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from pyarrow import ArrowException
from rich.console import Console

from data_utils.errors import InputError
from study.options import StudyOptions
from study.run.attempts import say
from study.run.jobs import Executor
from study.run.storage import Storage, one_line

#: Tries at starting Ray, which gives up after 30 s: too early on a very busy machine.
START_TRIES = 3
#: Seconds to wait for a cluster to answer, and for each of its nodes.
ADDRESS_SECONDS, NODE_SECONDS = 15.0, 60.0
#: Seconds between checks whether Ray's servers still listen, and refusals in a row after which a
#: server counts as dead: a loaded machine may refuse once by accident.
LOOK_SECONDS, REFUSALS = 0.5, 3


@contextmanager
def ray_executor(
    options: StudyOptions, device: str, log: Path, console: Console
) -> Iterator[Executor]:
    """Start or join the run's cluster and yield the executor that runs jobs on it.

    Raises InputError if no cluster answers, or has no GPU although one was requested.
    """

    def last_words(reason: str) -> None:
        console.show_cursor()
        say(console, f"{reason}, and the run ends with it: what had ended is kept")
        say(console, f"continue with: {options.resume_command}")
        keep()

    with chatter_to(log) as keep, cluster(options.address, options.workers, last_words) as ready:
        from study.run.tune import TuneExecutor  # takes a while, as the start of Ray does

        # A local CPU run always has what it needs; for others, wait for the cluster, so that a lack
        # of resources is reported before anything is written.
        known = {} if options.address is None and device == "cpu" else ready()
        if options.address is not None:
            check_nodes(options)
        device, gpus = place(options, device, known)
        worker_count(known, gpus)
        yield TuneExecutor(device, gpus, lambda: worker_count(ready(), gpus))


@contextmanager
def cluster(
    address: str | None,
    workers: int | None,
    last_words: Callable[[str], None] = lambda reason: None,
) -> Iterator[Callable[[], dict[str, float]]]:
    """Start a Ray cluster of this machine only, or join the one at `address`.

    Ray starts in a thread, so that other work can be done in these seconds. The yielded function
    waits for the cluster and returns its resources, or raises InputError if no cluster answers. If
    a server of a cluster started here dies, `last_words` is called and the process exits with 1.
    """
    options: dict = {"logging_level": logging.ERROR, "log_to_driver": False, "address": address}
    if address is None:
        options |= {"address": "local", "include_dashboard": False}
        options["num_cpus"] = workers or len(os.sched_getaffinity(0))
    else:
        check_address(address)
    with ExitStack() as stack:
        if address is None:
            token = stack.enter_context(private())
        import ray  # not before `private` has set the environment

        watch = stack.enter_context(ExitStack())

        def ended(reason: str) -> None:
            with suppress(Exception):  # the process must exit even if last_words fails
                last_words(reason)
            shutil.rmtree(token.parent, ignore_errors=True)
            os._exit(1)

        def start() -> dict[str, float]:
            resources = _start(options)
            if address is None:
                watch.enter_context(watched(servers(), ended))
            return resources

        with ThreadPoolExecutor(1) as thread:
            started = thread.submit(start)
            try:
                yield started.result
            finally:
                started.exception()  # Ray can be shut down only once it is up
                watch.close()
                ray.shutdown()


def _start(options: dict) -> dict[str, float]:
    import ray

    for tries_left in reversed(range(START_TRIES)):
        try:
            ray.init(**options)
            break
        except (ConnectionError, RuntimeError, ValueError) as error:
            if options["address"] == "local":
                raise
            raise _no_cluster(options["address"], str(error)) from None
        except Exception as error:  # Ray has no special class for a time-out
            if "timed out during startup" not in str(error) or not tries_left:
                raise
    return ray.cluster_resources()


@contextmanager
def private() -> Iterator[Path]:
    """Make a Ray that starts in this context listen on loopback only and require a token.

    Yields the token's file, of mode 600, which is deleted at the end. Ray must not be imported
    before: it reads only once whether other machines may join.
    """
    with tempfile.TemporaryDirectory(prefix="dae-study-") as folder:
        path = Path(folder) / "token"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
        ours = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(path),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        }
        theirs = {name: os.environ.pop(name, None) for name in (*ours, "RAY_AUTH_TOKEN")}
        os.environ.update(ours)
        try:
            yield path
        finally:
            for name, value in theirs.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value


def servers() -> dict[str, tuple[str, int]]:
    """Return the addresses of the two servers without which this machine's cluster cannot work."""
    import ray

    [node] = ray.nodes()
    host, port = ray.get_runtime_context().gcs_address.rsplit(":", 1)
    return {
        "gcs_server": (host, int(port)),
        "raylet": (node["NodeManagerAddress"], node["NodeManagerPort"]),
    }


@contextmanager
def watched(addresses: dict[str, tuple[str, int]], ended: Callable[[str], None]) -> Iterator[None]:
    """Call `ended` with a reason, from another thread, once an address has refused REFUSALS times.

    Without this, Ray's driver waits a minute for a dead server and then exits without a message.
    """
    over = threading.Event()

    def look() -> None:
        refusals = dict.fromkeys(addresses, 0)
        while not over.wait(LOOK_SECONDS):
            for name, address in addresses.items():
                refusals[name] = refusals[name] + 1 if refuses(address) else 0
                if refusals[name] == REFUSALS and not over.is_set():
                    ended(f"Ray's {name} has died")

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def refuses(address: tuple[str, int]) -> bool:
    """Whether nothing listens at the address; a server that is slow to answer is alive."""
    try:
        socket.create_connection(address, timeout=10).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        pass
    return False


def check_address(address: str) -> None:
    """Raise InputError within half a minute if no Ray cluster answers at host:port.

    "auto" is not checked.
    """
    if address == "auto":
        return  # ray.init finds at once whether this machine belongs to a cluster
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"--address {address}: give host:port of the cluster's head, or auto")
    words = ["-m", "ray.scripts.scripts", "health-check", "--address", f"{host}:{port}"]
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
        subprocess.run(
            [sys.executable, *words], check=True, capture_output=True, timeout=ADDRESS_SECONDS
        )
    except (OSError, OverflowError, UnicodeError, subprocess.SubprocessError) as error:
        raise _no_cluster(address, str(error)) from None


def _no_cluster(address: str, reason: str) -> InputError:
    first_line = next(iter(reason.strip().splitlines()), "no answer")[:120]
    return InputError(
        f"--address {address}: no Ray cluster answers ({first_line}): start one with "
        "`ray up cluster.yaml`, or leave --address out to use this machine"
    )


def check_nodes(options: StudyOptions) -> None:
    """Raise InputError if a node of the cluster cannot read the run folder, or the storage."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    with mark(options) as there:
        asked = {}
        for node in ray.nodes():
            if node["Alive"]:
                place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                task = ray.remote(seen).options(num_cpus=0, scheduling_strategy=place)
                asked[node["NodeManagerAddress"]] = task.remote(*there)
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=NODE_SECONDS)
        found = {}
        for name, answer in asked.items():
            try:
                found[name] = ray.get(answer, timeout=0.1)
            except ray.exceptions.RayError as error:
                found[name] = f"no answer: {type(error).__name__}"
    blind = ", ".join(f"{name} ({reason})" for name, reason in found.items() if reason)
    if blind and options.storage is None:
        raise InputError(
            f"{options.folder}: is not one folder for the whole cluster: not seen by {blind}: "
            "give an --out that all nodes share, or --storage s3://BUCKET/PATH"
        )
    if blind:
        raise InputError(
            f"--storage {options.storage}: cannot be read by {blind}: give the nodes the "
            "credentials, or a storage that all of them reach"
        )


@contextmanager
def mark(options: StudyOptions) -> Iterator[tuple[str, str]]:
    """Put a file into the storage, or where the run folder will be; yield the arguments of `seen`.

    The file is removed at the end.
    """
    name = f".dae-study-{os.urandom(8).hex()}"
    folder = options.folder
    here = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    storage = Storage(options.storage or str(here))
    storage.put(name, b"")
    try:
        yield storage.url, name
    finally:
        storage.delete(name)


def seen(url: str, name: str) -> str:
    """Return why the mark cannot be read on the machine that runs this; "" if it can."""
    try:
        return "" if Storage(url, waits=(1.0,)).get(name) is not None else "it is not there"
    except (InputError, OSError, ArrowException) as error:
        return one_line(error)


def worker_count(resources: dict[str, float], gpus_per_pack: float) -> int:
    """Return how many packs can train at once. Raises InputError if there are too few GPUs."""
    cpus = int(resources.get("CPU", 0))
    if gpus_per_pack == 0:
        return max(1, cpus)
    gpus = resources.get("GPU", 0)
    if gpus < gpus_per_pack:
        raise InputError(
            f"--gpus-per-pack {gpus_per_pack:g}: the cluster has {gpus:g} GPUs: "
            "use --device cpu or a smaller share"
        )
    return max(1, min(cpus, math.floor(gpus / gpus_per_pack + 1e-9)))


def place(options: StudyOptions, device: str, resources: dict[str, float]) -> tuple[str, float]:
    """Return the packs' device and the share of a GPU for each.

    Raises InputError if a share is requested but packs run on the CPU.
    """
    if device == "auto":
        device = "cuda" if resources.get("GPU", 0) > 0 else "cpu"
    if device == "cuda":
        return device, 1.0 if options.gpus_per_pack is None else options.gpus_per_pack
    if options.gpus_per_pack:
        raise InputError(
            f"--gpus-per-pack {options.gpus_per_pack:g}: the packs run on the CPU: leave it out"
        )
    return device, 0.0


@contextmanager
def chatter_to(log: Path) -> Iterator[Callable[[], None]]:
    """Redirect the output of Ray and its processes to a log file.

    Lines of the study's console stay on the screen. The log is written at the end, or when the
    yielded function is called.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = {number: os.dup(number) for number in (1, 2)}
    with tempfile.TemporaryFile() as file:  # the run folder is made only after the cluster started

        def keep() -> None:
            file.seek(0)
            with suppress(OSError), open(log, "ab") as kept:  # the folder is missing, the disk full
                shutil.copyfileobj(file, kept)

        try:
            for number in saved:
                os.dup2(file.fileno(), number)
            yield keep
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, original in saved.items():
                os.dup2(original, number)
                os.close(original)
            keep()
