"""ro-crate-metadata.json against what RO-Crate 1.1 asks for."""

import json
from urllib.parse import unquote

import pytest

from study.report import crate
from study.report.folder import write_report
from tests.study.runs import fake_run


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    run = fake_run(folder / "a run", "smoke")
    return write_report([run], run / "report").parent


@pytest.fixture(scope="module")
def metadata(report):
    return json.loads((report / "ro-crate-metadata.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def entities(metadata):
    return {entity["@id"]: entity for entity in metadata["@graph"]}


def test_the_descriptor_and_the_root(metadata, entities):
    assert metadata["@context"] == "https://w3id.org/ro/crate/1.1/context"
    assert len(entities) == len(metadata["@graph"])  # each @id once
    assert entities["ro-crate-metadata.json"] == {
        "@id": "ro-crate-metadata.json",
        "@type": "CreativeWork",
        "conformsTo": {"@id": "https://w3id.org/ro/crate/1.1"},
        "about": {"@id": "./"},
    }
    root = entities["./"]
    assert root["@type"] == "Dataset"
    for name in ("name", "description", "datePublished", "license"):
        assert root[name]


def test_every_file_is_a_part_and_every_part_a_file(report, entities):
    parts = {unquote(part["@id"]) for part in entities["./"]["hasPart"]}
    files = {path.relative_to(report).as_posix() for path in report.rglob("*") if path.is_file()}
    assert parts == files - {"ro-crate-metadata.json"}
    for part in entities["./"]["hasPart"]:
        entity = entities[part["@id"]]
        assert entity["@type"] == "File"
        assert entity["encodingFormat"] != "application/octet-stream"
        assert int(entity["contentSize"]) == (report / unquote(part["@id"])).stat().st_size


def test_every_reference_is_described(metadata, entities):
    def references(value):
        if isinstance(value, dict):
            if set(value) == {"@id"}:
                yield value["@id"]
            else:
                for inner in value.values():
                    yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    found = set(references(metadata["@graph"]))
    assert found - set(entities) == {"https://w3id.org/ro/crate/1.1"}


def test_the_files_of_the_run_are_named_from_the_report(report, entities):
    action = entities["#report"]
    used = {unquote(file["@id"]) for file in action["object"]}
    assert used == {
        f"../{name}" for name in crate.RUN_FILES
    }  # a run as the end of a study leaves it
    for name in used:
        assert (report / name).is_file()
    assert entities["../"]["name"] == "Run a run"
    assert entities["./"]["isBasedOn"] == [{"@id": "../"}]


def test_a_name_with_a_blank_is_a_uri(tmp_path):
    run = fake_run(tmp_path / "a run", "smoke")
    graph = json.loads((write_report([run], tmp_path / "out").parent / crate.NAME).read_text())[
        "@graph"
    ]
    assert "../a%20run/members.parquet" in {entity["@id"] for entity in graph}


def test_the_licence_is_that_of_the_project_or_none(tmp_path, monkeypatch):
    monkeypatch.setattr(crate, "PROJECT", tmp_path)
    assert crate._licence()["name"] == crate.NO_LICENCE
    (tmp_path / "LICENSE").write_text("\nMIT License\n\nCopyright\n")
    assert crate._licence()["name"] == "MIT License"


def test_the_date_is_that_of_the_run(tmp_path):
    run = fake_run(tmp_path / "run", "smoke")
    config = json.loads((run / "config.json").read_text())
    config["provenance"]["started"] = "2019-05-06T07:08:09+00:00"
    (run / "config.json").write_text(json.dumps(config))
    graph = json.loads((write_report([run], tmp_path / "out").parent / crate.NAME).read_text())[
        "@graph"
    ]
    assert (
        next(entity for entity in graph if entity["@id"] == "./")["datePublished"] == "2019-05-06"
    )
