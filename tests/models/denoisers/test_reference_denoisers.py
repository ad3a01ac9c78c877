"""The references: no leak from test rows, common noise, and figures measured elsewhere."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from data_utils.cohort import simulate_cohort
from data_utils.oracle import posterior_mean
from data_utils.preparation import prepare
from data_utils.sources import load_dataset
from models.denoisers import references as module
from models.denoisers.denoiser import Pairs, mse, noisy_rows
from models.denoisers.linear import N_FOLDS, PCA, Wiener
from models.denoisers.references import (
    ERROR_COLUMNS,
    Oracle,
    error_table,
    reference_errors,
    reference_guesses,
    references,
)
from models.noisy import NoisyNow
from models.training import PackTraining
from tests.small import for_all, member, prepared

REAL = Path(__file__).resolve().parents[4] / "shared" / "data" / "l1000_a375_qnorm_n1119x943.gct.gz"
ALPHAS = (0.1, 0.5, 1.0)


def tuned(denoiser, train, validation, seed=0):
    return denoiser.fit(train).tune(Pairs.noised(validation, seed))


def test_nothing_of_the_test_rows_reaches_the_fit():
    data = prepared()
    changed = replace(data, test=data.test * 3 + 7)
    probe = np.random.default_rng(0).normal(size=(5, data.n_genes))
    for one, other in zip(references(data), references(changed), strict=True):
        assert np.array_equal(one.denoise(probe, 0.5), other.denoise(probe, 0.5)), one.name
    left, right = (reference_errors(d, None, ALPHAS, (0,)) for d in (data, changed))
    assert left["val_mse"].equals(right["val_mse"])
    assert left["choice"].equals(right["choice"])
    assert not left["test_mse"].equals(right["test_mse"])


def test_validation_rows_choose_but_do_not_fit():
    data = prepared()
    one, other = (
        tuned(Wiener(), data.train, rows) for rows in (data.validation, data.validation * 5)
    )
    for name, spectrum in one.spectra_.items():
        assert np.array_equal(spectrum, other.spectra_[name])
    assert one.choice(0.5) != other.choice(0.5)


def test_errors_are_on_the_noise_that_the_networks_of_the_seed_see():
    data = prepared()
    table = reference_errors(data, None, (0.3,), (0, 1))
    for seed in (0, 1):
        training = PackTraining((member(noise=0.3, seed=seed),), for_all(data))
        block = training.seeds[0][1][0]
        for part, column in {"validation": "val_mse", "test": "test_mse"}.items():
            normal = torch.cat(list(training._fixed_noise(seed, part)))
            noisy = NoisyNow(training._factors(), training.rows[seed][part], normal)
            inputs = training._inputs(block, noisy, len(normal))[0].numpy()
            assert np.array_equal(inputs, noisy_rows(getattr(data, part), part, 0.3, seed))
            row = table.query("reference == 'identity' and seed == @seed")
            assert row[column].item() == pytest.approx(mse(inputs, getattr(data, part)), rel=1e-12)


def test_each_seed_chooses_on_its_own_noise():
    data = prepared(120, 20)
    table = reference_errors(data, None, (0.3,), range(8)).query("reference == 'Wiener'")
    alone = [tuned(Wiener(), data.train, data.validation, seed).choice(0.3) for seed in range(8)]
    assert table["choice"].tolist() == alone
    assert len(set(alone)) > 1


def test_the_table_has_a_row_for_each_reference_noise_factor_and_seed():
    table = reference_errors(prepared(), None, (0.0, 0.5), (0, 1), code_sizes=(2, 8))
    assert list(table.columns) == ERROR_COLUMNS
    assert len(table) == (2 + 2 * 2 + 1) * 2 * 2
    keys = ["reference", "noise_factor", "seed", "code_size"]
    assert not table.duplicated(keys).any()
    assert sorted(set(table["code_size"].dropna())) == [2, 8]
    assert table.groupby("reference")["code_size"].count().to_dict() == {
        **dict.fromkeys(("PCA", "PCA with gain"), 8),
        **dict.fromkeys(("identity", "gene mean", "Wiener"), 0),
    }
    without = table[table["noise_factor"] == 0].set_index("reference")["test_mse"]
    assert without["identity"].eq(0).all()
    assert without["Wiener"].lt(1e-12).all()
    assert np.isfinite(table[["val_mse", "test_mse"]]).all(axis=None)


def test_guesses_are_those_that_the_table_measures():
    data = prepared()
    table = reference_errors(data, None, (0.0, 0.5), (0, 1), code_sizes=(2, 8))
    found = list(reference_guesses(data, None, (0.0, 0.5), (0, 1), code_sizes=(2, 8)))
    pd.testing.assert_frame_equal(error_table([row for row, _ in found]), table, check_exact=True)
    for row, guess in found:
        assert guess.shape == data.test.shape
        assert mse(guess, data.test) == row["test_mse"]


def test_the_covariance_of_the_training_rows_is_decomposed_once_for_all_references(monkeypatch):
    """And once for each fold of the cross-validated spectrum."""
    data, decompose, sizes = prepared(), np.linalg.eigh, []
    alone = [PCA(size, gain).fit(data.train) for gain in (False, True) for size in (2, 8, 40)]
    alone.append(Wiener().fit(data.train).tune(Pairs.noised(data.validation, seed=0)))

    def noting(matrix):
        sizes.append(matrix.shape)
        return decompose(matrix)

    monkeypatch.setattr(np.linalg, "eigh", noting)
    together = references(data, code_sizes=(2, 8, 40))[2:]
    assert sizes == [(60, 60)] * (1 + N_FOLDS)
    probe = np.random.default_rng(0).normal(size=(5, data.n_genes))
    for one, other in zip(alone, together, strict=True):
        assert (one.name, one.code_size) == (other.name, other.code_size)
        assert np.array_equal(one.denoise(probe, 0.5), other.denoise(probe, 0.5)), one.name


def test_more_genes_than_a_covariance_is_taken_of(monkeypatch):
    monkeypatch.setattr(module, "LARGEST_COVARIANCE", 59)
    assert [reference.name for reference in references(prepared(n_genes=60))] == [
        "identity",
        "gene mean",
    ]
    assert len(references(prepared(n_genes=59))) == 5


def test_an_oracle_for_other_genes_is_refused():
    cohort = simulate_cohort(60)
    data = prepare(cohort.matrix.select(genes=range(20)))
    with pytest.raises(ValueError, match="not those of the cohort"):
        references(data, cohort)


# The study's data


@pytest.fixture(scope="module")
def cohort():
    return simulate_cohort()


@pytest.fixture(scope="module")
def simulated(cohort):
    return prepare(cohort.matrix)


@pytest.fixture(scope="module")
def errors(cohort, simulated):
    table = reference_errors(simulated, cohort, ALPHAS, (0,))
    return table.set_index(["reference", "noise_factor"])["test_mse"]


@pytest.mark.parametrize("alpha", ALPHAS)
def test_on_the_simulated_cohort_nothing_beats_the_oracle(errors, alpha):
    at = errors.xs(alpha, level="noise_factor")
    assert at.idxmin() == "oracle"
    assert at.drop("oracle").idxmin() == "Wiener"
    assert at["PCA with gain"] <= at["PCA"]


# Figures of tests/data_utils/cohort_targets.py, which fits on 80 % of the samples instead of 70 %,
# with another split and other noise.
@pytest.mark.parametrize(("alpha", "expected"), [(0.1, 0.0097), (0.5, 0.1423), (1.0, 0.2630)])
def test_wiener_reaches_its_figure_on_the_simulated_cohort(errors, alpha, expected):
    assert errors["Wiener", alpha] < 1.005 * expected
    assert (
        errors["Wiener", alpha] > 0.95 * expected
    )  # less would be too good: the true covariance gives 0.93


def test_the_oracle_is_the_cohorts_posterior_mean(cohort, simulated):
    few = simulated.test[:20]
    mixture = cohort.mixture.standardised(simulated.scaling.centre, simulated.scaling.scale)
    direct = posterior_mean(mixture, few, 0.5)
    assert np.array_equal(
        Oracle(cohort, simulated.scaling).fit(simulated.train).denoise(few, 0.5), direct
    )


# Measured elsewhere: .0098 .156 .309 for Wiener and .406 .414 .440 for PCA, on another split and
# fitted on 80 % of the samples instead of 70 %. They depend on the split: PCA's first figure ranges
# from .37 to .45 over four splits.
@pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is not there")
def test_references_reach_their_figures_on_real_profiles():
    data = prepare(load_dataset(str(REAL)).matrix)
    table = reference_errors(data, None, ALPHAS, (0,)).set_index(["reference", "noise_factor"])[
        "test_mse"
    ]
    assert table["Wiener"].tolist() == pytest.approx([0.0098, 0.156, 0.309], rel=0.06)
    assert table["Wiener"].tolist() == pytest.approx(
        [0.00971, 0.1595, 0.3241], rel=0.005
    )  # on this split
    assert table["PCA"].tolist() == pytest.approx([0.406, 0.414, 0.440], rel=0.12)
    assert table.groupby("noise_factor").idxmin().map(lambda key: key[0]).eq("Wiener").all()
