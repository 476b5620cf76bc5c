"""Scores of imputed cells against the values that were hidden; all take the missing cells alone, pooled over a table."""

from __future__ import annotations

import numpy as np


def rmse(point: np.ndarray, truth: np.ndarray) -> float:
    """Return the root mean squared error of point imputations (C,) of hidden values (C,).

    Example:
        >>> rmse(np.array([1.0, 3.0]), np.array([0.0, 3.0])) ** 2
        0.5000000000000001
    """
    return float(np.sqrt(np.mean((point - truth) ** 2)))


def crps(draws: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean continuous ranked probability score of ``draws`` (M, C), by the fair ensemble formula.

    mean |X - y| - mean over pairs of distinct draws |X - X'| / 2, unbiased in M (Ferro, "Fair scores for ensemble forecasts",
    Quarterly Journal of the Royal Meteorological Society 140, 2014). A point method's score is its absolute error.

    Example:
        >>> crps(np.array([[0.0], [2.0]]), np.array([1.0]))
        0.0
    """
    m = len(draws)
    error = np.abs(draws - truth).mean(0)
    if m == 1:
        return float(error.mean())
    # Over sorted draws the sum of |X_i - X_j| over all pairs is a weighted sum.
    weight = 2 * np.arange(m) - m + 1
    spread = (np.sort(draws, 0) * weight[:, None]).sum(0) * 2 / (m * (m - 1))
    return float((error - spread / 2).mean())


def coverage(draws: np.ndarray, truth: np.ndarray, level: float) -> float:
    """Return the share of hidden values (C,) inside the central interval of ``draws`` (M, C) at ``level``.

    Example:
        >>> coverage(np.linspace(0, 1, 101)[:, None], np.array([0.7]), 0.5)
        1.0
    """
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return float(((truth >= low) & (truth <= high)).mean())
