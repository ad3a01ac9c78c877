"""The check page of a denoised file: what was changed, how noisy and how usual the samples are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from data_utils.files import replacing
from models.gauge import WITHIN
from study.denoise.apply import Task, some
from study.report import exports
from study.report.document import Document, Plot, Section, Table, Words
from study.report.style import BLUE, DARK, ORANGE, RED, canvas

GENES = 25  # rows of the table of genes
NAMED = 40  # missing genes on the page
#: Points of a picture. Of more samples at most this many are drawn, evenly spaced, and in addition
#: at most as many unlike ones.
POINTS = 5000
#: Shares of unlike samples: up to the first all samples are trusted, above the second none is. In
#: clean data 1 or 2 % are unlike.
FEW, MANY = 0.1, 0.5
#: Share of the model's genes that may be missing.
MISSING_GENES = 0.1
#: The largest noise factor at which models are measured.
LARGEST_NOISE = 1.0
#: References whose error is on the page, each with its words there.
REFERENCES = {"identity": "that of leaving the data alone", "Wiener": "the Wiener filter's"}
DASHED: dict[str, Any] = {"color": DARK, "linestyle": (0, (6, 3))}


def write_check(page: Path, task: Task, source: Path, out: Path) -> str:
    """Write the page and return its verdict, one line."""
    samples = task.samples()
    trusted, verdict = judge(task, samples)
    sections = (
        Section("In short", (verdict, _facts(task, samples, source, out))),
        _unlike(task, samples),
        _noise(task, samples),
        _change(task),
    )
    subtitle = (
        f"{source.name}, {len(samples):,} samples, through “{task.model.name}”: "
        f"{task.model.denoiser.description}."
    )
    document = Document(f"Check of {out.name}", subtitle, None if trusted else verdict, sections)
    images = {plot.key: exports.save(plot) for plot in document.plots()}
    with replacing(page) as temporary:
        temporary.write_text(exports.html(document, images, files=False), "utf-8")
    return f"{verdict.lead} {verdict.text}".lstrip()


def judge(task: Task, samples: pd.DataFrame) -> tuple[bool, Words]:
    """Return whether all samples can be trusted, and the verdict in a sentence or two."""
    missing, total = len(task.missing), len(task.model.genes)
    reasons = {
        "At this noise factor the model is worse than leaving the data alone, on its own "
        "validation rows.": task.relative_mse > 1 and not task.left_alone,
        f"{missing:,} of the model's {total:,} genes are missing.": missing > MISSING_GENES * total,
        f"The model was measured only up to noise factor {LARGEST_NOISE:g}.": task.noise_factor
        > LARGEST_NOISE,
    }
    found = [text for text, holds in reasons.items() if holds]
    unlike = int(samples["unlike"].sum())
    share = unlike / len(samples)
    marked = f"{unlike:,} of {len(samples):,} samples ({share:.0%}) are unlike the training data"
    if share > MANY or found:
        return False, Words(" ".join([f"{marked}.", *found]), "Do not trust this.")
    if share > FEW:
        return False, Words(f"{marked}; they are named below.", "Trust it with care.")
    return True, Words(
        f"The samples are like those that the model was trained on. {marked}; of its own test rows "
        "1 to 3 % are."
    )


def _facts(task: Task, samples: pd.DataFrame, source: Path, out: Path) -> Table:
    match, training = task.match, task.model.training
    ratios = [
        f"{ratio:.3g} times {words}"
        for name, words in REFERENCES.items()
        if name != task.model.name
        and np.isfinite(ratio := task.model.relative_mse(task.noise_factor, name))
    ]
    change = np.sqrt(np.mean(samples["change"] ** 2))
    facts = {
        "in": source.name,
        "out": out.name,
        "genes denoised": f"{match.matched:,}, found by {match.id_kind}",
        "genes left as they were": f"{task.n_genes - match.matched:,}, not among the model's",
        "genes missing": f"{len(task.missing):,}: {some(task.missing, NAMED)}".removesuffix(": "),
        "noise factor": f"{task.noise_factor:.3g}, {task.noise_source}",
        "changed": "nothing" if task.left_alone else f"{change:.3g} standard deviations",
        "scale": f"{'log2(x + 1), and back' if task.transform == 'log2p1' else 'as it was'}: "
        f"{task.transform_reason}",
        "trained on": "simulated data"
        if training.get("simulated")
        else str(training.get("source", "unknown data")),
        "the model's validation MSE there": "; ".join(ratios) or "not measured",
    }
    frame = pd.DataFrame({"what": facts.keys(), "value": facts.values()})
    return Table("facts", "What was done", "", frame)


def _unlike(task: Task, samples: pd.DataFrame) -> Section:
    text = (
        f"A sample is marked if it is further from the training data than {WITHIN:.0%} of the "
        "model's own validation rows under as much noise: in the "
        f"{len(task.gauge.variances)} leading directions of the training data, or by its energy "
        "outside them. Both are 1 for a sample like the training data. A model pulls a sample of "
        "an unknown kind towards those that it was trained on."
    )
    marked = samples[samples["unlike"]].sort_values("outside", ascending=False, kind="stable")
    drawn = samples.iloc[:: -(-len(samples) // POINTS)]
    if len(drawn) < len(samples):
        drawn = pd.concat([drawn, samples[samples["unlike"]].head(POINTS)])
        drawn = drawn.drop_duplicates("sample")
    plot = Plot(
        "distances",
        "Samples and the training data",
        "One mark per sample; dashed: the limits.",
        drawn,
        draw_distances,
        f"Scatter of {len(samples):,} samples; {len(marked):,} are beyond the limits.",
    )
    names = {"sample": "sample", "inside": "in the leading directions", "outside": "outside them"}
    names |= {"noise": "noise by itself", "change": "change"}
    table = Table(
        "unlike",
        "Samples that are marked",
        f"{len(marked):,} samples, the furthest first.",
        marked[[*names]].rename(columns=names),
        dict.fromkeys([*names.values()][1:], ".3g"),
    )
    below = table if len(marked) else Words("None is marked.")
    return Section("Samples unlike the training data", (Words(text), plot, below))


def _spread(values: pd.Series) -> str:
    """Return the median of values, and the range of the middle 90 %."""
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return f"{middle:.2g} in the middle, {low:.2g} to {high:.2g} for 90 % of them"


def _noise(task: Task, samples: pd.DataFrame) -> Section:
    text = (
        f"One noise factor is used for all samples, {task.noise_factor:.3g}. The noise of each "
        f"sample by itself is {_spread(samples['noise'])}; besides noise this contains what the "
        "sample itself varies more than others."
    )
    data = samples[["noise"]].assign(used=task.noise_factor)
    alt = f"Histogram of {len(samples):,} estimates."
    return Section(
        "Noise", (Words(text), Plot("noise", "Noise by sample", "", data, draw_noise, alt))
    )


def _change(task: Task) -> Section:
    title = "What was changed"
    if task.left_alone:
        return Section(title, (Words("Nothing."),))
    genes, change = task.genes(), "change (standard deviations)"
    text = (
        "The root mean square change of a gene over the samples, in units of its standard "
        f"deviation in the training data: {_spread(genes['change'])}. Noise alone would be "
        f"{task.noise_factor:.2g}."
    )
    alt = f"Histogram of {len(genes):,} genes."
    plot = Plot("change", "Change by gene", "", genes, draw_change, alt)
    frame = genes.head(GENES).rename(columns={"change": change})
    caption = f"The first {len(frame)}."
    table = Table("genes", "Genes that were changed most", caption, frame, {change: ".3f"})
    return Section(title, (Words(text), plot, table))


def draw_change(data: pd.DataFrame) -> Figure:
    """Draw a histogram over genes of the root mean square change."""
    change = "root mean square change of a gene, in its training standard deviation"
    return _histogram(data["change"], BLUE, change, "genes")


def draw_noise(data: pd.DataFrame) -> Figure:
    """Draw a histogram over samples of the noise estimate, with the noise factor that was used."""
    figure = _histogram(data["noise"], ORANGE, "noise factor of a sample by itself", "samples")
    used = data["used"].iloc[0]
    axes = figure.axes[0]
    axes.axvline(used, linewidth=1.5, label=f"used for all: {used:.3g}", **DASHED)
    axes.legend(loc="upper right", frameon=False)
    return figure


def _histogram(values: pd.Series, colour: str, xlabel: str, ylabel: str) -> Figure:
    figure, [[axes]] = canvas(330)
    axes.hist(values, bins=40, color=colour)
    axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(0, None))
    return figure


def draw_distances(data: pd.DataFrame) -> Figure:
    """Draw one mark per sample: distance inside and energy outside, and the limits of both."""
    figure, [[axes]] = canvas(470)
    for unlike, colour, marker, name in (
        (False, BLUE, "o", "like the training data"),
        (True, RED, "X", "unlike them"),
    ):
        rows = data[data["unlike"] == unlike]
        if len(rows):
            size, label = 5 if len(data) < 2000 else 3, f"{name} ({len(rows):,})"
            look = {"color": colour, "markersize": size, "alpha": 0.6, "label": label}
            axes.plot(rows["inside"], rows["outside"], marker, **look)
    axes.axvline(data["limit_inside"].iloc[0], linewidth=1.2, **DASHED)
    axes.axhline(data["limit_outside"].iloc[0], linewidth=1.2, **DASHED)
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set(
        xlabel="distance in the leading directions (1: as the training data)",
        ylabel="energy outside them",
        xlim=_range(data["inside"]),
        ylim=_range(data["outside"]),
    )
    axes.legend(loc="lower right", framealpha=0.8)
    return figure


def _range(values: pd.Series) -> tuple[float, float]:
    return min(values.min(), 0.5) / 1.2, max(values.max(), 2.0) * 1.2
