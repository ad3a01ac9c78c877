"""The trainers of a comparison and their single-threaded processes, measured in CPU time."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from statistics import fmean

import torch

from data_utils.preparation import PreparedData
from models.config import MemberConfig
from models.training import PackTraining
from study.run.packs import cost

Members = list[MemberConfig]


class Engine:
    """This project's pack with the interface of a peer (benchmarks.peers.Peer)."""

    def __init__(self, members: Members, data: PreparedData, device: str = "cpu"):
        self.training = PackTraining(tuple(members), lambda seed: data, device)

    def epoch(self) -> list[float]:
        """Train one epoch, and return the validation MSE of each member after it."""
        while not self.training.advance():
            pass
        curve = [r for r in self.training.records if (r.split, r.metric) == ("validation", "mse")]
        return curve[-1].values

    def parameters(self, k: int) -> list[torch.Tensor]:
        """Return the weights and biases of member k."""
        return list(self.training.stack.member(k).values())


def trainer(kind: str, members: Members, data: PreparedData):
    """Return a trainer of `kind`: "engine", "loader", "memory" (one member), "vmap" or "jax"."""
    if kind == "engine":
        return Engine(members, data)
    if kind == "jax":
        from benchmarks.peers_jax import JaxPack

        return JaxPack(members, data)
    from benchmarks.peers import LoaderLoop, Loop, VmapPack

    return {"loader": LoaderLoop, "memory": Loop, "vmap": VmapPack}[kind](members, data)


def dealt(groups: list[Members], n_genes: int, n_workers: int) -> list[list[Members]]:
    """Distribute groups of members, the costliest first, each to the least busy worker."""

    def work(group: Members) -> float:
        return sum(cost(member, n_genes) for member in group)

    shares: list[list[Members]] = [[] for _ in range(n_workers)]
    for group in sorted(groups, key=work, reverse=True):
        min(shares, key=lambda share: sum(map(work, share))).append(group)
    return shares


class Trainers:
    """The trainers of one process, which train one after the other."""

    def build(
        self, kind: str, groups: list[Members], data: PreparedData, one_process: bool = True
    ) -> None:
        """Make one trainer per group and train one epoch, which compiles and fills caches."""
        self.trainers = [trainer(kind, group, data) for group in groups]
        self.errors = [one.epoch() for one in self.trainers]

    def train(self, epochs: int) -> float:
        """Train every group for some epochs, and return the CPU seconds."""
        started = time.process_time()
        self.errors = [[one.epoch() for _ in range(epochs)][-1] for one in self.trainers]
        return time.process_time() - started

    def validation(self) -> list[float]:
        """Return the validation MSE of all members after the last epoch."""
        return [error for group in self.errors for error in group]

    def sgemm(self, size: int = 2048, products: int = 2) -> float:
        """Measure the CPU seconds of one floating-point operation in square float32 products."""
        a, b = torch.ones(size, size), torch.ones(size, size)
        out = torch.zeros(size, size)
        started = time.process_time()
        for _ in range(products):
            torch.mm(a, b, out=out)
        return (time.process_time() - started) / (products * 2 * size**3)


class Workers:
    """Processes that train at the same time, each with its share of the groups.

    The interface is that of `Trainers`.
    """

    def __init__(self, n_workers: int, one_core: bool = False):
        context = multiprocessing.get_context("spawn")
        self.connections, self.processes = [], []
        for _ in range(n_workers):
            ours, theirs = context.Pipe()
            self.processes.append(
                context.Process(target=_serve, args=(theirs, one_core), daemon=True)
            )
            self.processes[-1].start()
            theirs.close()
            self.connections.append(ours)

    def _ask(self, method: str, arguments: list[tuple]) -> list:
        for connection, of_worker in zip(self.connections, arguments, strict=False):
            connection.send((method, of_worker))
        return [
            connection.recv() for connection, _ in zip(self.connections, arguments, strict=False)
        ]

    def build(
        self, kind: str, groups: list[Members], data: PreparedData, one_process: bool = False
    ) -> None:
        """Distribute the groups (all to the first worker if `one_process`), build and warm up."""
        n_workers = len(self.connections)
        shares = (
            [groups] + [[]] * (n_workers - 1)
            if one_process
            else dealt(groups, data.n_genes, n_workers)
        )
        self._ask("build", [(kind, share, data) for share in shares])

    def train(self, epochs: int) -> float:
        """Train every group for some epochs, and return the CPU seconds of all workers."""
        return sum(self._ask("train", [(epochs,)] * len(self.connections)))

    def validation(self) -> list[float]:
        """Return the validation MSE of all workers' members after the last epoch."""
        return [
            error
            for errors in self._ask("validation", [()] * len(self.connections))
            for error in errors
        ]

    def sgemm(self) -> float:
        """Measure the seconds of one floating-point operation on the first worker."""
        return fmean(self._ask("sgemm", [()]))

    def close(self) -> None:
        """End the processes."""
        for connection in self.connections:
            connection.close()
        for process in self.processes:
            process.join()


@contextmanager
def workers(n_workers: int, one_core: bool = False) -> Iterator[Workers]:
    """Yield workers, which end with the block."""
    pool = Workers(n_workers, one_core)
    try:
        yield pool
    finally:
        pool.close()


def _serve(connection: Connection, one_core: bool) -> None:
    """Call the requested methods of `Trainers` until the other end is closed."""
    torch.set_num_threads(1)
    if one_core:
        from benchmarks.peers_jax import stay_on_one_core

        stay_on_one_core()
    trainers = Trainers()
    while True:
        try:
            method, arguments = connection.recv()
        except EOFError:
            return
        connection.send(getattr(trainers, method)(*arguments))
