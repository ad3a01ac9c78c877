"""The numbers that the paper prints or plots, with their meaning.

P. Sharma, "Loss Analysis of Denoising Autoencoders on Gene Expression Data" (2019). `published.csv`
has one row per number. Not all of them are the MSE of eq. 11 as they stand:

- Figs. 6, 7, 8 (2, 4, 6 layers): MSE against noise factor, read off the plots. The ticks of Figs. 6
  and 8 are rounded, so they are known to +-0.005; Fig. 7 is known to +-0.0005. The x axis of Fig. 7
  is printed as "Number of Samples", but its caption has the noise factor.
- Fig. 9 (8 layers): each tick of its axis is printed as 1, so the curve has a known shape
  (`printed`, 0 lowest, 1 highest) but no known height: every point is "about 1, +-0.005".
- Fig. 4 (a table, drawn again in Fig. 5; noise factor 0.5): MSE divided once more by the N = 2921
  samples.
- Fig. 10 (conv): MSE divided once more by a number of samples that grows along the axis,
  292 x (index + 1). With that factor the ten points are 1.0135 to 1.0034; as drawn, and read to
  +-1e-6, they fall from 0.0035 to 0.00034. It has no point at noise factor 1.0.
- "author draft appendix": 2 and 4 layers at ten sample counts, MSE divided by each count.

Fig. 4 and Figs. 6-8 disagree on the same network (4 layers at 0.5: 0.862 and 0.943); both are kept.

Even in the same unit these numbers are not the study's measure: the paper's scripts carried one
network from noise level to noise level, had a sigmoid output for real-valued data, and evaluated on
clean training inputs rather than noisy test inputs.
"""

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from models.config import NOISE_FACTORS, PAPER_MODELS

N_SAMPLES = 2921  # of the paper's GTEx matrix
CONV_STEP = 292  # Fig. 10's points were taken at 292, 584, ... samples

_CURVES = {name: f"Fig. {figure}" for name, figure in PAPER_MODELS.items()}


@dataclass(frozen=True)
class PublishedValue:
    """One number of the paper on the scale of eq. 11."""

    figure: str
    model: str
    noise_factor: float
    kind: str  # "plotted" (as it is), "about" (a plot without a scale), "recovered" (`printed` x n)
    printed: float  # as the paper shows it; for Fig. 9 the relative height of the point
    n: int  # the number by which the paper divided the MSE: 1 unless kind is "recovered"
    tolerance: float  # `mse` is known to within plus or minus this
    mse: float  # mean over samples and genes of (s - s')^2


def published_table() -> pd.DataFrame:
    """Return all numbers, one row each, with the fields of PublishedValue as columns."""
    path = Path(__file__).with_name("published.csv")
    table = pd.read_csv(path, float_precision="round_trip")
    recovered = table["printed"] * table["n"]
    return table.assign(
        tolerance=table["tolerance"] * table["n"],  # the file has the tolerance of `printed`
        mse=recovered.mask(table["kind"] == "about", 1.0),
    )


def published_mse(model: str, noise_factor: float) -> PublishedValue | None:
    """Return a point of the paper's curve for a model (Figs. 6-10); None if it has no such point.

    Check `kind`: only the rough height of Fig. 9 is known, and Fig. 10 is recovered from MSE / n.
    """
    return _figures().get((_CURVES.get(model, ""), model, _key(noise_factor)))


def published_fig4() -> dict[str, PublishedValue]:
    """Return the table of Fig. 4: by dense model the MSE at noise factor 0.5, from MSE / 2921."""
    return {model: value for (figure, model, _), value in _figures().items() if figure == "Fig. 4"}


def division_by_n() -> pd.DataFrame:
    """Return the paper's numbers that are an MSE divided by n, so that printed x n is the MSE.

    One row per number of Figs. 4 and 10. For Fig. 4, `curve` is the number of Figs. 6-9 for the
    same network at noise 0.5 (Fig. 9 shows only "about 1"), and `ratio` is product / curve.
    """
    rows = []
    conv = [published_mse("conv", noise) for noise in NOISE_FACTORS]
    for value in (*published_fig4().values(), *filter(None, conv)):
        row = {name: getattr(value, name) for name in ("figure", "model", "noise_factor")}
        row |= {"printed": value.printed, "n": value.n, "product": value.mse}
        curve = published_mse(value.model, value.noise_factor)
        if curve is not None and curve != value:
            row |= {
                "curve": curve.mse,
                "curve_figure": curve.figure,
                "ratio": value.mse / curve.mse,
            }
        rows.append(row)
    return pd.DataFrame(rows)


@cache
def _figures() -> dict[tuple[str, str, int | None], PublishedValue]:
    """Map (figure, model, noise key) to the values of the paper's figures."""
    return {
        (row["figure"], row["model"], _key(row["noise_factor"])): PublishedValue(**row)
        for row in published_table().to_dict("records")
    }


def _key(noise_factor: float) -> int | None:
    """Return a noise factor in millionths, so that 0.1 * 3 equals the paper's 0.3."""
    return round(noise_factor * 1e6) if math.isfinite(noise_factor) else None
