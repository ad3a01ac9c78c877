"""What a study reads of its own: network descriptions, a user's grid, a damaged run folder."""

import json
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pandas as pd
import pytest
from hypothesis import strategies as st

from models.config import MemberConfig, Phase, Protocol
from study.run.folder import Part, RunFolder
from study.run.rows import SAMPLE_COLUMNS, typed_table
from tests.fuzz.inputs import EDITS, PLACES, damaged, fuzzed
from tests.small import member
from tests.study.runs import fake_run

pytestmark = pytest.mark.fuzz

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(
        [
            "dense-2",
            "conv",
            "dense-64x16x64",
            f"dense-{'9' * 300}x1",
            "sigmoid",
            "relu",
            "bce",
            10**400,
            "0",
        ]
    ),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
FIELDS = st.sampled_from([*MemberConfig.__dataclass_fields__, "more"])
GOOD = [
    member().as_dict(),
    MemberConfig("conv", (Phase((0.1, 0.5), 2), Phase((0.0,), 1)), seed=3, grid="mine").as_dict(),
    MemberConfig(
        "dense-64x16x64",
        (Phase((0.5,), 9),),
        beta=0.01,
        protocol=Protocol("a", ("b",)),
        noise_input=True,
    ).as_dict(),
]


@fuzzed(40, content=JSON | st.fixed_dictionaries({"model": SCALARS, "phases": JSON}))
def test_any_description(child, content):
    kind, found = child.outcome("config", content, path="")
    if kind == "done":
        assert found[0] == found[1]


@fuzzed(
    40,
    which=st.integers(0, len(GOOD) - 1),
    changes=st.lists(
        st.tuples(FIELDS, st.one_of(SCALARS, JSON, st.just("drop"))), min_size=1, max_size=3
    ),
    phase=st.none() | st.tuples(st.sampled_from(["noise_factors", "epochs", "more"]), JSON),
)
def test_a_changed_description(child, which, changes, phase):
    content = json.loads(json.dumps(GOOD[which]))
    if phase is not None:
        content["phases"][0][phase[0]] = phase[1]
    for name, value in changes:
        if value == "drop":
            content.pop(name, None)
        else:
            content[name] = value
    kind, found = child.outcome("config", content, path="")
    if kind == "done":
        assert found[0] == found[1]


OWN = '''"""A grid of one's own."""
from models.config import MemberConfig, Phase

def mine(narrowing):
    seeds = range(narrowing.seeds or 3)
    return [MemberConfig("dense-64x16x64", (Phase((0.5,), 100),), seed) for seed in seeds]
'''
RAISING = [
    *("sys.exit()", "sys.exit('a\\nb')", "1 / 0", "return 5", "return [5]", "return None"),
    "return mine(narrowing)",
    "return [MemberConfig('dense-2', (Phase((0.5,), 3.0),))]",
    "return [MemberConfig('x', 7)]",
]
SPECS = [
    "{}:mine",
    "{}:other",
    "{}:",
    "{}",
    "{}:__doc__",
    "~nobody/x.py:mine",
    ":mine",
    "x" * 300 + ".py:mine",
    "/:mine",
]


@fuzzed(
    10,
    edits=st.none() | EDITS,
    raising=st.none() | st.sampled_from(RAISING),
    spec=st.sampled_from(SPECS),
)
def test_an_own_grid(child, here, edits, raising, spec):
    """Its bytes are damaged: a file that still does something defines the function and no more."""
    path = here / "mine.py"
    text = (
        OWN
        if raising is None
        else OWN.replace("    return", f"    import sys\n    {raising}\n    return")
    )
    content = text.encode()
    if edits is not None:  # only the first lines, so that no damage makes an endless loop
        head, tail = content.split(b"\n\n", 1)
        content = damaged(head, edits) + b"\n\n" + tail
    path.write_bytes(content)
    child.outcome("grid", spec.format(path), path="--grid")


# A run folder

PACK, PLANNED = "a" * 12, [member(noise=noise) for noise in (0.1, 0.5)]
FILES = [
    "config.json",
    "plan.json",
    f"parts/{PACK}.sha256",
    f"parts/{PACK}.members.parquet",
    f"parts/{PACK}.metrics.parquet",
    f"models/{PLANNED[0].member_id}.safetensors",
    f"checkpoints/{PACK}.safetensors",
]
FACTS = {"epoch": 2, "diverged_epoch": [None, 3], "records": [{"values": [0.5]}]}
DEEP = b"[" * 10**5
JSONS = [
    b"",
    b"null",
    b"[]",
    b"5",
    b"{}",
    b'{"members": 3}',
    b'{"members": "ab"}',
    b'"\\ud800"',
    b"\xff",
    DEEP,
    b'{"a":' * 10**5,
]


@cache
def whole_run():
    """A run folder with a part, a network and a checkpoint, and its tables."""
    path = fake_run(Path(mkdtemp()) / "run", members=PLANNED)
    folder = RunFolder(path)
    folder.create()
    members, metrics = (
        pd.read_parquet(path / f"{name}.parquet") for name in ("members", "metrics")
    )
    folder.finish_pack(PACK, Part(members, metrics, typed_table([], SAMPLE_COLUMNS)))
    arrays = {"layer0.weight": np.arange(6.0).reshape(2, 3), "layer0.bias": np.float32([0.5, -1])}
    folder.save_model(PLANNED[0], arrays)
    folder.save_checkpoint(PACK, [m.member_id for m in PLANNED], arrays, FACTS)
    return path, arrays, members, metrics


def copied(here, name, edits, text):
    """A copy of the run in which one file is damaged, or holds a text of its own."""
    path = here / "run"
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(whole_run()[0], path)
    content = (path / name).read_bytes()
    (path / name).write_bytes(damaged(content, edits) if text is None else text)
    return path


def assert_arrays(found, expected):
    assert {name: array.tolist() for name, array in found.items()} == {
        n: a.tolist() for n, a in expected.items()
    }
    assert [array.dtype for array in found.values()] == [expected[name].dtype for name in found]


@fuzzed(
    48,
    name=st.sampled_from(FILES),
    edits=EDITS,
    text=st.none() | st.none() | st.sampled_from(JSONS),
)
def test_a_damaged_run_folder(child, here, name, edits, text):
    """What is read is what was written, or is not there; nothing else is raised."""
    path = copied(here, name, edits, text)
    kind, found = child.outcome("loaded", path, PACK, PLANNED[0].member_id, path=path)
    assert kind == "done", found
    _, arrays, members, metrics = whole_run()
    if found["checkpoint"] is not None:
        assert_arrays(found["checkpoint"][0], arrays)
        assert found["checkpoint"][1] == FACTS
    if found["model"] is not None:
        assert found["model"][0] == json.loads(json.dumps(PLANNED[0].as_dict()))
        assert_arrays(found["model"][1], arrays)
    if found["part"] is not None:
        pd.testing.assert_frame_equal(found["part"][0], members)
        pd.testing.assert_frame_equal(found["part"][1], metrics)
    for names in (found["finished"], found["left"]):
        assert set(names) <= {m.member_id for m in PLANNED}
    assert all(isinstance(pack, list) for pack in found["packs"])
    assert all(type(found[name]) in (dict, type(None)) for name in ("config.json", "plan.json"))
    assert found["said"] or found["finished"] == found["left"]


def assert_bad_input(child, *words):
    """The command line ends with status 2 and one line."""
    kind, found = child.run("command", list(words))
    assert kind == "done", found
    status, said = found
    assert status == 2
    assert said.startswith("error: ")
    assert said.count("\n") == 1


TABLES = ["members", "metrics", "references", "genes", "labels"]


@fuzzed(
    24,
    name=st.sampled_from(["config.json", *(f"{name}.parquet" for name in TABLES)]),
    edits=EDITS,
    text=st.none() | st.none() | st.sampled_from(JSONS),
)
def test_a_report_of_a_damaged_run(child, here, name, edits, text):
    path = copied(here, name, edits, text)
    kind, _ = child.outcome("evidence", path, path=path)
    if kind == "refused":
        assert_bad_input(child, "report", str(path))


@fuzzed(8, edits=EDITS, text=st.none() | st.sampled_from(JSONS), place=PLACES)
def test_reproducing_from_a_damaged_plan(child, here, edits, text, place):
    """`reproduce` of an id that no plan has: it reads the plan, and trains nothing."""
    path = copied(here, "plan.json", edits, text)
    assert_bad_input(child, "reproduce", f"none{place}", "--run", str(path))
