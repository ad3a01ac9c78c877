"""The grids: how many members, which, and how the command line narrows them."""

import inspect
import math
import re
from collections import Counter
from dataclasses import replace

import pytest

from data_utils.cohort import simulate_cohort
from data_utils.errors import InputError
from models.architecture import architecture, n_parameters
from models.config import DENSE_MODELS, PAPER_MODELS, SMALL_CODE, USUAL_TRAINING, Phase, Protocol
from study.grids import (
    GRIDS,
    MIXTURE_ROUNDS,
    MODELS,
    USUAL_SAMPLES,
    Narrowing,
    describe_grids,
    plan,
    predicts_other_genes,
)
from study.options import DEPTHS

EPOCHS = {model: usual.epochs for model, usual in USUAL_TRAINING.items()}
NOISE = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]


def test_depths_on_the_command_line_are_the_papers_models():
    assert tuple(MODELS) == DEPTHS


def test_as_written_is_the_papers_and_what_its_conjectures_need():
    members = plan("as-written", Narrowing())
    found = Counter((m.model, m.noise_factor, m.beta, m.seed) for m in members)
    assert max(found.values()) == 1
    plain = {(m, a, 0, s) for m in PAPER_MODELS for a in NOISE for s in range(5)}
    three = {
        (model, a, beta, s)
        for model, beta in [*((m, 0.01) for m in DENSE_MODELS), (SMALL_CODE, 0)]
        for a in (0.1, 0.5, 1.0)
        for s in range(5)
    }
    assert set(found) == plain | three
    assert len(members) == 5 * (5 * 11 + 5 * 3) == 350
    assert {m.grid for m in members} == {"as-written"}
    small = architecture(SMALL_CODE)
    assert (small.bottleneck, small.hidden) == (16, (64, 16, 16, 64))


def test_paper_grid_is_both_protocols_and_a_mixture():
    members = plan("paper", Narrowing())
    parts = [plan(grid, Narrowing()) for grid in ("as-written", "as-published", "best")]
    parts[-1] = [m for m in parts[-1] if m.model == "mixture-20"]
    assert [m.member_id for m in members] == [m.member_id for part in parts for m in part]
    assert len(parts[-1]) == 5
    assert {m.grid for m in members} == {"paper"}
    assert {m.protocol.name for m in plan("paper", Narrowing(betas=[0.1]))} == {"as-written"}


def test_the_networks_as_written_are_plain():
    for m in plan("as-written", Narrowing()):
        assert m.phases == (Phase((m.noise_factor,), EPOCHS[m.model]),)
        assert (m.protocol, m.optimizer) == (Protocol(), "adam")
        assert m.is_plain()


@pytest.mark.parametrize(("samples", "longer"), [(USUAL_SAMPLES, 1), (1000, 2.921), (20_000, 1)])
def test_a_network_has_its_number_of_updates_on_fewer_samples(samples, longer):
    for m in plan("paper", Narrowing(samples=samples)):
        usual = EPOCHS.get(m.model)
        if m.protocol.name == "as-published":
            assert {phase.epochs for phase in m.phases} <= {10, 50}
        elif usual is not None:
            assert m.epochs == pytest.approx(longer * usual, abs=0.5)
    given = plan("paper", Narrowing(samples=samples, epochs=7))
    assert {phase.epochs for m in given for phase in m.phases} == {7}


def test_the_usual_number_of_samples_is_the_simulated_cohorts():
    assert inspect.signature(simulate_cohort).parameters["n_samples"].default == USUAL_SAMPLES


def test_the_quick_grid_is_the_papers_with_less_of_each():
    members = plan("quick", Narrowing())
    assert {m.seed for m in members} == {0, 1, 2}
    written = [m for m in members if m.protocol.name == "as-written"]
    assert {a for m in written for a in m.phases[0].noise_factors} == {0.0, 0.2, 0.5, 1.0}
    epochs = EPOCHS | {"mixture-20": MIXTURE_ROUNDS}
    assert {m.epochs for m in written} == {epochs[m.model] // 3 for m in written}
    published = [m for m in members if m.protocol.name == "as-published"]
    assert {m.model for m in published} == set(PAPER_MODELS)
    assert {phase.epochs for m in published for phase in m.phases} == {10, 50}
    assert {m.epochs for m in plan("quick", Narrowing(epochs=6, noise=[0.5]))} == {6}


def test_smoke_grid_is_small_and_has_every_model():
    members = plan("smoke", Narrowing())
    assert {m.model for m in members} == {"dense-2", "dense-4", "dense-6", "dense-8", "conv"}
    assert len(members) <= 20
    assert max(m.epochs for m in members) <= 5
    assert {m.grid for m in members} == {"smoke"}


@pytest.mark.parametrize("grid", ["as-written", "smoke"])
def test_narrowed(grid):
    members = plan(
        grid,
        Narrowing(seeds=2, epochs=7, depths=["2", "conv"], noise=[0.0, 0.35], betas=[0.0, 0.5]),
    )
    assert Counter(m.model for m in members) == {"dense-2": 2 * 2 * 2, "conv": 2 * 2}
    assert {m.noise_factor for m in members} == {0.0, 0.35}
    assert {m.epochs for m in members} == {7}
    assert {m.seed for m in members} == {0, 1}
    assert {m.beta for m in members if m.model == "dense-2"} == {0.0, 0.5}


def test_as_published_has_the_long_script_of_fig_6():
    members = plan("as-published", Narrowing(seeds=1))
    found = [(m.model, m.protocol.changed, m.phases[0].epochs, m.batch_size) for m in members]
    assert found == [
        ("dense-2", (), 10, 256),
        ("dense-2", ("50 epochs per level",), 50, 256),
        ("dense-4", (), 10, 256),
        ("dense-6", (), 10, 256),
        ("dense-8", (), 10, 256),
        ("conv", (), 10, 127),
    ]
    assert {len(m.phases) for m in members} == {11}


@pytest.mark.parametrize("grid", ["as-published", "autopsy"])
def test_narrowed_published(grid):
    members = plan(grid, Narrowing(seeds=2, epochs=7, depths=["2", "conv"], noise=[0.0, 0.35]))
    carried = [m for m in members if m.protocol == Protocol("as-published")]
    assert Counter(m.model for m in carried) == {"dense-2": 2, "conv": 2}
    assert {phase.epochs for m in members for phase in m.phases} <= {7, 2}  # a quarter: 2
    assert {a for m in members for phase in m.phases for a in phase.noise_factors} == {0.0, 0.35}
    assert {m.grid for m in members} == {grid}
    with pytest.raises(InputError, match="--betas"):
        plan(grid, Narrowing(betas=[0.1]))


def test_mixed_noise_sets_one_network_against_the_specialists():
    members = plan("mixed-noise", Narrowing(seeds=2, depths=["4"]))
    mixed = [m for m in members if len(m.phases[0].noise_factors) == 11]
    assert [(m.seed, m.noise_input) for m in mixed] == [
        (0, False),
        (0, True),
        (1, False),
        (1, True),
    ]
    specialists = {m.member_id for m in members if m not in mixed}
    assert specialists == {
        m.member_id
        for m in plan("as-written", Narrowing(seeds=2, depths=["4"], betas=[0.0]))
        if m.model == "dense-4"
    }
    assert {m.epochs for m in members} == {EPOCHS["dense-4"]}


def test_sparsity_grid():
    members = plan("sparsity", Narrowing(seeds=1, depths=["2"]))
    terms = [(m.sparsity, m.beta, m.rho) for m in members]
    kl = {("kl", beta, rho) for beta in (1e-3, 1e-2, 1e-1) for rho in (0.01, 0.05, 0.2)}
    assert set(terms) == kl | {("l1", beta, 0.05) for beta in (1e-3, 1e-2, 1e-1)} | {
        ("kl", 0.0, 0.05)
    }
    assert len(terms) == 13
    few = plan("sparsity", Narrowing(seeds=1, depths=["2"], betas=[0.0, 0.5]))
    assert {m.beta for m in few} == {0.0, 0.5}
    assert len(few) == 1 + 3 + 1


def test_fresh_noise_grid_pairs_each_network_with_one_that_differs_in_its_draws_only():
    members = plan("fresh-noise", Narrowing())
    once = [m for m in members if m.noise_draws == "once"]
    assert Counter((m.model, m.noise_factor) for m in once) == {
        (model, noise): 5 for model in DENSE_MODELS for noise in (0.1, 0.5, 1.0)
    }
    fresh = {m for m in members if m.noise_draws == "fresh"}
    assert fresh == {replace(m, noise_draws="fresh") for m in once}
    assert len(members) == 120
    assert {m.member_id for m in once} <= {m.member_id for m in plan("paper", Narrowing())}


@pytest.mark.parametrize("draws", ["once", "fresh"])
def test_a_grid_that_compares_noise_draws_refuses_the_option_for_one(draws):
    with pytest.raises(InputError, match=f"--noise-draws {draws}: fresh-noise compares"):
        plan("fresh-noise", Narrowing(noise_draws=draws))
    assert {m.noise_draws for m in plan("all", Narrowing(noise_draws=draws))} == {draws, "none"}


def test_gene_order_grid_has_a_dense_network_as_small():
    members = plan("gene-order", Narrowing(seeds=1))
    assert [(m.model, m.gene_order) for m in members] == [
        *(
            ("conv", order)
            for order in ("given", "random", "correlation", "chromosome", "shuffled")
        ),
        *(("dense-2x2", order) for order in ("given", "shuffled")),
    ]
    sizes = {m.model: n_parameters(m.architecture, 943) for m in members}
    assert sizes["dense-2x2"] == pytest.approx(sizes["conv"], rel=0.1)
    assert {m.model for m in plan("gene-order", Narrowing(depths=["conv"]))} == {"conv"}


def test_samples_grid_gives_each_share_as_many_updates():
    members = plan("samples", Narrowing(seeds=1, depths=["4"]))
    assert [m.train_fraction for m in members] == [k / 10 for k in range(1, 11)]
    updates = [m.epochs * -(-2045 * m.train_fraction // m.batch_size) for m in members]
    assert max(updates) <= 1.3 * min(updates)
    assert members[-1].member_id in {m.member_id for m in plan("paper", Narrowing())}


def test_all_is_every_grid_once():
    members = {m.member_id for m in plan("all", Narrowing(seeds=1))}
    others = [
        plan(grid, Narrowing(seeds=1)) for grid in GRIDS if grid not in ("all", "quick", "smoke")
    ]
    assert members == {m.member_id for part in others for m in part}


OWN = """
from models.config import MemberConfig, Phase
def mine(narrowing):
    seeds = range(narrowing.seeds or 2)
    return [MemberConfig("dense-8x8", (Phase((0.5,), 3),), seed) for seed in seeds]
def broken(narrowing):
    return 1 / 0
def words(narrowing):
    return ["dense-2"]
"""


def test_a_grid_of_ones_own(tmp_path):
    (tmp_path / "my_grid.py").write_text(OWN)
    members = plan(f"{tmp_path}/my_grid.py:mine", Narrowing(seeds=4))
    assert [(m.model, m.seed) for m in members] == [("dense-8x8", seed) for seed in range(4)]


@pytest.mark.parametrize(
    ("settings", "differ"),
    [("", "epochs"), (", protocol=Protocol('mine'), batch_size=epochs", "epochs, batch_size")],
)
def test_networks_that_share_a_name_are_refused_with_what_differs_and_the_way_out(
    tmp_path, settings, differ
):
    grid = (
        "from models.config import MemberConfig, Phase, Protocol\n"
        "def mine(narrowing):\n"
        f"    return [MemberConfig('dense-4', (Phase((0.5,), epochs),), 0{settings})\n"
        "            for epochs in (25, 50)]\n"
    )
    (tmp_path / "own.py").write_text(grid)
    with pytest.raises(InputError, match=f"and differ in {differ}: give one") as error:
        plan(f"{tmp_path}/own.py:mine", Narrowing())
    name = "mine" if settings else "as-written"
    way_out = f"Protocol({name!r}, ('50 epochs',))"
    assert str(error.value).endswith(f"such as {way_out}")
    one = re.sub(r", protocol=Protocol\('mine'\)", "", settings)
    own = f"{one}, protocol={way_out} if epochs == 50 else Protocol({name!r})"
    (tmp_path / "own.py").write_text(grid.replace(f", 0{settings})", f", 0{own})"))
    members = plan(f"{tmp_path}/own.py:mine", Narrowing())
    assert [m.epochs for m in members] == [25, 50]
    assert len({m.run_name for m in members}) == 2


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ("my_grid.py:other", "no function 'other'"),
        ("my_grid.py:broken", "ZeroDivisionError"),
        ("my_grid.py:words", "MemberConfig"),
        ("nowhere.py:mine", "no file"),
        ("bad.py:mine", "SyntaxError"),
    ],
)
def test_a_wrong_grid_of_ones_own_is_an_input_error(tmp_path, spec, named):
    (tmp_path / "my_grid.py").write_text(OWN)
    (tmp_path / "bad.py").write_text("def mine(:")
    with pytest.raises(InputError, match=named):
        plan(f"{tmp_path}/{spec}", Narrowing())


def test_the_list_of_grids_declares_each():
    text = describe_grids()
    assert text.count("\n    python run_study.py --grid ") == len(GRIDS)
    for name, grid in GRIDS.items():
        words = f"{name} --data FILE" if name == "inference" else name
        assert f"{name}: {grid.question}\n    python run_study.py --grid {words}\n" in text
        networks = len(plan(name, Narrowing()))
        assert f"    {networks:,} networks, about {grid.minutes:g} minutes" in text
        assert grid.feeds in text


def test_every_grid_has_members_with_names_of_their_own():
    for grid in GRIDS:
        members = plan(grid, Narrowing())
        assert (
            len({m.run_name for m in members})
            == len({m.member_id for m in members})
            == len(members)
            > 0
        )


def test_narrowing_keeps_the_members_it_leaves():
    """So a wider run in the same folder trains only what is new."""
    whole = {m.member_id for m in plan("as-written", Narrowing())}
    part = plan("as-written", Narrowing(seeds=1, depths=["4"], noise=[0.5, 0.1]))
    assert len(part) == 2 * 3  # with beta 0, beta 0.01, and half the code
    assert {m.member_id for m in part} <= whole


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"seeds": 0}, "--seeds 0"),
        ({"seeds": -2}, "--seeds -2"),
        ({"epochs": 0}, "--epochs 0"),
        ({"depths": ["3"]}, "--depths 3"),
        ({"depths": ["2", "dense-4"]}, "--depths dense-4"),
        ({"depths": ["2", "2"]}, "twice"),
        ({"depths": []}, "empty"),
        ({"noise": [-0.1]}, "--noise -0.1"),
        ({"noise": [math.nan]}, "--noise nan"),
        ({"noise": [math.inf]}, "--noise inf"),
        ({"noise": [0.5, 0.1, 0.5]}, "twice"),
        ({"noise": []}, "empty"),
        ({"betas": [math.nan]}, "beta"),
        ({"betas": [-1.0]}, "beta"),
        ({"betas": [0.0, 0.0]}, "twice"),
        ({"depths": ["conv"], "betas": [0.1]}, "empty"),
    ],
    ids=str,
)
def test_wrong_choices_are_input_errors(wrong, named):
    with pytest.raises(InputError, match=named):
        plan("as-written", Narrowing(**wrong))


@pytest.mark.parametrize("draws", ["once", "fresh"])
@pytest.mark.parametrize("grid", ["smoke", "as-published", "best"])
def test_noise_draws_are_those_of_the_option(grid, draws):
    usual, members = plan(grid, Narrowing()), plan(grid, Narrowing(noise_draws=draws))
    assert {m.noise_draws for m in usual if m.model != "conv"} == {"once"}
    kept = [m.noise_draws == "none" for m in usual]  # the conv script, which sees no noise
    assert sum(kept) == (5 if grid == "as-published" else 0)
    assert members == [
        m if own else replace(m, noise_draws=draws) for m, own in zip(usual, kept, strict=True)
    ]


def test_networks_that_the_noise_draws_of_the_option_make_equal_are_one(tmp_path):
    """The published network and its correction are one network if both draw fresh noise."""
    (tmp_path / "own.py").write_text(
        "from dataclasses import replace\n"
        "from models.config import Protocol\n"
        "from study.grids import plan\n"
        "def both(narrowing):\n"
        "    [member] = plan('as-published', narrowing)\n"
        "    changed = Protocol('as-published', ('fresh noise',))\n"
        "    return [member, replace(member, noise_draws='fresh', protocol=changed)]\n"
    )
    grid, narrow = f"{tmp_path}/own.py:both", {"depths": ["2"], "seeds": 1, "epochs": 2}
    assert [m.noise_draws for m in plan(grid, Narrowing(**narrow))] == ["once", "fresh"]
    [member] = plan(grid, Narrowing(**narrow, noise_draws="fresh"))
    assert (member.noise_draws, str(member.protocol)) == ("fresh", "as-published")


def test_unknown_grid_is_an_input_error_that_lists_them():
    with pytest.raises(InputError, match=r"--grid papers: .*paper, quick, smoke"):
        plan("papers", Narrowing())


def test_the_grid_of_other_genes_denoises_the_landmark_genes_by_dense_4_and_mixtures():
    members = plan("inference", Narrowing())
    networks = [member for member in members if not member.is_mixture]
    assert {member.model for member in networks} == {"dense-4"}
    assert {member.noise_factor for member in networks} == {i / 10 for i in range(1, 11)}
    assert {member.seed for member in members} == set(range(5))
    assert len(networks) == 50
    assert predicts_other_genes("inference")
    assert not any(map(predicts_other_genes, ("all", "paper", "my_grid.py:mine")))
    assert not {member.grid for member in plan("all", Narrowing())} & {"inference"}
    of_two = plan("inference", Narrowing(depths=("2", "8"), noise=(0.5,), seeds=1))
    assert {m.model for m in of_two if not m.is_mixture} == {"dense-2", "dense-8"}
