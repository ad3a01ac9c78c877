"""The tables of one run or several, read from their folders; reports are made from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from data_utils.errors import InputError

#: Tables for the report that the end of a run writes (study/evidence/references.py).
REFERENCE_COLUMNS = [
    *("reference", "noise_factor", "seed", "code_size", "choice"),
    *("val_mse", "test_mse"),
]
GENE_COLUMNS = ["protocol", "method", "noise_factor", "gene_id", "mse"]
LABEL_COLUMNS = ["protocol", "method", "noise_factor", "label", "value", "samples", "mse"]
_OPTIONAL = {"references": REFERENCE_COLUMNS, "genes": GENE_COLUMNS, "labels": LABEL_COLUMNS}
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
    runs = [_load_run(path) for path in dict.fromkeys(Path(f).resolve() for f in folders)]
    first = runs[0]
    for run in runs[1:]:
        for key, word in _SHARED.items():
            if run.config["identity"].get(key) != first.config["identity"].get(key):
                raise InputError(
                    f"{run.path}: has other {word} than {first.path}: "
                    f"report runs on the same {word} together"
                )

    def table(parts: list[pd.DataFrame], keys: list[str]) -> pd.DataFrame:
        named = [part.assign(run=run.name) for run, part in zip(runs, parts, strict=True)]
        full = [part for part in named if len(part)] or named[:1]
        return _once(pd.concat(full, ignore_index=True), keys)

    optional = {
        name: [_optional(run.path / f"{name}.parquet", columns) for run in runs]
        for name, columns in _OPTIONAL.items()
    }
    return Evidence(
        runs=tuple(runs),
        members=table([run.members for run in runs], ["member_id"]),
        levels=table(
            [by_level(run.members, run.metrics) for run in runs], ["member_id", "noise_factor"]
        ),
        across=table(
            [across_levels(run.members, run.metrics) for run in runs], ["member_id", "tested_at"]
        ),
        references=table(
            optional["references"], ["reference", "noise_factor", "seed", "code_size"]
        ),
        genes=table(optional["genes"], GENE_COLUMNS[:-1]),
        labels=table(optional["labels"], LABEL_COLUMNS[:-2]),
    )


def _once(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Keep the first of rows with equal keys; a failed network gives way to one that has ended."""
    if "status" in table:
        failed = table["status"] == "failed"
        table = pd.concat([table[~failed], table[failed]])
    return table.drop_duplicates(keys).sort_index().reset_index(drop=True)


def _load_run(path: Path) -> Run:
    config_file = path / "config.json"
    try:
        config = json.loads(config_file.read_text("utf-8"))
        identity = config["identity"]
        if "data" not in config or not {"data", "split_seed"} <= identity.keys():
            raise ValueError("the run's data are missing in it")
    except FileNotFoundError:
        raise _absent(config_file) from None
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
    except FileNotFoundError:
        raise _absent(path) from None
    except Exception as error:  # those of pyarrow share no class
        raise _unreadable(path, error) from None


def _optional(path: Path, columns: list[str]) -> pd.DataFrame:
    return _table(path, columns) if path.exists() else pd.DataFrame(columns=columns)


def _absent(path: Path) -> InputError:
    return InputError(
        f"{path}: is missing: give the folder of a run that has ended, such as runs/paper"
    )


def _unreadable(path: Path, error: Exception) -> InputError:
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
