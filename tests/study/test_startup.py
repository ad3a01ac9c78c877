"""A process imports what it needs: seconds of every start, in the driver and in each worker."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def python(code):
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_training_needs_torch_and_numpy_alone():
    others = [
        "pandas",
        "scipy",
        "pyarrow",
        "h5py",
        "anndata",
        "sklearn",
        "optuna",
        "tensorboard",
        "matplotlib",
    ]
    python(f"import sys; sys.modules.update(dict.fromkeys({others}))\nimport models.training")


def test_a_study_of_the_simulated_cohort_loads_nothing_that_it_does_not_use():
    code = "import sys, study.study, data_utils.sources\n"
    code += "data_utils.sources.load_dataset()\nprint(*sys.modules)"
    unused = ["sklearn", "scipy", "h5py", "anndata", "optuna", "matplotlib", "ray", "torch._dynamo"]
    assert not python(code) & set(unused)


def test_the_driver_of_workers_loads_no_torch(tmp_path):
    """Check, plan, read the data, begin the run, cut packs and begin Ray, until workers train."""
    code = f"""
import sys, study.run.cluster, study.run.tune
from study.options import StudyOptions
from study.study import open_study
study = open_study(StudyOptions(grid="smoke", device="cpu", out={str(tmp_path / "run")!r}))
study.load()
with study._begun():
    packs = study.unfinished(workers=2)
assert sum(len(pack.members) for pack in packs) == 18
print(*sys.modules)"""
    assert not python(code) & {"torch", "scipy", "sklearn", "matplotlib"}
