"""The report's tables: numbers stay numbers, what is not in these runs is missing (NaN), never filled in."""

from __future__ import annotations

import pandas as pd

from models.config import AS_PUBLISHED, AS_WRITTEN
from study.evidence.evidence import Evidence
from study.paper.published import N_SAMPLES, published_fig4, published_mse
from study.report import curves
from study.report.captions import lost_note
from study.report.curves import CLEAN, NOISY
from study.report.document import Table
from study.report.style import label
from study.report.wording import in_order, intervals

MSE, SHARE = ".4f", ".1%"
N_GENES = 10  # worst and best genes shown
GAIN = "PCA with gain also shrinks each component as a Wiener filter would: the best of linear networks with that code."
MISSING = "– is not in these runs."


def network_tables(evidence: Evidence) -> list[Table]:
    """Return MSE by model and noise of each protocol, share of the noise removed, explained variance."""
    found = [mse_table(evidence, AS_WRITTEN), mse_table(evidence, AS_PUBLISHED)]
    found += [removed_table(evidence), explained_table(evidence)]
    return [table for table in found if table is not None]


def fig4_table(evidence: Evidence) -> Table:
    """Fig. 4: depth against MSE at noise factor 0.5, as printed, recovered, and of both protocols; the references."""
    points = curves.depth_points(evidence)
    rows = []
    for model, printed in published_fig4().items():
        of_model = points[points["model"] == model].set_index(["panel", "series"])
        rerun = _cells(
            of_model, (CLEAN, "as-published rerun"), "as-published rerun, clean training rows"
        )
        rerun_printed = {"rerun / N": rerun["as-published rerun, clean training rows"] / N_SAMPLES}
        written = _cells(of_model, (NOISY, AS_WRITTEN), "as-written, noisy test rows")
        published = {
            "printed, MSE / N": printed.printed,
            "published MSE": printed.mse,
            "in Figs. 6–9": _curve(model),
        }
        rows.append({"network": model, **published, **rerun, **rerun_printed, **written})
    references = points[
        (points["panel"] == NOISY) & ~points["series"].isin([AS_WRITTEN, "as-published rerun"])
    ]
    for name in references["series"].drop_duplicates():
        one = references.drop_duplicates("series").set_index(["panel", "series"])
        rows.append(
            {"network": label(name), **_cells(one, (NOISY, name), "as-written, noisy test rows")}
        )
    frame = pd.DataFrame(rows)
    formats = dict.fromkeys([c for c in frame if "rows" in c or c == "published MSE"], MSE)
    return Table(
        "fig-4",
        "Figure 4. Number of layers against MSE at noise factor 0.5",
        f"The paper prints MSE / N with N = {N_SAMPLES}; published MSE has that undone, and the rerun is also given "
        "divided by it. The paper's own curves, Figs. 6–9, differ from its table. The rerun is measured on clean "
        "training rows, as the paper's scripts did; as-written and the references on noisy test rows. Intervals are "
        "95 % over seeds. – is not in these runs, and for a reference not in the paper.",
        frame,
        {**formats, "printed, MSE / N": ".4g", "rerun / N": ".4g"},
    )


def mse_table(evidence: Evidence, protocol: str) -> Table | None:
    """MSE by model and noise factor with interval and seeds beside the references; None without such networks."""
    rows = curves.of_protocol(evidence, protocol)
    if not len(rows):
        return None
    table = curves.over_seeds(rows, "test_mse", ["model", "noise_factor"])
    frame = table[["model", "noise_factor"]].rename(columns={"noise_factor": "noise factor"})
    if protocol == AS_PUBLISHED:
        clean = curves.over_seeds(rows, "train_clean_mse", ["model", "noise_factor"])
        frame = frame.assign(
            **{"MSE, clean training rows": clean["mse"], "its 95 % interval": intervals(clean)}
        )
    frame = frame.assign(
        **{"MSE, noisy test rows": table["mse"], "95 % interval": intervals(table)}
    )
    frame["seeds"] = table["seeds"]
    frame["against the input"] = (table["mse"] > table["noise_factor"] ** 2).map(
        {True: "worse", False: "better"}
    )
    for name, values in _reference_columns(evidence, table).items():
        frame[name] = values
    formats = dict.fromkeys([c for c in frame if c not in _PLAIN_COLUMNS], MSE)
    n_worse = int((frame["against the input"] == "worse").sum())
    return Table(
        f"mse-{protocol}",
        f"MSE by model and noise factor, {protocol}",
        "Mean over seeds with its 95 % interval, beside the references on the same noisy test rows. In "
        f"{n_worse} of {len(frame)} rows the network is worse than leaving the input alone (α²). "
        f"{lost_note(evidence)} {MISSING}",
        in_order(frame),
        {**formats, "noise factor": "g"},
    )


_PLAIN_COLUMNS = {
    "model",
    "noise factor",
    "seeds",
    "95 % interval",
    "its 95 % interval",
    "against the input",
}


def removed_table(evidence: Evidence) -> Table | None:
    """Share of the noise removed, 1 - MSE / alpha^2: a row a method, a column a noise factor."""
    shares = curves.noise_removed(curves.all_curves(evidence, gain=True))
    if not len(shares):
        return None
    return _wide_table(
        shares.rename(columns={"removed": "value"}),
        "noise-removed-table",
        "Share of the noise removed",
        "1 − MSE / α² on noisy test rows, by noise factor. Below 0 is worse than leaving the input alone. Networks: "
        f"{curves.main_protocol(evidence)}. {GAIN} {MISSING}",
    )


def explained_table(evidence: Evidence) -> Table | None:
    """Explained variance, 1 - MSE / MSE of the gene mean; None where the gene mean was not measured."""
    points = curves.all_curves(evidence, gain=True)
    mean = points[points["series"] == "gene mean"].set_index("noise_factor")["mse"]
    if not len(mean):
        return None
    points = points.assign(value=1 - points["mse"] / points["noise_factor"].map(mean))
    return _wide_table(
        points[(points["series"] != "gene mean") & points["value"].notna()],
        "explained-variance",
        "Explained variance",
        "1 − MSE / MSE of answering each gene's mean, on noisy test rows, by noise factor: 1 is a perfect answer, 0 no "
        f"better than the mean. Networks: {curves.main_protocol(evidence)}. {MISSING}",
    )


def genes_table(evidence: Evidence) -> Table | None:
    """The genes that the best network denoises worst and best."""
    found = curves.by_gene(evidence)
    wide, noise = found.wide, found.noise_factor
    if not len(wide):
        return None
    name = wide.columns[0]
    wide = wide.sort_values(name, ascending=False, kind="stable").reset_index(names="gene")
    wide.insert(0, "rank", range(1, len(wide) + 1))
    ends = wide if len(wide) <= 2 * N_GENES else pd.concat([wide.head(N_GENES), wide.tail(N_GENES)])
    return Table(
        "genes",
        f"Genes denoised worst and best, noise factor {noise:g}",
        f"MSE of a gene on noisy test rows, mean over seeds; sorted by {label(name)}, whose rank 1 is the worst of "
        f"{len(wide):,} genes. {min(len(wide), 2 * N_GENES)} are shown. {MISSING}",
        ends.reset_index(drop=True),
        dict.fromkeys(wide.columns[2:], MSE),
    )


def label_table(evidence: Evidence, name: str) -> Table | None:
    """MSE by value of a sample label, worst first."""
    found = curves.by_label(evidence, name)
    wide, noise = found.wide, found.noise_factor
    if not len(wide):
        return None
    table = wide.copy()
    table.insert(0, "samples", found.samples)
    return Table(
        f"labels-{curves.label_names(evidence).index(name) + 1}",
        f"MSE by {name}, noise factor {noise:g}",
        f"MSE on noisy test rows, mean over seeds, worst for {label(found.network)} first. Of few samples it is "
        f"rough. {MISSING}",
        table.reset_index(names=name if name != "samples" else "value"),
        dict.fromkeys(wide.columns, MSE),
    )


def gap_table(evidence: Evidence) -> Table | None:
    """Train, validation and test MSE of the as-written networks by beta, and the gap from train to test.

    Means over the noise factors that every network of the row has been trained on, then over seeds.
    """
    rows = curves.networks(evidence)
    rows = rows[(rows["protocol"] == AS_WRITTEN) & (rows["sparsity"] == "kl")]
    found = []
    for (model, beta, rho), group in rows.groupby(["model", "beta", "rho"]):
        n_seeds = group["seed"].nunique()
        counts = group.groupby("noise_factor")["seed"].nunique()
        complete = counts.index[counts == n_seeds]
        group = group[group["noise_factor"].isin(complete)]
        if not len(group):
            continue
        group = group.assign(gap=group["test_mse"] - group["train_mse"])
        per_seed = (
            group.groupby("seed")[["train_mse", "val_mse", "test_mse", "gap"]].mean().reset_index()
        )
        gap = curves.over_seeds(per_seed.assign(all=0), "gap", ["all"])
        means = per_seed[["train_mse", "val_mse", "test_mse"]].mean().tolist()
        interval = intervals(gap).iloc[0]
        found.append(
            (model, beta, rho, *means, gap["mse"].iloc[0], interval, n_seeds, len(complete))
        )
    columns = [
        "model",
        "beta",
        "rho",
        "train MSE",
        "validation MSE",
        "test MSE",
        "gap, test − train",
    ]
    frame = pd.DataFrame(found, columns=[*columns, "95 % interval", "seeds", "noise factors"])
    if not len(frame):
        return None
    frame = frame.drop(columns="rho") if frame["rho"].nunique() == 1 else frame
    return Table(
        "gap",
        "Overfitting: train, validation and test MSE by beta, as-written",
        "Noisy rows in; means over the noise factors that all seeds of a row have, then over seeds. beta weighs the "
        "sparsity term. A smaller gap with a larger test MSE is no gain.",
        in_order(frame),
        {**dict.fromkeys(columns[3:], MSE), "beta": "g", "rho": "g"},
    )


def _cells(points: pd.DataFrame, at: tuple[str, str], name: str) -> dict:
    """Mean, interval and seeds of one series under the column `name`; NaN where it is not there."""
    if at not in points.index:
        return {name: float("nan"), f"{_short(name)}, 95 %": None, f"{_short(name)}, seeds": pd.NA}
    point = points.loc[[at]]
    of = {
        f"{_short(name)}, 95 %": intervals(point).iloc[0],
        f"{_short(name)}, seeds": point["seeds"].iloc[0],
    }
    return {name: point["mse"].iloc[0], **of}


def _curve(model: str) -> str:
    """The paper's other number for the same network: its curve at noise factor 0.5."""
    value = published_mse(model, 0.5)
    return "≈ 1" if value.kind == "about" else f"{value.mse:.5g} ± {value.tolerance:g}"


def _short(name: str) -> str:
    return name.partition(",")[0].removeprefix("as-published ")


def _reference_columns(evidence: Evidence, table: pd.DataFrame) -> dict[str, pd.Series]:
    """MSE of every reference at the noise factors of a table's rows; PCA at the code sizes of its models."""
    sizes = curves.code_sizes(evidence, table["model"].unique())
    points = curves.reference_curves(evidence, sizes, gain=True)
    columns = {}
    for name, curve in points.groupby("series", sort=False):
        columns[label(name)] = table["noise_factor"].map(curve.set_index("noise_factor")["mse"])
    return columns


def _wide_table(values: pd.DataFrame, key: str, title: str, caption: str) -> Table:
    """A row a series, a column a noise factor, shares in percent."""
    wide = values.pivot(index="series", columns="noise_factor", values="value")
    wide = wide.reindex(values["series"].drop_duplicates())
    wide.columns = [f"α = {noise:g}" for noise in wide.columns]
    wide.insert(0, "method", [label(name) for name in wide.index])
    return Table(
        key, title, caption, wide.reset_index(drop=True), dict.fromkeys(wide.columns[1:], SHARE)
    )
