"""Networks next to references, genes and labels: each number against what the runs are made of."""

import numpy as np
import pandas as pd
import pytest

from models.config import PAPER_MODELS
from study.evidence.evidence import load_evidence
from study.evidence.stats import REVERSED
from study.grids import Narrowing
from study.report import curves, references
from study.report.curves import NOISY
from study.report.document import Plot
from study.report.exports import cell, save
from study.report.references import all_curves, compared, draw_labels, gene_exhibits
from tests.study.report.made import LABEL, as_seen, line, mean, reference_tables, row
from tests.study.runs import effect_as_published, effect_as_written, fake_run


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return load_evidence(
        [fake_run(folder / "paper", "as-written"), fake_run(folder / "published", "as-published")]
    )


@pytest.fixture(scope="module")
def tables(scripts):
    return {table.key: table for table in reference_tables(scripts)}


def test_which_tables_there_are(tables):
    assert list(tables) == ["against", "mse", "genes", "labels-tissue"]
    for table in tables.values():
        assert table.measured  # marked if the data are simulated
        assert set(table.formats) <= set(table.frame) | {"rho"}
        for name in table.frame:  # every value can be shown
            assert all(cell(value, table.formats.get(name)) for value in table.frame[name])


def test_mse_beside_the_references(tables):
    mse = tables["mse"].frame.set_index("method")
    assert mse.loc["dense-4", "α = 0.6"] == pytest.approx(mean("dense-4", effect_as_written, 0.6))
    assert mse.loc[LABEL, "α = 0.6"] == pytest.approx(0.36)
    assert mse.loc["PCA 32", "α = 0.6"] == pytest.approx(0.45 + 0.036 + 1e-4)
    assert mse.loc["PCA with gain 32", "α = 0.6"] == pytest.approx(0.45 + 0.018 + 1e-4)
    value = mean("conv", effect_as_published, 1.0, phases=11)
    assert mse.loc["conv, as its scripts ran", "α = 1"] == pytest.approx(value)
    assert not mse.isna().all().any()


def test_methods_against_simple_ones(tables):
    """At noise a Wiener has .5 a^2 / (1 + a^2), the mixture .45 of that fraction: 11 % less."""
    against = tables["against"]
    assert against.frame["noise"].unique().tolist() == [0.1, 0.5, 1.0]
    mixture = row(against, method="Wiener mixture", noise=1.0)
    assert mixture["Wiener filter"].effect == pytest.approx(11.1, abs=0.1)
    assert mixture["input left alone"].effect == pytest.approx(100 * (1 / 0.225 - 1), rel=0.01)
    assert compared(mixture["Wiener filter"]) == "better"
    assert mixture["Wiener filter"].n == 3
    text = cell(mixture["Wiener filter"], against.formats["Wiener filter"]).text
    assert text.startswith("better: +11.1")
    worse = row(against, method="dense-2", noise=0.1)
    assert worse["Wiener filter"].outcome == REVERSED
    assert compared(worse["Wiener filter"]) == "worse"
    assert "gene mean" not in set(against.frame["method"])


def test_worst_and_best_genes(tables):
    genes = tables["genes"].frame
    assert len(genes) == 20
    assert genes["rank"].tolist() == [*range(1, 11), *range(21, 31)]
    assert genes.loc[0, "gene"] == "<script>alert('gene')</script>"
    assert genes.loc[0, "Wiener"] == pytest.approx(0.59)
    assert genes["gene"].iloc[-1] == "ENSG00000000000"
    labels = tables["labels-tissue"].frame
    assert labels["tissue"].tolist() == ["<b>Blood</b>", "Brain - Cortex", "Liver"]
    assert labels["samples"].tolist() == [30, 20, 10]


def test_without_references_there_is_less_to_compare(tmp_path):
    found = load_evidence(
        [fake_run(tmp_path / "run", "as-published", seeds=1, tables=False, simulated=False)]
    )
    tables = {table.key: table for table in reference_tables(found)}
    assert list(tables) == ["mse"]
    assert "imulated" not in tables["mse"].description
    assert list(tables["mse"].frame["method"]) == [*PAPER_MODELS, LABEL]


def test_lost_networks_are_counted_in_the_table(tmp_path):
    narrow = Narrowing(seeds=2, depths=["2"], betas=[0])
    found = load_evidence([fake_run(tmp_path / "run", lost={0: "diverged"}, narrowing=narrow)])
    [table] = [table for table in reference_tables(found) if table.key == "mse"]
    assert "Left out: 1 of 22 networks" in table.description


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


def test_an_as_published_network_and_pca_of_any_size_keep_their_looks(tmp_path):
    found = load_evidence([fake_run(tmp_path / "run", "as-published", seeds=2)])
    data = gene_exhibits(found)[0].data
    assert data["series"].iloc[0] == "conv, as-published"
    assert data["method"].iloc[0] == "conv"
    points = all_curves(found)
    assert set(points.loc[points["series"] == "PCA 32", "method"]) == {"PCA"}
