"""What the report's tests share."""

import pytest

from study.evidence.evidence import load_evidence
from tests.study.runs import fake_run


@pytest.fixture(scope="session")
def evidence(tmp_path_factory):
    """Return made-up runs of the grids paper and autopsy."""
    folder = tmp_path_factory.mktemp("runs")
    runs = [fake_run(folder / "paper", "as-written"), fake_run(folder / "autopsy", "autopsy")]
    return load_evidence(runs)
