"""Figs. 1-10 of the paper under their own numbers; `more_figures` gives those that the paper lacks.

Each is a Plot or Table with a caption that says what is seen, how to read it, and what these runs do not hold.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.architecture import ConvArchitecture, architecture
from study import blueprints, curves, drawing
from study.curves import CLEAN
from study.evidence import Evidence
from study.exhibits import Plot, Table, save
from study.further_figures import more_figures
from study.style import label
from study.tables import fig4_table
from study.wording import REFERENCES, absent, code_note, in_words, kept_beta, listed, oracle_note, plot_of, worse

__all__ = ["Plot", "Table", "more_figures", "paper_figures", "save"]

DEPTH_FIGURES = {"dense-2": 6, "dense-4": 7, "dense-6": 8, "dense-8": 9, "conv": 10}


def paper_figures(evidence: Evidence) -> list[Plot | Table]:
    """Figs. 1-10, in the order of their numbers; where these runs hold nothing, the published numbers alone."""
    evidence = curves.narrowed(evidence)
    found: list[Plot | Table] = [_kl(), _models(evidence), _network(evidence), fig4_table(evidence), _depth(evidence)]
    return found + [_noise_curve(evidence, model) for model in blueprints.MODELS]


def _kl() -> Plot:
    data = blueprints.kl_curve()
    return Plot(
        "fig-1",
        "Figure 1. KL divergence against mean activation, ρ = 0.2",
        "The sparsity penalty of one hidden unit (eq. 5) by its mean activation. It is 0 where the mean activation is "
        "ρ and grows without limit towards 0 and 1. The paper draws ρ = 0.2 and trains with ρ near 0.05.",
        "A curve that falls from a mean activation of 0 to zero at 0.2 and rises steeply towards 1; "
        f"{np.interp(0.5, data['mean_activation'], data['kl']):.2f} nats at 0.5.",
        data,
        drawing.draw_kl,
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
    )


def _network(evidence: Evidence) -> Plot:
    network, n_genes = architecture("conv"), evidence.data["n_genes"]
    assert isinstance(network, ConvArchitecture)
    stages = blueprints.conv_stages(network, n_genes)
    data = pd.DataFrame([{"block": i, **vars(s), "size": s.size} for i, s in enumerate(stages)])
    first, code = stages[0], blueprints.code_size("conv", n_genes)
    path = ", ".join(f"{s.what} {s.size}" for s in stages)
    side = blueprints.STREAM_SIDE
    return Plot(
        "fig-3",
        "Figure 3. The convolutional network",
        f"Drawn from the model that is trained: channels@height×width after each block. The {n_genes:,} genes of a "
        f"sample fill one image of {first.height}×{first.width} ({first.numbers - n_genes:,} places stay 0), and the "
        f"code is {code:,} numbers. The paper draws images of {side}×{side}, whose code is "
        f"{_stream_code(network):,} numbers; the as-published networks have those.",
        f"Blocks of the network from input to output: {path}.",
        data,
        drawing.draw_network,
    )


def _stream_code(network: ConvArchitecture) -> int:
    side = blueprints.STREAM_SIDE
    return min(s.numbers for s in blueprints.conv_stages(network, side * side) if s.what == "pool")


def _depth(evidence: Evidence) -> Plot:
    data = curves.depth_points(evidence)
    sentences = []
    for (panel, name), points in data.groupby(["panel", "series"], sort=False):
        values = ", ".join(f"{mse:.3f}" for mse in points.sort_values("layers")["mse"])
        sentences.append(f"{label(name)} ({panel}): {values}" if points["mse"].nunique() > 1 else "")
    numbers = f"MSE for {listed(data['layers'])} layers: {'; '.join(filter(None, sentences))}."
    data = data[(data["panel"] == CLEAN) | (data["series"] != "as-published rerun")].reset_index(drop=True)
    return plot_of(
        evidence,
        "fig-5",
        "Figure 5. Number of layers against MSE at noise factor 0.5",
        "The table of Fig. 4 as a plot. Published numbers and the as-published rerun are measured on clean training "
        "rows, as-written and the references on noisy test rows. The paper's 8 layers in Fig. 9 are only known to be "
        f"about 1. {REFERENCES}{oracle_note(data)}. Bars are 95 % intervals over seeds.{absent(data)}",
        numbers,
        data,
        drawing.draw_depth,
    )


def _noise_curve(evidence: Evidence, model: str) -> Plot:
    number = DEPTH_FIGURES[model]
    data = curves.paper_curve(evidence, model)
    what = "convolutional network" if model == "conv" else f"{model.partition('-')[2]} layers"
    caption = [
        "The panel of clean training rows is what the paper's scripts measured, and its axis does not start at 0; "
        "the panel of noisy test rows is what a denoiser is for. Bars are 95 % intervals over seeds, "
        f"{_READING.get(number, 'the grey band is how exactly the plot can be read')}.",
        f"{REFERENCES}{oracle_note(data)}.",
        worse(data),
        absent(data),
        code_note(evidence, data, model),
        kept_beta(evidence, model),
    ]
    return plot_of(
        evidence,
        f"fig-{number}",
        f"Figure {number}. Noise factor against MSE, {what}",
        " ".join(text.strip() for text in caption if text),
        in_words(data),
        data,
        drawing.draw_curves,
    )


_READING = {
    9: "the grey band is all that Fig. 9 tells: every tick of its axis is printed as 1, so the curve lies within about "
    "0.005 of 1; its shape, a fall at every step, most of it from 0.0 to 0.1, has no scale",
    10: "grey bands are how exactly the plot can be read. The paper divides by n = 292, 584, ..., 2920 samples, one n "
    "for each noise factor: the top panel is C / n with C about 1, and the rerun divided by the same n falls on it; "
    "the next panel shows both without the division. The paper has no point at 1.0",
}
