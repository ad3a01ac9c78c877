"""From an expression matrix to what the networks see: split, then scaled by the training rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from data_utils.expression import ExpressionMatrix, row_blocks
from data_utils.scaling import STD_OFFSET, ZScore
from data_utils.splits import Split, group_values, split_samples

SPLITS = ("train", "validation", "test")

#: Rows from which a gene's centre and scale come, and what one row of a network's input is.
SCALINGS = ("train", "all")
LAYOUTS = ("sample", "stream")
IMAGE_PIXELS = 24 * 24
#: Genes whose scaling is found together: sums are float64, and a matrix of all genes may be large.
GENE_BLOCK = 1024


@dataclass(frozen=True)
class PreparedData:
    """Scaled values of each part, (samples, genes) float32, and how they came about."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    scaling: ZScore
    split: Split
    gene_ids: np.ndarray

    def variant(self, scaling: str = "train", layout: str = "sample") -> PreparedData:
        """The same samples as the paper's scripts had them.

        scaling "all": genes scaled by the mean and standard deviation of all samples, the test samples too.
        layout "stream": the samples of each part, one after the other as one stream of numbers, cut into images of
        24 x 24; an image mixes genes of neighbouring samples, and zeros fill the last one.
        """
        if (scaling, layout) == ("train", "sample"):
            return self
        parts = {part: getattr(self, part) for part in SPLITS}
        scaling_used = self.scaling
        if scaling == "all":
            everything = np.concatenate(list(parts.values())).astype(np.float64)
            mean, std = everything.mean(axis=0), everything.std(axis=0)
            # x = z scale + centre, so (x - mean of x) / (std of x + 1e-3) is affine in z, too
            scale = std * self.scaling.scale + STD_OFFSET
            parts = {
                part: ((z - mean) * (self.scaling.scale / scale)).astype(np.float32)
                for part, z in parts.items()
            }
            scaling_used = ZScore(self.scaling.centre + mean * self.scaling.scale, scale)
        if layout == "stream":
            parts = {part: _stream(values) for part, values in parts.items()}
        return PreparedData(**parts, scaling=scaling_used, split=self.split, gene_ids=self.gene_ids)

    def with_genes(self, order: np.ndarray) -> PreparedData:
        """The same values with the genes (columns) in another order, (genes,) indices."""
        parts = {part: np.ascontiguousarray(getattr(self, part)[:, order]) for part in SPLITS}
        scaling = ZScore(self.scaling.centre[order], self.scaling.scale[order])
        return replace(self, **parts, scaling=scaling, gene_ids=self.gene_ids[order])

    def shuffled(self, rng: np.random.Generator) -> PreparedData:
        """Each gene's values in a random order over the samples of its part: its distribution stays, all else goes."""
        return replace(self, **{part: rng.permuted(getattr(self, part), axis=0) for part in SPLITS})

    def with_training_rows(self, rows: np.ndarray) -> PreparedData:
        """Some of the training rows only; the scaling stays that of all, so that errors have one unit."""
        return replace(self, train=self.train[rows])

    @property
    def nbytes(self) -> int:
        """Bytes of all parts' values."""
        return self.train.nbytes + self.validation.nbytes + self.test.nbytes

    @property
    def n_genes(self) -> int:
        return self.train.shape[1]


def _stream(values: np.ndarray) -> np.ndarray:
    """(samples, genes) -> (images, 576)."""
    stream = values.reshape(-1)
    return np.pad(stream, (0, -len(stream) % IMAGE_PIXELS)).reshape(-1, IMAGE_PIXELS)


def prepare(
    matrix: ExpressionMatrix, split_seed: int = 0, group: str | None = None
) -> PreparedData:
    """Split the samples and z-score every part with the centre and scale of the training rows.

    group: a sample label whose samples stay together. Raises InputError for one that is not there.
    """
    split = split_samples(matrix.n_samples, split_seed, group_values(matrix.sample_labels, group))
    values = matrix.values
    starts = range(0, matrix.n_genes, GENE_BLOCK)
    fits = [
        ZScore.fit(np.take(values[:, start : start + GENE_BLOCK], split.train, axis=0))
        for start in starts
    ]
    scaling = ZScore(
        *(np.concatenate([getattr(fit, name) for fit in fits]) for name in ("centre", "scale"))
    )
    parts = {part: _scaled(values, getattr(split, part), scaling) for part in SPLITS}
    return PreparedData(**parts, scaling=scaling, split=split, gene_ids=np.asarray(matrix.gene_ids))


def _scaled(values: np.ndarray, rows: np.ndarray, scaling: ZScore) -> np.ndarray:
    """Some rows of the values, scaled, (rows, genes) float32."""
    scaled = np.empty((len(rows), values.shape[1]), dtype=np.float32)
    for block in row_blocks(scaled.shape):
        scaled[block] = scaling.transform(values[rows[block]])
    return scaled
