"""Drawn matrices come back whole; damaged bytes are refused or give a consistent matrix."""

import gzip
import re
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from data_utils.expression import ExpressionMatrix
from data_utils.formats.registry import write_expression
from tests.fuzz.corpus import (
    BASES,
    ENDINGS,
    ODD,
    PACKED,
    TEXT,
    assert_agrees,
    assert_consistent,
    assert_same,
    original,
)
from tests.fuzz.inputs import EDITS, damaged, fuzzed

pytestmark = pytest.mark.fuzz

CHARACTERS = st.one_of(
    st.characters(codec="utf-8", exclude_characters="\0\ufeff"), st.sampled_from("\t\r\n\"',;#/ ")
)
NAMES = st.one_of(st.sampled_from(ODD), st.text(CHARACTERS, min_size=1, max_size=6))
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def matrices(draw):
    """A few samples x genes of any finite numbers, odd names, perhaps a label."""
    values = draw(
        arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=FLOATS)
    )
    n_samples, n_genes = values.shape
    unique = {"unique_by": lambda name: re.sub(r"[\t\r\n]", " ", name)}
    samples = draw(st.lists(NAMES, min_size=n_samples, max_size=n_samples, **unique))
    genes = draw(st.lists(NAMES, min_size=n_genes, max_size=n_genes, **unique))
    words = st.lists(NAMES, min_size=n_samples, max_size=n_samples)
    texts = {name: draw(words) for name in draw(st.sampled_from([[], ["label"]]))}
    return ExpressionMatrix(values, samples, genes, pd.DataFrame(texts, index=samples))


def as_text(names):
    return [re.sub(r"[\t\r\n]", " ", name) for name in names]


@pytest.mark.parametrize("ending", ENDINGS)
@fuzzed(4, "ending", matrix=matrices())
def test_what_was_written_is_read(child, here, ending, matrix):
    path = here / f"x{ending}"
    write_expression(matrix, path)
    kind, found = child.outcome("read", path, "columns", path=path)
    assert kind == "done", found
    assert_consistent(found)
    names = as_text if ending.removesuffix(".gz") in TEXT else list
    assert_same(
        found, ExpressionMatrix(matrix.values, names(matrix.sample_ids), names(matrix.gene_ids))
    )


def read(child, here, ending, content, base):
    """What became of a file: (kind, content); checked as far as every file can be."""
    path = here / f"x{ending}"
    path.write_bytes(content)
    kind, found = child.outcome("read", path, BASES[base][1], path=path)
    if kind == "done":
        assert_consistent(found)
    return kind, found


@pytest.mark.parametrize("ending", ENDINGS)
@fuzzed(10, "ending", base=st.integers(0, len(BASES) - 1), edits=EDITS)
def test_damaged_bytes(child, here, ending, base, edits):
    kind, found = read(child, here, ending, damaged(original(ending, base), edits), base)
    if kind == "done" and ending in PACKED:  # gzip has a checksum of its content
        assert_same(found, BASES[base][0])
    if kind == "done" and ending in (".npz", ".parquet"):  # and these have one of each array
        assert_agrees(found, BASES[base][0])


@pytest.mark.parametrize("ending", PACKED)
@fuzzed(4, "ending", base=st.integers(0, len(BASES) - 1), edits=EDITS)
def test_damaged_bytes_inside_gzip(child, here, ending, base, edits):
    content = damaged(gzip.decompress(original(ending, base)), edits)
    read(child, here, ending, gzip.compress(content, 1), base)


@fuzzed(
    16,
    base=st.integers(0, len(BASES) - 1),
    edits=EDITS,
    member=st.integers(0, 9),
    stored=st.booleans(),
)
def test_damaged_arrays_inside_npz(child, here, base, edits, member, stored):
    """The zip is whole, so its checksums are right, but its arrays' headers need not be."""
    source = here / "source.npz"
    source.write_bytes(original(".npz", base))
    with zipfile.ZipFile(source) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    name = list(contents)[member % len(contents)]
    contents[name] = damaged(contents[name], edits)
    path = here / "x.npz"
    with zipfile.ZipFile(
        path, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    ) as archive:
        for key, content in contents.items():
            archive.writestr(key, content)
    kind, found = child.outcome("read", path, None, path=path)
    if kind == "done":
        assert_consistent(found)


@fuzzed(16, ending=st.sampled_from(ENDINGS), edits=EDITS, all_genes=st.booleans())
def test_a_study_of_a_damaged_file(child, here, ending, edits, all_genes):
    """`--data` refuses the file, or has finite numbers on a log scale."""
    path = here / f"x{ending}"
    path.write_bytes(damaged(original(ending, 0), edits))
    kind, values = child.outcome("dataset", path, None, all_genes, path=path)
    if kind == "done":
        assert np.isfinite(values).all()
        assert len(values) >= 20
