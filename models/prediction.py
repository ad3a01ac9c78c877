"""Predictors of the other genes from the landmark genes: ridge regression, and a dense network.

ridge = Ridge().fit(data.train, data.validation, others)
error = prediction_mse(ridge, wiener.denoise(noisy, 0.5), others, "test")
"""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np

from data_utils.noise import numpy_stream
from data_utils.other_genes import OtherGenes
from models.architecture import DENSE_WIDTHS
from models.denoisers.denoiser import ROWS

#: Penalties of the ridge, in units of a landmark gene's variance, from which validation chooses.
PENALTIES = np.geomspace(1e-3, 1e2, 16)
#: The network's hidden layers, and its training: Adam's steps, and epochs without a lower
#: validation MSE before it ends.
HIDDEN = DENSE_WIDTHS["dense-4"]
BATCH_SIZE, LEARNING_RATE, EPOCHS, PATIENCE = 32, 1e-3, 200, 20


class Predictor(Protocol):
    """A predictor of scaled values of the other genes from scaled landmark genes."""

    name: str
    choice: str
    """Name of the choice that validation rows made; "" if there is none."""

    def fit(self, train: np.ndarray, validation: np.ndarray, others: OtherGenes) -> Self:
        """Fit to the training rows of the landmark genes, and choose on the validation rows."""
        ...

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Return the other genes of some rows, (rows, other genes)."""
        ...


class Mean:
    """Each gene's mean over the training rows, which is 0 on their scale."""

    name, choice = "gene mean", ""

    def fit(self, train: np.ndarray, validation: np.ndarray, others: OtherGenes) -> Self:
        """Keep the number of genes."""
        self.n_genes_ = others.n_genes
        return self

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Return zeros."""
        return np.zeros((len(rows), self.n_genes_), dtype=np.float32)


class Ridge:
    """Linear regression with a penalty on the squares of its coefficients, the same for all genes.

    The eigenvectors of the landmark genes' covariance give the coefficients for every penalty:
    V (D + penalty)^-1 V^T X^T Y / n. mean_ (landmarks,), coefficients_ (landmarks, other genes)
    float32.
    """

    name = "ridge"

    def fit(self, train: np.ndarray, validation: np.ndarray, others: OtherGenes) -> Self:
        """Fit gene block by gene block, and choose the penalty of least validation MSE."""
        self.mean_ = train.mean(axis=0, dtype=np.float64)
        centred = train - self.mean_
        values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
        rotated, held_out = centred @ vectors, (validation - self.mean_) @ vectors
        shrunk = [1 / (np.maximum(values, 0) + penalty)[:, None] for penalty in PENALTIES]
        products = np.empty((train.shape[1], others.n_genes), dtype=np.float32)
        errors = np.zeros(len(PENALTIES))
        for genes in others.blocks():
            product = rotated.T @ others.scaled("train", genes=genes) / len(centred)
            target = others.scaled("validation", genes=genes)
            errors += [((held_out @ (s * product) - target) ** 2).sum() for s in shrunk]
            products[:, genes] = product
        best = int(errors.argmin())
        self.choice = f"penalty {PENALTIES[best]:.3g}"
        self.coefficients_ = (vectors * shrunk[best].T).astype(np.float32) @ products
        return self

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Return the other genes, float32."""
        return (rows - self.mean_).astype(np.float32) @ self.coefficients_


class Network:
    """A dense network with the hidden layers of the paper's dense-4, and the other genes as output.

    ReLU, Adam on the MSE, with the weights of the epoch of least validation MSE.
    """

    name = "network"

    def __init__(self, seed: int = 0):
        self.seed = seed

    def fit(self, train: np.ndarray, validation: np.ndarray, others: OtherGenes) -> Self:
        """Train until the validation MSE no longer falls."""
        from sklearn.neural_network import MLPRegressor

        draws = np.random.RandomState(numpy_stream(self.seed, "other-genes").bit_generator)
        self.network_ = MLPRegressor(
            hidden_layer_sizes=HIDDEN,
            alpha=0.0,
            batch_size=min(BATCH_SIZE, len(train)),
            learning_rate_init=LEARNING_RATE,
            random_state=draws,
        )
        targets, least, best = others.scaled("train"), np.inf, 0
        for epoch in range(1, EPOCHS + 1):
            self.network_.partial_fit(train, targets)
            error = prediction_mse(self, validation, others, "validation")
            if error < least:
                least, best = error, epoch
                weights, biases = map(_copies, (self.network_.coefs_, self.network_.intercepts_))
            elif epoch - best >= PATIENCE:
                break
        self.choice = f"epoch {best}"
        self.network_.coefs_, self.network_.intercepts_ = weights, biases
        return self

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Return the other genes, float32."""
        return self.network_.predict(np.asarray(rows, dtype=np.float32)).reshape(len(rows), -1)


def _copies(layers: list[np.ndarray]) -> list[np.ndarray]:
    return [its.copy() for its in layers]


def prediction_mse(predictor: Predictor, rows: np.ndarray, others: OtherGenes, part: str) -> float:
    """Return the mean over the part's samples and the other genes of the squared error (eq. 11).

    rows: (samples of the part, landmark genes), noisy or denoised.
    """
    total = 0.0
    for start in range(0, len(rows), ROWS):
        block = slice(start, start + ROWS)
        error = predictor.predict(rows[block]) - others.scaled(part, rows=block)
        total += float(np.square(error, out=error).sum(dtype=np.float64))
    return total / (len(rows) * others.n_genes)
