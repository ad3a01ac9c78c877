"""The cluster files, offline: each is a cluster that Ray accepts, pinned and closed."""

import os
import re
import shlex
import stat
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from study.cli import parser
from study.options import StudyOptions

ROOT = Path(__file__).resolve().parents[1]
FILES = {"AWS": "cluster.yaml", "GCP": "clusters/gcp.yaml", "LOCAL": "clusters/own-machines.yaml"}
TEXTS = {name: (ROOT / file).read_text(encoding="utf-8") for name, file in FILES.items()}
TEXT = TEXTS["AWS"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
HEADER = "\n".join(line[1:] for line in TEXT.partition("\n\n")[0].splitlines())
CHANGE = {
    "AWS": ["max_workers", "region", "InstanceType", "ImageId", "InstanceType"],
    "GCP": [
        "max_workers",
        "project_id",
        "region",
        "availability_zone",
        "machineType",
        "sourceImage",
        "machineType",
    ],
    "LOCAL": ["head_ip", "worker_ips", "ssh_user", "ssh_private_key"],
}


class Strict(yaml.SafeLoader):
    """A loader that refuses a key given twice, where YAML would silently keep the last."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        own = (
            keys if len(keys) == len(node.value) else []
        )  # merged mappings may repeat what they override
        assert len(own) == len(set(own)), f"given twice: {own}"
        return super().construct_mapping(node, deep)


def load(name):
    return yaml.load(TEXTS[name], Strict)


def commands(config):
    return [
        (key, command)
        for key, value in config.items()
        if key.endswith("_commands")
        for command in value
    ]


@pytest.fixture(params=FILES)
def name(request):
    return request.param


@pytest.fixture
def config(name):
    return load(name)


def wrong_pins(text, lock=LOCK, requires=None):
    """Versions of Ray and Python in the text that differ from the lock file and pyproject.toml."""
    requires = (
        requires
        or tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    )
    ray = re.search(r"^ray==(.*)$", lock, re.MULTILINE)[1]
    python = re.search(r"\(Python ([\d.]+)\)", lock)[1]
    rays = re.findall(r"\bray(?:\[\w+\])?[=<>~]=([\w.]+)", text) + re.findall(
        r"\bRay (\d[\d.]*\d)", text
    )
    pythons = re.findall(r"uv python (?:install|find)(?: --\S+)* ([\d.]+)", text)
    assert len(rays) >= 2  # the head's commands, the reason for autoscaler v1
    assert len(pythons) == 2
    wrong = [f"ray {version}" for version in rays if not f"{ray}.".startswith(f"{version}.")]
    return wrong + [
        f"python {v}"
        for v in pythons
        if v != python or not SpecifierSet(requires).contains(f"{v}.99")
    ]


def test_the_clusters_differ_only_in_what_the_cloud_asks_for():
    own = {"max_workers", "provider", "auth", "head_node_type", "available_node_types"}
    own |= {"initialization_commands", "head_setup_commands", "worker_setup_commands"}
    aws, *others = ({k: v for k, v in load(name).items() if k not in own} for name in FILES)
    assert {"file_mounts", "setup_commands", "head_start_ray_commands"} <= set(aws)
    assert others == [aws, aws]


def test_a_file_is_a_cluster_that_ray_accepts(name, config):
    from ray.autoscaler._private.util import prepare_config, validate_config

    prepared = prepare_config(config)
    validate_config(prepared)
    types = prepared["available_node_types"]
    assert prepared["provider"]["type"] == name.lower()
    if name == "LOCAL":
        assert types["local.cluster.node"]["max_workers"] == prepared["max_workers"] == 2
    else:
        assert prepared["max_workers"] == types["worker"]["max_workers"] == 4
        assert types["worker"]["min_workers"] == types["head"]["max_workers"] == 0


def test_ray_would_refuse_a_slip():
    import jsonschema
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.load(TEXT.replace("idle_timeout_minutes: 10", "idle_timeout_minute: 10"), Strict)
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config(config))


def test_the_head_is_on_demand_and_the_workers_are_spot():
    aws, gcp = load("AWS")["available_node_types"], load("GCP")["available_node_types"]
    assert aws["worker"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert "InstanceMarketOptions" not in aws["head"]["node_config"]
    assert aws["worker"]["node_config"]["ImageId"] == aws["head"]["node_config"]["ImageId"]
    assert gcp["worker"]["node_config"]["scheduling"]["provisioningModel"] == "SPOT"
    assert "scheduling" not in gcp["head"]["node_config"]


def test_versions_are_those_of_the_lock_file(name):
    assert wrong_pins(TEXTS[name]) == []
    clients = re.findall(r"([\w-]+)==([\w.]+)", TEXTS[name])
    assert len(set(clients)) == len(
        {package for package, _ in clients}
    )  # the caller's are the head's
    own = {"AWS": "boto3", "GCP": "google-api-python-client"}
    assert [package for package, _ in clients].count(own.get(name)) == (2 if name in own else 0)


@pytest.mark.parametrize(
    ("text", "lock", "requires"),
    [
        (TEXT.replace("'ray[default]==2.60.0'", "'ray[default]==2.59.0'", 1), LOCK, None),
        (TEXT.replace("Autoscaler v2 of Ray 2.60", "Autoscaler v2 of Ray 2.6"), LOCK, None),
        (TEXT.replace("uv python install 3.11", "uv python install 3.12"), LOCK, None),
        (TEXT, re.sub(r"^ray==.*$", "ray==2.61.0", LOCK, flags=re.MULTILINE), None),
        (TEXT, LOCK.replace("(Python 3.11)", "(Python 3.12)"), None),
        (TEXT, LOCK, ">=3.12"),
    ],
)
def test_a_version_that_differs_is_found(text, lock, requires):
    assert wrong_pins(text, lock, requires)


def test_what_a_user_must_change_is_little_and_marked(name):
    lines = [line for line in TEXTS[name].splitlines() if line.endswith("  # CHANGE")]
    assert [line.partition(":")[0].strip() for line in lines] == CHANGE[name]
    assert len(lines) <= 8


def test_nothing_is_opened_but_ssh(name, config):
    text = "\n".join(line.partition("# ")[0] for line in TEXTS[name].splitlines())
    assert not re.search(r"(?<!\d)0\.0\.0\.0|::/0", text)
    assert not re.search(r"IpPermissions|FromPort|authorize|firewall|ufw", text)
    assert config["provider"].get("security_group", {"GroupName": "dae-study"}) == {
        "GroupName": "dae-study"
    }
    [head] = [command for command in config["head_start_ray_commands"] if "ray start" in command]
    assert "--dashboard-host=127.0.0.1" in head.split()
    assert "docker" not in config


def test_nodes_want_the_token_and_report_no_usage(config):
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        [start] = [command for command in config[key] if "ray start" in command]
        exports = re.search(r"export ([^;]*);\s*ray start", start)[1].split()
        assert {"RAY_AUTH_MODE=token", "RAY_USAGE_STATS_ENABLED=0"} <= set(exports)
        assert ("RAY_enable_autoscaler_v2=0" in exports) == key.startswith("head")


def test_bash_can_read_every_command(config):
    found = [*commands(config), *(("header", f"{line}\n") for line in documented())]
    assert {key for key, _ in found} >= {"setup_commands", "head_start_ray_commands", "header"}
    for key, command in found:
        wrapped = f"export RAY_HEAD_IP=192.0.2.1; ({command})"  # as Ray runs it
        done = subprocess.run(["bash", "-n"], input=wrapped, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, ""), (key, command)


def documented():
    """The commands of the header: the lines set in by five."""
    return re.findall(r"^     (?! )(.+)$", HEADER.replace("\\\n", ""), re.MULTILINE)


def test_the_header_s_study_can_be_run():
    from ray.scripts.scripts import submit

    [line] = [line for line in documented() if "run_study.py" in line]
    context = submit.make_context("submit", shlex.split(line)[2:])
    assert (context.params["cluster_config_file"], context.params["script"]) == (
        "cluster.yaml",
        "run_study.py",
    )
    options = StudyOptions.read(vars(parser().parse_args(context.params["script_args"])))
    assert (options.grid, options.address, str(options.out)) == (
        "paper",
        "auto",
        "/shared/runs/paper",
    )
    for option in set(re.findall(r"(?<!\S)--[a-z-]+", HEADER.partition("What works today")[2])):
        assert option in parser(everything=True).format_help()
    given = vars(parser().parse_args(["--storage", "s3://bucket/x"]))
    assert StudyOptions.read(given).storage == "s3://bucket/x"


def test_the_header_s_ray_commands_exist():
    from ray.scripts.scripts import cli

    lines = [shlex.split(line, comments=True) for line in documented()]
    words = [line[1] for line in lines if line[0] == "ray"]
    assert {"up", "exec", "submit", "dashboard", "rsync-down", "down"} <= set(words)
    assert all(
        cli.get_command(None, word) or cli.get_command(None, word.replace("-", "_"))
        for word in words
    )


def test_the_documented_token_is_one_s_own(tmp_path):
    [command] = [line for line in documented() if "openssl" in line]
    token = tmp_path / ".ray" / "auth_token"
    for _ in range(2):  # a token that is there is kept
        before = token.read_text() if token.exists() else None
        subprocess.run(
            ["bash", "-c", command], env={**os.environ, "HOME": str(tmp_path)}, check=True
        )
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        assert len(token.read_text().strip()) == 64
        assert before in (None, token.read_text())


def test_what_is_copied_is_there(config):
    mounts = config["file_mounts"]
    assert (
        mounts.pop("~/.ray/auth_token") == "~/.ray/auth_token"
    )  # made by the command of the test above
    assert mounts == {"~/dae-study": "."}
    needed = [
        "Makefile",
        "README.md",
        "pyproject.toml",
        "requirements.lock",
        "run_study.py",
        "data_utils",
        "models",
        "study",
    ]
    patterns = [pattern.removeprefix("/") for pattern in config["rsync_exclude"]]
    assert all((ROOT / path).exists() for path in [*needed, *config["rsync_filter"]])
    assert not [path for path in needed for pattern in patterns if fnmatch(path, pattern)]
    assert all(
        any(fnmatch(path, p) for p in patterns) for path in (".git", ".venv", ".venv-lock", "runs")
    )


def test_ray_and_the_token_reach_every_shell_of_the_launcher(tmp_path):
    """`ray down` says nothing where `ray` is not found; the driver joins only with the token."""
    home = tmp_path / "home"
    (home / "dae-env" / "bin").mkdir(parents=True)
    for tool in ("ray", "python"):
        (home / "dae-env" / "bin" / tool).write_text(f'#!/bin/sh\necho {tool} "$@"\n')
        (home / "dae-env" / "bin" / tool).chmod(0o755)
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "TERM": "dumb"}

    def launcher(command):
        """In Ray's own form: ray.autoscaler._private.command_runner._with_interactive."""
        line = f"source ~/.bashrc; export OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore && ({command})"
        shell = ["bash", "--login", "-c", "-i", line]
        done = subprocess.run(
            shell, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    writing = [command for command in load("AWS")["setup_commands"] if ".dae-study.sh" in command]
    for command in writing * 2:
        launcher(command)
    assert (home / ".bashrc").read_text().count("dae-study") == 1
    assert launcher("ray stop") == "ray stop\n"
    assert launcher('echo "$RAY_AUTH_MODE $RAY_USAGE_STATS_ENABLED"') == "token 0\n"
    asked = launcher("ask_for_gpus 4")
    assert asked.startswith("python -c import ray, sys\n")
    assert asked.endswith(" 4\n")
    compile(asked.removeprefix("python -c ").rpartition(" ")[0], "ask_for_gpus", "exec")
