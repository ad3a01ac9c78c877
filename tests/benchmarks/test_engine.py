"""Peers train the same networks, and the rows describe the measurement. Nothing is timed here."""

import json
import math
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import engine, work
from benchmarks.device import dense_grid_rows, profile_table
from benchmarks.measure import Comparison, Measurement
from benchmarks.peers import dataloader_loop, memory_loop, vmap_pack
from benchmarks.trainers import Engine, Trainers, dealt, workers
from models.config import USUAL_TRAINING
from study.run.packs import cost, pack_order, stack_key
from tests.small import ROOT, member

EPOCHS = 3


@pytest.fixture(scope="module")
def data():
    return work.synthetic_data(n_samples=120, n_genes=70, n_factors=5)


def pack(model):
    """Make members that differ in noise and beta; the last batch of their 84 rows is smaller."""
    choices = [(0.0, 0.0), (0.5, 0.0), (0.5, 0.1), (1.0, 0.01)]
    settings = {"learning_rate": 1e-3, "noise_draws": "fresh"}
    return [member(model, noise, EPOCHS + 1, beta=beta, **settings) for noise, beta in choices]


def assert_same_training(engine_of_pack, peers, n_members):
    """Compare every epoch's validation MSE and the final parameters with one or more `peers`."""
    for _ in range(EPOCHS):
        expected = engine_of_pack.epoch()
        assert [error for peer in peers for error in peer.epoch()] == pytest.approx(
            expected, abs=1e-5
        )
    for k in range(n_members):
        found = peers[k].parameters(0) if len(peers) > 1 else peers[0].parameters(k)
        for own, given in zip(found, engine_of_pack.parameters(k), strict=True):
            torch.testing.assert_close(own.detach().view_as(given), given, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("model", ["dense-2", "dense-4", "dense-8", "conv"])
@pytest.mark.parametrize("loop", [dataloader_loop, memory_loop])
def test_loops_train_the_same_networks(data, loop, model):
    members = pack(model)
    assert_same_training(Engine(members, data), [loop(one, data) for one in members], len(members))


@pytest.mark.parametrize("model", ["dense-2", "dense-4", "dense-8"])
def test_vmap_trains_the_same_networks(data, model):
    members = pack(model)
    assert_same_training(Engine(members, data), [vmap_pack(members, data)], len(members))


@pytest.mark.parametrize("model", ["dense-2", "dense-8"])
def test_jax_trains_the_same_networks(data, model):
    pytest.importorskip("jax")
    from benchmarks.peers_jax import jax_pack

    members = pack(model)
    assert_same_training(Engine(members, data), [jax_pack(members, data)], len(members))


def test_the_sparsity_term_is_felt(data):
    """So the equalities above would notice its absence."""
    without, with_it = (memory_loop(one, data) for one in pack("dense-2")[1:3])
    assert without.train()[0] != pytest.approx(with_it.train()[0], abs=1e-4)
    assert without.trained == EPOCHS + 1


def test_loops_of_one_data_set_share_its_rows(data):
    one, other = (memory_loop(member(), data) for _ in range(2))
    assert one.rows.data_ptr() == other.rows.data_ptr() == data.train.ctypes.data


def test_cells_and_packs():
    cells = work.cells(7)
    assert len({cell.member_id for cell in cells}) == 44
    assert {cell.model for cell in cells} == set(work.DENSE)
    assert {(cell.beta, cell.seed, cell.epochs) for cell in cells} == {(0.001, 0, 7)}
    for model in work.DENSE:
        members = work.pack_of_44(model, 2)
        assert len({one.member_id for one in members}) == 44
        assert len({stack_key(one) for one in members}) == 1
        assert [one.noise_factor for one in members] == [
            one.noise_factor for one in sorted(members, key=pack_order)
        ]
    assert len({one.member_id for one in work.conv_members(2)}) == 33
    assert len({one.member_id for one in work.dense_grid(2)}) == 396
    assert {model: USUAL_TRAINING[model].epochs for model in work.DENSE} == work.EPOCHS


def test_synthetic_data_are_split_and_scaled(data):
    assert (data.train.shape, data.validation.shape, data.test.shape) == (
        (84, 70),
        (12, 70),
        (24, 70),
    )
    assert data.train.dtype == np.float32
    assert np.abs(data.train.mean(axis=0)).max() < 1e-5
    assert data.train.std(axis=0) == pytest.approx(1, abs=2e-3)
    assert work.synthetic_data(120, 70, 5).train.tobytes() == data.train.tobytes()


def test_a_shorter_epoch_keeps_the_share_of_validation(data):
    short = work.shortened(data, 42)
    assert (len(short.train), len(short.validation)) == (42, 6)
    assert np.shares_memory(short.validation, data.validation)


def test_groups_are_dealt_by_their_work():
    groups = [[one] for one in work.cells(1)]
    shares = dealt(groups, 943, 2)
    assert sorted(one.member_id for share in shares for [one] in share) == sorted(
        one.member_id for [one] in groups
    )
    one, other = (sum(cost(member, 943) for [member] in share) for share in shares)
    assert one == pytest.approx(other, rel=0.05)
    assert dealt(groups[:1], 943, 2) == [groups[:1], []]


def test_workers_train_as_this_process_does(data):
    groups = [[one] for one in pack("dense-2")]
    with workers(2) as there:
        there.build("engine", groups, data)
        seconds = there.train(EPOCHS - 1)
        found = there.validation()
        assert 0 < there.sgemm() < 1e-6
        assert seconds > 0
    engines = [Engine(group, data) for group in groups]
    expected = [[one.epoch() for _ in range(EPOCHS)][-1][0] for one in engines]
    assert sorted(found) == pytest.approx(sorted(expected), rel=1e-6)
    assert all(not process.is_alive() for process in there.processes)


@pytest.fixture
def in_this_process(monkeypatch):
    """Comparisons without worker processes, and with a small product for the floor."""

    @contextmanager
    def here(n_workers, one_core=False):
        trainers = Trainers()
        trainers.sgemm = lambda: 1e-11
        yield trainers

    monkeypatch.setattr(engine, "workers", here)


SMALL = engine.Size(64, 1, 64, 32, 3, depths=("dense-2", "dense-4"))


def test_rows_compare_equal_networks(data, in_this_process, monkeypatch):
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda name: None)
    rows = {row.name: row for row in engine.compare(2, SMALL, data)}
    targets = {name: getattr(row, "target", "left out") for name, row in rows.items()}
    assert targets == {
        "PyTorch loop with DataLoader": 2.8,
        "plain conv loop, autograd": 2.0,
        "torch.func vmap": 1.6,
        "JAX vmap + jit": "left out",
        "SGEMM floor": 0.75,
    }
    for name in ("PyTorch loop with DataLoader", "plain conv loop, autograd", "torch.func vmap"):
        assert len(rows[name].ratios) == 2
        ours, theirs = (
            float(part.split()[-1]) for part in rows[name].note.split("MSE: ")[1].split(",")
        )
        assert ours == pytest.approx(theirs, abs=1e-5)
    floor = rows["SGEMM floor"]
    # per network: the training rows' step, and two operations per weight for each validation row
    n_validation = round(len(data.validation) * 64 / len(data.train))
    flops = []
    for network in (work.pack_of_44(model, 1)[0].architecture for model in SMALL.depths):
        weights = sum(math.prod(shape) for shape in network.layer_shapes(70))
        flops.append(44 * (64 * network.flops_per_sample(70) + n_validation * 2 * weights))
    assert floor.peer == pytest.approx([1e-11 * math.sqrt(math.prod(flops))] * 2)
    text = engine.table(list(rows.values()))
    assert "target 2.8" in text
    assert "left out: jax" in text


def test_the_grid_on_a_device(data):
    *depths, whole, seconds = dense_grid_rows(1, 1, data, "cpu", pack=11, seeds=1)
    assert [row.work.split(" in ")[0] for row in depths] == [f"33 {model}" for model in work.DENSE]
    for row in depths:
        ours, theirs = (float(part.split()[-1]) for part in row.note.split("MSE: ")[1].split(","))
        assert ours == pytest.approx(theirs, abs=1e-5)
    expected = sum(
        work.EPOCHS[model] * row.ours[0] for model, row in zip(work.DENSE, depths, strict=True)
    )
    assert isinstance(whole, Comparison)
    assert isinstance(seconds, Measurement)
    assert whole.ours == seconds.values == pytest.approx((expected,))


def test_the_profile_accounts_for_all_of_the_time(data):
    text = profile_table("dense-2", replace(data, train=data.train[:64]))
    head, *lines = text.splitlines()
    assert head.startswith("dense-2, 44 networks, cpu:")
    groups = {line.split("  ")[1].strip(): float(line.split()[-1].rstrip("%")) for line in lines}
    assert {"products", "noise", "optimiser", "evaluation"} <= set(groups)
    assert sum(groups.values()) == pytest.approx(100, abs=1)


def test_a_device_that_is_not_there(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert engine.main(["--device", "cuda"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: --device cuda: torch finds no GPU here: leave it out, or give cpu"
    ]


ABSENT = (
    "pandas",
    "scipy",
    "sklearn",
    "pyarrow",
    "ray",
    "rich",
    "anndata",
    "h5py",
    "optuna",
    "jax",
    "matplotlib",
)


def test_a_bare_machine_needs_torch_and_numpy_alone():
    code = f"""
import sys
sys.modules.update(dict.fromkeys({ABSENT}))
sys.argv = "benchmarks/engine.py --device cpu --quick --repeats 1 --rows 8 --pack 33".split()
import runpy
runpy.run_path(sys.argv[0], run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout.splitlines()[-1])
    assert len(rows) == 6
