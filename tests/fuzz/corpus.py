"""The whole files that are damaged, and what may be read from one afterwards. Not a test itself."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from data_utils.expression import ExpressionMatrix
from data_utils.formats.registry import FORMATS, write_expression
from data_utils.genes import landmark_table

PLAIN = list(FORMATS)
TEXT = [ending for ending in PLAIN if FORMATS[ending].content == "text"]
PACKED = [f"{ending}.gz" for ending in TEXT]
ENDINGS = PLAIN + PACKED

GENES = landmark_table()["ensembl_id"].tolist()
SYMBOLS = landmark_table()["gene_symbol"].tolist()
ODD = [
    '5" end',
    "a,b",
    "a;b",
    "é",
    "基因",
    "a ",
    "a",
    "A",
    "a.1",
    "NA",
    "nan",
    "1.5",
    "inf",
    "sample_id",
    "id",
    "--",
]


def _landmarks(samples, genes):
    values = np.random.default_rng(samples).lognormal(2, 2, (samples, genes)).astype(np.float32)
    labels = pd.DataFrame(
        {"tissue": [f"t, {i % 2}" for i in range(samples)], "plate": range(samples)}
    )
    symbols = pd.DataFrame({"symbol": SYMBOLS[:genes]})
    return ExpressionMatrix(
        values, [f"sample {i}" for i in range(samples)], GENES[:genes], labels, symbols
    )


def _odd(samples, genes):
    values = np.random.default_rng(samples).normal(0, 1e6, (samples, genes)).astype(np.float32)
    return ExpressionMatrix(values, [f"{ODD[-i]}{i}" for i in range(samples)], ODD[:genes])


#: Matrices, and where a table of them must be told to have its genes.
BASES = [
    (_landmarks(25, 12), None),
    (_odd(3, len(ODD)), "columns"),
    (_odd(4, 2), "columns"),
    (ExpressionMatrix(np.float32([[1.5]]), ["s"], ["g"]), "columns"),
    (ExpressionMatrix(np.eye(23, 11, dtype=np.float32), range(100, 123), GENES[:11]), None),
]


def _gct_12(matrix):
    lines = ["#1.2", f"{matrix.n_genes}\t{matrix.n_samples}"]
    lines.append("\t".join(["Name", "Description", *matrix.sample_ids]))
    for i, gene in enumerate(matrix.gene_ids):
        lines.append("\t".join([gene, "na", *map(str, matrix.values[:, i].tolist())]))
    return "\n".join(lines) + "\n"


@cache
def original(ending, base):
    """The bytes of a base as a file of that ending; the last is sparse in h5ad, and GCT 1.2."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"x{ending}"
        matrix = BASES[base][0]
        if base == len(BASES) - 1 and ending == ".h5ad":
            from anndata import AnnData
            from scipy.sparse import csr_matrix

            AnnData(csr_matrix(matrix.values), matrix.sample_labels, matrix.gene_labels).write_h5ad(
                path
            )
        elif base == len(BASES) - 1 and ending == ".gct":
            path.write_text(_gct_12(matrix))
        else:
            write_expression(matrix, path)
        return path.read_bytes()


def assert_consistent(found):
    """Check that what `tasks.read` returns fits together, and is finite and unique or refused."""
    values, samples, genes, labels, said = found
    assert values.dtype == np.float32
    assert values.shape == (len(samples), len(genes)) == labels
    assert all(type(name) is str for name in (*samples, *genes))
    if said is None:
        assert np.isfinite(values).all()
        assert len(set(samples)) == len(samples) >= 20
        assert len(set(genes)) == len(genes) > 0


def assert_agrees(found, truth, but=lambda sample, gene: False):
    """Check that each value of a sample and gene in `truth` is the true one, except some."""
    values, samples, genes, *_ = found
    rows = {name: i for i, name in enumerate(truth.sample_ids)}
    columns = {name: i for i, name in enumerate(truth.gene_ids)}
    for i, sample in enumerate(samples):
        for j, gene in enumerate(genes):
            if sample in rows and gene in columns and not but(sample, gene):
                expected = truth.values[rows[sample], columns[gene]]
                assert values[i, j] == expected, (
                    f"{values[i, j]} at {sample!r}, {gene!r}, not {expected}"
                )


def assert_same(found, truth):
    """The whole matrix, to the bit, with its names in their order."""
    values, samples, genes, *_ = found
    np.testing.assert_array_equal(values.view(np.uint32), truth.values.view(np.uint32))
    assert samples == truth.sample_ids.tolist()
    assert genes == truth.gene_ids.tolist()
