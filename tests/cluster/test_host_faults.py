"""A host that is killed or cut off during a study on three: the tables are an unbroken run's."""

import time
from pathlib import Path

import pytest

from tests.buckets import KEYS
from tests.cluster.conftest import S3, finish, in_one_process, python, serve_s3
from tests.cluster.hosts import Hosts
from tests.cluster.lab import Cluster
from tests.small import assert_same_tables, models
from tests.study.run.test_ray import wait_for

pytestmark = pytest.mark.slow

LONG = ["--epochs", "800", "--pack", "1", "--checkpoint-seconds", "0.5"]


@pytest.fixture
def fresh(able):
    """A cluster of its own: it does not outlive the fault."""
    with Hosts(3) as hosts:
        cluster = Cluster(hosts, variables={**KEYS, "AWS_ENDPOINT_URL": S3})
        cluster.up()
        yield cluster


@pytest.fixture(scope="module")
def long_study(study):
    return [*study, *LONG]


@pytest.fixture(scope="module")
def unbroken(long_study, tmp_path_factory):
    """The study in one process, never stopped."""
    return in_one_process(long_study, tmp_path_factory.mktemp("runs") / "unbroken", timeout=600)


def begun(cluster, out, *words):
    """The study, at the moment in which all three hosts train."""
    process = cluster.submit(out, *words)
    wait_for(lambda: cluster.training(now=True) == {1, 2, 3} or process.poll() is not None)
    assert process.poll() is None, process.communicate()[0]
    return process


def checkpoints(out):
    """A checkpoint is there."""
    return list((out / "checkpoints").glob("*.safetensors"))


def test_a_killed_worker_host_costs_nothing_but_time(fresh, long_study, unbroken, tmp_path):
    out = tmp_path / "run"
    process = begun(fresh, out, *long_study)
    wait_for(lambda: checkpoints(out))
    fresh.hosts.kill(3)
    fresh.workers = (2,)
    output, _ = finish(process, fresh, seconds=400)
    assert "8 of 8 members ended (8 finished)" in output, output
    assert_same_tables(out, unbroken)
    assert models(out) == models(unbroken)


def test_a_host_that_is_cut_off_for_a_minute_costs_nothing_but_time(
    fresh, long_study, unbroken, tmp_path
):
    out = tmp_path / "run"
    process = begun(fresh, out, *long_study)
    wait_for(lambda: checkpoints(out))
    fresh.hosts.cut(3)
    time.sleep(60)
    fresh.hosts.join(3)
    output, _ = finish(process, fresh, seconds=400)
    assert "8 of 8 members ended (8 finished)" in output, output
    assert_same_tables(out, unbroken)
    assert models(out) == models(unbroken)


def test_after_the_head_was_killed_a_new_cluster_goes_on_from_the_storage(
    fresh, long_study, unbroken, tmp_path
):
    """The run folder is on the head alone, and lost with it."""
    with serve_s3(fresh.hosts) as bucket:
        out, storage = Path("/run/mine"), ["--storage", f"{bucket}/mine"]
        process = begun(fresh, out, *long_study, *storage)
        code = f"from study.run.storage import Storage; print(*Storage('{bucket}/mine').sizes())"

        def names():
            """Two packs have ended, and the others have checkpoints."""
            found = python(fresh.hosts, 0, code).split()
            parts = {name for name in found if name.endswith(".members.parquet")}
            return (
                parts
                if len(parts) >= 2 and any(name.startswith("checkpoints/") for name in found)
                else None
            )

        before = wait_for(names)
        fresh.hosts.kill(1)
        process.kill()
        process.communicate()
        fresh.hosts.start(1)
        fresh.hosts.run(0, "rm /tmp/ray/cluster-*")  # what `ray up` remembers of the old one
        fresh.up()
        output, _ = finish(fresh.submit(out, *long_study, *storage, "--resume"), fresh, seconds=400)
        assert "8 of 8 members ended (8 finished)" in output, output
        code = (
            "from study.run.storage import Storage; from study.run.folder import RunFolder as F; "
        )
        code += f"F({str(tmp_path / 'fetched')!r}, Storage({f'{bucket}/mine'!r})).fetch()"
        python(fresh.hosts, 0, code)
    assert_same_tables(tmp_path / "fetched", unbroken)
    assert models(tmp_path / "fetched") == models(unbroken)
    assert before <= {f"parts/{path.name}" for path in (tmp_path / "fetched" / "parts").iterdir()}
