"""The study on three hosts that `ray up` has made a cluster of: the same tables, and nobody else gets in."""

import time

from tests.small import assert_same_tables


def finish(process, cluster=None, seconds=180):
    """Waits for `ray submit`; returns its output and the hosts that trained meanwhile."""
    trained, end = set(), time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        trained |= cluster.training()
        time.sleep(0.1)
    output = process.communicate(timeout=5)[0]
    return output, trained


def test_three_hosts_make_the_tables_of_one(cluster, study, one_host, tmp_path):
    output, trained = finish(cluster.submit(tmp_path / "run", *study), cluster)
    assert "18 of 18 members ended (18 finished)" in output, output
    assert trained == {1, 2, 3}
    assert_same_tables(tmp_path / "run", one_host)
