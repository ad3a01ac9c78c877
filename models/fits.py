"""The fit that a pack of members needs: training for networks, rounds of a fit for mixtures."""

from __future__ import annotations

from data_utils.preparation import PreparedData
from models.config import MemberConfig
from models.training import PackTraining, Training


def training_of(
    members: tuple[MemberConfig, ...], data: PreparedData, device: str = "cpu", tested: bool = True
) -> Training:
    """Begin the fit of a pack, whose members are all of one kind."""
    if members[0].is_mixture:
        from models.denoisers.mixture_fit import MixtureFit  # scikit-learn takes a second to load

        return MixtureFit(members, data, device, tested)
    return PackTraining(members, data, device, tested)
