"""The causes of a claim: the change of its effect if items of the scripts are corrected.

A claim's effect is the mean over its parts. An item makes a claim (Step.makes) if the effect exists
as published, correcting the item reduces it, and nothing is left of it with the item corrected;
each is read off an interval. The reduction by an item is

- for items of which every combination was trained, their main effect in a factorial (Factorial): a
  mean over all settings of the others;
- for others, and for the conv network, the effect as published over that with only the item
  corrected.

The effects of a factorial are judged together, at Holm's levels, and so are those of all other
items. All are paired by replicate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import pandas as pd

from models.config import AS_PUBLISHED, Protocol, items_of
from models.config import DENSE_MODELS as DENSE
from study.evidence.effects import Effect, effect_of, effects
from study.evidence.evidence import Evidence
from study.evidence.factorial import Items, factorial_effects
from study.evidence.stats import HOLDS, NO_DIFFERENCE, REVERSED
from study.grids import FACTORS, LONG, correctable
from study.paper.claim import CLEAN, NOISY, Claim, measured
from study.paper.comparisons import CONV, divided_by_n, mean_of_parts, usable
from study.paper.judging import Differences, Part

DIVIDED = "conv MSE / n, as Fig. 10 prints it"
#: The items of the factorial: those of the grid, and the measure, which needs no training.
ITEMS = (*FACTORS, NOISY)


@dataclass(frozen=True)
class Step:
    """The effect of correcting one item of the scripts on a claim.

    published, changed: the claim's effect as published, and with only the item corrected. change:
    the reduction of the effect by the correction (see above), in percent.
    """

    item: str
    published: Effect
    changed: Effect
    change: Effect

    @property
    def takes(self) -> bool:
        """Whether the effect exists as published, and correcting the item reduces it."""
        return self.published.outcome == self.change.outcome == HOLDS

    @property
    def makes(self) -> bool:
        """Whether the effect exists as published, and correcting the item removes all of it."""
        return self.takes and self.changed.outcome in (NO_DIFFERENCE, REVERSED)

    @property
    def adds(self) -> bool:
        """Whether the effect is absent as published, and appears with the item corrected."""
        absent = self.published.outcome in (NO_DIFFERENCE, REVERSED)
        return absent and self.change.outcome == REVERSED and self.changed.outcome == HOLDS


@dataclass(frozen=True)
class Factorial:
    """The effects of correcting ITEMS on a claim's effect, in percent; below 0 they reduce it.

    effects: by item the main effect, and by pair of items their interaction. right: the claim's
    effect with all items corrected.
    """

    effects: dict[Items, Effect]
    right: Effect


# The factorial.


def factorial_of(claim: Claim, evidence: Evidence) -> Factorial | None:
    """Judge the factorial of a claim on dense models; None if a combination was not trained."""
    values = factorial_values(claim, evidence)
    if values.empty:
        return None
    its = evidence.overlap, evidence.smallest
    right = values.loc[values[[*ITEMS]].all(axis=1), "value"]
    return Factorial(factorial_effects(values, ITEMS, *its), effect_of(right, *its))


def factorial_values(claim: Claim, evidence: Evidence) -> pd.DataFrame:
    """Return a claim's effect by replicate in every setting of ITEMS: columns seed, ITEMS, value.

    `value` is a log ratio, above 0 if the claim is right, as a mean over the parts that all
    settings have. Only replicates with every setting are used.
    """
    columns = ["seed", *ITEMS, "value"]
    none = pd.DataFrame(columns=columns)
    if claim.compare is None or claim.gap or not set(claim.models) <= set(DENSE):
        return none
    found = {items: claim.compare(rows) for items, rows in _settings(evidence).items()}
    parts = [part for part in next(iter(found.values()), ()) if _all_have(part, found.values())]
    if not parts:
        return none
    settings = []
    for items, of in found.items():
        effect = _effect(claim, {part: of[part] for part in parts})
        rows = effect.rename("value").rename_axis("seed").reset_index()
        settings.append(rows.assign(**{item: int(item in items) for item in ITEMS}))
    values = pd.concat(settings, ignore_index=True)[columns]
    return values[values.groupby("seed")["value"].transform("size") == len(settings)]


def _all_have(part: Part, found: Iterable[Differences]) -> bool:
    return all(part in known and known[part].notna().any() for known in found)


def _effect(claim: Claim, differences: Differences) -> pd.Series:
    """Return the mean over the parts by replicate, counting a fall and its continuation as one."""
    return (2 if claim.shape else 1) * mean_of_parts(differences)


@lru_cache(1)
def _settings(evidence: Evidence) -> dict[frozenset[str], pd.DataFrame]:
    """Return the levels of dense models by set of corrected ITEMS; {} if any set is missing.

    Only noise factors that all sets have are kept, since fresh networks are trained at a few only.
    """
    levels = evidence.levels
    levels = levels[(levels["protocol"] == AS_PUBLISHED) & levels["model"].isin(DENSE)]
    by_set = dict(iter(levels.groupby("changed")))
    found = {}
    for items in (its for n in range(len(FACTORS) + 1) for its in combinations(FACTORS, n)):
        rows = by_set.get(Protocol(AS_PUBLISHED, items).changes)
        if rows is None:
            return {}
        found[frozenset(items)] = usable(measured(rows, CLEAN))
        found[frozenset((*items, NOISY))] = usable(measured(rows, NOISY))
    shared = set.intersection(*(set(rows["noise_factor"]) for rows in found.values()))
    return {items: rows[rows["noise_factor"].isin(shared)] for items, rows in found.items()}


# Single items.


def steps_of(claim: Claim, evidence: Evidence, factorial: Factorial | None) -> tuple[Step, ...]:
    """Compare a claim's effect as published with that after correcting each item, by replicate.

    Only models and parts that are measured in both are used.
    """
    if claim.compare is None or not claim.in_scripts:
        return ()
    levels = evidence.levels[evidence.levels["model"].isin(claim.models)]
    levels = measured(levels[levels["protocol"] == AS_PUBLISHED], claim.measure(AS_PUBLISHED))
    all_published = usable(levels[levels["changed"] == ""])
    published: dict[str, pd.Series] = {}
    changed: dict[str, pd.Series] = {}
    for item, rows in _variants(claim, levels):
        found = claim.compare(usable(rows))
        known = claim.compare(all_published[all_published["model"].isin(rows["model"])])
        both = [part for part in found if _all_have(part, (found, known))]
        pair = [_effect(claim, {part: of[part] for part in both}) for of in (known, found)]
        if len(pair[0].index.intersection(pair[1].index)):
            published[item], changed[item] = pair
    its = evidence.overlap, evidence.smallest
    change = {} if factorial is None else {item: factorial.effects[item,].inverse for item in ITEMS}
    alone = {item: (published[item] - changed[item]).dropna() for item in changed}
    change |= effects({item: of for item, of in alone.items() if item not in change}, *its)
    left = effects(changed, *its)
    return tuple(
        Step(item, effect_of(published[item], *its), left[item], change[item]) for item in changed
    )


def _variants(claim: Claim, levels: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield (item, levels) as published with one item changed, for items of the claim's models.

    If an item can be changed in some models of the claim only, the others stay as published.
    """
    published = levels[levels["changed"] == ""]
    if published.empty:
        return
    if not claim.gap:
        yield NOISY, measured(published, NOISY)
    single = levels[(levels["changed"].map(items_of).map(len) == 1) & (levels["changed"] != LONG)]
    for item, rows in single.groupby("changed", sort=False):
        can = [model for model in claim.models if item in correctable(model)]
        others = ~published["model"].isin(can or claim.models)
        yield item, pd.concat([rows, published[others]])
    if CONV in claim.models and not claim.gap:
        yield DIVIDED, divided_by_n(published)
