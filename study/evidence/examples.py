"""Samples as images, before and after denoising, for the question whether the order of the genes matters.

examples.npz in the run folder, of the convolutional networks at the noise factor nearest to 0.5, least seed, one for
each order of the genes, trained on images of the same size: `order` names (orders,); `clean`, `noisy`, `denoised`
(orders, samples, height, width), NaN where an image is padded; `error` (orders, height, width), the mean squared error
by pixel over all test samples; `filters` (orders, channels, 3, 3) of the first convolution; `noise_factor`.
"""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np

from data_utils.preparation import PreparedData
from models.architecture import image_shape
from models.config import GENE_ORDERS, MemberConfig, Protocol
from study.evidence.reconstruction import reconstructed
from study.run.folder import RunFolder

NAME = "examples.npz"
N_SAMPLES = 3


def write_examples(folder: RunFolder, data: PreparedData, finished: Iterable[MemberConfig]) -> None:
    """Write examples.npz where `finished` holds conv networks of several orders of the genes; else nothing."""
    chosen = one_of_each_order(finished)
    if len(chosen) < 2:
        return
    shape = image_shape(data.n_genes)
    arrays: dict[str, list] = {
        name: [] for name in ("clean", "noisy", "denoised", "error", "filters")
    }
    for member in chosen:
        clean, noisy, guess = reconstructed(folder, data, member)
        for name, values in (("clean", clean), ("noisy", noisy), ("denoised", guess)):
            arrays[name].append(as_images(values[:N_SAMPLES], shape))
        arrays["error"].append(
            as_images(((guess - clean) ** 2).mean(axis=0, keepdims=True), shape)[0]
        )
        arrays["filters"].append(folder.load_model(member.member_id)[1]["conv0.weight"][:, 0])
    content = {name: np.stack(values).astype(np.float32) for name, values in arrays.items()}
    content |= {
        "order": np.array([m.gene_order for m in chosen]),
        "noise_factor": np.array(chosen[0].noise_factor),
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **content)
    folder.write_bytes(NAME, buffer.getvalue())


def one_of_each_order(finished: Iterable[MemberConfig]) -> list[MemberConfig]:
    """Of each order of the genes one as-written conv network, in the order of GENE_ORDERS."""
    conv = [
        m
        for m in finished
        if (m.model, m.protocol) == ("conv", Protocol()) and m.train_fraction == 1
    ]
    shuffled = {m.noise_factor for m in conv if m.gene_order != "given"}
    conv = [
        m for m in conv if m.noise_factor in shuffled
    ]  # at a noise factor that has several orders
    found = []
    for order in GENE_ORDERS:
        same = [m for m in conv if m.gene_order == order]
        found += (
            [min(same, key=lambda m: (abs(m.noise_factor - 0.5), m.seed, m.member_id))]
            if same
            else []
        )
    return [m for m in found if m.noise_factor == found[0].noise_factor]


def as_images(rows: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(samples, genes) -> (samples, height, width), NaN in the padding."""
    padding = shape[0] * shape[1] - rows.shape[1]
    return np.pad(rows, ((0, 0), (0, padding)), constant_values=np.nan).reshape(-1, *shape)
