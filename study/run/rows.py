"""The rows of the tables: what is known of a member, and what its pack measured."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from models.architecture import n_parameters

if TYPE_CHECKING:
    from models.config import MemberConfig

FINISHED, DIVERGED, FAILED = "finished", "diverged", "failed"

# fmt: off
MEMBER_COLUMNS = [
    "member_id", "grid", "protocol", "model", "noise_factor", "beta", "rho", "seed", "status", "epochs",
    "train_mse", "val_mse", "test_mse", "seconds", "n_parameters", "error", "best_epoch", "best_val_mse",
    "diverged_epoch", "mean_activation", "sparsity", "learning_rate", "batch_size", "optimizer", "output",
    "noise_schedule", "code_layers", "code_activation", "initialisation", "loss", "scaling", "layout",
    "train_clean_mse", "gene_order", "train_fraction", "noise_input", "dead_units",
    "changed", "carried", "mixed",
]
# fmt: on
METRIC_COLUMNS = ["member_id", "epoch", "split", "metric", "noise_factor", "value"]


def describe(member: MemberConfig) -> dict:
    """The columns of the members table that are known before training."""
    known = {
        **member.as_dict(),
        "member_id": member.member_id,
        "protocol": member.protocol.name,
        "changed": member.protocol.changed,
        "noise_factor": member.noise_factor,
        "carried": member.carried,
        "mixed": member.mixed,
        "noise_schedule": member.noise_label,  # for display only
        "error": "",
    }
    if member.is_mixture:  # which is fitted without one
        known["optimizer"] = ""
    return {name: known[name] for name in MEMBER_COLUMNS if name in known}


def member_rows(training) -> pd.DataFrame:
    """The members table of one pack (a finished `Training`)."""
    last: dict[str, list] = {}
    validation: list[list[float]] = []
    for record in training.records:
        if record.metric == "mse" and record.epoch == training.epoch:
            last.setdefault(record.split, []).append(record.values)
        if (record.split, record.metric) == ("validation", "mse") and len(
            validation
        ) < record.epoch:
            validation.append(record.values)  # the first of an epoch is over the whole phase
        if record.metric == "mean_activation":
            activation = record.values
        if record.metric == "dead_units":
            dead = record.values
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
                "test_mse": mse.get("test", math.nan),  # a search leaves the test rows alone
                "train_clean_mse": mse["train-clean"],
                "seconds": training.seconds / len(training.members),
                "n_parameters": n_parameters(member.architecture, training.n_genes),
                "best_epoch": None if best is None else best + 1,
                "best_val_mse": math.nan if best is None else curve[best],
                "diverged_epoch": diverged,
                "mean_activation": activation[k],
                "dead_units": dead[k],
            }
        )
    return typed(pd.DataFrame(rows, columns=MEMBER_COLUMNS))


def metric_rows(training) -> pd.DataFrame:
    """The metrics table of one pack: one row per member x epoch x split x metric (x noise factor)."""
    n_members = len(training.members)
    columns = {
        name: np.repeat([getattr(r, name) for r in training.records], n_members)
        for name in METRIC_COLUMNS[1:4]
    }
    columns["member_id"] = [member.member_id for member in training.members] * len(training.records)
    columns["noise_factor"] = np.concatenate([r.noise_factors for r in training.records])
    columns["value"] = np.concatenate([r.values for r in training.records])
    return pd.DataFrame(columns, columns=METRIC_COLUMNS)


def typed(members: pd.DataFrame) -> pd.DataFrame:
    """Columns with gaps keep one type in every part, so that parts can be joined."""
    return members.astype(
        {"best_epoch": "Int64", "diverged_epoch": "Int64", "n_parameters": "Int64"}
    ).astype(
        dict.fromkeys(
            (
                "train_mse",
                "val_mse",
                "test_mse",
                "best_val_mse",
                "mean_activation",
                "seconds",
                "train_clean_mse",
                "dead_units",
            ),
            float,
        )
    )
