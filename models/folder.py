"""Model folders: a denoiser with all that is needed to apply it. Loading executes no code from it.

model.safetensors   weights, scaling and leading directions of the training rows, with a checksum
model.json          kind, genes, transform, noise factors, training data, versions, errors
README.md           the model card, made from card.md.j2
SHA256SUMS          of the others: `sha256sum -c SHA256SUMS`
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
from safetensors import SafetensorError

from data_utils.arrays import load_arrays, save_arrays
from data_utils.cohort import FLATTERED
from data_utils.errors import InputError
from data_utils.expression import TRANSFORMS
from data_utils.files import check_folder, package_versions, replacing_folder, sha256
from data_utils.genes import landmark_table
from data_utils.preparation import ZScore
from models.denoisers.denoiser import Denoiser, denoiser_class
from models.gauge import Gauge

FORMAT = 1
ARRAY_FILE, FACT_FILE, CARD, SUMS = "model.safetensors", "model.json", "README.md", "SHA256SUMS"
#: Name of the model itself in its table of errors.
OWN = "this model"
GENE_COLUMNS = ["ensembl_id", "gene_symbol", "probe_id"]
METRIC_COLUMNS = ["part", "method", "noise_factor", "mse"]
#: Packages whose version can change a result.
PACKAGES = ("dae-study", "torch", "numpy", "scipy", "scikit-learn", "safetensors")
#: Exceptions that reading a damaged file may raise.
_DAMAGE = (
    *(OSError, SafetensorError, ValueError, KeyError),
    *(TypeError, AttributeError, RecursionError, OverflowError),
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Model:
    """A denoiser with the description of its input, its training and its errors.

    genes: one row per gene, in the denoiser's order, with the columns ensembl_id (its id, whatever
    that is), gene_symbol and probe_id; "" if unknown. scaling is of expression after `transform`.
    noise_factors: those it was trained for; empty: any. training: source, sha256 (of values and
    ids), n_samples, simulated (None: unknown). metrics: METRIC_COLUMNS, the MSE in z units on
    validation and test rows, of OWN and the references.
    """

    name: str
    denoiser: Denoiser
    genes: pd.DataFrame
    scaling: ZScore
    transform: str
    noise_factors: tuple[float, ...]
    training: dict
    metrics: pd.DataFrame
    gauge: Gauge
    versions: dict = field(default_factory=lambda: package_versions(PACKAGES))

    def mse(self, part: str) -> pd.DataFrame:
        """MSE on "validation" or "test" rows: one row per noise factor, one column per method."""
        rows = self.metrics[self.metrics["part"] == part]
        table = rows.pivot(index="noise_factor", columns="method", values="mse")
        return table[list(dict.fromkeys(rows["method"]))]

    def relative_mse(self, noise_factor: float, method: str = "identity") -> float:
        """Return validation MSE over a reference's at the nearest noise factor, or NaN."""
        table = self.mse("validation")
        if method not in table or OWN not in table:
            return float("nan")
        ratio = (table[OWN] / table[method])[table.index > 0]
        return float(ratio.iloc[np.abs(ratio.index - noise_factor).argmin()])

    def worse_than(self, method: str) -> list[float] | None:
        """Return the noise factors at which its MSE is above `method`'s; None if not measured.

        On test rows if there are any, else on validation rows.
        """
        for part in ("test", "validation"):
            table = self.mse(part)
            if {OWN, method} <= set(table.columns):
                return table.index[table[OWN] > table[method]].tolist()
        return None


def gene_table(gene_ids: Iterable) -> pd.DataFrame:
    """Return GENE_COLUMNS of gene ids; symbol and probe id are "" unless it is a landmark gene."""
    known = landmark_table().set_index("ensembl_id", drop=False).reindex(list(gene_ids)).fillna("")
    return known.assign(ensembl_id=[str(gene) for gene in gene_ids]).reset_index(drop=True)


def card(model: Model) -> str:
    """Return the model card as Markdown: what the model is for, and where it makes data worse."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["plain"] = _plain
    environment.filters["numbers"] = lambda values: ", ".join(f"{value:g}" for value in values)
    template = environment.get_template("card.md.j2")
    measured = set(model.metrics["part"])
    return template.render(
        model=model, training=model.training, measured=measured, own=OWN, flattered=FLATTERED
    )


def _plain(text: object) -> str:
    """Escape foreign text for a line of Markdown."""
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", " ".join(str(text).split()))


def save_model(model: Model, folder: Path | str, force: bool = False) -> None:
    """Write the folder, whole or not at all.

    Raises InputError if it exists, unless it holds a model and `force` is given.
    """
    folder = Path(folder)
    check_target(folder, force)
    arrays = {f"denoiser.{name}": array for name, array in model.denoiser.arrays().items()}
    arrays |= {"centre": model.scaling.centre, "scale": model.scaling.scale}
    arrays |= {f"gauge.{name}": array for name, array in model.gauge.arrays().items()}
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
    """Raise InputError if a model folder cannot be made here."""
    check_folder(folder, "model", lambda names: FACT_FILE in names, None if force else "--force")


def is_model(folder: Path) -> bool:
    """Whether a folder holds a model, even a damaged one."""
    return (folder / FACT_FILE).is_file()


def load_model(folder: Path | str) -> Model:
    """Read what `save_model` wrote. Raises InputError if the model is missing or damaged."""
    folder = Path(folder)
    if not is_model(folder):
        raise InputError(
            f"{folder}: has no {FACT_FILE}: give a model folder, as `export` makes it, or a run"
        )
    try:
        _check_sums(folder)
        facts = json.loads((folder / FACT_FILE).read_text("utf-8"))
        if facts["format"] != FORMAT:
            raise ValueError(f"format {facts['format']!r:.20}, this version reads {FORMAT}")
        arrays, _ = load_arrays(folder / ARRAY_FILE)
        return _assemble(facts, arrays)
    except (InputError, *_DAMAGE) as error:  # InputError: for an unknown architecture
        raise _damaged(folder, error) from None


def _damaged(folder: Path, error: Exception) -> InputError:
    reason = "".join(c if c.isprintable() else " " for c in str(error))[:150]
    reason = f"no {reason}" if isinstance(error, KeyError) else reason or type(error).__name__
    return InputError(
        f"{folder}: the model cannot be used ({reason}): get the folder again, or export it again"
    )


def _check_sums(folder: Path) -> None:
    """Raise ValueError unless the array and fact files match their sums; the card may be edited."""
    lines = [line.split(maxsplit=1) for line in (folder / SUMS).read_text("utf-8").splitlines()]
    expected = {name: digest for digest, name in lines}
    for name in (FACT_FILE, ARRAY_FILE):
        if sha256(folder / name) != expected[name]:
            raise ValueError(f"{name} does not match its checksum")


def _assemble(facts: dict, arrays: Mapping[str, np.ndarray]) -> Model:
    """Build the model. Raises one of _DAMAGE, or InputError, if something does not fit."""
    for name, array in arrays.items():
        if array.dtype.kind not in "fi" or not np.isfinite(array).all():
            raise ValueError(f"{name} holds something else than finite numbers")
    kind = denoiser_class(facts["kind"])
    metrics = pd.DataFrame({name: facts["metrics"][name] for name in METRIC_COLUMNS})
    model = Model(
        name=facts["name"],
        denoiser=kind.from_arrays(_below(arrays, "denoiser."), facts["denoiser"]),
        genes=pd.DataFrame({name: facts["genes"][name] for name in GENE_COLUMNS}, dtype=object),
        scaling=ZScore(arrays["centre"].astype(np.float64), arrays["scale"].astype(np.float64)),
        transform=facts["transform"],
        noise_factors=tuple(float(a) for a in facts["noise_factors"]),
        training=dict(facts["training"]),
        metrics=metrics.astype({"part": str, "method": str, "noise_factor": float, "mse": float}),
        gauge=Gauge.from_arrays(_below(arrays, "gauge."), facts["gauge"]),
        versions=dict(facts["versions"]),
    )
    _check(model)
    return model


def _check(model: Model) -> None:
    """Raise ValueError if the parts of a model that was read do not fit together."""
    scaling, genes = model.scaling, model.genes
    shapes = {scaling.centre.shape, scaling.scale.shape, model.gauge.mean.shape}
    if (
        shapes != {(len(genes),)}
        or model.denoiser.n_genes != len(genes)
        or scaling.scale.min() <= 0
    ):
        raise ValueError("genes, scaling and weights do not fit together")
    texts = [model.name, *genes.to_numpy().ravel()]
    if (
        not all(isinstance(text, str) for text in texts)
        or model.transform not in TRANSFORMS[1:]
        or genes["ensembl_id"].duplicated().any()
    ):
        raise ValueError("its name, genes or transform are damaged")
    if model.metrics.duplicated(METRIC_COLUMNS[:-1]).any():
        raise ValueError("its metrics are damaged")


def _below(arrays: Mapping[str, np.ndarray], start: str) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)
    }
