"""Does a smaller code do better? The results of these runs' searches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

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
    search_of,
)
from study.report.curves import at_ends
from study.report.document import Plot, Table
from study.report.drawing import draw_named, log_axis
from study.report.questions.question import Question
from study.report.style import BLUE, GREY, RED, canvas
from study.report.wording import intervals

NETWORKS = "networks"
NAMES = {"number": "trial", "code_size": "code size", "val_mse": "validation MSE"}
POINT = ["series", "code_size", "mse", "low", "high", "seeds"]


# Data.


def size_points(search: SearchRun) -> pd.DataFrame:
    """Return validation MSE by code size of the networks' best trials and the references.

    PCA has the same rank; Wiener, oracle and identity, which have no code, are level lines.
    Over several noise factors it is the geometric mean, as in the search.
    """
    sizes = by_code_size(search)
    parts = [sizes.rename(columns={"val_mse": "mse"}).assign(series=NETWORKS)[POINT]]
    table = references(search)
    table = table[table["seed"] < search.search["seeds"]]
    ends = (sizes["code_size"].min(), sizes["code_size"].max())
    for name in ("identity", "PCA", "Wiener", "oracle"):
        rows = table[table["reference"] == name]
        size = rows["code_size"].fillna(0).astype(int)
        mse = np.exp(np.log(rows["val_mse"].astype(float)).groupby(size).mean())
        points = mse.rename("mse").rename_axis("code_size").reset_index()
        points = points.assign(series=name, seeds=rows["seed"].nunique(), low=np.nan, high=np.nan)
        parts.append(points if name == "PCA" else at_ends(points, "code_size", ends))
    data = pd.concat([part for part in parts if len(part)], ignore_index=True)
    return data.assign(method=data["series"])


# Words.


def bottleneck_question(evidence: Evidence) -> Question:
    """Ask which code size is best: one answer and its exhibits for each search among the runs."""
    asked = Question("bottleneck", "Does a smaller code do better?", "--search")
    found = map(search_of, evidence.runs)
    searches = [search for search in found if search is not None and len(search.complete)]
    if not searches:
        return asked
    exhibits = [
        exhibit if i == 1 else replace(exhibit, key=f"{exhibit.key}-{i}")
        for i, search in enumerate(searches, 1)
        for exhibit in _exhibits(search)
    ]
    networks = pd.concat([search.members["member_id"] for search in searches])
    return asked.answered(" ".join(map(_answer, searches)), exhibits, networks)


def _answer(search: SearchRun) -> str:
    found = answer(search)
    text = "No setting has been chosen and tested yet." if found is None else answer_text(found)
    return (
        f"{text} Every network had the same number of epochs ({search.search['epochs']}), and test "
        "rows chose nothing. A code that learns faster looks better than one that would win in the "
        "end: --epochs, or --tune learning_rate, separates the two."
    )


def _exhibits(search: SearchRun) -> Iterator[Plot | Table]:
    settings, trials = search.search, best_so_far(search)
    noise = ", ".join(f"{factor:g}" for factor in settings["noise_factors"])
    states = ", ".join(f"{n} {state}" for state, n in trials["state"].value_counts().items())
    yield Plot(
        "code-size",
        "Validation MSE against code size",
        "Validation MSE of the best trial of each code size, of PCA of the same rank, and "
        "of the references without a code.",
        size_points(search),
        draw_sizes,
        note=(
            f"At noise {noise}, with 95 % intervals over {settings['seeds']} seeds of one split, "
            f"after {settings['epochs']} epochs. Both axes are logarithmic. The paper's code has "
            f"{PAPER_CODE} units."
        ),
    )
    yield Plot(
        "best-so-far",
        "The search: best so far",
        "Validation MSE of each complete trial, in the order in which they were suggested, "
        "and the least up to there.",
        trials,
        draw_progress,
        note=(
            f"{states}; sampler {settings['sampler']}. The first is the paper's code of "
            f"{PAPER_CODE}."
        ),
    )
    shares = importance(search)
    if len(shares) > 1:
        yield Table(
            "importance",
            "What matters in the search",
            "Share of the objective's variance over the search space that each parameter "
            "explains (fANOVA).",
            shares,
            {"importance": ".3f"},
        )
    if settings["mode"] == "pareto":
        yield Table(
            "pareto",
            "MSE against code size: the front",
            "Trials for which no other has both a smaller code and a smaller validation MSE.",
            front(search)[[*NAMES]].rename(columns=NAMES),
            {"validation MSE": ".4f"},
        )
    sizes = by_code_size(search)
    bounds = sizes[["difference_low", "difference_high"]].set_axis(["low", "high"], axis=1)
    difference = f"less that of {PAPER_CODE}"
    frame = sizes[[*NAMES]].rename(columns=NAMES)
    frame["95 % interval"] = intervals(sizes)
    frame[difference] = sizes["difference"]
    frame["its 95 % interval"] = intervals(bounds)
    yield Table(
        "code-sizes",
        "Validation MSE by code size",
        "The best trial of each size, with the difference to the paper's code, paired by seed.",
        frame,
        {"validation MSE": ".4f", difference: "+.4f"},
        note=(
            f"The paper's has {PAPER_CODE} units. All seeds share one split, so the intervals "
            "(Student's t) leave out its spread."
        ),
    )


# Drawings.


def draw_sizes(data: pd.DataFrame) -> Figure:
    """Draw validation MSE against code size, both logarithmic."""
    figure, [[axes]] = canvas(400)
    draw_named(axes, data, "code_size")
    axes.axvline(PAPER_CODE, color=GREY, linewidth=0.8, linestyle=(0, (2, 2)))
    axes.set(xlabel="units of the code", ylabel="validation MSE")
    log_axis(axes, "x", [2**k for k in range(1, 12)])
    log_axis(axes, "y", [0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0])
    return figure


def draw_progress(data: pd.DataFrame) -> Figure:
    """Draw the trials in their order, and the best up to each."""
    figure, [[axes]] = canvas(320)
    axes.plot(data["number"], data["val_mse"], "o", color=BLUE, label="a trial")
    axes.step(data["number"], data["best"], where="post", color=RED, label="best so far")
    axes.set(xlabel="trial", ylabel="validation MSE")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    return figure
