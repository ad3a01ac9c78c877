"""What captions and alternative texts say of the data they stand under."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pandas as pd

from study.blueprints import MODELS, code_size
from study.curves import AS_WRITTEN, CLEAN, NOISY, of_protocol
from study.evidence import Evidence
from study.exhibits import Plot
from study.style import label

SIMULATED = "simulated data"
REFERENCES = (
    "References: leaving the input alone (its MSE is α²), answering each gene's mean, PCA with as many components as "
    "the network's code has numbers, the Wiener filter (the best linear denoiser)"
)


def plot_of(evidence: Evidence, key, title, caption, alt, data, draw) -> Plot:
    """A Plot of measurements; where the data are simulated, caption, alternative text, picture and CSV say so."""
    caption, alt = " ".join(caption.split()), " ".join(alt.split())
    if evidence.simulated:
        return Plot(key, title, f"{caption} Simulated data.", f"{alt} Simulated data.", data, draw, SIMULATED)
    return Plot(key, title, caption, alt, data, draw)


def in_words(points: pd.DataFrame) -> str:
    """The ends of every line, by panel: "published 0.690 at 0, 0.630 at 1"."""
    parts = []
    for panel, rows in points.groupby("panel", sort=False):
        lines = []
        for name, line in rows.groupby("series", sort=False):
            ends = line.sort_values("noise_factor").iloc[[0, -1]].drop_duplicates("noise_factor")
            values = ", ".join(f"{_mse(v)} at {a:g}" for a, v in ends[["noise_factor", "mse"]].to_numpy())
            lines.append(f"{label(name)} {values}")
        parts.append(f"{panel[0].upper()}{panel[1:]}: {'; '.join(lines)}.")
    return f"MSE against noise factor. {' '.join(parts)}"


def worse(points: pd.DataFrame) -> str:
    """Where networks are worse than leaving the input alone: a sentence, empty where none is."""
    noisy = points[(points["panel"] == NOISY) & points["series"].isin([*MODELS, AS_WRITTEN])]
    parts = []
    for name, line in noisy.groupby("series", sort=False):
        bad = line[line["mse"] > line["noise_factor"] ** 2]
        if len(bad):
            parts.append(f"{name} at {listed(bad['noise_factor'])}")
    return f"Worse than leaving the input alone: {'; '.join(parts)}." if parts else ""


def absent(points: pd.DataFrame) -> str:
    """Which of the two protocols and the references these runs do not hold: a sentence with a space before it."""
    held = {(panel, name.rstrip("0123456789 ")) for panel, name in zip(points["panel"], points["series"], strict=True)}
    wanted = [(CLEAN, "as-published rerun"), (NOISY, AS_WRITTEN)]
    wanted += [(NOISY, name) for name in ("gene mean", "PCA", "Wiener")]
    missing = [name for panel, name in wanted if (panel, name) not in held]
    return f" Not in these runs: {', '.join(missing)}." if missing else ""


def oracle_note(points: pd.DataFrame) -> str:
    """The end of REFERENCES where there is an oracle."""
    return ", and the oracle, the best denoiser that can exist for this simulation" if has(points, "oracle") else ""


def has(points: pd.DataFrame, series: str) -> bool:
    """Whether a line is there."""
    return bool((points["series"] == series).any())


def code_note(evidence: Evidence, points: pd.DataFrame, model: str) -> str:
    """Says that PCA at the code size of the conv network was not measured, where it was not."""
    size = code_size(model, evidence.data["n_genes"])
    if not len(evidence.references) or has(points, f"PCA {size}"):
        return ""
    return f"These runs have no PCA with {size} components, the size of this code."


def kept_beta(evidence: Evidence, model: str) -> str:
    """Says so where the as-written network shown has a sparsity term after all."""
    betas = of_protocol(evidence, AS_WRITTEN, model)["beta"].unique()
    if not len(betas) or betas[0] == 0:
        return ""
    return f"The as-written network has beta = {betas[0]:g}: these runs hold none without a sparsity term."


def listed(values: Iterable) -> str:
    """Distinct numbers, ascending: "2, 4, 6"; 0.1, 0.2, 0.3 at even steps as "0.1 to 0.3"."""
    numbers = sorted(set(values))
    if len(numbers) > 3:
        steps = {round(b - a, 6) for a, b in pairwise(numbers)}
        if len(steps) == 1:
            return f"{numbers[0]:g} to {numbers[-1]:g}"
    return ", ".join(f"{number:g}" for number in numbers)


def percent(share: float) -> str:
    """0.5 as "50 %"; a true minus sign."""
    return f"{100 * share:,.0f} %".replace("-", "−")


def signed(change: float) -> str:
    """-0.2 as "−0.200"."""
    return f"{change:+.3f}".replace("-", "−")


def _mse(value: float) -> str:
    return f"{value:.3f}" if value == 0 or abs(value) >= 0.01 else f"{value:.3g}"
