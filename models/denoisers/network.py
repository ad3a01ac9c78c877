"""A trained dense or convolutional network as a denoiser that can be saved and applied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    import torch

    from models.networks import ConvNetwork, DenseNetwork


@dataclass(frozen=True, eq=False)
class NetworkDenoiser(Denoiser):
    """A trained network, which uses the noise factor only if its architecture has it as an input.

    If `exact`, models/networks.py computes in float64, so that a sample's answer, in float32, does
    not depend on the other samples. Otherwise models/engine computes in float32, 20 times faster
    for the conv network: use that to measure many networks.
    """

    network: DenseArchitecture | ConvArchitecture
    genes: int
    parameters: dict[str, np.ndarray]
    exact: bool = True

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

        network = self._plain() if self.exact else self._stack()

        def answer(rows: np.ndarray, factors: np.ndarray) -> np.ndarray:
            inputs = np.hstack([rows, factors]) if self.network.noise_input else rows
            with torch.no_grad():
                return network(torch.from_numpy(inputs)).numpy()

        return by_blocks(answer, noisy, noise_factor)

    def module(self) -> DenseNetwork | ConvNetwork:
        """Return the network as a torch module, in float64."""
        from models.networks import build

        return build(self.network, self.genes, self._tensors(np.float64))

    def _plain(self) -> Callable[[torch.Tensor], torch.Tensor]:
        network = self.module()
        return lambda inputs: network(inputs)[0]

    def _stack(self) -> Callable[[torch.Tensor], torch.Tensor]:
        from models.engine.stacks import stack_class

        stack = stack_class(self.network)(self.network, self.genes, 1)
        stack.set_member(0, self._tensors(np.float32))
        return lambda inputs: stack.reconstruct(slice(0, 1), inputs.float()[None])[0][0]

    def _tensors(self, dtype: type[np.floating]) -> dict[str, torch.Tensor]:
        import torch

        kept = self.parameters.items()
        return {name: torch.from_numpy(value.astype(dtype)) for name, value in kept}

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


def saved(
    network: Architecture, n_genes: int, arrays: dict[str, np.ndarray], exact: bool = True
) -> Denoiser:
    """Return the denoiser of a saved member from its arrays; ValueError if they do not fit.

    exact: as in `NetworkDenoiser`.
    """
    if isinstance(network, MixtureArchitecture):
        return Mixture.from_arrays(arrays, {})
    return NetworkDenoiser(network, n_genes, arrays, exact)
