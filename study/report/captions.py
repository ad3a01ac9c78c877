"""What captions of figures say of the data they stand under."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from models.config import AS_WRITTEN, NOISE_FACTORS
from study.evidence.evidence import Evidence
from study.report.blueprints import MODELS
from study.report.curves import CLEAN, NOISY, of_protocol
from study.report.wording import listed

_REFERENCES = {
    "identity": "the input left alone (α²)",
    "gene mean": "the mean of each gene",
    "PCA": "PCA with as many components as the code has numbers",
    "Wiener": "the Wiener filter, the best linear denoiser",
    "Wiener mixture": "the mixture of Wiener filters of the grid best",
    "oracle": "the oracle, the best that can exist on this simulation",
}


def worse(points: pd.DataFrame) -> str:
    """Where networks are worse than leaving the input alone: a sentence, empty where none is."""
    noisy = points[
        (points["panel"] == NOISY)
        & points["series"].isin([*MODELS, AS_WRITTEN, "as-published rerun"])
    ]
    parts = []
    for name, line in noisy.groupby("series", sort=False):
        bad = line[line["mse"] > line["noise_factor"] ** 2]
        if len(bad):
            parts.append(f"{name} at {listed(bad['noise_factor'])}")
    return (
        f"Worse than leaving the input alone, by noise factor: {'; '.join(parts)}." if parts else ""
    )


def references_note(points: pd.DataFrame) -> str:
    """Names the references that are there."""
    names = set(points["method"])
    return f"References in black and grey: {'; '.join(text for name, text in _REFERENCES.items() if name in names)}."


def absent(
    points: pd.DataFrame,
    code: int,
    x: str = "noise_factor",
    expected: Sequence[float] = NOISE_FACTORS,
) -> str:
    """What these runs do not hold of the two protocols (at which `x`), and of the references for a code of that size.

    A sentence, or nothing.
    """
    missing = []
    for panel, name in ((CLEAN, "as-published rerun"), (NOISY, AS_WRITTEN)):
        held = set(points.loc[(points["panel"] == panel) & (points["series"] == name), x])
        lacks = [value for value in expected if value not in held]
        if lacks:
            missing.append(f"{name} ({x.replace('_', ' ')} {listed(lacks)})" if held else name)
    held = set(points["series"])
    references = {
        "gene mean": "gene mean",
        f"PCA {code}": f"PCA with {code} components",
        "Wiener": "Wiener",
    }
    missing += [text for name, text in references.items() if name not in held]
    return f"Not in these runs: {'; '.join(missing)}." if missing else ""


def lost_note(evidence: Evidence, models: Iterable[str] = MODELS) -> str:
    """How many networks of these models diverged or failed; nothing where none did."""
    members = evidence.members[evidence.members["model"].isin(list(models))]
    lost = int((members["status"] != "finished").sum())
    return (
        f"Left out: {lost:,} of {len(members):,} networks, which diverged or failed."
        if lost
        else ""
    )


def kept_beta(evidence: Evidence, model: str) -> str:
    """Says so where the as-written network shown has a sparsity term after all."""
    betas = of_protocol(evidence, AS_WRITTEN, model)["beta"].unique()
    if not len(betas) or betas[0] == 0:
        return ""
    return f"The as-written network has beta = {betas[0]:g}: these runs hold none without a sparsity term."
