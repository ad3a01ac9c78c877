"""Files from a stranger, in a run folder or `--data`: reading them executes and writes nothing.

Each hostile content makes a file, the canary, when it is unpickled or its YAML tag is obeyed, as
the first test shows.
"""

import io
import json
import pickle
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
import yaml

import run_study
from data_utils.errors import InputError
from data_utils.formats.registry import read_expression
from study.evidence.evidence import load_evidence
from study.report.folder import write_report
from study.run.folder import Part, RunFolder
from tests.small import contents, member
from tests.study.runs import fake_run

CANARY = Path("/tmp") / f"canary-{id(object()):x}"
PACK, MEMBER = "a" * 12, member()


class Bomb:
    """Its pickle makes the canary where it is loaded."""

    def __reduce__(self):
        return Path.touch, (CANARY,)


def npy(array):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=True)
    return stream.getvalue()


def zipped(names, content):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return stream.getvalue()


def torch_file():
    stream = io.BytesIO()
    torch.save({"values": Bomb()}, stream)
    return stream.getvalue()


def parquet_with_extension():
    """A column of the type that pyarrow once unpickled (CVE-2023-47248)."""
    metadata = {
        "ARROW:extension:name": "arrow.py_extension_type",
        "ARROW:extension:metadata": pickle.dumps(Bomb()),
    }
    column = pa.field("member_id", pa.string(), metadata=metadata)
    stream = io.BytesIO()
    pa.parquet.write_table(pa.table({"member_id": ["a"]}, schema=pa.schema([column])), stream)
    return stream.getvalue()


def safetensors(header):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text


OBJECTS = npy(np.array([Bomb()], dtype=object))
ARRAYS = ("values.npy", "sample_ids.npy", "gene_ids.npy")
YAML = f"!!python/object/apply:os.mknod ['{CANARY}']\n"
HOSTILE = {
    "pickle": pickle.dumps(Bomb()),
    "protocol-0": pickle.dumps(Bomb(), protocol=0),
    "npy": OBJECTS,
    "npz": zipped(ARRAYS, OBJECTS),
    "pickles-in-zip": zipped((*ARRAYS, "../../evil.npy"), pickle.dumps(Bomb())),
    "torch": torch_file(),
    "parquet": parquet_with_extension(),
    "safetensors": safetensors(
        {"__metadata__": {"json": pickle.dumps(Bomb(), protocol=0).decode()}}
    ),
    "yaml": YAML.encode(),
}


@pytest.fixture(autouse=True)
def canary():
    yield
    sung = CANARY.exists()
    CANARY.unlink(missing_ok=True)
    assert not sung, "a file's content was executed"


@pytest.mark.parametrize(
    "load",
    [
        lambda: pickle.loads(HOSTILE["pickle"]),
        lambda: pickle.loads(HOSTILE["protocol-0"]),
        lambda: np.load(io.BytesIO(HOSTILE["npy"]), allow_pickle=True),
        lambda: np.load(io.BytesIO(HOSTILE["npz"]), allow_pickle=True)["values"],
        lambda: torch.load(io.BytesIO(HOSTILE["torch"]), weights_only=False),
        lambda: yaml.unsafe_load(YAML),
    ],
)
def test_the_contents_are_hostile(load):
    load()
    assert CANARY.exists()
    CANARY.unlink()


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize(
    "ending", ["npz", "h5ad", "gct", "gctx", "csv", "tsv", "csv.gz", "parquet"]
)
def test_no_data_file_is_executed(kind, ending, tmp_path):
    path = tmp_path / f"x.{ending}"
    path.write_bytes(HOSTILE[kind])
    with pytest.raises(InputError):
        read_expression(path)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with every kind of file."""
    path = fake_run(tmp_path_factory.mktemp("runs") / "run", grid="smoke", members=[MEMBER])
    folder = RunFolder(path)
    folder.create()
    folder.save_model(MEMBER, {"w": np.ones(3, dtype=np.float32)})
    folder.save_checkpoint(PACK, [MEMBER.member_id], {"w": np.ones(3)}, {"epoch": 1})
    table = pd.DataFrame({"member_id": [MEMBER.member_id]})
    folder.finish_pack(PACK, Part(table, table, table))
    folder.save_checkpoint(PACK, [MEMBER.member_id], {"w": np.ones(3)}, {"epoch": 1})
    folder.write_json("models/scaling.json", {})
    return path


def read_all(path, evidence=True):
    """All that the commands read of a run folder; `evidence`: what a report reads, too."""
    folder = RunFolder(path)
    folder.load_checkpoint(PACK)
    folder.checkpointed_packs()
    folder.part(PACK)
    folder.finished_members()
    reads = [lambda: folder.load_model(MEMBER.member_id)]
    if evidence:
        reads += [lambda name=name: folder.read_json(name) for name in ("config.json", "plan.json")]
        reads += [lambda: load_evidence([path])]
        reads += [lambda: run_study.main(["reproduce", MEMBER.member_id, "--run", str(path)])]
    for read in reads:
        with suppress(InputError):
            read()
    folder.drop_damaged()


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_file_of_a_run_folder_is_executed(kind, run, tmp_path, capsys):
    names = [str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()]
    assert {Path(name).suffix for name in names} >= {".json", ".parquet", ".safetensors", ".sha256"}
    before = contents(run)
    for name in names:
        path = run / name
        path.write_bytes(HOSTILE[kind])
        read_all(run, evidence="/" not in name)
        for other, content in before.items():  # the readers may drop what is damaged
            if content is not None:
                (run / other).write_bytes(content)
    assert set(contents(run)) - set(before) <= {".lock"}
    assert "Traceback" not in capsys.readouterr().err


OUT = "../../../../evil"


@pytest.mark.slow
def test_names_that_lead_out_of_the_folder_write_nothing_outside_it(tmp_path):
    """Genes, labels, references and facts of a whole run, all with a path for a name."""
    path = fake_run(tmp_path / "a" / "b" / "run", grid="smoke", seeds=1)
    for name in ("genes", "labels", "references", "members", "metrics"):
        table = pd.read_parquet(path / f"{name}.parquet")
        for column in ("gene_id", "label", "value", "grid", "error"):
            if column in table and table[column].dtype.kind not in "fiu":
                table[column] = [f"{OUT}{i % 3}" for i in range(len(table))]
        if name == "references":
            table["choice"] = OUT
        table.to_parquet(path / f"{name}.parquet", index=False)
    config = json.loads((path / "config.json").read_text())
    config |= {"grid": OUT, "command": OUT, "device": OUT}
    config["data"] |= {"source": OUT, "transform": OUT}
    (path / "config.json").write_text(json.dumps(config))
    before = set(contents(tmp_path))
    page = write_report([path], tmp_path / "a" / "b" / "report")
    assert "evil" in page.read_text("utf-8")
    new = {Path(name) for name in set(contents(tmp_path)) - before}
    assert new
    assert all(name.parts[:3] == ("a", "b", "report") for name in new)


@pytest.mark.parametrize("change", ["model", "phases", "grid", "protocol"])
def test_a_plan_whose_network_is_a_path_is_refused_or_only_a_name(change, run, tmp_path):
    described = {**MEMBER.as_dict(), change: OUT}
    before = contents(run)
    (run / "plan.json").write_text(json.dumps({"members": [described]}))
    read_all(run)
    (run / "plan.json").write_bytes(before["plan.json"])
    assert set(contents(run)) - set(before) <= {".lock"}


def test_member_ids_that_are_paths_name_no_file_elsewhere(tmp_path):
    """What a part or a checkpoint says of its members is looked for, and never written."""
    folder = RunFolder(tmp_path / "a" / "run")
    folder.create()
    (tmp_path / "evil0.safetensors").write_bytes(b"not ours")
    table = pd.DataFrame({"member_id": ["../../../evil0"]})
    folder.finish_pack(PACK, Part(table, table, table))
    folder.save_checkpoint(PACK, ["../../../evil0"], {"w": np.ones(3)}, {"epoch": 1})
    folder.drop_damaged()
    assert folder.checkpointed_packs() in ([], [["../../../evil0"]])
    assert (tmp_path / "evil0.safetensors").read_bytes() == b"not ours"
    assert {path.name for path in tmp_path.iterdir()} == {"a", "evil0.safetensors"}
