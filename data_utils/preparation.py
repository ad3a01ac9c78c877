"""Preparing an expression matrix for networks: splitting it, and scaling it by training rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix, row_blocks

if TYPE_CHECKING:  # training needs no labels, and pandas takes half a second to import
    import pandas as pd

SPLITS = ("train", "validation", "test")
TEST_SHARE = 0.2
VALIDATION_SHARE = 0.1
MIN_GROUPS = 3  # one for each part

#: Rows that give a gene's centre and scale; content of one input row (see `PreparedData.variant`).
SCALINGS = ("train", "all")
LAYOUTS = ("sample", "stream")
IMAGE_PIXELS = 24 * 24
#: Added to the standard deviation, as D-GEX does, so that a constant gene becomes 0.
STD_OFFSET = 1e-3
#: Genes whose scaling is found together, which bounds the memory of float64 sums.
GENE_BLOCK = 1024
#: Bytes of scaled values that are kept for later requests; at least one replicate is kept.
KEPT_BYTES = 1 << 28


@dataclass(frozen=True)
class Split:
    """Sorted row indices; the three parts are disjoint and together all samples."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def labels(self) -> np.ndarray:
        """Return the part of each sample, (samples,)."""
        names = np.empty(len(self.train) + len(self.validation) + len(self.test), dtype=object)
        for part in SPLITS:
            names[getattr(self, part)] = part
        return names

    def digest(self) -> str:
        """Return a sha256 (hex) over the part of each sample: equal digests, equal splits."""
        return hashlib.sha256("\n".join(self.labels()).encode()).hexdigest()


def split_samples(
    n_samples: int, seed: int = 0, groups: Sequence[str] | np.ndarray | None = None
) -> Split:
    """Split into 70 % for training, 10 % for validation and 20 % for the test.

    The shares are rounded to whole samples; the same seed gives the same split. groups: (samples,)
    texts, at least MIN_GROUPS different ones; samples of the same text come into the same part, and
    the shares are as near as that allows.
    """
    if groups is not None:
        return _split_groups(np.asarray(groups, dtype=object), seed)
    order = np.random.default_rng([seed, 0x5917]).permutation(n_samples)
    n_test = round(TEST_SHARE * n_samples)
    n_validation = round(VALIDATION_SHARE * n_samples)
    test, validation, train = np.split(order, [n_test, n_test + n_validation])
    return Split(np.sort(train), np.sort(validation), np.sort(test))


def _split_groups(groups: np.ndarray, seed: int) -> Split:
    """Draw the groups in a random order, and hold out those that fit into 30 % of the samples.

    Of these, those that fit into 10 % are for validation and the others for the test. A part misses
    its share by about half of its smallest group.
    """
    names, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng([seed, 0x5918]).permutation(len(names)).tolist()
    n_validation = round(VALIDATION_SHARE * len(groups))
    n_held_out = round(TEST_SHARE * len(groups)) + n_validation
    held_out = _fill(order, sizes, n_held_out, at_least=2, at_most=len(names) - 1)
    validation = _fill(held_out[::-1], sizes, n_validation, at_least=1, at_most=len(held_out) - 1)
    is_validation, is_held_out = np.isin(group_of, validation), np.isin(group_of, held_out)
    parts = (~is_held_out, is_validation, is_held_out & ~is_validation)
    return Split(*map(np.flatnonzero, parts))


def _fill(
    order: list[int], sizes: np.ndarray, target: int, at_least: int, at_most: int
) -> list[int]:
    """Choose groups, in `order`, that together fit into `target` samples.

    The smallest of the others is also chosen if that comes nearer to the target, or if fewer than
    `at_least` fit.
    """
    chosen: list[int] = []
    room = target
    for group in order:
        if sizes[group] <= room and len(chosen) < at_most:
            chosen.append(group)
            room -= sizes[group]
    while len(chosen) < at_most:
        taken = set(chosen)
        group = min((g for g in order if g not in taken), key=lambda g: sizes[g])
        if len(chosen) >= at_least and sizes[group] - room >= room:
            break
        chosen.append(group)
        room -= sizes[group]
    return chosen


def group_values(labels: pd.DataFrame, group: str | None) -> np.ndarray | None:
    """Return column `group` of the sample labels as (samples,) texts; None for None.

    Samples without a value are one group. Raises InputError for a column that is missing, naming
    those that exist, and for one of fewer than MIN_GROUPS values.
    """
    if group is None:
        return None
    if group not in labels:
        known = ", ".join(map(str, labels.columns)) or "none at all"
        raise InputError(
            f"--group {group}: the samples have no such label (they have: {known}): give one, or "
            "none"
        )
    values = labels[group].map(str).to_numpy(dtype=object)
    found = len(set(values))
    if found < MIN_GROUPS:
        raise InputError(
            f"--group {group}: has {found} different value(s), {MIN_GROUPS} are needed for "
            "training, validation and test: give another label, or none"
        )
    return values


@dataclass(frozen=True)
class ZScore:
    """z = (x - centre) / scale by gene, with scale = std + 1e-3; arrays (genes,), float64."""

    centre: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray) -> ZScore:
        """Fit to training rows (samples, genes). Sums are float64: a constant gene's std is 0."""
        centre = values.mean(axis=0, dtype=np.float64)
        constant = (values == values[:1]).all(axis=0)
        centre = np.where(constant, values[0].astype(np.float64), centre)
        scale = values.std(axis=0, dtype=np.float64) + STD_OFFSET
        return cls(centre, np.where(constant, STD_OFFSET, scale))

    def transform(self, values: np.ndarray) -> np.ndarray:
        """Scale to units of the training rows' standard deviation, (samples, genes) float32."""
        return ((values - self.centre) / self.scale).astype(np.float32)

    def inverse_transform(self, scaled: np.ndarray) -> np.ndarray:
        """Return to the units of the data, (samples, genes) float32."""
        return (scaled * self.scale + self.centre).astype(np.float32)


@dataclass(frozen=True)
class PreparedData:
    """Scaled values of each part, (samples, genes) float32, with their split and scaling."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    scaling: ZScore
    split: Split
    gene_ids: np.ndarray

    def variant(self, scaling: str = "train", layout: str = "sample") -> PreparedData:
        """Return the same samples with the scaling and layout of the paper's scripts, if chosen.

        scaling "all": genes scaled by the mean and standard deviation of all samples, the test
        samples, too. layout "stream": the samples of each part, one after the other as one stream
        of numbers, cut into images of 24 x 24; an image mixes genes of neighbouring samples, and
        zeros fill the last one.
        """
        data = self
        if scaling == "all":
            everything = np.concatenate([self.train, self.validation, self.test]).astype(np.float64)
            mean, std = everything.mean(axis=0), everything.std(axis=0)
            # x = z scale + centre, so (x - mean of x) / (std of x + 1e-3) is affine in z, too
            scale = std * self.scaling.scale + STD_OFFSET
            factor = self.scaling.scale / scale
            data = data._mapped(lambda z: ((z - mean) * factor).astype(np.float32))
            centre = self.scaling.centre + mean * self.scaling.scale
            data = replace(data, scaling=ZScore(centre, scale))
        return data._mapped(_stream) if layout == "stream" else data

    def with_genes(self, order: np.ndarray) -> PreparedData:
        """Return the same values with the genes (columns) in another order, (genes,) indices."""
        data = self._mapped(lambda values: np.ascontiguousarray(values[:, order]))
        scaling = ZScore(self.scaling.centre[order], self.scaling.scale[order])
        return replace(data, scaling=scaling, gene_ids=self.gene_ids[order])

    def shuffled(self, rng: np.random.Generator) -> PreparedData:
        """Permute each gene's values over the samples of a part, which keeps its distribution."""
        return self._mapped(lambda values: rng.permuted(values, axis=0))

    def with_training_rows(self, rows: np.ndarray) -> PreparedData:
        """Keep only some training rows, on the scale of all, so that errors stay comparable."""
        return replace(self, train=self.train[rows])

    def _mapped(self, change: Callable[[np.ndarray], np.ndarray]) -> PreparedData:
        parts = change(self.train), change(self.validation), change(self.test)
        return replace(self, train=parts[0], validation=parts[1], test=parts[2])

    def mean_square(self, part: str) -> float:
        """Return the mean square of a part's values, which is the MSE of answering 0."""
        rows = getattr(self, part)
        blocks = (np.square(rows[its], dtype=np.float64) for its in row_blocks(rows.shape))
        return sum(float(block.sum()) for block in blocks) / rows.size

    @property
    def nbytes(self) -> int:
        """Bytes of all parts' values."""
        return self.train.nbytes + self.validation.nbytes + self.test.nbytes

    @property
    def n_genes(self) -> int:
        """Columns of the parts."""
        return self.train.shape[1]


def _stream(values: np.ndarray) -> np.ndarray:
    """Cut the values, read as one stream of numbers, into rows of 24 x 24: (images, 576)."""
    stream = values.reshape(-1)
    return np.pad(stream, (0, -len(stream) % IMAGE_PIXELS)).reshape(-1, IMAGE_PIXELS)


@dataclass(frozen=True, eq=False)
class Replicates:
    """The data of a study's replicates: one copy of the values, with a split for each seed.

    Replicate r is split with the seed split_seed + r, or with split_seed itself if the split is
    `fixed`, and scaled by its own training rows. values: (samples, genes) float32; groups: None, or
    (samples,) texts: samples of the same text come into the same part of every split. Workers get a
    pickled copy, in which only the values are large.
    """

    values: np.ndarray
    sample_ids: np.ndarray
    gene_ids: np.ndarray
    groups: np.ndarray | None = None
    split_seed: int = 0
    fixed: bool = False
    _kept: dict[int, PreparedData] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(
        cls,
        matrix: ExpressionMatrix,
        split_seed: int = 0,
        group: str | None = None,
        fixed: bool = False,
    ) -> Replicates:
        """Make replicates of a matrix; samples with the same label `group` stay together.

        Raises InputError if the label is missing.
        """
        groups = group_values(matrix.sample_labels, group)
        names = np.asarray(matrix.sample_ids), np.asarray(matrix.gene_ids)
        return cls(matrix.values, *names, groups, split_seed, fixed)

    def __getstate__(self) -> dict:
        return vars(self) | {"_kept": {}}

    @property
    def n_genes(self) -> int:
        """Columns of the values."""
        return self.values.shape[1]

    def identity(self) -> dict:
        """Return JSON-able facts that determine all splits of the same values."""
        groups = None
        if self.groups is not None:
            groups = hashlib.sha256(json.dumps(self.groups.tolist()).encode()).hexdigest()
        return {"split_seed": self.split_seed, "fixed_split": self.fixed, "groups": groups}

    def sharing_a_split(self, seeds: Iterable[int]) -> list[list[int]]:
        """Return the seeds, ascending, in lists of those that share one split and scaling."""
        ordered = sorted(set(seeds))
        return [ordered] if self.fixed and ordered else [[seed] for seed in ordered]

    def split(self, seed: int) -> Split:
        """Return the split of a replicate."""
        return split_samples(len(self.values), self._split_seed(seed), self.groups)

    def data(self, seed: int) -> PreparedData:
        """Return the scaled parts of a replicate; those requested last are kept in memory."""
        key = self._split_seed(seed)
        data = self._kept.pop(key, None)
        if data is None:
            while self._kept and (len(self._kept) + 1) * self.values.nbytes > KEPT_BYTES:
                del self._kept[next(iter(self._kept))]
            data = _prepared(self.values, self.gene_ids, self.split(seed))
        self._kept[key] = data  # the last in the order
        return data

    def _split_seed(self, seed: int) -> int:
        return self.split_seed if self.fixed else self.split_seed + seed


def split_notes(data: Replicates, seed: int, group: str | None) -> tuple[str, ...]:
    """Return a line for the log if samples of the same `group` stay together, else no line.

    Its numbers are those of one seed's split.
    """
    if data.groups is None:
        return ()
    split = data.split(seed)
    parts = {"training": split.train, "validation": split.validation, "test": split.test}
    shares = ", ".join(f"{len(rows)} {part}" for part, rows in parts.items())
    counts = ", ".join(str(len(set(data.groups[rows]))) for rows in parts.values())
    return (
        f"split: all samples of one {group} are in one part: {shares} samples of {counts} "
        f"with seed {seed} (else: --group none)",
    )


def prepare(
    matrix: ExpressionMatrix, split_seed: int = 0, group: str | None = None
) -> PreparedData:
    """Split the samples and z-score every part with the centre and scale of the training rows.

    group: a sample label whose samples stay together. Raises InputError if it is missing.
    """
    return Replicates.of(matrix, split_seed, group, fixed=True).data(0)


def _prepared(values: np.ndarray, gene_ids: np.ndarray, split: Split) -> PreparedData:
    blocks = [slice(at, at + GENE_BLOCK) for at in range(0, values.shape[1], GENE_BLOCK)]
    fits = [ZScore.fit(np.take(values[:, block], split.train, axis=0)) for block in blocks]
    scaling = ZScore(
        np.concatenate([fit.centre for fit in fits]), np.concatenate([fit.scale for fit in fits])
    )
    parts = {part: _scaled(values, getattr(split, part), scaling) for part in SPLITS}
    return PreparedData(**parts, scaling=scaling, split=split, gene_ids=gene_ids)


def _scaled(values: np.ndarray, rows: np.ndarray, scaling: ZScore) -> np.ndarray:
    """Scale some rows of the values, (rows, genes) float32."""
    scaled = np.empty((len(rows), values.shape[1]), dtype=np.float32)
    for block in row_blocks(scaled.shape):
        scaled[block] = scaling.transform(values[rows[block]])
    return scaled
