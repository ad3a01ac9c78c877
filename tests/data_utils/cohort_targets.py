"""Statistics of GTEx and of a simulated cohort: `python -m tests.data_utils.cohort_targets`.

The figures of GTEx were measured on a published factor model of V6 (rank 20, 8,555 samples, 876
genes, real tissue labels) after z-scoring each gene. Its eigenvalues stop at the 20th by
construction, but those of real data decay smoothly; and its genes have lighter tails than real
profiles (L1000: skewness -2.7 -.16 2.5, excess kurtosis -.83 2.1 18). In these properties the
accepted ranges reach from the model towards real data.
"""

import numpy as np
import pandas as pd
from scipy.stats import kurtosis, skew
from sklearn.covariance import ledoit_wolf

from data_utils.cohort import Cohort, cohort_targets, simulate_cohort
from data_utils.oracle import posterior_mean
from data_utils.preparation import STD_OFFSET

#: property: {at: (GTEx, lowest, highest accepted)}. The model's 20 first eigenvalues have some of
#: what a smooth decay has later, and genes that mark one tissue add directions between sites.
TARGETS = {
    name: {row.at_: (row.gtex, row.lowest, row.highest) for row in rows.itertuples()}
    for name, rows in cohort_targets().rename(columns={"at": "at_"}).groupby("property", sort=False)
}
NOISE_FACTORS = (0.1, 0.3, 0.5, 0.7, 1.0)
SHRINKAGE = (0.0, 0.003, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)


def target_table(cohort: Cohort, errors: pd.DataFrame) -> pd.DataFrame:
    """Compare GTEx with the cohort: one row per figure of TARGETS.

    The columns are gtex, simulated, lowest, highest and met.

    errors is reference_errors(cohort), with rows for the noise factors 0.1, 0.5 and 1.0 at least.
    """
    figures = cohort_statistics(
        cohort.matrix.values, cohort.matrix.sample_labels["site"].to_numpy()
    )
    for name, column in {"PCA 32": "PCA 32", "Wiener": "Wiener, Ledoit-Wolf"}.items():
        figures |= {(f"{name}, MSE at alpha", str(a)): errors.loc[a, column] for a in errors.index}
    rows = {
        (name, at): (gtex, figures[name, at], low, high, low <= figures[name, at] <= high)
        for name, targets in TARGETS.items()
        for at, (gtex, low, high) in targets.items()
    }
    columns = ["gtex", "simulated", "lowest", "highest", "met"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    table.index = pd.MultiIndex.from_tuples(table.index, names=["property", "at"])
    return table


def cohort_statistics(values: np.ndarray, sites: np.ndarray) -> dict[tuple[str, str], float]:
    """Compute the figures of TARGETS, except the MSEs, of values (samples, genes) and their sites.

    Genes are z-scored first, over all samples. The part between sites is each sample's site mean.
    """
    x = np.asarray(values, dtype=np.float64)
    z = (x - x.mean(0)) / (x.std(0) + STD_OFFSET)
    _, site, counts = np.unique(sites, return_inverse=True, return_counts=True)
    means = np.stack([z[site == t].mean(0) for t in range(len(counts))])  # (T, genes)
    weighted = means * np.sqrt(counts / len(z))[:, None]
    correlation = np.corrcoef(z, rowvar=False)
    pairs = np.abs(correlation[np.triu_indices(len(correlation), 1)])
    between = np.linalg.svd(weighted, compute_uv=False) ** 2
    return {
        **_quantiles("variance between sites", (weighted**2).sum(0) / z.var(0)),
        **_top_shares("eigenvalue share", np.linalg.eigvalsh(correlation)),
        **_top_shares("between-site share", between),
        **_quantiles("absolute correlation", pairs),
        **_quantiles("skewness", skew(z)),
        **_quantiles("excess kurtosis", kurtosis(z)),
        ("z-score", "least"): float(z.min()),
        ("z-score", "greatest"): float(z.max()),
    }


def _quantiles(name: str, values: np.ndarray) -> dict[tuple[str, str], float]:
    name = f"{name}, quantile"
    return {
        (name, at): float(np.percentile(values, float(at.rstrip(" %")))) for at in TARGETS[name]
    }


def _top_shares(name: str, eigenvalues: np.ndarray) -> dict[tuple[str, str], float]:
    name = f"{name}, top"
    share = np.cumsum(np.sort(eigenvalues)[::-1]) / eigenvalues.sum()
    return {(name, at): float(share[int(at) - 1]) for at in TARGETS[name]}


def reference_errors(
    cohort: Cohort, noise_factors: tuple[float, ...] = NOISE_FACTORS, seed: int = 0
) -> pd.DataFrame:
    """Test MSE (z units) of simple denoisers and of the oracle: a row for each noise factor.

    80/20 split, z-scored on the 80; an eighth of the 80 chooses the shrinkage; one noise draw.
    """
    x = cohort.matrix.values.astype(np.float64)
    rng = np.random.Generator(np.random.PCG64(seed))
    test, train = np.split(rng.permutation(len(x)), [len(x) // 5])
    valid, fit = np.split(train, [len(x) // 10])
    centre, scale = x[train].mean(0), x[train].std(0) + STD_OFFSET
    z = (x - centre) / scale
    mixture = cohort.mixture.standardised(centre, scale)
    noise = rng.standard_normal(z.shape)
    covariance = z[train].T @ z[train] / len(train)
    fit_covariance = z[fit].T @ z[fit] / len(fit)
    ledoit = ledoit_wolf(z[train], assume_centered=True)[0]
    components = np.linalg.eigh(covariance)[1][:, -32:]  # (genes, 32)
    rows = {}
    for a in noise_factors:
        y = z[test] + a * noise[test]
        noisy_valid = z[valid] + a * noise[valid]
        candidates = {s: _wiener(_shrunk(fit_covariance, s), a, noisy_valid) for s in SHRINKAGE}
        best = min(SHRINKAGE, key=lambda s, c=candidates: _mse(c[s], z[valid]))
        guesses = {
            "identity": y,
            "PCA 32": y @ components @ components.T,
            "Wiener, Ledoit-Wolf": _wiener(ledoit, a, y),
            "Wiener, tuned": _wiener(_shrunk(covariance, best), a, y),
            "oracle": posterior_mean(mixture, y, a),
        }
        rows[a] = {name: _mse(guess, z[test]) for name, guess in guesses.items()}
    return pd.DataFrame.from_dict(rows, orient="index")


def _shrunk(covariance: np.ndarray, share: float) -> np.ndarray:
    """(1 - share) C + share * (mean variance) I."""
    genes = len(covariance)
    return (1 - share) * covariance + share * np.trace(covariance) / genes * np.eye(genes)


def _wiener(covariance: np.ndarray, noise_factor: float, noisy: np.ndarray) -> np.ndarray:
    """The best linear guess, y (C + a^2 I)^-1 C, for centred rows y."""
    return noisy @ np.linalg.solve(
        covariance + noise_factor**2 * np.eye(len(covariance)), covariance
    )


def _mse(guess: np.ndarray, clean: np.ndarray) -> float:
    return float(((guess - clean) ** 2).mean())


if __name__ == "__main__":
    drawn = simulate_cohort()
    measured = reference_errors(drawn)
    print(target_table(drawn, measured).round(4).to_string(), "\n")
    print("Test MSE by noise factor:", measured.round(4).to_string(), sep="\n")
