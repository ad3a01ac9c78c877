"""The report's figures, by the section that owns them: the paper's ten, and those that it lacks.

To add a figure, add its maker to a section here and its drawing to drawing.py. Captions name what
is seen, how to read it, and what these runs do not hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import pandas as pd

from data_utils.noise import identity_mse
from models.architecture import ConvArchitecture, architecture
from models.config import AS_WRITTEN, DENSE_MODELS, NOISE_FACTORS, PAPER_MODELS, Protocol
from study.evidence.evidence import Evidence
from study.report import blueprints, curves, drawing
from study.report.blueprints import MODELS, code_size
from study.report.curves import CLEAN, NOISY, RERUN, SETTINGS
from study.report.document import Plot, Table
from study.report.tables import fig4_table, lost_note
from study.report.wording import in_order, listed, percent

MOST_VALUES = 30  # of a sample label in one figure
MOST_LABELS = 3
MOST_LINES = 10  # of other networks in one figure
MOST_OTHERS = 30  # kinds of other networks that are drawn
MOST_EPOCHS = 100  # points of a curve by epoch
_BY_EPOCH = (("mse", "validation", "validation MSE"), ("loss", "train", "training loss"))
_OTHERS = "Networks that no other section shows, named by what sets them apart from the plain one."
_BEST = (
    "The network is the one with the least mean MSE, in the setting of least validation MSE, "
    "averaged over seeds."
)
_READINGS = {
    "dense-8": (
        "the grey band is all that Fig. 9 shows: every tick of its axis is printed as 1, so the "
        "curve lies within about 0.005 of 1; its shape, a fall at every step, most of it from 0.0 "
        "to 0.1, has no scale"
    ),
    "conv": (
        "grey bands are how exactly the plot can be read. The paper divides by n = 292, 584, ..., "
        "2920 samples, one n for each noise factor: the top panel is C / n with C about 1, next to "
        "any rerun divided by the same n; the next panel undoes the division. The paper has no "
        "point at 1.0"
    ),
}

# The paper's figures.


def paper_figures(evidence: Evidence) -> list[Plot | Table]:
    """Return Figs. 1-10 in order; without matching runs they show the published numbers only."""
    by_noise = [_noise_curve(evidence, model) for model in MODELS]
    drawn = (_kl(), _models(evidence), _network(evidence))
    return [*drawn, fig4_table(evidence), _depth(evidence), *by_noise]


def _kl() -> Plot:
    return Plot(
        "fig-1",
        "Figure 1. KL divergence against mean activation, ρ = 0.2",
        "The sparsity penalty of one hidden unit (eq. 5) by its mean activation. It is 0 where the "
        "mean activation is ρ and grows without limit towards 0 and 1. The paper draws ρ = 0.2 and "
        "trains with ρ near 0.05.",
        blueprints.kl_curve(),
        drawing.draw_kl,
        measured=False,
    )


def _models(evidence: Evidence) -> Table:
    n_genes = evidence.data["n_genes"]
    frame = blueprints.model_table(n_genes)
    return Table(
        "fig-2",
        "Figure 2. The models",
        f"Units of each layer and the number of weights and biases, for the {n_genes:,} genes of "
        "these data. The paper prints two code layers of 32 (as-written); its scripts leave out "
        "the second (as-published).",
        frame,
        dict.fromkeys([name for name in frame if name.startswith("parameters")], ",d"),
        measured=False,
    )


def _network(evidence: Evidence) -> Plot:
    network, n_genes = architecture("conv"), evidence.data["n_genes"]
    assert isinstance(network, ConvArchitecture)
    stages = blueprints.conv_stages(network, n_genes)
    image, side = stages[0], blueprints.STREAM_SIDE
    return Plot(
        "fig-3",
        "Figure 3. The convolutional network",
        "Drawn from the model that is trained: channels@height×width after each block. The "
        f"{n_genes:,} genes of a sample fill one image of {image.height}×{image.width} "
        f"({image.numbers - n_genes:,} places stay 0), and the code is "
        f"{code_size('conv', n_genes):,} numbers. The paper draws images of {side}×{side}, with a "
        f"code of {code_size('conv', side * side):,}; the as-published networks have those.",
        pd.DataFrame([{"block": i, **vars(s), "size": s.size} for i, s in enumerate(stages)]),
        drawing.draw_network,
        measured=False,
    )


def _depth(evidence: Evidence) -> Plot:
    data = curves.depth_points(evidence)
    data = data[(data["panel"] == CLEAN) | (data["series"] != RERUN)]
    code = code_size("dense-2", evidence.data["n_genes"])
    return Plot(
        "fig-5",
        "Figure 5. Number of layers against MSE at noise factor 0.5",
        _joined(
            "The table of Fig. 4 as a plot. Published numbers and the as-published rerun are "
            "measured on clean training rows, as-written and the references on noisy test rows. "
            "The paper's 8 layers in Fig. 9 are only known to be about 1. Bars are 95 % intervals "
            "over seeds.",
            _absent(data, code, "layers", [2, 4, 6, 8]),
            lost_note(evidence, DENSE_MODELS),
        ),
        data.reset_index(drop=True),
        drawing.draw_depth,
    )


def _noise_curve(evidence: Evidence, model: str) -> Plot:
    number = PAPER_MODELS[model].figure
    data = curves.paper_curve(evidence, model)
    dense = model in DENSE_MODELS
    what = f"{model.partition('-')[2]} layers" if dense else "convolutional network"
    reading = _READINGS.get(model, "the grey band is how exactly the plot can be read")
    return Plot(
        f"fig-{number}",
        f"Figure {number}. Noise factor against MSE, {what}",
        _joined(
            "The panel of clean training rows is what the paper's scripts measured, and its axis "
            "does not start at 0; the panel of noisy test rows is what a denoiser is for. Bars are "
            f"95 % intervals over seeds, {reading}.",
            _worse(data),
            _absent(data, code_size(model, evidence.data["n_genes"])),
            lost_note(evidence, [model]),
        ),
        data,
        drawing.draw_curves,
    )


# Networks and references.


def reference_figures(evidence: Evidence) -> list[Plot]:
    """Return all models and references together, and the share of the noise that they remove."""
    data = curves.all_curves(evidence)
    if set(data["series"]) <= {"identity"}:
        return []
    everything = Plot(
        "all-models",
        "All models and all references, noisy test rows",
        _joined(
            f"MSE against noise factor, networks in colour ({curves.main_protocol(evidence)}, "
            "without a sparsity term), references in black and grey. A network above the line of "
            "long dashes, α², does worse than leaving the input alone. Bars are 95 % intervals "
            "over seeds.",
            _worse(data),
            lost_note(evidence),
        ),
        data,
        drawing.draw_all_models,
    )
    shares = curves.noise_removed(data)
    return [everything, _noise_removed(shares)] if len(shares) else [everything]


def _noise_removed(data: pd.DataFrame) -> Plot:
    least = data.loc[data["removed"].idxmin()]
    return Plot(
        "noise-removed",
        "Share of the noise removed",
        "1 − MSE / α² on noisy test rows: 100 % is all of the noise, 0 % is no better than leaving "
        "the input alone, below 0 % (shaded) is worse. Lines that leave through the bottom are not "
        f"drawn to their end: the lowest is {least['series']} at noise factor "
        f"{least['noise_factor']:g}, {percent(least['removed'])}. Without noise there is nothing "
        "to remove, so 0.0 has no point.",
        data,
        drawing.draw_noise_removed,
    )


# Genes, and tissues and other labels.


def gene_figures(evidence: Evidence) -> list[Plot]:
    """Return MSE by gene, if these runs measured it."""
    genes = curves.by_gene(evidence)
    genes = genes[genes["method"] != "PCA with gain"]
    if not len(genes):
        return []
    return [
        Plot(
            "by-gene",
            f"MSE by gene at noise factor {genes['noise_factor'].iloc[0]:g}",
            f"For each method the {genes['gene_id'].nunique():,} genes from its best to its worst, "
            f"on noisy test rows. {_BEST} A gene whose variance on these rows is larger is harder "
            "for answering the mean.",
            curves.gene_quantiles(genes),
            drawing.draw_genes,
        )
    ]


def label_figures(evidence: Evidence) -> list[Plot]:
    """Return MSE by value of each sample label, of the first few labels."""
    names = curves.label_names(evidence)[:MOST_LABELS]
    found = [_by_label(evidence, name, f"by-label-{i}") for i, name in enumerate(names, 1)]
    return [plot for plot in found if plot is not None]


def _by_label(evidence: Evidence, name: str, key: str) -> Plot | None:
    rows = curves.by_label(evidence, name)
    rows = rows[~rows["method"].isin(["identity", "PCA with gain"])]
    if not len(rows):
        return None
    values, noise = rows["value"].unique(), rows["noise_factor"].iloc[0]
    columns = ["value", "samples", "series", "mse", "noise_factor", "method"]
    shown = rows[rows["value"].isin(values[:MOST_VALUES])]
    most = f"The worst {MOST_VALUES} of {len(values):,} values; the CSV of the table has all."
    beyond = "The gene mean leaves the figure on the right where it is far off."
    return Plot(
        key,
        f"MSE by {name} at noise factor {noise:g}",
        _joined(
            f"Worst first, by {rows['series'].iloc[0]}; in brackets the number of test samples: of "
            f"few samples the MSE is rough. {_BEST} The dashed line is the MSE of leaving the "
            f"input alone, {identity_mse(noise):g}.",
            beyond if "gene mean" in set(rows["method"]) else "",
            most if len(values) > MOST_VALUES else "",
        ),
        shown[columns].reset_index(drop=True),
        drawing.draw_labels,
    )


# Autopsy.


def autopsy_figures(evidence: Evidence) -> list[Plot]:
    """Return the curves of the published protocol and its corrections, and how they change."""
    data = curves.autopsy_curves(evidence)
    if not len(data):
        return []
    lines = Plot(
        "autopsy",
        "Autopsy: the published protocol with one item set right at a time",
        "MSE on clean training rows (what the paper's scripts measured) against noise factor; the "
        "axis does not start at 0. The black line is the published protocol; each other line "
        "differs from it in one item only. A line that no longer falls names the item that made "
        f"MSE fall with noise. Bars are 95 % intervals over seeds ({listed(data['seeds'])} seeds).",
        data,
        drawing.draw_autopsy,
    )
    change = curves.autopsy_change(evidence)
    return [lines, _autopsy_change(change)] if len(change) else [lines]


def _autopsy_change(data: pd.DataFrame) -> Plot:
    pairs = data[["from_noise", "to_noise"]].drop_duplicates().to_numpy()
    ends = ", ".join(f"{first:g} to {last:g}" for first, last in pairs)
    return Plot(
        "autopsy-change",
        "Autopsy: which item makes error fall as noise grows",
        f"Change of MSE on clean training rows from noise factor {ends}, paired by seed, with 95 % "
        f"intervals ({listed(data['seeds'])} seeds). Left of 0 is the paper's claim, more noise "
        "and less error; at 0 or right of it the item that was set right has made the claim "
        "vanish.",
        data,
        drawing.draw_autopsy_change,
    )


# Other: networks that no other section shows.


def other_figures(evidence: Evidence, shown: Iterable[str]) -> list[Plot | Table]:
    """Return curves of the networks that no section shows, by noise factor and epoch, and a table.

    `shown` holds the ids of the networks that the other sections show.
    """
    rows = other_networks(evidence, shown)
    if not len(rows):
        return []
    points = curves.over_seeds(rows, "test_mse", ["series", "noise_factor"])
    points = points.set_index("series").loc[rows["series"].unique()].reset_index()
    at = " Noisy test rows, mean over seeds; bars are 95 % intervals."
    plots = [*_other_plots("other-noise", "noise_factor", "test MSE", at, points)]
    at = f" Mean over seeds at one noise factor, the nearest to {curves.NOISE:g} that each has."
    for metric, split, name in _BY_EPOCH:
        data = _by_epoch(evidence, rows, metric, split)
        plots += _other_plots(f"other-{metric}", "epoch", name, at, data)
    names = {"series": "network", "noise_factor": "noise factor", "mse": "test MSE"}
    table = Table(
        "other-networks",
        "Other networks",
        f"{_OTHERS} MSE on noisy test rows, mean over seeds with its 95 % interval.",
        points.rename(columns={**names, "low": "95 % from", "high": "to"}),
        {"noise factor": "g", **dict.fromkeys(("test MSE", "95 % from", "to"), ".4f")},
    )
    return [*plots, table]


def other_networks(evidence: Evidence, shown: Iterable[str]) -> pd.DataFrame:
    """Return the rows of Evidence.levels that no section shows, with what a network is in `series`.

    Networks that did not finish are listed under Provenance, and mixtures of Wiener filters stand
    with the references.
    """
    rows = evidence.levels
    rows = rows[(rows["status"] == "finished") & np.isfinite(rows["test_mse"].astype(float))]
    rows = rows[~rows["member_id"].isin(shown) & (rows["optimizer"] != "")]
    several = rows["member_id"].duplicated(keep=False)
    names = [_kind(*row) for row in zip(rows.to_dict("records"), several, strict=True)]
    rows = rows.assign(series=names, noise_factor=curves.rounded(rows["noise_factor"]))
    return in_order(rows, "series", "noise_factor", "seed")


def _kind(row: dict, several: bool) -> str:
    """Name a network by its model, what differs from the plain one, and its epochs."""
    protocol = Protocol(row["protocol"], row["changed"])
    written = protocol == Protocol(AS_WRITTEN)
    parts = [row["model"]] if written else [row["model"], str(protocol)]
    for name in SETTINGS if written else ("beta", *curves.UNCHANGED):
        value = row[name]
        if value != SETTINGS[name]:
            text = f"{value:g}" if isinstance(value, float) else str(value)
            parts.append(f"{name.replace('_', ' ')} {text}")
    if several:
        parts.append("several noise factors")
    return ", ".join([*parts, f"{row['epochs']} epochs"])


def _by_epoch(evidence: Evidence, rows: pd.DataFrame, metric: str, split: str) -> pd.DataFrame:
    """Return a metric by epoch of each kind of network, at the noise factor nearest to 0.5."""
    middle = rows.groupby("series")["noise_factor"].transform(curves.nearest)
    members = rows[rows["noise_factor"] == middle][["series", "member_id", "seed"]]
    table = pd.concat([run.metrics for run in evidence.runs], ignore_index=True)
    table = table[(table["metric"] == metric) & (table["split"] == split)]
    table = members.merge(table.drop_duplicates(), on="member_id")
    epochs = np.unique(table["epoch"])
    if len(epochs) > MOST_EPOCHS:
        epochs = epochs[np.linspace(0, len(epochs) - 1, MOST_EPOCHS).round().astype(int)]
    table = table[table["epoch"].isin(epochs)]
    means = table.groupby(["series", "epoch"], sort=False)["value"].mean()
    return means.rename("mse").reset_index().assign(bounds="none", low=np.nan, high=np.nan)


def _other_plots(
    key: str, x: str, quantity: str, caption: str, data: pd.DataFrame
) -> Iterator[Plot]:
    """Yield as many figures as the lines need, up to a limit; the table has all networks."""
    names = list(data["series"].drop_duplicates())
    if len(names) > MOST_OTHERS:
        caption += f" The first {MOST_OTHERS} of {len(names)} kinds; the table has all."
    starts = range(0, min(len(names), MOST_OTHERS), MOST_LINES)
    for i, start in enumerate(starts, 1):
        count = f" ({i} of {len(starts)})" if len(starts) > 1 else ""
        yield Plot(
            key if i == 1 else f"{key}-{i}",
            f"Other networks: {quantity} against {x.replace('_', ' ')}{count}",
            f"{_OTHERS}{caption}",
            data[data["series"].isin(names[start : start + MOST_LINES])].reset_index(drop=True),
            partial(drawing.draw_others, x=x, ylabel=quantity),
        )


# What captions tell of their data: a sentence, or nothing.


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def _worse(points: pd.DataFrame) -> str:
    """Name where networks are worse than leaving the input alone."""
    noisy = points[points["panel"] == NOISY]
    noisy = noisy[noisy["series"].isin([*MODELS, AS_WRITTEN, RERUN])]
    bad = noisy[noisy["mse"] > identity_mse(noisy["noise_factor"])]
    parts = [
        f"{name} at {listed(rows['noise_factor'])}"
        for name, rows in bad.groupby("series", sort=False)
    ]
    text = "Worse than leaving the input alone, by noise factor"
    return f"{text}: {'; '.join(parts)}." if parts else ""


def _absent(
    points: pd.DataFrame,
    code: int,
    x: str = "noise_factor",
    expected: Sequence[float] = NOISE_FACTORS,
) -> str:
    """Name what is missing of the two protocols, by x, and of the references for such a code."""
    missing = []
    for panel, name in ((CLEAN, RERUN), (NOISY, AS_WRITTEN)):
        held = set(points.loc[(points["panel"] == panel) & (points["series"] == name), x])
        lacks = [value for value in expected if value not in held]
        if lacks:
            missing.append(f"{name} ({x.replace('_', ' ')} {listed(lacks)})" if held else name)
    references = {"gene mean": "gene mean", f"PCA {code}": f"PCA with {code} components"}
    references["Wiener"] = "Wiener"
    missing += [text for name, text in references.items() if name not in set(points["series"])]
    return f"Not in these runs: {'; '.join(missing)}." if missing else ""
