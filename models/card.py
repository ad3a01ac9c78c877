"""The model card: what a model is for, what it was trained on, and where it is worse than doing nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from models.folder import Model

KINDS = {
    "network": "a neural network (denoising autoencoder)",
    "mixture": "a mixture of Wiener filters, the posterior mean of a mixture of Gaussians",
    "wiener": "a Wiener filter, the best linear denoiser, tuned on validation rows",
    "pca": "a projection on principal components",
}


def card(model: Model) -> str:
    """The card as Markdown."""
    parts = [
        f"# {_plain(model.name)}",
        _purpose(model),
        "## Trained on",
        _training(model),
        "## How good it is",
    ]
    parts += [_errors(model), "## Where not to use it", _limits(model), "## Use", _USE]
    return "\n\n".join(parts) + "\n"


def what_it_is(model: Model) -> str:
    """The kind of a model in words."""
    return KINDS.get(model.denoiser.kind, model.denoiser.kind)


def _purpose(model: Model) -> str:
    return (
        "Removes noise, alike for all genes in units of a gene's standard deviation (y = z + α n, n from N(0, 1)), "
        f"from gene expression profiles of {len(model.genes):,} genes. It is {what_it_is(model)}. It works on "
        "z-scores: the centre and scale of each gene in the training rows are in the folder, applied and undone."
    )


def _training(model: Model) -> str:
    training = model.training
    simulated = {True: "simulated data", False: "measured data"}.get(
        training.get("simulated"), "data of unknown origin"
    )
    logged = (
        "log2(x + 1) of counts, TPM or RPKM"
        if model.transform == "log2p1"
        else "values as they were, on a log scale"
    )
    factors = ", ".join(f"{a:g}" for a in model.noise_factors)
    rows = {
        "data": f"{_plain(training.get('source', 'not known'))} ({simulated})",
        "samples": f"{training.get('n_samples', 'not known'):,}"
        if isinstance(training.get("n_samples"), int)
        else "?",
        "sha256 of values and ids": _plain(training.get("sha256", "not known")),
        "scale": logged,
        "noise factors α in training": factors or "none: it is told α, and any will do",
        "versions": ", ".join(
            f"{name} {version}" for name, version in model.versions.items() if version
        ),
    }
    rows |= {key: _plain(training[key]) for key in ("run", "member", "rows") if key in training}
    return "\n".join(f"- {name}: {value}" for name, value in rows.items())


def _errors(model: Model) -> str:
    """The tables of errors, test rows first."""
    texts = []
    for part in ("test", "validation"):
        if (model.metrics["part"] == part).any():
            chosen = "which nothing was chosen by" if part == "test" else "by which it was chosen"
            texts.append(
                f"MSE in units of a gene's variance on the {part} rows, {chosen}:\n\n{_table(model.mse(part))}"
            )
    return "\n\n".join(texts) or "It was not measured."


def _table(frame: pd.DataFrame) -> str:
    head = ["noise factor", *frame.columns]
    rows = [
        [f"{noise:g}", *(f"{value:.4f}" for value in row)]
        for noise, row in zip(frame.index, frame.values, strict=True)
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---:"] * len(head), *rows])


def worse_than(model: Model, method: str) -> list[float] | None:
    """Noise factors at which its MSE is above that of `method`, on test rows if there are any; None: not measured."""
    for part in ("test", "validation"):
        table = model.mse(part) if (model.metrics["part"] == part).any() else pd.DataFrame()
        if {"this model", method} <= set(table.columns):
            return table.index[table["this model"] > table[method]].tolist()
    return None


def _limits(model: Model) -> str:
    points = []
    for method, words in (("identity", "leaving the data alone"), ("Wiener", "the Wiener filter")):
        found = worse_than(model, method)
        if method == "Wiener" and model.denoiser.kind == "wiener":
            continue
        if found is None:
            points.append(f"Not measured beside {words}.")
        elif found:
            points.append(f"It is worse than {words} at noise factor {_numbers(found)}.")
        else:
            points.append(f"At no noise factor measured is it worse than {words}.")
    points += [
        "On other tissues, platforms or scales than the training data it pulls profiles towards them: `denoise` "
        "writes a page that marks samples unlike them.",
        "It knows no batch effects, dropouts or outliers: noise here is Gaussian and alike for all genes.",
    ]
    if model.training.get("simulated"):
        points.append(
            "It was trained on simulated data: on measured data it has not been shown to be of use."
        )
    return "\n".join(f"- {point}" for point in points)


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _plain(text: object) -> str:
    """Foreign text in a line of Markdown."""
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", " ".join(str(text).split()))


_USE = """    python run_study.py denoise --model THIS_FOLDER IN OUT

Any of GCT, GCTX, h5ad, CSV, TSV, Parquet and npz in and out; genes by Ensembl id, symbol or probe id. In Python:

    from models.folder import load_model
    model = load_model("THIS_FOLDER")
    z = model.scaling.transform(values)            # (samples, genes), genes as in model.genes
    clean = model.scaling.inverse_transform(model.denoiser.denoise(z, noise_factor=0.3))"""
