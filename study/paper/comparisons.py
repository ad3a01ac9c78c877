"""What each claim of the paper compares: differences by part and seed, in one protocol.

Every comparison takes a frame of one protocol with the columns of a levels table
(study/evidence/evidence.py) and `mse`, the measure that the protocol is judged by. It returns
Differences (study/paper/judging.py), which are positive if the claim is right.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pandas as pd

from models.architecture import DenseArchitecture, architecture
from models.config import DENSE_MODELS as DENSE
from models.config import PLAIN
from study.paper.judging import Differences, Part
from study.paper.published import CONV_STEP

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
    levels = levels.assign(noise_factor=levels["noise_factor"].round(9))
    return levels.sort_values("epochs", kind="stable")


#: C1 is a part of C2: if C1 falls, so does C2.
MIDDLE_PARTS = tuple(Part(f"{deep} above {flat}", MIDDLE) for flat, deep in pairwise(DENSE))


def order_of_depths(levels: pd.DataFrame, noise_factors: tuple[float, ...]) -> Differences:
    """Return C1's and C2's differences: MSE of the deeper of two neighbours less the other."""
    mse = _table(_plain(levels))
    return {
        Part(f"{deep} above {flat}", noise): _at(mse, deep, noise) - _at(mse, flat, noise)
        for noise in noise_factors
        for flat, deep in pairwise(DENSE)
    }


def fall_with_noise(levels: pd.DataFrame, models: tuple[str, ...]) -> Differences:
    """Return C3's and C4's differences: by model, minus the slope of MSE over noise."""
    return {Part(model): _fall(levels, model) for model in models}


def _fall(levels: pd.DataFrame, model: str) -> pd.Series:
    """Return MSE lost per 1.0 of noise (least squares), by seed, for seeds with every level."""
    levels = _plain(levels)
    mse = _table(levels[levels["model"] == model])  # (seeds, noise factors); NaN gives a NaN slope
    if mse.shape[1] < 2:
        return pd.Series(dtype=float)
    mse = mse[model]
    noise = mse.columns.to_numpy(dtype=float)
    centred = noise - noise.mean()
    return -(mse @ centred / (centred @ centred)).round(12)  # a flat curve has slope 0, not 1e-17


def conv_over_dense(levels: pd.DataFrame) -> Differences:
    """Return C5's differences, log10(dense MSE / conv MSE) - 2 at noise 0.5.

    They are above 0 if conv is two orders of magnitude better. The dense side is the geometric mean
    over the dense models that were trained, so that none is chosen by its error.
    """
    mse = _table(_plain(levels))
    found = [curve for model in DENSE if len(curve := np.log10(_at(mse, model, MIDDLE)))]
    dense = pd.concat(found, axis=1).dropna().mean(axis=1) if found else pd.Series(dtype=float)
    return {Part("dense over conv", MIDDLE): dense - np.log10(_at(mse, CONV, MIDDLE)) - 2}


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
        most = rows["beta"].max()
        if most > 0 and (rows["beta"] == 0).any():
            gaps = _table(rows, "beta")
            result[Part(f"{model}, beta {most:g} against 0")] = _less(gaps[most], gaps[0.0])
    codes = _by_code(levels[(levels["beta"] == 0) & ~levels["model"].isin((*DENSE, CONV))])
    if codes and not result:  # the first half of the claim is open then
        result = {Part("sparsity (not measured)"): pd.Series(dtype=float)}
    return {**result, **codes}


def _by_code(levels: pd.DataFrame) -> Differences:
    """Compare the largest code with the smallest, in models such as dense-64x16x64."""
    sizes: dict[str, dict[int, str]] = defaultdict(dict)
    for model in levels["model"].unique():
        network = architecture(model)
        if not isinstance(network, DenseArchitecture):
            continue
        widths = enumerate(network.hidden)
        around = "x".join("code" if i in network.code_layers else str(w) for i, w in widths)
        sizes[around][network.bottleneck] = model
    gaps, parts = _table(levels), {}
    for around, models in sizes.items():
        small, large = min(models), max(models)
        if small < large:
            part = Part(f"{around}, code {large} against {small}", about=CODE)
            parts[part] = _less(gaps[models[large]], gaps[models[small]])
    return parts


def mixed_noise(levels: pd.DataFrame) -> Differences:
    """Return C7's differences: by model, the specialists' MSE less that of one for mixed noise.

    They are means over the noise factors that both were tested at.
    """
    mixed = levels[levels["mixed"] & (levels["beta"] == 0)]
    special = _plain(levels)
    models = sorted(set(mixed["model"]) & set(special["model"]))
    mixed, special = _table(mixed), _table(special)
    return {Part(model): _less(special[model], mixed[model]) for model in models}


def _plain(levels: pd.DataFrame) -> pd.DataFrame:
    """Return networks without a sparsity term that were trained on one noise factor at a time."""
    return levels[(levels["beta"] == 0) & ~levels["mixed"]]


def _table(levels: pd.DataFrame, by: str = "model") -> pd.DataFrame:
    """Pivot MSE to (seeds, `by` x noise factors), for networks with the most epochs."""
    columns = [by, "noise_factor"]
    return levels.pivot_table(index="seed", columns=columns, values="mse", aggfunc="last")


def _at(mse: pd.DataFrame, model: str, noise_factor: float) -> pd.Series:
    """Return MSE by seed; empty if it was not measured."""
    return mse.get((model, noise_factor), pd.Series(dtype=float)).dropna()


def _less(more: pd.DataFrame, less: pd.DataFrame) -> pd.Series:
    """Return the difference by seed, mean over the noise factors of both, of seeds with all."""
    both = more.columns.intersection(less.columns)
    return (more[both] - less[both]).dropna().mean(axis=1)


def divided_by_n(levels: pd.DataFrame) -> pd.DataFrame:
    """Divide the conv model's MSE by n = 292 x (index of the noise level + 1), as Fig. 10 does."""
    index = (levels["noise_factor"] * 10).round()
    conv = levels["model"] == CONV
    mse = levels["mse"].where(~conv, levels["mse"] / (CONV_STEP * (index + 1)))
    return levels.assign(mse=mse)[~conv | (index < 10)]
