"""The paper's claims C1-C7: what each says and where, the paper's own numbers for it, and what it compares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

from study.paper import comparisons
from study.paper.comparisons import CONV, DENSE, MIDDLE, NOISE_FACTORS
from study.paper.judging import Differences, Part
from study.paper.published import N_SAMPLES, published_fig4, published_mse


def _numbers_of_fig4() -> str:
    values = [published_fig4()[model] for model in DENSE]
    printed = ", ".join(f"{value.printed:.6f}" for value in values)
    return f"Fig. 4: {printed}; x {N_SAMPLES}: {', '.join(f'{value.mse:.3f}' for value in values)}"


def _numbers_everywhere() -> str:
    values = [[published_mse(model, noise) for model in DENSE] for noise in NOISE_FACTORS]
    pairs = [pair for level in values for pair in pairwise(level)]
    clear = sum(deep.mse - flat.mse > deep.tolerance + flat.tolerance for flat, deep in pairs)
    ends = " and ".join(
        f"{', '.join(_about(value) for value in level)} at noise {level[0].noise_factor:g}"
        for level in (values[0], values[-1])
    )
    return f"Figs. 6-9: {ends}; {clear} of {len(pairs)} neighbours differ by more than the reading error"


def _numbers_of_falls() -> str:
    falls = []
    for model in DENSE:
        first, last = published_mse(model, 0.0), published_mse(model, 1.0)
        falls.append(f"{_about(first)} to {_about(last)} ({first.figure})")
    return f"from noise 0 to 1: {', '.join(falls)}"


def _numbers_of_fig10() -> str:
    first, last = published_mse(CONV, 0.0), published_mse(CONV, 0.9)
    return (
        f"Fig. 10: {first.printed:.6f} at noise 0 to {last.printed:.6f} at noise 0.9; "
        f"x n: {first.mse:.4f} to {last.mse:.4f}"
    )


def _numbers_of_both() -> str:
    conv = published_mse(CONV, MIDDLE)
    dense = ", ".join(_about(published_mse(model, MIDDLE)) for model in DENSE)
    return f"at noise {MIDDLE}: conv {conv.printed:.6f} (Fig. 10; x n: {conv.mse:.4f}), dense {dense} (Figs. 6-9)"


def _about(value) -> str:
    return f"about {value.mse:g}" if value.kind == "about" else f"{value.mse:.3f}"


def _fig10_is_c_over_n() -> str:
    values = [value for noise in NOISE_FACTORS if (value := published_mse(CONV, noise))]
    first, last = values[0], values[-1]
    return (
        f"Fig. 10 is C / n: its numbers fall {first.printed / last.printed:.1f}-fold, and multiplied by "
        f"n = {first.n}, {values[1].n}, ... {last.n} they are {first.mse:.4f} to {last.mse:.4f}, a fall of "
        f"{100 * (1 - last.mse / first.mse):.1f} %"
    )


def _hundredfold_is_n() -> str:
    conv = published_mse(CONV, MIDDLE)
    dense = [
        value.mse for model in DENSE if (value := published_mse(model, MIDDLE)).kind == "plotted"
    ]
    return (
        f"Fig. 10 is C / n: {conv.printed:.6f} at noise {MIDDLE} is {min(dense) / conv.printed:.0f} to "
        f"{max(dense) / conv.printed:.0f} times below Figs. 6-8 ({min(dense):.3f} to {max(dense):.3f}), which are not "
        f"divided; times n = {conv.n} it is {conv.mse:.4f}, above all of them"
    )


def _conjecture() -> str:
    return "no number: a conjecture"


@dataclass(frozen=True)
class Claim:
    """One claim of the paper."""

    id: str
    text: str
    where: str
    models: tuple[str, ...]
    compare: Callable[[pd.DataFrame], Differences]
    unit: str
    """What the effect is."""
    published: Callable[[], str]
    """The paper's own numbers."""
    command: str = "--grid paper"
    """What gives the evidence as-written."""
    in_scripts: bool = True
    """The paper's scripts trained networks that the claim is about."""
    apart: tuple[Part, ...] = ()
    """Parts that are a claim by themselves (study.claims.judging.judge)."""
    note: Callable[[float], str] | None = None
    """The effect in other words."""
    division: Callable[[], str] | None = None
    """What the division by n has to do with it."""
    further: tuple[str, str] = ("", "")
    """What else the claim says, and the command that measures it; said unless a part is named after the first word."""


CLAIMS = (
    Claim(
        "C1",
        "MSE grows with depth (2 < 4 < 6 < 8 layers) at noise factor 0.5",
        "Figs. 4, 5",
        DENSE,
        comparisons.depth_at_middle,
        "MSE by which the deeper of two neighbours is worse",
        _numbers_of_fig4,
        command="--grid paper with noise factor 0.5",
    ),
    Claim(
        "C2",
        "the same order of depths at every noise factor",
        "section 9.1",
        DENSE,
        comparisons.depth_everywhere,
        "MSE by which the deeper of two neighbours is worse",
        _numbers_everywhere,
        apart=comparisons.MIDDLE_PARTS,
    ),
    Claim(
        "C3",
        "for every depth MSE falls as the noise factor grows",
        "Figs. 6-9",
        DENSE,
        comparisons.fall_with_noise_dense,
        "MSE lost per 1.0 of noise factor",
        _numbers_of_falls,
    ),
    Claim(
        "C4",
        "for the conv model MSE falls as the noise factor grows",
        "Fig. 10",
        (CONV,),
        comparisons.fall_with_noise_conv,
        "MSE lost per 1.0 of noise factor",
        _numbers_of_fig10,
        division=_fig10_is_c_over_n,
    ),
    Claim(
        "C5",
        "the conv model is two orders of magnitude better than the dense ones, so there are spatial features",
        "section 9.3",
        (*DENSE, CONV),
        comparisons.conv_over_dense,
        "for log10(dense MSE / conv MSE) - 2",
        _numbers_of_both,
        command="--grid paper with noise factor 0.5",
        note=lambda effect: (
            f"the dense MSE (geometric mean over depths) is {10 ** (effect + 2):.3g} times the conv MSE"
        ),
        division=_hundredfold_is_n,
        further=(
            "order",
            "spatial features themselves are judged among the open questions: --grid gene-order",
        ),
    ),
    Claim(
        "C6",
        "fewer sparsity constraints or a smaller code reduce the overfitting",
        "sections 9.1, 10",
        DENSE,
        comparisons.overfitting,
        "of test less train MSE that the constraint or the larger code adds",
        _conjecture,
        command="--grid paper with two values of beta",
        in_scripts=False,
        further=("code", "the half about the code is not measured: --search bottleneck"),
    ),
    Claim(
        "C7",
        "training on several noise levels, or testing at another level, may do better",
        "section 9.2",
        DENSE,
        comparisons.mixed_noise,
        "MSE by which training on mixed noise is better than on each level",
        _conjecture,
        command="--grid mixed-noise",
        in_scripts=False,
        further=(
            "another",
            "testing at another level is judged among the open questions: --grid cross-noise",
        ),
    ),
)
