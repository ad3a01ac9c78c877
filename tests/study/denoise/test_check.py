"""The page beside a denoised file: its verdict, its numbers, and how it looks in a browser."""

import numpy as np
import pandas as pd
import pytest

from data_utils.cohort import simulate_cohort
from data_utils.expression import ExpressionMatrix
from data_utils.formats.registry import read_expression, write_expression
from data_utils.preparation import prepare
from models.denoisers.denoiser import Pairs, mse, noisy_rows
from models.denoisers.linear import Identity, Wiener
from models.folder import METRIC_COLUMNS, OWN, Model, gene_table, load_model, save_model
from models.gauge import Gauge
from study.denoise.denoise import check_path, denoise
from tests.study.report.browser import CHROMIUM, Browser


@pytest.fixture(scope="module")
def cohort():
    return simulate_cohort(800).matrix


@pytest.fixture(scope="module")
def folder(cohort, tmp_path_factory):
    """A model folder of a Wiener filter on 560 samples of the simulated cohort, 200 genes."""
    data = prepare(cohort.select(genes=range(200)))
    wiener = Wiener().fit(data.train).tune(Pairs.noised(data.validation, seed=0))
    rows = []
    for name, of in ((OWN, wiener), ("Wiener", wiener), ("identity", Identity())):
        for a in (0.1, 0.5, 1.0):
            guess = of.denoise(noisy_rows(data.validation, "validation", a, 0), a)
            rows.append(("validation", name, a, mse(guess, data.validation)))
    training = {"source": "simulated", "sha256": "0" * 64, "n_samples": 800, "simulated": True}
    model = Model(
        name="Wiener",
        denoiser=Wiener.from_arrays(wiener.arrays(), {}),
        genes=gene_table(data.gene_ids),
        scaling=data.scaling,
        transform="none",
        noise_factors=(),
        training=training,
        metrics=pd.DataFrame(rows, columns=METRIC_COLUMNS),
        gauge=Gauge.fit(data.train, data.validation),
    )
    path = tmp_path_factory.mktemp("check") / "model"
    save_model(model, path)
    return path


def noisy(cohort, rows, noise=0.5, shift=0.0, name="<i>sample</i>"):
    """Add noise to rows of the cohort; `shift` moves each gene differently, like another tissue."""
    rng = np.random.default_rng(1)
    scale = cohort.values.std(0)
    moved = shift * scale * rng.standard_normal(cohort.n_genes)
    values = (
        cohort.values[rows]
        + moved
        + noise * scale * rng.standard_normal((len(rows), cohort.n_genes))
    )
    ids = [f"{name}-{i}" for i in range(len(rows))]
    return ExpressionMatrix(values, ids, cohort.gene_ids).select(genes=range(200))


def checked(folder, matrix, path, **options):
    """The text of the page, and its path."""
    write_expression(matrix, path / "in.npz")
    assert denoise(path / "in.npz", path / "out.tsv.gz", folder, **options) == 0
    page = path / "out.check.html"
    return page.read_text("utf-8"), page


def test_samples_of_the_trained_kind_are_trusted(cohort, folder, tmp_path, capsys):
    text, _ = checked(folder, noisy(cohort, range(200, 400)), tmp_path)
    said = capsys.readouterr().out
    assert "The samples are like those that the model was trained on." in said
    assert "The samples are like those that the model was trained on." in text
    assert "Do not trust this" not in text
    estimate = float(said.split("noise factor ")[1].split(",")[0])
    assert estimate == pytest.approx(0.5, abs=0.06)


def test_another_tissue_is_not_trusted(cohort, folder, tmp_path, capsys):
    text, _ = checked(folder, noisy(cohort, range(200), shift=2.0), tmp_path)
    said = capsys.readouterr().out
    assert "Do not trust this. 200 of 200 samples (100%) are unlike the training data." in said
    assert "<strong>Do not trust this.</strong> 200 of 200 samples" in text


def test_some_odd_samples_among_many_are_named(cohort, folder, tmp_path, capsys):
    usual, odd = noisy(cohort, range(200, 380)), noisy(cohort, range(40), shift=2.0, name="odd")
    values, ids = np.r_[usual.values, odd.values], [*usual.sample_ids, *odd.sample_ids]
    text, _ = checked(
        folder, ExpressionMatrix(values, ids, usual.gene_ids), tmp_path, noise_factor="0.5"
    )
    assert "Trust it with care. 4" in capsys.readouterr().out  # the 40, and a few of the others
    assert all(f"odd-{i}<" in text for i in range(40))


def test_the_change_by_gene_is_that_of_the_files(cohort, folder, tmp_path):
    matrix = noisy(cohort, range(100))
    text, _ = checked(folder, matrix, tmp_path, noise_factor="0.5")
    change = (read_expression(tmp_path / "out.tsv.gz").values - matrix.values) / load_model(
        folder
    ).scaling.scale
    by_gene = np.sqrt((change**2).mean(0))
    first = matrix.gene_ids[by_gene.argmax()]
    row = text[text.index('id="table-genes"') :]
    assert (
        row.index(first) < row.index(f"{by_gene.max():.3f}") < row.index("</tr>", row.index(first))
    )


def test_names_of_pages(tmp_path):
    names = {"a.tsv.gz": "a.check.html", "a.b.h5ad": "a.b.check.html", "x.parquet": "x.check.html"}
    assert {name: check_path(tmp_path / name).name for name in names} == names


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_page_in_a_browser(cohort, folder, tmp_path):
    text, page = checked(folder, noisy(cohort, range(60), shift=2.0), tmp_path)
    assert "<i>sample" not in text  # ids are foreign text
    browser = Browser(tmp_path / "profile")
    try:
        for width in (1280, 390):
            browser.open(page, width=width)
            assert browser.errors == []
            assert [url for url in browser.requests if not url.startswith(("file:", "data:"))] == []
            assert browser.run("document.documentElement.scrollWidth") <= width
            assert browser.run("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        assert browser.run("[...document.querySelectorAll('main a')].length") == 0
        assert browser.run("document.querySelector('h1').textContent") == "Check of out.tsv.gz"
    finally:
        browser.close()
