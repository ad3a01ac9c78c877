"""The estimator: scikit-learn's checks, a run's weights, frames, AnnData, pipelines, folders."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from data_utils.errors import InputError
from data_utils.noise import stream
from models import DenoisingAutoencoder
from models.config import Phase
from models.training import PackTraining
from tests.small import expression, for_all, member, prepared

FAST = {"model": "dense-8x4x8", "max_epochs": 2, "batch_size": 64, "random_state": 0}


@parametrize_with_checks([DenoisingAutoencoder(**FAST)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def matrix(n_samples=150, n_genes=40):
    found = expression(n_samples, n_genes)
    return pd.DataFrame(found.values, found.sample_ids, found.gene_ids)


@pytest.mark.parametrize("noise", [(0.5,), (0.2, 0.8)])
def test_it_trains_as_a_run_does(noise):
    X = matrix().to_numpy()
    noise_input = len(noise) > 1
    settings = {"beta": 0.01, "rho": 0.1, "learning_rate": 3e-3, "batch_size": 32}
    fitted = DenoisingAutoencoder(
        "dense-16x8x16", noise, noise_input, max_epochs=4, random_state=3, **settings
    ).fit(X)
    seed = int(np.random.RandomState(3).randint(2**31 - 1))
    order = torch.randperm(len(X), generator=stream(seed, "validation-rows")).numpy()
    z = fitted.model_.scaling.transform(X)
    rows = [z[np.sort(part)] for part in (order[15:], order[:15])]
    data = replace(prepared(), train=rows[0], validation=rows[1])
    of_run = member(
        "dense-16x8x16",
        phases=(Phase(noise, 4),),
        seed=seed,
        noise_input=noise_input,
        noise_draws="fresh",
        **settings,
    )
    training = PackTraining((of_run,), for_all(data), tested=False)
    while not training.finished:
        training.advance()
    assert fitted.best_epoch_ == 4  # still falling, so the weights are those at the end
    assert fitted.validation_curve_.tolist() == [mse for [mse] in training.curve]
    for name, value in training.parameters(0).items():
        np.testing.assert_array_equal(fitted.model_.denoiser.parameters[name], value.numpy())


def test_training_stops_early_and_keeps_the_best():
    fitted = DenoisingAutoencoder(
        "dense-64x32x64", 1.0, learning_rate=0.02, patience=3, random_state=1
    ).fit(matrix())
    curve = fitted.validation_curve_
    assert len(curve) < 200
    assert fitted.best_epoch_ == curve.argmin() + 1 == len(curve) - 3


def test_it_removes_noise_and_score_says_so():
    clean = matrix(400)
    rng = np.random.default_rng(1)
    scale = clean.iloc[:300].std().to_numpy()
    noisy = clean.iloc[300:] + 0.8 * scale * rng.standard_normal((100, 40))
    fitted = DenoisingAutoencoder("dense-64x32x64", 0.8, learning_rate=3e-3, random_state=0).fit(
        clean.iloc[:300]
    )
    error = ((fitted.transform(noisy) - clean.iloc[300:]) / scale).to_numpy()
    assert np.mean(error**2) < 0.8 * 0.64
    assert fitted.score(clean.iloc[300:]) == pytest.approx(-np.mean(error**2), rel=0.05)


def test_frames_pipelines_and_searches():
    clean = matrix()
    pipeline = make_pipeline(StandardScaler(), DenoisingAutoencoder(**FAST)).set_output(
        transform="pandas"
    )
    found = pipeline.fit_transform(clean)
    assert list(found.columns) == list(clean.columns)
    assert list(found.index) == list(clean.index)
    assert list(pipeline.get_feature_names_out()) == list(clean.columns)
    search = GridSearchCV(
        DenoisingAutoencoder(**FAST), {"model": ["dense-4x4", "dense-32x16x32"]}, cv=2
    ).fit(clean)
    assert search.best_score_ < 0
    with pytest.raises(ValueError, match="feature names"):
        pipeline[-1].transform(clean[clean.columns[::-1]])


def test_anndata_in_and_out():
    from anndata import AnnData

    clean = matrix()
    adata = AnnData(clean.to_numpy(), obs=pd.DataFrame({"tissue": "liver"}, index=clean.index))
    adata.var_names = clean.columns
    fitted = DenoisingAutoencoder(**FAST).fit(adata)
    before = adata.X.copy()
    found = fitted.transform(adata)
    np.testing.assert_array_equal(found.X, fitted.transform(clean))
    np.testing.assert_array_equal(adata.X, before)
    assert found.obs.equals(adata.obs)
    assert fitted.feature_names_in_.tolist() == clean.columns.tolist()


def test_a_folder_keeps_it(tmp_path):
    clean = matrix()
    fitted = DenoisingAutoencoder(**{**FAST, "noise_factor": (0.1, 0.5), "noise_input": True}).fit(
        clean
    )
    fitted.save(tmp_path / "model")
    again = DenoisingAutoencoder.load(tmp_path / "model")
    np.testing.assert_array_equal(again.transform(clean), fitted.transform(clean))
    assert again.get_params()["noise_factor"] == (0.1, 0.5)
    assert again.score(clean) == fitted.score(clean)
    with pytest.raises(InputError, match="exists already: give --force"):
        fitted.save(tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text()
    assert "Not measured next to the Wiener filter." in card


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("noise_factor", -1),
        ("max_epochs", 0),
        ("validation_fraction", 1.0),
        ("learning_rate", 0),
        ("model", "dense-3"),
    ],
)
def test_bad_parameters_are_refused_by_fit(name, value):
    with pytest.raises(ValueError, match=r"give|unknown: use"):
        DenoisingAutoencoder(**{**FAST, name: value}).fit(matrix())


def test_no_global_random_state_is_touched():
    torch_before = torch.get_rng_state()
    numpy_before = np.random.get_state()[1].copy()  # noqa: NPY002
    DenoisingAutoencoder(**FAST).fit(matrix())
    assert torch.equal(torch.get_rng_state(), torch_before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


def test_a_mixture_of_a_run_is_kept_and_applied():
    from models.architecture import architecture
    from models.denoisers.mixture import Mixture

    rng = np.random.default_rng(0)
    shapes = architecture("mixture-2").parameter_shapes(12)
    parameters = {name: np.full(shape, 1 / shape[0], np.float32) for name, shape in shapes.items()}
    parameters["components"] = np.linalg.qr(rng.standard_normal((12, 12)))[0].astype(np.float32)
    parameters["means"] = rng.standard_normal((2, 12)).astype(np.float32)
    kept = Mixture.from_arrays(parameters, {})
    again = Mixture.from_arrays(kept.arrays(), kept.facts())
    noisy, factors = rng.standard_normal((5, 12)).astype(np.float32), np.linspace(0.1, 1, 5)
    np.testing.assert_array_equal(again.denoise(noisy, factors), kept.denoise(noisy, factors))
    np.testing.assert_allclose(kept.denoise(noisy, 1e-4), noisy, atol=1e-5)
