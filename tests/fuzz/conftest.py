"""What the fuzzing tests share: one process that reads, one folder, and the count of inputs."""

import pytest

from tests.fuzz.child import Child
from tests.fuzz.inputs import COUNTS, INPUTS


@pytest.fixture(scope="session")
def here(tmp_path_factory):
    """The folder of all inputs, and the working folder of `child`."""
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="session")
def child(here):
    """The process that reads."""
    child = Child(here)
    yield child
    child.stop()


def pytest_terminal_summary(terminalreporter):
    """How many inputs each target got, where they were asked for."""
    if not INPUTS:
        return
    terminalreporter.section(f"{sum(COUNTS.values())} inputs")
    for name, count in sorted(COUNTS.items()):
        terminalreporter.write_line(f"{count:7d}  {name.removeprefix('test_')}")
