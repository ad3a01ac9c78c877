"""`make lint`'s audit: a known vulnerability fails it; what cannot be found out does not."""

import json

import pytest

from tests.audit import audit

SOUND = {"name": "numpy", "version": "2.3.0", "vulns": []}
SKIPPED = {"name": "torch", "skip_reason": "Dependency not found on PyPI"}
BAD = {"name": "left", "version": "1.0", "vulns": [{"id": "PYSEC-2026-1"}, {"id": "GHSA-x"}]}


def program(folder, script):
    path = folder / "pip-audit"
    path.write_text(f'#!/bin/sh\nwhile [ "$1" != --output ]; do shift; done\n{script}\n')
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("packages", "status", "said"),
    [
        ([SOUND], 0, ["1 of 1 packages of x.lock audited: no known vulnerability"]),
        ([SOUND, SKIPPED], 0, ["note: 1 of 2 packages of x.lock audited: no known vulnerability"]),
        ([SKIPPED], 0, ["note: x.lock was not audited: the index knows nothing of its 1 packages"]),
        (
            [SOUND, BAD, SKIPPED],
            1,
            ["x.lock: 2 known vulnerabilities", "left 1.0: PYSEC-2026-1", "left 1.0: GHSA-x"],
        ),
    ],
)
def test_what_was_found_decides(packages, status, said, tmp_path):
    (tmp_path / "answer").write_text(json.dumps({"dependencies": packages, "fixes": []}))
    script = f'cp {tmp_path / "answer"} "$2"; exit 1'  # its own status is 1 for faults, too
    assert audit(program(tmp_path, script), tmp_path / "x.lock") == (status, said)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo ConnectionError: no route >&2; exit 1", "ConnectionError: no route"),
        ('echo "{" > "$2"', "JSONDecodeError"),
        ('echo "{}" > "$2"', "KeyError"),
        (None, "FileNotFoundError"),
    ],
)
def test_what_cannot_be_found_out_is_a_note(script, words, tmp_path):
    path = str(tmp_path / "none") if script is None else program(tmp_path, script)
    status, [line] = audit(path, tmp_path / "x.lock")
    assert status == 0
    assert line.startswith("note: x.lock was not audited: ")
    assert words in line
