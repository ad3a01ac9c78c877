"""Learning curves: which networks, which measure, and how they end."""

import pandas as pd
import pytest

from study.evidence.evidence import load_evidence
from study.grids import Narrowing
from study.report.learning import convergence, learning_curves, learning_exhibits, learning_words
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


def test_words_say_which_networks_converged_and_which_overfit(tmp_path):
    """Dense-2 is flat, dense-4 still falls, and dense-6 rises by 0.003 an epoch after epoch 30."""

    def mse(model, split, epoch):
        if split == "train":
            return 0.32
        by_model = {"dense-2": 0.4, "dense-4": 0.8 - 0.01 * epoch}
        return by_model.get(model, 0.4 + 0.003 * abs(epoch - 30))

    evidence = with_curves(tmp_path / "run", mse, depths=["2", "4", "6"], noise=[0.5])
    words = {its.lead: its.text for its in learning_words(evidence)}
    written = words["As-written:"]
    assert "Converged, with validation MSE that changed by 1 % or less" in written
    assert "last tenth: dense-2 (+0.0 %)." in written
    # 0.4 against 0.44 of epoch 36; the network with half the code has 64-16-16-64 units
    assert "still fell over the last tenth: dense-4 (-9.1 %)." in written
    assert "rose over the last tenth: dense-6 (+2.9 %)" in written
    assert "Overfitting: dense-6 ends 7.5 % above its least, of epoch 30" in written
    assert "Train MSE ends at 74 % to 80 % of validation MSE." in written
    table = learning_exhibits(evidence)[-1].frame
    found = table[table["protocol"] == "as-written"].set_index("model")["it was"].to_dict()
    assert found["dense-2"] == "converged"
    assert found["dense-4"] == "still falling"
    assert found["dense-6"] == "rising"


def test_a_carried_network_is_judged_by_its_last_noise_factor():
    """It converges at 0.5, after a fall at noise 0; its least MSE of all is at noise 0."""
    rows = [
        ("as-published", "dense-2", False, 0.0, 0, "validation", epoch, mse, level)
        for epoch, mse, level in [(1, 0.5, 0.0), (2, 0.3, 0.0), (3, 0.7, 0.5), (4, 0.7, 0.5)]
    ]
    columns = ["protocol", "model", "long", "noise_factor", "seed", "series", "epoch", "mse"]
    [end] = convergence(pd.DataFrame(rows, columns=[*columns, "level"])).itertuples()
    assert (end.tail, end.rise, end.best, end.epochs) == (0.0, 0.0, 3, 4)


def test_each_protocol_has_a_figure_and_a_table_names_all(tmp_path):
    evidence = with_curves(tmp_path / "run", falling, depths=["2", "4"], noise=[0.5])
    plots = {its.key: its for its in learning_exhibits(evidence)}
    assert list(plots) == ["learning-as-written", "learning-as-published", "learning-table"]
    data = plots["learning-as-written"].data
    assert set(data["series"]) == {"train", "validation"}
    assert set(data["epoch"]) == set(range(1, 41))
    assert set(data["seeds"]) == {3}
    assert "noise factor 0.5" in plots["learning-as-written"].description
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
