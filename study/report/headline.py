"""What the results say in a few sentences, computed from them: the first thing on the page."""

from __future__ import annotations

import numpy as np

from data_utils.noise import identity_mse
from models.config import AS_PUBLISHED
from study.evidence.evidence import MIXTURE, Evidence
from study.paper.claims import Judgement
from study.report.curves import (
    CLEAN,
    NOISE,
    main_protocol,
    network_curve,
    of_protocol,
    over_seeds,
    published_curve,
    reference_curves,
)
from study.report.document import Words
from study.report.wording import joined, listed, span

#: References in words, as far as these runs measured them.
REFERENCES = {
    "Wiener": "the linear Wiener filter",
    MIXTURE: "the mixture of such filters",
    "identity": "leaving the input alone",
    "oracle": "the best possible on this simulation",
}


def in_short(evidence: Evidence, judgements: list[Judgement]) -> tuple[Words, ...]:
    """Return up to four points; what these runs did not measure is left out."""
    points = {
        "How well noise is removed:": _best(evidence),
        "Worse than leaving the noisy input alone:": _harm(evidence),
        "What makes the claims, one item of the scripts changed:": _makers(judgements),
        "How near to the paper:": _rerun(evidence),
    }
    return tuple(Words(text, lead) for lead, text in points.items() if text)


def _makers(judgements: list[Judgement]) -> str:
    """Group the claims by what makes them vanish or appear."""
    claims: dict[tuple[bool, str], list[str]] = {}
    for judgement in judgements:
        if judgement.makers:
            key = judgement.found, joined(judgement.makers)
            claims.setdefault(key, []).append(judgement.claim.id)
    sentences = []
    for (found, items), names in claims.items():
        verb = ("vanish" if found else "appear") + ("es" if found else "s") * (len(names) == 1)
        sentences.append(f"{joined(names)} {verb} with {items}")
    return f"{'; '.join(sentences)}." if sentences else ""


def _rerun(evidence: Evidence) -> str:
    """Return how near the rerun comes to the curves that the paper plots with a scale."""
    gaps: list[float] = []
    for model in ("dense-2", "dense-4", "dense-6"):
        rerun = network_curve(evidence, AS_PUBLISHED, model, CLEAN, "rerun")
        curves = [
            points.set_index("noise_factor")["mse"] for points in (rerun, published_curve(model))
        ]
        gaps += list((curves[0] - curves[1]).dropna().abs())
    if not gaps:
        return ""
    return (
        f"over the {len(gaps)} points of Figs. 6–8 the rerun of the scripts lies "
        f"{np.mean(gaps):.3f} MSE from the published curve on average, {max(gaps):.3f} at most."
    )


def _best(evidence: Evidence) -> str:
    """Compare the network with the least validation MSE at the middle noise with the references."""
    protocol = main_protocol(evidence)
    rows = of_protocol(evidence, protocol)
    rows = rows[np.isclose(rows["noise_factor"], NOISE)]
    if rows.empty:
        return ""
    # The validation MSE of a network carried through several levels is of its last level.
    single = not (rows["carried"] | rows["mixed"]).any()
    chosen_by = "val_mse" if single else "train_clean_mse"
    model = rows.groupby("model")[chosen_by].mean().idxmin()
    found = over_seeds(rows[rows["model"] == model], "test_mse", ["noise_factor"]).iloc[0]
    interval = span(found["low"], found["high"], 3)
    points = reference_curves(evidence)
    at = points[np.isclose(points["noise_factor"], NOISE)].set_index("series")["mse"]
    others = [f"{text} {at[name]:.3f}" for name, text in REFERENCES.items() if name in at]
    return (
        f"at noise factor {NOISE:g} the best network ({model}, {protocol}, chosen on "
        f"{'validation' if single else 'clean training'} rows) has MSE {found['mse']:.3f}"
        f"{f' (95 % {interval})' if interval else ''} on noisy test rows; {joined(others)}."
    )


def _harm(evidence: Evidence) -> str:
    """Return at which noise factors networks are worse than leaving the input alone."""
    rows = of_protocol(evidence, main_protocol(evidence))
    curves = over_seeds(rows, "test_mse", ["model", "noise_factor"])
    if curves.empty:
        return ""
    worse = curves["mse"] > identity_mse(curves["noise_factor"])
    share = worse.groupby(curves["noise_factor"]).mean()
    every, some = share.index[share == 1], share.index[(share > 0) & (share < 1)]
    where = [f"every network at noise {listed(every)}"] if len(every) else []
    where += [f"some networks at noise {listed(some)}"] if len(some) else []
    return f"{joined(where)}." if where else "no network."
