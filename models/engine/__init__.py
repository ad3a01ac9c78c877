"""The fast version of `models.networks`: many networks of one architecture as stacked arrays.

A stack computes the reconstructions, losses and gradients of those modules with fewer passes over
memory; tests compare both in float64. docs/packs.md explains it.
"""

from models.architecture import Architecture, ConvArchitecture
from models.engine.conv import ConvStack
from models.engine.dense import DenseStack
from models.engine.stack import Stack


def stack_class(network: Architecture) -> type[Stack]:
    """Return the class that holds networks of this architecture."""
    return ConvStack if isinstance(network, ConvArchitecture) else DenseStack
