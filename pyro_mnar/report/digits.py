"""Numbers with as many digits as they are worth."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyro_mnar.analysis.pooled import Pooled


def pooled_numbers(pooled: Pooled) -> list[Any]:
    """Return estimate, standard error, limits, degrees of freedom, FMI and draws needed, with as many digits as the error is worth."""
    found = pooled.table().iloc[0]
    places = places_for(float(found["standard error"]))
    numbers = [in_places(float(found[name]), places) for name in ("estimate", "standard error", "lower", "upper")]
    return [*numbers, f"{found['dof']:.0f}", f"{found['FMI']:.2f}", pooled.draws_needed()]


def places_for(error: float, digits: int = 2) -> int:
    """Return how many decimals show so many digits of a standard error, or another spread; 4 where it is none.

    Example:
        >>> places_for(0.043), places_for(460.0)
        (3, -1)
    """
    return digits - 1 - int(np.floor(np.log10(error))) if 0 < error < np.inf else 4


def in_places(number: float, places: int) -> str:
    """Return a number with so many decimals; below 0, with as many zeros before the point.

    Example:
        >>> in_places(1234.567, 1), in_places(1234.567, -2), in_places(1e-7, 9)
        ('1234.6', '1200', '0.000000100')
    """
    if not abs(number) < 1e15 or places > 9:
        return f"{number:.3g}"
    return f"{round(number, places):.{max(0, places)}f}"
