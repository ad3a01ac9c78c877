"""A trained dense or convolutional network as it is kept and applied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.architecture import Architecture, architecture
from models.denoisers.linear import by_row

#: Rows that pass through the network together.
ROWS = 1024


@dataclass(frozen=True, eq=False)
class NetworkDenoiser:
    """One network of a run. Unless it is told the noise factor (`noise_input`), it answers alike whatever that is.

    It computes in float64: a sample's answer then does not depend on who else is in the file, up to float32.
    """

    network: Architecture
    n_genes: int
    parameters: dict[str, np.ndarray]

    kind = "network"
    description = "a neural network (denoising autoencoder)"

    def denoise(self, noisy: np.ndarray, noise_factor: np.ndarray | float) -> np.ndarray:
        """(samples, genes) z-scores to the same, float32; noise_factor is a number or (samples,)."""
        import torch

        factors = by_row(noise_factor, len(noisy))
        net = self._network()
        answers = np.empty(np.shape(noisy), dtype=np.float32)
        for start in range(0, len(noisy), ROWS):
            rows = slice(start, start + ROWS)
            inputs = np.asarray(noisy[rows], dtype=np.float64)
            if self.network.noise_input:
                inputs = np.concatenate([inputs, factors[rows]], axis=1)
            with torch.no_grad():
                answers[rows] = net(torch.from_numpy(inputs))[0].numpy()
        return answers

    def _network(self) -> Callable:
        """Load the parameters, in float64, into a module of models/networks.py."""
        import torch

        parameters = {
            name: torch.from_numpy(value.astype(np.float64))
            for name, value in self.parameters.items()
        }
        from models.networks import build

        return build(self.network, self.n_genes, parameters)

    def arrays(self) -> dict[str, np.ndarray]:
        """The parameters by name."""
        return dict(self.parameters)

    def facts(self) -> dict:
        """What `models.architecture.architecture` needs to know, and the number of genes."""
        network = self.network
        return {
            "model": network.name,
            "output": network.output,
            "code_activation": network.code_activation,
            "code_layers": 1 if len(getattr(network, "code_layers", (0, 1))) == 1 else 2,
            "noise_input": network.noise_input,
            "n_genes": self.n_genes,
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], facts: dict) -> NetworkDenoiser:
        """The inverse. Raises KeyError or ValueError where they do not fit together."""
        facts = dict(facts)
        n_genes = facts.pop("n_genes")
        network = architecture(facts.pop("model"), **facts)
        if {name: array.shape for name, array in arrays.items()} != network.parameter_shapes(
            n_genes
        ):
            raise ValueError("the weights are not those of the network that the facts tell of")
        return cls(network, n_genes, dict(arrays))
