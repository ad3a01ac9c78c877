"""The members and data of the benchmarks, the same for this project and its peers."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np

from data_utils.preparation import PreparedData, ZScore, split_samples
from models.config import NOISE_FACTORS, USUAL_TRAINING, MemberConfig, Phase

DENSE = ("dense-2", "dense-4", "dense-6", "dense-8")
#: Usual epochs of each dense model, as in the paper grid.
EPOCHS = {model: USUAL_TRAINING[model].epochs for model in DENSE}
#: Weights of the sparsity term: with four, a pack of one depth has 11 x 4 = 44 members.
BETAS = (0.0, 1e-3, 1e-2, 1e-1)
#: Samples and genes of the simulated cohort.
SAMPLES, GENES = 2921, 943


def cells(epochs: int) -> list[MemberConfig]:
    """Return the 44 dense cells, of one beta and one seed: 4 depths x 11 noise factors."""
    return [member for model in DENSE for member in _members(model, epochs, (1e-3,))]


def pack_of_44(model: str, epochs: int) -> list[MemberConfig]:
    """Return 44 networks of one depth: 11 noise factors x 4 betas, sorted by noise factor."""
    return _members(model, epochs, BETAS)


def conv_members(epochs: int) -> list[MemberConfig]:
    """Return 33 convolutional networks: 11 noise factors x 3 betas."""
    return _members("conv", epochs, BETAS[:3])


def dense_grid(epochs: int, seeds: int = 3) -> list[MemberConfig]:
    """Return 396 dense networks: 4 depths x 11 noise factors x 3 betas x 3 seeds."""
    return [
        m
        for model, seed in product(DENSE, range(seeds))
        for m in _members(model, epochs, BETAS[:3], seed)
    ]


def _members(
    model: str, epochs: int, betas: tuple[float, ...], seed: int = 0
) -> list[MemberConfig]:
    """Return networks with fresh noise in every batch, as the peers draw it."""
    return [
        MemberConfig(
            *(model, (Phase((noise_factor,), epochs),), seed),
            beta=beta,
            grid="benchmark",
            noise_draws="fresh",
        )
        for noise_factor, beta in product(NOISE_FACTORS, betas)
    ]


def bench_data() -> PreparedData:
    """Return the simulated cohort, split and scaled as in a study."""
    from data_utils.preparation import (
        prepare,  # these two need pandas, which a GPU machine may lack
    )
    from data_utils.sources import SIMULATED, load_dataset

    return prepare(load_dataset(SIMULATED).matrix)


def shortened(data: PreparedData, n_rows: int) -> PreparedData:
    """Keep the first training rows and the same share of validation rows, for a shorter epoch."""
    n_validation = max(1, round(len(data.validation) * n_rows / len(data.train)))
    return replace(
        data.with_training_rows(np.arange(n_rows)), validation=data.validation[:n_validation]
    )


def synthetic_data(
    n_samples: int = SAMPLES, n_genes: int = GENES, n_factors: int = 50
) -> PreparedData:
    """Draw low-rank values plus noise with numpy only, split and scaled as in the study."""
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(n_factors, n_genes)) / np.sqrt(n_factors)
    values = rng.normal(size=(n_samples, n_factors)) @ loadings + rng.normal(
        scale=0.5, size=(n_samples, n_genes)
    )
    split = split_samples(n_samples)
    scaling = ZScore.fit(values[split.train])
    parts = {
        part: scaling.transform(values[getattr(split, part)])
        for part in ("train", "validation", "test")
    }
    return PreparedData(
        **parts,
        scaling=scaling,
        split=split,
        gene_ids=np.array([f"gene-{i}" for i in range(n_genes)]),
    )
