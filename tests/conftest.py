"""What all tests share."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """As in a worker: results to the last bit are promised on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


#: Where tests launch whole runs, seconds each.
LAUNCHING = ("cluster", "faults", "study/run", "study/search", "test_run_study.py")


def pytest_collection_modifyitems(config, items):
    """Put the files that take longest first, so that no process is left with one at the end."""
    tests = config.rootpath / "tests"
    items.sort(key=lambda item: not item.path.relative_to(tests).as_posix().startswith(LAUNCHING))
