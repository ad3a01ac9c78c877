"""The numbers that the paper prints or plots, and what each of them is.

P. Sharma, "Loss Analysis of Denoising Autoencoders on Gene Expression Data" (2019). `published.csv` beside
this file has one row a number. Not all of them are the MSE of eq. 11 as they stand:

- Figs. 6, 7, 8 (2, 4, 6 layers): MSE against noise factor, read off the plots to +-0.005, +-0.0005, +-0.005.
- Fig. 9 (8 layers): each tick of its axis is printed as 1, so the curve has a known shape (`quantity`
  "shape", 0 lowest, 1 highest) but no known height: every point is "about 1, +-0.005".
- Fig. 4 (the table, drawn again in Fig. 5; noise factor 0.5): MSE divided once more by the N = 2921 samples.
- Fig. 10 (conv): MSE divided once more by a number of samples that grows along the axis, 292 x (index + 1).
  With that factor the ten points are 1.0135 to 1.0034; as drawn they fall from 0.0035 to 0.00034. There is
  no point at noise factor 1.0.
- "author draft appendix": 2 and 4 layers at ten sample counts, MSE divided by each count.

Fig. 4 and Figs. 6-8 disagree where they meet (4 layers at 0.5: 0.862 against 0.943); both are kept.

What they measure is not what this study measures, even in the same unit: the paper's scripts carried one
network along from noise level to noise level, answered real-valued data with a sigmoid, and evaluated on
clean training inputs rather than noisy test inputs.
"""

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path

import pandas as pd

from models.config import PAPER_MODELS

N_SAMPLES = 2921  # of the paper's GTEx matrix
CONV_STEP = 292  # Fig. 10's points were taken at 292, 584, ... samples
FIG9_HEIGHT, FIG9_TOLERANCE = 1.0, 0.005

_CSV = Path(__file__).with_name("published.csv")
_CURVES = {name: f"Fig. {model.figure}" for name, model in PAPER_MODELS.items()}
_FIG4 = "Fig. 4 / Fig. 5"


@dataclass(frozen=True)
class PublishedValue:
    """One number of the paper on the scale of eq. 11."""

    model: str
    noise_factor: float
    mse: float
    """Mean over samples and genes of (s - s')^2, recovered from `printed` where the paper divided by n."""
    tolerance: float
    """`mse` is known to within plus or minus this."""
    kind: str
    """"plotted" (read off a plot as it is), "about" (a plot without a scale), "recovered" (`printed` x n)."""
    printed: float
    """The number as the paper shows it; for Fig. 9 the relative height of the point."""
    n: int
    """What the paper divided the MSE by: 1 unless kind is "recovered"."""
    figure: str
    precision: str
    note: str


def published_table() -> pd.DataFrame:
    """All numbers, one row each: the columns of published.csv, and n, mse and tolerance as in PublishedValue.

    `value` is the number as printed. A new frame at each call: the caller may change it.
    """
    return _table().copy()


def published_mse(model: str, noise_factor: float) -> PublishedValue | None:
    """The paper's curve for a model (Figs. 6-10) at a noise factor, or None where it has no point.

    Look at `kind`: of Fig. 9 only the rough height is known, and Fig. 10 is recovered from MSE / n.
    """
    figure = _CURVES.get(model)
    return None if figure is None else _lookup().get((figure, model, _key(noise_factor)))


def published_fig4() -> dict[str, PublishedValue]:
    """The table of Fig. 4: by dense model the MSE at noise factor 0.5, recovered from MSE / 2921."""
    return {model: value for (figure, model, _), value in _lookup().items() if figure == _FIG4}


@cache
def _table() -> pd.DataFrame:
    # `value` as text first: the digits printed say how exact a printed number is.
    table = pd.read_csv(_CSV, dtype=str, keep_default_na=False)
    text = table["value"]
    table["noise_factor"] = table["noise_factor"].astype(float)
    table["value"] = text.astype(float)
    table["n"] = [_divisor(row) for row in table.itertuples()]
    is_shape = table["quantity"] == "shape"
    table["mse"] = (table["value"] * table["n"]).mask(is_shape, FIG9_HEIGHT)
    tolerance = [
        _tolerance(number, row.precision)
        for number, row in zip(text, table.itertuples(), strict=True)
    ]
    table["tolerance"] = (pd.Series(tolerance) * table["n"]).mask(is_shape, FIG9_TOLERANCE)
    return table


def _divisor(row) -> int:
    """What the paper divided this row's MSE by."""
    if row.quantity != "mse_over_n":
        return 1
    if row.figure == "Fig. 10":
        return CONV_STEP * (round(row.noise_factor * 10) + 1)
    stated = re.search(r"n = (\d+)", row.precision)
    return int(stated[1]) if stated else N_SAMPLES


def _tolerance(number: str, precision: str) -> float:
    """Half the range of the number as printed: stated after "+-", or half of its last digit."""
    stated = re.search(r"\+-([\d.]+(?:e-?\d+)?)", precision)
    return float(stated[1]) if stated else 0.5 * 10.0 ** Decimal(number).as_tuple().exponent


@cache
def _lookup() -> dict[tuple[str, str, int], PublishedValue]:
    """(figure, model, noise key) -> value, for the figures of the paper (not the draft's appendix)."""
    found = {}
    for row in _table().itertuples():
        if row.figure not in {*_CURVES.values(), _FIG4}:
            continue
        kind = {"mse": "plotted", "shape": "about", "mse_over_n": "recovered"}[row.quantity]
        found[row.figure, row.model, _key(row.noise_factor)] = PublishedValue(
            model=row.model,
            noise_factor=row.noise_factor,
            mse=float(row.mse),
            tolerance=float(row.tolerance),
            kind=kind,
            printed=float(row.value),
            n=int(row.n),
            figure=row.figure,
            precision=row.precision,
            note=row.note,
        )
    return found


def _key(noise_factor: float) -> int | None:
    """Noise factors compared in millionths: 0.1 * 3 is the paper's 0.3."""
    return round(noise_factor * 1e6) if math.isfinite(noise_factor) else None
