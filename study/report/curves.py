"""The data of the report's figures as tidy frames: one row per point, with bounds and their kind.

Two measures are shown and never mixed. CLEAN is the MSE for clean training rows as input, as in the
paper's scripts (train_clean_mse). NOISY is the MSE for noisy test rows, which shows how well noise
is removed (test_mse); references have only this one. All MSE are those of eq. 11 on z-scored genes,
on which the gene means have an MSE of about 1.

A point has the columns series (its name), method (its look), the quantity of the x axis, mse, low
and high (its bounds), seeds and, if its bounds are not an interval over seeds, `bounds`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import pandas as pd

from data_utils.noise import identity_mse
from models.architecture import architecture
from models.config import (
    AS_PUBLISHED,
    AS_WRITTEN,
    NOISE_FACTORS,
    PAPER_CODE,
    PAPER_MODELS,
    SMALL_CODE,
)
from study.evidence.evidence import Evidence
from study.evidence.plain import plain, unchanged
from study.evidence.stats import interval
from study.grids import LONG
from study.paper.claim import CLEAN, MEASURES, NOISY
from study.paper.published import PublishedValue, published_mse

RERUN = "as-published rerun"
#: dense-2 as in its own script, with 50 epochs per noise level.
LONG_RERUN = "as-published rerun, 50 epochs"
MISSING = "– is not in these runs."
#: Values of `bounds`: an interval is drawn as bars, any other bound as a band.
INTERVAL = "95 % interval over seeds"
VAGUE = "only known to be about 1"
NOISE = 0.5  # the paper's middle noise factor, at which questions about one factor are answered
PREFERRED = "dense-4"  # the paper's network to show if only one is shown


@lru_cache(1)
def networks(evidence: Evidence) -> pd.DataFrame:
    """Return the rows of Evidence.levels that represent a protocol, model and beta.

    These are finished networks, trained on one noise factor at a time and plain except for their
    sparsity term. If networks of a kind differ in epochs, those with the most are kept.
    """
    rows = evidence.levels
    rows = rows[np.isfinite(rows[["noise_factor", "test_mse"]].astype(float)).all(axis=1)]
    written = plain(rows, "beta", "sparsity", "rho") & ~rows["member_id"].duplicated(keep=False)
    others = (rows["protocol"] != AS_WRITTEN) & (rows["status"] == "finished") & unchanged(rows)
    rows = rows[written | others]
    longest = rows.groupby(["protocol", "changed", "model", "beta"])["epochs"].transform("max")
    rows = rows[rows["epochs"] == longest]
    return rows.assign(noise_factor=rounded(rows["noise_factor"]))


def shown_networks(evidence: Evidence) -> frozenset[str]:
    """Return the ids of the networks that the paper's figures and the tables show."""
    rows = networks(evidence)
    of_both = rows["protocol"].isin([AS_WRITTEN, AS_PUBLISHED]) & rows["changed"].isin(["", LONG])
    shown = rows["model"].isin([*PAPER_MODELS, SMALL_CODE])
    rows = rows[shown & of_both & (rows["sparsity"] == "kl")]
    return frozenset(rows["member_id"])


def lost_note(evidence: Evidence, models: Iterable[str] = PAPER_MODELS) -> str:
    """Return how many networks of these models diverged or failed; "" if none did."""
    members = evidence.members[evidence.members["model"].isin(list(models))]
    lost = int((members["status"] != "finished").sum())
    of = f"Left out: {lost:,} of {len(members):,} networks, which diverged or failed."
    return of if lost else ""


def of_protocol(
    evidence: Evidence, protocol: str, model: str | None = None, changed: str = ""
) -> pd.DataFrame:
    """Return the networks of one protocol (and model) that have their model's least beta.

    `changed` are the corrected items, as one text.
    """
    rows = networks(evidence)
    rows = rows[(rows["protocol"] == protocol) & (rows["changed"] == changed)]
    rows = rows if model is None else rows[rows["model"] == model]
    return rows[rows["beta"] == rows.groupby("model")["beta"].transform("min")]


def main_protocol(evidence: Evidence) -> str:
    """Return as-written, or as-published if these runs have networks of that only."""
    held = set(networks(evidence)["protocol"])
    return AS_PUBLISHED if AS_WRITTEN not in held and AS_PUBLISHED in held else AS_WRITTEN


def over_seeds(rows: pd.DataFrame, value: str, by: list[str], overlap: float) -> pd.DataFrame:
    """Average `value` over seeds: columns `by`, mse, low, high (95 % interval), seeds; sorted.

    `overlap` is that of the seeds' splits (Evidence.overlap). One seed has no interval: low and
    high are NaN.
    """
    rows = rows.dropna(subset=[value])
    per_seed = rows.groupby([*by, "seed"], dropna=False)[value].mean().reset_index()
    found = []
    for key, group in per_seed.groupby(by, dropna=False):
        values = group[value].to_numpy(dtype=float)
        found.append((*key, values.mean(), *_bounds(tuple(values), overlap), len(values)))
    return pd.DataFrame(found, columns=[*by, "mse", "low", "high", "seeds"])


@lru_cache(4096)
def _bounds(values: tuple[float, ...], overlap: float) -> tuple[float, float]:
    """Return the interval's ends; cached, since figures and tables share intervals."""
    bounds = interval(values, overlap)
    return bounds.low, bounds.high


def few_epochs(epochs: pd.Series, most: int) -> np.ndarray:
    """Return at most `most` of the epochs, evenly spaced, including the first and the last."""
    found = np.unique(epochs)
    return found[np.linspace(0, len(found) - 1, min(len(found), most)).round().astype(int)]


def rounded(noise: pd.Series) -> pd.Series:
    """Round noise factors so that they can be compared: 0.1 * 3 equals 0.3."""
    return noise.astype(float).round(6)


def nearest(values: Iterable[float], wanted: float = NOISE) -> float:
    """Return the value nearest to `wanted`; NaN if there is none."""
    found = np.unique(np.asarray(list(values), dtype=float).round(6))
    return float(found[np.abs(found - wanted).argmin()]) if len(found) else float("nan")


def at_ends(points: pd.DataFrame, x: str, ends: Iterable[float]) -> pd.DataFrame:
    """Repeat points without an x at both ends of the axis, which makes them a level line."""
    return pd.concat([points.assign(**{x: end}) for end in ends], ignore_index=True)


# Curves: MSE against noise factor.


def network_curve(
    evidence: Evidence, protocol: str, model: str, panel: str, series: str, changed: str = ""
) -> pd.DataFrame:
    """Return MSE against noise factor of one model; no rows if it was not measured."""
    rows = of_protocol(evidence, protocol, model, changed)
    return _curve(
        over_seeds(rows, MEASURES[panel], ["noise_factor"], evidence.overlap), panel, series
    )


def published_curve(model: str) -> pd.DataFrame:
    """Return the paper's curve of a model as MSE, bounded by the precision of reading the plot."""
    found = [published_mse(model, noise) for noise in NOISE_FACTORS]
    values = [value for value in found if value is not None]
    kind = VAGUE if values and values[0].kind == "about" else "reading precision"
    return published_points(values, "published", kind)


@lru_cache(8)
def reference_curves(
    evidence: Evidence, code_sizes: tuple[int, ...] = (), gain: bool = False
) -> pd.DataFrame:
    """Return MSE of the references on noisy test rows: series "identity", "PCA 32", ...

    Identity is alpha^2, known without a measurement; the others appear if these runs measured them.
    `code_sizes` limits PCA to these; `gain` adds PCA with a gain for each component.
    """
    table = evidence.references
    table = table.assign(noise_factor=rounded(table["noise_factor"]))
    measured = np.union1d(table["noise_factor"], networks(evidence)["noise_factor"])
    alphas = np.unique(np.round(np.union1d(NOISE_FACTORS, measured), 6))
    identity = pd.DataFrame({"noise_factor": alphas, "mse": identity_mse(alphas), "seeds": pd.NA})
    identity = identity.assign(low=np.nan, high=np.nan)
    parts = [_curve(identity, NOISY, "identity", "exact: alpha squared")]
    wanted = table["reference"] != "identity"
    if code_sizes:
        wanted &= table["code_size"].isna() | table["code_size"].isin(code_sizes)
    if not gain:
        wanted &= table["reference"] != "PCA with gain"
    groups = table[wanted].groupby(["reference", "code_size"], sort=False, dropna=False)
    for (method, size), rows in groups:
        curve = over_seeds(rows, "test_mse", ["noise_factor"], evidence.overlap)
        name = method if pd.isna(size) else f"{method} {size}"
        parts.append(_curve(curve, NOISY, name, method=method))
    return pd.concat(parts, ignore_index=True)


def references_at(evidence: Evidence, noise: float, methods: Iterable[str]) -> pd.DataFrame:
    """Return these references at one noise factor."""
    points = reference_curves(evidence)
    points = points[(points["noise_factor"] == noise) & points["method"].isin(list(methods))]
    return points[["series", "method", "mse", "low", "high", "seeds"]]


def code_sizes(evidence: Evidence, models: Iterable[str]) -> tuple[int, ...]:
    """Return the sizes of the models' codes, each once; the paper's 32 without any model."""
    n_genes = evidence.data["n_genes"]
    found = {architecture(model).code_size(n_genes) for model in models}
    return tuple(sorted(found)) or (PAPER_CODE,)


def _curve(
    points: pd.DataFrame, panel: str, series: str, bounds: str = INTERVAL, method: str = ""
) -> pd.DataFrame:
    columns = ["panel", "series", "noise_factor", "mse", "low", "high", "seeds", "bounds", "method"]
    points = points.assign(panel=panel, series=series, bounds=bounds, method=method or series)
    return points.astype({"seeds": "Int64"})[columns]


def published_points(values: list[PublishedValue], series: str, kind: str) -> pd.DataFrame:
    """Return numbers of the paper as points; `kind` describes their bounds."""
    rows = [(v.noise_factor, v.mse, v.mse - v.tolerance, v.mse + v.tolerance) for v in values]
    frame = pd.DataFrame(rows, columns=["noise_factor", "mse", "low", "high"])
    return _curve(frame.assign(seeds=pd.NA), CLEAN, series, kind)
