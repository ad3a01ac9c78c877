"""The paper's claims C1-C7: what each says and where, the paper's own numbers, what it compares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from study.paper import comparisons
from study.paper.comparisons import CONV, DENSE
from study.paper.judging import Differences, Part


@dataclass(frozen=True)
class Claim:
    """One claim of the paper."""

    id: str
    text: str
    where: str
    published: str
    """The paper's own numbers (published.csv)."""
    models: tuple[str, ...]
    compare: Callable[[pd.DataFrame], Differences]
    unit: str
    """What the effect is."""
    grid: str = "paper"
    """The grid that gives the evidence as-written."""
    needs: str = ""
    """What the grid must contain."""
    in_scripts: bool = True
    """Whether the paper's scripts trained networks that the claim is about."""
    apart: tuple[Part, ...] = ()
    """Parts that are a claim by themselves (study.paper.judging.judge)."""
    note: Callable[[float], str] | None = None
    """The effect in other words."""
    division: str = ""
    """What the division by n has to do with it."""
    further: str = ""
    """What else the claim says, and the command that measures it."""
    measured_by: str = ""
    """The parts (`Part.about`) that measure this; "" if it is judged elsewhere."""


def _ratio(effect: float) -> str:
    times = 10 ** (effect + 2)
    return f"the dense MSE (geometric mean over depths) is {times:.3g} times the conv MSE"


CLAIMS = (
    Claim(
        "C1",
        "MSE grows with depth (2 < 4 < 6 < 8 layers) at noise factor 0.5",
        "Figs. 4, 5",
        "Fig. 4: 0.000216, 0.000295, 0.000319, 0.000344; x 2921: 0.631, 0.862, 0.932, 1.004",
        DENSE,
        comparisons.depth_at_middle,
        "MSE by which the deeper of two neighbours is worse",
        needs="noise factor 0.5",
    ),
    Claim(
        "C2",
        "the same order of depths at every noise factor",
        "section 9.1",
        "Figs. 6-9: 0.690, 1.002, 1.000, about 1 at noise 0 and 0.630, 0.891, 0.970, about 1 at "
        "noise 1; 28 of 33 neighbours differ by more than the reading error",
        DENSE,
        comparisons.depth_everywhere,
        "MSE by which the deeper of two neighbours is worse",
        apart=comparisons.MIDDLE_PARTS,
    ),
    Claim(
        "C3",
        "for every depth MSE falls as the noise factor grows",
        "Figs. 6-9",
        "from noise 0 to 1: 0.690 to 0.630 (Fig. 6), 1.002 to 0.891 (Fig. 7), "
        "1.000 to 0.970 (Fig. 8), about 1 to about 1 (Fig. 9)",
        DENSE,
        comparisons.fall_with_noise_dense,
        "MSE lost per 1.0 of noise factor",
    ),
    Claim(
        "C4",
        "for the conv model MSE falls as the noise factor grows",
        "Fig. 10",
        "Fig. 10: 0.003471 at noise 0 to 0.000344 at noise 0.9; x n: 1.0135 to 1.0034",
        (CONV,),
        comparisons.fall_with_noise_conv,
        "MSE lost per 1.0 of noise factor",
        division="Fig. 10 is C / n: its numbers fall 10.1-fold, and multiplied by n = 292, 584, "
        "... 2920 they are 1.0135 to 1.0034, a fall of 1.0 %",
    ),
    Claim(
        "C5",
        "the conv model is two orders of magnitude better than the dense ones, "
        "so there are spatial features",
        "section 9.3",
        "at noise 0.5: conv 0.000577 (Fig. 10; x n: 1.0104), "
        "dense 0.639, 0.943, 0.988, about 1 (Figs. 6-9)",
        (*DENSE, CONV),
        comparisons.conv_over_dense,
        "for log10(dense MSE / conv MSE) - 2",
        needs="noise factor 0.5",
        note=_ratio,
        division="Fig. 10 is C / n: 0.000577 at noise 0.5 is 1108 to 1713 times below Figs. 6-8 "
        "(0.639 to 0.988), which are not divided; times n = 1752 it is 1.0104, above all of them",
        further="spatial features themselves are judged among the open questions: "
        "--grid gene-order",
    ),
    Claim(
        "C6",
        "fewer sparsity constraints or a smaller code reduce the overfitting",
        "sections 9.1, 10",
        "no number: a conjecture",
        DENSE,
        comparisons.overfitting,
        "of test less train MSE that the constraint or the larger code adds",
        needs="two values of beta",
        in_scripts=False,
        further="the half about the code is not measured: --search bottleneck",
        measured_by=comparisons.CODE,
    ),
    Claim(
        "C7",
        "training on several noise levels, or testing at another level, may do better",
        "section 9.2",
        "no number: a conjecture",
        DENSE,
        comparisons.mixed_noise,
        "MSE by which training on mixed noise is better than on each level",
        grid="mixed-noise",
        in_scripts=False,
        further="testing at another level is judged among the open questions: --grid cross-noise",
    ),
)
