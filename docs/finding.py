"""The picture of the first page: test MSE by noise factor, of two runs on the simulated cohort.

python run_study.py --grid as-published --depths 4 --out runs/as-published
python run_study.py --grid paper --depths 4 --betas 0 --out runs/as-written
python docs/finding.py runs/as-published runs/as-written   # docs/images/finding.svg and .csv
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import pandas as pd

matplotlib.use("svg")
from matplotlib import pyplot as plt

from study.evidence.evidence import by_level

IMAGES = Path(__file__).with_name("images")
AS_PUBLISHED = "network, as the paper's scripts ran"
AS_WRITTEN = "network, as its text says"
CURVES = {  # label: colour, line
    AS_PUBLISHED: ("#b3261e", "o-"),
    AS_WRITTEN: ("#1f5fa8", "o-"),
    "identity": ("#6b6b6b", "--"),
    "Wiener": ("#2e7d32", "-"),
    "oracle": ("#2e7d32", ":"),
}
NAMES = {"identity": "input left alone", "Wiener": "Wiener filter", "oracle": "best possible"}


def errors(as_published: Path, as_written: Path) -> pd.DataFrame:
    """Columns curve, noise_factor, mean, least and most test MSE over seeds."""
    rows = [
        levels(as_published).assign(curve=AS_PUBLISHED),
        levels(as_written).assign(curve=AS_WRITTEN),
    ]
    references = pd.read_parquet(as_written / "references.parquet")
    references = references[references["reference"].isin(NAMES)]
    rows.append(
        references.rename(columns={"reference": "curve", "test_mse": "mse"})[
            ["curve", "noise_factor", "mse"]
        ]
    )
    table = (
        pd.concat(rows)
        .groupby(["curve", "noise_factor"], sort=False)["mse"]
        .agg(["mean", "min", "max", "count"])
    )
    return table.reset_index()


def levels(run: Path) -> pd.DataFrame:
    """noise_factor and test MSE of a run's networks of 4 layers, trained on that noise, by seed."""
    rows = by_level(
        pd.read_parquet(run / "members.parquet"), pd.read_parquet(run / "metrics.parquet")
    )
    rows = rows[(rows["model"] == "dense-4") & (rows["beta"] == 0)]
    return rows.rename(columns={"test_mse": "mse"})[["noise_factor", "mse"]]


def draw(table: pd.DataFrame, file: Path) -> None:
    """The curves with the range over seeds, as an SVG with a white ground for dark pages."""
    with plt.rc_context({"svg.hashsalt": "finding", "svg.fonttype": "none", "font.size": 10}):
        figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
        for curve, (colour, line) in CURVES.items():
            rows = table[table["curve"] == curve].sort_values("noise_factor")
            label = NAMES.get(curve, curve)
            axes.plot(
                rows["noise_factor"], rows["mean"], line, color=colour, label=label, markersize=4
            )
            axes.fill_between(
                rows["noise_factor"],
                rows["min"],
                rows["max"],
                color=colour,
                alpha=0.15,
                linewidth=0,
            )
        axes.set(
            xlabel="noise factor",
            ylabel="test MSE (of a gene's variance)",
            xlim=(0, 1),
            ylim=(0, None),
        )
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9, loc=(0.02, 0.43))
        figure.savefig(file, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    numbers = errors(Path(sys.argv[1]), Path(sys.argv[2]))
    numbers.to_csv(IMAGES / "finding.csv", index=False, float_format="%.4f", lineterminator="\n")
    draw(numbers, IMAGES / "finding.svg")
