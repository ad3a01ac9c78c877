"""A saved network at work on the rows that it was tested on."""

from __future__ import annotations

import numpy as np
import torch

from data_utils.preparation import PreparedData
from models.config import MemberConfig
from models.denoisers.baselines import noisy_rows
from models.denoisers.mixture import Mixture
from models.engine.stacks import stack_class
from models.variants import member_data
from study.run.folder import RunFolder
from study.run.packs import EVALUATION_ROWS


def reconstructed(
    folder: RunFolder,
    data: PreparedData,
    member: MemberConfig,
    noise_factor: float | None = None,
    part: str = "test",
) -> tuple[np.ndarray, ...]:
    """Clean and noisy rows of a part, and what a saved network makes of them: three times (samples, genes).

    noise_factor: of the rows; None is the member's own, which it must have.
    """
    noise_factor = member.noise_factor if noise_factor is None else noise_factor
    clean = getattr(member_data(data, member), part)
    rows = noisy_rows(clean, part, noise_factor, member.seed)
    network, (_, parameters) = member.architecture, folder.load_model(member.member_id)
    if member.is_mixture:
        return clean, rows, Mixture.from_arrays(parameters, {}).denoise(rows, noise_factor)
    noisy = torch.from_numpy(rows)
    if network.noise_input:
        noisy = torch.cat([noisy, torch.full((len(noisy), 1), noise_factor)], dim=1)
    stack = stack_class(network)(network, clean.shape[1], 1)
    stack.set_member(0, {name: torch.from_numpy(value) for name, value in parameters.items()})
    blocks = noisy.split(EVALUATION_ROWS)
    guess = torch.cat(
        [stack.reconstruct(slice(0, 1), block.unsqueeze(0))[0][0] for block in blocks]
    )
    return clean, noisy[:, : clean.shape[1]].numpy(), guess.numpy()
