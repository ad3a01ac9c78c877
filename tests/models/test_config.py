"""A member is its content: ids, names, JSON, and what it refuses."""

import json
import math
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_utils.errors import InputError
from models import config
from models.config import (
    PLAIN,
    MemberConfig,
    Phase,
    Protocol,
    UsualTraining,
    items_of,
    training_settings,
)
from study.grids import Narrowing, plan


def member(noise=0.5, epochs=50, **other):
    usual = {"model": "dense-4", "phases": (Phase((noise,), epochs),)}
    return MemberConfig(**usual | training_settings("dense-4") | other)


DIFFERENT = {
    "model": "dense-6",
    "phases": (Phase((0.5,), 51),),
    "seed": 1,
    "beta": 1e-3,
    "rho": 0.06,
    "sparsity": "l1",
    "learning_rate": 0.007,
    "batch_size": 48,
    "output": "sigmoid",
    "protocol": Protocol("as-published", ("linear output",)),
    "code_layers": 1,
    "code_activation": "relu",
    "initialisation": "glorot",
    "scaling": "all",
    "layout": "stream",
    "noise_draws": "fresh",
    "rate_schedule": "constant",
}


def test_member_id_is_the_content():
    assert member().member_id == member().member_id
    assert member(grid="paper").member_id == member(grid="smoke").member_id
    assert member(grid="paper") == member(grid="smoke")
    ids = {replace(member(), **{name: value}).member_id for name, value in DIFFERENT.items()}
    assert len(ids | {member().member_id}) == len(DIFFERENT) + 1


def test_schedules_that_differ_have_different_ids():
    schedules = [
        (Phase((0.1, 0.5), 4),),
        (Phase((0.5, 0.1), 4),),
        (Phase((0.1,), 2), Phase((0.5,), 2)),
        (Phase((0.1,), 3), Phase((0.5,), 1)),
        (Phase((0.5,), 2), Phase((0.1,), 2)),
    ]
    assert len({member(phases=phases).member_id for phases in schedules}) == len(schedules)


@pytest.mark.parametrize(("name", "value"), DIFFERENT.items())
def test_round_trip_through_json(name, value):
    whole = replace(member(grid="paper"), **{name: value})
    back = MemberConfig.from_dict(json.loads(json.dumps(whole.as_dict())))
    assert back == whole
    assert (back.grid, back.member_id) == ("paper", whole.member_id)
    assert isinstance(back.phases[0].noise_factors, tuple)
    assert len({back, whole}) == 1


@given(
    st.lists(
        st.tuples(st.lists(st.floats(0, 1e6), min_size=1, max_size=3), st.integers(1, 99)),
        min_size=1,
    )
)
def test_schedules_survive_json(schedule):
    whole = member(phases=tuple(Phase(tuple(factors), epochs) for factors, epochs in schedule))
    back = MemberConfig.from_dict(json.loads(json.dumps(whole.as_dict())))
    assert back == whole
    assert back.member_id == whole.member_id


def test_is_frozen():
    with pytest.raises(FrozenInstanceError):
        member().seed = 1


def test_epochs_noise_factor_and_label():
    carried = member(phases=(Phase((0.0,), 3), Phase((0.1,), 4), Phase((0.2,), 5)))
    assert (carried.epochs, carried.noise_factor, carried.noise_label) == (12, 0.2, "0-0.1-0.2")
    mixed = member(phases=(Phase((0.1, 0.5), 3),))
    assert (mixed.epochs, mixed.noise_label) == (3, "0.1+0.5")
    assert math.isnan(mixed.noise_factor)
    assert (member(0.3).noise_factor, member(0.3).noise_label) == (0.3, "0.3")
    found = [(m.levels, m.carried, m.mixed) for m in (member(0.3), carried, mixed)]
    assert found == [
        ((0.3,), False, False),
        ((0.0, 0.1, 0.2), True, False),
        ((0.1, 0.5), False, True),
    ]


def test_plain_is_every_switch_at_the_usual_value_of_its_model():
    assert member(0.1, seed=3, beta=0.1).is_plain()
    for name in PLAIN:
        if name in DIFFERENT:
            changed = replace(member(), **{name: DIFFERENT[name]})
            assert not changed.is_plain()
            assert changed.is_plain(except_=[name])


def test_a_model_is_usually_trained_as_its_settings_say(monkeypatch):
    """Other models have the defaults of every network."""
    usual = {"batch_size": 64, "learning_rate": 0.01, "rate_schedule": "cosine"}
    monkeypatch.setitem(config.USUAL_TRAINING, "conv", UsualTraining(40, **usual))
    monkeypatch.setattr(config, "usual_settings", config.usual_settings.__wrapped__)
    assert config.training_settings("conv") == usual
    assert config.training_settings("dense-3x3") == {}
    conv = MemberConfig("conv", (Phase((0.5,), 40),), **usual)
    assert conv.is_plain()
    assert conv.run_name == "conv/noise-0.5/beta-0/seed-0"
    other = replace(conv, rate_schedule="constant", noise_draws="fresh")
    assert other.run_name.startswith("conv/noise-0.5/noise_draws-fresh/rate_schedule-constant/")
    assert not replace(conv, model="dense-3x3").is_plain()
    small = replace(conv, model="dense-3x3")
    assert small.is_plain(except_=("batch_size", "learning_rate", "rate_schedule"))


def test_protocol_for_display():
    assert str(member().protocol) == "as-written"
    assert str(DIFFERENT["protocol"]) == "as-published, linear output"
    several = Protocol("as-published", ("two", "one", "two"))
    assert several == Protocol("as-published", ("one", "two"))
    assert (str(several), items_of(several.changes)) == ("as-published, one + two", ("one", "two"))
    assert items_of(Protocol().changes) == ()


@pytest.mark.parametrize("wrong", ["linear output", ("a + b",), ("",), (1,)])
def test_items_of_a_protocol_are_names_without_a_plus(wrong):
    with pytest.raises(InputError, match="protocol changed"):
        Protocol("as-published", wrong)


def test_run_name():
    assert member(beta=0.01).run_name == "dense-4/noise-0.5/beta-0.01/seed-0"
    published = member(protocol=DIFFERENT["protocol"])
    assert published.run_name == "dense-4/as-published/linear-output/noise-0.5/beta-0/seed-0"
    odd = member(beta=1e-3, seed=2, learning_rate=0.02, output="sigmoid")
    assert odd.run_name == "dense-4/noise-0.5/learning_rate-0.02/output-sigmoid/beta-0.001/seed-2"


@pytest.mark.parametrize("grid", ["paper", "smoke"])
def test_run_names_of_a_grid_are_unique(grid):
    members = plan(grid, Narrowing())
    assert len({m.run_name for m in members}) == len(members)


def test_run_names_tell_every_field_apart():
    members = [
        member(),
        *(
            replace(member(), **{name: value})
            for name, value in DIFFERENT.items()
            if name != "phases"
        ),
    ]
    assert len({m.run_name for m in members}) == len(members)


@pytest.mark.parametrize(
    ("one", "other"),
    [(member(0.12341), member(0.12342)), (member(beta=0.1234567), member(beta=0.1234568))],
    ids=["noise", "beta"],
)
def test_members_that_differ_have_different_run_names(one, other):
    assert one.member_id != other.member_id
    assert one.run_name != other.run_name


@pytest.mark.parametrize(
    ("one", "other"),
    [(member(0.0), member(-0.0)), (member(0.0), member(0)), (member(beta=0.0), member(beta=0))],
    ids=["-0.0", "noise 0", "beta 0"],
)
def test_members_that_are_equal_have_equal_ids(one, other):
    assert one == other
    assert one.member_id == other.member_id


@pytest.mark.parametrize(
    "wrong", [{"phases": ()}, {"phases": (Phase((), 3),)}, {"optimizer": "sgdx"}], ids=str
)
def test_what_cannot_be_trained_is_an_input_error(wrong):
    with pytest.raises(InputError):
        member(**wrong)


def test_long_schedules_have_short_and_different_names():
    long = [
        member(phases=tuple(Phase((round(0.05 * i, 2),), n) for i in range(21))) for n in (2, 3)
    ]
    assert long[0].run_name != long[1].run_name
    assert all(len(part) <= 50 for m in long for part in m.run_name.split("/"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "dense"},
        {"model": "lstm"},
        {"output": "softmax"},
        {"sparsity": "l2"},
        {"beta": math.nan},
        {"beta": math.inf},
        {"beta": -1e-3},
        {"learning_rate": math.nan},
        {"learning_rate": -1.0},
        {"seed": -1},
        {"batch_size": 0},
        {"rho": 0.0},
        {"rho": 1.0},
        {"rho": math.nan},
        {"noise": -0.1},
        {"noise": math.nan},
        {"noise": math.inf},
        {"epochs": 0},
        {"phases": (Phase((0.1,), 2), Phase((0.1, -0.5), 2))},
        {"phases": (Phase((0.1,), 2), Phase((0.1,), 0))},
        {"protocol": "as-published"},
        {"protocol": Protocol(3)},
        {"noise_draws": "twice"},
        {"rate_schedule": "step"},
    ],
    ids=str,
)
def test_wrong_values_are_input_errors_in_one_line(wrong):
    with pytest.raises(InputError) as caught:
        member(**wrong)
    assert "\n" not in str(caught.value)
