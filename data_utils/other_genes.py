"""The other genes of a file, which are predicted from its landmark genes and scaled like them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from data_utils.expression import row_blocks
from data_utils.preparation import GENE_BLOCK, Split, ZScore

#: A gene with one value in more than this share of the training rows is left out: a few samples
#: would decide its scale, and one test sample the error of all genes.
MOST_ALIKE = 0.9


@dataclass(frozen=True, eq=False)
class OtherGenes:
    """Genes that are z-scored, on request, by the training rows of a split.

    A file may have 20,000 genes, so only one copy of the values is kept, (samples, all genes)
    float32. kept: (genes,) columns of the genes that vary enough over the training rows.
    """

    values: np.ndarray
    split: Split
    kept: np.ndarray
    scaling: ZScore

    @classmethod
    def of(cls, values: np.ndarray, split: Split) -> OtherGenes:
        """Choose genes that vary, and find their centres and scales, by the training rows only."""
        kept, fits = [np.empty(0, dtype=np.intp)], []
        for start in range(0, values.shape[1], GENE_BLOCK):
            train = np.take(values[:, start : start + GENE_BLOCK], split.train, axis=0)
            alike = (train == np.median(train, axis=0)).mean(axis=0)  # a majority is the median
            varies = np.flatnonzero(alike <= MOST_ALIKE)
            kept.append(start + varies)
            fits.append(ZScore.fit(train[:, varies]))
        centre, scale = (
            np.concatenate([np.empty(0), *(getattr(fit, name) for fit in fits)])
            for name in ("centre", "scale")
        )
        return cls(values, split, np.concatenate(kept), ZScore(centre, scale))

    @property
    def n_genes(self) -> int:
        """Genes that are kept."""
        return len(self.kept)

    def scaled(
        self, part: str, rows: slice = slice(None), genes: slice = slice(None)
    ) -> np.ndarray:
        """Return some rows and genes of a part of the split, (rows, genes) float32."""
        samples, columns = getattr(self.split, part)[rows], self.kept[genes]
        scaling = ZScore(self.scaling.centre[genes], self.scaling.scale[genes])
        scaled = np.empty((len(samples), len(columns)), dtype=np.float32)
        for block in row_blocks(scaled.shape):  # scaling takes float64
            scaled[block] = scaling.transform(self.values[np.ix_(samples[block], columns)])
        return scaled

    def blocks(self) -> Iterator[slice]:
        """Yield slices of the kept genes, each of few enough to be scaled together."""
        starts = range(0, self.n_genes, GENE_BLOCK)
        return (slice(start, start + GENE_BLOCK) for start in starts)
