"""The report's section on a search: its numbers are those of the trials."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from models.config import MemberConfig, Phase
from study.evidence.evidence import load_evidence
from study.evidence.search import SearchRun
from study.report.questions.bottleneck import NETWORKS, bottleneck_question, size_points
from tests.study.runs import fake_run

SEEDS = 8
SIZES = (32, 4, 64, 16)
SPACE = {"name": "IntDistribution", "attributes": {"log": True, "step": 1, "low": 2, "high": 128}}


def mse_of(code_size):
    """Least at 16 units."""
    return 0.3 + 0.02 * math.log2(code_size / 16) ** 2


def networks(code_size):
    return [
        MemberConfig(f"dense-{code_size}x{code_size}", (Phase((0.5,), 9),), seed)
        for seed in range(SEEDS)
    ]


def search_run(folder, chosen=16):
    """A search of four trials; of 8 seeds the first 2 have chosen."""
    members = [m for size in SIZES for m in networks(size)]
    score = {
        m.member_id: mse_of(size) + 0.001 * np.sin(m.seed) for size in SIZES for m in networks(size)
    }
    fake_run(folder, members=members, mse=lambda member, noise: score[member.member_id])
    config = json.loads((folder / "config.json").read_text())
    config["search"] = {
        "search": "bottleneck",
        "mode": "one",
        "space": {"code_size": SPACE},
        "noise_factors": [0.5],
    }
    config["search"] |= {"seeds": 2, "epochs": 9, "sampler": "tpe", "search_seed": 0}
    if chosen:
        ids = {size: [m.member_id for m in networks(size)] for size in SIZES}
        config["chosen"] = {"code_size": chosen, "members": ids[chosen], "paper": ids[32]}
    (folder / "config.json").write_text(json.dumps(config))
    rows = [
        {"number": i, "state": "complete", "model": f"dense-{size}x{size}", "code_size": size}
        | {"val_mse": mse_of(size) - 0.005, "epochs": 9, "seconds": 1.0, "error": ""}
        | {"members": [m.member_id for m in networks(size)[:2]]}
        for i, size in enumerate(SIZES)
    ]
    pd.DataFrame(rows).to_parquet(folder / "trials.parquet", index=False)
    pca = [("PCA", 0.5, seed, size, "", 1 / size, 9.0) for seed in range(3) for size in SIZES]
    table = [
        *pca,
        *(("Wiener", 0.5, seed, None, "", 0.15 + 10 * (seed > 1), 9.0) for seed in range(3)),
    ]
    columns = ["reference", "noise_factor", "seed", "code_size", "choice", "val_mse", "test_mse"]
    frame = pd.DataFrame(table, columns=columns).astype({"code_size": "Int64"})
    frame.to_parquet(folder / "references_by_size.parquet", index=False)
    return folder


def test_the_answer_and_the_curve_are_the_trials(tmp_path):
    question = bottleneck_question(load_evidence([search_run(tmp_path / "search")]))
    gain = mse_of(32) - mse_of(16)
    assert "least with a code of 16 units" in question.answer
    more = 100 * gain / (mse_of(16) - 0.005)  # 6.8
    assert f"With the paper's 32 units it changes by {more:+.3g}" in question.answer
    assert "edge" not in question.answer
    assert "(9)" in question.answer  # epochs
    plots = {exhibit.key: exhibit for exhibit in question.exhibits}
    points = plots["code-size"].data
    mine = points[points["series"] == NETWORKS].set_index("code_size")["mse"]
    assert mine.to_dict() == pytest.approx({size: mse_of(size) - 0.005 for size in SIZES})
    pca = points[points["series"] == "PCA"].set_index("code_size")["mse"]
    assert pca.to_dict() == pytest.approx({size: 1 / size for size in SIZES})
    assert plots["best-so-far"].data["best"].tolist() == pytest.approx(
        [mse_of(s) - 0.005 for s in (32, 32, 32, 16)]
    )
    table = plots["code-sizes"].frame.set_index("code size")
    assert table.loc[16, "less that of 32"] == pytest.approx(-gain)
    assert table.loc[32, "less that of 32"] == 0
    for plot in (plots["code-size"], plots["best-so-far"]):
        plot.figure()


def test_references_are_of_the_seeds_that_chose(tmp_path):
    """The third seed's Wiener has another error on purpose."""
    run = load_evidence([search_run(tmp_path / "search")]).runs[0]
    trials = pd.read_parquet(run.path / "trials.parquet")
    points = size_points(SearchRun(run.path, run.config, run.members, trials))
    wiener = points[points["series"] == "Wiener"]
    assert wiener["mse"].tolist() == pytest.approx([0.15, 0.15])
    assert wiener["code_size"].tolist() == [4, 64]


def test_a_search_that_goes_on_has_no_answer_yet(tmp_path):
    question = bottleneck_question(load_evidence([search_run(tmp_path / "search", chosen=None)]))
    assert question.answer.startswith("No setting has been chosen")
    assert len(question.exhibits) == 3


def test_other_runs_have_no_search(tmp_path):
    question = bottleneck_question(load_evidence([fake_run(tmp_path / "smoke", "smoke", seeds=1)]))
    assert question.answer is None
    assert question.command == "python run_study.py --search bottleneck"
