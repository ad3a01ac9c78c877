"""summary.md: the test MSE of a run by model, noise and beta, beside the paper's number.

Pure functions: the members table (members.parquet) and config.json in, a table or a text out.
"""

import math
import re
from collections.abc import Callable
from numbers import Real

import pandas as pd

from models.config import AS_PUBLISHED, Protocol
from study.evidence.averages import summarise
from study.paper.published import N_SAMPLES, PublishedValue, published_fig4, published_mse

ENDS = ("finished", "diverged", "failed")
LISTED = 50  # failed and diverged members named in the text; beyond that a pointer to the table

WORSE = "†"
LEGEND = f"""\
Test MSE (eq. 11: the mean over samples and genes of the squared error, on z-scored data, where always
answering the gene's mean scores about 1) as mean ± standard deviation over seeds (number of seeds).
**identity (α²)** is the MSE of leaving the noisy input alone; {WORSE} marks a network that does worse than
that. "-" is a combination without a member in this run; "± –" is one seed, which has no spread."""

PAPER_LEGEND = """\
**paper** is the number of Sharma (2019) on the same scale, with the reading error of its plot. ≈ (Fig. 9):
the axis of the plot has no scale, only "about 1" is known. × n (Figs. 4 and 10): the paper divides the MSE
once more by a number of samples n, and that is undone here. The paper's scripts carried one network along
from noise level to noise level and evaluated it on clean training inputs, so its column differs from the
others in more than chance."""

CLEAN_LEGEND = """\
The same networks measured as the paper's scripts did: clean training rows in, at the noise factor trained last.
This is the number to hold against the paper's; it says nothing of how well noise is removed."""

DIVIDED_LEGEND = """\
**MSE / N** is the MSE (eq. 11) divided once more by the N = {n_samples:,} samples of these data, as Figs. 4 and 10
print it (Fig. 4 with the paper's {paper:,} samples, Fig. 10 with fewer)."""


def summary_markdown(
    members: pd.DataFrame, config: dict, levels: pd.DataFrame | None = None
) -> str:
    """The text of summary.md, for GitHub's Markdown.

    `levels` is the members table by noise level (study.levels); without it every member has the one level.
    """
    levels = members if levels is None else levels
    parts = [_head(members, config)]
    if len(levels):
        parts += ["## Test MSE", LEGEND, PAPER_LEGEND, *_model_tables(levels)]
    published = levels[levels["protocol"] == AS_PUBLISHED] if "protocol" in levels else levels[:0]
    if "train_clean_mse" in published and len(published):
        as_measured = published.assign(test_mse=published["train_clean_mse"])
        n_samples = (config.get("data") or {}).get("n_samples")
        divided = DIVIDED_LEGEND.format(n_samples=n_samples, paper=N_SAMPLES) if n_samples else ""
        parts += [
            "## MSE on clean training rows",
            CLEAN_LEGEND,
            divided,
            *_model_tables(as_measured, n_samples),
        ]
    parts.append(_not_finished(members))
    return "\n\n".join(part for part in parts if part) + "\n"


def _model_tables(levels: pd.DataFrame, n_samples: int | None = None) -> list[str]:
    """A heading and a table for each protocol and model; with `n_samples` also MSE / N."""
    table = summarise(levels)
    several = len(table[["protocol", "changed"]].drop_duplicates()) > 1
    parts = []
    for (protocol, changed, model, setting), rows in table.groupby(
        ["protocol", "changed", "model", "setting"], sort=False, dropna=False
    ):
        title = f"{model} (protocol {Protocol(protocol, changed)})" if several else model
        title += f": {setting}" if setting else ""
        parts += [f"### {_text(title)}", _model_table(model, rows, n_samples)]
    return parts


def _head(members: pd.DataFrame, config: dict) -> str:
    """Title, what the data are, what has ended, and the command."""
    data = config.get("data") or {}
    lines = [f"# Results of the grid `{_code(config.get('grid') or 'unknown')}`"]
    if data.get("simulated"):
        lines.append(
            "**The data are SIMULATED** (the built-in GTEx-like cohort): the numbers below are properties of "
            "that simulation, not measurements of tissue."
        )
    items = [_data_line(data)]
    if data.get("genes_missing"):
        missing = [_text(gene) for gene in data["genes_missing"]]
        more = ", ..." if len(missing) > 10 else ""
        items.append(
            f"Landmark genes missing from the data: {len(missing)} ({', '.join(missing[:10])}{more})"
        )
    items.append(f"Members: {_counts(members)}")
    seconds = config.get("wall_seconds")
    if _is_finite(seconds):
        device = config.get("device")
        items.append(
            f"Wall time: {_duration(seconds)}" + (f" on {_text(device)}" if device else "")
        )
    lines.append("\n".join(f"- {item}" for item in items))
    if config.get("command"):
        # Four spaces, not a fence: no backtick in the command can end it.
        command = "\n".join(f"    {line}" for line in str(config["command"]).splitlines())
        lines.append(f"The command that repeats it:\n\n{command}")
    return "\n\n".join(lines)


def _data_line(data: dict) -> str:
    facts = [f"`{_code(data.get('source') or 'unknown')}`"]
    if data.get("n_samples") is not None and data.get("n_genes") is not None:
        facts.append(f"{data['n_samples']:,} samples × {data['n_genes']:,} genes")
    if data.get("transform") is not None:
        facts.append(f"transform {_text(data['transform'])}")
    if data.get("sha256"):
        facts.append(f"sha256 `{_code(data['sha256'])}`")
    return "Data: " + ", ".join(facts)


def _counts(members: pd.DataFrame) -> str:
    """ "429: 427 finished, 1 diverged, 1 failed"; other states only where there are any."""
    found = members["status"].value_counts().to_dict() if len(members) else {}
    names = [*ENDS, *(name for name in found if name not in ENDS)]
    return f"{len(members)}: " + ", ".join(f"{found.get(name, 0)} {_text(name)}" for name in names)


def _model_table(model: str, rows: pd.DataFrame, n_samples: int | None) -> str:
    """One model: a row for each noise factor, a column for each beta (and its MSE / N), then identity and the paper."""
    settings = _unique_pairs(rows)
    per_beta = pd.Series([_key(beta) for beta, _ in settings]).value_counts()
    header = ["noise factor"]
    for beta, rho in settings:
        # rho is named where it tells two columns apart
        name = f"beta {_number(beta)}" + (
            f", rho {_number(rho)}" if per_beta[_key(beta)] > 1 else ""
        )
        header += [name, f"{name}: MSE / N"] if n_samples else [name]
    header += ["identity (α²)", "paper"]
    cells = {
        (_key(r.noise_factor), _key(r.beta), _key(r.rho)): _cells(r, n_samples)
        for r in rows.itertuples()
    }
    nothing = ["-", "-"] if n_samples else ["-"]
    body = []
    for noise in rows["noise_factor"].drop_duplicates():
        values = [
            cell
            for beta, rho in settings
            for cell in cells.get((_key(noise), _key(beta), _key(rho)), nothing)
        ]
        identity = _mse(noise**2) if _is_finite(noise) else "-"
        body.append([_noise(noise), *values, identity, _paper(model, noise)])
    return _markdown_table(header, body)


def _unique_pairs(rows: pd.DataFrame) -> list[tuple[float, float]]:
    """The (beta, rho) columns of a table. By _key, because NaN differs from itself."""
    pairs = {
        (_key(beta), _key(rho)): (beta, rho)
        for beta, rho in zip(rows["beta"], rows["rho"], strict=True)
    }
    return [pairs[key] for key in sorted(pairs)]


def _cells(row, n_samples: int | None) -> list[str]:
    """The MSE, and with `n_samples` MSE / N."""
    return (
        [_cell(row), f"{row.mean / n_samples:#.3g}" if row.n else "-"]
        if n_samples
        else [_cell(row)]
    )


def _cell(row) -> str:
    """ "0.4123 ± 0.0021 (3)", marked where it is worse than leaving the input alone."""
    lost = [
        f"{count} {word}"
        for count, word in ((row.diverged, "diverged"), (row.failed, "failed"))
        if count
    ]
    if row.n == 0:
        return ", ".join(lost) or "-"
    # With as many decimals as the mean, so that a column reads as one.
    decimals = len(_mse(row.mean).partition(".")[2])
    spread = f"{row.std:.{decimals}f}" if _is_finite(row.std) else "–"
    mark = f" {WORSE}" if row.mean > row.identity else ""
    return f"{_mse(row.mean)} ± {spread} ({'; '.join([str(row.n), *lost])}){mark}"


def _paper(model: str, noise: float) -> str:
    """The paper's curve at this noise, and the table of Fig. 4 where it has the same point."""
    found = [published_mse(model, noise)]
    table = published_fig4().get(model)
    if table is not None and _key(table.noise_factor) == _key(noise):
        found.append(table)
    return "; ".join(_paper_number(value) for value in found if value is not None) or "-"


def _paper_number(value: PublishedValue) -> str:
    text = (
        f"{value.mse:.4f} ±{value.tolerance:.2g}" if value.tolerance >= 5e-5 else f"{value.mse:.4f}"
    )
    if value.kind == "about":
        return f"≈ {value.mse:g} ±{value.tolerance:g} ({value.figure})"
    return f"{text} ({value.figure}{' × n' if value.kind == 'recovered' else ''})"


def _not_finished(members: pd.DataFrame) -> str:
    """Members that diverged or failed, with what is known of why."""
    lost = members[members["status"].isin(["diverged", "failed"])] if len(members) else members
    if not len(lost):
        return ""
    columns: dict[str, Callable] = {
        "member_id": _text,
        "model": _text,
        "noise_factor": _noise,
        "beta": _number,
        "seed": _number,
        "status": _text,
        "epochs": _number,
        "error": _text,
    }
    shown = lost.reindex(columns=list(columns)).head(LISTED)
    body = [[columns[name](row[name]) for name in columns] for row in shown.to_dict("records")]
    text = f"## Members that did not finish\n\n{_markdown_table(list(columns), body)}"
    if len(lost) > LISTED:
        text += f"\n\nThese are {LISTED} of {len(lost)}; all are in members.parquet."
    return text


def _markdown_table(header: list[str], body: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _is_finite(value) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def _key(value) -> tuple[int, float]:
    """A number to find by and sort by: 0.1 * 3 is 0.3, and all that is missing is one thing, first."""
    return (1, round(float(value), 9)) if not pd.isna(value) else (0, 0.0)


def _mse(value: float) -> str:
    """Four decimals, as many as seeds can tell apart; other sizes keep three digits."""
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.3g}"


def _number(value) -> str:
    return "-" if pd.isna(value) else f"{value:g}"


def _noise(value) -> str:
    return "-" if pd.isna(value) else str(round(float(value), 6))


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours} h {minutes} min {seconds} s" if hours else f"{minutes} min {seconds} s"


def _text(value) -> str:
    """Foreign text (an error message, a gene id) in one table cell: one line, nothing taken for Markdown."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    line = " ".join(str(value).split())
    line = f"{line[:297]}..." if len(line) > 300 else line
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", line)


def _code(value) -> str:
    """Text between backticks: it cannot hold one."""
    return " ".join(str(value).split()).replace("`", "'")
