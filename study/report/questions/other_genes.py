"""Can the rest of the genes be denoised? They are predicted from landmark genes, once denoised."""

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

#: What predicts, in the order of the panels; the second is a plain dense network.
PREDICTORS = ("ridge", "network")
#: What a predictor is given, in the order of the columns: its name, and the look of its line.
INPUTS = {
    CLEAN_INPUT: ("clean landmarks", "oracle"),
    MIXTURE: ("denoised by the Wiener mixture", MIXTURE),
    "Wiener": ("denoised by the Wiener filter", "Wiener"),
    **{model: (f"denoised by {model}", model) for model in PAPER_MODELS},
    NOISY_INPUT: ("noisy landmarks", "identity"),
}


# Data.


def other_gene_errors(evidence: Evidence) -> pd.DataFrame:
    """Return test MSE of predicting the other genes, mean over seeds.

    Columns are model (the predictor), input, series, method, noise_factor, mse, low, high and
    seeds. The ridge that was trained on noisy rows is a series among those of the ridge.
    """
    rows = evidence.inference
    rows = rows[rows["predictor"].isin([*PREDICTORS, ON_NOISY])]
    rows = rows[rows["input"].isin(list(INPUTS))]
    rows = rows.assign(noise_factor=rounded(rows["noise_factor"]))
    found = over_seeds(rows, "test_mse", ["predictor", "input", "noise_factor"])
    on_noisy = found["predictor"] == ON_NOISY
    names = found["input"].map({its: name for its, (name, _) in INPUTS.items()})
    looks = found["input"].map({its: look for its, (_, look) in INPUTS.items()})
    found = found.assign(
        model=found["predictor"].mask(on_noisy, "ridge"),
        series=names.mask(on_noisy, "noisy landmarks, trained on such"),
        method=looks.mask(on_noisy, "PCA with gain"),
    )
    places = {its: i for i, its in enumerate(INPUTS)}
    found["place"] = found["input"].map(places) + on_noisy / 2
    found["panel"] = found["model"].map(PREDICTORS.index)
    found = found.sort_values(["panel", "place", "noise_factor"], ignore_index=True)
    names = ["model", "input", "series", "method", "noise_factor", "mse", "low", "high", "seeds"]
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
    noise = errors["noise_factor"].max()
    sentences = [
        f"{_count(evidence)}are predicted from the landmark genes by ridge regression and by a "
        "dense network, which never saw noise."
    ]
    for predictor in PREDICTORS:
        at = errors[(errors["model"] == predictor) & (errors["noise_factor"] == noise)]
        values = [
            f"{mse:.3f} for {name}" for name, mse in zip(at["series"], at["mse"], strict=True)
        ]
        sentences.append(f"By {predictor} at noise factor {noise:g} test MSE is {joined(values)}.")
        found = effects(gains(evidence, predictor), evidence.overlap)
        changes = [f"{INPUTS[name][0]} {effect.shown}" for name, effect in found.items()]
        if changes:
            factors = listed(errors["noise_factor"])
            sentences.append(f"Against noisy landmarks, over noise {factors}: {joined(changes)}.")
    return " ".join(sentences)


def _count(evidence: Evidence) -> str:
    n_genes = evidence.data.get("n_other_genes")
    return f"{n_genes:,} other genes " if n_genes else "The other genes "


def _mean_words(evidence: Evidence) -> str:
    """Return what answering each gene's mean costs; "" if it was not measured."""
    mean = evidence.inference.loc[evidence.inference["input"] == NO_INPUT, "test_mse"].mean()
    return f" Answering each gene's mean costs {mean:.3f}." if np.isfinite(mean) else ""


def _curves(evidence: Evidence, errors: pd.DataFrame) -> Plot:
    return Plot(
        "other-genes",
        "Other genes, predicted from landmark genes",
        "Test MSE over all other genes, in units of a gene's variance, against the noise of the "
        "landmark genes from which they are predicted, by what these were denoised with. Clean "
        "landmarks are the floor. One ridge was trained on noisy rows instead."
        f"{_mean_words(evidence)} Bars are 95 % intervals over seeds.",
        errors,
        draw_other_genes,
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
        f"Mean over seeds, in units of a gene's variance. {MISSING}",
        wide.rename(columns={"model": "predicted by", "noise_factor": "noise factor"}),
        {"noise factor": "g", **dict.fromkeys(numbers, ".4f")},
    )
