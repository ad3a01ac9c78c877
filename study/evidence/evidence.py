"""The tables of one run or several, read from their folders, from which reports are made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from data_utils.errors import InputError
from data_utils.preparation import TEST_SHARE, VALIDATION_SHARE
from models.denoisers.denoiser import ERROR_COLUMNS
from study.options import OF_INTEREST, SMALLEST
from study.run.rows import REPLICATE_COLUMNS, SAMPLE_COLUMNS, TISSUE, typed_table

GENE_COLUMNS = ["protocol", "method", "noise_factor", "gene_id", "mse"]
LABEL_COLUMNS = ["protocol", "method", "noise_factor", "label", "value", "samples", "mse"]
INFERENCE_COLUMNS = ["input", "predictor", "noise_factor", "seed", "test_mse"]
#: The first three columns name the network that was examined (study/evidence/inside.py).
CODE_COLUMNS = [
    *("model", "noise_factor", "seed", "label", "value", "unit"),
    *("samples", "activation", "spread"),
]
UNIT_GENE_COLUMNS = ["model", "noise_factor", "seed", "unit", "rank", "gene_id", "effect"]
IMAGE_COLUMNS = [
    *("model", "noise_factor", "seed", "image", "sample", "channel", "row", "column", "value")
]
#: Tables that a run may have: their columns, and how many of the first ones are the key.
_OPTIONAL = {
    "references": (ERROR_COLUMNS, 4),
    "genes": (GENE_COLUMNS, 4),
    "labels": (LABEL_COLUMNS, 5),
    "replicates": (REPLICATE_COLUMNS, 2),
    "inference": (INFERENCE_COLUMNS, 4),
    "codes": (CODE_COLUMNS, 6),
    "unit_genes": (UNIT_GENE_COLUMNS, 5),
    "conv_images": (IMAGE_COLUMNS, 8),
}
#: Columns that the tables of a run must have.
_NEEDED = {
    "members": ("member_id", "status", "noise_factor", "test_mse", "train_clean_mse"),
    "metrics": ("member_id", "epoch", "split", "metric", "noise_factor", "value"),
}
#: Entries of config.json's identity that the runs of one cohort share.
_SHARED = ("data", "split_seed", "fixed_split", "group", "groups")
#: The name of the best network of the grid `best`, which is for all noise factors, like references.
MIXTURE = "Wiener mixture"
#: Fewest groups or tissues for an interval over test samples.
FEWEST_CLUSTERS = 10
#: Inputs of predictors of the other genes, besides denoisers by name: clean or noisy landmark
#: genes, or none for the gene mean.
CLEAN_INPUT, NOISY_INPUT, NO_INPUT = "clean", "noisy", "none"
#: The predictor that was fitted to noisy landmark genes; the others are fitted to clean ones.
ON_NOISY = "ridge trained on noisy"


@dataclass(frozen=True)
class Run:
    """One run folder: its path, its config.json, and its tables."""

    path: Path
    config: dict
    members: pd.DataFrame
    metrics: pd.DataFrame

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def smallest(self) -> float:
        """The smallest effect of interest in percent."""
        return float(self.config.get("smallest_effect", SMALLEST))


@dataclass(frozen=True, eq=False)
class Evidence:
    """The tables of one cohort's runs, which have the same data and splits.

    Each table has a column `run`; a network that two runs share is kept once.

    name: of the cohort among several. members: as members.parquet, one row per network. levels: one
    row per network x noise factor that it was trained on and then tested at (by_level). across: one
    row per network x noise factor of the study, `tested_at`. references: MSE of identity, gene
    mean, PCA, Wiener, oracle by noise factor, seed and code size. genes, labels: MSE by gene, and
    by value of a sample label such as tissue, of networks (mean over seeds) and references
    ("method"; a reference's protocol is ""). replicates: number of samples in each part of each
    seed's split, and the mean square of their scaled values, which is the MSE of answering 0.
    inference: test MSE of predicting other genes from the landmark genes, by the landmarks'
    denoiser ("input") and the predictor. codes, unit_genes, conv_images: the inside of one dense
    and one conv network of each run. smallest: the smallest effect of interest in percent of MSE,
    by which verdicts are read off intervals.
    """

    name: str
    runs: tuple[Run, ...]
    members: pd.DataFrame
    levels: pd.DataFrame
    across: pd.DataFrame
    references: pd.DataFrame
    genes: pd.DataFrame
    labels: pd.DataFrame
    replicates: pd.DataFrame
    inference: pd.DataFrame
    codes: pd.DataFrame
    unit_genes: pd.DataFrame
    conv_images: pd.DataFrame
    smallest: float = SMALLEST

    @property
    def data(self) -> dict:
        """The entry of config.json about the data, which all runs share."""
        return self.runs[0].config["data"]

    @property
    def simulated(self) -> bool:
        """Whether the data are simulated."""
        return bool(self.data["simulated"])

    @property
    def fixed_split(self) -> bool:
        """Whether all seeds share one split of the samples."""
        return bool(self.runs[0].config.get("fixed_split"))

    @property
    def overlap(self) -> float:
        """Test samples per training sample (study/evidence/effects.py); 0 if all share one split.

        Validation samples are not counted: with them intervals of most pairs of learners would be
        too wide (docs/report.md). Without a table of replicates it is the ratio of the default
        shares of a split.
        """
        if self.fixed_split:
            return 0.0
        counts = self.replicates.groupby("split")["samples"].mean()
        if not {"train", "test"} <= set(counts.index):
            return TEST_SHARE / (1 - TEST_SHARE - VALIDATION_SHARE)
        return float(counts["test"] / counts["train"])

    @cached_property
    def samples(self) -> pd.DataFrame:
        """The squared error of every network on each of its own test rows (SAMPLE_COLUMNS).

        The error is a mean over genes. With one row per network x noise factor x test sample the
        table is large, so it is read only when needed.
        """
        parts, seen = [], pd.Index([])
        for run in self.runs:
            path = run.path / "samples.parquet"
            if path.exists():
                table = read_table(path, SAMPLE_COLUMNS)
                parts.append(table[~table["member_id"].isin(seen)])
                seen = seen.union(parts[-1]["member_id"].unique())
        return pd.concat(parts, ignore_index=True) if parts else typed_table([], SAMPLE_COLUMNS)

    @cached_property
    def clusters(self) -> pd.Series:
        """The cluster of each sample, which is drawn as a whole; `name` is the kind of cluster.

        Clusters (study/evidence/clusters.py) are the groups that the splits keep together, such as
        donors. Without groups they are tissues, if these are enough for an interval, else single
        samples.
        """
        path = self.runs[0].path / "split.parquet"
        if not path.exists():
            return pd.Series(dtype=object, name="sample")
        table = read_table(path, ["sample_id"]).drop_duplicates("sample_id")
        if "group" in table:
            of = table["group"].rename(self.runs[0].config.get("group") or "group")
        elif TISSUE in table and table[TISSUE].nunique() >= FEWEST_CLUSTERS:
            of = table[TISSUE]
        else:
            of = table["sample_id"].rename("sample")
        return of.set_axis(table["sample_id"].to_numpy())


def load_cohorts(
    folders: Sequence[Path | str], smallest: float | None = None
) -> tuple[Evidence, ...]:
    """Read run folders, and return one Evidence for each set of data and way of splitting them.

    Cohorts are in the order of their first folders. The smallest effect of interest is `smallest`
    or, if it is None, that of the runs. Raises InputError for a folder without a run, and if the
    runs have different ones.
    """
    cohorts: dict[tuple, list[Run]] = {}
    held = {run.path: run for run in map(load_run, folders)}.values()
    for run in held:
        cohorts.setdefault(tuple(map(run.config["identity"].get, _SHARED)), []).append(run)
    smallest = _shared_smallest(held) if smallest is None else smallest
    return tuple(
        _evidence(tuple(runs), name, smallest)
        for runs, name in zip(cohorts.values(), _names(list(cohorts.values())), strict=True)
    )


def _shared_smallest(runs: Iterable[Run]) -> float:
    """Return the smallest effect of interest of all runs. Raises InputError if they differ."""
    (value, path), *others = {run.smallest: run.path for run in runs}.items()
    if others:
        other, elsewhere = others[0]
        raise InputError(
            f"{path}: has --smallest-effect {value:g}, {elsewhere}: {other:g}: give the one for "
            "the report, --smallest-effect PERCENT"
        )
    return value


def load_evidence(folders: Sequence[Path | str]) -> Evidence:
    """Read run folders of one cohort.

    Raises InputError for folders of several cohorts, and for a folder without a run.
    """
    first, *others = load_cohorts(folders)
    if others:
        raise InputError(
            f"{others[0].runs[0].path}: has other data or another split than {first.runs[0].path}: "
            "give runs on the same data, split alike"
        )
    return first


def _names(cohorts: list[list[Run]]) -> list[str]:
    """Name each cohort by its data or, if names read alike, by the folder of its first run."""
    sources = [run.config["data"]["source"] for run, *_ in cohorts]
    names = [Path(source).name.partition(".")[0] for source in sources]
    folders = [run.name for run, *_ in cohorts]
    paths = [str(run.path) for run, *_ in cohorts]
    for found in (names, folders):
        if len({name.replace("_", " ") for name in found}) == len(found):
            return found
    return paths


def _evidence(runs: tuple[Run, ...], name: str, smallest: float) -> Evidence:
    def stacked(keys: list[str], of: Callable[[Run], pd.DataFrame]) -> pd.DataFrame:
        parts = [of(run).assign(run=run.name) for run in runs]
        return _once(pd.concat([p for p in parts if len(p)] or parts[:1], ignore_index=True), keys)

    def optional(name: str) -> pd.DataFrame:
        columns, n_keys = _OPTIONAL[name]

        def of(run: Run) -> pd.DataFrame:
            path = run.path / f"{name}.parquet"
            return read_table(path, columns) if path.exists() else typed_table([], columns)

        return stacked(columns[:n_keys], of)

    return Evidence(
        name=name,
        runs=runs,
        members=stacked(["member_id"], lambda run: run.members),
        levels=stacked(
            ["member_id", "noise_factor"], lambda run: by_level(run.members, run.metrics)
        ),
        across=stacked(
            ["member_id", "tested_at"], lambda run: across_levels(run.members, run.metrics)
        ),
        **{name: optional(name) for name in _OPTIONAL},
        smallest=smallest,
    )


def _once(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Keep the first of rows with equal keys, but prefer networks that have not failed."""
    if "status" in table:
        failed = table["status"] == "failed"
        table = pd.concat([table[~failed], table[failed]])
    return table.drop_duplicates(keys).sort_index().reset_index(drop=True)


def load_run(folder: Path | str) -> Run:
    """Read one run folder. Raises InputError for a folder without a run that has ended."""
    path = Path(folder).resolve()
    config_file = path / "config.json"
    try:
        config = json.loads(config_file.read_text("utf-8"))
        if "data" not in config or not set(_SHARED) <= config["identity"].keys():
            raise ValueError("the run's data are missing in it")
        if not OF_INTEREST.passes(config.get("smallest_effect", SMALLEST)):
            raise ValueError("its smallest_effect is no percentage")
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise _unreadable(config_file, error) from None
    tables = {
        name: read_table(path / f"{name}.parquet", needed) for name, needed in _NEEDED.items()
    }
    return Run(path, config, **tables)


def read_table(path: Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table of a run. Raises InputError if it is damaged or lacks one of these columns."""
    try:
        table = pd.read_parquet(path, page_checksum_verification=True)
        missing = [name for name in columns if name not in table]
        if missing:
            raise ValueError(f"it has no column {missing[0]}")
        return table
    except Exception as error:  # pyarrow's errors share no class
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> InputError:
    if isinstance(error, FileNotFoundError):
        way = "give the folder of a run that has ended, such as runs/paper"
        if path.suffix == ".parquet":  # of a run: its config.json was read before
            way = "finish the run with --resume"
        return InputError(f"{path}: is missing: {way}")
    reason = "".join(c if c.isprintable() else " " for c in str(error))[:120]
    return InputError(f"{path}: cannot be read ({reason}): finish the run with --resume")


def across_levels(members: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """Return one row per member x noise factor of the test, for members of any training noise.

    The columns are those of `members`, with `tested_at` and test_mse at that noise factor;
    noise_factor is that of the training (NaN for several). Members that were carried through
    several levels have no rows.
    """
    test = metrics[(metrics["metric"] == "mse") & (metrics["split"] == "test-across")]
    test = test[["member_id", "noise_factor", "value"]]
    test = test.rename(columns={"noise_factor": "tested_at", "value": "test_mse"})
    return members.drop(columns="test_mse").merge(test, on="member_id")


def by_level(members: pd.DataFrame, metrics: pd.DataFrame) -> pd.DataFrame:
    """Return one row per member x noise factor that it was trained on and then tested at.

    The columns are those of `members`; noise_factor, test_mse, train_mse and train_clean_mse (the
    MSE on clean training rows at that moment, as in the paper's scripts) are those of the level. A
    member without measurements, such as a failed one, keeps its row.
    """
    mse = metrics[metrics["metric"] == "mse"]
    test = mse[mse["split"] == "test"].rename(columns={"value": "test_mse"})
    train = mse[mse["split"] == "train"].rename(columns={"value": "train_mse"})
    clean = mse[mse["split"] == "train-clean"].rename(columns={"value": "train_clean_mse"})
    at = ["member_id", "epoch", "noise_factor"]
    levels = test[[*at, "test_mse"]].merge(train[[*at, "train_mse"]], on=at, how="left")
    levels = levels.merge(clean[[*at[:2], "train_clean_mse"]], on=at[:2], how="left")
    replaced = ["noise_factor", "test_mse", "train_mse", "train_clean_mse"]
    measured = members["member_id"].isin(levels["member_id"])
    rows = (
        members[measured].drop(columns=replaced).merge(levels.drop(columns="epoch"), on="member_id")
    )
    parts = [part for part in (rows, members[~measured]) if len(part)]
    return pd.concat(parts, ignore_index=True)[list(members.columns)] if parts else members
