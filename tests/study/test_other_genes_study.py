"""The grid `inference`, from a file with more than landmark genes to its table."""

import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import run_study
from data_utils.expression import ExpressionMatrix
from data_utils.formats.registry import write_expression
from models import prediction
from tests.small import contents, expression, expression_file

LANDMARKS, OTHERS = 60, 25
GRID = ["--grid", "inference", "--local", "--seeds", "2", "--noise", "1.0", "--epochs", "2"]


def write_file(path, seed=0):
    """Landmark genes among others, which have the same few factors."""
    matrix = expression(90, LANDMARKS + OTHERS, seed)
    ids = [*matrix.gene_ids[:LANDMARKS], *(f"other-{i}" for i in range(OTHERS))]
    order = np.random.default_rng(1).permutation(len(ids))
    named = ExpressionMatrix(matrix.values, matrix.sample_ids, ids)
    write_expression(named.select(genes=order), path)
    return path


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Short training of the predictor, and no report, which is drawn for seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction, "EPOCHS", 5)
        nothing = SimpleNamespace(write_report=lambda folders, out: out / "index.html")
        patch.setitem(sys.modules, "study.report.folder", nothing)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("other-genes")
    data, out = write_file(folder / "more.npz"), folder / "run"
    assert run_study.main([*GRID, "--data", str(data), "--out", str(out)]) == 0
    return out


def test_other_genes_are_predicted_at_the_end(run):
    table = pd.read_parquet(run / "inference.parquet")
    assert set(table["input"]) == {
        *("none", "clean", "noisy", "Wiener", "dense-4", "Wiener mixture")
    }
    assert set(table["seed"]) == {0, 1}
    assert set(table["noise_factor"]) == {1.0}
    ridge = table[table["predictor"] == "ridge"].groupby("input")["test_mse"].mean()
    mean = table[table["predictor"] == "gene mean"]["test_mse"].mean()
    assert ridge["clean"] < ridge["Wiener"] < ridge["noisy"] < mean
    config = json.loads((run / "config.json").read_text())
    assert (config["data"]["n_genes"], config["data"]["n_other_genes"]) == (LANDMARKS, OTHERS)


def test_a_finished_run_predicts_nothing_again(run):
    again = ["--resume", *GRID, "--data", str(run.parent / "more.npz"), "--out", str(run)]
    before = (run / "inference.parquet").stat().st_mtime_ns
    assert run_study.main(again) == 0
    assert (run / "inference.parquet").stat().st_mtime_ns == before
    (run / "inference.parquet").unlink()
    assert run_study.main(again) == 0
    assert (run / "inference.parquet").exists()


def test_other_values_of_the_other_genes_are_another_study(run, tmp_path, capfd):
    values = expression(90, LANDMARKS + OTHERS)
    changed = values.values.copy()
    changed[0, LANDMARKS + 3] += 1
    ids = [*values.gene_ids[:LANDMARKS], *(f"other-{i}" for i in range(OTHERS))]
    write_expression(ExpressionMatrix(changed, values.sample_ids, ids), tmp_path / "other.npz")
    words = ["--resume", *GRID, "--data", str(tmp_path / "other.npz"), "--out", str(run)]
    assert run_study.main(words) == 2
    assert "differs in: other_genes" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("data", "words", "message"),
    [
        ("simulated", [], "error: --data simulated: .* give a file with more genes"),
        ("landmarks.npz", [], r"landmarks\.npz: has no gene besides its 60 landmark genes"),
        ("landmarks.npz", ["--all-genes"], "error: --all-genes: .*: leave it out"),
    ],
)
def test_data_without_other_genes_are_refused(data, words, message, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    expression_file(tmp_path, "landmarks.npz")
    before = contents(tmp_path)
    assert run_study.main([*GRID, "--data", data, "--out", "run", *words]) == 2
    said = capfd.readouterr()
    assert re.search(message, said.err)
    assert said.err.count("\n") == 1
    assert contents(tmp_path) == before
