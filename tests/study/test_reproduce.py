"""A member trained again is the run's own, to the last bit; anything else is told."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest

from data_utils.errors import InputError
from data_utils.files import package_versions
from data_utils.formats.registry import write_expression
from data_utils.preparation import Replicates
from data_utils.sources import load_dataset
from models.config import Phase
from study.reproduce import _difference, reproduce
from study.run.folder import RunFolder
from study.run.jobs import Workplace
from study.run.packs import plan_packs
from study.run.worker import run_pack
from tests.small import contents, expression, expression_file, member
from tests.study.runs import fake_config

PLANNED = [
    *(member("dense-4", noise, beta=0.01, seed=seed) for noise in (0.1, 0.5) for seed in (0, 1)),
    member("conv", 0.5, epochs=1),
    member("dense-2", phases=(Phase((0.0,), 1), Phase((0.5,), 1)), scaling="all"),
    member("dense-2", phases=(Phase((0.1, 0.5), 2),)),
    member("dense-2", 0.1, learning_rate=1e30),
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with the data file, and the run of PLANNED on it but for its config.json."""
    path = tmp_path_factory.mktemp("trained")
    dataset = load_dataset(str(expression_file(path, n_samples=40, n_genes=55)))
    folder = RunFolder(path / "run")
    folder.create()
    for pack in plan_packs(PLANNED, dataset.matrix.n_genes, 1):
        assert run_pack(pack, Workplace(Replicates.of(dataset.matrix), folder))
    folder.merge(PLANNED, {})
    folder.write_json("plan.json", {"members": [config.as_dict() for config in PLANNED]})
    return path


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the run, and of its data beside it."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    dataset = load_dataset(str(tmp_path / "expression.npz"))
    config = fake_config("smoke", PLANNED, False, dataset.matrix.content_hash())
    config["provenance"]["packages"] = package_versions(("torch", "numpy")) | {
        "no-such-package": "1.0"
    }
    config["data"] |= {"source": dataset.source, "transform": dataset.transform, "genes_in": None}
    folder = RunFolder(tmp_path / "run")
    folder.write_json("config.json", config)
    return folder


def changed(folder, name, change):
    table = pd.read_parquet(folder.path / name)
    change(table)
    table.to_parquet(folder.path / name, index=False)


def line(said, measure):
    """What the table says of a measure: [recorded, again, difference, relative]."""
    [found] = re.findall(rf"^ {measure} +(.*\S) *$", said, re.MULTILINE)
    return re.split(" {2,}", found)


@pytest.mark.parametrize("config", PLANNED, ids=lambda m: m.run_name)
def test_a_member_of_any_pack_is_bit_identical_alone(config, run, capsys):
    before = contents(run.path)
    assert reproduce(run.path, config.member_id) == 0
    said = capsys.readouterr().out
    assert "weights: bit-identical" in said
    assert "numbers: bit-identical" in said
    assert contents(run.path) == before
    table = pd.read_parquet(run.path / "members.parquet").set_index("member_id")
    then, now, difference, relative = line(said, "test_mse")
    assert then == now == f"{table.loc[config.member_id, 'test_mse']:.9g}"
    assert (difference, relative) == ("0", "0")


def test_the_beginning_of_an_id_will_do(run, capsys):
    assert reproduce(run.path, PLANNED[0].member_id[:6]) == 0
    assert f"member {PLANNED[0].member_id} of {run.path}" in capsys.readouterr().out


def test_a_number_that_differs_is_told(run, capsys):
    config = PLANNED[0]

    def worse(table):
        table.loc[table["member_id"] == config.member_id, "test_mse"] *= 1 + 1e-4

    changed(run, "members.parquet", worse)
    assert reproduce(run.path, config.member_id) == 1
    said = capsys.readouterr().out
    assert line(said, "test_mse")[3] == "0.0001"
    assert line(said, "val_mse")[3] == "0"
    assert "weights: bit-identical" in said
    assert "numbers: not bit-identical" in said
    assert "NOT equal" in said
    assert "the run had no-such-package 1.0 (now None)\n" in said
    assert reproduce(run.path, PLANNED[1].member_id) == 0


def test_a_number_that_differs_by_rounding_is_equal_but_not_identical(run, capsys):
    changed(run, "metrics.parquet", lambda table: table.update(table[["value"]] * (1 + 1e-9)))
    assert reproduce(run.path, PLANNED[0].member_id) == 0
    said = capsys.readouterr().out
    assert "numbers: not bit-identical" in said
    assert "equal within 1e-06" in said


def test_a_curve_that_is_not_measured_now_differs(run, capsys):
    changed(run, "metrics.parquet", lambda table: table.update(table[["epoch"]] + 1))
    assert reproduce(run.path, PLANNED[0].member_id) == 1
    assert line(capsys.readouterr().out, "metrics")[2:] == ["inf", "inf"]


@pytest.mark.parametrize(("factor", "status"), [(1 + 1e-3, 1), (np.nan, 1)])
def test_weights_that_differ_are_told(factor, status, run, capsys):
    _, arrays = run.load_model(PLANNED[0].member_id)
    arrays["layer0.weight"][3, 4] = arrays["layer0.weight"].max() * factor
    run.save_model(PLANNED[0], arrays)
    assert reproduce(run.path, PLANNED[0].member_id) == status
    said = capsys.readouterr().out
    assert "weights: not bit-identical" in said
    assert "numbers: bit-identical" in said


def test_differences_by_hand():
    assert _difference([1.0, np.nan, np.inf, 0.0], [1.0, np.nan, np.inf, -0.0]) == (0.0, 0.0)
    assert _difference([1.0, 2.0], [1.0, 1.5]) == (0.5, 0.25)
    assert _difference([1.0, 1e-9], [1.0, 2e-9], of_largest=True) == (1e-9, 1e-9)
    assert _difference([1.0], [np.nan]) == (np.inf, np.inf)
    assert _difference([np.inf], [1.0]) == (np.inf, np.inf)
    assert _difference([], []) == (0.0, 0.0)


# bad input


def test_an_unknown_id_lists_near_ones(run):
    near = PLANNED[2].member_id
    with pytest.raises(InputError, match=f"no member has that id in .*{near}"):
        reproduce(run.path, near[:10] + "zz")


def test_an_ambiguous_id_lists_its_members(run):
    with pytest.raises(InputError, match="8 members have an id that begins so") as raised:
        reproduce(run.path, "")
    assert sum(config.member_id in str(raised.value) for config in PLANNED) == 4


def test_a_member_that_failed_has_nothing_to_compare(run):
    changed(run, "members.parquet", lambda table: table.__setitem__("status", "failed"))
    with pytest.raises(InputError, match=r"has not ended in .*--resume"):
        reproduce(run.path, PLANNED[0].member_id)


def test_other_data_are_refused_and_the_same_elsewhere_are_not(run, tmp_path):
    write_expression(expression(40, 55, seed=1), tmp_path / "other.npz")
    with pytest.raises(InputError, match=r"other\.npz: holds other data .*sha256 .*--data"):
        reproduce(run.path, PLANNED[0].member_id, str(tmp_path / "other.npz"))
    (tmp_path / "expression.npz").rename(tmp_path / "moved.npz")
    with pytest.raises(InputError, match=r"expression\.npz: no such file"):
        reproduce(run.path, PLANNED[0].member_id)
    assert reproduce(run.path, PLANNED[0].member_id, str(tmp_path / "moved.npz")) == 0


def test_a_model_that_is_gone_is_bad_input(run):
    (run.path / "models" / f"{PLANNED[0].member_id}.safetensors").unlink()
    with pytest.raises(
        InputError, match=f"{PLANNED[0].member_id}.safetensors: no readable network"
    ):
        reproduce(run.path, PLANNED[0].member_id)
