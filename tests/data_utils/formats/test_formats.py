"""Every format gives back what was written, to the bit; tables are read both ways round."""

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pyarrow import parquet

from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix
from data_utils.formats.registry import FORMATS, TABLE, read_expression, write_expression
from data_utils.genes import landmark_table

ENDINGS = [*FORMATS, ".gct.gz", ".csv.gz", ".txt.gz"]
CARRY_GENE_LABELS = [ending for ending, its in FORMATS.items() if its is not TABLE]
KEEP_NUMBERS = [e for e, its in FORMATS.items() if its.content != "text"]  # else labels are text
REAL = Path(__file__).resolve().parents[4] / "shared" / "data"
GENES = landmark_table()["ensembl_id"].tolist()
SYMBOLS = landmark_table()["gene_symbol"].tolist()


def real(name):
    path = REAL / name
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    return path


def matrix(values=None, samples=5, genes=12):
    if values is None:
        values = np.random.default_rng(0).lognormal(2, 2, (samples, genes)).astype(np.float32)
    samples, genes = values.shape
    return ExpressionMatrix(
        values,
        [f"sample {i}" for i in range(samples)],
        GENES[:genes],
        pd.DataFrame({"tissue": [f"t, {i % 2}" for i in range(samples)], "plate": range(samples)}),
        pd.DataFrame({"gene_symbol": SYMBOLS[:genes], "note": ['5" end', "NA", ""] * (genes // 3)}),
    )


def assert_same(got, expected, numbers=True, gene_labels=True):
    np.testing.assert_array_equal(
        got.values.view(np.uint32), expected.values.view(np.uint32)
    )  # NaN and -0 too
    assert got.sample_ids.tolist() == expected.sample_ids.tolist()
    assert got.gene_ids.tolist() == expected.gene_ids.tolist()
    frames = [(got.sample_labels, expected.sample_labels)]
    frames += [(got.gene_labels, expected.gene_labels)] if gene_labels else []
    for mine, theirs in frames:
        pd.testing.assert_frame_equal(
            mine, theirs if numbers else theirs.astype(str), check_like=True
        )


@pytest.mark.parametrize("ending", ENDINGS)
def test_round_trip(tmp_path, ending):
    m, path = matrix(), tmp_path / f"x{ending}"
    write_expression(m, path)
    got = read_expression(path)
    assert_same(
        got, m, ending in KEEP_NUMBERS, gene_labels=any(e in ending for e in CARRY_GENE_LABELS)
    )
    assert got.values.flags.c_contiguous
    assert [file.name for file in tmp_path.iterdir()] == [path.name]  # no temporary file is left


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)


@pytest.mark.parametrize("ending", FORMATS)
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    values=arrays(np.float32, (4, 3), elements=FLOATS),
    names=st.lists(WORDS, min_size=7, max_size=7, unique=True),
    labels=st.lists(WORDS, min_size=4, max_size=4),
)
def test_any_numbers_and_names_survive(tmp_path, ending, values, names, labels):
    m = ExpressionMatrix(values, names[:4], names[4:], pd.DataFrame({"label": labels}))
    path = tmp_path / f"x{ending}"
    write_expression(m, path)
    assert_same(read_expression(path, genes_in="columns"), m, gene_labels=False)


@pytest.mark.parametrize("ending", ENDINGS)
def test_nan_and_infinity_are_read_for_the_check_to_name(tmp_path, ending):
    values = np.ones((3, 12), dtype=np.float32)
    values[0, 1], values[1, 2], values[2, 3] = np.nan, np.inf, -np.inf
    write_expression(matrix(values), tmp_path / f"x{ending}")
    np.testing.assert_array_equal(read_expression(tmp_path / f"x{ending}").values, values)


def test_equal_data_give_equal_gzip_bytes(tmp_path):
    for name in ("a.gct.gz", "b.gct.gz"):
        write_expression(matrix(), tmp_path / name)
    assert (tmp_path / "a.gct.gz").read_bytes() == (tmp_path / "b.gct.gz").read_bytes()


@pytest.mark.parametrize("ending", FORMATS)
def test_a_writer_that_fails_leaves_the_old_file_alone(tmp_path, ending, monkeypatch):
    path = tmp_path / f"x{ending}"
    path.write_text("old")

    def refuse(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_expression(matrix(), path)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_gct_12(tmp_path):
    path = tmp_path / "x.gct"
    path.write_text(
        "#1.2\t\t\r\n2\t3\t\t\r\n"  # padded as Excel saves it
        "Name\tDescription\ts1\ts2\ts3\nE1\tA\t1\t2\t3\nE2\tB\t4\t5\t6\n"
    )
    got = read_expression(path)
    assert got.values.tolist() == [[1, 4], [2, 5], [3, 6]]
    assert got.gene_labels["Description"].tolist() == ["A", "B"]


def test_gct_gene_called_na_and_quotes_in_text(tmp_path):
    path = tmp_path / "x.gct"
    path.write_text(
        '#1.2\n3\t2\nName\tDescription\ts1\ts2\nNA\t5" end\t1\t2\nNAN\t"\t3\t4\nnull\t\t5\t6\n'
    )
    got = read_expression(path)
    assert got.gene_ids.tolist() == ["NA", "NAN", "null"]
    assert got.gene_labels["Description"].tolist() == ['5" end', '"', ""]
    assert got.values.tolist() == [[1, 3, 5], [2, 4, 6]]


def test_gct_of_gtex_by_tissue_has_a_running_number_first(tmp_path):
    path = tmp_path / "x.gct"
    path.write_text(
        "#1.2\n2\t2\nid\tName\tDescription\ts1\ts2\n0\tE1.4\tA\t1\t2\n1\tE2.1\tB\t3\t4\n"
    )
    got = read_expression(path)
    assert got.values.tolist() == [[1, 3], [2, 4]]
    assert got.gene_labels["Name"].tolist() == ["E1.4", "E2.1"]


# Tables: which way round, and which columns are labels


def table(tmp_path, text, name="x.csv"):
    path = tmp_path / name
    (gzip.open if name.endswith(".gz") else open)(path, "wt").write(text)
    return path


def frame(rows=6):
    values = np.arange(rows * 12, dtype=np.float32).reshape(rows, 12) + 0.5
    return pd.DataFrame(values, index=[f"s{i}" for i in range(rows)], columns=GENES[:12])


@pytest.mark.parametrize("names", ["ensembl_id", "gene_symbol", "probe_id"])
@pytest.mark.parametrize("ending", [".csv", ".tsv", ".txt", ".parquet"])
def test_orientation_is_found_from_the_landmark_names(tmp_path, names, ending):
    samples_in_rows = frame().set_axis(landmark_table()[names][:12].tolist(), axis=1)
    for i, data in enumerate((samples_in_rows, samples_in_rows.T)):
        path = tmp_path / f"{i}{ending}"
        data.to_parquet(path) if ending == ".parquet" else data.to_csv(
            path, sep="\t" if ending == ".tsv" else ","
        )
        got = read_expression(path)
        assert got.gene_ids.tolist() == samples_in_rows.columns.tolist()
        assert got.sample_ids.tolist() == samples_in_rows.index.tolist()
        np.testing.assert_array_equal(got.values, samples_in_rows.to_numpy())


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_ambiguous_orientation_asks_and_genes_in_answers(tmp_path, ending):
    unknown = frame().set_axis([f"gene{i}" for i in range(12)], axis=1)
    both = frame(12).set_axis(GENES[12:24], axis=0)
    for data in (unknown, both):
        path = tmp_path / f"x{ending}"
        data.to_parquet(path) if ending == ".parquet" else data.to_csv(path)
        with pytest.raises(
            InputError, match=r"x\.\w+: cannot tell .*--genes-in rows or --genes-in columns"
        ):
            read_expression(path)
        np.testing.assert_array_equal(read_expression(path, "columns").values, data.to_numpy())
        np.testing.assert_array_equal(read_expression(path, "rows").values, data.to_numpy().T)
    with pytest.raises(InputError, match="--genes-in up: give rows or columns"):
        read_expression(path, "up")


def test_text_columns_beside_the_genes_are_sample_labels(tmp_path):
    data = frame()
    data.insert(0, "tissue", list("abcabc"))
    data.insert(5, "comment", ["", "", "", "", "", "late"])
    data["age"] = range(40, 46)  # a number among Ensembl genes is no gene
    data.to_csv(tmp_path / "x.csv")
    got = read_expression(tmp_path / "x.csv")
    assert got.gene_ids.tolist() == GENES[:12]
    assert got.sample_labels.columns.tolist() == ["tissue", "comment", "age"]
    assert got.sample_labels["comment"].tolist() == ["", "", "", "", "", "late"]
    assert got.sample_labels["age"].tolist() == ["40", "41", "42", "43", "44", "45"]


def test_leading_text_columns_are_gene_labels(tmp_path):
    data = frame().T
    data.insert(0, "Description", SYMBOLS[:12])
    data.to_csv(tmp_path / "x.tsv", sep="\t")
    got = read_expression(tmp_path / "x.tsv")
    assert got.gene_labels["Description"].tolist() == SYMBOLS[:12]
    assert got.values.shape == (6, 12)


def test_genes_are_recognised_in_a_label_column(tmp_path):
    data = frame().T.reset_index(names="gene_id")  # written with pandas' running number in front
    data.to_csv(tmp_path / "x.csv")
    got = read_expression(tmp_path / "x.csv")
    assert got.values.shape == (6, 12)
    assert got.gene_labels["gene_id"].tolist() == GENES[:12]


def test_table_of_r_has_one_name_less_in_its_first_line_and_may_quote_all(tmp_path):
    lines = frame().to_csv(sep="\t", quoting=2).splitlines()
    short = "\n".join([lines[0].removeprefix('""\t'), *lines[1:]])
    np.testing.assert_array_equal(
        read_expression(table(tmp_path, short, "x.txt")).values, frame().to_numpy()
    )
    every = frame().to_csv(quoting=1)
    np.testing.assert_array_equal(
        read_expression(table(tmp_path, every)).values, frame().to_numpy()
    )


@pytest.mark.parametrize(("mark", "name"), [(";", "x.csv"), (",", "x.txt"), ("\t", "x.csv.gz")])
def test_the_delimiter_is_what_the_first_line_holds(tmp_path, mark, name):
    path = table(tmp_path, "\ufeff" + frame().to_csv(sep=mark), name)
    np.testing.assert_array_equal(read_expression(path).values, frame().to_numpy())


def test_sparse_h5ad_and_categories(tmp_path):
    from anndata import AnnData
    from scipy.sparse import csr_matrix

    m = matrix(np.eye(5, 12, dtype=np.float32))
    obs = m.sample_labels.assign(tissue=m.sample_labels["tissue"].astype("category"))
    AnnData(csr_matrix(m.values), obs=obs, var=m.gene_labels).write_h5ad(tmp_path / "x.h5ad")
    assert_same(read_expression(tmp_path / "x.h5ad"), m)


def test_parquet_of_others_takes_types_from_its_schema(tmp_path):
    data = pa.table(
        {"id": ["a", "b"], "plate": ["1", "2"], **{g: pa.array([1, None]) for g in GENES[:12]}}
    )
    parquet.write_table(data, tmp_path / "x.parquet")
    got = read_expression(tmp_path / "x.parquet")
    assert got.sample_labels["plate"].tolist() == ["1", "2"]
    assert np.isnan(got.values[1]).all()
    assert (got.values[0] == 1).all()


# Real files


def test_real_gct():
    got = read_expression(real("l1000_a375_qnorm_n1119x943.gct.gz"))
    assert got.values.shape == (1119, 943)
    assert got.gene_ids[:2].tolist() == ["ENSG00000175063", "ENSG00000171174"]
    assert got.sample_ids[0] == "LJP009_A375_24H_X1_B20:A03"
    assert got.values[0, :2].tolist() == np.float32([7.8316, 7.4440]).tolist()
    assert got.sample_labels.columns.tolist() == ["plate", "pert", "pert_type"]
    assert got.sample_labels["pert"][:3].tolist() == ["vorinostat", "tanespimycin", "DMSO"]
    assert got.gene_labels.loc["ENSG00000175063"].tolist() == ["UBE2C", "202954_at"]


def test_real_gctx():
    path = real("l1000_cpc006_qnorm_n371x978.gctx")
    got = read_expression(path)
    assert got.values.shape == (371, 978)
    assert got.gene_ids[:2].tolist() == ["200814_at", "218597_s_at"]
    assert got.sample_ids[0] == "CPC006_A375_6H_X1:A03"
    assert got.gene_labels["pr_gene_symbol"][:2].tolist() == ["PSME1", "CISD1"]
    assert got.sample_labels["exp_pert_dose"].iloc[0] == 10.0
    # Genes differ more than samples do: the axes are the right way round.
    assert got.values.mean(axis=0).std() > 5 * got.values.mean(axis=1).std()


def test_real_gtex_counts():
    got = read_expression(real("gtex_v6_brain_counts_n40x924.tsv.gz"))
    assert got.values.shape == (40, 924)
    assert got.sample_labels["class"].value_counts().to_dict() == {"ACC": 20, "FC": 20}
    assert got.gene_ids[0] == "ENSG00000122140"
    assert (got.values[0, 0], got.values.max()) == (1662, 311775)
