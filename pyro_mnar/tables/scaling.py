"""Column scales, from observed values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np


@dataclass(frozen=True)
class Scaling:
    """Each column less its observed mean, over its observed standard deviation.

    Args:
        centre: (D,) in the table's units.
        scale: (D,) above zero; 1 for a column whose observed values are all alike.

    Example:
        >>> scaling = Scaling.of(np.array([[1.0], [3.0], [0.0]]), np.array([[True], [True], [False]]))
        >>> scaling.centre.tolist(), scaling.scale.tolist()
        ([2.0], [1.0])
    """

    centre: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, mask: np.ndarray) -> Self:
        """Return the scaling of ``values`` (N, D) with their ``mask`` (N, D), every column observed at least once."""
        largest = np.where(mask, np.abs(values), 0.0).max(0)
        unit = np.where(largest > 0, largest, 1.0)
        # In units of the largest value, so that squares of huge values do not overflow.
        relative = np.where(mask, values / unit, 0.0)
        centre = relative.sum(0) / mask.sum(0)
        spread = np.sqrt(np.where(mask, (relative - centre) ** 2, 0.0).sum(0) / mask.sum(0))
        alike = spread <= 1e-12
        return cls(centre * unit, np.where(alike, 1.0, spread * unit))

    def apply(self, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return scaled values (N, D), exactly 0 in the holes."""
        return np.where(mask, (values - self.centre) / self.scale, 0.0)

    def invert(self, values: np.ndarray) -> np.ndarray:
        """Return (..., D) values in the table's units."""
        return values * self.scale + self.centre

    def log_jacobian(self, mask: np.ndarray) -> np.ndarray:
        """Return what to add to a row's log density on the scaled columns for one in the table's units, (N,)."""
        return -(mask * np.log(self.scale)).sum(1)

    def to_json(self) -> dict[str, list[float]]:
        """Return the numbers as plain lists."""
        return {"centre": self.centre.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Self:
        """Return the scaling that :meth:`to_json` wrote."""
        return cls(np.asarray(plain["centre"], np.float64), np.asarray(plain["scale"], np.float64))
