"""Counts of molecules (or reads): loading, drawing and checking them, and binomial thinning.

Thinning assigns every counted molecule of x to the first half with probability p, else to the
second:

    a ~ Binomial(x, p),    b = x - a,    E[a | x] = p x,    Var[a | x] = Var[b | x] = p (1 - p) x.

If x is Poisson given the expression mu, a ~ Poisson(p mu) and b ~ Poisson((1 - p) mu) are
independent given mu: then b tests a denoiser of a as new counts of the sample would (molecular
cross-validation: Batson, Royer, Webber 2019). In general
Cov[a, b | mu] = p (1 - p) (Var[x | mu] - E[x | mu]): if counts vary more than Poisson counts, for
example because molecules were copied in the laboratory, both halves share noise that thinning
cannot reveal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from data_utils.errors import InputError
from data_utils.expression import count_and_first, where
from data_utils.noise import numpy_stream
from data_utils.sources import SIMULATED, Dataset, load_dataset

#: Counts of a sample of the simulated data: about 20 per gene.
SIMULATED_DEPTH = 20_000


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts with their source and depth.

    values: (samples, genes) int64, no sample empty. data: their source, names and hash.
    depth: the total that samples were thinned to or drawn for; None if they are unchanged.
    """

    values: np.ndarray
    data: Dataset
    depth: int | None = None


def load_counts(
    data: str = SIMULATED,
    *,
    depth: int | None = None,
    genes_in: str | None = None,
    all_genes: bool = False,
    data_seed: int = 0,
) -> Counts:
    """Load counts of a file, or simulated ones (see `load_dataset` for the arguments).

    depth: for a file, samples with more counts are thinned to about this many; for simulated data,
    the expected counts of a sample. Raises InputError for values that are not counts, and for
    samples without counts.
    """
    if depth is not None and depth < 1:
        raise InputError(f"--depth {depth}: give at least 1 count per sample, or leave it out")
    dataset = load_dataset(
        data, genes_in=genes_in, transform="none", all_genes=all_genes, data_seed=data_seed
    )
    if dataset.simulated:
        values = simulate_counts(dataset.matrix.values, depth or SIMULATED_DEPTH, data_seed)
        counts = Counts(values, dataset, depth or SIMULATED_DEPTH)
    else:
        check_counts(dataset)
        # float32 holds whole numbers up to 2^24; a larger count is off by less than 1 in 10^7
        values = np.rint(dataset.matrix.values).astype(np.int64)
        counts = Counts(values if depth is None else _to_depth(values, depth), dataset, depth)
    # this matrix makes the hash that of the counts used, not of what they were drawn from
    matrix = replace(dataset.matrix, values=counts.values)
    return replace(counts, data=replace(dataset, matrix=matrix))


def check_counts(dataset: Dataset) -> None:
    """Raise InputError unless all values are whole numbers >= 0, and no sample is all 0."""
    matrix, name = dataset.matrix, dataset.source
    faults = {
        "negative": lambda block: block < 0,
        "not whole numbers": lambda block: block != np.rint(block),
    }
    for fault, is_wrong in faults.items():
        count, place = count_and_first(matrix.values, is_wrong)
        if place is not None:
            raise InputError(
                f"{name}: {count} of {matrix.values.size} values are {fault}, the first is "
                f"{matrix.values[place]:g} at {where(matrix, *place)}: thinning needs raw counts: "
                "give them before any normalisation or log"
            )
    empty = np.flatnonzero(matrix.values.sum(axis=1) == 0)
    if len(empty):
        first = repr(matrix.sample_ids[empty[0]])
        raise InputError(
            f"{name}: {len(empty)} samples have no counts, the first is {first}: remove them"
        )


def simulate_counts(log2_values: np.ndarray, depth: int, seed: int) -> np.ndarray:
    """Draw Poisson counts (samples, genes), int64, at `rates`."""
    return numpy_stream(seed, "simulated-counts").poisson(rates(log2_values, depth))


def rates(log2_values: np.ndarray, depth: float) -> np.ndarray:
    """Return expected counts (samples, genes), in proportion to 2^value, `depth` per sample."""
    weights = np.exp2(log2_values.astype(np.float64))
    return depth * weights / weights.sum(axis=1, keepdims=True)


def thin(
    counts: np.ndarray, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return two halves of the counts: on average `share` of each count, and the rest."""
    kept = rng.binomial(counts, share)
    return kept, counts - kept


def _to_depth(values: np.ndarray, depth: int) -> np.ndarray:
    share = np.minimum(depth / values.sum(axis=1, keepdims=True), 1.0)
    return numpy_stream(0, "depth").binomial(values, share)
