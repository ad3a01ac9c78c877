"""Known vulnerabilities of what requirements.lock pins: `python tests/audit.py PIP_AUDIT`.

Exit status 1 if there are some. Without pip-audit, a network or an index that knows them: a note
and 0, so that `make lint` works anywhere.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

LOCK = Path(__file__).resolve().parents[1] / "requirements.lock"
OPTIONS = [
    "--disable-pip",
    "--no-deps",
    "--progress-spinner",
    "off",
    "--timeout",
    "15",
    "--format",
    "json",
]


def audit(program: str, lock: Path = LOCK) -> tuple[int, list[str]]:
    """The exit status and what there is to say."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "found.json"
        command = [program, "--requirement", str(lock), *OPTIONS, "--output", str(found)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
            if not found.exists():
                raise OSError(" ".join(done.stderr.strip().splitlines()[-1:])[:300])
            packages = json.loads(found.read_text())["dependencies"]
        except (OSError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
            return 0, [f"note: {lock.name} was not audited: {type(error).__name__}: {error}"]
    bad = [f"{p['name']} {p['version']}: {v['id']}" for p in packages for v in p.get("vulns", [])]
    audited = sum("skip_reason" not in package for package in packages)
    if bad:
        return 1, [f"{lock.name}: {len(bad)} known vulnerabilities", *bad]
    if audited == 0:
        return 0, [
            f"note: {lock.name} was not audited: "
            f"the index knows nothing of its {len(packages)} packages"
        ]
    note = "" if audited == len(packages) else "note: "
    return 0, [
        f"{note}{audited} of {len(packages)} packages of {lock.name} audited: "
        "no known vulnerability"
    ]


if __name__ == "__main__":
    status, lines = audit(sys.argv[1])
    print(
        *lines, sep="\n", file=sys.stderr if status or lines[0].startswith("note") else sys.stdout
    )
    sys.exit(status)
