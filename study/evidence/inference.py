"""The error of predicting a file's other genes from clean, noisy and denoised landmark genes.

The paper's section 6 expects that an autoencoder of the landmark genes also denoises the other
genes, since D-GEX (Chen et al. 2016) predicts these from the landmark genes. Here a predictor is
fitted to clean training rows of each replicate (models/prediction.py). Its inputs are the test
rows' landmark genes: clean, noisy, and denoised by each denoiser. "ridge trained on noisy" needs no
denoiser: it is fitted to the noisy training set of the same noise factor, as the networks are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from data_utils.other_genes import OtherGenes
from data_utils.preparation import PreparedData
from models.config import MemberConfig, Protocol
from models.denoisers.denoiser import Pairs, noisy_rows, noisy_training_rows
from models.denoisers.linear import Wiener
from models.prediction import Mean, Network, Predictor, Ridge, prediction_mse
from study.evidence.evidence import (
    CLEAN_INPUT,
    INFERENCE_COLUMNS,
    MIXTURE,
    NO_INPUT,
    NOISY_INPUT,
    ON_NOISY,
)
from study.evidence.references import (
    best_settings,
    least_validation,
    noise_factors_of,
    reconstructed,
)
from study.run.folder import RunFolder
from study.run.rows import FINISHED

TABLE = "inference.parquet"


def write_inference(
    folder: RunFolder,
    others: np.ndarray,
    data: Callable[[int], PreparedData],
    planned: list[MemberConfig],
    members: pd.DataFrame,
    stopped: Callable[[], bool] = lambda: False,
) -> bool:
    """Measure and write inference.parquet; return False, with nothing written, if `stopped`.

    others: values of the other genes, (samples, other genes). data: the landmark genes of a
    replicate by its seed. `members` is the members table; only finished networks of `planned` are
    used. The table has one row per input, predictor, noise factor and seed, with the test MSE over
    all other genes (INFERENCE_COLUMNS), and the choice of validation (`choice`). Results that do
    not depend on the noise are repeated at every noise factor.
    """
    validation = members[members["status"] == FINISHED].set_index("member_id")["val_mse"].to_dict()
    finished = [member for member in planned if member.member_id in validation]
    rows = []
    for seed in sorted({member.seed for member in finished}):
        prepared = data(seed)
        replicate = _Replicate(
            folder,
            prepared,
            OtherGenes.of(others, prepared.split),
            [member for member in finished if member.seed == seed],
            validation,
        )
        for row in replicate.measured():
            rows.append({**row, "seed": seed})
            if stopped():
                return False
    folder.write_table(TABLE, pd.DataFrame(rows, columns=[*INFERENCE_COLUMNS, "choice"]))
    return True


class _Replicate:
    """One replicate's data and denoisers: the Wiener filter, and members of the run.

    `validation` is the validation MSE by member id.
    """

    def __init__(
        self,
        folder: RunFolder,
        data: PreparedData,
        others: OtherGenes,
        members: list[MemberConfig],
        validation: dict[str, float],
    ):
        self.folder, self.data, self.others, self.seed = folder, data, others, members[0].seed
        self.noise_factors = noise_factors_of(members)
        networks = [member for member in members if not member.is_mixture]
        self.networks = best_settings(networks, validation)
        mixtures = [member for member in members if member.is_mixture]
        self.mixtures = least_validation(mixtures, validation)
        self.wiener = Wiener().fit(data.train).tune(Pairs.noised(data.validation, self.seed))

    def measured(self) -> Iterator[dict]:
        """Yield one row per input, predictor and noise factor."""
        mean, *fitted = (self._fitted(its, 0.0) for its in (Mean(), Ridge(), Network(self.seed)))
        # Results that do not depend on the noise are measured once.
        of_mean = self._row(mean, NO_INPUT, self.data.test, 0.0)
        of_clean = [self._row(its, CLEAN_INPUT, self.data.test, 0.0) for its in fitted]
        for noise_factor in self.noise_factors:
            at = {"noise_factor": noise_factor}
            inputs = self._inputs(noise_factor)
            yield of_mean | at
            for predictor, row in zip(fitted, of_clean, strict=True):
                yield row | at
                for name, rows in inputs.items():
                    yield self._row(predictor, name, rows, noise_factor)
            on_noisy = self._fitted(Ridge(), noise_factor)
            yield self._row(on_noisy, NOISY_INPUT, inputs[NOISY_INPUT], noise_factor) | {
                "predictor": ON_NOISY
            }

    def _fitted(self, predictor: Predictor, noise_factor: float) -> Predictor:
        """Fit a predictor to training rows at a noise factor, with validation rows at the same."""
        train = noisy_training_rows(self.data.train, noise_factor, self.seed)
        return predictor.fit(train, self._noisy("validation", noise_factor), self.others)

    def _noisy(self, part: str, noise_factor: float) -> np.ndarray:
        return noisy_rows(getattr(self.data, part), part, noise_factor, self.seed)

    def _inputs(self, noise_factor: float) -> dict[str, np.ndarray]:
        """Return the test rows' landmark genes by input: noisy, and denoised by each denoiser."""
        noisy = self._noisy("test", noise_factor)
        inputs = {NOISY_INPUT: noisy}
        inputs[self.wiener.name] = self.wiener.denoise(noisy, noise_factor)
        for (protocol, model, trained_at), [member] in self.networks.items():
            if protocol == str(Protocol()) and trained_at == noise_factor:
                inputs[model] = self._denoised(member, noise_factor)
        for member in self.mixtures:
            inputs[MIXTURE] = self._denoised(member, noise_factor)
        return inputs

    def _denoised(self, member: MemberConfig, noise_factor: float) -> np.ndarray:
        return reconstructed(self.folder, self.data, member, noise_factor)[2]

    def _row(
        self, predictor: Predictor, name: str, rows: np.ndarray, noise_factor: float
    ) -> dict[str, object]:
        error = prediction_mse(predictor, rows, self.others, "test")
        return {
            "input": name,
            "predictor": predictor.name,
            "noise_factor": noise_factor,
            "test_mse": error,
            "choice": predictor.choice,
        }
