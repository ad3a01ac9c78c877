"""The data of the report's figures: tidy frames, one row per point, with its bounds and their kind.

Two measures stand side by side and are never mixed. CLEAN: clean training rows in, which is what
the paper's scripts measured (train_clean_mse). NOISY: noisy test rows in, which is how well noise
is removed (test_mse); references have this one only. All MSE are those of eq. 11 on z-scored genes,
where answering each gene's mean scores about 1.

A point has the columns series (its name), method (its look), the axis's own, mse, low and high (its
bounds), seeds and, if its bounds are not an interval over seeds, `bounds`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import MISSING, fields
from functools import lru_cache

import numpy as np
import pandas as pd

from data_utils.noise import identity_mse
from models.config import AS_PUBLISHED, AS_WRITTEN, DENSE_MODELS, NOISE_FACTORS, MemberConfig
from study.evidence.evidence import MIXTURE, Evidence
from study.evidence.stats import interval
from study.paper.published import published_fig4, published_mse
from study.report.blueprints import MODELS, code_size
from study.report.style import INTERVAL, VAGUE
from study.report.wording import in_order

CLEAN, NOISY, PRINTED = "clean training rows", "noisy test rows", "as printed: MSE / n"
MEASURES = {CLEAN: "train_clean_mse", NOISY: "test_mse"}
RERUN = "as-published rerun"
REFERENCES = ("identity", "gene mean", "PCA", "PCA with gain", "Wiener", MIXTURE, "oracle")
FRESH = "fresh network per level"
NOISE = 0.5  # the paper's middle noise factor: what is asked at one noise factor is asked there

#: The settings of a network and what they are for the plain as-written one.
SETTINGS = {
    field.name: field.default
    for field in fields(MemberConfig)
    if field.default is not MISSING and field.name not in ("seed", "protocol", "grid")
}
#: The settings that every protocol leaves alone.
UNCHANGED = ("gene_order", "train_fraction", "noise_input")


def plain(rows: pd.DataFrame, *free: str) -> pd.Series:
    """Return which rows are of plain as-written networks that have ended; `free` settings vary."""
    keep = (rows["protocol"] == AS_WRITTEN) & (rows["changed"] == "")
    keep &= rows["status"] == "finished"
    for name in SETTINGS.keys() - set(free):
        keep &= rows[name] == SETTINGS[name]
    return keep


@lru_cache(1)
def networks(evidence: Evidence) -> pd.DataFrame:
    """Return the rows of Evidence.levels that stand for a protocol, model and beta.

    These are networks that have ended, trained on one noise factor at a time, and plain except for
    their sparsity term. If networks of a kind differ in epochs, those with the most are kept.
    """
    rows = evidence.levels
    rows = rows[np.isfinite(rows[["noise_factor", "test_mse"]].astype(float)).all(axis=1)]
    unchanged = (rows[[*UNCHANGED]] == pd.Series(SETTINGS)[[*UNCHANGED]]).all(axis=1)
    written = plain(rows, "beta", "sparsity", "rho") & ~rows["member_id"].duplicated(keep=False)
    others = (rows["protocol"] != AS_WRITTEN) & (rows["status"] == "finished") & unchanged
    rows = rows[written | others]
    longest = rows.groupby(["protocol", "changed", "model", "beta"])["epochs"].transform("max")
    rows = rows[rows["epochs"] == longest]
    return rows.assign(noise_factor=rounded(rows["noise_factor"]))


def shown_networks(evidence: Evidence) -> frozenset[str]:
    """Return the ids of the networks that the paper's figures and the tables show."""
    rows = networks(evidence)
    of_both = rows["protocol"].isin([AS_WRITTEN, AS_PUBLISHED]) & (rows["changed"] == "")
    rows = rows[rows["model"].isin(MODELS) & of_both & (rows["sparsity"] == "kl")]
    return frozenset(rows["member_id"])


def of_protocol(evidence: Evidence, protocol: str, model: str | None = None) -> pd.DataFrame:
    """Return the networks of one protocol (and model): of each model those with the least beta."""
    rows = networks(evidence)
    rows = rows[(rows["protocol"] == protocol) & (rows["changed"] == "")]
    rows = rows if model is None else rows[rows["model"] == model]
    return rows[rows["beta"] == rows.groupby("model")["beta"].transform("min")]


def main_protocol(evidence: Evidence) -> str:
    """Return as-written if these runs hold networks of it, else as-published."""
    held = set(networks(evidence)["protocol"])
    return AS_PUBLISHED if AS_WRITTEN not in held and AS_PUBLISHED in held else AS_WRITTEN


def over_seeds(rows: pd.DataFrame, value: str, by: list[str]) -> pd.DataFrame:
    """Average `value` over seeds: columns `by`, mse, low, high (95 % interval), seeds; sorted.

    One seed has no interval: low and high are NaN.
    """
    rows = rows.dropna(subset=[value])
    per_seed = rows.groupby([*by, "seed"], dropna=False)[value].mean().reset_index()
    found = []
    for key, group in per_seed.groupby(by, dropna=False):
        values = group[value].to_numpy(dtype=float)
        found.append((*key, values.mean(), *_bounds(tuple(values)), len(values)))
    return pd.DataFrame(found, columns=[*by, "mse", "low", "high", "seeds"])


@lru_cache(4096)
def _bounds(values: tuple[float, ...]) -> tuple[float, float]:
    """Return the ends of the interval; cached, since several figures and tables show the same."""
    bounds = interval(values)
    return bounds.low, bounds.high


def rounded(noise: pd.Series) -> pd.Series:
    """Return noise factors that can be compared: 0.1 * 3 is 0.3."""
    return noise.astype(float).round(6)


def nearest(values: Iterable[float], wanted: float = NOISE) -> float:
    """Return the value nearest to `wanted`; NaN if there is none."""
    found = np.unique(np.asarray(list(values), dtype=float).round(6))
    return float(found[np.abs(found - wanted).argmin()]) if len(found) else float("nan")


def at_ends(points: pd.DataFrame, x: str, ends: Iterable[float]) -> pd.DataFrame:
    """Return points without an x at both ends of the axis, as they are a level line."""
    return pd.concat([points.assign(**{x: end}) for end in ends], ignore_index=True)


# Curves: MSE against noise factor.


def network_curve(
    evidence: Evidence, protocol: str, model: str, panel: str, series: str
) -> pd.DataFrame:
    """Return MSE against noise factor of one model; no row if there is none."""
    rows = of_protocol(evidence, protocol, model)
    return _curve(over_seeds(rows, MEASURES[panel], ["noise_factor"]), panel, series)


def published_curve(model: str) -> pd.DataFrame:
    """Return the paper's curve of a model as MSE, with the precision of reading it as bounds."""
    found = [published_mse(model, noise) for noise in NOISE_FACTORS]
    values = [value for value in found if value is not None]
    kind = VAGUE if values and values[0].kind == "about" else "reading precision"
    return _published(values, "published", kind)


def reference_curves(
    evidence: Evidence, code_sizes: Sequence[int] = (), gain: bool = False
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
        curve = over_seeds(rows, "test_mse", ["noise_factor"])
        name = method if pd.isna(size) else f"{method} {size}"
        parts.append(_curve(curve, NOISY, name, method=method))
    return pd.concat(parts, ignore_index=True)


def references_at(evidence: Evidence, noise: float, methods: Iterable[str]) -> pd.DataFrame:
    """Return these references at one noise factor."""
    points = reference_curves(evidence)
    points = points[(points["noise_factor"] == noise) & points["method"].isin(list(methods))]
    return points[["series", "method", "mse", "low", "high", "seeds"]]


def paper_curve(evidence: Evidence, model: str) -> pd.DataFrame:
    """Return all lines of one of Figs. 6-10; `panel` is what is measured.

    CLEAN holds the published curve and the as-published rerun; NOISY as-written, the rerun on noisy
    rows and the references; for the conv network PRINTED holds MSE / n as the paper prints it, and
    the rerun divided by the same n.
    """
    clean = [published_curve(model), network_curve(evidence, AS_PUBLISHED, model, CLEAN, RERUN)]
    parts = [
        *(_divided(curve, model) for curve in clean),
        *clean,
        network_curve(evidence, AS_WRITTEN, model, NOISY, AS_WRITTEN),
        network_curve(evidence, AS_PUBLISHED, model, NOISY, RERUN),
        reference_curves(evidence, (code_size(model, evidence.data["n_genes"]),)),
    ]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def depth_points(evidence: Evidence, noise_factor: float = NOISE) -> pd.DataFrame:
    """Return MSE of the dense models at one noise factor, with their `layers`: Figs. 4 and 5."""
    parts = []
    renamed = {"published": "published, Figs. 6–9"}
    for model in DENSE_MODELS:
        curves = paper_curve(evidence, model).replace({"series": renamed, "method": renamed})
        table = _published([published_fig4()[model]], "published, Fig. 4", "digits printed")
        curves = pd.concat([table, curves], ignore_index=True)
        curves = curves[curves["noise_factor"] == noise_factor]
        parts.append(curves.assign(model=model, layers=int(model.partition("-")[2])))
    return pd.concat(parts, ignore_index=True)


def all_curves(evidence: Evidence, gain: bool = False) -> pd.DataFrame:
    """Return every model of the paper and all references on noisy test rows.

    Models are as-written, or as-published if there is none. `gain` is as in reference_curves.
    """
    protocol = main_protocol(evidence)
    held = set(of_protocol(evidence, protocol)["model"])
    names = [model for model in MODELS if model in held]
    parts = [network_curve(evidence, protocol, model, NOISY, model) for model in names]
    references = reference_curves(evidence, code_sizes(evidence, names), gain)
    return pd.concat([*parts, references], ignore_index=True)


def code_sizes(evidence: Evidence, models: Iterable[str]) -> tuple[int, ...]:
    """Return the sizes of the models' codes, each once; the paper's 32 without any model."""
    return tuple(sorted({code_size(model, evidence.data["n_genes"]) for model in models})) or (32,)


def noise_removed(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the share of the noise that curves on noisy rows remove: 1 - MSE / alpha^2.

    Below 0 is worse than leaving the input alone. Without noise there is no share.
    """
    curves = curves[(curves["noise_factor"] > 0) & (curves["series"] != "identity")]
    alpha2 = identity_mse(curves["noise_factor"])
    shares = {"removed": 1 - curves["mse"] / alpha2, "low": 1 - curves["high"] / alpha2}
    frame = curves.assign(**shares, high=1 - curves["low"] / alpha2)
    columns = ["series", "noise_factor", "removed", "low", "high", "seeds", "bounds", "method"]
    return frame[columns].reset_index(drop=True)


def _curve(
    points: pd.DataFrame, panel: str, series: str, bounds: str = INTERVAL, method: str = ""
) -> pd.DataFrame:
    columns = ["panel", "series", "noise_factor", "mse", "low", "high", "seeds", "bounds", "method"]
    points = points.assign(panel=panel, series=series, bounds=bounds, method=method or series)
    return points.astype({"seeds": "Int64"})[columns]


def _published(values: list, series: str, kind: str) -> pd.DataFrame:
    rows = [(v.noise_factor, v.mse, v.mse - v.tolerance, v.mse + v.tolerance) for v in values]
    frame = pd.DataFrame(rows, columns=["noise_factor", "mse", "low", "high"])
    return _curve(frame.assign(seeds=pd.NA), CLEAN, series, kind)


def _divided(curve: pd.DataFrame, model: str) -> pd.DataFrame:
    """Divide a curve by its n at each noise factor, as Fig. 10 prints it; only it has an n."""
    values = [published_mse(model, noise) for noise in curve["noise_factor"]]
    n = [v.n if v is not None and v.kind == "recovered" else np.nan for v in values]
    columns = ["mse", "low", "high"]
    divided = curve.assign(panel=PRINTED, **{c: curve[c] / np.array(n) for c in columns})
    return divided[divided["mse"].notna()]


# MSE by gene and by sample label: the best network and the references at one noise factor.


def by_gene(evidence: Evidence) -> pd.DataFrame:
    """Return MSE of each gene: columns series, method, noise_factor, gene_id, mse.

    The first series is the network with the least mean MSE, as-written before as-published; the
    noise factor is the one nearest to 0.5. No rows if these runs measured no network by gene.
    """
    return _breakdown(evidence.genes)


def by_label(evidence: Evidence, name: str) -> pd.DataFrame:
    """Return MSE for each value of a sample label, the network's worst first, as in by_gene."""
    rows = _breakdown(evidence.labels[evidence.labels["label"] == name])
    first = rows[rows["series"] == rows["series"].iloc[0]] if len(rows) else rows
    worst = first.sort_values("mse", ascending=False, kind="stable")["value"]
    place = {value: i for i, value in enumerate(worst)}
    return rows.sort_values("value", key=lambda value: value.map(place), kind="stable")


def label_names(evidence: Evidence) -> list[str]:
    """Return the sample labels by which these runs measured MSE."""
    return list(evidence.labels["label"].drop_duplicates())


def _breakdown(table: pd.DataFrame) -> pd.DataFrame:
    table = table.assign(noise_factor=rounded(table["noise_factor"]), series=table["method"])
    table = table[table["noise_factor"] == nearest(table["noise_factor"])]
    parts = [table[table["protocol"] == protocol] for protocol in (AS_WRITTEN, AS_PUBLISHED)]
    held = next((part for part in parts if len(part)), table[:0])
    if not len(held):
        return held
    best = held[held["method"] == held.groupby("method")["mse"].mean().idxmin()]
    if best["protocol"].iloc[0] == AS_PUBLISHED:
        best = best.assign(series=f"{best['method'].iloc[0]}, {AS_PUBLISHED}")
    references = [table[(table["protocol"] == "") & (table["method"] == r)] for r in REFERENCES]
    return pd.concat([best, *references], ignore_index=True)


def gene_quantiles(genes: pd.DataFrame) -> pd.DataFrame:
    """Return for each method the MSE of the genes sorted by it, at every percent."""
    percent = np.linspace(0, 100, 101)
    parts = []
    for (series, method), rows in genes.groupby(["series", "method"], sort=False):
        part = {"series": series, "method": method, "percent_of_genes": percent}
        parts.append(pd.DataFrame({**part, "mse": np.percentile(rows["mse"], percent)}))
    return pd.concat(parts, ignore_index=True)


# Autopsy: the published protocol with one item set right at a time.


def autopsy_curves(evidence: Evidence) -> pd.DataFrame:
    """Return MSE on clean training rows by model and noise factor; the item is `series`."""
    rows = autopsy_rows(evidence)
    points = over_seeds(rows, "train_clean_mse", ["model", "series", "noise_factor"])
    return _by_item(points, "noise_factor")


def autopsy_change(evidence: Evidence) -> pd.DataFrame:
    """Return the change of that MSE from the least noise factor to the most, paired by seed.

    Below 0: more noise, less error. Columns model, from_noise, to_noise, series, change, ...
    """
    rows = autopsy_rows(evidence)
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


def autopsy_rows(evidence: Evidence) -> pd.DataFrame:
    """Return networks of the published protocol and its corrections, the item in `series`.

    Models without a correction are left out.
    """
    rows = networks(evidence)
    rows = rows[rows["protocol"] == AS_PUBLISHED]
    corrected = rows.loc[rows["changed"] != "", "model"].unique()
    rows = rows[rows["model"].isin(corrected)]
    return rows.assign(series=rows["changed"].where(rows["changed"] != "", AS_PUBLISHED))


def _by_item(points: pd.DataFrame, *then: str) -> pd.DataFrame:
    """Sort by model; as-published, then the fresh networks, then the other items by name."""
    rank = points["series"].map({AS_PUBLISHED: 0, FRESH: 1}).fillna(2)
    points = in_order(points.assign(_item=rank), "_item", "series", *then)
    return points.drop(columns="_item").assign(method=points["series"])
