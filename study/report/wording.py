"""Numbers, names and lists in the report's words, with one form for each."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

from models.config import PAPER_MODELS


@dataclass(frozen=True)
class Span:
    """An interval as a cell of a table."""

    low: float
    high: float
    digits: int = 4

    @property
    def order(self) -> float:
        """The number that a column is sorted by."""
        return self.low

    def __str__(self) -> str:
        """Return the interval in words, such as "0.6312 to 0.6400"."""
        return f"{self.low:.{self.digits}f} to {self.high:.{self.digits}f}"


@dataclass(frozen=True)
class Mean(Span):
    """A mean over seeds with its interval as a cell of a table; low is NaN for one seed."""

    mean: float = math.nan

    @property
    def order(self) -> float:
        """The number that a column is sorted by."""
        return self.mean

    def __str__(self) -> str:
        """Return the mean with its interval, such as "0.6356 (0.6312 to 0.6400)"."""
        mean = f"{self.mean:.{self.digits}f}"
        return f"{mean} ({super().__str__()})" if math.isfinite(self.low) else mean


def plain_name(name: str) -> str:
    """Return the name of a file as words, which can be broken into lines."""
    return name.replace("_", " ")


def shortened(text: object, most: int = 30) -> str:
    """Shorten foreign text to at most `most` letters on one line of a figure."""
    line = " ".join(str(text).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def sentences(*parts: str) -> str:
    """Return the sentences that there are, one after the other."""
    return " ".join(filter(None, parts))


def joined(names: Sequence[str]) -> str:
    """Join names to a list in words: "a", "a and b" or "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def listed(values: Iterable[float]) -> str:
    """Return distinct numbers, ascending: "2, 4, 6"; four or more at even steps as "0.1 to 0.4"."""
    numbers = sorted(set(values))
    if len(numbers) > 3 and len({round(b - a, 6) for a, b in pairwise(numbers)}) == 1:
        return f"{numbers[0]:g} to {numbers[-1]:g}"
    return ", ".join(f"{number:g}" for number in numbers)


def signed(value: float, digits: int = 3) -> str:
    """Return a signed number such as "−0.200", with a true minus sign; 0 has no sign."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


def percent(share: float) -> str:
    """Return a share in percent: 0.5 as "50 %", with a true minus sign."""
    return f"{100 * share:,.0f} %".replace("-", "−")


def scale_words(smallest: float) -> str:
    """Return words that explain the axis of effects, with the smallest effect of interest."""
    return (
        f"The grey band is {smallest:g} % to both sides, the smallest effect of interest; the "
        "scale is linear up to 1 % and logarithmic beyond, with ticks at 10 and 100 %."
    )


def span(low: float, high: float, digits: int = 4) -> Span | None:
    """Return an interval as a Span; None without one, as for a single seed."""
    return Span(low, high, digits) if math.isfinite(low) else None


def intervals(table: pd.DataFrame, digits: int = 4) -> pd.Series:
    """Return the columns low and high as a Span for each row; None without an interval."""
    ends = table[["low", "high"]].to_numpy(dtype=float)
    found = [span(low, high, digits) for low, high in ends]
    return pd.Series(found, index=table.index, dtype=object)


def duration(seconds: float) -> str:
    """Return a duration in words: "1 h 2 min 3 s" or "2 min 3 s"."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours:,} h {minutes} min {rest} s" if hours else f"{minutes} min {rest} s"


def in_order(rows: pd.DataFrame, *then: str) -> pd.DataFrame:
    """Return rows in the paper's order of models, then others by name; then by `then`."""
    place = {model: i for i, model in enumerate(PAPER_MODELS)}
    ranked = rows.assign(_rank=rows["model"].map(place).fillna(len(place)))
    return ranked.sort_values(["_rank", "model", *then], kind="stable", ignore_index=True)[[*rows]]


def model_names(models: Iterable[str]) -> str:
    """Return distinct models in the paper's order: "dense-2, dense-4 and conv"."""
    return joined(list(in_order(pd.DataFrame({"model": sorted(set(models))}))["model"]))


def escaped(text: object) -> str:
    """Escape foreign text for one line of Markdown, so that nothing in it is markup or HTML."""
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", " ".join(str(text).split()))
