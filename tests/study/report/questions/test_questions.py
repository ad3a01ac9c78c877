"""The open questions as a whole: what has evidence is answered and drawn, whatever is missing."""

import time

import numpy as np
import pytest

from study.evidence.evidence import load_evidence
from study.grids import Narrowing
from study.report.document import Plot, Table, stamped
from study.report.exports import save
from study.report.page import open_questions
from study.report.style import look
from tests.study.runs import fake_run

GRID_KEYS = ["cross-noise", "mixed-noise", "sparsity", "fresh-noise", "gene-order", "samples"]
KEYS = [*GRID_KEYS[:3], "bottleneck", *GRID_KEYS[3:], "inference"]
#: What stands before the key in the command, if it is not only --grid.
OPTIONS = {"bottleneck": "--search", "inference": "--data FILE --grid"}


def questions(folder, grid, seeds=2, **options):
    """The questions of a made-up run of one grid, by key."""
    narrowing = {
        name: options.pop(name) for name in ("depths", "noise", "betas") if name in options
    }
    run = fake_run(folder, grid, seeds, narrowing=Narrowing(seeds=seeds, **narrowing), **options)
    return {question.key: question for question in open_questions(load_evidence([run]))}


@pytest.mark.parametrize(
    ("grid", "answered"),
    [
        ("cross-noise", {"cross-noise"}),
        (
            "mixed-noise",
            {"cross-noise", "mixed-noise"},
        ),  # it holds the network of each noise factor
        ("as-written", {"cross-noise", "sparsity"}),
        ("sparsity", {"sparsity"}),
        ("fresh-noise", {"cross-noise", "fresh-noise"}),  # each is tested at the others' noise
        ("gene-order", {"gene-order"}),
        ("samples", {"samples"}),
        ("as-published", set()),
    ],
)
def test_a_question_is_answered_where_there_is_evidence(tmp_path, grid, answered):
    found = questions(tmp_path / "run", grid)
    assert list(found) == KEYS
    for key, question in found.items():
        assert question.command == f"python run_study.py {OPTIONS.get(key, '--grid')} {key}"
        assert (question.answer is not None) == (key in answered)
        assert bool(question.exhibits) == (key in answered)


def test_every_exhibit_of_a_whole_run_is_drawn(tmp_path):
    found = questions(tmp_path / "run", "all", depths=["2", "4", "conv"])
    exhibits = [exhibit for question in found.values() for exhibit in question.exhibits]
    keys = [exhibit.key for exhibit in exhibits]
    assert len(set(keys)) == len(keys)
    assert {
        "cross-noise",
        "guess-cost",
        "mixed-noise",
        "mixed-excess",
        "sparsity-mse",
        "sparsity-gap",
    } <= set(keys)
    assert {"sparsity-activation", "fresh-noise", "gene-order", "samples"} <= set(keys)
    for exhibit in map(stamped, exhibits):
        assert exhibit.description.endswith("Simulated data.")
        if isinstance(exhibit, Plot):
            assert exhibit.stamp == "simulated data"
            assert save(exhibit, tmp_path).wide.width == 640
            assert (tmp_path / f"{exhibit.key}.png").stat().st_size > 5000
        else:
            assert isinstance(exhibit, Table)
            assert len(exhibit.frame)
            assert set(exhibit.formats) <= set(exhibit.frame.columns)


@pytest.mark.parametrize(
    "options",
    [
        {"seeds": 1},
        {"seeds": 1, "depths": ["2"]},
        {"depths": ["conv"]},
        {"depths": ["4"], "noise": [0.1, 0.5]},
        {"depths": ["2"], "noise": [0.25]},
        {"depths": ["2", "conv"], "tables": False},
        {"depths": ["2", "conv"], "simulated": False},
        {
            "depths": ["2", "conv"],
            "lost": {0: "failed", 1: "diverged", 12: "diverged", 14: "failed"},
        },
    ],
    ids=str,
)
@pytest.mark.parametrize("grid", GRID_KEYS)
def test_what_is_missing_does_no_harm(tmp_path, grid, options):
    found = questions(tmp_path / "run", grid, **options)
    for question in found.values():
        for exhibit in question.exhibits:
            assert "nan" not in exhibit.description.lower().split()
            assert exhibit.description.endswith(".")
            assert "  " not in exhibit.description
            if isinstance(exhibit, Plot):
                exhibit.figure()
        assert "nan" not in (question.answer or "")


def test_networks_that_failed_are_in_no_mean(tmp_path):
    whole = questions(tmp_path / "whole", "gene-order", depths=["conv"], seeds=3)["gene-order"]
    part = questions(tmp_path / "part", "gene-order", depths=["conv"], seeds=3, lost={0: "failed"})[
        "gene-order"
    ]
    seeds = [[int(n) for n in q.exhibits[1].frame["seeds"]] for q in (whole, part)]
    assert seeds == [[3, 3, 3, 3, 3], [2, 3, 3, 3, 3]]


def test_the_looks_differ_without_colour_too():
    groups = [
        ("a network for each", "one network for all", "one that is told the noise"),
        ("no term", "L1"),
        ("test", "train"),
    ]
    for names in groups:
        looks = [look(name) for name in names]
        assert len({(style["marker"], style["linestyle"]) for style in looks}) == len(names)


def test_thousands_of_networks_are_answered_in_time(tmp_path):
    evidence = load_evidence([fake_run(tmp_path / "run", "all", 3)])
    assert len(evidence.members) > 700
    start = time.process_time()
    open_questions(evidence)
    assert time.process_time() - start < 5  # about 1 s
    assert np.isfinite(evidence.members["test_mse"]).all()
