"""Selecting rows of plain networks: as-written ones with the usual settings of their model."""

from __future__ import annotations

import pandas as pd

from models.config import AS_WRITTEN, PLAIN, usual_settings

#: The settings of a network; `usual` returns those of a plain as-written network.
SETTINGS = ("beta", *PLAIN)
#: The settings that no protocol changes.
UNCHANGED = ("gene_order", "train_fraction", "noise_input")


def usual(rows: pd.DataFrame, name: str) -> pd.Series:
    """Return the usual value of a setting for each row's model.

    The usual noise draws are those of all as-written networks if they agree, else the paper's.
    """
    if name == "beta":
        return pd.Series(0.0, rows.index)
    if name == "noise_draws":
        draws = rows.loc[rows["protocol"] == AS_WRITTEN, name].unique()
        return pd.Series(draws[0] if len(draws) == 1 else PLAIN[name], rows.index)
    return rows["model"].map({its: usual_settings(its)[name] for its in rows["model"].unique()})


def unchanged(rows: pd.DataFrame) -> pd.Series:
    """Return which rows have the usual values of the settings that no protocol changes."""
    return (rows[[*UNCHANGED]] == pd.Series(PLAIN)[[*UNCHANGED]]).all(axis=1)


def plain(rows: pd.DataFrame, *free: str) -> pd.Series:
    """Return which rows are of plain, finished as-written networks; `free` settings may vary."""
    keep = (rows["protocol"] == AS_WRITTEN) & (rows["changed"] == "")
    keep &= rows["status"] == "finished"
    for name in set(SETTINGS) - set(free) if keep.any() else ():
        keep &= rows[name] == usual(rows, name)
    return keep
