"""`--storage s3://`, with an S3 server on loopback: the same tables, and a run that goes on from the bucket."""

import os
import socket
import subprocess
import sys

import pytest

from tests.s3 import BUCKET, KEYS, make_bucket, server_program
from tests.small import ROOT, assert_same_tables, expression_file, models

STUDY = ["--grid", "smoke", "--depths", "2", "--betas", "0", "--epochs", "4", "--pack", "1", "--no-report"]


def study(data, out, *further, **environment):
    command = [sys.executable, "run_study.py", *STUDY, "--data", str(data), "--out", str(out), *further]
    variables = {**os.environ, **KEYS, **environment}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, env=variables)


@pytest.fixture(scope="module")
def server():
    """The address of an S3 server with an empty bucket."""
    program = server_program()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        with pytest.MonkeyPatch.context() as patch:
            for name, value in KEYS.items():
                patch.setenv(name, value)
            make_bucket(url)
        yield url
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return expression_file(tmp_path_factory.mktemp("data"), n_samples=60)


def test_workers_of_ray_deliver_through_a_bucket_and_another_machine_goes_on_from_it(data, server, tmp_path):
    url = f"s3://{BUCKET}/runs/small"
    assert study(data, tmp_path / "plain", "--local").returncode == 0
    first = ["--storage", url, "--workers", "2"]
    done = study(data, tmp_path / "here", *first, AWS_ENDPOINT_URL=server)
    assert done.returncode == 0, done.stderr
    assert_same_tables(tmp_path / "here", tmp_path / "plain")
    assert models(tmp_path / "here") == models(tmp_path / "plain")
    secret = KEYS["AWS_SECRET_ACCESS_KEY"].encode()
    files = [path for path in (tmp_path / "here").rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if secret in path.read_bytes()]

    done = study(data, tmp_path / "there", *first, "--resume", AWS_ENDPOINT_URL=server)
    assert done.returncode == 0, done.stderr
    assert "nothing left to train" in done.stderr
    assert_same_tables(tmp_path / "there", tmp_path / "plain")
    assert models(tmp_path / "there") == models(tmp_path / "plain")

    done = study(data, tmp_path / "third", *first, AWS_ENDPOINT_URL=server)
    assert done.returncode == 2
    assert "holds a run already" in done.stderr
    assert not (tmp_path / "third").exists()


@pytest.mark.parametrize("bucket", ["no-such-bucket", BUCKET])
def test_a_bucket_that_is_not_there_or_not_reached_is_said_in_a_line(bucket, data, server, tmp_path):
    away = "http://127.0.0.1:9"
    endpoint = server if bucket != BUCKET else away
    done = study(data, tmp_path / "run", "--local", "--storage", f"s3://{bucket}/x", AWS_ENDPOINT_URL=endpoint)
    assert done.returncode == 2
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert f"--storage s3://{bucket}/x: cannot be used" in line
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
