"""What the end of a run measures besides its networks' own numbers: three tables that the report reads.

- references.parquet: validation and test MSE of identity, gene mean, PCA, Wiener (and the oracle of the simulated
  cohort) at every noise factor and seed of the finished networks, with codes of their sizes;
- genes.parquet and labels.parquet: test MSE by gene, and by value of each sample label such as tissue, of the
  references and of the networks, as means over seeds.
Beside them examples.npz (study/evidence/examples.py) where orders of the genes were compared.

A network is measured on the very noisy test rows that it was tested on; a reference on those of data that are scaled
by the training rows. Columns: study/evidence/evidence.py. No Ray here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import numpy as np
import pandas as pd

from data_utils.preparation import PreparedData
from data_utils.sources import Dataset
from models.config import PAPER_CODE, MemberConfig
from models.denoisers.baselines import error_table, mse, mse_by_gene_and_sample, reference_guesses
from study.evidence.evidence import GENE_COLUMNS, LABEL_COLUMNS, MIXTURE
from study.evidence.examples import write_examples
from study.evidence.reconstruction import reconstructed
from study.run.folder import RunFolder
from study.run.rows import FINISHED

TABLES = ("references.parquet", "genes.parquet", "labels.parquet")
#: A label with more values than this names samples rather than groups of them.
MOST_VALUES = 100
#: A protocol ("" of references), a method and a noise factor.
Key = tuple[str, str, float]
#: MSE by gene, (genes,), and by test sample, (samples,), for each seed.
Errors = dict[Key, list[tuple[np.ndarray, np.ndarray]]]


def up_to_date(folder: RunFolder) -> bool:
    """Whether the tables are there and no pack has ended since they were written."""
    paths = [folder.path / name for name in TABLES]
    if not all(path.exists() for path in paths):
        return False
    parts = (path.stat().st_mtime_ns for path in (folder.path / "parts").glob("*.members.parquet"))
    return max(parts, default=0) <= min(path.stat().st_mtime_ns for path in paths)


def write_references(
    folder: RunFolder,
    dataset: Dataset,
    data: PreparedData,
    planned: list[MemberConfig],
    members: pd.DataFrame,
    stopped: Callable[[], bool] = lambda: False,
) -> bool:
    """Measure and write the three tables. Returns False, with nothing written, when `stopped` ended it early.

    `members` is the members table; those of `planned` that have finished count.
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
    """models.denoisers.baselines.reference_guesses at the noise factors, seeds and code sizes of these networks."""
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
    """All on which any of these was trained, ascending."""
    return sorted({a for member in members for phase in member.phases for a in phase.noise_factors})


def _mixture_guesses(
    folder: RunFolder,
    data: PreparedData,
    finished: list[MemberConfig],
    validation: dict[str, float],
    noise_factors: list[float],
) -> Iterator[tuple[dict, np.ndarray]]:
    """As models.baselines.reference_guesses, of the run's mixtures of Wiener filters, where it has any.

    That number of groups counts which has the least mean validation MSE over seeds.
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
    """All seeds of the setting with the least mean validation MSE over seeds; none of none.

    A setting is all that makes a network but its seed: beta, rho, epochs ... `validation` is the MSE by member id.
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
    """What genes and labels call a reference: "PCA" with the paper's code, else "PCA, code of 120"."""
    return reference if code_size in (None, PAPER_CODE) else f"{reference}, code of {code_size}"


def best_settings(
    finished: Iterable[MemberConfig], validation: dict[str, float]
) -> dict[Key, list[MemberConfig]]:
    """By protocol, model and noise factor, all seeds of the setting with the least mean validation MSE over seeds.

    A network that was carried through several noise factors is the last one's: its weights are. Left out are those
    whose rows are no samples (layout "stream"), whose genes are in another order, and that mix noise factors.
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
    """MSE by gene and by test sample of a saved network, on the test rows with the noise of its seed."""
    clean, _, guess = reconstructed(folder, data, member)
    return mse_by_gene_and_sample(guess, clean)


def gene_table(errors: Errors, gene_ids: np.ndarray) -> pd.DataFrame:
    """GENE_COLUMNS: the MSE of each method on each gene, mean over seeds."""
    parts = [
        _of_method(key, gene_id=gene_ids, mse=_mean(by_gene for by_gene, _ in e))
        for key, e in errors.items()
    ]
    return _joined(parts, GENE_COLUMNS)


def label_table(errors: Errors, labels: pd.DataFrame) -> pd.DataFrame:
    """LABEL_COLUMNS: the MSE of each method on the samples of each value of each label, mean over seeds.

    labels: (test samples, labels) of text.
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
    """The labels, as text, that sort samples into groups: 2 ... MOST_VALUES values, and fewer than samples."""
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
