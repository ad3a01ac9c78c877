"""The fast version of `models.networks`: many networks of one architecture as stacked arrays.

A stack computes the reconstructions, losses and gradients of those modules with fewer passes over
memory; tests compare both in float64. docs/packs.md explains it.
"""
