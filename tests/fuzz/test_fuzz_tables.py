"""Text tables whose lines, columns, cells and counts are moved, lost, doubled or replaced.

No number is touched unless a cell is replaced, so each value that is read must be that of its
sample and gene.
"""

import gzip
import re

import pytest
from hypothesis import strategies as st

from tests.fuzz.corpus import BASES, TEXT, assert_agrees, assert_consistent, original
from tests.fuzz.inputs import PLACES, fuzzed

pytestmark = pytest.mark.fuzz

JUNK = [
    "",
    "NA",
    "abc",
    "1,5",
    "0x10",
    "1_000",
    "١٢",
    "inf",
    "-inf",
    "nan",
    "1e999",
    '"',
    '""',
    "1\r2",
    "\0",
    "TRUE",
    "1 2",
]
COUNTS = ["0", "1", "7", "1000000000000", "9" * 30, "9" * 5000, "-1", "1.0", "x", "", "²", "٣"]
LINES = ["swap", "drop", "double", "blank"]
COLUMNS = ["swap column", "drop column", "double column"]
CELLS = ["junk", "lose", "add", "lose name"]
CHANGES = st.lists(
    st.tuples(st.sampled_from(LINES + COLUMNS + CELLS), PLACES, PLACES), min_size=1, max_size=3
)


def change_line(rows, kind, one, other):
    """Lines swapped, lost, doubled or added, the first ones of a GCT too."""
    if kind == "swap":
        rows[one], rows[other] = rows[other], rows[one]
    elif kind == "drop":
        del rows[one]
    elif kind == "double":
        rows.insert(other, list(rows[one]))
    else:
        rows.insert(one, [""])


def change_column(rows, kind, one, other):
    """The same in all lines that have these columns."""
    for row in rows:
        if max(one, other) < len(row):
            if kind == "swap column":
                row[one], row[other] = row[other], row[one]
            elif kind == "drop column":
                del row[one]
            else:
                row.insert(other, row[one])


def change_cell(rows, kind, one, other, junk):
    """One cell of one line replaced, lost or put in."""
    row = rows[one]
    if kind == "junk":
        row[other % len(row)] = junk
    elif kind == "lose":
        del row[other % len(row)]
    elif kind == "add":
        row.insert(other % len(row), junk)


def changed(text, delimiter, quoted, header, changes, junk):
    """The text after all changes; "junk" replaces no name, which would rename good numbers."""
    cell = re.compile(
        rf'(?:^|{delimiter})("(?:[^"]|"")*"|[^{delimiter}]*)'
        if quoted
        else rf"(?:^|{delimiter})([^{delimiter}]*)"
    )
    rows = [cell.findall(line) for line in text.removesuffix("\n").split("\n")]
    spoilt = False
    for kind, one, other in sorted(
        changes, key=lambda change: change[0] == "lose name"
    ):  # that one last
        if len(rows) <= header or not all(rows):
            break
        if kind in LINES:
            change_line(rows, kind, one % len(rows), other % len(rows))
        elif kind in COLUMNS:
            width = len(rows[header])
            change_column(rows, kind, one % width, other % width)
        elif kind == "lose name":
            del rows[header][other % len(rows[header])]
        else:
            place = header + 1 + one % max(1, len(rows) - header - 1)
            if place < len(rows):
                change_cell(rows, kind, place, other, junk)
                spoilt = True
    return "\n".join(delimiter.join(row) for row in rows) + "\n", spoilt


@pytest.mark.parametrize("ending", [*TEXT, ".csv.gz"])
@fuzzed(
    10,
    "ending",
    base=st.integers(0, len(BASES) - 1),
    changes=CHANGES,
    junk=st.sampled_from(JUNK),
    counts=st.none() | st.tuples(st.integers(0, 3), st.sampled_from(COUNTS)),
)
def test_changed_tables(child, here, ending, base, changes, junk, counts):
    matrix, genes_in = BASES[base]
    content = original(ending, base)
    text = (gzip.decompress(content) if ending.endswith(".gz") else content).decode()
    delimiter, header = ("," if ".csv" in ending else "\t"), (2 if ending == ".gct" else 0)
    text, spoilt = changed(text, delimiter, ending != ".gct", header, changes, junk)
    if ending == ".gct" and counts is not None:
        lines = text.split("\n")
        numbers = lines[min(1, len(lines) - 1)].split("\t")
        numbers[counts[0] % len(numbers)] = counts[1]
        lines[min(1, len(lines) - 1)] = "\t".join(numbers)
        text = "\n".join(lines)
    path = here / f"x{ending}"
    path.write_bytes(gzip.compress(text.encode(), 1) if ending.endswith(".gz") else text.encode())
    kind, found = child.outcome("read", path, genes_in, path=path)
    if kind == "done":
        assert_consistent(found)
        if not spoilt:
            assert_agrees(found, matrix)
