"""Intervals over test samples: how comparisons vary with other samples of the same kind.

Samples of one donor, or of another group that a split keeps together, are alike, and so are those
of one tissue. So whole donors or tissues (Evidence.clusters) are drawn with replacement, and every
replicate's MSE is measured again on its own test samples among those drawn. Replicates test the
same samples repeatedly, and a sample that is drawn twice counts twice in all of them. Networks are
not trained again, so these intervals do not cover other training samples (intervals of
study/evidence/effects.py do).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np
import pandas as pd

from study.evidence.effects import percent
from study.evidence.evidence import FEWEST_CLUSTERS
from study.evidence.stats import Interval

Key = TypeVar("Key", bound=Hashable)
#: Weights of log MSE by model and noise factor; their sum over both is a log ratio.
Contrast = Mapping[tuple[str, float], float]

DRAWS = 1000


def cluster_intervals(
    errors: pd.DataFrame, contrasts: Mapping[Key, Contrast], level: float = 0.95
) -> dict[Key, Interval]:
    """Return by key the interval, in percent, of a mean contrast over replicates.

    errors: one row per network, noise factor and test sample, with the columns seed, model,
    noise_factor, cluster and squared_error. A contrast is missing if no replicate has all of its
    networks; all are if there are fewer than FEWEST_CLUSTERS. The draws are the same in every call.
    """
    codes, clusters = pd.factorize(errors["cluster"])
    if len(clusters) < FEWEST_CLUSTERS:
        return {}
    rng = np.random.Generator(np.random.PCG64(0))
    n = len(clusters)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=DRAWS).astype(float)  # (draws, clusters)
    log_mse: dict[tuple[int, str, float], np.ndarray] = {}
    wanted = {place for contrast in contrasts.values() for place in contrast}
    squared = errors["squared_error"].to_numpy(dtype=float)
    for key, places in errors.groupby(["seed", "model", "noise_factor"]).indices.items():
        if key[1:] in wanted:
            of = codes[places]
            sums = np.bincount(of, squared[places], minlength=n)
            counts = np.bincount(of, minlength=n).astype(float)
            with np.errstate(divide="ignore", invalid="ignore"):  # a draw may have no such samples
                log_mse[key] = np.log(weights @ sums) - np.log(weights @ counts)
    seeds = sorted({seed for seed, *_ in log_mse})
    found = {}
    for name, contrast in contrasts.items():
        whole = [s for s in seeds if all((s, *place) in log_mse for place in contrast)]
        if whole:
            terms = [w * log_mse[s, *p] for p, w in contrast.items() for s in whole]
            drawn = np.sum(terms, axis=0) / len(whole)
            ends = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2])
            found[name] = Interval(*map(percent, ends))
    return found
