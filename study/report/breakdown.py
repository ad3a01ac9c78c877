"""The data behind the means: MSE by gene and by sample label, and the autopsy of the published protocol."""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.config import AS_PUBLISHED, AS_WRITTEN
from study.evidence.evidence import Evidence
from study.report.blueprints import MODELS
from study.report.curves import BOUNDS, networks, over_seeds

REFERENCES = ("identity", "gene mean", "PCA", "PCA with gain", "Wiener", "Wiener mixture", "oracle")
FRESH = "fresh network per level"
N_QUANTILES = 101


def nearest_noise(table: pd.DataFrame, wanted: float = 0.5) -> float:
    """The noise factor of a table that is nearest to `wanted`; NaN for an empty table."""
    found = np.unique(table["noise_factor"].astype(float).round(6)) if len(table) else np.array([])
    return float(found[np.abs(found - wanted).argmin()]) if len(found) else float("nan")


def by_gene(evidence: Evidence, noise_factor: float = 0.5) -> tuple[pd.DataFrame, float]:
    """MSE of each gene: index gene_id, a column for the best network and each reference; and the noise factor.

    The noise factor is the nearest that these runs have; the best network that of least mean MSE, as-written before
    as-published. No rows where these runs measured no network by gene.
    """
    return _wide(evidence.genes, "gene_id", noise_factor)


def gene_quantiles(genes: pd.DataFrame) -> pd.DataFrame:
    """For each method the MSE of the genes sorted by it, at every percent: columns series, percent_of_genes, mse."""
    percent = np.linspace(0, 100, N_QUANTILES)
    parts = [
        pd.DataFrame(
            {
                "series": name,
                "percent_of_genes": percent,
                "mse": np.percentile(genes[name].dropna(), percent),
            }
        )
        for name in genes.columns
        if genes[name].notna().any()
    ]
    return pd.concat(parts, ignore_index=True)


def label_names(evidence: Evidence) -> list[str]:
    """The sample labels by which these runs measured MSE."""
    return list(evidence.labels["label"].drop_duplicates())


def by_label(
    evidence: Evidence, name: str, noise_factor: float = 0.5
) -> tuple[pd.DataFrame, float]:
    """The same for each value of a sample label: index value, a column samples, then the methods; worst first."""
    table = evidence.labels[evidence.labels["label"] == name]
    wide, noise = _wide(table, "value", noise_factor)
    if not len(wide):
        return wide, noise
    wide.insert(0, "samples", table.groupby("value")["samples"].max().reindex(wide.index))
    return wide.sort_values(wide.columns[1], ascending=False, kind="stable"), noise


def autopsy_curves(evidence: Evidence) -> pd.DataFrame:
    """MSE on clean training rows as published and with one item set right at a time.

    Columns model, series (the item), noise_factor, mse, low, high, seeds, bounds; no rows without such networks.
    """
    rows = _autopsy_rows(evidence)
    points = over_seeds(rows, "train_clean_mse", ["model", "series", "noise_factor"])
    return _in_order(points.assign(bounds=BOUNDS))


def autopsy_change(evidence: Evidence) -> pd.DataFrame:
    """Change of that MSE from the least noise factor to the most, paired by seed; below 0: more noise, less error.

    Columns model, from_noise, to_noise, series, change, low, high, seeds.
    """
    rows = _autopsy_rows(evidence)
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
    return _in_order(
        over_seeds(change, "change", [*ends, "series"]).rename(columns={"mse": "change"})
    )


def _autopsy_rows(evidence: Evidence) -> pd.DataFrame:
    """Rows of the published protocol and its corrections, of models that have a correction; the item in `series`."""
    rows = networks(evidence)
    rows = rows[rows["protocol"] == AS_PUBLISHED]
    corrected = rows.loc[rows["changed"] != "", "model"].unique()
    rows = rows[rows["model"].isin(corrected)]
    return rows.assign(series=rows["changed"].where(rows["changed"] != "", AS_PUBLISHED))


def _in_order(points: pd.DataFrame) -> pd.DataFrame:
    """Models in the paper's order; as-published, then the fresh networks, then the other items by name."""
    model = {name: i for i, name in enumerate(MODELS)}
    item = {AS_PUBLISHED: 0, FRESH: 1}
    rank = points.assign(
        _m=points["model"].map(model).fillna(len(model)), _i=points["series"].map(item).fillna(2)
    )
    by = ["_m", "_i", "series", *(["noise_factor"] if "noise_factor" in points else [])]
    return points.loc[rank.sort_values(by, kind="stable").index].reset_index(drop=True)


def _wide(table: pd.DataFrame, key: str, noise_factor: float) -> tuple[pd.DataFrame, float]:
    """MSE by `key` at the nearest noise factor: a column for the best network, then the references."""
    noise = nearest_noise(table, noise_factor)
    table = table[table["noise_factor"].astype(float).round(6) == noise]
    chosen = _best(table)
    if chosen is None:
        return pd.DataFrame(index=pd.Index([], name=key)), noise
    protocol, method = chosen
    rows = table[(table["protocol"] == protocol) & (table["method"] == method)]
    parts = {
        method if protocol == AS_WRITTEN else f"{method}, {protocol}": rows.groupby(key)[
            "mse"
        ].mean()
    }
    for name in REFERENCES:
        rows = table[(table["protocol"] == "") & (table["method"] == name)]
        if len(rows):
            parts[name] = rows.groupby(key)["mse"].mean()
    return pd.DataFrame(parts), noise


def _best(table: pd.DataFrame) -> tuple[str, str] | None:
    """Protocol and model of the network with the least mean MSE, as-written before as-published."""
    for protocol in (AS_WRITTEN, AS_PUBLISHED):
        means = table[table["protocol"] == protocol].groupby("method")["mse"].mean()
        if len(means):
            return protocol, str(means.idxmin())
    return None
