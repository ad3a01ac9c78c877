"""The Ray Tune trainable: a trial is a pack."""

from __future__ import annotations

from ray import tune

from data_utils.preparation import PreparedData
from models.config import MemberConfig
from study.run.packs import Pack
from study.run.storage import worker_folder


def train_pack(
    config: dict,
    *,
    members: list[MemberConfig],
    data: PreparedData,
    folder: str,
    storage: str | None,
    device: str,
    checkpoint_seconds: float,
) -> None:
    """Train a pack, members `first` to before `last` of `config`, into the run folder, from its checkpoint if any.

    One thread: workers share the cores by processes, and results do not depend on a number of threads.
    Checkpoints are the run folder's own (`Tuner.restore` loses work), so a restarted trial goes on by itself.
    """
    import torch  # here and not above: the driver loads this module, too, and needs no torch

    from study.run.worker import run_pack

    torch.set_num_threads(1)
    pack = Pack(tuple(members[config["first"] : config["last"]]))
    with worker_folder(folder, storage) as run:
        whole = run_pack(
            pack,
            data,
            run,
            device,
            report=tune.report,
            should_stop=run.stop_requested,
            checkpoint_seconds=checkpoint_seconds,
        )
    tune.report({"epoch": pack.members[0].epochs if whole else 0, "ended": whole})
