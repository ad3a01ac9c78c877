"""A model folder: a denoiser with all that it takes to use it on other data. Loading one executes nothing in it.

model.safetensors   weights, scaling and leading directions of the training rows, with their checksum
model.json          kind, genes, transform, noise factors, training data, versions, MSE beside the references
README.md           the model card
SHA256SUMS          of the others: `sha256sum -c SHA256SUMS`
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError

from data_utils.arrays import load_arrays, save_arrays
from data_utils.errors import InputError
from data_utils.files import check_folder, replacing_folder, sha256
from data_utils.genes import landmark_table
from data_utils.scaling import ZScore
from data_utils.transform import TRANSFORMS
from models.denoisers.fitted import FittedDenoiser, denoiser_class
from models.gauge import ARRAYS, Gauge, arrays_of

FORMAT = 1
ARRAY_FILE, FACT_FILE, CARD, SUMS = "model.safetensors", "model.json", "README.md", "SHA256SUMS"
#: What a model itself is called in its table of errors.
OWN = "this model"
GENE_COLUMNS = ["ensembl_id", "gene_symbol", "probe_id"]
METRIC_COLUMNS = ["part", "method", "noise_factor", "mse"]
PACKAGES = ("dae-study", "torch", "numpy", "scipy", "scikit-learn", "safetensors")
#: What reading a damaged file may raise.
_DAMAGE = (
    OSError,
    SafetensorError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    OverflowError,
)


@dataclass(frozen=True, eq=False)
class Model:
    """A denoiser and what its input is.

    genes: a row a gene, in the denoiser's order: ensembl_id (its id, whatever that is), gene_symbol, probe_id; "" where
    not known. scaling is of expression after `transform`. noise_factors: those it was trained for; empty: any.
    training: source, sha256 (of values and ids), n_samples, simulated (None: not known). metrics: METRIC_COLUMNS, MSE
    in z units of validation and test rows, of OWN and the references.
    """

    name: str
    denoiser: FittedDenoiser
    genes: pd.DataFrame
    scaling: ZScore
    transform: str
    noise_factors: tuple[float, ...]
    training: dict
    metrics: pd.DataFrame
    gauge: Gauge
    versions: dict = field(default_factory=lambda: package_versions())

    def mse(self, part: str) -> pd.DataFrame:
        """MSE on "validation" or "test" rows: a row a noise factor, a column a method."""
        rows = self.metrics[self.metrics["part"] == part]
        table = rows.pivot(index="noise_factor", columns="method", values="mse")
        return table[list(dict.fromkeys(rows["method"]))]

    def relative_mse(self, noise_factor: float, method: str = "identity") -> float:
        """Its validation MSE over that of a reference at the nearest noise factor measured; NaN where none was."""
        table = self.mse("validation")
        if method not in table or OWN not in table:
            return float("nan")
        ratio = (table[OWN] / table[method])[table.index > 0]
        return float(ratio.iloc[np.abs(ratio.index - noise_factor).argmin()])


def gene_table(gene_ids) -> pd.DataFrame:
    """Symbols and probe ids beside gene ids, of those that are landmark genes."""
    known = landmark_table().set_index("ensembl_id", drop=False).reindex(list(gene_ids)).fillna("")
    return known.assign(ensembl_id=[str(gene) for gene in gene_ids]).reset_index(drop=True)


def package_versions(names: tuple[str, ...] = PACKAGES) -> dict[str, str | None]:
    """Of the packages that can change a number."""
    found: dict[str, str | None] = {}
    for name in names:
        found[name] = None
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def save_model(model: Model, folder: Path | str, force: bool = False) -> None:
    """Write the folder: whole, or not at all. Raises InputError where it is there, unless it is a model and `force`."""
    from models.card import card

    folder = Path(folder)
    check_target(folder, force)
    arrays = {f"denoiser.{name}": array for name, array in model.denoiser.arrays().items()}
    arrays |= {"centre": model.scaling.centre, "scale": model.scaling.scale}
    arrays |= {
        f"gauge.{name}": array for name, array in zip(ARRAYS, arrays_of(model.gauge), strict=True)
    }
    facts = {
        "format": FORMAT,
        "name": model.name,
        "kind": model.denoiser.kind,
        "denoiser": model.denoiser.facts(),
        "gauge": model.gauge.facts(),
        "transform": model.transform,
        "noise_factors": list(model.noise_factors),
        "training": model.training,
        "metrics": model.metrics.to_dict("list"),
        "genes": model.genes.to_dict("list"),
        "versions": model.versions,
    }
    with replacing_folder(folder) as new:
        save_arrays(new / ARRAY_FILE, arrays, {"format": FORMAT})
        (new / FACT_FILE).write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
        (new / CARD).write_text(card(model), "utf-8")
        sums = [f"{sha256(new / name)}  {name}\n" for name in (ARRAY_FILE, FACT_FILE, CARD)]
        (new / SUMS).write_text("".join(sums), "utf-8")


def check_target(folder: Path, force: bool) -> None:
    """Raise InputError where a model folder cannot be made."""
    check_folder(folder, "model", lambda names: FACT_FILE in names, None if force else "--force")


def is_model(folder: Path) -> bool:
    """Whether a folder holds a model, be it damaged."""
    return (folder / FACT_FILE).is_file()


def load_model(folder: Path | str) -> Model:
    """What `save_model` wrote. Raises InputError, in one line, for a folder that holds no model, or a damaged one."""
    folder = Path(folder)
    if not is_model(folder):
        raise InputError(
            f"{folder}: has no {FACT_FILE}; give a model folder, as `export` makes it, or a run"
        )
    try:
        _check_sums(folder)
        facts = json.loads((folder / FACT_FILE).read_text("utf-8"))
        if facts["format"] != FORMAT:
            raise ValueError(f"format {facts['format']!r:.20}, where this version reads {FORMAT}")
        arrays, _ = load_arrays(folder / ARRAY_FILE)
        return _assemble(facts, arrays)
    except InputError as error:  # of an architecture's name
        raise _damaged(folder, error) from None
    except _DAMAGE as error:
        raise _damaged(folder, error) from None


def _damaged(folder: Path, error: Exception) -> InputError:
    reason = (
        "".join(c if c.isprintable() else " " for c in str(error))[:150] or type(error).__name__
    )
    reason = f"no {reason}" if isinstance(error, KeyError) else reason
    return InputError(
        f"{folder}: the model cannot be used ({reason}); get the folder again, or export it again"
    )


def _check_sums(folder: Path) -> None:
    """Raise ValueError where the array or the fact file is not as it was written; the card may be edited."""
    lines = [line.split(maxsplit=1) for line in (folder / SUMS).read_text("utf-8").splitlines()]
    expected = {name: digest for digest, name in lines}
    for name in (FACT_FILE, ARRAY_FILE):
        if sha256(folder / name) != expected[name]:
            raise ValueError(f"{name} does not match its checksum")


def _assemble(facts: dict, arrays: Mapping[str, np.ndarray]) -> Model:
    """Raises one of _DAMAGE, or InputError, where something does not fit."""
    for name, array in arrays.items():
        if array.dtype.kind not in "fi" or not np.isfinite(array).all():
            raise ValueError(f"{name} holds something else than finite numbers")
    genes = pd.DataFrame({name: facts["genes"][name] for name in GENE_COLUMNS}, dtype=object)
    scaling = ZScore(arrays["centre"].astype(np.float64), arrays["scale"].astype(np.float64))
    parts = {part: _below(arrays, f"{part}.") for part in ("denoiser", "gauge")}
    denoiser = denoiser_class(facts["kind"]).from_arrays(parts["denoiser"], facts["denoiser"])
    gauge = Gauge.from_arrays(parts["gauge"], facts["gauge"])
    sizes = {
        len(genes),
        *scaling.centre.shape,
        *scaling.scale.shape,
        denoiser.n_genes,
        gauge.mean.size,
    }
    if len(sizes) != 1 or scaling.scale.min() <= 0:
        raise ValueError("genes, scaling and weights do not fit together")
    texts = genes.map(lambda cell: isinstance(cell, str)).all(axis=None) and isinstance(
        facts["name"], str
    )
    if (
        not texts
        or facts["transform"] not in TRANSFORMS[1:]
        or genes["ensembl_id"].duplicated().any()
    ):
        raise ValueError("its name, genes or transform are damaged")
    metrics = pd.DataFrame({name: facts["metrics"][name] for name in METRIC_COLUMNS})
    metrics = metrics.astype({"part": str, "method": str, "noise_factor": float, "mse": float})
    if metrics.duplicated(METRIC_COLUMNS[:-1]).any():
        raise ValueError("its metrics are damaged")
    training, versions = dict(facts["training"]), dict(facts["versions"])
    noise_factors = tuple(float(a) for a in facts["noise_factors"])
    args = (
        facts["name"],
        denoiser,
        genes,
        scaling,
        facts["transform"],
        noise_factors,
        training,
        metrics,
    )
    return Model(*args, gauge, versions)


def _below(arrays: Mapping[str, np.ndarray], start: str) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)
    }
