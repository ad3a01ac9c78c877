"""What is kept of the inside of a run's networks."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data_utils.preparation import Replicates
from models.config import AS_PUBLISHED, MemberConfig, Phase, Protocol, training_settings
from models.denoisers.denoiser import noisy_rows
from models.denoisers.network import NetworkDenoiser
from models.inside import code, first_maps
from study.evidence.evidence import CODE_COLUMNS, IMAGE_COLUMNS, UNIT_GENE_COLUMNS
from study.evidence.inside import code_table, gene_table, looked_into, write_inside
from study.run.folder import RunFolder
from tests.small import expression

SAMPLES, GENES = 60, 50
DATA = Replicates.of(expression(SAMPLES, GENES))
LABELS = pd.DataFrame({"tissue": [["Liver", "Lung"][i % 2] for i in range(SAMPLES)]})


def usual(model, noise=0.5, seed=0, **other):
    """A network that is trained as is usual for its model."""
    return MemberConfig(model, (Phase((noise,), 3),), seed, **training_settings(model) | other)


def parameters(member):
    """Small weights that all differ from 0."""
    shapes = member.architecture.parameter_shapes(GENES)
    rng = np.random.default_rng(member.seed)
    draws = {name: 0.05 * rng.normal(size=shape) for name, shape in shapes.items()}
    return {name: values.astype(np.float32) for name, values in draws.items()}


def test_a_unit_that_drives_one_gene_has_it_on_top(tmp_path):
    """Unit 4 (number 3 from 0) is the only one that reaches gene 7, and strongly."""
    member, folder = usual("dense-4", seed=1), RunFolder(tmp_path)
    folder.create()
    weights = parameters(member)
    weights["layer3.weight"][10] = 0
    weights["layer3.weight"][10, 3], weights["layer3.bias"][10] = 2.0, 1.0
    weights["layer4.weight"][7] = 0
    weights["layer4.weight"][7, 10] = -1.5
    folder.save_model(member, weights)
    write_inside(folder, DATA, LABELS, [member])
    genes = pd.read_parquet(tmp_path / "unit_genes.parquet")
    assert list(genes) == UNIT_GENE_COLUMNS
    assert len(genes) == 32 * 10
    top = genes[genes["rank"] == 1].set_index("unit")
    assert top.loc[4, "gene_id"] == DATA.gene_ids[7]
    assert top.loc[4, "effect"] == pytest.approx(-3.0)
    assert (genes["gene_id"] == DATA.gene_ids[7]).sum() == 1
    assert set(genes["model"]) == {"dense-4"}
    assert set(genes["seed"]) == {1}
    assert not (tmp_path / "conv_images.parquet").exists()


def test_activations_are_of_the_networks_own_noisy_test_rows_by_label(tmp_path):
    member, folder = usual("dense-4", 0.1, seed=1), RunFolder(tmp_path)
    folder.create()
    folder.save_model(member, parameters(member))
    write_inside(folder, DATA, LABELS, [member])
    codes = pd.read_parquet(tmp_path / "codes.parquet")
    assert list(codes) == CODE_COLUMNS
    rows = noisy_rows(DATA.data(1).test, "test", 0.1, 1)
    found = code(NetworkDenoiser(member.architecture, GENES, parameters(member)), rows)
    lungs = LABELS["tissue"].to_numpy()[DATA.split(1).test] == "Lung"
    for label, value, chosen in (("tissue", "Lung", lungs), ("", "", np.full(len(rows), True))):
        its = codes[(codes["label"] == label) & (codes["value"] == value)]
        assert its["unit"].tolist() == list(range(1, 33))
        assert set(its["samples"]) == {chosen.sum()}
        np.testing.assert_allclose(its["activation"], found[chosen].mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(its["spread"], found[chosen].std(axis=0), rtol=1e-5)


def test_conv_images_are_its_filters_and_the_maps_of_three_test_samples(tmp_path):
    member, folder = usual("conv"), RunFolder(tmp_path)
    folder.create()
    folder.save_model(member, parameters(member))
    write_inside(folder, DATA, LABELS, [member])
    images = pd.read_parquet(tmp_path / "conv_images.parquet")
    assert list(images) == IMAGE_COLUMNS
    rows = noisy_rows(DATA.data(0).test, "test", 0.5, 0)[:3]
    samples = list(DATA.sample_ids[DATA.split(0).test][:3])

    def values(kind, *shape):
        its = images[images["image"] == kind].sort_values(["sample", "channel", "row", "column"])
        return its["value"].to_numpy().reshape(shape)

    of_name = np.argsort(samples)
    weights = parameters(member)["conv0.weight"][:, 0]
    np.testing.assert_allclose(values("filter", 16, 3, 3), weights, rtol=1e-6)
    network = NetworkDenoiser(member.architecture, GENES, parameters(member))
    maps = first_maps(network, rows)[of_name]
    np.testing.assert_allclose(values("map", 3, 16, 8, 8), maps, rtol=1e-6)
    inputs = values("input", 3, 64)
    np.testing.assert_allclose(inputs[:, :GENES], rows[of_name], rtol=1e-6)
    assert np.isnan(inputs[:, GENES:]).all()
    assert set(images["sample"]) == {"", *samples}
    assert not (tmp_path / "codes.parquet").exists()


def test_the_plain_network_nearest_to_the_middle_is_looked_into():
    plain = [usual("dense-4", noise, seed) for noise in (0.1, 0.4, 1.0) for seed in (1, 0)]
    others = [
        usual("dense-4", beta=0.01),
        usual("dense-4", noise_input=True),
        usual("dense-4", protocol=Protocol(AS_PUBLISHED)),
        replace(plain[0], phases=(Phase((0.4, 0.5), 3),)),
        replace(plain[0], phases=(Phase((0.4,), 3), Phase((0.5,), 3))),
        usual("dense-2"),
    ]
    models = ("dense-4", "dense-2")
    assert looked_into([*others, *plain], models) == plain[3]  # noise factor 0.4, seed 0
    assert looked_into(others, models) == others[-1]
    assert looked_into(others[:-1], models) is None
    fresh = usual("dense-4", noise_draws="fresh")
    assert looked_into([fresh, *others], models) == fresh


def test_tables_of_codes_and_genes_by_hand():
    activations = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.75]])
    codes = code_table(activations, pd.DataFrame({"tissue": ["b", "a", "b"]}))
    found = codes.set_index(["label", "value", "unit"])[["samples", "activation", "spread"]]
    assert found.loc[("", "", 1)].tolist() == [3, 0.5, pytest.approx(np.sqrt(1 / 6))]
    assert found.loc[("tissue", "b", 2)].tolist() == [2, 0.875, 0.125]
    assert found.loc[("tissue", "a", 1)].tolist() == [1, 0.5, 0.0]
    genes = gene_table(np.array([[0.1, -0.3, 0.2], [0.0, 0.0, 0.5]]), ["A", "B", "C"])
    assert genes["gene_id"].tolist() == ["B", "C", "A", "C", "A", "B"]
    assert genes["effect"].tolist() == [-0.3, 0.2, 0.1, 0.5, 0.0, 0.0]
    assert genes["rank"].tolist() == [1, 2, 3] * 2
