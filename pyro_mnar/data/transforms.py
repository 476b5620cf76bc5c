r"""From a table's numbers to a model's and back, column by column as its kind wants it.

    positive   log x
    bounded    logit(.005 + .99 (x - low) / (high - low)), so that the bounds themselves may occur
    all these, continuous and date, and counts: less their mean, over their standard deviation
    semicontinuous    the same, by mean and deviation of the values beside the one that repeats
    binary, ordinal   the level's place, less its mean, so scaled that all levels span half a unit
    categorical       the level's place

Half a unit makes the priors of slopes (:mod:`pyro_mnar.model.priors`), made for a column's standard deviations, expect about one
unit of score between lowest and highest level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pyro_mnar.data.columns import LEVELED, Column
from pyro_mnar.data.scaling import Scaling
from pyro_mnar.data.spikes import snapped

#: What is left free at each end of a bounded column's range.
_EDGE = 0.005
#: Kinds that are a normal law to a model, and those that have densities: a semicontinuous column's is one beside a value that repeats.
NORMAL = ("continuous", "positive", "bounded", "date")
REAL = (*NORMAL, "semicontinuous")
#: Kinds that are modeled by their logarithm or log-odds.
TRANSFORMED = ("positive", "bounded")


def on_line(columns: Sequence[Column], values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return ``values`` (N, D) with positive and bounded columns on the real line.

    Example:
        >>> on_line([Column("a", "positive", "float64")], np.array([[1.0]]), np.array([[True]])).tolist()
        [[0.0]]
    """
    if all(column.kind not in TRANSFORMED for column in columns):
        return values
    result = values.copy()
    for j, column in enumerate(columns):
        seen = mask[:, j]
        if column.kind == "positive":
            result[seen, j] = np.log(values[seen, j])
        elif column.kind == "bounded":
            low, high = _bounds(column)
            share = _EDGE + (1 - 2 * _EDGE) * (values[seen, j] - low) / (high - low)
            result[seen, j] = np.log(share) - np.log1p(-share)
    return result


def off_line(columns: Sequence[Column], line: np.ndarray) -> np.ndarray:
    """Return numbers (..., D) in the table's units, each a possible value of its column's kind, the inverse of :func:`on_line`."""
    if all(column.kind in ("continuous", "date") for column in columns):
        return line
    result = line.copy()
    for j, column in enumerate(columns):
        own = line[..., j]
        if column.kind == "positive":
            result[..., j] = np.exp(np.clip(own, -700, 700))
        elif column.kind == "semicontinuous":
            result[..., j] = snapped(own, _bounds(column))
        elif column.kind == "bounded":
            low, high = _bounds(column)
            result[..., j] = low + (high - low) * line_share(own)
    return inside(columns, result)


def line_share(line: np.ndarray) -> np.ndarray:
    """Return which share of a bounded column's range lies below numbers on the real line, from 0 to 1.

    Example:
        >>> line_share(np.array([-9.0, 0.0, 9.0])).round(3).tolist()
        [0.0, 0.5, 1.0]
    """
    return np.clip((0.5 * (1 + np.tanh(0.5 * line)) - _EDGE) / (1 - 2 * _EDGE), 0.0, 1.0)


def inside(columns: Sequence[Column], numbers: np.ndarray) -> np.ndarray:
    """Return numbers (..., D) in the table's units with counts whole and none below 0, levels' places whole and in their range."""
    result = numbers.copy()
    for j, column in enumerate(columns):
        if column.kind == "count":
            result[..., j] = np.maximum(np.rint(numbers[..., j]), 0.0)
        elif column.kind in LEVELED:
            result[..., j] = np.clip(np.rint(numbers[..., j]), 0, len(column.levels) - 1)
        elif column.kind == "bounded":
            result[..., j] = np.clip(numbers[..., j], *_bounds(column))
    return result


@dataclass(frozen=True)
class Units:
    """From the table's numbers to a model's and back, as :class:`Scaling` does it where all columns are plain numbers.

    Example:
        >>> units = Units((Column("pay", "positive", "float64"),), Scaling(np.zeros(1), np.ones(1)))
        >>> units.apply(np.array([[1.0]]), np.array([[True]])).tolist(), units.invert(np.array([[0.0]])).tolist()
        ([[0.0]], [[1.0]])
    """

    columns: tuple[Column, ...]
    scaling: Scaling

    @classmethod
    def of(cls, given: Scaling | Units) -> Units:
        """Return ``given``, a scaling as the units of columns that are plain numbers."""
        if isinstance(given, Units):
            return given
        return cls(tuple(Column(j, "continuous", "float64") for j in range(len(given.center))), given)

    @property
    def center(self) -> np.ndarray:
        """(D,), on the real line."""
        return self.scaling.center

    @property
    def scale(self) -> np.ndarray:
        """(D,), on the real line."""
        return self.scaling.scale

    def apply(self, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return a model's values (N, D), exactly 0 in the holes, of the table's, levels by their places."""
        return self.scaling.apply(on_line(self.columns, values, mask), mask)

    def invert(self, scaled: np.ndarray) -> np.ndarray:
        """Return values (..., D) in the table's units, levels by their places."""
        return off_line(self.columns, self.scaling.invert(scaled))

    def log_jacobian(self, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return what to add to a row's log density on a model's columns for one in the table's units, (N,)."""
        return log_jacobian(self.columns, values, mask, self.scaling)


def _bounds(column: Column) -> tuple[float, float]:
    assert column.bounds is not None
    return column.bounds


def scaling_of(columns: Sequence[Column], line: np.ndarray, mask: np.ndarray) -> Scaling:
    """Return the scaling of values (N, D) on the real line."""
    scaling = Scaling.of(line, mask)
    if all(column.kind not in (*LEVELED, "semicontinuous") for column in columns):
        return scaling
    center, scale = scaling.center.copy(), scaling.scale.copy()
    for j, column in enumerate(columns):
        if column.kind == "categorical":
            center[j], scale[j] = 0.0, 1.0
        elif column.kind == "semicontinuous":
            seen = mask[:, j] & (line[:, j] != _bounds(column)[0])
            beside = Scaling.of(line[seen, j, None], np.ones((int(seen.sum()), 1), bool))
            center[j], scale[j] = beside.center[0], beside.scale[0]
        elif column.kind in LEVELED:
            scale[j] = 2.0 * (len(column.levels) - 1)
    return Scaling(center, scale)


def log_jacobian(columns: Sequence[Column], values: np.ndarray, mask: np.ndarray, scaling: Scaling) -> np.ndarray:
    """Return what to add to a row's log density on a model's columns for one in the table's units, (N,).

    Columns of levels and counts, and a semicontinuous one's value that repeats, have probabilities, which no unit changes.
    """
    dense = mask & np.array([column.kind in REAL for column in columns])
    for j, column in enumerate(columns):
        if column.kind == "semicontinuous":
            dense[:, j] &= values[:, j] != _bounds(column)[0]
    total = scaling.log_jacobian(dense)
    for j, column in enumerate(columns):
        seen = mask[:, j]
        if column.kind == "positive":
            total[seen] -= np.log(values[seen, j])
        elif column.kind == "bounded":
            low, high = _bounds(column)
            share = _EDGE + (1 - 2 * _EDGE) * (values[seen, j] - low) / (high - low)
            total[seen] += np.log(1 - 2 * _EDGE) - np.log(high - low) - np.log(share) - np.log1p(-share)
    return total
