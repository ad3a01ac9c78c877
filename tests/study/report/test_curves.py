"""Which networks count in the report, and how they look and are worded."""

import dataclasses

from models.config import MemberConfig, Phase, training_settings
from study.evidence.evidence import load_evidence
from study.grids import Narrowing
from study.report import autopsy, curves, figures, references, style, wording
from study.report.curves import NOISY
from tests.study.report.made import line
from tests.study.runs import fake_run


def test_the_plain_network_is_the_one_shown(tmp_path):
    """Not one with a sparsity term, fewer epochs, a further switch, or several noise factors."""
    plain = MemberConfig("dense-2", (Phase((0.5,), 40),), **training_settings("dense-2"))
    others = {
        dataclasses.replace(plain, beta=0.01): 9.0,
        dataclasses.replace(plain, phases=(Phase((0.5,), 39),)): 9.0,
        dataclasses.replace(plain, optimizer="adadelta"): 9.0,
        dataclasses.replace(plain, train_fraction=0.5): 9.0,
        dataclasses.replace(plain, gene_order="random"): 9.0,
        dataclasses.replace(plain, noise_input=True): 9.0,
        dataclasses.replace(plain, phases=(Phase((0.5, 0.6), 40),)): 9.0,
    }
    values = {plain: 0.3, **others}
    members = [dataclasses.replace(member, grid="own") for member in values]
    found = load_evidence([fake_run(tmp_path / "run", mse=lambda m, _: values[m], members=members)])
    rows = curves.of_protocol(found, "as-written", "dense-2")
    assert rows["test_mse"].tolist() == [0.3]
    # without it, the least beta stands for the model
    members = [dataclasses.replace(plain, beta=beta) for beta in (0.1, 0.01)]
    found = load_evidence([fake_run(tmp_path / "other", mse=lambda m, _: m.beta, members=members)])
    assert curves.of_protocol(found, "as-written")["beta"].tolist() == [0.01]


def test_networks_that_did_not_end_count_nowhere(tmp_path):
    narrow = Narrowing(seeds=3, depths=["2"], noise=[0.5], betas=[0])
    run = fake_run(tmp_path / "run", lost={0: "failed", 1: "diverged"}, narrowing=narrow)
    points = curves.network_curve(
        load_evidence([run]), "as-written", "dense-2", NOISY, "as-written"
    )
    assert points["seeds"].tolist() == [1]
    assert points[["low", "high"]].isna().all(axis=None)


def test_nothing_is_filled_in(tmp_path):
    found = load_evidence([fake_run(tmp_path / "run", "smoke", seeds=1, tables=False)])
    points = figures.paper_curve(found, "dense-2")
    assert set(points["series"]) == {"published", "as-written", "identity"}
    assert line(points, NOISY, "as-written").index.tolist() == [0.1, 0.5]
    assert not references.gene_exhibits(found)
    assert not references.label_exhibits(found)
    assert not autopsy.autopsy_figures(found, [])


def test_networks_differ_by_more_than_colour():
    looks = [style.look(name) for name in ("dense-2", "dense-4", "dense-6", "dense-8", "conv")]
    assert len({look["marker"] for look in looks}) == len({look["color"] for look in looks}) == 5
    references = ("identity", "gene mean", "PCA", "Wiener", "oracle")
    assert len({str(style.look(name)["linestyle"]) for name in references}) == 5
    looks = style.looks_of([str(i) for i in range(10)])
    assert len({str(sorted(look.items(), key=str)) for look in looks.values()}) == 10


def test_words():
    assert wording.listed([0.1, 0.2, 0.3, 0.4]) == "0.1 to 0.4"
    assert wording.listed([0.5, 0.1, 0.1]) == "0.1, 0.5"
    assert wording.percent(-35.123) == "−3,512 %"
    assert wording.signed(-0.2) == "−0.200"
