"""summary.md: the numbers in its cells, and what it may not hide."""

import re

import numpy as np
import pandas as pd
import pytest

from models.config import PLAIN
from study.report.summary import WORSE, summarise, summary_markdown
from tests.study.runs import fake_config

CONFIG = fake_config("paper", [], simulated=True, data="ab12") | {
    "command": "python run_study.py --grid paper --out 'my `runs`'",
    "wall_seconds": 1103.4,
}


def member(model="dense-2", noise_factor=0.5, beta=0.0, seed=0, test_mse=0.2, **other):
    row = {
        **PLAIN,
        "member_id": f"{model}-{noise_factor}-{beta}-{seed}",
        "grid": "paper",
        "protocol": "as-written",
        "changed": "",
        "mixed": False,
        "model": model,
        "noise_factor": noise_factor,
        "noise_schedule": f"{noise_factor:g}",
        "beta": beta,
        "seed": seed,
        "status": "finished",
        "epochs": 40,
        "train_mse": 0.1,
        "val_mse": 0.2,
        "test_mse": test_mse,
        "train_clean_mse": test_mse,
        "seconds": 1.0,
        "n_parameters": 1000,
        "error": None,
    }
    return row | other


def lost(status, **other):
    return member(status=status, test_mse=np.nan, **other)


def markdown(rows, **config):
    members = pd.DataFrame(rows)
    return summary_markdown(members, CONFIG | config, members)


def cells(text, title, noise):
    """One row of a model's table: {column: cell}."""
    lines = text.partition(f"*{title}.*\n\n")[2].splitlines()
    split = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("| ")
    ]
    [row] = [line for line in split[1:] if line[0] == noise][:1]
    return dict(zip(split[0], row, strict=True))


def test_mean_and_spread_over_seeds():
    rows = [member(seed=seed, test_mse=mse) for seed, mse in enumerate([0.1, 0.2, 0.6])]
    [row] = summarise(pd.DataFrame(rows)).to_dict("records")
    assert row["mean"] == pytest.approx(0.3)
    assert row["std"] == pytest.approx(np.sqrt((0.04 + 0.01 + 0.09) / 2))
    assert (row["n"], row["diverged"], row["failed"]) == (3, 0, 0)


def test_members_that_did_not_finish_are_counted_and_not_averaged():
    rows = [
        member(seed=0, test_mse=0.3),
        member(seed=1, status="diverged", test_mse=1e9),
        lost("failed", seed=2),
        member(seed=3, test_mse=np.inf),
    ]
    [row] = summarise(pd.DataFrame(rows)).to_dict("records")
    assert (row["mean"], row["n"], row["diverged"], row["failed"]) == (0.3, 1, 1, 1)
    assert np.isnan(row["std"])


def test_what_differs_in_protocol_rho_or_beta_is_never_averaged_together():
    rows = [
        member(test_mse=0.1 * i, **other)
        for i, other in enumerate(
            [{}, {"beta": 0.01}, {"protocol": "as-published"}, {"rho": 0.1}, {"noise_factor": 0.6}]
        )
    ]
    table = summarise(pd.DataFrame(rows))
    assert sorted(round(mean, 6) for mean in table["mean"]) == [0.0, 0.1, 0.2, 0.3, 0.4]
    text = markdown(rows)
    assert "*dense-2 (protocol as-published).*" in text
    written = cells(text, "dense-2 (protocol as-written)", "0.5")
    assert written["beta 0, rho 0.05"].startswith("0.0000 ")
    assert written["beta 0, rho 0.1"].startswith("0.3000 ")
    assert written["beta 0.01, rho 0.05"].startswith("0.1000 ")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("train_fraction", (0.1, 1.0)),
        ("gene_order", ("given", "random")),
        ("sparsity", ("kl", "l1")),
        ("epochs", (5, 9)),
    ],
)
def test_settings_of_any_grid_are_never_averaged_together(name, values):
    rows = [
        member(seed=seed, test_mse=0.1 * i, **{name: value})
        for i, value in enumerate(values)
        for seed in (0, 1)
    ]
    table = summarise(pd.DataFrame([*rows, member("dense-4", **{name: values[0]})]))
    assert sorted(zip(table["setting"], table["n"], table["mean"], strict=True)) == [
        ("", 1, 0.2),
        *sorted(
            (f"{name.replace('_', ' ')} {value}".removesuffix(".0"), 2, 0.1 * i)
            for i, value in enumerate(values)
        ),
    ]
    text = markdown(rows)
    assert all(f"*dense-2: {setting}.*" in text for setting in table["setting"] if setting)


def test_mixed_noise_is_not_averaged_with_the_specialist_of_a_level():
    rows = [member(test_mse=0.2), member(mixed=True, test_mse=0.4)]
    assert summarise(pd.DataFrame(rows))[["setting", "mean"]].values.tolist() == [
        ["", 0.2],
        ["mixed noise", 0.4],
    ]


def test_a_noise_factor_with_rounding_error_is_the_same_row():
    rows = [
        member(noise_factor=0.3, test_mse=0.1),
        member(noise_factor=0.1 * 3, seed=1, test_mse=0.3),
    ]
    [row] = summarise(pd.DataFrame(rows)).to_dict("records")
    assert (row["n"], row["mean"]) == (2, pytest.approx(0.2))


def test_inputs_are_left_alone():
    frame = pd.DataFrame([member(), lost("failed", seed=1)])
    before = frame.copy(deep=True)
    summary_markdown(frame, CONFIG, frame)
    pd.testing.assert_frame_equal(frame, before)


def test_the_table_beside_identity_and_paper():
    rows = [member(seed=s, test_mse=m) for s, m in enumerate([0.2, 0.21, 0.22])]
    rows += [member(beta=0.01, test_mse=0.26), member(noise_factor=1.0, test_mse=0.9)]
    rows += [
        lost("diverged", noise_factor=1.0, beta=0.01),
        lost("failed", noise_factor=1.0, beta=0.01, seed=1),
    ]
    text = markdown([*rows, member(noise_factor=0.7, beta=0.01), member(noise_factor=0.25)])
    assert cells(text, "dense-2", "0.5") == {
        "noise factor": "0.5",
        "beta 0": "0.2100 ± 0.0100 (3)",
        "beta 0.01": f"0.2600 (1) {WORSE}",
        "identity (α²)": "0.2500",
        "paper": "0.6389 ±0.005 (Fig. 6); 0.6309 ±0.0015 (Fig. 4 × n)",
    }
    assert cells(text, "dense-2", "1")["beta 0.01"] == "1 diverged, 1 failed"
    assert cells(text, "dense-2", "0.7")["beta 0"] == "–"
    assert cells(text, "dense-2", "0.25")["paper"] == "–"
    assert "nan" not in text.lower()


def test_as_published_is_also_divided_by_the_samples_of_the_run():
    """Fig. 4's number is MSE / N; N is the run's, not the paper's."""
    published = {"protocol": "as-published", "train_clean_mse": 0.631, "test_mse": 0.9}
    rows = [member(seed=seed, **published) for seed in (0, 1)]
    rows += [
        member(noise_factor=1.0, **published),
        lost("failed", noise_factor=1.0, beta=0.1, protocol="as-published"),
    ]
    text = markdown(rows, data=CONFIG["data"] | {"n_samples": 1000})
    tested, clean = text.split("## MSE on clean training rows")
    assert "MSE / N" not in tested
    assert cells(clean, "dense-2", "0.5") == {
        "noise factor": "0.5",
        "beta 0": f"0.6310 ± 0.0000 (2) {WORSE}",
        "beta 0: MSE / N": "0.000631",
        "beta 0.1": "–",
        "beta 0.1: MSE / N": "–",
        "identity (α²)": "0.2500",
        "paper": "0.6389 ±0.005 (Fig. 6); 0.6309 ±0.0015 (Fig. 4 × n)",
    }
    assert cells(clean, "dense-2", "1")["beta 0.1: MSE / N"] == "–"
    assert "N = 1,000 samples" in clean
    assert "Fig. 4 (N = 2,921)" in clean
    assert "MSE / N" not in markdown([member()])


def test_a_cell_that_lost_some_seeds_says_so():
    rows = [member(seed=0), member(seed=1), lost("diverged", seed=2)]
    assert cells(markdown(rows), "dense-2", "0.5")["beta 0"] == "0.2000 ± 0.0000 (2; 1 diverged)"


def test_a_clean_input_is_always_best_left_alone():
    row = cells(markdown([member(noise_factor=0.0, test_mse=1e-5)]), "dense-2", "0")
    assert (row["beta 0"], row["identity (α²)"]) == (f"1e-05 (1) {WORSE}", "0.0000")


def test_the_papers_uncertain_numbers_are_marked():
    text = markdown([member("dense-8", 0.2), member("conv", 0.1), member("conv", 1.0)])
    assert cells(text, "dense-8", "0.2")["paper"] == "≈ 1 ±0.005 (Fig. 9)"
    assert cells(text, "conv", "0.1")["paper"] == "1.0131 ±0.00058 (Fig. 10 × n)"
    assert cells(text, "conv", "1")["paper"] == "–"


def test_models_come_in_the_papers_order_and_others_after_them():
    rows = [member(model) for model in ("conv", "dense-10", "dense-8", "dense-2")]
    text = markdown(rows)
    titles = re.findall(r"^\*(.*)\.\*$", text.partition("## Test MSE")[2], re.MULTILINE)
    assert titles == ["dense-2", "dense-8", "conv", "dense-10"]


def test_the_head_says_what_was_run_on_what():
    rows = [member(), lost("diverged", seed=1), lost("failed", seed=2), member(seed=3)]
    text = markdown(rows, n_members=9)
    assert text.startswith(
        "# Results of the grid paper\n\n> **The data are SIMULATED.** Every number"
    )
    for line in (
        "| networks | 4 of 9: 2 finished, 1 diverged, 1 failed |",
        "| wall time | 18 min 23 s |",
        "| device | cpu |",
        "| SHA-256 of the values used | ab12 |",
        "| samples | 2,921 |",
        f"    {CONFIG['command']}",
    ):
        assert f"\n{line}\n" in text


def test_real_data_are_not_called_simulated_and_missing_genes_are_named():
    names = [f"G{i}" for i in range(32)]
    data = CONFIG["data"] | {"source": "l1000.gct", "simulated": False, "genes_missing": names}
    text = markdown([member()], data=data)
    assert "SIMULATED" not in text
    assert f"| 32: {', '.join(names[:7])} and 25 more (config.json) |" in text


def test_errors_are_listed_without_breaking_the_table():
    text = markdown([lost("failed", member_id="abc123", error="a | b\n`c` <d>", epochs=np.nan)])
    [line] = [line for line in text.splitlines() if "abc123" in line]
    assert line.endswith(r"| dense-2 | 0.5 | 0 | 0 | failed | – | a \| b \`c\` \<d\> |")


def test_a_long_list_of_failures_is_cut_and_says_so():
    rows = [
        lost("failed", seed=seed, member_id=f"no{seed:03}", error="x" * 9000) for seed in range(205)
    ]
    text = markdown(rows)
    assert text.count("xxx |\n") == 200
    assert "The first 200 of 205 rows" in text
    assert len(text) < 90_000


def test_a_run_that_was_stopped_before_its_first_network():
    frame = pd.DataFrame([member()])[:0]
    text = summary_markdown(frame, CONFIG, frame)
    assert "0 finished" in text
    assert "## Test MSE" not in text
