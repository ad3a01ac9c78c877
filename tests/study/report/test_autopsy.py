"""The autopsy: which item set right makes a result vanish."""

import numpy as np
import pytest

from study.evidence.evidence import load_evidence
from study.grids import Narrowing
from study.report import autopsy
from tests.study.report.made import as_seen
from tests.study.runs import effect_as_published, fake_run


def test_the_autopsy_names_the_step(evidence):
    rows = autopsy.autopsy_rows(evidence)
    change = autopsy.autopsy_change(rows).set_index(["model", "series"])
    assert change.loc[("dense-4", "as-published"), "change"] == pytest.approx(-0.2)
    assert change.loc[("dense-4", "fresh network per level"), "change"] == pytest.approx(
        0.0, abs=1e-12
    )
    assert set(change["seeds"]) == {3}
    assert ("conv", "one image per sample") in change.index
    assert ("conv", "two code layers") not in change.index
    assert list(dict.fromkeys(change.index.get_level_values(1)))[:2] == [
        "as-published",
        "fresh network per level",
    ]
    points = autopsy.autopsy_figures(evidence)[0].data.set_index(
        ["model", "series", "noise_factor"]
    )
    values = as_seen("dense-4", effect_as_published, 0.7, phases=11)
    assert points.loc[("dense-4", "linear output", 0.7), "mse"] == pytest.approx(
        np.mean(values) - 0.03
    )


def test_the_change_is_paired_by_seed(tmp_path):
    """Seeds far apart, but each falls by exactly 0.1: an interval of no width."""
    narrow = Narrowing(seeds=3, depths=["2"], noise=[0.0, 1.0])
    run = fake_run(tmp_path / "run", "autopsy", mse=lambda m, a: m.seed - 0.1 * a, narrowing=narrow)
    change = autopsy.autopsy_change(autopsy.autopsy_rows(load_evidence([run])))
    assert change[["change", "low", "high"]].to_numpy() == pytest.approx(-0.1)
