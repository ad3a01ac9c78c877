"""The tables of a run: columns and types, and the rows of a pack's members and measurements."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from models.architecture import n_parameters
from models.config import MemberConfig

if TYPE_CHECKING:  # models.training loads torch, which the driver does not need
    from data_utils.preparation import Replicates
    from models.training import Training

FINISHED, DIVERGED, FAILED = "finished", "diverged", "failed"

MEMBER_COLUMNS = [
    *("member_id", "grid", "protocol", "model", "noise_factor", "beta", "rho", "seed"),
    *("status", "epochs", "train_mse", "val_mse", "test_mse", "seconds", "n_parameters", "error"),
    *("best_epoch", "best_val_mse", "diverged_epoch", "mean_activation", "sparsity"),
    *("learning_rate", "batch_size", "optimizer", "output", "noise_schedule", "code_layers"),
    *("code_activation", "initialisation", "loss", "scaling", "layout", "train_clean_mse"),
    *("gene_order", "train_fraction", "noise_input", "dead_units", "changed", "carried", "mixed"),
    *("noise_draws", "rate_schedule"),
]
METRIC_COLUMNS = ["member_id", "epoch", "split", "metric", "noise_factor", "value"]
SAMPLE_COLUMNS = ["member_id", "noise_factor", "sample_id", "squared_error"]
REPLICATE_COLUMNS = ["seed", "split", "samples", "mean_square"]
#: A label of samples, and a column of split.parquet: samples of one tissue are alike.
TISSUE = "tissue"
#: Types of all columns that are not text, for all tables, including parts and empty ones.
TYPES = {
    **dict.fromkeys(("best_epoch", "diverged_epoch", "n_parameters", "code_size"), "Int64"),
    **dict.fromkeys(("seed", "epochs", "batch_size", "code_layers", "epoch", "samples"), "int64"),
    **dict.fromkeys(("carried", "mixed", "noise_input"), "bool"),
    **dict.fromkeys(("noise_factor", "beta", "rho", "learning_rate", "train_fraction"), "float64"),
    **dict.fromkeys(("train_mse", "val_mse", "test_mse", "train_clean_mse"), "float64"),
    **dict.fromkeys(("best_val_mse", "mean_activation", "dead_units", "seconds"), "float64"),
    **dict.fromkeys(("value", "mse", "mean_square"), "float64"),
    "squared_error": "float32",
}


def typed_table(rows: list[dict], columns: list[str]) -> pd.DataFrame:
    """Return a table of these rows with the types of TYPES; missing values are empty."""
    types = {name: kind for name, kind in TYPES.items() if name in columns}
    return pd.DataFrame(rows, columns=columns).astype(types)


def describe(member: MemberConfig) -> dict:
    """Return the columns of the members table that are known before training."""
    known = {
        **member.as_dict(),
        "member_id": member.member_id,
        "protocol": member.protocol.name,
        "changed": member.protocol.changes,
        "noise_factor": member.noise_factor,
        "carried": member.carried,
        "mixed": member.mixed,
        "noise_schedule": member.noise_label,  # for display only
        "error": "",
    }
    if member.is_mixture:  # a mixture is fitted without an optimizer
        known["optimizer"] = ""
    return {name: known[name] for name in MEMBER_COLUMNS if name in known}


def member_table(rows: list[dict]) -> pd.DataFrame:
    """Return a members table of these rows; missing values are empty."""
    return typed_table(rows, MEMBER_COLUMNS)


def member_rows(training: Training) -> pd.DataFrame:
    """Return the members table of one trained pack."""
    mse: dict[str, list] = {}  # at the end of training, by split: one or more (K,)
    last = {record.metric: record.values for record in training.records}
    for record in training.records:
        if record.metric == "mse" and record.epoch == training.epoch:
            mse.setdefault(record.split, []).append(record.values)
    curves = np.array(training.curve).T  # (K, epochs)
    rows = []
    for k, (member, curve) in enumerate(zip(training.members, curves, strict=True)):
        diverged = training.diverged_epoch[k]
        finite = np.isfinite(curve)
        best = int(np.argmin(np.where(finite, curve, np.inf))) if finite.any() else None
        own = {split: float(np.mean([v[k] for v in values])) for split, values in mse.items()}
        rows.append(
            {
                **describe(member),
                "status": FINISHED if diverged is None else DIVERGED,
                "epochs": training.epoch if diverged is None else diverged,
                "train_mse": own["train"],
                "val_mse": own["validation"],
                "test_mse": own.get("test", math.nan),  # a search does not use the test rows
                "train_clean_mse": own["train-clean"],
                "seconds": training.seconds / len(training.members),
                "n_parameters": n_parameters(member.architecture, training.n_genes),
                "best_epoch": None if best is None else best + 1,
                "best_val_mse": math.nan if best is None else curve[best],
                "diverged_epoch": diverged,
                "mean_activation": last["mean_activation"][k],
                "dead_units": last["dead_units"][k],
            }
        )
    return member_table(rows)


def metric_rows(training: Training) -> pd.DataFrame:
    """Return a pack's metrics table, one row per member, epoch, split, metric and noise factor."""
    n_members = len(training.members)
    columns = {
        "member_id": [member.member_id for member in training.members] * len(training.records),
        **{
            name: np.repeat([getattr(record, name) for record in training.records], n_members)
            for name in ("epoch", "split", "metric")
        },
        "noise_factor": np.concatenate([record.noise_factors for record in training.records]),
        "value": np.concatenate([record.values for record in training.records]),
    }
    return pd.DataFrame(columns, columns=METRIC_COLUMNS)


def sample_rows(training: Training, data: Replicates) -> pd.DataFrame:
    """Return the squared error of each member on each of its test samples (SAMPLE_COLUMNS).

    The error is a mean over genes, at each noise factor of the member's training. Networks whose
    rows are not samples have no such errors.
    """
    tests = [data.sample_ids[data.split(member.seed).test] for member in training.members]
    parts = []
    for measured in training.sample_errors:
        errors = measured.values.numpy()
        for k, (member, ids) in enumerate(zip(training.members, tests, strict=True)):
            columns = (member.member_id, measured.noise_factors[k], ids, errors[k, : len(ids)])
            parts.append(pd.DataFrame(dict(zip(SAMPLE_COLUMNS, columns, strict=True))))
    return pd.concat(parts, ignore_index=True) if parts else typed_table([], SAMPLE_COLUMNS)
