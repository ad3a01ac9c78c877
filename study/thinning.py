"""Testing denoisers on thinned counts (molecular cross-validation), and its run folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from data_utils import files
from data_utils.cohort import FLATTERED
from data_utils.counts import Counts
from data_utils.errors import InputError
from data_utils.noise import noise_variance, numpy_stream
from data_utils.preparation import Split, split_samples
from models.architecture import LARGEST_COVARIANCE
from models.denoisers.denoiser import Denoiser, mse
from models.denoisers.linear import GeneMean, Identity
from models.halves.denoisers import Halves, MixtureOfHalves, PCAOfHalves, Training, WienerOfHalves
from models.halves.network import train_networks
from models.halves.smoothing import NeighbourSmoothing
from study.evidence.stats import Interval, interval
from study.options import ThinningOptions
from study.run.provenance import provenance

#: Shares of a gene's residual variance from which validation chooses one to add when a guess at a
#: square root is turned into a rate.
RESIDUAL_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
#: Least predicted rate, in counts: a rate of 0 has no finite deviance.
LEAST_RATE = 1e-3
MEASURES = {"mse": "MSE on the square-root scale", "poisson_deviance": "Poisson deviance"}
NONE, WIENER = "no denoising", "Wiener"
#: All files of a run folder.
FILES = {"thinning.parquet", "samples.parquet", "split.parquet", "thinning.md", "config.json"}


@dataclass(frozen=True, eq=False)
class Outcome:
    """The measurements on the test samples.

    errors: one row per method and seed: method, seed, choice, residual_share, val_mse, mse,
    poisson_deviance, noise_removed. samples: one row per method and test sample, means over seeds:
    method, sample_id, mse, poisson_deviance.
    """

    errors: pd.DataFrame
    samples: pd.DataFrame
    split: Split


def measure(
    counts: Counts,
    share: float,
    seeds: Sequence[int],
    split_seed: int = 0,
    epochs: int | None = None,
) -> Outcome:
    """Fit every denoiser to the training samples, and test them on the halves of each seed.

    All denoisers except the networks are fitted once; a seed thins validation and test samples.
    Test samples are thinned by their own random stream, so that no random number of the fit depends
    on them. `epochs` of the networks: None for the default, 0 for no networks. Raises InputError
    for more than LARGEST_COVARIANCE genes.
    """
    n_genes = counts.values.shape[1]
    if n_genes > LARGEST_COVARIANCE:
        raise InputError(
            f"{counts.data.source}: {n_genes} genes are more than {LARGEST_COVARIANCE}, of which "
            "a covariance is estimated: leave --all-genes out"
        )
    split = split_samples(len(counts.values), split_seed)
    training = Training.of(counts.values[split.train], share, numpy_stream(0, "thinning-train"))
    validation, test = (
        [
            training.thinning.halves(counts.values[rows], numpy_stream(seed, f"thinning-{part}"))
            for seed in seeds
        ]
        for part, rows in (("validation", split.validation), ("test", split.test))
    )
    fitted = [(name, denoiser.fit(training.rows)) for name, denoiser in denoisers(training).items()]
    networks = [] if epochs == 0 else train_networks(training, validation, seeds, epochs=epochs)
    rows, samples = [], []
    for i, seed in enumerate(seeds):
        for name, denoiser in [*fitted, *((its.name, its) for its in networks[i : i + 1])]:
            denoiser.tune(validation[i])
            row, errors = errors_of(denoiser, validation[i], test[i], share)
            rows.append({"method": name, "seed": seed, "choice": denoiser.choice(1.0), **row})
            ids = counts.data.matrix.sample_ids[split.test]
            samples.append(pd.DataFrame({"method": name, "sample_id": ids, **errors}))
    errors = pd.DataFrame(rows)
    errors["noise_removed"] = _noise_removed(errors, dict(zip(seeds, test, strict=True)), training)
    by_sample = pd.concat(samples).groupby(["method", "sample_id"], sort=False, as_index=False)
    return Outcome(errors, by_sample.mean(), split)


def denoisers(training: Training) -> dict[str, Denoiser]:
    """Return all denoisers by name, except networks, which are trained for all seeds at once."""
    units = training.noise, training.row_noise
    simple = GeneMean(), PCAOfHalves(), NeighbourSmoothing()
    others = *simple, WienerOfHalves(*units), MixtureOfHalves(*units)
    return {NONE: Identity(), **{its.name: its for its in others}}


def errors_of(
    denoiser: Denoiser, validation: Halves, test: Halves, share: float
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Return a denoiser's means over the test samples, and MEASURES of each test sample.

    The share of the residual variance is chosen on the validation samples.
    """
    guess = denoiser.denoise(validation.inputs, validation.noise_factor)
    residual = ((guess - validation.targets) ** 2).mean(axis=0)  # (genes,)
    deviances = {
        part: deviance(
            predicted_counts(guess, part * residual, validation, share), validation.other
        ).mean()
        for part in RESIDUAL_SHARES
    }
    part = min(deviances, key=deviances.__getitem__)
    answer = denoiser.denoise(test.inputs, test.noise_factor)
    predicted = predicted_counts(answer, part * residual, test, share)
    by_sample = {
        "mse": ((answer - test.targets) ** 2).mean(axis=1),
        "poisson_deviance": deviance(predicted, test.other).mean(axis=1),
    }
    means = {name: float(values.mean()) for name, values in by_sample.items()}
    return {"residual_share": part, "val_mse": mse(guess, validation.targets), **means}, by_sample


def predicted_counts(
    guess: np.ndarray, spread: np.ndarray, halves: Halves, share: float
) -> np.ndarray:
    """Return the expected counts of the other half from a guess at roots and a variance by gene.

    Y^2 has the mean E[Y]^2 + Var[Y]. The residual variance of validation samples is Var[Y] for a
    denoiser that answers E[Y | input], but too large for one whose answers contain noise (without
    denoising, 0 is right); so validation chooses a share of it, `spread` (genes,). The depth is
    that of the input half, D / noise_factor^2, times (1 - p) / p.
    """
    normalised = np.maximum(guess, 0) ** 2 + spread
    scales = noise_variance(halves.noise_factor)[:, None]  # D / s
    return np.maximum(normalised / scales * ((1 - share) / share), LEAST_RATE)


def deviance(predicted: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the Poisson deviance of counts from predicted rates, elementwise.

    2 (b log(b / rate) - b + rate) is twice the loss of openproblems' denoising task,
    rate - b log(rate), apart from terms that depend on b only.
    """
    return 2 * (counts * np.log(np.maximum(counts, 1) / predicted) - counts + predicted)


def _noise_removed(errors: pd.DataFrame, test: dict[int, Halves], training: Training) -> pd.Series:
    """Return the share of the input's noise that was removed: 0 for no denoising, less if worse.

    The noise of the targets is part of every MSE and cancels in the difference to no denoising. The
    input's noise is that of training samples at each test sample's noise factor.
    """
    none = errors[errors["method"] == NONE].set_index("seed")["mse"]
    noise = noise_variance(training.noise).mean()  # of a gene
    of_seed = {seed: noise * noise_variance(its.noise_factor).mean() for seed, its in test.items()}
    return (errors["seed"].map(none) - errors["mse"]) / errors["seed"].map(of_seed)


# Tables


def compared(
    table: pd.DataFrame, index: str, measure: str, reference: str
) -> dict[str, tuple[float, Interval | None]]:
    """Return each method's mean difference to the reference in %, paired by `index`.

    Over seeds, it is in % of the reference's value for each seed; over samples, in % of its mean.
    """
    wide = table.pivot(index=index, columns="method", values=measure)
    unit = wide[reference] if index == "seed" else wide[reference].mean()
    differences = 100 * wide.sub(wide[reference], axis=0).div(unit, axis=0)
    return {
        name: (float(values.mean()), None if name == reference else interval(values))
        for name, values in differences.items()
    }


def table(outcome: Outcome, measure: str) -> pd.DataFrame:
    """Return one row per method, the best first, with texts: means, differences and choices."""
    errors, by_method = outcome.errors, outcome.errors.groupby("method")
    means = by_method[measure].mean().sort_values()
    differences = {
        "vs no denoising": compared(errors, "seed", measure, NONE),
        "vs Wiener": compared(errors, "seed", measure, WIENER),
        "vs Wiener, over samples": compared(outcome.samples, "sample_id", measure, WIENER),
    }
    columns = {"mean": means.map("{:.4f}".format)}
    for title, found in differences.items():
        columns[title] = pd.Series({name: shown(*found[name]) for name in means.index})
    columns["noise removed"] = by_method["noise_removed"].mean().map(lambda x: f"{100 * x:.1f} %")
    columns["chosen"] = by_method["choice"].agg(lambda names: ", ".join(dict.fromkeys(names)))
    return pd.DataFrame(columns).loc[means.index].rename_axis("method")


def shown(mean: float, its: Interval | None) -> str:
    """Write `-12.31 (-12.40 to -12.22)`, the mean without an interval, or "" for the reference."""
    if its is None:
        return ""
    digits = 1 if abs(mean) >= 20 or not np.isfinite(its.low) or its.high - its.low > 1 else 2
    text = f"{mean:+.{digits}f}"
    bounds = f" ({its.low:+.{digits}f} to {its.high:+.{digits}f})"
    return text if np.isnan(its.low) else text + bounds


def printed(outcome: Outcome) -> str:
    """Return both tables for a terminal of 80 columns; differences are in %."""
    blocks = []
    for measure, title in MEASURES.items():
        narrow = table(outcome, measure)[["mean", "vs no denoising", "vs Wiener"]]
        lines = narrow.rename_axis(None).to_string()
        blocks.append(f"{title}, test samples (less is better; differences in %)\n{lines}\n")
    return "\n".join(blocks)


# The run folder


def check_folder(options: ThinningOptions) -> None:
    """Raise InputError unless the run folder may be written, or replaced with --fresh."""
    replace = None if options.fresh else "--fresh"
    files.check_folder(options.folder, "run of thinning", FILES.issuperset, replace)


def write_run(options: ThinningOptions, counts: Counts, outcome: Outcome, command: str) -> Path:
    """Write the run folder, completely or not at all, and return its path."""
    sample_ids = counts.data.matrix.sample_ids
    tables = {
        "thinning": outcome.errors,
        "samples": outcome.samples,
        "split": pd.DataFrame({"sample_id": sample_ids, "split": outcome.split.labels()}),
    }
    config = {
        "command": command,
        "options": {**asdict(options), "out": str(options.folder)},
        "data": {**counts.data.facts(), "depth": counts.depth},
        "provenance": provenance(),
    }
    with files.replacing_folder(options.folder) as folder:
        for name, frame in tables.items():
            frame.to_parquet(folder / f"{name}.parquet", index=False)
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")
        page = markdown(options, counts, outcome, command)
        (folder / "thinning.md").write_text(page, "utf-8")
    return options.folder


def markdown(options: ThinningOptions, counts: Counts, outcome: Outcome, command: str) -> str:
    """Return the text of thinning.md."""
    split, n_seeds, matrix = outcome.split, outcome.errors["seed"].nunique(), counts.data.matrix
    what = "simulated counts" if counts.data.simulated else Path(counts.data.source).name
    depth = f", {counts.depth:,} counts per sample" if counts.depth else ""
    parts = [
        f"# Thinned counts: {what}\n\n`{command}`\n",
        f"{matrix.n_samples:,} samples ({len(split.train):,} for training, "
        f"{len(split.validation):,} for validation, {len(split.test):,} for the test) of "
        f"{matrix.n_genes:,} genes{depth}. Every count was thinned: a share of {options.share:g} "
        "is denoised, the rest is what the answer is compared with. Differences are in %, paired, "
        f"with 95 % intervals: over {n_seeds} thinnings of the same samples, and over the test "
        "samples, which show how far the result would carry to others."
        f"{f' {FLATTERED}' * counts.data.simulated}\n",
    ]
    for measure, title in MEASURES.items():
        frame = table(outcome, measure).reset_index()
        rows = [list(frame), ["---"] * len(frame.columns), *frame.to_numpy().tolist()]
        parts.append(f"## {title}\n")
        parts.append("\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n")
    return "\n".join(parts)
