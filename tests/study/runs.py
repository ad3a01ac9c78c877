"""Write run folders with known numbers without training, for report tests. Not a test itself."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from models.architecture import n_parameters
from models.config import NOISE_FACTORS, SMALL_CODE
from study.grids import GRIDS, MIXTURE_GROUPS, Narrowing
from study.run.rows import MEMBER_COLUMNS, METRIC_COLUMNS, describe

N_GENES = 30
GENES = [f"ENSG{i:011d}" for i in range(N_GENES - 1)] + ["<script>alert('gene')</script>"]
TISSUES = ["Liver", "Brain - Cortex", "<b>Blood</b>"]
DEPTH = {
    "dense-2": 2,
    "dense-4": 4,
    "dense-6": 6,
    "dense-8": 8,
    "conv": 12,
    "dense-2x2": 2,
    SMALL_CODE: 4,
}
DEPTH |= {f"mixture-{groups}": 1 for groups in MIXTURE_GROUPS}


def effect_as_written(member, noise):
    """Test MSE that grows with noise and depth, with a little of each seed's own."""
    return (
        0.3
        + 0.2 * noise
        + 0.01 * DEPTH[member.model]
        + 0.001 * np.sin(7.0 * member.seed + DEPTH[member.model])
    )


def effect_as_published(member, noise):
    """Clean-row MSE that grows with depth and falls along carried noise levels (fresh: flat)."""
    carried = len(member.phases) > 1
    own = 0.001 * np.sin(5.0 * member.seed + DEPTH[member.model])
    return 0.9 + 0.02 * DEPTH[member.model] - (0.2 * noise if carried else 0.0) + own


def fake_run(
    folder,
    grid="as-written",
    seeds=3,
    mse=None,
    simulated=True,
    data="a" * 64,
    lost=(),
    tables=True,
    narrowing=None,
    members=None,
):
    """A run folder of `grid`; `mse(member, noise_factor)` gives its test MSE. Returns the path.

    `lost`: {index of member: "failed" or "diverged"}; `tables` False leaves out references, genes
    and labels. Train MSE is 0.02, validation MSE 0.005 below test MSE. Tested at another noise
    factor a than its own b, a network's MSE is higher by (a - b)^2 / 2.
    """
    folder = Path(folder)
    folder.mkdir(parents=True)
    planned = members or GRIDS[grid](narrowing or Narrowing(seeds=seeds))
    lost = dict(lost)
    rows, metrics = [], []
    for i, member in enumerate(planned):
        published = member.protocol.name == "as-published"
        score = mse or (effect_as_published if published else effect_as_written)
        status = lost.get(i, "finished")
        row = {**describe(member), "status": status, "epochs": member.epochs, "seconds": 2.0}
        row["n_parameters"] = n_parameters(member.architecture, N_GENES)
        epoch = 0
        for phase in member.phases:
            epoch += phase.epochs
            for noise in phase.noise_factors:
                value = score(member, noise) if status == "finished" else float("nan")
                parts = {
                    "train": value - 0.02,
                    "validation": value - 0.005,
                    "test": value,
                    "train-clean": value - 0.03,
                }
                if status != "failed":
                    metrics += [
                        (member.member_id, epoch, s, "mse", noise, v) for s, v in parts.items()
                    ]
                row |= {
                    f"{p}_mse": v
                    for p, v in zip(
                        ("train", "val", "test", "train_clean"), parts.values(), strict=True
                    )
                }
        if status == "finished" and len(member.phases) == 1:
            own = member.noise_factor
            for tested_at in NOISE_FACTORS:
                wrong = 0.0 if np.isnan(own) else 0.5 * (tested_at - own) ** 2
                metrics.append(
                    (
                        member.member_id,
                        epoch,
                        "test-across",
                        "mse",
                        tested_at,
                        score(member, tested_at) + wrong,
                    )
                )
            metrics.append((member.member_id, epoch, "validation", "dead_units", own, 0.25))
            row["dead_units"] = 0.25
        row |= {
            "best_epoch": member.epochs,
            "best_val_mse": row["val_mse"],
            "mean_activation": 0.06,
        }
        if status == "failed":
            row |= {"error": "OSError: no space left on <device> & more", "epochs": 0}
        rows.append(row)
    table = pd.DataFrame(rows, columns=MEMBER_COLUMNS)
    whole = dict.fromkeys(("best_epoch", "diverged_epoch", "n_parameters"), "Int64")
    table.astype(whole).to_parquet(folder / "members.parquet", index=False)
    pd.DataFrame(metrics, columns=METRIC_COLUMNS).to_parquet(
        folder / "metrics.parquet", index=False
    )
    if tables:
        _reference_tables(folder, planned, simulated)
    config = fake_config(grid, planned, simulated, data)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "plan.json").write_text(
        json.dumps({"members": [member.as_dict() for member in planned]})
    )
    _replicate_tables(folder, sorted({member.seed for member in planned}))
    return folder


def _replicate_tables(folder, seeds):
    """Ten samples, of which each seed tests two others; the mean square of test rows is 0.97."""
    parts = {"train": (7, 0.999), "validation": (1, 0.93), "test": (2, 0.97)}
    labels = [part for part, (n, _) in parts.items() for _ in range(n)]
    split = pd.DataFrame(
        {"seed": seed, "sample_id": f"s{(i + 2 * seed) % 10}", "split": label}
        for seed in seeds
        for i, label in enumerate(labels)
    )
    split.to_parquet(folder / "split.parquet", index=False)
    rows = [(seed, part, *its) for seed in seeds for part, its in parts.items()]
    table = pd.DataFrame(rows, columns=["seed", "split", "samples", "mean_square"])
    table.to_parquet(folder / "replicates.parquet", index=False)


def fake_config(grid, planned, simulated, data):
    """What study.Study._config writes."""
    return {
        "command": f"python run_study.py --grid {grid}",
        "grid": grid,
        "data": {
            "source": "simulated" if simulated else "/data/<expression>.gct.gz",
            "simulated": simulated,
            "data_seed": 0 if simulated else None,
            "origin": None,
            "n_samples": 2921,
            "n_genes": N_GENES,
            "sha256": data,
            "file_sha256": None if simulated else "b" * 64,
            "file_size": None if simulated else 2616823,
            "transform": "none",
            "transform_reason": "already on a log scale",
            "genes_matched": N_GENES,
            "genes_missing": [],
        },
        "split_seed": 0,
        "fixed_split": False,
        "group": None,
        "seeds": sorted({member.seed for member in planned}),
        "n_members": len(planned),
        "device": "cpu",
        "provenance": {
            "started": "2026-01-02T03:04:05+00:00",
            "python": "3.11.2",
            "platform": "Linux",
            "packages": {"torch": "2.13.0", "ray": "2.60.0", "numpy": "2.3.0"},
            "git": {"commit": "0" * 40, "dirty": False},
            "hardware": {"cpu": "Test CPU", "cores": 2, "memory_bytes": 24 << 30, "gpus": []},
        },
        "identity": {
            "members": [m.member_id for m in planned],
            "data": data,
            "split_seed": 0,
            "fixed_split": False,
            "group": None,
            "groups": None,
            "splits": {},
        },
        "wall_seconds": 1396.0,
    }


def _reference_tables(folder, planned, simulated):
    """Make references, genes and labels, as functions of the noise factor alpha.

    Identity is alpha^2, gene mean 1, Wiener .5 alpha^2 / (1 + alpha^2), and so on.
    """
    noise_factors = sorted({a for m in planned for p in m.phases for a in p.noise_factors})
    seeds = sorted({m.seed for m in planned})
    formulas = {
        ("identity", None): lambda a: a**2,
        ("gene mean", None): lambda a: 1.0,
        ("PCA", 32): lambda a: 0.45 + 0.1 * a**2,
        ("PCA with gain", 32): lambda a: 0.45 + 0.05 * a**2,
        ("Wiener", None): lambda a: 0.5 * a**2 / (1 + a**2),
        ("Wiener mixture", None): lambda a: 0.45 * a**2 / (1 + a**2),
    }
    if simulated:
        formulas["oracle", None] = lambda a: 0.4 * a**2 / (1 + a**2)
    rows = [
        (
            name,
            a,
            seed,
            size,
            "cross-validated" if name == "Wiener" else "",
            f(a),
            f(a) + 1e-4 * seed,
        )
        for (name, size), f in formulas.items()
        for a in noise_factors
        for seed in seeds
    ]
    columns = ["reference", "noise_factor", "seed", "code_size", "choice", "val_mse", "test_mse"]
    references = pd.DataFrame(rows, columns=columns).astype({"code_size": "Int64"})
    references.to_parquet(folder / "references.parquet", index=False)
    methods = sorted({(str(m.protocol), m.model) for m in planned}) + [
        ("", name) for name, _ in formulas
    ]
    genes = [
        (p, m, a, g, 0.3 + 0.01 * i)
        for p, m in methods
        for a in noise_factors
        for i, g in enumerate(GENES)
    ]
    pd.DataFrame(
        genes, columns=["protocol", "method", "noise_factor", "gene_id", "mse"]
    ).to_parquet(folder / "genes.parquet", index=False)
    labels = [
        (p, m, a, "tissue", t, 10 * (i + 1), 0.3 + 0.05 * i)
        for p, m in methods
        for a in noise_factors
        for i, t in enumerate(TISSUES)
    ]
    columns = ["protocol", "method", "noise_factor", "label", "value", "samples", "mse"]
    pd.DataFrame(labels, columns=columns).to_parquet(folder / "labels.parquet", index=False)
