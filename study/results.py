"""The run folder: the only truth about a run. Checkpoints, finished packs, models and the tidy tables.

A file is written under a temporary name and then renamed, so it is whole or not there. A pack is finished
once its part of the members table is there; a run goes on with the planned members that no part holds.
Networks come and go as numpy arrays by name: who only reads a run needs no torch.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from data_utils.errors import InputError
from study.rows import FAILED, MEMBER_COLUMNS, METRIC_COLUMNS, describe, typed

if TYPE_CHECKING:
    from study.config import MemberConfig


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
        self.write_text(name, json.dumps(content, indent=1) + "\n")

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
        self.write_bytes(name, text.encode("utf-8"))

    def write_bytes(self, name: str, content: bytes) -> None:
        """A binary file in the folder."""
        _atomically(self.path / name, lambda path: path.write_bytes(content))

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """A table as Parquet; the index is not kept."""
        _atomically(self.path / name, lambda path: table.to_parquet(path, index=False))

    def save_model(self, member: MemberConfig, parameters: dict[str, np.ndarray]) -> None:
        """One network's parameters by name, with its configuration in the file's header."""
        _save_arrays(self._model(member.member_id), parameters, {"member": member.as_dict()})

    def load_model(self, member_id: str) -> tuple[dict, dict[str, np.ndarray]]:
        """What `save_model` wrote: the configuration (for MemberConfig.from_dict) and the parameters."""
        arrays, metadata = _load_arrays(self._model(member_id))
        return json.loads(metadata["member"]), arrays

    def save_checkpoint(self, pack_id: str, member_ids: list[str], arrays: dict[str, np.ndarray], facts: dict) -> None:
        """Where a pack's training stands."""
        _save_arrays(self._checkpoint(pack_id), arrays, {"members": member_ids, "facts": facts})

    def load_checkpoint(self, pack_id: str) -> tuple[dict[str, np.ndarray], dict] | None:
        """Arrays and facts, or None where there is no readable checkpoint."""
        try:
            arrays, metadata = _load_arrays(self._checkpoint(pack_id))
            return arrays, json.loads(metadata["facts"])
        except (OSError, SafetensorError, KeyError, ValueError, TypeError):
            return None

    def checkpointed_packs(self) -> list[list[str]]:
        """The member ids of every pack that has a readable checkpoint."""
        packs = []
        for path in sorted((self.path / "checkpoints").glob("*.safetensors")):
            try:
                with safe_open(path, framework="np") as file:
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
        members = _concat([members, typed(pd.DataFrame(failed, columns=MEMBER_COLUMNS))], MEMBER_COLUMNS)
        metrics = _concat((part for _, part in parts), METRIC_COLUMNS)
        tables = []
        for name, table in (("members", members), ("metrics", metrics)):
            table = table[table["member_id"].isin(order)]
            table = table.sort_values("member_id", key=lambda ids: ids.map(order), kind="stable")
            tables.append(table.reset_index(drop=True))
            self.write_table(f"{name}.parquet", tables[-1])
        return tables[0], tables[1]

    def _model(self, member_id: str) -> Path:
        return self.path / "models" / f"{member_id}.safetensors"

    def _checkpoint(self, pack_id: str) -> Path:
        return self.path / "checkpoints" / f"{pack_id}.safetensors"

    def _parts(self) -> Iterable[tuple[pd.DataFrame, pd.DataFrame]]:
        for path in sorted((self.path / "parts").glob("*.members.parquet")):
            try:
                metrics = path.with_name(path.name.replace(".members.", ".metrics."))
                yield pd.read_parquet(path), pd.read_parquet(metrics)
            except (OSError, ValueError):  # cut short: its members count as unfinished
                continue


def _concat(tables: Iterable[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    tables = [table for table in tables if len(table)]
    return pd.concat(tables, ignore_index=True).reindex(columns=columns) if tables else pd.DataFrame(columns=columns)


def _atomically(path: Path, write: Callable[[Path], object]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _save_arrays(path: Path, arrays: dict[str, np.ndarray], metadata: dict) -> None:
    """Arrays by name, and JSON-able metadata in the header."""
    # In C order: safetensors writes an array's memory as it lies, without a look at its strides.
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    header = {name: json.dumps(content) for name, content in metadata.items()}
    _atomically(path, lambda path: save_file(arrays, path, header))


def _load_arrays(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    with safe_open(path, framework="np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
