"""One report of several cohorts from the reports of each: figures side by side, tables joined.

Each section is written for one cohort (study.evidence.evidence.Evidence). Here the blocks that
several have in the same place are joined, and the limits of comparing cohorts are named.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from models.config import AS_WRITTEN
from study.evidence.evidence import Evidence
from study.report.document import (
    AnyBlock,
    Block,
    Command,
    Exhibit,
    Fold,
    Networks,
    Panels,
    Plot,
    Points,
    Section,
    Table,
    Words,
    anchor,
    folded,
)
from study.report.wording import joined, listed, model_names, plain_name, sentences

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


def limits_of_comparison(cohorts: Sequence[Evidence]) -> tuple[Words, ...]:
    """Return in words how cohorts differ, and what cannot be compared between them for that."""
    of_name = {plain_name(cohort.name): cohort for cohort in cohorts}
    found = {
        "Noise factors.": _noise_factors(of_name),
        "Noise draws.": _noise_draws(of_name),
        "Models.": _models(of_name),
        "Genes.": _genes(of_name),
    }
    return tuple(Words(text, lead) for lead, text in found.items() if text)


def _finished(cohort: Evidence) -> pd.DataFrame:
    """Return the rows of Evidence.levels of networks that have finished."""
    return cohort.levels[cohort.levels["status"] == "finished"]


def _noise_factors(cohorts: Mapping[str, Evidence]) -> str:
    own = {
        name: set(_finished(cohort)["noise_factor"].dropna().astype(float).round(6))
        for name, cohort in cohorts.items()
    }
    if len(set(map(frozenset, own.values()))) < 2:
        return ""
    had = "; ".join(f"{name} has {listed(values) or 'none'}" for name, values in own.items())
    common = set.intersection(*own.values())
    if not common:
        return f"{had}. None is common, so no two errors can be compared."
    return f"{had}. Compare errors at {listed(common)}; verdicts rest on each cohort's own."


def _noise_draws(cohorts: Mapping[str, Evidence]) -> str:
    own = {}
    for name, cohort in cohorts.items():
        rows = _finished(cohort)
        trained = (rows["protocol"] == AS_WRITTEN) & (rows["optimizer"] != "")
        own[name] = sorted(set(rows.loc[trained, "noise_draws"]))
    known = {name: draws for name, draws in own.items() if draws}
    if len(set(map(tuple, known.values()))) < 2:
        return ""
    had = "; ".join(f"{name}: {joined(draws)}" for name, draws in known.items())
    return (
        f"Networks trained as the text says on noise that was drawn otherwise ({had}), so their "
        "errors cannot be compared between these cohorts; those of references can."
    )


def _models(cohorts: Mapping[str, Evidence]) -> str:
    own = {name: set(_finished(cohort)["model"]) for name, cohort in cohorts.items()}
    every = set().union(*own.values())
    missing = {name: every - models for name, models in own.items() if every - models}
    lacks = [f"{name} lacks {model_names(models)}" for name, models in missing.items()]
    return f"{'; '.join(lacks)}." if lacks else ""


def _genes(cohorts: Mapping[str, Evidence]) -> str:
    own = {name: set(cohort.genes["gene_id"]) for name, cohort in cohorts.items()}
    own = {name: genes for name, genes in own.items() if genes}
    if len(set(map(frozenset, own.values()))) < 2:
        return ""
    common = len(set.intersection(*own.values()))
    had = joined([f"{len(genes):,} of {name}" for name, genes in own.items()])
    shared = f"{common:,} are common" if common else "none is common"
    return f"Of the genes, {had}, {shared}: each MSE is a mean over the cohort's own genes."


def _placed(blocks: Sequence[Block]) -> Iterator[tuple[Hashable, Block]]:
    """Yield each block with a key that it shares with the same block of other cohorts."""
    seen: dict[Hashable, int] = {}
    for block in blocks:
        inner = _unfolded(block)
        match inner:
            case Plot() | Table() | Panels() | Networks():
                place: Hashable = (inner.kind, inner.key)
            case Section():
                place = ("section", inner.title)
            case Fold():
                place = ("fold", inner.name)
            case Words():
                place = ("words", inner.lead)
            case Command():
                place = ("command", inner.text)
            case _:
                place = inner.kind
        seen[place] = seen.get(place, 0) + 1
        yield (place, seen[place]), block


def _joined(found: Mapping[str, Block]) -> Iterator[Block]:
    """Yield the blocks that several cohorts have in one place, joined to one if possible."""
    long = any(_unfolded(block) is not block for block in found.values())
    found = {name: _unfolded(block) for name, block in found.items()}
    first = next(iter(found.values()))
    if isinstance(first, Plot):
        yield _panels(first, _of(found, Plot))
    elif isinstance(first, Table):
        rows = _rows(first, _of(found, Table))
        yield from folded([rows]) if long else [rows]
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


def _unfolded(block: Block) -> Block:
    """Return the table of a fold that `folded` made, and any other block as it is."""
    match block:
        case Fold(name=name, blocks=(Table(title=title) as table,)) if name == title:
            return table
    return block


def _of(found: Mapping[str, Block], kind: type[AnyBlock]) -> dict[str, AnyBlock]:
    return {name: block for name, block in found.items() if isinstance(block, kind)}


def _same(frames: list[pd.DataFrame]) -> bool:
    return len(frames) > 1 and all(frame.equals(frames[0]) for frame in frames)


def _panels(first: Plot, found: Mapping[str, Plot]) -> Plot | Panels:
    if _same([plot.data for plot in found.values()]):
        return first
    shared = _notes(found) if len({plot.note for plot in found.values()}) == 1 else ""
    plots = tuple(
        replace(
            plot,
            key=f"{plot.key}-{anchor(name)}",
            title=f"{plot.title} ({name})",
            note="" if shared else plot.note,
            panel=True,
        )
        for name, plot in found.items()
    )
    return Panels(first.key, first.title, first.caption, plots, note=shared)


def _rows(first: Table, found: Mapping[str, Table]) -> Table:
    """Put the rows of several tables below each other, with the cohort in the first column."""
    if _same([table.frame for table in found.values()]):
        return first
    formats = {name: form for table in found.values() for name, form in table.formats.items()}
    frame = _stacked({name: table.frame.astype(object) for name, table in found.items()})
    return replace(first, frame=frame, formats=formats, note=_notes(found))


def _notes(found: Mapping[str, Exhibit]) -> str:
    """Return what all exhibits note once, and what they note differently with their names."""
    notes = {name: exhibit.note for name, exhibit in found.items() if exhibit.note}
    if len(set(notes.values())) == 1 and len(notes) == len(found):
        return next(iter(notes.values()))
    return sentences(*(f"{name}: {note}" for name, note in notes.items()))


def _stacked(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    parts = [frame.assign(**{COHORT: name}) for name, frame in frames.items()]
    stack = pd.concat(parts, ignore_index=True)
    return stack[[COHORT, *stack.columns.drop(COHORT)]]


def _said(found: Mapping[str, Sequence[Words]]) -> Iterator[Words]:
    """Yield paragraphs that all cohorts share once, and others with the cohort's name."""
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
