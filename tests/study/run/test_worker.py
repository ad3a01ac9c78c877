"""A pack stopped anywhere and begun again leaves what an unbroken one leaves."""

import math

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

from study.run import worker
from study.run.folder import RunFolder
from study.run.jobs import Workplace
from study.run.packs import Pack
from study.run.rows import DIVERGED, FINISHED
from study.run.worker import run_pack
from tests.small import assert_same_tables, member, models, replicates

DATA = replicates()  # three batches an epoch
PACKS = {
    "dense": Pack(
        (member("dense-4"), member("dense-4", 0.1, beta=0.01), member("dense-4", 0.1, seed=1))
    ),
    "conv": Pack((member("conv", epochs=2), member("conv", 0.1, epochs=2))),
}
BATCHES = {"dense": 9, "conv": 6}


def opened(path):
    folder = RunFolder(path)
    folder.create()
    return folder


def finished(pack, path, report=lambda progress: None, **options):
    folder = opened(path)
    assert run_pack(pack, Workplace(DATA, folder, **options), report)
    folder.merge(list(pack.members), {})
    return folder


def after(batches):
    """Asks to stop at the given batch of this run."""
    calls = iter(range(1, 10**9))
    return lambda: next(calls) == batches


def events(folder, config):
    """[(tag, step, value)] of a member's TensorBoard run, values as text so that NaN equals NaN."""
    reader = EventAccumulator(
        str(folder.tensorboard / config.run_name), size_guidance={"scalars": 0}
    )
    reader.Reload()
    return sorted(
        (tag, e.step, repr(e.value))
        for tag in reader.Tags()["scalars"]
        for e in reader.Scalars(tag)
    )


def session_end(folder, config):
    reader = EventAccumulator(str(folder.tensorboard / config.run_name))
    reader.Reload()
    content = reader.SummaryMetadata(metadata.SESSION_END_INFO_TAG).plugin_data.content
    return plugin_data_pb2.HParamsPluginData.FromString(content).session_end_info.status


def assert_same_run(one, other, pack):
    assert_same_tables(one.path, other.path)
    assert len(models(one.path)) == len(pack.members)
    assert models(one.path) == models(other.path)
    for config in pack.members:
        assert len(events(one, config)) >= 3 * config.epochs
        assert events(one, config) == events(other, config)
        assert len(list((other.tensorboard / config.run_name).glob("*tfevents*"))) == 1
    assert list((other.path / "checkpoints").iterdir()) == []


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return {name: finished(pack, tmp_path_factory.mktemp(name)) for name, pack in PACKS.items()}


@pytest.mark.parametrize(
    ("name", "stop"), [*(("dense", stop) for stop in (1, 2, 3, 4, 6, 8)), ("conv", 2), ("conv", 3)]
)
def test_stopped_at_a_batch_and_begun_again(name, stop, unbroken, tmp_path):
    pack, folder = PACKS[name], opened(tmp_path)
    assert not run_pack(pack, Workplace(DATA, folder), should_stop=after(stop))
    assert folder.checkpointed_packs() == [[m.member_id for m in pack.members]]
    assert folder.load_checkpoint(pack.pack_id)[1]["epoch"] == stop // 3
    assert len(folder.finished_members()) == 0
    assert models(tmp_path) == {}
    assert_same_run(unbroken[name], finished(pack, tmp_path), pack)


def test_stopped_at_every_batch(unbroken, tmp_path):
    pack, folder = PACKS["dense"], opened(tmp_path)
    stops = 0
    while not run_pack(pack, Workplace(DATA, folder), should_stop=lambda: True):
        stops += 1
    assert stops == BATCHES["dense"] - 1  # asked to stop after the last batch, it finishes
    folder.merge(list(pack.members), {})
    assert_same_run(unbroken["dense"], folder, pack)


def test_after_a_kill_it_continues_from_its_last_checkpoint(unbroken, tmp_path):
    """A kill is an exception from which nothing is saved."""
    pack, folder = PACKS["dense"], opened(tmp_path)

    class Killed(BaseException):
        pass

    calls = iter(range(1, 100))

    def killed_at_the_sixth():
        if next(calls) == 6:
            raise Killed

    with pytest.raises(Killed):
        run_pack(
            pack, Workplace(DATA, folder, checkpoint_seconds=0), should_stop=killed_at_the_sixth
        )
    facts = folder.load_checkpoint(pack.pack_id)[1]
    assert (facts["epoch"], facts["batch"]) == (1, 2)  # after the fifth batch of three an epoch
    assert_same_run(unbroken["dense"], finished(pack, tmp_path, checkpoint_seconds=0), pack)


def test_an_unreadable_checkpoint_costs_time_and_nothing_else(unbroken, tmp_path):
    pack, folder = PACKS["dense"], opened(tmp_path)
    assert not run_pack(pack, Workplace(DATA, folder), should_stop=after(4))
    [path] = (tmp_path / "checkpoints").iterdir()
    path.write_bytes(path.read_bytes()[:-100])
    assert_same_run(unbroken["dense"], finished(pack, tmp_path), pack)


def test_seconds_of_training_add_up_over_a_break(tmp_path):
    pack, folder = PACKS["dense"], opened(tmp_path)
    run_pack(pack, Workplace(DATA, folder), should_stop=after(8))
    before = folder.load_checkpoint(pack.pack_id)[1]["seconds"]
    finished(pack, tmp_path)
    assert folder.finished_members()["seconds"].sum() > before > 0


def test_checkpoints_come_as_often_as_asked(tmp_path, monkeypatch):
    saved = []
    original = RunFolder.save_checkpoint
    monkeypatch.setattr(
        RunFolder,
        "save_checkpoint",
        lambda self, *a: (saved.append(a[3]["epoch"]), original(self, *a)),
    )
    finished(PACKS["dense"], tmp_path / "often", checkpoint_seconds=0)
    assert saved == [0, 0, 1, 1, 1, 2, 2, 2, 3]
    saved.clear()
    finished(PACKS["dense"], tmp_path / "seldom", checkpoint_seconds=3600)
    assert saved == []


def test_a_diverged_member_is_kept_as_such_and_the_others_continue(tmp_path):
    wild = member("dense-4", 0.1, learning_rate=1e30)
    tame = member("dense-4", 0.1)
    folder = finished(Pack((wild, tame)), tmp_path / "both")
    rows = folder.finished_members().set_index("member_id")
    assert rows.loc[wild.member_id, "status"] == DIVERGED
    assert rows.loc[wild.member_id, ["diverged_epoch", "epochs"]].tolist() == [1, 1]
    assert not math.isfinite(rows.loc[wild.member_id, "test_mse"])
    assert rows.loc[tame.member_id, "status"] == FINISHED
    assert rows["diverged_epoch"].isna().tolist() == [False, True]
    assert session_end(folder, wild) == api_pb2.STATUS_FAILURE
    assert session_end(folder, tame) == api_pb2.STATUS_SUCCESS
    alone = finished(Pack((tame,)), tmp_path / "alone")
    name = f"{tame.member_id}.safetensors"
    assert models(folder.path)[name] == models(alone.path)[name]
    assert rows.loc[tame.member_id, "test_mse"] == alone.finished_members()["test_mse"].item()
    assert events(folder, tame) == events(alone, tame)


def test_a_member_that_diverges_late_has_that_epoch(tmp_path):
    """A weight is spoilt in the third epoch of four; what was measured before stays."""
    pack, folder = Pack((member(epochs=4), member(noise=0.1, epochs=4))), opened(tmp_path)
    assert not run_pack(pack, Workplace(DATA, folder), should_stop=after(7))
    tensors, facts = folder.load_checkpoint(pack.pack_id)
    tensors["values"][0, 0] = math.nan
    folder.save_checkpoint(pack.pack_id, [m.member_id for m in pack.members], tensors, facts)
    rows = finished(pack, tmp_path).finished_members()
    assert rows["status"].tolist() == [DIVERGED, FINISHED]
    assert rows["diverged_epoch"][0] == rows["epochs"][0] == 3
    assert rows["best_epoch"][0] in (1, 2)
    assert math.isfinite(rows["best_val_mse"][0])
    assert rows["epochs"][1] == 4


def test_the_epoch_of_divergence_outlives_a_break(tmp_path):
    pack, folder = Pack((member(learning_rate=1e30),)), opened(tmp_path)
    assert not run_pack(pack, Workplace(DATA, folder), should_stop=after(7))
    assert finished(pack, tmp_path).finished_members()["diverged_epoch"].tolist() == [1]


def test_progress_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "REPORT_SECONDS", 0.0)
    reports, pack = [], PACKS["dense"]
    finished(pack, tmp_path, reports.append)
    assert [report["epoch"] for report in reports] == [1, 2, 3, 3]
    assert {report["first_epoch"] for report in reports} == {0}
    table = RunFolder(tmp_path).merge(list(pack.members), {})[1]
    last = table[
        (table["epoch"] == 3) & (table["split"] == "validation") & (table["metric"] == "mse")
    ]
    best = last.loc[last["value"].idxmin()]
    assert reports[-1]["best_mse"] == best["value"]
    assert (
        reports[-1]["best_name"]
        == {m.member_id: m.run_name for m in pack.members}[best["member_id"]]
    )


def test_progress_after_a_break_reports_where_it_began(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "REPORT_SECONDS", 0.0)
    reports = []
    run_pack(PACKS["dense"], Workplace(DATA, opened(tmp_path)), should_stop=after(4))
    finished(PACKS["dense"], tmp_path, reports.append)
    assert [(r["first_epoch"], r["epoch"]) for r in reports] == [(1, 2), (1, 3), (1, 3)]


def test_progress_where_every_member_has_diverged(tmp_path):
    reports = []
    finished(Pack((member(learning_rate=1e30),)), tmp_path, reports.append)
    assert reports[-1]["best_mse"] == math.inf


def test_curves_are_on_disk_before_the_end(tmp_path):
    pack, folder = PACKS["dense"], opened(tmp_path)
    run_pack(pack, Workplace(DATA, folder, checkpoint_seconds=0), should_stop=after(8))
    assert [
        step for tag, step, _ in events(folder, pack.members[0]) if tag == "mse/validation"
    ] == [1, 2]
