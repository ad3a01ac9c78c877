"""GCT of which only some genes are read, with one line in memory at a time."""

import gzip

import numpy as np
import pytest

from data_utils.errors import InputError
from data_utils.formats.gct import read_gct
from data_utils.genes import is_landmark
from tests import gtex


@pytest.mark.parametrize("ending", [".gct", ".gct.gz"])
def test_the_selected_genes_are_those_of_the_file(ending, tmp_path):
    path = tmp_path / f"x{ending}"
    path.write_bytes(gzip.compress(gtex.gct()) if ending.endswith("gz") else gtex.gct())
    whole, some = read_gct(path), read_gct(path, is_landmark)
    expected = np.sort(gtex.values().astype(np.float32), axis=0)  # its genes lie in another order
    np.testing.assert_array_equal(np.sort(whole.values.T, axis=0), expected)
    kept = [i for i, name in enumerate(whole.gene_ids) if is_landmark(name)]
    assert len(kept) == gtex.N_LANDMARKS < whole.n_genes
    assert some.content_hash() == whole.select(genes=kept).content_hash()
    assert some.gene_labels.equals(whole.gene_labels.iloc[kept])
    assert some.sample_labels.equals(whole.sample_labels)
    assert read_gct(path, lambda name: False).values.shape == (len(gtex.sample_ids()), 0)


def test_numbers_are_rounded_once_to_float32(tmp_path):
    cells = ["+5", " 7", "7 ", "1.", ".5", "-0", "1e-50", "1E3", "16777217", "3.4e38"]
    cells.append("0.100000001490116119384765625")
    path = tmp_path / "x.gct"
    names, numbers = "\t".join(f"s{i}" for i in range(len(cells))), "\t".join(cells)
    path.write_text(f"#1.2\n1\t{len(cells)}\nName\tDescription\t{names}\ng\td\t{numbers}\n")
    expected = np.array([[float(cell)] for cell in cells]).astype(np.float32)
    np.testing.assert_array_equal(read_gct(path).values, expected)


def test_labels_of_1_3_stay_with_the_selected_genes(tmp_path):
    path = tmp_path / "x.gct"
    path.write_text(
        "#1.3\n2\t3\t1\t1\nid\tsym\ta\tb\tc\ntissue\tna\tx\ty\tz\n"
        "g1\tA\t1\t2.5\t1e-3\ng2\tB\t4\t5\t0.1\n"
    )
    got = read_gct(path, "g2".__eq__)
    assert got.values.tolist() == np.float32([[4], [5], [0.1]]).tolist()
    assert got.sample_labels["tissue"].tolist() == ["x", "y", "z"]
    assert got.gene_labels["sym"].tolist() == ["B"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((b"\tg2\t", b"\tg2\tx"), "'x5' at sample 'b', gene 'r2' is not a number"),
        ((b"\tg2\t5", b"\tg2\tNA"), "a missing value 'NA' at sample 'b', gene 'r2'"),
        ((b"r1\tg1\t1\t", b"r1\tg1\t"), "line 4, 'r1', has 4 cells where 5 are"),
        ((b"\n2\t3\n", b"\n3\t3\n"), "promises 3 gene rows, the file has 2"),
        ((b"r2", b"r\xff"), "is not UTF-8"),
        ((b"#1.2", b"#1.9"), "not #1.2 or #1.3"),
    ],
)
def test_faults_are_named_though_only_some_genes_are_read(change, words, tmp_path):
    path = tmp_path / "x.gct"
    good = b"#1.2\n2\t3\nName\tDescription\tb\tc\td\nr1\tg1\t1\t2\t3\nr2\tg2\t5\t6\t7\n"
    assert change[0] in good
    path.write_bytes(good.replace(*change))
    with pytest.raises(InputError) as error:
        read_gct(path, lambda name: name != "r1")
    assert str(error.value).startswith(f"{path}: ")
    assert words in str(error.value)
