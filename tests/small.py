"""A study small enough for a test, and what two runs of it are compared by. Not a test itself."""

from pathlib import Path

import numpy as np
import pandas as pd

from data_utils.expression import ExpressionMatrix
from data_utils.formats.registry import write_expression
from data_utils.genes import landmark_table
from data_utils.preparation import Replicates, prepare
from models.config import MemberConfig, Phase

ROOT = Path(__file__).resolve().parents[1]


def expression(n_samples=60, n_genes=60, seed=0):
    """A matrix of log2 scale and low rank, whose genes are the first landmark genes."""
    rng = np.random.default_rng(seed)
    scores, loadings = rng.normal(size=(n_samples, 5)), rng.normal(size=(5, n_genes))
    values = 8 + scores @ loadings / 2 + rng.normal(scale=0.5, size=(n_samples, n_genes))
    genes = landmark_table()["ensembl_id"].tolist()[:n_genes]
    return ExpressionMatrix(
        values.astype(np.float32), [f"sample-{i}" for i in range(n_samples)], genes
    )


def expression_file(folder, name="expression.npz", **size):
    """The matrix as a file of `folder`."""
    path = Path(folder) / name
    write_expression(expression(**size), path)
    return path


def prepared(n_samples=120, n_genes=60):
    """Ready for training: of 120 samples, 84 training rows."""
    return prepare(expression(n_samples, n_genes))


def replicates(n_samples=120, n_genes=60, **how):
    """The same samples, split anew for each seed."""
    return Replicates.of(expression(n_samples, n_genes), **how)


def for_all(data):
    """The same data for every seed, as a training asks for them."""
    return lambda seed: data


def member(model="dense-2", noise=0.5, epochs=3, **other):
    """One network; with batches of 32, 84 rows make three batches."""
    usual = {
        "model": model,
        "phases": (Phase((noise,), epochs),),
        "batch_size": 32,
        "learning_rate": 3e-3,
    }
    return MemberConfig(**usual | other)


def tables(folder):
    """The tables of a run, without the seconds, which no two runs share."""
    members = pd.read_parquet(folder / "members.parquet").drop(columns="seconds")
    others = (pd.read_parquet(folder / f"{name}.parquet") for name in ("metrics", "samples"))
    return members, *others


def assert_same_tables(one, other):
    """Equal to the last bit."""
    for left, right in zip(tables(one), tables(other), strict=True):
        assert len(left)
        pd.testing.assert_frame_equal(left, right, check_exact=True)


def models(folder):
    """{file name: content} of every saved network."""
    return {path.name: path.read_bytes() for path in (folder / "models").glob("*.safetensors")}


def contents(folder):
    """{path: bytes, or None for a folder} of all below `folder`."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(Path(folder).rglob("*"))
    }


def flipped(path, at, bit=3):
    """Flip one bit of the file, at a share of its length: 0 is its first byte, 1 its last."""
    content = bytearray(path.read_bytes())
    content[int(at * (len(content) - 1))] ^= 1 << bit
    path.write_bytes(bytes(content))
