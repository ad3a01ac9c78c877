"""The parameter space of a search, the networks of its points, and the objective."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence

import numpy as np
import optuna
from optuna.distributions import FloatDistribution, IntDistribution, distribution_to_json

from data_utils.errors import InputError
from models.config import PAPER_CODE, MemberConfig, Phase
from study.options import SearchOptions

SIZES = (2, 512)
#: Parameters that can be tuned besides the code size. On each side of the code are `depth` layers
#: (0 is the shape of dense-2, 1 of dense-4 ...), each `width` times as wide as the next one
#: inwards; the paper's width is 2 (Fig. 2).
TUNABLE: dict[str, FloatDistribution | IntDistribution] = {
    "width": FloatDistribution(1.25, 4.0, log=True),
    "depth": IntDistribution(0, 2),
    "learning_rate": FloatDistribution(3e-4, 1e-2, log=True),
    "beta": FloatDistribution(1e-5, 1e-1, log=True),
}
USUAL = {"width": 2.0, "depth": 0, "learning_rate": 1e-3, "beta": 0.0}


class Space:
    """The space of a search on data of `n_genes` genes, and the networks of its points."""

    def __init__(self, options: SearchOptions, n_genes: int):
        """Check the space. Raises InputError if a code may have more units than genes."""
        self.options, self.n_genes = options, n_genes
        low, high = options.sizes or (SIZES[0], min(SIZES[1], n_genes))
        if high > n_genes:
            raise InputError(
                f"--sizes {low} {high}: the data have {n_genes} genes: "
                "a code has at most as many units"
            )
        self.sizes = IntDistribution(low, high, log=True)
        tuned = {name: TUNABLE[name] for name in TUNABLE if name in options.tune}
        self.distributions = {"code_size": self.sizes, **tuned}
        self.members(self.first())  # raises now for bad options such as noise factors

    def identity(self) -> dict:
        """Return the JSON-able settings that distinguish this search from others."""
        options = self.options
        return {
            "search": options.search,
            "mode": options.mode,
            "space": {
                name: json.loads(distribution_to_json(distribution))
                for name, distribution in self.distributions.items()
            },
            "noise_factors": list(options.noise_factors),
            "seeds": options.seeds,
            "epochs": options.epochs,
            "sampler": options.sampler,
            "search_seed": options.search_seed,
        }

    def first(self) -> dict[str, float]:
        """Return the paper's code size and the usual values, or the nearest in the space."""
        usual = {"code_size": PAPER_CODE, **USUAL}
        return {
            name: min(max(usual[name], distribution.low), distribution.high)
            for name, distribution in self.distributions.items()
        }

    def suggest(self, trial: optuna.Trial) -> None:
        """Let Optuna choose the parameters that a trial does not have yet."""
        for name, distribution in self.distributions.items():
            if isinstance(distribution, IntDistribution):
                trial.suggest_int(name, distribution.low, distribution.high, log=distribution.log)
            else:
                trial.suggest_float(name, distribution.low, distribution.high, log=distribution.log)

    def model(self, params: dict[str, float]) -> str:
        """Return the name of a point's network; its narrowest layers are the code."""
        values = {**USUAL, **params}
        code, depth = int(params["code_size"]), int(values["depth"])
        if "width" in params and "depth" not in params:
            depth = 1
        outer = [
            max(code + 1, min(math.ceil(code * values["width"] ** k), self.n_genes))
            for k in range(1, depth + 1)
        ]
        return "dense-" + "x".join(map(str, [*outer[::-1], code, code, *outer]))

    def members(
        self, params: dict[str, float], seeds: Sequence[int] | None = None
    ) -> tuple[MemberConfig, ...]:
        """Return the networks of a point: seeds (None: the search's) x noise factors."""
        values = {**USUAL, **params}
        seeds = range(self.options.seeds) if seeds is None else seeds
        return tuple(
            MemberConfig(
                self.model(params),
                (Phase((noise_factor,), self.options.epochs),),
                seed,
                beta=values["beta"],
                learning_rate=values["learning_rate"],
                grid=f"search-{self.options.search}",
            )
            for seed, noise_factor in itertools.product(seeds, self.options.noise_factors)
        )


def objective(mse: Sequence[float], noise_factors: Sequence[float]) -> float:
    """Return the objective of a search from its networks' MSE and noise factors, (K,) each.

    It is the geometric mean over noise factors of the mean over seeds: with ratios, the noise
    factor of the largest errors does not decide by itself. NaN unless all are finite.
    """
    values, levels = np.asarray(mse, dtype=np.float64), np.asarray(noise_factors)
    if not np.isfinite(values).all():
        return math.nan
    means = [values[levels == level].mean() for level in np.unique(levels)]
    return float(np.exp(np.log(means).mean())) if len(means) > 1 else float(means[0])
