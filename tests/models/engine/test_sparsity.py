"""The sparsity terms against the paper's equations and autograd."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.engine.sparsity import CLAMP, Sparsity, kl_divergence, kl_gradient

KINDS = ["kl", "l1", "kl", "l1"]
BETAS = [0.3, 0.2, 0.0, 0.0]
RHOS = [0.05, 0.05, 0.1, 0.2]


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


def mixed():
    return Sparsity.of(KINDS, BETAS, RHOS, dtype=torch.float64)


def code(k=4, batch=6, units=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(k, batch, units, generator=generator, dtype=torch.float64) * 0.9 + 0.05


@given(st.floats(1e-4, 1 - 1e-4))
def test_kl_is_zero_at_rho(rho):
    assert kl_divergence(tensor(rho), tensor(rho)).item() == pytest.approx(0, abs=1e-14)
    assert kl_gradient(tensor(rho), tensor(rho)).item() == pytest.approx(0, abs=1e-9)


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_kl_is_eq_5(rho, rho_hat):
    by_hand = rho * math.log(rho / rho_hat) + (1 - rho) * math.log((1 - rho) / (1 - rho_hat))
    assert kl_divergence(tensor(rho), tensor(rho_hat)).item() == pytest.approx(
        by_hand, rel=1e-9, abs=1e-12
    )


def test_kl_as_a_number():
    # 0.05 ln(0.05 / 0.5) + 0.95 ln(0.95 / 0.5)
    assert kl_divergence(tensor(0.05), tensor(0.5)).item() == pytest.approx(0.494632, abs=1e-6)


@given(st.floats(0.01, 0.99), st.floats(0.001, 0.999))
def test_kl_gradient_is_autograds(rho, rho_hat):
    x = tensor(rho_hat).requires_grad_()
    [by_autograd] = torch.autograd.grad(kl_divergence(tensor(rho), x).sum(), x)
    assert kl_gradient(tensor(rho), x.detach()).item() == pytest.approx(
        by_autograd.item(), rel=1e-9, abs=1e-12
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rho_hat", [0.0, 1.0])
def test_kl_is_finite_and_flat_where_all_units_are_off_or_on(rho_hat, dtype):
    rho, x = torch.tensor([0.05], dtype=dtype), torch.tensor([rho_hat], dtype=dtype)
    edge = CLAMP if rho_hat == 0 else 1 - CLAMP
    by_hand = 0.05 * math.log(0.05 / edge) + 0.95 * math.log(0.95 / (1 - edge))
    # 1 - 1e-6 in float32 is 9.54e-7 away from 1
    assert kl_divergence(rho, x).item() == pytest.approx(
        by_hand, rel=1e-2 if dtype == torch.float32 else 1e-9
    )
    assert kl_gradient(rho, x).item() == 0


def test_penalty_by_hand():
    h = code()
    total = [0.0] * 4
    for unit in range(5):
        rho_hat = h[0, :, unit].mean().item()
        total[0] += 0.3 * (0.05 * math.log(0.05 / rho_hat) + 0.95 * math.log(0.95 / (1 - rho_hat)))
    total[1] = 0.2 * sum(abs(value) for row in h[1].tolist() for value in row) / 6
    assert mixed().penalty(h).tolist() == pytest.approx(total, rel=1e-12)


def test_l1_counts_magnitudes():
    h = torch.tensor([[[1.0, -2.0], [3.0, -4.0]]], dtype=torch.float64)
    l1 = Sparsity.of(["l1"], [0.5], [0.05], dtype=torch.float64)
    assert l1.penalty(h).tolist() == [0.5 * (1 + 2 + 3 + 4) / 2]
    [slope] = l1.penalty_and_slopes([h])[1]
    assert slope.tolist() == [[[0.25, -0.25], [0.25, -0.25]]]


def test_slopes_are_autograds_of_the_penalty_of_each_layer():
    codes = [code().requires_grad_(), code().square().detach().requires_grad_()]
    total = sum(mixed().penalty(h) for h in codes)
    by_autograd = torch.autograd.grad(total.sum(), codes)
    penalty, slopes = mixed().penalty_and_slopes([h.detach() for h in codes])
    torch.testing.assert_close(penalty, total.detach(), rtol=1e-12, atol=0)
    for expected, slope in zip(by_autograd, slopes, strict=True):
        torch.testing.assert_close(slope.expand_as(expected), expected, rtol=1e-9, atol=1e-12)
        assert expected[:2].abs().min() > 0
        assert (slope[2:] == 0).all()


def test_members_are_the_terms_of_some():
    h, terms = code(), mixed()
    for block in (slice(0, 1), slice(1, 3), slice(2, 4), slice(0, 4)):
        part = terms.members(block)
        torch.testing.assert_close(part.penalty(h[block]), terms.penalty(h)[block], rtol=0, atol=0)
        [whole] = terms.penalty_and_slopes([h])[1]
        some = part.penalty_and_slopes([h[block]])[1] or [torch.zeros_like(h[block])]
        assert torch.equal(some[0].expand_as(h[block]), whole.expand_as(h)[block])
    assert (terms.members(slice(0, 1)).uses_kl, terms.members(slice(0, 1)).uses_l1) == (True, False)
    assert (terms.members(slice(1, 2)).uses_kl, terms.members(slice(1, 2)).uses_l1) == (False, True)


def test_beta_zero_pays_nothing_even_at_the_edge():
    free = Sparsity.of(["kl", "kl"], [0.0, 1.0], [0.05, 0.05])
    h = torch.zeros(2, 3, 4)
    assert free.penalty(h)[0] == 0
    assert torch.isfinite(free.penalty(h)).all()
    [slope] = free.penalty_and_slopes([h])[1]
    assert (slope == 0).all()
    nothing = Sparsity.of(["kl"], [0.0], [0.05])
    assert (nothing.uses_kl, nothing.uses_l1) == (False, False)
    assert nothing.penalty(h[:1]).tolist() == [0]
    assert nothing.penalty_and_slopes([h[:1]]) == (0, [])
