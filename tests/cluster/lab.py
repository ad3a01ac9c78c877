"""A Ray cluster on three hosts of this machine, made by `ray up` from own-machines.yaml."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

from tests.cluster.hosts import Hosts
from tests.test_cluster_yaml import ROOT, documented, load

#: The environment with Ray and all that the study needs.
VENV = Path(sys.prefix)
#: Of the checkout, what `ray up` copies to the hosts and reads byte by byte before.
COPIED = (
    "data_utils",
    "models",
    "study",
    "run_study.py",
    "cluster.yaml",
    "Makefile",
    "pyproject.toml",
    "requirements.lock",
)
COPIED += ("README.md", ".gitignore")
#: Seconds for the workers to join: the head logs in to each and starts Ray there.
JOIN_SECONDS = 300


class Cluster:
    """`ray up` and what follows, on hosts 1 (the head), 2 and 3, each with one core."""

    def __init__(
        self,
        hosts: Hosts,
        workers: tuple[int, ...] = (2, 3),
        variables: dict[str, str] | None = None,
    ):
        self.hosts, self.workers, self.variables = hosts, workers, variables or {}
        self.config = self._config(f"dae-{os.getpid()}")

    @property
    def source(self) -> Path:
        """The user's checkout, on the desk."""
        return self.hosts.home(0) / "checkout"

    def _config(self, name: str) -> dict:
        """The file with these hosts, without the set-up that needs a package index: VENV exists."""
        config, hosts = load("LOCAL"), self.hosts
        addresses = [hosts.address(i) for i in self.workers]
        config["cluster_name"] = name
        config["provider"] |= {"head_ip": hosts.address(1), "worker_ips": addresses}
        config["auth"] = {"ssh_user": "root", "ssh_private_key": str(hosts.folder / "id")}
        config["setup_commands"] = [f"ln -sfn {VENV} ~/dae-env", *config["setup_commands"][3:]]
        if self.variables:  # of a shell of the hosts, as a user would set them
            exports = " ".join(f"{name}={value}" for name, value in self.variables.items())
            config["setup_commands"].append(f"echo 'export {exports}' >> ~/.dae-study.sh")
        config["head_setup_commands"] = []
        for key in ("head_start_ray_commands", "worker_start_ray_commands"):
            own = "ray start --num-cpus=1 --object-store-memory=200000000"
            config[key] = [command.replace("ray start", own) for command in config[key]]
        return config

    def prepare(self) -> None:
        """On the desk: the checkout, cluster.yaml with these hosts, and the token by its header."""
        self.source.mkdir()
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(
                    ROOT / name, self.source / name, ignore=shutil.ignore_patterns("__pycache__")
                )
            else:
                shutil.copy(ROOT / name, self.source)
        (self.source / "cluster.yaml").write_text(yaml.safe_dump(self.config))
        [make_token] = [line for line in documented() if "openssl" in line]
        self.desk(make_token)

    def desk(self, command: str, **options):
        """Run a command of cluster.yaml's header, from the checkout."""
        return self.hosts.run(0, f"cd {self.source}; {command}", env=self.environment, **options)

    @property
    def environment(self) -> dict[str, str]:
        """Of the desk's shell."""
        return {"PATH": f"{VENV / 'bin'}:{os.environ['PATH']}", "RAY_USAGE_STATS_ENABLED": "0"}

    @property
    def token(self) -> str:
        """What opens the cluster."""
        return (self.hosts.home(0) / ".ray" / "auth_token").read_text().strip()

    def up(self) -> None:
        """`ray up`, until all hosts have joined."""
        if not self.source.exists():
            self.prepare()
        self.desk("ray up --yes cluster.yaml")
        end, status = time.monotonic() + JOIN_SECONDS, ""
        while time.monotonic() < end:
            if all(
                list(self.hosts.ray(i).glob("session_2*/logs/raylet.out")) for i in self.workers
            ):
                status = self.hosts.run(1, ". ~/.dae-study.sh; ray status", check=False).stdout
                if f"/{len(self.workers) + 1}.0 CPU" in status:
                    return
            time.sleep(0.5)
        raise AssertionError(f"not all hosts joined within {JOIN_SECONDS} s:\n{status}")

    def submit(self, out: Path, *words: str, **options) -> subprocess.Popen:
        """`ray submit` of the study with results in `out`: the driver runs on the head."""
        study = shlex.join(["run_study.py", "--", *words, "--address", "auto", "--out", str(out)])
        command = f"cd {self.source}; ray submit cluster.yaml {study}"
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **options}
        return self.hosts.popen(0, command, env=self.environment, **options)

    def training(self, now: bool = False) -> set[int]:
        """The hosts that have a worker for packs, or one that trains at this moment."""
        title = "ray::ImplicitFunc.train" if now else "ray::ImplicitFunc"
        return {
            i for i in (1, *self.workers) if any(title in line for line in self.hosts.commands(i))
        }
