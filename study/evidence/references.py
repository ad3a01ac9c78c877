"""What the end of a run measures besides its networks' own numbers, for the report.

- references.parquet: validation and test MSE of identity, gene mean, PCA, Wiener (and the oracle of
  the simulated cohort) at every noise factor and seed of the finished networks, with codes of their
  sizes;
- genes.parquet and labels.parquet: test MSE by gene, and by value of each sample label such as
  tissue, of the references and of the networks, as means over seeds;
- examples.npz, if orders of the genes were compared: pictures of samples (write_examples).

A network is measured on the very noisy test rows that it was tested on; a reference on those of
data that are scaled by the training rows. Columns: study/evidence/evidence.py.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import numpy as np
import pandas as pd

from data_utils.preparation import PreparedData
from data_utils.sources import Dataset
from models.architecture import image_shape
from models.config import GENE_ORDERS, PAPER_CODE, MemberConfig, Protocol
from models.denoisers.denoiser import mse, mse_by_gene_and_sample, noisy_rows
from models.denoisers.network import saved
from models.denoisers.references import error_table, reference_guesses
from models.training import member_data
from study.evidence.evidence import GENE_COLUMNS, LABEL_COLUMNS, MIXTURE
from study.run.folder import RunFolder
from study.run.rows import FINISHED

TABLES = ("references.parquet", "genes.parquet", "labels.parquet")
#: A label with more values than this names samples rather than groups of them.
MOST_VALUES = 100
#: Samples in examples.npz.
N_EXAMPLES = 3
#: A protocol ("" of references), a method and a noise factor.
Key = tuple[str, str, float]
#: MSE by gene, (genes,), and by test sample, (samples,), for each seed.
Errors = dict[Key, list[tuple[np.ndarray, np.ndarray]]]


def up_to_date(folder: RunFolder) -> bool:
    """Whether the tables are there and no pack has ended since they were written."""
    paths = [folder.path / name for name in TABLES]
    if not all(path.exists() for path in paths):
        return False
    parts = (path.stat().st_mtime_ns for path in folder.written("parts", ".members.parquet"))
    return max(parts, default=0) <= min(path.stat().st_mtime_ns for path in paths)


def write_references(
    folder: RunFolder,
    dataset: Dataset,
    data: PreparedData,
    planned: list[MemberConfig],
    members: pd.DataFrame,
    stopped: Callable[[], bool] = lambda: False,
) -> bool:
    """Measure and write the tables. Returns False, with nothing written, if `stopped` ended it.

    `members` is the members table; only those of `planned` that have finished count.
    """
    validation = members[members["status"] == FINISHED].set_index("member_id")["val_mse"].to_dict()
    finished = [member for member in planned if member.member_id in validation]
    rows: list[dict] = []
    errors: Errors = {}
    mixtures = _mixture_guesses(folder, data, finished, validation, noise_factors_of(finished))
    for row, guess in chain(_reference_guesses(dataset, data, finished), mixtures):
        rows.append(row)
        key = ("", method_name(row["reference"], row["code_size"]), row["noise_factor"])
        errors.setdefault(key, []).append(mse_by_gene_and_sample(guess, data.test))
        if stopped():
            return False
    for key, members_of_setting in best_settings(finished, validation).items():
        errors[key] = [network_errors(folder, data, member) for member in members_of_setting]
        if stopped():
            return False
    labels = grouping_labels(dataset.matrix.sample_labels).iloc[data.split.test]
    tables = (error_table(rows), gene_table(errors, data.gene_ids), label_table(errors, labels))
    for name, table in zip(TABLES, tables, strict=True):
        folder.write_table(name, table)
    write_examples(folder, data, finished)
    return True


def _reference_guesses(dataset: Dataset, data: PreparedData, finished: list[MemberConfig]):
    """Return reference_guesses at the noise factors, seeds and code sizes of these networks."""
    seeds = {member.seed for member in finished}
    networks = [
        member for member in finished if member.layout == "sample" and not member.is_mixture
    ]
    code_sizes = {member.architecture.code_size(data.n_genes) for member in networks} or {
        PAPER_CODE
    }
    if not finished:
        return ()
    return reference_guesses(
        data, dataset.cohort, noise_factors_of(finished), sorted(seeds), sorted(code_sizes)
    )


def noise_factors_of(members: Iterable[MemberConfig]) -> list[float]:
    """Return the noise factors on which any of these was trained, ascending."""
    return sorted({a for member in members for phase in member.phases for a in phase.noise_factors})


def _mixture_guesses(
    folder: RunFolder,
    data: PreparedData,
    finished: list[MemberConfig],
    validation: dict[str, float],
    noise_factors: list[float],
) -> Iterator[tuple[dict, np.ndarray]]:
    """Yield what reference_guesses yields for the run's mixtures of Wiener filters, if any.

    Only the number of groups with the least mean validation MSE over seeds counts.
    """
    for member in least_validation([m for m in finished if m.is_mixture], validation):
        for noise_factor in noise_factors:
            row = {"reference": MIXTURE, "noise_factor": noise_factor, "seed": member.seed}
            row |= {"code_size": None, "choice": member.model}
            guesses = {}
            for part, name in (("validation", "val_mse"), ("test", "test_mse")):
                clean, _, guesses[part] = reconstructed(folder, data, member, noise_factor, part)
                row[name] = mse(guesses[part], clean)
            yield row, guesses["test"]


def least_validation(
    members: Iterable[MemberConfig], validation: dict[str, float]
) -> list[MemberConfig]:
    """Return all seeds of the setting with the least mean validation MSE over seeds.

    A setting is all that makes a network except its seed: beta, rho, epochs ... `validation` is the
    MSE by member id.
    """
    settings: dict[str, list[MemberConfig]] = {}
    for member in members:
        settings.setdefault(repr({**member.as_dict(), "seed": None, "grid": None}), []).append(
            member
        )

    def mean_over_seeds(of_setting: list[MemberConfig]) -> float:
        return float(np.mean([validation[member.member_id] for member in of_setting]))

    return min(settings.values(), key=mean_over_seeds, default=[])


def method_name(reference: str, code_size: int | None) -> str:
    """Name a reference in genes and labels: "PCA" with the paper's code, or "PCA, code of 120"."""
    return reference if code_size in (None, PAPER_CODE) else f"{reference}, code of {code_size}"


def best_settings(
    finished: Iterable[MemberConfig], validation: dict[str, float]
) -> dict[Key, list[MemberConfig]]:
    """Return by protocol, model and noise factor all seeds of the best setting (least_validation).

    A network that was carried through several noise factors counts for the last one, as its weights
    are from there. Networks are left out if their rows are no samples (layout "stream"), their
    genes are in another order, or they mix noise factors.
    """
    of_key: dict[Key, list[MemberConfig]] = {}
    for member in finished:
        usual = (member.layout, member.gene_order) == ("sample", "given")
        if usual and not math.isnan(member.noise_factor):
            key = (str(member.protocol), member.model, member.noise_factor)
            of_key.setdefault(key, []).append(member)
    return {key: least_validation(members, validation) for key, members in of_key.items()}


def network_errors(
    folder: RunFolder, data: PreparedData, member: MemberConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Return MSE by gene and by test sample of a saved network on its own test rows."""
    clean, _, guess = reconstructed(folder, data, member)
    return mse_by_gene_and_sample(guess, clean)


def gene_table(errors: Errors, gene_ids: np.ndarray) -> pd.DataFrame:
    """Return the MSE of each method on each gene, mean over seeds (GENE_COLUMNS)."""
    parts = [
        _of_method(key, gene_id=gene_ids, mse=_mean(by_gene for by_gene, _ in e))
        for key, e in errors.items()
    ]
    return _joined(parts, GENE_COLUMNS)


def label_table(errors: Errors, labels: pd.DataFrame) -> pd.DataFrame:
    """Return the MSE of each method by value of each label, mean over seeds (LABEL_COLUMNS).

    `labels` is text, (test samples, labels).
    """
    parts = []
    for key, seeds in errors.items():
        by_sample = pd.Series(_mean(of_sample for _, of_sample in seeds))
        for label, values in labels.items():
            groups = by_sample.groupby(values.to_numpy())
            sizes = groups.size()
            parts.append(
                _of_method(
                    key,
                    label=label,
                    value=sizes.index,
                    samples=sizes.array,
                    mse=groups.mean().array,
                )
            )
    return _joined(parts, LABEL_COLUMNS)


def grouping_labels(labels: pd.DataFrame) -> pd.DataFrame:
    """Return as text the labels with 2 to MOST_VALUES values, and with fewer than samples."""
    text = labels.astype(object).where(labels.notna(), "").map(str)
    most = min(MOST_VALUES, len(labels) - 1)
    return text[[name for name in text if 2 <= text[name].nunique() <= most]]


def _of_method(key: Key, **columns) -> pd.DataFrame:
    protocol, method, noise_factor = key
    return pd.DataFrame(
        {"protocol": protocol, "method": method, "noise_factor": noise_factor, **columns}
    )


def _mean(of_seeds: Iterable[np.ndarray]) -> np.ndarray:
    return np.mean(list(of_seeds), axis=0)


def _joined(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def reconstructed(
    folder: RunFolder,
    data: PreparedData,
    member: MemberConfig,
    noise_factor: float | None = None,
    part: str = "test",
) -> tuple[np.ndarray, ...]:
    """Return clean and noisy rows, and a saved network's output for them, (samples, genes) each.

    The rows have the member's own noise factor if it is None.
    """
    noise_factor = member.noise_factor if noise_factor is None else noise_factor
    clean = getattr(member_data(data, member), part)
    rows = noisy_rows(clean, part, noise_factor, member.seed)
    _, arrays = folder.load_model(member.member_id)
    denoiser = saved(member.architecture, clean.shape[1], arrays)
    return clean, rows, denoiser.denoise(rows, noise_factor)


def write_examples(folder: RunFolder, data: PreparedData, finished: Iterable[MemberConfig]) -> None:
    """Write examples.npz if `finished` has conv networks of several orders of the genes.

    They are those at the noise factor nearest to 0.5 with the least seed, one for each order of the
    genes, trained on images of the same size: `order` (orders,); `clean`, `noisy`, `denoised`
    (orders, samples, height, width), NaN where an image is padded; `error` (orders, height, width),
    the mean squared error by pixel over all test samples; `filters` (orders, channels, 3, 3) of the
    first convolution; `noise_factor`.
    """
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
            arrays[name].append(as_images(values[:N_EXAMPLES], shape))
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
    folder.write_bytes("examples.npz", buffer.getvalue())


def one_of_each_order(finished: Iterable[MemberConfig]) -> list[MemberConfig]:
    """Return one as-written conv network for each order of the genes, as GENE_ORDERS has them."""
    conv = [
        m for m in finished if (m.model, m.protocol, m.train_fraction) == ("conv", Protocol(), 1)
    ]
    compared = {m.noise_factor for m in conv if m.gene_order != "given"}
    best: dict[str, MemberConfig] = {}
    for m in sorted(conv, key=lambda m: (abs(m.noise_factor - 0.5), m.seed, m.member_id)):
        if m.noise_factor in compared:
            best.setdefault(m.gene_order, m)
    found = [best[order] for order in GENE_ORDERS if order in best]
    return [m for m in found if m.noise_factor == found[0].noise_factor]


def as_images(rows: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Turn (samples, genes) into (samples, height, width), NaN in the padding."""
    padding = shape[0] * shape[1] - rows.shape[1]
    return np.pad(rows, ((0, 0), (0, padding)), constant_values=np.nan).reshape(-1, *shape)
