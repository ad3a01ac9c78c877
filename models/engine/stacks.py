"""Which stack holds networks of an architecture."""

from __future__ import annotations

from models.architecture import Architecture, ConvArchitecture, MixtureArchitecture
from models.engine.conv import ConvStack
from models.engine.dense import DenseStack, Stack


def stack_class(network: Architecture) -> type[Stack]:
    """The class; that of mixtures, which needs scikit-learn, is loaded only where it is asked for."""
    if isinstance(network, MixtureArchitecture):
        from models.engine.mixture_stack import MixtureStack

        return MixtureStack
    return ConvStack if isinstance(network, ConvArchitecture) else DenseStack
