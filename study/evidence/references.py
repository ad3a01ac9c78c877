"""The measurements at the end of a run, for the report, besides its networks' own numbers.

- references.parquet: validation and test MSE of identity, gene mean, PCA, Wiener (and the oracle of
  the simulated cohort) at every noise factor and seed of the finished networks, with codes of their
  sizes;
- genes.parquet and labels.parquet: test MSE by gene, and by value of each sample label such as
  tissue, of the references and of the networks, as means over seeds;
- examples.npz, if orders of the genes were compared: pictures of samples (write_examples);
- the inside of two networks (study/evidence/inside.py).

Each seed is a replicate: references are fitted to its training rows, and only its validation rows
choose their settings and those of its networks. A network is measured on the same noisy test rows
on which it was tested; a reference on those of data that are scaled by the training rows. Columns:
study/evidence/evidence.py.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data_utils.errors import InputError
from data_utils.preparation import PreparedData, Replicates
from data_utils.sources import Dataset
from models.architecture import image_shape
from models.config import GENE_ORDERS, PAPER_CODE, MemberConfig, Protocol
from models.denoisers.denoiser import mse, mse_by_gene_and_sample, noisy_rows
from models.denoisers.network import saved
from models.denoisers.references import error_table, reference_guesses
from models.member_data import member_data
from study.evidence.evidence import GENE_COLUMNS, LABEL_COLUMNS, MIXTURE, read_table
from study.evidence.images import as_images
from study.evidence.inside import write_inside
from study.run.folder import RunFolder
from study.run.rows import FINISHED, typed_table

TABLES = ("references.parquet", "genes.parquet", "labels.parquet")
MOST_VALUES = 100  # a label with more values identifies samples rather than groups
N_EXAMPLES = 3  # samples in examples.npz
#: A protocol ("" of references), a method and a noise factor.
Key = tuple[str, str, float]
#: By key, for each seed: its test samples, and the MSE by gene, (genes,), and by test sample.
Errors = dict[Key, list[tuple[np.ndarray, np.ndarray, np.ndarray]]]


def up_to_date(folder: RunFolder, tables: Sequence[str] = TABLES) -> bool:
    """Whether these tables can be read and no pack has ended since they were written."""
    paths = [folder.path / name for name in tables]
    if not all(_is_whole(path) for path in paths):
        return False
    parts = (path.stat().st_mtime_ns for path in folder.written("parts", ".members.parquet"))
    return max(parts, default=0) <= min(path.stat().st_mtime_ns for path in paths)


def _is_whole(path: Path) -> bool:
    """Whether a table exists and can be read."""
    try:
        read_table(path)
    except InputError:
        return False
    return True


def write_references(
    folder: RunFolder,
    dataset: Dataset,
    data: Replicates,
    planned: list[MemberConfig],
    members: pd.DataFrame,
    stopped: Callable[[], bool] = lambda: False,
) -> bool:
    """Measure and write the tables; return False, with nothing written, if `stopped`.

    `members` is the members table; only finished networks of `planned` are used.
    """
    validation = members[members["status"] == FINISHED].set_index("member_id")["val_mse"].to_dict()
    finished = [member for member in planned if member.member_id in validation]
    rows: list[dict] = []
    errors: Errors = {}
    for seeds in data.sharing_a_split({member.seed for member in finished}):
        its = data.data(seeds[0])
        chosen = [member for member in finished if member.seed in seeds]
        measured = chain(
            _reference_errors(dataset, its, seeds, finished),
            _mixture_errors(folder, its, chosen, validation, noise_factors_of(finished)),
            _network_errors(folder, its, chosen, validation),
        )
        for key, row, of_gene_and_sample in measured:
            errors.setdefault(key, []).append((its.split.test, *of_gene_and_sample))
            if row is not None:
                rows.append(row)
            if stopped():
                return False
    labels = grouping_labels(dataset.matrix.sample_labels)
    tables = (error_table(rows), gene_table(errors, data.gene_ids), label_table(errors, labels))
    write_examples(folder, data, finished)
    write_inside(folder, data, labels, finished)
    # Last, since `up_to_date` checks these: after a failure everything is written again.
    for name, table in zip(TABLES, tables, strict=True):
        folder.write_table(name, table)
    return True


def noise_factors_of(members: Iterable[MemberConfig]) -> list[float]:
    """Return the noise factors on which any of these was trained, ascending."""
    return sorted({a for member in members for phase in member.phases for a in phase.noise_factors})


#: A key, its row of references.parquet unless it is a network, and MSE by gene and by sample.
Measured = tuple[Key, dict | None, tuple[np.ndarray, np.ndarray]]


def _reference_errors(
    dataset: Dataset, data: PreparedData, seeds: list[int], finished: list[MemberConfig]
) -> Iterator[Measured]:
    """Yield the errors of references at these networks' noise factors, with their code sizes."""
    code_sizes = {
        member.architecture.code_size(data.n_genes)
        for member in finished
        if member.layout == "sample" and not member.is_mixture
    }
    sizes = sorted(code_sizes or {PAPER_CODE})
    noise_factors = noise_factors_of(finished)
    for row, guess in reference_guesses(data, dataset.cohort, noise_factors, seeds, sizes):
        key = ("", method_name(row["reference"], row["code_size"]), row["noise_factor"])
        yield key, row, mse_by_gene_and_sample(guess, data.test)


def _mixture_errors(
    folder: RunFolder,
    data: PreparedData,
    members: list[MemberConfig],
    validation: dict[str, float],
    noise_factors: list[float],
) -> Iterator[Measured]:
    """Yield the errors of each seed's best mixture of Wiener filters, as those of a reference."""
    for member in least_validation([m for m in members if m.is_mixture], validation):
        for noise_factor in noise_factors:
            row = {"reference": MIXTURE, "noise_factor": noise_factor, "seed": member.seed}
            row |= {"code_size": None, "choice": member.model}
            errors = {}
            for part, name in (("validation", "val_mse"), ("test", "test_mse")):
                clean, _, guess = reconstructed(folder, data, member, noise_factor, part)
                row[name], errors[part] = mse(guess, clean), mse_by_gene_and_sample(guess, clean)
            yield ("", MIXTURE, noise_factor), row, errors["test"]


def _network_errors(
    folder: RunFolder, data: PreparedData, members: list[MemberConfig], validation: dict[str, float]
) -> Iterator[Measured]:
    for key, chosen in best_settings(members, validation).items():
        for member in chosen:
            yield key, None, network_errors(folder, data, member)


def least_validation(
    members: Iterable[MemberConfig], validation: dict[str, float]
) -> list[MemberConfig]:
    """Return for each seed the member with the least validation MSE, given by member id.

    Each seed chooses for itself: if seeds have their own splits, the test rows of one may be
    validation rows of another.
    """
    best: dict[int, MemberConfig] = {}
    for member in members:
        known = best.setdefault(member.seed, member)
        if validation[member.member_id] < validation[known.member_id]:
            best[member.seed] = member
    return [best[seed] for seed in sorted(best)]


def method_name(reference: str, code_size: int | None) -> str:
    """Name a reference in genes and labels: "PCA" with the paper's code, or "PCA, code of 120"."""
    return reference if code_size in (None, PAPER_CODE) else f"{reference}, code of {code_size}"


def best_settings(
    finished: Iterable[MemberConfig], validation: dict[str, float]
) -> dict[Key, list[MemberConfig]]:
    """Return by protocol, model and noise factor each seed's best network (least_validation).

    A network that was carried through several noise factors counts for the last one, from which its
    saved weights are. Networks are left out if their rows are not samples (layout "stream"), their
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
    columns = (
        (key, {"gene_id": gene_ids, "mse": np.mean([by_gene for _, by_gene, _ in seeds], axis=0)})
        for key, seeds in errors.items()
    )
    return _table(columns, GENE_COLUMNS)


def label_table(errors: Errors, labels: pd.DataFrame) -> pd.DataFrame:
    """Return the MSE of each method by value of each label, mean over seeds (LABEL_COLUMNS).

    `labels` is text, (samples, labels). A sample counts once for each seed that tests it; the
    column `samples` counts distinct samples.
    """
    columns = []
    for key, seeds in errors.items():
        tested = np.concatenate([its for its, _, _ in seeds])
        table = pd.DataFrame({"sample": tested, "mse": np.concatenate([its for *_, its in seeds])})
        for label, values in labels.items():
            groups = table.groupby(values.to_numpy()[tested])
            found = groups.agg(samples=("sample", "nunique"), mse=("mse", "mean"))
            columns.append((key, {"label": label, **found.reset_index(names="value")}))
    return _table(columns, LABEL_COLUMNS)


def _table(columns: Iterable[tuple[Key, dict]], names: list[str]) -> pd.DataFrame:
    """Stack the methods' columns to one table; `names` begin with the parts of Key."""
    parts = [pd.DataFrame(dict(zip(names, key, strict=False)) | of) for key, of in columns]
    return pd.concat(parts, ignore_index=True)[names] if parts else typed_table([], names)


def grouping_labels(labels: pd.DataFrame) -> pd.DataFrame:
    """Return as text the labels with 2 to MOST_VALUES values, but fewer values than samples."""
    text = labels.astype(object).where(labels.notna(), "").map(str)
    most = min(MOST_VALUES, len(labels) - 1)
    return text[[name for name in text if 2 <= text[name].nunique() <= most]]


def reconstructed(
    folder: RunFolder,
    data: PreparedData,
    member: MemberConfig,
    noise_factor: float | None = None,
    part: str = "test",
) -> tuple[np.ndarray, ...]:
    """Return clean and noisy rows, and a saved network's output for them, (samples, genes) each.

    `noise_factor` None is the member's own.
    """
    noise_factor = member.noise_factor if noise_factor is None else noise_factor
    clean = getattr(member_data(data, member), part)
    rows = noisy_rows(clean, part, noise_factor, member.seed)
    _, arrays = folder.load_model(member.member_id)
    denoiser = saved(member.architecture, clean.shape[1], arrays, exact=False)
    return clean, rows, denoiser.denoise(rows, noise_factor)


def write_examples(folder: RunFolder, data: Replicates, finished: Iterable[MemberConfig]) -> None:
    """Write examples.npz if `finished` has conv networks with several orders of the genes.

    It uses one network per order, at the noise factor nearest to 0.5 and with the least seed, all
    on images of the same size. Arrays: `order` (orders,); `clean`, `noisy`, `denoised`
    (orders, samples, height, width), NaN where an image is padded; `error` (orders, height, width),
    the mean squared error by pixel over all test samples; `filters` (orders, channels, 3, 3) of the
    first convolution; `noise_factor`.
    """
    chosen = one_of_each_order(finished)
    if len(chosen) < 2:
        return
    shape, parts = image_shape(data.n_genes), []
    for member in chosen:
        clean, noisy, guess = reconstructed(folder, data.data(member.seed), member)
        rows = {"clean": clean, "noisy": noisy, "denoised": guess}
        images = {name: as_images(of[:N_EXAMPLES], shape) for name, of in rows.items()}
        error = as_images(((guess - clean) ** 2).mean(axis=0, keepdims=True), shape)[0]
        filters = folder.load_model(member.member_id)[1]["conv0.weight"][:, 0]
        parts.append(images | {"error": error, "filters": filters})
    content: dict[str, Any] = {
        name: np.stack([part[name] for part in parts]).astype(np.float32) for name in parts[0]
    }
    content["order"] = np.array([member.gene_order for member in chosen])
    content["noise_factor"] = np.array(chosen[0].noise_factor)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **content)
    folder.write_bytes("examples.npz", buffer.getvalue())


def one_of_each_order(finished: Iterable[MemberConfig]) -> list[MemberConfig]:
    """Return one as-written conv network per order of the genes, in the order of GENE_ORDERS."""
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
