r"""Weights of rows as users have them: how many rows a row counts for.

Two things are called weights. A *frequency* says how many equal rows one stands for: 3 is three rows. A *sampling weight* is one over
the probability with which a row came into the table: 40 stands for forty people of whom one was asked, and tells as much as one. What
proportions mean is the same; what differs is how much is known. So weights are taken as they are, their sum being the number of rows,
by which a fit with whole numbers is one with repeated rows; and :func:`sampling_weights` brings sampling weights to a sum of what they
tell, the effective number of rows of Kish 1965 ("Survey Sampling", section 11.7),

    n_eff = (sum w)^2 / sum w^2,

the number of equally weighted rows whose mean has the variance that the weighted mean has, where weights are unrelated to the values.
Weights w sum w / sum w^2 add to it. Bootstraps tell the two apart: where all weights are whole numbers they are frequencies, else each
row was seen once (:mod:`pyro_mnar.infer.ensembles`).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyro_mnar.data.warn import warn

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

#: A mean of whole numbers from which on they are hardly counts, and how far a sum of others may lie from what they tell.
_MANY, _OFF = 100.0, 0.01


def row_weights(
    given: ArrayLike | None, count: int, labels: Sequence[Hashable] | None = None, name: str = "sample_weight"
) -> np.ndarray:
    """Return weights of ``count`` rows, (N,) float64, above 0; of none, 1 each.

    Args:
        given: one number for each row.
        count: N.
        labels: what rows are called; their positions by default.
        name: what they are called in errors.

    Raises:
        ValueError: for another number of them, a Series in another order, or one that is zero, negative, NaN or infinite; names the
            row.

    Example:
        >>> row_weights([2, 0.5], 2).tolist()
        [2.0, 0.5]
    """
    if given is None:
        return np.ones(count)
    check_order(name, given, labels)
    try:
        weights = np.array(given, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: got values that are no numbers, expected {count} numbers above 0, one for each row") from None
    if weights.ndim != 1:
        raise ValueError(f"{name}: got shape {weights.shape}, expected ({count},): Sample weights must be 1D array or scalar")
    if len(weights) != count:
        raise ValueError(f"{name}: got {len(weights)}, expected {count}, one for each row")
    wrong = ~(np.isfinite(weights) & (weights > 0))
    if wrong.any():
        i = int(wrong.argmax())
        row = i if labels is None else labels[i]
        raise ValueError(f"{name}: got {weights[i]:g} in row {row}, expected a finite number above zero (leave the row out for 0)")
    return weights


def check_order(name: str, given: object, labels: Sequence[Hashable] | None) -> None:
    """Refuse a Series that has the ``labels`` of a table's rows in another order: it is read by position, and would be another row's.

    Raises:
        ValueError: naming the argument.

    Example:
        >>> from pandas import Series
        >>> check_order("weights", Series([1.0, 2.0], index=["a", "b"]), ["b", "a"])
        Traceback (most recent call last):
        ValueError: weights: got the rows' labels in another order, expected that of the table (weights.loc[table.index])
    """
    if labels is None or not hasattr(given, "iloc"):
        return
    own = list(given.index)  # type: ignore[attr-defined]  # of a Series
    if own != list(labels) and len(own) == len(labels) and len(set(own)) == len(own) and set(own) == set(labels):
        raise ValueError(f"{name}: got the rows' labels in another order, expected that of the table ({name}.loc[table.index])")


def effective_rows(weights: np.ndarray) -> float:
    """Return Kish's effective number of rows of ``weights`` (N,).

    Example:
        >>> round(effective_rows(np.array([3.0, 1.0])), 6)
        1.6
    """
    relative = weights / weights.max()
    return float(relative.sum() ** 2 / np.square(relative).sum())


def sampling_weights(weights: ArrayLike) -> np.ndarray:
    """Return sampling weights, 1 over a row's probability of being in the table, as ``fit`` takes them, (N,): adding to what they tell.

    Args:
        weights: (N,) above 0, on any scale.

    Raises:
        ValueError: for a weight that is none, naming the row.

    Example:
        >>> sampling_weights([120.0, 40.0]).round(6).tolist(), sampling_weights([7.0, 7.0]).tolist()
        ([1.2, 0.4], [1.0, 1.0])
    """
    own = row_weights(weights, len(np.atleast_1d(np.asarray(weights))), name="weights")
    return own * (effective_rows(own) / own.sum())


def warn_of_scale(weights: np.ndarray) -> None:
    """Warn where the sum of ``weights`` (N,) can hardly be meant as a number of rows."""
    total, told, count = float(weights.sum()), effective_rows(weights), len(weights)
    whole = bool((weights == np.rint(weights)).all())
    if total < (1 - _OFF) * told or total > count * (_MANY if whole else 1 + _OFF):
        warn(
            f"sample_weight: adds to {total:.6g} for {count} rows, and is taken for as many rows; sampling weights tell as much as "
            f"{told:.6g} (pyro_mnar.data.sampling_weights brings them to that)"
        )
