"""Eq. 9 and the random streams."""

import itertools

import pytest
import torch

from data_utils.noise import add_noise, evaluation_noise, noisy_set, standard_normal, stream


def draws(*key, n=16):
    return standard_normal((n,), stream(*key)).tolist()


def test_noise_0_leaves_the_data_exactly_alone():
    clean = torch.tensor([[0.1, -3.7e-39, 1e30, 0.0, -14.123457]])
    normal = standard_normal((1, 5), stream(0, "noise")) * 1e3
    assert torch.equal(add_noise(clean, 0.0, normal), clean)
    assert torch.equal(add_noise(clean, torch.zeros(3, 1, 1), normal), clean.expand(3, 1, 5))


def test_eq_9_as_numbers():
    clean, normal = torch.tensor([[1.0, -2.0], [0.0, 4.0]]), torch.tensor([[2.0, 1.0], [-1.0, 0.5]])
    kept = clean.clone(), normal.clone()
    assert add_noise(clean, 0.5, normal).tolist() == [[2.0, -1.5], [-0.5, 4.25]]
    assert add_noise(clean, 1, normal).tolist() == [[3.0, -1.0], [-1.0, 4.5]]
    assert torch.equal(clean, kept[0])
    assert torch.equal(normal, kept[1])


def test_factors_by_input_and_by_row():
    clean, normal = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.ones(2, 2)
    by_input = add_noise(clean, torch.tensor([0.0, 2.0]).view(2, 1, 1), normal)
    assert by_input.tolist() == [[[1, 2], [3, 4]], [[3, 4], [5, 6]]]
    by_row = add_noise(clean, torch.tensor([[[0.0], [0.5]], [[1.0], [2.0]]]), normal)
    assert by_row.tolist() == [[[1, 2], [3.5, 4.5]], [[2, 3], [5, 6]]]


def test_writes_where_it_is_told():
    out = torch.empty(1, 2)
    answer = add_noise(torch.ones(1, 2), 0.5, torch.ones(1, 2), out=out)
    assert answer is out
    assert out.tolist() == [[1.5, 1.5]]


def test_float64_data_keep_their_precision():
    clean = torch.tensor([1 / 3], dtype=torch.float64)
    answer = add_noise(clean, 0.5, torch.tensor([1.0], dtype=torch.float64))
    assert answer.item() == 1 / 3 + 0.5


def test_streams_repeat_and_differ_by_seed_purpose_and_counter():
    keys = [
        *itertools.product((0, 1, 2, 10), ("noise", "order", "weights"), range(4), range(4)),
        (0, "noise"),
        (0, "noise", 0),
        (1, "noise", 23),
        (1, "noise", 2, 3),
        (12, "noise", 3),
        (1, "noise", 2, 3, 0),
    ]
    first = {key: tuple(draws(*key)) for key in keys}
    assert len(set(first.values())) == len(set(keys))
    assert all(tuple(draws(*key)) == values for key, values in first.items())


def test_a_stream_stays_what_it_is():
    """A run that is resumed by a later version must draw the same numbers."""
    expected = [-0.04232231, -0.14125364, 0.54813457]
    assert standard_normal((3,), stream(0, "noise", 0, 0)).tolist() == pytest.approx(
        expected, abs=1e-7
    )


def test_neighbouring_streams_are_uncorrelated():
    rows = torch.stack(
        [standard_normal((20_000,), stream(seed, "noise", i)) for seed in (0, 1) for i in range(4)]
    )
    off_diagonal = torch.corrcoef(rows) - torch.eye(8)
    assert off_diagonal.abs().max() < 0.035  # 5 standard errors


def test_draws_are_standard_normal():
    values = standard_normal((1000, 1000), stream(3, "noise", 1, 2))
    assert values.dtype == torch.float32
    assert values.mean().abs() < 0.005  # 5 standard errors
    assert (values.std() - 1).abs() < 0.0036
    assert (values.abs() < 1.959964).float().mean().item() == pytest.approx(0.95, abs=0.0011)
    assert values.mean(dim=0).std().item() == pytest.approx(1000**-0.5, rel=0.12)


def test_evaluation_noise_is_one_draw_per_seed_and_split():
    first = evaluation_noise(0, "test", 20, 30)
    assert first.shape == (20, 30)
    assert torch.equal(first, evaluation_noise(0, "test", 20, 30))
    assert not torch.equal(first, evaluation_noise(1, "test", 20, 30))
    assert not torch.equal(first, evaluation_noise(0, "validation", 20, 30))
    assert not torch.equal(first, standard_normal((20, 30), stream(0, "noise", 0, 0)))


def test_noise_levels_that_are_compared_see_the_same_draw():
    """Common random numbers: the noisy data of two noise factors differ by the factor alone."""
    clean = torch.zeros(20, 30)
    a, b = (add_noise(clean, alpha, evaluation_noise(0, "test", 20, 30)) for alpha in (0.25, 1.0))
    assert torch.equal(4 * a, b)


def test_a_noisy_training_set_is_one_draw_per_seed_and_factor():
    clean = torch.arange(6000.0).view(200, 30) / 1000
    first = noisy_set(clean, 0, 0.5)
    assert torch.equal(first, noisy_set(clean, 0, 0.5))
    assert torch.equal(noisy_set(clean, 0, 0.0), clean)
    draws = [(noisy_set(clean, seed, a) - clean) / a for seed, a in ((0, 0.5), (0, 1.0), (1, 0.5))]
    draws.append(standard_normal((200, 30), stream(0, "noise", 0, 0)))
    correlations = torch.corrcoef(torch.stack([its.flatten() for its in draws])) - torch.eye(4)
    assert correlations.abs().max() < 5 / 6000**0.5
    assert draws[0].std().item() == pytest.approx(1, abs=0.05)


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    evaluation_noise(0, "test", 20, 30)
    standard_normal((3,), stream(1, "noise"))
    assert torch.equal(torch.get_rng_state(), before)
