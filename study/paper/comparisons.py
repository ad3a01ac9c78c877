"""What each claim of the paper compares: from the levels of one protocol to differences, part by part, seed by seed.

Every function takes a frame of one protocol with the columns of a levels table (study.levels) and `mse`, the measure
that the protocol is judged by, and returns study.claims.judging.Differences: positive where the claim says so.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from models.architecture import architecture
from models.config import DENSE_MODELS, NOISE_FACTORS
from study.paper.judging import Differences, Part
from study.paper.published import CONV_STEP, published_fig4, published_mse

DENSE = DENSE_MODELS
CONV = "conv"
MIDDLE = 0.5  # the noise factor of Figs. 4 and 5
RHO = 0.05  # of the paper's sparsity term

#: The network that a claim means where it does not say more; columns that a run does not have say nothing.
PLAIN = {"gene_order": "given", "train_fraction": 1.0, "noise_input": False}


def usable(levels: pd.DataFrame) -> pd.DataFrame:
    """Finished networks on the plain input, with a finite `mse`, by epochs; noise factors rounded: 0.1 * 3 is 0.3."""
    keep = (levels["status"] == "finished") & np.isfinite(levels["mse"].astype(float))
    for name, value in PLAIN.items():
        if name in levels:
            keep &= levels[name].isna() | (levels[name] == value)
    levels = levels[keep]  # first: pandas gives an empty table the index of what is assigned
    return levels.assign(noise_factor=levels["noise_factor"].round(9)).sort_values(
        "epochs", kind="stable"
    )


def depth_at_middle(levels: pd.DataFrame) -> Differences:
    """C1: by neighbouring depths, MSE of the deeper less that of the other, at noise 0.5."""
    return _by_depth(levels, (MIDDLE,))


def depth_everywhere(levels: pd.DataFrame) -> Differences:
    """C2: the same at each noise factor of the paper."""
    return _by_depth(levels, NOISE_FACTORS)


#: C1 is a part of C2: with C1 falls C2.
MIDDLE_PARTS: tuple[Part, ...] = tuple(
    (f"{deep} above {flat}", MIDDLE) for flat, deep in pairwise(DENSE)
)


def _by_depth(levels: pd.DataFrame, noise_factors: tuple[float, ...]) -> Differences:
    mse = _table(_plain(levels))
    pairs = [(flat, deep, noise) for noise in noise_factors for flat, deep in pairwise(DENSE)]
    return {
        (f"{b} above {a}", noise): _column(mse, b, noise) - _column(mse, a, noise)
        for a, b, noise in pairs
    }


def fall_with_noise_dense(levels: pd.DataFrame) -> Differences:
    """C3: by dense model, minus the least-squares slope of MSE over the noise factor."""
    return {(model, None): _fall(levels, model) for model in DENSE}


def fall_with_noise_conv(levels: pd.DataFrame) -> Differences:
    """C4: the same of the conv model."""
    return {(CONV, None): _fall(levels, CONV)}


def _fall(levels: pd.DataFrame, model: str) -> pd.Series:
    """MSE lost per 1.0 of noise, by seed; of seeds that have every noise factor that any seed has."""
    mse = _table(_plain(levels))
    if model not in mse.columns.get_level_values(0) or mse[model].shape[1] < 2:
        return pd.Series(dtype=float)
    mse = mse[
        model
    ]  # (seeds, noise factors); NaN where a network is not there, and then in the slope
    noise = mse.columns.to_numpy(dtype=float)
    centred = noise - noise.mean()
    return -(mse @ centred / (centred @ centred)).round(12)  # a flat curve has slope 0, not 1e-17


def conv_over_dense(levels: pd.DataFrame) -> Differences:
    """C5: log10(dense MSE / conv MSE) - 2 at noise 0.5: above 0 where conv is two orders of magnitude better.

    The dense side is the geometric mean over the dense models that were trained, so that none is chosen by its error.
    """
    mse = _table(_plain(levels))
    dense = [np.log10(_column(mse, model, MIDDLE)) for model in DENSE if (model, MIDDLE) in mse]
    if not dense:
        return {("dense over conv", MIDDLE): pd.Series(dtype=float)}
    mean = pd.concat(dense, axis=1).dropna().mean(axis=1)
    return {("dense over conv", MIDDLE): mean - np.log10(_column(mse, CONV, MIDDLE)) - 2}


def overfitting(levels: pd.DataFrame) -> Differences:
    """C6: the gap (test less train MSE) under more constraint less the gap under less; means over noise factors.

    By model, under the largest beta against beta 0. Where networks differ in their code alone, also the largest code
    against the smallest: a claim of its own, whose parts are named `code`.
    """
    levels = levels[
        _single_level(levels) & (levels["sparsity"] == "kl") & (levels["rho"].round(9) == RHO)
    ]
    levels = levels.assign(mse=levels["test_mse"] - levels["train_mse"])
    result = {}
    for model, rows in levels[levels["model"].isin(DENSE)].groupby("model"):
        gaps = _table(rows, "beta")
        if 0.0 in gaps and len(rows["beta"].unique()) > 1:
            most = rows["beta"].max()
            result[f"{model}, beta {most:g} against 0", None] = _mean_difference(
                gaps[most], gaps[0.0]
            )
    codes = _by_code(levels[(levels["beta"] == 0) & ~levels["model"].isin((*DENSE, CONV))])
    if codes and not result:  # the first half of the claim is open then
        result = {("sparsity (not measured)", None): pd.Series(dtype=float)}
    return result | codes


def _by_code(levels: pd.DataFrame) -> Differences:
    """Largest less smallest code, of models such as dense-64x16x64 that differ in their code alone."""
    sizes: dict[tuple, dict[int, str]] = {}
    for model in levels["model"].unique():
        network = architecture(model)
        around = tuple(
            "code" if i in network.code_layers else str(w) for i, w in enumerate(network.hidden)
        )
        sizes.setdefault(around, {})[network.bottleneck] = model
    gaps = _table(levels)
    parts = {}
    for around, models in sizes.items():
        small, large = min(models), max(models)
        if small < large:
            name = f"{'x'.join(around)}, code {large} against {small}"
            parts[name, None] = _mean_difference(gaps[models[large]], gaps[models[small]])
    return parts


def mixed_noise(levels: pd.DataFrame) -> Differences:
    """C7: by model, MSE of the specialists of the levels less that of the network trained on a mixture of them.

    Means over the levels that both were tested at.
    """
    mixed = levels[levels["mixed"] & (levels["beta"] == 0)]
    mixed, special = _table(mixed), _table(_plain(levels))
    models = (
        mixed.columns.get_level_values(0).unique().intersection(special.columns.get_level_values(0))
    )
    parts = {(model, None): _mean_difference(special[model], mixed[model]) for model in models}
    return parts


def _plain(levels: pd.DataFrame) -> pd.DataFrame:
    """Without a sparsity term, and each level with a phase of its own."""
    return levels[(levels["beta"] == 0) & ~levels["mixed"]]


def _single_level(levels: pd.DataFrame) -> pd.Series:
    """Trained on the one level that the row is of: the only rows whose train MSE is of that level."""
    return ~(levels["carried"] | levels["mixed"])


def _table(levels: pd.DataFrame, by: str = "model") -> pd.DataFrame:
    """MSE as (seeds, `by` x noise factors); of networks that differ in epochs alone the one trained longest."""
    return levels.pivot_table(
        index="seed", columns=[by, "noise_factor"], values="mse", aggfunc="last"
    )


def _column(mse: pd.DataFrame, model: str, noise_factor: float) -> pd.Series:
    """MSE by seed; empty where it was not measured."""
    return (
        mse[model, noise_factor].dropna()
        if (model, noise_factor) in mse
        else pd.Series(dtype=float)
    )


def _mean_difference(more: pd.DataFrame, less: pd.DataFrame) -> pd.Series:
    """By seed the mean over the noise factors of both, of seeds that have them all in both."""
    both = more.columns.intersection(less.columns)
    return (more[both] - less[both]).dropna().mean(axis=1)


def divided_by_n(levels: pd.DataFrame) -> pd.DataFrame:
    """The conv model's MSE divided by n = 292 x (index of the noise level + 1), as Fig. 10 prints it (10 levels)."""
    index = (levels["noise_factor"] * 10).round()
    conv = levels["model"] == CONV
    mse = levels["mse"].where(~conv, levels["mse"] / (CONV_STEP * (index + 1)))
    return levels.assign(mse=mse)[~conv | (index < 10)]


def division_by_n() -> pd.DataFrame:
    """The paper's numbers that are an MSE divided once more by n: printed x n is the MSE.

    One row a number of Figs. 4 and 10; for Fig. 4 beside what Figs. 6-9 have for the same network at noise 0.5
    (`curve`; Fig. 9 shows only "about 1"), and their ratio. Columns: figure, model, noise_factor, printed, n, product,
    curve, curve_figure, ratio.
    """
    conv = [published_mse(CONV, noise) for noise in NOISE_FACTORS]
    rows = []
    for value in (*published_fig4().values(), *(value for value in conv if value is not None)):
        curve = published_mse(value.model, value.noise_factor) if value.model != CONV else None
        beside = (curve.mse, curve.figure, value.mse / curve.mse) if curve else (np.nan, "", np.nan)
        figure = value.figure.partition(" /")[0]
        rows.append(
            (figure, value.model, value.noise_factor, value.printed, value.n, value.mse, *beside)
        )
    names = "figure model noise_factor printed n product curve curve_figure ratio"
    return pd.DataFrame(rows, columns=names.split())
