"""A bad file raises a one-line InputError with the file, the value and the way out."""

import gzip
import pickle
import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest

from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix
from data_utils.formats.registry import FORMATS, read_expression, write_expression
from data_utils.genes import landmark_table

GENES = landmark_table()["ensembl_id"].tolist()
PLAIN = list(FORMATS)
TEXT = [ending for ending in PLAIN if FORMATS[ending].content == "text"]
PACKED = [ending + ".gz" for ending in TEXT]


def good(samples=30, genes=40):
    values = np.random.default_rng(0).normal(8, 2, (samples, genes)).astype(np.float32)
    return ExpressionMatrix(values, [f"s{i}" for i in range(samples)], GENES[:genes])


def message(path, genes_in=None):
    with pytest.raises(InputError) as error:
        read_expression(path, genes_in)
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    assert len(text) < 600
    return text


def refusal(path):
    try:
        read_expression(path)
    except InputError as error:
        return str(error)
    return None


def written(tmp_path, content, name):
    path = tmp_path / name
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


@pytest.mark.parametrize("ending", PLAIN + PACKED)
def test_missing_directory_and_empty(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    assert "no such file" in message(path)
    path.mkdir()
    assert "is not a file" in message(path)
    path.rmdir()
    path.write_bytes(b"")
    assert "is empty" in message(path)
    if ending.endswith(".gz"):
        assert "is empty" in message(written(tmp_path, b"", path.name))


@pytest.mark.parametrize("name", ["x.xlsx", "x", "x.npz.gz", "x.gz", "x.rds.gz"])
def test_unknown_ending_lists_the_known_ones_for_reading_and_writing(tmp_path, name):
    assert "no such file" in message(tmp_path / name)
    assert ", ".join(FORMATS) in message(written(tmp_path, "a", name))
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match="is not known"):
        write_expression(good(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_writing_into_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"folder .*none does not exist"):
        write_expression(good(), tmp_path / "none" / "x.csv")


@pytest.mark.parametrize("ending", PLAIN + PACKED)
@pytest.mark.parametrize("content", ["HDF5", "zip", "Parquet", "text", "binary"])
def test_content_of_another_kind_than_the_ending_says(tmp_path, ending, content):
    source = {"HDF5": "y.gctx", "zip": "y.npz", "Parquet": "y.parquet", "text": "y.csv"}.get(
        content
    )
    if source is None:
        data = b"\x00\x01\x02" * 100
    else:
        write_expression(good(), tmp_path / source)
        data = (tmp_path / source).read_bytes()
    expected = FORMATS[ending.removesuffix(".gz")].content
    if content == expected:
        return
    text = message(written(tmp_path, data, f"x{ending}"))
    assert f"holds {content} data but its ending stands for {expected}" in text


@pytest.mark.parametrize("ending", TEXT)
def test_gzip_and_its_ending_must_go_together(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    path.write_bytes(gzip.compress(b"a"))
    assert f"holds gzip data but its ending stands for {FORMATS[ending].content}" in message(path)
    path = tmp_path / f"x{ending}.gz"
    path.write_bytes(b"a,b\n1,2\n")
    assert "holds text data but its ending stands for gzip" in message(path)


@pytest.mark.parametrize("ending", PACKED)
@pytest.mark.parametrize("share", [0.01, 0.3, 0.999])
def test_truncated_gzip(tmp_path, ending, share):
    path = tmp_path / f"x{ending}"
    write_expression(good(200, 300), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    assert "compressed data end too early" in message(path)


@pytest.mark.parametrize("ending", PLAIN + PACKED)
def test_any_cut_or_flipped_file_gives_data_or_one_line(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    write_expression(good(), path)
    data, rng = path.read_bytes(), np.random.default_rng(0)
    refusals = []
    for i in range(40):
        place = int(rng.integers(1, len(data)))
        flipped = (
            data[:place] + bytes([data[place] ^ int(rng.integers(1, 256))]) + data[place + 1 :]
        )
        path.write_bytes(data[:place] if i % 2 else flipped)
        refusals.append(refusal(path))
    assert all(
        text is None or (text.startswith(f"{path}: ") and "\n" not in text) for text in refusals
    )
    # A table cut at the end of a line, or in the middle of its very last number, is a good table.
    assert sum(text is not None for text in refusals[1::2]) >= 15


# GCT

GCT = (
    "#1.3\n2\t3\t1\t1\nid\tsymbol\ts1\ts2\ts3\n"
    "tissue\tna\ta\tb\tc\ng1\tA\t1\t2\t3\ng2\tB\t4\t5\t6\n"
)


def test_the_gct_of_these_tests_is_good(tmp_path):
    assert read_expression(written(tmp_path, GCT, "x.gct")).values.tolist() == [
        [1, 4],
        [2, 5],
        [3, 6],
    ]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("#1.3", "#1.4", "starts with '#1.4', not #1.2 or #1.3"),
        ("2\t3\t1\t1", "2\t3", r"line 2 is '2\t3', not the 4 counts of GCT 1.3"),
        ("2\t3\t1\t1", "2\tx\t1\t1", "not the 4 counts"),
        ("2\t3\t1\t1", "3\t3\t1\t1", "promises 3 gene rows, the file has 2"),
        ("2\t3\t1\t1", "1\t3\t1\t1", "promises 1 gene rows, the file has 2"),
        ("2\t3\t1\t1", "2\t4\t1\t1", "promises 4 samples, the file has 3"),
        ("2\t3\t1\t1", "2\t3\t1\t9", "promises 9 sample label rows, the file has 3"),
        ("2\t3\t1\t1", "2\t3\t2\t1", "promises 3 samples, the file has 2"),
        ("2\t3\t1\t1", "2\t3\t1\t0", "'a' at sample 's1', gene 'tissue' is not a number"),
        ("4\t5\t6", "4\t5", "line 6, 'g2', has 4 cells where 5 are expected"),
        ("4\t5\t6", "4\t5\t6\t7", "line 6, 'g2', has 6 cells where 5 are expected"),
        ("\tb\tc", "\tb", "line 4, 'tissue', has 4 cells where 5 are expected"),
        ("4\t5\t6", "4\thigh\t6", "'high' at sample 's2', gene 'g2' is not a number"),
        ("4\t5\t6", "4\t1,5\t6", "'1,5' at sample 's2', gene 'g2' is not a number"),
        ("4\t5\t6", "4\t\t6", "an empty cell at sample 's2', gene 'g2'"),
        ("4\t5\t6", "4\tNA\t6", "a missing value 'NA' at sample 's2', gene 'g2'"),
        ("g1\tA\t1\t2\t3\ng2\tB\t4\t5\t6\n", "", "promises 2 gene rows, the file has 0"),
    ],
)
def test_gct_whose_header_and_body_disagree(tmp_path, old, new, words):
    assert old in GCT
    assert words in message(written(tmp_path, GCT.replace(old, new, 1), "x.gct"))


@pytest.mark.parametrize("lines", [1, 2])
def test_gct_of_too_few_lines(tmp_path, lines):
    text = "\n".join(GCT.splitlines()[:lines])
    assert f"ends after line {lines}" in message(written(tmp_path, text, "x.gct"))


# Tables


def frame(rows=25, genes=12):
    values = np.arange(rows * genes).reshape(rows, genes) + 0.5
    return pd.DataFrame(
        values, index=[f"s{i}" for i in range(rows)], columns=GENES[:genes], dtype=object
    )


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("row", [3, 20])  # among the rows that tell text from numbers, and beyond
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("abc", "'abc' at"),
        ("1_000", "'1_000' at"),
        ("", "an empty cell at"),
        ("NA", "a missing value 'NA' at"),
    ],
)
def test_letters_and_gaps_among_the_numbers(tmp_path, transposed, row, value, words):
    data = frame()
    data.iloc[row, 4] = value
    path = tmp_path / "x.csv"
    (data.T if transposed else data).to_csv(path)
    assert f"{words} sample 's{row}', gene '{GENES[4]}'" in message(path)


def test_a_gene_or_a_sample_without_any_number(tmp_path):
    data = frame()
    data[GENES[4]] = "low"
    data.to_csv(tmp_path / "x.csv")
    assert f"'low' at sample 's0', gene '{GENES[4]}' is not a number" in message(tmp_path / "x.csv")
    data = frame().T
    data["s7"] = "low"
    data.to_csv(tmp_path / "y.tsv", sep="\t")
    assert f"'low' at sample 's7', gene '{GENES[0]}' is not a number" in message(tmp_path / "y.tsv")


def test_a_hostile_cell_stays_on_one_short_line(tmp_path):
    text = frame().to_csv().replace("3.5", '"\x1b[31m' + "x" * 500 + '"')
    found = message(written(tmp_path, text, "x.csv"))
    assert "\x1b" not in found
    assert "'\\x1b[31mxxx" in found


def test_ragged_rows(tmp_path):
    lines = frame().to_csv().splitlines()
    lines[13] = lines[13].rsplit(",", 2)[0]
    text = message(written(tmp_path, "\n".join(lines), "x.csv"))
    assert "line 14, 's12', has 11 cells where 13 are expected" in text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("id,a,b\nx,low,high\ny,low,high\n", "no column of numbers"),
        ("hello world\nthis is text\n", "holds no table: its first line is 'hello world'"),
        (f"id,{','.join(GENES[:12])}\n", "holds no table"),
        ("\n\n\n", "holds no table"),
        (frame().to_csv(index=False), f"its first column, '{GENES[0]}', holds numbers of a gene"),
        ("id,ä\n".encode("latin-1") + b"x,1\n", "is not UTF-8 text"),
        (b"id,a\n" + b"x,1\n" * 50 + b"\xff,2\n", "UTF8"),
    ],
)
def test_text_that_is_no_table(tmp_path, content, words):
    assert words in message(written(tmp_path, content, "x.csv"), "columns")


def test_parquet_without_ids(tmp_path):
    frame().astype(float).to_parquet(tmp_path / "x.parquet", index=False)
    assert f"its first column, '{GENES[0]}', holds numbers" in message(tmp_path / "x.parquet")


# Containers


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle from a file was executed",))


def test_npz_with_a_pickle_does_not_run_it(tmp_path):
    values = np.array([Bomb()], dtype=object)
    np.savez(tmp_path / "x.npz", values=values, sample_ids=["a"], gene_ids=["b"], allow_pickle=True)
    assert "allow_pickle=False" in message(tmp_path / "x.npz")
    with zipfile.ZipFile(tmp_path / "y.npz", "w") as archive:
        archive.writestr("values.npy", pickle.dumps(Bomb()))
        archive.writestr("sample_ids.npy", pickle.dumps(Bomb()))
        archive.writestr("gene_ids.npy", pickle.dumps(Bomb()))
    message(tmp_path / "y.npz")
    (tmp_path / "z.npz").write_bytes(pickle.dumps(Bomb()))
    assert "binary data" in message(tmp_path / "z.npz")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gene_ids": None}, "has no array 'gene_ids'"),
        ({"sample_ids": np.array(["a"])}, "values are (30, 40) for 1 sample_ids"),
        ({"values": np.full((30, 40), "x")}, "values are of type <U1: they must be numbers"),
        ({"values": np.zeros(3)}, "values are (3,)"),
        ({"sample_label:t": np.zeros(3)}, "cannot be read as .npz"),
    ],
)
def test_npz_of_the_wrong_arrays(tmp_path, change, words):
    write_expression(good(), tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as file:
        arrays = {**file, **change}
    np.savez(
        tmp_path / "x.npz", **{name: array for name, array in arrays.items() if array is not None}
    )
    assert words in message(tmp_path / "x.npz")


def test_hdf5_that_is_not_what_its_ending_says(tmp_path):
    write_expression(good(), tmp_path / "a.gctx")
    (tmp_path / "a.gctx").rename(tmp_path / "b.h5ad")
    assert "has no X" in message(tmp_path / "b.h5ad")
    write_expression(good(), tmp_path / "a.h5ad")
    (tmp_path / "a.h5ad").rename(tmp_path / "b.gctx")
    assert "has no 0/DATA/0/matrix" in message(tmp_path / "b.gctx")


def test_gctx_whose_ids_and_matrix_disagree(tmp_path):
    path = tmp_path / "x.gctx"
    write_expression(good(), path)
    with h5py.File(path, "a") as file:
        matrix = file["0/DATA/0/matrix"][()]
        del file["0/DATA/0/matrix"]
        file["0/DATA/0/matrix"] = matrix.T
    assert "0/DATA/0/matrix is (40, 30), its names are (30, 40)" in message(path)
