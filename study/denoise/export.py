"""From a run to a model: which of its networks and references denoises best, and a model folder of it.

Candidates are measured on the validation rows at noise factors 0.1 ... 1.0, all under the same noise. The best is the
one with the least geometric mean of its MSE over the Wiener filter's. The test rows are measured once, for the chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
from models.variants import member_data
from study.evidence.evidence import Run, load_evidence
from study.reproduce import find_member, run_data
from study.run.folder import RunFolder
from study.run.rows import FINISHED

MEASURED_AT = NOISE_FACTORS[1:]
#: What `--reference` names.
REFERENCES = {"wiener": "Wiener", "pca": "PCA", "pca-gain": "PCA with gain"}


@dataclass(frozen=True)
class Candidate:
    """A reference or a network and its validation MSE at each of MEASURED_AT; `relative` to the Wiener filter."""

    name: str
    errors: tuple[float, ...]
    relative: float
    reference: Denoiser | None = None
    member: MemberConfig | None = None


def best_model(
    path: Path, member_id: str | None = None, reference: str | None = None, data: str | None = None
) -> tuple[Model, list[str]]:
    """The model of a run, and lines that say how it was chosen.

    `member_id` (or its beginning) or `reference` names it; without them validation chooses. `data` is where the run's
    data file is now. Raises InputError for a folder that is no run, other data, and what cannot be exported.
    """
    if member_id is not None and reference is not None:
        raise InputError(
            f"--member {member_id}: does not go together with --reference: leave one of them out"
        )
    run = load_evidence([path]).runs[0]
    folder = RunFolder(run.path)
    member = None if member_id is None else find_member(run, folder, member_id)
    if member is not None and (member.layout != "sample" or member.gene_order == "shuffled"):
        raise InputError(
            f"{member.member_id}: its input is no sample's genes, so it denoises none: give another --member"
        )
    prepared = run_data(run, data)
    prepared = prepared if member is None else member_data(prepared, member)
    fitted = references(prepared, None)
    of_references = measured_references(fitted, prepared)
    if member is not None:
        chosen, lines = _network(member, folder, prepared, of_references), []
    elif reference is not None:
        chosen, lines = _named(reference, of_references, prepared), []
    else:
        of_networks = [_network(m, folder, prepared, of_references) for m in _finished(run, folder)]
        chosen, lines = choose(of_references, of_networks)
    return _model(run, folder, prepared, chosen, fitted), lines


def choose(
    of_references: Sequence[Candidate], of_networks: Sequence[Candidate]
) -> tuple[Candidate, list[str]]:
    """The candidate with the least relative MSE (of equals the reference), and lines that say so."""
    able = [c for c in of_references if isinstance(c.reference, (Wiener, PCA))]
    if not able and not of_networks:
        raise InputError(
            "the run has no network that can be exported, and too many genes for a linear denoiser"
        )
    ranked = sorted([*able, *of_networks], key=lambda c: c.relative)
    best, best_network = ranked[0], min(of_networks, key=lambda c: c.relative, default=None)
    lines = [
        "validation MSE over the Wiener filter's, geometric mean over noise factors 0.1 ... 1.0:"
    ]
    shown = {c.name: c for c in [best, *able, *([best_network] if best_network else [])]}
    lines += [
        f"  {c.relative:.3f}  {name}"
        for name, c in sorted(shown.items(), key=lambda item: item[1].relative)
    ]
    if best.member is None:
        lines.append(
            f"chosen: {best.name}: none of the {len(of_networks)} networks of this run is better"
        )
    else:
        lines.append(f"chosen: {best.name}, the best of {len(of_networks)} networks")
    return best, lines


def measured_references(fitted: Sequence[Denoiser], data: PreparedData) -> list[Candidate]:
    """Every reference as a candidate."""
    errors = {r: _errors(r.denoise, data, "validation") for r in fitted}
    wiener = next(
        (e for r, e in errors.items() if isinstance(r, Wiener)), identity_mse(np.array(MEASURED_AT))
    )
    return [
        Candidate(r.name, tuple(e), _relative(e, wiener), reference=r) for r, e in errors.items()
    ]


def _relative(errors: Sequence[float], wiener: Sequence[float]) -> float:
    """The geometric mean of a ratio over noise factors."""
    return float(np.exp(np.mean(np.log(np.asarray(errors) / np.asarray(wiener)))))


def _errors(denoise, data: PreparedData, part: str) -> list[float]:
    """MSE at each of MEASURED_AT of what `denoise` makes of noisy rows of a part."""
    clean = getattr(data, part)
    return [mse(denoise(noisy_rows(clean, part, a, 0), a), clean) for a in MEASURED_AT]


def _finished(run: Run, folder: RunFolder) -> list[MemberConfig]:
    """The networks that may be chosen: whose input is a sample, scaled by training rows, genes in the given order."""
    done = set(run.members.loc[run.members["status"] == FINISHED, "member_id"])
    plan = map(MemberConfig.from_dict, folder.read_json("plan.json", members=list)["members"])
    usual = ("train", "sample", "given")
    return [m for m in plan if m.member_id in done and (m.scaling, m.layout, m.gene_order) == usual]


def _network(
    member: MemberConfig, folder: RunFolder, data: PreparedData, of_references: Sequence[Candidate]
) -> Candidate:
    """A saved network, measured under the noise of seed 0, whatever its own seed."""
    name = f"{member.run_name} ({member.member_id})"
    wiener = next(
        (c.errors for c in of_references if c.name == "Wiener"), identity_mse(np.array(MEASURED_AT))
    )
    errors = _errors(_saved(member, folder, data).denoise, data, "validation")
    return Candidate(name, tuple(errors), _relative(errors, wiener), member=member)


def _saved(member: MemberConfig, folder: RunFolder, data: PreparedData) -> Denoiser:
    _, arrays = folder.load_model(member.member_id)
    try:
        return saved(member.architecture, data.n_genes, arrays)
    except ValueError:
        raise InputError(
            f"{member.member_id}: its weights do not fit the run's genes: --resume trains it again"
        ) from None


def _named(reference: str, of_references: Sequence[Candidate], data: PreparedData) -> Candidate:
    if reference not in REFERENCES:
        raise InputError(
            f"--reference {reference}: is not known: give one of {', '.join(REFERENCES)}"
        )
    found = [c for c in of_references if c.name == REFERENCES[reference]]
    if not found:
        raise InputError(
            f"--reference {reference}: there is none for {data.n_genes} genes: give --member ID"
        )
    return found[0]


def _denoiser(chosen: Candidate, folder: RunFolder, data: PreparedData) -> Denoiser:
    """The chosen one as a model folder keeps it."""
    if chosen.member is not None:
        return _saved(chosen.member, folder, data)
    reference = chosen.reference
    return type(reference).from_arrays(reference.arrays(), reference.facts())


def _model(
    run: Run, folder: RunFolder, data: PreparedData, chosen: Candidate, fitted: Sequence[Denoiser]
) -> Model:
    """The chosen candidate with everything that a folder keeps."""
    denoiser = _denoiser(chosen, folder, data)
    rows = []
    for part in ("validation", "test"):
        methods = {OWN: denoiser.denoise, **{r.name: r.denoise for r in fitted}}
        for method, denoise in methods.items():
            errors = _errors(denoise, data, part)
            rows += [(part, method, a, error) for a, error in zip(MEASURED_AT, errors, strict=True)]
    recorded = run.config["data"]
    training = {
        "source": recorded["source"],
        "sha256": recorded["sha256"],
        "n_samples": recorded["n_samples"],
        "simulated": bool(recorded["simulated"]),
        "rows": f"{len(data.train)} for training, {len(data.validation)} for validation, {len(data.test)} for the test",
        "run": run.name,
    }
    factors: tuple[float, ...] = ()
    if chosen.member is not None:
        training["member"] = chosen.name
        factors = tuple(sorted({a for phase in chosen.member.phases for a in phase.noise_factors}))
    return Model(
        name=chosen.name,
        denoiser=denoiser,
        genes=gene_table(data.gene_ids),
        scaling=data.scaling,
        transform=recorded["transform"],
        noise_factors=factors,
        training=training,
        metrics=pd.DataFrame(rows, columns=METRIC_COLUMNS),
        gauge=Gauge.fit(data.train, data.validation),
    )
