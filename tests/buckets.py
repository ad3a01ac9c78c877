"""S3 and Google servers for tests, from an environment that `make test` sets up (no test)."""

import shutil
import sys
import time
from pathlib import Path

import pytest
from pyarrow import fs

from tests.small import ROOT

BUCKET = "studies"
#: What S3 clients read; the server takes any key.
KEYS = {
    "AWS_ACCESS_KEY_ID": "test-key",
    "AWS_SECRET_ACCESS_KEY": "test-secret-0123456789",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def server_program(name="moto_server"):
    """The S3 server's program, or the other's; skips the test where there is none."""
    places = [
        ROOT / ".venv-tools" / "bin",
        Path(sys.prefix).with_name(f"{Path(sys.prefix).name}-tools") / "bin",
    ]
    for (
        folder
    ) in places:  # not the PATH: an old moto answers uploads so that the client waits for ever
        program = shutil.which(name, path=str(folder))
        if program:
            return program
    pytest.skip(f"no {name} here: `make .venv-tools` installs it")


def make_bucket(url):
    """Wait for the server and make the bucket, with the keys and AWS_ENDPOINT_URL in os.environ."""
    for _ in range(100):
        try:
            filesystem, _ = fs.FileSystem.from_uri(
                f"s3://{BUCKET}?allow_bucket_creation=true&endpoint_override={url}"
            )
            filesystem.create_dir(BUCKET)
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"no answer from {url}")
