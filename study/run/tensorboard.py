"""TensorBoard event files, one run a member, written at once and by ourselves.

`tensorboard --logdir runs/paper/tensorboard` then shows the curves and fills the HParams tab.

Why not Ray's logger: it writes where the trial's working directory is (on other hosts that is not the run
folder), about 10 s late, and it logs a pack as one run. Why not `torch.utils.tensorboard`: it imports torch
(seconds in a process that only wants to write a number) and keeps a thread and an open file for each writer;
a pack has hundreds of members. Here an append is one write of complete records and leaves no file open.

    log = MemberLog(logdir, "dense-4/noise-0.5/beta-0.01/seed-0", {"model": "dense-4", "noise_factor": 0.5})
    log.scalars([(1, "loss/train", 0.9, time.time())])
    log.close("finished")

A resumed member makes a new `MemberLog` and writes its whole history again: what the earlier attempt left in
the folder is removed first, so the curves are those of an unbroken run.
"""

import io
import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2, summary_v2
from tensorboard.summary.writer.record_writer import RecordWriter

if TYPE_CHECKING:
    from models.config import MemberConfig

HParamValue = str | float | int | bool
Row = tuple[int, str, float, float]  # epoch, tag, value, wall time in seconds since 1970

TAGS = ("loss/train", "mse/validation", "mse/test", "code/mean_activation")
METRICS = ("mse/validation", "mse/test")
HPARAMS = ("model", "noise_factor", "beta", "rho", "seed", "learning_rate")

# TensorBoard knows no more than this of how a session ended; what went wrong stands in members.parquet.
STATUS = {
    "finished": api_pb2.STATUS_SUCCESS,
    "diverged": api_pb2.STATUS_FAILURE,
    "failed": api_pb2.STATUS_FAILURE,
}

_PREFIX = "events.out.tfevents."  # TensorBoard knows an event file by "tfevents" in its name


def hparams(member: "MemberConfig") -> dict[str, HParamValue]:
    """What the HParams tab shows of a member."""
    return {name: getattr(member, name) for name in HPARAMS}


class MemberLog:
    """One TensorBoard run: the curves of one member, its hyperparameters and how it ended."""

    def __init__(
        self,
        logdir: Path,
        run_name: str,
        hparams: Mapping[str, HParamValue | None],
        start_time: float | None = None,
    ):
        """Empty the run of an earlier attempt's event files and write the session's start.

        hparams: what is None or NaN (the noise factor of a mixture) is left out: an empty cell in HParams.
        start_time: seconds since 1970, now if not given; give the first attempt's to repeat its file exactly.
        """
        parts = Path(run_name).parts
        if not parts or Path(run_name).is_absolute() or ".." in parts:
            raise ValueError(f"run_name {run_name!r} must name a folder below the log folder")
        self.run_name = run_name
        self.path = _new_event_file(Path(logdir), parts, start_time)
        start_time = time.time() if start_time is None else start_time
        # The run's name as trial id: each member is its own row of HParams, under a name one can read.
        start = summary_v2.hparams_pb(
            {name: value for name, value in hparams.items() if _is_known(value)},
            trial_id=run_name,
            start_time_secs=start_time,
        )
        _append(self.path, [_event(start_time, summary=start)])

    def scalars(self, rows: Iterable[Row]) -> None:
        """Append values. NaN and inf are written as they are: TensorBoard marks them on the curve."""
        # Neighbours of one epoch and time share one event: a third of the records, and of the time, to write.
        events = []
        for (epoch, wall_time), group in groupby(rows, key=lambda row: (row[0], row[3])):
            values = [
                summary_pb2.Summary.Value(tag=tag, simple_value=value) for _, tag, value, _ in group
            ]
            events.append(_event(wall_time, epoch, summary_pb2.Summary(value=values)))
        if events:
            _append(self.path, events)

    def close(self, status: str = "finished", end_time: float | None = None) -> None:
        """Write the session's end. The scalars need no close: they are in the file already."""
        if status not in STATUS:
            raise ValueError(f"status {status!r} is none of {', '.join(STATUS)}")
        end_time = time.time() if end_time is None else end_time
        end = plugin_data_pb2.SessionEndInfo(status=STATUS[status], end_time_secs=end_time)
        content = plugin_data_pb2.HParamsPluginData(session_end_info=end)
        # Built here because tensorboard's session_end_pb imports tensorflow; the same message otherwise.
        value = summary_pb2.Summary.Value(
            tag=metadata.SESSION_END_INFO_TAG,
            metadata=metadata.create_summary_metadata(content),
            tensor=metadata.NULL_TENSOR,
        )
        _append(self.path, [_event(end_time, summary=summary_pb2.Summary(value=[value]))])


def write_hparams_experiment(
    logdir: Path,
    hparams_domains: Mapping[str, Sequence[HParamValue | None] | None],
    metrics: Sequence[str] = METRICS,
    created: float | None = None,
) -> None:
    """Declare the columns of the HParams tab, once, at the top of the log folder.

    hparams_domains: for each hyperparameter the values that occur (a box each to filter by), or None for any.
    Writing it again replaces it.
    """
    created = time.time() if created is None else created
    config = summary_v2.hparams_config_pb(
        hparams=[
            summary_v2.HParam(name, _domain(values)) for name, values in hparams_domains.items()
        ],
        metrics=[summary_v2.Metric(tag, group="") for tag in metrics],
        time_created_secs=created,
    )
    _append(_new_event_file(Path(logdir), (), created), [_event(created, summary=config)])


def _is_known(value: HParamValue | None) -> bool:
    return value is not None and value == value  # NaN alone differs from itself


def _domain(values: Sequence[HParamValue | None] | None) -> summary_v2.Discrete | None:
    unique = {value for value in values or () if _is_known(value)}
    if not unique:
        return None
    if any(isinstance(value, float) for value in unique):
        unique = {
            float(value) for value in unique
        }  # a domain has one type; 0 beside 0.001 is the float 0.0
    return summary_v2.Discrete(unique)


def _new_event_file(logdir: Path, run: tuple[str, ...], start_time: float | None) -> Path:
    """The path of a run's one event file, with its header written and earlier files gone."""
    folder = logdir
    folder.mkdir(exist_ok=True)
    for (
        name
    ) in run:  # one by one: where the run folder has just gone away, no other is made in its place
        folder /= name
        folder.mkdir(exist_ok=True)
    for old in folder.glob(f"{_PREFIX}*"):
        old.unlink()
    # A new name each time, later in the alphabet: a TensorBoard that is open goes on to the next name, but
    # would keep reading the removed file behind an old one. Nanoseconds, so that two attempts never share it.
    path = folder / f"{_PREFIX}{time.time_ns() / 1e9:.6f}"
    path.touch()
    header = event_pb2.Event(
        wall_time=time.time() if start_time is None else start_time, file_version="brain.Event:2"
    )
    _append(path, [header])
    return path


def _event(
    wall_time: float, step: int = 0, summary: summary_pb2.Summary | None = None
) -> event_pb2.Event:
    return event_pb2.Event(wall_time=wall_time, step=step, summary=summary)


def _append(path: Path, events: Iterable[event_pb2.Event]) -> None:
    """Add records in one go and close: a killed process leaves whole records, and no file is held open.

    "r+b", not "ab": after a run folder was moved or removed, an append then fails rather than making a file
    without a header.
    """
    buffer = io.BytesIO()
    records = RecordWriter(buffer)
    for event in events:
        records.write(event.SerializeToString())
    with open(path, "r+b") as file:
        file.seek(0, io.SEEK_END)
        file.write(buffer.getvalue())
