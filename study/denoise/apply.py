"""A model at work on the blocks of an expression file, and what is noted on the way for the check. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix, check_finite
from data_utils.genes import LandmarkMatch, match_matrix
from data_utils.transform import apply_transform, choose_transform
from models.folder import Model
from models.gauge import Gauge

#: Names in a message.
NAMED = 8
#: log2(x + 1) of the largest float32 is 128; what a network answers beyond that is no expression.
LARGEST_LOG = 127.0


@dataclass(eq=False)
class Task:
    """What is done to every block: found from the first one, its values and names.

    rows: where the model's genes lie in the file; columns: where those lie in the model (both (matched,)). transform:
    what takes the file's values to the model's log scale. gauge: the model's, for the genes that are there.
    noise_factor: the one used; estimated: whether from the data. left_alone: whether nothing is changed, because the
    model would do harm at that noise factor or there is no noise.
    """

    model: Model
    name: str
    match: LandmarkMatch
    transform: str
    transform_reason: str
    gauge: Gauge
    noise_factor: float
    estimated: bool
    left_alone: bool

    @property
    def missing(self) -> tuple[str, ...]:
        """Genes that the model needs and the file lacks, by symbol."""
        return self.match.missing

    def scaled(self, block: ExpressionMatrix) -> np.ndarray:
        """z-scores (samples, genes of the model) float32; a gene that is missing stands at its training mean, 0."""
        known = block.select(genes=self.match.rows)
        check_finite(known, self.name)
        logged = apply_transform(known, self.transform, self.name)
        scaling = self.model.scaling
        places = self.match.landmarks
        z = np.zeros((block.n_samples, len(self.model.genes)), dtype=np.float32)
        z[:, places] = ((logged.values - scaling.centre[places]) / scaling.scale[places]).astype(
            np.float32
        )
        return z

    def unscaled(self, z: np.ndarray) -> np.ndarray:
        """The inverse for the genes that the file has, in its units: (samples, matched) float32."""
        places = self.match.landmarks
        values = z[:, places] * self.model.scaling.scale[places] + self.model.scaling.centre[places]
        if self.transform == "log2p1":
            values = np.clip(np.exp2(np.clip(values, None, LARGEST_LOG)) - 1, 0, None)
        return values.astype(np.float32)


@dataclass(eq=False)
class Notes:
    """What was seen on the way: sums over samples by gene of the model, and a number by sample of each kind."""

    sample_ids: list = field(default_factory=list)
    energy: list = field(default_factory=list)
    distances: list = field(default_factory=list)
    changed: list = field(default_factory=list)  # root mean square change of each sample, z units
    gene_squares: np.ndarray | float = 0.0

    def add(self, task: Task, ids: np.ndarray, z: np.ndarray, guess: np.ndarray) -> None:
        """Note a block: z-scores before and after."""
        places = task.match.landmarks
        squares = np.square(guess[:, places] - z[:, places], dtype=np.float64)
        self.gene_squares = self.gene_squares + squares.sum(axis=0)
        self.changed.append(np.sqrt(squares.mean(axis=1)))
        self.sample_ids.append(ids)
        known = z[:, np.sort(places)] if task.missing else z
        self.energy.append(task.gauge.energy(known))
        self.distances.append(task.gauge.distances(known, task.noise_factor))

    @property
    def n_samples(self) -> int:
        return sum(map(len, self.sample_ids))


def prepare_task(
    model: Model,
    first: ExpressionMatrix,
    name: str,
    noise_factor: float | None,
    transform: str,
    impute: bool,
) -> Task:
    """Find the genes, the transform and, where `noise_factor` is None, the noise of a file from its first block.

    Raises InputError, naming `name` (the file), where genes are missing and `impute` does not allow it.
    """
    match = match_matrix(model.genes, first, name, least=max(1, len(model.genes) // 20))
    if not match.matched or (match.missing and not impute):
        raise _missing(model, match, first, name)
    chosen, reason = choose_transform(first.values[:, match.rows], transform)
    gauge = model.gauge.restricted(np.sort(match.landmarks)) if match.missing else model.gauge
    task = Task(
        model, name, match, chosen, reason, gauge, noise_factor or 0.0, noise_factor is None, False
    )
    if noise_factor is None:
        task.noise_factor = gauge.noise_factor(task.scaled(first)[:, np.sort(match.landmarks)])
        harmful = model.relative_mse(task.noise_factor) > 1
        task.left_alone = task.noise_factor == 0 or harmful
    return task


def denoised(
    task: Task, blocks: Iterable[ExpressionMatrix], notes: Notes
) -> Iterator[ExpressionMatrix]:
    """The blocks with the model's genes denoised; all other genes, names and labels as they were."""
    for block in blocks:
        z = task.scaled(block)
        guess = z if task.left_alone else task.model.denoiser.denoise(z, task.noise_factor)
        notes.add(task, block.sample_ids, z, guess)
        values = block.values
        if not task.left_alone:
            values = values.copy()
            values[:, task.match.rows] = task.unscaled(guess)
        yield ExpressionMatrix(
            values, block.sample_ids, block.gene_ids, block.sample_labels, block.gene_labels
        )


def _missing(model: Model, match: LandmarkMatch, first: ExpressionMatrix, name: str) -> InputError:
    total = len(model.genes)
    if match.matched < total / 20:
        wanted, found = (
            ", ".join(map(repr, ids[:3])) for ids in (model.genes["ensembl_id"], first.gene_ids)
        )
        return InputError(
            f"{name}: {match.matched} of the model's {total} genes found among {first.n_genes} ({found}, ...): it "
            f"needs genes such as {wanted}, named by Ensembl id, symbol or L1000 probe id"
        )
    named = ", ".join(match.missing[:NAMED]) + (", ..." if len(match.missing) > NAMED else "")
    return InputError(
        f"{name}: {len(match.missing)} of the model's {total} genes are missing: {named}: give --impute to let them "
        "stand at their training mean"
    )
