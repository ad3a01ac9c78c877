"""Files read and written some samples at a time are those that are read and written whole."""

import gzip

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csc_matrix, csr_matrix

from data_utils import expression as expression_module
from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix, joined
from data_utils.formats import parquet, tables
from data_utils.formats import registry as formats
from data_utils.formats.registry import read_blocks, read_expression, write_blocks, write_expression
from data_utils.genes import landmark_table

ENDINGS = ["gct", "gctx", "h5ad", "csv", "tsv.gz", "parquet", "npz"]
STREAMED = ["gctx", "h5ad", "csv", "tsv.gz", "parquet"]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    for module in (expression_module, parquet):
        monkeypatch.setattr(module, "BLOCK", 30 * 16)
    monkeypatch.setattr(tables, "BLOCK_BYTES", 1 << 13)


def matrix(n_samples=100, n_genes=30, seed=0):
    values = np.random.default_rng(seed).normal(8, 2, (n_samples, n_genes)).astype(np.float32)
    genes = landmark_table()["ensembl_id"].tolist()[:n_genes]
    samples = [f"sample-{i}" for i in range(n_samples)]
    sample_labels = pd.DataFrame({"tissue": [f"t{i % 7}" for i in range(n_samples)]}, index=samples)
    gene_labels = pd.DataFrame({"symbol": [f"S{i}" for i in range(n_genes)]}, index=genes)
    return ExpressionMatrix(values, samples, genes, sample_labels, gene_labels)


def assert_same(one, other, gene_labels=True):
    np.testing.assert_array_equal(one.values, other.values)
    assert one.sample_ids.tolist() == other.sample_ids.tolist()
    assert one.gene_ids.tolist() == other.gene_ids.tolist()
    assert one.sample_labels["tissue"].tolist() == other.sample_labels["tissue"].tolist()
    if gene_labels:
        assert one.gene_labels["symbol"].tolist() == other.gene_labels["symbol"].tolist()


@pytest.mark.parametrize("ending", ENDINGS)
def test_blocks_are_the_file(ending, tmp_path):
    path, whole = tmp_path / f"x.{ending}", matrix()
    write_expression(whole, path)
    blocks = list(read_blocks(path))
    assert len(blocks) > 3
    assert all(block.n_samples <= 40 for block in blocks)
    assert_same(
        joined(blocks),
        read_expression(path),
        gene_labels="csv" not in ending and "tsv" not in ending,
    )


@pytest.mark.parametrize("ending", ENDINGS)
def test_written_blocks_are_the_file(ending, tmp_path):
    whole = matrix()
    parts = (
        whole.select(samples=range(start, min(start + 33, 100))) for start in range(0, 100, 33)
    )
    write_blocks(parts, tmp_path / f"x.{ending}")
    found = read_expression(tmp_path / f"x.{ending}")
    assert_same(found, whole, gene_labels="csv" not in ending and "tsv" not in ending)


def test_genes_in_rows_and_sparse_files(tmp_path):
    from anndata import AnnData

    whole = matrix()
    table = pd.DataFrame(whole.values.T, whole.gene_ids, whole.sample_ids)
    table.to_csv(tmp_path / "rows.csv")
    table.to_parquet(tmp_path / "rows.parquet")
    for name in ("rows.csv", "rows.parquet"):
        np.testing.assert_allclose(
            joined(list(read_blocks(tmp_path / name))).values, whole.values, rtol=1e-6
        )
    for kind in (csr_matrix, csc_matrix):
        sparse = np.where(whole.values > 8, whole.values, 0)
        adata = AnnData(
            kind(sparse), pd.DataFrame(index=whole.sample_ids), pd.DataFrame(index=whole.gene_ids)
        )
        adata.write_h5ad(tmp_path / "sparse.h5ad")
        np.testing.assert_array_equal(
            joined(list(read_blocks(tmp_path / "sparse.h5ad"))).values, sparse
        )


@pytest.mark.parametrize("ending", STREAMED)
def test_a_file_that_breaks_off_is_one_line(ending, tmp_path):
    path = tmp_path / f"x.{ending}"
    write_expression(matrix(400), path)
    content = path.read_bytes()
    path.write_bytes(
        content[: len(content) * 6 // 10]
        if ending != "csv"
        else content[: len(content) * 6 // 10] + b",x\n"
    )
    with pytest.raises(InputError, match=r"x\."):
        list(read_blocks(path))


def test_letters_far_down_are_named(tmp_path):
    path = tmp_path / "x.csv.gz"
    write_expression(matrix(400), path)
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    cells = lines[301].split(",")
    cells[5] = "high"
    path.write_bytes(
        gzip.compress("\n".join([*lines[:301], ",".join(cells), *lines[302:]]).encode())
    )
    gene = matrix().gene_ids[3]
    with pytest.raises(
        InputError, match=rf"'high' at sample 'sample-300', gene '{gene}' is not a number"
    ):
        list(read_blocks(path))


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    def blocks():
        yield matrix(10)
        raise InputError("stop")

    for ending in ENDINGS:
        with pytest.raises(InputError, match="stop"):
            write_blocks(blocks(), tmp_path / f"x.{ending}")
    assert list(tmp_path.iterdir()) == []


def test_no_samples_are_refused(tmp_path):
    write_expression(matrix(0), tmp_path / "x.npz")
    with pytest.raises(InputError, match="has no samples"):
        list(read_blocks(tmp_path / "x.npz"))
    assert formats.FORMATS[".npz"].blocks is None
