"""`--storage`: a run on another machine's disk or in an object store, and its resumption."""

import os
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from data_utils.errors import InputError
from study.options import SearchOptions, StudyOptions
from study.run.cluster import mark, seen
from study.run.folder import Part, RunFolder, open_folder
from study.run.storage import Storage
from study.search.search import open_search
from tests.small import ROOT, assert_same_tables, contents, expression_file, flipped, models

STUDY = ["--grid", "smoke", "--depths", "2", "--betas", "0", "--epochs", "4"]
STUDY += ["--pack", "1", "--local", "--no-report"]


def study(data, out, *further):
    words = [*STUDY, "--data", str(data), "--out", str(out), *further]
    command = [sys.executable, "run_study.py", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return expression_file(tmp_path_factory.mktemp("data"), n_samples=60)


@pytest.fixture(scope="module")
def plain(data, tmp_path_factory):
    """A run without a storage."""
    out = tmp_path_factory.mktemp("runs") / "plain"
    assert study(data, out).returncode == 0
    return out


def settled(storage):
    """What a storage holds, as a run folder has it."""
    return {name: content for name, content in contents(storage).items() if content is not None}


def test_a_run_is_whole_in_its_storage_and_continues_from_it_elsewhere(data, plain, tmp_path):
    storage = tmp_path / "storage"
    done = study(data, tmp_path / "here", "--storage", str(storage))
    assert done.returncode == 0, done.stderr
    assert_same_tables(tmp_path / "here", plain)
    assert_same_tables(storage, plain)
    assert models(storage) == models(plain)
    left = {name for name in settled(tmp_path / "here") if not name.startswith(".")}
    assert set(settled(storage)) == left

    lost = sorted((storage / "parts").glob("*.members.parquet"))[0]
    again = pd.read_parquet(lost)["member_id"].tolist()
    lost.unlink()
    for name in ("members.parquet", "metrics.parquet"):
        (storage / name).unlink()
    kept = {path.name: path.stat().st_mtime_ns for path in (storage / "parts").iterdir()}
    assert len(kept) == 7
    done = study(data, tmp_path / "there", "--storage", str(storage), "--resume")
    assert done.returncode == 0, done.stderr
    assert_same_tables(storage, plain)
    assert_same_tables(tmp_path / "there", plain)
    assert models(tmp_path / "there") == models(plain)
    assert pd.read_parquet(lost)["member_id"].tolist() == again
    new = {
        path.name
        for path in (storage / "parts").iterdir()
        if kept.get(path.name) != path.stat().st_mtime_ns
    }
    assert len(new) == 4  # the one pack's files alone
    assert (tmp_path / "there" / "log.txt").read_text().count("60 genes") == 2  # of both machines
    assert (storage / "log.txt").read_text().count("60 genes") == 2


def test_a_storage_that_is_taken_is_left_alone(data, plain, tmp_path):
    storage = shutil.copytree(plain, tmp_path / "storage")
    before = contents(storage)
    done = study(data, tmp_path / "here", "--storage", str(storage))
    assert (done.returncode, contents(storage), (tmp_path / "here").exists()) == (2, before, False)
    assert (
        "holds a run already: give --resume to continue, --fresh to replace it, or another"
        in done.stderr
    )
    (storage / "plan.json").unlink()
    done = study(data, tmp_path / "here", "--storage", str(storage), "--fresh")
    assert done.returncode == 2
    assert "holds files already: give another" in done.stderr


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        ("s4://bucket/x", "give a path, s3://BUCKET/PATH or gs://"),
        ("s3://user:word@bucket/x", "holds credentials"),
        ("OUT/storage", "is in --out"),
    ],
)
def test_an_unusable_storage_is_refused_in_one_line(storage, words, tmp_path):
    options = StudyOptions(
        out=tmp_path / "run", storage=storage.replace("OUT", str(tmp_path / "run"))
    )
    with pytest.raises(InputError, match=words) as error:
        open_folder(options)
    assert "word" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_worker_writes_through_from_a_scratch_folder_and_finds_its_checkpoint_again(tmp_path):
    storage = tmp_path / "storage"
    with RunFolder("/nowhere", Storage(str(storage))).on_worker() as run:
        scratch = run.path
        run.save_checkpoint("abc", ["m"], {"a": pd.Series([1.0]).to_numpy()}, {"epoch": 3})
    assert not scratch.exists()
    with RunFolder("/nowhere", Storage(str(storage))).on_worker() as run:
        arrays, facts = run.load_checkpoint("abc")
        assert (arrays["a"].tolist(), facts) == ([1.0], {"epoch": 3})
        table = pd.DataFrame({"member_id": ["m"]})
        run.finish_pack("abc", Part(table, table, table))
        assert (
            run.load_checkpoint("abc") is None
            or not (storage / "checkpoints" / "abc.safetensors").exists()
        )
    ends = ("sha256", "members.parquet", "metrics.parquet", "samples.parquet")
    assert set(settled(storage)) == {f"parts/abc.{end}" for end in ends}


def test_a_part_that_was_half_delivered_is_fetched_again(tmp_path):
    storage = tmp_path / "storage"
    metrics = pd.DataFrame({"member_id": ["m"], "value": [0.5]})
    for seconds in (1.0, 2.0):  # two attempts at a pack: files of equal sizes
        with RunFolder("/nowhere", Storage(str(storage))).on_worker() as run:
            members = pd.DataFrame({"member_id": ["m"], "seconds": [seconds]})
            run.finish_pack("abc", Part(members, metrics, metrics))
        if seconds == 1.0:
            (storage / "parts" / "abc.members.parquet").unlink()
            driver = RunFolder(tmp_path / "run", Storage(str(storage)))
            driver.fetch()
            assert driver.part("abc") is None
    driver.fetch()
    assert driver.part("abc").members["seconds"].tolist() == [2.0]


def test_the_driver_sees_how_far_a_worker_elsewhere_has_come_and_drops_its_checkpoint_there(
    tmp_path,
):
    storage = Storage(str(tmp_path / "storage"))
    driver = RunFolder(tmp_path / "run", storage)
    driver.create()
    assert driver.standing("abc") is None
    for epoch in (3, 5):
        with RunFolder("/nowhere", storage).on_worker() as run:
            run.save_checkpoint("abc", ["m"], {}, {"epoch": epoch, "batch": 2})
        assert driver.standing("abc") == (epoch, 2)
    driver.drop_checkpoint("abc")
    assert driver.standing("abc") is None
    assert settled(storage.url) == {}


def checkpointed(folder, epoch, batch):
    """The same arrays and digits in every call, so that all files have the same size."""
    folder.save_checkpoint("abc", ["m"], {}, {"epoch": epoch, "batch": batch})


@pytest.mark.parametrize(
    ("here", "there", "kept"),
    [
        ((3, 2), (3, 1), (3, 2)),
        ((3, 1), (4, 0), (4, 0)),
        ("damaged", (1, 1), (1, 1)),
        ((1, 1), "damaged", (1, 1)),
        (None, (2, 1), (2, 1)),
        ((2, 1), None, (2, 1)),
    ],
)
def test_resume_keeps_the_checkpoint_that_has_come_furthest(tmp_path, here, there, kept):
    """The storage was away when this machine saved, or another machine has continued since."""
    path, storage = tmp_path / "run", tmp_path / "storage"
    for place, standing in ((path, here), (storage, there)):
        run = RunFolder(place)
        run.create()
        run.write_json("config.json", {"run_id": "one"})
        run.write_json("plan.json", {})
        if standing is not None:
            checkpointed(run, *(standing if standing != "damaged" else (9, 9)))
        if standing == "damaged":
            flipped(place / "checkpoints" / "abc.safetensors", 0.99)
    options = StudyOptions(out=path, storage=str(storage), resume=True)
    driver = open_folder(options)
    assert driver.standing("abc") == kept
    [facts] = [driver.load_checkpoint("abc")[1]]
    assert (facts["epoch"], facts["batch"]) == kept
    with RunFolder("/nowhere", Storage(str(storage))).on_worker() as worker:  # the storage's
        assert worker.standing("abc") == kept


def test_resume_loses_no_line_of_either_log(tmp_path):
    path, storage = tmp_path / "run", tmp_path / "storage"
    for place, lines in ((path, "begun\nlocal\n"), (storage, "begun\nelsewhere\n")):
        run = RunFolder(place)
        run.create()
        run.write_text("log.txt", lines)
    driver = RunFolder(path, Storage(str(storage)))
    for _ in range(2):
        driver.fetch()
        driver.mirror.deliver_new()
        for place in (path, storage):
            assert (place / "log.txt").read_text() == "begun\nelsewhere\nlocal\n"
    (storage / "log.txt").write_text("begun\n")  # what could not be delivered is here
    driver.fetch()
    assert (path / "log.txt").read_text() == "begun\nelsewhere\nlocal\n"


def test_results_of_a_run_that_was_made_anew_elsewhere_do_not_count(data, plain, tmp_path):
    """Its packs have the same names, so that nothing else tells them apart."""
    storage = tmp_path / "storage"
    assert study(data, tmp_path / "here", "--storage", str(storage)).returncode == 0
    again = shutil.copytree(tmp_path / "here", tmp_path / "again")
    before = contents(again)
    done = study(data, tmp_path / "there", "--storage", str(storage), "--fresh")
    assert done.returncode == 0, done.stderr
    done = study(data, again, "--storage", str(storage), "--resume")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert f"{again}: holds another run than --storage {storage}: give another --out" in line
    assert contents(again) == before
    done = study(data, tmp_path / "there", "--storage", str(storage), "--resume")
    assert (done.returncode, "nothing left to train" in done.stderr) == (0, True)
    assert_same_tables(tmp_path / "there", plain)


def test_a_stop_reaches_workers_elsewhere(tmp_path):
    storage = Storage(str(tmp_path / "storage"))
    driver, worker = RunFolder(tmp_path / "a", storage), RunFolder(tmp_path / "b", storage)
    driver.create()
    driver.request_stop(True)
    assert worker.stop_requested()
    driver.request_stop(False)
    assert not RunFolder(tmp_path / "c", storage).stop_requested()


def test_a_storage_that_is_away_for_a_while_is_waited_for_and_one_that_stays_away_is_an_error(
    tmp_path,
):
    (tmp_path / "s").write_text("a file where the folder should be")
    storage = Storage(str(tmp_path / "s"), waits=(0.0, 0.0))
    with pytest.raises(OSError, match=r"exists|[Nn]ot a directory"):
        storage.put("a/b", b"1")
    attempts = []

    def work():
        attempts.append(1)
        if len(attempts) < 3:
            raise OSError("away")
        return "there"

    assert storage._again(work) == "there"


def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path):
    class Odd(Storage):
        def sizes(self):
            return {"../outside": 4}

    folder = RunFolder(tmp_path / "run", Odd(str(tmp_path / "storage")))
    with pytest.raises(InputError, match="no run's storage"):
        folder.fetch()
    assert not (tmp_path / "outside").exists()


def test_a_mark_is_visible_wherever_the_folder_is_shared_and_is_removed_afterwards(tmp_path):
    for options in (
        StudyOptions(out=tmp_path / "a" / "b"),
        StudyOptions(storage=str(tmp_path / "storage")),
    ):
        with mark(options) as (storage, name):
            assert seen(storage, name) == ""
            assert seen(storage, f"{name}x") == "it is not there"
        assert seen(storage, name) == "it is not there"
    assert [path.name for path in tmp_path.iterdir()] == ["storage"]
    assert os.listdir(tmp_path / "storage") == []


def test_a_search_has_no_storage(tmp_path):
    options = StudyOptions(storage=str(tmp_path / "storage"), out=tmp_path / "run")
    with pytest.raises(InputError, match="not with --search"):
        open_search(options, SearchOptions())
    assert os.listdir(tmp_path) == []
