"""What each claim of the paper compares: differences by part and seed, in one protocol.

Every comparison takes a frame of one protocol with the columns of a levels table
(study/evidence/levels.py) and `mse`, the measure that the protocol is judged by. It returns
Differences (study/paper/judging.py), which are positive if the claim is right.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd

from models.architecture import architecture
from models.config import DENSE_MODELS as DENSE
from models.config import NOISE_FACTORS, PLAIN
from study.paper.judging import Differences, Part
from study.paper.published import CONV_STEP, published_fig4, published_mse

CONV = "conv"
MIDDLE = 0.5  # the noise factor of Figs. 4 and 5
CODE = "code"  # the parts of C6 that compare code sizes


def usable(levels: pd.DataFrame) -> pd.DataFrame:
    """Return finished networks on the plain input with a finite `mse`, sorted by epochs.

    Noise factors are rounded: 0.1 * 3 is 0.3.
    """
    keep = (levels["status"] == "finished") & np.isfinite(levels["mse"].astype(float))
    for name in ("gene_order", "train_fraction", "noise_input"):
        keep &= levels[name] == PLAIN[name]
    levels = levels[keep]  # first: pandas gives an empty table the index of what is assigned
    return levels.assign(noise_factor=levels["noise_factor"].round(9)).sort_values(
        "epochs", kind="stable"
    )


def depth_at_middle(levels: pd.DataFrame) -> Differences:
    """Return C1's differences: MSE of the deeper of two neighbours less the other, at noise 0.5."""
    return _by_depth(levels, (MIDDLE,))


def depth_everywhere(levels: pd.DataFrame) -> Differences:
    """Return C2's differences: those of C1 at each noise factor of the paper."""
    return _by_depth(levels, NOISE_FACTORS)


#: C1 is a part of C2: if C1 falls, so does C2.
MIDDLE_PARTS = tuple(Part(f"{deep} above {flat}", MIDDLE) for flat, deep in pairwise(DENSE))


def _by_depth(levels: pd.DataFrame, noise_factors: tuple[float, ...]) -> Differences:
    mse = _table(_plain(levels))
    pairs = [(flat, deep, noise) for noise in noise_factors for flat, deep in pairwise(DENSE)]
    return {
        Part(f"{b} above {a}", noise): _column(mse, b, noise) - _column(mse, a, noise)
        for a, b, noise in pairs
    }


def fall_with_noise_dense(levels: pd.DataFrame) -> Differences:
    """Return C3's differences: by dense model, minus the least-squares slope of MSE over noise."""
    return {Part(model): _fall(levels, model) for model in DENSE}


def fall_with_noise_conv(levels: pd.DataFrame) -> Differences:
    """Return C4's differences: minus the slope of the conv model's MSE over the noise factor."""
    return {Part(CONV): _fall(levels, CONV)}


def _fall(levels: pd.DataFrame, model: str) -> pd.Series:
    """Return MSE lost per 1.0 of noise, by seed, for seeds that have every noise factor."""
    mse = _table(_plain(levels))
    if model not in mse.columns.get_level_values(0) or mse[model].shape[1] < 2:
        return pd.Series(dtype=float)
    mse = mse[model]  # (seeds, noise factors); a missing network is NaN, and then so is the slope
    noise = mse.columns.to_numpy(dtype=float)
    centred = noise - noise.mean()
    return -(mse @ centred / (centred @ centred)).round(12)  # a flat curve has slope 0, not 1e-17


def conv_over_dense(levels: pd.DataFrame) -> Differences:
    """Return C5's differences, log10(dense MSE / conv MSE) - 2 at noise 0.5.

    They are above 0 if conv is two orders of magnitude better. The dense side is the geometric mean
    over the dense models that were trained, so that none is chosen by its error.
    """
    part = Part("dense over conv", MIDDLE)
    mse = _table(_plain(levels))
    dense = [np.log10(_column(mse, model, MIDDLE)) for model in DENSE if (model, MIDDLE) in mse]
    if not dense:
        return {part: pd.Series(dtype=float)}
    mean = pd.concat(dense, axis=1).dropna().mean(axis=1)
    return {part: mean - np.log10(_column(mse, CONV, MIDDLE)) - 2}


def overfitting(levels: pd.DataFrame) -> Differences:
    """Return C6's differences, of the gap (test less train MSE) under more and less constraint.

    They are means over noise factors: by model, the largest beta against beta 0, and for networks
    that differ only in their code, the largest code against the smallest (parts about CODE).
    """
    levels = levels[~(levels["carried"] | levels["mixed"])]
    levels = levels[(levels["sparsity"] == "kl") & (levels["rho"] == PLAIN["rho"])]
    levels = levels.assign(mse=levels["test_mse"] - levels["train_mse"])
    result: dict[Part, pd.Series] = {}
    for model, rows in levels[levels["model"].isin(DENSE)].groupby("model"):
        gaps = _table(rows, "beta")
        if 0.0 in gaps and len(rows["beta"].unique()) > 1:
            most = rows["beta"].max()
            part = Part(f"{model}, beta {most:g} against 0")
            result[part] = _mean_difference(gaps[most], gaps[0.0])
    codes = _by_code(levels[(levels["beta"] == 0) & ~levels["model"].isin((*DENSE, CONV))])
    if codes and not result:  # the first half of the claim is open then
        result = {Part("sparsity (not measured)"): pd.Series(dtype=float)}
    return {**result, **codes}


def _by_code(levels: pd.DataFrame) -> Differences:
    """Compare the largest code with the smallest, in models such as dense-64x16x64."""
    sizes: dict[tuple[str, ...], dict[int, str]] = {}
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
            parts[Part(name, None, CODE)] = _mean_difference(
                gaps[models[large]], gaps[models[small]]
            )
    return parts


def mixed_noise(levels: pd.DataFrame) -> Differences:
    """Return C7's differences: by model, the specialists' MSE less that of one for mixed noise.

    They are means over the noise factors that both were tested at.
    """
    mixed = levels[levels["mixed"] & (levels["beta"] == 0)]
    mixed, special = _table(mixed), _table(_plain(levels))
    models = (
        mixed.columns.get_level_values(0).unique().intersection(special.columns.get_level_values(0))
    )
    return {Part(model): _mean_difference(special[model], mixed[model]) for model in models}


def _plain(levels: pd.DataFrame) -> pd.DataFrame:
    """Return networks without a sparsity term that were trained on one noise factor at a time."""
    return levels[(levels["beta"] == 0) & ~levels["mixed"]]


def _table(levels: pd.DataFrame, by: str = "model") -> pd.DataFrame:
    """Pivot MSE to (seeds, `by` x noise factors), for networks with the most epochs."""
    return levels.pivot_table(
        index="seed", columns=[by, "noise_factor"], values="mse", aggfunc="last"
    )


def _column(mse: pd.DataFrame, model: str, noise_factor: float) -> pd.Series:
    """Return MSE by seed; empty if it was not measured."""
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
    """Divide the conv model's MSE by n = 292 x (index of the noise level + 1), as Fig. 10 does."""
    index = (levels["noise_factor"] * 10).round()
    conv = levels["model"] == CONV
    mse = levels["mse"].where(~conv, levels["mse"] / (CONV_STEP * (index + 1)))
    return levels.assign(mse=mse)[~conv | (index < 10)]


def division_by_n() -> pd.DataFrame:
    """Return the paper's numbers that are an MSE divided once more by n: printed x n is the MSE.

    One row per number of Figs. 4 and 10. For Fig. 4, `curve` is what Figs. 6-9 have for the same
    network at noise 0.5 (Fig. 9 shows only "about 1"), and `ratio` is product / curve.
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
