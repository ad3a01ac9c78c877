"""What captions of figures say of the data they stand under."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from models.config import AS_WRITTEN, NOISE_FACTORS
from study.evidence.evidence import Evidence
from study.report.blueprints import MODELS
from study.report.curves import CLEAN, NOISY, of_protocol
from study.report.document import Plot
from study.report.style import VAGUE, label
from study.report.wording import listed

SIMULATED = "simulated data"
_REFERENCES = {
    "identity": "the input left alone (α²)",
    "gene mean": "the mean of each gene",
    "PCA": "PCA with as many components as the code has numbers",
    "Wiener": "the Wiener filter, the best linear denoiser",
    "Wiener mixture": "the mixture of Wiener filters of the grid best",
    "oracle": "the oracle, the best that can exist on this simulation",
}


def plot_of(evidence: Evidence, key, title, caption, alt, data, draw) -> Plot:
    """A Plot of measurements; where the data are simulated, caption, alternative text, picture and CSV say so."""
    caption, alt = " ".join(caption.split()), " ".join(alt.split())
    if evidence.simulated:
        caption, alt = f"{caption} Simulated data.", f"{alt} Simulated data."
    return Plot(key, title, caption, data, draw, alt, stamp=SIMULATED if evidence.simulated else "")


def in_words(points: pd.DataFrame) -> str:
    """The ends of every line, by panel: "published 0.690 at 0, 0.630 at 1"."""
    parts = []
    for panel, rows in points.groupby("panel", sort=False):
        lines = []
        for name, line in rows.groupby("series", sort=False):
            ends = line.sort_values("noise_factor").iloc[[0, -1]].drop_duplicates("noise_factor")
            values = ", ".join(
                f"{_mse(v)} at {a:g}" for a, v in ends[["noise_factor", "mse"]].to_numpy()
            )
            values = "about 1, no scale" if line["bounds"].iloc[0] == VAGUE else values
            lines.append(f"{label(name)} {values}")
        parts.append(f"{panel[0].upper()}{panel[1:]}: {'; '.join(lines)}.")
    return f"MSE against noise factor. {' '.join(parts)}"


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
    names = {_plain(name) for name in points["series"]}
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


def _plain(name: str) -> str:
    """ "PCA 32" as "PCA"."""
    return name.rstrip("0123456789 ") if name.startswith("PCA") else name


def kept_beta(evidence: Evidence, model: str) -> str:
    """Says so where the as-written network shown has a sparsity term after all."""
    betas = of_protocol(evidence, AS_WRITTEN, model)["beta"].unique()
    if not len(betas) or betas[0] == 0:
        return ""
    return f"The as-written network has beta = {betas[0]:g}: these runs hold none without a sparsity term."


def _mse(value: float) -> str:
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.01 else f"{value:.3g}"
