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
    others = ["pandas", "scipy", "pyarrow", "h5py", "anndata", "sklearn", "optuna", "tensorboard", "matplotlib"]
    python(f"import sys; sys.modules.update(dict.fromkeys({others}))\nimport study.training")


def test_a_study_of_the_simulated_cohort_loads_nothing_that_it_does_not_use():
    code = "import sys, study.study, data_utils.sources\ndata_utils.sources.load_dataset()\nprint(*sys.modules)"
    unused = ["sklearn", "scipy.stats", "h5py", "anndata", "optuna", "matplotlib", "ray", "torch._dynamo"]
    assert not python(code) & set(unused)
