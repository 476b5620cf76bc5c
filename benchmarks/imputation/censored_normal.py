"""A multivariate normal fitted and imputed by Gibbs sampling, its missing cells censored where the direction is known."""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr, ndtri_exp
from scipy.stats import invwishart


def censored_normal(
    values: np.ndarray, seed: int, draws: int = 200, direction: str | None = None, burn_in: int = 4000, kept: int = 4000
) -> tuple[np.ndarray, np.ndarray]:
    """Impute with a normal of unknown mean and full covariance; return the mean of ``kept`` sweeps and ``draws`` of them.

    The prior is flat in the mean and inverse Wishart with D + 2 degrees of freedom and scale .1 I, in observed standard deviations;
    thousands of sweeps, since thirty columns mix slowly.
    Each sweep draws mean and covariance given the completed table, then the missing cells of one column after the other from their
    normal law given the rest of the row, truncated to beyond the column's outermost observed value where ``direction`` is ``high`` or
    ``low``.
    """
    if kept < draws:
        raise ValueError(f"draws: got {draws}, expected at most kept = {kept}")
    rng = np.random.default_rng(seed)
    mask = ~np.isnan(values)
    center, spread = np.nanmean(values, 0), np.nanstd(values, 0)
    spread = np.where(spread > 0, spread, 1.0)
    sign = -1.0 if direction == "low" else 1.0
    # Turned so that what is missing is large.
    z = sign * (values - center) / spread
    n, d = z.shape
    edge = np.nanmax(z, 0)
    holes = [(j, np.flatnonzero(~mask[:, j]), edge[j] if direction else -np.inf) for j in range(d) if not mask[:, j].all()]
    for j, rows, _ in holes:
        z[rows, j] = 2 * edge[j] if direction else 0.0
    total, sampled = np.zeros_like(z), []
    for sweep in range(burn_in + kept):
        mean, precision = _parameters(z, rng)
        for j, rows, beyond in holes:
            scale = precision[j, j] ** -0.5
            residual = z[rows] - mean
            # The row's own value drops out of the sum, so that its weight need not be set to zero.
            location = mean[j] - (residual @ precision[j] - residual[:, j] * precision[j, j]) / precision[j, j]
            z[rows, j] = location + scale * _normal_above((beyond - location) / scale, rng)
        if sweep >= burn_in:
            total += z
            # Evenly spread over the kept sweeps.
            if (sweep - burn_in + 1) * draws // kept > len(sampled):
                sampled.append(z.copy())
    completed, drawn = (np.where(mask, values, sign * part * spread + center) for part in (total / kept, np.stack(sampled)))
    return completed, drawn


def _parameters(z: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the mean (D,) and the precision (D, D) given the completed table (N, D)."""
    n, d = z.shape
    average = z.mean(0)
    scatter = (z - average).T @ (z - average) + 0.1 * np.eye(d)
    covariance = np.atleast_2d(invwishart.rvs(df=n + d + 1, scale=scatter, random_state=rng))
    return rng.multivariate_normal(average, covariance / n, method="cholesky"), np.linalg.inv(covariance)


def _normal_above(bound: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw standard normals above ``bound``, by inversion in log space, which holds far out in the tail."""
    return -ndtri_exp(np.log1p(-rng.random(bound.shape)) + log_ndtr(-bound))


def normal(values: np.ndarray, seed: int, draws: int = 200, direction: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Impute with the same sampler, nothing censored: ignorable missingness."""
    return censored_normal(values, seed, draws, None)
