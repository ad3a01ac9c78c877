"""Does a smaller code do better? What the searches of these runs found (study/evidence/search.py)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from study.evidence.evidence import Evidence
from study.evidence.search import (
    PAPER_CODE,
    SearchRun,
    answer,
    answer_text,
    best_so_far,
    by_code_size,
    front,
    importance,
    references,
)
from study.report.captions import plot_of
from study.report.document import Plot, Table
from study.report.questions.question import Question, intervals, table_of
from study.report.style import BLUE, GREY, RED, canvas, draw_series, end_labels, panel

NETWORKS = "networks"
EQUAL_EPOCHS = (
    "Every network had the same number of epochs ({epochs}), and test rows chose nothing. A code that learns faster "
    "looks better than one that would win in the end: --epochs, or --tune learning_rate, tells the two apart."
)


def bottleneck_question(evidence: Evidence) -> Question:
    """Which code size? One answer and its exhibits for each search among the runs."""
    asked = (
        "bottleneck",
        "Does a smaller code do better?",
        "python run_study.py --search bottleneck",
    )
    searches = [
        SearchRun(run.path, run.config, run.members, pd.read_parquet(run.path / "trials.parquet"))
        for run in evidence.runs
        if "search" in run.config and (run.path / "trials.parquet").exists()
    ]
    searches = [search for search in searches if len(search.complete)]
    if not searches:
        return Question(*asked)
    exhibits = [
        e
        for i, search in enumerate(searches)
        for e in _exhibits(evidence, search, f"-{i + 1}" if i else "")
    ]
    return Question(*asked, " ".join(map(_answer, searches)), tuple(exhibits))


def _answer(search: SearchRun) -> str:
    found = answer(search)
    text = "No setting has been chosen and tested yet." if found is None else answer_text(found)
    return f"{text} {EQUAL_EPOCHS.format(epochs=search.search['epochs'])}"


def _exhibits(evidence: Evidence, search: SearchRun, suffix: str) -> list[Plot | Table]:
    found: list[Plot | Table] = [
        _sizes(evidence, search, suffix),
        _progress(evidence, search, suffix),
    ]
    shares = importance(search)
    if len(shares) > 1:
        caption = "Share of the objective's variance over the search space that each parameter explains (fANOVA)."
        table = table_of(
            evidence, f"importance{suffix}", "What matters in the search", caption, shares, {}
        )
        found.append(Table(table.key, table.title, table.caption, shares, {"importance": ".3f"}))
    if search.search["mode"] == "pareto":
        frame = front(search)[["number", "code_size", "val_mse"]].rename(columns=_NAMES)
        caption = "Trials than which no other has both a smaller code and a smaller validation MSE."
        formats = {"validation MSE": ".4f"}
        found.append(
            table_of(
                evidence,
                f"pareto{suffix}",
                "MSE against code size: the front",
                caption,
                frame,
                formats,
            )
        )
    return [*found, _table(evidence, search, suffix)]


_NAMES = {"number": "trial", "code_size": "code size", "val_mse": "validation MSE"}


def size_points(search: SearchRun) -> pd.DataFrame:
    """Validation MSE by code size: columns series, code_size, mse, low, high, seeds, bounds.

    The networks' best trial of each size; PCA of the same rank; Wiener, oracle and identity, which have no code, at
    both ends. Over several noise factors the geometric mean, as the search has it.
    """
    sizes = by_code_size(search)
    mine = sizes.rename(columns={"val_mse": "mse"}).assign(
        series=NETWORKS, bounds="95 % interval over seeds"
    )
    parts = [mine[_POINT]]
    table = references(search)
    table = table[table["seed"] < search.search["seeds"]]
    for name in ("identity", "PCA", "Wiener", "oracle"):
        rows = table[table["reference"] == name]
        by = rows["code_size"].fillna(0).astype(int)
        log = np.log(rows["val_mse"].astype(float)).groupby(by).mean()
        ends = [(sizes["code_size"].min(), log.get(0)), (sizes["code_size"].max(), log.get(0))]
        for code_size, value in [*log.items()] if name == "PCA" else ends if len(log) else []:
            point = {
                "series": name,
                "code_size": code_size,
                "mse": float(np.exp(value)),
                "bounds": "mean over seeds",
            }
            parts.append(
                pd.DataFrame(
                    [{**point, "low": np.nan, "high": np.nan, "seeds": rows["seed"].nunique()}]
                )
            )
    return pd.concat(parts, ignore_index=True)[_POINT]


_POINT = ["series", "code_size", "mse", "low", "high", "seeds", "bounds"]


def _sizes(evidence: Evidence, search: SearchRun, suffix: str) -> Plot:
    data = size_points(search)
    mine = data[data["series"] == NETWORKS]
    best = mine.loc[mine["mse"].idxmin()]
    return plot_of(
        evidence,
        f"code-size{suffix}",
        "Validation MSE against code size",
        f"The best trial of each size at noise {_noise(search)}, with 95 % intervals over {search.search['seeds']} "
        f"seeds, after {search.search['epochs']} epochs; PCA of the same rank, and the references without a code. Both "
        f"axes are logarithmic. The paper's code has {PAPER_CODE} units.",
        f"Networks: {len(mine)} sizes, least validation MSE {best['mse']:.3f} at {best['code_size']:.0f} units, "
        f"{mine['mse'].max():.3f} at most.",
        data,
        _draw_sizes,
    )


def _draw_sizes(data: pd.DataFrame) -> Figure:
    figure = canvas(400)
    axes = panel(figure, 70, 24, 400, 310)
    axes.set(xscale="log", yscale="log", xlabel="units of the code", ylabel="validation MSE")
    ends = {}
    for name, points in data.groupby("series", sort=False):
        if name == NETWORKS:
            points = points.sort_values("code_size")
            low, high = points["low"].astype(float), points["high"].astype(float)
            axes.vlines(points["code_size"], low, high, color=BLUE, linewidth=3.2, alpha=0.35)
            axes.plot(
                points["code_size"], points["mse"], color=BLUE, marker="o", markeredgecolor="white"
            )
        else:
            draw_series(axes, points.assign(bounds=""), x="code_size")
        last = points.sort_values("code_size").iloc[-1]
        ends[name] = (last["code_size"], last["mse"])
    axes.axvline(PAPER_CODE, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)))
    axes.set_xticks(
        sizes := [s for s in (2, 8, 32, 128, 512) if s <= data["code_size"].max()], map(str, sizes)
    )
    axes.minorticks_off()
    values = data["mse"].astype(float)
    ticks = [
        t
        for t in (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
        if 0.8 * values.min() <= t <= 1.2 * values.max()
    ]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set(xlim=axes.get_xlim(), ylim=axes.get_ylim())  # before the labels are placed by them
    end_labels(axes, ends)
    return figure


def _progress(evidence: Evidence, search: SearchRun, suffix: str) -> Plot:
    data = best_so_far(search)
    states = ", ".join(f"{n} {state}" for state, n in data["state"].value_counts().items())
    return plot_of(
        evidence,
        f"best-so-far{suffix}",
        "The search: best so far",
        f"Validation MSE of each complete trial, in the order in which they were suggested ({states}; sampler "
        f"{search.search['sampler']}), and the least up to there. The first is the paper's code of {PAPER_CODE}.",
        f"From {data['best'].dropna().iloc[0]:.3f} to {data['best'].dropna().iloc[-1]:.3f} in {len(data)} trials.",
        data,
        _draw_progress,
    )


def _draw_progress(data: pd.DataFrame) -> Figure:
    figure = canvas(320)
    axes = panel(figure, 70, 20, 540, 240)
    axes.plot(
        data["number"], data["val_mse"], linestyle="", marker="o", color=BLUE, label="a trial"
    )
    axes.step(data["number"], data["best"], where="post", color=RED, label="best so far")
    axes.set(xlabel="trial", ylabel="validation MSE")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return figure


def _table(evidence: Evidence, search: SearchRun, suffix: str) -> Table:
    sizes = by_code_size(search)
    frame = sizes[["number", "code_size", "val_mse"]].assign(**{"95 % interval": intervals(sizes)})
    bounds = sizes[["difference_low", "difference_high"]].set_axis(["low", "high"], axis=1)
    frame = frame.assign(
        **{
            f"less that of {PAPER_CODE}": sizes["difference"],
            "its 95 % interval": intervals(bounds),
        }
    )
    caption = f"The best trial of each size; differences to the paper's {PAPER_CODE} units are paired by seed."
    formats = {"validation MSE": ".4f", f"less that of {PAPER_CODE}": "+.4f"}
    title = "Validation MSE by code size"
    return table_of(
        evidence, f"code-sizes{suffix}", title, caption, frame.rename(columns=_NAMES), formats
    )


def _noise(search: SearchRun) -> str:
    return ", ".join(f"{a:g}" for a in search.search["noise_factors"])
