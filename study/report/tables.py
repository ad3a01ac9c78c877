"""The report's tables: numbers stay numbers, and what is not in these runs is missing (NaN)."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from data_utils.noise import identity_mse
from models.config import AS_PUBLISHED, AS_WRITTEN
from study.evidence.evidence import Evidence
from study.paper.published import N_SAMPLES, published_fig4, published_mse
from study.report import curves
from study.report.blueprints import MODELS
from study.report.curves import CLEAN, NOISY, RERUN
from study.report.document import Table
from study.report.style import label
from study.report.wording import in_order, intervals

MSE = ".4f"
N_GENES = 10  # worst and best genes shown
GAIN = (
    "PCA with gain also shrinks each component as a Wiener filter would: the best of linear "
    "networks with that code."
)
MISSING = "– is not in these runs."


def lost_note(evidence: Evidence, models: Iterable[str] = MODELS) -> str:
    """Return how many networks of these models diverged or failed; "" if none did."""
    members = evidence.members[evidence.members["model"].isin(list(models))]
    lost = int((members["status"] != "finished").sum())
    of = f"Left out: {lost:,} of {len(members):,} networks, which diverged or failed."
    return of if lost else ""


def network_tables(evidence: Evidence) -> list[Table]:
    """Return MSE of each protocol, and the share of the noise removed."""
    found = [mse_table(evidence, protocol) for protocol in (AS_WRITTEN, AS_PUBLISHED)]
    return [table for table in (*found, removed_table(evidence)) if table is not None]


def fig4_table(evidence: Evidence) -> Table:
    """Return Fig. 4, depth against MSE at noise factor 0.5, with both protocols and references."""
    points = curves.depth_points(evidence)
    rerun, written = f"{RERUN}, clean training rows", f"{AS_WRITTEN}, noisy test rows"
    rows = []
    for model, value in published_fig4().items():
        of_model = points[points["model"] == model]
        rows.append(
            {
                "network": model,
                "printed, MSE / N": value.printed,
                "published MSE": value.mse,
                "in Figs. 6–9": _curve(model),
                **_cells(of_model, CLEAN, RERUN, rerun, "rerun"),
                "rerun / N": None,
                **_cells(of_model, NOISY, AS_WRITTEN, written, AS_WRITTEN),
            }
        )
    references = points[(points["panel"] == NOISY) & ~points["series"].isin([AS_WRITTEN, RERUN])]
    for name in references["series"].unique():
        of_one = references.drop_duplicates("series")
        cells = _cells(of_one, NOISY, name, written, AS_WRITTEN)
        rows.append({"network": label(name), **cells})
    frame = pd.DataFrame(rows)
    frame["rerun / N"] = frame[rerun] / N_SAMPLES
    return Table(
        "fig-4",
        "Figure 4. Number of layers against MSE at noise factor 0.5",
        f"The paper prints MSE / N with N = {N_SAMPLES}; published MSE has that undone, and the "
        "rerun is also given divided by it. The paper's own curves, Figs. 6–9, differ from its "
        "table. The rerun is measured on clean training rows, as the paper's scripts did; "
        "as-written and the references on noisy test rows. Intervals are 95 % over seeds. – is not "
        "in these runs, and for a reference not in the paper.",
        frame,
        {
            **dict.fromkeys(("published MSE", rerun, written), MSE),
            **dict.fromkeys(("printed, MSE / N", "rerun / N"), ".4g"),
        },
    )


def _cells(points: pd.DataFrame, panel: str, series: str, name: str, short: str) -> dict:
    """Return mean, interval and seeds of one series; missing values if it is not there."""
    found = points[(points["panel"] == panel) & (points["series"] == series)]
    if not len(found):
        return {name: float("nan"), f"{short}, 95 %": None, f"{short}, seeds": pd.NA}
    bounds, seeds = intervals(found).iloc[0], found["seeds"].iloc[0]
    return {name: found["mse"].iloc[0], f"{short}, 95 %": bounds, f"{short}, seeds": seeds}


def _curve(model: str) -> str:
    """Return the paper's other number for the same network: its curve at noise factor 0.5."""
    value = published_mse(model, curves.NOISE)
    assert value is not None
    return "≈ 1" if value.kind == "about" else f"{value.mse:.5g} ± {value.tolerance:g}"


def mse_table(evidence: Evidence, protocol: str) -> Table | None:
    """Return MSE by model and noise factor next to the references; None without networks."""
    rows = curves.of_protocol(evidence, protocol)
    if not len(rows):
        return None
    by = ["model", "noise_factor"]
    table = curves.over_seeds(rows, "test_mse", by)
    columns = {"model": table["model"], "noise factor": table["noise_factor"]}
    if protocol == AS_PUBLISHED:
        clean = curves.over_seeds(rows, "train_clean_mse", by)
        columns |= {f"MSE, {CLEAN}": clean["mse"], "its 95 % interval": intervals(clean)}
    worse = table["mse"] > identity_mse(table["noise_factor"])
    columns |= {
        f"MSE, {NOISY}": table["mse"],
        "95 % interval": intervals(table),
        "seeds": table["seeds"],
        "against the input": worse.map({True: "worse", False: "better"}),
    }
    sizes = curves.code_sizes(evidence, table["model"].unique())
    references = curves.reference_curves(evidence, sizes, gain=True)
    for name, curve in references.groupby("series", sort=False):
        at = curve.set_index("noise_factor")["mse"]
        columns[label(name)] = table["noise_factor"].map(at)
    frame = in_order(pd.DataFrame(columns))
    numbers = frame.select_dtypes("float").columns
    return Table(
        f"mse-{protocol}",
        f"MSE by model and noise factor, {protocol}",
        "Mean over seeds with its 95 % interval, next to the references on the same noisy test "
        f"rows. In {worse.sum()} of {len(frame)} rows the network is worse than leaving the input "
        f"alone (α²). {lost_note(evidence)} {MISSING}",
        frame,
        {**dict.fromkeys(numbers, MSE), "noise factor": "g"},
    )


def removed_table(evidence: Evidence) -> Table | None:
    """Return the share of the noise removed, with a row per method, a column per noise factor."""
    shares = curves.noise_removed(curves.all_curves(evidence, gain=True))
    if not len(shares):
        return None
    wide = shares.pivot(index="series", columns="noise_factor", values="removed")
    wide = wide.reindex(shares["series"].unique()).rename(columns="α = {:g}".format)
    wide = wide.rename(index=label).rename_axis(columns=None)
    return Table(
        "noise-removed-table",
        "Share of the noise removed",
        "1 − MSE / α² on noisy test rows, by noise factor. Below 0 is worse than leaving the input "
        f"alone. Networks: {curves.main_protocol(evidence)}. {GAIN} {MISSING}",
        wide.reset_index(names="method"),
        dict.fromkeys(wide, ".1%"),
    )


def _by_method(rows: pd.DataFrame, key: str) -> pd.DataFrame:
    """Return MSE with a row per gene or value and a column per method, in the order of `rows`."""
    wide = rows.pivot(index=key, columns="series", values="mse").rename_axis(columns=None)
    return wide.loc[rows[key].unique(), rows["series"].unique()]


def genes_table(evidence: Evidence) -> Table | None:
    """Return the genes that the best network denoises worst and best."""
    rows = curves.by_gene(evidence)
    if not len(rows):
        return None
    wide = _by_method(rows, "gene_id")
    methods = list(wide)
    wide = wide.sort_values(methods[0], ascending=False, kind="stable").reset_index(names="gene")
    wide.insert(0, "rank", range(1, len(wide) + 1))
    ends = wide if len(wide) <= 2 * N_GENES else pd.concat([wide.head(N_GENES), wide.tail(N_GENES)])
    return Table(
        "genes",
        f"Genes denoised worst and best, noise factor {rows['noise_factor'].iloc[0]:g}",
        f"MSE of a gene on noisy test rows, mean over seeds; sorted by {methods[0]}, whose rank 1 "
        f"is the worst of {len(wide):,} genes. {len(ends)} are shown. {MISSING}",
        ends.reset_index(drop=True),
        dict.fromkeys(methods, MSE),
    )


def label_table(evidence: Evidence, name: str) -> Table | None:
    """Return MSE by value of a sample label, worst first."""
    rows = curves.by_label(evidence, name)
    if not len(rows):
        return None
    wide = _by_method(rows, "value")
    methods = list(wide)
    wide.insert(0, "samples", rows.groupby("value")["samples"].max())
    return Table(
        f"labels-{curves.label_names(evidence).index(name) + 1}",
        f"MSE by {name}, noise factor {rows['noise_factor'].iloc[0]:g}",
        f"MSE on noisy test rows, mean over seeds, worst for {methods[0]} first. Of few samples it "
        f"is rough. {MISSING}",
        wide.reset_index(names=name if name != "samples" else "value"),
        dict.fromkeys(methods, MSE),
    )
