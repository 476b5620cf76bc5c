"""Column scales, from observed values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np


@dataclass(frozen=True)
class Scaling:
    """Each column less its observed mean, over its observed standard deviation.

    Args:
        center: (D,) in the table's units, finite.
        scale: (D,) finite and above zero; 1 for a column whose observed values are all alike.

    Raises:
        ValueError: for other shapes or values.

    Example:
        >>> scaling = Scaling.of(np.array([[1.0], [3.0], [0.0]]), np.array([[True], [True], [False]]))
        >>> scaling.center.tolist(), scaling.scale.tolist()
        ([2.0], [1.0])
    """

    center: np.ndarray
    scale: np.ndarray

    def __post_init__(self) -> None:
        for name in ("center", "scale"):
            given = np.asarray(getattr(self, name), np.float64)
            if given.ndim != 1 or not np.isfinite(given).all():
                raise ValueError(f"{name}: got {given.tolist()!r:.60}, expected (D,) finite numbers")
            object.__setattr__(self, name, given)
        if self.center.shape != self.scale.shape or not (self.scale > 0).all():
            raise ValueError(f"scale: got {self.scale.tolist()!r:.60}, expected {len(self.center)} numbers above 0")

    @classmethod
    def of(cls, values: np.ndarray, mask: np.ndarray, weights: np.ndarray | None = None) -> Self:
        """Return the scaling of ``values`` (N, D) with their ``mask`` (N, D), every column observed at least once.

        Rows count for ``weights`` (N,), None being one each.

        Raises:
            ValueError: for shapes that differ, or a column with no observed value.
        """
        if values.ndim != 2 or values.shape != mask.shape:
            raise ValueError(f"mask: got shape {mask.shape} for values of shape {values.shape}, expected the same (N, D)")
        if not mask.any(0).all():
            raise ValueError(f"column {int(mask.any(0).argmin())}: has no observed value, expected at least 1")
        values = np.asarray(values, np.float64)
        largest = np.where(mask, np.abs(values), 0.0).max(0)
        unit = np.where(largest > 0, largest, 1.0)
        # In units of the largest value, so that squares of huge values do not overflow.
        relative = np.where(mask, values, 0.0) / unit
        share = mask if weights is None else mask * (weights / weights.max())[:, None]
        center = (relative * share).sum(0) / share.sum(0)
        spread = np.sqrt((np.where(mask, (relative - center) ** 2, 0.0) * share).sum(0) / share.sum(0))
        alike = spread <= 1e-12
        scale = spread * unit
        return cls(center * unit, np.where(alike | (scale < np.finfo(np.float64).tiny), 1.0, scale))

    def moved(self, shift: np.ndarray, stretch: np.ndarray) -> Scaling:
        """Return the scaling with its center ``shift`` (D,) of this one's scales further up, and its scale times ``stretch`` (D,)."""
        return Scaling(self.center + shift * self.scale, self.scale * stretch)

    def apply(self, values: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return scaled values (N, D), exactly 0 in the holes, infinite beyond double precision."""
        # By halves, which are exact, here and below: the difference of two huge values of opposite sign overflows.
        half = np.where(mask, values, self.center) * 0.5 - self.center * 0.5
        with np.errstate(over="ignore"):
            return np.where(mask, half / self.scale * 2.0, 0.0)

    def invert(self, values: np.ndarray) -> np.ndarray:
        """Return (..., D) values in the table's units, infinite beyond double precision."""
        with np.errstate(over="ignore"):
            return (values * 0.5 * self.scale + self.center * 0.5) * 2.0

    def log_jacobian(self, mask: np.ndarray) -> np.ndarray:
        """Return what to add to a row's log density on the scaled columns for one in the table's units, (N,)."""
        return -(mask * np.log(self.scale)).sum(1)

    def to_json(self) -> dict[str, list[float]]:
        """Return the numbers as plain lists."""
        return {"center": self.center.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Self:
        """Return the scaling that :meth:`to_json` wrote.

        Raises:
            ValueError: for anything else.
        """
        if not isinstance(plain, dict) or set(plain) != {"center", "scale"}:
            raise ValueError(f"scaling: got {plain!r:.60}, expected center and scale")
        try:
            return cls(np.asarray(plain["center"], np.float64), np.asarray(plain["scale"], np.float64))
        except (TypeError, ValueError) as error:
            raise ValueError(f"scaling: {str(error).splitlines()[0]}") from None
