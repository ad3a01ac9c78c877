"""Members of one kind averaged over seeds, for summary.md."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

KEYS = ["protocol", "changed", "model", "setting", "rho", "noise_factor", "beta"]
#: What else members of a run may differ in, in whatever grid: these are never averaged together.
SETTINGS = (
    *("sparsity", "learning_rate", "batch_size", "optimizer", "output", "epochs"),
    *("gene_order", "train_fraction", "noise_input"),
)


def summarise(members: pd.DataFrame) -> pd.DataFrame:
    """Test MSE over seeds: one row for each of KEYS.

    mean, std (n - 1; NaN for one seed) and n count finished members with a finite test MSE; diverged and
    failed count the others; identity is the expected MSE of the noisy input itself, noise_factor^2.
    """
    frame = members.assign(setting=settings(members)).reindex(columns=[*KEYS, "status", "test_mse"])
    # Rounded: 0.1 * 3 is the noise factor 0.3, not another.
    numbers = {
        name: pd.to_numeric(frame[name]).round(9) for name in ("rho", "noise_factor", "beta")
    }
    mse = pd.to_numeric(frame["test_mse"])
    usable = (frame["status"] == "finished") & np.isfinite(mse)
    frame = frame.assign(
        **numbers,
        mse=mse.where(usable),
        diverged=(frame["status"] == "diverged").astype(int),
        failed=(frame["status"] == "failed").astype(int),
    )
    # dropna=False: a member without a beta or rho is a group of its own, not lost.
    table = frame.groupby(KEYS, dropna=False, as_index=False).agg(
        mean=("mse", "mean"),
        std=("mse", "std"),
        n=("mse", "count"),
        diverged=("diverged", "sum"),
        failed=("failed", "sum"),
    )
    table["identity"] = table["noise_factor"] ** 2
    order = table["model"].map(_model_order)
    return (
        table.assign(_order=order)
        .sort_values(["protocol", "changed", "_order", "setting", "noise_factor", "beta", "rho"])
        .drop(columns="_order")
        .reset_index(drop=True)
    )


def settings(members: pd.DataFrame) -> pd.Series:
    """What tells members of one protocol and model apart beside noise and penalty, in words; "" where nothing does."""
    text = pd.Series("", index=members.index)
    if "mixed" in members:
        text[members["mixed"].astype(bool)] = "mixed noise"
    kinds = (
        members.reindex(columns=["protocol", "changed", "model"]).astype(str).agg(" ".join, axis=1)
    )
    for name in SETTINGS:
        if name not in members:
            continue
        varies = members[name].astype(str).groupby(kinds).transform("nunique") > 1
        words = members.loc[varies, name].map(lambda value, name=name: f"{name} {_short(value)}")
        text[varies] = [
            f"{before}, {word}" if before else word
            for before, word in zip(text[varies], words, strict=True)
        ]
    return text


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _model_order(model: str) -> tuple[int, int, str]:
    """dense-2 before dense-10, and dense before the rest."""
    found = re.fullmatch(r"dense-(\d+)", str(model))
    return (0, int(found[1]), "") if found else (1, 0, str(model))
