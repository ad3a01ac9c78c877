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
from models.config import NOISE_FACTORS, MemberConfig, Phase
from models.denoisers.denoiser import Denoiser, mse
from models.denoisers.network import NetworkDenoiser, saved
from models.folder import METRIC_COLUMNS, OWN, Model, gene_table, load_model, save_model
from models.gauge import Gauge
from models.training import PackTraining, train


class DenoisingAutoencoder(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """A network that learns to remove Gaussian noise from profiles (samples, genes) on a log scale.

        denoiser = DenoisingAutoencoder(noise_factor=0.3, random_state=0).fit(profiles)
        clean = denoiser.transform(noisy)

    X is an array, a pandas frame or an AnnData; `transform` returns the same kind in the same
    units. `fit` takes clean rows, keeps some of them for validation, z-scores genes by the others
    and stops early.

    model: dense-2, dense-4, dense-6, dense-8, conv, or widths such as dense-64x16x64.
    noise_factor: of training, in units of a gene's standard deviation; several are mixed. Every
    batch has new noise, which makes more of few samples than a noisy set that is drawn once.
    noise_input: the noise factor is an input of the network; `transform` estimates it from all
    rows that it is given. beta, rho: weight and target of the sparsity term. patience: epochs
    without a lower validation MSE before training stops. validation_fraction: share of rows.

    Fitted: model_ (models.folder.Model, with the network, z-scores and gauge of the noise),
    validation_curve_ (MSE after every epoch), best_epoch_, n_features_in_, feature_names_in_.
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
        """Train on clean rows; y is ignored. Raises ValueError for bad data or a bad parameter."""
        values = self._values(X, ensure_min_samples=2)
        member = self._member(int(check_random_state(self.random_state).randint(2**31 - 1)))
        order = torch.randperm(len(values), generator=stream(member.seed, "validation-rows"))
        n_held_out = min(len(values) - 1, max(1, round(self.validation_fraction * len(values))))
        held_out, kept = (
            np.sort(rows.numpy()) for rows in (order[:n_held_out], order[n_held_out:])
        )
        data = _prepared(values, Split(kept, held_out, np.array([], dtype=int)))
        training = PackTraining((member,), lambda seed: data, tested=False)
        [best] = train(training, self.patience)
        if best.epoch == 0:
            raise ValueError("the training diverged in its first epoch: give a lower learning_rate")
        self.validation_curve_ = np.array(training.curve)[:, 0]
        self.best_epoch_ = best.epoch
        parameters = {name: value.numpy() for name, value in best.parameters.items()}
        denoiser = saved(member.architecture, data.n_genes, parameters)
        names = getattr(self, "feature_names_in_", [f"x{i}" for i in range(data.n_genes)])
        self.model_ = Model(
            name=f"DenoisingAutoencoder, {self.model}",
            denoiser=denoiser,
            genes=gene_table(names),
            scaling=data.scaling,
            transform="none",
            noise_factors=self._noise_factors(),
            training={
                "source": "DenoisingAutoencoder.fit",
                "sha256": hashlib.sha256(values.astype("<f4").tobytes()).hexdigest(),
                "n_samples": len(values),
                "simulated": None,
            },
            metrics=_measured(denoiser, data.validation, member.seed),
            gauge=Gauge.fit(data.train, data.validation, member.seed),
        )
        return self

    def transform(self, X):
        """Return X denoised: of the same kind, shape and units."""
        check_is_fitted(self)
        values, model = self._values(X, reset=False), self.model_
        z = model.scaling.transform(values)
        factor = model.gauge.noise_factor(z) if self.noise_input else 0.0
        clean = model.scaling.inverse_transform(model.denoiser.denoise(z, factor))
        clean = clean.astype(values.dtype, copy=False)
        if not _is_anndata(X):
            return clean
        answer = X.copy()
        answer.X = clean
        return answer

    def score(self, X, y=None) -> float:
        """Return minus the MSE on clean rows X with the noise of training added; y is ignored.

        It is in units of a gene's variance. The noise is the same in every call.
        """
        check_is_fitted(self)
        z = self.model_.scaling.transform(self._values(X, reset=False))
        normal = standard_normal(z.shape, stream(0, "score")).numpy()
        factors = self._noise_factors()
        guesses = (self.model_.denoiser.denoise(add_noise(z, a, normal), a) for a in factors)
        return -float(np.mean([mse(guess, z) for guess in guesses]))

    def save(self, folder: str | Path, force: bool = False) -> None:
        """Write a model folder for `run_study.py denoise`. Raises InputError if it exists."""
        check_is_fitted(self)
        save_model(self.model_, folder, force)

    @classmethod
    def load(cls, folder: str | Path) -> DenoisingAutoencoder:
        """Read a network's model folder. Raises InputError for other kinds and damaged folders."""
        model = load_model(folder)
        if not isinstance(model.denoiser, NetworkDenoiser) or model.transform != "none":
            raise InputError(
                f"{folder}: holds no network for values on a log scale: use `denoise` with it"
            )
        factors = model.noise_factors[0] if len(model.noise_factors) == 1 else model.noise_factors
        it = cls(model.denoiser.network.name, factors, model.denoiser.network.noise_input)
        it.model_ = model
        it.feature_names_in_ = model.genes["ensembl_id"].to_numpy(dtype=object)
        it.n_features_in_ = len(it.feature_names_in_)
        return it

    def _values(self, X, **options) -> np.ndarray:
        """Return X as a float array (samples, genes), checked by scikit-learn."""
        X = X.to_df() if _is_anndata(X) else X
        return validate_data(self, X, dtype=[np.float64, np.float32], **options)

    def _noise_factors(self) -> tuple[float, ...]:
        return tuple(float(a) for a in np.atleast_1d(self.noise_factor))

    def _member(self, seed: int) -> MemberConfig:
        """Return the network to train. Raises ValueError for a parameter out of its range."""
        for name, least in (("noise_factor", 0), ("max_epochs", 1), ("patience", 1)):
            if np.min(getattr(self, name)) < least:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least {least}")
        if not 0 < self.validation_fraction < 1:
            raise ValueError(
                f"validation_fraction is {self.validation_fraction}: give a share between 0 and 1"
            )
        member = MemberConfig(
            self.model,
            (Phase(self._noise_factors(), self.max_epochs),),
            seed,
            self.beta,
            self.rho,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            noise_input=self.noise_input,
            noise_draws="fresh",
        )
        if member.is_mixture or not self.learning_rate:
            raise ValueError(
                f"model is {self.model!r}, learning_rate {self.learning_rate}: "
                "give a dense model or conv, and a rate above 0"
            )
        return member


def _measured(denoiser: Denoiser, validation: np.ndarray, seed: int) -> pd.DataFrame:
    """Return the MSE on validation rows at 0.1 to 1.0, with those of identity and gene mean."""
    normal = standard_normal(validation.shape, stream(seed, "measured")).numpy()
    rows = []
    for a in NOISE_FACTORS[1:]:
        noisy = add_noise(validation, a, normal)
        answer, means = denoiser.denoise(noisy, a), np.zeros_like(noisy)
        guesses = {OWN: answer, "identity": noisy, "gene mean": means}.items()
        rows += [("validation", name, a, mse(guess, validation)) for name, guess in guesses]
    return pd.DataFrame(rows, columns=METRIC_COLUMNS)


def _prepared(values: np.ndarray, split: Split) -> PreparedData:
    """Scale the parts of a split, which has no test rows, by its training rows."""
    scaling = ZScore.fit(values[split.train])
    parts = {name: scaling.transform(values[rows]) for name, rows in vars(split).items()}
    return PreparedData(**parts, scaling=scaling, split=split, gene_ids=np.arange(values.shape[1]))


def _is_anndata(X) -> bool:
    """Whether X is an AnnData, without importing anndata, which takes a second."""
    return type(X).__name__ == "AnnData" and hasattr(X, "obs_names")
