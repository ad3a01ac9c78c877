"""The data of the report's figures: tidy frames, one row per point, with its bounds and their kind.

Two measures stand side by side and are never mixed. CLEAN: clean training rows in, which is what the
paper's scripts measured (train_clean_mse). NOISY: noisy test rows in, which is how well noise is
removed (test_mse); references have this one only. All MSE are those of eq. 11 on z-scored genes, where
answering each gene's mean scores about 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from functools import lru_cache

import numpy as np
import pandas as pd

from models.config import AS_PUBLISHED, AS_WRITTEN, NOISE_FACTORS, MemberConfig
from study.evidence.evidence import MIXTURE, Evidence
from study.evidence.stats import interval
from study.paper.published import published_fig4, published_mse
from study.report.blueprints import MODELS, code_size
from study.report.style import INTERVAL, VAGUE
from study.report.wording import in_order

CLEAN, NOISY, PRINTED = "clean training rows", "noisy test rows", "as printed: MSE / n"
MEASURES = {CLEAN: "train_clean_mse", NOISY: "test_mse"}
POINT = ["panel", "series", "noise_factor", "mse", "low", "high", "seeds", "bounds", "method"]
REFERENCES = ("identity", "gene mean", "PCA", "PCA with gain", "Wiener", MIXTURE, "oracle")
FRESH = "fresh network per level"
N_QUANTILES = 101
NOISE = 0.5  # the paper's middle noise factor: what is asked at one noise factor is asked there

#: The settings of a network and what they are for the plain as-written one.
SETTINGS = {
    field.name: field.default
    for field in fields(MemberConfig)
    if field.default is not MISSING and field.name not in ("seed", "protocol", "grid")
}
#: The settings that every protocol leaves alone.
UNCHANGED = ("gene_order", "train_fraction", "noise_input")


def plain(rows: pd.DataFrame, except_: Iterable[str] = ()) -> pd.Series:
    """Return which rows are of plain as-written networks that have ended; `except_`: free settings."""
    written = (rows["protocol"] == AS_WRITTEN) & (rows["changed"] == "")
    keep = written & (rows["status"] == "finished")
    for name in SETTINGS.keys() - set(except_):
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
    alone = ~rows["member_id"].duplicated(keep=False)
    written = plain(rows, ("beta", "sparsity", "rho")) & alone
    others = (rows["protocol"] != AS_WRITTEN) & (rows["status"] == "finished") & unchanged
    rows = rows[written | others]
    longest = rows.groupby(["protocol", "changed", "model", "beta"])["epochs"].transform("max")
    rows = rows[rows["epochs"] == longest]
    return rows.assign(noise_factor=rows["noise_factor"].astype(float).round(6))


def shown_networks(evidence: Evidence) -> frozenset[str]:
    """Return the ids of the networks of both protocols that the paper's figures and the tables show."""
    rows = networks(evidence)
    of_both = rows["protocol"].isin([AS_WRITTEN, AS_PUBLISHED]) & (rows["changed"] == "")
    rows = rows[rows["model"].isin(MODELS) & of_both]
    return frozenset(rows.loc[rows["sparsity"] == "kl", "member_id"])


def of_protocol(evidence: Evidence, protocol: str, model: str | None = None) -> pd.DataFrame:
    """Return the networks of one protocol (and model): of each model those with the least beta."""
    rows = networks(evidence)
    rows = rows[(rows["protocol"] == protocol) & (rows["changed"] == "")]
    rows = rows if model is None else rows[rows["model"] == model]
    return rows[rows["beta"] == rows.groupby("model")["beta"].transform("min")]


def over_seeds(rows: pd.DataFrame, value: str, by: list[str]) -> pd.DataFrame:
    """Average `value` over seeds: columns `by`, mse, low, high (95 % interval), seeds; sorted by `by`.

    One seed has no interval: low and high are NaN.
    """
    per_seed = (
        rows.dropna(subset=[value]).groupby([*by, "seed"], dropna=False)[value].mean().reset_index()
    )
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


def nearest(values: Iterable[float], wanted: float = NOISE) -> float:
    """Return the value nearest to `wanted`; NaN if there is none."""
    found = np.unique(np.asarray(list(values), dtype=float).round(6))
    return float(found[np.abs(found - wanted).argmin()]) if len(found) else float("nan")


# Curves: MSE against noise factor.


def network_curve(
    evidence: Evidence, protocol: str, model: str, panel: str, series: str
) -> pd.DataFrame:
    """Return MSE against noise factor of one model (columns POINT); no row if there is none."""
    rows = of_protocol(evidence, protocol, model)
    return _points(over_seeds(rows, MEASURES[panel], ["noise_factor"]), panel, series, INTERVAL)


def published_curve(model: str) -> pd.DataFrame:
    """Return the paper's curve of a model (Figs. 6-10) as MSE (columns POINT).

    Its bounds are the precision with which it can be read.
    """
    found = [published_mse(model, noise) for noise in NOISE_FACTORS]
    values = [value for value in found if value is not None]
    kind = VAGUE if values and values[0].kind == "about" else "reading precision"
    return _published(values, "published", kind)


def reference_curves(
    evidence: Evidence, code_sizes: Sequence[int] = (), gain: bool = False
) -> pd.DataFrame:
    """Return MSE of the references on noisy test rows (columns POINT).

    Series are "identity", "gene mean", "PCA 32", ... Identity is alpha^2, known without a measurement;
    the others appear if these runs measured them. `code_sizes` limits PCA to these; `gain` adds PCA
    with a gain for each component.
    """
    table = evidence.references
    table = table.assign(noise_factor=table["noise_factor"].astype(float).round(6))
    measured = np.union1d(table["noise_factor"], networks(evidence)["noise_factor"])
    alphas = np.unique(np.round(np.union1d(NOISE_FACTORS, measured), 6))
    identity = pd.DataFrame({"noise_factor": alphas, "mse": alphas**2, "seeds": pd.NA})
    identity = identity.assign(low=np.nan, high=np.nan)
    parts = [_points(identity, NOISY, "identity", "exact: alpha squared")]
    wanted = table["reference"] != "identity"
    if code_sizes:
        wanted &= table["code_size"].isna() | table["code_size"].isin(code_sizes)
    if not gain:
        wanted &= table["reference"] != "PCA with gain"
    for (method, size), rows in table[wanted].groupby(
        ["reference", "code_size"], sort=False, dropna=False
    ):
        curve = over_seeds(rows, "test_mse", ["noise_factor"])
        name = method if pd.isna(size) else f"{method} {size}"
        parts.append(_points(curve, NOISY, name, INTERVAL, method))
    return pd.concat(parts, ignore_index=True)


def paper_curve(evidence: Evidence, model: str) -> pd.DataFrame:
    """Return all lines of one of Figs. 6-10 (columns POINT).

    Panel CLEAN holds the published curve and the as-published rerun; NOISY as-written, the rerun on
    noisy rows and the references; for the conv network PRINTED holds MSE / n as the paper prints it,
    and the rerun divided by the same n.
    """
    published = published_curve(model)
    rerun = network_curve(evidence, AS_PUBLISHED, model, CLEAN, "as-published rerun")
    parts = [
        *(_divided(published, model), _divided(rerun, model), published, rerun),
        network_curve(evidence, AS_WRITTEN, model, NOISY, "as-written"),
        network_curve(evidence, AS_PUBLISHED, model, NOISY, "as-published rerun"),
        reference_curves(evidence, (code_size(model, evidence.data["n_genes"]),)),
    ]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def depth_points(evidence: Evidence, noise_factor: float = NOISE) -> pd.DataFrame:
    """Return MSE of the dense models at one noise factor, for Figs. 4 and 5.

    Columns POINT, model and layers. Series: "published, Fig. 4" (MSE / N times N), "published, Figs.
    6–9", the two protocols, and the references.
    """
    parts = []
    renamed = {"published": "published, Figs. 6–9"}
    for model in MODELS[:4]:
        curves = paper_curve(evidence, model)
        curves = curves.replace({"series": renamed, "method": renamed})
        table = _published([published_fig4()[model]], "published, Fig. 4", "digits printed")
        curves = pd.concat([table, curves], ignore_index=True)
        curves = curves[curves["noise_factor"] == noise_factor]
        parts.append(curves.assign(model=model, layers=int(model.partition("-")[2])))
    return pd.concat(parts, ignore_index=True)


def all_curves(evidence: Evidence, gain: bool = False) -> pd.DataFrame:
    """Return every model of the paper and all references on noisy test rows (columns POINT).

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

    Columns series, noise_factor, removed, low, high, seeds, bounds, method. Below 0 is worse than
    leaving the input alone. Without noise there is no share.
    """
    curves = curves[(curves["noise_factor"] > 0) & (curves["series"] != "identity")]
    alpha2 = curves["noise_factor"] ** 2
    shares = {"removed": 1 - curves["mse"] / alpha2, "low": 1 - curves["high"] / alpha2}
    frame = curves.assign(**shares, high=1 - curves["low"] / alpha2)
    columns = ["series", "noise_factor", "removed", "low", "high", "seeds", "bounds", "method"]
    return frame[columns].reset_index(drop=True)


def main_protocol(evidence: Evidence) -> str:
    """Return as-written if these runs hold networks of it, else as-published."""
    held = set(networks(evidence)["protocol"])
    return AS_PUBLISHED if AS_WRITTEN not in held and AS_PUBLISHED in held else AS_WRITTEN


def _points(
    frame: pd.DataFrame, panel: str, series: str, bounds: str, method: str = ""
) -> pd.DataFrame:
    frame = frame.assign(panel=panel, series=series, bounds=bounds, method=method or series)
    return frame.astype({"seeds": "Int64"})[POINT]


def _published(values: list, series: str, kind: str) -> pd.DataFrame:
    rows = [(v.noise_factor, v.mse, v.mse - v.tolerance, v.mse + v.tolerance) for v in values]
    frame = pd.DataFrame(rows, columns=["noise_factor", "mse", "low", "high"])
    return _points(frame.assign(seeds=pd.NA), CLEAN, series, kind)


def _divided(curve: pd.DataFrame, model: str) -> pd.DataFrame:
    """Divide a curve of the conv network by its n at each noise factor, as Fig. 10 prints it."""
    values = [published_mse(model, noise) for noise in curve["noise_factor"]]
    n = pd.Series(
        [v.n if v is not None and v.kind == "recovered" else np.nan for v in values],
        index=curve.index,
        dtype=float,
    )
    columns = ["mse", "low", "high"]
    divided = curve.assign(panel=PRINTED, **{name: curve[name] / n for name in columns})
    return divided[n.notna()]


# Breakdown: MSE by gene and by sample label.


@dataclass(frozen=True)
class Breakdown:
    """MSE by gene or by value of a label: of the best network and of each reference."""

    wide: pd.DataFrame
    """One column per method, the network first; index gene_id or value."""
    noise_factor: float
    """The nearest to the wanted one that these runs have."""
    model: str
    """The network's model: that with the least mean MSE, as-written before as-published."""
    samples: pd.Series | None = None
    """The number of test samples of each value."""

    @property
    def network(self) -> str:
        """The name of the network's column."""
        return self.wide.columns[0]

    @property
    def methods(self) -> dict[str, str]:
        """The method of each column, for its look."""
        return {name: name if name in REFERENCES else self.model for name in self.wide}

    def without(self, *names: str) -> Breakdown:
        """Return the same without some methods."""
        return replace(self, wide=self.wide.drop(columns=list(names), errors="ignore"))


def by_gene(evidence: Evidence, noise_factor: float = NOISE) -> Breakdown:
    """Return MSE of each gene; no rows if these runs measured no network by gene."""
    return _breakdown(evidence.genes, "gene_id", noise_factor)


def gene_quantiles(genes: Breakdown) -> pd.DataFrame:
    """Return for each method the MSE of the genes sorted by it, at every percent.

    Columns series, percent_of_genes, mse, method.
    """
    percent = np.linspace(0, 100, N_QUANTILES)
    parts = []
    for name, method in genes.methods.items():
        values = genes.wide[name].dropna()
        if len(values):
            mse = np.percentile(values, percent)
            part = {"series": name, "percent_of_genes": percent, "mse": mse, "method": method}
            parts.append(pd.DataFrame(part))
    return pd.concat(parts, ignore_index=True)


def label_names(evidence: Evidence) -> list[str]:
    """Return the sample labels by which these runs measured MSE."""
    return list(evidence.labels["label"].drop_duplicates())


def by_label(evidence: Evidence, name: str, noise_factor: float = NOISE) -> Breakdown:
    """Return MSE for each value of a sample label, worst first; no rows if it was not measured."""
    table = evidence.labels[evidence.labels["label"] == name]
    found = _breakdown(table, "value", noise_factor)
    if not len(found.wide):
        return found
    wide = found.wide.sort_values(found.network, ascending=False, kind="stable")
    samples = table.groupby("value")["samples"].max().reindex(wide.index)
    return replace(found, wide=wide, samples=samples)


def _breakdown(table: pd.DataFrame, key: str, noise_factor: float) -> Breakdown:
    table = table.assign(noise_factor=table["noise_factor"].astype(float).round(6))
    noise = nearest(table["noise_factor"], noise_factor)
    table = table[table["noise_factor"] == noise]
    chosen = _best(table)
    if chosen is None:
        return Breakdown(pd.DataFrame(index=pd.Index([], name=key)), noise, "")
    protocol, model = chosen
    means = table.groupby(["protocol", "method", key])["mse"].mean()
    held = set(table.loc[table["protocol"] == "", "method"])
    parts = {model if protocol == AS_WRITTEN else f"{model}, {protocol}": means[protocol, model]}
    parts |= {name: means["", name] for name in REFERENCES if name in held}
    return Breakdown(pd.DataFrame(parts), noise, model)


def _best(table: pd.DataFrame) -> tuple[str, str] | None:
    """Return protocol and model of the network with the least mean MSE, as-written first."""
    for protocol in (AS_WRITTEN, AS_PUBLISHED):
        means = table[table["protocol"] == protocol].groupby("method")["mse"].mean()
        if len(means):
            return protocol, str(means.idxmin())
    return None


# Autopsy: the published protocol with one item set right at a time.


def autopsy_curves(evidence: Evidence) -> pd.DataFrame:
    """Return MSE on clean training rows as published and with one item set right at a time.

    Columns model, series (the item), noise_factor, mse, low, high, seeds, bounds, method.
    """
    rows = autopsy_rows(evidence)
    points = over_seeds(rows, "train_clean_mse", ["model", "series", "noise_factor"])
    return _by_item(points.assign(bounds=INTERVAL), "noise_factor")


def autopsy_change(evidence: Evidence) -> pd.DataFrame:
    """Return the change of that MSE from the least noise factor to the most, paired by seed.

    Below 0: more noise, less error. Columns model, from_noise, to_noise, series, change, low, high,
    seeds, method.
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
    return _by_item(
        over_seeds(change, "change", [*ends, "series"]).rename(columns={"mse": "change"})
    )


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
