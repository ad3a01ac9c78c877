"""The page beside a denoised file: what was changed, how noisy the samples are, and which the model does not know."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from data_utils.expression import ExpressionMatrix
from data_utils.files import replacing
from models.gauge import WITHIN
from study.denoise.apply import Notes, Task
from study.denoise.drawing import draw_change, draw_distances, draw_noise
from study.report import exports
from study.report.document import Document, Plot, Section, Table, Words

#: Rows of the tables of genes and of samples.
GENES, SAMPLES = 25, 200
#: Points of a picture; of more samples these many are drawn, evenly spaced, and all that are unlike.
POINTS = 5000
#: Shares of unlike samples up to which the rest is trusted, and above which nothing is; of clean data 1 or 2 % are.
FEW, MANY = 0.1, 0.5
#: Share of the model's genes that may be missing.
MISSING_GENES = 0.1
#: Lines at a noise factor beyond which the model was not measured.
LARGEST_NOISE = 1.0


def write_check(
    page: Path, task: Task, notes: Notes, first: ExpressionMatrix, source: Path, out: Path
) -> str:
    """Write the page; returns its verdict, a line."""
    samples, genes = sample_table(task, notes), genes_changed(task, notes)
    trusted, verdict = judge(task, samples)
    document = _document(task, samples, genes, verdict, trusted, source, out, first)
    with tempfile.TemporaryDirectory() as folder:
        images = {}
        for plot in document.plots():
            saved = exports.save(plot, folder)
            images[plot.key] = exports.embedded(saved["png"], saved["width"], saved["height"])
    with replacing(page) as temporary:
        temporary.write_text(exports.html(document, images, files=False), "utf-8")
    return f"{verdict.lead} {verdict.text}".lstrip()


def sample_table(task: Task, notes: Notes) -> pd.DataFrame:
    """A row a sample: id, change (z units), noise estimate, both distances, their limits, and whether it is unlike."""
    table = pd.DataFrame(
        {"sample": np.concatenate(notes.sample_ids), "change": np.concatenate(notes.changed)}
    )
    inside, outside = np.concatenate(notes.distances, axis=1)
    limits = task.gauge.limits_at(task.noise_factor)
    table["noise"] = task.gauge.noise_by_sample(np.concatenate(notes.energy))
    table["inside"], table["outside"] = inside, outside
    table["limit_inside"], table["limit_outside"] = limits
    table["unlike"] = (inside > limits[0]) | (outside > limits[1])
    return table


def genes_changed(task: Task, notes: Notes) -> pd.DataFrame:
    """A row a gene that the model knows: names, and the root mean square change in its training standard deviation."""
    genes = task.model.genes.iloc[task.match.landmarks]
    change = np.sqrt(notes.gene_squares / notes.n_samples)
    table = pd.DataFrame(
        {"gene": genes["ensembl_id"].array, "symbol": genes["gene_symbol"].array, "change": change}
    )
    return table.sort_values("change", ascending=False, kind="stable", ignore_index=True)


def judge(task: Task, samples: pd.DataFrame) -> tuple[bool, Words]:
    """Whether all can be trusted, and the verdict in a sentence or two."""
    reasons = []
    if task.model.relative_mse(task.noise_factor) > 1 and not task.left_alone:
        reasons.append(
            "at this noise factor the model is worse than leaving the data alone, on its own validation rows"
        )
    if len(task.missing) > MISSING_GENES * len(task.model.genes):
        reasons.append(
            f"{len(task.missing):,} of the model's {len(task.model.genes):,} genes are missing"
        )
    if task.noise_factor > LARGEST_NOISE:
        reasons.append(f"the model was measured up to noise factor {LARGEST_NOISE:g} only")
    unlike, total = int(samples["unlike"].sum()), len(samples)
    share = unlike / total
    marked = f"{unlike:,} of {total:,} samples ({share:.0%}) are unlike the training data"
    if share > MANY or reasons:
        text = " ".join([f"{marked}.", *(f"{r[0].upper()}{r[1:]}." for r in reasons)])
        return False, Words(text, "Do not trust this.")
    if share > FEW:
        return False, Words(f"{marked}; they are named below.", "Trust it with care.")
    return True, Words(
        f"The samples are like those that the model was trained on. {marked}; of its own test rows "
        "1 to 3 % are."
    )


def _document(task, samples, genes, verdict, trusted, source, out, first) -> Document:
    subtitle = f"{source.name}, {len(samples):,} samples, through “{task.model.name}”: {task.model.denoiser.description}."
    sections = (
        Section("In short", (verdict, _facts(task, samples, source, out, first))),
        _unlike(task, samples),
        _noise(task, samples),
        _change(task, genes),
    )
    return Document(f"Check of {out.name}", subtitle, None if trusted else verdict, sections)


def _facts(
    task: Task, samples: pd.DataFrame, source: Path, out: Path, first: ExpressionMatrix
) -> Table:
    match, model = task.match, task.model
    how = "estimated from the data" if task.estimated else "as given"
    training = model.training
    simulated = (
        "simulated data" if training.get("simulated") else training.get("source", "data not known")
    )
    beside = [
        (m, w) for m, w in _BESIDE if m.lower() != model.denoiser.kind and _measured(model, m)
    ]
    ratios = [f"{model.relative_mse(task.noise_factor, m):.3g} times {w}" for m, w in beside]
    rows = {
        "in": source.name,
        "out": out.name,
        "genes denoised": f"{match.matched:,}, found by {match.id_kind}",
        "genes left as they were": f"{first.n_genes - match.matched:,}, which the model does not know",
        "genes missing": f"{len(task.missing):,}"
        + (": " + ", ".join(task.missing[:40]) if task.missing else ""),
        "noise factor": f"{task.noise_factor:.3g}, {how}",
        "changed": "nothing"
        if task.left_alone
        else f"{np.sqrt(np.mean(samples['change'] ** 2)):.3g} standard deviations",
        "scale": f"{'log2(x + 1), and back' if task.transform == 'log2p1' else 'as it was'}: {task.transform_reason}",
        "trained on": str(simulated),
        "the model's validation MSE there": "; ".join(ratios) or "not measured",
    }
    frame = pd.DataFrame({"what": rows.keys(), "value": rows.values()})
    return Table("facts", "What was done", "", frame)


_BESIDE = (("identity", "that of leaving the data alone"), ("Wiener", "the Wiener filter's"))


def _measured(model, method: str) -> bool:
    return np.isfinite(model.relative_mse(0.5, method))


def _unlike(task: Task, samples: pd.DataFrame) -> Section:
    text = (
        f"A sample is marked when it is further from the training data than {WITHIN:.0%} of the model's own validation "
        f"rows under as much noise: in the {len(task.gauge.variances)} leading directions of the training data, or by "
        "its energy outside them. Both are 1 for a sample like the training data. A model pulls a sample that it does "
        "not know towards those that it does."
    )
    plot = Plot(
        "distances",
        "Samples and the training data",
        "A mark a sample; dashed: the limits.",
        _thinned(samples),
        draw_distances,
        f"Scatter of {len(samples):,} samples; {int(samples['unlike'].sum()):,} are beyond the limits.",
    )
    marked = samples[samples["unlike"]].sort_values("outside", ascending=False, kind="stable")
    if not len(marked):
        return Section(
            "Samples unlike the training data", (Words(text), plot, Words("None is marked."))
        )
    frame = marked[["sample", "inside", "outside", "noise", "change"]].set_axis(
        ["sample", "in the leading directions", "outside them", "noise by itself", "change"], axis=1
    )
    table = Table(
        "unlike",
        "Samples that are marked",
        f"{len(frame):,} samples, the furthest first.",
        frame,
        _NUMBERS,
    )
    return Section("Samples unlike the training data", (Words(text), plot, table))


_NUMBERS = dict.fromkeys(
    ("in the leading directions", "outside them", "noise by itself", "change"), ".3g"
)


def _thinned(samples: pd.DataFrame) -> pd.DataFrame:
    if len(samples) <= POINTS:
        return samples
    step = -(-len(samples) // POINTS)
    return pd.concat(
        [samples.iloc[::step], samples[samples["unlike"]].head(POINTS)]
    ).drop_duplicates("sample")


def _noise(task: Task, samples: pd.DataFrame) -> Section:
    low, middle, high = np.quantile(samples["noise"], [0.05, 0.5, 0.95])
    text = (
        f"One noise factor is used for all samples, {task.noise_factor:.3g}. By itself a sample has {middle:.2g} in "
        f"the middle, {low:.2g} to {high:.2g} for 90 % of them; that holds, beside noise, what the sample itself "
        "varies more than others."
    )
    plot = Plot(
        "noise",
        "Noise by sample",
        "",
        samples[["noise"]].assign(used=task.noise_factor),
        draw_noise,
        f"Histogram of {len(samples):,} estimates.",
    )
    return Section("Noise", (Words(text), plot))


def _change(task: Task, genes: pd.DataFrame) -> Section:
    if task.left_alone:
        return Section("What was changed", (Words("Nothing."),))
    low, middle, high = np.quantile(genes["change"], [0.05, 0.5, 0.95])
    text = (
        f"The root mean square change of a gene over the samples, in units of its standard deviation in the training "
        f"data: {middle:.2g} in the middle, {low:.2g} to {high:.2g} for 90 % of the genes. Noise alone would be "
        f"{task.noise_factor:.2g}."
    )
    plot = Plot(
        "change", "Change by gene", "", genes, draw_change, f"Histogram of {len(genes):,} genes."
    )
    frame = genes.head(GENES).set_axis(["gene", "symbol", "change (standard deviations)"], axis=1)
    formats = {"change (standard deviations)": ".3f"}
    table = Table(
        "genes", "Genes that were changed most", f"The first {len(frame)}.", frame, formats
    )
    return Section("What was changed", (Words(text), plot, table))
