"""What a run of `thinning` leaves: its folder, and its tables for a reader."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from data_utils import files
from data_utils.counts import Counts
from study.evidence.stats import Interval, interval
from study.options import ThinningOptions
from study.run.provenance import provenance
from study.thinning import Outcome

TITLES = {"mse": "MSE on the square-root scale", "poisson_deviance": "Poisson deviance"}
NONE, WIENER = "no denoising", "Wiener"
#: All files of a run folder.
FILES = {"thinning.parquet", "samples.parquet", "split.parquet", "thinning.md", "config.json"}


def check_folder(options: ThinningOptions) -> None:
    """Raise InputError for a folder that is in the way or cannot be written."""
    replace = None if options.fresh else "--fresh"
    files.check_folder(options.folder, "run of thinning", FILES.issuperset, replace)


def write_run(options: ThinningOptions, counts: Counts, outcome: Outcome, command: str) -> Path:
    """Write the run folder, whole or not at all; returns its path."""
    with files.replacing_folder(options.folder) as folder:
        outcome.errors.to_parquet(folder / "thinning.parquet", index=False)
        outcome.samples.to_parquet(folder / "samples.parquet", index=False)
        split = pd.DataFrame(
            {"sample_id": counts.data.matrix.sample_ids, "split": outcome.split.labels()}
        )
        split.to_parquet(folder / "split.parquet", index=False)
        (folder / "config.json").write_text(
            json.dumps(_config(options, counts, command), indent=2) + "\n"
        )
        (folder / "thinning.md").write_text(
            markdown(options, counts, outcome, command), encoding="utf-8"
        )
    return options.folder


def _config(options: ThinningOptions, counts: Counts, command: str) -> dict:
    data = counts.data
    return {
        "command": command,
        "options": {**asdict(options), "out": str(options.folder)},
        "data": {
            "source": data.source,
            "simulated": data.simulated,
            "n_samples": data.matrix.n_samples,
            "n_genes": data.matrix.n_genes,
            "depth": counts.depth,
            "sha256": data.matrix.content_hash(),
            "file_sha256": data.file_sha256,
            "file_size": data.file_size,
            "genes_missing": list(data.genes_missing),
        },
        "provenance": provenance(),
    }


def relative(
    errors: pd.DataFrame, measure: str, reference: str
) -> dict[str, tuple[float, Interval | None]]:
    """For each method the mean over seeds of its measure over the reference's of the same seed, less 1, in %."""
    wide = errors.pivot(index="seed", columns="method", values=measure)
    return _means(100 * (wide.div(wide[reference], axis=0) - 1), reference)


def over_samples(
    samples: pd.DataFrame, measure: str, reference: str
) -> dict[str, tuple[float, Interval | None]]:
    """The same over test samples: the mean difference to the reference, in % of the reference's mean."""
    wide = samples.pivot(index="sample_id", columns="method", values=measure)
    return _means(100 * wide.sub(wide[reference], axis=0) / wide[reference].mean(), reference)


def _means(columns: pd.DataFrame, reference: str) -> dict[str, tuple[float, Interval | None]]:
    return {
        name: (float(values.mean()), None if name == reference else interval(values))
        for name, values in columns.items()
    }


def table(outcome: Outcome, measure: str) -> pd.DataFrame:
    """The methods, the best first: the measure, and how far it is from no denoising's and from Wiener's, in %."""
    means = outcome.errors.groupby("method")[measure].mean().sort_values()
    rows = {"method": means.index, measure: means.to_numpy()}
    for title, reference in (("none", NONE), ("Wiener", WIENER)):
        found = relative(outcome.errors, measure, reference)
        rows[f"% vs {title}"] = [shown(*found[name]) for name in means.index]
    return pd.DataFrame(rows)


def shown(mean: float, its: Interval | None) -> str:
    """`-12.31 (-12.40 to -12.22)`; without an interval the mean alone, and "" where it is the reference itself."""
    if its is None:
        return ""
    digits = 1 if abs(mean) >= 20 or not np.isfinite(its.low) or its.high - its.low > 1 else 2
    text = f"{mean:+.{digits}f}"
    return (
        text if np.isnan(its.low) else f"{text} ({its.low:+.{digits}f} to {its.high:+.{digits}f})"
    )


def printed(outcome: Outcome) -> str:
    """Both tables, for a terminal of 80 columns."""
    blocks = []
    for measure, title in TITLES.items():
        its = table(outcome, measure)
        its[measure] = its[measure].map("{:.4f}".format)
        its = its.rename(columns={measure: "mean"})
        widths = [max(map(len, [name, *its[name]])) for name in its]
        lines = [[*its.columns], *its.to_numpy().tolist()]
        text = "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
        blocks.append(f"{title}, test samples (the less the better)\n{text}\n")
    return "\n".join(blocks)


def markdown(options: ThinningOptions, counts: Counts, outcome: Outcome, command: str) -> str:
    """The page thinning.md."""
    split, n_seeds = outcome.split, outcome.errors["seed"].nunique()
    what = "simulated counts" if counts.data.simulated else Path(counts.data.source).name
    depth = f", {counts.depth:,} counts a sample" if counts.depth else ""
    lines = [
        f"# Thinned counts: {what}",
        "",
        f"`{command}`",
        "",
        f"{counts.data.matrix.n_samples:,} samples ({len(split.train):,} for training, {len(split.validation):,} for "
        f"validation, {len(split.test):,} for the test) of {counts.data.matrix.n_genes:,} genes{depth}. "
        f"Every count was thinned: a share of {options.share:g} is denoised, the rest is what the answer is compared "
        f"with. Differences are in %, paired, with 95 % intervals: over {n_seeds} thinnings of the same samples, and "
        "over the test samples, which say how far the result would carry to others.",
    ]
    for measure, title in TITLES.items():
        lines += ["", f"## {title}", "", *_markdown_table(outcome, measure)]
    return "\n".join(lines) + "\n"


def _markdown_table(outcome: Outcome, measure: str) -> list[str]:
    its = table(outcome, measure)
    over = over_samples(outcome.samples, measure, WIENER)
    removed = outcome.errors.groupby("method")["noise_removed"].mean()
    choices = outcome.errors.groupby("method")["choice"].agg(
        lambda column: ", ".join(dict.fromkeys(column))
    )
    header = [
        "method",
        "mean",
        "vs no denoising",
        "vs Wiener",
        "vs Wiener, over samples",
        "noise removed",
        "chosen",
    ]
    rows = [header, ["---"] * len(header)]
    for name, mean, none, wiener in its.itertuples(index=False):
        cells = [
            name,
            f"{mean:.4f}",
            none,
            wiener,
            shown(*over[name]),
            f"{100 * removed[name]:.1f} %",
            choices[name],
        ]
        rows.append(cells)
    return [f"| {' | '.join(row)} |" for row in rows]
