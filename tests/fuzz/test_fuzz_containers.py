"""npz, Parquet, GCTX and h5ad whose arrays have another type, shape, size or place, or are missing.

The rule for all: a line of refusal, or for each sample and gene the number that was written.
"""

import io
import json
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import strategies as st
from pyarrow import parquet

from tests.fuzz.corpus import BASES, assert_agrees, assert_consistent, original
from tests.fuzz.inputs import PLACES, fuzzed

pytestmark = pytest.mark.fuzz

BASE = st.integers(0, len(BASES) - 1)
TYPES = ["f2", "f8", "i8", "u1", "?", "c8", "U9", "S9", "M8[s]", "m8[D]", "O"]
WHOLE = ["f4", "f8", "U9", "S9", "c8", "O"]  # after which a number is what it was, if it is one
SHAPES = st.sampled_from(
    ["transposed", "flat", "scalar", "more axes", "one less", "one more", "empty"]
)
HUGE = [(10**12,), (10**6, 10**6), (2**62,), (0, 10**15)]
KINDS = st.sampled_from(
    ["type", "shape", "lost", "wrong", "twice", "huge", "pickle", "header", "renamed"]
)


def reshaped(array, shape):
    """The same numbers in another shape, or some of them."""
    if shape == "scalar":
        return array.reshape(-1)[0]
    if shape == "one less":
        return array[:-1]
    if shape == "one more":
        return np.concatenate([array, array[:1]])
    if shape == "empty":
        return array[:0]
    return {"transposed": array.T, "flat": array.reshape(-1), "more axes": array[None]}[shape]


def retyped(array, kind):
    """The array in another type, as far as numpy can do that."""
    try:
        with np.errstate(all="ignore"):
            return array.astype(kind)
    except (ValueError, TypeError):
        return array


class Hostile:
    """Its pickle makes a file where it is loaded."""

    def __reduce__(self):
        return open, ("executed", "w")


def npy(array):
    """The bytes of a .npy file; objects are pickled."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asanyarray(array), allow_pickle=True)
    return stream.getvalue()


def huge_npy(array, shape):
    """A .npy file that declares a huge shape and holds the array's own few numbers."""
    stream = io.BytesIO()
    array = np.asanyarray(array)
    np.lib.format.write_array_header_1_0(
        stream, {"descr": array.dtype.str, "fortran_order": False, "shape": shape}
    )
    return stream.getvalue() + array.tobytes()


@fuzzed(
    24,
    base=BASE,
    what=PLACES,
    kind=KINDS,
    dtype=st.sampled_from(TYPES),
    shape=SHAPES,
    huge=st.sampled_from(HUGE),
    old=st.sampled_from([b"<f4", b"False", b"<U", b"(", b"'descr'"]),
    new=st.sampled_from([b"<f2", b"True ", b">U", b"|O8", b">f4", b"<i4", b"|S4"]),
    other=st.sampled_from(
        ["../evil.npy", "/evil.npy", "values", "x.npy", "sample_label:../x.npy", "values.npy"]
    ),
)
def test_changed_npz(child, here, base, what, kind, dtype, shape, huge, old, new, other):
    path, matrix = here / "x.npz", BASES[base][0]
    with np.load(io.BytesIO(original(".npz", base))) as file:
        arrays = dict(file)
    name = list(arrays)[what % len(arrays)]
    changes = {
        "type": lambda array: npy(retyped(array, dtype)),
        "shape": lambda array: npy(reshaped(array, shape)),
        "wrong": lambda array: npy(
            np.full_like(array, np.nan) if array.dtype.kind == "f" else array[::-1][:1]
        ),
        "huge": lambda array: huge_npy(array, huge),
        "pickle": lambda array: npy(np.full(array.shape, Hostile(), dtype=object)),
        "header": lambda array: npy(array).replace(old, new, 1),
    }
    contents = {key: npy(array) for key, array in arrays.items()}
    contents[name] = changes.get(kind, npy)(arrays[name])
    if what % 7 == 0 and kind == "pickle":
        contents[name] = pickle.dumps(Hostile())
    with zipfile.ZipFile(path, "w") as archive:
        for key, content in contents.items():
            if kind != "lost" or key != name:
                archive.writestr(
                    other if kind == "renamed" and key == name else f"{key}.npy", content
                )
        if kind == "twice":
            archive.writestr(other, contents[name])
    before = {*here.iterdir()}
    kind_found, found = child.outcome("read", path, None, path=path)
    assert {*here.iterdir()} <= before  # nothing was executed or unpacked
    assert not any(path.exists() for path in (here.parent / "evil.npy", Path("/evil.npy")))
    if kind_found == "done":
        assert_consistent(found)
        other_numbers = kind == "header" and new in (
            b"True ",
            b">f4",
            b"<i4",
        )  # of as many bytes: as good as the first
        if not (kind == "wrong" or (kind == "type" and dtype not in WHOLE) or other_numbers):
            assert_agrees(found, matrix)


COLUMNS = {
    "string": lambda column: column.cast(pa.string()),
    "date": lambda column: pa.array([1] * len(column), pa.date32()),
    "time": lambda column: pa.array([1] * len(column), pa.timestamp("s")),
    "text": lambda column: pa.array(["1_000"] * len(column)),
    "flag": lambda column: pa.array([True] * len(column)),
    "double": lambda column: (
        column.cast(pa.float64()) if pa.types.is_floating(column.type) else column
    ),
    "decimal": lambda column: pa.array([1] * len(column)).cast(pa.decimal128(20, 1)),
    "null": lambda column: pa.nulls(len(column), column.type),
    "nothing": lambda column: pa.nulls(len(column)),
    "list": lambda column: pa.array([[1.0]] * len(column)),
    "struct": lambda column: pa.array([{"a": 1}] * len(column)),
    "bytes": lambda column: pa.array([b"\xff"] * len(column)),
    "category": lambda column: column.dictionary_encode(),
}
METADATA = [
    *(b"", b"null", b"[]", b"{}", b"5", b'{"labels": 3, "gene_labels": {}}'),
    *(b'{"labels": [], "gene_labels": {}}', b'{"labels": ["plate"], "gene_labels": {"a": [1]}}'),
    *(b'{"labels": ["sample_id"]}', b"[" * 10**5, b"\xff"),
    *(b'{"labels": ["tissue"], "gene_labels": 7}', b'{"index_columns": [{"a": 1}]}'),
]


@fuzzed(
    24,
    base=BASE,
    what=PLACES,
    kind=st.sampled_from(["type", "lost", "twice", "order", "metadata", "pandas", "plain", "rows"]),
    dtype=st.sampled_from(sorted(COLUMNS)),
    metadata=st.sampled_from(METADATA),
)
def test_changed_parquet(child, here, base, what, kind, dtype, metadata):
    path, (matrix, genes_in) = here / "x.parquet", BASES[base]
    table = parquet.ParquetFile(io.BytesIO(original(".parquet", base))).read()
    name, place = table.column_names[what % table.num_columns], what % table.num_columns
    if kind == "type":
        table = table.set_column(place, name, COLUMNS[dtype](table.column(place)))
    elif kind == "lost":
        table = table.remove_column(place)
    elif kind == "twice":
        table = table.append_column(name, table.column(place))
    elif kind == "order":
        order = np.random.default_rng(what).permutation(table.num_columns)
        table = table.select([int(i) for i in order])
    elif kind == "rows":
        table = pa.concat_tables([table, table]).slice(what % 3, what % (2 * table.num_rows + 1))
    elif kind in ("metadata", "pandas"):
        table = table.replace_schema_metadata(
            {b"dae_study" if kind == "metadata" else b"pandas": metadata}
        )
    elif kind == "plain":
        table = table.replace_schema_metadata(None)
    parquet.write_table(table, path)
    kind_found, found = child.outcome("read", path, genes_in, path=path)
    if kind_found == "done":
        assert_consistent(found)
        assert_agrees(
            found, matrix, but=lambda sample, gene: dtype in ("null", "decimal") and gene == name
        )


HDF5 = st.sampled_from(
    ["type", "shape", "lost", "huge", "link", "group", "attribute", "wrong", "unwritten", "indices"]
)
VALUES = [
    b"csr_matrix",
    b"csc_matrix",
    b"array",
    b"dataframe",
    b"dict",
    b"string",
    b"categorical",
    "x",
    0,
    -1,
    10**12,
]


def spoil(file, kind, name, dtype, shape, huge, value, what):
    """Change one thing of an HDF5 file: a dataset, or an attribute of anything."""
    item = file[name]
    if kind == "attribute":
        owners = [path for path in [*walk(file), "/"] if len(file[path].attrs)] or ["/"]
        owner = file[owners[what % len(owners)]]
        keys = sorted(owner.attrs) or ["new"]
        owner.attrs[keys[what % len(keys)]] = (
            [value, value] if keys[what % len(keys)] == "shape" else value
        )
        return
    content = item[()] if isinstance(item, h5py.Dataset) else np.zeros(3)
    del file[name]
    if kind == "huge":
        huge = huge if all(huge) else HUGE[0]
        file.create_dataset(
            name, huge, "S1" if what % 2 else "f4", chunks=tuple(min(n, 512) for n in huge)
        )
    elif kind == "unwritten":
        file.create_dataset(
            name,
            np.shape(content),
            getattr(content, "dtype", "f4"),
            chunks=True if np.size(content) else None,
        )
    elif kind == "link":
        file[name] = [h5py.SoftLink(name), h5py.SoftLink("/"), h5py.ExternalLink("none.h5", "/")][
            what % 3
        ]
    elif kind == "group":
        file.create_group(f"{name}/x")
    elif kind != "lost":
        file[name] = spoilt(kind, np.asarray(content), dtype, shape, value, what)


def spoilt(kind, content, dtype, shape, value, what):
    """An array with another type, shape or value, if the kind of damage applies to it."""
    text = content.dtype.kind in "OSU"
    if kind == "type" and not text and dtype not in ("O", "U9", "M8[s]", "m8[D]"):
        return retyped(content, dtype)
    if kind == "shape" and content.ndim:
        return reshaped(content, shape)
    if kind == "wrong" and content.dtype.kind == "f":
        return np.full_like(content, np.inf)
    if kind == "indices" and content.dtype.kind in "iu" and content.size:
        content = content.copy()
        place = np.int64(value if isinstance(value, int) else 99)
        content.reshape(-1)[what % content.size] = place.astype(content.dtype)  # 1e12 wraps
    return content


def walk(file):
    """Paths of all groups and datasets."""
    names = []
    file.visit(names.append)
    return names


@pytest.mark.parametrize("ending", [".gctx", ".h5ad"])
@fuzzed(
    24,
    "ending",
    base=BASE,
    what=PLACES,
    kind=HDF5,
    dtype=st.sampled_from(TYPES),
    shape=SHAPES,
    huge=st.sampled_from(HUGE),
    value=st.sampled_from(VALUES),
)
def test_changed_hdf5(child, here, ending, base, what, kind, dtype, shape, huge, value):
    path, matrix = here / f"x{ending}", BASES[base][0]
    path.write_bytes(original(ending, base))
    with h5py.File(path, "a") as file:
        names = [
            name
            for name in walk(file)
            if not name.startswith(("layers", "obsm", "obsp", "uns", "varm", "varp"))
        ]
        spoil(file, kind, names[what % len(names)], dtype, shape, huge, value, what)
    kind_found, found = child.outcome("read", path, None, path=path)
    assert not (here / "executed").exists()
    if kind_found == "done":
        assert_consistent(found)
        if kind not in ("wrong", "indices") and not (kind == "type" and dtype not in WHOLE):
            assert_agrees(found, matrix)


def test_the_metadata_of_these_tests_are_read():
    """Some of METADATA is JSON, so that the tests go further than its parser."""
    assert [json.loads(metadata) for metadata in METADATA[1:5]] == [None, [], {}, 5]
