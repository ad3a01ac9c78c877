"""The paper's numbers, checked against facts of the paper, not the code that reads them."""

import dataclasses
import math

import pytest

from study.paper.published import published_fig4, published_mse, published_table

NOISE = [i / 10 for i in range(11)]


def test_every_row_has_a_finite_mse_near_one_and_below():
    table = published_table()
    assert len(table) == 278
    assert table["figure"].value_counts().to_dict() == {
        "author draft appendix": 220,
        "Fig. 6": 11,
        "Fig. 7": 11,
        "Fig. 8": 11,
        "Fig. 9": 11,
        "Fig. 10": 10,
        "Fig. 4": 4,
    }
    # On z-scored genes, answering 0 scores 1: every division by n undone must land in its reach.
    assert table["mse"].between(0.55, 1.15).all()
    assert (table["tolerance"] >= 0).all()


@pytest.mark.parametrize(
    ("model", "noise", "mse", "tolerance", "figure"),
    [
        ("dense-2", 0.0, 0.69, 0.005, "Fig. 6"),
        ("dense-2", 0.5, 0.6389, 0.005, "Fig. 6"),
        ("dense-4", 0.5, 0.94295, 0.0005, "Fig. 7"),
        ("dense-6", 1.0, 0.97, 0.005, "Fig. 8"),
    ],
)
def test_the_curves_of_figs_6_to_8(model, noise, mse, tolerance, figure):
    value = published_mse(model, noise)
    assert (value.mse, value.tolerance, value.figure) == (mse, tolerance, figure)
    assert (value.kind, value.n, value.printed) == ("plotted", 1, mse)


def test_a_noise_factor_is_found_in_spite_of_rounding_and_only_where_it_is():
    assert published_mse("dense-2", 0.1 * 3).mse == 0.6466
    for model, noise in [
        ("dense-2", 0.35),
        ("dense-2", math.nan),
        ("dense-10", 0.5),
        ("conv", 1.0),
    ]:
        assert published_mse(model, noise) is None


def test_fig_9_has_no_height_but_about_one():
    values = [published_mse("dense-8", noise) for noise in NOISE]
    assert {(v.mse, v.tolerance, v.kind) for v in values} == {(1.0, 0.005, "about")}
    assert values[1].printed == 0.3965


def test_fig_10_is_one_constant_divided_by_the_samples():
    values = [published_mse("conv", noise) for noise in NOISE[:10]]
    # protocols.md: value x 292 x (index + 1)
    assert [round(v.mse, 4) for v in values] == [
        *(1.0135, 1.0131, 1.0126, 1.0120, 1.0113, 1.0104, 1.0093, 1.0079, 1.0061, 1.0034)
    ]
    assert values[0].printed == 0.0034709778
    assert {v.kind for v in values} == {"recovered"}
    assert values[9].tolerance == pytest.approx(2920e-6)


def test_fig_4_recovered_from_the_division_by_2921():
    values = published_fig4()
    assert {model: round(value.mse, 4) for model, value in values.items()} == {
        "dense-2": 0.6309,
        "dense-4": 0.8624,
        "dense-6": 0.9320,
        "dense-8": 1.0038,
    }
    # known to half of its last printed digit, times n
    assert values["dense-2"].tolerance == pytest.approx(0.5e-6 * 2921)
    assert values["dense-4"].tolerance == pytest.approx(0.5e-8 * 2921)
    assert {value.noise_factor for value in values.values()} == {0.5}


def test_fig_4_agrees_with_the_drafts_appendix_at_all_samples():
    table = published_table()
    draft = table[
        table["figure"].eq("author draft appendix")
        & table["noise_factor"].eq(0.5)
        & table["n"].eq(2921)
    ]
    for row in draft.itertuples():
        fig4 = published_fig4()[row.model]
        assert abs(row.mse - fig4.mse) < fig4.tolerance
    assert set(draft["model"]) == {"dense-2", "dense-4"}


def test_values_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        published_mse("dense-2", 0.5).mse = 0.0
