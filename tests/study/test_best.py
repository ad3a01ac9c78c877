"""The grid `best`, from the command line to the references that the report draws."""

import pandas as pd
import pytest

import run_study
from study.evidence.evidence import MIXTURE
from study.grids import MIXTURE_GROUPS
from tests.small import expression_file


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("best")
    data, out = expression_file(folder, n_samples=90), folder / "run"
    words = ["--grid", "best", "--local", "--seeds", "2", "--noise", "0.5", "1.0", "--epochs", "2"]
    assert run_study.main([*words, "--data", str(data), "--out", str(out)]) == 0
    return out


def test_every_number_of_groups_is_fitted_and_denoises(run):
    members = pd.read_parquet(run / "members.parquet")
    assert sorted(members["model"]) == sorted(
        f"mixture-{groups}" for groups in MIXTURE_GROUPS for _ in range(2)
    )
    assert (members["status"] == "finished").all()
    references = pd.read_parquet(run / "references.parquet").groupby("reference")["test_mse"].mean()
    assert (members["test_mse"] < 0.8 * references["identity"]).all()


def test_validation_chooses_the_mixture_that_stands_with_the_references(run):
    members, metrics = (pd.read_parquet(run / f"{name}.parquet") for name in ("members", "metrics"))
    chosen = members.loc[members.groupby("seed")["val_mse"].idxmin()].set_index("seed")
    rows = pd.read_parquet(run / "references.parquet").query("reference == @MIXTURE")
    assert rows.groupby("seed")["choice"].unique().map(list).to_dict() == {
        seed: [model] for seed, model in chosen["model"].items()
    }
    assert sorted(zip(rows["noise_factor"], rows["seed"], strict=True)) == [
        (0.5, 0),
        (0.5, 1),
        (1.0, 0),
        (1.0, 1),
    ]
    measured = metrics[(metrics["split"] == "test") & (metrics["metric"] == "mse")].merge(
        members[["member_id", "seed"]]
    )
    measured = measured[measured["member_id"].isin(chosen["member_id"])]
    measured = measured.set_index(["noise_factor", "seed"])["value"]
    found = rows.set_index(["noise_factor", "seed"])["test_mse"]
    assert found.to_dict() == pytest.approx(measured.to_dict(), rel=1e-6)
    genes = pd.read_parquet(run / "genes.parquet")
    assert MIXTURE in set(genes["method"])
    assert MIXTURE in (run / "report" / "index.html").read_text(encoding="utf-8")
