"""Figures that the paper lacks: all models beside all references, what is behind the means, and the autopsy."""

from __future__ import annotations

from functools import partial

from study.evidence.evidence import Evidence
from study.report import blueprints, breakdown, curves, drawing
from study.report.captions import in_words, lost_note, plot_of, worse
from study.report.document import Plot
from study.report.style import label
from study.report.wording import listed, percent, signed

MOST_VALUES = 30  # of a sample label in one figure
MOST_LABELS = 3
BEST = "The network is the one with the least mean MSE, in the setting of least validation MSE, averaged over seeds."


def more_figures(evidence: Evidence) -> list[Plot]:
    """All models and references together, share of the noise removed, by gene, by label, autopsy: what there is."""
    evidence = curves.narrowed(evidence)
    makers = [_all_models, _noise_removed, _by_gene]
    makers += [
        partial(_by_label, name=name) for name in breakdown.label_names(evidence)[:MOST_LABELS]
    ]
    makers += [_autopsy, _autopsy_change]
    return [plot for make in makers if (plot := make(evidence)) is not None]


def _all_models(evidence: Evidence) -> Plot | None:
    data = curves.all_curves(evidence)
    if set(data["series"]) <= {"identity"}:
        return None
    return plot_of(
        evidence,
        "all-models",
        "All models and all references, noisy test rows",
        f"MSE against noise factor, networks in colour ({curves.main_protocol(evidence)}, without a sparsity term), "
        f"references in black and grey. A network above the line of long dashes, α², does worse than leaving "
        f"the input alone. Bars are 95 % intervals over seeds. {worse(data)} {lost_note(evidence)}",
        in_words(data),
        data,
        drawing.draw_all_models,
    )


def _noise_removed(evidence: Evidence) -> Plot | None:
    data = curves.noise_removed(curves.all_curves(evidence))
    if not len(data):
        return None
    least = data.loc[data["removed"].idxmin()]
    networks = data[data["series"].isin(blueprints.MODELS)]
    words = [
        f"{name} {percent(points['removed'].iloc[0])} at {points['noise_factor'].iloc[0]:g}, "
        f"{percent(points['removed'].iloc[-1])} at {points['noise_factor'].iloc[-1]:g}"
        for name, points in (networks if len(networks) else data).groupby("series", sort=False)
    ]
    return plot_of(
        evidence,
        "noise-removed",
        "Share of the noise removed",
        "1 − MSE / α² on noisy test rows: 100 % is all of the noise, 0 % is no better than leaving the input alone, "
        "below 0 % (shaded) is worse. Lines that leave through the bottom are not drawn to their end: the lowest is "
        f"{least['series']} at noise factor {least['noise_factor']:g}, {percent(least['removed'])}. Without noise "
        "there is nothing to remove, so 0.0 has no point.",
        f"Share of the noise removed: {'; '.join(words)}.",
        data,
        drawing.draw_noise_removed,
    )


def _by_gene(evidence: Evidence) -> Plot | None:
    genes, noise = breakdown.by_gene(evidence)
    if not len(genes):
        return None
    genes = genes.drop(columns="PCA with gain", errors="ignore")
    data = breakdown.gene_quantiles(genes)
    words = [
        f"{name}: median {genes[name].median():.3f}, worst {genes[name].max():.3f}"
        for name in genes
    ]
    return plot_of(
        evidence,
        "by-gene",
        f"MSE by gene at noise factor {noise:g}",
        f"For each method the {len(genes):,} genes from its best to its worst, on noisy test rows. "
        f"{BEST} A gene whose variance on these rows is larger is harder for answering the mean.",
        f"MSE of a gene: {'; '.join(words)}.",
        data,
        drawing.draw_genes,
    )


def _by_label(evidence: Evidence, name: str) -> Plot | None:
    wide, noise = breakdown.by_label(evidence, name)
    if not len(wide):
        return None
    shown = wide.head(MOST_VALUES)
    methods = [column for column in wide if column not in ("samples", "identity", "PCA with gain")]
    data = (
        shown.reset_index(names="value")
        .melt(["value", "samples"], methods, "series", "mse")
        .dropna(subset="mse")
        .assign(noise_factor=noise)
    )
    first, last = (f"{wide.index[i]} {wide[methods[0]].iloc[i]:.3f}" for i in (0, -1))
    beyond = (
        " The gene mean leaves the figure on the right where it is far off."
        if "gene mean" in wide
        else ""
    )
    some = (
        f" The worst {MOST_VALUES} of {len(wide):,} values; the CSV of the table has all."
        if len(wide) > len(shown)
        else ""
    )
    return plot_of(
        evidence,
        f"by-label-{breakdown.label_names(evidence).index(name) + 1}",
        f"MSE by {name} at noise factor {noise:g}",
        f"Worst first, by {label(methods[0])}; in brackets the number of test samples: of few samples the MSE is "
        f"rough. {BEST} The dashed line is the MSE of leaving the input alone, {noise**2:g}.{beyond}{some}",
        f"MSE of {methods[0]}: worst {first}, best {last}.",
        data,
        drawing.draw_labels,
    )


def _autopsy(evidence: Evidence) -> Plot | None:
    data = breakdown.autopsy_curves(evidence)
    if not len(data):
        return None
    return plot_of(
        evidence,
        "autopsy",
        "Autopsy: the published protocol with one item set right at a time",
        "MSE on clean training rows (what the paper's scripts measured) against noise factor; the axis does not start "
        "at 0. The black line is the published protocol; each other line differs from it in one item alone. A line "
        "that no longer falls names the item that made MSE fall with noise. Bars are 95 % intervals over seeds "
        f"({listed(data['seeds'])} seeds).",
        _autopsy_words(breakdown.autopsy_change(evidence)),
        data,
        drawing.draw_autopsy,
    )


def _autopsy_change(evidence: Evidence) -> Plot | None:
    data = breakdown.autopsy_change(evidence)
    if not len(data):
        return None
    ends = ", ".join(
        f"{a:g} to {b:g}" for a, b in data[["from_noise", "to_noise"]].drop_duplicates().to_numpy()
    )
    return plot_of(
        evidence,
        "autopsy-change",
        "Autopsy: which item makes error fall as noise grows",
        f"Change of MSE on clean training rows from noise factor {ends}, paired by seed, with 95 % intervals "
        f"({listed(data['seeds'])} seeds). Left of 0 is the paper's claim, more noise and less error; at 0 or right of "
        "it the item that was set right has made the claim vanish.",
        _autopsy_words(data),
        data,
        drawing.draw_autopsy_change,
    )


def _autopsy_words(changes) -> str:
    """The change of every item, by model."""
    parts = []
    for model, rows in changes.groupby("model", sort=False):
        items = "; ".join(
            f"{item} {signed(change)}"
            for item, change in zip(rows["series"], rows["change"], strict=True)
        )
        parts.append(f"{model}: {items}")
    return f"Change of MSE from the least noise to the most. {'. '.join(parts)}."
