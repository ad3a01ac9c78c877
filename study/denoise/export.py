"""Choose the best denoiser of a run, among its networks and references, and make a model of it.

Candidates are measured on validation rows at noise factors 0.1 ... 1.0, all under the same noise.
The best has the least geometric mean of its MSE over the Wiener filter's. The test rows are
measured once, for the chosen one.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from data_utils.errors import InputError
from data_utils.noise import identity_mse
from data_utils.preparation import PreparedData
from models.config import NOISE_FACTORS, MemberConfig
from models.denoisers.denoiser import Denoiser, mse, noisy_rows
from models.denoisers.linear import PCA, Wiener
from models.denoisers.network import saved
from models.denoisers.references import references
from models.folder import METRIC_COLUMNS, OWN, Model, gene_table
from models.gauge import Gauge
from models.training import member_data
from study.evidence.evidence import Run, load_run
from study.evidence.references import noise_factors_of
from study.reproduce import find_member, planned_members, run_data
from study.run.folder import RunFolder
from study.run.rows import FINISHED

MEASURED_AT = NOISE_FACTORS[1:]
#: What `--reference` names.
REFERENCES = {"wiener": "Wiener", "pca": "PCA", "pca-gain": "PCA with gain"}


class Choice(NamedTuple):
    """A denoiser under a name; the network that it is, unless it is a reference."""

    name: str
    denoiser: Denoiser
    member: MemberConfig | None = None


def best_model(
    path: Path, member_id: str | None = None, reference: str | None = None, data: str | None = None
) -> tuple[Model, list[str]]:
    """Return the model of a run, and lines that state how it was chosen.

    `member_id` (or its beginning) or `reference` names it; otherwise validation chooses. `data` is
    where the run's data file is now. Raises InputError for a folder that is no run, other data, and
    what cannot be exported.
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
    prepared = run_data(run, data)
    prepared = prepared if member is None else member_data(prepared, member)
    fitted = references(prepared)
    lines: list[str] = []
    if member is not None:
        chosen = _network(member, folder, prepared)
    elif reference is not None:
        chosen = _reference(reference, fitted, prepared)
    else:
        chosen, lines = _best(run, folder, prepared, fitted)
    return _model(run, prepared, chosen, fitted), lines


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
    run: Run, folder: RunFolder, data: PreparedData, fitted: list[Denoiser]
) -> tuple[Choice, list[str]]:
    """Choose by validation MSE, a reference if a network is only as good; also return how."""
    able = {denoiser.name: denoiser for denoiser in fitted if isinstance(denoiser, (Wiener, PCA))}
    networks = _exportable(run, folder)
    if not able and not networks:
        raise InputError(
            "the run has no network that can be exported, and too many genes for a linear denoiser"
        )
    wiener = identity_mse(np.array(MEASURED_AT))
    if Wiener.name in able:
        wiener = np.array(_errors(able[Wiener.name], data, "validation"))

    def score(choice: Choice) -> tuple[float, str, MemberConfig | None]:
        """Return no denoiser: those of all networks may not fit into memory."""
        ratios = np.array(_errors(choice.denoiser, data, "validation")) / wiener
        return float(np.exp(np.mean(np.log(ratios)))), choice.name, choice.member

    ranked = [score(Choice(name, denoiser)) for name, denoiser in able.items()]
    ranked += [score(_network(member, folder, data)) for member in networks]
    ranked.sort(key=lambda found: found[0])
    of_networks = [found for found in ranked if found[2] is not None]
    lines = ["validation MSE over the Wiener filter's, geometric mean over noise factors 0.1 to 1:"]
    shown = [found for found in ranked if found[2] is None or found is of_networks[0]]
    lines += [f"  {relative:.3f}  {name}" for relative, name, _ in shown]
    _, name, member = ranked[0]
    if member is None:
        lines.append(f"chosen: {name}: none of the {len(networks)} networks of this run is better")
        return Choice(name, able[name]), lines
    lines.append(f"chosen: {name}, the best of {len(networks)} networks")
    return _network(member, folder, data), lines


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
    if member is None:  # as it is after it was saved
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
