"""A saved network at work on the test rows that it was tested on. No Ray here."""

from __future__ import annotations

import numpy as np
import torch

from data_utils.preparation import PreparedData
from models.architecture import ConvArchitecture
from models.baselines import noisy_rows
from models.conv_stack import ConvStack
from models.stack import DenseStack
from study.config import MemberConfig
from study.packs import EVALUATION_ROWS
from study.results import RunFolder
from study.variants import member_data


def reconstructed(folder: RunFolder, data: PreparedData, member: MemberConfig) -> tuple[np.ndarray, ...]:
    """Clean and noisy test rows of a saved network, and what it makes of them: three times (samples, genes)."""
    clean = member_data(data, member).test
    noisy = torch.from_numpy(noisy_rows(clean, "test", member.noise_factor, member.seed))
    network = member.architecture
    if network.noise_input:
        noisy = torch.cat([noisy, torch.full((len(noisy), 1), member.noise_factor)], dim=1)
    stack = (ConvStack if isinstance(network, ConvArchitecture) else DenseStack)(network, clean.shape[1], 1)
    _, parameters = folder.load_model(member.member_id)
    stack.set_member(0, {name: torch.from_numpy(value) for name, value in parameters.items()})
    blocks = noisy.split(EVALUATION_ROWS)
    guess = torch.cat([stack.reconstruct(slice(0, 1), block.unsqueeze(0))[0][0] for block in blocks])
    return clean, noisy[:, : clean.shape[1]].numpy(), guess.numpy()
