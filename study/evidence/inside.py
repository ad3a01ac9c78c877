"""The tables of the inside of a run's networks: codes, their genes, and images of conv.

One dense network and one conv network are examined, on their own noisy test rows:

- codes.parquet: mean activation of each unit of the last code layer by value of each sample label
  (of all samples: label "");
- unit_genes.parquet: the genes that each of these units changes most;
- conv_images.parquet: the filters of the first conv layer, and its feature maps of a few samples.

Columns: study/evidence/evidence.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from data_utils.preparation import PreparedData, Replicates
from models.architecture import image_shape
from models.config import DENSE_MODELS, MemberConfig, Protocol
from models.denoisers.denoiser import noisy_rows
from models.denoisers.network import NetworkDenoiser, saved
from models.inside import code, first_maps, unit_effects
from models.member_data import member_data
from study.evidence.evidence import CODE_COLUMNS, IMAGE_COLUMNS, UNIT_GENE_COLUMNS
from study.evidence.images import FILTER, INPUT, MAP, as_images, pixels
from study.run.folder import RunFolder

N_GENES = 10  # of each unit
N_SAMPLES = 3  # with feature maps
#: Dense networks whose code the report shows: the first one that the run has.
PREFERRED = ("dense-4", *(name for name in DENSE_MODELS if name != "dense-4"))


def write_inside(
    folder: RunFolder, data: Replicates, labels: pd.DataFrame, finished: Sequence[MemberConfig]
) -> None:
    """Write the tables of the dense and the conv network to examine, if `finished` has them.

    `labels` is text, (samples, labels).
    """
    dense, conv = (looked_into(finished, models) for models in (PREFERRED, ("conv",)))
    if dense is not None:
        its = data.data(dense.seed)
        denoiser, noisy = _network(folder, its, dense)
        activations = code(denoiser, noisy)
        of_labels = labels.iloc[its.split.test].reset_index(drop=True)
        codes = code_table(activations, of_labels)
        folder.write_table("codes.parquet", _named(dense, codes)[CODE_COLUMNS])
        genes = gene_table(unit_effects(denoiser, activations.mean(axis=0)), data.gene_ids)
        folder.write_table("unit_genes.parquet", _named(dense, genes)[UNIT_GENE_COLUMNS])
    if conv is not None:
        its = data.data(conv.seed)
        denoiser, noisy = _network(folder, its, conv)
        images = image_table(denoiser, noisy[:N_SAMPLES], data.sample_ids[its.split.test])
        folder.write_table("conv_images.parquet", _named(conv, images)[IMAGE_COLUMNS])


def looked_into(finished: Iterable[MemberConfig], models: Sequence[str]) -> MemberConfig | None:
    """Return the network to examine: a plain one of the first of `models` that has finished.

    Among several it is the one nearest to noise factor 0.5, with the least seed; None if there is
    none.
    """
    plain = [
        m
        for m in finished
        if (m.model in models and m.protocol == Protocol() and not m.beta)
        and m.is_plain(except_=("noise_draws",))
        and len(m.levels) == 1
    ]

    def rank(m: MemberConfig) -> tuple:
        draws = m.noise_draws != "once", m.member_id
        return (models.index(m.model), abs(m.noise_factor - 0.5), m.seed, *draws)

    return min(plain, key=rank, default=None)


def _network(
    folder: RunFolder, data: PreparedData, member: MemberConfig
) -> tuple[NetworkDenoiser, np.ndarray]:
    """Return a saved network, and its own noisy test rows, (samples, genes)."""
    clean = member_data(data, member).test
    _, arrays = folder.load_model(member.member_id)
    denoiser = saved(member.architecture, clean.shape[1], arrays)
    assert isinstance(denoiser, NetworkDenoiser)
    return denoiser, noisy_rows(clean, "test", member.noise_factor, member.seed)


def _named(member: MemberConfig, table: pd.DataFrame) -> pd.DataFrame:
    """Add columns with the network's model, noise factor and seed to a table."""
    return table.assign(model=member.model, noise_factor=member.noise_factor, seed=member.seed)


def code_table(activations: np.ndarray, labels: pd.DataFrame) -> pd.DataFrame:
    """Return the mean and standard deviation of each unit over samples, by value of each label.

    `activations` are (samples, units); the units are numbered from 1. The standard deviation
    divides by the number of samples.
    """
    units = pd.DataFrame(activations, columns=range(1, activations.shape[1] + 1))
    parts = []
    for label, values in {"": pd.Series("", index=units.index), **labels}.items():
        groups = units.groupby(values.to_numpy())
        means, spreads = groups.mean().stack(), groups.std(ddof=0).stack()
        table = pd.DataFrame({"activation": means, "spread": spreads})
        table = table.rename_axis(["value", "unit"]).reset_index()
        counts = table["value"].map(groups.size())
        parts.append(table.assign(label=label, samples=counts))
    return pd.concat(parts, ignore_index=True)


def gene_table(effects: np.ndarray, gene_ids: Sequence[str] | np.ndarray) -> pd.DataFrame:
    """Return for each unit the genes that it changes most, the greatest effect first.

    `effects` are (units, genes), of either sign.
    """
    order = np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :N_GENES]
    units, n = order.shape
    return pd.DataFrame(
        {
            "unit": np.repeat(np.arange(1, units + 1), n),
            "rank": np.tile(np.arange(1, n + 1), units),
            "gene_id": np.asarray(gene_ids)[order].ravel(),
            "effect": np.take_along_axis(effects, order, axis=1).ravel(),
        }
    )


def image_table(
    denoiser: NetworkDenoiser, noisy: np.ndarray, sample_ids: Sequence[str]
) -> pd.DataFrame:
    """Return the first layer's filters, and each sample's noisy image and feature maps, by pixel.

    Channels are numbered from 1; the input's is 0.
    """
    names = [str(name) for name in sample_ids[: len(noisy)]]
    weights = denoiser.parameters["conv0.weight"][:, 0]  # (channels, 3, 3)
    maps = first_maps(denoiser, noisy)  # (samples, channels, height, width)
    channels = list(range(1, len(weights) + 1))
    inputs = as_images(noisy, image_shape(noisy.shape[1]))
    parts = [
        pixels(weights, channel=channels).assign(image=FILTER, sample=""),
        pixels(inputs, sample=names).assign(image=INPUT, channel=0),
        pixels(maps, sample=names, channel=channels).assign(image=MAP),
    ]
    return pd.concat(parts, ignore_index=True).astype({"value": "float32"})
