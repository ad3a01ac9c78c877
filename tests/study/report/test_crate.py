"""ro-crate-metadata.json: every file of the report is a part, and every reference is described."""

import json
from urllib.parse import unquote

from study.report.folder import write_report
from tests.small import member
from tests.study.runs import fake_run


def references(value):
    """Every @id that a value refers to."""
    if isinstance(value, dict) and set(value) == {"@id"}:
        yield value["@id"]
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from references(inner)


def test_the_crate_describes_the_report_and_its_runs(tmp_path):
    run = fake_run(tmp_path / "a run", "smoke", members=[member()], tables=False)
    report = write_report([run], tmp_path / "out").parent
    graph = json.loads((report / "ro-crate-metadata.json").read_text("utf-8"))["@graph"]
    entities = {entity["@id"]: entity for entity in graph}
    root = entities["./"]
    assert root["license"].endswith("/MIT")
    assert root["datePublished"] == "2026-01-02"
    files = {path.relative_to(report).as_posix() for path in report.rglob("*") if path.is_file()}
    assert {unquote(part["@id"]) for part in root["hasPart"]} == files - {"ro-crate-metadata.json"}
    for part in root["hasPart"]:
        entity = entities[part["@id"]]
        assert "/" in entity["encodingFormat"]
        assert entity["contentSize"] == (report / unquote(part["@id"])).stat().st_size
    found = {its for entity in graph for its in references(entity)}
    assert {its for its in found - set(entities) if not its.startswith("https:")} == set()
    assert entities["#report"]["object"] == [{"@id": "../a%20run/"}]
    assert entities["../a%20run/"]["description"] == "python run_study.py --grid smoke"
