"""The paper's Figs. 1-10 with our results next to its own: data, caption and drawing of each.

To add a figure, write a function that returns its Plot, with the drawing below it, and add it to
the list of its section: here `paper_figures`; elsewhere those of references.py, autopsy.py,
other.py and questions/. A caption describes what is seen, how to read it, and what these runs lack.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from data_utils.noise import identity_mse
from models.architecture import (
    ConvArchitecture,
    DenseArchitecture,
    architecture,
    image_shape,
    n_parameters,
)
from models.config import AS_PUBLISHED, AS_WRITTEN, DENSE_MODELS, NOISE_FACTORS, PAPER_MODELS
from study.evidence.evidence import Evidence
from study.grids import LONG, PUBLISHED_EPOCHS
from study.paper.published import N_SAMPLES, published_fig4, published_mse
from study.report import curves
from study.report.curves import CLEAN, LONG_RERUN, NOISE, NOISY, RERUN, VAGUE
from study.report.document import Fold, Plot, Table
from study.report.drawing import MSE_AXIS, NOISE_AXIS, draw_named, noise_limits, top
from study.report.style import BLUE, GREY, ORANGE, PALE, RED, canvas, is_narrow, label, width
from study.report.wording import Mean, listed, sentences

RHO = 0.2  # of Fig. 1
STREAM_SIDE = 24  # of the paper's images
PRINTED = "as printed: MSE / n"
#: The panels of Figs. 6-10, from top to bottom: title, y axis, and share of the height.
PANELS = {
    PRINTED: ("As the paper prints it: MSE divided by n", "MSE / n", 2),
    CLEAN: ("Measured as the paper did: clean training rows in", MSE_AXIS, 2),
    NOISY: ("As a denoiser: noisy test rows in", MSE_AXIS, 3),
}
#: Name and colour of each kind of block in Fig. 3.
BLOCKS = {
    "input": ("input", PALE),
    "conv": ("conv 3×3", BLUE),
    "pool": ("max-pool 2", GREY),
    "up": ("upsample 2", RED),
}
#: Notes on reading the published curve, for models with more to note than its precision.
_READINGS = {
    "dense-8": (
        "the grey band is all that Fig. 9 shows: every tick of its axis is printed as 1, so the "
        "curve lies within about 0.005 of 1"
    ),
    "conv": (
        "grey bands are how exactly the plot can be read. The paper divides by n = 292, 584, ..., "
        "2920 samples, one n for each noise factor: the top panel is C / n with C about 1, and the "
        "next undoes the division. The paper has no point at 1.0"
    ),
}


def paper_figures(evidence: Evidence) -> list[Plot | Table]:
    """Return Figs. 1-10 in order; without matching runs they show the published numbers only."""
    by_noise = [_noise_curve(evidence, model) for model in PAPER_MODELS]
    drawn = (_kl(), _models(evidence), _network(evidence))
    return [*drawn, fig4_table(evidence), _depth(evidence), *by_noise]


# Fig. 1.


def _kl() -> Plot:
    activation = np.linspace(0, 1, 201)[1:-1]
    kl = RHO * np.log(RHO / activation) + (1 - RHO) * np.log((1 - RHO) / (1 - activation))
    return Plot(
        "fig-1",
        f"Figure 1. KL divergence against mean activation, ρ = {RHO:g}",
        "The sparsity penalty of one hidden unit (eq. 5) by its mean activation.",
        pd.DataFrame({"mean_activation": activation.round(6), "kl": kl}),
        draw_kl,
        measured=False,
        note=(
            "It is 0 where the mean activation is ρ and grows without limit towards 0 and 1. "
            f"The paper draws ρ = {RHO:g} and trains with ρ near 0.05."
        ),
    )


def draw_kl(data: pd.DataFrame) -> Figure:
    """Draw the divergence, and mark its zero."""
    figure, [[axes]] = canvas(360)
    axes.plot(data["mean_activation"], data["kl"], color=BLUE)
    axes.plot([RHO], [0], marker="o", color=RED, markersize=8, clip_on=False, zorder=5)
    line = {"arrowstyle": "-", "color": GREY}
    axes.annotate(f"0 at ρ = {RHO:g}", (RHO, 0), (RHO + 0.03, 0.45), arrowprops=line)
    axes.set(xlabel="mean activation of a hidden unit", xlim=(0, 1), ylim=(0, None))
    axes.set_ylabel(f"KL({RHO:g} ‖ mean activation), nats")
    return figure


# Figs. 2 and 3 are made from models.architecture, so that they show the networks that are trained.


def _models(evidence: Evidence) -> Table:
    n_genes = evidence.data["n_genes"]
    frame = model_table(n_genes)
    return Table(
        "fig-2",
        "Figure 2. The models",
        "Units of each layer, and the number of weights and biases.",
        frame,
        dict.fromkeys([name for name in frame if name.startswith("parameters")], ",d"),
        measured=False,
        note=(
            f"For the {n_genes:,} genes of these data. The paper prints two code layers of 32 "
            "(as-written); its scripts leave out the second (as-published)."
        ),
    )


def model_table(n_genes: int) -> pd.DataFrame:
    """Return the layers and the number of parameters of each model, as-written and as-published."""
    rows = []
    for model in PAPER_MODELS:
        row: dict[str, object] = {"model": model, "in the paper": "Fig. 3"}
        for protocol, code_layers in ((AS_WRITTEN, 2), (AS_PUBLISHED, 1)):
            network = architecture(model, code_layers=code_layers)
            widths = "see Fig. 3" + " (24×24 images)" * (protocol == AS_PUBLISHED)
            if isinstance(network, DenseArchitecture):
                row["in the paper"] = f"{model.partition('-')[2]} layers"
                widths = "-".join(map(str, (n_genes, *network.hidden, n_genes)))
            row[f"layers, {protocol}"] = widths
            row[f"parameters, {protocol}"] = n_parameters(network, n_genes)
        rows.append(row)
    return pd.DataFrame(rows)


def _network(evidence: Evidence) -> Plot:
    n_genes, network = evidence.data["n_genes"], ConvArchitecture()
    height, width = image_shape(n_genes)
    return Plot(
        "fig-3",
        "Figure 3. The convolutional network",
        "The network that is trained, with channels@height×width after each block.",
        conv_blocks(n_genes),
        draw_network,
        measured=False,
        note=(
            f"The {n_genes:,} genes of a sample fill one image of {height}×{width} "
            f"({height * width - n_genes:,} places stay 0), and the code is "
            f"{network.code_size(n_genes):,} numbers. The paper draws images of "
            f"{STREAM_SIDE}×{STREAM_SIDE}, with a code of {network.code_size(STREAM_SIDE**2):,}; "
            "the as-published networks have those."
        ),
    )


def conv_blocks(n_genes: int) -> pd.DataFrame:
    """Return the blocks of the conv network in order, for one image of all genes.

    `what` is "input", "conv", "pool" or "up"; channels, height, width and size are those of its
    output. Each convolution except the last is followed by a max-pooling or, in the second half, an
    upsampling.
    """
    channels = ConvArchitecture().channels
    height, width = image_shape(n_genes)
    rows, half = [("input", 1, height, width)], len(channels) // 2
    for i, n in enumerate(channels):
        rows.append(("conv", n, height, width))
        if i < half:
            height, width = height // 2, width // 2
            rows.append(("pool", n, height, width))
        elif i < len(channels) - 1:
            height, width = height * 2, width * 2
            rows.append(("up", n, height, width))
    frame = pd.DataFrame(rows, columns=["what", "channels", "height", "width"])
    frame["size"] = [f"{n}@{height}×{width}" for _, n, height, width in rows]
    return frame.rename_axis("block").reset_index()


def draw_network(data: pd.DataFrame) -> Figure:
    """Draw the encoder in the upper row, from left to right, and the decoder below, back again.

    An image is drawn to scale; a few sheets stand for its channels.
    """
    n_columns = (len(data) + 1) // 2
    column = width() / n_columns
    scale = min(0.72 * column / data["width"].max(), 110 / data["height"].max())
    half = data["height"].max() * scale / 2  # of the tallest image
    upper, lower = half + 20, 3 * half + 162  # heights of the images' middles
    figure, [[axes]] = canvas(4 * half + 250)
    axes.set(xlim=(0, width()), ylim=(4 * half + 250, 0))
    axes.set_axis_off()
    code = data.index[data["what"] == "pool"][-1]
    centres = [((i + 0.5) * column, upper) for i in range(n_columns)]
    centres += [((len(data) - i - 0.5) * column, lower) for i in range(n_columns, len(data))]
    for block, (x, y) in zip(data.itertuples(), centres, strict=True):
        name, colour = BLOCKS[block.what]
        colour = ORANGE if block.Index == code else colour
        size = block.width * scale, block.height * scale
        for sheet in range(min(block.channels, 4) - 1, -1, -1):
            corner = (x - size[0] / 2 + 3 * sheet, y - size[1] / 2 - 3 * sheet)
            axes.add_patch(Rectangle(corner, *size, fc=colour, ec="white", lw=0.8))
        name = "output" if block.Index == len(data) - 1 else name
        text = f"{name}\n{block.size}" + ("\nthe code" if block.Index == code else "")
        if is_narrow():
            text = text.replace("max-pool", "pool").replace(" ", "\n").replace("@", "\n@")
        axes.text(x, y + half + 24, text, ha="center", va="top")
    for (x0, y0), (x1, y1) in pairwise(centres):
        middle, side, below = (x0 + x1) / 2, 10 * np.sign(x1 - x0), y0 + half + 14
        ends = ((middle - side, below), (middle + side, below))
        ends = ends if y0 == y1 else ((x0, below + 84), (x1, y1 - half - 4))
        arrow = FancyArrowPatch(*ends, arrowstyle="-|>", mutation_scale=10, color=GREY, lw=1.2)
        axes.add_patch(arrow)
    return figure


# Figs. 4 and 5: depth at noise factor 0.5.


def depth_points(evidence: Evidence) -> pd.DataFrame:
    """Return MSE of the dense models at noise factor 0.5, with their `layers`."""
    parts = []
    renamed = {"published": "published, Figs. 6–9"}
    for model in DENSE_MODELS:
        curve = paper_curve(evidence, model).replace({"series": renamed, "method": renamed})
        printed = [published_fig4()[model]]
        table = curves.published_points(printed, "published, Fig. 4", "digits printed")
        points = pd.concat([table, curve], ignore_index=True)
        points = points[points["noise_factor"] == NOISE]
        parts.append(points.assign(model=model, layers=int(model.partition("-")[2])))
    return pd.concat(parts, ignore_index=True)


def fig4_table(evidence: Evidence) -> Table:
    """Return Fig. 4, depth against MSE at noise factor 0.5, with both protocols and references."""
    points = depth_points(evidence)
    rows = []
    for model, value in published_fig4().items():
        of_model = points[points["model"] == model]
        curve = published_mse(model, NOISE)
        assert curve is not None
        rows.append(
            {
                "network": model,
                "printed, MSE / N": value.printed,
                "published MSE": value.mse,
                "in Figs. 6–9": 1.0 if curve.kind == "about" else curve.mse,
                "as its scripts ran": _mean(of_model, CLEAN, RERUN),
                "as its text says": _mean(of_model, NOISY, AS_WRITTEN),
            }
        )
    references = points[
        (points["panel"] == NOISY) & ~points["series"].isin([AS_WRITTEN, RERUN, LONG_RERUN])
    ]
    written = any(row["as its text says"] for row in rows)
    for name in references["series"].unique() if written else ():
        found = _mean(references.drop_duplicates("series"), NOISY, name)
        rows.append({"network": label(name), "as its text says": found})
    return Table(
        "fig-4",
        "Figure 4. Number of layers against MSE at noise factor 0.5",
        "MSE by number of layers at noise factor 0.5, as published and of both protocols, "
        "and of references.",
        pd.DataFrame(rows).dropna(axis=1, how="all"),
        {**dict.fromkeys(("published MSE", "in Figs. 6–9"), ".4f"), "printed, MSE / N": ".3g"},
        by=("network",),
        note=(
            f"The paper prints MSE / N with N = {N_SAMPLES}; published MSE has that undone, and "
            "Figs. 6–9 differ from it. As its scripts ran: clean training rows; as its text "
            "says, and the references: noisy test rows. Means over seeds with their 95 % "
            "intervals."
        ),
    )


def _mean(points: pd.DataFrame, panel: str, series: str) -> Mean | None:
    """Return the mean of one series with its interval; None if these runs lack it."""
    found = points[(points["panel"] == panel) & (points["series"] == series)]
    if not len(found):
        return None
    mse, low, high = found[["mse", "low", "high"]].astype(float).iloc[0]
    return Mean(low, high, mean=mse)


def point_by_point(evidence: Evidence) -> tuple[Fold, ...]:
    """Return each published number next to ours, in a fold; nothing without any of ours."""
    rows = []
    for model in PAPER_MODELS:
        points = paper_curve(evidence, model)
        clean = set(points.loc[points["panel"] == CLEAN, "series"])
        rerun = LONG_RERUN if LONG_RERUN in clean else RERUN
        fig4 = published_fig4().get(model)
        values = [published_mse(model, noise) for noise in NOISE_FACTORS]
        for value in filter(None, (fig4, *values)):
            at = points[np.isclose(points["noise_factor"], value.noise_factor)]
            scripts, text = _mean(at, CLEAN, rerun), _mean(at, NOISY, AS_WRITTEN)
            row = {"figure": value.figure, "model": model, "noise": value.noise_factor}
            row |= {"published": value.mse, "read to ±": value.tolerance, "scripts ran": scripts}
            if scripts:
                row["difference"] = scripts.mean - value.mse
                row["ratio"] = scripts.mean / value.mse
            row["text says"] = text
            if text:
                row["its ratio"] = text.mean / value.mse
            if scripts or text:
                rows.append(row)
    if not rows:
        return ()
    frame = pd.DataFrame(rows).dropna(axis=1, how="all")
    formats = {"noise": "g", "published": ".4f", "read to ±": ".2g", "difference": "+.4f"}
    table = Table(
        "point-by-point",
        "Published and ours, point by point",
        "Each published number next to ours, means over seeds with 95 % intervals.",
        frame,
        {**formats, "ratio": ".3f", "its ratio": ".3f"},
        note="Numbers of Figs. 4 and 10 are multiplied by their n again; Fig. 9 is only known to "
        "be about 1. “Scripts ran” is the rerun on clean training rows (2 layers: of 50 epochs, if "
        "it was trained) with its difference and ratio to the published number; “text says” is on "
        "noisy test rows, which the paper did not plot, with its ratio.",
    )
    return (Fold(table.title, f"({len(frame)} numbers)", (table,)),)


def _depth(evidence: Evidence) -> Plot:
    data = depth_points(evidence)
    data = data[(data["panel"] == CLEAN) | ~data["series"].isin([RERUN, LONG_RERUN])]
    return Plot(
        "fig-5",
        "Figure 5. Number of layers against MSE at noise factor 0.5",
        "The table of Fig. 4 as a plot.",
        data.reset_index(drop=True),
        draw_depth,
        note=sentences(
            "Published numbers and the as-published rerun are measured on clean training rows, "
            "as-written and the references on noisy test rows. The paper's 8 layers in Fig. 9 are "
            "only known to be about 1. Bars are 95 % intervals over seeds.",
            _absent(evidence, data, "dense-2", "layers", [2, 4, 6, 8]),
            curves.lost_note(evidence, DENSE_MODELS),
        ),
    )


def draw_depth(data: pd.DataFrame) -> Figure:
    """Draw MSE against the number of layers."""
    figure, [[axes]] = canvas(500)
    note = "published and as-published rerun: clean training rows; all others: noisy test rows"
    axes.set_title(note, fontsize=9.5, fontweight="normal", pad=10)
    axes.set(xlabel="layers, as the paper counts them", ylabel=MSE_AXIS, xticks=[2, 4, 6, 8])
    axes.set(xlim=(1.7, 8.3), ylim=(0, 1.06 * max(1.0, data["mse"].max())))
    draw_named(axes, data, "layers")
    return figure


# Figs. 6-10: MSE against noise factor.


@lru_cache(len(PAPER_MODELS))
def paper_curve(evidence: Evidence, model: str) -> pd.DataFrame:
    """Return all lines of one of Figs. 6-10, with the measure in `panel`.

    CLEAN has the published curve and the as-published rerun; NOISY has as-written, the rerun on
    noisy rows and the references; for the conv network PRINTED has MSE / n as the paper prints it,
    and the rerun divided by the same n.
    """
    reruns = {RERUN: "", LONG_RERUN: LONG}
    clean = [
        curves.published_curve(model),
        *(
            curves.network_curve(evidence, AS_PUBLISHED, model, CLEAN, series, changed)
            for series, changed in reruns.items()
        ),
    ]
    code = architecture(model).code_size(evidence.data["n_genes"])
    parts = [
        *(_divided(curve, model) for curve in clean),
        *clean,
        curves.network_curve(evidence, AS_WRITTEN, model, NOISY, AS_WRITTEN),
        *(
            curves.network_curve(evidence, AS_PUBLISHED, model, NOISY, series, changed)
            for series, changed in reruns.items()
        ),
        curves.reference_curves(evidence, (code,)),
    ]
    return pd.concat([part for part in parts if len(part)], ignore_index=True)


def _divided(curve: pd.DataFrame, model: str) -> pd.DataFrame:
    """Divide a curve by n at each noise factor, as in Fig. 10; other models get no rows."""
    values = [published_mse(model, noise) for noise in curve["noise_factor"]]
    n = [v.n if v is not None and v.kind == "recovered" else np.nan for v in values]
    divided = curve[["mse", "low", "high"]].div(np.array(n), axis=0)
    return curve.assign(panel=PRINTED, **divided)[divided["mse"].notna()]


def _noise_curve(evidence: Evidence, model: str) -> Plot:
    number = PAPER_MODELS[model]
    data = paper_curve(evidence, model)
    dense = model in DENSE_MODELS
    what = f"{model.partition('-')[2]} layers" if dense else "convolutional network"
    reading = _READINGS.get(model, "the grey band is how exactly the plot can be read")
    return Plot(
        f"fig-{number}",
        f"Figure {number}. Noise factor against MSE, {what}",
        "MSE against noise factor, on clean training rows as the paper's scripts measured, "
        "and on noisy test rows, which is what a denoiser is for.",
        data,
        draw_curves,
        note=sentences(
            "The axis of clean training rows does not start at 0. Bars are 95 % intervals over "
            f"seeds, {reading}.",
            steps_note(data),
            worse_note(data),
            _absent(evidence, data, model, "noise_factor", NOISE_FACTORS),
            curves.lost_note(evidence, [model]),
        ),
    )


def draw_curves(data: pd.DataFrame) -> Figure:
    """Draw a panel for each measure, from top to bottom."""
    names = [name for name in PANELS if name in set(data["panel"])]
    heights = [PANELS[name][2] for name in names]
    figure, grid = canvas(112 * sum(heights) + 66 * len(names), len(names), height_ratios=heights)
    for name, axes in zip(names, grid.flat, strict=True):
        shown = data[data["panel"] == name]
        title, ylabel, _ = PANELS[name]
        axes.set(title=title, xlabel=NOISE_AXIS, ylabel=ylabel, xlim=noise_limits(data))
        if name != CLEAN:  # the height of CLEAN fits the data, as in the paper
            axes.set_ylim(0, top(shown))
        draw_named(axes, shown)
        if name == PRINTED:
            axes.locator_params(axis="y", nbins=4)  # 0.001 is shorter than 0.0005
    return figure


# Sentences of captions about their data, or "".


def steps_of(points: pd.DataFrame) -> pd.DataFrame:
    """Compare the steps of each rerun from level to level with those of the published curve.

    Returns one row per rerun: series, `rms` of the differences of the steps, and their correlation
    `r`; no row for a curve that is only known to be about 1, or with fewer than three common steps.
    """
    clean = points[(points["panel"] == CLEAN) & (points["bounds"] != VAGUE)]
    table = clean.pivot_table(index="noise_factor", columns="series", values="mse", sort=False)
    rows = []
    for series in (RERUN, LONG_RERUN):
        if {"published", series} <= set(table):
            steps = table[["published", series]].dropna().sort_index().diff().dropna()
            difference = steps[series] - steps["published"]
            if len(steps) > 2:
                rms = float(np.sqrt((difference**2).mean()))
                flat = (steps.std() < 1e-12).any()
                r = math.nan if flat else steps[series].corr(steps["published"])
                rows.append((series, rms, r))
    return pd.DataFrame(rows, columns=["series", "rms", "r"])


def steps_note(points: pd.DataFrame) -> str:
    """Name the rerun whose steps from level to level are nearest to the published ones."""
    steps = steps_of(points)
    if steps.empty:
        return ""
    names = {RERUN: f"{PUBLISHED_EPOCHS} epochs per level", LONG_RERUN: LONG}
    found = [
        f"{names[row.series]} differ by {row.rms:.4f} (RMS{_correlation(row.r)})"
        for row in steps.itertuples()
    ]
    text = f"From level to level, the steps of {' and those of '.join(found)} from the published"
    if len(steps) > 1:
        nearest = names[steps.loc[steps["rms"].idxmin(), "series"]]
        text += f", so {nearest} fit this figure"
    return f"{text}."


def _correlation(r: float) -> str:
    return f"; r = {r:.2f}" if math.isfinite(r) else ""


def worse_note(points: pd.DataFrame) -> str:
    """Name the noise factors at which networks are worse than leaving the input alone."""
    noisy = points[points["panel"] == NOISY]
    noisy = noisy[noisy["series"].isin([*PAPER_MODELS, AS_WRITTEN, RERUN, LONG_RERUN])]
    bad = noisy[noisy["mse"] > identity_mse(noisy["noise_factor"])]
    parts = [
        f"{name} at {listed(rows['noise_factor'])}"
        for name, rows in bad.groupby("series", sort=False)
    ]
    text = "Worse than leaving the input alone, by noise factor"
    return f"{text}: {'; '.join(parts)}." if parts else ""


def _absent(
    evidence: Evidence, points: pd.DataFrame, model: str, x: str, expected: Sequence[float]
) -> str:
    """Return in words which points (by `x`) and references these runs lack for a model."""
    missing = []
    for panel, name in ((CLEAN, RERUN), (NOISY, AS_WRITTEN)):
        held = set(points.loc[(points["panel"] == panel) & (points["series"] == name), x])
        lacks = [value for value in expected if value not in held]
        if lacks:
            missing.append(f"{name} ({x.replace('_', ' ')} {listed(lacks)})" if held else name)
    code = architecture(model).code_size(evidence.data["n_genes"])
    references = {"gene mean": "gene mean", f"PCA {code}": f"PCA with {code} components"}
    references["Wiener"] = "Wiener"
    missing += [text for name, text in references.items() if name not in set(points["series"])]
    return f"Not in these runs: {'; '.join(missing)}." if missing else ""
