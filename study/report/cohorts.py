"""One report of several cohorts from the reports of each: figures side by side, tables joined.

Each section is written for one cohort (study.evidence.evidence.Evidence). Here the blocks that
several have in the same place are joined, and the limits of comparing cohorts are named.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import pandas as pd

from models.config import AS_WRITTEN
from study.evidence.effects import Effect
from study.evidence.evidence import Evidence
from study.report.document import (
    LONG,
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
)
from study.report.wording import joined, listed, model_names, plain_name, sentences

Item = TypeVar("Item", bound=Hashable)
COHORT = "data"  # the column that names the cohort
SENTENCE_END = re.compile(r"(?<=[.!?]) (?=[A-Z“(])")
MOST_COLUMNS = 12  # of a table with the cohorts side by side


def sections_together(parts: Mapping[str, Sequence[Section]]) -> tuple[Section, ...]:
    """Join the sections of several cohorts, by title, each in the order of its own cohort."""
    return tuple(block for block in together(parts) if isinstance(block, Section))


def together(parts: Mapping[str, Sequence[Block]]) -> tuple[Block, ...]:
    """Join the blocks of several cohorts, by name, each in the order of its own cohort.

    Blocks that only some of the cohorts have are marked with the names of those.
    """
    if len(parts) == 1:
        return tuple(*parts.values())
    places = _merged([[place for place, _ in _placed(blocks)] for blocks in parts.values()])
    found: dict[Hashable, dict[str, Block]] = {place: {} for place in places}
    for name, blocks in parts.items():
        for place, block in _placed(blocks):
            found[place][name] = block
    return tuple(block for place in places for block in _joined(found[place], len(parts)))


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


def _merged(lists: Iterable[Iterable[Item]]) -> list[Item]:
    """Return the items of all lists once; what only a later list has follows what it follows."""
    merged: list[Item] = []
    for items in lists:
        at = 0
        for item in items:
            if item not in merged:
                merged.insert(at, item)
            at = merged.index(item) + 1
    return merged


def _placed(blocks: Sequence[Block]) -> Iterator[tuple[Hashable, Block]]:
    """Yield each block with a key that it shares with the same block of other cohorts."""
    seen: dict[Hashable, int] = {}
    for block in blocks:
        shown = _folded_table(block) or block
        match shown:
            case Plot() | Table() | Panels() | Networks():
                place: Hashable = (shown.kind, shown.key)
            case Section():
                place = ("section", shown.title)
            case Fold():
                place = ("fold", shown.name)
            case Words():
                place = ("words", shown.lead)
            case Command():
                place = ("command", shown.text)
            case _:
                place = shown.kind
        seen[place] = seen.get(place, 0) + 1
        yield (place, seen[place]), block


def _folded_table(block: Block) -> Table | None:
    """Return the table that a fold of the same name hides; None for any other block."""
    if isinstance(block, Fold) and len(block.blocks) == 1:
        [inner] = block.blocks
        if isinstance(inner, Table) and inner.title == block.name:
            return inner
    return None


def _joined(found: Mapping[str, Block], cohorts: int) -> Iterator[Block]:
    """Yield the blocks that some of the cohorts have in one place, joined to one if possible."""
    first = next(iter(found.values()))
    names = "" if len(found) == cohorts else joined(list(found))  # of some only
    tables = {name: _folded_table(block) or block for name, block in found.items()}
    if isinstance(first, Plot):
        yield _named(_panels(first, _of(found, Plot)), names)
    elif isinstance(table := next(iter(tables.values())), Table):
        of_cohorts = _of(tables, Table)
        one = _named(_one_table(table, of_cohorts), names)
        folds = any(isinstance(block, Fold) for block in found.values())
        rows = max(map(_rows_of, of_cohorts.values())) if _same(of_cohorts) else 0
        rows = rows or sum(map(_rows_of, of_cohorts.values()))
        if not folds and (rows <= LONG or table.by):
            yield one
        else:
            yield Fold(table.title, f"({rows:,} rows{names and f', {names}'})", (one,))
    elif isinstance(first, Networks):
        frame = _stacked({name: block.frame for name, block in _of(found, Networks).items()})
        yield replace(first, frame=frame, keys=(COHORT, *first.keys))
    elif isinstance(first, Words):
        of_words = {name: [words] for name, words in _of(found, Words).items()}
        yield from _said(of_words, cohorts)
    elif isinstance(first, Points):
        items = {name: points.items for name, points in _of(found, Points).items()}
        yield Points(tuple(_said(items, cohorts)))
    elif isinstance(first, Section):
        inner = together({name: section.blocks for name, section in _of(found, Section).items()})
        only = (Words(f"Only {names}."),) if names else ()
        networks = frozenset().union(*(its.networks for its in _of(found, Section).values()))
        blocks = (*only, *(_named(block, names) for block in inner))
        yield replace(first, blocks=blocks, networks=networks)
    elif isinstance(first, Fold):
        inner = together({name: fold.blocks for name, fold in _of(found, Fold).items()})
        summary = f"{first.summary} ({names} only)" if names else first.summary
        yield replace(first, summary=summary, blocks=tuple(_named(its, names) for its in inner))
    else:
        yield first


def _of(found: Mapping[str, Block], kind: type[AnyBlock]) -> dict[str, AnyBlock]:
    return {name: block for name, block in found.items() if isinstance(block, kind)}


def _named(block: AnyBlock, names: str) -> AnyBlock:
    """Return a block with the names of the cohorts that have it in the titles of its exhibits."""
    if not names or isinstance(block, Panels):  # whose parts have names
        return block
    if isinstance(block, (Section, Fold)):
        return replace(block, blocks=tuple(_named(inner, names) for inner in block.blocks))
    if isinstance(block, (Plot, Table)) and not (
        isinstance(block, Table) and COHORT in block.frame
    ):
        return replace(block, title=f"{block.title} ({names})")
    return block


def _same(exhibits: Mapping[str, Plot | Table]) -> bool:
    frames = [its.data if isinstance(its, Plot) else its.frame for its in exhibits.values()]
    return len(frames) > 1 and all(frame.equals(frames[0]) for frame in frames)


def _rows_of(table: Table) -> int:
    return len(table.frame)


def _panels(first: Plot, found: Mapping[str, Plot]) -> Plot | Panels:
    """Put the figures of several cohorts side by side, each series in the same look in all."""
    if len(found) == 1 or _same(found):
        return replace(first, note=_notes(found))
    series = [set(plot.data.get("series", ())) for plot in found.values()]
    beside = frozenset().union(*series)
    plots = {name: replace(plot, panel=True, beside=beside) for name, plot in found.items()}
    return _beside(first, plots)


def _beside(first: Plot | Table, found: Mapping[str, Plot] | Mapping[str, Table]) -> Panels:
    """Put exhibits of several cohorts under one caption, with what all note once."""
    common, own = _shared({name: exhibit.note for name, exhibit in found.items()})
    places = _anchors(found)
    parts = tuple(
        replace(
            part, key=f"{part.key}-{places[name]}", title=f"{part.title} ({name})", note=own[name]
        )
        for name, part in found.items()
    )
    title = "; ".join(dict.fromkeys(its.title for its in found.values()))
    return Panels(first.key, title, first.caption, parts, note=common)


def _anchors(names: Iterable[str]) -> dict[str, str]:
    """Return for each name its own name of a place on the page."""
    found: dict[str, str] = {}
    for i, name in enumerate(names, 1):
        place = anchor(name)
        found[name] = place if place and place not in found.values() else f"{place or 'data'}-{i}"
    return found


def _one_table(first: Table, found: Mapping[str, Table]) -> Table | Panels:
    """Join tables of several cohorts: in columns if all are readable, else one by one or in rows.

    Tables that do not name their rows (Table.by) are put below each other, with the cohort in the
    first column.
    """
    if len(found) == 1 or _same(found):
        return replace(first, note=_notes(found))
    if not first.by:
        formats = {name: form for table in found.values() for name, form in table.formats.items()}
        frame = _stacked({name: table.frame.astype(object) for name, table in found.items()})
        return replace(first, frame=frame, formats=formats, note=_notes(found))
    beside = _columns(first, found)
    # An effect is drawn, which takes the place of two numbers.
    effects = beside.frame.map(lambda value: isinstance(value, Effect)).any().sum()
    if len(beside.frame.columns) + effects <= MOST_COLUMNS:
        return beside
    return _beside(first, found)


def _columns(first: Table, found: Mapping[str, Table]) -> Table:
    """Put tables side by side by their row names; columns that all have alike stand once."""
    by = list(first.by)
    rows = {
        name: list(zip(*(its.frame[key] for key in by), strict=True)) for name, its in found.items()
    }
    every = _merged(rows.values())
    columns: dict[str, list] = {}
    formats = {key: form for key, form in first.formats.items() if key in by}
    for column in _merged([its.frame.columns.drop(by) for its in found.values()]):
        own = {
            name: {
                row: value
                for row, value in zip(rows[name], its.frame[column], strict=True)
                if not pd.isna(value)
            }
            for name, its in found.items()
            if column in its.frame
        }
        common = {row: value for values in own.values() for row, value in values.items()}
        alike = all(values.items() <= common.items() for values in own.values())
        if alike and len(own) == len(found):
            shown = {column: common}
        else:
            shown = {f"{column}, {name}": values for name, values in own.items()}
        columns |= {title: [values.get(row) for row in every] for title, values in shown.items()}
        forms = [its.formats[column] for its in found.values() if column in its.formats]
        formats |= dict.fromkeys(shown, forms[0]) if forms else {}
    frame = pd.DataFrame(every, columns=by).assign(**columns)
    return replace(first, frame=frame, formats=formats, note=_notes(found))


def _notes(found: Mapping[str, Exhibit]) -> str:
    """Return the sentences that all exhibits note once, and others with their cohorts' names."""
    common, own = _shared({name: exhibit.note for name, exhibit in found.items()})
    return sentences(common, *(f"{name}: {note}" for name, note in own.items() if note))


def _shared(notes: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return the sentences that all notes have, and the others of each."""
    split = {name: SENTENCE_END.split(note) for name, note in notes.items()}
    first = next(iter(split.values()))
    common = [its for its in first if all(its in others for others in split.values())]
    own = {
        name: " ".join(its for its in parts if its not in common) for name, parts in split.items()
    }
    return " ".join(common), own


def _stacked(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    parts = [frame.assign(**{COHORT: name}) for name, frame in frames.items()]
    stack = pd.concat(parts, ignore_index=True)
    return stack[[COHORT, *stack.columns.drop(COHORT)]]


def _said(found: Mapping[str, Sequence[Words]], cohorts: int) -> Iterator[Words]:
    """Yield each paragraph once, with the names of its cohorts unless all have it."""
    for lead in _merged([[words.lead for words in said] for said in found.values()]):
        names: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        for name, said in found.items():
            own = [words for words in said if words.lead == lead]
            if own:
                text = " ".join(words.text for words in own)
                places = tuple(dict.fromkeys(place for words in own for place in words.places))
                names.setdefault((text, places), []).append(name)
        for (text, places), of in names.items():
            whose = lead if len(of) == cohorts else _lead(lead, joined(of))
            yield Words(text, whose, places)


def _lead(lead: str, names: str) -> str:
    """Return the lead of a paragraph with the names of its cohorts: "Best (simulated):"."""
    if not lead:
        return f"{names}:"
    end = lead[-1] if lead[-1] in ".:?" else ""
    return f"{lead.removesuffix(end)} ({names}){end}"
