"""The run folder: the only truth about a run. Checkpoints, finished packs, models and the tidy tables.

A file is written under a temporary name and then renamed, so it is complete or missing. A pack is
finished once its part of the members table exists; a run continues with the planned members that
no part holds. Networks come and go as numpy arrays by name: reading a run needs no torch.

With a storage (`--storage`: a bucket, or a path that machines share) the folder is a copy: what is
written here is written there too, and what others wrote there is fetched. Workers deliver from a
scratch folder of their own, and `--resume` on a new machine fetches the run first.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from safetensors import SafetensorError

from data_utils.errors import InputError
from data_utils.files import load_arrays, load_metadata, save_arrays, sha256, write_atomically
from models.config import MemberConfig
from study.run.rows import FAILED, MEMBER_COLUMNS, METRIC_COLUMNS, describe, typed
from study.run.storage import Storage

#: What reading a file that was cut short or damaged may raise.
UNREADABLE = (OSError, SafetensorError, KeyError, ValueError, TypeError, RecursionError)
#: Folders whose files do not change once they exist.
KEPT = ("parts", "models", "checkpoints", "tensorboard")
#: What stays on the machine that wrote it: the lock and temporary files.
OWN = re.compile(r"\.")
#: Seconds between two looks into the storage for a request to stop.
STOP_SECONDS = 1.0


class RunFolder:
    """One run's folder; workers and the driver read and write it through this."""

    def __init__(self, path: Path | str, storage: Storage | None = None):
        self.path, self.storage = Path(path).resolve(), storage
        self._asked, self._stop = -STOP_SECONDS, False
        self._sent: dict[Path, int] = {}

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
            self.drop_half_written()
            probe = self.path / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise InputError(
                f"{self.path}: cannot be written ({error.strerror}): give another --out"
            ) from None

    def drop_half_written(self) -> None:
        """Remove what a process was writing when it was killed; nobody must be writing now."""
        for name in ("", "checkpoints", "parts", "models"):
            for leftover in (self.path / name).glob(".*tmp*"):
                leftover.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise OSError if the folder has gone, before a writer would make another in its place."""
        os.stat(self.path / "parts")

    def exists(self) -> bool:
        """Whether the folder is there and can be looked at."""
        return os.path.isdir(self.path / "parts")

    @contextmanager
    def on_worker(self) -> Iterator[RunFolder]:
        """Return what a worker writes to: this folder, or with a storage a scratch folder."""
        if self.storage is None:
            yield self
            return
        with tempfile.TemporaryDirectory(prefix="dae-study-") as scratch:
            folder = RunFolder(scratch, self.storage)
            folder.create()
            yield folder

    def clear(self) -> None:
        """Delete all of an earlier run but the lock, which this process holds."""
        for path in self.path.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != ".lock":
                path.unlink()
        if self.storage is not None:
            for name in self.storage.sizes():
                self.storage.delete(name)

    def request_stop(self, stop: bool) -> None:
        """Ask workers to save and stop, or take it back."""
        self._write(".stop", Path.touch) if stop else self._remove(".stop")

    def stop_requested(self) -> bool:
        """Whether workers are asked to save and stop."""
        if self.storage is None:
            return (self.path / ".stop").exists()
        now = time.monotonic()
        if now - self._asked > STOP_SECONDS:
            self._asked, self._stop = now, self.storage.get(".stop") is not None
        return self._stop

    def write_json(self, name: str, content: dict) -> None:
        """`content` as an indented JSON file in the folder."""
        self.write_text(name, json.dumps(content, indent=1) + "\n")

    def read_json(self, name: str, **kinds: type | tuple[type, ...]) -> dict:
        """Raises InputError when the file is not there, is no JSON object or lacks an entry of one of the `kinds`."""
        try:
            content = json.loads((self.path / name).read_text("utf-8"))
            if not isinstance(content, dict):
                raise ValueError("it is no JSON object")
            for key, kind in kinds.items():
                if not isinstance(content.get(key), kind):
                    raise ValueError(f"its entry {key!r} is missing or damaged")
            return content
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(
                f"{self.path / name}: not a readable run file ({error}): start anew with --fresh"
            ) from None

    def write_text(self, name: str, text: str) -> None:
        """A text file in the folder."""
        self.write_bytes(name, text.encode("utf-8"))

    def write_bytes(self, name: str, content: bytes) -> None:
        """A binary file in the folder."""
        self._write(name, lambda path: path.write_bytes(content))

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """A table as Parquet; the index is not kept."""
        self._write(
            name, lambda path: table.to_parquet(path, index=False, write_page_checksum=True)
        )

    def _write(self, name: str, write: Callable[[Path], object]) -> None:
        write_atomically(self.path / name, write)
        self._deliver(name)

    def _deliver(self, name: str) -> None:
        if self.storage is not None:
            self.storage.put(name, (self.path / name).read_bytes())

    def _remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)
        if self.storage is not None:
            self.storage.delete(name)

    def save_model(self, member: MemberConfig, parameters: dict[str, np.ndarray]) -> None:
        """One network's parameters by name, with its configuration in the file's header."""
        path = self._model(member.member_id)
        save_arrays(path, parameters, {"member": member.as_dict()})
        self._deliver(f"models/{path.name}")

    def load_model(self, member_id: str) -> tuple[dict, dict[str, np.ndarray]]:
        """What `save_model` wrote: the configuration (for MemberConfig.from_dict) and the parameters.

        Raises InputError for a file that is not there or is damaged.
        """
        try:
            arrays, metadata = load_arrays(self._model(member_id))
            return metadata["member"], arrays
        except UNREADABLE as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"{self._model(member_id)}: no readable network ({reason}): --resume trains it again"
            ) from None

    def save_checkpoint(
        self, pack_id: str, member_ids: list[str], arrays: dict[str, np.ndarray], facts: dict
    ) -> None:
        """Where a pack's training stands."""
        path = self._checkpoint(pack_id)
        save_arrays(path, arrays, {"members": member_ids, "facts": facts})
        self._deliver(f"checkpoints/{path.name}")

    def load_checkpoint(self, pack_id: str) -> tuple[dict[str, np.ndarray], dict] | None:
        """Arrays and facts, or None if there is no readable checkpoint."""
        self._fetch_checkpoint(pack_id)
        try:
            arrays, metadata = load_arrays(self._checkpoint(pack_id))
            return arrays, metadata["facts"]
        except UNREADABLE:
            return None

    def drop_checkpoint(self, pack_id: str) -> None:
        """A pack that was stopped, or split, does not go on."""
        self._remove(f"checkpoints/{self._checkpoint(pack_id).name}")

    def standing(self, pack_id: str) -> tuple[int, int] | None:
        """Epoch and batch of a pack's checkpoint, which grow as the pack makes progress; None without one."""
        self._fetch_checkpoint(pack_id)
        try:
            facts = load_metadata(self._checkpoint(pack_id))["facts"]
            return facts["epoch"], facts["batch"]
        except UNREADABLE:
            return None

    def _fetch_checkpoint(self, pack_id: str) -> None:
        """Bring here the checkpoint of a worker elsewhere."""
        path = self._checkpoint(pack_id)
        if self.storage is not None:
            self._fetch(f"checkpoints/{path.name}")

    def checkpointed_packs(self) -> list[list[str]]:
        """The member ids of every pack that has a readable checkpoint."""
        packs = []
        for path in sorted((self.path / "checkpoints").glob("*.safetensors")):
            try:
                member_ids = load_metadata(path)["members"]
                if len(set(member_ids)) == len(member_ids) > 0:  # else no pack could have left it
                    packs.append(list(member_ids))
            except UNREADABLE:
                continue
        return packs

    def finish_pack(self, pack_id: str, members: pd.DataFrame, metrics: pd.DataFrame) -> None:
        """Record a pack's results and drop its checkpoint. The members' part comes last: it is what counts."""
        if self.storage is not None:
            self._send_tensorboard()
        parts = {
            "metrics": metrics.to_parquet(index=False),
            "members": members.to_parquet(index=False),
        }
        self.write_json(
            f"parts/{pack_id}.sha256", {name: sha256(content) for name, content in parts.items()}
        )
        for name, content in parts.items():
            self.write_bytes(f"parts/{pack_id}.{name}.parquet", content)
        self.drop_checkpoint(pack_id)

    def part(self, pack_id: str) -> tuple[pd.DataFrame, pd.DataFrame] | None:
        """The members and metrics tables of a finished pack; None where they are not there or not as written."""
        try:
            expected = json.loads((self.path / "parts" / f"{pack_id}.sha256").read_text("utf-8"))
            tables = []
            for name in ("members", "metrics"):
                content = (self.path / "parts" / f"{pack_id}.{name}.parquet").read_bytes()
                if sha256(content) != expected[name]:
                    return None
                # No threads: the tables are small, and where memory is short pyarrow waits for ever for a thread.
                tables.append(pd.read_parquet(io.BytesIO(content), use_threads=False))
            return tables[0], tables[1]
        except UNREADABLE:
            return None

    def drop_damaged(self) -> list[str]:
        """Forget results and networks that are not as they were written, so that their members train again.

        Returns a line for each file. Raises InputError where the storage does not let one be read.
        """
        lines = []
        for path in sorted((self.path / "parts").glob("*.members.parquet")):
            pack_id = path.name.removesuffix(".members.parquet")
            part = self.part(pack_id)
            if part is None:
                _readable(path, path.with_name(f"{pack_id}.metrics.parquet"))
                lines.append(f"{path}: cut short or damaged: its pack trains again")
                self._remove(f"parts/{path.name}")
                continue
            members, metrics = part
            bad = [member_id for member_id in members["member_id"] if not self._sound(member_id)]
            if bad:
                lines += [
                    f"{self._model(member_id)}: damaged: it trains again" for member_id in bad
                ]
                self.finish_pack(
                    pack_id, *(table[~table["member_id"].isin(bad)] for table in (members, metrics))
                )
        return lines

    def _sound(self, member_id: str) -> bool:
        """Whether the network's file is as it was written, or is not there: that is a wish of whoever removed it."""
        try:
            load_arrays(self._model(member_id))
        except FileNotFoundError:
            return True
        except UNREADABLE:
            return False
        return True

    def finished_members(self) -> pd.DataFrame:
        """One row for each member of a finished pack; a part that cannot be read does not count."""
        return _concat((part for part, _ in self._parts()), MEMBER_COLUMNS)

    def merge(
        self, planned: list[MemberConfig], errors: dict[str, str]
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Write members.parquet and metrics.parquet in the order of the plan, and return both.

        `errors` holds the message of each member whose pack failed; a planned member that is neither
        finished nor failed has no row.
        """
        if self.storage is not None:
            self.fetch(KEPT)  # the rest is this process' own
        parts = list(self._parts())
        order = {member.member_id: i for i, member in enumerate(planned)}
        members = _concat((part for part, _ in parts), MEMBER_COLUMNS)
        done = set(members["member_id"])
        failed = [
            {**describe(member), "status": FAILED, "epochs": 0, "error": errors[member.member_id]}
            for member in planned
            if member.member_id in errors and member.member_id not in done
        ]
        members = _concat(
            [members, typed(pd.DataFrame(failed, columns=MEMBER_COLUMNS))], MEMBER_COLUMNS
        )
        metrics = _concat((part for _, part in parts), METRIC_COLUMNS)
        tables = []
        for name, table in (("members", members), ("metrics", metrics)):
            table = table[table["member_id"].isin(order)]
            table = table.sort_values("member_id", key=lambda ids: ids.map(order), kind="stable")
            tables.append(table.reset_index(drop=True))
            self.write_table(f"{name}.parquet", tables[-1])
        return tables[0], tables[1]

    def fetch(self, below: tuple[str, ...] = ("",)) -> None:
        """Bring here what the storage has `below` these folders: what may have changed or is missing here.

        Raises InputError if the storage is no run's.
        """
        assert self.storage is not None
        for name, size in self.storage.sizes().items():
            if ".." in PurePosixPath(name).parts:
                raise InputError(
                    f"--storage {self.storage.url}: holds a file of the name {name!r}, so it is no "
                    "run's storage: give another"
                )
            if not OWN.match(name) and name.startswith(below) and not self._has(name, size):
                self._fetch(name)

    def _fetch(self, name: str) -> None:
        assert self.storage is not None
        content = self.storage.get(name)
        if content is not None:
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, lambda path: path.write_bytes(content))

    def _has(self, name: str, size: int) -> bool:
        """Whether a file is here as it is in the storage."""
        path = self.path / name
        if not (name.startswith(KEPT) and path.exists() and path.stat().st_size == size):
            return False
        # A part that was half delivered when its host died is delivered again, in files of equal sizes.
        return not name.startswith("parts/") or self.part(path.name.partition(".")[0]) is not None

    def publish(self) -> None:
        """Bring to the storage, if there is one, what may have changed or is missing there."""
        if self.storage is None:
            return
        sizes = self.storage.sizes()
        for path in sorted(self.path.rglob("*")):
            name = path.relative_to(self.path).as_posix()
            if not path.is_file() or OWN.match(path.name) or OWN.match(name):
                continue
            if not (name.startswith(KEPT) and sizes.get(name) == path.stat().st_size):
                self._deliver(name)

    def _send_tensorboard(self) -> None:
        for path in sorted(path for path in self.tensorboard.rglob("*") if path.is_file()):
            size = path.stat().st_size
            if self._sent.get(path) != size:
                self._deliver(path.relative_to(self.path).as_posix())
                self._sent[path] = size

    def _model(self, member_id: str) -> Path:
        return self.path / "models" / f"{member_id}.safetensors"

    def _checkpoint(self, pack_id: str) -> Path:
        return self.path / "checkpoints" / f"{pack_id}.safetensors"

    def _parts(self) -> Iterable[tuple[pd.DataFrame, pd.DataFrame]]:
        for path in sorted((self.path / "parts").glob("*.members.parquet")):
            part = self.part(path.name.removesuffix(".members.parquet"))
            if part is not None:  # else its members count as unfinished
                yield part


def _readable(*paths: Path) -> None:
    """Raise InputError for a file that is there and cannot be read now: it may be sound."""
    for path in paths:
        try:
            path.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read ({error.strerror}): see to the storage, then --resume"
            ) from None


def _concat(tables: Iterable[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    tables = [table for table in tables if len(table)]
    return (
        pd.concat(tables, ignore_index=True).reindex(columns=columns)
        if tables
        else pd.DataFrame(columns=columns)
    )
