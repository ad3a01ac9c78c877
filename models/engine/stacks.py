"""The stack of each architecture."""

from models.architecture import Architecture, ConvArchitecture
from models.engine.conv import ConvStack
from models.engine.dense import DenseStack
from models.engine.stack import Stack


def stack_class(network: Architecture) -> type[Stack]:
    """Return the class that holds networks of this architecture."""
    return ConvStack if isinstance(network, ConvArchitecture) else DenseStack
