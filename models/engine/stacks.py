"""Which stack holds networks of an architecture."""

from __future__ import annotations

from models.architecture import Architecture, ConvArchitecture
from models.engine.conv import ConvStack
from models.engine.dense import DenseStack, Stack


def stack_class(network: Architecture) -> type[Stack]:
    """The class that holds networks of this architecture."""
    return ConvStack if isinstance(network, ConvArchitecture) else DenseStack
