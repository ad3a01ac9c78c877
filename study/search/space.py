"""What a search looks for: its space, the networks of a suggestion, and the number that judges them."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from data_utils.errors import InputError
from models.config import PAPER_CODE, MemberConfig, Phase
from study.options import SearchOptions

SIZES = (2, 512)

#: What can be tuned besides the code size. Around the code lie `depth` layers on each side (0: dense-2's shape, 1:
#: dense-4's ...), each `width` times as wide as the next one inwards, as in the paper's Fig. 2, where it is 2.
TUNABLE: dict[str, BaseDistribution] = {
    "width": FloatDistribution(1.25, 4.0, log=True),
    "depth": IntDistribution(0, 2),
    "learning_rate": FloatDistribution(3e-4, 1e-2, log=True),
    "beta": FloatDistribution(1e-5, 1e-1, log=True),
}
USUAL = {"width": 2.0, "depth": 0, "learning_rate": 1e-3, "beta": 0.0}


class Space:
    """The space of a search on data of `n_genes` genes, and what its points are."""

    def __init__(self, options: SearchOptions, n_genes: int):
        """Raises InputError for a code that is larger than the number of genes."""
        self.options, self.n_genes = options, n_genes
        low, high = (SIZES[0], min(SIZES[1], n_genes)) if options.sizes is None else options.sizes
        if high > n_genes:
            raise InputError(
                f"--sizes {low} {high}: the data have {n_genes} genes: a code has at most as many units"
            )
        self.distributions: dict[str, BaseDistribution] = {
            "code_size": IntDistribution(low, high, log=True)
        }
        self.distributions |= {name: TUNABLE[name] for name in TUNABLE if name in options.tune}
        self.members(
            self.first()
        )  # what networks refuse, such as a negative noise factor, is refused now

    def identity(self) -> dict:
        """What makes it this search and no other; JSON-able."""
        options = self.options
        return {
            "search": options.search,
            "mode": options.mode,
            "space": {
                name: json.loads(distribution_to_json(d)) for name, d in self.distributions.items()
            },
            "noise_factors": list(options.noise_factors),
            "seeds": options.seeds,
            "epochs": options.epochs,
            "sampler": options.sampler,
            "search_seed": options.search_seed,
        }

    def first(self) -> dict[str, float]:
        """The paper's code size, or the nearest that is in the space, with the usual values of the rest."""
        sizes = self.distributions["code_size"]
        inner = {name: d for name, d in self.distributions.items() if name != "code_size"}
        clipped = {name: min(max(USUAL[name], d.low), d.high) for name, d in inner.items()}
        return {"code_size": min(max(PAPER_CODE, sizes.low), sizes.high), **clipped}

    def has(self, code_size: int) -> bool:
        """Whether a code size is in the space."""
        sizes = self.distributions["code_size"]
        return sizes.low <= code_size <= sizes.high

    def model(self, params: dict[str, float]) -> str:
        """The network's name. Outer layers are wider than the code: the narrowest layers are the code."""
        values = {**USUAL, **params}
        code, depth = int(params["code_size"]), int(values["depth"])
        if "width" in params and "depth" not in params:
            depth = 1
        outer = [
            min(math.ceil(code * values["width"] ** k), self.n_genes) for k in range(1, depth + 1)
        ]
        outer = [max(width, code + 1) for width in outer]
        return "dense-" + "x".join(map(str, [*outer[::-1], code, code, *outer]))

    def members(
        self, params: dict[str, float], seeds: Sequence[int] | None = None
    ) -> tuple[MemberConfig, ...]:
        """The networks of a point: seeds (the search's own if None) x noise factors, in the order of a pack."""
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
    """The number that a search lowers: of the members' MSE, (K,), the mean over seeds at each of their noise

    factors, (K,), and the geometric mean of those. A level counts by its ratio: else the noisiest, whose errors are
    largest, would decide alone. NaN where any member has no finite MSE.
    """
    mse, noise_factors = np.asarray(mse, dtype=np.float64), np.asarray(noise_factors)
    if not np.isfinite(mse).all():
        return math.nan
    means = [mse[noise_factors == level].mean() for level in np.unique(noise_factors)]
    return float(np.exp(np.log(means).mean())) if len(means) > 1 else float(means[0])
