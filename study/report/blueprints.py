"""The paper's networks on the genes of a run: Fig. 2 as a table, and the blocks of Fig. 3; and Fig. 1's divergence.

All of it is read off models.architecture, so that what is drawn is what is trained.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.architecture import ConvArchitecture, architecture, image_shape, n_parameters
from models.config import AS_PUBLISHED, AS_WRITTEN, PAPER_MODELS

MODELS = tuple(PAPER_MODELS)
STREAM_SIDE = 24  # of the paper's images


def kl_curve(rho: float = 0.2, n_points: int = 199) -> pd.DataFrame:
    """Eq. 5 in nats: KL(rho || rho_hat) for mean activations rho_hat between 0 and 1. Columns mean_activation, kl."""
    activation = np.linspace(0, 1, n_points + 2)[1:-1]
    kl = rho * np.log(rho / activation) + (1 - rho) * np.log((1 - rho) / (1 - activation))
    return pd.DataFrame({"mean_activation": activation.round(6), "kl": kl})


def model_table(n_genes: int) -> pd.DataFrame:
    """Fig. 2: a row for each model: its layers and number of parameters, as-written and as-published."""
    rows = []
    for model in MODELS:
        row = {
            "model": model,
            "in the paper": "Fig. 3" if model == "conv" else f"{model.partition('-')[2]} layers",
        }
        for protocol, code_layers in ((AS_WRITTEN, 2), (AS_PUBLISHED, 1)):
            network = architecture(model, code_layers=code_layers)
            if isinstance(network, ConvArchitecture):
                widths = "see Fig. 3" + (" (24×24 images)" if protocol == AS_PUBLISHED else "")
            else:
                widths = "-".join(map(str, (n_genes, *network.hidden, n_genes)))
            row |= {
                f"layers, {protocol}": widths,
                f"parameters, {protocol}": n_parameters(network, n_genes),
            }
        rows.append(row)
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class ConvStage:
    """One block of the conv network: what it does, and the channels and image size of its result."""

    what: str  # "input", "conv", "pool" or "up"
    channels: int
    height: int
    width: int

    @property
    def size(self) -> str:
        return f"{self.channels}@{self.height}×{self.width}"

    @property
    def numbers(self) -> int:
        return self.channels * self.height * self.width


def conv_stages(network: ConvArchitecture, n_genes: int) -> list[ConvStage]:
    """The blocks of Fig. 3, input to output, for one image of all genes.

    Each convolution but the last is followed by a max-pooling (first half) or an upsampling by 2 (second half).
    """
    height, width = image_shape(n_genes)
    stages = [ConvStage("input", 1, height, width)]
    half = len(network.channels) // 2
    for i, channels in enumerate(network.channels):
        stages.append(ConvStage("conv", channels, height, width))
        if i < half:
            height, width = height // 2, width // 2
            stages.append(ConvStage("pool", channels, height, width))
        elif i < len(network.channels) - 1:
            height, width = height * 2, width * 2
            stages.append(ConvStage("up", channels, height, width))
    return stages


def code_size(model: str, n_genes: int) -> int:
    """Numbers in the code of a model."""
    return architecture(model).code_size(n_genes)
