"""What a report shows: a figure with the data it is drawn from, or a table; and how a figure is saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from study.report.style import DPI, RC


@dataclass(frozen=True)
class Plot:
    """A figure. `key` is file name and anchor; `alt` says in words what is to be seen, with the main numbers."""

    key: str
    title: str
    caption: str
    alt: str
    data: pd.DataFrame
    """What is drawn, one row a mark."""
    draw: Callable[[pd.DataFrame], Figure] = field(repr=False)
    stamp: str = ""
    """Stands small in the picture and in its CSV, such as "simulated data"."""

    def figure(self) -> Figure:
        """The drawing; no state of pyplot is touched."""
        with matplotlib.rc_context(RC):
            figure = self.draw(self.data)
            if self.stamp:
                figure.text(
                    0.995, 0.004, self.stamp, ha="right", va="bottom", fontsize=8, color="#595959"
                )
            return figure


@dataclass(frozen=True)
class Table:
    """A table. `formats` gives by column a format specification or a function of a value; what is missing is NaN."""

    key: str
    title: str
    caption: str
    frame: pd.DataFrame
    formats: Mapping[str, str | Callable[[object], str]] = field(default_factory=dict)


def save(plot: Plot, folder: Path | str) -> dict:
    """Write KEY.png (two pixels for one), KEY.svg and KEY.csv into `folder`, which is made.

    Returns {"png", "svg", "csv"} paths and "width", "height" in CSS pixels. The same plot gives the same bytes.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {ending: folder / f"{plot.key}.{ending}" for ending in ("png", "svg", "csv")}
    figure = plot.figure()
    with matplotlib.rc_context(RC):
        figure.savefig(paths["png"], dpi=2 * DPI, metadata={"Software": None})
        figure.savefig(paths["svg"], metadata={"Date": None, "Title": plot.title})
    data = plot.data.assign(data=plot.stamp) if plot.stamp else plot.data
    data.to_csv(paths["csv"], index=False, lineterminator="\n")
    width, height = (round(side * DPI) for side in figure.get_size_inches())
    return {**paths, "width": width, "height": height}
