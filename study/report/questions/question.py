"""What the paper's open questions have in common: the networks that answer one, and effects in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.config import AS_WRITTEN
from study.evidence.evidence import Evidence
from study.evidence.stats import FAILS, HOLDS, interval
from study.paper.judging import ClaimVerdict
from study.report.blueprints import MODELS
from study.report.curves import PLAIN, UNCHANGED
from study.report.document import Plot, Table
from study.report.style import label

SIMULATED = " Simulated data."
MISSING = "– is not in these runs."
NOISE = 0.5  # the paper's middle noise factor: questions about one noise factor are asked there

#: The plain as-written network; a question varies some of these.
SWITCHES = {**PLAIN, **UNCHANGED, "beta": 0.0, "sparsity": "kl", "rho": 0.05}


@dataclass(frozen=True, eq=False)
class Question:
    """One open question. `answer` is None, and there are no exhibits, where these runs hold nothing on it."""

    key: str
    title: str
    command: str
    """What trains the networks that answer it."""
    answer: str | None = None
    exhibits: tuple[Plot | Table, ...] = ()


def varied(evidence: Evidence, *switches: str) -> pd.DataFrame:
    """Members: finished as-written networks with a test MSE, trained on one noise factor, plain but for `switches`.

    A run that lacks a switch had its plain value.
    """
    rows = of_one_kind(evidence.members, *switches)
    return rows[np.isfinite(rows["noise_factor"])]


def of_one_kind(rows: pd.DataFrame, *switches: str) -> pd.DataFrame:
    """The same of any noise schedule and any number of epochs; noise factors rounded: 0.1 * 3 is 0.3."""
    rows = with_switches(rows)
    keep = (rows["status"] == "finished") & (rows["protocol"] == AS_WRITTEN)
    keep &= np.isfinite(rows["test_mse"].astype(float))
    for name, value in SWITCHES.items():
        if name not in switches:
            keep &= rows[name] == value
    rows = rows[keep]  # first, because pandas gives an empty table the index of what is assigned
    return rows.assign(noise_factor=rows["noise_factor"].astype(float).round(6))


def with_switches(rows: pd.DataFrame) -> pd.DataFrame:
    """With a column for every switch; what an older run does not say had the plain value."""
    filled = {}
    for name, value in SWITCHES.items():
        filled[name] = rows[name].where(rows[name].notna(), value) if name in rows else value
    return rows.assign(**filled)


def trained_alike(rows: pd.DataFrame, asking: pd.Series) -> pd.DataFrame:
    """Of each model those with one number of epochs, that of most of `rows[asking]` (of two alike the greater).

    So that what is compared differs in nothing else, also where runs of different lengths come together.
    """
    counts = (
        rows[asking]
        .groupby(["model", "epochs"])
        .size()
        .reset_index(name="n")
        .sort_values(["n", "epochs"])
    )
    chosen = counts.drop_duplicates("model", keep="last").set_index("model")["epochs"]
    return rows[rows["epochs"] == rows["model"].map(chosen)]


def nearest(values: Sequence[float], wanted: float = NOISE) -> float:
    """The value that is nearest to `wanted`; NaN where there is none."""
    found = np.unique(np.asarray(values, dtype=float))
    return float(found[np.abs(found - wanted).argmin()]) if len(found) else float("nan")


def per_seed(rows: pd.DataFrame, by: str, value: str = "test_mse") -> pd.DataFrame:
    """`value` as (seeds, `by`)."""
    return rows.groupby(["seed", by])[value].mean().unstack()


def in_order(rows: pd.DataFrame, *then: str) -> pd.DataFrame:
    """Rows in the paper's order of models, other models after them by name; then by `then`."""
    place = {model: i for i, model in enumerate(MODELS)}
    rank = rows["model"].map(place).fillna(len(place))
    return rows.assign(_rank=rank).sort_values(
        ["_rank", "model", *then], kind="stable", ignore_index=True
    )[[*rows]]


def effect(values: pd.Series, percent: bool = False) -> str:
    """The mean of a number a seed, with its interval: "+3.1 % (95 % +2.0 to +4.2)"; "(1 seed)" has none."""
    values = values.dropna().to_numpy(dtype=float) * (100 if percent else 1)
    unit, mean = " %" if percent else "", values.mean()
    digits = _digits(mean) if percent else 4
    bounds = interval(values)
    if np.isnan(bounds.low):
        return f"{signed(mean, digits)}{unit} (1 seed)"
    ends = " to ".join(signed(end, digits) for end in (bounds.low, bounds.high))
    return f"{signed(mean, digits)}{unit} (95 % {ends})"


def change(share: float) -> str:
    """0.031 as "+3.1 %", 0.0004 as "+0.04 %"."""
    return f"{signed(100 * share, _digits(100 * share))} %"


def _digits(percent: float) -> int:
    return 2 if abs(percent) < 1 else 1


def signed(value: float, digits: int) -> str:
    """-0.2 as "−0.20", with a true minus sign; what rounds to 0 has no sign."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def intervals(table: pd.DataFrame, digits: int = 4) -> list[str | None]:
    """ "0.6312 to 0.6400" of the columns low and high; None where there is no interval."""
    bounds = table[["low", "high"]].to_numpy(dtype=float)
    return [
        f"{low:.{digits}f} to {high:.{digits}f}" if np.isfinite(low) else None
        for low, high in bounds
    ]


def outcome(verdict: ClaimVerdict, holds: str, fails: str) -> str:
    """A sentence on a claim: what it means that it holds, or that it does not; or that it is undecided, and why."""
    if verdict.outcome in (HOLDS, FAILS):
        said = holds if verdict.outcome == HOLDS else fails
        return f"{said} (p = {verdict.p:.2g}, {verdict.seeds})."
    return f"{verdict.head[0].upper()}{verdict.head[1:]}."


def table_of(
    evidence: Evidence, key: str, title: str, caption: str, frame: pd.DataFrame, formats: dict
) -> Table:
    """A Table of measurements; where the data are simulated, its caption says so."""
    caption = " ".join(caption.split()) + (SIMULATED if evidence.simulated else "")
    return Table(key, title, caption, frame, formats)


def words(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    names = [label(str(name)) for name in names]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def model_names(models: Iterable[str]) -> str:
    """Distinct models in the paper's order: "dense-2, dense-4 and conv"."""
    return words(in_order(pd.DataFrame({"model": sorted(set(models))}))["model"])


def n_seeds(n: int) -> str:
    """ "1 seed", "3 seeds"."""
    return "1 seed" if n == 1 else f"{n} seeds"
