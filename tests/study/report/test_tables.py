"""The tables: every number against what the run was made of, and what is missing stays missing."""

import numpy as np
import pytest

from models.config import MemberConfig, Phase
from study.evidence.evidence import load_evidence
from study.grids import Narrowing
from study.report.document import Table
from study.report.exports import cell
from study.report.figures import fig4_table
from study.report.references import gene_exhibits, label_exhibits, reference_exhibits
from tests.study.runs import effect_as_published, effect_as_written, fake_run

LABEL = "input left alone, α²"


def reference_tables(evidence):
    sections = (reference_exhibits, gene_exhibits, label_exhibits)
    found = [exhibit for section in sections for exhibit in section(evidence)]
    return [exhibit for exhibit in found if isinstance(exhibit, Table)]


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return load_evidence(
        [fake_run(folder / "paper", "paper"), fake_run(folder / "published", "as-published")]
    )


@pytest.fixture(scope="module")
def tables(evidence):
    return {table.key: table for table in reference_tables(evidence)}


def mean(model, effect, noise, phases=1):
    return np.mean(
        [
            effect(MemberConfig(model, (Phase((noise,), 1),) * phases, seed=seed), noise)
            for seed in range(3)
        ]
    )


def row(table, **where):
    rows = table.frame
    for name, value in where.items():
        rows = rows[rows[name.replace("_", " ")] == value]
    assert len(rows) == 1
    return rows.iloc[0]


def test_which_tables_there_are(tables):
    keys = ["mse-as-written", "mse-as-published", "noise-removed-table", "genes", "labels-1"]
    assert list(tables) == keys
    for table in tables.values():
        assert table.measured  # marked if the data are simulated
        assert set(table.formats) <= set(table.frame) | {"rho"}
        for name in table.frame:  # every value can be shown
            assert all(cell(value, table.formats.get(name)) for value in table.frame[name])


def test_fig_4_with_the_division_by_n(evidence):
    table = fig4_table(evidence)
    first = row(table, network="dense-2")
    rerun = mean("dense-2", effect_as_published, 0.5, phases=11) - 0.03  # clean training rows
    assert first["printed, MSE / N"] == 0.000216
    assert first["published MSE"] == pytest.approx(0.630936)
    assert first["in Figs. 6–9"] == "0.6389 ± 0.005"
    assert first["as-published rerun, clean training rows"] == pytest.approx(rerun)
    assert first["rerun / N"] == pytest.approx(rerun / 2921)
    assert first["rerun, seeds"] == first["as-written, seeds"] == 3
    assert first["as-written, noisy test rows"] == pytest.approx(
        mean("dense-2", effect_as_written, 0.5)
    )
    span = first["as-written, 95 %"]
    assert span.low < first["as-written, noisy test rows"] < span.high
    assert row(table, network="dense-8")["in Figs. 6–9"] == "≈ 1"
    assert row(table, network=LABEL)["as-written, noisy test rows"] == 0.25
    assert row(table, network="Wiener")["as-written, noisy test rows"] == pytest.approx(0.1001)
    assert np.isnan(row(table, network="Wiener")["published MSE"])
    assert table.frame["network"].tolist()[4:] == [
        LABEL,
        "gene mean",
        "PCA 32",
        "Wiener",
        "Wiener mixture",
        "oracle, best possible",
    ]


def test_fig_4_marks_what_is_not_there(tmp_path):
    narrow = Narrowing(seeds=1, depths=["2"], noise=[0.5])
    table = fig4_table(load_evidence([fake_run(tmp_path / "run", narrowing=narrow, tables=False)]))
    first, second = row(table, network="dense-2"), row(table, network="dense-4")
    assert first["as-written, seeds"] == 1
    shown = [cell(second[name], table.formats.get(name)).text for name in table.frame]
    assert shown == ["dense-4", "0.0002952", "0.8624", "0.94295 ± 0.0005", *["–"] * 7]
    assert cell(first["as-written, 95 %"]).text == "–"  # one seed has no interval


def test_mse_beside_the_references(tables):
    one = row(tables["mse-as-written"], model="dense-4", noise_factor=0.6)
    assert one["MSE, noisy test rows"] == pytest.approx(mean("dense-4", effect_as_written, 0.6))
    assert one["against the input"] == "worse"
    assert one[LABEL] == pytest.approx(0.36)
    assert one["PCA 32"] == pytest.approx(0.45 + 0.036 + 1e-4)
    assert one["PCA with gain 32"] == pytest.approx(0.45 + 0.018 + 1e-4)
    assert one["seeds"] == 3
    assert (
        row(tables["mse-as-written"], model="dense-4", noise_factor=0.7)["against the input"]
        == "better"
    )
    assert (
        len(tables["mse-as-written"].frame) == 55
    )  # without a sparsity term: betas are in another table
    assert list(tables["mse-as-written"].frame["model"].unique()) == [
        "dense-2",
        "dense-4",
        "dense-6",
        "dense-8",
        "conv",
    ]
    worse = (tables["mse-as-written"].frame["against the input"] == "worse").sum()
    assert f"In {worse} of 55 rows the network is worse" in tables["mse-as-written"].caption


def test_as_published_has_both_measures(tables):
    one = row(tables["mse-as-published"], model="conv", noise_factor=1.0)
    value = mean("conv", effect_as_published, 1.0, phases=11)
    assert one["MSE, noisy test rows"] == pytest.approx(value)
    assert one["MSE, clean training rows"] == pytest.approx(value - 0.03)


def test_shares_by_method(tables):
    removed = tables["noise-removed-table"].frame.set_index("method")
    assert removed.loc["Wiener", "α = 1"] == pytest.approx(0.7499)
    assert removed.loc["dense-2", "α = 0.5"] == pytest.approx(
        1 - mean("dense-2", effect_as_written, 0.5) / 0.25
    )
    assert "α = 0" not in removed
    assert (
        cell(removed.loc["Wiener", "α = 1"], tables["noise-removed-table"].formats["α = 1"]).text
        == "75.0%"
    )


def test_worst_and_best_genes(tables):
    genes = tables["genes"].frame
    assert len(genes) == 20
    assert genes["rank"].tolist() == [*range(1, 11), *range(21, 31)]
    assert genes.loc[0, "gene"] == "<script>alert('gene')</script>"
    assert genes.loc[0, "Wiener"] == pytest.approx(0.59)
    assert genes["gene"].iloc[-1] == "ENSG00000000000"
    labels = tables["labels-1"].frame
    assert labels["tissue"].tolist() == ["<b>Blood</b>", "Brain - Cortex", "Liver"]
    assert labels["samples"].tolist() == [30, 20, 10]


def test_old_runs_have_fewer_tables(tmp_path):
    found = load_evidence(
        [fake_run(tmp_path / "run", "as-published", seeds=1, tables=False, simulated=False)]
    )
    tables = {table.key: table for table in reference_tables(found)}
    assert list(tables) == ["mse-as-published", "noise-removed-table"]
    assert "imulated" not in tables["mse-as-published"].caption
    columns = set(tables["mse-as-published"].frame)
    assert LABEL in columns
    assert not columns & {"Wiener", "PCA 32", "gene mean", "oracle, best possible"}


def test_lost_networks_are_counted(tmp_path):
    narrow = Narrowing(seeds=2, depths=["2"], betas=[0])
    found = load_evidence([fake_run(tmp_path / "run", lost={0: "diverged"}, narrowing=narrow)])
    [table] = [table for table in reference_tables(found) if table.key == "mse-as-written"]
    assert "Left out: 1 of 22 networks" in table.caption
    assert row(table, noise_factor=0.0)["seeds"] == 1
