"""Applying a model to the blocks of an expression file, and collecting facts for its check page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix, apply_transform, check_finite, choose_transform
from data_utils.genes import LandmarkMatch, match_matrix
from models.folder import Model
from models.gauge import Gauge

NAMED = 8  # names in a message
#: log2(x + 1) of the largest float32 is 128; larger answers of a network are not expression.
LARGEST_LOG = 127.0


@dataclass(eq=False, kw_only=True)
class Task:
    """The denoising of one file, with the facts collected for its check page."""

    model: Model
    name: str  # of the file, in messages
    n_genes: int  # of the file
    match: LandmarkMatch  # its rows are positions in the file, its landmarks those in the model
    transform: str  # from the file's values to the model's log scale
    transform_reason: str
    gauge: Gauge  # the model's, for the genes that the file has
    noise_factor: float
    estimated: bool  # whether the noise factor is estimated from the data
    left_alone: bool = False  # no noise was found, or the model would do harm at that noise factor
    noted: list[pd.DataFrame] = field(default_factory=list)  # by block, see `samples`
    gene_squares: np.ndarray | float = 0.0  # squared change, sum over samples, by gene found

    @property
    def missing(self) -> tuple[str, ...]:
        """The symbols of genes that the model needs and the file lacks."""
        return self.match.missing

    @property
    def noise_source(self) -> str:
        """The source of the noise factor, in words."""
        return "estimated from the data" if self.estimated else "as given"

    @property
    def relative_mse(self) -> float:
        """The model's validation MSE at the noise factor over that of leaving the data alone."""
        return self.model.relative_mse(self.noise_factor)

    def scaled(self, block: ExpressionMatrix) -> np.ndarray:
        """Return z-scores, (samples, model's genes) float32; missing genes have 0, the mean."""
        known = block.select(genes=self.match.rows)
        check_finite(known, self.name)
        logged = apply_transform(known, self.transform, self.name)
        scaling, places = self.model.scaling, self.match.landmarks
        z = np.zeros((block.n_samples, len(self.model.genes)), dtype=np.float32)
        z[:, places] = ((logged.values - scaling.centre[places]) / scaling.scale[places]).astype(
            np.float32
        )
        return z

    def unscaled(self, z: np.ndarray) -> np.ndarray:
        """Return the values of the genes found, in the file's units: (samples, matched) float32."""
        scaling, places = self.model.scaling, self.match.landmarks
        values = z[:, places] * scaling.scale[places] + scaling.centre[places]
        if self.transform == "log2p1":
            values = np.clip(np.exp2(np.clip(values, None, LARGEST_LOG)) - 1, 0, None)
        return values.astype(np.float32)

    def known(self, z: np.ndarray) -> np.ndarray:
        """Return the z-scores of the genes that the file has, which are those of the gauge."""
        return z[:, np.sort(self.match.landmarks)] if self.missing else z

    def denoised(self, blocks: Iterable[ExpressionMatrix]) -> Iterator[ExpressionMatrix]:
        """Yield the blocks with the genes found denoised, and other genes and labels unchanged."""
        for block in blocks:
            z, values = self.scaled(block), block.values
            guess = z
            if not self.left_alone:
                guess = self.model.denoiser.denoise(z, self.noise_factor)
                values = values.copy()
                values[:, self.match.rows] = self.unscaled(guess)
            self._note(block.sample_ids, z, guess)
            yield ExpressionMatrix(
                values, block.sample_ids, block.gene_ids, block.sample_labels, block.gene_labels
            )

    def _note(self, ids: np.ndarray, z: np.ndarray, guess: np.ndarray) -> None:
        places, known = self.match.landmarks, self.known(z)
        squares = np.square(guess[:, places] - z[:, places], dtype=np.float64)
        self.gene_squares = self.gene_squares + squares.sum(axis=0)
        inside, outside = self.gauge.distances(known, self.noise_factor)
        noise = self.gauge.noise_by_sample(self.gauge.energy(known))
        change = np.sqrt(squares.mean(axis=1))
        columns = {"sample": ids, "change": change, "noise": noise}
        self.noted.append(pd.DataFrame(columns | {"inside": inside, "outside": outside}))

    def samples(self) -> pd.DataFrame:
        """Return one row per sample, once the last block is denoised.

        Columns: sample (id), change (root mean square, z units), noise (estimate), the distances
        inside and outside with limit_inside and limit_outside, and whether it is unlike (beyond a
        limit).
        """
        table = pd.concat(self.noted, ignore_index=True)
        limits = self.gauge.limits_at(self.noise_factor)
        table["limit_inside"], table["limit_outside"] = limits
        table["unlike"] = (table["inside"] > limits[0]) | (table["outside"] > limits[1])
        return table

    def genes(self) -> pd.DataFrame:
        """Return one row per gene found, by decreasing change in training standard deviations."""
        genes = self.model.genes.iloc[self.match.landmarks]
        change = np.sqrt(self.gene_squares / sum(map(len, self.noted)))
        names = {"gene": genes["ensembl_id"].array, "symbol": genes["gene_symbol"].array}
        table = pd.DataFrame(names | {"change": change})
        return table.sort_values("change", ascending=False, kind="stable", ignore_index=True)


def prepare_task(
    model: Model,
    first: ExpressionMatrix,
    name: str,
    noise_factor: float | None,
    transform: str,
    impute: bool,
) -> Task:
    """Choose a file's genes, transform and, if it is None, noise factor by its first block.

    Raises InputError, naming `name` (the file), if genes are missing and `impute` is not set.
    """
    match = match_matrix(model.genes, first, name, least=max(1, len(model.genes) // 20))
    if not match.matched or (match.missing and not impute):
        raise _missing(model, match, first, name)
    chosen, reason = choose_transform(first.values[:, match.rows], transform)
    task = Task(
        model=model,
        name=name,
        n_genes=first.n_genes,
        match=match,
        transform=chosen,
        transform_reason=reason,
        gauge=model.gauge.restricted(np.sort(match.landmarks)) if match.missing else model.gauge,
        noise_factor=noise_factor or 0.0,
        estimated=noise_factor is None,
    )
    if task.estimated:
        task.noise_factor = task.gauge.noise_factor(task.known(task.scaled(first)))
        task.left_alone = task.noise_factor == 0 or task.relative_mse > 1
    return task


def _missing(model: Model, match: LandmarkMatch, first: ExpressionMatrix, name: str) -> InputError:
    total = len(model.genes)
    if match.matched < total / 20:
        wanted, found = (
            ", ".join(map(repr, ids[:3])) for ids in (model.genes["ensembl_id"], first.gene_ids)
        )
        return InputError(
            f"{name}: {match.matched} of the model's {total} genes found among {first.n_genes} "
            f"({found}, ...): name genes like {wanted}, by Ensembl id, symbol or L1000 probe id"
        )
    return InputError(
        f"{name}: {len(match.missing)} of the model's {total} genes are missing: "
        f"{some(match.missing)}: give --impute to set them to their training mean"
    )


def some(names: Sequence[str], most: int = NAMED) -> str:
    """Return the first names as a list for a message."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
