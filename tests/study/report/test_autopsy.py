"""The autopsy: which item set right makes a result vanish."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from models.config import AS_PUBLISHED
from study.evidence.effects import UNMEASURED, numbers
from study.evidence.evidence import load_evidence
from study.evidence.stats import HOLDS, Outcome
from study.options import Narrowing
from study.paper.claim import CLEAN, NOISY
from study.paper.claims import CLAIMS, Judgement, judge_claim
from study.paper.judging import ClaimVerdict, Part, PartVerdict
from study.paper.steps import ITEMS, Step, factorial_values
from study.report import autopsy
from study.report.headline import in_short
from study.report.headline import what_makes as in_words
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
    figures = {its.key: its for its in autopsy.autopsy_figures(evidence, [])}
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


@pytest.fixture(scope="module")
def judgements(factorial):
    """C1, C2 and C3."""
    return [judge_claim(claim, factorial) for claim in CLAIMS[:3]]


def test_the_effect_of_each_item_is_what_it_takes(factorial, judgements):
    values = factorial_values(CLAIMS[0], factorial)
    assert len(values) == 4 * 2**5  # seeds, settings
    for judgement, i in zip(judgements, (1, 1, 0), strict=True):
        effects = judgement.factorial.effects
        for item, taken in TAKEN.items():
            expected = 100 * np.expm1(-taken[i])
            assert effects[item,].effect == pytest.approx(expected, abs=0.05)
        assert effects["noisy test rows",].effect == pytest.approx(0, abs=1e-9)
        assert len(effects) == 5 + 10
    c3 = judgements[2]
    assert c3.steps[0].published.effect == pytest.approx(100 * np.expm1(0.2), abs=0.05)
    assert c3.factorial.right.effect == pytest.approx(-5, abs=0.2)
    interaction = c3.factorial.effects["fresh network per level", "Adam to convergence"]
    assert interaction.effect == pytest.approx(0, abs=0.1)


def test_a_step_has_the_effect_of_the_factorial(judgements):
    for judgement in judgements:
        steps = {step.item: step.change for step in judgement.steps}
        for (item,), its in list(judgement.factorial.effects.items())[:5]:
            ends = [100 * (100 / (100 + end) - 1) for end in (its.effect, its.high, its.low)]
            assert [steps[item].effect, steps[item].low, steps[item].high] == pytest.approx(ends)
    # an item of which not every set was trained is judged by itself
    assert set(steps) - set(ITEMS) == {"scaled on training rows", "two code layers"}


def test_what_makes_a_result_is_said_alike_everywhere(factorial, judgements):
    """Fresh networks take all of the fall, Adam a quarter; of the growth Adam takes all."""
    c1, c2, c3 = judgements
    assert c3.artefact == (
        "there as published; vanishes with: fresh network per level; "
        "is lessened by: Adam to convergence"
    )
    assert c1.artefact == "there as published; vanishes with: Adam to convergence"
    assert c2.artefact == (
        "the mean over its parts is there as published; vanishes with: Adam to convergence"
    )  # a network is missing at noise factors that this run has not
    figures = {its.key: its for its in autopsy.autopsy_figures(factorial, judgements)}
    assert list(figures)[:2] == ["autopsy-effects", "autopsy-factorial"]
    plot, table = figures["autopsy-effects"], figures["autopsy-factorial"].frame
    for judgement in judgements:
        assert f"{judgement.claim.id}: {judgement.artefact}." in plot.description
        rows = plot.data[plot.data["result"] == judgement.claim.id].set_index("items")
        taken = set(rows.index[rows["outcome"] == "reversed"]) & set(ITEMS)
        assert taken == {*judgement.makers, *judgement.lessened}
    assert plot.figure()
    assert len(table) == 3 * (2 + 5 + 10)
    short = {words.lead: words.text for words in in_short(factorial, judgements)}
    assert short["What makes the claims, one item of the scripts changed:"] == (
        "C1 and the mean effect of C2 vanish with Adam to convergence; "
        "C3 vanishes with fresh network per level."
    )


def test_an_item_that_others_make_up_for_still_takes_away(tmp_path):
    """Either of two items takes all of the growth with depth, so that each does in half of all."""

    def mse(member, noise):
        items = {"Adam to convergence", "linear output"} & set(member.protocol.changed)
        depth = {"dense-2": 0, "dense-4": 1, "dense-6": 2, "dense-8": 3}[member.model]
        return 0.03 + np.exp(0.0 if items else 0.04 * depth + 1e-4 * np.sin(member.seed + depth))

    narrow = Narrowing(seeds=3, depths=["2", "4", "6", "8"], noise=[0.0, 0.5, 1.0])
    run = fake_run(tmp_path / "run", "autopsy", mse=mse, narrowing=narrow)
    judgement = judge_claim(CLAIMS[0], load_evidence([run]))
    steps = {step.item: step for step in judgement.steps}
    assert judgement.makers == ["linear output", "Adam to convergence"]
    assert steps["linear output"].change.effect == pytest.approx(100 * np.expm1(0.02), abs=0.1)


def test_without_every_set_of_items_there_is_no_factorial(factorial):
    levels = factorial.levels
    few = replace(factorial, levels=levels[~levels["changed"].str.contains(r"\+")])
    judgement = judge_claim(CLAIMS[2], few)
    assert judgement.factorial is None
    assert judgement.makers == ["fresh network per level"]
    figures = autopsy.autopsy_figures(few, [judgement])
    assert [its.key for its in figures] == ["autopsy", "autopsy-change"]


# The words cannot contradict the verdict.


def verdict(outcome, parts=2):
    """A made-up verdict on a claim of some parts."""
    effect = numbers(replace(UNMEASURED, outcome=outcome))
    its = tuple(PartVerdict(**effect, part=Part(str(i)), sign_flips=1.0) for i in range(parts))
    return ClaimVerdict(**effect, parts=its, decisive=None, overlap=0.0)


@pytest.mark.parametrize("cell", Outcome)
@pytest.mark.parametrize("noisy", [None, *Outcome])
def test_the_words_agree_with_the_verdicts(cell, noisy):
    """Whatever the outcomes of the steps, for the measure and for another item."""
    cells = {(AS_PUBLISHED, CLEAN): verdict(cell)}
    cells |= {} if noisy is None else {(AS_PUBLISHED, NOISY): verdict(noisy)}
    for outcomes in product(Outcome, repeat=3):
        its = [replace(UNMEASURED, outcome=outcome) for outcome in outcomes]
        steps = (Step(NOISY, *its), Step("linear output", *its))
        judgement = Judgement(CLAIMS[0], cells, {}, {}, steps)
        text, short = judgement.artefact, in_words([judgement])
        assert text.startswith("there as published") == (cell == HOLDS)
        assert ("vanish" in short) == ("vanishes with" in text)
        assert ("appear" in short) == ("appears with" in text)
        assert not ("vanishes" in text and "appears" in text)
        assert short == "" or (short.startswith("C1") == (cell == HOLDS))
        if noisy == HOLDS and "vanishes with" in text:
            assert NOISY not in text.partition("vanishes with: ")[2].partition(";")[0]
