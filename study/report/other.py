"""Networks that no section shows, such as a user's own grid: curves by noise and epoch, a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from models.config import AS_WRITTEN, Protocol, items_of
from study.evidence.evidence import Evidence
from study.evidence.plain import SETTINGS, UNCHANGED, plain, usual
from study.report.curves import CLEAN, NOISE, NOISY, few_epochs, nearest, over_seeds, rounded
from study.report.document import Networks, Plot, Table
from study.report.drawing import NOISE_AXIS, draw_lines, name_all
from study.report.style import canvas, looks_of
from study.report.wording import in_order

KEYS = ("model", "protocol", "noise", "beta", "seed")  # by which networks are grouped
MOST_LINES = 10  # in one figure
MOST_KINDS = 30  # of networks in the figures
MOST_EPOCHS = 100  # points of a curve by epoch
_OTHERS = (
    "Networks that no other section shows, named by what sets them apart from the plain one, which "
    "is there for comparison."
)


def other_figures(evidence: Evidence, shown: Iterable[str]) -> list[Plot | Table]:
    """Return curves of the networks that no section shows, by noise factor and epoch, and a table.

    `shown` holds the ids of the networks that the other sections show.
    """
    rows = other_networks(evidence, shown)
    if not len(rows):
        return []
    points = over_seeds(rows, "test_mse", ["series", "noise_factor"], evidence.overlap)
    points = points.set_index("series").loc[rows["series"].unique()].reset_index()
    note = "Noisy test rows, mean over seeds; bars are 95 % intervals."
    plots = [*_plots("other-noise", "noise_factor", "test MSE", note, points)]
    note = f"Mean over seeds at one noise factor, the nearest to {NOISE:g} that each has."
    for metric, split in (("mse", "validation"), ("loss", "train")):
        name = "validation MSE" if metric == "mse" else "training loss"
        data = _by_epoch(evidence, rows, metric, split)
        plots += _plots(f"other-{metric}", "epoch", name, note, data)
    names = {"series": "network", "noise_factor": "noise factor", "mse": "test MSE"}
    table = Table(
        "other-networks",
        "Other networks",
        _OTHERS,
        points.rename(columns={**names, "low": "95 % from", "high": "to"}),
        {"noise factor": "g", **dict.fromkeys(("test MSE", "95 % from", "to"), ".4f")},
        note="MSE on noisy test rows, mean over seeds with its 95 % interval.",
    )
    return [*plots, table]


def all_networks(evidence: Evidence) -> Networks:
    """Return all finished networks, by the settings that the paper varies."""
    rows = evidence.levels
    rows = rows[(rows["status"] == "finished") & np.isfinite(rows["test_mse"].astype(float))]
    pairs = zip(rows["protocol"], rows["changed"], strict=True)
    frame = pd.DataFrame(
        {
            "model": rows["model"],
            "protocol": [str(Protocol(name, items_of(changed))) for name, changed in pairs],
            "noise": rounded(rows["noise_factor"]),
            "beta": rows["beta"],
            "seed": rows["seed"],
            f"MSE, {NOISY}": rows["test_mse"],
            f"MSE, {CLEAN}": rows["train_clean_mse"],
        }
    )
    return Networks(
        "networks",
        "Filter and group",
        "Means over the networks that are chosen, grouped by what is ticked.",
        frame,
        KEYS,
    )


def other_networks(evidence: Evidence, shown: Iterable[str]) -> pd.DataFrame:
    """Return the rows of Evidence.levels that no section shows, with the kind in `series`.

    Plain networks of the same models and noise factors are included for comparison. Networks that
    did not finish are listed under Provenance, and mixtures of Wiener filters are shown with the
    references.
    """
    rows = evidence.levels
    expected = pd.DataFrame({name: usual(rows, name) for name in SETTINGS})
    rows = rows[(rows["status"] == "finished") & np.isfinite(rows["test_mse"].astype(float))]
    rows = rows[rows["optimizer"] != ""]
    several = rows["member_id"].duplicated(keep=False)
    places = pd.MultiIndex.from_frame(rows[["model", "noise_factor"]])
    other = ~rows["member_id"].isin(shown)
    rows = rows[other | (plain(rows) & ~several & places.isin(places[other]))]
    both = (table.loc[rows.index].to_dict("records") for table in (rows, expected))
    names = [_kind(*kind) for kind in zip(*both, several[rows.index], strict=True)]
    rows = rows.assign(series=names, noise_factor=rounded(rows["noise_factor"]))
    return in_order(rows, "series", "noise_factor", "seed")


def _kind(row: dict, expected: dict, several: bool) -> str:
    """Name a network by its model, its unusual settings and its epochs."""
    protocol = Protocol(row["protocol"], items_of(row["changed"]))
    written = protocol == Protocol(AS_WRITTEN)
    parts = [row["model"]] if written else [row["model"], str(protocol)]
    for name in SETTINGS if written else ("beta", *UNCHANGED):
        value = row[name]
        if value != expected[name]:
            text = f"{value:g}" if isinstance(value, float) else str(value)
            parts.append(f"{name.replace('_', ' ')} {text}")
    if several:
        parts.append("several noise factors")
    return ", ".join([*parts, f"{row['epochs']} epochs"])


def _by_epoch(evidence: Evidence, rows: pd.DataFrame, metric: str, split: str) -> pd.DataFrame:
    """Return a metric by epoch of each kind of network, at the noise factor nearest to 0.5."""
    middle = rows.groupby("series")["noise_factor"].transform(nearest)
    members = rows[rows["noise_factor"] == middle][["series", "member_id", "seed"]]
    table = pd.concat([run.metrics for run in evidence.runs], ignore_index=True)
    table = table[(table["metric"] == metric) & (table["split"] == split)]
    table = members.merge(table.drop_duplicates(), on="member_id")
    table = table[table["epoch"].isin(few_epochs(table["epoch"], MOST_EPOCHS))]
    means = table.groupby(["series", "epoch"], sort=False)["value"].mean()
    return means.rename("mse").reset_index().assign(bounds="none", low=np.nan, high=np.nan)


def _plots(key: str, x: str, quantity: str, note: str, data: pd.DataFrame) -> Iterator[Plot]:
    """Yield figures with MOST_LINES lines each, up to MOST_KINDS lines in all."""
    names = list(data["series"].drop_duplicates())
    if len(names) > MOST_KINDS:
        note += f" The first {MOST_KINDS} of {len(names)} kinds; the table has all."
    starts = range(0, min(len(names), MOST_KINDS), MOST_LINES)
    for i, start in enumerate(starts, 1):
        count = f" ({i} of {len(starts)})" if len(starts) > 1 else ""
        yield Plot(
            key if i == 1 else f"{key}-{i}",
            f"Other networks: {quantity} against {x.replace('_', ' ')}{count}",
            _OTHERS,
            data[data["series"].isin(names[start : start + MOST_LINES])].reset_index(drop=True),
            partial(draw_others, x=x, ylabel=quantity),
            note=note,
        )


def draw_others(data: pd.DataFrame, x: str, ylabel: str) -> Figure:
    """Draw one line per series against noise factor or epoch."""
    names = list(data["series"].drop_duplicates())
    figure, [[axes]] = canvas(380 + 18 * len(names))
    draw_lines(axes, data, x, looks=looks_of(names))
    axes.set(xlabel="epoch" if x == "epoch" else NOISE_AXIS, ylabel=ylabel)
    name_all(figure, columns=1)
    return figure
