"""The comparisons of each claim of the paper: log ratios by part and replicate, in one protocol.

Every comparison takes a frame of one protocol with the columns of a levels table
(study/evidence/evidence.py) and `mse`, the measure that is judged. It returns Differences
(study/paper/judging.py): log ratios of two MSE of the same replicate, which are above 0 if the
claim is right.

The gap, which the paper calls overfitting, is log(test MSE / train MSE), both on noisy rows. By
chance the test rows of a split can be easier than its training rows for any network: the MSE of the
gene means may be 1.00 on training and 0.97 on test rows. The log of that ratio is a bias of the
gap, the same for all networks of a replicate, so that it cancels in the difference of two gaps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pandas as pd

from models.architecture import DenseArchitecture, architecture
from models.config import AS_WRITTEN, PLAIN
from models.config import DENSE_MODELS as DENSE
from study.evidence.clusters import Contrast
from study.evidence.evidence import NOISY_INPUT, Evidence
from study.evidence.plain import plain, unchanged
from study.paper.judging import Differences, Part, Role
from study.paper.published import CONV_STEP

CONV = "conv"
MIDDLE = 0.5  # the noise factor of Figs. 4 and 5
HUNDRED = 100.0
#: Subjects of parts of a claim (Part.about).
SPARSITY, CODE, MIXED, ACROSS, SPATIAL = "sparsity", "code", "mixed noise", "other noise", "spatial"
WIENER_INPUT, RIDGE = "Wiener", "ridge"

_NONE = pd.Series(dtype=float)


def usable(levels: pd.DataFrame) -> pd.DataFrame:
    """Return finished networks on the plain input with a finite `mse`, sorted by epochs.

    As-written networks are plain except for their sparsity term. Noise factors are rounded, so that
    0.1 * 3 is 0.3.
    """
    others = (levels["protocol"] != AS_WRITTEN) & (levels["status"] == "finished")
    keep = plain(levels, "beta", "sparsity", "rho") | (others & unchanged(levels))
    levels = levels[
        keep & np.isfinite(levels["mse"].astype(float))
    ]  # before assigning, since pandas gives an empty table the index of the assigned values
    levels = levels.assign(noise_factor=levels["noise_factor"].astype(float).round(9))
    return levels.sort_values("epochs", kind="stable")


# Depth.


def deeper(names: Iterable[str] = DENSE) -> list[tuple[str, str]]:
    """Return pairs of neighbours in depth as (deeper, other)."""
    return [(deep, flat) for flat, deep in pairwise(names)]


#: The parts of C1, which are also parts of C2: if C1 is reversed, so is C2.
MIDDLE_PARTS = tuple(Part(f"{deep} above {flat}", MIDDLE) for deep, flat in deeper())


def order_of_depths(levels: pd.DataFrame, noise_factors: tuple[float, ...]) -> Differences:
    """Return C1's and C2's differences: MSE of the deeper of two neighbours over the other's."""
    mse = _table(_plain(levels))
    return {
        Part(f"{deep} above {flat}", noise): _at(mse, deep, noise) - _at(mse, flat, noise)
        for noise in noise_factors
        for deep, flat in deeper()
    }


def contrasts_of_depths(
    levels: pd.DataFrame, noise_factors: tuple[float, ...]
) -> dict[Part, Contrast]:
    """Return C1's and C2's differences as weights of log MSE."""
    return {
        Part(f"{deep} above {flat}", noise): {(deep, noise): 1.0, (flat, noise): -1.0}
        for noise in noise_factors
        for deep, flat in deeper()
    }


# Noise.


def shape_of_curves(levels: pd.DataFrame, models: tuple[str, ...]) -> Differences:
    """Return C3's and C4's differences: by model the fall to the turning point, and beyond it.

    The turning point of a replicate is the noise factor at which the *other* replicates have the
    least geometric mean MSE, so that its own errors do not choose it. The first part is
    log(MSE at the least noise / MSE there): above 0 the curve falls. The second is
    log(MSE there / MSE at the most noise): below 0 the curve rises again, above 0 it falls further.
    """
    parts: dict[Part, pd.Series] = {}
    table = _table(_plain(levels))
    for model in models:
        mse = _curve(table, model)
        enough = _is_curve(mse)
        at = _at_turning_points(mse) if enough else _NONE
        first, last = (mse.iloc[:, 0], mse.iloc[:, -1]) if enough else (_NONE, _NONE)
        falls, beyond = _shape_parts(model, falls=not enough or (at != first).any())
        parts |= {falls: first - at, beyond: at - last}
    return parts


def _shape_parts(model: str, falls: bool = True) -> tuple[Part, Part]:
    """Return the parts of a curve up to its turning point, and beyond it.

    If no replicate's curve falls, since its turning point is at the least noise, the first part is
    0 by construction, and the second alone decides.
    """
    roles = (Role.DECIDES, Role.BOUND) if falls else (Role.ASIDE, Role.DECIDES)
    return (
        Part(f"{model} falls", about=model, role=roles[0]),
        Part(f"{model} does not rise again", about=model, role=roles[1]),
    )


def contrasts_of_shapes(levels: pd.DataFrame, models: tuple[str, ...]) -> dict[Part, Contrast]:
    """Return C3's and C4's differences as weights of log MSE, with the mean's turning point."""
    found: dict[Part, Contrast] = {}
    for model, mse in curves_of(levels, models).items():
        curve = np.log(mse).mean()
        first, at, last = curve.index[0], curve.idxmin(), curve.index[-1]
        for part, one, other in zip(_shape_parts(model), (first, at), (at, last), strict=True):
            same = one == other
            found[part] = {(model, other): -1.0, (model, one): 0.0 if same else 1.0}
    return found


def _at_turning_points(log_mse: pd.DataFrame) -> pd.Series:
    """Return log MSE of each replicate at its turning point."""
    turning = turning_points(log_mse)
    values = [log_mse.loc[seed, noise] for seed, noise in turning.items()]
    return pd.Series(values, turning.index, dtype=float)


def turning_points(log_mse: pd.DataFrame) -> pd.Series:
    """Return for each replicate the noise factor at which the other replicates' mean is least.

    log_mse: (replicates, noise factors). A single replicate, which gives no verdict, has its own.
    """
    if len(log_mse) == 1:
        return log_mse.idxmin(axis=1)
    others = (log_mse.sum() - log_mse) / (len(log_mse) - 1)
    return others.idxmin(axis=1)


def curves_of(levels: pd.DataFrame, models: tuple[str, ...]) -> dict[str, pd.DataFrame]:
    """Return by model the MSE (replicates, noise factors) of those that have all noise factors.

    Models without a curve are missing.
    """
    table = _table(_plain(levels))
    curves = {model: _curve(table, model) for model in models}
    return {model: np.exp(curve) for model, curve in curves.items() if _is_curve(curve)}


def _is_curve(log_mse: pd.DataFrame) -> bool:
    """Return whether there are replicates with more than one noise factor."""
    return len(log_mse) > 0 and log_mse.shape[1] > 1


def _curve(mse: pd.DataFrame, model: str) -> pd.DataFrame:
    """Return log MSE of one model (seeds, noise factors), for seeds with every noise factor."""
    return mse[model].dropna() if model in mse else pd.DataFrame()


# Conv and dense.


def conv_over_dense(levels: pd.DataFrame, times: float = 1.0) -> Differences:
    """Return C5's differences, log(dense MSE / conv MSE / times) at noise 0.5.

    They are above 0 if the conv model is better by more than `times`. The dense side is the
    geometric mean over the dense models that were trained, so that none is chosen by its error.
    """
    mse = _table(_plain(levels))
    found = [curve for model in DENSE if len(curve := _at(mse, model, MIDDLE))]
    dense = pd.concat(found, axis=1).dropna().mean(axis=1) if found else _NONE
    how = "better" if times == 1 else f"{times:g} times better"
    difference = (dense - _at(mse, CONV, MIDDLE)).dropna() - np.log(times)
    return {Part(f"conv {how} than dense", MIDDLE): difference}


def contrasts_of_kinds(levels: pd.DataFrame) -> dict[Part, Contrast]:
    """Return C5's first difference as weights of log MSE."""
    dense = [model for model in DENSE if model in set(levels["model"])]
    weights = {(model, MIDDLE): 1 / len(dense) for model in dense}
    return {Part("conv better than dense", MIDDLE): {**weights, (CONV, MIDDLE): -1.0}}


def given_order(evidence: Evidence) -> Differences:
    """Return C5's spatial difference: MSE of conv on random gene orders over the given order."""
    rows = _alike(evidence.levels, "gene_order")
    rows = rows[(rows["model"] == CONV) & (rows["noise_factor"] == MIDDLE)]
    mse = _table(rows.assign(mse=rows["test_mse"]), "gene_order")
    part = Part("conv better on the given order of genes than on random orders", MIDDLE, SPATIAL)
    return {part: (_at(mse, "random", MIDDLE) - _at(mse, "given", MIDDLE)).dropna()}


# Overfitting.


def overfitting(levels: pd.DataFrame) -> Differences:
    """Return C6's differences of the gap with more and with less constraint.

    They are means over noise factors: by model, the largest beta against beta 0, and for networks
    that differ only in their code, the largest code against the smallest.
    """
    levels = _with_gap(levels[~(levels["carried"] | levels["mixed"])])
    levels = levels[(levels["sparsity"] == "kl") & (levels["rho"] == PLAIN["rho"])]
    result: dict[Part, pd.Series] = {}
    for model, rows in levels[levels["model"].isin(DENSE)].groupby("model"):
        most = rows["beta"].max()
        if most > 0 and (rows["beta"] == 0).any():
            gaps = _table(rows, "beta")
            part = Part(f"{model}, beta {most:g} against 0", about=SPARSITY)
            result[part] = _less(gaps[most], gaps[0.0])
    codes = _by_code(levels[(levels["beta"] == 0) & (levels["model"] != CONV)])
    result = result or {Part("more sparsity", about=SPARSITY): _NONE}
    return {**result, **(codes or {Part("a larger code", about=CODE): _NONE})}


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


def gap_by_depth(levels: pd.DataFrame) -> Differences:
    """Return C8's differences: gap of the deeper of two neighbours minus the other's, at 0.5."""
    gaps = _table(_with_gap(_plain(levels)))
    return {
        Part(f"{deep} overfits more than {flat}", MIDDLE): (
            _at(gaps, deep, MIDDLE) - _at(gaps, flat, MIDDLE)
        ).dropna()
        for deep, flat in deeper()
    }


def gap_by_noise(levels: pd.DataFrame) -> Differences:
    """Return C9's differences between the gaps at the least and at the most noise factor.

    Dense networks should overfit less at the most noise, the conv network more.
    """
    table = _table(_with_gap(_plain(levels)))
    parts = {}
    for model in (*DENSE, CONV):
        gaps = _curve(table, model)
        fall = gaps.iloc[:, 0] - gaps.iloc[:, -1] if _is_curve(gaps) else _NONE
        words, sign = ("more", -1) if model == CONV else ("less", 1)
        parts[Part(f"{model} overfits {words} at the most noise", about=model)] = sign * fall
    return parts


def _with_gap(levels: pd.DataFrame) -> pd.DataFrame:
    """Return levels whose `mse` is test MSE over train MSE."""
    return levels.assign(mse=levels["test_mse"] / levels["train_mse"])


# Several noise levels.


def mixed_noise(levels: pd.DataFrame) -> Differences:
    """Return C7's first half: by model, the specialists' MSE over that of the mixed-noise network.

    They are means over the noise factors at which both were tested.
    """
    mixed = levels[levels["mixed"] & (levels["beta"] == 0)]
    special = _plain(levels)
    models = sorted(set(mixed["model"]) & set(special["model"]))
    mixed, special = _table(mixed), _table(special)
    parts = {
        Part(f"{model} trained on mixed noise", about=MIXED): _less(special[model], mixed[model])
        for model in models
    }
    return parts or {Part("trained on mixed noise", about=MIXED): _NONE}


def other_noise(evidence: Evidence) -> Differences:
    """Return C7's second half: the gain of the best network trained at another noise factor.

    It is, by model, the MSE of the network trained at the noise factor of the test over that of the
    best one trained at another, which the other replicates choose (as in shape_of_curves). It is a
    mean over the noise factors of the test.
    """
    across = _alike(evidence.across)
    across = across.assign(
        tested_at=across["tested_at"].astype(float).round(9), mse=across["test_mse"]
    )
    parts: dict[Part, pd.Series] = {}
    for model, rows in across.groupby("model", sort=False):
        mse = _table(rows, "tested_at")
        gains = [_elsewhere(mse[at].dropna(), at) for at in mse.columns.unique("tested_at")]
        found = [gain for gain in gains if len(gain)]
        if found:
            mean = pd.concat(found, axis=1).dropna().mean(axis=1)
            parts[Part(f"{model} trained at another level", about=ACROSS)] = mean
    return parts or {Part("trained at another level", about=ACROSS): _NONE}


def _elsewhere(mse: pd.DataFrame, tested_at: float) -> pd.Series:
    """Return the gain of the best network of another noise factor over that of `tested_at`.

    mse: log MSE (seeds, noise factors trained at) of the tests at that noise factor.
    """
    if tested_at not in mse or not _is_curve(mse):
        return _NONE
    elsewhere = mse.drop(columns=tested_at)
    return mse[tested_at] - _at_turning_points(elsewhere)


# Other genes.


def other_genes(evidence: Evidence) -> Differences:
    """Return C10's differences: the gain of denoised landmarks in predicting the other genes.

    It is the MSE of predicting them from noisy landmarks over that from denoised ones.
    Landmarks are denoised by each network, and a ridge predicts the other genes. Comparisons with
    other predictors, and with the Wiener filter instead of noisy landmarks, do not count (ASIDE).
    """
    rows = evidence.inference
    rows = rows[rows["noise_factor"] > 0]
    mse = rows.pivot_table(
        index="seed", columns=["predictor", "noise_factor", "input"], values="test_mse"
    )
    mse = np.log(mse)
    networks = [name for name in rows["input"].unique() if name in (*DENSE, CONV)]
    parts: dict[Part, pd.Series] = {}
    for (predictor, noise), _ in rows.groupby(["predictor", "noise_factor"], sort=False):
        for network in networks:
            for other in (NOISY_INPUT, WIENER_INPUT):
                decides = (predictor, other) == (RIDGE, NOISY_INPUT)
                part = Part(
                    f"{predictor} from landmarks denoised by {network}, against {other}",
                    noise,
                    other,
                    Role.DECIDES if decides else Role.ASIDE,
                )
                columns = [(predictor, noise, name) for name in (other, network)]
                if all(column in mse for column in columns):
                    parts[part] = (mse[columns[0]] - mse[columns[1]]).dropna()
    return parts


# Test samples.


@lru_cache(1)
def sample_errors(evidence: Evidence) -> pd.DataFrame:
    """Return the squared errors of plain as-written networks on their own test samples.

    Columns: seed, model, noise_factor, cluster (Evidence.clusters) and squared_error.
    """
    levels = evidence.levels[evidence.levels["protocol"] == AS_WRITTEN]
    levels = _plain(usable(levels.assign(mse=levels["test_mse"])))
    place = ["seed", "model", "noise_factor"]
    levels = levels.drop_duplicates(place, keep="last")
    errors = evidence.samples
    errors = errors[errors["member_id"].isin(levels["member_id"])]
    errors = errors.assign(noise_factor=errors["noise_factor"].astype(float).round(9))
    errors = errors.merge(levels[["member_id", *place]], on=["member_id", "noise_factor"])
    return errors.assign(cluster=errors["sample_id"].map(evidence.clusters))[
        [*place, "cluster", "squared_error"]
    ]


# Tables.


def _alike(rows: pd.DataFrame, *free: str) -> pd.DataFrame:
    """Return finished as-written networks of one noise factor, plain except for `free` settings."""
    keep = plain(rows, *free) & np.isfinite(rows["test_mse"].astype(float))
    keep &= ~(rows["mixed"].astype(bool) | rows["carried"].astype(bool))
    rows = rows[keep]
    return rows.assign(noise_factor=rows["noise_factor"].astype(float).round(9)).sort_values(
        "epochs"
    )


def _plain(levels: pd.DataFrame) -> pd.DataFrame:
    """Return networks without a sparsity term that were trained on one noise factor at a time."""
    return levels[(levels["beta"] == 0) & ~levels["mixed"]]


def _table(levels: pd.DataFrame, by: str = "model") -> pd.DataFrame:
    """Pivot log MSE to (seeds, `by` x noise factors), for networks with the most epochs.

    An MSE of 0, which has no logarithm, counts as not measured.
    """
    columns = [by, "noise_factor"]
    mse = levels.groupby(["seed", *columns])["mse"].last().unstack(columns)
    return np.log(mse.astype(float).where(mse > 0))


def _at(mse: pd.DataFrame, model: str, noise_factor: float) -> pd.Series:
    """Return log MSE by seed; empty if it was not measured."""
    return mse.get((model, noise_factor), _NONE).dropna()


def _less(more: pd.DataFrame, less: pd.DataFrame) -> pd.Series:
    """Return the difference by seed, as a mean over shared noise factors, for seeds with all."""
    both = more.columns.intersection(less.columns)
    return (more[both] - less[both]).dropna().mean(axis=1)


def mean_of_parts(differences: Differences) -> pd.Series:
    """Return the mean over the measured parts by replicate, for replicates that have them all."""
    measured = [values for values in differences.values() if values.notna().any()]
    return pd.concat(measured, axis=1).dropna().mean(axis=1) if measured else _NONE


def divided_by_n(levels: pd.DataFrame) -> pd.DataFrame:
    """Divide the conv model's MSE by n = 292 x (index of the noise level + 1), as Fig. 10 does."""
    index = (levels["noise_factor"] * 10).round()
    conv = levels["model"] == CONV
    mse = levels["mse"].where(~conv, levels["mse"] / (CONV_STEP * (index + 1)))
    return levels.assign(mse=mse)[~conv | (index < 10)]
