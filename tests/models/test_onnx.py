"""onnxruntime gives what the model gives, for every kind, from the units of the data."""

import numpy as np
import pandas as pd
import pytest

from data_utils.preparation import prepare
from models.architecture import architecture
from models.denoisers.denoiser import Pairs
from models.denoisers.linear import PCA, Wiener
from models.denoisers.mixture_fit import fit_round
from models.denoisers.network import NetworkDenoiser
from models.folder import METRIC_COLUMNS, Model, gene_table
from models.gauge import Gauge
from models.networks import initial_parameters
from tests.small import expression

onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
pytest.importorskip("onnx", reason="the extra onnx is not installed")

DATA = prepare(expression(120, 70))


def network(name, **switches):
    made = architecture(name, **switches)
    parameters = {
        key: value.numpy() for key, value in initial_parameters(made, DATA.n_genes, seed=0).items()
    }
    return NetworkDenoiser(made, DATA.n_genes, parameters)


def kept(denoiser):
    return type(denoiser).from_arrays(denoiser.arrays(), denoiser.facts())


def mixture():
    return fit_round(DATA.train.astype(np.float64), None, 3, 12, seed=0)


DENOISERS = {
    "wiener": lambda: kept(Wiener().fit(DATA.train).tune(Pairs.noised(DATA.validation, seed=0))),
    "pca": lambda: kept(PCA(8).fit(DATA.train)),
    "pca with gain": lambda: kept(PCA(8, gain=True).fit(DATA.train)),
    "dense-4": lambda: network("dense-4"),
    "dense, relu code, sigmoid output": lambda: network(
        "dense-16x8", code_activation="relu", output="sigmoid"
    ),
    "dense with noise input": lambda: network("dense-16x8x16", noise_input=True),
    "conv": lambda: network("conv"),
    "mixture": lambda: mixture(),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("transform", ["none", "log2p1"])
@pytest.mark.parametrize("kind", DENOISERS)
def test_the_same_numbers(kind, transform, tmp_path):
    from models.onnx import write_onnx

    gauge, metrics = Gauge.fit(DATA.train, DATA.validation), pd.DataFrame(columns=METRIC_COLUMNS)
    genes = gene_table(DATA.gene_ids)
    model = Model(
        name=kind,
        denoiser=DENOISERS[kind](),
        genes=genes,
        scaling=DATA.scaling,
        transform=transform,
        noise_factors=(),
        training={},
        metrics=metrics,
        gauge=gauge,
    )
    write_onnx(model, tmp_path / "model.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", options)
    logged = DATA.scaling.inverse_transform(DATA.test)
    given = logged if transform == "none" else np.exp2(logged) - 1
    noise = np.linspace(0, 1.5, len(given), dtype=np.float32)
    inputs = {"expression": given, "noise_factor": noise[:, None]}
    found = session.run(None, {i.name: inputs[i.name] for i in session.get_inputs()})[0]
    found = found if transform == "none" else np.log2(found.astype(np.float64) + 1)
    z = DATA.scaling.transform(logged)
    by_model = model.denoiser.denoise(z, noise)
    difference = (found - DATA.scaling.centre) / DATA.scaling.scale - by_model
    assert np.abs(difference).max() <= 1e-4
    assert np.abs(by_model - z).max() > 0.01
