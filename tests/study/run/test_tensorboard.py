"""TensorBoard runs: read back by tensorboard's own readers, and over its HTTP interface."""

import json
import math
import re
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

from study.run.tensorboard import HPARAMS, MemberLog

RUN = "dense-4/noise-0.5/beta-0.01/seed-0"
HP = {
    "model": "dense-4",
    "noise_factor": 0.5,
    "beta": 0.01,
    "rho": 0.05,
    "seed": 0,
    "learning_rate": 1e-3,
}


def history(epochs, first=1):
    return [
        (epoch, tag, value, 1000.0 + epoch)
        for epoch in range(first, epochs + 1)
        for tag, value in (("loss/train", 2.0 / epoch), ("mse/validation", 1.0 / epoch))
    ]


def read(folder):
    """{tag: [(wall_time, step, value)]} of one run."""
    reader = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    reader.Reload()
    return {
        tag: [(event.wall_time, event.step, event.value) for event in reader.Scalars(tag)]
        for tag in reader.Tags()["scalars"]
    }


def event_files(folder):
    return sorted(folder.glob("*tfevents*"))


def test_scalars_are_read_back_by_tensorboard(tmp_path):
    log = MemberLog(tmp_path, RUN, HP)
    log.scalars(history(3))
    log.scalars([(3, "mse/test", 0.25, 1003.5)])
    log.close("finished")
    assert read(tmp_path / RUN) == {
        "loss/train": [(1001.0, 1, 2.0), (1002.0, 2, 1.0), (1003.0, 3, pytest.approx(2 / 3))],
        "mse/validation": [(1001.0, 1, 1.0), (1002.0, 2, 0.5), (1003.0, 3, pytest.approx(1 / 3))],
        "mse/test": [(1003.5, 3, 0.25)],
    }


def test_values_are_on_disk_before_close_and_no_file_stays_open(tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(128, limits[1]), limits[1]))
    try:
        logs = [MemberLog(tmp_path, f"dense-2/seed-{seed}", HP) for seed in range(200)]
        for log in logs:
            log.scalars(history(1))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert read(tmp_path / "dense-2/seed-199")["loss/train"] == [(1001.0, 1, 2.0)]


def test_a_resumed_member_equals_an_unbroken_one_byte_for_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    unbroken = MemberLog(tmp_path / "a", RUN, HP)
    for epoch in range(1, 6):
        unbroken.scalars(history(epoch, first=epoch))
    unbroken.close("finished")

    killed = MemberLog(tmp_path / "b", RUN, HP)
    killed.scalars(history(3))
    resumed = MemberLog(tmp_path / "b", RUN, HP)
    assert resumed.path != killed.path  # an open TensorBoard goes on to a new name only
    resumed.scalars(history(5))
    resumed.close("finished")

    [one], [other] = event_files(tmp_path / "a" / RUN), event_files(tmp_path / "b" / RUN)
    assert one.read_bytes() == other.read_bytes()


def test_a_new_attempt_leaves_other_files_and_runs_alone(tmp_path):
    below = MemberLog(tmp_path, "dense-2/seed-0", HP)
    first = MemberLog(tmp_path, "dense-2", HP)
    note = tmp_path / "dense-2" / "note.txt"
    note.write_text("kept")
    MemberLog(tmp_path, "dense-2", HP)
    assert below.path.exists()
    assert note.exists()
    assert not first.path.exists()
    # The earlier attempt's process, if it is alive, fails instead of leaving a second file.
    with pytest.raises(FileNotFoundError):
        first.scalars(history(1))
    assert len(event_files(tmp_path / "dense-2")) == 1


def test_a_file_cut_short_by_a_kill_still_reads_up_to_there(tmp_path):
    log = MemberLog(tmp_path, RUN, HP)
    log.scalars(history(4))
    log.path.write_bytes(log.path.read_bytes()[:-5])
    assert [step for _, step, _ in read(tmp_path / RUN)["loss/train"]] == [1, 2, 3]


def test_nan_inf_and_numbers_beyond_float32_are_written(tmp_path):
    log = MemberLog(tmp_path, RUN, HP)
    values = [math.nan, math.inf, -math.inf, 1e300, 0.5]
    log.scalars((epoch, "loss/train", value, 1.0) for epoch, value in enumerate(values))
    found = [value for _, _, value in read(tmp_path / RUN)["loss/train"]]
    assert math.isnan(found[0])
    assert found[1:] == [math.inf, -math.inf, math.inf, 0.5]


def test_without_the_run_folder_none_is_made_in_its_place(tmp_path):
    with pytest.raises(FileNotFoundError):
        MemberLog(tmp_path / "run" / "tensorboard", RUN, HP)
    assert list(tmp_path.iterdir()) == []


def test_the_multiplexer_finds_each_member_as_a_run(tmp_path):
    for seed in (0, 1):
        MemberLog(tmp_path, f"conv/seed-{seed}", HP).scalars(history(2))
    reader = EventMultiplexer().AddRunsFromDirectory(str(tmp_path))
    reader.Reload()
    assert set(reader.Runs()) == {"conv/seed-0", "conv/seed-1"}


@contextmanager
def tensorboard(logdir):
    """A TensorBoard on a loopback port of its choice: a function (path, body) -> JSON."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir)]
    server = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", "0"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        said = []
        for line in server.stderr:
            said.append(line.decode())
            if address := re.search(r"http://[\w.]+:\d+", said[-1]):
                break
        else:
            pytest.fail("tensorboard did not start:\n" + "".join(said))

        def get(path, body=None):
            data = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(
                address[0] + path, data, {"Content-Type": "application/json"}
            )
            # no proxy, whatever the environment says: the address is loopback
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(request, timeout=20) as reply:
                return json.load(reply)

        yield get
    finally:
        server.terminate()
        server.wait(timeout=10)
        server.stderr.close()


def test_over_http_runs_curves_and_hparams_are_there(tmp_path, monkeypatch):
    ends = {0: "finished", 1: "diverged", 2: "finished"}
    for seed, status in ends.items():
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: 1000.0)
            log = MemberLog(tmp_path, f"dense-4/seed-{seed}", HP | {"seed": seed})
        log.scalars(history(2))
        log.scalars([(2, "mse/test", math.nan if status == "diverged" else 0.5 + seed, 1002.0)])
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", lambda: 1060.0)
            log.close(status)
    # of mixed noise: NaN has no place in a column of numbers
    MemberLog(tmp_path, "mixed", HP | {"seed": 3, "noise_factor": math.nan})

    with tensorboard(tmp_path) as get:
        deadline = (
            time.monotonic() + 30
        )  # where its fast loader is missing, it answers before it has read all
        while len(get("/data/plugin/scalars/tags")) < len(ends) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert set(get("/data/runs")) == {"mixed", *(f"dense-4/seed-{seed}" for seed in ends)}
        tags = get("/data/plugin/scalars/tags")
        assert set(tags["dense-4/seed-0"]) == {"loss/train", "mse/validation", "mse/test"}
        curve = get("/data/plugin/scalars/scalars?tag=loss%2Ftrain&run=dense-4%2Fseed-1")
        assert curve == [[1001.0, 1, 2.0], [1002.0, 2, 1.0]]
        curve = get("/data/plugin/scalars/scalars?tag=mse%2Ftest&run=dense-4%2Fseed-1")
        assert curve == [[1002.0, 2, "NaN"]]

        experiment = get("/data/plugin/hparams/experiment", {})
        columns = {info["name"]: info for info in experiment["hparamInfos"]}
        assert set(columns) == set(HPARAMS)
        assert columns["seed"]["domainInterval"] == {"minValue": 0.0, "maxValue": 3.0}
        assert columns["model"]["domainDiscrete"] == ["dense-4"]
        metrics = {info["name"]["tag"] for info in experiment["metricInfos"]}
        assert metrics == {"loss/train", "mse/validation", "mse/test"}

        statuses = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
        columns = [{"hparam": name} for name in HPARAMS] + [
            {"metric": {"group": "", "tag": "mse/test"}}
        ]
        body = {
            "allowedStatuses": statuses,
            "colParams": columns,
            "startIndex": 0,
            "sliceSize": 100,
        }
        found = get("/data/plugin/hparams/session_groups", body)
        groups = {group["name"]: group for group in found["sessionGroups"]}
        assert set(groups) == {"mixed", *(f"dense-4/seed-{seed}" for seed in ends)}
        assert groups["dense-4/seed-2"]["hparams"] == HP | {"seed": 2}
        assert "noise_factor" not in groups["mixed"]["hparams"]
        sessions = [groups[f"dense-4/seed-{seed}"]["sessions"][0] for seed in ends]
        found = [session["status"] for session in sessions]
        assert found == ["STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_SUCCESS"]
        assert sessions[0]["endTimeSecs"] - sessions[0]["startTimeSecs"] == 60.0
        metrics = {value["name"]["tag"]: value["value"] for value in sessions[2]["metricValues"]}
        assert metrics == {"loss/train": 1.0, "mse/validation": 0.5, "mse/test": 2.5}


def test_importing_it_loads_neither_torch_nor_ray_nor_tensorflow():
    code = (
        "import sys, study.run.tensorboard; "
        "print({'torch', 'ray', 'tensorflow', 'tensorboardX'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
