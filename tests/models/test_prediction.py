"""Ridge and network find what is there to be found, and choose on validation rows alone."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge as PlainRidge

from data_utils import other_genes
from data_utils.other_genes import OtherGenes
from data_utils.preparation import SPLITS, ZScore, split_samples
from models import prediction
from models.prediction import PENALTIES, Mean, Network, Ridge, prediction_mse

LANDMARKS, GENES, SAMPLES = 20, 9, 400


def made_up(noise=0.5, seed=0):
    """Landmark genes of each part, and other genes that are linear in them, with some noise."""
    rng = np.random.default_rng(seed)
    landmarks = rng.normal(size=(SAMPLES, LANDMARKS)) + 3
    weights = rng.normal(size=(LANDMARKS, GENES)) / np.sqrt(LANDMARKS)
    others = landmarks @ weights + noise * rng.normal(size=(SAMPLES, GENES))
    split = split_samples(SAMPLES, seed)
    scaling = ZScore.fit(landmarks[split.train])
    rows = {part: scaling.transform(landmarks[getattr(split, part)]) for part in SPLITS}
    return rows, OtherGenes.of(others.astype(np.float32), split)


def fitted(predictor, rows, others):
    return predictor.fit(rows["train"], rows["validation"], others)


def test_ridge_is_that_of_scikit_learn_at_the_penalty_of_least_validation_mse():
    rows, others = made_up(noise=2.0)
    train, validation = rows["train"], rows["validation"]
    errors = {}
    for penalty in PENALTIES:
        plain = PlainRidge(penalty * len(train)).fit(train, others.scaled("train"))
        wrong = plain.predict(validation) - others.scaled("validation")
        errors[penalty] = (wrong**2).mean(), plain.predict(rows["test"])
    best = min(errors, key=lambda penalty: errors[penalty][0])
    assert PENALTIES[0] < best < PENALTIES[-1]
    ridge = fitted(Ridge(), rows, others)
    assert ridge.choice == f"penalty {best:.3g}"
    np.testing.assert_allclose(ridge.predict(rows["test"]), errors[best][1], atol=1e-5)


def test_blocks_of_genes_and_rows_change_nothing(monkeypatch):
    rows, others = made_up()
    whole = fitted(Ridge(), rows, others)
    error = prediction_mse(whole, rows["test"], others, "test")
    direct = whole.predict(rows["test"]) - others.scaled("test")
    assert error == pytest.approx((direct.astype(np.float64) ** 2).mean(), rel=1e-6)
    monkeypatch.setattr(other_genes, "GENE_BLOCK", 4)
    monkeypatch.setattr(prediction, "ROWS", 7)
    blocks = fitted(Ridge(), rows, others)
    np.testing.assert_allclose(blocks.coefficients_, whole.coefficients_, atol=1e-6)
    assert prediction_mse(blocks, rows["test"], others, "test") == pytest.approx(error, rel=1e-5)


def test_both_predict_far_better_than_the_mean_and_the_mean_has_the_variance():
    rows, others = made_up()
    errors = {
        its.name: prediction_mse(fitted(its, rows, others), rows["test"], others, "test")
        for its in (Mean(), Ridge(), Network(0))
    }
    assert errors["gene mean"] == pytest.approx((others.scaled("test") ** 2).mean(), rel=1e-6)
    noise = (0.25 / (others.scaling.scale**2)).mean()  # of the targets, which nobody can predict
    assert noise < errors["ridge"] < 1.2 * noise
    assert errors["ridge"] < errors["network"] < 0.6 * errors["gene mean"]


def test_the_network_keeps_the_weights_of_its_best_epoch(monkeypatch):
    monkeypatch.setattr(prediction, "EPOCHS", 40)
    monkeypatch.setattr(prediction, "PATIENCE", 3)
    monkeypatch.setattr(prediction, "LEARNING_RATE", 3e-2)
    measured, once = [], prediction_mse

    def noted(*given):
        measured.append(once(*given))
        return measured[-1]

    monkeypatch.setattr(prediction, "prediction_mse", noted)
    rows, others = made_up()
    network = fitted(Network(0), rows, others)
    best = int(np.argmin(measured))
    assert network.choice == f"epoch {best + 1}"
    assert len(measured) == best + 4 < 40
    assert once(network, rows["validation"], others, "validation") == measured[best]


def test_a_seed_gives_the_same_network_and_another_seed_another(monkeypatch):
    monkeypatch.setattr(prediction, "EPOCHS", 3)
    rows, others = made_up()
    first, again, other = (
        fitted(Network(seed), rows, others).predict(rows["test"]) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01


def test_test_rows_have_no_influence_on_a_fit():
    rows, others = made_up()
    before = fitted(Ridge(), rows, others).coefficients_
    changed = others.values.copy()
    changed[others.split.test] = 0
    after = fitted(Ridge(), rows, OtherGenes.of(changed, others.split)).coefficients_
    np.testing.assert_array_equal(before, after)
