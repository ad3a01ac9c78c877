"""The results of a search, from its run folder to tables and an answer.

Validation MSE chooses; only the chosen setting and the paper's code size have a test MSE.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.config import PAPER_CODE
from models.denoisers.denoiser import ERROR_COLUMNS
from study.evidence.effects import Effect, effect_of
from study.evidence.evidence import Run
from study.evidence.stats import interval
from study.run.rows import typed_table

#: States of a trial: `diverged` if an error is not finite, `failed` after an exception.
RUNNING, COMPLETE, PRUNED, DIVERGED, FAILED = "running", "complete", "pruned", "diverged", "failed"
#: A code within this factor of an end of the range is at its edge.
EDGE = 1.05
#: A code is as good as the best within this share of the best validation MSE.
NEAR = 0.01


@dataclass(frozen=True)
class SearchRun:
    """A search's run folder: config.json, members.parquet and trials.parquet.

    The columns of the trials are listed in study/search/trials.py.
    """

    path: Path
    config: dict
    members: pd.DataFrame
    trials: pd.DataFrame

    @property
    def search(self) -> dict:
        """The search's mode, space, noise_factors, seeds, epochs, sampler and search_seed."""
        return self.config["search"]

    @property
    def complete(self) -> pd.DataFrame:
        """The trials that were trained to their end."""
        return self.trials[self.trials["state"] == COMPLETE]

    def by_seed(self, member_ids: Sequence[str], measure: str = "val_mse") -> pd.Series:
        """Return a measure of members by seed, as the geometric mean over noise factors."""
        chosen = self.members[self.members["member_id"].isin(list(member_ids))]
        return np.exp(np.log(chosen[measure].astype(float)).groupby(chosen["seed"]).mean())


def search_of(run: Run) -> SearchRun | None:
    """Return a run as a search; None if it is not a search."""
    table = run.path / "trials.parquet"
    if "search" not in run.config or not table.exists():
        return None
    return SearchRun(run.path, run.config, run.members, pd.read_parquet(table))


def best_so_far(run: SearchRun) -> pd.DataFrame:
    """Return one row per trial: number, state, code_size, val_mse, best.

    val_mse is NaN unless the trial is complete; best is the least up to that trial.
    """
    table = run.trials[["number", "state", "code_size", "val_mse"]].sort_values(
        "number", ignore_index=True
    )
    return table.assign(best=table["val_mse"].cummin().ffill())


def by_code_size(run: SearchRun) -> pd.DataFrame:
    """Return one row per code size, for the best trial of that size.

    Columns: number, code_size, seeds, val_mse with its interval (low, high), and difference,
    difference_low, difference_high: MSE minus that of PAPER_CODE at the same seeds (NaN without
    it).
    """
    best = run.complete.sort_values(["val_mse", "number"]).drop_duplicates("code_size")
    best = best.sort_values("code_size", ignore_index=True)
    curves = {row.code_size: run.by_seed(row.members) for row in best.itertuples()}
    rows = []
    for mse in curves.values():
        row = {"seeds": len(mse), **vars(interval(mse))}
        if PAPER_CODE in curves:
            difference = mse - curves[PAPER_CODE]
            row["difference"] = difference.mean()
            row |= {f"difference_{end}": at for end, at in vars(interval(difference)).items()}
        rows.append(row)
    columns = ["number", "code_size", "seeds", "val_mse", "low", "high"]
    columns += ["difference", "difference_low", "difference_high"]
    return (
        best[["number", "code_size", "val_mse"]].join(pd.DataFrame(rows)).reindex(columns=columns)
    )


def importance(run: SearchRun) -> pd.DataFrame:
    """Return the columns parameter and importance, most important first.

    fANOVA (Hutter et al. 2014): the share of the objective's variance over the space that a
    parameter explains; the shares sum to 1. Empty below 4 complete trials.
    """
    # Not at the top: the summary of every run imports this module, and Optuna takes a second.
    import optuna
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances
    from optuna.trial import create_trial

    distributions = searched(run)
    names = list(distributions)
    study = optuna.create_study()
    for row in run.complete[[*names, "val_mse"]].to_dict("records"):
        value = row.pop("val_mse")
        study.add_trial(create_trial(params=row, distributions=distributions, value=value))
    if len(study.trials) < 4:
        return pd.DataFrame(columns=["parameter", "importance"])
    shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0), params=names)
    return pd.DataFrame(shares.items(), columns=["parameter", "importance"])


def searched(run: SearchRun) -> dict[str, Any]:
    """Return Optuna's distributions of the searched parameters by name."""
    from optuna.distributions import json_to_distribution  # as in `importance`

    space = run.search["space"]
    return {name: json_to_distribution(json.dumps(space[name])) for name in space}


def front(run: SearchRun) -> pd.DataFrame:
    """Return the Pareto front by code size.

    A complete trial is on it unless another has a smaller code and no larger MSE.
    """
    ordered = run.complete.sort_values(["code_size", "val_mse", "number"])
    least = ordered["val_mse"].cummin().shift(fill_value=np.inf)
    return ordered[ordered["val_mse"] < least].reset_index(drop=True)


def references(run: SearchRun) -> pd.DataFrame:
    """Return the MSE of PCA with the trials' code sizes, Wiener, oracle ... (ERROR_COLUMNS)."""
    path = run.path / "references_by_size.parquet"
    return pd.read_parquet(path) if path.exists() else typed_table([], ERROR_COLUMNS)


@dataclass(frozen=True)
class Answer:
    """The code size with the least validation MSE, and its gain over the paper's.

    `gain` is the effect of PAPER_CODE over `code_size` on validation MSE, paired by seed, for the
    seeds that took no part in the choice (`fresh`; for all seeds if fewer than two took no part);
    None if the paper's size is the chosen one, or not in the space. All seeds share the search's
    split. `smallest_near` is the smallest code within 1 % of the best MSE; `at_edge` is whether the
    chosen one is at an end of the searched range.
    test_mse and paper_test_mse are means over all seeds.
    """

    code_size: int
    val_mse: float
    smallest_near: int
    at_edge: bool
    gain: Effect | None
    seeds: tuple[int, ...]
    fresh: bool
    test_mse: float
    paper_test_mse: float


def answer(run: SearchRun) -> Answer | None:
    """Return the answer of a search; None if the chosen setting is not tested yet."""
    chosen = run.config.get("chosen")
    if chosen is None or run.complete.empty:
        return None
    val, test = run.by_seed(chosen["members"]), run.by_seed(chosen["members"], "test_mse")
    if test.isna().all() or test.empty:
        return None
    paper = run.by_seed(chosen["paper"]).reindex(val.index)
    unseen = [seed for seed in val.index if seed >= run.search["seeds"]]
    fresh = len(unseen) > 1
    counted = unseen if fresh else list(val.index)
    gains = np.log(paper / val).loc[counted].dropna()
    best = run.complete["val_mse"].min()
    near = run.complete[run.complete["val_mse"] <= (1 + NEAR) * best]
    sizes = searched(run)["code_size"]
    return Answer(
        code_size=chosen["code_size"],
        val_mse=float(val.loc[counted].mean()),
        smallest_near=int(near["code_size"].min()),
        at_edge=not EDGE * sizes.low < chosen["code_size"] < sizes.high / EDGE,
        gain=effect_of(gains, overlap=0.0) if len(gains) else None,
        seeds=tuple(map(int, counted)),
        fresh=fresh,
        test_mse=float(test.mean()),
        paper_test_mse=float(run.by_seed(chosen["paper"], "test_mse").mean()),
    )


def answer_text(found: Answer) -> str:
    """Return the answer in sentences."""
    seeds = f"{len(found.seeds)} seeds{' that did not choose it' if found.fresh else ''}"
    text = (
        f"Validation MSE is least with a code of {found.code_size} units: {found.val_mse:.4f} "
        f"({seeds})."
    )
    if found.at_edge:
        text += " That is at the edge of the range that was searched: the best may lie beyond it."
    test = f"On the test rows: {found.test_mse:.4f}"
    if found.gain is not None:
        text += (
            f" With the paper's {PAPER_CODE} units it changes by {found.gain.shown}; all seeds "
            "share one split, so this leaves out the spread from split to split."
        )
        test += f" and {found.paper_test_mse:.4f} with {PAPER_CODE}"
    near = (
        f"The smallest code within {100 * NEAR:.0f} % of the best has {found.smallest_near} units."
    )
    return f"{text} {near} {test}."
