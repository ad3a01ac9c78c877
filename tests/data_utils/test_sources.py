"""load_dataset hands over checked values on the right scale, and says what it did."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix
from data_utils.formats.registry import write_expression
from data_utils.genes import landmark_table
from data_utils.sources import load_dataset
from tests.data_utils.formats.test_formats import real

TABLE = landmark_table()


def counts(samples=24, genes=100, seed=0):
    values = (
        np.random.default_rng(seed)
        .negative_binomial(3, 0.01, (samples, genes + 5))
        .astype(np.float32)
    )
    ids = [*TABLE["ensembl_id"][:genes], *(f"ENSG9{i:010d}" for i in range(5))]
    labels = pd.DataFrame({"tissue": ["a", "b"] * (samples // 2)})
    return ExpressionMatrix(values, [f"s{i}" for i in range(samples)], ids, labels)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "counts.csv"
    write_expression(counts(), path)
    return path


def test_a_file_of_counts(file):
    data = load_dataset(str(file))
    expected = np.log2(counts().values[:, :100].astype(np.float64) + 1).astype(np.float32)
    np.testing.assert_allclose(data.matrix.values, expected, rtol=2e-7)
    assert (data.source, data.simulated, data.transform) == (str(file), False, "log2p1")
    assert (data.genes_matched, len(data.genes_missing)) == (100, 843)
    assert data.genes_missing[0] == TABLE["gene_symbol"][100]
    assert data.matrix.sample_labels["tissue"].tolist() == ["a", "b"] * 12
    assert data.file_size == file.stat().st_size
    assert data.file_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert data.cohort is None
    log = "\n".join(data.notes)
    assert "24 samples x 100 genes" in log
    assert "100 of 943 found by Ensembl id" in log
    assert f"843 landmark genes are missing: {TABLE['gene_symbol'][100]}, " in log
    assert f"transform log2p1: {data.transform_reason}" in log


def test_all_genes_keeps_every_gene_and_its_id(file):
    data = load_dataset(str(file), all_genes=True, transform="none")
    np.testing.assert_array_equal(data.matrix.values, counts().values)
    assert data.matrix.gene_ids.tolist() == counts().gene_ids.tolist()
    assert (data.genes_matched, data.genes_missing, data.transform_reason) == (
        None,
        (),
        "as requested",
    )


def test_other_genes_are_kept_next_to_the_landmark_genes(file):
    data = load_dataset(str(file), other_genes=True)
    assert data.matrix.content_hash() == load_dataset(str(file)).matrix.content_hash()
    assert data.others.gene_ids.tolist() == counts().gene_ids[100:].tolist()
    expected = np.log2(counts().values[:, 100:].astype(np.float64) + 1).astype(np.float32)
    np.testing.assert_allclose(data.others.values, expected, rtol=2e-7)
    assert "other genes, predicted from the landmark genes: 5" in data.notes
    facts = data.facts()
    assert (facts["n_genes"], facts["n_other_genes"]) == (100, 5)
    assert facts["others_sha256"] == data.others.content_hash()
    assert load_dataset(str(file)).others is None


def test_other_genes_that_are_missing_or_no_numbers_are_refused(tmp_path):
    path = tmp_path / "x.npz"
    write_expression(counts().select(genes=range(100)), path)
    with pytest.raises(InputError, match=r"x\.npz: has no gene besides its 100 landmark genes"):
        load_dataset(str(path), other_genes=True)
    write_expression(spoilt(put((4, 102), np.nan)), path)
    assert load_dataset(str(path)).matrix.n_genes == 100
    with pytest.raises(InputError, match=r"1 of 120 values are NaN .* gene 'ENSG90000000002'"):
        load_dataset(str(path), other_genes=True)


@pytest.mark.parametrize(
    ("data", "all_genes", "words"),
    [
        ("simulated", False, "--data simulated: .*simulated data have none: give a file with more"),
        ("gtex-v8", False, "--data gtex-v8: .* of it only the landmark genes are kept .* by hand"),
        ("x.npz", True, "--all-genes: this grid predicts the other genes .*: leave it out"),
    ],
)
def test_data_without_other_genes_are_refused_before_they_are_read(data, all_genes, words):
    with pytest.raises(InputError, match=words) as error:
        load_dataset(data, all_genes=all_genes, other_genes=True)
    assert "\n" not in str(error.value)


def test_relative_path_becomes_absolute(file, monkeypatch):
    monkeypatch.chdir(file.parent)
    assert load_dataset("counts.csv").source == str(file)


def test_constant_genes_are_counted(tmp_path):
    values = counts().values.copy()
    values[:, [3, 8]] = 7
    write_expression(
        ExpressionMatrix(values, counts().sample_ids, counts().gene_ids), tmp_path / "x.npz"
    )
    assert any(
        note.startswith("2 genes are constant")
        for note in load_dataset(str(tmp_path / "x.npz")).notes
    )


def spoilt(change):
    m = counts()
    values, ids, genes = m.values.copy(), m.sample_ids.tolist(), m.gene_ids.tolist()
    change(values, ids, genes)
    return ExpressionMatrix(values, ids, genes)


def put(place, value):
    def change(values, ids, genes):
        values[place] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put((4, 6), np.nan), f"is nan at sample 's4', gene '{TABLE['ensembl_id'][6]}'"),
        (put((4, 6), np.inf), f"is inf at sample 's4', gene '{TABLE['ensembl_id'][6]}'"),
        (put((4, 6), -2), f"is -2.0 at sample 's4', gene '{TABLE['ensembl_id'][6]}'"),
        (
            lambda v, ids, genes: ids.__setitem__(3, "s9"),
            "1 sample id(s) occur more than once ('s9')",
        ),
        (
            lambda v, ids, genes: genes.__setitem__(3, genes[9]),
            "1 gene id(s) occur more than once ('ENSG",
        ),
        (
            lambda v, ids, genes: genes.__setitem__(slice(60), map("u{}".format, range(60))),
            "40 of 943 landmark genes found",
        ),
    ],
)
def test_bad_values_and_ids(tmp_path, change, words):
    path = tmp_path / "x.gct"
    write_expression(spoilt(change), path)
    with pytest.raises(InputError) as error:
        load_dataset(str(path), transform="log2p1")
    assert str(error.value).startswith(f"{path}: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_too_few_samples(tmp_path):
    write_expression(counts(samples=18), tmp_path / "x.tsv")
    with pytest.raises(InputError, match=r"x\.tsv: 18 samples are too few"):
        load_dataset(str(tmp_path / "x.tsv"))


def test_other_genes_may_repeat_unless_all_are_asked_for(tmp_path):
    path = tmp_path / "x.gct"
    write_expression(
        spoilt(lambda v, ids, genes: genes.__setitem__(slice(100, 105), ["Y_RNA"] * 5)), path
    )
    assert load_dataset(str(path)).matrix.n_genes == 100
    with pytest.raises(InputError, match="'Y_RNA'"):
        load_dataset(str(path), all_genes=True)


def test_no_such_file():
    with pytest.raises(InputError, match=r"/gtex-v9: no such file"):
        load_dataset("gtex-v9")


def test_simulated_is_the_default_and_follows_its_seed():
    data = load_dataset(data_seed=3)
    assert (data.source, data.simulated, data.transform) == ("simulated", True, "none")
    assert data.matrix.values.shape == (2921, 943)
    assert (data.genes_matched, data.genes_missing, data.file_size, data.file_sha256) == (
        943,
        (),
        None,
        None,
    )
    assert "tissue" in data.matrix.sample_labels
    assert data.cohort.matrix is data.matrix
    assert (
        load_dataset("simulated", data_seed=3).matrix.content_hash() == data.matrix.content_hash()
    )
    assert load_dataset().matrix.content_hash() != data.matrix.content_hash()


@pytest.mark.parametrize(
    ("name", "shape", "transform", "kind"),
    [
        ("l1000_a375_qnorm_n1119x943.gct.gz", (1119, 943), "none", "Ensembl id"),
        ("l1000_cpc006_qnorm_n371x978.gctx", (371, 943), "none", "L1000 probe id"),
        ("gtex_v6_brain_counts_n40x924.tsv.gz", (40, 924), "log2p1", "Ensembl id"),
    ],
)
def test_real_files(name, shape, transform, kind):
    data = load_dataset(str(real(name)))
    assert data.matrix.values.shape == shape
    assert data.transform == transform
    assert len(data.genes_missing) == 943 - shape[1]
    assert any(note.endswith(f"{shape[1]} of 943 found by {kind}") for note in data.notes)
    assert 0 <= data.matrix.values.min() < data.matrix.values.max() < 20
