"""What a report is made from: the tables of one run or several, read from their folders. No torch, no ray."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from data_utils.errors import InputError
from study.evidence.levels import across_levels, by_level

#: Tables that the end of a run writes for the report (study/evidence/references.py); an older run may not have them.
REFERENCE_COLUMNS = [
    "reference",
    "noise_factor",
    "seed",
    "code_size",
    "choice",
    "val_mse",
    "test_mse",
]
GENE_COLUMNS = ["protocol", "method", "noise_factor", "gene_id", "mse"]
LABEL_COLUMNS = ["protocol", "method", "noise_factor", "label", "value", "samples", "mse"]


#: What the best of the grid `best` is called: it serves all noise levels, so it stands with the references.
MIXTURE = "Wiener mixture"


@dataclass(frozen=True)
class Run:
    """One run folder: where it is, its config.json, and its tables."""

    path: Path
    config: dict
    members: pd.DataFrame
    metrics: pd.DataFrame

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True, eq=False)
class Evidence:
    """The tables of all runs, each with a column `run`; all runs have the same data and the same split.

    members: as members.parquet, one row a network. levels: one row a network x noise factor that it was tested at
    (study.levels). across: one row a network x noise factor of the study, `tested_at`. references: MSE of identity,
    gene mean, PCA, Wiener, oracle by noise factor, seed and code size. genes, labels: MSE by gene, and by value of a
    sample label such as tissue, of networks (mean over seeds) and references ("method"; a reference's protocol is
    ""). A network that two runs share is kept once.
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
        """What config.json says of the data, which all runs share."""
        return self.runs[0].config["data"]

    @property
    def simulated(self) -> bool:
        return bool(self.data["simulated"])


def load_evidence(folders: Sequence[Path | str]) -> Evidence:
    """Read run folders. Raises InputError for one that is not a run, or runs on other data or another split."""
    runs = tuple(
        _load_run(Path(folder)) for folder in dict.fromkeys(Path(f).resolve() for f in folders)
    )
    first = runs[0]
    for run in runs[1:]:
        for what, key in (
            ("data", "data"),
            ("split", "split_seed"),
            ("split", "group"),
            ("split", "split"),
        ):
            if run.config["identity"].get(key) != first.config["identity"].get(
                key
            ):  # earlier runs have no group
                raise InputError(
                    f"{run.path}: has other {what} than {first.path}: report runs on the same {what} together"
                )
    members = _once(
        pd.concat([run.members.assign(run=run.name) for run in runs], ignore_index=True),
        ["member_id"],
    )
    levels = [by_level(run.members, run.metrics).assign(run=run.name) for run in runs]
    across = [across_levels(run.members, run.metrics).assign(run=run.name) for run in runs]
    tables = {
        name: _optional(runs, f"{name}.parquet", columns) for name, columns in _OPTIONAL.items()
    }
    return Evidence(
        runs,
        members,
        _once(pd.concat(levels, ignore_index=True), ["member_id", "noise_factor"]),
        _once(pd.concat(across, ignore_index=True), ["member_id", "tested_at"]),
        _once(tables["references"], ["reference", "noise_factor", "seed", "code_size"]),
        _once(tables["genes"], GENE_COLUMNS[:-1]),
        _once(tables["labels"], LABEL_COLUMNS[:-2]),
    )


#: Columns without which the tables of a run say nothing.
_NEEDED = {
    "members": ("member_id", "status", "noise_factor", "test_mse", "train_clean_mse"),
    "metrics": ("member_id", "epoch", "split", "metric", "noise_factor", "value"),
}
_OPTIONAL = {"references": REFERENCE_COLUMNS, "genes": GENE_COLUMNS, "labels": LABEL_COLUMNS}


def _load_run(path: Path) -> Run:
    """Raises InputError for a folder that holds no run that has ended, or tables that cannot be read."""
    wanted = path / "config.json"
    try:
        config = json.loads(wanted.read_text("utf-8"))
        if (
            not {"data", "identity"} <= config.keys()
            or not {"data", "split_seed"} <= config["identity"].keys()
        ):
            raise ValueError("it does not say what data the run had")
    except FileNotFoundError:
        raise _absent(wanted) from None
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise _unreadable(wanted, error) from None
    return Run(
        path,
        config,
        *(_table(path / f"{name}.parquet", columns) for name, columns in _NEEDED.items()),
    )


def _table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Raises InputError for a table that is not there, cannot be read, or has not these columns."""
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


def _absent(path: Path) -> InputError:
    return InputError(
        f"{path}: is not there: give the folder of a run that has ended, such as runs/paper"
    )


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = "".join(c if c.isprintable() else " " for c in str(error))[:120]
    return InputError(f"{path}: cannot be read ({reason}): finish the run with --resume")


def _optional(runs: tuple[Run, ...], name: str, columns: list[str]) -> pd.DataFrame:
    """A table of all runs that have it."""
    found = [run for run in runs if (run.path / name).exists()]
    tables = [_table(run.path / name, columns).assign(run=run.name) for run in found]
    tables = [table for table in tables if len(table)]
    return (
        pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*columns, "run"])
    )


def _once(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The first of rows that say the same thing: a failed network gives way to one that has ended."""
    if "status" in table:
        table = table.assign(_failed=table["status"] == "failed").sort_values(
            "_failed", kind="stable"
        )
        table = table.drop_duplicates(keys).drop(columns="_failed").sort_index()
    else:
        table = table.drop_duplicates(keys)
    return table.reset_index(drop=True)
