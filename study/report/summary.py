"""summary.md: a grid's test MSE next to the paper's numbers, or the results of a search."""

from __future__ import annotations

import numpy as np
import pandas as pd

from data_utils.noise import identity_mse
from models.config import AS_PUBLISHED, PAPER_CODE, PLAIN, Protocol, items_of
from study.evidence.search import SearchRun, answer, answer_text, by_code_size
from study.paper.published import N_SAMPLES, PublishedValue, published_fig4, published_mse
from study.report.checklist import data_facts, lost_members, run_facts
from study.report.document import Command, Document, Section, Table, Words, simulated_warning
from study.report.exports import markdown
from study.report.wording import in_order

KIND = ["protocol", "changed", "model"]
#: Other settings in which networks of one KIND can differ; these are never averaged together.
SETTINGS = [name for name in PLAIN if name != "rho"]
WORSE = "†"

READING = (
    "Mean ± standard deviation over seeds (number of seeds) of eq. 11: the mean over samples and "
    "genes of the squared error on z-scored data, where answering each gene's mean scores about 1. "
    f"{WORSE} is worse than leaving the noisy input alone, whose MSE is α² (identity). One seed "
    "has no deviation. – is not in this run."
)
PAPER = (
    "the number of Sharma (2019), with the reading error of its plot. Of Fig. 9 only “about 1” is "
    "known. × n undoes the paper's division by a number of samples (Figs. 4 and 10). The paper's "
    "scripts carried one network from noise level to noise level and measured it on clean training "
    "rows, so its column differs by more than chance."
)
CLEAN = (
    "The same networks measured as the paper's scripts did: clean training rows in, at the noise "
    "factor trained last. Compare these with the paper's; they do not show how well noise is "
    f"removed. MSE / N is also divided by the N = {{:,}} samples, as the paper's Fig. 4 (N = "
    f"{N_SAMPLES:,}) and, with fewer samples, Fig. 10 print it."
)


def summary_markdown(members: pd.DataFrame, config: dict, levels: pd.DataFrame) -> str:
    """Return the text of summary.md from a run's members, config.json and levels (by_level)."""
    data = config["data"]
    run = Section(
        "The run",
        (
            Table("run", "Run", "", run_facts(config, members)),
            Table("data", "Data", "", data_facts(data)),
            Words("The command that repeats it:"),
            Command(config["command"]),
        ),
    )
    sections = [run]
    if len(levels):
        reading = (Words(READING), Words(PAPER, "paper:"))
        sections.append(Section("Test MSE", (*reading, *_tables(levels))))
    scripts = levels[levels["protocol"] == AS_PUBLISHED]
    if len(scripts):
        tables = _tables(scripts.assign(test_mse=scripts["train_clean_mse"]), data["n_samples"])
        clean = Words(CLEAN.format(data["n_samples"]))
        sections.append(Section("MSE on clean training rows", (clean, *tables)))
    lost = lost_members(members)
    if len(lost):
        table = Table("lost", "Networks that failed or diverged", "", lost)
        sections.append(Section("Networks that did not finish", (table,)))
    warning = simulated_warning([data["source"]] if data["simulated"] else [])
    return markdown(Document(f"Results of the grid {config['grid']}", "", warning, tuple(sections)))


def search_markdown(run: SearchRun) -> str:
    """Return the text of a search's summary.md."""
    search, found = run.search, answer(run)
    counts = run.trials["state"].value_counts()
    ended = ", ".join(f"{n} {state}" for state, n in counts.items()) or "none"
    noise = ", ".join(f"{noise_factor:g}" for noise_factor in search["noise_factors"])
    setting = (
        f"Mode {search['mode']}, noise {noise}, {search['seeds']} seeds, {search['epochs']} epochs "
        f"per network, sampler {search['sampler']} (seed {search['search_seed']}). Trials: {ended}."
    )
    columns = ["code_size", "val_mse", "low", "high", "difference"]
    names = {"code_size": "code size", "val_mse": "validation MSE"}
    frame = by_code_size(run)[columns].rename(columns=names)
    caption = f"95 % interval over seeds, and paired difference to {PAPER_CODE} units."
    title = "Validation MSE by code size"
    formats = dict.fromkeys(frame, ".4f") | {"code size": "d"}
    none = "No answer yet: no setting has been chosen and tested."
    blocks = (
        Words(none if found is None else answer_text(found)),
        Words(setting),
        Table("mse", title, caption, frame, formats),
    )
    warning = simulated_warning(["simulated"] if run.config["data"]["simulated"] else [])
    sections = (Section("What was found", blocks),)
    return markdown(Document(f"Search {search['search']}", "", warning, sections))


def summarise(levels: pd.DataFrame) -> pd.DataFrame:
    """Return the test MSE over seeds by KIND, setting, noise_factor, beta and rho.

    mean, std (n - 1; NaN for one seed) and n count finished networks with a finite test MSE;
    diverged and failed count the others.
    """
    usable = (levels["status"] == "finished") & np.isfinite(levels["test_mse"].astype(float))
    levels = levels.assign(
        setting=_settings(levels),
        noise_factor=levels["noise_factor"].round(9),  # 0.1 * 3 is 0.3
        mse=levels["test_mse"].where(usable),
        diverged=levels["status"] == "diverged",
        failed=levels["status"] == "failed",
    )
    # dropna=False: mixed noise without measurements has no noise factor, and is not lost
    table = levels.groupby(
        [*KIND, "setting", "noise_factor", "beta", "rho"], dropna=False, as_index=False
    ).agg(
        mean=("mse", "mean"),
        std=("mse", "std"),
        n=("mse", "count"),
        diverged=("diverged", "sum"),
        failed=("failed", "sum"),
    )
    ordered = in_order(table, "setting", "noise_factor", "beta", "rho")
    return ordered.sort_values(KIND[:2], kind="stable", ignore_index=True)


def _settings(levels: pd.DataFrame) -> pd.Series:
    """Return in words how networks of one kind differ besides noise and penalty."""
    kinds = [levels[name] for name in KIND]
    finished = levels["epochs"].where(levels["status"] == "finished")  # others ended early
    epochs = finished.fillna(finished.groupby(kinds).transform("max"))
    words = pd.Series("", index=levels.index).mask(levels["mixed"], "mixed noise, ")
    for name in (*SETTINGS, "epochs"):
        column = epochs if name == "epochs" else levels[name]
        varies = column.groupby(kinds).transform("nunique") > 1
        texts = column.map(lambda value: f"{value:g}" if isinstance(value, float) else str(value))
        words += (f"{name.replace('_', ' ')} " + texts + ", ").where(varies, "")
    return words.str.removesuffix(", ")


def _tables(levels: pd.DataFrame, n_samples: int | None = None) -> list[Table]:
    """Return a table for each kind and setting; with `n_samples` also MSE / N."""
    table = summarise(levels)
    several = len(table.drop_duplicates(KIND[:2])) > 1
    found = []
    for (protocol, changed, model, setting), rows in table.groupby([*KIND, "setting"], sort=False):
        title = f"{model} (protocol {Protocol(protocol, items_of(changed))})" if several else model
        title += f": {setting}" if setting else ""
        found.append(_table(title, model, rows, n_samples))
    return found


def _table(title: str, model: str, rows: pd.DataFrame, n_samples: int | None) -> Table:
    """Return one row per noise factor: MSE by beta, the identity's and the paper's."""
    noise = rows["noise_factor"].drop_duplicates()
    frame = pd.DataFrame({"noise factor": noise})
    for (beta, rho), found in rows.groupby(["beta", "rho"]):
        name = f"beta {beta:g}" + (f", rho {rho:g}" if rows["rho"].nunique() > 1 else "")
        found = found.set_index("noise_factor")
        frame[name] = noise.map(found.apply(_cell, axis=1))
        if n_samples is not None:
            frame[f"{name}: MSE / N"] = noise.map(found["mean"] / n_samples)
    frame["identity (α²)"] = identity_mse(noise)
    frame["paper"] = [_paper(model, factor) for factor in noise]
    formats = dict.fromkeys(frame, "#.3g") | {"noise factor": "g", "identity (α²)": ".4f"}
    return Table("mse", title, "", frame, formats)


def _cell(row: pd.Series) -> str:
    """Return a cell such as "0.4123 ± 0.0021 (3)", marked if worse than leaving the input alone."""
    lost = [f"{row[name]} {name}" for name in ("diverged", "failed") if row[name]]
    if not row["n"]:
        return ", ".join(lost)
    digits = ".4f" if 1e-3 <= row["mean"] < 1e4 or row["mean"] == 0 else ".3g"
    spread = "" if np.isnan(row["std"]) else f" ± {row['std']:{digits}}"
    mark = (
        f" {WORSE}" if row["mean"] > identity_mse(row.name) else ""
    )  # the name is the noise factor
    return f"{row['mean']:{digits}}{spread} ({'; '.join([str(row['n']), *lost])}){mark}"


def _paper(model: str, noise_factor: float) -> str | None:
    """Return the paper's numbers at this point: its curve, and the table of Fig. 4."""
    found = [published_mse(model, noise_factor)]
    table = published_fig4().get(model)
    if table is not None and round(noise_factor - table.noise_factor, 6) == 0:
        found.append(table)
    return "; ".join(_number(value) for value in found if value is not None) or None


def _number(value: PublishedValue) -> str:
    error = f" ±{value.tolerance:.2g}" if value.tolerance >= 5e-5 else ""
    if value.kind == "about":
        return f"≈ {value.mse:g}{error} ({value.figure})"
    undone = " × n" if value.kind == "recovered" else ""
    return f"{value.mse:.4f}{error} ({value.figure}{undone})"
