"""The data of the figures: which networks count, and the numbers of every line."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from models.architecture import ConvArchitecture, image_shape
from models.config import PAPER_MODELS, MemberConfig, Phase
from study.evidence.evidence import load_evidence
from study.evidence.stats import interval
from study.grids import Narrowing
from study.report import autopsy, curves, figures, references
from study.report.curves import CLEAN, NOISY
from study.report.figures import PRINTED
from tests.study.runs import DEPTH, effect_as_published, effect_as_written, fake_run

NOISE = [i / 10 for i in range(11)]
PUBLISHED_10 = [1.0135, 1.0131, 1.0126, 1.0120, 1.0113, 1.0104, 1.0093, 1.0079, 1.0061, 1.0034]


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    runs = [fake_run(folder / "paper", "paper"), fake_run(folder / "autopsy", "autopsy")]
    return load_evidence(runs)


def line(points, panel, series):
    chosen = points[(points["panel"] == panel) & (points["series"] == series)]
    return chosen.set_index("noise_factor").sort_index()


def as_seen(model, effect, noise, phases=1, seeds=3):
    """Mean over the seeds of what runs.py says a member measures."""
    members = [
        MemberConfig(model, (Phase((noise,), 1),) * phases, seed=seed) for seed in range(seeds)
    ]
    return [effect(member, noise) for member in members]


def test_fig_6_has_each_number_of_each_line(evidence):
    points = figures.paper_curve(evidence, "dense-2")
    written = line(points, NOISY, "as-written")
    assert written.index.tolist() == NOISE
    values = as_seen("dense-2", effect_as_written, 0.3)
    assert written.loc[0.3, "mse"] == pytest.approx(np.mean(values))
    bounds = interval(values)
    assert written.loc[0.3, ["low", "high"]].tolist() == pytest.approx([bounds.low, bounds.high])
    assert written.loc[0.3, "seeds"] == 3
    # clean training rows are 0.03 below the noisy test rows in runs.py: two measures, not mixed up
    values = as_seen("dense-2", effect_as_published, 0.3, phases=11)
    assert line(points, CLEAN, "as-published rerun").loc[0.3, "mse"] == pytest.approx(
        np.mean(values) - 0.03
    )
    assert line(points, NOISY, "as-published rerun").loc[0.3, "mse"] == pytest.approx(
        np.mean(values)
    )
    published = line(points, CLEAN, "published")
    assert published.loc[0.5, ["mse", "low", "high"]].tolist() == pytest.approx(
        [0.6389, 0.6339, 0.6439]
    )
    assert published.loc[0.5, "bounds"] == "reading precision"
    assert PRINTED not in set(points["panel"])


def test_references_stand_on_noisy_rows_alone(evidence):
    points = figures.paper_curve(evidence, "dense-4")
    names = {"identity", "gene mean", "PCA 32", "Wiener", "Wiener mixture", "oracle"}
    assert set(points.loc[points["panel"] == NOISY, "series"]) == {
        *names,
        "as-written",
        "as-published rerun",
    }
    assert not names & set(points.loc[points["panel"] == CLEAN, "series"])
    assert line(points, NOISY, "identity")["mse"].tolist() == pytest.approx([a**2 for a in NOISE])
    assert line(points, NOISY, "identity")["low"].isna().all()
    assert line(points, NOISY, "PCA 32").loc[0.5, "mse"] == pytest.approx(0.45 + 0.1 * 0.25 + 1e-4)
    assert line(points, NOISY, "Wiener").loc[1.0, "mse"] == pytest.approx(0.25 + 1e-4)


def test_fig_9_is_only_known_to_be_about_1(evidence):
    published = line(figures.paper_curve(evidence, "dense-8"), CLEAN, "published")
    assert set(published["bounds"]) == {"only known to be about 1"}
    assert published[["low", "high"]].drop_duplicates().to_numpy().tolist() == [[0.995, 1.005]]


def test_fig_10_as_printed_and_with_the_division_undone(evidence):
    points = figures.paper_curve(evidence, "conv")
    printed, recovered = line(points, PRINTED, "published"), line(points, CLEAN, "published")
    assert printed["mse"].iloc[[0, -1]].tolist() == pytest.approx([0.0034709778, 0.0003436423])
    assert recovered["mse"].tolist() == pytest.approx(PUBLISHED_10, abs=5e-5)
    assert recovered.index.tolist() == printed.index.tolist() == NOISE[:-1]
    rerun, divided = (
        line(points, CLEAN, "as-published rerun"),
        line(points, PRINTED, "as-published rerun"),
    )
    assert divided.index.tolist() == NOISE[:-1]  # the paper divides by no n at 1.0
    assert divided.loc[0.4, "mse"] == pytest.approx(rerun.loc[0.4, "mse"] / (292 * 5))
    assert divided.loc[0.4, "high"] == pytest.approx(rerun.loc[0.4, "high"] / (292 * 5))
    assert "PCA 32" not in set(points["series"])  # the code of 30 genes' images has 8 numbers
    assert ConvArchitecture().code_size(30) == 8


def test_fig_4_and_5_at_noise_one_half(evidence):
    points = figures.depth_points(evidence)
    assert set(points["noise_factor"]) == {0.5}
    table = points[points["series"] == "published, Fig. 4"].set_index("layers")["mse"]
    assert table.to_dict() == pytest.approx({2: 0.6309, 4: 0.8624, 6: 0.9320, 8: 1.0038}, abs=5e-5)
    read = points[points["series"] == "published, Figs. 6–9"].set_index("layers")["mse"]
    assert read.to_dict() == pytest.approx({2: 0.6389, 4: 0.94295, 6: 0.9879, 8: 1.0})
    written = points[(points["series"] == "as-written") & (points["layers"] == 6)]["mse"].item()
    assert written == pytest.approx(np.mean(as_seen("dense-6", effect_as_written, 0.5)))


def test_the_plain_network_is_the_one_shown(tmp_path):
    """Not one with a sparsity term, fewer epochs, a further switch, or several noise factors."""
    plain = MemberConfig("dense-2", (Phase((0.5,), 40),))
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
    assert not autopsy.autopsy_figures(found)


def test_share_of_the_noise_removed():
    points = pd.DataFrame(
        {"series": ["net", "net", "net", "identity"], "noise_factor": [0.0, 0.5, 1.0, 0.5]}
    )
    points = points.assign(mse=[0.1, 0.3, 0.25, 0.25], low=0.2, high=[0.1, 0.4, 0.5, 0.25])
    points = points.assign(seeds=3, bounds="", method=points["series"])
    shares = references.noise_removed(points).set_index("noise_factor")
    assert shares["removed"].to_dict() == pytest.approx({0.5: 1 - 0.3 / 0.25, 1.0: 0.75})
    assert shares.loc[1.0, ["low", "high"]].tolist() == pytest.approx([0.5, 0.8])


def test_all_curves_prefers_as_written(evidence, tmp_path):
    points = references.all_curves(evidence)
    assert list(points["series"].drop_duplicates())[:5] == list(PAPER_MODELS)
    values = as_seen("conv", effect_as_written, 1.0)
    assert line(points, NOISY, "conv").loc[1.0, "mse"] == pytest.approx(np.mean(values))
    assert "PCA with gain 32" not in set(points["series"])
    assert "PCA with gain 32" in set(references.all_curves(evidence, gain=True)["series"])
    found = load_evidence([fake_run(tmp_path / "run", "as-published", seeds=2)])
    assert curves.main_protocol(found) == "as-published"
    values = as_seen("dense-8", effect_as_published, 1.0, phases=11, seeds=2)
    assert line(references.all_curves(found), NOISY, "dense-8").loc[1.0, "mse"] == pytest.approx(
        np.mean(values)
    )


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


def test_by_gene_and_by_label(evidence):
    genes = references.breakdown(evidence.genes)
    assert genes["noise_factor"].unique().tolist() == [0.5]
    assert genes["series"].unique()[1:].tolist() == list(references.REFERENCES)
    one = genes[genes["gene_id"] == "<script>alert('gene')</script>"]
    assert one["mse"].tolist() == pytest.approx([0.59] * 8)
    labels = references.label_exhibits(evidence)[0].data
    worst_first = ["<b>Blood</b>", "Brain - Cortex", "Liver"]
    assert labels["value"].unique().tolist() == worst_first
    assert labels["samples"].unique().tolist() == [30, 20, 10]
    quantiles = references.gene_quantiles(genes)
    worst = quantiles[quantiles["percent_of_genes"] == 100]
    assert worst["mse"].tolist() == pytest.approx([0.59] * 8)
    assert len(quantiles) == 8 * 101


def test_the_nearest_noise_factor_and_the_best_network():
    assert curves.nearest([0.1, 0.3, 1.0]) == 0.3
    assert np.isnan(curves.nearest([]))
    rows = [
        ("as-published", "conv", 0.1),
        ("as-written", "dense-2", 0.3),
        ("as-written", "dense-4", 0.2),
    ]
    table = pd.DataFrame(rows, columns=["protocol", "method", "mse"])
    table = table.assign(noise_factor=0.5, gene_id="a")

    def best(rows):
        return references.breakdown(rows)["series"].tolist()

    assert best(table) == ["dense-4"]
    assert best(table[:1]) == ["conv, as-published"]
    assert best(table[:0]) == []


def test_the_kl_curve_of_fig_1(evidence):
    curve = figures.paper_figures(evidence)[0].data.set_index("mean_activation")["kl"]
    assert curve[0.2] == pytest.approx(0, abs=1e-12)
    assert curve[0.5] == pytest.approx(0.2 * np.log(0.4) + 0.8 * np.log(1.6))
    assert curve.drop(0.2).min() > 0


def test_the_model_table_of_fig_2(evidence):
    table = figures.model_table(943).set_index("model")
    assert table.loc["dense-8", "layers, as-written"] == "943-256-128-64-32-32-64-128-256-943"
    assert table.loc["dense-2", "layers, as-published"] == "943-32-943"
    assert table.loc["dense-2", "parameters, as-published"] == 2 * 943 * 32 + 32 + 943
    assert table.loc["dense-2", "parameters, as-written"] == 2 * 943 * 32 + 32 + 943 + 32 * 32 + 32
    members = evidence.members[evidence.members["protocol"] == "as-published"]
    counted = figures.model_table(30).set_index("model")["parameters, as-published"]
    for model, n in members.groupby("model")["n_parameters"].first().items():
        assert counted[model] == n
    assert set(DEPTH) >= set(counted.index)


@pytest.mark.parametrize("n_genes", [943, 876, 30])
def test_the_blocks_of_fig_3_are_those_of_the_model(n_genes):
    network = ConvArchitecture()
    blocks = figures.conv_blocks(n_genes)
    convolutions = blocks[blocks["what"] == "conv"]
    assert tuple(convolutions["channels"]) == network.channels
    for end in (0, -1):
        assert tuple(blocks[["height", "width"]].iloc[end]) == image_shape(n_genes)
    # the model's own count of operations: two for each weight, pixel, and pass
    inputs = (1, *network.channels[:-1])
    pixels = convolutions["height"] * convolutions["width"]
    products = 9 * np.array(inputs) * convolutions["channels"] * pixels
    assert 2 * 3 * 2 * sum(products) == network.flops_per_sample(n_genes)


def test_the_code_on_the_landmark_genes():
    assert ConvArchitecture().code_size(943) == 120
    sizes = figures.conv_blocks(943)["size"].tolist()
    assert sizes[:3] + sizes[6:8] == ["1@24×40", "16@24×40", "16@12×20", "8@3×5", "8@3×5"]
