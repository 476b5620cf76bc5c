"""Numbers from one bound to the other, modeled by log-odds.

On the line a value is logit(.005 + .99 (x - LOW) / (HIGH - LOW)), so that the bounds themselves may occur.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import ClassVar, Self

import numpy as np

from pyro_mnar.data.kinds.evidence import Name
from pyro_mnar.data.kinds.numbers import Number

#: What is left free at each end of a bounded column's range.
_EDGE = 0.005
#: Bounds are below it, so that no number between them overflows on the way from one to the other.
_FARTHEST = 1e300


class Bounded(Number):
    """Numbers from one bound to the other, modeled by their log-odds within a slightly wider range.

    Example:
        >>> Bounded("share", "float64", bounds=(0.0, 100.0)).on_line(np.array([50.0])).round(9).tolist()
        [0.0]
    """

    kind: ClassVar[str] = "bounded"
    form: ClassVar[str] = "bounded:LOW:HIGH"
    real: ClassVar[bool] = True
    transformed: ClassVar[bool] = True
    linear: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.levels or self.bounds is None:
            self._refuse()
        if not (np.isfinite(self.ends).all() and self.ends[0] < self.ends[1] and max(map(abs, self.ends)) < _FARTHEST):
            raise ValueError(
                f"column {self.name!r}: got bounds {self.bounds}, expected two finite numbers below {_FARTHEST:g}, the lower first"
            )

    @classmethod
    def declare(cls, name: Name, dtype: str, rest: Sequence[str], values: np.ndarray, order: Sequence[Hashable] | None = None) -> Self:
        """Return the column with the bounds that the word says."""
        try:
            low, high = (float(part) for part in rest)
        except ValueError:
            cls.refuse_word(name, rest, "bounded:LOW:HIGH, such as bounded:0:100")
        return cls(name, dtype, bounds=(low, high))

    def outside(self, numbers: np.ndarray) -> tuple[np.ndarray, str]:
        """Return which numbers (N,) are beyond the bounds."""
        low, high = self.ends
        return (numbers < low) | (numbers > high), f"numbers from {low:g} to {high:g}"

    def on_line(self, values: np.ndarray) -> np.ndarray:
        """Return log-odds."""
        share = self._share(values)
        return np.log(share) - np.log1p(-share)

    def off_line(self, line: np.ndarray) -> np.ndarray:
        """Return numbers from one bound to the other."""
        return self.inside(self.mean(_share_below(line), 0.0, 1.0))

    def inside(self, numbers: np.ndarray) -> np.ndarray:
        """Return numbers within the bounds."""
        return np.clip(numbers, *self.ends)

    def between(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return log-odds, infinite ones of the bounds themselves: what lies beyond them on the line counts as they."""
        first, last = self.ends
        below, above = (self.on_line(self.inside(end)) for end in (low, high))
        return np.where(low <= first, -np.inf, below), np.where(high >= last, np.inf, above)

    def log_jacobian(self, values: np.ndarray, scale: float) -> np.ndarray:
        """Return -log scale + log of the log-odds' slope."""
        share, width = self._share(values), self.ends[1] - self.ends[0]
        slope = np.log(1 - 2 * _EDGE) - np.log(width) - np.log(share) - np.log1p(-share)
        return super().log_jacobian(values, scale) + slope

    def summand(self, x: np.ndarray, center: float, scale: float) -> np.ndarray:
        """Return shares of the range."""
        return _share_below(center + scale * x)

    def mean(self, found: np.ndarray, center: float, scale: float) -> np.ndarray:
        """Return means in the table's units."""
        return self.ends[0] + (self.ends[1] - self.ends[0]) * found

    @property
    def detail(self) -> str:
        """The bounds."""
        return "{:g} to {:g}".format(*self.ends)

    def _share(self, values: np.ndarray) -> np.ndarray:
        return _EDGE + (1 - 2 * _EDGE) * (values - self.ends[0]) / (self.ends[1] - self.ends[0])


def _share_below(line: np.ndarray) -> np.ndarray:
    return np.clip((0.5 * (1 + np.tanh(0.5 * line)) - _EDGE) / (1 - 2 * _EDGE), 0.0, 1.0)
