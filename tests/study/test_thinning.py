"""The command thinning: numbers, what reaches the fit, bad input."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import run_study
from data_utils.counts import load_counts
from data_utils.formats.registry import read_expression, write_expression
from data_utils.preparation import split_samples
from study.evidence.stats import interval
from study.options import ThinningOptions
from study.thinning import (
    LEAST_RATE,
    Outcome,
    compared,
    deviance,
    markdown,
    measure,
    predicted_counts,
    table,
)
from tests.small import contents, expression

METHODS = ["no denoising", "gene mean", "PCA", "kNN smoothing", "Wiener", "Wiener mixture"]


def counts_file(folder, n_samples=80, name="counts.npz", change=None):
    """Poisson counts with the rates of a small cohort of low rank."""
    matrix = expression(n_samples, 60)
    counts = (
        np.random.default_rng(5)
        .poisson(np.exp2(matrix.values.astype(float) - 4))
        .astype(np.float32)
    )
    if change is not None:
        change(counts)
    path = folder / name
    write_expression(type(matrix)(counts, matrix.sample_ids, matrix.gene_ids), path)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two seeds, and what it printed."""
    folder = tmp_path_factory.mktemp("thinning")
    words = ["thinning", "--data", str(counts_file(folder)), "--seeds", "3", "--epochs", "0"]
    assert run_study.main([*words, "--out", str(folder / "run")]) == 0
    return folder, words


def test_the_tables_of_a_run(run):
    errors = pd.read_parquet(run[0] / "run" / "thinning.parquet")
    assert errors.groupby("seed")["method"].apply(list).tolist() == [METHODS] * 3
    mse, loss = (errors.groupby("method")[name].mean() for name in ("mse", "poisson_deviance"))
    assert mse["no denoising"] == pytest.approx(0.5, rel=0.08)  # 1/4 from each half
    assert loss["no denoising"] == pytest.approx(
        2, rel=0.15
    )  # (a - b)^2 / rate, where 1 is the least
    assert mse["Wiener"] < mse["no denoising"] < mse["gene mean"]
    assert loss["Wiener"] < loss["no denoising"]
    removed = errors.groupby("method")["noise_removed"].mean()
    assert removed["no denoising"] == 0
    assert removed["Wiener"] == pytest.approx((mse["no denoising"] - mse["Wiener"]) / 0.25, rel=0.1)
    samples = pd.read_parquet(run[0] / "run" / "samples.parquet")
    assert samples.groupby("method").size().to_dict() == dict.fromkeys(METHODS, 16)
    assert samples.groupby("method")["mse"].mean()["PCA"] == pytest.approx(mse["PCA"])


def test_the_same_command_gives_the_same_tables_and_prints_and_writes_what_they_say(run, capsys):
    folder, words = run
    before = pd.read_parquet(folder / "run" / "thinning.parquet")
    assert run_study.main([*words, "--out", str(folder / "run"), "--fresh"]) == 0
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines()[:-1]) <= 80
    after = pd.read_parquet(folder / "run" / "thinning.parquet")
    pd.testing.assert_frame_equal(before, after, check_exact=True)
    errors = after.set_index(["method", "seed"])["mse"]
    change = 100 * (errors["Wiener"] / errors["no denoising"] - 1)
    its = interval(change)
    line = next(line for line in out.splitlines() if line.startswith("Wiener  "))
    digits = 1 if its.high - its.low > 1 or abs(change.mean()) >= 20 else 2
    assert f"{change.mean():+.{digits}f} ({its.low:+.{digits}f} to {its.high:+.{digits}f})" in line
    assert f"{errors['Wiener'].mean():.4f}" in line
    page = (folder / "run" / "thinning.md").read_text()
    assert "80 samples (56 for training, 8 for validation, 16 for the test) of 60 genes" in page
    config = json.loads((folder / "run" / "config.json").read_text())
    assert config["data"]["sha256"] == read_expression(folder / "counts.npz").content_hash()
    assert config["options"]["seeds"] == 3
    assert config["provenance"]["packages"]["numpy"]


def test_the_page_of_simulated_counts_says_whose_form_they_have(tmp_path):
    path = counts_file(tmp_path)
    counts = load_counts(str(path))
    outcome = measure(counts, 0.5, seeds=(0, 1), epochs=0)
    options = ThinningOptions(data=str(path))
    for simulated in (True, False):
        facts = SimpleNamespace(simulated=simulated, source=str(path), matrix=counts.data.matrix)
        page = markdown(options, SimpleNamespace(data=facts, depth=None), outcome, "a command")
        assert ("the form that the mixture of Wiener filters assumes" in page) == simulated


def test_nothing_of_the_test_samples_reaches_the_fit(tmp_path):
    """Other test samples: the same errors on validation samples and choices, to the last bit."""
    rows = split_samples(80).test

    def change(counts):
        counts[rows] = counts[rows][:, ::-1] * 2 + 1

    found = []
    for name, its in (("one.npz", None), ("other.npz", change)):
        counts = load_counts(str(counts_file(tmp_path, name=name, change=its)))
        found.append(measure(counts, 0.5, seeds=(0, 1), epochs=2).errors)
    one, other = (
        errors[["method", "seed", "choice", "val_mse", "residual_share"]] for errors in found
    )
    assert set(one["method"]) == {*METHODS, "dense network"}
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert (found[0]["mse"] != found[1]["mse"]).all()


def test_deviance_and_rates():
    counts = np.array([[0, 3, 5]])
    assert deviance(np.array([[2.0, 3.0, 5.0]]), counts) == pytest.approx(np.array([[4, 0, 0]]))
    assert deviance(np.array([[1.0, 1.0, 1.0]]), counts)[0, 1] == pytest.approx(
        2 * (3 * np.log(3) - 2)
    )

    class OfHalfTheDepth:
        noise_factor = np.array([np.sqrt(2)])

    guess, spread = np.array([[3.0, -1.0, 2.0]]), np.array([0.0, 0.0, 1.0])
    assert predicted_counts(guess, spread, OfHalfTheDepth, 0.25) == pytest.approx(
        np.array([[13.5, LEAST_RATE, 7.5]])
    )


def test_differences_are_paired_by_seed():
    errors = pd.DataFrame(
        {
            "method": ["no denoising", "Wiener"] * 2,
            "seed": [0, 0, 1, 1],
            "mse": [1.0, 0.5, 4.0, 2.2],
            "choice": "",
        }
    )
    found = compared(errors, "seed", "mse", "no denoising")
    assert found["Wiener"][0] == pytest.approx(-47.5)
    assert (found["Wiener"][1].low, found["Wiener"][1].high) == pytest.approx(
        (-47.5 - 31.77, -47.5 + 31.77), abs=0.01
    )

    samples = errors.rename(columns={"seed": "sample_id"})
    found = table(Outcome(errors.assign(noise_removed=0.0), samples, None), "mse")
    assert found.index.tolist() == ["Wiener", "no denoising"]


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        (lambda counts: counts.__setitem__((3, 4), -2), [], "1 of 1800 values are negative"),
        (
            lambda counts: counts.__setitem__((3, 4), 2.5),
            [],
            "1 of 1800 values are not whole numbers",
        ),
        (lambda counts: np.log2(counts + 1, out=counts), [], "values are not whole numbers"),
        (None, ["--share", "1"], "--share 1: give 0.05 to 0.95"),
        (None, ["--seeds", "0"], "--seeds 0: give at least 1"),
        (None, ["--epochs", "-1"], "--epochs -1: give at least 0"),
        (None, ["--depth", "0"], "--depth 0: give at least 1"),
        (None, ["--split-seed", "-1"], "--split-seed -1"),
        (None, ["--data", "nowhere.csv"], "no such file"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, capsys, change, options, said):
    path = counts_file(tmp_path, 30, change=change)
    before = contents(tmp_path)
    assert (
        run_study.main(["thinning", "--data", str(path), "--out", str(tmp_path / "run"), *options])
        == 2
    )
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert contents(tmp_path) == before


def test_a_folder_in_the_way_is_kept(run, tmp_path, capsys):
    folder, words = run
    before = contents(folder / "run")
    assert run_study.main([*words, "--out", str(folder / "run")]) == 2
    assert "exists already: give --fresh" in capsys.readouterr().err
    assert contents(folder / "run") == before
    (tmp_path / "letter.txt").write_text("mine")
    assert run_study.main([*words, "--out", str(tmp_path), "--fresh"]) == 2
    assert "holds files but no run of thinning" in capsys.readouterr().err
    assert (tmp_path / "letter.txt").read_text() == "mine"
