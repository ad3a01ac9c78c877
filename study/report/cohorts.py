"""One report of several cohorts, made of the reports of each: figures side by side, tables joined.

Each section is written for one cohort (study.evidence.evidence.Evidence); here what several say in
the same place is put together.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from study.report.document import (
    AnyBlock,
    Block,
    Command,
    Fold,
    Networks,
    Panels,
    Plot,
    Points,
    Section,
    Table,
    Words,
    anchor,
)

COHORT = "data"  # the column that names the cohort


def sections_together(parts: Mapping[str, Sequence[Section]]) -> tuple[Section, ...]:
    """Join the sections of several cohorts, by name, in the order in which the first has them."""
    return tuple(block for block in together(parts) if isinstance(block, Section))


def together(parts: Mapping[str, Sequence[Block]]) -> tuple[Block, ...]:
    """Join the blocks of several cohorts, by name, in the order in which the first has them."""
    if len(parts) == 1:
        return tuple(*parts.values())
    places: dict[Hashable, dict[str, Block]] = {}
    for name, blocks in parts.items():
        for place, block in _placed(blocks):
            places.setdefault(place, {})[name] = block
    return tuple(joined for found in places.values() for joined in _joined(found))


def _placed(blocks: Sequence[Block]) -> Iterator[tuple[Hashable, Block]]:
    """Yield each block with what it has in common with its like in other cohorts."""
    seen: dict[Hashable, int] = {}
    for block in blocks:
        match block:
            case Plot() | Table() | Panels() | Networks():
                place: Hashable = (block.kind, block.key)
            case Section():
                place = ("section", block.title)
            case Fold():
                place = ("fold", block.name)
            case Words():
                place = ("words", block.lead)
            case Command():
                place = ("command", block.text)
            case _:
                place = block.kind
        seen[place] = seen.get(place, 0) + 1
        yield (place, seen[place]), block


def _joined(found: Mapping[str, Block]) -> Iterator[Block]:
    """Yield the blocks of several cohorts in one place as one, as far as they can be."""
    first = next(iter(found.values()))
    if isinstance(first, Plot):
        yield _panels(first, _of(found, Plot))
    elif isinstance(first, Table):
        yield _rows(first, _of(found, Table))
    elif isinstance(first, Networks):
        frame = _stacked({name: block.frame for name, block in _of(found, Networks).items()})
        yield replace(first, frame=frame, keys=(COHORT, *first.keys))
    elif isinstance(first, Words):
        yield from _said({name: [words] for name, words in _of(found, Words).items()})
    elif isinstance(first, Points):
        items = {name: points.items for name, points in _of(found, Points).items()}
        yield Points(tuple(_said(items)))
    elif isinstance(first, Section):
        inner = {name: section.blocks for name, section in _of(found, Section).items()}
        yield replace(first, blocks=together(inner))
    elif isinstance(first, Fold):
        inner = {name: fold.blocks for name, fold in _of(found, Fold).items()}
        yield replace(first, blocks=together(inner))
    else:
        yield first


def _of(found: Mapping[str, Block], kind: type[AnyBlock]) -> dict[str, AnyBlock]:
    return {name: block for name, block in found.items() if isinstance(block, kind)}


def _same(frames: list[pd.DataFrame]) -> bool:
    return len(frames) > 1 and all(frame.equals(frames[0]) for frame in frames)


def _panels(first: Plot, found: Mapping[str, Plot]) -> Plot | Panels:
    if _same([plot.data for plot in found.values()]):
        return first
    plots = tuple(
        replace(plot, key=f"{plot.key}-{anchor(name)}", title=f"{plot.title} ({name})")
        for name, plot in found.items()
    )
    return Panels(first.key, first.title, first.caption, plots)


def _rows(first: Table, found: Mapping[str, Table]) -> Table:
    """Put the rows of several tables below each other, with the cohort in the first column."""
    if _same([table.frame for table in found.values()]):
        return first
    formats = {name: form for table in found.values() for name, form in table.formats.items()}
    frame = _stacked({name: table.frame.astype(object) for name, table in found.items()})
    return replace(first, frame=frame, formats=formats)


def _stacked(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    parts = [frame.assign(**{COHORT: name}) for name, frame in frames.items()]
    stack = pd.concat(parts, ignore_index=True)
    return stack[[COHORT, *stack.columns.drop(COHORT)]]


def _said(found: Mapping[str, Sequence[Words]]) -> Iterator[Words]:
    """Yield what all cohorts say once, and what they say differently with their names."""
    leads = dict.fromkeys(words.lead for said in found.values() for words in said)
    for lead in leads:
        texts = {
            name: " ".join(words.text for words in said if words.lead == lead)
            for name, said in found.items()
        }
        texts = {name: text for name, text in texts.items() if text}
        if len(set(texts.values())) == 1 and len(texts) == len(found):
            yield Words(next(iter(texts.values())), lead)
        else:
            yield from (Words(text, f"{lead} {name}:".lstrip()) for name, text in texts.items())
