"""What the results say in a few sentences, computed from them: the first thing on the page."""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.config import AS_PUBLISHED, AS_WRITTEN
from study.evidence.evidence import MIXTURE, Evidence
from study.evidence.stats import FAILS, HOLDS, UNDECIDED
from study.paper.claims import Judgement
from study.report.curves import (
    CLEAN,
    main_protocol,
    network_curve,
    of_protocol,
    over_seeds,
    published_curve,
    reference_curves,
)
from study.report.document import Link, Words
from study.report.wording import joined

NOISE = 0.5  # of Figs. 4 and 5
PLOTTED = ("dense-2", "dense-4", "dense-6")  # whose curves the paper plots with a scale (Figs. 6-8)


def in_short(evidence: Evidence, judgements: list[Judgement]) -> tuple[Words, ...]:
    """Four to six points. What these runs cannot say is not said."""
    points = [
        _claims(judgements, AS_PUBLISHED, "Run as the paper's scripts ran"),
        _claims(judgements, AS_WRITTEN, "Run as the paper's text describes it"),
        _artefacts(judgements),
        _rerun(evidence),
        _best(evidence),
        _worse_than_nothing(evidence),
    ]
    return tuple(point for point in points if point)


def glance(judgements: list[Judgement]) -> pd.DataFrame:
    """The outcome alone, one row a claim: claim, as published, as written."""
    rows = []
    for judgement in judgements:
        found = [judgement.verdicts.get(protocol) for protocol in (AS_PUBLISHED, AS_WRITTEN)]
        rows.append(
            (
                Link(judgement.claim.id, judgement.claim.text),
                *(verdict and verdict.outcome for verdict in found),
            )
        )
    return pd.DataFrame(
        rows, columns=["claim of the paper", "as its scripts ran", "as its text says"]
    )


def _claims(judgements: list[Judgement], protocol: str, lead: str) -> Words:
    outcomes = {
        j.claim.id: j.verdicts[protocol].outcome for j in judgements if j.verdicts.get(protocol)
    }
    if not outcomes:
        return Words("not measured in these runs.", f"{lead}:")
    told = []
    for outcome, one, many in (
        (HOLDS, "holds", "hold"),
        (FAILS, "does not hold", "do not hold"),
        (UNDECIDED, "is undecided", "are undecided"),
    ):
        names = [name for name, found in outcomes.items() if found == outcome]
        if names:
            told.append(f"{joined(names)} {one if len(names) == 1 else many}")
    left = [j.claim.id for j in judgements if j.claim.id not in outcomes]
    if left:
        told.append(f"{joined(left)} {'was' if len(left) == 1 else 'were'} not measured")
    return Words("; ".join(told) + ".", f"{lead}:")


def _artefacts(judgements: list[Judgement]) -> Words | None:
    """Group the claims by what makes them vanish or appear; each claim's own section has the details."""
    claims: dict[tuple[bool, tuple[str, ...]], list[str]] = {}
    for judgement in judgements:
        if judgement.makers:
            key = judgement.found, tuple(judgement.makers)
            claims.setdefault(key, []).append(judgement.claim.id)
    sentences = []
    for (found, items), names in claims.items():
        verb = (
            ("vanish" if found else "appear")
            if len(names) > 1
            else ("vanishes" if found else "appears")
        )
        sentences.append(f"{joined(names)} {verb} with {joined(items)}")
    if not sentences:
        return None
    lead = "What makes the claims, one item of the scripts changed:"
    return Words(f"{'; '.join(sentences)}.", lead)


def _rerun(evidence: Evidence) -> Words | None:
    """How near the rerun comes to the curves that the paper plots with a scale."""
    gaps = []
    for model in PLOTTED:
        published = published_curve(model).set_index("noise_factor")["mse"]
        rerun = network_curve(evidence, AS_PUBLISHED, model, CLEAN, "rerun").set_index(
            "noise_factor"
        )["mse"]
        gaps += list((rerun - published).dropna())
    if not gaps:
        return None
    gaps = np.array(gaps)
    kind = "simulated data" if evidence.simulated else "these data"
    text = (
        f"over the {len(gaps)} points of Figs. 6–8 the rerun of the scripts on {kind} lies {np.abs(gaps).mean():.3f} "
        f"MSE from the published curve on average, {np.abs(gaps).max():.3f} at most."
    )
    return Words(text, "How near to the paper:")


def best_network(evidence: Evidence, noise: float = NOISE) -> pd.Series | None:
    """The network of the main protocol with the least validation MSE at a noise factor.

    model, chosen_on, and mse, low, high, seeds on noisy test rows.
    """
    rows = of_protocol(evidence, main_protocol(evidence))
    rows = rows[np.isclose(rows["noise_factor"], noise)]
    if rows.empty:
        return None
    # A network that was carried through several levels has one validation MSE, of its last: not of this noise.
    single = not (rows["carried"] | rows["mixed"]).any()
    chosen_by, chosen_on = (
        ("val_mse", "validation rows") if single else ("train_clean_mse", "clean training rows")
    )
    model = rows.groupby("model")[chosen_by].mean().idxmin()
    found = over_seeds(rows[rows["model"] == model], "test_mse", ["noise_factor"]).iloc[0]
    return pd.concat([pd.Series({"model": model, "chosen_on": chosen_on}), found])


def _best(evidence: Evidence) -> Words | None:
    best = best_network(evidence)
    if best is None:
        return None
    references = reference_curves(evidence)
    at = references[np.isclose(references["noise_factor"], NOISE)].set_index("series")["mse"]
    others = [f"{at['Wiener']:.3f} for the linear Wiener filter"] if "Wiener" in at else []
    others += [f"{at[MIXTURE]:.3f} for the mixture of such filters"] if MIXTURE in at else []
    others += [f"{NOISE**2:.3f} for leaving the noisy input alone"]
    others += (
        [f"{at['oracle']:.3f} for the best denoiser that these simulated data allow"]
        if "oracle" in at
        else []
    )
    interval = "" if np.isnan(best["low"]) else f" (95 % {best['low']:.3f} to {best['high']:.3f})"
    text = (
        f"at noise factor {NOISE:g} the best network {main_protocol(evidence)} ({best['model']}, chosen on "
        f"{best['chosen_on']}) has MSE {best['mse']:.3f}{interval} on noisy test rows, against {joined(others)}."
    )
    return Words(text, "How well noise is removed:")


def _worse_than_nothing(evidence: Evidence) -> Words | None:
    """Where the networks are worse than leaving the input alone."""
    rows = of_protocol(evidence, main_protocol(evidence))
    curves = over_seeds(rows, "test_mse", ["model", "noise_factor"])
    if curves.empty:
        return None
    excess = curves.assign(worse=curves["mse"] > curves["noise_factor"] ** 2)
    share = excess.groupby("noise_factor")["worse"].mean()
    every, some = share[share == 1].index, share[(share > 0) & (share < 1)].index
    told = []
    if len(every):
        told.append(
            f"every network is worse than leaving the noisy input alone at noise {_range(every, share.index)}"
        )
    if len(some):
        told.append(f"some are at noise {_range(some, share.index)}")
    better = share[share == 0].index
    if len(better) and told:
        told.append(f"none is at noise {_range(better, share.index)}")
    return Words(
        "; ".join(told or ["no network is worse than the noisy input at any noise measured"]) + ".",
        _BEWARE,
    )


_BEWARE = "Where the networks do harm:"


def _range(values, among) -> str:
    """`0 to 0.5`, where all values of `among` between are there; else a list."""
    values, among = sorted(values), sorted(among)
    first, last = among.index(values[0]), among.index(values[-1])
    if len(values) > 2 and among[first : last + 1] == values:
        return f"{values[0]:g} to {values[-1]:g}"
    return joined([f"{value:g}" for value in values])
