"""Which samples are for training, validation and test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class Split:
    """Sorted row indices; the three parts are disjoint and together all samples."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def labels(self) -> np.ndarray:
        """The part of each sample, (samples,)."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        names = np.empty(sum(len(rows) for rows in parts.values()), dtype=object)
        for name, rows in parts.items():
            names[rows] = name
        return names


def split_samples(n_samples: int, seed: int = 0) -> Split:
    """80 % for training and validation (validation: 10 % of all samples), 20 % for the test.

    The shares are rounded to whole samples; the same seed gives the same split.
    """
    order = np.random.default_rng([seed, 0x5917]).permutation(n_samples)
    n_test = round(TEST_SHARE * n_samples)
    n_validation = round(VALIDATION_SHARE * n_samples)
    test, validation, train = np.split(order, [n_test, n_test + n_validation])
    return Split(np.sort(train), np.sort(validation), np.sort(test))
