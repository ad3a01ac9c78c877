"""A denoising autoencoder as a scikit-learn estimator."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from data_utils.errors import InputError
from data_utils.noise import add_noise, standard_normal, stream
from data_utils.preparation import PreparedData, Split, ZScore
from models.config import MemberConfig, Phase
from models.denoisers.network import NetworkDenoiser
from models.folder import METRIC_COLUMNS, OWN, Model, gene_table, load_model, save_model
from models.gauge import Gauge
from models.training import PackTraining, train


class DenoisingAutoencoder(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Learns to remove Gaussian noise from expression profiles on a log scale, and removes it.

        denoiser = DenoisingAutoencoder(noise_factor=0.3, random_state=0).fit(profiles)
        clean = denoiser.transform(noisy)

    X is an array, a pandas frame or an AnnData, (samples, genes); what comes out is of the same
    kind and in the same units. `fit` takes clean rows, keeps some of them for validation, z-scores
    genes by the others and stops early.

    model: dense-2, dense-4, dense-6, dense-8, conv, or widths such as dense-64x16x64.
    noise_factor: of training, in units of a gene's standard deviation; several are mixed.
    noise_input: the network is told the noise factor, which `transform` then estimates from all
    rows that it is given.
    beta, rho: weight and target of the sparsity term.
    patience: epochs without a lower validation MSE before training stops.
    validation_fraction: share of rows.

    Fitted: denoiser_ (models.denoisers.network), scaling_ (z-scores), gauge_ (noise and
    unlikeness), validation_curve_ (MSE after every epoch), best_epoch_, n_features_in_,
    feature_names_in_.
    """

    def __init__(
        self,
        model: str = "dense-4",
        noise_factor: float | Sequence[float] = 0.5,
        noise_input: bool = False,
        beta: float = 0.0,
        rho: float = 0.05,
        learning_rate: float = 1e-3,
        batch_size: int = 256,
        max_epochs: int = 200,
        patience: int = 20,
        validation_fraction: float = 0.1,
        random_state=None,
    ):
        self.model = model
        self.noise_factor = noise_factor
        self.noise_input = noise_input
        self.beta = beta
        self.rho = rho
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def fit(self, X, y=None) -> DenoisingAutoencoder:
        """Train on clean rows; y is not looked at. Raises ValueError for bad data or parameters."""
        values = validate_data(
            self, _frame(X), dtype=[np.float64, np.float32], ensure_min_samples=2
        )
        member = self._member(int(check_random_state(self.random_state).randint(2**31 - 1)))
        order = torch.randperm(len(values), generator=stream(member.seed, "validation-rows"))
        n_held_out = min(len(values) - 1, max(1, round(self.validation_fraction * len(values))))
        held_out, kept = (
            np.sort(rows.numpy()) for rows in (order[:n_held_out], order[n_held_out:])
        )
        data = _prepared(values, Split(kept, held_out, np.array([], dtype=int)))
        training = PackTraining((member,), data, tested=False)
        [best] = train(training, self.patience)
        if best.epoch == 0:
            raise ValueError("the training diverged in its first epoch: give a lower learning_rate")
        self.scaling_ = data.scaling
        self.gauge_ = Gauge.fit(data.train, data.validation, member.seed)
        parameters = {name: value.numpy() for name, value in best.parameters.items()}
        self.denoiser_ = NetworkDenoiser(member.architecture, data.n_genes, parameters)
        self.validation_curve_ = np.array(training.curve)[:, 0]
        self.best_epoch_ = best.epoch
        self._metrics = self._measured(data.validation, member.seed)
        self._training = {
            "source": "DenoisingAutoencoder.fit",
            "sha256": hashlib.sha256(values.astype("<f4").tobytes()).hexdigest(),
            "n_samples": len(values),
            "simulated": None,
        }
        return self

    def transform(self, X):
        """X denoised: of the same kind, shape and units."""
        check_is_fitted(self)
        values = validate_data(self, _frame(X), dtype=[np.float64, np.float32], reset=False)
        z = self.scaling_.transform(values)
        factor = self.gauge_.noise_factor(z) if self.noise_input else 0.0
        clean = self.scaling_.inverse_transform(self.denoiser_.denoise(z, factor)).astype(
            values.dtype, copy=False
        )
        if not _is_anndata(X):
            return clean
        answer = X.copy()
        answer.X = clean
        return answer

    def score(self, X, y=None) -> float:
        """Return minus the MSE, in units of a gene's variance, on clean rows X with noise added.

        The noise is that of training, the same in every call; y is not looked at.
        """
        check_is_fitted(self)
        values = validate_data(self, _frame(X), dtype=[np.float64, np.float32], reset=False)
        z = self.scaling_.transform(values)
        normal = standard_normal(z.shape, stream(0, "score")).numpy()
        factors = self._noise_factors()
        errors = [
            np.square(
                self.denoiser_.denoise(add_noise(z, a, normal), a) - z, dtype=np.float64
            ).mean()
            for a in factors
        ]
        return -float(np.mean(errors))

    def save(self, folder: str | Path, force: bool = False) -> None:
        """Write a model folder, which `python run_study.py denoise` reads, too.

        Raises InputError if it is there, unless `force` replaces it.
        """
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(self.n_features_in_)])
        model = Model(
            name=f"DenoisingAutoencoder, {self.model}",
            denoiser=self.denoiser_,
            genes=gene_table(names),
            scaling=self.scaling_,
            transform="none",
            noise_factors=self._noise_factors(),
            training=self._training,
            metrics=self._metrics,
            gauge=self.gauge_,
        )
        save_model(model, Path(folder), force)

    @classmethod
    def load(cls, folder: str | Path) -> DenoisingAutoencoder:
        """Read a fitted estimator from a model folder of a network.

        Raises InputError for another model, or a damaged one.
        """
        model = load_model(folder)
        if not isinstance(model.denoiser, NetworkDenoiser) or model.transform != "none":
            raise InputError(
                f"{folder}: holds no network for values on a log scale; use `denoise` with it"
            )
        factors = model.noise_factors[0] if len(model.noise_factors) == 1 else model.noise_factors
        it = cls(model.denoiser.network.name, factors, model.denoiser.network.noise_input)
        it.denoiser_, it.scaling_, it.gauge_ = model.denoiser, model.scaling, model.gauge
        it._metrics, it._training = model.metrics, model.training
        it.feature_names_in_ = model.genes["ensembl_id"].to_numpy(dtype=object)
        it.n_features_in_ = len(it.feature_names_in_)
        return it

    def _noise_factors(self) -> tuple[float, ...]:
        return tuple(float(a) for a in np.atleast_1d(self.noise_factor))

    def _member(self, seed: int) -> MemberConfig:
        """Return the network to train. Raises ValueError for a parameter that cannot be."""
        factors = self._noise_factors()
        if not factors or not all(np.isfinite(a) and a >= 0 for a in factors):
            raise ValueError(f"noise_factor is {self.noise_factor}: give numbers of at least 0")
        for name in ("max_epochs", "patience", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least 1")
        if not 0 < self.validation_fraction < 1:
            raise ValueError(
                f"validation_fraction is {self.validation_fraction}: give a share between 0 and 1"
            )
        if self.learning_rate <= 0 or self.beta < 0 or not 0 < self.rho < 1:
            raise ValueError(
                "learning_rate must be above 0, beta at least 0, and rho between 0 and 1"
            )
        member = MemberConfig(
            self.model,
            (Phase(factors, self.max_epochs),),
            seed,
            self.beta,
            self.rho,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            noise_input=self.noise_input,
        )
        if member.is_mixture:
            raise ValueError(
                f"model is {self.model!r}: the study alone fits mixtures: "
                "give a dense model or conv"
            )
        return member

    def _measured(self, validation: np.ndarray, seed: int) -> pd.DataFrame:
        """MSE on validation rows beside leaving them alone, at 0.1 ... 1.0."""
        normal = standard_normal(validation.shape, stream(seed, "measured")).numpy()
        rows = []
        for a in (round(0.1 * i, 1) for i in range(1, 11)):
            noisy = add_noise(validation, a, normal)
            guesses = {
                OWN: self.denoiser_.denoise(noisy, a),
                "identity": noisy,
                "gene mean": np.zeros_like(noisy),
            }
            for method, guess in guesses.items():
                rows.append(
                    (
                        "validation",
                        method,
                        a,
                        float(np.square(guess - validation, dtype=np.float64).mean()),
                    )
                )
        return pd.DataFrame(rows, columns=METRIC_COLUMNS)


def _prepared(values: np.ndarray, split: Split) -> PreparedData:
    """Scale the parts of a split, which has no test rows, by its training rows."""
    scaling = ZScore.fit(values[split.train])
    parts = {name: scaling.transform(values[rows]) for name, rows in vars(split).items()}
    genes = np.arange(values.shape[1])
    return PreparedData(**parts, scaling=scaling, split=split, gene_ids=genes)


def _is_anndata(X) -> bool:
    """Without importing anndata, which takes a second."""
    return type(X).__name__ == "AnnData" and hasattr(X, "obs_names")


def _frame(X):
    """An AnnData as a frame of its X, with its names; anything else as it is."""
    return X.to_df() if _is_anndata(X) else X
