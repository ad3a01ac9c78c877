"""Learning curves: which networks, which measure, and how they end."""

import pandas as pd
import pytest

from study.evidence.evidence import load_evidence
from study.grids import Narrowing
from study.report.learning import convergence, learning_curves, learning_exhibits
from tests.study.runs import fake_run


def with_curves(folder, value, epochs=40, **narrow):
    """A run whose metrics have, for each network, `value(model, series, epoch)` plus its seed."""
    narrowing = Narrowing(seeds=3, epochs=epochs, **narrow)
    run = fake_run(folder, "paper", narrowing=narrowing)
    members = pd.read_parquet(run / "members.parquet")
    rows = [
        (member.member_id, epoch, split, metric, 0.5, value(member.model, split, epoch))
        for member in members.itertuples()
        for epoch in range(1, member.epochs + 1)
        for split, metric in (("train", "loss"), ("validation", "mse"))
    ]
    metrics = pd.read_parquet(run / "metrics.parquet")
    metrics = metrics[(metrics["split"] != "validation") | (metrics["metric"] != "mse")]
    added = pd.DataFrame(rows, columns=metrics.columns)
    pd.concat([metrics, added]).to_parquet(run / "metrics.parquet", index=False)
    return load_evidence([run])


def falling(model, split, epoch):
    """Validation MSE is least at epoch 30 and 0.03 above that at epoch 40."""
    return 0.5 / epoch if split == "train" else 0.4 + 0.003 * abs(epoch - 30)


def test_how_the_curves_end(tmp_path):
    evidence = with_curves(tmp_path / "run", falling, depths=["2", "conv"], noise=[0.1, 0.5])
    curves = learning_curves(evidence)
    written = curves[curves["protocol"] == "as-written"]
    assert set(written["noise_factor"]) == {0.5}
    assert set(written["model"]) == {"dense-2", "conv"}
    ends = convergence(curves).set_index(["protocol", "model"])
    row = ends.loc[("as-written", "dense-2")]
    assert (row["epochs"], row["best"], row["seeds"]) == (40, 30, 3)
    assert row["train"] == pytest.approx(0.5 / 40)
    assert row["validation"] == pytest.approx(0.43)
    assert row["tail"] == pytest.approx(0.43 / 0.418 - 1)  # epoch 40 against epoch 36
    assert ends.loc[("as-published", "dense-2"), "epochs"] == 80  # two levels
    assert pd.isna(ends.loc[("as-published", "conv"), "train"])  # its loss is no MSE


def test_each_protocol_has_a_figure_and_a_table_names_all(tmp_path):
    evidence = with_curves(tmp_path / "run", falling, depths=["2", "4"], noise=[0.5])
    plots = {its.key: its for its in learning_exhibits(evidence)}
    assert list(plots) == ["learning-as-written", "learning-as-published", "learning-table"]
    data = plots["learning-as-written"].data
    assert set(data["series"]) == {"train", "validation"}
    assert set(data["epoch"]) == set(range(1, 41))
    assert set(data["seeds"]) == {3}
    assert "noise factor 0.5" in plots["learning-as-written"].caption
    assert len(plots["learning-as-written"].figure().axes) == 3  # and dense-4 with half the code
    table = plots["learning-table"].frame
    assert list(zip(table["model"], table["protocol"], strict=True)) == [
        (model, protocol)
        for model in ("dense-2", "dense-4")
        for protocol in ("as-published", "as-written")
    ] + [("dense-64x16x16x64", "as-written")]


def test_runs_without_the_papers_models_have_none(tmp_path):
    run = fake_run(tmp_path / "run", "best", narrowing=Narrowing(seeds=1))
    assert learning_exhibits(load_evidence([run])) == []
