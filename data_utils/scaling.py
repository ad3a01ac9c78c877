"""Scaling of genes, fitted on training rows only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Added to the standard deviation, as D-GEX does, so that a constant gene is answered by 0.
STD_OFFSET = 1e-3


@dataclass(frozen=True)
class ZScore:
    """z = (x - centre) / scale by gene, with scale = std + 1e-3; arrays (genes,), float64."""

    centre: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray) -> ZScore:
        """From training rows (samples, genes). Sums are float64: a constant gene's std is exactly 0."""
        centre = values.mean(axis=0, dtype=np.float64)
        constant = (values == values[:1]).all(axis=0)
        centre = np.where(constant, values[0].astype(np.float64), centre)
        scale = values.std(axis=0, dtype=np.float64) + STD_OFFSET
        return cls(centre, np.where(constant, STD_OFFSET, scale))

    def transform(self, values: np.ndarray) -> np.ndarray:
        """(samples, genes) float32, in units of the training rows' standard deviation."""
        return ((values - self.centre) / self.scale).astype(np.float32)

    def inverse_transform(self, scaled: np.ndarray) -> np.ndarray:
        """Back to the units of the data, (samples, genes) float32."""
        return (scaled * self.scale + self.centre).astype(np.float32)
