"""README, docs and the files about the project: their commands and facts are the program's."""

import ast
import importlib.util
import json
import os
import pkgutil
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from data_utils.errors import InputError
from study.cli import COMMANDS, parser, study_options
from study.grids import GRIDS, plan
from study.options import Narrowing
from tests.study.test_thinning import counts_file

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")])
_CLAIM_7 = "C7: several noise levels, or another one, do better"  # the title of a claim
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


class SiteLoader(yaml.SafeLoader):
    """Reads mkdocs.yml, where the mermaid fence names a Python function."""


SiteLoader.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda loader, name, node: name)


def commands(text):
    """Words after `python run_study.py` (or dae-study) of every command in blocks of code."""
    blocks = re.findall(r"^```\w+\n(.*?)^```", text, flags=re.M | re.S) + re.findall(
        r"^(?: {4}.*\n)+", text, flags=re.M
    )
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    found = [
        shlex.split(line, comments=True)
        for line in lines
        if re.match(r"\s*(python run_study\.py|dae-study) ", line)
    ]
    return [
        words[words.index("run_study.py") + 1 :] if "run_study.py" in words else words[1:]
        for words in found
    ]


def parse(words):
    """What the command line makes of them; InputError for what it refuses."""
    words = words[: words.index(">")] if ">" in words else words
    if words[0] in COMMANDS:
        return COMMANDS[words[0]].read(vars(parser(words[0]).parse_args(words[1:])))
    return study_options(vars(parser().parse_args(words)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_in_the_documents_is_one(page):
    for words in commands(page.read_text(encoding="utf-8")):
        parse(words)


def test_the_table_of_grids_is_the_programs():
    """Name, question, number of networks and minutes of each, in the program's order."""
    text = (ROOT / "docs/grids.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text[text.index("| grid | ") :].partition("\n\n")[0].splitlines()[2:]
    ]
    expected = [
        (f"`{name}`", its.question, f"{len(plan(name, Narrowing())):,}", f"{its.minutes:g}")
        for name, its in GRIDS.items()
    ]
    assert [
        (name, asks, networks, minutes) for name, asks, networks, _, minutes in rows
    ] == expected


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_what_a_page_says_of_the_papers_grid_is_what_is_planned(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    counts = re.findall(r"([\d,]+) networks", text)
    assert counts == [f"{len(plan('paper', Narrowing()))}"]
    assert f"{GRIDS['paper'].minutes:g} minutes on two cores" in text


def test_the_numbers_of_the_readme_are_those_of_its_picture():
    """In percent, of simulated data, L1000 profiles and RNA-seq."""
    table = pd.read_csv(ROOT / "docs/images/finding.csv")
    words: dict[str, list[float]] = {"falls": [], "rises": [], "mixture": [], "alone": []}
    for cohort in ("simulated", "l1000", "rnaseqdb"):
        its = table[table["cohort"].str.startswith(cohort)]
        mse = its.pivot_table(index="noise_factor", columns="series", values="mse")
        scripts, text = mse["as its scripts ran"], mse["as its text says"]
        words["falls"].append(100 * (1 - scripts[1.0] / scripts[0.0]))
        words["rises"].append(100 * (text[1.0] / text[0.0] - 1))
        ratio = (mse["Wiener mixture"] / mse["Wiener"])[mse.index > 0]
        words["mixture"].append(100 * (1 - np.exp(np.log(ratio).mean())))
        words["alone"].append(mse.index[text > mse["identity"]].max())
        assert (text > mse["Wiener"])[mse.index > 0].all()
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    for of, form in (
        ("falls", "for four layers by {:.0f}, {:.0f} and {:.0f} %"),
        ("rises", "it *rises*, by {:.0f}, {:.0f} and {:.0f} %"),
        ("mixture", "has {:.0f}, {:.0f} and {:.0f} % less error than one filter"),
        ("alone", "up to {:g}, {:g} and {:g} also more than leaving the input alone"),
    ):
        assert form.format(*words[of]) in readme


#: Options in the documents that belong to other programs.
FOREIGN = {"--constraint", "--logdir", "--overlap", "--port-forward", "--tmux"}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_options_targets_and_modules_that_a_page_names_exist(page):
    """In prose, too: --options of any command, `make` targets, `python -m` modules."""
    text = page.read_text(encoding="utf-8")
    helps = [parser(everything=True), *map(parser, COMMANDS)]
    known = {name for its in helps for action in its._actions for name in action.option_strings}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) <= known | FOREIGN
    targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), flags=re.M)
    assert set(re.findall(r"(?:`| {4}|^)make ([a-z-]+)", text, flags=re.M)) <= set(targets)
    for module in re.findall(r"python -m ([\w.]+)", text):
        assert importlib.util.find_spec(module), module


def test_a_thing_has_one_name_in_all_documents():
    """A noise factor is no level or alpha, and a seed's study is a replicate, no repetition."""
    wrong = r"noise levels?|levels? of noise|each level|all levels|repetitions?|replications?"
    for page in [*PAGES, ROOT / "CHANGELOG.md", ROOT / "models/card.md.j2"]:
        text = " ".join(page.read_text(encoding="utf-8").split()).replace(_CLAIM_7, "")
        assert re.findall(wrong, text) == [], page.name


def test_the_documents_show_the_commands():
    shown = {words[0] for page in PAGES for words in commands(page.read_text(encoding="utf-8"))}
    assert set(COMMANDS) <= shown
    with pytest.raises(InputError):
        parse(["--no-such-option"])


def test_every_command_is_listed_and_has_an_example_of_itself():
    listed = parser().format_help()
    for name in COMMANDS:
        examples = [
            line
            for line in parser(name).format_help().splitlines()
            if line.strip().startswith("python run_study.py")
        ]
        assert examples
        for line in examples:
            words = shlex.split(line, comments=True)[2:]
            assert words[0] == name
            parse(words)
        assert re.search(rf"^  {name}\b", listed, flags=re.M), f"{name} is not in --help"


def test_the_citation_names_this_version_and_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == [{"name": PROJECT["authors"][0]["name"]}]
    [paper] = citation["references"]
    assert (paper["authors"][0]["family-names"], paper["year"]) == ("Sharma", 2019)
    assert PROJECT["authors"][0]["name"] in (ROOT / "LICENSE").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_links_are_there(page):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if "://" not in target and target != "notebooks/own_data.md":  # which `make docs` writes
            assert (page.parent / target).exists(), target


def test_the_site_has_every_page_once_and_loads_nothing_from_elsewhere():
    site = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), SiteLoader)
    listed = re.findall(r"[\w/-]+\.md", json.dumps(site["nav"]))
    assert sorted(listed) == sorted(
        [*(path.name for path in ROOT.glob("docs/*.md")), "notebooks/own_data.md"]
    )
    assert site["strict"]
    assert site["theme"]["font"] is False


def test_the_notebook_is_kept_without_outputs():
    notebook = json.loads((ROOT / "docs/notebooks/own_data.ipynb").read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(code) >= 4
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)


def test_the_extra_docs_is_pinned_as_its_constraints_are():
    pinned = dict(
        line.split("==")
        for line in (ROOT / "docs/requirements.txt").read_text().split("\n")
        if "==" in line
    )
    for requirement in PROJECT["optional-dependencies"]["docs"]:
        name, version = requirement.split("==")
        assert pinned[name] == version


@pytest.mark.slow
def test_the_tutorial_runs_as_it_stands(tmp_path):
    (tmp_path / "run_study.py").symlink_to(ROOT / "run_study.py")
    counts_file(tmp_path, name="counts.tsv.gz")  # the user's own
    blocks = re.findall(
        r"^```sh\n(.*?)^```",
        (ROOT / "docs/own-data.md").read_text(encoding="utf-8"),
        flags=re.M | re.S,
    )
    assert len(blocks) >= 5
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-euc", "".join(blocks)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/mine/report/index.html").exists()
    assert (tmp_path / "my-model/README.md").exists()
    assert (tmp_path / "clean.check.html").exists()
    assert (tmp_path / "runs/thinning/thinning.md").exists()
    assert (tmp_path / "clean.tsv.gz").stat().st_size > 0


def test_the_readme_is_short_and_begins_with_what_to_type():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_files_that_a_page_names_exist_and_its_lines_are_short(page):
    text = page.read_text(encoding="utf-8")
    folders = "data_utils|models|study|tests|benchmarks|clusters"
    for name in re.findall(rf"(?<![\w/])(?:{folders})/[\w/.-]*\w", text):
        assert (ROOT / name).exists() or (ROOT / f"{name}.py").exists(), name
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S).splitlines()
    prose = [line for line in prose if not line.startswith(("|", "!", "    "))]
    assert max(map(len, prose)) <= 100


def test_the_names_in_the_reference_the_architecture_and_the_notebook_exist():
    reference = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    names = re.findall(r"^::: (\S+)$", reference, flags=re.M)
    assert len(names) > 20
    architecture = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"(?<!/)\b(?:data_utils|models|study)(?:\.\w+)+", architecture)
    assert len(named) > 10
    names += named
    notebook = json.loads((ROOT / "docs/notebooks/own_data.ipynb").read_text(encoding="utf-8"))
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    imports = [node for cell in code for node in ast.walk(ast.parse(cell))]
    names += [
        f"{node.module}.{alias.name}"
        for node in imports
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    for name in names:
        pkgutil.resolve_name(name)  # fails for a name that is gone
