"""Times of a run's measurements, read from the wall times in its TensorBoard files."""

from __future__ import annotations

from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event


def first_epoch(run: Path) -> float:
    """Return the end of the first epoch of any member, in seconds since 1970."""
    return min(event.wall_time for events in _members(run) for event in events if event.step == 1)


def training_seconds(run: Path) -> float:
    """Return the seconds from the start of the first member's training to the last measurement."""
    times = [event.wall_time for events in _members(run) for event in events]
    return max(times) - min(times)


def _members(run: Path) -> list[list[Event]]:
    """Return the events of each member's file. Raises FileNotFoundError if there are no files."""
    top = run / "tensorboard"
    files = sorted(top.rglob("events.out.tfevents.*"))
    if not files:
        raise FileNotFoundError(f"{top}: no member has written there")
    return [
        [Event.FromString(record) for record in RawEventFileLoader(str(file)).Load()]
        for file in files
    ]
