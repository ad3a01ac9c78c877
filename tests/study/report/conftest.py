"""What the report's tests share."""

import pytest

from study.evidence.evidence import load_evidence
from study.report import exports
from tests.study.runs import fake_run


@pytest.fixture(scope="session")
def evidence(tmp_path_factory):
    """Return made-up runs of the grids paper and autopsy."""
    folder = tmp_path_factory.mktemp("runs")
    runs = [fake_run(folder / "paper", "as-written"), fake_run(folder / "autopsy", "autopsy")]
    return load_evidence(runs)


@pytest.fixture
def undrawn(monkeypatch):
    """Leave out the drawings of a report whose words are tested: they take most of its time."""
    empty = exports.Image("data:,", 1, 1, "[]")
    monkeypatch.setattr(exports, "save", lambda plot, folder=None: exports.Picture(empty, empty))
