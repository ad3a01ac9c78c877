"""Intervals over test samples, by groups that are drawn whole."""

import math

import numpy as np
import pandas as pd
import pytest

from study.evidence.clusters import cluster_intervals

PAIR = {("b", 0.5): 1.0, ("a", 0.5): -1.0}


def errors(clusters=40, per_cluster=5, seeds=3, effect=0.1, spread=0.5, own=0.0):
    """Errors of two networks; those of one cluster are alike, and `own` is a sample's part."""
    rng = np.random.Generator(np.random.PCG64(0))
    of = np.repeat(np.arange(clusters), per_cluster)
    level = np.exp(spread * rng.normal(size=clusters))[of]
    ratio = (1 + effect * (1 + 2 * rng.normal(size=clusters)))[of] * np.exp(
        own * rng.normal(size=len(of))
    )
    rows = []
    for seed in range(seeds):
        tested = rng.permutation(len(of))[: len(of) // 5]
        for model, squared in (("a", level), ("b", level * ratio)):
            rows.append(
                pd.DataFrame(
                    {
                        "seed": seed,
                        "model": model,
                        "noise_factor": 0.5,
                        "cluster": [f"donor {i}" for i in of[tested]],
                        "sample": tested,
                        "squared_error": squared[tested],
                    }
                )
            )
    return pd.concat(rows, ignore_index=True)


def mean_effect(table):
    mse = table.groupby(["seed", "model"])["squared_error"].mean().unstack()
    return 100 * (np.exp(np.log(mse["b"] / mse["a"]).mean()) - 1)


def test_an_interval_holds_the_effect_and_its_width_is_that_of_clusters():
    table = errors()
    found = cluster_intervals(table, {"b over a": PAIR})["b over a"]
    assert found.low < mean_effect(table) < found.high
    # as if every sample were a cluster by itself, it would be narrower
    alone = table.assign(cluster=table["sample"])
    narrow = cluster_intervals(alone, {"b over a": PAIR})["b over a"]
    assert found.high - found.low > 1.2 * (narrow.high - narrow.low)
    assert cluster_intervals(table, {"b over a": PAIR})["b over a"] == found


def test_networks_that_differ_by_a_factor_differ_so_on_any_samples():
    table = errors(effect=0.0)
    table.loc[table["model"] == "b", "squared_error"] *= 1.25
    found = cluster_intervals(table, {"b over a": PAIR, "nothing": {("a", 0.5): 0.0}})
    assert (found["b over a"].low, found["b over a"].high) == pytest.approx((25, 25))
    assert (found["nothing"].low, found["nothing"].high) == (0, 0)


def test_it_covers_a_mean_over_clusters():
    """One replicate that tests all: the standard error of a mean of ratios is known."""
    table = errors(clusters=200, per_cluster=1, seeds=1, spread=0.0)
    ratio = table.loc[table["model"] == "b", "squared_error"]
    error = ratio.std() / math.sqrt(len(ratio)) / ratio.mean()
    found = cluster_intervals(table, {"b over a": PAIR})["b over a"]
    width = math.log1p(found.high / 100) - math.log1p(found.low / 100)
    assert width == pytest.approx(2 * 1.96 * error, rel=0.2)


def test_what_cannot_be_compared_has_no_interval():
    table = errors(clusters=9)
    assert cluster_intervals(table, {"b over a": PAIR}) == {}
    table = errors()
    assert cluster_intervals(table, {"c over a": {("c", 0.5): 1.0, ("a", 0.5): -1.0}}) == {}
