"""A study on GTEx by name, and splits by group, from the command line to the run folder."""

import json
import re
import sys

import numpy as np
import pandas as pd
import pytest

import run_study
from data_utils.expression import ExpressionMatrix
from data_utils.formats.registry import write_expression
from data_utils.preparation import split_samples
from study.evidence.evidence import load_evidence
from study.report.checklist import data_facts, split_facts
from study.reproduce import reproduce
from tests import gtex
from tests.small import contents, expression
from tests.web import closed_port

SHORT = [
    "--grid",
    "smoke",
    "--local",
    "--depths",
    "2",
    "--noise",
    "0.5",
    "--betas",
    "0",
    "--epochs",
    "2",
]
V8 = "gtex-v8"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to run in; the report is left out."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["run_study.py"])
    return tmp_path


@pytest.fixture
def release(here, monkeypatch):
    with gtex.served_release(monkeypatch, here / "cache") as release:
        yield release


def study(*words, data=V8, out="run"):
    return run_study.main(
        [*SHORT, "--no-report", "--data", str(data), "--out", out, *map(str, words)]
    )


def grouped(folder, groups, name="grouped.h5ad"):
    """The small matrix with a label `donor` as a file."""
    matrix = expression()
    labels = pd.DataFrame({"donor": groups, "batch": "one"})
    path = folder / name
    write_expression(
        ExpressionMatrix(matrix.values, matrix.sample_ids, matrix.gene_ids, labels), path
    )
    return path


def donors(n=60, seed=0):
    return [f"d{i}" for i in np.random.default_rng(seed).integers(0, 15, size=n)]


def config(folder):
    return json.loads((folder / "config.json").read_text())


def test_a_study_on_gtex_by_name(release, here, capfd):
    assert study() == 0
    said = capfd.readouterr().err
    assert "landmark genes: 60 of 943 found by Ensembl id" in said
    assert "split: all samples of one donor are in one part: " in said
    assert "--group none" in said
    assert "transform log2p1: " in said
    data, known = config(here / "run")["data"], config(here / "run")
    assert (data["source"], data["transform"], data["n_samples"]) == (
        V8,
        "log2p1",
        len(gtex.sample_ids()),
    )
    assert data["origin"]["title"] == "GTEx V8, 2019"
    assert data["origin"]["expression"]["url"] == release.site.url + release.path
    assert data["file_sha256"] == data["origin"]["expression"]["sha256"]
    assert (known["group"], known["identity"]["group"]) == ("donor", "donor")
    split = pd.read_parquet(here / "run" / "split.parquet")
    assert split["group"].tolist() == ["-".join(s.split("-")[:2]) for s in split["sample_id"]]
    assert split["group"].nunique() == gtex.N_DONORS
    assert (split.groupby("group")["split"].nunique() == 1).all()
    assert set(split["split"]) == {"train", "validation", "test"}
    members = pd.read_parquet(here / "run" / "members.parquet")
    assert members["status"].tolist() == ["finished"]


def test_it_is_resumed_reproduced_and_reported_from_the_cache_alone(
    release, here, monkeypatch, capfd
):
    assert study() == 0
    monkeypatch.setenv("DAE_STUDY_GTEX_MIRROR", closed_port())
    before = contents(here / "run" / "models")
    assert study("--resume") == 0
    assert contents(here / "run" / "models") == before
    member = pd.read_parquet(here / "run" / "members.parquet")["member_id"].item()
    assert run_study.main(["reproduce", member, "--run", "run"]) == 0
    assert "weights: bit-identical" in capfd.readouterr().out
    [run] = load_evidence([here / "run"]).runs
    facts = data_facts(run.config["data"]).set_index("item")["value"]
    assert facts["source"] == V8
    assert facts["fetched from"] == release.site.url + release.path
    assert split_facts(run)["samples kept together"] == "all of one donor"


def test_group_none_splits_by_samples(release, here, capfd):
    assert study("--group", "none") == 0
    assert "split: " not in capfd.readouterr().err
    known = config(here / "run")
    assert (known["group"], known["identity"]["groups"]) == (None, None)
    split = pd.read_parquet(here / "run" / "split.parquet")
    assert list(split.columns) == ["seed", "sample_id", "split", "tissue"]
    # the last sample has no attributes: those without a tissue are one group
    assert set(split["tissue"]) == {tissue for tissue, _ in gtex.TISSUES} | {""}
    assert split["split"].tolist() == split_samples(len(split), 0).labels().tolist()


def test_no_network_is_one_line_and_no_run(release, here, monkeypatch, capfd):
    monkeypatch.setenv("DAE_STUDY_GTEX_MIRROR", closed_port())
    assert study() == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"error: .* by hand and put them into .*cache/gtex-v8\n", err)
    assert not (here / "run").exists()


def test_files_are_split_by_samples_unless_a_label_is_named(here):
    path = grouped(here, donors())
    assert study(data=path, out="plain") == 0
    assert study("--group", "donor", data=path, out="grouped") == 0
    plain, together = (
        pd.read_parquet(here / name / "split.parquet") for name in ("plain", "grouped")
    )
    assert config(here / "plain")["group"] is None
    assert plain["split"].tolist() == split_samples(60, 0).labels().tolist()
    assert together["split"].tolist() == split_samples(60, 0, np.array(donors())).labels().tolist()
    with pytest.raises(ValueError, match="another split than"):
        load_evidence([here / "plain", here / "grouped"])


def test_a_label_that_is_not_there_is_one_line(here, capfd):
    path = grouped(here, donors())
    for group, words in (("patient", "(they have: donor, batch)"), ("batch", "1 different value")):
        assert study("--group", group, data=path) == 2
        out, err = capfd.readouterr()
        assert out == ""
        assert re.fullmatch(r"error: --group .*\n", err)
        assert words in err
    assert not (here / "run").exists()


def test_another_grouping_is_another_study(here, capfd):
    path = grouped(here, donors())
    assert study("--group", "donor", data=path) == 0
    assert study("--resume", data=path) == 2
    assert "differs in: group, groups, splits)" in capfd.readouterr().err
    grouped(here, donors(seed=1))  # the same values under other labels
    assert study("--group", "donor", "--resume", data=path) == 2
    assert "differs in: groups, splits)" in capfd.readouterr().err
    grouped(here, donors())
    assert study("--group", "donor", "--resume", data=path) == 0


def test_reproduce_splits_by_the_runs_group(here, capfd):
    path = grouped(here, donors())
    assert study("--group", "donor", data=path) == 0
    member = pd.read_parquet(here / "run" / "members.parquet")["member_id"].item()
    assert reproduce(here / "run", member) == 0
    moved = grouped(here, donors(seed=1), "relabelled.h5ad")
    with pytest.raises(
        ValueError, match=r"relabelled.h5ad: its samples are split differently than in the run"
    ):
        reproduce(here / "run", member, str(moved))


def test_a_search_keeps_the_groups_together(here):
    path = grouped(here, donors())
    words = [
        "--search",
        "bottleneck",
        "--trials",
        "1",
        "--seeds",
        "1",
        "--confirm-seeds",
        "1",
        "--epochs",
        "1",
    ]
    words += ["--local", "--no-report", "--data", str(path), "--out", "search", "--group", "donor"]
    assert run_study.main(words) == 0
    known = config(here / "search")
    assert (known["group"], known["identity"]["group"]) == ("donor", "donor")
    split = pd.read_parquet(here / "search" / "split.parquet")
    assert (split.groupby("group")["split"].nunique() == 1).all()


# the command


def test_the_list_names_every_source(release, capsys):
    assert run_study.main(["data"]) == 0
    listed = capsys.readouterr().out
    for name in (
        "simulated",
        "gtex-v4",
        "gtex-v6p",
        "gtex-v8",
        "gtex-v10",
        "PATH",
        "17,382",
        "2,921",
        "1.5 GB",
    ):
        assert name in listed
    assert f"cache:  {release.folder.parent}" in listed
    assert "yes" not in listed
    assert not release.site.requests


def test_fetching_says_what_is_there_and_what_to_run_next(release, capsys):
    assert run_study.main(["data", V8]) == 0
    out, err = capsys.readouterr()
    assert (
        f"sample labels: tissue (3 values), site (4 values), donor ({gtex.N_DONORS} values)" in out
    )
    assert f"in the cache: {release.folder}" in out
    assert "next: python run_study.py --grid paper --data gtex-v8 --out runs/gtex-v8" in out
    assert (
        "fetching GTEx_Analysis_2017-06-05_v8_RNASeQCv1.1.9_gene_tpm.gct.gz: 0.0 of 0.0 MB" in err
    )
    assert run_study.main(["data"]) == 0
    size = (release.folder / "expression.parquet").stat().st_size / 1e6
    assert re.search(rf"gtex-v8 .* yes, {size:.1f} MB", capsys.readouterr().out)


def test_a_file_is_looked_at(here, capsys):
    path = grouped(here, donors())
    assert run_study.main(["data", str(path)]) == 0
    out = capsys.readouterr().out
    assert "60 samples x 60 genes" in out
    assert "sample labels: donor (15 values), batch (1 values)" in out
    assert f"--data {path}" in out
    assert run_study.main(["data", "nothing.csv"]) == 2
    assert (
        capsys.readouterr().err
        == f"error: {here}/nothing.csv: no such file: give the path of an expression file\n"
    )
