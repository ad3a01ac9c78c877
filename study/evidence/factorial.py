"""Main effects and interactions of a two-level factorial, over replicates.

A factorial trains every combination of several items, each left as it is (0) or changed (1), in
each replicate. The main effect of an item is the mean over the combinations of the others, so that
one network per combination and replicate is enough for all effects; the interaction of two items is
the difference that one makes to the effect of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from study.evidence.effects import SMALLEST, Effect, effects

#: The items of an effect: one for a main effect, two for an interaction.
Items = tuple[str, ...]


def factorial_effects(
    values: pd.DataFrame, items: Sequence[str], overlap: float, smallest: float = SMALLEST
) -> dict[Items, Effect]:
    """Judge the main effects and two-way interactions of a two-level factorial as one family.

    Args:
        values: one row per replicate and combination, with the columns `seed`, one of 0 and 1 (or
            False and True) for each of `items`, and `value`: a log MSE, or another quantity whose
            difference is a log ratio.
        items: the columns of the items.
        overlap: n_test / n_train of a replicate's split; 0 for one fixed split.
        smallest: the smallest effect of interest in percent.

    Returns:
        By item, and by pair of items in their order, the effect on MSE in percent: above 0 the item
        raises it. Only replicates with every combination of the table are used.

    Raises ValueError if the combinations are not balanced: in each pair of columns, items or
    products of two items that share no item, all combinations must be equally frequent.
    """
    contrasts = factorial_contrasts(values, items)
    return effects(contrasts, overlap, smallest)


def factorial_contrasts(values: pd.DataFrame, items: Sequence[str]) -> dict[Items, pd.Series]:
    """Return the contrasts that `factorial_effects` judges: by items a series by replicate.

    A main effect is the mean of `value` with the item minus the mean without it; an interaction is
    the main effect of one item with the other changed, minus that with the other unchanged.
    """
    columns = list(items)
    table = values.pivot_table(index="seed", columns=columns, values="value", aggfunc="mean")
    table = table.dropna()
    if table.shape[1] < 2:
        return {}
    levels = np.array(table.columns.to_list(), dtype=float).reshape(table.shape[1], len(columns))
    signs: dict[Items, np.ndarray] = {}
    signs |= {(name,): 2 * levels[:, i] - 1 for i, name in enumerate(columns)}
    signs |= {(a, b): signs[a,] * signs[b,] for a, b in combinations(columns, 2)}
    _check_balance(signs)
    # Of n combinations the mean of value x sign is half a main effect, a quarter of an interaction.
    return {
        key: (table @ sign).rename(None) * 2 ** len(key) / table.shape[1]
        for key, sign in signs.items()
    }


def _check_balance(signs: dict[Items, np.ndarray]) -> None:
    """Raise ValueError unless all contrasts sum to 0 and are orthogonal to each other."""
    for key, sign in signs.items():
        if not np.isin(sign, (-1, 1)).all():
            raise ValueError(f"{key[0]}: its levels must be 0 and 1")
        if sign.sum() != 0:
            raise ValueError(f"{' x '.join(key)}: is not as often changed as left in this table")
    for one, other in combinations(signs, 2):
        if signs[one] @ signs[other] != 0:
            raise ValueError(f"{' x '.join(one)} and {' x '.join(other)}: cannot be told apart")
