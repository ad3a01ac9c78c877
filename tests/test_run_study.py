"""The command line: bad input is one line, status 2 and nothing written; good input a run."""

import gzip
import hashlib
import json
import math
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow
import pytest
import safetensors
import torch
from safetensors.numpy import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import run_study
from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix
from data_utils.formats.registry import write_expression
from data_utils.genes import landmark_table
from data_utils.preparation import split_samples
from models.config import MemberConfig
from models.denoisers.references import reference_errors
from study import grids
from study.cli import command_line
from study.evidence import references as references_module
from study.evidence.references import write_references
from study.options import SearchOptions, StudyOptions, declared
from study.run import worker
from study.run.folder import RunFolder
from study.study import open_study
from tests.small import (
    ROOT,
    assert_same_tables,
    contents,
    expression,
    expression_file,
    models,
    replicates,
)

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
LANDMARKS = landmark_table()


def short_report(folders, out, smallest=None):
    """In place of study.report.folder.write_report, which draws for seconds."""
    out.mkdir(exist_ok=True)
    (out / "index.html").write_text(" ".join(folder.name for folder in folders))
    return out / "index.html"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to run in, with the data file in it; reports are short."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["run_study.py"])
    monkeypatch.setitem(
        sys.modules, "study.report.folder", SimpleNamespace(write_report=short_report)
    )
    expression_file(tmp_path)
    return tmp_path


def study(*words, data="expression.npz", out="run"):
    """Run a short study in this process; later options count."""
    return run_study.main([*SHORT, "--data", str(data), "--out", str(out), *map(str, words)])


@pytest.fixture
def refused(here, capfd):
    """A function: runs a study that must be refused and returns what it says."""

    def check(*words, run=study, **options):
        before = contents(here)
        capfd.readouterr()
        status = run(*words, **options)
        out, err = capfd.readouterr()
        assert status == 2, err
        assert out == ""
        assert re.fullmatch(r"error: .{20,}\n", err), err
        assert "Traceback" not in err
        assert contents(here) == before
        return err

    return check


# bad data


def changed(**changes):
    """The small matrix with a value or its names replaced."""
    matrix = expression()
    if "values" in changes:
        values = matrix.values.copy()
        for place, value in changes["values"].items():
            values[place] = value
        changes["values"] = values
    labels = {"sample_labels": None, "gene_labels": None}
    return replace(matrix, **{**labels, **changes})


def with_first(ids, first):
    return [first, *ids[1:]]


GENES, SAMPLES = list(expression().gene_ids), list(expression().sample_ids)
BAD_MATRICES = {
    "NaN": (changed(values={(3, 5): np.nan}), ["nan", SAMPLES[3], GENES[5]]),
    "inf": (changed(values={(7, 2): np.inf}), ["inf", SAMPLES[7], GENES[2]]),
    "a sample twice": (
        changed(sample_ids=with_first(SAMPLES, SAMPLES[1])),
        ["sample", SAMPLES[1], "more than once"],
    ),
    "a gene twice": (
        changed(gene_ids=with_first(GENES, GENES[1])),
        ["gene", GENES[1], "more than once"],
    ),
    "19 samples": (expression(n_samples=19), ["19 samples", "at least 20"]),
    "no landmarks": (
        changed(gene_ids=[f"other-{i}" for i in range(60)]),
        ["0 of 943", "--all-genes"],
    ),
    "few landmarks": (expression(n_genes=49), ["49 of 943", "50 are needed", "--all-genes"]),
}


@pytest.mark.parametrize("ending", [".npz", ".gct", ".csv.gz"])
@pytest.mark.parametrize("case", BAD_MATRICES)
def test_bad_matrices_are_refused(case, ending, here, refused):
    matrix, fragments = BAD_MATRICES[case]
    path = here / f"bad{ending}"
    write_expression(matrix, path)
    orientation = ["--genes-in", "columns"] if ending == ".csv.gz" else []
    said = refused(*orientation, data=path)
    assert str(path) in said
    for fragment in fragments:
        assert fragment.lower() in said.lower()


def gct_text():
    matrix = expression()
    rows = [
        "\t".join([gene, gene, *(f"{value:.4f}" for value in column)])
        for gene, column in zip(matrix.gene_ids, matrix.values.T, strict=True)
    ]
    return (
        "\n".join(["#1.2", "60\t60", "\t".join(["Name", "Description", *matrix.sample_ids]), *rows])
        + "\n"
    )


GCT = gct_text()
CSV = (
    "sample,"
    + ",".join(GENES)
    + "\n"
    + "".join(f"s{i},{','.join(['1.5'] * 60)}\n" for i in range(30))
)
NAMELESS = (
    "id,"
    + ",".join(f"x{i}" for i in range(30))
    + "\n"
    + "".join(f"y{i}{',1.5' * 30}\n" for i in range(30))
)
BAD_FILES = {
    "empty": ("x.gct", b"", ["is empty"]),
    "empty gzip": ("x.csv.gz", gzip.compress(b""), ["is empty"]),
    "cut gzip": ("x.gct.gz", gzip.compress(GCT.encode())[:-2000], ["end too early"]),
    "text as npz": ("x.npz", CSV.encode(), ["holds text data", "zip"]),
    "npz as GCT": ("x.gct", b"PK\x03\x04" + bytes(100), ["holds zip data"]),
    "CSV as GCT": ("x.gct", CSV.encode(), []),
    "GCT that promises a gene more": ("x.gct", GCT.replace("60\t60", "61\t60").encode(), ["61"]),
    "GCT that promises a sample less": ("x.gct", GCT.replace("60\t60", "60\t59").encode(), ["59"]),
    "GCT with a row cut": ("x.gct", GCT.encode()[:-30], []),
    "letters in a GCT": (
        "x.gct",
        re.sub(r"\t\d+\.\d+\n", "\tnone\n", GCT, count=1).encode(),
        ["'none'"],
    ),
    "letters in a CSV": (
        "x.csv",
        CSV.replace("s20,1.5", "s20,1.5x").encode(),
        ["1.5x", "s20", GENES[0]],
    ),
    "an empty cell": ("x.csv", CSV.replace("s20,1.5", "s20,").encode(), ["s20", GENES[0]]),
    "ambiguous": ("x.csv", NAMELESS.encode(), ["--genes-in rows", "--genes-in columns"]),
    "unknown ending": ("x.xlsx", b"a", [".xlsx", ".gct"]),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_refused(case, here, refused):
    name, content, fragments = BAD_FILES[case]
    (here / name).write_bytes(content)
    said = refused(data=name)
    assert str(here / name) in said
    for fragment in fragments:
        assert fragment in said


def test_the_good_forms_of_the_bad_files_are_read(here):
    (here / "x.gct").write_text(GCT)
    assert study(data="x.gct", out="a") == 0
    (here / "x.csv").write_text(CSV)
    assert study(data="x.csv", out="b") == 0


def test_a_data_file_that_is_missing_or_a_folder_is_refused(here, refused):
    assert "no such file" in refused(data="nowhere.gct")
    (here / "folder.gct").mkdir()
    assert "is not a file" in refused(data="folder.gct")


@pytest.mark.parametrize(
    "name", ["n" * 300 + ".gct", "~nobody-of-that-name/x.gct", "expression.npz/x.gct"]
)
def test_impossible_data_paths_are_refused(name, refused):
    refused(data=name)


def test_negative_values_under_log2p1_are_refused(here, refused):
    write_expression(changed(values={(4, 6): -0.25}), here / "negative.npz")
    said = refused("--transform", "log2p1", data="negative.npz")
    assert all(word in said for word in ("-0.25", SAMPLES[4], GENES[6], "--transform none"))


# bad options

BAD_OPTIONS = {
    "grid": (["--grid", "huge"], ["--grid huge", "paper", "smoke"]),
    "noise": (["--noise", "-0.1"], ["--noise -0.1"]),
    "noise nan": (["--noise", "nan"], ["--noise nan"]),
    "noise inf": (["--noise", "0.1", "inf"], ["--noise inf: give a finite number"]),
    "noise twice": (["--noise", "0.1", "0.10"], ["twice"]),
    "seeds": (["--seeds", "0"], ["--seeds 0"]),
    "seeds negative": (["--seeds", "-1"], ["--seeds -1"]),
    "epochs": (["--epochs", "0"], ["--epochs 0"]),
    "depth": (["--depths", "2", "3"], ["--depths 3", "2 4 6 8 conv"]),
    "beta": (["--betas", "-1"], ["-1"]),
    "beta nan": (["--betas", "nan"], ["nan"]),
    "empty grid": (["--depths", "conv", "--betas", "0.1"], ["empty"]),
    "pack": (["--pack", "0"], ["--pack 0"]),
    "pack negative": (["--pack", "-1"], ["--pack -1"]),
    "pack word": (["--pack", "x"], ["--pack x", "a whole number"]),
    "pack superscript": (["--pack", "²"], ["--pack ²"]),
    "workers": (["--workers", "0"], ["--workers 0"]),
    "local workers": (["--workers", "2"], ["--local", "--workers"]),
    "local address": (["--address", "auto"], ["--local", "--address"]),
    "both": (["--resume", "--fresh"], ["--resume", "--fresh"]),
    "data seed": (["--data-seed", "-1"], ["--data-seed -1"]),
    "split seed": (["--split-seed", "-1"], ["--split-seed -1"]),
    "checkpoints": (["--checkpoint-seconds", "-1"], ["--checkpoint-seconds -1"]),
    "checkpoints nan": (["--checkpoint-seconds", "nan"], ["--checkpoint-seconds nan"]),
    "gpu share": (["--gpus-per-pack", "-0.5"], ["--gpus-per-pack -0.5"]),
    "gpu share nan": (["--gpus-per-pack", "nan"], ["--gpus-per-pack nan"]),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
def test_bad_options_are_refused(case, refused):
    words, fragments = BAD_OPTIONS[case]
    said = refused(*words)
    for fragment in fragments:
        assert fragment in said


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("words", [["--device", "cuda"], ["--gpus-per-pack", "0.5"]])
def test_a_gpu_that_is_not_there_is_refused(words, refused):
    assert " ".join(words) in refused(*words)


def on_ray(*words):
    """The same study without --local."""
    words = [word for word in SHORT if word != "--local"] + [
        "--data",
        "expression.npz",
        "--out",
        "run",
        *words,
    ]
    return run_study.main(words)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:1",
        "nonsense",
        "127.0.0.1:",
        ":6379",
        "127.0.0.1:²",
        f"{'a' * 70}:6379",
        "127.0.0.1:99999",
    ],
)
def test_an_address_where_no_cluster_answers_is_refused(address, refused):
    assert f"--address {address}" in refused("--address", address, run=on_ray)


def test_an_address_where_something_else_listens_is_refused_in_time(refused):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        server.close()  # nobody is there any more, and nobody else is either
        assert f"--address {address}" in refused("--address", address, run=on_ray)


@pytest.mark.parametrize(
    "words",
    [
        ["--seeds", "x"],
        ["--noise"],
        ["--device", "tpu"],
        ["--transform", "sqrt"],
        ["--nonsense"],
        ["surplus"],
    ],
)
def test_words_that_are_no_options_are_refused(words, refused):
    assert words[0] in refused(*words)


@pytest.mark.parametrize(
    "words", [["--genes-in", "rows"], ["--transform", "log2p1"], ["--all-genes"]]
)
def test_options_of_a_file_are_refused_without_a_file(words, refused):
    said = refused(*words, data="simulated")
    assert said == f"error: {words[0]}: simulated data are not read: give --data FILE, too\n"


def test_an_abbreviated_option_is_refused(refused):
    """It would survive in the resume command and contradict it."""
    refused("--fres")


# the run folder


def test_a_run_folder_in_the_way_is_refused(here, refused):
    (here / "file").write_text("mine")
    assert "another --out" in refused(out="file")
    assert "another --out" in refused(out="file/below/it")
    assert "another --out" in refused(out="/proc/run")
    assert "another --out" in refused(out="n" * 300)
    assert "no run to resume" in refused("--resume")
    assert "no run to resume" in refused("--resume", out="/proc")
    (here / "mine").mkdir()
    (here / "mine" / "thesis.txt").write_text("years of work")
    assert "exists already" in refused(out="mine")
    assert "--fresh does not delete it" in refused("--fresh", out="mine")
    assert "no run to resume" in refused("--resume", out="mine")


def test_a_folder_of_another_program_is_not_deleted(here, refused):
    """Many programs keep a config.json."""
    (here / "mine").mkdir()
    (here / "mine" / "config.json").write_text('{"theme": "dark"}')
    (here / "mine" / "thesis.txt").write_text("years of work")
    refused("--fresh", out="mine")
    refused("--resume", out="mine")


def test_an_existing_run_is_refused_without_resume_or_fresh(here, refused):
    assert study() == 0
    said = refused()
    assert "--resume" in said
    assert "--fresh" in said


def test_another_study_is_not_resumed(here, refused):
    assert study() == 0
    for words in (["--epochs", "3"], ["--noise", "0.1"], ["--seeds", "2"]):
        assert "differs in: members" in refused("--resume", *words)
    assert "differs in: split_seed" in refused("--resume", "--split-seed", "1")
    assert "differs in: data" in refused("--resume", "--transform", "log2p1")
    assert study("--resume") == 0


def test_a_run_whose_files_are_broken_says_the_way_out(here, refused):
    assert study() == 0
    (here / "run" / "config.json").write_text('{"identity": ')
    assert "--fresh" in refused("--resume")
    assert study("--fresh") == 0


def test_a_run_killed_before_it_had_begun_is_no_dead_end(here):
    """Killed between making the folder and the first file: a lock and empty folders are left."""
    run = here / "run"
    for name in ("checkpoints", "parts", "models", "tensorboard"):
        (run / name).mkdir(parents=True)
    (run / ".lock").touch()
    assert study("--fresh") == 0


def test_two_studies_opened_at_once_do_not_overwrite_each_other(here):
    """Both found no folder when they began to load; the second must not overwrite the first."""
    narrowing = grids.Narrowing(epochs=1, depths=["2"], noise=[0.1], betas=[0.0])
    options = StudyOptions(
        grid="smoke", narrowing=narrowing, data="expression.npz", local=True, out=here / "run"
    )
    first, second = open_study(options), open_study(options)
    assert first.run() == 0
    before = contents(here)
    with pytest.raises(InputError):
        second.run()
    assert contents(here) == before


def test_a_file_lost_while_it_ran_costs_no_results(here, monkeypatch):
    original = RunFolder.merge

    def loses_the_configuration(self, *arguments):
        (self.path / "config.json").unlink()
        return original(self, *arguments)

    monkeypatch.setattr(RunFolder, "merge", loses_the_configuration)
    assert study() == 2
    assert len(models(here / "run")) == 1
    assert len(pd.read_parquet(here / "run" / "members.parquet")) == 1


def test_nothing_is_left_of_a_folder_that_could_not_be_used(here, refused, monkeypatch):
    def full(self):
        raise InputError(
            f"{self.path}: cannot be written (No space left on device): give another --out"
        )

    monkeypatch.setattr(RunFolder, "create", full)
    refused(out="run")
    refused(out="several/folders/deep")


# what a run leaves


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(folder, exit status) of a study of several models on a GCT file."""
    folder = tmp_path_factory.mktemp("finished")
    path = expression_file(folder, "expression.gct.gz")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["run_study.py"])
        grid = [
            "--depths",
            "2",
            "4",
            "conv",
            "--noise",
            "0.1",
            "0.5",
            "--betas",
            "0",
            "0.01",
            "--seeds",
            "2",
        ]
        status = run_study.main(
            ["--grid", "smoke", "--local", *grid, "--epochs", "3", "--data", path.name]
        )
    return folder, status


@pytest.fixture(scope="module")
def run(finished):
    return finished[0] / "runs" / "smoke"


def test_it_succeeds_and_writes_to_runs_grid(finished):
    folder, status = finished
    assert status == 0
    assert {path.name for path in folder.iterdir()} == {"expression.gct.gz", "runs"}
    assert [path.name for path in (folder / "runs").iterdir()] == ["smoke"]


def test_the_folder_has_its_parts_and_no_remains(run):
    names = {path.name for path in run.iterdir() if not path.name.startswith(".")}
    files = {
        "config.json",
        "plan.json",
        "members.parquet",
        "metrics.parquet",
        "samples.parquet",
        "split.parquet",
        "replicates.parquet",
        "summary.md",
        "log.txt",
    }
    files |= {"references.parquet", "genes.parquet", "labels.parquet"}
    files |= {"codes.parquet", "unit_genes.parquet", "conv_images.parquet"}
    assert names == files | {"models", "tensorboard", "parts", "checkpoints", "report"}
    assert list((run / "checkpoints").iterdir()) == []
    assert list(run.rglob(".tmp*")) == []


def test_members_and_metrics(run):
    members, metrics = (
        pd.read_parquet(run / "members.parquet"),
        pd.read_parquet(run / "metrics.parquet"),
    )
    columns = "member_id grid protocol model noise_factor beta rho seed status epochs"
    columns += " train_mse val_mse test_mse seconds"
    assert [*members.columns][:16] == [*columns.split(), "n_parameters", "error"]
    assert {"member_id", "epoch", "split", "metric", "value"} <= set(metrics.columns)
    assert len(members) == 2 * 2 * (2 + 2 + 1)  # conv has no sparsity term
    assert set(members["status"]) == {"finished"}
    assert set(members["epochs"]) == {3}
    assert set(members["grid"]) == {"smoke"}
    assert set(members["protocol"]) == {"as-written"}
    assert set(members["error"]) == {""}
    assert members["member_id"].is_unique
    assert np.isfinite(members[["train_mse", "val_mse", "test_mse", "seconds"]].to_numpy()).all()
    curves = metrics[(metrics["split"] == "validation") & (metrics["metric"] == "mse")]
    assert (
        curves.groupby("member_id")["epoch"]
        .apply(list)
        .map(lambda epochs: epochs == [1, 2, 3])
        .all()
    )
    ends = metrics[(metrics["split"] == "test")].set_index("member_id")
    assert set(ends["epoch"]) == {3}
    assert ends["value"].to_dict() == members.set_index("member_id")["test_mse"].to_dict()


def test_the_plan_is_what_was_trained(run):
    planned = [
        MemberConfig.from_dict(item)
        for item in json.loads((run / "plan.json").read_text())["members"]
    ]
    assert [m.member_id for m in planned] == pd.read_parquet(run / "members.parquet")[
        "member_id"
    ].tolist()


def test_numbers_of_parameters(run):
    members = pd.read_parquet(run / "members.parquet")
    genes = 60
    dense2 = (genes * 32 + 32) + (32 * 32 + 32) + (32 * genes + genes)
    dense4 = (
        (genes * 64 + 64) + (64 * 32 + 32) + (32 * 32 + 32) + (32 * 64 + 64) + (64 * genes + genes)
    )
    channels = [1, 16, 8, 8, 8, 8, 16, 1]
    conv = sum(9 * a * b + b for a, b in pairwise(channels))
    expected = {"dense-2": dense2, "dense-4": dense4, "conv": conv}
    assert members.groupby("model")["n_parameters"].unique().map(list).to_dict() == {
        k: [v] for k, v in expected.items()
    }
    saved = {
        config_of(run, name).model: sum(
            array.size for array in load_file(run / "models" / name).values()
        )
        for name in models(run)
    }
    assert saved == expected


def config_of(run, name):
    return MemberConfig.from_dict(RunFolder(run).load_model(name.removesuffix(".safetensors"))[0])


def test_the_test_mse_is_that_of_the_saved_model(run):
    """Recomputed from what the run folder holds, in numpy."""
    matrix = expression()
    scaling = json.loads((run / "models" / "scaling.json").read_text())
    assert scaling["gene_ids"] == list(matrix.gene_ids)
    splits = pd.read_parquet(run / "split.parquet").groupby("seed")
    parts = pd.read_parquet(run / "replicates.parquet").set_index(["seed", "split"])
    tests = {}
    for seed, split in splits:
        assert split["sample_id"].tolist() == list(matrix.sample_ids)
        assert split["split"].value_counts().to_dict() == {"train": 42, "test": 12, "validation": 6}
        own = scaling["replicates"][str(seed)]
        train = matrix.values[split["split"] == "train"].astype(float)
        np.testing.assert_allclose(own["centre"], train.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(own["scale"], train.std(axis=0) + 1e-3, rtol=1e-5)
        rows = matrix.values[split["split"] == "test"]
        tests[seed] = (rows - np.array(own["centre"])) / np.array(own["scale"])
        assert parts.loc[(seed, "test"), "samples"] == 12
        square = parts.loc[(seed, "test"), "mean_square"]
        assert square == pytest.approx((tests[seed] ** 2).mean(), rel=1e-6)
    assert sorted(tests) == [0, 1]
    members = pd.read_parquet(run / "members.parquet")
    dense = members[members["model"] == "dense-2"]
    assert len(dense) == 8
    for row in dense.itertuples():
        z = tests[row.seed]
        key = f"{row.seed}/evaluation-noise-test/".encode()
        seed = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") // 2
        normal = torch.randn(z.shape, generator=torch.Generator().manual_seed(seed)).numpy()
        weights = load_file(run / "models" / f"{row.member_id}.safetensors")
        h = z + row.noise_factor * normal
        for i in range(2):
            h = 1 / (1 + np.exp(-(h @ weights[f"layer{i}.weight"].T + weights[f"layer{i}.bias"])))
        output = h @ weights["layer2.weight"].T + weights["layer2.bias"]
        assert row.test_mse == pytest.approx(np.mean((output - z) ** 2), rel=1e-5)


def test_config_json_tells_all_that_repeats_it(finished, run):
    config = json.loads((run / "config.json").read_text())
    file = (finished[0] / "expression.gct.gz").read_bytes()
    assert config["data"]["file_sha256"] == hashlib.sha256(file).hexdigest()
    assert config["data"]["sha256"] == expression().content_hash()
    assert (config["data"]["n_samples"], config["data"]["n_genes"]) == (60, 60)
    assert config["seeds"] == [0, 1]
    assert config["split_seed"] == 0
    assert config["n_members"] == 20
    assert config["device"] == "cpu" or torch.cuda.is_available()
    assert config["wall_seconds"] > 0
    assert set(config["seconds"]) == {"start", "references"}
    assert min(config["seconds"].values()) > 0
    assert config["command"].startswith("python run_study.py --grid smoke --local")
    assert set(config["provenance"]) >= {"packages", "git", "hardware", "python"}
    assert config["provenance"]["packages"]["torch"]


def test_the_smallest_effect_is_kept_and_another_may_be_given_with_resume(here):
    assert study("--smallest-effect", 2.5) == 0
    config = here / "run" / "config.json"
    assert json.loads(config.read_text())["smallest_effect"] == 2.5
    before = models(here / "run")
    assert study("--smallest-effect", 3, "--resume") == 0
    assert json.loads(config.read_text())["smallest_effect"] == 3
    assert models(here / "run") == before


def test_missing_landmark_genes_are_told(run):
    config, summary = (
        json.loads((run / "config.json").read_text()),
        (run / "summary.md").read_text(encoding="utf-8"),
    )
    missing = LANDMARKS["gene_symbol"].tolist()[60:]
    assert config["data"]["genes_matched"] == 60
    assert config["data"]["genes_missing"] == missing
    assert f"| landmark genes missing | 883: {', '.join(missing[:7])} and 876 more" in summary


def test_summary_has_the_numbers(run):
    summary = (run / "summary.md").read_text(encoding="utf-8")
    members = pd.read_parquet(run / "members.parquet")
    for _, same in members.groupby(["model", "noise_factor", "beta"]):
        assert re.search(rf"\| {same['test_mse'].mean():.4f} ± [0-9.e-]+ \(2\)", summary)
    assert "SIMULATED" not in summary


def test_tensorboard_has_a_run_of_each_member(run):
    members = pd.read_parquet(run / "members.parquet")
    metrics = (
        pd.read_parquet(run / "metrics.parquet")
        .set_index(["member_id", "split", "metric"])["value"]
        .sort_index()
    )
    found = {
        str(path.parent.relative_to(run / "tensorboard"))
        for path in run.glob("tensorboard/**/*tfevents*")
    }
    names = {
        f"{m.model}/noise-{m.noise_factor:g}/beta-{m.beta:g}/seed-{m.seed}": m.member_id
        for m in members.itertuples()
    }
    assert found == set(names)
    for name, member_id in names.items():
        reader = EventAccumulator(str(run / "tensorboard" / name))
        reader.Reload()
        for tag, key in (
            ("loss/train", ("train", "loss")),
            ("mse/validation", ("validation", "mse")),
        ):
            values = [event.value for event in reader.Scalars(tag)]
            np.testing.assert_allclose(values, metrics[(member_id, *key)], rtol=1e-6)


REFERENCES = ("references.parquet", "genes.parquet", "labels.parquet")


def test_the_references_are_on_the_data_of_the_run(run):
    data = replicates(60)
    parts = [reference_errors(data.data(s), None, (0.1, 0.5), (s,), (8, 32)) for s in (0, 1)]
    expected = pd.concat(parts, ignore_index=True)
    pd.testing.assert_frame_equal(
        pd.read_parquet(run / "references.parquet"), expected, check_exact=True
    )
    members, genes = (
        pd.read_parquet(run / "members.parquet"),
        pd.read_parquet(run / "genes.parquet"),
    )
    conv = members[members["model"] == "conv"].groupby("noise_factor")["test_mse"].mean()
    found = genes[genes["method"] == "conv"].groupby("noise_factor")["mse"].mean()
    assert found.to_dict() == pytest.approx(conv.to_dict(), rel=1e-6)


def test_the_report_is_there(run):
    assert "<html" in (run / "report" / "index.html").read_text(encoding="utf-8")


def test_references_are_measured_once(here, monkeypatch):
    calls = []

    def counted(*arguments, **options):
        calls.append(1)
        return write_references(*arguments, **options)

    monkeypatch.setattr(references_module, "write_references", counted)
    assert study() == 0
    before = {name: (here / "run" / name).read_bytes() for name in REFERENCES}
    assert study("--resume") == 0
    assert len(calls) == 1
    (here / "run" / "labels.parquet").unlink()
    assert study("--resume") == 0
    assert len(calls) == 2
    assert {name: (here / "run" / name).read_bytes() for name in REFERENCES} == before


def test_a_run_without_a_report_can_have_one_later(here, capfd):
    words = [*SHORT, "--data", "expression.npz", "--out", "run"]
    assert run_study.main([*words, "--no-report"]) == 0
    assert not {*REFERENCES, "report"} & {path.name for path in (here / "run").iterdir()}
    assert "report:" not in capfd.readouterr().err
    assert run_study.main([*words, "--resume"]) == 0
    assert {*REFERENCES, "report"} <= {path.name for path in (here / "run").iterdir()}


@pytest.mark.parametrize("part", ["references", "report"])
def test_a_fault_after_the_tables_loses_none_and_is_mended_by_resume(
    part, here, monkeypatch, capfd
):
    def broken(*_, **__):
        raise MemoryError("no room\nto measure")

    with monkeypatch.context() as patch:
        if part == "references":
            patch.setattr(references_module, "write_references", broken)
        else:
            patch.setitem(sys.modules, "study.report.folder", SimpleNamespace(write_report=broken))
        assert study() == 1
    said = capfd.readouterr().err
    assert "no report: MemoryError: no room to measure (log: " in said
    assert "--resume" in re.search("continue with: (.*)", said)[1]
    assert "Traceback" not in said
    assert "in broken" in (here / "run" / "log.txt").read_text()
    assert pd.read_parquet(here / "run" / "members.parquet")["status"].tolist() == ["finished"]
    assert (here / "run" / "summary.md").exists()
    assert (here / "run" / "references.parquet").exists() == (part == "report")
    assert study("--resume") == 0
    assert f"report:  {here / 'run' / 'report' / 'index.html'}" in capfd.readouterr().err


@pytest.mark.parametrize("interrupted", ["while it trains", "while it measures"])
def test_an_interrupted_run_has_no_report(interrupted, here, monkeypatch, capfd):
    owner, name = {
        "while it trains": (worker, "run_pack"),
        "while it measures": (references_module, "up_to_date"),
    }[interrupted]
    original = getattr(owner, name)

    def signalled(*arguments, **options):
        os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, signalled)
        assert study() == 130
    assert "--resume" in re.search("continue with: (.*)", capfd.readouterr().err)[1]
    assert not {*REFERENCES, "report"} & {path.name for path in (here / "run").iterdir()}
    assert study("--resume") == 0
    assert {*REFERENCES, "report"} <= {path.name for path in (here / "run").iterdir()}


# the other commands


def test_report_is_of_the_runs_given(here, capsys):
    assert study() == 0
    assert study("--noise", "0.1", out="other") == 0
    assert run_study.main(["report", "run", "other"]) == 0
    assert (here / "run" / "report" / "index.html").read_text() == "run other"
    assert run_study.main(["report", "other", "--out", "elsewhere"]) == 0
    assert (here / "elsewhere" / "index.html").read_text() == "other"
    assert capsys.readouterr().out.splitlines() == [
        f"report: {Path('run/report/index.html')}",
        "next:   python run_study.py export run --out denoiser",
        f"report: {Path('elsewhere/index.html')}",
        "next:   python run_study.py export other --out denoiser",
    ]


def test_reproduce_trains_a_member_of_the_run_again(finished, run, monkeypatch, capsys):
    monkeypatch.chdir(finished[0])
    before = contents(finished[0])
    conv = pd.read_parquet(run / "members.parquet").query("model == 'conv'")["member_id"].iloc[-1]
    assert run_study.main(["reproduce", conv, "--run", str(run)]) == 0
    said = capsys.readouterr().out
    assert "weights: bit-identical\nnumbers: bit-identical\n" in said
    assert contents(finished[0]) == before


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (["reproduce", "abc", "--run", "nowhere"], "nowhere"),
        (["reproduce", "not-an-id", "--run", "run"], "'not-an-id': no member has that id"),
    ],
)
def test_bad_input_of_the_other_commands_is_one_line(words, fragment, here, refused):
    assert study() == 0
    assert fragment in refused(run=lambda: run_study.main(words))


@pytest.mark.parametrize(
    "words", [["report"], ["reproduce", "abc"], ["report", "run", "--data", "x"], ["reports"]]
)
def test_words_that_are_no_options_of_a_command_are_refused(words, refused):
    refused(run=lambda: run_study.main(words))


def status_of(word):
    try:
        return run_study.main([word])
    except SystemExit as left:
        return left.code


@pytest.mark.parametrize("columns", ["80", "100"])
def test_the_help_fits_one_screen_and_help_all_lists_every_option(columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    texts = {}
    for word in ("--help", "--help-all"):
        assert status_of(word) == 0
        texts[word] = capsys.readouterr().out
    assert len(texts["--help"].splitlines()) <= 40
    kinds = (StudyOptions, grids.Narrowing, SearchOptions)
    options = {f"--{name.replace('_', '-')}" for kind in kinds for name in declared(kind)}
    assert len(options) > 30
    assert options <= set(re.findall(r"(?<!\S)--[a-z-]+", texts["--help-all"]))
    assert set(re.findall(r"--[a-z-]+", texts["--help"])) <= {
        *options,
        *("--help", "--help-all", "--version"),
    }


def test_the_version_is_that_of_the_package(capsys):
    assert run_study.main(["--version"]) == 0
    assert capsys.readouterr().out == f"dae-study {metadata.version('dae-study')}\n"


@pytest.mark.parametrize("command", ["report", "reproduce"])
def test_each_command_explains_itself_with_an_example(command, capsys):
    for words in (["--help"], [command, "--help"]):
        with pytest.raises(SystemExit):
            run_study.main(words)
        assert (
            f"  python run_study.py {command} " in (said := capsys.readouterr().out)
            or f"  {command} " in said
        )
    assert f"  python run_study.py {command} " in said


def test_the_same_command_gives_the_same_tables(here):
    assert study("--noise", "0.1", "0.5", "--betas", "0", "0.01", out="one") == 0
    assert study("--noise", "0.1", "0.5", "--betas", "0", "0.01", "--pack", "1", out="other") == 0
    assert_same_tables(here / "one", here / "other")
    assert models(here / "one") == models(here / "other")
    for name in ("split.parquet", "plan.json", "models/scaling.json"):
        assert (here / "one" / name).read_bytes() == (here / "other" / name).read_bytes()


def test_each_seed_has_its_own_split_unless_it_is_fixed(here, capfd):
    words = ("--depths", "2", "--noise", "0.5", "--betas", "0", "--seeds", "3", "--no-report")
    assert study(*words, out="own") == 0
    assert study(*words, "--fixed-split", "--split-seed", "1", out="fixed") == 0
    splits = {
        name: pd.read_parquet(here / name / "split.parquet").groupby("seed")["split"].agg(list)
        for name in ("own", "fixed")
    }
    assert all(
        own == split_samples(60, seed).labels().tolist() for seed, own in splits["own"].items()
    )
    assert splits["fixed"].tolist() == 3 * [splits["own"][1]]
    own, fixed = (pd.read_parquet(here / name / "members.parquet") for name in ("own", "fixed"))
    same = own["test_mse"] == fixed["test_mse"]  # with one split, noise and weights are the seed's
    assert same.tolist() == [False, True, False]
    capfd.readouterr()
    assert study(*words, "--fixed-split", "--resume", out="own") == 2
    said = capfd.readouterr().err
    assert re.fullmatch(r"error: .*differs in: fixed_split, splits\): give the options .*\n", said)


def test_all_genes_are_kept_where_asked(here):
    matrix = expression(n_genes=100)
    unknown = ExpressionMatrix(matrix.values, matrix.sample_ids, [f"other-{i}" for i in range(100)])
    write_expression(unknown, here / "other.npz")
    assert study("--all-genes", "--depths", "2", "8", "conv", data="other.npz") == 0
    config = json.loads((here / "run" / "config.json").read_text())
    assert (config["data"]["n_genes"], config["data"]["genes_missing"]) == (100, [])
    members = pd.read_parquet(here / "run" / "members.parquet").set_index("model")
    assert set(members["status"]) == {"finished"}
    assert members.loc["dense-2", "n_parameters"] == 100 * 32 + 32 + 32 * 32 + 32 + 32 * 100 + 100


def test_counts_are_logged_and_a_constant_gene_is_no_nan(here, capfd):
    counts = np.random.default_rng(0).poisson(50, (60, 60)).astype(np.float32)
    counts[:, 7] = 3
    write_expression(ExpressionMatrix(counts, SAMPLES, GENES), here / "counts.npz")
    assert study(data="counts.npz") == 0
    said = capfd.readouterr().err
    assert "transform log2p1" in said
    assert "1 genes are constant" in said
    assert json.loads((here / "run" / "config.json").read_text())["data"]["transform"] == "log2p1"
    assert np.isfinite(pd.read_parquet(here / "run" / "members.parquet")["test_mse"]).all()


def test_resuming_a_finished_run_changes_nothing(here, capfd):
    assert study() == 0
    before = contents(here / "run")
    assert study("--resume") == 0
    assert "nothing left to train" in capfd.readouterr().err
    after = contents(here / "run")
    changes = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changes <= {
        "config.json",
        "summary.md",
        "log.txt",
    }  # the time that it took, and a note of the data
    first, second = (json.loads(files["config.json"]) for files in (before, after))
    assert first.pop("wall_seconds") < second.pop("wall_seconds")
    assert first == second


def test_fresh_replaces_the_run(here):
    assert study("--noise", "0.1") == 0
    (here / "run" / "note.txt").write_text("of the earlier run")
    earlier = contents(here / "run")
    assert study("--fresh") == 0
    assert pd.read_parquet(here / "run" / "members.parquet")["noise_factor"].tolist() == [0.5]
    assert study(out="anew") == 0
    assert set(contents(here / "run")) & {"note.txt", *earlier} >= {"config.json"}
    shared = [
        {name for name in contents(here / folder) if "tfevents" not in name}
        for folder in ("run", "anew")
    ]
    assert shared[0] == shared[1]
    assert_same_tables(here / "run", here / "anew")


def test_a_diverged_member_is_no_failure(here, monkeypatch):
    wild = grids.plan("smoke", grids.Narrowing(epochs=2, depths=["2"], noise=[0.5], betas=[0.0]))[0]
    tame = replace(wild, seed=1)
    both = replace(
        grids.GRIDS["smoke"], members=lambda narrowing: [replace(wild, learning_rate=1e30), tame]
    )
    monkeypatch.setitem(grids.GRIDS, "smoke", both)
    assert study() == 0
    members = pd.read_parquet(here / "run" / "members.parquet")
    assert members["status"].tolist() == ["diverged", "finished"]
    assert "1 diverged" in (here / "run" / "summary.md").read_text(encoding="utf-8")
    assert math.isfinite(members["test_mse"][1])


@pytest.mark.filterwarnings("error::FutureWarning")
@pytest.mark.parametrize("kind", ["OSError", "SafetensorError", "ArrowInvalid"])
def test_a_failed_pack_is_kept_with_its_error_and_mended_by_resume(kind, here, monkeypatch, capfd):
    """A full disk, as each of the libraries that write tells of it."""
    errors = {
        "OSError": OSError,
        "SafetensorError": safetensors.SafetensorError,
        "ArrowInvalid": pyarrow.ArrowInvalid,
    }
    original = RunFolder.save_model

    def full(self, member, parameters):
        if member.noise_factor == 0.1:
            raise errors[kind]("No space left\non device")
        original(self, member, parameters)

    words = ["--noise", "0.1", "0.5", "--pack", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save_model", full)
        assert study(*words) == 1
    said = capfd.readouterr().err
    assert f"first error: {kind}: No space left on device" in said
    assert "--resume" in re.search("continue with: (.*)", said)[1]
    members = pd.read_parquet(here / "run" / "members.parquet")
    assert members["status"].tolist() == ["failed", "finished"]
    assert members["error"].tolist() == [f"{kind}: No space left on device", ""]
    assert study(*words, "--resume") == 0
    assert study(*words, out="unbroken") == 0
    assert_same_tables(here / "run", here / "unbroken")


# in a process of its own


def process(*words, cwd, **environment):
    command = [
        sys.executable,
        str(ROOT / "run_study.py"),
        *SHORT,
        "--data",
        "expression.npz",
        *words,
    ]
    plain = {"PATH": "/usr/bin:/bin", **environment}
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, env=plain)


def test_as_a_command_bad_input_is_one_line(here):
    before = contents(here)
    done = process("--data", "nowhere.gct", cwd=here)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: .*nowhere\.gct: no such file.*\n", done.stderr)
    assert contents(here) == before


def test_as_a_command_where_text_is_not_utf8(here):
    """A machine with the C locale can run it too."""
    done = process("--out", "run", cwd=here, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert done.returncode == 0, done.stderr
    assert "α" in (here / "run" / "summary.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("word", ["--fresh", "--resume", "--local"])
def test_the_resume_command_resumes_and_does_not_start_over(word):
    command = f"python run_study.py --grid smoke {word} --out 'my runs'"
    kept = "--local " if word == "--local" else ""
    assert StudyOptions(command=command).resume_command == (
        f"python run_study.py --grid smoke {kept}--out 'my runs' --resume"
    )


def test_the_command_can_be_pasted_into_a_shell():
    argv = ["run_study.py", "--data", "my data/$x.gct", "--noise", "0.0", "0.5"]
    line = command_line(argv)
    assert shlex.split(line) == ["python", *argv]
    assert line == "python run_study.py --data 'my data/$x.gct' --noise 0.0 0.5"
    assert (
        command_line(["/opt/venv/bin/dae-study", "--grid", "smoke"])
        == "/opt/venv/bin/dae-study --grid smoke"
    )
    assert command_line([]) == ""
