"""The grid `inference` predicts other genes from landmark genes, replicate by replicate."""

import numpy as np
import pandas as pd
import pytest
import torch

from data_utils.noise import noisy_set
from data_utils.other_genes import OtherGenes
from data_utils.preparation import prepare
from models import prediction
from models.config import MemberConfig, Phase
from models.denoisers.denoiser import Pairs, noisy_rows
from models.denoisers.linear import Wiener
from models.denoisers.mixture_fit import fit_round
from models.denoisers.network import saved
from models.networks import initial_parameters
from models.prediction import Network, Ridge, prediction_mse
from study.evidence.evidence import INFERENCE_COLUMNS
from study.evidence.inference import TABLE, write_inference
from study.run.folder import RunFolder
from tests.small import contents, expression

LANDMARKS, OTHERS, SAMPLES = 50, 30, 150
NOISE, SEEDS = (0.1, 1.0), (0, 1)
WHOLE = expression(SAMPLES, LANDMARKS + OTHERS)
DATA = {seed: prepare(WHOLE.select(genes=range(LANDMARKS)), split_seed=seed) for seed in SEEDS}
NETWORKS = [
    MemberConfig("dense-4", (Phase((noise,), 1),), seed, beta)
    for noise in NOISE
    for beta in (0.0, 0.1)
    for seed in SEEDS
]
MIXTURES = [
    MemberConfig(f"mixture-{groups}", (Phase(NOISE, 1),), seed)
    for groups in (1, 2)
    for seed in SEEDS
]
PLANNED = [*NETWORKS, *MIXTURES, MemberConfig("dense-4", (Phase((0.1,), 7),))]
#: Of each replicate's settings another one has the least validation MSE.
BEST = {(0, "dense-4"): 0.1, (1, "dense-4"): 0.0, (0, "mixture"): "mixture-2"}
BEST |= {(1, "mixture"): "mixture-1"}


def made_run(path):
    """A folder with networks that were never trained, mixtures of one round, and their table."""
    folder = RunFolder(path)
    folder.create()
    rows = []
    for member in PLANNED:
        if member.is_mixture:
            train = DATA[member.seed].train.astype(float)
            network = member.architecture
            arrays = fit_round(train, None, network.groups, network.classes, seed=0).arrays()
            best = member.model == BEST[member.seed, "mixture"]
        else:
            initial = initial_parameters(member.architecture, LANDMARKS, member.seed)
            shift = np.float32(member.beta)  # so that settings differ
            arrays = {name: value.numpy() + shift for name, value in initial.items()}
            best = member.beta == BEST[member.seed, "dense-4"]
        folder.save_model(member, arrays)
        rows.append((member.member_id, "finished", 0.3 if best else 0.4))
    members = pd.DataFrame(rows, columns=["member_id", "status", "val_mse"])
    members.loc[len(PLANNED) - 1, ["status", "val_mse"]] = "diverged", np.nan
    return folder, members


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder, and its table as {(input, predictor, noise factor, seed): test MSE}."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prediction, "EPOCHS", 30)
        folder, members = made_run(tmp_path_factory.mktemp("run"))
        others = WHOLE.values[:, LANDMARKS:]
        assert write_inference(folder, others, DATA.__getitem__, PLANNED, members)
    table = pd.read_parquet(folder.path / TABLE)
    keys = table[["input", "predictor", "noise_factor", "seed"]].itertuples(index=False, name=None)
    return folder, table, dict(zip(keys, table["test_mse"], strict=True))


def others_of(seed):
    return OtherGenes.of(WHOLE.values[:, LANDMARKS:], DATA[seed].split)


def test_every_input_is_given_to_every_predictor_at_every_noise_factor_and_seed(run):
    _, table, mse = run
    assert list(table) == [*INFERENCE_COLUMNS, "choice"]
    inputs = ("clean", "noisy", "Wiener", "dense-4", "Wiener mixture")
    pairs = {(its, predictor) for its in inputs for predictor in ("ridge", "network")}
    pairs |= {("none", "gene mean"), ("noisy", "ridge trained on noisy")}
    assert mse.keys() == {(*pair, a, seed) for pair in pairs for a in NOISE for seed in SEEDS}
    assert np.isfinite(table["test_mse"]).all()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("noise", NOISE)
def test_ridge_sees_what_each_denoiser_makes_of_the_replicates_own_noisy_rows(run, seed, noise):
    folder, _, mse = run
    data, others = DATA[seed], others_of(seed)
    ridge = Ridge().fit(data.train, data.validation, others)
    noisy = noisy_rows(data.test, "test", noise, seed)
    wiener = Wiener().fit(data.train).tune(Pairs.noised(data.validation, seed))
    of = {
        key: m
        for m in PLANNED[:-1]
        if m.seed == seed
        for key in [m.model if m.is_mixture else (m.beta, m.noise_factor)]
    }
    chosen = {
        "dense-4": of[BEST[seed, "dense-4"], noise],
        "Wiener mixture": of[BEST[seed, "mixture"]],
    }
    inputs = {"clean": data.test, "noisy": noisy, "Wiener": wiener.denoise(noisy, noise)}
    for name, member in chosen.items():
        _, arrays = folder.load_model(member.member_id)
        inputs[name] = saved(member.architecture, LANDMARKS, arrays).denoise(noisy, noise)
    for name, rows in inputs.items():
        expected = prediction_mse(ridge, rows, others, "test")
        assert mse[name, "ridge", noise, seed] == pytest.approx(expected, rel=1e-4)


def test_ridge_trained_on_noisy_rows_is_fitted_to_the_same_noise_factor(run):
    _, table, mse = run
    for seed in SEEDS:
        data, others = DATA[seed], others_of(seed)
        train = noisy_set(torch.from_numpy(data.train), seed, 1.0).numpy()
        validation, test = (
            noisy_rows(getattr(data, part), part, 1.0, seed) for part in ("validation", "test")
        )
        ridge = Ridge().fit(train, validation, others)
        expected = prediction_mse(ridge, test, others, "test")
        assert mse["noisy", "ridge trained on noisy", 1.0, seed] == pytest.approx(expected)
        assert expected != mse["noisy", "ridge", 1.0, seed]
    choices = table[table["predictor"] == "ridge trained on noisy"]["choice"]
    assert choices.str.startswith("penalty ").all()


def test_the_network_is_given_the_same_inputs(run, monkeypatch):
    _, table, mse = run
    monkeypatch.setattr(prediction, "EPOCHS", 30)
    data, others = DATA[1], others_of(1)
    network = Network(1).fit(data.train, data.validation, others)
    noisy = noisy_rows(data.test, "test", 1.0, 1)
    for name, rows in (("clean", data.test), ("noisy", noisy)):
        expected = prediction_mse(network, rows, others, "test")
        assert mse[name, "network", 1.0, 1] == pytest.approx(expected, rel=1e-6)
    rows = table[(table["predictor"] == "network") & (table["seed"] == 1)]
    assert set(rows["choice"]) == {network.choice}


def test_what_does_not_depend_on_the_noise_is_the_same_at_every_noise_factor(run):
    _, _, mse = run
    for seed in SEEDS:
        mean = (others_of(seed).scaled("test").astype(float) ** 2).mean()
        for noise in NOISE:
            assert mse["none", "gene mean", noise, seed] == pytest.approx(mean)
            assert mse["clean", "ridge", noise, seed] == mse["clean", "ridge", NOISE[0], seed]
    assert mse["clean", "ridge", 0.1, 0] != mse["clean", "ridge", 0.1, 1]


def test_a_stop_writes_nothing(tmp_path):
    folder, members = made_run(tmp_path)
    before = contents(tmp_path)
    calls = iter([False, False, True])
    given = (folder, WHOLE.values[:, LANDMARKS:], DATA.__getitem__, PLANNED, members)
    assert not write_inference(*given, stopped=lambda: next(calls))
    assert contents(tmp_path) == before
