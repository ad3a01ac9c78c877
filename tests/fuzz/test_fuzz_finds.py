"""What the fuzzing has found so far, one short test each."""

import os
import zipfile
from dataclasses import replace

import h5py
import numpy as np
import pyarrow as pa
import pytest
from anndata import AnnData
from pyarrow import parquet
from safetensors.numpy import save_file
from scipy.sparse import csr_matrix

from data_utils.arrays import DamagedFile, load_arrays
from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix
from data_utils.formats.registry import read_expression, write_expression
from models.config import MemberConfig, Phase
from study.grids import Narrowing, own_grid
from study.run.folder import RunFolder
from tests.fuzz import inputs
from tests.fuzz.corpus import BASES
from tests.small import flipped, member

MATRIX = BASES[0][0]


def refused(path, words, genes_in=None):
    with pytest.raises(InputError, match=words) as error:
        read_expression(path, genes_in)
    assert str(error.value).isprintable()


def test_the_shares_are_the_whole(request):
    """FUZZ_INPUTS is the number of all inputs, if all targets are collected."""
    weights = [
        item.function.weight for item in request.session.items if hasattr(item.function, "weight")
    ]
    if (
        len(
            {item.path for item in request.session.items if item.path.parent == request.path.parent}
        )
        == 5
    ):
        assert sum(weights) == inputs.WEIGHTS


# Silent wrong numbers


def test_an_npz_member_is_read_to_its_checksum(tmp_path):
    """Half as many bytes, as <f2: zip checks its checksum at a member's end, where nobody reads."""
    path = tmp_path / "x.npz"
    values = np.random.default_rng(0).normal(size=(99, 99)).astype(np.float32)
    np.savez(path, values=values, sample_ids=np.arange(99), gene_ids=np.arange(99))
    path.write_bytes(path.read_bytes().replace(b"'<f4'", b"'<f2'"))
    refused(path, "too long|CRC")


def test_a_name_lost_from_the_first_line_does_not_shift_the_others(tmp_path):
    path = tmp_path / "x.csv"
    write_expression(replace(MATRIX, sample_labels=None), path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0].rpartition(",")[0], *lines[1:]]))
    refused(path, "12 names for 13 columns")


@pytest.mark.parametrize("ending", [".gctx", ".h5ad"])
@pytest.mark.parametrize("chunks", [None, (5, 5)])
def test_hdf5_that_was_never_written_is_no_matrix_of_zeros(tmp_path, ending, chunks):
    path, name = tmp_path / f"x{ending}", "X" if ending == ".h5ad" else "0/DATA/0/matrix"
    write_expression(MATRIX, path)
    with h5py.File(path, "a") as file:
        del file[name]
        file.create_dataset(name, MATRIX.values.shape, "f4", chunks=chunks)
        if chunks:
            file[name][:20] = 1  # some of it is
    refused(path, "not all of .* is there")


@pytest.mark.parametrize("ending", [".gctx", ".h5ad"])
@pytest.mark.parametrize("kind", ["c8", "S9"])
def test_neither_text_nor_half_a_complex_is_a_number(tmp_path, ending, kind):
    path, name = tmp_path / f"x{ending}", "X" if ending == ".h5ad" else "0/DATA/0/matrix"
    write_expression(MATRIX, path)
    with h5py.File(path, "a") as file:
        del file[name]
        file[name] = MATRIX.values.astype(kind)
    refused(path, "must be numbers|cannot be read as .h5ad")


def test_a_date_is_no_number(tmp_path):
    path = tmp_path / "x.parquet"
    write_expression(MATRIX, path)
    table = parquet.read_table(path)
    place = table.num_columns - 1
    dates = pa.array(range(table.num_rows), pa.timestamp("s"))
    parquet.write_table(table.set_column(place, table.column_names[place], dates), path)
    refused(path, "not those in its schema")


def test_parquet_written_here_tells_when_a_number_was_damaged(tmp_path):
    path = tmp_path / "x.parquet"
    matrix = ExpressionMatrix(
        np.random.default_rng(0).normal(size=(999, 2)), range(999), ["a", "b"]
    )
    write_expression(matrix, path)
    flipped(path, 0.5)
    refused(path, "CRC")


# Crashes and hunger


def test_sparse_indices_that_point_outside(tmp_path):
    """scipy's toarray writes wherever they point."""
    path = tmp_path / "x.h5ad"
    AnnData(csr_matrix(np.eye(25, dtype=np.float32))).write_h5ad(path)
    with h5py.File(path, "a") as file:
        file["X/indices"][3] = 10**9
    refused(path, "indices")


@pytest.mark.parametrize("kind", ["gctx", "h5ad", "gct", "npz"])
def test_a_small_file_that_declares_a_huge_matrix_takes_no_memory(child, here, kind):
    path = here / f"x.{kind}"
    write_expression(MATRIX, path)
    if kind == "gct":
        path.write_text(path.read_text().replace("12\t25\t", f"{10**12}\t25\t"))
    elif kind == "npz":
        with zipfile.ZipFile(path, "a") as archive:
            shape = {"descr": "<f4", "fortran_order": False, "shape": (10**9,)}
            with archive.open("sample_label:huge.npy", "w") as stream:
                np.lib.format.write_array_header_1_0(stream, shape)
    else:
        with h5py.File(path, "a") as file:
            for name in ["0/META/ROW/id", "0/DATA/0/matrix"] if kind == "gctx" else ["X"]:
                del file[name]
                shape = (10**8,) if name.endswith("id") else (25, 10**8)
                file.create_dataset(name, shape, "S1" if name.endswith("id") else "f4", chunks=True)
    child.outcome("growth", path, None, path=path)  # loads what it needs
    (megabytes, said) = child.outcome("growth", path, None, path=path)[1]
    assert megabytes < 20
    assert str(path) in said


@pytest.mark.parametrize("name", ["\ud800", "a\udfff"])
def test_half_a_surrogate_is_no_name(tmp_path, name):
    """It could be read, and nothing could be written of it."""
    ids = np.array([name, "b"])
    np.savez(tmp_path / "x.npz", values=np.zeros((2, 1)), sample_ids=ids, gene_ids=np.array(["g"]))
    refused(tmp_path / "x.npz", "surrogates")


# Good files that were refused, or got other names


def test_a_gene_called_as_the_id_column(tmp_path):
    folder = tmp_path / "cohort=1"  # no column of the table
    folder.mkdir()
    matrix = ExpressionMatrix(np.ones((2, 2)), ["a", "b"], ["sample_id", "TP53"])
    write_expression(matrix, folder / "x.parquet")
    assert read_expression(folder / "x.parquet").gene_ids.tolist() == ["sample_id", "TP53"]


def test_names_of_bytes_in_npz(tmp_path):
    names = {"sample_ids": np.array([b"a"]), "gene_ids": np.array(["é".encode()])}
    np.savez(tmp_path / "x.npz", values=np.zeros((1, 1)), **names)
    found = read_expression(tmp_path / "x.npz")
    assert (found.sample_ids.tolist(), found.gene_ids.tolist()) == (["a"], ["é"])


# Messages


def test_a_refusal_quotes_no_control_characters(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1\x0e" + bytes(20) + b"\x04\0\0\0PAR1")
    refused(tmp_path / "x.parquet", "cannot be read as .parquet")
    np.savez(tmp_path / "x.npz", **{"\x1b[31m": np.zeros(1)})
    refused(tmp_path / "x.npz", r"only '\\x1b\[31m'")


# Runs


@pytest.mark.parametrize(
    "change",
    [
        *(
            {"seed": 1.0},
            {"seed": "1"},
            {"seed": True},
            {"batch_size": None},
            {"noise_input": "no"},
            {"grid": 3},
        ),
        *(
            {"phases": 3},
            {"phases": [{}]},
            {"phases": [{"noise_factors": [0.5], "epochs": 3.0}]},
            {"beta": "x"},
        ),
        *(
            {"more": 1},
            {"beta": 10**400},
            {"model": None},
            {"model": "dense-" + "9" * 5000 + "x1"},
            {"loss": "9" * 5000},
        ),
    ],
)
def test_a_damaged_description_is_bad_input(change):
    with pytest.raises(InputError) as error:
        MemberConfig.from_dict({**member().as_dict(), **change})
    assert len(str(error.value)) < 300


def test_an_own_grid_with_epochs_that_are_no_whole_number():
    with pytest.raises(InputError, match=r"epochs is 3\.0"):
        MemberConfig("dense-2", (Phase((0.5,), 3.0),))


@pytest.mark.parametrize("spec", ["~nobody-of-that-name/x.py:mine", "x" * 300 + ".py:mine"])
def test_a_grid_whose_path_cannot_be_asked_for(spec):
    with pytest.raises(InputError, match="no file"):
        own_grid(spec, Narrowing())


def test_a_grid_that_ends_the_program(tmp_path):
    (tmp_path / "x.py").write_text("import sys\nsys.exit()")
    with pytest.raises(InputError, match="SystemExit"):
        own_grid(f"{tmp_path / 'x.py'}:mine", Narrowing())


@pytest.mark.parametrize(
    "content", ["[]", "5", "null", "[" * 10**5, '{"members": 3}', '{"member": []}']
)
def test_run_files_that_are_json_of_another_kind(tmp_path, content):
    (tmp_path / "plan.json").write_text(content)
    with pytest.raises(InputError, match=r"plan\.json: not a readable run file"):
        RunFolder(tmp_path).read_json("plan.json", members=list)


def test_arrays_without_a_checksum_are_refused(tmp_path):
    """The checksum's name may be what was damaged."""
    path = tmp_path / "x.safetensors"
    for header in ({"json": '{"member": {}}'}, {"json": "[]"}, {"facts": "{}"}):
        save_file({"a": np.zeros(2)}, path, header)
        with pytest.raises(DamagedFile):
            load_arrays(path)


@pytest.mark.parametrize("members", [3, None, [], ["a", "a"], [["a"]]])
def test_checkpoints_that_no_pack_can_have_left(tmp_path, members):
    folder = RunFolder(tmp_path)
    folder.create()
    folder.save_checkpoint("p", members, {"a": np.zeros(2)}, {})
    assert folder.checkpointed_packs() == []
    assert os.listdir(tmp_path / "checkpoints") == ["p.safetensors"]
