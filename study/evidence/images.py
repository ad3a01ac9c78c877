"""Genes as the pixels of an image, and images as the rows of a table."""

from __future__ import annotations

import numpy as np
import pandas as pd

#: Kinds of images in conv_images.parquet: a filter of the first layer, the noisy input, a feature
#: map of the first layer.
FILTER, INPUT, MAP = "filter", "input", "map"


def as_images(rows: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Turn (samples, genes) into (samples, height, width), NaN in the padding."""
    padding = shape[0] * shape[1] - rows.shape[1]
    return np.pad(rows, ((0, 0), (0, padding)), constant_values=np.nan).reshape(-1, *shape)


def pixels(values: np.ndarray, **axes: list) -> pd.DataFrame:
    """Return (..., height, width) as a frame with the columns of `axes`, row, column and value."""
    levels = [*axes.values(), *map(range, values.shape[-2:])]
    index = pd.MultiIndex.from_product(levels, names=[*axes, "row", "column"])
    return pd.DataFrame({"value": values.reshape(-1).astype(float)}, index=index).reset_index()
