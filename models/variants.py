"""The data as a member sees them: scaling, layout, order of the genes, number of training rows."""

from __future__ import annotations

import numpy as np
import torch

from data_utils.noise import stream
from data_utils.preparation import PreparedData
from models.architecture import image_shape
from models.config import MemberConfig


def member_data(data: PreparedData, member: MemberConfig) -> PreparedData:
    """Return `data` as the member's switches say.

    gene_order "random" is one order a seed, "correlation" that of `correlation_order`, "shuffled"
    the negative control: every gene's values shuffled over the samples, so that genes have nothing
    to do with each other. train_fraction f keeps the first f of a random order of the training
    rows: a larger f adds rows to a smaller.
    """
    data = data.variant(member.scaling, member.layout)
    if member.gene_order == "random":
        data = data.with_genes(_permutation(data.n_genes, member.seed, "gene-order"))
    elif member.gene_order == "correlation":
        data = data.with_genes(correlation_order(data.train, image_shape(data.n_genes)[1]))
    elif member.gene_order == "shuffled":
        key = int(torch.randint(2**62, (1,), generator=stream(member.seed, "shuffled-values")))
        data = data.shuffled(np.random.Generator(np.random.PCG64(key)))
    if member.train_fraction < 1:
        n_rows = max(1, round(member.train_fraction * len(data.train)))
        data = data.with_training_rows(
            _permutation(len(data.train), member.seed, "training-rows")[:n_rows]
        )
    return data


def correlation_order(train: np.ndarray, width: int) -> np.ndarray:
    """Return an order of the genes, (genes,), with correlated ones together in an image.

    width: pixels in a row of the image. Spectral seriation in two dimensions: of the graph with
    edges (1 + r_ij) / 2 the first eigenvector of the Laplacian that is not constant sorts genes
    into rows, and the second sorts within each row.
    """
    correlation = np.nan_to_num(np.corrcoef(train, rowvar=False))  # a constant gene has none
    weight = (1 + correlation) / 2  # (genes, genes)
    degree = 1 / np.sqrt(weight.sum(axis=0))
    # Eigenvectors come in ascending order: the last is the constant one.
    _, vectors = np.linalg.eigh(degree[:, None] * weight * degree)
    first, second = vectors[:, -2] * degree, vectors[:, -3] * degree
    order = np.argsort(first, kind="stable")
    rows = [order[start : start + width] for start in range(0, len(order), width)]
    return np.concatenate([row[np.argsort(second[row], kind="stable")] for row in rows])


def _permutation(n: int, seed: int, purpose: str) -> np.ndarray:
    return torch.randperm(n, generator=stream(seed, purpose)).numpy()
