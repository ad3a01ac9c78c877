"""The data of the MSE curves: tidy frames, one row a point, with its bounds and what they are.

Two measures stand side by side and are never mixed. `clean`: clean training rows in, what the paper's scripts
measured (train_clean_mse). `noisy`: noisy test rows in, how well noise is removed (test_mse); the references know
this one alone. All MSE are those of eq. 11 on z-scored genes, where answering each gene's mean scores about 1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from functools import lru_cache

import numpy as np
import pandas as pd

from models.config import AS_PUBLISHED, AS_WRITTEN, NOISE_FACTORS
from study.evidence.evidence import Evidence
from study.evidence.stats import interval
from study.paper.published import published_fig4, published_mse
from study.report.blueprints import MODELS, code_size
from study.report.style import VAGUE

CLEAN, NOISY, PRINTED = "clean training rows", "noisy test rows", "as printed: MSE / n"
MEASURES = {CLEAN: "train_clean_mse", NOISY: "test_mse"}
BOUNDS = "95 % interval over seeds"
POINT = ["panel", "series", "noise_factor", "mse", "low", "high", "seeds", "bounds"]

#: What makes an as-written network the plain one: the defaults of study.config.MemberConfig (which needs torch).
PLAIN = {
    **{
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "batch_size": 256,
        "output": "linear",
        "loss": "mse",
    },
    **{"code_layers": 2, "code_activation": "sigmoid", "initialisation": "centred"},
    **{"scaling": "train", "layout": "sample"},
}
#: The same of every protocol.
UNCHANGED = {"gene_order": "given", "train_fraction": 1.0, "noise_input": False}


class Narrowed(Evidence):
    """Evidence whose levels hold the networks of `networks` alone, so that they are looked for once."""


def narrowed(evidence: Evidence) -> Narrowed:
    """The same tables, levels narrowed by `networks`."""
    tables = {field.name: getattr(evidence, field.name) for field in fields(Evidence)}
    return Narrowed(**{**tables, "levels": networks(evidence)})


def networks(evidence: Evidence) -> pd.DataFrame:
    """The rows of Evidence.levels that stand for a protocol, model and beta.

    Networks that have ended, trained on one noise factor at a time, without a further switch; where these runs
    hold networks of a kind that differ in epochs, those with the most.
    """
    rows = evidence.levels
    if isinstance(evidence, Narrowed):
        return rows
    measured = np.isfinite(rows[["noise_factor", "test_mse"]].astype(float)).all(axis=1)
    keep = measured & (rows["status"] == "finished")
    written = rows["protocol"] == AS_WRITTEN
    for name in PLAIN.keys() & rows.columns:
        keep &= (rows[name] == PLAIN[name]) | ~written
    for name in UNCHANGED.keys() & rows.columns:
        keep &= (rows[name] == UNCHANGED[name]) | rows[name].isna()
    rows = rows[keep & (~written | ~rows["member_id"].duplicated(keep=False))]
    longest = rows.groupby(["protocol", "changed", "model", "beta"])["epochs"].transform("max")
    rows = rows[rows["epochs"] == longest]
    return rows.assign(noise_factor=rows["noise_factor"].astype(float).round(6))


def of_protocol(evidence: Evidence, protocol: str, model: str | None = None) -> pd.DataFrame:
    """The networks of one protocol (and model): of each model those with the least beta, as a rule 0."""
    rows = networks(evidence)
    rows = rows[(rows["protocol"] == protocol) & (rows["changed"] == "")]
    rows = rows if model is None else rows[rows["model"] == model]
    return rows[rows["beta"] == rows.groupby("model")["beta"].transform("min")]


def over_seeds(rows: pd.DataFrame, value: str, by: list[str]) -> pd.DataFrame:
    """Mean of `value` over seeds and its 95 % interval: the columns `by`, mse, low, high, seeds, sorted by `by`.

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


def network_curve(
    evidence: Evidence, protocol: str, model: str, panel: str, series: str
) -> pd.DataFrame:
    """MSE against noise factor of one model: columns POINT; no row where these runs have none."""
    rows = of_protocol(evidence, protocol, model)
    return _points(over_seeds(rows, MEASURES[panel], ["noise_factor"]), panel, series, BOUNDS)


def published_curve(model: str) -> pd.DataFrame:
    """The paper's curve of a model (Figs. 6-10) as MSE: columns POINT; the bounds are its reading precision."""
    values = [
        value
        for value in (published_mse(model, noise) for noise in NOISE_FACTORS)
        if value is not None
    ]
    frame = pd.DataFrame(
        [(v.noise_factor, v.mse, v.mse - v.tolerance, v.mse + v.tolerance, pd.NA) for v in values],
        columns=["noise_factor", "mse", "low", "high", "seeds"],
    )
    kind = VAGUE if values and values[0].kind == "about" else "reading precision"
    return _points(frame, CLEAN, "published", kind)


def reference_curves(
    evidence: Evidence, code_sizes: tuple[int, ...] = (), gain: bool = False
) -> pd.DataFrame:
    """MSE of the references on noisy test rows: columns POINT; series "identity", "gene mean", "PCA 32", ...

    Identity is alpha^2, known without a measurement; the others are there if these runs measured them. `code_sizes`
    limits PCA to these; `gain` also gives PCA with each component's gain.
    """
    table = evidence.references
    measured = np.union1d(table["noise_factor"].astype(float), networks(evidence)["noise_factor"])
    alphas = np.unique(np.round(np.union1d(NOISE_FACTORS, measured), 6))
    identity = pd.DataFrame({"noise_factor": alphas, "mse": alphas**2, "seeds": pd.NA})
    parts = [
        _points(identity.assign(low=np.nan, high=np.nan), NOISY, "identity", "exact: alpha squared")
    ]
    if len(table):
        size = table["code_size"]
        table = table.assign(
            noise_factor=table["noise_factor"].astype(float).round(6),
            series=[
                f"{name} {s}" if pd.notna(s) else name
                for name, s in zip(table["reference"], size, strict=True)
            ],
        )
        wanted = size.isna() | size.isin(code_sizes) if code_sizes else pd.Series(True, table.index)
        wanted &= (table["reference"] != "PCA with gain") | gain
        table = table[wanted & (table["reference"] != "identity")]
        for name in table["series"].drop_duplicates():
            curve = over_seeds(table[table["series"] == name], "test_mse", ["noise_factor"])
            parts.append(_points(curve, NOISY, name, BOUNDS))
    return pd.concat(parts, ignore_index=True)


def paper_curve(evidence: Evidence, model: str) -> pd.DataFrame:
    """All of one of Figs. 6-10: published and as-published rerun (panel `clean`), as-written, the rerun on noisy

    rows and the references (panel `noisy`); for the conv network also MSE / n as printed, and the rerun divided
    by the same n. Columns POINT.
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


def depth_points(evidence: Evidence, noise_factor: float = 0.5) -> pd.DataFrame:
    """Figs. 4 and 5: MSE of the dense models at one noise factor. Columns POINT, model and layers.

    Series "published, Fig. 4" (MSE / N times N), "published, Figs. 6-9", the two protocols, and the references.
    """
    parts = []
    for model in MODELS[:4]:
        curves = paper_curve(evidence, model)
        curves["series"] = curves["series"].replace("published", "published, Figs. 6–9")
        value = published_fig4()[model]
        table = [(0.5, value.mse, value.mse - value.tolerance, value.mse + value.tolerance, pd.NA)]
        table = pd.DataFrame(table, columns=["noise_factor", "mse", "low", "high", "seeds"])
        table = _points(table, CLEAN, "published, Fig. 4", "digits printed")
        curves = pd.concat([table, curves], ignore_index=True)
        curves = curves[curves["noise_factor"] == noise_factor]
        parts.append(curves.assign(model=model, layers=int(model.partition("-")[2])))
    return pd.concat(parts, ignore_index=True)


def all_curves(evidence: Evidence, gain: bool = False) -> pd.DataFrame:
    """Every model as-written (series: its name), or where these runs hold none as-published; and all references.

    MSE on noisy test rows: columns POINT. `gain` as in reference_curves.
    """
    protocol = main_protocol(evidence)
    names = of_protocol(evidence, protocol)["model"].drop_duplicates()
    names = [m for m in MODELS if m in set(names)]
    parts = [network_curve(evidence, protocol, model, NOISY, model) for model in names]
    return pd.concat(
        [*parts, reference_curves(evidence, code_sizes(evidence, names), gain)], ignore_index=True
    )


def code_sizes(evidence: Evidence, models: Iterable[str]) -> tuple[int, ...]:
    """Sizes of the models' codes, each once; the paper's 32 where there is no model."""
    return tuple(sorted({code_size(model, evidence.data["n_genes"]) for model in models})) or (32,)


def noise_removed(curves: pd.DataFrame) -> pd.DataFrame:
    """Share of the noise removed, 1 - MSE / alpha^2, of curves on noisy rows; without noise there is no share.

    Columns series, noise_factor, removed, low, high, seeds, bounds. Below 0: worse than leaving the input alone.
    """
    curves = curves[(curves["noise_factor"] > 0) & (curves["series"] != "identity")]
    alpha2 = curves["noise_factor"] ** 2
    shares = {"removed": 1 - curves["mse"] / alpha2, "low": 1 - curves["high"] / alpha2}
    frame = curves.assign(**shares, high=1 - curves["low"] / alpha2)
    return frame[
        ["series", "noise_factor", "removed", "low", "high", "seeds", "bounds"]
    ].reset_index(drop=True)


def main_protocol(evidence: Evidence) -> str:
    """as-written if these runs hold networks of it, else as-published."""
    held = set(networks(evidence)["protocol"])
    return AS_PUBLISHED if AS_WRITTEN not in held and AS_PUBLISHED in held else AS_WRITTEN


@lru_cache(4096)
def _bounds(values: tuple[float, ...]) -> tuple[float, float]:
    """Ends of the interval; kept, because several figures and tables show the same."""
    bounds = interval(values)
    return bounds.low, bounds.high


def _points(frame: pd.DataFrame, panel: str, series: str, bounds: str) -> pd.DataFrame:
    return frame.assign(panel=panel, series=series, bounds=bounds).astype({"seeds": "Int64"})[POINT]


def _divided(curve: pd.DataFrame, model: str) -> pd.DataFrame:
    """A curve of the conv network as Fig. 10 prints it: divided by its n at each noise factor; else no rows."""
    values = [published_mse(model, noise) for noise in curve["noise_factor"]]
    known = [value is not None and value.kind == "recovered" for value in values]
    n = np.array(
        [value.n for value, is_known in zip(values, known, strict=True) if is_known], dtype=float
    )
    curve = curve[np.array(known, dtype=bool)]
    return curve.assign(
        panel=PRINTED, **{column: curve[column] / n for column in ("mse", "low", "high")}
    )
