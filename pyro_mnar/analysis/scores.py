"""Scores of imputed cells against the values that were hidden: of the missing cells alone, pooled over a table, or row by row.

Arrays of other shapes than are said are a ValueError: numpy would compare each cell with every other.
"""

from __future__ import annotations

import numpy as np


def rmse(point: np.ndarray, truth: np.ndarray) -> float:
    """Return the root mean squared error of point imputations (C,) of hidden values (C,).

    Example:
        >>> rmse(np.array([1.0, 3.0]), np.array([0.0, 3.0])) ** 2
        0.5000000000000001
    """
    _check_shapes("point", point, truth)
    return float(np.sqrt(np.mean((point - truth) ** 2)))


def crps(draws: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean continuous ranked probability score of ``draws`` (M, C), by the fair ensemble formula.

    ``mean |X - y| - mean over pairs of distinct draws |X - X'| / 2``, unbiased in M (Ferro, "Fair scores for ensemble forecasts",
    Quarterly Journal of the Royal Meteorological Society 140, 2014). A point method's score is its absolute error.

    Example:
        >>> crps(np.array([[0.0], [2.0]]), np.array([1.0]))
        0.0
    """
    _check_draws(draws, truth)
    m = len(draws)
    error = np.abs(draws - truth).mean(0)
    if m == 1:
        return float(error.mean())
    # Over sorted draws the sum of |X_i - X_j| over all pairs is a weighted sum.
    weight = 2 * np.arange(m) - m + 1
    spread = (np.sort(draws, 0) * weight[:, None]).sum(0) * 2 / (m * (m - 1))
    return float((error - spread / 2).mean())


def brier(draws: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean Brier score of ``draws`` (M, C) of categories, by the fair ensemble formula; from 0, and at most 2.

    The sum over categories of the squared distance between their share of the draws and 1 or 0 (Brier, "Verification of forecasts
    expressed in terms of probability", Monthly Weather Review 78, 1950), less what that gains by the draws' own noise: unbiased in M.
    It is twice the score that :func:`crps` is, with the distance 1 between two categories.

    Args:
        draws: (M, C) numbers or words.
        truth: (C,) hidden ones.

    Example:
        >>> brier(np.array([["a"], ["b"]]), np.array(["a"])), brier(np.array([["a"]]), np.array(["b"]))
        (0.0, 2.0)
    """
    _check_draws(draws, truth)
    m = len(draws)
    wrong = (draws != truth).mean(0)
    if m == 1:
        return float(2 * wrong.mean())
    shares = np.stack([(draws == level).mean(0) for level in np.unique(draws)])
    apart = (1 - np.square(shares).sum(0)) * m / (m - 1)
    return float((2 * wrong - apart).mean())


def coverage(draws: np.ndarray, truth: np.ndarray, level: float) -> float:
    """Return the share of hidden values (C,) inside the central interval of ``draws`` (M, C) at ``level``.

    Example:
        >>> coverage(np.linspace(0, 1, 101)[:, None], np.array([0.7]), 0.5)
        1.0
    """
    _check_draws(draws, truth)
    low, high = _central(draws, level)
    return float(((truth >= low) & (truth <= high)).mean())


def interval_width(draws: np.ndarray, level: float) -> float:
    """Return the mean width of the central intervals of ``draws`` (M, C) at ``level``.

    Example:
        >>> interval_width(np.linspace(0, 1, 101)[:, None], 0.5)
        0.5
    """
    low, high = _central(draws, level)
    return float((high - low).mean())


def interval_score(draws: np.ndarray, truth: np.ndarray, level: float) -> float:
    """Return the mean interval score of the central intervals of ``draws`` (M, C) at ``level``; less is better.

    The width, plus 2 / (1 - level) times the distance by which a hidden value (C,) lies outside (Gneiting and Raftery, "Strictly
    proper scoring rules, prediction, and estimation", Journal of the American Statistical Association 102, 2007).

    Example:
        >>> interval_score(np.linspace(0, 1, 101)[:, None], np.array([1.0]), 0.5)
        1.5
    """
    _check_draws(draws, truth)
    low, high = _central(draws, level)
    outside = np.maximum(low - truth, 0) + np.maximum(truth - high, 0)
    return float((high - low + 2 / (1 - level) * outside).mean())


def energy_score(draws: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Return the mean energy score of rows over their missing cells; less is better.

    mean ||X - y|| - mean over pairs of distinct draws ||X - X'|| / 2, the CRPS of vectors (Gneiting and Raftery 2007), unbiased in M.
    Unlike :func:`crps` it sees how the cells of a row go together. A point method's score is its distance.

    Args:
        draws: (M, N, D).
        truth: (N, D).
        mask: (N, D), True = observed; rows without holes do not count.

    Example:
        >>> energy_score(np.array([[[3.0, 4.0]]]), np.zeros((1, 2)), np.zeros((1, 2), bool))
        5.0
    """
    from scipy.spatial.distance import pdist

    _check_shapes("mask", mask, truth)
    _check_shapes("draws", draws[0], truth)
    scores = []
    for row in np.flatnonzero(~mask.all(1)):
        holes = ~mask[row]
        cells = draws[:, row, holes]
        error = np.linalg.norm(cells - truth[row, holes], axis=1).mean()
        scores.append(error - (pdist(cells).mean() / 2 if len(cells) > 1 else 0.0))
    return float(np.mean(scores))


def _check_draws(draws: np.ndarray, truth: np.ndarray) -> None:
    if np.ndim(draws) != 2 or not len(draws) or np.shape(draws)[1:] != np.shape(truth):
        raise ValueError(f"draws: got shape {np.shape(draws)} for truth of shape {np.shape(truth)}, expected (M, C) and (C,)")


def _check_shapes(name: str, given: np.ndarray, truth: np.ndarray) -> None:
    if np.shape(given) != np.shape(truth):
        raise ValueError(f"{name}: got shape {np.shape(given)}, expected that of truth, {np.shape(truth)}")


def _central(draws: np.ndarray, level: float) -> np.ndarray:
    if not 0 < level < 1:
        raise ValueError(f"level: got {level}, expected a number between 0 and 1")
    return np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
