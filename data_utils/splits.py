"""Which samples are for training, validation and test."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from data_utils.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.1
MIN_GROUPS = 3  # one for each part


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

    def digest(self) -> str:
        """sha256 (hex) over the part of each sample: equal digests, equal splits."""
        return hashlib.sha256("\n".join(self.labels()).encode()).hexdigest()


def split_samples(n_samples: int, seed: int = 0, groups: np.ndarray | None = None) -> Split:
    """80 % for training and validation (validation: 10 % of all samples), 20 % for the test.

    The shares are rounded to whole samples; the same seed gives the same split. groups: (samples,) texts; samples of
    one text come into one part, and the shares are as near as that allows. Fewer groups than MIN_GROUPS: ValueError.
    """
    if groups is not None:
        return _split_groups(np.asarray(groups, dtype=object), seed)
    order = np.random.default_rng([seed, 0x5917]).permutation(n_samples)
    n_test = round(TEST_SHARE * n_samples)
    n_validation = round(VALIDATION_SHARE * n_samples)
    test, validation, train = np.split(order, [n_test, n_test + n_validation])
    return Split(np.sort(train), np.sort(validation), np.sort(test))


def group_values(labels: pd.DataFrame, group: str | None) -> np.ndarray | None:
    """Column `group` of the sample labels as (samples,) texts; None for None. Samples without a value are one group.

    Raises InputError for a column that is not there, naming those that are, and one of fewer than MIN_GROUPS values.
    """
    if group is None:
        return None
    if group not in labels:
        known = ", ".join(map(str, labels.columns)) or "none at all"
        raise InputError(
            f"--group {group}: the samples have no such label (they have: {known}): give one, or none"
        )
    values = labels[group].map(str).to_numpy(dtype=object)
    found = len(set(values))
    if found < MIN_GROUPS:
        raise InputError(
            f"--group {group}: has {found} different value(s), {MIN_GROUPS} are needed for training, validation and "
            "test: give another label, or none"
        )
    return values


def split_notes(split: Split, labels: pd.DataFrame, group: str | None) -> tuple[str, ...]:
    """A line for the log on how the samples were split where those of one `group` stay together; else none."""
    values = group_values(labels, group)
    if values is None:
        return ()
    parts = {"training": split.train, "validation": split.validation, "test": split.test}
    shares = ", ".join(f"{len(rows)} {part}" for part, rows in parts.items())
    counts = ", ".join(str(len(set(values[rows]))) for rows in parts.values())
    return (
        f"split: all samples of one {group} are in one part: {shares} samples of {counts} (else: --group none)",
    )


def _split_groups(groups: np.ndarray, seed: int) -> Split:
    """Groups are drawn in a random order: those that fit into 30 % of the samples are held out, of these those that
    fit into 10 % validate and the others test. What a part misses of its share is about half its smallest group."""
    names, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < MIN_GROUPS:
        raise ValueError(f"{len(names)} groups cannot be {MIN_GROUPS} parts")
    order = np.random.default_rng([seed, 0x5918]).permutation(len(names))
    n_validation = round(VALIDATION_SHARE * len(groups))
    n_held_out = round(TEST_SHARE * len(groups)) + n_validation
    held_out = _fill(order, sizes, n_held_out, at_least=2, at_most=len(names) - 1)
    validation = _fill(held_out[::-1], sizes, n_validation, at_least=1, at_most=len(held_out) - 1)
    is_validation, is_held_out = np.isin(group_of, validation), np.isin(group_of, held_out)
    parts = (~is_held_out, is_validation, is_held_out & ~is_validation)
    return Split(*map(np.flatnonzero, parts))


def _fill(
    order: Sequence[int], sizes: np.ndarray, target: int, at_least: int, at_most: int
) -> list[int]:
    """Groups in `order` that fit into `target` samples together; the smallest other one, too, if that comes nearer."""
    chosen: list[int] = []
    room = target
    for group in order:
        if sizes[group] <= room and len(chosen) < at_most:
            chosen.append(int(group))
            room -= sizes[group]
    while len(chosen) < at_most:
        taken = set(chosen)
        group = min((int(g) for g in order if g not in taken), key=lambda g: sizes[g])
        if len(chosen) >= at_least and sizes[group] - room >= room:
            break
        chosen.append(group)
        room -= sizes[group]
    return chosen
