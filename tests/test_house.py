"""The plan of the house: fixed names, arrows that point one way, and what is installed."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("data_utils", "models", "study")
SOURCES = [
    ROOT / "run_study.py",
    *(path for name in PACKAGES for path in sorted((ROOT / name).glob("**/*.py"))),
]
BENCHMARKS = sorted((ROOT / "benchmarks").glob("**/*.py"))

#: From the ground up: a module imports from its own layer and from earlier ones, never from later.
LAYERS = (
    ("data_utils",),
    ("models",),
    ("study.options", "study.grids"),
    ("study.run",),
    ("study.evidence",),
    ("study.paper",),
    ("study.report",),
    ("study.denoise", "study.reproduce", "study.thinning"),
    ("study.study",),
    ("study.search",),
    ("study.cli",),
    ("run_study",),
)

#: The only modules that import Ray, and those outside of models/ that import torch.
RAY = {"study.run.cluster", "study.run.tune"}
TORCH = {
    *("data_utils.noise", "study.options", "study.run.tune", "study.run.worker"),
    "study.reproduce",
}


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = [module_name(path) for path in SOURCES]
READ = [*MODULES, *(module_name(path) for path in BENCHMARKS)]
TREES = {
    module_name(path): ast.parse(path.read_text(encoding="utf-8"), str(path))
    for path in (*SOURCES, *BENCHMARKS)
}
HOUSE = {name: TREES[name] for name in MODULES}


def imported(tree, modules):
    """Modules that a tree imports anywhere: in functions and under TYPE_CHECKING, too."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                names.add(inner if inner in modules else node.module)
    return names


IMPORTS = {name: imported(TREES[name], TREES) for name in MODULES}


def layer(name):
    """The number of a module's layer; None if it has none, as a package that is empty."""
    for number, names in enumerate(LAYERS):
        if any(name == its or name.startswith(f"{its}.") for its in names):
            return number
    return None


def at_module_level(tree, modules):
    """Modules imported when the module is, in whatever `if` or `try`, but in no function."""
    kept = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    functions = [
        node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    inside = {id(inner) for function in functions for inner in ast.walk(function)}
    return imported(ast.Module([node for node in kept if id(node) not in inside], []), modules)


def circles(arrows):
    """The sets of modules that reach each other through imports."""
    reach = {}
    for name in arrows:
        seen, new = set(), set(arrows[name])
        while new:
            seen |= new
            new = {other for its in new for other in arrows.get(its, ())} - seen
        reach[name] = seen
    return {
        frozenset(other for other in reach[name] if name in reach[other])
        for name in arrows
        if name in reach[name]
    }


def complaints(house):
    """What breaks the plan in the modules of a house, {name: tree}, one line each."""
    imports = {name: imported(tree, house) for name, tree in house.items()}
    rooms = [name for name in house if layer(name) is not None]
    arrows = {name: imports[name] & set(rooms) for name in rooms}
    found = [f"{name}: has no layer" for name in house if name not in rooms and house[name].body]
    for name in rooms:
        used = packages(imports[name])
        found += [
            f"{name}: imports {other}, which is above it"
            for other in sorted(arrows[name])
            if layer(other) > layer(name)
        ]
        if "ray" in used and name not in RAY:
            found.append(f"{name}: imports Ray")
        if "torch" in used and name not in TORCH and not name.startswith("models."):
            found.append(f"{name}: imports torch")
        if name not in RAY and at_module_level(house[name], house) & RAY:
            found.append(f"{name}: loads Ray when it is imported, so that --local needs it")
        if used & {"tests", "benchmarks"}:
            found.append(f"{name}: imports tests or benchmarks")
    return found + [f"{', '.join(sorted(circle))}: import each other" for circle in circles(arrows)]


def packages(names):
    return {name.partition(".")[0] for name in names}


def loaded_after(code):
    """Names of the modules that a fresh interpreter holds after `code`."""
    command = [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "name", ["run_study.py", "pyproject.toml", "study", "models", "data_utils", "tests"]
)
def test_the_fixed_names_exist(name):
    assert (ROOT / name).exists()


def test_sources_were_found():
    assert {"run_study", "models.engine.dense", "data_utils.noise"} <= set(MODULES)


def test_the_house_keeps_to_its_plan():
    assert complaints(HOUSE) == []


def test_the_allowed_importers_of_ray_and_torch_import_them():
    assert {name for name in MODULES if "ray" in packages(IMPORTS[name])} == RAY
    assert {name for name in TORCH if "torch" in packages(IMPORTS[name])} == TORCH


#: A house that keeps to the plan, and changes that do not.
MADE_UP = {
    "data_utils.noise": "def draw():\n    import torch",
    "models.training": "import torch\nimport data_utils.noise",
    "study": "",
    "study.run.packs": "import models.training",
    "study.run.tune": "import ray\nfrom study.run import packs",
    "study.study": "from study.run.packs import Pack\ndef run():\n    import study.run.tune",
}


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("models.training", "from study.run import packs", "study.run.packs, which is above it"),
        ("data_utils.noise", "def f():\n    import models.training", "which is above it"),
        ("data_utils.noise", "if TYPE_CHECKING:\n    import models.training", "which is above it"),
        ("study.run.packs", "from study.run.tune import run", "study.run.tune: import each other"),
        ("study.run.packs", "def f():\n    import study.run.tune", "import each other"),
        ("study.run.packs", "if TYPE_CHECKING:\n    import study.run.tune", "import each other"),
        ("study.study", "def f():\n    from ray import tune", "study.study: imports Ray"),
        ("study.study", "def f():\n    import torch.nn", "study.study: imports torch"),
        ("study.study", "from study.run import tune", "study.study: loads Ray"),
        ("study.study", "import tests.small", "study.study: imports tests"),
        ("study.attic", "x = 1", "study.attic: has no layer"),
    ],
)
def test_what_breaks_the_plan_is_found(name, code, words):
    house = {its: ast.parse(text) for its, text in MADE_UP.items()}
    assert complaints(house) == []
    house[name] = ast.parse(f"{MADE_UP.get(name, '')}\n{code}")
    assert any(words in line for line in complaints(house))


READERS = (
    "run.tensorboard",
    "run.provenance",
    "run.folder",
    "paper.published",
    "evidence.stats",
    "evidence.evidence",
    "evidence.search",
    "report.summary",
    "report.folder",
)


@pytest.mark.parametrize("name", READERS)
def test_reports_load_neither_torch_nor_ray(name):
    assert not packages(loaded_after(f"import study.{name}")) & {"torch", "ray"}


@pytest.mark.parametrize(
    "name",
    [
        "models.config",
        "study.options",
        "study.grids",
        "study.run.packs",
        "study.run.cluster",
        "study.run.tune",
    ],
)
def test_plans_and_the_driver_of_workers_load_no_torch(name):
    assert "torch" not in packages(loaded_after(f"import {name}"))


def test_a_study_without_ray_never_loads_it():
    loaded = loaded_after(
        "import study.study, models.training, study.run.worker, study.search.search"
    )
    assert "study.run.worker" in loaded
    assert "ray" not in packages(loaded)


@pytest.mark.parametrize("command", ["", "grids", "report", "reproduce", "denoise", "thinning"])
def test_help_loads_neither_torch_nor_ray(command):
    words = [*command.split(), "--help"]
    code = "import run_study, contextlib\n"
    code += f"with contextlib.suppress(SystemExit): run_study.main({words})"
    assert not packages(loaded_after(code)) & {"torch", "ray", "numpy", "pandas"}
    command = [sys.executable, "run_study.py", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "python run_study.py" in done.stdout


@pytest.mark.parametrize("name", READ)
def test_what_is_public_says_what_it_is(name):
    tree = TREES[name]
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    public = [
        node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")
    ]
    missing = [node.name for node in public if not ast.get_docstring(node)]
    if tree.body and not ast.get_docstring(tree):
        missing.append("the module itself")
    assert missing == []


@pytest.mark.parametrize("name", MODULES)
def test_no_global_random_state(name):
    """An explicit generator everywhere: no torch.manual_seed, numpy.random.seed, random.random."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert not re.fullmatch(
                r"torch\.manual_seed|(np|numpy)\.random\.(seed|rand\w*|normal)|random\.\w+", called
            )


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def locked():
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line.strip()]
    requirements = [Requirement(line) for line in lines if not line.startswith("#")]
    exact = {}
    for requirement in requirements:
        [pin] = requirement.specifier
        assert pin.operator == "==", requirement
        exact[canonicalize_name(requirement.name)] = Version(pin.version)
    return exact


def wanted():
    return [Requirement(text) for text in PROJECT["dependencies"] + EXTRAS["dev"] + EXTRAS["onnx"]]


@pytest.mark.parametrize("requirement", wanted(), ids=str)
def test_the_lock_file_is_within_the_ranges(requirement):
    version = locked()[canonicalize_name(requirement.name)]
    assert requirement.specifier
    assert requirement.specifier.contains(version)


def test_torch_is_pinned_exactly():
    [torch] = [requirement for requirement in wanted() if requirement.name == "torch"]
    assert str(torch.specifier) == "==2.13.0"
    assert locked()["torch"] == Version("2.13.0")


def test_what_the_sources_import_is_among_the_dependencies():
    """Imported packages are declared, not there by luck because something else needs them."""
    extras = [Requirement(text) for texts in EXTRAS.values() for text in texts]
    known = {canonicalize_name(requirement.name) for requirement in [*wanted(), *extras]}
    other_names = {"sklearn": "scikit-learn"}
    found = (
        packages(set().union(*IMPORTS.values()))
        - {*PACKAGES, "run_study"}
        - set(sys.stdlib_module_names)
    )
    assert {canonicalize_name(other_names.get(name, name)) for name in found} <= known


def test_the_packages_the_module_and_the_command_are_installed():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {module_name(path.parent / "__init__.py") for path in SOURCES[1:]}
    assert set(setuptools["packages"]) == folders
    assert setuptools["py-modules"] == ["run_study"]
    assert PROJECT["scripts"] == {"dae-study": "run_study:main"}
    for name in PACKAGES:  # files beside the code are installed with it
        endings = {path.suffix for path in (ROOT / name).iterdir() if path.is_file()} - {".py"}
        assert endings <= {
            Path(pattern).suffix for pattern in setuptools["package-data"].get(name, [])
        }


def test_the_readme_begins_with_the_two_commands():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [
        line.partition("#")[0].strip() for line in text.splitlines() if not line.startswith("```")
    ]
    assert [line for line in lines if line][:2] == ["make study", "make test"]
