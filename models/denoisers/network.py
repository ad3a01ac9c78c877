"""A trained dense or convolutional network as it is kept and applied."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.architecture import (
    Architecture,
    ConvArchitecture,
    DenseArchitecture,
    MixtureArchitecture,
    architecture,
)
from models.denoisers.denoiser import Denoiser, by_blocks
from models.denoisers.mixture import Mixture


@dataclass(frozen=True, eq=False)
class NetworkDenoiser(Denoiser):
    """One network of a run; the noise factor changes its answer only if it is an input of it.

    It computes in float64: a sample's answer, in float32, then does not depend on other samples.
    """

    network: DenseArchitecture | ConvArchitecture
    genes: int
    parameters: dict[str, np.ndarray]

    kind = "network"
    description = "a neural network (denoising autoencoder)"

    def __post_init__(self):
        shapes = {name: array.shape for name, array in self.parameters.items()}
        if shapes != self.network.parameter_shapes(self.genes):
            raise ValueError(f"the weights are not those of {self.network.name}")

    @property
    def n_genes(self) -> int:
        """Genes of a row."""
        return self.genes

    def denoise(self, noisy: np.ndarray, noise_factor: np.ndarray | float) -> np.ndarray:
        """Return the network's output, float32."""
        import torch

        from models.networks import build

        parameters = {
            name: torch.from_numpy(value.astype(np.float64))
            for name, value in self.parameters.items()
        }
        net = build(self.network, self.genes, parameters)

        def answer(rows: np.ndarray, factors: np.ndarray) -> np.ndarray:
            inputs = np.hstack([rows, factors]) if self.network.noise_input else rows
            with torch.no_grad():
                return net(torch.from_numpy(inputs))[0].numpy()

        return by_blocks(answer, noisy, noise_factor)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the parameters by name."""
        return dict(self.parameters)

    def facts(self) -> dict:
        """Return the arguments of `models.architecture.architecture`, and the number of genes."""
        network = self.network
        return {
            "model": network.name,
            "output": network.output,
            "code_activation": network.code_activation,
            "code_layers": 1 if len(getattr(network, "code_layers", (0, 1))) == 1 else 2,
            "noise_input": network.noise_input,
            "n_genes": self.genes,
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], facts: dict) -> NetworkDenoiser:
        """Invert `arrays` and `facts`. KeyError or ValueError if they do not fit together."""
        facts = dict(facts)
        n_genes = facts.pop("n_genes")
        network = architecture(facts.pop("model"), **facts)
        if isinstance(network, MixtureArchitecture):
            raise ValueError(f"{network.name} is no network")
        return cls(network, n_genes, dict(arrays))


def saved(network: Architecture, n_genes: int, arrays: dict[str, np.ndarray]) -> Denoiser:
    """Return the denoiser of a saved member from its arrays; ValueError if they do not fit."""
    if isinstance(network, MixtureArchitecture):
        return Mixture.from_arrays(arrays, {})
    return NetworkDenoiser(network, n_genes, arrays)
