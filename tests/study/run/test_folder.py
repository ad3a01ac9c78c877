"""The run folder: whole files or none, and tables that do not depend on the packs' order."""

import errno
import json
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from data_utils.errors import InputError
from models.architecture import architecture, n_parameters
from models.config import MemberConfig, Phase
from models.training import PackTraining
from study.run.folder import Part, RunFolder
from study.run.packs import Pack
from study.run.rows import (
    DIVERGED,
    FINISHED,
    MEMBER_COLUMNS,
    METRIC_COLUMNS,
    member_rows,
    metric_rows,
    sample_rows,
)
from tests.small import contents, flipped, member, models, replicates

REPLICATES = replicates(40, 30)
MEMBERS = [
    member(noise=noise, beta=beta, seed=seed)
    for seed in (0, 1)
    for noise in (0.1, 0.5)
    for beta in (0.0, 0.01)
]
PARAMETERS = {
    "layer0.weight": np.arange(6.0).reshape(2, 3),
    "layer0.bias": np.array([-0.5, 1e-30], np.float32),
}
FACTS = {
    "epoch": 2,
    "batch": 1,
    "diverged_epoch": [None, 3],
    "records": [{"values": [0.5, math.nan, math.inf]}],
}


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create()
    return folder


def trained(members):
    training = PackTraining(tuple(members), REPLICATES.data)
    while not training.finished:
        training.advance()
    return training


def finish(folder, members):
    pack, training = Pack(tuple(members)), trained(members)
    part = Part(member_rows(training), metric_rows(training), sample_rows(training, REPLICATES))
    folder.finish_pack(pack.pack_id, part)
    return pack


def assert_same_arrays(found, expected):
    assert found.keys() == expected.keys()
    for name, array in found.items():
        assert array.dtype == expected[name].dtype
        assert array.shape == expected[name].shape
        assert np.array_equal(array, expected[name])
        assert array.flags.writeable


# whole or not there


def test_a_writer_that_fails_leaves_the_old_file_and_no_other(folder, monkeypatch):
    def half(path, content):
        with open(path, "wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "no more space")

    table = pd.DataFrame({"a": [1]})
    folder.write_table("split.parquet", table)
    before = contents(folder.path)
    with pytest.raises(TypeError):
        folder.write_json("config.json", {"a": object()})
    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="no more space"):
        folder.write_table("split.parquet", 2 * table)
    assert contents(folder.path) == before


def test_a_new_file_replaces_the_old_one_at_once(folder, monkeypatch):
    folder.write_json("config.json", {"a": 1})
    seen = []
    original = os.replace

    def watched(source, target):
        seen.append((folder.read_json("config.json"), source.parent == target.parent))
        original(source, target)

    monkeypatch.setattr(os, "replace", watched)
    folder.write_json("config.json", {"a": 2})
    assert seen == [({"a": 1}, True)]
    assert folder.read_json("config.json") == {"a": 2}
    assert list(contents(folder.path)) == [
        "checkpoints",
        "config.json",
        "models",
        "parts",
        "tensorboard",
    ]


@pytest.mark.parametrize("content", [None, "", '{"a": ', "\xff"])
def test_an_unreadable_json_file_is_bad_input_with_a_way_out(folder, content):
    if content is not None:
        (folder.path / "config.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=r"config\.json: not a readable run file .*--fresh"):
        folder.read_json("config.json")


def test_create_reports_what_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"cannot be written .*another --out"):
        RunFolder(tmp_path / "file").create()


def test_clear_keeps_only_the_lock(folder):
    (folder.path / ".lock").touch()
    folder.write_json("config.json", {})
    folder.save_model(MEMBERS[0], PARAMETERS)
    folder.request_stop(True)
    folder.clear()
    assert contents(folder.path) == {".lock": b""}


def test_a_cleared_folder_keeps_what_its_links_lead_to(folder, tmp_path):
    elsewhere = tmp_path / "larger-disk"
    elsewhere.mkdir()
    (elsewhere / "network").write_text("kept")
    (folder.path / "models").rmdir()
    (folder.path / "models").symlink_to(elsewhere)
    folder.clear()
    assert contents(folder.path) == {}
    assert (elsewhere / "network").read_text() == "kept"


def test_a_stop_is_asked_for_and_taken_back(folder):
    assert not folder.stop_requested()
    folder.request_stop(True)
    folder.request_stop(True)
    assert RunFolder(folder.path).stop_requested()
    folder.request_stop(False)
    folder.request_stop(False)
    assert not folder.stop_requested()


# checkpoints and models


def test_a_checkpoint_comes_back_as_it_was(folder):
    folder.save_checkpoint("pack", ["a", "b"], PARAMETERS, FACTS)
    arrays, facts = RunFolder(folder.path).load_checkpoint("pack")
    assert_same_arrays(arrays, PARAMETERS)
    assert repr(facts) == repr(FACTS)  # repr: NaN differs from itself
    assert folder.checkpointed_packs() == [["a", "b"]]
    assert folder.load_checkpoint("another") is None


def test_a_later_checkpoint_replaces_the_earlier(folder):
    folder.save_checkpoint("pack", ["a"], PARAMETERS, {"epoch": 1})
    folder.save_checkpoint("pack", ["a"], PARAMETERS, {"epoch": 2})
    assert folder.load_checkpoint("pack")[1] == {"epoch": 2}
    assert len(list((folder.path / "checkpoints").iterdir())) == 1


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_checkpoint_cut_short_counts_as_none(folder, share):
    folder.save_checkpoint("pack", ["a"], PARAMETERS, FACTS)
    path = folder.path / "checkpoints" / "pack.safetensors"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert folder.load_checkpoint("pack") is None
    assert folder.checkpointed_packs() == []


@pytest.mark.parametrize("metadata", ["absent", {}, {"members": "[", "facts": "{"}])
@pytest.mark.parametrize("garbage", [False, True])
def test_a_checkpoint_of_garbage_counts_as_none(folder, metadata, garbage):
    path = folder.path / "checkpoints" / "pack.safetensors"
    if garbage:
        path.write_bytes(np.random.default_rng(0).bytes(500))
    else:
        save_file({"values": torch.ones(3)}, path, None if metadata == "absent" else metadata)
    assert folder.load_checkpoint("pack") is None
    assert folder.checkpointed_packs() == []


def test_a_model_comes_back_with_its_configuration(folder):
    config = replace(MEMBERS[3], phases=(Phase((0.1, 0.5), 2), Phase((1.0,), 3)), grid="smoke")
    folder.save_model(config, PARAMETERS)
    content, arrays = folder.load_model(config.member_id)
    loaded = MemberConfig.from_dict(content)
    assert loaded == config
    assert loaded.grid == "smoke"
    assert loaded.member_id == config.member_id
    assert_same_arrays(arrays, PARAMETERS)
    assert list(models(folder.path)) == [f"{config.member_id}.safetensors"]


def test_arrays_come_back_whatever_their_memory_is_like(folder):
    """safetensors writes raw memory: transposed, strided and reversed arrays must stay intact."""
    square = np.arange(12, dtype=np.float32).reshape(3, 4)
    arrays = {
        "transposed": square.T,
        "strided": square[:, ::2],
        "backward": square[::-1],
        "number": np.float32(3),
    }
    folder.save_model(MEMBERS[0], arrays)
    assert_same_arrays(folder.load_model(MEMBERS[0].member_id)[1], arrays)


@pytest.mark.parametrize("at", [0.0, 0.02, 0.3, 0.6, 0.97, 1.0])
def test_one_bit_of_a_checkpoint_or_a_network_is_noticed(folder, at):
    folder.save_checkpoint("pack", ["a"], PARAMETERS, FACTS)
    folder.save_model(MEMBERS[0], PARAMETERS)
    flipped(folder.path / "checkpoints" / "pack.safetensors", at)
    assert folder.load_checkpoint("pack") is None
    flipped(folder.path / "models" / f"{MEMBERS[0].member_id}.safetensors", at)
    with pytest.raises(InputError, match=r"no readable network .*--resume trains it again"):
        folder.load_model(MEMBERS[0].member_id)


# parts and tables


@pytest.mark.parametrize(
    "name", ["members.parquet", "metrics.parquet", "samples.parquet", "sha256"]
)
@pytest.mark.parametrize("at", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_one_bit_of_a_part_is_noticed_and_only_its_pack_is_forgotten(folder, name, at):
    broken, whole = finish(folder, MEMBERS[:2]), finish(folder, MEMBERS[2:4])
    assert folder.drop_damaged() == []
    flipped(folder.path / "parts" / f"{broken.pack_id}.{name}", at)
    kept = [member.member_id for member in whole.members]
    assert folder.finished_members()["member_id"].tolist() == kept
    [line] = folder.drop_damaged()
    assert f"{broken.pack_id}.members.parquet: cut short or damaged" in line
    assert folder.finished_members()["member_id"].tolist() == kept
    assert folder.drop_damaged() == []


def test_the_mean_over_samples_is_the_test_mse(folder):
    planned = [*MEMBERS[:4], MEMBERS[-1]]
    for one in planned:
        finish(folder, [one])
    members, metrics = folder.merge(planned, {})
    samples = pd.read_parquet(folder.path / "samples.parquet")
    for one in planned:
        its = samples[samples["member_id"] == one.member_id]
        tests = REPLICATES.sample_ids[REPLICATES.split(one.seed).test].tolist()
        mse = metrics[(metrics["member_id"] == one.member_id) & (metrics["split"] == "test")]
        for noise_factor, rows in its.groupby("noise_factor"):
            assert rows["sample_id"].tolist() == tests
            [expected] = mse.loc[mse["noise_factor"] == noise_factor, "value"].unique()
            assert rows["squared_error"].mean() == pytest.approx(expected, rel=1e-5)
        assert set(its["noise_factor"]) == set(one.levels)
    assert samples["member_id"].drop_duplicates().tolist() == members["member_id"].tolist()


def test_only_a_damaged_network_trains_again(folder):
    pack = finish(folder, MEMBERS[:3])
    for config in pack.members[:2]:
        folder.save_model(config, PARAMETERS)
    damaged, sound, removed = (config.member_id for config in pack.members)
    flipped(folder.path / "models" / f"{damaged}.safetensors", 0.9)
    [line] = folder.drop_damaged()
    assert f"{damaged}.safetensors: damaged" in line
    assert folder.finished_members()["member_id"].tolist() == [sound, removed]
    assert folder.drop_damaged() == []


def test_a_finished_pack_has_its_rows_and_no_checkpoint(folder):
    pack = Pack(tuple(MEMBERS[:2]))
    folder.save_checkpoint(pack.pack_id, ["a"], PARAMETERS, FACTS)
    finish(folder, pack.members)
    assert folder.finished_members()["member_id"].tolist() == [m.member_id for m in pack.members]
    assert folder.load_checkpoint(pack.pack_id) is None


@pytest.mark.parametrize("which", ["members", "metrics"])
@pytest.mark.parametrize("share", [None, 0.0, 0.5, 0.99])
def test_a_part_cut_short_counts_as_unfinished(folder, which, share):
    broken, whole = finish(folder, MEMBERS[:2]), finish(folder, MEMBERS[2:4])
    path = folder.path / "parts" / f"{broken.pack_id}.{which}.parquet"
    if share is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert folder.finished_members()["member_id"].tolist() == [m.member_id for m in whole.members]
    members, metrics = folder.merge(MEMBERS, {})
    assert (
        set(members["member_id"])
        == set(metrics["member_id"])
        == {m.member_id for m in whole.members}
    )


def test_tables_are_in_the_order_of_the_plan_whatever_the_packs(tmp_path):
    splits = [
        [MEMBERS],
        [MEMBERS[:3], MEMBERS[3:]],
        [MEMBERS[::-1]],
        [[m] for m in reversed(MEMBERS)],
    ]
    merged = []
    for i, packs in enumerate(splits):
        folder = RunFolder(tmp_path / str(i))
        folder.create()
        for members in packs:
            finish(folder, members)
        members, metrics = folder.merge(MEMBERS, {})
        pd.testing.assert_frame_equal(members, pd.read_parquet(folder.path / "members.parquet"))
        pd.testing.assert_frame_equal(metrics, pd.read_parquet(folder.path / "metrics.parquet"))
        merged.append((members.drop(columns="seconds"), metrics))
    assert merged[0][0]["member_id"].tolist() == [m.member_id for m in MEMBERS]
    assert merged[0][1]["member_id"].unique().tolist() == [m.member_id for m in MEMBERS]
    for members, metrics in merged[1:]:
        pd.testing.assert_frame_equal(members, merged[0][0], check_exact=True)
        pd.testing.assert_frame_equal(metrics, merged[0][1], check_exact=True)


def test_the_members_table_describes_each_member_and_its_result(folder):
    config = member("dense-4", noise=0.3, beta=0.01, seed=2, rho=0.1, grid="smoke")
    training = trained([config])
    [row] = member_rows(training).to_dict("records")
    assert list(row) == MEMBER_COLUMNS
    expected = {
        "member_id": config.member_id,
        "grid": "smoke",
        "protocol": "as-written",
        "model": "dense-4",
    }
    expected |= {
        "noise_factor": 0.3,
        "beta": 0.01,
        "rho": 0.1,
        "seed": 2,
        "status": FINISHED,
        "epochs": 3,
        "error": "",
    }
    assert {name: row[name] for name in expected} == expected
    assert row["n_parameters"] == n_parameters(architecture("dense-4"), 30)
    metrics = metric_rows(training)
    assert list(metrics.columns) == METRIC_COLUMNS
    last = metrics[(metrics["epoch"] == 3) & (metrics["metric"] == "mse")].set_index("split")[
        "value"
    ]
    assert [row["train_mse"], row["val_mse"], row["test_mse"]] == [
        last["train"],
        last["validation"],
        last["test"],
    ]
    curve = metrics[(metrics["split"] == "validation") & (metrics["metric"] == "mse")].set_index(
        "epoch"
    )["value"]
    assert list(curve.index) == [1, 2, 3]
    assert (row["best_epoch"], row["best_val_mse"]) == (curve.idxmin(), curve.min())
    assert 0 < row["mean_activation"] < 1
    assert row["seconds"] > 0
    assert pd.isna(row["diverged_epoch"])


def test_the_best_epoch_is_not_always_the_last(folder):
    training = trained([member(epochs=3)])
    for record in training.records:
        if (record.split, record.metric) == ("validation", "mse"):
            record.values[0] = {1: 0.5, 2: 0.2, 3: 0.4}[record.epoch]
    [row] = member_rows(training).to_dict("records")
    assert (row["best_epoch"], row["best_val_mse"], row["val_mse"]) == (2, 0.2, 0.4)


# what a user would see as a warning is an error here
@pytest.mark.filterwarnings("error")
def test_failed_members_have_a_row_with_the_reason_until_they_end(folder):
    finish(folder, MEMBERS[2:4])
    errors = {
        MEMBERS[0].member_id: "OSError: no space",
        MEMBERS[2].member_id: "of an earlier attempt",
    }
    members, _ = folder.merge(MEMBERS, errors)
    assert members["member_id"].tolist() == [m.member_id for m in (MEMBERS[0], *MEMBERS[2:4])]
    assert members["status"].tolist() == ["failed", FINISHED, FINISHED]
    assert members["error"].tolist() == ["OSError: no space", "", ""]
    assert members["epochs"].tolist() == [0, 3, 3]
    assert members["test_mse"].isna().tolist() == [True, False, False]
    finish(folder, MEMBERS[:1])
    assert folder.merge(MEMBERS, errors)[0]["status"].tolist() == [FINISHED] * 3


@pytest.mark.filterwarnings("error")
def test_columns_have_one_type_with_and_without_failures(folder):
    """A table has the same types even if a member failed or diverged, or if none has ended."""
    finish(folder, [member(), member(noise=0.1, learning_rate=1e30)])
    planned = [member(), member(noise=0.1, learning_rate=1e30), MEMBERS[0]]
    members, _ = folder.merge(planned, {})
    assert members["status"].tolist() == [FINISHED, DIVERGED]
    folder.merge(planned, {MEMBERS[0].member_id: "lost"})
    read = pd.read_parquet(folder.path / "members.parquet")
    pd.testing.assert_series_equal(read.dtypes, members.dtypes)


def test_members_of_another_plan_are_left_out(folder):
    finish(folder, MEMBERS[:2])
    members, metrics = folder.merge(MEMBERS[1:], {})
    assert members["member_id"].tolist() == [MEMBERS[1].member_id]
    assert set(metrics["member_id"]) == {MEMBERS[1].member_id}


def test_a_run_in_which_nothing_has_ended_has_empty_tables_of_the_usual_types(folder, tmp_path):
    other = RunFolder(tmp_path / "other")
    other.create()
    finish(other, MEMBERS[:2])
    usual = other.merge(MEMBERS, {})
    members, metrics = folder.merge(MEMBERS, {})
    for empty, table in zip((members, metrics), usual, strict=True):
        pd.testing.assert_series_equal(empty.dtypes, table.dtypes)
    assert (list(members.columns), len(members)) == (MEMBER_COLUMNS, 0)
    assert (list(metrics.columns), len(metrics)) == (METRIC_COLUMNS, 0)
    assert len(pd.read_parquet(folder.path / "members.parquet")) == 0
    assert json.dumps(folder.checkpointed_packs()) == "[]"
