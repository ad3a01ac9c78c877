"""TensorBoard event files, one run per member, written directly and without delay.

`tensorboard --logdir runs/paper/tensorboard` then shows the curves and fills the HParams tab.

Ray's logger is not used because it writes to the trial's working directory (on other hosts not the
run folder), about 10 s late, and logs a pack as one run. `torch.utils.tensorboard` is not used
because it keeps a thread and an open file for each writer, and a pack has dozens of members. Here
an append is one write of complete records and leaves no file open.

    log = MemberLog(logdir, "dense-4/noise-0.5/beta-0.01/seed-0", {"model": "dense-4", "seed": 0})
    log.scalars([(1, "loss/train", 0.9, time.time())])
    log.close("finished")

A resumed member makes a new `MemberLog` and writes its whole history again: the files of the
earlier attempt are removed first, so the curves are those of an unbroken run.
"""

import io
import time
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2, summary_v2
from tensorboard.summary.writer.record_writer import RecordWriter

from models.config import MemberConfig
from study.run.rows import DIVERGED, FINISHED

HParamValue = str | float | int | bool
Row = tuple[int, str, float, float]  # epoch, tag, value, wall time in seconds since 1970

#: The tag of each measurement, by its split and metric.
TAGS = {
    ("train", "loss"): "loss/train",
    ("validation", "mse"): "mse/validation",
    ("test", "mse"): "mse/test",
    ("validation", "mean_activation"): "code/mean_activation",
}
HPARAMS = ("model", "noise_factor", "beta", "rho", "seed", "learning_rate")

#: How a session ended, in TensorBoard's terms; the reason is in members.parquet.
STATUS = {FINISHED: api_pb2.STATUS_SUCCESS, DIVERGED: api_pb2.STATUS_FAILURE}

PREFIX = "events.out.tfevents."  # TensorBoard recognizes an event file by "tfevents" in its name


def hparams(member: MemberConfig) -> dict[str, HParamValue]:
    """Return a member's values for the HParams tab."""
    return {name: getattr(member, name) for name in HPARAMS}


class MemberLog:
    """The TensorBoard run of one member: its curves, its hyperparameters and its end."""

    def __init__(self, logdir: Path, run_name: str, hparams: dict[str, HParamValue]):
        """Remove an earlier attempt's event files, and begin a new one with the session's start.

        A NaN (the noise factor of mixed noise) is left out: an empty cell in HParams.
        """
        folder = logdir
        for name in ("", *run_name.split("/")):
            folder /= name
            folder.mkdir(exist_ok=True)  # without parents, to fail if the run folder is gone
        for old in folder.glob(f"{PREFIX}*"):
            old.unlink()
        # A new name each time, later in the alphabet: an open TensorBoard continues with the next
        # name, but would keep reading the removed file of an old one. Nanoseconds make it unique.
        self.path = folder / f"{PREFIX}{time.time_ns() / 1e9:.6f}"
        self.path.touch()
        # With the run's name as trial id each member is one row of HParams with a readable name.
        start = summary_v2.hparams_pb(
            {name: value for name, value in hparams.items() if value == value},
            trial_id=run_name,
            start_time_secs=time.time(),
        )
        self._append(
            event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2"),
            event_pb2.Event(wall_time=time.time(), summary=start),
        )

    def scalars(self, rows: Iterable[Row]) -> None:
        """Append values. NaN and inf are written as they are: TensorBoard marks them."""
        # Neighbours of one epoch and time share an event, which saves two thirds of the time.
        events = []
        for (epoch, wall_time), group in groupby(rows, key=lambda row: (row[0], row[3])):
            values = [
                summary_pb2.Summary.Value(tag=tag, simple_value=value) for _, tag, value, _ in group
            ]
            summary = summary_pb2.Summary(value=values)
            events.append(event_pb2.Event(wall_time=wall_time, step=epoch, summary=summary))
        if events:
            self._append(*events)

    def close(self, status: str = FINISHED) -> None:
        """Write the session's end; the scalars are in the file already."""
        end = plugin_data_pb2.SessionEndInfo(status=STATUS[status], end_time_secs=time.time())
        content = plugin_data_pb2.HParamsPluginData(session_end_info=end)
        # This is the message of tensorboard's session_end_pb, which would import tensorflow.
        value = summary_pb2.Summary.Value(
            tag=metadata.SESSION_END_INFO_TAG,
            metadata=metadata.create_summary_metadata(content),
            tensor=metadata.NULL_TENSOR,
        )
        summary = summary_pb2.Summary(value=[value])
        self._append(event_pb2.Event(wall_time=time.time(), summary=summary))

    def _append(self, *events: event_pb2.Event) -> None:
        """Append records in one write and close, so that a killed process leaves whole records.

        "r+b", not "ab": if the run folder was moved or removed, an append fails rather than making
        a file without a header.
        """
        buffer = io.BytesIO()
        records = RecordWriter(buffer)
        for event in events:
            records.write(event.SerializeToString())
        with open(self.path, "r+b") as file:
            file.seek(0, io.SEEK_END)
            file.write(buffer.getvalue())
