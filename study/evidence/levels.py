"""The members table by noise level: a network that was carried through several levels has a row for each."""

from __future__ import annotations

import pandas as pd

MEASURED = {"test": "test_mse", "train-clean": "train_clean_mse"}


def across_levels(members: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """One row for each member x noise factor that it was tested at, whatever it was trained on.

    The columns are those of `members`, with `tested_at` and test_mse at that noise factor; noise_factor stays the
    one that it was trained at (NaN for several). Members carried along through levels have no rows.
    """
    test = metrics[(metrics["metric"] == "mse") & (metrics["split"] == "test-across")]
    test = test[["member_id", "noise_factor", "value"]]
    test = test.rename(columns={"noise_factor": "tested_at", "value": "test_mse"})
    return members.drop(columns="test_mse").merge(test, on="member_id")


def by_level(members: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """One row for each member x noise factor that it was tested at after training on it.

    The columns are those of `members`; noise_factor, test_mse and train_clean_mse (the MSE on clean training
    rows at that moment, which is what the paper's scripts measured) are the level's. A member without
    measurements (a failed one) keeps its row.
    """
    mse = metrics[(metrics["metric"] == "mse") & metrics["split"].isin(MEASURED)]
    test = mse[mse["split"] == "test"].rename(columns={"value": "test_mse"})
    clean = mse[mse["split"] == "train-clean"].rename(columns={"value": "train_clean_mse"})
    levels = test[["member_id", "epoch", "noise_factor", "test_mse"]].merge(
        clean[["member_id", "epoch", "train_clean_mse"]], on=["member_id", "epoch"], how="left"
    )
    replaced = ["noise_factor", "test_mse", "train_clean_mse"]
    measured = members["member_id"].isin(levels["member_id"])
    rows = (
        members[measured].drop(columns=replaced).merge(levels.drop(columns="epoch"), on="member_id")
    )
    parts = [part for part in (rows, members[~measured]) if len(part)]
    return pd.concat(parts, ignore_index=True)[list(members.columns)] if parts else members
