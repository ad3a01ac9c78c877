"""Can the rest of the genes be denoised? They are predicted from denoised landmark genes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from models.config import PAPER_MODELS
from study.evidence.effects import effects
from study.evidence.evidence import CLEAN_INPUT, MIXTURE, NO_INPUT, NOISY_INPUT, ON_NOISY, Evidence
from study.report.curves import MISSING, over_seeds, rounded
from study.report.document import Plot, Table
from study.report.drawing import multiples
from study.report.questions import question as q
from study.report.wording import joined, listed

#: The predictors in the order of the panels; the second is a plain dense network.
PREDICTORS = ("ridge", "network")
#: Inputs of a predictor, from the best possible to the worst, and the look of each line.
INPUTS = {
    CLEAN_INPUT: "oracle",
    MIXTURE: MIXTURE,
    "Wiener": "Wiener",
    **{model: model for model in PAPER_MODELS},
    NOISY_INPUT: "identity",
}
#: The series of the ridge that was fitted to noisy rows, and its look.
TRAINED, ITS_LOOK = "noisy, trained on noisy", "PCA with gain"


# Data.


def other_gene_errors(evidence: Evidence) -> pd.DataFrame:
    """Return test MSE of predicting the other genes, mean over seeds.

    Columns are model (the predictor), series (its input), method, noise_factor, mse, low, high and
    seeds. The ridge that was trained on noisy rows is a series among those of the ridge.
    """
    rows = evidence.inference
    rows = rows[rows["predictor"].isin([*PREDICTORS, ON_NOISY])]
    rows = rows[rows["input"].isin(list(INPUTS))]
    rows = rows.assign(noise_factor=rounded(rows["noise_factor"]))
    found = over_seeds(rows, "test_mse", ["predictor", "input", "noise_factor"], evidence.overlap)
    on_noisy = found["predictor"] == ON_NOISY
    found = found.assign(
        model=found["predictor"].mask(on_noisy, "ridge"),
        series=found["input"].mask(on_noisy, TRAINED),
        method=found["input"].map(INPUTS).mask(on_noisy, ITS_LOOK),
    )
    places = {its: i for i, its in enumerate(INPUTS)}
    found["place"] = found["input"].map(places) + on_noisy / 2
    found["panel"] = found["model"].map(PREDICTORS.index)
    found = found.sort_values(["panel", "place", "noise_factor"], ignore_index=True)
    names = ["model", "series", "method", "noise_factor", "mse", "low", "high", "seeds"]
    return found[names]


def gains(evidence: Evidence, predictor: str) -> dict[str, pd.Series]:
    """Return by denoiser, for each seed, the log of its MSE over that of noisy landmarks.

    It is a mean over the noise factors that all inputs have.
    """
    rows = evidence.inference[evidence.inference["predictor"] == predictor]
    table = rows.pivot_table(index=["seed", "noise_factor"], columns="input", values="test_mse")
    denoised = [name for name in INPUTS if name in table and name not in (CLEAN_INPUT, NOISY_INPUT)]
    if NOISY_INPUT not in table or not denoised:
        return {}
    table = np.log(table[[NOISY_INPUT, *denoised]].dropna())
    return {name: (table[name] - table[NOISY_INPUT]).groupby("seed").mean() for name in denoised}


# Words.


def other_genes_question(evidence: Evidence) -> q.Question:
    """Ask whether denoised landmark genes predict the other genes better than noisy ones."""
    asked = q.Question("inference", "Other genes: can they be denoised, too?", "--data FILE --grid")
    errors = other_gene_errors(evidence)
    if not len(errors):
        return asked
    members = evidence.members
    networks = members.loc[members["grid"] == "inference", "member_id"]
    exhibits: list[Plot | Table] = [_curves(evidence, errors), _table(errors)]
    return asked.answered(_answer(evidence, errors), exhibits, networks)


def _answer(evidence: Evidence, errors: pd.DataFrame) -> str:
    begin = (
        f"{_count(evidence)}are predicted from the landmark genes by ridge regression and by a "
        "dense network, both fitted to clean rows."
    )
    sentences = [begin]
    for predictor in PREDICTORS:
        found = effects(gains(evidence, predictor), evidence.overlap, evidence.smallest)
        if found:
            changes = [f"{name} {effect.shown}" for name, effect in found.items()]
            sentences.append(
                f"By {predictor}, denoising the landmarks first changes test MSE over noise "
                f"{listed(errors['noise_factor'])} by: {'; '.join(changes)}."
            )
    noise = errors["noise_factor"].max()
    at = errors[(errors["model"] == "ridge") & (errors["noise_factor"] == noise)]
    values = [f"{mse:.3f} ({name})" for name, mse in zip(at["series"], at["mse"], strict=True)]
    if values:
        sentences.append(f"At noise factor {noise:g} ridge has {joined(values)}.")
    return " ".join(sentences)


def _count(evidence: Evidence) -> str:
    n_genes = evidence.data.get("n_other_genes")
    return f"{n_genes:,} other genes " if n_genes else "The other genes "


def _mean_words(evidence: Evidence) -> str:
    """Return the MSE of the gene means in words; "" if it was not measured."""
    mean = evidence.inference.loc[evidence.inference["input"] == NO_INPUT, "test_mse"].mean()
    return f" Answering each gene's mean costs {mean:.3f}." if np.isfinite(mean) else ""


def _curves(evidence: Evidence, errors: pd.DataFrame) -> Plot:
    return Plot(
        "other-genes",
        "Other genes, predicted from landmark genes",
        "Test MSE over all other genes, in units of a gene's variance, against the noise of "
        "the landmark genes from which they are predicted: clean (the floor), noisy, or "
        "denoised by the method that is named.",
        errors,
        draw_other_genes,
        note=(
            f"One ridge was fitted to noisy rows.{_mean_words(evidence)} Bars are 95 % intervals "
            "over seeds."
        ),
    )


def draw_other_genes(data: pd.DataFrame) -> Figure:
    """Draw a panel per predictor: MSE of the other genes against noise factor, by input."""
    names = ("noise factor α of the landmark genes", "test MSE of the other genes")
    figure, _ = multiples(data, "noise_factor", "mse", names)
    return figure


def _table(errors: pd.DataFrame) -> Table:
    wide = errors.pivot(index=["model", "noise_factor"], columns="series", values="mse")
    wide = wide[errors["series"].unique()].rename_axis(columns=None).reset_index()
    wide = wide.sort_values("model", key=lambda names: names.map(PREDICTORS.index), kind="stable")
    numbers = wide.columns[2:]
    return Table(
        "other-genes-table",
        "Test MSE of the other genes by input",
        "Test MSE of the other genes, mean over seeds, in units of a gene's variance.",
        wide.rename(columns={"model": "predicted by", "noise_factor": "noise factor"}),
        {"noise factor": "g", **dict.fromkeys(numbers, ".4f")},
        note=MISSING,
    )
