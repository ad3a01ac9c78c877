"""The figures: which there are, what they say, and that what is drawn is the data."""

import hashlib

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection

from models.config import MemberConfig, Phase, Protocol
from study.evidence.evidence import load_evidence
from study.grids import Narrowing
from study.paper.claims import judge_claims
from study.report import style, wording
from study.report.autopsy import autopsy_figures, autopsy_rows
from study.report.curves import CLEAN, NOISY, shown_networks
from study.report.document import Document, Plot, Section, Table, stamped
from study.report.exports import embedded, html, save
from study.report.figures import PANELS, PRINTED, paper_figures
from study.report.other import other_figures, other_networks
from study.report.page import build
from study.report.references import (
    all_curves,
    draw_all_models,
    draw_labels,
    gene_exhibits,
    label_exhibits,
    reference_exhibits,
)
from tests.study.runs import fake_run

KEYS = [f"fig-{i}" for i in range(1, 11)]


def more_figures(evidence):
    sections = (reference_exhibits, gene_exhibits, label_exhibits, autopsy_figures)
    found = [exhibit for section in sections for exhibit in section(evidence)]
    return [exhibit for exhibit in found if isinstance(exhibit, Plot)]


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return load_evidence(
        [fake_run(folder / "paper", "paper"), fake_run(folder / "autopsy", "autopsy")]
    )


@pytest.fixture(scope="module")
def plots(evidence):
    return {plot.key: plot for plot in [*paper_figures(evidence), *more_figures(evidence)]}


def drawn(axes):
    """The y values of every line with a point for each noise factor, by colour."""
    return {
        line.get_color(): line.get_ydata()
        for line in axes.get_lines()
        if len(line.get_xdata()) == 11
    }


def texts(figure):
    """The texts on a figure and in its legends."""
    found = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    legends = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    found += [text for legend in legends for text in legend.get_texts()]
    return [text.get_text() for text in found]


def test_the_papers_ten_figures_in_order(evidence):
    found = paper_figures(evidence)
    assert [exhibit.key for exhibit in found] == KEYS
    assert [exhibit.key for exhibit in found if isinstance(exhibit, Table)] == ["fig-2", "fig-4"]


def test_more_figures(evidence):
    keys = [plot.key for plot in more_figures(evidence)]
    assert keys == [
        "all-models",
        "noise-removed",
        "by-gene",
        "by-label-1",
        "autopsy",
        "autopsy-change",
    ]


def test_captions_say_what_is_seen_and_what_is_missing(plots):
    for plot in plots.values():
        assert plot.title
        assert plot.caption.endswith(".")
        assert "  " not in plot.caption
    worse = "Worse than leaving the input alone, by noise factor: as-written at 0 to 0.6; "
    assert worse in plots["fig-6"].caption
    # the code of 30 genes' images, whose PCA was not measured
    assert "PCA with 8 components" in plots["fig-10"].caption


def test_simulated_data_are_marked_except_where_nothing_was_measured(plots, tmp_path):
    for key, plot in plots.items():
        marked = stamped(plot)
        assert marked.caption.endswith("Simulated data.") == (key not in KEYS[:3])
        if isinstance(plot, Plot):
            assert ("simulated data" in texts(marked.figure())) == (key not in KEYS[:3])
    table = pd.read_csv(save(stamped(plots["fig-6"]), tmp_path)["csv"])
    assert set(table["data"]) == {"simulated data"}


def test_what_is_drawn_is_the_data(plots):
    clean, noisy = plots["fig-7"].figure().axes
    data = plots["fig-7"].data.sort_values("noise_factor")
    for axes, panel, series in ((clean, CLEAN, "published"), (clean, CLEAN, "as-published rerun")):
        values = data.loc[(data["panel"] == panel) & (data["series"] == series), "mse"]
        assert drawn(axes)[style.look(series)["color"]] == pytest.approx(values.to_numpy())
    values = data.loc[(data["panel"] == NOISY) & (data["series"] == "as-written"), "mse"].to_numpy()
    assert drawn(noisy)[style.look("as-written")["color"]] == pytest.approx(values)
    assert noisy.get_ylim()[0] == 0
    bars = [c for c in noisy.collections if isinstance(c, LineCollection)]
    segments = np.concatenate([bar.get_segments() for bar in bars])
    rows = data[(data["panel"] == NOISY) & (data["series"] == "as-written")]
    wanted = np.stack(
        [[(a, low), (a, high)] for a, low, high in rows[["noise_factor", "low", "high"]].to_numpy()]
    )
    assert any(np.allclose(segments[i : i + 11], wanted) for i in range(len(segments) - 10))


def test_fig_9_is_a_band_and_no_line(plots):
    clean = plots["fig-9"].figure().axes[0]
    assert style.look("published")["color"] not in drawn(clean)
    band = clean.collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == pytest.approx((0.995, 1.005))


def test_fig_10_has_a_panel_as_printed(plots):
    printed, *_ = plots["fig-10"].figure().axes
    assert printed.get_title(loc="left") == PANELS[PRINTED][0]
    heights = [line.get_ydata() for line in printed.get_lines() if len(line.get_xdata()) == 10]
    assert heights[0][[0, -1]] == pytest.approx([0.0034709778, 0.0003436423])


def test_the_blocks_of_fig_3_are_drawn_with_their_sizes(plots):
    labels = texts(plots["fig-3"].figure())
    assert len(labels) == len(plots["fig-3"].data) == 14
    assert labels[0] == "input\n1@8×8"
    assert labels[6] == "max-pool 2\n8@1×1\nthe code"
    assert labels[-1] == "output\n1@8×8"


def test_what_is_worse_than_the_input_is_below_0(plots):
    data = plots["noise-removed"].data.set_index(["series", "noise_factor"])["removed"]
    assert data["dense-2", 0.5] == pytest.approx(1 - 0.42 / 0.25, abs=0.01)
    assert 0.0 not in data.index.get_level_values(1)
    axes = plots["noise-removed"].figure().axes[0]
    assert axes.get_ylim() == pytest.approx((-1.05, 1.05))
    assert "worse than\nleaving the\ninput alone" in texts(axes.figure)


@pytest.mark.parametrize("grid", ["smoke", "as-published"])
def test_what_is_not_in_the_runs_is_named_in_the_caption(grid, tmp_path):
    found = load_evidence([fake_run(tmp_path / "run", grid, seeds=1, tables=False)])
    plots = {plot.key: plot for plot in [*paper_figures(found), *more_figures(found)]}
    assert list(plots) == [*KEYS, "all-models", "noise-removed"]
    missing = "as-published rerun" if grid == "smoke" else "as-written"
    for key in ("fig-5", "fig-6", "fig-10"):
        assert f"Not in these runs: {missing}; " in plots[key].caption
    if grid == "smoke":
        assert (
            "as-written (noise factor 0, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9, 1)"
            in plots["fig-6"].caption
        )
    assert "gene mean; PCA with 32 components; Wiener" in plots["fig-8"].caption


def test_runs_without_any_of_the_papers_models_leave_its_numbers(tmp_path):
    narrow = Narrowing(seeds=1, depths=["conv"], noise=[1.0])
    found = load_evidence([fake_run(tmp_path / "run", tables=False, narrowing=narrow)])
    plots = {plot.key: plot for plot in paper_figures(found)}
    assert set(plots["fig-6"].data["series"]) == {"published", "identity"}
    assert all(plot.figure() for plot in plots.values() if isinstance(plot, Plot))


def test_lost_networks_are_counted(tmp_path):
    narrow = Narrowing(seeds=2, depths=["2"], betas=[0])
    run = fake_run(tmp_path / "run", lost={0: "failed", 5: "diverged"}, narrowing=narrow)
    plots = {plot.key: plot for plot in paper_figures(load_evidence([run]))}
    assert "Left out: 2 of 22 networks, which diverged or failed." in plots["fig-6"].caption
    assert "Left out" not in plots["fig-7"].caption


def test_saving_twice_gives_the_same_bytes(plots, tmp_path):
    first, second = (save(plots["fig-6"], tmp_path / name) for name in ("a", "b"))
    for ending in ("png", "svg", "csv"):
        assert first[ending].name == f"fig-6.{ending}"
        digests = {
            hashlib.sha256(saved[ending].read_bytes()).hexdigest() for saved in (first, second)
        }
        assert len(digests) == 1
    head = first["png"].read_bytes()[16:24]
    assert (first["width"], first["height"]) == (
        640,
        plots["fig-6"].figure().get_size_inches()[1] * 96,
    )
    assert int.from_bytes(head[:4], "big") == 2 * first["width"]
    assert int.from_bytes(head[4:], "big") == pytest.approx(2 * first["height"], abs=1)
    table = pd.read_csv(first["csv"])
    assert len(table) == len(plots["fig-6"].data)
    assert table["mse"].to_numpy() == pytest.approx(plots["fig-6"].data["mse"].to_numpy())


def test_no_label_is_cut_at_the_resolution_of_the_png(plots):
    figure = plots["by-label-1"].figure()
    with matplotlib.rc_context(style.RC):
        figure.set_dpi(2 * style.DPI)
        figure.canvas.draw()
    labels = figure.axes[0].get_yticklabels()
    assert min(label.get_window_extent().x0 for label in labels) > 0


def test_drawing_leaves_the_settings_of_matplotlib_alone(plots):
    before = dict(matplotlib.rcParams)
    plots["fig-6"].figure()
    assert dict(matplotlib.rcParams) == before


def test_foreign_text_is_drawn_as_it_is(tmp_path):
    """No formula is made of a tissue that is called like one."""
    data = pd.DataFrame({"value": ["$x^$", "<b>" + 60 * "long "], "samples": [3, 2000]})
    data = data.assign(series="dense-2", method="dense-2", mse=[0.3, 0.2], noise_factor=0.5)
    plot = Plot("tissues", "t", "c", data, draw_labels)
    save(plot, tmp_path)
    names = [text.get_text() for text in plot.figure().axes[0].get_yticklabels()]
    assert names[0] == "$x^$ (3)"
    assert names[1].startswith("<b>long")
    assert names[1].endswith("… (2,000)")


def test_a_figure_does_not_grow_with_the_seeds(tmp_path):
    sizes = []
    for seeds in (2, 30):
        narrow = Narrowing(seeds=seeds, noise=[0.1, 0.5])
        found = load_evidence([fake_run(tmp_path / str(seeds), narrowing=narrow)])
        sizes.append([len(plot.data) for plot in more_figures(found)])
    assert sizes[0] == sizes[1]


def test_networks_differ_by_more_than_colour():
    looks = [style.look(name) for name in ("dense-2", "dense-4", "dense-6", "dense-8", "conv")]
    assert len({look["marker"] for look in looks}) == len({look["color"] for look in looks}) == 5
    references = ("identity", "gene mean", "PCA", "Wiener", "oracle")
    assert len({str(style.look(name)["linestyle"]) for name in references}) == 5
    looks = style.looks_of([str(i) for i in range(10)])
    assert len({str(sorted(look.items(), key=str)) for look in looks.values()}) == 10


def test_an_as_published_network_and_pca_of_any_size_keep_their_looks(tmp_path):
    found = load_evidence([fake_run(tmp_path / "run", "as-published", seeds=2)])
    data = gene_exhibits(found)[0].data
    assert data["series"].iloc[0] == "conv, as-published"
    assert data["method"].iloc[0] == "conv"
    points = all_curves(found)
    assert set(points.loc[points["series"] == "PCA 32", "method"]) == {"PCA"}


# Other.


def other(folder, members, mse=None, **options):
    found = load_evidence([fake_run(folder, members=members, mse=mse, **options)])
    return {exhibit.key: exhibit for exhibit in other_figures(found, shown_networks(found))}


def network(model="dense-4", seed=0, **settings):
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


def test_a_grid_over_the_learning_rate_has_a_curve_for_each_on_the_page(tmp_path):
    members = [
        MemberConfig("dense-4", (Phase((noise,), 9),), seed, learning_rate=rate, grid="own")
        for rate in (0.001, 0.01, 0.1)
        for noise in (0.1, 0.5)
        for seed in (0, 1)
    ]
    found = load_evidence([fake_run(tmp_path / "run", members=members)])
    plots = {plot.key: plot for plot in build(found, judge_claims(found)).plots()}
    data = plots["other-noise"].data
    rates = ["", " learning rate 0.01,", " learning rate 0.1,"]
    assert data["series"].unique().tolist() == [f"dense-4,{rate} 9 epochs" for rate in rates]
    assert data["noise_factor"].tolist() == [0.1, 0.5] * 3
    plain = plots["fig-7"].data  # the learning rate of the paper's networks has the paper's figure
    assert plain.loc[plain["series"] == "as-written", "noise_factor"].tolist() == [0.1, 0.5]


def test_a_figure_of_any_key_appears_where_its_section_puts_it(tmp_path):
    data = pd.DataFrame({"series": ["a"], "method": ["a"], "noise_factor": [0.5], "mse": [0.1]})
    data = data.assign(low=0.05, high=0.15)
    plot = Plot("my-own", "Mine", "A caption.", data, draw_all_models)
    document = Document("t", "s", None, (Section("Own", (Section("Inner", (plot,)),)),))
    assert document.plots() == [plot]
    image = embedded(save(plot, tmp_path)["png"], 640, 540)
    assert 'id="figure-my-own"' in html(document, {"my-own": image})


def test_networks_of_other_sections_are_not_among_the_others(evidence):
    shown = shown_networks(evidence) | set(autopsy_rows(evidence)["member_id"])
    assert not len(other_networks(evidence, shown))
    assert len(other_networks(evidence, shown_networks(evidence)))  # the autopsy's


def test_a_network_trained_on_several_noise_factors_has_a_point_at_each(tmp_path):
    mixed = MemberConfig("dense-2", (Phase((0.1, 0.5), 4),), 0, grid="own")
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
    assert "The first 30 of 35 kinds" in plots[0].caption
    assert len(found["other-networks"].frame) == 35


def test_words():
    assert wording.listed([0.1, 0.2, 0.3, 0.4]) == "0.1 to 0.4"
    assert wording.listed([0.5, 0.1, 0.1]) == "0.1, 0.5"
    assert wording.percent(-35.123) == "−3,512 %"
    assert wording.signed(-0.2) == "−0.200"
