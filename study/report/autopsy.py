"""The autopsy: the published protocol with one item set right at a time."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from models.config import AS_PUBLISHED, items_of
from study.evidence.evidence import Evidence
from study.grids import FRESH_NETWORK
from study.report.curves import networks, over_seeds
from study.report.document import Plot
from study.report.drawing import MSE_AXIS, NOISE_AXIS, multiples, name_all, named_rows
from study.report.style import DARK, PALE, look
from study.report.wording import in_order, listed


def autopsy_figures(evidence: Evidence) -> list[Plot]:
    """Return the curves of the published protocol and its corrections, and how they change."""
    rows = autopsy_rows(evidence)
    rows = rows.loc[rows["changed"].map(items_of).map(len) < 2]
    points = over_seeds(rows, "train_clean_mse", ["model", "series", "noise_factor"])
    if not len(points):
        return []
    lines = Plot(
        "autopsy",
        "Autopsy: the published protocol with one item set right at a time",
        "MSE on clean training rows (what the paper's scripts measured) against noise factor; the "
        "axis does not start at 0. The black line is the published protocol; each other line "
        "differs from it in one item only. A line that no longer falls names the item that made "
        "MSE fall with noise. Bars are 95 % intervals over seeds "
        f"({listed(points['seeds'])} seeds).",
        _by_item(points, "noise_factor"),
        draw_autopsy,
    )
    change = autopsy_change(rows)
    return [lines, _change(change)] if len(change) else [lines]


def autopsy_rows(evidence: Evidence) -> pd.DataFrame:
    """Return networks of the published protocol and its corrections, the item in `series`.

    Models without a correction are left out.
    """
    rows = networks(evidence)
    rows = rows[rows["protocol"] == AS_PUBLISHED]
    corrected = rows.loc[rows["changed"] != "", "model"].unique()
    rows = rows[rows["model"].isin(corrected)]
    return rows.assign(series=rows["changed"].where(rows["changed"] != "", AS_PUBLISHED))


def autopsy_change(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the change of the MSE from the least noise factor to the most, paired by seed.

    Below 0: more noise, less error. Columns model, from_noise, to_noise, series, change, ...
    """
    noise = rows.groupby("model")["noise_factor"]
    rows = rows.assign(from_noise=noise.transform("min"), to_noise=noise.transform("max"))
    rows = rows[rows["from_noise"] < rows["to_noise"]]
    ends = ["model", "from_noise", "to_noise"]
    first, last = (
        rows[rows["noise_factor"] == rows[end]]
        .groupby([*ends, "series", "seed"])["train_clean_mse"]
        .mean()
        for end in ("from_noise", "to_noise")
    )
    change = (last - first).dropna().rename("change").reset_index()
    points = over_seeds(change, "change", [*ends, "series"])
    return _by_item(points.rename(columns={"mse": "change"}))


def _by_item(points: pd.DataFrame, *then: str) -> pd.DataFrame:
    """Sort by model; as-published, then the fresh networks, then the other items by name."""
    rank = points["series"].map({AS_PUBLISHED: 0, FRESH_NETWORK: 1}).fillna(2)
    points = in_order(points.assign(_item=rank), "_item", "series", *then)
    return points.drop(columns="_item").assign(method=points["series"])


def draw_autopsy(data: pd.DataFrame) -> Figure:
    """Draw a panel per model: MSE on clean training rows against noise, one line per item."""
    figure, [axes, *_] = multiples(data, "noise_factor", "mse", (NOISE_AXIS, MSE_AXIS))
    axes.set_ylim(0.95 * data["mse"].min(), 1.03 * data["mse"].max())  # of all; long bars are cut
    return figure


def _change(data: pd.DataFrame) -> Plot:
    pairs = data[["from_noise", "to_noise"]].drop_duplicates().to_numpy()
    ends = ", ".join(f"{first:g} to {last:g}" for first, last in pairs)
    return Plot(
        "autopsy-change",
        "Autopsy: which item makes error fall as noise grows",
        f"Change of MSE on clean training rows from noise factor {ends}, paired by seed, with 95 % "
        f"intervals ({listed(data['seeds'])} seeds). Left of 0 is the paper's claim, more noise "
        "and less error; at 0 or right of it the item that was set right has made the claim "
        "vanish.",
        data,
        draw_change,
    )


def draw_change(data: pd.DataFrame) -> Figure:
    """Draw a row per item, a mark per model: how MSE changes from the least noise to the most."""
    items = list(data["series"].drop_duplicates())
    models = list(data["model"].drop_duplicates())
    figure, axes = named_rows(items, range(len(items)), 15 * len(models) + 8)
    for edge in range(1, len(items)):
        axes.axhline(edge - 0.5, color=PALE, linewidth=0.8)
    for i, model in enumerate(models):
        rows = data[data["model"] == model]
        place = rows["series"].map(items.index) + (i - (len(models) - 1) / 2) * 0.64 / len(models)
        style = look(model, linestyle="", markeredgecolor="white", markeredgewidth=0.6)
        axes.hlines(place, rows["low"], rows["high"], color=style["color"], linewidth=3, alpha=0.4)
        axes.plot(rows["change"], place, label=model, **style)
    axes.axvline(0, color=DARK, linewidth=1.2, zorder=1)
    axes.locator_params(axis="x", nbins=6)
    xlabel = "← more noise, less error      change of MSE      more noise, more error →"
    axes.set_xlabel(xlabel, loc="right", fontsize=9.5)
    name_all(figure, columns=5)
    return figure
