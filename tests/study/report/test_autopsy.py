"""The autopsy: which item set right makes a result vanish."""

from dataclasses import replace

import numpy as np
import pytest

from study.evidence.evidence import load_evidence
from study.grids import Narrowing
from study.report import autopsy
from tests.study.report.made import as_seen
from tests.study.runs import effect_as_published, fake_run


def test_the_autopsy_names_the_step(evidence):
    rows = autopsy.autopsy_rows(evidence)
    change = autopsy.autopsy_change(rows, 0.0).set_index(["model", "series"])
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
    figures = {its.key: its for its in autopsy.autopsy_figures(evidence)}
    points = figures["autopsy"].data.set_index(["model", "series", "noise_factor"])
    values = as_seen("dense-4", effect_as_published, 0.7, phases=11)
    assert points.loc[("dense-4", "linear output", 0.7), "mse"] == pytest.approx(
        np.mean(values) - 0.03
    )


def test_the_change_is_paired_by_seed(tmp_path):
    """Seeds far apart, but each falls by exactly 0.1: an interval of no width."""
    narrow = Narrowing(seeds=3, depths=["2"], noise=[0.0, 1.0])
    run = fake_run(tmp_path / "run", "autopsy", mse=lambda m, a: m.seed - 0.1 * a, narrowing=narrow)
    change = autopsy.autopsy_change(autopsy.autopsy_rows(load_evidence([run])), 0.0)
    assert change[["change", "low", "high"]].to_numpy() == pytest.approx(-0.1)


# The factorial.

#: What each item takes from the fall (C3) and from the growth with depth (C1), in log MSE.
TAKEN = {
    "fresh network per level": (0.2, 0.0),
    "linear output": (0.0, 0.0),
    "Adam to convergence": (0.05, 0.02),
    "fresh noise every epoch": (0.0, 0.0),
}


def made_up(member, noise):
    """Log MSE falls by 0.2 over noise and grows by 0.02 with each step of depth, less TAKEN.

    Each seed has a little of its own.
    """
    taken = [TAKEN.get(item, (0.0, 0.0)) for item in member.protocol.changed]
    fall = 0.2 - sum(its[0] for its in taken)
    step = 0.02 - sum(its[1] for its in taken)
    depth = {"dense-2": 0, "dense-4": 1, "dense-6": 2, "dense-8": 3}[member.model]
    own = 1e-4 * np.sin(3 * member.seed + depth + 10 * noise + len(taken))
    return 0.03 + np.exp(step * depth - fall * noise + own)


@pytest.fixture(scope="module")
def factorial(tmp_path_factory):
    """Measured alike on clean training rows and on noisy test rows."""
    folder = tmp_path_factory.mktemp("factorial") / "run"
    narrow = Narrowing(seeds=4, depths=["2", "4", "6", "8"], noise=[0.0, 0.5, 1.0])
    run = fake_run(folder, "autopsy", mse=made_up, narrowing=narrow)
    found = load_evidence([run])
    return replace(found, levels=found.levels.assign(test_mse=found.levels["train_clean_mse"]))


def test_the_effect_of_each_item_is_what_it_takes(factorial):
    values = autopsy.factorial_values(factorial)
    assert len(values) == 2 * 4 * 2**5  # results, seeds, settings
    effects = autopsy.autopsy_effects(factorial)
    for result, i in (("C3", 0), ("C1", 1)):
        for item, taken in TAKEN.items():
            expected = 100 * np.expm1(-taken[i])
            assert effects[result][item].effect == pytest.approx(expected, abs=0.05)
        assert effects[result]["noisy test rows"].effect == pytest.approx(0, abs=1e-9)
    assert effects["C3"]["as published"].effect == pytest.approx(100 * np.expm1(0.2), abs=0.05)
    assert effects["C3"]["as published"].outcome == "holds"
    assert effects["C3"]["all items put right"].effect == pytest.approx(-5, abs=0.2)
    interaction = effects["C3"]["fresh network per level x Adam to convergence"]
    assert interaction.effect == pytest.approx(0, abs=0.1)
    assert len(effects["C1"]) == 2 + 5 + 10


def test_what_makes_a_result_is_tested(factorial):
    effects = autopsy.autopsy_effects(factorial)
    assert autopsy.makers(effects["C3"]) == ["fresh network per level", "Adam to convergence"]
    assert autopsy.makers(effects["C1"]) == ["Adam to convergence"]
    figures = {its.key: its for its in autopsy.autopsy_figures(factorial)}
    assert list(figures)[:2] == ["autopsy-effects", "autopsy-factorial"]
    caption = figures["autopsy-effects"].caption
    assert "C3 is there as published (+22" in caption
    assert "what takes it away: fresh network per level (−18" in caption.replace("(-", "(−")
    assert figures["autopsy-effects"].figure()
    assert len(figures["autopsy-factorial"].frame) == 2 * (2 + 5 + 10)


def test_without_every_set_of_items_there_is_no_factorial(factorial):
    levels = factorial.levels
    few = replace(factorial, levels=levels[~levels["changed"].str.contains(r"\+")])
    assert autopsy.autopsy_effects(few) == {}
    assert [its.key for its in autopsy.autopsy_figures(few)] == ["autopsy", "autopsy-change"]
