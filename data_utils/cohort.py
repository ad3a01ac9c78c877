"""The simulated GTEx-like cohort: a mixture of Gaussians over tissue sites and sample classes.

A sample belongs to a site t and to a class k (clean, ordinary, disturbed), and is, in log2 units,

    x = mu_t + s_k F h + r_k sqrt(d) * e,      h ~ N(0, I_R),  e ~ N(0, I_genes)               (1)

mu_t is the mean of the site (of low rank, plus genes that only one tissue turns on or off), F
holds the factors that genes share, d is the variance of each gene on its own. The classes give
heavy tails. The posterior mean of a mixture of Gaussians is known exactly (data_utils/oracle.py):
no denoiser, of any size, has a smaller expected squared error on this cohort. A non-linear step or
a clip at 0 after the draw would break that, so there is none.

Donors are only labels: values do not depend on them, so rows are independent given their sites.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from data_utils.expression import ExpressionMatrix

LANDMARKS = Path(__file__).with_name("landmark_genes.csv")
#: What to add wherever the mixture of Wiener filters is compared on this cohort.
FLATTERED = (
    "The simulated cohort is itself a mixture of Gaussians, the form that the mixture of Wiener "
    "filters assumes: on other data it may gain less."
)

# Samples of each tissue site in GTEx V6. The 53 sites are of 31 tissues: each group below (0-based)
# is one tissue, and every other site is a tissue of its own.
SITE_SIZES = np.array(
    [
        *(430, 393, 357, 350, 332, 323, 320, 304, 286, 284, 250, 247, 227, 224, 218, 214, 196, 194),
        *(193, 172, 171, 153, 149, 145, 133, 125, 119, 118, 117, 114, 113, 108, 106, 105, 104, 103),
        *(97, 97, 96, 96, 94, 88, 84, 83, 72, 71, 63, 57, 32, 11, 6, 6, 5),
    ]
)
SITES_OF_ONE_TISSUE = (
    # thirteen sites of middle size, like the brain's
    (25, 28, 29, 30, 31, 33, 36, 39, 40, 42, 44, 45, 46),
    *((2, 9, 10), (4, 13, 24), (8, 11, 21)),
    *((3, 12), (14, 17), (16, 22), (50, 52)),
)

#: Eigenvalues of the part between sites, before genes are scaled; they sum to about 1.
BETWEEN_SPECTRUM = np.r_[
    0.29, 0.17, 0.15, np.geomspace(0.077, 0.025, 7), np.geomspace(0.0105, 0.001, 10)
]
#: Share of the variance between sites that sites of one tissue have in common.
RELATED_SITES = 0.75
#: Degrees of freedom of the t-distributed tissue scores: a few tissues stand out, as blood does.
SITE_TAIL = 3
#: Share of the genes that one tissue turns on or off; range of that tissue's share in such a gene's
#: variance between sites; and largest z-score of a gene that is turned on (1) or off (-1).
SPECIFIC_GENES = 0.18
SPECIFIC_SHARE = (0.1, 0.8)
SPECIFIC_HIGHEST = {1: 11.0, -1: 6.0}

#: Factors within sites: many, so that eigenvalues decay smoothly after the 20 of the sites.
WITHIN_RANK = 160
WITHIN_DECAY = 1.2  # the j-th factor has variance j ** -WITHIN_DECAY
WITHIN_SHARED = 0.40  # of a gene's variance within sites, the share that factors carry
WITHIN_ALIKE = 0.6  # likeness (squared cosine) of the first factors to the directions between sites

CLASS_PROBABILITY = np.array([0.60, 0.34, 0.06])  # clean, ordinary, disturbed
CLASS_FACTOR_SCALE = np.array([0.70, 1.10, 2.20])  # s_k, brought to E[s^2] = 1
CLASS_NOISE_SCALE = np.array([0.85, 1.10, 1.60])  # r_k, brought to E[r^2] = 1

HIGHEST_MEAN = 13.0  # log2 units: no site has a higher mean of a gene
#: Values are rounded to it, in log2 units, so that last-bit differences between machines vanish.
GRID = 2.0**-10
DONOR_SAMPLES = 15.7  # samples per donor in V6


@dataclass(frozen=True, eq=False)
class SiteMixture:
    """Equation (1) with its numbers: T sites, K classes, R factors; float64, log2 units."""

    site_probability: np.ndarray  # (T,), sums to 1; 0 for a site without samples
    site_means: np.ndarray  # (T, genes)
    factors: np.ndarray  # (genes, R)
    gene_variance: np.ndarray  # (genes,), above 0
    class_probability: np.ndarray  # (K,)
    factor_scale: np.ndarray  # (K,)
    noise_scale: np.ndarray  # (K,)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and the variance of each gene in the population, (genes,) each."""
        mean = self.site_probability @ self.site_means
        between = self.site_probability @ (self.site_means - mean) ** 2
        shared = (self.class_probability @ self.factor_scale**2) * (self.factors**2).sum(1)
        own = (self.class_probability @ self.noise_scale**2) * self.gene_variance
        return mean, between + shared + own

    def sample(self, sites: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw one row for each entry of sites (integers below T): (samples, genes)."""
        n, k = len(sites), len(self.class_probability)
        classes = rng.choice(k, size=n, p=self.class_probability)
        h = rng.standard_normal((n, self.factors.shape[1])) * self.factor_scale[classes, None]
        e = rng.standard_normal((n, len(self.gene_variance))) * self.noise_scale[classes, None]
        return self.site_means[sites] + h @ self.factors.T + e * np.sqrt(self.gene_variance)

    def standardised(self, centre: np.ndarray, scale: np.ndarray) -> SiteMixture:
        """Return the same population in units z = (x - centre) / scale, a mixture, too."""
        return replace(
            self,
            site_means=(self.site_means - centre) / scale,
            factors=self.factors / scale[:, None],
            gene_variance=self.gene_variance / scale**2,
        )


@dataclass(frozen=True, eq=False)
class Cohort:
    """A simulated cohort and the population that it was drawn from.

    matrix: log2 scale; samples have site, tissue and donor, genes gene_symbol and probe_id.
    """

    matrix: ExpressionMatrix
    mixture: SiteMixture


def cohort_targets() -> pd.DataFrame:
    """Return GTEx's properties next to the simulated cohort's, of 2,921 samples and seed 0.

    Columns: property and at (its quantile, number of components or noise factor), as text; gtex;
    lowest and highest, between which the cohort has to be; simulated. GTEx's values are those of a
    published factor model of V6 with z-scored genes.
    """
    path = Path(__file__).with_name("cohort_targets.csv")
    return pd.read_csv(path, dtype={"property": str, "at": str})


def simulate_cohort(n_samples: int = 2921, seed: int = 0) -> Cohort:
    """Draw a cohort of n_samples x 943, with the same bits for a seed on every machine.

    The means, factors and noise of the population depend only on the seed, so a smaller cohort is
    another draw of the same population. Sites have samples in proportion to their sizes in GTEx V6:
    the smallest are empty below about 850 samples. Rows are in random order.
    """
    genes = pd.read_csv(LANDMARKS, index_col="ensembl_id")[["gene_symbol", "probe_id"]]
    streams = np.random.SeedSequence(seed).spawn(2)
    population, rows = (np.random.Generator(np.random.PCG64(stream)) for stream in streams)
    counts = _proportional_counts(n_samples)
    mixture = _draw_mixture(len(genes), counts / n_samples, population)
    sites = rows.permutation(np.repeat(np.arange(len(counts)), counts))
    values = np.round(mixture.sample(sites, rows) / GRID) * GRID
    labels = _sample_labels(sites, rows)
    matrix = ExpressionMatrix(
        values=values.astype(np.float32),
        sample_ids=labels.index.to_numpy(dtype=object),
        gene_ids=genes.index.to_numpy(dtype=object),
        sample_labels=labels,
        gene_labels=genes,
    )
    return Cohort(matrix, mixture)


def _proportional_counts(n_samples: int) -> np.ndarray:
    """Return whole samples of each site, (T,), in proportion to V6 (largest remainder)."""
    exact = SITE_SIZES * n_samples / SITE_SIZES.sum()
    counts = np.floor(exact).astype(int)
    largest = np.argsort(counts - exact, kind="stable")[: n_samples - counts.sum()]
    counts[largest] += 1
    return counts


def _tissue_of_site() -> np.ndarray:
    """Return the tissue of each site, numbered by first appearance: (T,) integers below 31."""
    first = np.arange(len(SITE_SIZES))
    for group in SITES_OF_ONE_TISSUE:
        first[list(group)] = group[0]
    return np.unique(first, return_inverse=True)[1]


def _site_names() -> np.ndarray:
    """Name each site by its tissue, as GTEx does: (T,) texts.

    No site imitates a real tissue, so none has a real tissue's name.
    """
    tissues = _tissue_of_site()
    names = []
    for site, tissue in enumerate(tissues):
        name, number = f"simulated tissue {tissue + 1}", np.sum(tissues[: site + 1] == tissue)
        names.append(f"{name} - site {number}" if np.sum(tissues == tissue) > 1 else name)
    return np.array(names, dtype=object)


def _sample_labels(sites: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """Label the samples; a donor gives at most one sample of a site."""
    largest = np.bincount(sites).max()
    n_donors = max(int(np.ceil(len(sites) / DONOR_SAMPLES)), largest)
    donors = np.empty(len(sites), dtype=int)
    for site in np.unique(sites):
        rows = np.flatnonzero(sites == site)
        donors[rows] = rng.permutation(n_donors)[: len(rows)]
    return pd.DataFrame(
        {
            "site": _site_names()[sites],
            "tissue": [f"simulated tissue {t + 1}" for t in _tissue_of_site()[sites]],
            "donor": [f"SIM-donor-{d + 1:03d}" for d in donors],
        },
        index=pd.Index([f"SIM-{i + 1:04d}" for i in range(len(sites))], name="sample_id"),
    )


def _draw_mixture(
    n_genes: int, site_probability: np.ndarray, rng: np.random.Generator
) -> SiteMixture:
    """Draw the population in units of a gene's standard deviation, then convert to log2 units."""
    # not site_probability: the means may not depend on n_samples
    prior = SITE_SIZES / SITE_SIZES.sum()
    logit = np.clip(0.32 + 0.68 * rng.standard_normal(n_genes), -2, 2.2)
    between = 1 / (1 + np.exp(-logit))  # share of a gene's variance between sites, (genes,)
    programmes = rng.standard_normal((n_genes, len(BETWEEN_SPECTRUM)))
    means = _with_variance(_site_patterns(programmes, prior, between, rng), prior, between)
    loadings = rng.standard_normal((n_genes, WITHIN_RANK))
    # Genes that differ together between sites also vary together within them: both come from the
    # same kinds of cells in other proportions.
    first = slice(len(BETWEEN_SPECTRUM))
    own = np.sqrt(1 - WITHIN_ALIKE) * loadings[:, first]
    loadings[:, first] = np.sqrt(WITHIN_ALIKE) * programmes + own
    loadings *= np.arange(1, WITHIN_RANK + 1) ** (-WITHIN_DECAY / 2)
    shared = np.clip(WITHIN_SHARED + 0.1 * rng.standard_normal(n_genes), 0.05, 0.8) * (1 - between)
    factors = loadings * np.sqrt(shared / (loadings**2).sum(1))[:, None]
    variance = 1 - between - shared
    s, r = (v / np.sqrt(CLASS_PROBABILITY @ v**2) for v in (CLASS_FACTOR_SCALE, CLASS_NOISE_SCALE))
    # The lowest site is 8 standard deviations above 0, so no negative log2 values are expected.
    level = 8 * np.sqrt(shared + variance) - means.min(0) + np.abs(rng.standard_normal(n_genes))
    deviation = np.exp(-0.3 + 0.2 * rng.standard_normal(n_genes))  # of a gene, in log2 units
    deviation = np.minimum(deviation, HIGHEST_MEAN / (level + means.max(0)))
    return SiteMixture(
        site_probability=site_probability,
        site_means=(level + means) * deviation,
        factors=factors * deviation[:, None],
        gene_variance=variance * deviation**2,
        class_probability=CLASS_PROBABILITY,
        factor_scale=s,
        noise_scale=r,
    )


def _with_variance(values: np.ndarray, prior: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Centre and scale columns of values (T, genes) to a variance over sites weighted by prior."""
    centred = values - prior @ values
    return centred * np.sqrt(variance / (prior @ centred**2))


def _site_patterns(
    programmes: np.ndarray, prior: np.ndarray, between: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw the sites' means, (T, genes), up to a gene's scale: rank 20, and genes of one tissue."""
    tissue = _tissue_of_site()
    n_genes, rank = programmes.shape
    common = rng.standard_t(SITE_TAIL, (tissue.max() + 1, rank))[tissue]
    own = rng.standard_normal((len(prior), rank))
    scores = np.sqrt(RELATED_SITES) * common + np.sqrt(1 - RELATED_SITES) * own
    scores = scores - prior @ scores
    # Orthonormal over samples (weights prior): the spectrum gives the eigenvalues between sites.
    root = np.linalg.cholesky((scores * prior[:, None]).T @ scores)
    scores = np.linalg.solve(root, scores.T).T
    patterns = _with_variance(
        scores @ (programmes * np.sqrt(BETWEEN_SPECTRUM)).T, prior, np.ones(n_genes)
    )
    weight = np.bincount(tissue, prior)
    for gene in np.flatnonzero(rng.random(n_genes) < SPECIFIC_GENES):
        chosen = rng.integers(len(weight))
        sign = 1 if rng.random() < 0.6 else -1
        # A gene that is on in a share w of the samples is sqrt(share * between * (1 - w) / w) above
        # its mean in these.
        w = weight[chosen]
        highest = SPECIFIC_HIGHEST[sign] ** 2 * w / (1 - w) / between[gene]
        share = min(rng.uniform(*SPECIFIC_SHARE), highest)
        mark = _with_variance((tissue == chosen)[:, None] * 1.0, prior, np.ones(1))[:, 0]
        patterns[:, gene] = np.sqrt(1 - share) * patterns[:, gene] + sign * np.sqrt(share) * mark
    return patterns
