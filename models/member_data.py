"""The data of one network: its seed's data, changed by its switches."""

from __future__ import annotations

import numpy as np
import torch

from data_utils.noise import stream
from data_utils.preparation import PreparedData
from models.architecture import image_shape
from models.config import MemberConfig


def rows_are_samples(member: MemberConfig) -> bool:
    """Whether a row of a member's data is one sample of the matrix."""
    return member.layout == "sample" and member.gene_order != "shuffled"


def member_data(data: PreparedData, member: MemberConfig) -> PreparedData:
    """Return `data` changed by a member's switches.

    gene_order "random" is one order per seed, "correlation" that of `correlation_order`,
    "chromosome" that of the genes' positions on the genome. "shuffled" is the negative control:
    every gene's values are shuffled over the samples, so that genes are unrelated. train_fraction f
    keeps the first f of a random order of the training rows: a larger f keeps those of a smaller.
    """
    data = data.variant(member.scaling, member.layout)
    if member.gene_order == "random":
        data = data.with_genes(_permutation(data.n_genes, member.seed, "gene-order"))
    elif member.gene_order == "correlation":
        data = data.with_genes(correlation_order(data.train, image_shape(data.n_genes)[1]))
    elif member.gene_order == "chromosome":
        from data_utils.genes import chromosome_order  # loads pandas

        data = data.with_genes(chromosome_order(data.gene_ids))
    elif member.gene_order == "shuffled":
        key = int(torch.randint(2**62, (1,), generator=stream(member.seed, "shuffled-values")))
        data = data.shuffled(np.random.Generator(np.random.PCG64(key)))
    if member.train_fraction < 1:
        n_rows = max(1, round(member.train_fraction * len(data.train)))
        order = _permutation(len(data.train), member.seed, "training-rows")
        data = data.with_training_rows(order[:n_rows])
    return data


def correlation_order(train: np.ndarray, width: int) -> np.ndarray:
    """Return an order of the genes that brings correlated ones together in rows of `width`.

    Spectral seriation in two dimensions: of the graph with edges (1 + r_ij) / 2 the first
    eigenvector of the Laplacian that is not constant sorts genes into rows, and the second sorts
    within each row.
    """
    weight = (1 + np.nan_to_num(np.corrcoef(train, rowvar=False))) / 2  # a constant gene has no r
    degree = 1 / np.sqrt(weight.sum(axis=0))
    # Ascending: the last eigenvector is the constant one.
    _, vectors = np.linalg.eigh(degree[:, None] * weight * degree)
    first, second = vectors[:, -2] * degree, vectors[:, -3] * degree
    order = np.argsort(first, kind="stable")
    rows = [order[start : start + width] for start in range(0, len(order), width)]
    return np.concatenate([row[np.argsort(second[row], kind="stable")] for row in rows])


def _permutation(n: int, seed: int, purpose: str) -> np.ndarray:
    return torch.randperm(n, generator=stream(seed, purpose)).numpy()
