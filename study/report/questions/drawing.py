"""The drawings of the open questions: a tidy frame in (guess.py, mixture.py, ...), a matplotlib Figure out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from study.evidence.evidence import MIXTURE
from study.report.style import (
    BLACK,
    BLUE,
    DARK,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    RED,
    SKY,
    canvas,
    label,
    look,
    panel,
)

MSE = "test MSE"
LOOKS = {
    "a network for each": {"color": BLUE, "marker": "^"},
    "one network for all": {"color": RED, "marker": "o"},
    "one that is told the noise": {"color": GREEN, "marker": "s"},
    "no term": {"color": BLACK, "linestyle": "--"},
    "L1": {"color": ORANGE, "marker": "X"},
    "test": {"color": BLUE, "marker": "o"},
    "train": {"color": RED, "marker": "s", "linestyle": (0, (4, 2))},
}
REFERENCES = ("identity", "Wiener", MIXTURE)
KL_LOOKS = [(BLUE, "o"), (RED, "s"), (GREEN, "^"), (PINK, "D"), (SKY, "P")]


def draw_mixed(data: pd.DataFrame) -> Figure:
    """A panel a model: test MSE against noise factor of the three kinds of networks and the references."""
    names = [name for name in (*LOOKS, *REFERENCES) if name in set(data["series"])]
    figure, panels = _multiples(data["model"], names)
    measured = data[data["series"].isin(LOOKS)]
    high = 1.06 * np.nanmax(measured[["mse", "high"]].to_numpy(dtype=float))
    for i, (model, axes) in enumerate(panels):
        rows = data[data["model"] == model]
        for name, points in rows.groupby("series", sort=False):
            _line(axes, points, "noise_factor", "mse", LOOKS[name] if name in LOOKS else look(name))
        axes.set(
            title=model, ylim=(0, high), xlabel="noise factor α", ylabel=MSE if i % 2 == 0 else ""
        )
    return figure


def draw_excess(data: pd.DataFrame) -> Figure:
    """A panel a model: extra MSE of the one network against noise factor."""
    names = [name for name in LOOKS if name in set(data["series"])]
    figure, panels = _multiples(data["model"], names)
    ends = data[["excess", "low", "high"]].to_numpy(dtype=float)
    low, high = min(0.0, np.nanmin(ends)), max(0.0, np.nanmax(ends))
    margin = 0.06 * (high - low) or 0.01
    for i, (model, axes) in enumerate(panels):
        for name, points in data[data["model"] == model].groupby("series", sort=False):
            _line(axes, points, "noise_factor", "excess", LOOKS[name])
        in_percent(axes)
        axes.set(title=model, ylim=(low - margin, high + margin), xlabel="noise factor α")
        axes.set_ylabel("extra test MSE" if i % 2 == 0 else "")
    return figure


def draw_terms(data: pd.DataFrame) -> Figure:
    """A panel a model: a quantity against beta, a line a sparsity term, no term as a dashed line."""
    looks = _term_looks(data)
    figure, panels = _multiples(data["model"], list(looks), looks)
    name = data["quantity"].iloc[0]
    betas = data.loc[data["beta"] > 0, "beta"]
    for i, (model, axes) in enumerate(panels):
        for term, points in data[data["model"] == model].groupby("term", sort=False):
            if term == "no term":
                axes.axhline(points["mse"].iloc[0], linewidth=1.4, **looks[term])
                if np.isfinite(points["low"].iloc[0]):
                    axes.axhspan(
                        points["low"].iloc[0],
                        points["high"].iloc[0],
                        color=GREY,
                        alpha=0.15,
                        linewidth=0,
                    )
                continue
            _line(axes, points, "beta", "mse", looks[term])
            if name.startswith("mean activation") and pd.notna(points["rho"].iloc[0]):
                axes.axhline(
                    points["rho"].iloc[0], color=looks[term]["color"], linewidth=0.9, zorder=1
                )
        axes.set(
            title=model, xscale="log", xlabel="beta", xlim=(betas.min() / 1.5, betas.max() * 1.5)
        )
        axes.set_ylabel(name if i % 2 == 0 else "")
        axes.set_xticks(sorted(betas.unique()), [f"{beta:g}" for beta in sorted(betas.unique())])
        axes.xaxis.set_minor_formatter(NullFormatter())
        if name.startswith("mean activation"):
            axes.set_yscale("log")
    _same_height([axes for _, axes in panels], floor=-0.02 if name.startswith("share") else None)
    if name.startswith("mean activation"):
        for _, axes in panels:
            readable(axes, [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
    return figure


def _term_looks(data: pd.DataFrame) -> dict[str, dict]:
    kl = data.dropna(subset=["rho"])
    kl = kl[kl["term"].str.startswith("KL")].sort_values("rho")["term"].drop_duplicates()
    looks = {
        term: dict(zip(("color", "marker"), KL_LOOKS[i % len(KL_LOOKS)], strict=True))
        for i, term in enumerate(kl)
    }
    return looks | {term: LOOKS[term] for term in ("L1", "no term") if (data["term"] == term).any()}


def draw_samples(data: pd.DataFrame) -> Figure:
    """A panel a model: test and train MSE against the number of training samples, each step twice as many."""
    references = data[~data["series"].isin(LOOKS)]
    measured = data[data["series"].isin(LOOKS)]
    names = [
        name for name in ("test", "train", *references["series"]) if name in set(data["series"])
    ]
    figure, panels = _multiples(measured["model"], names)
    sizes = measured["n_samples"].min(), measured["n_samples"].max()
    for i, (model, axes) in enumerate(panels):
        for name, points in measured[measured["model"] == model].groupby("series", sort=False):
            _line(axes, points, "n_samples", "mse", LOOKS[name])
        for row in references.itertuples():
            style = {name: value for name, value in look(row.series).items() if name != "marker"}
            axes.axhline(row.mse, **style)
        axes.set(title=model, xlabel="training samples", ylabel="MSE" if i % 2 == 0 else "")
        size_axis(axes, *sizes)
    _same_height([axes for _, axes in panels], floor=0.0)
    return figure


def _multiples(
    models: pd.Series, names: Sequence[str], looks: Mapping[str, dict] = LOOKS
) -> tuple[Figure, list[tuple[str, Axes]]]:
    """Panels side by side, one a model, below a legend of `names`; one model has the whole width."""
    models = list(models.dropna().drop_duplicates())
    n_rows = (len(models) + 1) // 2
    top = 26 + 22 * ((len(names) + 1) // 2)
    figure = canvas(top + 268 * n_rows + 8)
    width = 520 if len(models) == 1 else 230
    handles = [
        matplotlib.lines.Line2D([], [], **_style(looks[n] if n in looks else look(n)))
        for n in names
    ]
    figure.legend(
        handles,
        [label(n) for n in names],
        loc="upper left",
        ncols=2,
        frameon=False,
        handlelength=2.6,
    )
    places = ((86 + 308 * (i % 2), top + 14 + 268 * (i // 2)) for i in range(len(models)))
    return figure, [
        (m, panel(figure, *place, width, 190)) for m, place in zip(models, places, strict=True)
    ]


def _line(axes: Axes, points: pd.DataFrame, x: str, y: str, style: Mapping) -> None:
    """One line with its intervals over seeds as bars."""
    points = points.sort_values(x)
    bounded = points[np.isfinite(points["low"].astype(float))]
    axes.vlines(
        bounded[x], bounded["low"], bounded["high"], color=style["color"], linewidth=3.2, alpha=0.35
    )
    axes.plot(points[x], points[y], markeredgecolor="white", markeredgewidth=0.7, **_style(style))


def _style(style: Mapping) -> dict:
    return {"linestyle": "-", "marker": "", **style}


def in_percent(axes: Axes) -> None:
    """An axis of shares around 0."""
    axes.axhline(0, color=DARK, linewidth=1.2, zorder=1.5)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: _percent(share)))


def _percent(share: float) -> str:
    text = f"{round(100 * share, 9):+g} %".replace("-", "−")
    return text[1:] if share == 0 else text


def readable(axes: Axes, ticks: Sequence[float]) -> None:
    """A logarithmic axis of heights with those of `ticks` that it has room for."""
    low, high = axes.get_ylim()
    shown = [tick for tick in ticks if low <= tick <= high]
    axes.set_yticks(shown, [f"{tick:g}" for tick in shown])
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(low, high)


def _same_height(panels: Sequence[Axes], floor: float | None = None) -> None:
    """One range of heights for all panels."""
    low, high = (pick(axes.get_ylim()[i] for axes in panels) for i, pick in ((0, min), (1, max)))
    for axes in panels:
        axes.set_ylim(low if floor is None else floor, high)


def size_axis(axes: Axes, low: float, high: float) -> None:
    """A logarithmic axis of numbers of samples, with ticks at `high` and its halves."""
    ticks = [high]
    while ticks[-1] > 1.05 * low and len(ticks) < 5:
        ticks.append(ticks[-1] / 2)
    axes.set(xscale="log", xlim=(low / 1.12, high * 1.12))
    axes.set_xticks(ticks, [f"{n:,.0f}" for n in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="minor", length=0)
