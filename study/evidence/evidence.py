"""The tables of one run or several, read from their folders; reports are made from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from data_utils.errors import InputError
from models.denoisers.denoiser import ERROR_COLUMNS

GENE_COLUMNS = ["protocol", "method", "noise_factor", "gene_id", "mse"]
LABEL_COLUMNS = ["protocol", "method", "noise_factor", "label", "value", "samples", "mse"]
#: Tables that study/evidence/references.py adds: their columns, of which the first are the key.
_MEASURED = {
    "references": (ERROR_COLUMNS, 4),
    "genes": (GENE_COLUMNS, 4),
    "labels": (LABEL_COLUMNS, 5),
}
#: Columns that the tables of a run must have.
_NEEDED = {
    "members": ("member_id", "status", "noise_factor", "test_mse", "train_clean_mse"),
    "metrics": ("member_id", "epoch", "split", "metric", "noise_factor", "value"),
}
#: What the runs of a report must share, by the entry of config.json's identity.
_SHARED = {"data": "data", "split_seed": "split", "group": "split", "split": "split"}
#: The name of the best of the grid `best`: it serves all noise levels, as the references do.
MIXTURE = "Wiener mixture"


@dataclass(frozen=True)
class Run:
    """One run folder: its path, its config.json, and its tables."""

    path: Path
    config: dict
    members: pd.DataFrame
    metrics: pd.DataFrame

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name


@dataclass(frozen=True, eq=False)
class Evidence:
    """The tables of all runs, each with a column `run`; all have the same data and split.

    members: as members.parquet, one row per network. levels: one row per network x noise factor
    that it was tested at after training on it (by_level). across: one row per network x noise
    factor of the study, `tested_at`. references: MSE of identity, gene mean, PCA, Wiener, oracle
    by noise factor, seed and code size. genes, labels: MSE by gene, and by value of a sample label
    such as tissue, of networks (mean over seeds) and references ("method"; a reference's protocol
    is ""). A network that two runs share is kept once.
    """

    runs: tuple[Run, ...]
    members: pd.DataFrame
    levels: pd.DataFrame
    across: pd.DataFrame
    references: pd.DataFrame
    genes: pd.DataFrame
    labels: pd.DataFrame

    @property
    def data(self) -> dict:
        """The entry of config.json about the data, which all runs share."""
        return self.runs[0].config["data"]

    @property
    def simulated(self) -> bool:
        """Whether the data are simulated."""
        return bool(self.data["simulated"])


def load_evidence(folders: Sequence[Path | str]) -> Evidence:
    """Read run folders.

    Raises InputError for a folder without a run, and for runs of different data or splits.
    """
    runs = list({run.path: run for run in map(load_run, folders)}.values())
    first = runs[0]
    for run in runs[1:]:
        for key, word in _SHARED.items():
            if run.config["identity"].get(key) != first.config["identity"].get(key):
                raise InputError(
                    f"{run.path}: has other {word} than {first.path}: "
                    f"report runs on the same {word} together"
                )

    def stacked(keys: list[str], of: Callable[[Run], pd.DataFrame]) -> pd.DataFrame:
        parts = [of(run).assign(run=run.name) for run in runs]
        return _once(pd.concat([p for p in parts if len(p)] or parts[:1], ignore_index=True), keys)

    def measured(name: str) -> pd.DataFrame:
        columns, n_keys = _MEASURED[name]

        def of(run: Run) -> pd.DataFrame:
            path = run.path / f"{name}.parquet"
            return _table(path, columns) if path.exists() else pd.DataFrame(columns=columns)

        return stacked(columns[:n_keys], of)

    return Evidence(
        runs=tuple(runs),
        members=stacked(["member_id"], lambda run: run.members),
        levels=stacked(
            ["member_id", "noise_factor"], lambda run: by_level(run.members, run.metrics)
        ),
        across=stacked(
            ["member_id", "tested_at"], lambda run: across_levels(run.members, run.metrics)
        ),
        references=measured("references"),
        genes=measured("genes"),
        labels=measured("labels"),
    )


def _once(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Keep the first of rows with equal keys; a failed network gives way to one that has ended."""
    if "status" in table:
        failed = table["status"] == "failed"
        table = pd.concat([table[~failed], table[failed]])
    return table.drop_duplicates(keys).sort_index().reset_index(drop=True)


def load_run(folder: Path | str) -> Run:
    """Read one run folder. Raises InputError for a folder without a run that has ended."""
    path = Path(folder).resolve()
    config_file = path / "config.json"
    try:
        config = json.loads(config_file.read_text("utf-8"))
        if "data" not in config or not {"data", "split_seed"} <= config["identity"].keys():
            raise ValueError("the run's data are missing in it")
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise _unreadable(config_file, error) from None
    tables = {name: _table(path / f"{name}.parquet", needed) for name, needed in _NEEDED.items()}
    return Run(path, config, **tables)


def _table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path, page_checksum_verification=True)
        missing = [name for name in columns if name not in table]
        if missing:
            raise ValueError(f"it has no column {missing[0]}")
        return table
    except Exception as error:  # those of pyarrow share no class
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(
            f"{path}: is missing: give the folder of a run that has ended, such as runs/paper"
        )
    reason = "".join(c if c.isprintable() else " " for c in str(error))[:120]
    return InputError(f"{path}: cannot be read ({reason}): finish the run with --resume")


def across_levels(members: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """Return one row per member x noise factor it was tested at, whatever it was trained on.

    The columns are those of `members`, with `tested_at` and test_mse at that noise factor;
    noise_factor stays the one that it was trained at (NaN for several). Members carried along
    through levels have no rows.
    """
    test = metrics[(metrics["metric"] == "mse") & (metrics["split"] == "test-across")]
    test = test[["member_id", "noise_factor", "value"]]
    test = test.rename(columns={"noise_factor": "tested_at", "value": "test_mse"})
    return members.drop(columns="test_mse").merge(test, on="member_id")


def by_level(members: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """Return one row per member x noise factor it was tested at after training on it.

    The columns are those of `members`; noise_factor, test_mse and train_clean_mse (the MSE on clean
    training rows at that moment, which is what the paper's scripts measured) are the level's. A
    member without measurements (a failed one) keeps its row.
    """
    mse = metrics[metrics["metric"] == "mse"]
    test = mse[mse["split"] == "test"].rename(columns={"value": "test_mse"})
    clean = mse[mse["split"] == "train-clean"].rename(columns={"value": "train_clean_mse"})
    levels = test[["member_id", "epoch", "noise_factor", "test_mse"]].merge(
        clean[["member_id", "epoch", "train_clean_mse"]], on=["member_id", "epoch"], how="left"
    )
    replaced = ["noise_factor", "test_mse", "train_clean_mse"]
    measured = members["member_id"].isin(levels["member_id"])
    rows = (
        members[measured].drop(columns=replaced).merge(levels.drop(columns="epoch"), on="member_id")
    )
    parts = [part for part in (rows, members[~measured]) if len(part)]
    return pd.concat(parts, ignore_index=True)[list(members.columns)] if parts else members
