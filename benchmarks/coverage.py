"""How often the report's intervals hold the truth, and how often its verdicts are false.

Finite data sets are drawn from a population, each is split J times at random into 70 % training,
10 % validation and 20 % test rows, and two learners are trained and tested on every split, as the
replicates of a study are. In most scenarios the learners are exchangeable: each sees its own block
of variables, and both blocks have the same law. The expected log ratio of their errors is exactly
0, and with one error multiplied by 1 + e it is exactly log(1 + e). In the others it is the mean
over many more data sets.

Run it with `python -m benchmarks.coverage --data-sets 4000`: a table by scenario and J. A verdict
is false if it gives an effect of 0 or of the other sign a direction, or if it calls an effect of
interest no difference. `one split` is Student's interval of the same replicates, which is right
only for other seeds on the same split.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from data_utils.preparation import split_samples
from study.evidence.effects import effect_of, percent
from study.evidence.stats import HOLDS, NO_DIFFERENCE, REVERSED
from study.paper.judging import Part, judge

REPLICATES = (5, 10, 20)
#: Test rows per training row.
OVERLAP = 2 / 7
#: Sizes of effects, in percent, for which false verdicts are counted.
SIZES = (0.0, 0.5, 1.0, 2.0)
FACTORS, GENES, NOISE = 5, 30, 0.5

#: A function that draws a data set's arrays from a generator and a number of samples.
Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, ...]]
#: A function that returns the errors of two learners on a data set, its training and test rows.
Errors = Callable[[tuple[np.ndarray, ...], np.ndarray, np.ndarray], tuple[float, float]]


@dataclass(frozen=True)
class Scenario:
    """A population with two learners; `exchangeable` if their expected errors are equal."""

    name: str
    samples: int
    draw: Draw
    errors: Errors
    exchangeable: bool = True

    def log_ratios(self, data_sets: int, replicates: int, seed: int = 0) -> np.ndarray:
        """Return log(error of the second / error of the first) by data set and replicate."""
        found = np.empty((data_sets, replicates))
        for i in range(data_sets):
            rng = _generator(seed, i)
            data = self.draw(rng, self.samples)
            for r in range(replicates):
                split = split_samples(self.samples, int(rng.integers(1 << 31)))
                one, other = self.errors(data, split.train, split.test)
                found[i, r] = np.log(other / one)
        return found


def regression(variables: int) -> tuple[Draw, Errors]:
    """Make least squares on two blocks of variables, each of which explains a third of a target."""

    def draw(rng: np.random.Generator, samples: int) -> tuple[np.ndarray, ...]:
        blocks = rng.normal(size=(2, samples, variables))
        target = blocks.sum(axis=(0, 2)) / np.sqrt(variables) + rng.normal(size=samples)
        return *blocks, target

    def errors(
        data: tuple[np.ndarray, ...], train: np.ndarray, test: np.ndarray
    ) -> tuple[float, float]:
        *blocks, target = data
        one, other = (
            float(np.mean((target[test] - block[test] @ _least_squares(block, target, train)) ** 2))
            for block in blocks
        )
        return one, other

    return draw, errors


def _generator(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(key))


def _least_squares(block: np.ndarray, target: np.ndarray, train: np.ndarray) -> np.ndarray:
    x = block[train]
    return np.linalg.solve(x.T @ x + 1e-6 * np.eye(x.shape[1]), x.T @ target[train])


def denoising(components: tuple[int, int], heavy: bool = False) -> tuple[Draw, Errors]:
    """Make a scenario of denoising by PCA: two blocks of genes, or one with two code sizes.

    With `heavy` each sample has a random scale with heavy tails.
    """
    loadings = _generator(2).normal(size=(FACTORS, GENES))

    exchangeable = components[0] == components[1]

    def block(
        rng: np.random.Generator, samples: int, scale: np.ndarray | float
    ) -> tuple[np.ndarray, np.ndarray]:
        factors = rng.normal(size=(samples, FACTORS)) @ loadings
        clean = (factors + 0.5 * rng.normal(size=factors.shape)) * scale
        return clean, clean + NOISE * rng.normal(size=clean.shape)

    def draw(rng: np.random.Generator, samples: int) -> tuple[np.ndarray, ...]:
        scale = np.sqrt(5 / rng.chisquare(5, size=(samples, 1))) if heavy else 1.0
        blocks = [block(rng, samples, scale)]
        blocks.append(block(rng, samples, scale) if exchangeable else blocks[0])
        return *blocks[0], *blocks[1]

    def errors(
        data: tuple[np.ndarray, ...], train: np.ndarray, test: np.ndarray
    ) -> tuple[float, float]:
        pairs = zip(data[::2], data[1::2], components, strict=True)
        one, other = (_pca_error(*pair, train, test) for pair in pairs)
        return one, other

    return draw, errors


def _pca_error(
    clean: np.ndarray, noisy: np.ndarray, components: int, train: np.ndarray, test: np.ndarray
) -> float:
    x = clean[train]
    vectors = np.linalg.eigh(x.T @ x)[1][:, -components:]
    return float(np.mean((noisy[test] @ vectors @ vectors.T - clean[test]) ** 2))


SCENARIOS = (
    Scenario("least squares, 5 variables", 150, *regression(5)),
    Scenario("least squares, 40 variables", 150, *regression(40)),
    Scenario("least squares, 40 variables", 600, *regression(40)),
    Scenario("denoising by PCA", 150, *denoising((5, 5))),
    Scenario("denoising by PCA, heavy tails", 150, *denoising((5, 5), heavy=True)),
    Scenario("denoising by PCA, heavy tails", 600, *denoising((5, 5), heavy=True)),
    Scenario("PCA of 4 and of 5 components", 150, *denoising((4, 5)), exchangeable=False),
    Scenario("PCA of 5 and of 8 components", 600, *denoising((5, 8)), exchangeable=False),
    Scenario(
        "PCA of 5 and of 8, heavy tails", 600, *denoising((5, 8), heavy=True), exchangeable=False
    ),
)


def coverage(log_ratios: np.ndarray, overlap: float, truth: float = 0.0) -> float:
    """Return the share of data sets, one per row, whose interval holds the true log ratio."""
    found = [effect_of(row, overlap) for row in log_ratios]
    return float(np.mean([effect.low <= percent(truth) <= effect.high for effect in found]))


def false_verdicts(log_ratios: np.ndarray, overlap: float, size: float = 0.0) -> float:
    """Return the share of data sets with a false verdict, for rows whose true log ratio is 0.

    `size` in percent is added to the effect. A direction is false for an effect of 0, the other
    direction for any, and "no difference" for one of 1 % and more.
    """
    outcomes = [effect_of(row + np.log1p(size / 100), overlap).outcome for row in log_ratios]
    false = {REVERSED}
    false |= {HOLDS} if size == 0 else set()
    false |= {NO_DIFFERENCE} if size >= 1 else set()
    return float(np.mean([outcome in false for outcome in outcomes]))


def false_claims(log_ratios: np.ndarray, overlap: float, sizes: tuple[float, ...]) -> float:
    """Return the share of false verdicts on claims that have a part for each of `sizes`.

    The parts of a claim are different data sets with the effects added: a claim whose effects are
    all at least 1 % must be neither reversed nor "no difference", one with an effect of 0 must
    neither hold nor be reversed.
    """
    usable = len(log_ratios) // len(sizes) * len(sizes)
    rows = log_ratios[:usable].reshape(-1, len(sizes), log_ratios.shape[1])
    wrong = {REVERSED, HOLDS} if min(sizes) == 0 else {REVERSED, NO_DIFFERENCE}
    false = 0
    for claim in rows:
        parts = {
            Part(str(i)): pd.Series(row + np.log1p(size / 100))
            for i, (row, size) in enumerate(zip(claim, sizes, strict=True))
        }
        verdict = judge(parts, overlap)
        false += verdict is not None and verdict.outcome in wrong
    return false / len(rows)


def rows_of(scenario: Scenario, data_sets: int, overlap: float) -> Iterator[dict]:
    """Yield one row of the table for each number of replicates."""
    log_ratios = scenario.log_ratios(data_sets, max(REPLICATES))
    truth = 0.0
    if not scenario.exchangeable:
        truth = float(scenario.log_ratios(20 * data_sets, 1, seed=1).mean())
    for j in REPLICATES:
        some = log_ratios[:, :j]
        row = {"scenario": scenario.name, "samples": scenario.samples, "replicates": j}
        row |= {"covers": coverage(some, overlap, truth), "one split": coverage(some, 0, truth)}
        centred = some - truth
        row |= {f"false at {e:g} %": false_verdicts(centred, overlap, e) for e in SIZES}
        row["false claim, parts at 0"] = false_claims(centred, overlap, (0.0, 0.0, 0.0))
        row["false claim, parts at 2 %"] = false_claims(centred, overlap, (2.0, 2.0, 2.0))
        yield row


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data-sets", type=int, default=1000, help="of each scenario")
    parser.add_argument("--overlap", type=float, default=OVERLAP, help="of the correction")
    options = parser.parse_args()
    rows = (row for its in SCENARIOS for row in rows_of(its, options.data_sets, options.overlap))
    for i, row in enumerate(rows):
        if i == 0:
            print(" | ".join(row))
        texts = [f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()]
        print(" | ".join(texts), flush=True)


if __name__ == "__main__":
    main()
