"""Write a model as one ONNX file, which onnxruntime runs without this program.

Inputs: `expression` (samples, genes) float32 in the units of the training data (counts, TPM or RPKM
if the model's transform is log2p1, else log values), with the genes that the file's metadata list;
and `noise_factor` (samples, 1) float32, unless the model ignores it. Output: `denoised`, in the
same units. The file holds the transform and the scaling, in float64 as here.
"""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import nn

from data_utils.errors import InputError
from data_utils.files import replacing
from data_utils.noise import noise_variance
from models.denoisers import linear
from models.denoisers.mixture import Mixture as MixtureDenoiser
from models.denoisers.network import NetworkDenoiser
from models.folder import Model
from models.networks import build

#: Version of the operators, which onnxruntime of 2023 and later supports.
OPSET = 18


def check_onnx() -> None:
    """Raise InputError if the extra packages are not installed."""
    if not (find_spec("onnx") and find_spec("onnxscript")):
        raise InputError(
            "--onnx: needs the packages onnx and onnxscript: pip install 'dae-study[onnx]'"
        )


def write_onnx(model: Model, path: Path) -> None:
    """Write the file. Raises InputError for a kind of model that has no module."""
    if model.denoiser.kind not in MODULES:
        raise InputError(f"--onnx {path}: cannot hold a model of kind {model.denoiser.kind}")
    module = InUnits(model).eval()
    names = ["expression", "noise_factor"][: 2 if module.denoiser.needs_noise else 1]
    shapes = {"expression": (2, len(model.genes)), "noise_factor": (2, 1)}
    # Only one input's rows get a name; the exporter infers that the other has as many.
    rows = (torch.export.Dim("samples"), torch.export.Dim.AUTO)
    with _quiet():
        program = torch.onnx.export(
            module,
            tuple(torch.ones(shapes[name]) for name in names),
            input_names=names,
            output_names=["denoised"],
            dynamic_shapes={name: {0: n_rows} for name, n_rows in zip(names, rows, strict=False)},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # as always with dynamo
    program.model.doc_string = model.name
    program.model.metadata_props.update(
        genes=json.dumps(model.genes["ensembl_id"].tolist()), name=model.name
    )
    with replacing(path) as temporary:
        program.save(temporary)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence torch's messages about its own code and the missing torchvision."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logger.setLevel(level)


class InUnits(nn.Module):
    """A model as a module whose input and output are in the units of the data."""

    def __init__(self, model: Model):
        super().__init__()
        self.denoiser = MODULES[model.denoiser.kind](model.denoiser)
        self.logged = model.transform == "log2p1"
        self.centre = _constant(model.scaling.centre, torch.float64)
        self.scale = _constant(model.scaling.scale, torch.float64)

    def forward(self, expression, noise_factor=None):
        """Return the denoised samples."""
        x = expression.double()  # (samples, genes)
        if self.logged:  # logs are kept as float32, as in this program
            x = (torch.log(x + 1) / math.log(2)).float().double()
        z = ((x - self.centre) / self.scale).float()
        x = self.denoiser(z, noise_factor).double() * self.scale + self.centre
        if self.logged:
            x = (torch.exp(x * math.log(2)) - 1).clamp(min=0)
        return x.float()


class Network(nn.Module):
    """A dense or convolutional network."""

    def __init__(self, denoiser: NetworkDenoiser):
        super().__init__()
        self.needs_noise = denoiser.network.noise_input
        parameters = {name: _constant(value) for name, value in denoiser.parameters.items()}
        self.network = build(denoiser.network, denoiser.n_genes, parameters)

    def forward(self, z, noise_factor=None):
        """Return the denoised z-scores."""
        return self.network(torch.cat([z, noise_factor], dim=1) if self.needs_noise else z)[0]


class Linear(nn.Module):
    """A Wiener filter, or a projection on principal components, which a gain may shrink.

    The gains are those of the variances at the nearest noise factor of a grid.
    """

    def __init__(self, denoiser: linear.Wiener | linear.PCA):
        super().__init__()
        kept = denoiser.arrays()
        self.mean, self.components = map(_constant, (kept["mean"], kept["components"]))
        if isinstance(denoiser, linear.Wiener):
            self.needs_noise = True
            grid, variances = kept["grid"], kept["spectra"][kept["choice"]]
        else:
            self.needs_noise, self.components = denoiser.gain, self.components.T
            grid, variances = np.zeros(1), kept["variances"][None]
        self.grid, self.variances = map(_constant, (grid, variances))  # (grid,), (grid, components)

    def forward(self, z, noise_factor=None):
        """Return the denoised z-scores."""
        code = (z - self.mean) @ self.components
        if self.needs_noise:
            nearest = (noise_factor - self.grid).abs().argmin(dim=1)  # (samples,)
            # A tiny number instead of 0 / 0.
            variance = self.variances[nearest].clamp(min=torch.finfo(torch.float32).tiny)
            code = code * (variance / (variance + noise_variance(noise_factor)))
        return code @ self.components.T + self.mean


class Mixture(nn.Module):
    """The posterior mean of models/denoisers/mixture.py, in float64 for its small densities."""

    needs_noise = True

    def __init__(self, denoiser: MixtureDenoiser):
        super().__init__()
        arrays = denoiser.arrays()
        kept = {name: _constant(value, torch.float64) for name, value in arrays.items()}
        self.components, self.means = kept["components"], kept["means"] @ kept["components"]
        self.variances = torch.outer(kept["class_scales"], kept["variances"])  # (classes, genes)
        self.log_prior = torch.log(torch.outer(kept["class_weights"], kept["group_weights"]))

    def forward(self, z, noise_factor):
        """Return the denoised z-scores."""
        y = (z.double() @ self.components).unsqueeze(1)  # (samples, 1, genes)
        noise = noise_variance(noise_factor.double()).unsqueeze(2)  # (samples, 1, 1)
        variances = self.variances + noise  # (samples, classes, genes)
        scaled = y / variances
        squares = (1 / variances) @ self.means.T**2 - 2 * scaled @ self.means.T
        of_class = (y * scaled + torch.log(variances)).sum(dim=2, keepdim=True)
        density = self.log_prior - 0.5 * (squares + of_class)  # (samples, classes, groups)
        probability = density.flatten(1).softmax(dim=1).view(-1, *self.log_prior.shape)
        left = noise / variances  # share of the distance to the mean that is taken as noise
        kept = probability.sum(dim=2, keepdim=True) * (1 - left) * y
        guess = (kept + probability @ self.means * left).sum(dim=1)
        return (guess @ self.components.T).float()


def _constant(values: np.ndarray, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.tensor(values, dtype=dtype)


#: The module of each kind of denoiser: z-scores and noise factors (samples, 1) to z-scores.
MODULES: dict[str, Callable[..., nn.Module]] = {
    "network": Network,
    "wiener": Linear,
    "mixture": Mixture,
    "pca": Linear,
}
