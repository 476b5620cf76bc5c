"""Imputers that know nothing of the mechanism: constants, and scikit-learn's.

Every method of the benchmark takes a table (N, D) with NaN, a seed, the number of draws and the known direction (None: there is none),
and returns the completed table and its draws (draws, N, D), or None for a method without. One that can be fitted to other rows than it
imputes takes these as ``train`` (M, D), by default the table itself.
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer

Completed = tuple[np.ndarray, np.ndarray | None]


def mean(values: np.ndarray, seed: int, draws: int = 200, direction: str | None = None, train: np.ndarray | None = None) -> Completed:
    """Fill with the mean of the column's observed values; draws are observed values of the column."""
    fitted = values if train is None else train
    rng = np.random.default_rng(seed)
    drawn = np.repeat(values[None], draws, 0)
    for j, (column, known) in enumerate(zip(values.T, fitted.T, strict=True)):
        holes = np.isnan(column)
        drawn[:, holes, j] = rng.choice(known[~np.isnan(known)], (draws, holes.sum()))
    return _filled(values, np.nanmean(fitted, 0)), drawn


def zero(values: np.ndarray, seed: int, draws: int = 200, direction: str | None = None) -> Completed:
    """Fill with zero: the true mean, which the protocol leaks by standardizing before values go missing."""
    return _filled(values, np.zeros(values.shape[1])), None


def constant(values: np.ndarray, seed: int, draws: int = 200, direction: str | None = None) -> Completed:
    """Fill with the observed mean mirrored at the outermost observed value, 2 max - mean (``low``: 2 min - mean)."""
    outermost = np.nanmin(values, 0) if direction == "low" else np.nanmax(values, 0)
    return _filled(values, 2 * outermost - np.nanmean(values, 0)), None


def knn(
    values: np.ndarray,
    seed: int,
    draws: int = 200,
    direction: str | None = None,
    neighbors: int = 5,
    train: np.ndarray | None = None,
) -> Completed:
    """Mean of the nearest rows that have the value."""
    return KNNImputer(n_neighbors=neighbors).fit(values if train is None else train).transform(values), None


def mice(
    values: np.ndarray,
    seed: int,
    draws: int = 200,
    direction: str | None = None,
    rounds: int = 10,
    chains: int = 10,
    train: np.ndarray | None = None,
) -> Completed:
    """Chained Bayesian ridge regressions; draws by ``sample_posterior``, an equal share from each of ``chains`` fits."""
    completed = _chained(values, train, max_iter=rounds, random_state=seed)[0]
    drawn = []
    for chain in range(chains):
        seeds = seed * chains + chain
        share = draws // chains + (chain < draws % chains)
        drawn += _chained(values, train, repeats=share, max_iter=rounds, random_state=seeds, sample_posterior=True)
    return completed, np.stack(drawn)


def missforest(
    values: np.ndarray,
    seed: int,
    draws: int = 200,
    direction: str | None = None,
    rounds: int = 10,
    trees: int = 100,
    train: np.ndarray | None = None,
) -> Completed:
    """Chained random forests."""
    forest = RandomForestRegressor(n_estimators=trees, n_jobs=1, random_state=seed)
    return _chained(values, train, estimator=forest, max_iter=rounds, random_state=seed)[0], None


def _chained(values: np.ndarray, train: np.ndarray | None, repeats: int = 1, **settings: object) -> list[np.ndarray]:
    # A complete column needs no regression where these rows are all that are imputed; others may have holes in it.
    imputer = IterativeImputer(skip_complete=train is None, **settings)
    with warnings.catch_warnings():
        # A fixed number of rounds is the recipe; scikit-learn warns when its tolerance was not reached by then.
        warnings.simplefilter("ignore", ConvergenceWarning)
        completed = [imputer.fit_transform(values) if train is None else imputer.fit(train).transform(values)]
    # Each further pass starts again from the means and draws anew.
    return completed + [imputer.transform(values) for _ in range(repeats - 1)]


def _filled(values: np.ndarray, row: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), row, values)
