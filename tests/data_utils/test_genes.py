"""Landmark genes are found by each of their names, in the table's order; missing ones are named."""

import numpy as np
import pandas as pd
import pytest

from data_utils.errors import InputError
from data_utils.expression import ExpressionMatrix
from data_utils.genes import (
    MIN_LANDMARKS,
    chromosome_order,
    landmark_table,
    match_landmarks,
    select_landmarks,
    select_others,
)

TABLE = landmark_table()


def matrix(ids, labels=None):
    values = np.tile(np.arange(len(ids), dtype=np.float32), (3, 1))
    return ExpressionMatrix(values, list("abc"), ids, None, labels)


def test_table_has_943_genes_and_is_the_callers_own():
    copy = landmark_table()
    copy.iloc[0, 0] = "changed"
    assert landmark_table().shape == (943, 5)
    assert landmark_table().iloc[0].tolist() == [
        "ENSG00000175063",
        "UBE2C",
        "202954_at",
        "20",
        "45812576",
    ]


@pytest.mark.parametrize(
    ("spelled", "kind"),
    [
        (lambda t: t["ensembl_id"], "Ensembl id"),
        (lambda t: t["ensembl_id"] + ".12", "Ensembl id"),
        (lambda t: t["gene_symbol"], "gene symbol"),
        (lambda t: t["gene_symbol"].str.lower(), "gene symbol"),
        (lambda t: t["probe_id"], "L1000 probe id"),
    ],
)
def test_each_kind_of_name_is_mapped_to_table_order(spelled, kind):
    shuffled = np.random.default_rng(0).permutation(943)
    ids = ["unknown", *spelled(TABLE).iloc[shuffled]]
    found, match = select_landmarks(matrix(ids), "f")
    assert (match.matched, match.missing, match.id_kind, match.duplicates) == (943, (), kind, 0)
    assert found.gene_ids.tolist() == TABLE["ensembl_id"].tolist()
    # The value of a gene is the place where it lay in the file.
    assert found.values[0].tolist() == (np.argsort(shuffled) + 1).tolist()
    assert found.gene_labels["gene_symbol"].tolist() == TABLE["gene_symbol"].tolist()
    assert found.gene_labels["probe_id"].tolist() == TABLE["probe_id"].tolist()


def test_missing_genes_are_named_by_symbol():
    found, match = select_landmarks(matrix(TABLE["probe_id"].drop([0, 3])), "f")
    assert found.n_genes == match.matched == 941
    assert match.missing == (TABLE["gene_symbol"][0], TABLE["gene_symbol"][3])


def test_of_two_rows_for_one_gene_the_exact_one_is_kept_else_the_first():
    ids = TABLE["ensembl_id"].tolist()
    versions = [ids[5] + ".1", ids[7] + ".1", *(i for i in ids if i != ids[7]), ids[7] + ".2"]
    found, match = select_landmarks(matrix(versions), "f")
    assert match.duplicates == 2
    assert found.values[0, 5] == versions.index(ids[5])  # the exact one, although it comes later
    assert found.values[0, 7] == 1  # none is exact: the first


def test_the_copy_of_a_gene_on_y_is_not_the_gene():
    ids = TABLE["ensembl_id"].tolist()
    assert match_landmarks([*ids, ids[0] + ".8_PAR_Y"]).duplicates == 0


def test_the_same_landmark_id_twice_is_an_error_but_other_ids_may_repeat():
    ids = TABLE["gene_symbol"].tolist()
    assert select_landmarks(matrix([*ids, "Y_RNA", "Y_RNA"]), "f")[1].matched == 943
    twice = [*ids, ids[9]]
    for labels in (
        None,
        pd.DataFrame({"probe": [*TABLE["probe_id"], "other"]}),
    ):  # unique labels do not hide it
        with pytest.raises(InputError, match=rf"^f: 1 gene id.* more than once \('{ids[9]}'"):
            select_landmarks(matrix(twice, labels), "f")


def test_a_gene_label_is_used_where_the_ids_say_nothing():
    labels = pd.DataFrame({"length": range(943), "Description": TABLE["gene_symbol"]})
    found, match = select_landmarks(matrix([f"row{i}" for i in range(943)], labels), "f")
    assert match.id_kind == "gene symbol in column Description"
    assert found.gene_ids.tolist() == TABLE["ensembl_id"].tolist()


def test_too_few_landmarks_say_how_many_matched_and_the_way_out():
    ids = [*TABLE["ensembl_id"][: MIN_LANDMARKS - 1], "x", "y"]
    with pytest.raises(InputError) as error:
        select_landmarks(matrix(ids), "file.csv")
    message = str(error.value)
    assert message.startswith("file.csv: 49 of 943 landmark genes found among 51 genes")
    assert "--all-genes" in message
    assert "\n" not in message
    assert (
        select_landmarks(matrix([*TABLE["ensembl_id"][:MIN_LANDMARKS], "x"]), "f")[1].matched == 50
    )


def test_no_ids_match_nothing():
    assert match_landmarks([]).matched == 0
    assert len(match_landmarks(["a"]).missing) == 943


def test_the_order_along_the_chromosomes():
    table = TABLE.set_index("ensembl_id")
    symbols = ["UBE2C", "made-up", "TP53", "BRCA1", "RBKS"]  # 20; nowhere; 17 at 7.7 and 43 Mb; 2
    order = chromosome_order(symbols)
    assert [symbols[i] for i in order] == ["RBKS", "TP53", "BRCA1", "UBE2C", "made-up"]
    whole = table.iloc[chromosome_order(table.index)]
    names = whole["chromosome"].drop_duplicates().tolist()
    assert names == [*map(str, range(1, 23)), "X"]
    for _, genes in whole.groupby("chromosome"):
        assert genes["start"].astype(int).is_monotonic_increasing
    assert list(chromosome_order(["b", "a"])) == [0, 1]


def test_other_genes_are_those_that_name_no_landmark_gene():
    symbols = ["MYC-A", "UBE2C", "ube2c", "other", "RBKS"]
    ids = [*symbols, *TABLE["gene_symbol"][2:60]]
    given = matrix(ids)
    _, match = select_landmarks(given, "f")
    assert match.duplicates == 1
    others = select_others(given, match)
    assert others.gene_ids.tolist() == ["MYC-A", "other"]
    assert others.values[0].tolist() == [0, 3]
    assert others.sample_ids.tolist() == list("abc")
