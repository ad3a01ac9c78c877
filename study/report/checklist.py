"""Where the results come from, and the machine-learning reproducibility checklist, filled from the runs themselves."""

from __future__ import annotations

import math
import shlex
from pathlib import Path

import pandas as pd

from models.config import AS_PUBLISHED, AS_WRITTEN, Protocol
from study.evidence.evidence import Evidence, Run

UNKNOWN = "not recorded"

#: What a grid can vary, and how the table names it.
SETTINGS = {
    "model": "network",
    "noise_factor": "noise factor",
    "beta": "beta (sparsity)",
    "rho": "rho (sparsity)",
    "seed": "seed",
    "epochs": "epochs of a network",
    "learning_rate": "learning rate",
    "batch_size": "batch size",
    "optimizer": "optimiser",
    "output": "output layer",
    "code_layers": "code layers",
    "code_activation": "code activation",
    "initialisation": "initial weights",
    "loss": "loss",
    "scaling": "rows that scale the genes",
    "layout": "layout of the conv images",
    "gene_order": "order of the genes",
    "train_fraction": "share of the training rows",
    "noise_input": "noise factor given as an input",
}


def data_facts(evidence: Evidence) -> pd.DataFrame:
    """What is known of the data and their split, which all runs share: columns item, value."""
    data = evidence.data
    missing = [str(gene) for gene in data.get("genes_missing") or ()]
    facts = {
        "source": "simulated: the built-in GTEx-like cohort"
        if evidence.simulated
        else data.get("source"),
        **_origin(data.get("origin")),
        "seed of the simulation": data.get("data_seed"),
        "file size": _bytes(data.get("file_size")),
        "SHA-256 of the file": data.get("file_sha256"),
        "SHA-256 of the values used": data.get("sha256"),
        "samples": f"{data['n_samples']:,}",
        "genes": f"{data['n_genes']:,}",
        "landmark genes found": data.get("genes_matched"),
        "landmark genes missing": f"{len(missing)}: {_listed(missing)}" if missing else "none",
        "transform": f"{data.get('transform')} ({data.get('transform_reason')})",
        "split": _split(evidence.runs[0]),
    }
    only_of_files = ("file size", "SHA-256 of the file")
    kept = {k: v for k, v in facts.items() if k not in only_of_files or not evidence.simulated}
    if not evidence.simulated:
        del kept["seed of the simulation"]
    return pd.DataFrame({"item": kept.keys(), "value": [_said(value) for value in kept.values()]})


def _origin(origin: dict | None) -> dict:
    """What is known of data that were fetched by name."""
    if not origin:
        return {}
    url = origin["expression"]["url"] or "put into the cache by hand"
    return {"fetched from": url, "in the cache since": origin["stored"]}


def run_facts(evidence: Evidence) -> pd.DataFrame:
    """How each run went: a column `item`, and one column a run."""
    return _side_by_side(evidence, _run_facts)


def versions(evidence: Evidence) -> pd.DataFrame:
    """Versions of Python and of the packages: a column `item`, and one column a run."""

    def facts(run: Run) -> dict:
        known = run.config.get("provenance") or {}
        return {
            "Python": known.get("python"),
            **(known.get("packages") or {}),
            "platform": known.get("platform"),
        }

    return _side_by_side(evidence, facts)


def lost_members(evidence: Evidence) -> pd.DataFrame:
    """Networks that failed or diverged, with what is known of why."""
    lost = evidence.members[evidence.members["status"].isin(["failed", "diverged"])]
    columns = [
        "member_id",
        "run",
        "protocol",
        "changed",
        "model",
        "noise_schedule",
        "seed",
        "status",
        "epochs",
        "error",
    ]
    return lost[columns].rename(columns={"noise_schedule": "noise"}).reset_index(drop=True)


def repeat_command(run: Run) -> str:
    """The command that repeats a run, as it was given."""
    return str(run.config.get("command") or f"# {UNKNOWN}")


def reproduce_command(run: Run) -> str | None:
    """The command that trains one network of the run again, with the id of one that has ended; None without any."""
    ended = run.members.loc[run.members["status"] == "finished", "member_id"]
    if ended.empty:
        return None
    path = run.path.relative_to(Path.cwd()) if run.path.is_relative_to(Path.cwd()) else run.path
    return f"python run_study.py reproduce {ended.iloc[0]} --run {shlex.quote(str(path))}"


def search_bounds(evidence: Evidence) -> pd.DataFrame:
    """Every value that the grids gave a setting: a column `setting`, and one column a protocol."""
    levels = evidence.levels
    item_by_item = f"{AS_PUBLISHED}, one item set right"
    kinds = levels["protocol"].where(levels["changed"] == "", item_by_item)
    settings = {
        name: title for name, title in SETTINGS.items() if name in levels
    }  # an older run has fewer
    columns = {"setting": list(settings.values())}
    for kind in sorted(kinds.unique(), key=lambda name: (name != AS_WRITTEN, name)):
        rows = levels[kinds == kind]
        columns[kind] = [_values(rows[name]) for name in settings]
    return pd.DataFrame(columns)


def parameter_counts(evidence: Evidence) -> str:
    """`dense-2: 62,351 (as-written), 61,295 (as-published); ...`."""
    counts = (
        evidence.members.groupby(["model", "protocol", "changed"], sort=False)["n_parameters"]
        .first()
        .dropna()
    )
    texts = []
    for model in sorted(
        evidence.members["model"].unique(), key=lambda name: (name == "conv", name)
    ):
        mine = counts.get(model, pd.Series(dtype=object))
        by_count: dict[int, str] = {}
        for protocol, count in mine.items():
            by_count.setdefault(int(count), str(Protocol(*protocol)))
        several = len(by_count) > 1
        told = (
            f"{count:,} ({protocol})" if several else f"{count:,}"
            for count, protocol in by_count.items()
        )
        texts.append(f"{model}: {', '.join(told)}")
    return "; ".join(texts)


def checklist(evidence: Evidence) -> pd.DataFrame:
    """The checklist (Pineau et al. 2021, JMLR 22:164) as far as it applies: columns topic, question, answer."""
    members = evidence.members
    counts = members["status"].value_counts()
    ended = ", ".join(
        f"{counts.get(status, 0):,} {status}" for status in ("finished", "diverged", "failed")
    )
    seeds = sorted(members["seed"].unique())
    wall = [run.config.get("wall_seconds") for run in evidence.runs]
    commit = {_commit(run) for run in evidence.runs}
    rows = [
        (
            "Model",
            "description",
            "Figs. 2 and 3 of this page; every network is saved in models/ of its run",
        ),
        ("Model", "parameters", parameter_counts(evidence)),
        ("Data", "source and size", _data_line(evidence)),
        (
            "Data",
            "excluded or missing",
            f"landmark genes missing: {len(evidence.data.get('genes_missing') or ())}",
        ),
        ("Data", "split", _split(evidence.runs[0])),
        ("Code", "version", "; ".join(sorted(commit))),
        (
            "Code",
            "commands",
            "the command of each run, and one that repeats a single network, are given above",
        ),
        (
            "Search",
            "bounds",
            "a full grid, nothing sampled: all its values are in the table of settings",
        ),
        ("Search", "selection", _SELECTION),
        ("Runs", "number", f"{len(members):,} networks in {len(evidence.runs)} run(s): {ended}"),
        (
            "Runs",
            "seeds",
            f"{len(seeds)}: {_values(members['seed'])}; the split is the same for all",
        ),
        ("Results", "metric", _METRIC),
        ("Results", "variation", _VARIATION),
        (
            "Compute",
            "training",
            f"{duration(float(members['seconds'].sum()))} of network time, all networks together",
        ),
        (
            "Compute",
            "wall time",
            "; ".join(f"{r.name}: {duration(w)}" for r, w in zip(evidence.runs, wall, strict=True)),
        ),
        ("Compute", "machine", "; ".join(dict.fromkeys(_machine(run) for run in evidence.runs))),
    ]
    return pd.DataFrame(rows, columns=["topic", "question", "answer"])


_SELECTION = (
    "none among the networks: each is reported after its last epoch, and no choice was made on test rows; where the "
    "page speaks of the best network, it says which rows chose it; Wiener's shrinkage was chosen on validation rows"
)
_METRIC = (
    "mean over samples and genes of the squared error (eq. 11) on z-scored genes: as-written on noisy test rows, "
    "as-published on clean training rows, as the paper's scripts did"
)
_VARIATION = (
    "means over seeds with 95 % intervals (Student's t, from 10 seeds on BCa bootstrap); claims by differences paired "
    "over seeds: sign-flip permutation tests, Holm's adjustment within a family"
)


def duration(seconds: float | None) -> str:
    """`1 h 2 min 3 s`."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    hours, rest = divmod(round(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours:,} h {minutes} min {rest} s" if hours else f"{minutes} min {rest} s"


def _run_facts(run: Run) -> dict:
    status = run.members["status"].value_counts()
    known = run.config.get("provenance") or {}
    return {
        "grid": run.config.get("grid"),
        "networks planned": f"{run.config['n_members']:,}" if run.config.get("n_members") else None,
        **{name: f"{status.get(name, 0):,}" for name in ("finished", "diverged", "failed")},
        "seeds": _values(run.members["seed"]),
        "split seed": run.config.get("split_seed"),
        "started": known.get("started"),
        "wall time": duration(run.config.get("wall_seconds")),
        "training time of all networks": duration(float(run.members["seconds"].sum())),
        "device": run.config.get("device"),
        "machine": _machine(run),
        "code": _commit(run),
    }


def _side_by_side(evidence: Evidence, facts) -> pd.DataFrame:
    tables = [facts(run) for run in evidence.runs]
    items = list(dict.fromkeys(item for table in tables for item in table))
    columns = {"item": items}
    for i, (run, table) in enumerate(zip(evidence.runs, tables, strict=True)):
        name = run.name if run.name not in columns else f"{run.name} ({i + 1})"
        columns[name] = [_said(table.get(item)) for item in items]
    return pd.DataFrame(columns)


def _data_line(evidence: Evidence) -> str:
    data = evidence.data
    kind = (
        "SIMULATED (the built-in GTEx-like cohort)"
        if evidence.simulated
        else _said(data.get("source"))
    )
    return f"{kind}: {data['n_samples']:,} samples × {data['n_genes']:,} genes, SHA-256 {data.get('sha256')}"


def _split(run: Run) -> str:
    seed = f"split seed {_said(run.config.get('split_seed'))}"
    if run.config.get("group"):
        seed += f"; all samples of one {run.config['group']} in one part"
    path = run.path / "split.parquet"
    if not path.exists():
        return f"{seed}; counts {UNKNOWN}"
    counts = pd.read_parquet(path)["split"].value_counts()
    return (
        ", ".join(f"{counts.get(name, 0):,} {name}" for name in ("train", "validation", "test"))
        + f" ({seed})"
    )


def _machine(run: Run) -> str:
    known = (run.config.get("provenance") or {}).get("hardware") or {}
    gpus = ", ".join(known.get("gpus") or ()) or "none"
    memory = _bytes(known.get("memory_bytes"))
    return f"{_said(known.get('cpu'))}, {_said(known.get('cores'))} cores, memory {_said(memory)}, GPU: {gpus}"


def _commit(run: Run) -> str:
    git = (run.config.get("provenance") or {}).get("git")
    if not git:
        return "installed package, no git checkout"
    state = {True: "with changes that are not committed", False: "clean"}.get(
        git.get("dirty"), "state unknown"
    )
    return f"git {_said(git.get('commit'))} ({state})"


def _values(column: pd.Series) -> str:
    """The different values, in order; a long evenly spaced row of whole numbers as `0 ... 69`."""
    found = list(column.dropna().unique())
    if not found:
        return "–"
    if all(isinstance(value, str) for value in found):
        return ", ".join(found)
    found = sorted(found)
    if len(found) > 12 and found == list(range(int(found[0]), int(found[0]) + len(found))):
        return f"{found[0]} ... {found[-1]}"
    return ", ".join(f"{value:g}" for value in found)


def _listed(names: list[str], most: int = 30) -> str:
    return ", ".join(names[:most]) + (
        f" and {len(names) - most} more (config.json)" if len(names) > most else ""
    )


def _bytes(size: int | None) -> str | None:
    if size is None:
        return None
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size:,} bytes"


def _said(value) -> str:
    return UNKNOWN if value is None else str(value)
