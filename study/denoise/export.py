"""Choosing the best denoiser of a run, among its networks and references, and exporting it.

Candidates are measured on the validation rows of their own seed's split at noise factors 0.1 ...
1.0, all under the same noise. Their score is the MSE divided by that of the Wiener filter of the
same split (with too many genes for one, of leaving the data alone), as a geometric mean over noise
factors and seeds. The setting of least score is chosen, and among its networks the one of least
score. Test rows are measured only for the chosen one. The model has the scaling of its network's
own split; a reference has that of the first seed's.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from data_utils.errors import InputError
from data_utils.noise import identity_mse
from data_utils.preparation import PreparedData, Replicates
from models.config import NOISE_FACTORS, MemberConfig
from models.denoisers.denoiser import Denoiser, mse, noisy_rows
from models.denoisers.linear import PCA, Wiener
from models.denoisers.network import saved
from models.denoisers.references import references
from models.folder import METRIC_COLUMNS, OWN, Model, gene_table
from models.gauge import Gauge
from models.member_data import member_data
from study.evidence.evidence import Run, load_run
from study.evidence.references import noise_factors_of
from study.reproduce import find_member, planned_members, run_data
from study.run.folder import RunFolder
from study.run.rows import FINISHED

MEASURED_AT = NOISE_FACTORS[1:]
#: The reference of each value of `--reference`.
REFERENCES = {"wiener": "Wiener", "pca": "PCA", "pca-gain": "PCA with gain"}


class Choice(NamedTuple):
    """A denoiser with its name and, unless it is a reference, its network's configuration."""

    name: str
    denoiser: Denoiser
    member: MemberConfig | None = None


class Score(NamedTuple):
    """A candidate's relative validation MSE (`_unit`), without its denoiser, to save memory."""

    relative: float
    name: str
    member: MemberConfig | None


def best_model(
    path: Path, member_id: str | None = None, reference: str | None = None, data: str | None = None
) -> tuple[Model, list[str]]:
    """Return the model of a run, and lines that state how it was chosen.

    `member_id` (or its beginning) or `reference` names it; otherwise validation chooses. `data` is
    the present path of the run's data file. Raises InputError for a folder that is not a run, for
    other data than the run's, and for a denoiser that cannot be exported.
    """
    if member_id is not None and reference is not None:
        raise InputError(
            f"--member {member_id}: does not go together with --reference: leave one of them out"
        )
    run = load_run(path)
    folder = RunFolder(run.path)
    member = None if member_id is None else find_member(run, folder, member_id)
    if member is not None and (member.layout != "sample" or member.gene_order == "shuffled"):
        raise InputError(
            f"{member.member_id}: was not trained on whole samples, so it cannot denoise them: "
            "give another --member"
        )
    replicates = run_data(run, data)
    lines: list[str] = []
    if member is None and reference is None:
        member, reference, lines = _best(run, folder, replicates)
    if member is not None:
        prepared = member_data(replicates.data(member.seed), member)
        chosen = _network(member, folder, prepared)
        return _model(run, prepared, chosen, references(prepared)), lines
    prepared = replicates.data(min(run.config["seeds"]))
    fitted = references(prepared)
    return _model(run, prepared, _reference(str(reference), fitted, prepared), fitted), lines


def _network(member: MemberConfig, folder: RunFolder, data: PreparedData) -> Choice:
    _, arrays = folder.load_model(member.member_id)
    try:
        denoiser = saved(member.architecture, data.n_genes, arrays, exact=False)
    except ValueError:
        raise InputError(
            f"{member.member_id}: its weights do not fit the run's genes: --resume trains it again"
        ) from None
    return Choice(f"{member.run_name} ({member.member_id})", denoiser, member)


def _reference(name: str, fitted: list[Denoiser], data: PreparedData) -> Choice:
    if name not in REFERENCES:
        raise InputError(f"--reference {name}: is not known: give one of {', '.join(REFERENCES)}")
    for denoiser in fitted:
        if denoiser.name == REFERENCES[name]:
            return Choice(denoiser.name, denoiser)
    raise InputError(
        f"--reference {name}: there is none for {data.n_genes} genes: give --member ID"
    )


def _best(
    run: Run, folder: RunFolder, data: Replicates
) -> tuple[MemberConfig | None, str | None, list[str]]:
    """Choose by validation MSE, and a reference if the best network is only as good.

    Returns the network or the reference's key in REFERENCES, the other as None, and lines on the
    choice.
    """
    networks = _exportable(run, folder)
    scores: dict[str | MemberConfig, list[Score]] = {}
    all_seeds = {*run.config["seeds"], *(member.seed for member in networks)}
    for seeds in data.sharing_a_split(all_seeds):
        of_split = [member for member in networks if member.seed in seeds]
        for score in _scores(folder, data.data(seeds[0]), of_split):
            member = score.member
            setting = score.name if member is None else replace(member, seed=0)
            scores.setdefault(setting, []).append(score)
    if not scores:
        raise InputError(
            "the run has no network that can be exported, and too many genes for a linear denoiser"
        )
    means = {
        setting: _geometric_mean([score.relative for score in of_setting])
        for setting, of_setting in scores.items()
    }
    ranked = sorted(means, key=means.__getitem__)
    best = {setting: min(scores[setting], key=lambda score: score.relative) for setting in ranked}
    of_networks = [setting for setting in ranked if best[setting].member is not None]
    lines = [
        f"validation MSE over {_unit(scores)}, geometric mean over noise factors 0.1 to 1 and "
        "seeds:"
    ]
    shown = [its for its in ranked if best[its].member is None or its == of_networks[0]]
    lines += [f"  {means[its]:.3f}  {best[its].name}" for its in shown]
    _, name, member = best[ranked[0]]
    if member is None:
        lines.append(f"chosen: {name}: none of the {len(networks)} networks of this run is better")
        return None, next(key for key, its in REFERENCES.items() if its == name), lines
    lines.append(f"chosen: {name}, the best of {len(networks)} networks")
    return member, None, lines


def _unit(scores: Container[str | MemberConfig]) -> str:
    """Name what a score is divided by: data with too many genes have no Wiener filter."""
    return "the Wiener filter's" if Wiener.name in scores else "that of leaving the data alone"


def _scores(folder: RunFolder, data: PreparedData, networks: list[MemberConfig]) -> Iterator[Score]:
    """Measure the references of a split, and the networks that were trained on it."""
    able = [its for its in references(data) if isinstance(its, (Wiener, PCA))]
    wiener = identity_mse(np.array(MEASURED_AT))
    for denoiser in able:
        if isinstance(denoiser, Wiener):
            wiener = np.array(_errors(denoiser, data, "validation"))
    candidates = (Choice(denoiser.name, denoiser) for denoiser in able)
    for its in chain(candidates, (_network(member, folder, data) for member in networks)):
        ratios = np.array(_errors(its.denoiser, data, "validation")) / wiener
        yield Score(_geometric_mean(ratios), its.name, its.member)


def _geometric_mean(values: Sequence[float] | np.ndarray) -> float:
    return float(np.exp(np.mean(np.log(values))))


def _errors(denoiser: Denoiser, data: PreparedData, part: str) -> list[float]:
    """Return the MSE on noisy rows of a part at each of MEASURED_AT, under the noise of seed 0."""
    clean = getattr(data, part)
    return [mse(denoiser.denoise(noisy_rows(clean, part, a, 0), a), clean) for a in MEASURED_AT]


def _exportable(run: Run, folder: RunFolder) -> list[MemberConfig]:
    """Return the finished networks of whole samples, with the usual scaling and gene order."""
    done = set(run.members.loc[run.members["status"] == FINISHED, "member_id"])
    usual = ("train", "sample", "given")
    return [
        member
        for member in planned_members(folder)
        if member.member_id in done and (member.scaling, member.layout, member.gene_order) == usual
    ]


def _model(run: Run, data: PreparedData, chosen: Choice, fitted: list[Denoiser]) -> Model:
    """Return the chosen denoiser with everything that a model folder keeps."""
    denoiser, member = chosen.denoiser, chosen.member
    if member is None:  # measure the reference as it is once saved, in float32
        denoiser = type(denoiser).from_arrays(denoiser.arrays(), denoiser.facts())
    methods = {OWN: denoiser} | {reference.name: reference for reference in fitted}
    rows = [
        (part, method, noise_factor, error)
        for part in ("validation", "test")
        for method, of_method in methods.items()
        for noise_factor, error in zip(MEASURED_AT, _errors(of_method, data, part), strict=True)
    ]
    recorded = run.config["data"]
    training = {name: recorded[name] for name in ("source", "sha256", "n_samples")}
    training |= {
        "simulated": bool(recorded["simulated"]),
        "rows": f"{len(data.train)} for training, {len(data.validation)} for validation, "
        f"{len(data.test)} for the test",
        "run": run.name,
    }
    return Model(
        name=chosen.name,
        denoiser=denoiser,
        genes=gene_table(data.gene_ids),
        scaling=data.scaling,
        transform=recorded["transform"],
        noise_factors=() if member is None else tuple(noise_factors_of([member])),
        training=training if member is None else training | {"member": chosen.name},
        metrics=pd.DataFrame(rows, columns=METRIC_COLUMNS),
        gauge=Gauge.fit(data.train, data.validation),
    )
