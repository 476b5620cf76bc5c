"""Semicontinuous columns: numbers of which the smallest or largest repeats.

A column's ``bounds`` are the value that repeats and the nearest that was seen beside it. The value that repeats is an end of the
column's range, such as 0 of rainfall, spending or a dose, or a detection limit. The second says on which side the others lie, and what
is nearer to the end than half of it counts as the end.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import ClassVar, Self

import numpy as np

from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.kinds.evidence import Evidence, Name
from pyro_mnar.data.kinds.numbers import Continuous, Number

#: A column of numbers is taken for semicontinuous where its smallest or largest value is so large a share of those observed, and so
#: many rows, and so many times as frequent as any other value, and there are so many others. Of a column that is merely rounded, other
#: values repeat as well; where a mask cuts it off, an end does so by chance.
SHARE, ROWS, TIMES, OTHERS = 0.2, 20, 4, 10
#: Where nearly all are alike, few others suffice: as one normal law they would be a spike of any height, whose likelihood outweighs
#: what all other columns say.
NEARLY_ALL, FEW_OTHERS = 0.9, 2


class Semicontinuous(Number):
    """Numbers, of which the smallest or largest repeats (``semicontinuous:0`` names it).

    Example:
        >>> Semicontinuous("rain", "float64", bounds=(0.0, 0.5)).off_line(np.array([-1.0, 0.2, 0.3])).tolist()
        [0.0, 0.0, 0.3]
    """

    kind: ClassVar[str] = "semicontinuous"
    form: ClassVar[str] = "semicontinuous[:VALUE]"
    head: ClassVar[str] = "semicontinuous_head.SemicontinuousHead"
    real: ClassVar[bool] = True
    linear: ClassVar[bool] = False
    may_stray: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.levels or self.bounds is None:
            self._refuse()
        if not (np.isfinite(self.ends).all() and self.ends[0] != self.ends[1]):
            raise ValueError(f"column {self.name!r}: got bounds {self.bounds}, expected two finite numbers, which differ")

    @classmethod
    def declare(cls, name: Name, dtype: str, rest: Sequence[str], values: np.ndarray, order: Sequence[Hashable] | None = None) -> Self:
        """Return the column with the value that the word names, or else the more frequent end."""
        try:
            mass = float(":".join(rest)) if rest else None
        except ValueError:
            cls.refuse_word(name, rest, "semicontinuous or semicontinuous:VALUE")
        return cls(name, dtype, bounds=mass_at(name, mass, values))

    @classmethod
    def infer(cls, seen: Evidence) -> Self | None:
        """Return a column of numbers whose end repeats."""
        mass = None if seen.numbers is None else mass_in(seen.numbers)
        return None if mass is None else cls(seen.name, seen.dtype, bounds=mass)

    def plain(self) -> Column:
        """Return a continuous column: the value that repeats is then part of its margin."""
        return Continuous(self.name, self.dtype)

    @property
    def side(self) -> int:
        """1 where the other values lie above the one that repeats, -1 where below."""
        return 1 if self.ends[1] > self.ends[0] else -1

    def outside(self, numbers: np.ndarray) -> tuple[np.ndarray, str]:
        """Return which numbers (N,) lie beyond the value that repeats."""
        mass = self.ends[0]
        return (numbers - mass) * self.side < 0, f"numbers from {mass:g} {'up' if self.side > 0 else 'down'}"

    def may_be_far(self, values: np.ndarray) -> np.ndarray:
        """Return that all are, but the value that repeats."""
        return values != self.ends[0]

    def off_line(self, line: np.ndarray) -> np.ndarray:
        """Return numbers of which those near the value that repeats are that value."""
        return snapped(line, self.ends)

    def between(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers, those near the value that repeats moved to where it ends and the others begin, or beyond it."""
        mass, nearest = self.ends
        middle = 0.5 * (mass + nearest)
        if self.side > 0:
            above = np.where(high < mass, -np.inf, np.maximum(high, middle))
            return np.where(low <= mass, -np.inf, np.maximum(low, middle)), above
        below = np.where(low > mass, np.inf, np.minimum(low, middle))
        return below, np.where(high >= mass, np.inf, np.minimum(high, middle))

    def units(self, line: np.ndarray, center: float, scale: float, weights: np.ndarray | None = None) -> tuple[float, float]:
        """Return mean and deviation of the values beside the one that repeats."""
        from pyro_mnar.data.scaling import Scaling

        chosen = line != self.ends[0]
        beside = line[chosen, None]
        scaling = Scaling.of(beside, np.ones(beside.shape, bool), None if weights is None else weights[chosen])
        far = np.abs(scaling.center[0] - self.ends[0])  # of one value beside it, what it is far from says what is much
        return scaling.center[0], scaling.scale[0] if len(np.unique(beside)) > 1 else 0.1 * far

    def log_jacobian(self, values: np.ndarray, scale: float) -> np.ndarray:
        """Return -log scale, and 0 of the value that repeats, which has a probability."""
        return np.where(values != self.ends[0], -np.log(scale), 0.0)

    def summand(self, x: np.ndarray, center: float, scale: float) -> np.ndarray:
        """Return a model's values of which those near the one that repeats are that one."""
        mass, nearest = ((end - center) / scale for end in self.ends)
        return snapped(x, (mass, nearest))

    def cell(self, seen: np.ndarray, center: float, scale: float, weights: np.ndarray | None = None) -> dict[str, object]:
        """Return a model's value that repeats, how often it does, and on which side the others lie."""
        each = np.ones(len(seen)) if weights is None else weights
        share = (each[seen == self.ends[0]].sum() + 0.5) / (each.sum() + 1)
        return {"mass": float((self.ends[0] - center) / scale), "shares": float(share), "sides": self.side}

    def cut_share(self, sign: float, values: np.ndarray, mask: np.ndarray, weights: np.ndarray | None = None) -> float:
        """Return which share of the values beside the one that repeats is cut off.

        Where the cut is at the other end, all missing ones are; at the same end, as large a share of them as of the whole.
        """
        missing = 1 - np.average(mask, weights=weights)
        if sign * self.side < 0:
            return float(missing)
        return float(missing / (missing + np.average(mask & (values != self.ends[0]), weights=weights)))

    @property
    def detail(self) -> str:
        """The value that repeats."""
        return f"{self.ends[0]:g} repeats"


def mass_in(values: Iterable[object]) -> tuple[float, float] | None:
    """Return the value that repeats at an end and the nearest beside it, or None where a column is not semicontinuous.

    Args:
        values: (N,) numbers, NaN in the holes.

    Example:
        >>> mass_in([0.0] * 30 + [0.5 + i for i in range(50)])
        (0.0, 0.5)
    """
    found, counts = _counted(values)
    if len(found) - 1 < FEW_OTHERS:
        return None
    end, nearest = _frequent_end(counts)
    if len(found) - 1 < OTHERS and counts[end] < NEARLY_ALL * counts.sum():
        return None
    if counts[end] < max(ROWS, SHARE * counts.sum(), TIMES * np.delete(counts, end).max()):
        return None
    return float(found[end]), float(found[nearest])


def mass_at(name: Name, mass: float | None, values: Iterable[object]) -> tuple[float, float]:
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


def _counted(values: Iterable[object]) -> tuple[np.ndarray, np.ndarray]:
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
