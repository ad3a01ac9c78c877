"""Other genes: the words, curves and table follow from inference.parquet."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from study.evidence.evidence import INFERENCE_COLUMNS, load_evidence
from study.grids import Narrowing
from study.report.document import Plot
from study.report.exports import save
from study.report.questions.other_genes import gains, other_gene_errors, other_genes_question
from tests.study.runs import fake_run

NOISE, SEEDS = (0.5, 1.0), 4
#: By input the test MSE at noise factor 1 and seed 0.
MSE = {"clean": 0.12, "noisy": 0.32, "Wiener": 0.2, "dense-4": 0.25, "Wiener mixture": 0.16}


def error(name, predictor, noise, seed):
    """Half of that at noise 0.5; a little more by the network, and for each seed."""
    scale = (1.0 if name == "clean" else noise) * (1.1 if predictor == "network" else 1.0)
    return MSE[name] * scale * (1 + 0.01 * seed)


def table():
    rows = [
        (name, predictor, noise, seed, error(name, predictor, noise, seed))
        for name, predictor, noise, seed in product(MSE, ("ridge", "network"), NOISE, range(SEEDS))
    ]
    for noise, seed in product(NOISE, range(SEEDS)):
        rows.append(("none", "gene mean", noise, seed, 0.9))
        rows.append(("noisy", "ridge trained on noisy", noise, seed, 0.22 * noise))
    return pd.DataFrame(rows, columns=INFERENCE_COLUMNS)


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    """A made-up run of the grid."""
    folder = tmp_path_factory.mktemp("runs") / "inference"
    narrowing = Narrowing(seeds=SEEDS, noise=NOISE)
    run = fake_run(folder, "inference", SEEDS, simulated=False, narrowing=narrowing)
    table().to_parquet(run / "inference.parquet", index=False)
    return load_evidence([run])


def test_without_the_table_the_command_is_shown(tmp_path):
    question = other_genes_question(load_evidence([fake_run(tmp_path / "run", "smoke", 1)]))
    assert question.answer is None
    assert question.command == "python run_study.py --data FILE --grid inference"


def test_curves_are_means_over_seeds_from_the_floor_to_noisy_landmarks(evidence):
    errors = other_gene_errors(evidence)
    rows = errors[(errors["model"] == "ridge") & (errors["noise_factor"] == 1.0)]
    expected = {
        "clean": 0.12,
        "Wiener mixture": 0.16,
        "Wiener": 0.2,
        "dense-4": 0.25,
        "noisy": 0.32,
    }
    found = dict(zip(rows["series"], rows["mse"], strict=True))
    assert found.pop("noisy, trained on noisy") == pytest.approx(0.22)
    assert list(found) == list(expected)
    for name, mse in expected.items():
        assert found[name] == pytest.approx(1.015 * mse)
    assert (errors["seeds"] == SEEDS).all()
    assert len(errors) == 2 * (6 + 5)


def test_a_gain_is_the_log_ratio_to_noisy_landmarks_by_seed(evidence):
    found = gains(evidence, "network")
    assert set(found) == {"Wiener", "dense-4", "Wiener mixture"}
    np.testing.assert_allclose(found["Wiener"], [np.log(0.2 / 0.32)] * SEEDS)


def test_the_answer_has_the_numbers(evidence):
    answer = other_genes_question(evidence).answer
    first, *others = answer.split(" By ")
    assert first.startswith("The other genes are predicted from the landmark genes by ridge")
    changes = "over noise 0.5, 1 by: Wiener mixture -50.0 % (98.3 % -50.0 to -50.0); Wiener -37.5 %"
    assert [text.split(",")[0] for text in others] == ["ridge", "network"]
    assert all(changes in text for text in others)
    assert "At noise factor 1 ridge has 0.122 (clean), 0.162 (Wiener mixture), 0.203 (Wie" in answer


def test_figure_and_table_are_drawn(evidence, tmp_path):
    question = other_genes_question(evidence)
    assert question.networks == set(
        evidence.members.loc[evidence.members["grid"] == "inference", "member_id"]
    )
    curves, numbers = question.exhibits
    assert isinstance(curves, Plot)
    assert "Answering each gene's mean costs 0.900." in curves.description
    assert save(curves, tmp_path).wide.width == 640
    frame = numbers.frame
    assert list(frame["predicted by"]) == ["ridge", "ridge", "network", "network"]
    assert list(frame["noise factor"]) == [0.5, 1.0, 0.5, 1.0]
    assert frame["noisy"].tolist() == pytest.approx(
        [1.015 * its for its in (0.16, 0.32, 0.176, 0.352)]
    )
    trained = frame["noisy, trained on noisy"]
    assert trained[:2].tolist() == pytest.approx([0.11, 0.22])
    assert trained[2:].isna().all()
