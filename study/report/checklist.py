"""The provenance of results: data, runs and settings, and the reproducibility checklist.

Everything is filled in from the runs; unknown facts are left out.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from models.config import AS_PUBLISHED, AS_WRITTEN, PLAIN, USUAL_TRAINING, usual_settings
from study.evidence.evidence import Evidence, Run
from study.report.wording import duration, in_order, listed

#: The columns of the members table that a grid can vary.
SETTINGS = ("model", "noise_factor", "beta", "seed", "epochs", *PLAIN)
#: Those of training, in the table by model.
TRAINING = ("epochs", "batch_size", "learning_rate", "rate_schedule", "optimizer", "noise_draws")
#: What config.json has the seconds of, besides training.
RECORDED = {"start": "start: data, splits, workers", "references": "references"}
COST_COLUMNS = ["part", "networks", "seconds"]
LISTED = 7  # missing genes that are named
LONGEST_ERROR = 300
MOST_WORDS = 12  # of a cell


def data_facts(data: dict, split: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return the facts of config.json about the data, and their split: columns item, value."""
    missing, origin = data["genes_missing"], data.get("origin")
    names = ", ".join(map(str, missing[:LISTED]))
    more = f" and {len(missing) - LISTED} more (config.json)" if len(missing) > LISTED else ""
    return _facts(
        {
            "source": "simulated: the built-in GTEx-like cohort"
            if data["simulated"]
            else data["source"],
            "fetched from": origin and (origin["expression"]["url"] or "the cache, put in by hand"),
            "in the cache since": origin and origin["stored"],
            "seed of the simulation": data["data_seed"],
            "file size": data["file_size"] and f"{data['file_size']:,} bytes",
            "SHA-256 of the file": data["file_sha256"],
            "SHA-256 of the values used": data["sha256"],
            "samples": f"{data['n_samples']:,}",
            "genes": f"{data['n_genes']:,}",
            "landmark genes found": data["genes_matched"],
            "landmark genes missing": f"{len(missing)}: {names}{more}" if missing else "none",
            "transform": f"{data['transform']} ({data['transform_reason']})",
            **(split or {}),
        }
    )


def run_data(run: Run) -> pd.DataFrame:
    """Return the facts of a run's data and of their split."""
    return data_facts(run.config["data"], split_facts(run))


def run_facts(config: dict, members: pd.DataFrame) -> pd.DataFrame:
    """Return the facts of a run from its config.json and members: columns item, value."""
    known = config["provenance"]
    hardware, git = known["hardware"], known["git"]
    machine = [hardware["cpu"], hardware["cores"] and f"{hardware['cores']} cores"]
    if hardware["memory_bytes"]:
        machine.append(f"{hardware['memory_bytes'] / 2**30:.1f} GiB of memory")
    state = ", with changes that are not committed" if git and git["dirty"] else ""
    return _facts(
        {
            "grid": config["grid"],
            "networks": f"{len(members):,} of {config['n_members']:,}: {ended(members)}",
            "seeds": values(members["seed"]),
            "split seed": config["split_seed"],
            "started": known["started"],
            "wall time": duration(config["wall_seconds"]),
            "training time of all networks": duration(members["seconds"].sum()),
            "device": config["device"],
            "machine": ", ".join([*filter(None, machine), *hardware["gpus"]]),
            "code": f"git {git['commit']}{state}" if git else "an installed package",
        }
    )


def versions(config: dict) -> pd.DataFrame:
    """Return the versions that a run used: columns item, value."""
    known = config["provenance"]
    return _facts({"Python": known["python"], **known["packages"], "platform": known["platform"]})


def _facts(facts: dict) -> pd.DataFrame:
    kept = {item: str(value) for item, value in facts.items() if value is not None}
    return pd.DataFrame({"item": kept.keys(), "value": kept.values()})


def side_by_side(runs: Sequence[Run], facts: Callable[[Run], pd.DataFrame]) -> pd.DataFrame:
    """Return the facts of all runs: a column `item`, and one column per run.

    For more than two runs the facts are stacked instead: columns run, item, value.
    """
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(run.path) for run in runs]
    found = dict(zip(names, map(facts, runs), strict=True))
    if len(found) > 2:
        return pd.concat(found, names=["run"]).reset_index("run").reset_index(drop=True)
    parts = [frame.set_index("item")["value"] for frame in found.values()]
    return pd.concat(parts, axis=1, keys=names).reset_index()


def ended(members: pd.DataFrame) -> str:
    """Return the networks' statuses in words: "427 finished, 1 diverged, 1 failed"."""
    counts = members["status"].value_counts()
    return ", ".join(f"{counts.get(s, 0):,} {s}" for s in ("finished", "diverged", "failed"))


def lost_members(members: pd.DataFrame) -> pd.DataFrame:
    """Return the networks that failed or diverged, with the reason if it is known."""
    columns = ["member_id", "protocol", "changed", "model", "noise_schedule", "beta", "seed"]
    lost = members[members["status"].isin(["failed", "diverged"])]
    lost = lost.assign(error=lost["error"].astype(str).str[:LONGEST_ERROR])
    return lost[[*columns, "status", "epochs", "error"]].rename(columns={"noise_schedule": "noise"})


def split_facts(run: Run) -> dict[str, str]:
    """Return the sizes of the first seed's split, and which seeds share it, as items of a table.

    For example "2,045 train, 292 validation, 584 test" and "each seed has its own (split seed 0)".
    """
    table = pd.read_parquet(run.path / "split.parquet")
    counts = table.loc[table["seed"] == table["seed"].min(), "split"].value_counts()
    sizes = ", ".join(f"{counts.get(name, 0):,} {name}" for name in ("train", "validation", "test"))
    group = run.config.get("group")
    together = {"samples kept together": f"all of one {group}"} if group else {}
    seeds = "all seeds share one" if run.config["fixed_split"] else "each seed has its own"
    return {
        "split": sizes,
        "seeds and splits": f"{seeds} (split seed {run.config['split_seed']})",
        **together,
    }


def first_words(text: object) -> str:
    """Return the first words of a text, as many as a cell may have."""
    words = str(text).split()
    return " ".join(words[:MOST_WORDS]) + "…" * (len(words) > MOST_WORDS)


def reproduce_command(run: Run) -> str | None:
    """Return the command that trains one of the run's finished networks again; None without one."""
    finished = run.members.loc[run.members["status"] == "finished", "member_id"]
    if finished.empty:
        return None
    path = run.path.relative_to(Path.cwd()) if run.path.is_relative_to(Path.cwd()) else run.path
    return f"python run_study.py reproduce {finished.iloc[0]} --run {shlex.quote(str(path))}"


def search_bounds(evidence: Evidence) -> pd.DataFrame:
    """Return every value that the grids gave a setting: a column `setting`, one per protocol."""
    levels = evidence.levels
    kinds = _kinds(levels)
    names = {name: name.replace("_", " ") for name in SETTINGS}
    bounds = levels[[*names]].groupby(kinds.rename(None)).agg(values).T
    return bounds.rename(index=names).reset_index(names="setting")


def costs(evidence: Evidence) -> pd.DataFrame:
    """Return the seconds by protocol and model, of the runs' start and references, and in all.

    Columns part, networks, seconds and share. A part that no run recorded is left out.
    """
    members = in_order(evidence.members)
    of = members.groupby(_kinds(members) + ", " + members["model"], sort=False)["seconds"]
    rows = [*zip(of.size().index, of.size(), of.sum(), strict=True)]
    for part, name in RECORDED.items():
        known = [its for run in evidence.runs if (its := run.config.get("seconds", {}).get(part))]
        rows += [(name, None, sum(known))] if known else []
    total = sum(seconds for *_, seconds in rows)
    frame = pd.DataFrame([*rows, ("total", len(members), total)], columns=COST_COLUMNS)
    frame = frame.astype({"networks": "Int64"})
    return frame.assign(share=frame["seconds"] / (total or 1))


def settings_by_model(evidence: Evidence) -> pd.DataFrame:
    """Return the training settings by protocol and model, and how they were chosen."""
    members = in_order(evidence.members[evidence.members["optimizer"] != ""])
    rows = []
    for (kind, model), of in members.groupby([_kinds(members), members["model"]], sort=False):
        row = {"protocol": kind, "model": model}
        row |= {name: values(of[name]) for name in TRAINING}
        rows.append({**row, "chosen": _chosen(kind, model, of)})
    return pd.DataFrame(rows, columns=["protocol", "model", *TRAINING, "chosen"])


def _kinds(members: pd.DataFrame) -> pd.Series:
    """Return the protocol of each network; items that were put right are not told apart."""
    plain = members["changed"] == ""
    return members["protocol"].where(plain, f"{AS_PUBLISHED}, items put right")


def _chosen(kind: str, model: str, members: pd.DataFrame) -> str:
    if kind != AS_WRITTEN:
        return "the paper's scripts" if kind == AS_PUBLISHED else "the scripts, less those items"
    if members["grid"].str.startswith("search-").all():
        return "by the search, on validation rows"
    if model not in USUAL_TRAINING:
        return "defaults, not tuned for this model"
    usual = usual_settings(model)
    tuned = ("optimizer", "learning_rate", "batch_size", "rate_schedule")
    if all((members[name] == usual[name]).all() for name in tuned):
        usually = USUAL_TRAINING[model].epochs
        fewer = f"; fewer epochs than {usually}" * bool(members["epochs"].max() < usually)
        return f"validation MSE at noise 0.5, simulated cohort{fewer}"
    return "by the grid"


def values(column: pd.Series) -> str:
    """Return the distinct values in order, as "0 to 69" or counted if they are many."""
    found = sorted(column.dropna().unique())
    text = ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in found)
    if len(text.split()) <= MOST_WORDS:
        return text
    text = f"{len(found)} values" if column.dtype == object else listed(found)
    if len(text.split()) > MOST_WORDS:
        text = f"{len(found)} values from {found[0]:g} to {found[-1]:g}"
    return text


def checklist(evidence: Evidence) -> pd.DataFrame:
    """Return the checklist of Pineau et al. (2021): columns topic, question, answer."""
    members, data = evidence.members, evidence.data
    what = "SIMULATED" if evidence.simulated else data["source"]
    which = "one" if evidence.fixed_split else "each its own"
    counts = in_order(members.drop_duplicates(["model", "n_parameters"]), "n_parameters")
    sizes = counts.groupby("model", sort=False)["n_parameters"]
    rows = [
        ("Model", "description", "Figs. 2 and 3; each network is in models/ of its run"),
        *(("Model", f"parameters, {model}", _sizes(found)) for model, found in sizes),
        ("Data", "source", f"{what}: {data['n_samples']:,} samples × {data['n_genes']:,} genes"),
        *(("Data", *fact) for fact in split_facts(evidence.runs[0]).items()),
        ("Code", "version and commands", "under Provenance, by run"),
        ("Search", "bounds", "full grids: all values are in the table of settings"),
        *(("Search", *fact) for fact in _SELECTION.items()),
        ("Runs", "number", f"{len(members):,} networks: {ended(members)}"),
        ("Runs", "seeds", f"{values(members['seed'])}; {which} split"),
        *(("Results", *fact) for fact in _RESULTS.items()),
        (
            "Compute",
            "training time",
            f"{duration(members['seconds'].sum())}, all networks together",
        ),
        ("Compute", "wall time and machine", "under Provenance, by run"),
    ]
    return pd.DataFrame(rows, columns=["topic", "question", "answer"])


def _sizes(counts: pd.Series) -> str:
    """Return the numbers of weights and biases of a model, one for each protocol."""
    return " or ".join(f"{n:,}" for n in counts.dropna())


_SELECTION = {
    "selection of networks": "none: each is reported after its last epoch",
    "a best network": "the page states which rows chose it",
    "Wiener's shrinkage": "chosen on validation rows",
    "test rows": "chose nothing",
}
_RESULTS = {
    "metric": "mean squared error (eq. 11) on z-scored genes, over samples and genes",
    "rows, as-written": "noisy test rows",
    "rows, as-published": "clean training rows, as the paper's scripts did",
    "variation": "means over replicates with 95 % intervals (Student's t)",
    "overlapping splits": "the variance of Nadeau and Bengio (2003)",
    "claims": "log ratios paired by replicate, at Holm's levels within a claim",
}
