"""Networks that no section shows have curves and a table."""

from dataclasses import replace

import pytest

from models.config import MemberConfig, Phase, Protocol, training_settings
from study.evidence.evidence import load_evidence
from study.paper.claims import judge_claims
from study.report.autopsy import autopsy_rows
from study.report.curves import shown_networks
from study.report.other import other_figures, other_networks
from study.report.page import build
from tests.study.runs import fake_run


def other(folder, members, mse=None, **options):
    found = load_evidence([fake_run(folder, members=members, mse=mse, **options)])
    return {exhibit.key: exhibit for exhibit in other_figures(found, shown_networks(found))}


def network(model="dense-4", seed=0, **settings):
    settings = {**training_settings(model), **settings}
    return MemberConfig(model, (Phase((0.5,), 9),), seed, grid="own", **settings)


def test_other_models_and_settings_have_curves_and_a_table(tmp_path):
    members = [network(), *(network(seed=seed, learning_rate=0.01) for seed in (0, 1, 2))]
    members += [
        network("dense-96x24x96", beta=0.1),
        network("dense-96x24x96", protocol=Protocol("mine")),
    ]
    found = other(tmp_path / "run", members, mse=lambda m, _: 0.3 + 0.1 * m.seed)
    assert list(found) == ["other-noise", "other-mse", "other-networks"]  # no loss by epoch here
    names = [
        "dense-4, 9 epochs",  # the plain one
        "dense-4, learning rate 0.01, 9 epochs",
        "dense-96x24x96, beta 0.1, 9 epochs",
        "dense-96x24x96, mine, 9 epochs",
    ]
    for key in ("other-noise", "other-mse"):
        plot = found[key]
        assert plot.data["series"].drop_duplicates().tolist() == names
        [axes] = plot.figure().axes
        lines = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
        assert lines[names[1]] == pytest.approx([0.4 if key == "other-noise" else 0.395])
    table = found["other-networks"].frame
    assert table["network"].tolist() == names
    assert table["test MSE"].tolist() == pytest.approx([0.3, 0.4, 0.3, 0.3])
    assert table["seeds"].tolist() == [1, 3, 1, 1]


def test_networks_that_differ_in_epochs_are_told_apart_by_a_protocol(tmp_path):
    longer = replace(
        network(), phases=(Phase((0.5,), 18),), protocol=Protocol("as-written", ("18 epochs",))
    )
    found = other(tmp_path / "run", [network(), longer])["other-networks"].frame
    names = ["dense-4, 9 epochs", "dense-4, as-written, 18 epochs, 18 epochs"]
    assert found["network"].tolist() == names


def test_a_grid_over_the_learning_rate_has_a_curve_for_each_on_the_page(tmp_path):
    members = [
        replace(network(seed=seed), phases=(Phase((noise,), 9),), **rate)
        for rate in ({}, {"learning_rate": 0.01}, {"learning_rate": 0.1})
        for noise in (0.1, 0.5)
        for seed in (0, 1)
    ]
    found = load_evidence([fake_run(tmp_path / "run", members=members)])
    plots = {plot.key: plot for plot in build({found: judge_claims(found)}).plots()}
    data = plots["other-noise"].data
    rates = ["", " learning rate 0.01,", " learning rate 0.1,"]
    assert data["series"].unique().tolist() == [f"dense-4,{rate} 9 epochs" for rate in rates]
    assert data["noise_factor"].tolist() == [0.1, 0.5] * 3
    plain = plots["fig-7"].data  # the learning rate of the paper's networks has the paper's figure
    assert plain.loc[plain["series"] == "as-written", "noise_factor"].tolist() == [0.1, 0.5]


def test_fresh_noise_is_another_network_next_to_noise_drawn_once_and_the_usual_one_alone(tmp_path):
    both = [network(noise_draws=draws) for draws in ("once", "fresh")]
    names = other(tmp_path / "both", both)["other-networks"].frame["network"].tolist()
    assert names == ["dense-4, 9 epochs", "dense-4, noise draws fresh, 9 epochs"]
    assert not other(tmp_path / "alone", both[1:])


def test_networks_of_other_sections_are_not_among_the_others(evidence):
    shown = shown_networks(evidence) | set(autopsy_rows(evidence)["member_id"])
    assert not len(other_networks(evidence, shown))
    assert len(other_networks(evidence, shown_networks(evidence)))  # the autopsy's


def test_a_network_trained_on_several_noise_factors_has_a_point_at_each(tmp_path):
    mixed = replace(network("dense-2"), phases=(Phase((0.1, 0.5), 4),))
    data = other(tmp_path / "run", [mixed])["other-noise"].data
    assert data["series"].unique().tolist() == ["dense-2, several noise factors, 4 epochs"]
    assert data["noise_factor"].tolist() == [0.1, 0.5]


def test_many_others_are_spread_over_figures_and_all_are_in_the_table(tmp_path):
    members = [network(f"dense-{size}x{size}") for size in range(40, 75)]
    found = other(tmp_path / "run", members, mse=lambda *_: 0.5)
    plots = [found[key] for key in ("other-noise", "other-noise-2", "other-noise-3")]
    assert "other-noise-4" not in found
    assert [plot.data["series"].nunique() for plot in plots] == [10, 10, 10]
    assert plots[1].title.endswith("(2 of 3)")
    assert "The first 30 of 35 kinds" in plots[0].description
    assert len(found["other-networks"].frame) == 35
