"""Semicontinuous columns: which value repeats, and the nearest that was seen beside it.

The two are a column's ``bounds``. The value that repeats is an end of the column's range, such as 0 of rainfall, spending or a dose,
or a detection limit; the second says on which side the others lie, and what is nearer to the end than half of it counts as the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

#: A column of numbers is taken for semicontinuous where its smallest or largest value is so large a share of those observed, and so
#: many rows, and so many times as frequent as any other value, and there are so many others. Of a column that is merely rounded, other
#: values repeat as well; where a mask cuts it off, an end does so by chance.
SHARE, ROWS, TIMES, OTHERS = 0.2, 20, 4, 10


def mass_in(values: Iterable[Any]) -> tuple[float, float] | None:
    """Return the value that repeats at an end and the nearest beside it, or None where a column is not semicontinuous.

    Args:
        values: (N,) numbers, NaN in the holes.

    Example:
        >>> mass_in([0.0] * 30 + [0.5 + i for i in range(50)])
        (0.0, 0.5)
    """
    found, counts = _counted(values)
    if len(found) - 1 < OTHERS:
        return None
    end, nearest = _frequent_end(counts)
    if counts[end] < max(ROWS, SHARE * counts.sum(), TIMES * np.delete(counts, end).max()):
        return None
    return float(found[end]), float(found[nearest])


def mass_at(name: Any, mass: float | None, values: Iterable[Any]) -> tuple[float, float]:
    """Return the value that repeats, as it is declared or else the more frequent end, and the nearest beside it.

    Raises:
        ValueError: where the declared value is no end of what was observed, or there is nothing beside it.
    """
    found, counts = _counted([value for value in values if isinstance(value, (int, float, np.number))])
    if len(found) < 2:
        raise ValueError(f"column {name!r}: got {len(found)} different value(s), expected more for kind semicontinuous")
    if mass is None:
        mass = float(found[_frequent_end(counts)[0]])
    if found[0] >= mass:
        return mass, float(found[found > mass][0])
    if found[-1] <= mass:
        return mass, float(found[found < mass][-1])
    raise ValueError(
        f"column {name!r}: got values from {found[0]:g} to {found[-1]:g}, expected {mass:g} to be the smallest or the largest for kind "
        "semicontinuous"
    )


def _counted(values: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the different finite numbers among ``values``, from the smallest, and how often each is there."""
    numbers = np.asarray(values, np.float64)
    return np.unique(numbers[np.isfinite(numbers)], return_counts=True)


def _frequent_end(counts: np.ndarray) -> tuple[int, int]:
    """Return the place of the smallest or largest value, whichever is more frequent, and that of its neighbor."""
    return (0, 1) if counts[0] >= counts[-1] else (-1, -2)


def snapped(values: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    """Return ``values`` with those beyond the end, or nearer to it than half of the nearest seen, put at the end.

    Example:
        >>> snapped(np.array([-1.0, 0.2, 0.3]), (0.0, 0.5)).tolist()
        [0.0, 0.0, 0.3]
    """
    mass, nearest = bounds
    return np.where((values - mass) * np.sign(nearest - mass) < 0.5 * abs(nearest - mass), mass, values)
