"""The files in which a run keeps its replicates' splits, scalings and mean squares.

- split.parquet: seed, sample_id, split ("train", "validation" or "test") and, if samples stay
  together, their group, else their tissue if the data have that label; one row per seed and sample;
- replicates.parquet: seed, split, samples and mean_square, the mean of the squared scaled values,
  which is the MSE of answering 0;
- models/scaling.json: transform, gene_ids and, by seed, centre and scale of the genes.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from data_utils.preparation import SPLITS, PreparedData, Replicates
from data_utils.sources import Dataset
from study.run.folder import RunFolder
from study.run.rows import REPLICATE_COLUMNS, TISSUE, typed_table


def write_replicates(
    folder: RunFolder, dataset: Dataset, data: Replicates, seeds: Iterable[int]
) -> None:
    """Write the tables and the scaling of these seeds."""
    splits, parts, scalings = [], [], {}
    for seed in seeds:
        its = data.data(seed)
        splits.append(_split_rows(seed, its, dataset, data))
        parts += [
            {
                "seed": seed,
                "split": part,
                "samples": len(getattr(its, part)),
                "mean_square": its.mean_square(part),
            }
            for part in SPLITS
        ]
        scaling = its.scaling
        scalings[str(seed)] = {"centre": scaling.centre.tolist(), "scale": scaling.scale.tolist()}
    folder.write_table("split.parquet", pd.concat(splits, ignore_index=True))
    folder.write_table("replicates.parquet", typed_table(parts, REPLICATE_COLUMNS))
    content = {
        "transform": dataset.transform,
        "gene_ids": [str(gene) for gene in data.gene_ids],
        "replicates": scalings,
    }
    folder.write_json("models/scaling.json", content)


def _split_rows(seed: int, its: PreparedData, dataset: Dataset, data: Replicates) -> pd.DataFrame:
    columns = {"seed": seed, "sample_id": dataset.matrix.sample_ids, "split": its.split.labels()}
    labels = dataset.matrix.sample_labels
    if data.groups is not None:
        columns["group"] = data.groups
    elif TISSUE in labels:
        columns[TISSUE] = labels[TISSUE].map(str).to_numpy()
    return pd.DataFrame(columns)
