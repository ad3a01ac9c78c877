"""Helpers of the report's tests: rows of a frame, texts of a figure, numbers of made-up runs."""

import numpy as np

from models.config import MemberConfig, Phase
from study.report.document import Table
from study.report.references import gene_exhibits, label_exhibits, reference_exhibits

NOISE = [i / 10 for i in range(11)]
LABEL = "input left alone, α²"


def line(points, panel, series):
    chosen = points[(points["panel"] == panel) & (points["series"] == series)]
    return chosen.set_index("noise_factor").sort_index()


def as_seen(model, effect, noise, phases=1, seeds=3):
    """What runs.py says that a member of each seed measures."""
    members = [
        MemberConfig(model, (Phase((noise,), 1),) * phases, seed=seed) for seed in range(seeds)
    ]
    return [effect(member, noise) for member in members]


def texts(figure):
    """The texts on a figure and in its legends."""
    found = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    legends = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    found += [text for legend in legends for text in legend.get_texts()]
    return [text.get_text() for text in found]


def reference_tables(evidence):
    sections = (reference_exhibits, gene_exhibits, label_exhibits)
    found = [exhibit for section in sections for exhibit in section(evidence)]
    return [exhibit for exhibit in found if isinstance(exhibit, Table)]


def mean(model, effect, noise, phases=1):
    return np.mean(as_seen(model, effect, noise, phases))


def row(table, **where):
    rows = table.frame
    for name, value in where.items():
        rows = rows[rows[name.replace("_", " ")] == value]
    assert len(rows) == 1
    return rows.iloc[0]
