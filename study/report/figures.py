"""Figs. 1-10 of the paper under their own numbers; `more_figures` gives those that the paper lacks.

Each is a Plot or Table with a caption that says what is seen, how to read it, and what these runs do not hold.
"""

from __future__ import annotations

import pandas as pd

from models.architecture import ConvArchitecture, architecture
from models.config import PAPER_MODELS
from study.evidence.evidence import Evidence
from study.report import blueprints, curves, drawing
from study.report.captions import (
    absent,
    in_words,
    kept_beta,
    lost_note,
    plot_of,
    references_note,
    worse,
)
from study.report.curves import CLEAN
from study.report.document import Plot, Table
from study.report.further_figures import more_figures
from study.report.style import VAGUE, label
from study.report.tables import fig4_table

__all__ = ["more_figures", "paper_figures"]


def paper_figures(evidence: Evidence) -> list[Plot | Table]:
    """Figs. 1-10, in the order of their numbers; where these runs hold nothing, the published numbers alone."""
    evidence = curves.narrowed(evidence)
    found: list[Plot | Table] = [
        _kl(),
        _models(evidence),
        _network(evidence),
        fig4_table(evidence),
        _depth(evidence),
    ]
    return found + [_noise_curve(evidence, model) for model in blueprints.MODELS]


def _kl() -> Plot:
    data = blueprints.kl_curve()
    return Plot(
        "fig-1",
        "Figure 1. KL divergence against mean activation, ρ = 0.2",
        "The sparsity penalty of one hidden unit (eq. 5) by its mean activation. It is 0 where the mean activation is "
        "ρ and grows without limit towards 0 and 1. The paper draws ρ = 0.2 and trains with ρ near 0.05.",
        data,
        drawing.draw_kl,
        "A curve that falls from a mean activation of 0 to zero at 0.2 and rises steeply towards 1.",
        measured=False,
    )


def _models(evidence: Evidence) -> Table:
    n_genes = evidence.data["n_genes"]
    frame = blueprints.model_table(n_genes)
    return Table(
        "fig-2",
        "Figure 2. The models",
        f"Units of each layer and the number of weights and biases, for the {n_genes:,} genes of these data. The paper "
        "prints two code layers of 32 (as-written); its scripts leave out the second (as-published).",
        frame,
        dict.fromkeys([name for name in frame if name.startswith("parameters")], ",d"),
        measured=False,
    )


def _network(evidence: Evidence) -> Plot:
    network, n_genes = architecture("conv"), evidence.data["n_genes"]
    assert isinstance(network, ConvArchitecture)
    stages = blueprints.conv_stages(network, n_genes)
    data = pd.DataFrame([{"block": i, **vars(s), "size": s.size} for i, s in enumerate(stages)])
    first, code = stages[0], blueprints.code_size("conv", n_genes)
    side = blueprints.STREAM_SIDE
    return Plot(
        "fig-3",
        "Figure 3. The convolutional network",
        f"Drawn from the model that is trained: channels@height×width after each block. The {n_genes:,} genes of a "
        f"sample fill one image of {first.height}×{first.width} ({first.numbers - n_genes:,} places stay 0), and the "
        f"code is {code:,} numbers. The paper draws images of {side}×{side}, whose code is "
        f"{_stream_code(network):,} numbers; the as-published networks have those.",
        data,
        drawing.draw_network,
        "Blocks of the network from input to output.",
        measured=False,
    )


def _stream_code(network: ConvArchitecture) -> int:
    side = blueprints.STREAM_SIDE
    return min(s.numbers for s in blueprints.conv_stages(network, side * side) if s.what == "pool")


def _depth(evidence: Evidence) -> Plot:
    data = curves.depth_points(evidence)
    data = data[(data["panel"] == CLEAN) | (data["series"] != "as-published rerun")].reset_index(
        drop=True
    )
    caption = [
        "The table of Fig. 4 as a plot. Published numbers and the as-published rerun are measured on clean training "
        "rows, as-written and the references on noisy test rows. The paper's 8 layers in Fig. 9 are only known to be "
        "about 1. Bars are 95 % intervals over seeds.",
        references_note(data),
        absent(
            data, blueprints.code_size("dense-2", evidence.data["n_genes"]), "layers", [2, 4, 6, 8]
        ),
        lost_note(evidence, blueprints.MODELS[:4]),
    ]
    return plot_of(
        evidence,
        "fig-5",
        "Figure 5. Number of layers against MSE at noise factor 0.5",
        " ".join(caption),
        _depth_in_words(data),
        data,
        drawing.draw_depth,
    )


def _depth_in_words(data: pd.DataFrame) -> str:
    sentences = []
    for name, points in data.groupby("series", sort=False):
        rows = zip(points["layers"], points["mse"], points["bounds"], strict=True)
        values = [
            f"{'about 1' if bounds == VAGUE else f'{mse:.3f}'} for {layers}"
            for layers, mse, bounds in rows
        ]
        same = points["mse"].nunique() == 1 and len(values) > 1  # a reference
        sentences.append(
            f"{label(name)} {points['mse'].iloc[0]:.3f}"
            if same
            else f"{label(name)} {', '.join(values)}"
        )
    return f"MSE by number of layers: {'; '.join(sentences)}."


def _noise_curve(evidence: Evidence, model: str) -> Plot:
    number = PAPER_MODELS[model].figure
    data = curves.paper_curve(evidence, model)
    what = "convolutional network" if model == "conv" else f"{model.partition('-')[2]} layers"
    caption = [
        "The panel of clean training rows is what the paper's scripts measured, and its axis does not start at 0; "
        "the panel of noisy test rows is what a denoiser is for. Bars are 95 % intervals over seeds, "
        f"{_READING.get(number, 'the grey band is how exactly the plot can be read')}.",
        references_note(data),
        worse(data),
        absent(data, blueprints.code_size(model, evidence.data["n_genes"])),
        lost_note(evidence, [model]),
        kept_beta(evidence, model),
    ]
    return plot_of(
        evidence,
        f"fig-{number}",
        f"Figure {number}. Noise factor against MSE, {what}",
        " ".join(caption),
        in_words(data),
        data,
        drawing.draw_curves,
    )


_READING = {
    9: "the grey band is all that Fig. 9 tells: every tick of its axis is printed as 1, so the curve lies within about "
    "0.005 of 1; its shape, a fall at every step, most of it from 0.0 to 0.1, has no scale",
    10: "grey bands are how exactly the plot can be read. The paper divides by n = 292, 584, ..., 2920 samples, one n "
    "for each noise factor: the top panel is C / n with C about 1, beside any rerun divided by the same n; the next "
    "panel undoes the division. The paper has no point at 1.0",
}
