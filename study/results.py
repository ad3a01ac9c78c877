"""The run folder: the only truth about a run. Checkpoints, finished packs, models and the tidy tables.

A file is written under a temporary name and then renamed, so it is whole or not there. A pack is finished
once its part of the members table is there; a run goes on with the planned members that no part holds.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from data_utils.errors import InputError
from models.architecture import n_parameters
from study.config import MemberConfig

FINISHED, DIVERGED, FAILED = "finished", "diverged", "failed"

# fmt: off
MEMBER_COLUMNS = [
    "member_id", "grid", "protocol", "model", "noise_factor", "beta", "rho", "seed", "status", "epochs",
    "train_mse", "val_mse", "test_mse", "seconds", "n_parameters", "error", "best_epoch", "best_val_mse",
    "diverged_epoch", "mean_activation", "sparsity", "learning_rate", "batch_size", "optimizer", "output",
    "noise_schedule", "code_layers", "code_activation", "initialisation", "loss", "scaling", "layout",
    "train_clean_mse",
]
# fmt: on
_CONFIGURED = {*MemberConfig.__dataclass_fields__, "noise_factor"} - {"phases"}
METRIC_COLUMNS = ["member_id", "epoch", "split", "metric", "noise_factor", "value"]


class RunFolder:
    """One run's folder; workers and the driver read and write it through this."""

    def __init__(self, path: Path | str):
        self.path = Path(path).resolve()

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def log_file(self) -> Path:
        return self.path / "log.txt"

    def create(self) -> None:
        """Make the folder and its parts. Raises InputError where it cannot be written."""
        try:
            for name in ("checkpoints", "parts", "models", "tensorboard"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
            for name in ("", "checkpoints", "parts", "models"):
                for leftover in (self.path / name).glob(".*tmp*"):  # half-written when an earlier run was killed
                    leftover.unlink(missing_ok=True)
            probe = self.path / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written ({error.strerror}): give another --out") from None

    def clear(self) -> None:
        """Delete all of an earlier run but the lock, which this process holds."""
        for path in self.path.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != ".lock":
                path.unlink()

    def request_stop(self, stop: bool) -> None:
        """Ask workers to save and stop, or take it back."""
        path = self.path / ".stop"
        path.touch() if stop else path.unlink(missing_ok=True)

    def stop_requested(self) -> bool:
        """Whether workers are asked to save and stop."""
        return (self.path / ".stop").exists()

    def write_json(self, name: str, content: dict) -> None:
        """`content` as an indented JSON file in the folder."""
        _atomically(self.path / name, lambda path: path.write_text(json.dumps(content, indent=1) + "\n", "utf-8"))

    def read_json(self, name: str) -> dict:
        """Raises InputError when the file is not there or is not JSON."""
        try:
            return json.loads((self.path / name).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self.path / name}: not a readable run file ({error}): start anew with --fresh"
            ) from None

    def write_text(self, name: str, text: str) -> None:
        """A text file in the folder."""
        _atomically(self.path / name, lambda path: path.write_text(text, "utf-8"))

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """A table as Parquet; the index is not kept."""
        _atomically(self.path / name, lambda path: table.to_parquet(path, index=False))

    def save_model(self, member: MemberConfig, parameters: dict[str, torch.Tensor]) -> None:
        """One network's parameters by name, with its configuration in the file's header."""
        metadata = {"member": json.dumps(member.as_dict())}
        path = self.path / "models" / f"{member.member_id}.safetensors"
        _atomically(path, lambda path: save_file(parameters, path, metadata))

    def load_model(self, member_id: str) -> tuple[MemberConfig, dict[str, torch.Tensor]]:
        """What `save_model` wrote."""
        tensors, metadata = _load_safetensors(self.path / "models" / f"{member_id}.safetensors")
        return MemberConfig.from_dict(json.loads(metadata["member"])), tensors

    def save_checkpoint(self, pack_id: str, member_ids: list[str], tensors: dict[str, torch.Tensor], facts: dict):
        """Where a pack's training stands."""
        metadata = {"members": json.dumps(member_ids), "facts": json.dumps(facts)}
        path = self._checkpoint(pack_id)
        _atomically(path, lambda path: save_file(tensors, path, metadata))

    def load_checkpoint(self, pack_id: str) -> tuple[dict[str, torch.Tensor], dict] | None:
        """Tensors and facts, or None where there is no readable checkpoint."""
        try:
            tensors, metadata = _load_safetensors(self._checkpoint(pack_id))
            return tensors, json.loads(metadata["facts"])
        except (OSError, SafetensorError, KeyError, ValueError, TypeError):
            return None

    def checkpointed_packs(self) -> list[list[str]]:
        """The member ids of every pack that has a readable checkpoint."""
        packs = []
        for path in sorted((self.path / "checkpoints").glob("*.safetensors")):
            try:
                with safe_open(path, framework="pt") as file:
                    packs.append(json.loads(file.metadata()["members"]))
            except (OSError, SafetensorError, KeyError, ValueError, TypeError):
                continue
        return packs

    def finish_pack(self, pack_id: str, members: pd.DataFrame, metrics: pd.DataFrame) -> None:
        """Record a pack's results and drop its checkpoint. The members' part comes last: it is what counts."""
        self.write_table(f"parts/{pack_id}.metrics.parquet", metrics)
        self.write_table(f"parts/{pack_id}.members.parquet", members)
        self._checkpoint(pack_id).unlink(missing_ok=True)

    def finished_members(self) -> pd.DataFrame:
        """One row for each member of a finished pack; a part that cannot be read does not count."""
        return _concat((part for part, _ in self._parts()), MEMBER_COLUMNS)

    def merge(self, planned: list[MemberConfig], errors: dict[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Write members.parquet and metrics.parquet in the order of the plan, and return both.

        `errors` holds the message of each member whose pack failed; a planned member that is neither
        finished nor failed has no row.
        """
        parts = list(self._parts())
        order = {member.member_id: i for i, member in enumerate(planned)}
        members = _concat((part for part, _ in parts), MEMBER_COLUMNS)
        done = set(members["member_id"])
        failed = [
            {**describe(member), "status": FAILED, "epochs": 0, "error": errors[member.member_id]}
            for member in planned
            if member.member_id in errors and member.member_id not in done
        ]
        members = _concat([members, _typed(pd.DataFrame(failed, columns=MEMBER_COLUMNS))], MEMBER_COLUMNS)
        metrics = _concat((part for _, part in parts), METRIC_COLUMNS)
        tables = []
        for name, table in (("members", members), ("metrics", metrics)):
            table = table[table["member_id"].isin(order)]
            table = table.sort_values("member_id", key=lambda ids: ids.map(order), kind="stable")
            tables.append(table.reset_index(drop=True))
            self.write_table(f"{name}.parquet", tables[-1])
        return tables[0], tables[1]

    def _checkpoint(self, pack_id: str) -> Path:
        return self.path / "checkpoints" / f"{pack_id}.safetensors"

    def _parts(self) -> Iterable[tuple[pd.DataFrame, pd.DataFrame]]:
        for path in sorted((self.path / "parts").glob("*.members.parquet")):
            try:
                metrics = path.with_name(path.name.replace(".members.", ".metrics."))
                yield pd.read_parquet(path), pd.read_parquet(metrics)
            except (OSError, ValueError):  # cut short: its members count as unfinished
                continue


def describe(member: MemberConfig) -> dict:
    """The columns of the members table that are known before training."""
    return {
        "member_id": member.member_id,
        "noise_schedule": member.noise_label,
        "error": "",
        **{name: getattr(member, name) for name in MEMBER_COLUMNS if name in _CONFIGURED},
    }


def member_rows(training) -> pd.DataFrame:
    """The members table of one pack (a finished `PackTraining`)."""
    last = {}
    validation = []
    for record in training.records:
        if record.metric == "mse" and record.epoch == training.epoch:
            last.setdefault(record.split, []).append(record.values)
        if (record.split, record.metric) == ("validation", "mse") and len(validation) < record.epoch:
            validation.append(record.values)  # the first of an epoch is over the whole phase
        if record.metric == "mean_activation":
            activation = record.values
    curves = np.array(validation).T  # (K, epochs)
    rows = []
    for k, (member, curve) in enumerate(zip(training.members, curves, strict=True)):
        diverged = training.diverged_epoch[k]
        finite = np.isfinite(curve)
        best = int(np.argmin(np.where(finite, curve, np.inf))) if finite.any() else None
        mse = {split: float(np.mean([v[k] for v in values])) for split, values in last.items()}
        rows.append(
            {
                **describe(member),
                "status": FINISHED if diverged is None else DIVERGED,
                "epochs": training.epoch if diverged is None else diverged,
                "train_mse": mse["train"],
                "val_mse": mse["validation"],
                "test_mse": mse["test"],
                "train_clean_mse": mse["train-clean"],
                "seconds": training.seconds / len(training.members),
                "n_parameters": n_parameters(member.architecture, training.n_genes),
                "best_epoch": None if best is None else best + 1,
                "best_val_mse": math.nan if best is None else curve[best],
                "diverged_epoch": diverged,
                "mean_activation": activation[k],
            }
        )
    return _typed(pd.DataFrame(rows, columns=MEMBER_COLUMNS))


def metric_rows(training) -> pd.DataFrame:
    """The metrics table of one pack: one row per member x epoch x split x metric (x noise factor)."""
    n_members = len(training.members)
    columns = {name: np.repeat([getattr(r, name) for r in training.records], n_members) for name in METRIC_COLUMNS[1:4]}
    columns["member_id"] = [member.member_id for member in training.members] * len(training.records)
    columns["noise_factor"] = np.concatenate([r.noise_factors for r in training.records])
    columns["value"] = np.concatenate([r.values for r in training.records])
    return pd.DataFrame(columns, columns=METRIC_COLUMNS)


def _typed(members: pd.DataFrame) -> pd.DataFrame:
    """Columns with gaps keep one type in every part, so that parts can be joined."""
    return members.astype({"best_epoch": "Int64", "diverged_epoch": "Int64", "n_parameters": "Int64"}).astype(
        dict.fromkeys(
            ("train_mse", "val_mse", "test_mse", "best_val_mse", "mean_activation", "seconds", "train_clean_mse"), float
        )
    )


def _concat(tables: Iterable[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    tables = [table for table in tables if len(table)]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def _atomically(path: Path, write: Callable[[Path], object]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _load_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
