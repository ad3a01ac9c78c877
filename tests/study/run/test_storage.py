"""`--storage s3://` and `gs://` on a loopback server: the same tables, resumed from the bucket."""

import os
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from data_utils.errors import InputError
from study.run.storage import Storage
from tests.buckets import BUCKET, KEYS, make_bucket, server_program
from tests.processes import wait_for
from tests.small import ROOT, assert_same_tables, expression_file, models

STUDY = ["--grid", "smoke", "--depths", "2", "--betas", "0", "--epochs", "4"]
STUDY += ["--pack", "1", "--no-report"]


def study(data, out, *further, **environment):
    words = [*STUDY, "--data", str(data), "--out", str(out), *further]
    command = [sys.executable, "run_study.py", *words]
    variables = {**os.environ, **KEYS, **environment}
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=200, env=variables
    )


@contextmanager
def serving(*command):
    """Run a server command with a free port of loopback added; yield the server's address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*command, str(port)], **quiet)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def s3():
    """Serve an empty S3 bucket; return its URL and a study's environment variables for it."""
    with (
        serving(server_program(), "-H", "127.0.0.1", "-p") as address,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in KEYS.items():
            patch.setenv(name, value)
        make_bucket(address)
        yield f"s3://{BUCKET}", {**KEYS, "AWS_ENDPOINT_URL": address}


@pytest.fixture(scope="module")
def google():
    """Serve an empty Google bucket; return its URL and a study's environment variables for it."""
    program = server_program("gcp-storage-emulator")
    command = [
        program,
        "start",
        "--quiet",
        "--in-memory",
        f"--default-bucket={BUCKET}",
        "-H",
        "127.0.0.1",
        "--port",
    ]
    with serving(*command) as address:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CLOUD_STORAGE_EMULATOR_ENDPOINT", address)
            wait_for(lambda: reached(f"gs://anonymous@{BUCKET}/x"))
        yield f"gs://anonymous@{BUCKET}", {"CLOUD_STORAGE_EMULATOR_ENDPOINT": address}


def reached(url):
    """Whether the bucket answers."""
    try:
        Storage(f"{url}?retry_limit_seconds=1", waits=()).check()
    except InputError:
        return False
    return True


@pytest.fixture(params=["s3", "google"])
def bucket(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return expression_file(tmp_path_factory.mktemp("data"), n_samples=60)


@pytest.mark.parametrize(
    "bucket", ["s3", pytest.param("google", marks=pytest.mark.slow)], indirect=True
)
def test_workers_of_ray_deliver_through_a_bucket_and_another_machine_continues_from_it(
    data, bucket, tmp_path
):
    url, environment = f"{bucket[0]}/runs/small", bucket[1]
    assert study(data, tmp_path / "plain", "--local").returncode == 0
    first = ["--storage", url, "--workers", "2"]
    done = study(data, tmp_path / "here", *first, **environment)
    assert done.returncode == 0, done.stderr
    assert_same_tables(tmp_path / "here", tmp_path / "plain")
    assert models(tmp_path / "here") == models(tmp_path / "plain")
    secret = KEYS["AWS_SECRET_ACCESS_KEY"].encode()
    files = [path for path in (tmp_path / "here").rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if secret in path.read_bytes()]

    done = study(data, tmp_path / "there", *first, "--resume", **environment)
    assert done.returncode == 0, done.stderr
    assert "nothing left to train" in done.stderr
    assert_same_tables(tmp_path / "there", tmp_path / "plain")
    assert models(tmp_path / "there") == models(tmp_path / "plain")

    done = study(data, tmp_path / "third", *first, **environment)
    assert done.returncode == 2
    assert "holds a run already" in done.stderr
    assert not (tmp_path / "third").exists()


@pytest.mark.parametrize("name", ["no-such-bucket", BUCKET])
def test_a_missing_or_unreachable_bucket_is_reported_in_one_line(name, data, bucket, tmp_path):
    url, environment = f"{bucket[0].replace(BUCKET, name)}/x", bucket[1]
    if name == BUCKET:
        environment = {
            key: "http://127.0.0.1:9" if "ENDPOINT" in key else value
            for key, value in environment.items()
        }
        url += "?retry_limit_seconds=1" * url.startswith("gs://")
    done = study(data, tmp_path / "run", "--local", "--storage", url, **environment)
    assert done.returncode == 2
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert f"--storage {url}: cannot be used" in line
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


def test_files_are_written_listed_read_and_deleted_by_name(bucket, monkeypatch):
    for name, value in bucket[1].items():
        monkeypatch.setenv(name, value)
    storage, other = Storage(f"{bucket[0]}/a", waits=()), Storage(f"{bucket[0]}/b", waits=())
    large = bytes(range(256)) * 30_000
    storage.put("x/one", b"1")
    storage.put("x/one", b"two")
    storage.put("large", large)
    other.put("empty", b"")
    assert (storage.get("x/one"), storage.get("large") == large, storage.get("none")) == (
        b"two",
        True,
        None,
    )
    assert storage.sizes() == {"x/one": 3, "large": len(large)}
    storage.delete("x/one")
    storage.delete("x/one")
    assert storage.get("x/one") is None
    assert (storage.sizes(), other.sizes()) == ({"large": len(large)}, {"empty": 0})
