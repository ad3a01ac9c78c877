"""Learning curves: MSE by epoch on the training and the validation rows, of every paper model."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from models.config import AS_PUBLISHED, AS_WRITTEN
from study.evidence.evidence import Evidence
from study.grids import LONG
from study.report.curves import few_epochs, nearest, networks, over_seeds
from study.report.document import Plot, Table, Words
from study.report.drawing import MSE_AXIS, multiples
from study.report.wording import in_order, joined, listed

MOST_EPOCHS = 60  # points of a curve
#: The last share of the epochs, over which the change of a curve shows whether it has levelled off.
TAIL = 0.1
#: A change of validation MSE, as a share, that is of no interest.
SMALL = 0.01
MOST_MODELS = 12  # with learning curves
#: Series of the figure by split and metric of metrics.parquet.
SERIES = {("train", "loss"): "train", ("validation", "mse"): "validation"}
CONVERGED, FALLING, RISING, UNKNOWN = "converged", "still falling", "rising", "too few epochs"
STATES = {
    CONVERGED: "Converged, with validation MSE that changed by 1 % or less over the last tenth",
    FALLING: "Not converged, with validation MSE that still fell over the last tenth",
    RISING: "Past their best, with validation MSE that rose over the last tenth",
    UNKNOWN: "Trained for too few epochs to tell",
}
CHOSEN = (
    "The number of epochs of each model as written was chosen on the simulated cohort: twice as "
    "many change validation MSE at noise factor 0.5 by at most 1 % (conv: 2 %)."
)


def learning_exhibits(evidence: Evidence) -> list[Plot | Table]:
    """Return the learning curves of both protocols, and a table of their ends."""
    curves = learning_curves(evidence)
    found: list[Plot | Table] = []
    for protocol in (AS_WRITTEN, AS_PUBLISHED):
        rows = curves[curves["protocol"] == protocol]
        if len(rows):
            found.append(_plot(protocol, rows, evidence.overlap))
    ends = convergence(curves)
    return [*found, _table(ends)] if len(ends) else found


@lru_cache(1)
def learning_curves(evidence: Evidence) -> pd.DataFrame:
    """Return MSE by epoch of plain networks and of the scripts', without a sparsity term.

    One row per network, series and epoch, with the columns member_id, protocol, model, long (the
    script of 50 epochs), noise_factor, seed, series ("train" or "validation"), epoch, mse, and
    level (the noise factor of that epoch). As-written networks are those at the noise factor
    nearest to 0.5. The training MSE of an epoch is the mean over its batches, while the weights
    change; a loss that is not an MSE is left out.
    """
    rows = networks(evidence)
    rows = rows[(rows["beta"] == 0) & (rows["sparsity"] == "kl") & (rows["optimizer"] != "")]
    rows = rows[rows["changed"].isin(["", LONG])]
    rows = rows[rows["model"].isin(in_order(rows)["model"].unique()[:MOST_MODELS])]
    written = rows["protocol"] == AS_WRITTEN
    middle = nearest(rows.loc[written, "noise_factor"])
    rows = rows[~written | (rows["noise_factor"] == middle)]
    rows = rows.drop_duplicates("member_id").assign(long=rows["changed"] == LONG)
    rows = rows[["member_id", "protocol", "model", "long", "noise_factor", "seed", "loss"]]
    tables = [run.metrics for run in evidence.runs]
    metrics = pd.concat([t[t["member_id"].isin(rows["member_id"])] for t in tables])
    kind = list(zip(metrics["split"], metrics["metric"], strict=True))
    metrics = metrics.assign(series=[SERIES.get(its) for its in kind]).dropna(subset=["series"])
    metrics = metrics.drop_duplicates(["member_id", "series", "epoch"])
    metrics = metrics.rename(columns={"noise_factor": "level"})
    found = rows.merge(metrics[["member_id", "series", "epoch", "value", "level"]], on="member_id")
    found = found[(found["series"] == "validation") | (found["loss"] == "mse")]
    return found.rename(columns={"value": "mse"}).drop(columns="loss")


def convergence(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the ends of the curves: one row per protocol and model, means over seeds.

    Columns protocol, model, long, noise_factor, epochs, train, validation (MSE after the last
    epoch), tail (the change of validation MSE over the last TAIL of the epochs, as a share), best
    (the epoch of the least validation MSE), rise (the share by which it ends above that), and
    seeds. For a carried network tail, best and rise are of its last noise factor.
    """
    rows = []
    keys = ["protocol", "model", "long"]
    for key, group in curves.groupby(keys, sort=False):
        measured = group[group["series"] == "validation"]
        last = measured.loc[measured["epoch"] == measured["epoch"].max(), "level"]
        of_last = (group["series"] != "validation") | group["level"].isin(last)
        means = group[of_last].groupby(["series", "epoch"])["mse"].mean()
        validation = means.get("validation", pd.Series(dtype=float))
        if len(validation) < 2:
            continue
        epochs = int(validation.index.max())
        length = epochs - int(validation.index.min()) + 1
        before = validation[validation.index <= epochs - max(1, round(TAIL * length))]
        train = means.get("train", pd.Series(dtype=float))
        tail = validation.iloc[-1] / before.iloc[-1] - 1 if len(before) else np.nan
        rows.append(
            {
                **dict(zip(keys, key, strict=True)),
                "noise_factor": group["noise_factor"].iloc[0],
                "epochs": epochs,
                "train": train.iloc[-1] if len(train) else np.nan,
                "validation": validation.iloc[-1],
                "tail": tail,
                "best": int(validation.idxmin()),
                "rise": validation.iloc[-1] / validation.min() - 1,
                "seeds": group["seed"].nunique(),
            }
        )
    return pd.DataFrame(rows)


def learning_words(evidence: Evidence) -> tuple[Words, ...]:
    """Return for each protocol which models had converged, and which overfit."""
    ends = convergence(learning_curves(evidence))
    found = []
    for protocol in (AS_WRITTEN, AS_PUBLISHED):
        rows = ends[ends["protocol"] == protocol] if len(ends) else ends
        if len(rows):
            found.append(Words(_how_they_end(in_order(rows)), f"{protocol.capitalize()}:"))
    return tuple(found)


def _how_they_end(ends: pd.DataFrame) -> str:
    names = ends["model"] + np.where(ends["long"], " of 50 epochs", "")
    states = ends.apply(_state, axis=1)
    sentences = []
    for state, meaning in STATES.items():
        of = states == state
        if of.any():
            tails = [
                f"{name} ({tail:+.1%})"
                for name, tail in zip(names[of], ends.loc[of, "tail"], strict=True)
            ]
            sentences.append(f"{meaning}: {joined(tails).replace('%', ' %')}.")
    worse = ends["rise"] > SMALL
    parts = [
        f"{name} ends {rise:.1%} above its least, of epoch {best}".replace("%", " %")
        for name, rise, best in zip(
            names[worse], ends["rise"][worse], ends["best"][worse], strict=True
        )
    ]
    overfits = (
        f"Overfitting: {joined(parts)}"
        if parts
        else "No validation MSE ends more than 1 % above its least"
    )
    shares = (ends["train"] / ends["validation"]).dropna()
    ratios = sorted({f"{share:.0%}".replace("%", " %") for share in (shares.min(), shares.max())})
    train = f"Train MSE ends at {' to '.join(ratios)} of validation MSE." if len(shares) else ""
    return " ".join([*sentences, f"{overfits}.", train]).strip()


def _state(end: pd.Series) -> str:
    """Return one of STATES."""
    if np.isnan(end["tail"]):
        return UNKNOWN
    if abs(end["tail"]) <= SMALL:
        return CONVERGED
    return FALLING if end["tail"] < 0 else RISING


def _plot(protocol: str, rows: pd.DataFrame, overlap: float) -> Plot:
    rows = _thinned(rows)
    rows = rows.assign(series=rows["series"].where(~rows["long"], rows["series"] + ", 50 epochs"))
    points = over_seeds(rows, "mse", ["model", "series", "epoch"], overlap)
    points = in_order(points.assign(method=points["series"], bounds="95 % over seeds"), "series")
    noise = listed(rows["noise_factor"])
    written = protocol == AS_WRITTEN
    about = (
        f"Noise factor {noise}. {CHOSEN}"
        if written
        else "The networks are carried through the noise factors in turn: each step is a new one."
    )
    return Plot(
        f"learning-{protocol}",
        f"Learning curves, {protocol}",
        "MSE by epoch on the noisy training set and on noisy validation rows.",
        points,
        draw_learning,
        note=f"{about} Bands are 95 % intervals over seeds ({listed(points['seeds'])} seeds).",
    )


def _thinned(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep about MOST_EPOCHS epochs of each model, including the first and the last."""
    kept = []
    for _, group in rows.groupby(["model", "long"], sort=False):
        kept.append(group[group["epoch"].isin(few_epochs(group["epoch"], MOST_EPOCHS))])
    return pd.concat(kept, ignore_index=True)


def draw_learning(data: pd.DataFrame) -> Figure:
    """Draw a panel per model: MSE against epoch, training and validation rows."""
    figure, panels = multiples(data, "epoch", "mse", ("epoch", MSE_AXIS))
    panels[0].set_ylim(0.95 * data["mse"].min(), min(1.2, 1.05 * data["mse"].max()))
    for axes in panels:
        for line in axes.get_lines():
            line.set_marker("")
    return figure


def _table(ends: pd.DataFrame) -> Table:
    protocol = ends["protocol"] + np.where(ends["long"], ", 50 epochs per level", "")
    frame = pd.DataFrame(
        {
            "model": ends["model"],
            "protocol": protocol,
            "noise factor": ends["noise_factor"],
            "epochs": ends["epochs"],
            "train MSE": ends["train"],
            "validation MSE": ends["validation"],
            "change over the last tenth": ends["tail"],
            "it was": ends.apply(_state, axis=1),
            "least at epoch": ends["best"],
            "ends above it by": ends["rise"],
            "seeds": ends["seeds"],
        }
    )
    numbers = {"train MSE": ".4f", "validation MSE": ".4f", "change over the last tenth": "+.2%"}
    numbers["ends above it by"] = ".1%"
    return Table(
        "learning-table",
        "How the learning curves end",
        "MSE after the last epoch, mean over seeds, and the change of the validation MSE "
        "over the last tenth of the epochs.",
        in_order(frame, "protocol"),
        {**numbers, "noise factor": "g"},
        note=f"{CHOSEN} Where the least lies well before the end, the network overfits.",
    )
