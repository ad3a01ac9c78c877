"""Networks next to the references, and their error by gene and by label of the samples."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from data_utils.cohort import cohort_targets
from data_utils.genes import gene_names
from data_utils.noise import identity_mse
from models.config import AS_PUBLISHED, AS_WRITTEN, PAPER_CODE, PAPER_MODELS
from study.evidence.effects import Effect, effects
from study.evidence.evidence import MIXTURE, Evidence
from study.evidence.stats import HOLDS, NOT_MEASURED, REVERSED
from study.report import curves
from study.report.curves import MISSING, NOISY
from study.report.document import Plot, Table, anchor
from study.report.drawing import (
    MSE_AXIS,
    NOISE_AXIS,
    draw_named,
    name_all,
    named_rows,
    noise_limits,
    top,
)
from study.report.figures import worse_note
from study.report.style import DARK, LONG_DASHES, RED, canvas, label, look
from study.report.wording import percent, scale_words, sentences, shortened

REFERENCES = ("identity", "gene mean", "PCA", "PCA with gain", "Wiener", MIXTURE, "oracle")
#: The simple methods to compare with, by the name of the column.
SIMPLE = {"input left alone": "identity", f"PCA, {PAPER_CODE}": "PCA", "Wiener filter": "Wiener"}
#: Words for the outcomes of comparing two methods.
WORDS = {HOLDS: "better", REVERSED: "worse"}
MOST_VALUES = 30  # of a sample label in one figure
MOST_LABELS = 3  # labels with a figure
N_GENES = 10  # worst and best genes in the table
#: Markers of references in a figure without lines; PCA's is long, since networks often cover it.
MARKS = {"PCA": ("|", 12), "Wiener": ("o", 8), MIXTURE: ("+", 8), "oracle": ("*", 5)}
_BEST = (
    "The network is the one with the least mean MSE, in the setting of least validation MSE, "
    "averaged over seeds."
)


# All models and references.


def reference_exhibits(evidence: Evidence) -> list[Plot | Table]:
    """Return figures and a table of all models and references, and of the noise they remove."""
    found: list[Plot | Table | None] = []
    data = all_curves(evidence)
    if set(data["series"]) > {"identity"}:
        found = [_all_models(evidence, data), _noise_removed(noise_removed(data))]
    found += [against_references(evidence), _mse_table(evidence)]
    return [exhibit for exhibit in found if exhibit is not None]


def all_curves(evidence: Evidence, gain: bool = False) -> pd.DataFrame:
    """Return every model of the paper and all references on noisy test rows.

    Models are as-written, or as-published if there is none. `gain` is as in reference_curves.
    """
    protocol = curves.main_protocol(evidence)
    held = set(curves.of_protocol(evidence, protocol)["model"])
    names = [model for model in PAPER_MODELS if model in held]
    parts = [curves.network_curve(evidence, protocol, model, NOISY, model) for model in names]
    references = curves.reference_curves(evidence, curves.code_sizes(evidence, names), gain)
    return pd.concat([*parts, references], ignore_index=True)


def noise_removed(points: pd.DataFrame) -> pd.DataFrame:
    """Return the share of the noise that curves on noisy rows remove: 1 - MSE / alpha^2.

    Below 0 is worse than leaving the input alone. Points without noise are left out.
    """
    points = points[(points["noise_factor"] > 0) & (points["series"] != "identity")]
    alpha2 = identity_mse(points["noise_factor"])
    shares = {"removed": 1 - points["mse"] / alpha2, "low": 1 - points["high"] / alpha2}
    frame = points.assign(**shares, high=1 - points["low"] / alpha2)
    columns = ["series", "noise_factor", "removed", "low", "high", "seeds", "bounds", "method"]
    return frame[columns].reset_index(drop=True)


def _all_models(evidence: Evidence, data: pd.DataFrame) -> Plot:
    return Plot(
        "all-models",
        "All models and all references, noisy test rows",
        "MSE against noise factor of every network, in colour, and of every reference, in "
        "black and grey.",
        data,
        draw_all_models,
        note=sentences(
            f"Networks are {curves.main_protocol(evidence)}, without a sparsity term; above the "
            "line of long dashes, α², they do worse than leaving the input alone. Bars are 95 % "
            "intervals over seeds.",
            worse_note(data),
            curves.lost_note(evidence),
        ),
    )


def draw_all_models(data: pd.DataFrame) -> Figure:
    """Draw every network and every reference on noisy test rows."""
    figure, [[axes]] = canvas(540)
    axes.set(xlabel=NOISE_AXIS, ylabel=MSE_AXIS, xlim=noise_limits(data), ylim=(0, top(data)))
    draw_named(axes, data)
    return figure


def _noise_removed(data: pd.DataFrame) -> Plot | None:
    if not len(data):
        return None
    least = data.loc[data["removed"].idxmin()]
    return Plot(
        "noise-removed",
        "Share of the noise removed",
        "1 − MSE / α² on noisy test rows: 100 % is all of the noise, 0 % is no better than "
        "leaving the input alone, and below 0 % (shaded) is worse.",
        data,
        draw_noise_removed,
        note=(
            "Lines that leave through the bottom are not drawn to their end: the lowest is "
            f"{least['series']} at noise factor {least['noise_factor']:g}, "
            f"{percent(least['removed'])}. Without noise there is nothing to remove, so 0.0 has "
            "no point."
        ),
    )


def draw_noise_removed(data: pd.DataFrame) -> Figure:
    """Draw the share of the noise removed, without shares below -1."""
    figure, [[axes]] = canvas(520)
    axes.set(xlabel=NOISE_AXIS, xlim=noise_limits(data), ylim=(-1.05, 1.05))
    axes.set_ylabel("share of the noise removed, 1 − MSE / α²")
    axes.axhspan(-1.05, 0, color=RED, alpha=0.07, linewidth=0)
    axes.axhline(0, color=DARK, linewidth=1.2)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    worse = "worse than\nleaving the\ninput alone"
    axes.text(0.02, -0.04, worse, transform=axes.get_yaxis_transform(), va="top")
    draw_named(axes, data, y="removed")
    return figure


def _mse_table(evidence: Evidence) -> Table | None:
    """Return MSE on noisy test rows, with a row per method and a column per noise factor."""
    parts = [all_curves(evidence, gain=True)]
    published = curves.of_protocol(evidence, AS_PUBLISHED)
    if curves.main_protocol(evidence) == AS_WRITTEN and len(published):
        by = ["model", "noise_factor"]
        found = curves.over_seeds(published, "test_mse", by, evidence.overlap)
        parts.insert(0, found.assign(series=found["model"] + ", as its scripts ran"))
    points = pd.concat(parts, ignore_index=True)
    if set(points["series"]) == {"identity"}:
        return None
    wide = points.pivot(index="series", columns="noise_factor", values="mse")
    measured = points.loc[points["series"] != "identity", "noise_factor"]  # its MSE is known anyway
    wide = wide[[noise for noise in wide if noise in set(measured)]]
    wide = wide.reindex(points["series"].unique()).rename(columns="α = {:g}".format)
    wide = wide.rename(index=label).rename_axis(columns=None).dropna(axis=1, how="all")
    return Table(
        "mse",
        "MSE by method and noise factor",
        "MSE of each method on noisy test rows, mean over seeds.",
        wide.reset_index(names="method"),
        dict.fromkeys(wide, ".3f"),
        by=("method",),
        note=sentences(
            "Intervals are in the figures and their CSV. PCA with gain also shrinks each component "
            "as a Wiener filter would: the best of linear networks with that code.",
            MISSING,
            curves.lost_note(evidence),
        ),
    )


# Every method against simple ones.


def compared(effect: object) -> str:
    """Return the outcome of a comparison in a word: "better", "worse", "undecided"."""
    outcome = effect.outcome if isinstance(effect, Effect) else NOT_MEASURED
    return WORDS.get(outcome, str(outcome))


def against_references(evidence: Evidence) -> Table | None:
    """Return a table of each method's error relative to the errors of simple ones.

    It has up to 3 noise factors, and is None if these runs measured nothing to compare.
    """
    errors = _errors(evidence)
    noise = errors.columns.get_level_values("noise_factor").unique()
    noise = sorted({noise.min(), curves.nearest(noise), noise.max()}) if len(noise) else []
    methods = [name for name in errors.columns.unique("method") if name not in SIMPLE.values()]
    rows = [(name, alpha) for name in methods for alpha in noise if (name, alpha) in errors]
    ratios = {}
    for name, alpha in rows:
        for column, reference in SIMPLE.items():
            if (reference, alpha) in errors:
                ratio = errors[reference, alpha] / errors[name, alpha]
                ratios[name, alpha, column] = np.log(ratio).dropna()
    found = effects(ratios, evidence.overlap, evidence.smallest)
    columns = {
        column: [found.get((*row, column)) for row in rows]
        for column in SIMPLE
        if any((*row, column) in found for row in rows)
    }
    if not columns:
        return None
    frame = pd.DataFrame({"method": [label(name) for name, _ in rows]})
    frame["noise"] = [alpha for _, alpha in rows]
    return Table(
        "against",
        "Against simple denoisers",
        "By how much each simple denoiser has more MSE than the method (+, the method is "
        "better) or less, on noisy test rows, paired by seed.",
        frame.assign(**columns),
        {"noise": "g", **dict.fromkeys(columns, compared)},
        by=("method", "noise"),
        note=f"Intervals are simultaneous (Holm). {scale_words(evidence.smallest)}",
    )


def _errors(evidence: Evidence) -> pd.DataFrame:
    """Return test MSE of networks and references: (seeds, methods x noise factors above 0)."""
    networks = curves.of_protocol(evidence, curves.main_protocol(evidence))
    networks = networks.assign(method=networks["model"])
    table = evidence.references
    table = table[table["code_size"].isna() | (table["code_size"] == PAPER_CODE)]
    table = table.assign(
        method=table["reference"], noise_factor=curves.rounded(table["noise_factor"])
    )
    columns = ["seed", "method", "noise_factor", "test_mse"]
    parts = [part[columns] for part in (networks, table) if len(part)]
    rows = pd.concat(parts) if parts else pd.DataFrame(columns=columns)
    kept = (rows["noise_factor"] > 0) & ~rows["method"].isin(["gene mean", "PCA with gain"])
    places = ["method", "noise_factor"]
    wide = rows[kept].pivot_table(index="seed", columns=places, values="test_mse", sort=False)
    return wide.astype(float)


def cohort_table() -> Table:
    """Return the properties of the simulated cohort next to those of GTEx."""
    found = cohort_targets()
    ends = zip(found["lowest"], found["highest"], strict=True)
    frame = pd.DataFrame(
        {
            "property": found["property"]
            .str.replace(", quantile", "")
            .str.replace(", top", ", first"),
            "of": found["at"],
            "GTEx V6": found["gtex"],
            "simulated": found["simulated"],
            "accepted": [f"{low:g} to {high:g}" for low, high in ends],
        }
    )
    return Table(
        "cohort",
        "The simulated cohort next to GTEx",
        "Properties of z-scored genes, of the simulated samples and of a published factor "
        "model of GTEx V6.",
        frame,
        dict.fromkeys(("GTEx V6", "simulated"), ".3g"),
        measured=False,
        note=(
            "They are of 2,921 samples of data seed 0; MSE is that of simple denoisers on "
            "held-out samples."
        ),
    )


# MSE by gene and by sample label: the best network and the references at one noise factor.


def breakdown(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the best network, and of the references, at the middle noise factor.

    The first series is the network with the least mean MSE, as-written before as-published; the
    noise factor is the one nearest to 0.5. No rows if these runs measured no network.
    """
    table = table.assign(noise_factor=curves.rounded(table["noise_factor"]), series=table["method"])
    table = table[table["noise_factor"] == curves.nearest(table["noise_factor"])]
    parts = [table[table["protocol"] == protocol] for protocol in (AS_WRITTEN, AS_PUBLISHED)]
    held = next((part for part in parts if len(part)), table[:0])
    if not len(held):
        return held
    best = held[held["method"] == held.groupby("method")["mse"].mean().idxmin()]
    if best["protocol"].iloc[0] == AS_PUBLISHED:
        best = best.assign(series=f"{best['method'].iloc[0]}, {AS_PUBLISHED}")
    references = [table[(table["protocol"] == "") & (table["method"] == r)] for r in REFERENCES]
    return pd.concat([best, *references], ignore_index=True)


def _by_method(rows: pd.DataFrame, key: str) -> pd.DataFrame:
    """Return MSE with a row per gene or value and a column per method, in the order of `rows`."""
    wide = rows.pivot(index=key, columns="series", values="mse").rename_axis(columns=None)
    return wide.loc[rows[key].unique(), rows["series"].unique()]


def gene_exhibits(evidence: Evidence) -> list[Plot | Table]:
    """Return MSE by gene, if these runs measured it."""
    rows = breakdown(evidence.genes)
    if not len(rows):
        return []
    noise, drawn = rows["noise_factor"].iloc[0], rows[rows["method"] != "PCA with gain"]
    plot = Plot(
        "by-gene",
        f"MSE by gene at noise factor {noise:g}",
        "For each method the MSE of the genes on noisy test rows, from its best gene to its worst.",
        gene_quantiles(drawn),
        draw_genes,
        note=(
            f"There are {rows['gene_id'].nunique():,} genes. {_BEST} A gene whose variance on "
            "these rows is larger is harder for answering the mean."
        ),
    )
    wide = _by_method(drawn, "gene_id")
    methods = list(wide)
    wide = wide.sort_values(methods[0], ascending=False, kind="stable").reset_index(names="id")
    wide.insert(0, "gene", gene_names(wide["id"]))
    wide.insert(0, "rank", range(1, len(wide) + 1))
    ends = wide if len(wide) <= 2 * N_GENES else pd.concat([wide.head(N_GENES), wide.tail(N_GENES)])
    table = Table(
        "genes",
        f"Genes denoised worst and best, noise factor {noise:g}",
        "MSE of the worst and the best genes on noisy test rows, mean over seeds.",
        ends.reset_index(drop=True),
        dict.fromkeys(methods, ".3f"),
        note=(
            f"Sorted by {methods[0]}, whose rank 1 is the worst of {len(wide):,} genes; "
            f"{len(ends)} are shown. {MISSING}"
        ),
    )
    return [plot, table]


def gene_quantiles(genes: pd.DataFrame) -> pd.DataFrame:
    """Return for each method the MSE of the genes sorted by it, at every percent."""
    percents = np.linspace(0, 100, 101)
    parts = []
    for (series, method), rows in genes.groupby(["series", "method"], sort=False):
        part = {"series": series, "method": method, "percent_of_genes": percents}
        parts.append(pd.DataFrame({**part, "mse": np.percentile(rows["mse"], percents)}))
    return pd.concat(parts, ignore_index=True)


def draw_genes(data: pd.DataFrame) -> Figure:
    """Draw MSE by gene: for each method the genes sorted by their own MSE."""
    figure, [[axes]] = canvas(460)
    axes.set(xlabel="genes, best to worst for each method (%)", ylabel="MSE of a gene (eq. 11)")
    axes.set(xlim=(0, 100), ylim=(0, 1.04 * data["mse"].max()))
    methods = data.drop_duplicates("series").set_index("series")["method"]
    looks = {series: look(method, marker="") for series, method in methods.items()}
    draw_named(axes, data, "percent_of_genes", looks=looks)
    return figure


def label_exhibits(evidence: Evidence) -> list[Plot | Table]:
    """Return MSE by value of each sample label: figures of the first few labels, all tables."""
    plots: list[Plot] = []
    tables: list[Table] = []
    for name, labels in evidence.labels.groupby("label", sort=False):
        rows = breakdown(labels)
        if not len(rows):
            continue
        by_network = rows[rows["series"] == rows["series"].iloc[0]].set_index("value")["mse"]
        worst = by_network.sort_values(ascending=False, kind="stable").index  # first
        rows = rows.sort_values("value", key=worst.get_indexer, kind="stable")
        key = anchor(str(name))[:40]  # two cohorts are joined by the name, in whichever place it is
        if not key or f"labels-{key}" in {table.key for table in tables}:
            key = f"{key}-{len(tables) + 1}".lstrip("-")
        tables.append(_label_table(rows, name, key))
        if len(plots) < MOST_LABELS:
            plots.append(_by_label(rows, name, key))
    return [*plots, *tables]


def _label_table(rows: pd.DataFrame, name: str, key: str) -> Table:
    wide = _by_method(rows, "value")
    methods = list(wide)
    wide.insert(0, "samples", rows.groupby("value")["samples"].max())
    return Table(
        f"labels-{key}",
        f"MSE by {name}, noise factor {rows['noise_factor'].iloc[0]:g}",
        "MSE on noisy test rows by value of the label, mean over seeds.",
        wide.reset_index(names=name if name != "samples" else "value"),
        dict.fromkeys(methods, ".4f"),
        note=f"Worst for {methods[0]} first; of few samples it is rough. {MISSING}",
    )


def _by_label(rows: pd.DataFrame, name: str, key: str) -> Plot:
    rows = rows[~rows["method"].isin(["identity", "PCA with gain"])]
    values, noise = rows["value"].unique(), rows["noise_factor"].iloc[0]
    columns = ["value", "samples", "series", "mse", "noise_factor", "method"]
    shown = rows[rows["value"].isin(values[:MOST_VALUES])]
    most = f" The worst {MOST_VALUES} of {len(values):,} values; the table's CSV has all."
    return Plot(
        f"by-label-{key}",
        f"MSE by {name} at noise factor {noise:g}",
        "MSE on noisy test rows by value of the label, worst first, with the number of test "
        "samples in brackets.",
        shown[columns].reset_index(drop=True),
        draw_labels,
        note=sentences(
            f"Sorted by {rows['series'].iloc[0]}; of few samples the MSE is rough. {_BEST} The "
            f"dashed line is the MSE of leaving the input alone, {identity_mse(noise):g}. A gene "
            "mean that is far off leaves the figure on the right.",
            most if len(values) > MOST_VALUES else "",
        ),
    )


def draw_labels(data: pd.DataFrame) -> Figure:
    """Draw MSE by value of a sample label: one row per value, worst first; one mark per method."""
    rows = data.drop_duplicates("value")
    place = {value: i for i, value in enumerate(rows["value"])}
    counts = zip(rows["value"], rows["samples"], strict=True)
    names = [f"{shortened(value)} ({n:,})" for value, n in counts]
    figure, axes = named_rows(names, range(len(names)), 22, 136)
    axes.grid(True, axis="y")
    most = data.loc[data["method"] != "gene mean", "mse"].max()  # the gene mean may lie beyond
    axes.set(xlabel=f"{MSE_AXIS} on noisy test rows", xlim=(0, 1.05 * most))
    alone, name = identity_mse(data["noise_factor"].iloc[0]), label("identity")
    axes.axvline(alone, color=DARK, linestyle=LONG_DASHES, linewidth=1.2, zorder=1, label=name)
    for (series, method), points in data.groupby(["series", "method"], sort=False):
        marker, size = MARKS.get(method, (look(method)["marker"] or "x", 8))
        style = look(method, linestyle="", marker=marker, markersize=size)
        if method == "Wiener":  # the oracle is often within it
            style["markerfacecolor"] = "white"
        axes.plot(points["mse"], points["value"].map(place), label=label(series), **style)
    name_all(figure, columns=3)
    return figure
