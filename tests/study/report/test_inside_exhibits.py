"""What the report shows of the inside of networks, from tables that are made up."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data_utils.genes import landmark_table
from study.evidence.evidence import CODE_COLUMNS, IMAGE_COLUMNS, UNIT_GENE_COLUMNS, load_evidence
from study.evidence.images import FILTER, INPUT, MAP, as_images, pixels
from study.grids import Narrowing
from study.paper.claims import judge_claims
from study.report.inside import code_by_label, inside_exhibits
from study.report.page import build
from tests.study.runs import fake_run

GENES = landmark_table().set_index("gene_symbol")["ensembl_id"]
TISSUES = ["Liver", "Lung", "Liver of an old donor", "Lung of an old donor"]
NETWORK = {"model": "dense-4", "noise_factor": 0.5, "seed": 0}


def code_rows(label, values, activation):
    """A row per value and unit, with activation(value, unit)."""
    rows = [
        {"label": label, "value": value, "unit": unit, "samples": 5 + i, "spread": 0.25}
        | {"activation": activation(value, unit)}
        for i, value in enumerate(values)
        for unit in range(1, 33)
    ]
    return pd.DataFrame(rows).assign(**NETWORK)[CODE_COLUMNS]


def of_tissue(value, unit):
    """Odd units are on in livers, even ones in lungs; unit 32 in old ones."""
    if unit == 32:
        return 0.9 if "old" in value else 0.1
    return 0.8 if ("Liver" in value) == (unit % 2 == 1) else 0.2


def tables():
    """Codes by batch and tissue, genes of two units, and conv images of 2 channels and samples."""
    whole = code_rows("", [""], lambda _, unit: unit / 32)
    batch = code_rows("batch", ["a", "b"], lambda *_: 0.5)
    codes = pd.concat([whole, batch, code_rows("tissue", TISSUES, of_tissue)], ignore_index=True)
    genes = pd.DataFrame(
        {
            "unit": [1, 1, 2, 2],
            "rank": [1, 2, 1, 2],
            "gene_id": [GENES["TP53"], "ENSG_OTHER", "ENSG_OTHER", GENES["TP53"]],
            "effect": [-1.5, 0.75, 0.5, 0.25],
        }
    ).assign(**NETWORK)[UNIT_GENE_COLUMNS]
    rng = np.random.default_rng(0)
    names = ["s-1", "$a_b$ <i>"]
    parts = [
        pixels(rng.normal(size=(16, 3, 3)), channel=list(range(1, 17))).assign(
            image=FILTER, sample=""
        ),
        pixels(as_images(rng.normal(size=(2, 60)), (8, 8)), sample=names).assign(
            image=INPUT, channel=0
        ),
        pixels(rng.random((2, 16, 8, 8)), sample=names, channel=list(range(1, 17))).assign(
            image=MAP
        ),
    ]
    images = pd.concat(parts).assign(**NETWORK | {"model": "conv"})[IMAGE_COLUMNS]
    return {"codes": codes, "unit_genes": genes, "conv_images": images}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with the tables."""
    narrowing = Narrowing(seeds=1, depths=["4"], noise=[0.5])
    folder = fake_run(tmp_path_factory.mktemp("inside") / "run", narrowing=narrowing)
    for name, table in tables().items():
        table.to_parquet(folder / f"{name}.parquet", index=False)
    return folder


@pytest.fixture(scope="module")
def exhibits(run):
    return {exhibit.key: exhibit for exhibit in inside_exhibits(load_evidence([run]))}


def test_the_inside_has_a_section_of_the_page_with_its_exhibits(run, tmp_path):
    evidence = load_evidence([run])
    titles = [section.title for section in build({evidence: judge_claims(evidence)}).sections]
    assert titles.index("Inside the networks") > titles.index("References, genes and tissues")
    keys = [exhibit.key for exhibit in inside_exhibits(evidence)]
    assert keys == ["code-by-label", "code-genes", "conv-filters", "conv-maps"]
    other = fake_run(tmp_path / "other", narrowing=Narrowing(seeds=1, depths=["4"], noise=[0.5]))
    without = load_evidence([other])
    assert inside_exhibits(without) == []
    assert "Inside the networks" not in [
        s.title for s in build({without: judge_claims(without)}).sections
    ]


def test_the_code_is_shown_by_tissue_with_like_tissues_and_units_together(exhibits):
    data = exhibits["code-by-label"].data
    assert set(data["label"]) == {"tissue"}
    kinds = [value.split()[0] for value in data["value"].unique()]
    assert kinds in (["Liver", "Liver", "Lung", "Lung"], ["Lung", "Lung", "Liver", "Liver"])
    odd = [unit % 2 for unit in data["unit"].unique() if unit != 32]
    assert sum(a != b for a, b in itertools.pairwise(odd)) == 1
    cell = data[(data["value"] == "Lung of an old donor") & (data["unit"] == 4)]
    assert cell[["activation", "samples"]].to_numpy().tolist() == [[0.8, 8]]
    assert "Of dense-4 at noise factor 0.5, seed 0" in exhibits["code-by-label"].description


def test_without_a_tissue_the_label_of_fewest_values_is_shown_and_without_a_label_none(run):
    codes = tables()["codes"]
    cell_type = code_rows("cell type", ["x", "y", "z"], lambda *_: 0.5)
    found = code_by_label(pd.concat([cell_type, codes[codes["label"] == "batch"]]))
    assert set(found["label"]) == {"batch"}
    bare = replace(load_evidence([run]), codes=codes[codes["label"] == ""])
    assert [exhibit.key for exhibit in inside_exhibits(bare)][:1] == ["code-genes"]


def test_the_values_with_the_most_samples_are_shown(run):
    values = [f"tissue {i}" for i in range(45)]
    codes = pd.concat([tables()["codes"], code_rows("subtissue", values, lambda *_: 0.5)])
    codes = codes[codes["label"] != "tissue"]
    data = code_by_label(codes)
    assert set(data["value"]) == set(values[5:])  # the first have 5 to 9 samples
    plot, *_ = inside_exhibits(replace(load_evidence([run]), codes=codes))
    assert plot.description.endswith("The 40 of 45 values with the most samples.")


def test_a_units_genes_have_symbols_and_signs(exhibits):
    frame = exhibits["code-genes"].frame
    assert frame["genes that it changes most"].tolist() == [
        "−TP53 +ENSG_OTHER",
        "+ENSG_OTHER +TP53",
    ]
    assert frame["greatest"].tolist() == ["−1.50", "+0.50"]
    assert frame["mean"].tolist() == [1 / 32, 2 / 32]
    assert "derivative of the decoder at the mean code" in exhibits["code-genes"].description


def test_dense_4_next_to_the_middle_is_shown_if_runs_have_several(run):
    tables = [
        replace_network(model, noise, seed)
        for model, noise, seed in [("dense-2", 0.5, 0), ("dense-4", 0.1, 0), ("dense-4", 0.6, 1)]
    ]
    evidence = replace(load_evidence([run]), codes=pd.concat(tables))
    plot, *_ = inside_exhibits(evidence)
    assert "Of dense-4 at noise factor 0.6, seed 1" in plot.description


def replace_network(model, noise, seed):
    return tables()["codes"].assign(model=model, noise_factor=noise, seed=seed)


@pytest.mark.parametrize("width", [640, 350])
def test_names_of_rows_and_units_do_not_overlap(exhibits, width):
    figure = exhibits["code-by-label"].figure(width)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    rows = [label.get_window_extent() for label in axes.get_yticklabels()]
    units = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert len(rows) == 4  # the longest name needs two lines of a narrow figure
    assert len(units) == (32 if width == 640 else 16)
    assert all(a.y0 >= b.y1 for a, b in itertools.pairwise(rows))
    assert all(a.x1 <= b.x0 for a, b in itertools.pairwise(units))
    assert min(box.x0 for box in rows) >= 0


@pytest.mark.parametrize(("key", "images"), [("conv-filters", 16), ("conv-maps", 2 * 17)])
@pytest.mark.parametrize("width", [640, 350])
def test_each_filter_and_map_is_an_image_within_the_figure(exhibits, key, images, width):
    figure = exhibits[key].figure(width)
    drawn = [axes for axes in figure.axes if axes.get_images()]
    assert len(drawn) == images
    assert [axes.get_title(loc="center") for axes in drawn][:2] == (
        ["1", "2"] if key == "conv-filters" else ["input", "1"]
    )
    boxes = [axes.get_position() for axes in drawn]
    assert min(box.x0 for box in boxes) >= 0
    assert max(box.x1 for box in boxes) <= 1
    assert min(box.width for box in boxes) * width > 35  # pixels
    of_conv = tables()["conv_images"]
    one = of_conv[(of_conv["image"] == (FILTER if key == "conv-filters" else MAP))]
    one = one[(one["channel"] == 1) & one["sample"].isin(["", "s-1"])]
    shown = drawn[0 if key == "conv-filters" else 1].get_images()[0].get_array()
    np.testing.assert_allclose(shown.ravel(), one["value"])
