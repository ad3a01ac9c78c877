"""The mixture of Wiener filters: Bayes' rule, what its fit finds, and its place as a denoiser."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from data_utils.errors import InputError
from models.architecture import architecture
from models.config import MemberConfig, Phase
from models.denoisers.denoiser import Pairs, mse
from models.denoisers.linear import Wiener
from models.denoisers.mixture import Mixture
from models.denoisers.mixture_fit import MixtureFit, fit_round
from study.evidence.references import reconstructed
from tests.small import for_all, prepared

GENES = 6


def drawn(n_genes=GENES, groups=3, classes=2, seed=0):
    """A mixture with everything in it."""
    rng = np.random.default_rng(seed)
    components = np.linalg.qr(rng.normal(size=(n_genes, n_genes)))[0]
    variances = np.sort(rng.uniform(0.1, 2, n_genes))[::-1]
    means = 2 * rng.normal(size=(groups, n_genes))
    return Mixture(
        components,
        variances,
        means,
        np.full(groups, 1 / groups),
        np.array([0.5, 3.0])[:classes],
        np.array([0.7, 0.3]) if classes == 2 else np.ones(1),
    )


def samples(mixture, n_rows, seed=0):
    """Rows of the mixture, (n_rows, genes)."""
    rng = np.random.default_rng([seed, 1])
    group = rng.choice(len(mixture.group_weights), n_rows, p=mixture.group_weights)
    scale = mixture.class_scales[
        rng.choice(len(mixture.class_weights), n_rows, p=mixture.class_weights)
    ]
    deviations = (
        rng.normal(size=(n_rows, len(mixture.variances)))
        * np.sqrt(mixture.variances)
        * np.sqrt(scale)[:, None]
    )
    return mixture.means[group] + deviations @ mixture.components.T


def by_bayes(mixture, noisy, noise_factor):
    """E[x | y] by densities and matrix inverses, one group and class at a time."""
    covariance = (mixture.components * mixture.variances) @ mixture.components.T
    noise = noise_factor**2 * np.eye(len(covariance))
    weights, guesses = [], []
    for mean, p_group in zip(mixture.means, mixture.group_weights, strict=True):
        for scale, p_class in zip(mixture.class_scales, mixture.class_weights, strict=True):
            total = scale * covariance + noise
            weights.append(p_group * p_class * multivariate_normal(mean, total).pdf(noisy))
            guesses.append(mean + (noisy - mean) @ np.linalg.solve(total, scale * covariance))
    return np.einsum("ar,arg->rg", np.array(weights) / np.sum(weights, axis=0), np.array(guesses))


@pytest.mark.parametrize("noise_factor", [0.1, 0.5, 1.0])
def test_posterior_mean_is_bayes_rule(noise_factor):
    mixture = drawn()
    noisy = samples(mixture, 20) + noise_factor * np.random.default_rng(2).normal(size=(20, GENES))
    guess, groups = mixture.posterior_mean(noisy, noise_factor)
    assert guess == pytest.approx(by_bayes(mixture, noisy, noise_factor), abs=1e-9)
    assert groups.sum(axis=1) == pytest.approx(1)


def test_rows_may_have_noise_factors_of_their_own():
    mixture, factors = drawn(), np.array([0.0, 0.3, 1.0])
    noisy = samples(mixture, 3)
    alone = [mixture.posterior_mean(noisy[i : i + 1], factors[i])[0][0] for i in range(3)]
    assert mixture.posterior_mean(noisy, factors)[0] == pytest.approx(np.array(alone), abs=1e-12)


def test_without_noise_the_input_is_the_answer():
    noisy = samples(drawn(), 20)
    assert drawn().posterior_mean(noisy, 0.0)[0] == pytest.approx(noisy, abs=1e-12)


def test_one_group_and_class_is_the_wiener_filter():
    mixture = drawn(groups=1, classes=1)
    noisy = samples(mixture, 20) + 0.5 * np.random.default_rng(2).normal(size=(20, GENES))
    covariance = 0.5 * (mixture.components * mixture.variances) @ mixture.components.T
    filtered = (
        mixture.means[0]
        + (noisy - mixture.means[0]) @ np.linalg.inv(covariance + 0.25 * np.eye(GENES)) @ covariance
    )
    assert mixture.posterior_mean(noisy, 0.5)[0] == pytest.approx(filtered, abs=1e-9)


def fitted(rows, n_groups, n_classes=2, rounds=3):
    mixture = None
    for _ in range(rounds):
        mixture = fit_round(rows, mixture, n_groups, n_classes, seed=0)
    return mixture


def test_fit_comes_near_the_truth_and_beats_one_filter():
    """Rows of a known mixture: its own posterior mean is the best there is."""
    truth = drawn(n_genes=20, groups=3)
    train, validation, test = (samples(truth, n, seed) for seed, n in enumerate((1500, 300, 1500)))
    noisy = test + np.random.default_rng(5).normal(size=test.shape)
    best = mse(truth.posterior_mean(noisy, 1.0)[0], test)
    found = mse(fitted(train, 3).posterior_mean(noisy, 1.0)[0], test)
    linear = mse(
        Wiener().fit(train).tune(Pairs.noised(validation, seed=0)).denoise(noisy, 1.0), test
    )
    assert best <= found < 1.03 * best
    assert linear > 1.1 * best


def test_classes_are_found():
    truth = drawn(n_genes=20, groups=1)
    found = fitted(samples(truth, 2000), 1)
    order = np.argsort(found.class_scales)
    assert found.class_scales[order[1]] / found.class_scales[order[0]] == pytest.approx(6, rel=0.1)
    assert found.class_weights[order] == pytest.approx([0.7, 0.3], abs=0.04)
    assert np.sort(found.variances * (found.class_scales @ found.class_weights))[
        ::-1
    ] == pytest.approx(truth.variances * (truth.class_scales @ truth.class_weights), rel=0.15)


@pytest.mark.parametrize(("n_rows", "n_groups"), [(3, 1), (7, 20), (40, 4)])
def test_few_rows_and_constant_genes_give_finite_answers(n_rows, n_groups):
    rows = np.random.default_rng(0).normal(size=(n_rows, 10))
    rows[:, 3] = 0.0
    guess, _ = fitted(rows, n_groups).posterior_mean(rows, 0.5)
    assert np.isfinite(guess).all()
    assert np.abs(guess[:, 3]).max() < 0.05


FACTORS = (0.1, 0.5, 1.0)


def member(groups=2, seed=0, epochs=3):
    return MemberConfig(f"mixture-{groups}", (Phase(FACTORS, epochs),), seed)


def trained(members, data, training=None):
    training = training or MixtureFit(tuple(members), for_all(data))
    while not training.finished:
        training.advance()
    return training


def state(training, k):
    parameters = {name: value.numpy().tobytes() for name, value in training.parameters(k).items()}
    return parameters, [(r.split, r.epoch, repr(r.values[k])) for r in training.records]


def test_pack_equals_its_members_and_resumed_equals_unbroken():
    data = prepared()
    pack = trained([member(seed=0), member(seed=1)], data)
    assert state(pack, 1) == state(trained([member(seed=1)], data), 0)
    begun = MixtureFit((member(),), for_all(data))
    begun.advance()
    resumed = MixtureFit((member(),), for_all(data))
    resumed.restore(*begun.state())
    assert state(trained([], data, resumed), 0) == state(pack, 0)
    assert pack.epoch == 3


def test_test_and_validation_rows_do_not_reach_the_fit():
    data = prepared()
    before = state(trained([member()], data), 0)[0]
    data.test[:] += 1
    data.validation[:] -= 1
    assert state(trained([member()], data), 0)[0] == before


class Folder:
    """As a run folder holds one network."""

    def __init__(self, parameters):
        self.parameters = parameters

    def load_model(self, member_id):
        return {}, {name: value.numpy() for name, value in self.parameters.items()}


def test_saved_mixture_gives_the_measured_errors():
    data = prepared()
    training = trained([member()], data)
    measured = {
        noise_factor: record.values[0]
        for record in training.records
        for noise_factor in record.noise_factors[:1]
        if (record.split, record.metric) == ("test", "mse")
    }
    assert set(measured) == set(FACTORS)
    for noise_factor in FACTORS:
        clean, _, guess = reconstructed(
            Folder(training.parameters(0)), data, member(), noise_factor
        )
        assert mse(guess, clean) == pytest.approx(measured[noise_factor], rel=1e-6)
        assert measured[noise_factor] < noise_factor**2


def test_what_does_not_go_together_is_refused():
    with pytest.raises(InputError, match="mixture-2: a mixture has no setting"):
        MemberConfig("mixture-2", (Phase(FACTORS, 3),), optimizer="adadelta")
    with pytest.raises(InputError, match="4001 genes"):
        architecture("mixture-2").parameter_shapes(4001)
    with pytest.raises(InputError, match="mixture-0"):
        architecture("mixture-0")
