"""A mixture of Gaussians over tissue sites and sample classes, and its exact posterior mean under noise.

A sample belongs to a site t and to a class k, and is

    x = mu_t + s_k F h + r_k sqrt(d) * e,      h ~ N(0, I_R),  e ~ N(0, I_genes)                       (1)

mu_t is the mean of the site, F holds the factors that genes share, d is the variance of each gene on its own.
So each of the T K components has a covariance of low rank plus diagonal, and E[clean | noisy] a closed form.
"""

from dataclasses import dataclass, replace

import numpy as np

from data_utils.noise import noise_variance


@dataclass(frozen=True, eq=False)
class SiteMixture:
    """Equation (1) with its numbers: T sites, K classes, R factors. float64, log2 units."""

    site_probability: np.ndarray  # (T,), sums to 1; 0 for a site without samples
    site_means: np.ndarray  # (T, genes)
    factors: np.ndarray  # (genes, R)
    gene_variance: np.ndarray  # (genes,), above 0
    class_probability: np.ndarray  # (K,)
    factor_scale: np.ndarray  # (K,)
    noise_scale: np.ndarray  # (K,)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of each gene in the population, (genes,) each."""
        mean = self.site_probability @ self.site_means
        between = self.site_probability @ (self.site_means - mean) ** 2
        shared = (self.class_probability @ self.factor_scale**2) * (self.factors**2).sum(1)
        return mean, between + shared + (
            self.class_probability @ self.noise_scale**2
        ) * self.gene_variance

    def sample(self, sites: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One row for each entry of sites (integers below T): (samples, genes)."""
        classes = rng.choice(len(self.class_probability), size=len(sites), p=self.class_probability)
        h = (
            rng.standard_normal((len(sites), self.factors.shape[1]))
            * self.factor_scale[classes, None]
        )
        e = (
            rng.standard_normal((len(sites), len(self.gene_variance)))
            * self.noise_scale[classes, None]
        )
        return self.site_means[sites] + h @ self.factors.T + e * np.sqrt(self.gene_variance)

    def standardised(self, centre: np.ndarray, scale: np.ndarray) -> "SiteMixture":
        """The same population in units z = (x - centre) / scale: a mixture of Gaussians stays one."""
        return replace(
            self,
            site_means=(self.site_means - centre) / scale,
            factors=self.factors / scale[:, None],
            gene_variance=self.gene_variance / scale**2,
        )

    def posterior_mean(self, noisy: np.ndarray, noise_factor: float) -> np.ndarray:
        """E[x | y] for y = x + noise_factor * N(0, 1), in the mixture's own units: (samples, genes) float64.

        Within a component c = (t, k) the posterior mean is linear (Wiener),
            E[x | y, c] = y - a^2 P_k (y - mu_t),   P_k = (s_k^2 F F' + r_k^2 diag(d) + a^2 I)^-1,
        and the components are weighed by their responsibilities p(c | y), found in log space. P_k depends on
        the class alone, so sites are averaged before it is applied: K products in all, not T K.
        """
        from scipy.special import logsumexp  # needed at a run's end, not at its start

        from data_utils.precision import Precision

        y = np.asarray(noisy, dtype=np.float64)
        if noise_factor == 0:
            return y.copy()
        precisions = [
            Precision(s * self.factors, r**2 * self.gene_variance + noise_variance(noise_factor))
            for s, r in zip(self.factor_scale, self.noise_scale, strict=True)
        ]
        with np.errstate(divide="ignore"):  # probability 0 has log weight -inf, as it should
            log_prior = np.log(self.site_probability)[:, None] + np.log(
                self.class_probability
            )  # (T, K)
        log_joint = (
            np.stack([p.log_density(y, self.site_means) for p in precisions], axis=2) + log_prior
        )
        weight = np.exp(
            log_joint - logsumexp(log_joint, axis=(1, 2), keepdims=True)
        )  # (samples, T, K)
        residual = np.zeros_like(y)
        for k, precision in enumerate(precisions):
            of_class = weight[:, :, k]  # (samples, T)
            residual += precision.apply(of_class.sum(1)[:, None] * y - of_class @ self.site_means)
        return y - noise_variance(noise_factor) * residual
