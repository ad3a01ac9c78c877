"""The autopsy: the published protocol with items corrected, one by one and in every combination.

The dense models are a two-level factorial over FACTORS and the measure: every combination of items
is trained, and every network is measured on clean training rows and on noisy test rows. So the
effect of an item is a mean over all settings of the others, with an interval and a verdict.
study/paper/steps.py judges which items make a claim.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from models.config import AS_PUBLISHED, items_of
from study.evidence.evidence import Evidence
from study.grids import FRESH_NETWORK, LONG
from study.paper.claims import Judgement
from study.paper.steps import ITEMS
from study.report.curves import networks, over_seeds
from study.report.document import Plot, Table
from study.report.drawing import MSE_AXIS, NOISE_AXIS, multiples, name_all, named_rows
from study.report.style import BLUE, DARK, GREY, PALE, PINK, RED, look
from study.report.wording import in_order, listed, span

#: The paper's results that are examined, and the meaning of 1 % of each.
RESULTS = {
    "C1": "growth of MSE with depth, per step from 2 to 4, 6 and 8 layers",
    "C2": "the same, mean over noise factors",
    "C3": "fall of MSE from the least noise factor to the most, mean over depths",
}
PUBLISHED, RIGHT = "as published", "all items put right"


def autopsy_figures(evidence: Evidence, judgements: Sequence[Judgement]) -> list[Plot | Table]:
    """Return the factorial's effects, the curves with one item corrected, and their change."""
    rows = autopsy_rows(evidence)
    rows = rows.loc[rows["changed"].map(items_of).map(len) < 2]
    points = over_seeds(
        rows, "train_clean_mse", ["model", "series", "noise_factor"], evidence.overlap
    )
    if not len(points):
        return []
    lines = Plot(
        "autopsy",
        "Autopsy: the published protocol with one item set right at a time",
        "MSE on clean training rows (what the paper's scripts measured) against noise "
        "factor: the black line is the published protocol, and each other line differs from "
        "it in one item only.",
        _by_item(points, "noise_factor"),
        draw_autopsy,
        note=(
            "The axis does not start at 0. Whether an item makes a claim is tested above and "
            f"under the claims. Bars are 95 % intervals over seeds ({listed(points['seeds'])} "
            "seeds)."
        ),
    )
    change = autopsy_change(rows, evidence.overlap)
    found = [lines, _change(change)] if len(change) else [lines]
    return [*_factorial(judgements), *found]


def autopsy_rows(evidence: Evidence) -> pd.DataFrame:
    """Return networks of the published protocol and its corrections, with the items in `series`.

    Models without a correction are left out.
    """
    rows = networks(evidence)
    rows = rows[(rows["protocol"] == AS_PUBLISHED) & (rows["changed"] != LONG)]
    corrected = rows.loc[rows["changed"] != "", "model"].unique()
    rows = rows[rows["model"].isin(corrected)]
    return rows.assign(series=rows["changed"].where(rows["changed"] != "", AS_PUBLISHED))


# The factorial.


def _factorial(judgements: Sequence[Judgement]) -> list[Plot | Table]:
    """Return the effects that the claims were judged by: a figure of items, a table of all."""
    held = {its.claim.id: (its, its.factorial) for its in judgements if its.factorial is not None}
    if not held:
        return []
    rows = []
    for result, (judgement, factorial) in held.items():
        effects = {PUBLISHED: judgement.steps[0].published, RIGHT: factorial.right}
        effects |= {" x ".join(items): its for items, its in factorial.effects.items()}
        rows += [
            {
                "result": result,
                "items": name,
                "effect": its.effect,
                "low": its.low,
                "high": its.high,
                "level": its.level,
                "outcome": its.outcome,
                "seeds": its.n,
            }
            for name, its in effects.items()
        ]
    data = pd.DataFrame(rows)
    main = data[data["items"].isin([PUBLISHED, *ITEMS, RIGHT])].reset_index(drop=True)
    sentences = " ".join(f"{result}: {its.artefact}." for result, (its, _) in held.items())
    about = "; ".join(f"{result}: {RESULTS[result]}" for result in held)
    plot = Plot(
        "autopsy-effects",
        "Autopsy: what each item of the scripts does to the paper's results",
        "Main effects of a factorial of the scripts' items, in percent of MSE, with the "
        "intervals that decide.",
        main,
        draw_effects,
        note=(
            f"{len(ITEMS)} items ({about}). Left of 0 an item takes away from the result. "
            f"{sentences}"
        ),
    )
    frame = pd.DataFrame(
        {
            "result": data["result"],
            "item, or two together": data["items"],
            "effect, %": data["effect"],
            "interval": [span(*ends, 2) for ends in zip(data["low"], data["high"], strict=True)],
            "its level": data["level"],
            "verdict": data["outcome"],
            "seeds": data["seeds"],
        }
    )
    table = Table(
        "autopsy-factorial",
        "Autopsy: all effects and interactions",
        "Each item's effect, a mean over all settings of the others, and the interactions "
        "of two: by how much more the one does if the other is put right as well.",
        frame,
        {"effect, %": "+.2f", "its level": ".3g"},
        note="“Reversed” takes away from the result. Holm's levels within a result.",
    )
    return [plot, table]


def draw_effects(data: pd.DataFrame) -> Figure:
    """Draw one row per item, with a mark and its interval for each result."""
    items = [name for name in (PUBLISHED, *ITEMS, RIGHT) if name in set(data["items"])]
    results = list(data["result"].drop_duplicates())
    figure, axes = named_rows(items, range(len(items)), 34)
    looks = {"C1": (BLUE, "o"), "C2": (PINK, "^"), "C3": (RED, "s")}
    for i, result in enumerate(results):
        rows = data[data["result"] == result]
        colour, marker = looks.get(result, (GREY, "D"))
        place = rows["items"].map(items.index) + (i - (len(results) - 1) / 2) * 0.36
        axes.hlines(place, rows["low"], rows["high"], color=colour, linewidth=4, alpha=0.4)
        name = f"{result}: {RESULTS.get(result, '')}"
        axes.plot(rows["effect"], place, marker, color=colour, label=name)
    for edge in (0.5, len(items) - 1.5):
        axes.axhline(edge, color=PALE, linewidth=0.8)
    axes.axvline(0, color=DARK, linewidth=1.2, zorder=1)
    axes.set_xlabel("← takes away      change of the result, %      adds →")
    name_all(figure, columns=1)
    return figure


# One item at a time.


def autopsy_change(rows: pd.DataFrame, overlap: float) -> pd.DataFrame:
    """Return the change of the MSE from the least noise factor to the most, paired by seed.

    Below 0 the error falls as noise grows. Columns model, from_noise, to_noise, series, change, ...
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
    points = over_seeds(change, "change", [*ends, "series"], overlap)
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
        "Change of MSE on clean training rows from the least noise factor to the most, "
        "paired by seed: left of 0 is the paper's claim, more noise and less error.",
        data,
        draw_change,
        note=(
            f"From noise factor {ends}, with 95 % intervals ({listed(data['seeds'])} seeds). "
            "Whether an item makes a claim is tested under C3 and C4."
        ),
    )


def draw_change(data: pd.DataFrame) -> Figure:
    """Draw the change of MSE from the least noise to the most, one row per item, by model."""
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
