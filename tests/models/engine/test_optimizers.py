"""Adam over stacked parameters is torch.optim.Adam, member by member."""

import math

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from models.engine import optimizers
from models.engine.optimizers import OPTIMIZERS, Adadelta, Adam, Schedule

RATES = [1e-3, 1e-3, 0.1, 1e-2, 1e-2, 1e-3]
SCHEDULES = [Schedule(rate) for rate in RATES]
ALL = range(6)
STEPS = 20
WIDTH = 1000


def numbers(step, dtype=torch.float64):
    """Values for step -1, gradients after it; of very different sizes, some exactly 0."""
    generator = torch.Generator().manual_seed(step + 1)
    drawn = torch.randn(len(RATES), WIDTH, generator=generator, dtype=dtype)
    sizes = torch.logspace(-9, 3, WIDTH, dtype=dtype) if step >= 0 else 1
    return drawn * sizes * (torch.arange(WIDTH) % 7 != 0)


def stacked(dtype=torch.float64, rows=ALL, optimizer=Adam):
    values = numbers(-1, dtype)[list(rows)].clone()
    stack = optimizer(values, [SCHEDULES[k] for k in rows])
    for step in range(STEPS):
        stack.step(numbers(step, dtype)[list(rows)].clone())
    return values


def test_equals_torch_adam_member_by_member():
    values = stacked()
    for k, rate in enumerate(RATES):
        own = numbers(-1)[k].clone().requires_grad_()
        adam = torch.optim.Adam([own], lr=rate)
        for step in range(STEPS):
            own.grad = numbers(step)[k].clone()
            adam.step()
        torch.testing.assert_close(values[k], own.detach(), rtol=1e-11, atol=1e-13)


def test_first_step_by_hand():
    """Bias-corrected, the first step is lr * g / (|g| + eps)."""
    values = torch.tensor([[1.0, 1.0, 1.0]], dtype=torch.float64)
    Adam(values, [Schedule(0.1)]).step(torch.tensor([[4.0, -1e-8, 0.0]], dtype=torch.float64))
    assert values[0].tolist() == pytest.approx([0.9, 1.05, 1.0], rel=1e-9)


@pytest.mark.parametrize("chunk", [16, 48, 1000, 1 << 30])
def test_adadelta_does_not_depend_on_the_chunk(monkeypatch, chunk):
    expected = stacked(torch.float32, optimizer=Adadelta)
    monkeypatch.setattr(optimizers, "CHUNK", chunk)
    assert torch.equal(stacked(torch.float32, optimizer=Adadelta), expected)


@pytest.mark.parametrize("rows", [[0], [2], [1, 2], [5, 0, 1, 2]])
def test_a_member_does_not_depend_on_its_neighbours(rows):
    assert torch.equal(stacked(torch.float32, rows), stacked(torch.float32)[rows])


def test_learning_rate_zero_stays_and_gradients_are_left_alone():
    values, gradients = numbers(-1).clone(), numbers(0).clone()
    kept = gradients.clone()
    Adam(values, [Schedule(0.0)] * len(RATES)).step(gradients)
    assert torch.equal(values, numbers(-1))
    assert torch.equal(gradients, kept)


def test_a_member_that_overflows_spoils_no_other():
    values = numbers(-1, torch.float32).clone()
    adam = Adam(values, SCHEDULES)
    for step in range(STEPS):
        gradients = numbers(step, torch.float32).clone()
        gradients[1] = float("nan") if step % 2 else float("inf")
        adam.step(gradients)
    others = [k for k in range(len(RATES)) if k != 1]
    assert torch.equal(values[others], stacked(torch.float32)[others])


@pytest.mark.parametrize("n_steps", [20, 60, 100, 1000])
def test_cosine_is_torchs_linear_warm_up_and_annealing(n_steps):
    torchs = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    rising = math.ceil(n_steps * 0.05)
    parts = [
        LinearLR(torchs, start_factor=1 / rising, total_iters=max(1, rising - 1)),
        CosineAnnealingLR(torchs, T_max=n_steps - rising),
    ]
    whole = SequentialLR(torchs, parts, milestones=[rising])
    own = Schedule(0.3, "cosine", (n_steps, n_steps))
    for step in range(n_steps):
        [rate] = whole.get_last_lr()
        assert own.rate(step) == own.rate(n_steps + step) == pytest.approx(rate, rel=1e-9)
        torchs.step()
        whole.step()
    assert max(map(own.rate, range(n_steps))) == 0.3
    assert own.rate(n_steps - 1) < 0.3 * 4 / n_steps


def test_members_of_one_stack_have_schedules_of_their_own():
    phases = ((), (STEPS,), (2 * STEPS,))
    schedules = [Schedule(0.1, "cosine" if its else "constant", its) for its in phases]
    together = numbers(-1)[:3].clone()
    stack = Adam(together, schedules)
    for step in range(STEPS):
        stack.step(numbers(step)[:3].clone())
    for k, schedule in enumerate(schedules):
        own = numbers(-1)[k].clone().requires_grad_()
        adam = torch.optim.Adam([own], lr=0.1)
        for step in range(STEPS):
            adam.param_groups[0]["lr"] = schedule.rate(step)
            own.grad = numbers(step)[k].clone()
            adam.step()
        torch.testing.assert_close(together[k], own.detach(), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("n_steps", [1, 2])
def test_a_training_of_few_steps_has_a_schedule(n_steps):
    rates = [Schedule(0.3, "cosine", (n_steps,)).rate(step) for step in range(n_steps)]
    assert rates == [0.3] * n_steps


def test_known_by_name():
    assert OPTIMIZERS["adam"] is Adam
