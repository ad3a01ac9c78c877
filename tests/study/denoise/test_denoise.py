"""export and denoise from the command line: hand-computed numbers, units, names, bad input."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import run_study
from data_utils.expression import ExpressionMatrix
from data_utils.formats.registry import read_expression, write_expression
from data_utils.genes import landmark_table
from models.folder import card, load_model
from study.denoise.export import _unit
from tests.small import ROOT, contents, expression, expression_file, flipped

NOISE = 0.4


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run of four dense networks on 120 samples x 60 genes."""
    folder = tmp_path_factory.mktemp("run")
    data = expression_file(folder, n_samples=120)
    words = [
        "--grid",
        "smoke",
        "--depths",
        "2",
        "--noise",
        "0.1",
        "0.5",
        "--betas",
        "0",
        "--local",
        "--no-report",
    ]
    assert (
        run_study.main([*words, "--data", str(data), "--out", str(folder / "run"), "--epochs", "3"])
        == 0
    )
    return folder / "run"


@pytest.fixture(scope="module")
def models(run_folder, tmp_path_factory):
    """{kind: model folder} of a Wiener filter and of a network."""
    folder = tmp_path_factory.mktemp("models")
    member = pd.read_parquet(run_folder / "members.parquet")["member_id"].iloc[-1]
    for name, words in (("wiener", ["--reference", "wiener"]), ("network", ["--member", member])):
        assert run_study.main(["export", str(run_folder), *words, "--out", str(folder / name)]) == 0
    return {name: folder / name for name in ("wiener", "network")}


def noisy_file(
    folder, model, name="noisy.tsv", counts=False, left_out=(), other_genes=2, n_samples=40
):
    """Write noisy samples with reordered gene symbols, some unknown; return path and matrix."""
    rng = np.random.default_rng(3)
    clean = expression(n_samples, seed=0)
    noisy = clean.values + NOISE * load_model(model).scaling.scale * rng.standard_normal(
        clean.values.shape
    )
    noisy = np.rint(2**noisy) if counts else noisy
    symbols = landmark_table()["gene_symbol"].tolist()[: clean.n_genes]
    others = rng.integers(1, 9, (n_samples, other_genes)) + (0 if counts else 0.5)
    values, genes = np.c_[noisy, others], [*symbols, *(f"OTHER{i}" for i in range(other_genes))]
    labels = pd.DataFrame(
        {"tissue": [f"t{i % 3}" for i in range(n_samples)]}, index=clean.sample_ids
    )
    matrix = ExpressionMatrix(values, clean.sample_ids, genes, labels)
    kept = [i for i in rng.permutation(len(genes)) if genes[i] not in left_out]
    matrix = matrix.select(genes=kept)
    write_expression(matrix, folder / name)
    return folder / name, matrix


@pytest.mark.parametrize("kind", ["wiener", "network"])
@pytest.mark.parametrize("counts", [False, True])
def test_a_file_is_denoised_as_by_hand(kind, counts, models, tmp_path, capsys):
    path, matrix = noisy_file(tmp_path, models[kind], counts=counts)
    out = tmp_path / "clean.h5ad"
    words = [
        "denoise",
        "--model",
        str(models[kind]),
        str(path),
        str(out),
        "--noise-factor",
        str(NOISE),
    ]
    assert run_study.main(words) == 0
    found = read_expression(out)
    assert found.gene_ids.tolist() == matrix.gene_ids.tolist()
    assert found.sample_ids.tolist() == matrix.sample_ids.tolist()
    assert found.sample_labels["tissue"].tolist() == matrix.sample_labels["tissue"].tolist()
    model = load_model(models[kind])
    place = {symbol: i for i, symbol in enumerate(matrix.gene_ids)}
    order = [place[symbol] for symbol in model.genes["gene_symbol"]]
    values = np.log2(matrix.values.astype(np.float64) + 1) if counts else matrix.values
    z = (values[:, order] - model.scaling.centre) / model.scaling.scale
    by_hand = hand(model, z) * model.scaling.scale + model.scaling.centre
    by_hand = np.clip(2**by_hand - 1, 0, None) if counts else by_hand
    np.testing.assert_allclose(
        found.values[:, order], by_hand, rtol=1e-4 if counts else 1e-5, atol=1e-4
    )
    others = [place[f"OTHER{i}"] for i in range(2)]
    np.testing.assert_array_equal(found.values[:, others], matrix.values[:, others])
    assert "2 genes that are not among the model's stay as they are" in capsys.readouterr().out
    assert (tmp_path / "clean.check.html").is_file()


def hand(model, z):
    """The denoiser's formula, in float64."""
    if model.denoiser.kind == "wiener":
        d = model.denoiser
        spectrum = d.spectra_[d.choice(NOISE)].astype(float)
        components = d.components_.astype(float)
        return (
            (z - d.mean_) @ components * spectrum / (spectrum + NOISE**2)
        ) @ components.T + d.mean_
    p = {name: array.astype(float) for name, array in model.denoiser.parameters.items()}
    h = z
    for i in (0, 1):  # dense-2: both hidden layers are the code, sigmoid
        h = 1 / (1 + np.exp(-(h @ p[f"layer{i}.weight"].T + p[f"layer{i}.bias"])))
    return h @ p["layer2.weight"].T + p["layer2.bias"]


def test_the_best_by_validation_is_exported_and_said(run_folder, tmp_path, capsys):
    assert run_study.main(["export", str(run_folder), "--out", str(tmp_path / "best")]) == 0
    said = capsys.readouterr().out
    model = load_model(tmp_path / "best")
    table = model.mse("validation")
    candidates = ["PCA", "PCA with gain", "Wiener"]
    relative = {name: np.exp(np.mean(np.log(table[name] / table["Wiener"]))) for name in candidates}
    assert model.name in candidates  # networks of three epochs are worse
    assert model.name == min(relative, key=relative.get)
    assert f"chosen: {model.name}: none of the 2 networks of this run is better" in said
    np.testing.assert_allclose(table["this model"], table[model.name], rtol=1e-4)
    np.testing.assert_allclose(table["identity"], table.index**2, rtol=0.1)
    assert set(model.metrics["part"]) == {"validation", "test"}
    assert table.index.tolist() == [round(0.1 * i, 1) for i in range(1, 11)]
    card = (tmp_path / "best" / "README.md").read_text()
    assert "expression.npz (measured data)" in card
    assert "At no noise factor measured is it worse than leaving the data alone." in card
    assert "validation MSE over the Wiener filter's, geometric mean" in said
    assert _unit({"PCA": []}) == "that of leaving the data alone"


def test_the_card_of_a_network_has_its_error_over_the_wiener_filters(models):
    rows = (models["network"] / "README.md").read_text().splitlines()
    head = next(row for row in rows if row.startswith("| noise factor"))
    names = [cell.strip() for cell in head.strip("|").split("|")]
    assert names[-1] == "MSE over Wiener's"
    cells = [row.strip("|").split("|") for row in rows if row.startswith("| 0.5 |")]
    for row in cells:
        of = dict(zip(names, map(float, row), strict=True))
        assert of[names[-1]] == pytest.approx(of["this model"] / of["Wiener"], rel=2e-3)
    assert len(cells) == 2
    assert "over Wiener" not in (models["wiener"] / "README.md").read_text()


@pytest.mark.parametrize("simulated", [True, False])
@pytest.mark.parametrize("kind", ["mixture", "network"])
def test_the_card_says_that_simulated_data_have_the_form_of_a_mixture(models, kind, simulated):
    model = load_model(models["network"])
    denoiser = SimpleNamespace(kind=kind, description="a denoiser")
    training = {**model.training, "simulated": simulated}
    text = card(replace(model, denoiser=denoiser, training=training))
    assert ("the form that the mixture of Wiener filters assumes" in text) == (
        simulated and kind == "mixture"
    )
    assert ("on measured data it has not been shown to be of use" in text) == simulated


def test_a_network_that_does_harm_is_said_to(models, tmp_path, capsys):
    card = (models["network"] / "README.md").read_text()
    assert "It is worse than leaving the data alone at noise factor 0.1, 0.2" in card
    path, matrix = noisy_file(tmp_path, models["network"])
    words = ["denoise", "--model", str(models["network"]), str(path)]
    assert run_study.main([*words, str(tmp_path / "a.npz"), "--noise-factor", "0.2"]) == 0
    assert (
        "warning: at that noise factor the model is worse than leaving the data alone"
        in capsys.readouterr().out
    )
    assert run_study.main([*words, str(tmp_path / "b.npz")]) == 0  # estimated: about 0.4
    assert "nothing was changed: the model would do harm" in capsys.readouterr().out
    np.testing.assert_array_equal(read_expression(tmp_path / "b.npz").values, matrix.values)


def test_missing_genes_are_named_and_imputed_only_when_asked(models, tmp_path, capsys):
    symbols = landmark_table()["gene_symbol"].tolist()[:3]
    path, matrix = noisy_file(tmp_path, models["wiener"], left_out=symbols)
    words = ["denoise", "--model", str(models["wiener"]), str(path), str(tmp_path / "out.parquet")]
    before = contents(tmp_path)
    assert run_study.main(words) == 2
    error = capsys.readouterr().err
    assert f"3 of the model's 60 genes are missing: {', '.join(symbols)}: give --impute" in error
    assert contents(tmp_path) == before
    assert run_study.main([*words, "--impute", "--noise-factor", str(NOISE)]) == 0
    found = read_expression(tmp_path / "out.parquet")
    model = load_model(models["wiener"])
    place = {symbol: i for i, symbol in enumerate(matrix.gene_ids)}
    z = np.zeros((matrix.n_samples, 60))
    for i, symbol in enumerate(model.genes["gene_symbol"]):
        if symbol in place:
            z[:, i] = (
                matrix.values[:, place[symbol]] - model.scaling.centre[i]
            ) / model.scaling.scale[i]
    by_hand = hand(model, z) * model.scaling.scale + model.scaling.centre
    for i, symbol in enumerate(model.genes["gene_symbol"]):
        if symbol in place:
            np.testing.assert_allclose(found.values[:, place[symbol]], by_hand[:, i], atol=1e-4)


def test_a_run_is_a_model_too_and_needs_neither_ray_nor_torch_for_a_folder(
    run_folder, models, tmp_path, capsys
):
    path, _ = noisy_file(tmp_path, models["wiener"])
    assert run_study.main(["export", str(run_folder), "--out", str(tmp_path / "best")]) == 0
    for source, out in ((run_folder, "a.npz"), (tmp_path / "best", "b.npz")):
        assert (
            run_study.main(["denoise", "--model", str(source), str(path), str(tmp_path / out)]) == 0
        )
    one, other = (read_expression(tmp_path / name).values for name in ("a.npz", "b.npz"))
    np.testing.assert_array_equal(one, other)
    words = ["denoise", "--model", str(models["wiener"]), str(path), str(tmp_path / "c.npz")]
    code = (
        f"import sys, run_study; run_study.main({words}); "
        "assert not {'ray', 'torch', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, timeout=120
    )
    assert read_expression(tmp_path / "c.npz").n_samples == 40


def test_export_refuses_what_it_should(run_folder, models, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    before = contents(tmp_path)
    for words, message in (
        (["--out", str(tmp_path / "mine"), "--force"], "holds files but no model"),
        (["--out", str(models["wiener"])], "exists already: give --force"),
        (["--out", str(tmp_path / "x"), "--member", "zzz"], "no member has that id"),
        (["--out", str(tmp_path / "x"), "--reference", "oracle"], "is not known"),
        (
            ["--out", str(tmp_path / "x"), "--reference", "pca", "--member", "a"],
            "leave one of them out",
        ),
        (["--out", str(tmp_path / "mine" / "notes.txt" / "x")], "cannot be written"),
        ([], "give --out FOLDER"),
    ):
        assert run_study.main(["export", str(run_folder), *words]) == 2
        assert message in (error := capsys.readouterr().err)
        assert error.count("\n") == 1
    assert contents(tmp_path) == before


def test_export_of_an_onnx_file(models, tmp_path, capfd):
    pytest.importorskip("onnx", reason="the extra onnx is not installed")
    onnx = tmp_path / "model.onnx"
    assert run_study.main(["export", str(models["network"]), "--onnx", str(onnx)]) == 0
    assert capfd.readouterr().err == ""
    assert onnx.stat().st_size > 1000
    assert run_study.main(["export", str(models["network"]), "--onnx", str(onnx)]) == 2
    assert "exists already: give --force" in capfd.readouterr().err


BAD = {
    "no such file": (["{out}/none.tsv", "{out}/x.tsv"], "no such file"),
    "ending": (["{in}", "{out}/x.xlsx"], "ending '.xlsx' is not known"),
    "folder": (["{in}", "{out}/none/x.tsv"], "does not exist"),
    "same": (["{in}", "{in}", "--force"], "is IN itself"),
    "there": (["{in}", "{out}/there.tsv"], "exists already"),
    "noise": (
        ["{in}", "{out}/x.tsv", "--noise-factor", "-1"],
        "give a number of at least 0, or auto",
    ),
    "nan noise": (
        ["{in}", "{out}/x.tsv", "--noise-factor", "nan"],
        "give a number of at least 0, or auto",
    ),
    "model": (["{in}", "{out}/x.tsv", "--model", "{out}"], "has no model.json"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(case, models, tmp_path, capsys):
    path, _ = noisy_file(tmp_path, models["wiener"])
    (tmp_path / "there.tsv").write_text("mine")
    words, message = BAD[case]
    before = contents(tmp_path)
    words = [word.replace("{in}", str(path)).replace("{out}", str(tmp_path)) for word in words]
    assert run_study.main(["denoise", "--model", str(models["wiener"]), *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert contents(tmp_path) == before


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_value_far_down_leaves_nothing(bad, models, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("data_utils.expression.BLOCK", 600)  # ten samples a block
    monkeypatch.setattr("data_utils.formats.parquet.BLOCK", 600)
    _, matrix = noisy_file(tmp_path, models["wiener"])
    matrix.values[35, matrix.gene_ids.tolist().index("RBKS")] = bad
    write_expression(matrix, tmp_path / "in.parquet")
    before = contents(tmp_path)
    words = [
        "denoise",
        "--model",
        str(models["wiener"]),
        str(tmp_path / "in.parquet"),
        str(tmp_path / "out.tsv"),
    ]
    assert run_study.main(words) == 2
    assert "NaN or infinite, the first is" in (error := capsys.readouterr().err)
    assert "sample 'sample-35', gene 'RBKS'" in error
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
@pytest.mark.parametrize("at", [0.0, 0.3, 0.8])
def test_a_damaged_model_is_one_line(name, at, models, tmp_path, capsys):
    path, _ = noisy_file(tmp_path, models["network"])
    shutil.copytree(models["network"], tmp_path / "model")
    flipped(tmp_path / "model" / name, at)
    assert (
        run_study.main(
            ["denoise", "--model", str(tmp_path / "model"), str(path), str(tmp_path / "o.tsv")]
        )
        == 2
    )
    error = capsys.readouterr().err
    assert "does not match its checksum" in error
    assert error.count("\n") == 1


def test_a_hostile_model_is_one_line(models, tmp_path, capsys):
    """Checksums fit but facts do not: an unknown kind, sizes beyond any memory, other shapes."""
    from data_utils.files import sha256

    path, _ = noisy_file(tmp_path, models["network"])
    for change in (
        {"kind": "os.system"},
        {"denoiser": {"model": "dense-999999999x9", "n_genes": 60}},
        {"denoiser": {"model": "dense-2", "n_genes": 10**12}},
        {"denoiser": None},
        {"genes": {"ensembl_id": ["a"], "gene_symbol": [""], "probe_id": [""]}},
        {"transform": "auto"},
        {"metrics": {"part": ["test"]}},
        {"format": 99},
        {"gauge": {}},
    ):
        folder = tmp_path / "hostile"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(models["network"], folder)
        facts = json.loads((folder / "model.json").read_text()) | change
        (folder / "model.json").write_text(json.dumps(facts))
        names = ("model.json", "model.safetensors")
        sums = [f"{sha256((folder / name).read_bytes())}  {name}\n" for name in names]
        (folder / "SHA256SUMS").write_text("".join(sums))
        assert (
            run_study.main(["denoise", "--model", str(folder), str(path), str(tmp_path / "o.tsv")])
            == 2
        ), change
        assert "the model cannot be used" in (error := capsys.readouterr().err)
        assert error.count("\n") == 1
        assert not (tmp_path / "o.tsv").exists()
