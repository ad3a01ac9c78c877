"""The end of a run measures the errors of its networks again, by gene and by label."""

import os
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from data_utils.expression import ExpressionMatrix
from data_utils.noise import evaluation_noise
from data_utils.preparation import Replicates
from models.architecture import architecture
from models.config import Phase, Protocol
from models.denoisers import denoiser
from models.denoisers.denoiser import noisy_rows
from models.denoisers.references import ERROR_COLUMNS, reference_errors
from study.evidence.evidence import GENE_COLUMNS, LABEL_COLUMNS
from study.evidence.references import (
    TABLES,
    best_settings,
    grouping_labels,
    label_table,
    method_name,
    network_errors,
    up_to_date,
    write_references,
)
from study.run.folder import Part, RunFolder
from study.run.jobs import Workplace
from study.run.packs import plan_packs
from study.run.worker import run_pack
from tests.small import contents, expression, flipped, member

SAMPLES, GENES = 60, 50
LABELS = pd.DataFrame(
    {
        "tissue": [["Liver", "Lung", "<b>Brain</b>"][i % 3] for i in range(SAMPLES)],
        "batch": [i % 4 for i in range(SAMPLES)],
        "donor": [f"donor-{i}" for i in range(SAMPLES)],
        "platform": "RNA-Seq",
    },
    index=[f"sample-{i}" for i in range(SAMPLES)],
)


def dataset():
    matrix = expression(SAMPLES, GENES)
    labelled = ExpressionMatrix(matrix.values, matrix.sample_ids, matrix.gene_ids, LABELS)
    return SimpleNamespace(matrix=labelled, cohort=None)


DATASET = dataset()
REPLICATES = Replicates.of(DATASET.matrix)
DATA = [REPLICATES.data(seed) for seed in (0, 1)]
CARRIED = (Phase((0.0,), 1), Phase((0.5,), 1), Phase((1.0,), 2))
SCALED_BY_ALL = {"protocol": Protocol("as-published"), "scaling": "all", "output": "sigmoid"}
PLANNED = [
    *(
        member("dense-2", noise, beta=beta, seed=seed)
        for noise in (0.1, 0.5)
        for beta in (0, 0.01)
        for seed in (0, 1)
    ),
    member("conv", 0.5, epochs=2),
    member("dense-4", 0.5, noise_input=True),
    *(member("dense-2", phases=CARRIED, seed=seed, **SCALED_BY_ALL) for seed in (0, 1)),
    member("conv", 0.7, epochs=1, **SCALED_BY_ALL, layout="stream"),
    member("dense-4", 0.1, gene_order="random"),
    *(member("conv", 0.5, epochs=1, gene_order=order) for order in ("shuffled", "correlation")),
    member("conv", 0.1, epochs=1),
    member("dense-4", phases=(Phase((0.1, 0.5), 1),)),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of all of PLANNED, with its three tables: (folder, members, tables by name)."""
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    folder.create()
    for pack in plan_packs(PLANNED, GENES, 1):
        assert run_pack(pack, Workplace(REPLICATES, folder))
    members, _ = folder.merge(PLANNED, {})
    assert write_references(folder, DATASET, REPLICATES, PLANNED, members)
    tables = {name.partition(".")[0]: pd.read_parquet(folder.path / name) for name in TABLES}
    return SimpleNamespace(
        folder=folder, members=members.set_index("member_id", drop=False), **tables
    )


def rows(table, protocol, method, noise_factor):
    same = (
        (table["protocol"] == protocol)
        & (table["method"] == method)
        & (table["noise_factor"] == noise_factor)
    )
    return table[same]


# the networks


MEASURED = [
    m
    for m in PLANNED
    if m.layout == "sample" and m.gene_order == "given" and len(m.phases[-1].noise_factors) == 1
]


@pytest.mark.parametrize("config", MEASURED, ids=lambda m: m.run_name)
def test_the_mean_over_genes_or_samples_is_the_test_mse_of_the_run(config, run):
    by_gene, by_sample = network_errors(run.folder, DATA[config.seed], config)
    test_mse = run.members.loc[config.member_id, "test_mse"]
    assert by_gene.shape == (GENES,)
    assert by_gene.mean() == pytest.approx(test_mse, rel=1e-6)
    assert by_sample.shape == (12,)
    assert by_sample.mean() == pytest.approx(test_mse, rel=1e-6)


def test_rows_in_blocks_change_nothing(run, monkeypatch):
    whole = [network_errors(run.folder, DATA[config.seed], config)[0] for config in MEASURED]
    monkeypatch.setattr(denoiser, "ROWS", 5)
    for config, by_gene in zip(MEASURED, whole, strict=True):
        np.testing.assert_allclose(
            network_errors(run.folder, DATA[config.seed], config)[0], by_gene, rtol=1e-6
        )


def test_examples_are_what_the_networks_make_of_test_rows(run):
    """One conv network per order, at the noise factor that has several; pictures hold the genes."""
    with np.load(run.folder.path / "examples.npz") as file:
        found = dict(file)
    assert found["order"].tolist() == ["given", "correlation", "shuffled"]
    assert found["noise_factor"] == 0.5
    assert found["clean"].shape == found["noisy"].shape == found["denoised"].shape == (3, 3, 8, 8)
    assert np.isnan(found["clean"].reshape(9, 64)[:, GENES:]).all()
    np.testing.assert_array_equal(found["clean"][0].reshape(3, 64)[:, :GENES], DATA[0].test[:3])
    conv = [
        m for m in PLANNED if m.model == "conv" and m.layout == "sample" and m.noise_factor == 0.5
    ]
    for i, order in enumerate(found["order"]):
        [config] = [m for m in conv if m.gene_order == order]
        assert np.nanmean(found["error"][i]) == pytest.approx(
            run.members.loc[config.member_id, "test_mse"], rel=1e-5
        )
        weights = run.folder.load_model(config.member_id)[1]["conv0.weight"]
        np.testing.assert_array_equal(found["filters"][i], weights[:, 0])
    noise = (found["noisy"] - found["clean"])[0].reshape(3, 64)[:, :GENES] / 0.5
    np.testing.assert_allclose(noise, evaluation_noise(0, "test", 12, GENES).numpy()[:3], atol=1e-5)


def test_genes_are_of_each_seeds_best_setting_and_the_mean_over_seeds(run):
    for noise_factor in (0.1, 0.5):
        same = run.members[
            (run.members["protocol"] == "as-written") & (run.members["model"] == "dense-2")
        ]
        same = same[same["noise_factor"] == noise_factor]
        assert len(same) == same["test_mse"].nunique() == 4
        best = same.loc[same.groupby("seed")["val_mse"].idxmin()]
        expected = best["test_mse"].mean()
        found = rows(run.genes, "as-written", "dense-2", noise_factor)
        assert found["gene_id"].tolist() == list(REPLICATES.gene_ids)
        assert found["mse"].mean() == pytest.approx(expected, rel=1e-6)


def test_networks_are_measured_where_they_can_be(run):
    """Carried networks count at their last noise factor; streams, gene orders, mixtures do not."""
    keys = run.genes.loc[
        run.genes["protocol"] != "", ["protocol", "method", "noise_factor"]
    ].drop_duplicates()
    assert sorted(keys.itertuples(index=False, name=None)) == [
        ("as-published", "dense-2", 1.0),
        ("as-written", "conv", 0.1),
        ("as-written", "conv", 0.5),
        ("as-written", "dense-2", 0.1),
        ("as-written", "dense-2", 0.5),
        ("as-written", "dense-4", 0.5),
    ]
    carried = run.members[run.members["noise_schedule"] == "0-0.5-1"]
    mean = rows(run.genes, "as-published", "dense-2", 1.0)["mse"].mean()
    assert mean == pytest.approx(carried["test_mse"].mean(), rel=1e-6)


def test_each_seed_chooses_its_setting_by_its_own_validation_mse():
    low, high = (
        [member(beta=0.0, seed=s) for s in (0, 1)],
        [member(beta=0.01, seed=s) for s in (0, 1)],
    )
    other = member(noise=0.1)
    validation = dict(
        zip((m.member_id for m in (*low, *high, other)), (0.1, 0.9, 0.4, 0.5, 0.0), strict=True)
    )
    best = best_settings([*low, *high, other], validation)
    assert best == {
        ("as-written", "dense-2", 0.5): [low[0], high[1]],
        ("as-written", "dense-2", 0.1): [other],
    }
    longer = replace(
        high[0], phases=(Phase((0.5,), 9),)
    )  # another number of epochs is another setting
    best = best_settings([*high, longer], {**validation, longer.member_id: 0.1})
    assert best["as-written", "dense-2", 0.5] == [longer, high[1]]


# the references


def test_the_references_are_at_every_noise_factor_seed_and_code_size_of_the_run(run):
    table = run.references
    assert list(table.columns) == ERROR_COLUMNS
    noise_factors, sizes = (0.0, 0.1, 0.5, 0.7, 1.0), (8, 32)
    parts = [reference_errors(DATA[s], None, noise_factors, (s,), sizes) for s in (0, 1)]
    expected = pd.concat(parts, ignore_index=True)
    pd.testing.assert_frame_equal(table, expected, check_exact=True)
    assert set(table["code_size"].dropna()) == {8, 32}  # conv: 8 x 1 x 1 of an 8 x 8 image
    assert not table.duplicated(["reference", "noise_factor", "seed", "code_size"]).any()


def test_genes_and_labels_of_a_reference_are_its_test_mse(run):
    for (reference, noise_factor), same in run.references.groupby(["reference", "noise_factor"]):
        for code_size, seeds in same.groupby("code_size", dropna=False):
            name = method_name(reference, None if pd.isna(code_size) else code_size)
            expected = pytest.approx(seeds["test_mse"].mean(), rel=1e-9, abs=1e-20)
            assert rows(run.genes, "", name, noise_factor)["mse"].mean() == expected
            labels = rows(run.labels, "", name, noise_factor)
            assert set(labels["label"]) == {"tissue", "batch"}


@pytest.mark.parametrize(
    ("model", "size"), [("dense-2", 32), ("dense-8", 32), ("dense-64x16x64", 16), ("conv", 120)]
)
def test_the_code_size_of_a_network_on_the_papers_genes(model, size):
    assert architecture(model).code_size(943) == size  # conv: 8 x 3 x 5 of an image of 24 x 40


def test_a_reference_of_another_code_size_has_another_name():
    assert [method_name("PCA", 32), method_name("PCA", 120)] == ["PCA", "PCA, code of 120"]
    assert method_name("Wiener", None) == "Wiener"


def test_the_error_of_the_identity_by_gene_and_by_tissue_by_hand(run):
    """A sample that both seeds test counts twice, but is one sample."""
    tests = [data.test for data in DATA]
    errors = [
        (noisy_rows(test, "test", 0.5, seed).astype(float) - test) ** 2
        for seed, test in enumerate(tests)
    ]
    error = np.concatenate(errors)  # (test samples of both seeds, genes)
    np.testing.assert_allclose(
        rows(run.genes, "", "identity", 0.5)["mse"], error.mean(axis=0), rtol=1e-9
    )
    tested = np.concatenate([data.split.test for data in DATA])
    tissue = LABELS["tissue"].to_numpy()[tested]
    assert len(set(tested)) < len(tested) == 24
    found = rows(run.labels, "", "identity", 0.5).query("label == 'tissue'").set_index("value")
    for value in set(tissue):
        assert found.loc[value, "mse"] == pytest.approx(error[tissue == value].mean(), rel=1e-9)
        assert found.loc[value, "samples"] == len(set(tested[tissue == value]))


# labels


def test_labels_are_those_that_sort_samples_into_groups(run):
    assert list(run.labels.columns) == LABEL_COLUMNS
    assert list(run.genes.columns) == GENE_COLUMNS
    assert set(run.labels["label"]) == {"tissue", "batch"}
    assert set(run.labels.query("label == 'batch'")["value"]) <= {"0", "1", "2", "3"}
    assert not run.labels.duplicated(LABEL_COLUMNS[:-2]).any()


@pytest.mark.parametrize(("values", "kept"), [(1, False), (2, True), (100, True), (101, False)])
def test_a_label_has_2_to_100_values(values, kept):
    labels = pd.DataFrame({"label": [f"v{i % values}" for i in range(300)]})
    assert list(grouping_labels(labels)) == ["label"] * kept


def test_a_missing_label_is_a_value_without_a_name():
    labels = grouping_labels(
        pd.DataFrame({"age": [1.0, np.nan, 2.0, 1.0], "sex": ["f", "", "m", "f"]})
    )
    assert labels.to_dict("list") == {"age": ["1.0", "", "2.0", "1.0"], "sex": ["f", "", "m", "f"]}
    [none, one, two] = label_table(
        {("", "x", 0.5): [(np.arange(4), np.zeros(1), np.arange(4.0))]}, labels[["age"]]
    ).to_dict("records")
    assert [(r["value"], r["samples"], r["mse"]) for r in (none, one, two)] == [
        ("", 1, 1.0),
        ("1.0", 2, 1.5),
        ("2.0", 1, 2.0),
    ]


def test_data_without_labels_have_an_empty_table(run, tmp_path):
    bare = SimpleNamespace(matrix=expression(SAMPLES, GENES), cohort=None)
    folder = RunFolder(tmp_path)
    folder.create()
    assert write_references(folder, bare, REPLICATES, [], run.members)
    for name, columns in zip(TABLES, (ERROR_COLUMNS, GENE_COLUMNS, LABEL_COLUMNS), strict=True):
        table = pd.read_parquet(tmp_path / name)
        assert (list(table.columns), len(table)) == (columns, 0)


# when


def test_the_same_run_gives_the_same_bytes(run):
    before = {name: (run.folder.path / name).read_bytes() for name in TABLES}
    assert write_references(
        run.folder, DATASET, REPLICATES, PLANNED, run.members.reset_index(drop=True)
    )
    assert {name: (run.folder.path / name).read_bytes() for name in TABLES} == before


def test_members_that_have_not_finished_do_not_count(run, tmp_path):
    folder = RunFolder(tmp_path)
    folder.create()
    members = run.members.assign(status="diverged")
    members.loc[PLANNED[0].member_id, "status"] = "finished"
    folder.save_model(PLANNED[0], run.folder.load_model(PLANNED[0].member_id)[1])
    assert write_references(folder, DATASET, REPLICATES, PLANNED, members)
    found = pd.read_parquet(tmp_path / "references.parquet")
    assert (set(found["noise_factor"]), set(found["seed"]), set(found["code_size"].dropna())) == (
        {0.1},
        {0},
        {32},
    )


@pytest.mark.parametrize("steps", [1, 72])
def test_stopped_it_writes_nothing(steps, run, tmp_path):
    calls = iter(range(1, 10**6))
    folder = RunFolder(tmp_path)
    folder.create()
    before = contents(tmp_path)
    folder.load_model = run.folder.load_model
    assert not write_references(
        folder, DATASET, REPLICATES, PLANNED, run.members, lambda: next(calls) == steps
    )
    assert contents(tmp_path) == before


def test_a_failure_in_the_pictures_leaves_nothing_up_to_date(run, tmp_path, monkeypatch):
    """Else a run that is resumed would never get them."""
    folder = RunFolder(tmp_path)
    folder.create()
    folder.load_model = run.folder.load_model

    def fail(*_):
        raise OSError("no space")

    monkeypatch.setattr("study.evidence.references.write_inside", fail)
    with pytest.raises(OSError, match="no space"):
        write_references(folder, DATASET, REPLICATES, PLANNED, run.members)
    assert not up_to_date(folder)


def test_tables_are_up_to_date_until_a_pack_ends(run, tmp_path):
    folder = RunFolder(tmp_path)
    folder.create()
    assert not up_to_date(folder)
    part = Part(*[pd.DataFrame({"a": [1]})] * 3)
    folder.finish_pack("one", part)
    for name in TABLES[:2]:
        folder.write_table(name, pd.DataFrame())
    assert not up_to_date(folder)
    folder.write_table(TABLES[2], pd.DataFrame())
    assert up_to_date(folder)
    folder.finish_pack("two", part)
    later = (tmp_path / TABLES[2]).stat().st_mtime_ns + 1
    os.utime(
        tmp_path / "parts" / "two.members.parquet", ns=(later, later)
    )  # clocks of some file systems are coarse
    assert not up_to_date(folder)
    (tmp_path / "parts" / "two.members.parquet").unlink()
    assert up_to_date(folder)
    folder.write_table(TABLES[1], pd.DataFrame({"mse": np.arange(1000.0)}))
    assert up_to_date(folder)
    flipped(tmp_path / TABLES[1], 0.5)  # a damaged table is measured again
    assert not up_to_date(folder)
