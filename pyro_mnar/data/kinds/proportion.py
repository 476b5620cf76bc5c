r"""Proportions: numbers from one end to the other, of which the ends repeat.

On the line a number within is its log-odds. An end that was seen has a place there too, beyond all that was seen within: where the
odds of the least of these are those of the end times exp(0.05), and likewise above. It is a value of its own, with a probability, and
what is within is never at the end, however near.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar, Self

import numpy as np

from pyro_mnar.data.kinds.bounded import Bounded
from pyro_mnar.data.kinds.evidence import Name
from pyro_mnar.data.scaling import Scaling

#: How far beyond the others an end stands on the line. No odds of round numbers are that far apart.
_BEYOND = 0.05
#: Single precision's rounding there and back, on the line.
_SAME = 1e-5


@dataclass(frozen=True)
class Proportion(Bounded):
    """Numbers from 0 to 1, or to other ends, modeled by their log-odds; each end has a probability where it was seen.

    Attributes:
        least: the smallest number within, where the lower end was seen; else None.
        most: the largest number within, where the upper end was seen; else None.

    Example:
        >>> share = Proportion("share", "float64", bounds=(0.0, 1.0), least=0.1)
        >>> share.off_line(share.on_line(np.array([0.0, 0.1, 0.5]))).round(9).tolist()
        [0.0, 0.1, 0.5]
        >>> share.outside(np.array([0.0, 1.0]))[0].tolist()
        [False, True]
    """

    kind: ClassVar[str] = "proportion"
    form: ClassVar[str] = "proportion[:LOW:HIGH]"
    head: ClassVar[str] = "proportion.ProportionHead"
    warped: ClassVar[bool] = False  # which would move the ends

    least: float | None = None
    most: float | None = None

    @classmethod
    def declare(cls, name: Name, dtype: str, rest: Sequence[str], values: np.ndarray, order: Sequence[Hashable] | None = None) -> Self:
        """Return the column with the ends that the word says, else 0 and 1, and which of them were seen."""
        try:
            low, high = (float(part) for part in rest or (0, 1))
        except ValueError:
            cls.refuse_word(name, rest, "proportion or proportion:LOW:HIGH, such as proportion:0:100")
        numbers = [float(value) for value in values if isinstance(value, (int, float, np.number, Decimal))]
        within = [value for value in numbers if low < value < high]
        if not within:
            raise ValueError(f"column {name!r}: got no number between {low:g} and {high:g}, expected some for kind {cls.kind}")
        least, most = min(within) if low in numbers else None, max(within) if high in numbers else None
        return cls(name, dtype, bounds=(low, high), least=least, most=most)

    def outside(self, numbers: np.ndarray) -> tuple[np.ndarray, str]:
        """Return which numbers (N,) are beyond the ends, or at one that was not seen."""
        low, high = self._range
        said = f"numbers {'above' if self.least is None else 'from'} {self.ends[0]:g} {'below' if self.most is None else 'to'}"
        return (numbers < low) | (numbers > high), f"{said} {self.ends[1]:g}{self._unseen}"

    def on_line(self, values: np.ndarray) -> np.ndarray:
        """Return log-odds, and places of the ends."""
        low, high = self.ends
        line = self._log_odds(np.clip(values, np.nextafter(low, high), np.nextafter(high, low)))
        below, above = self.places
        line = line if below is None else np.where(values <= low, below, line)
        return line if above is None else np.where(values >= high, above, line)

    def off_line(self, line: np.ndarray) -> np.ndarray:
        """Return numbers within, and the ends of their places."""
        low, high = self.ends
        values = low + (high - low) * np.exp(-np.logaddexp(0.0, -line))
        values = np.clip(values, np.nextafter(low, high), np.nextafter(high, low))
        for place, end in zip(self.places, self.ends, strict=True):
            if place is not None:
                values = np.where(np.abs(line - place) <= _SAME * (1 + abs(place)), end, values)
        return values

    def between(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return log-odds, infinite ones where an end itself is possible.

        Where limits reach less than halfway from an end to the nearest other value that was seen, the end alone is left, and the
        other limit is its place.
        """
        first, last = self.ends
        within = np.nextafter(first, last), np.nextafter(last, first)
        below, above = (self._log_odds(np.clip(end, *within)) for end in (low, high))
        lower, upper = self.places
        if lower is not None and self.least is not None:
            above = np.where((low <= first) & (high < 0.5 * first + 0.5 * self.least), lower, above)
        if upper is not None and self.most is not None:
            below = np.where((high >= last) & (low > 0.5 * last + 0.5 * self.most), upper, below)
        return np.where(low <= first, -np.inf, below), np.where(high >= last, np.inf, above)

    def inside(self, numbers: np.ndarray) -> np.ndarray:
        """Return numbers within the ends, or at one that was seen."""
        return np.clip(numbers, *self._range)

    def units(self, line: np.ndarray, center: float, scale: float, weights: np.ndarray | None = None) -> tuple[float, float]:
        """Return mean and deviation of the values beside the ends."""
        beside = ~np.isin(line, [place for place in self.places if place is not None])
        within = line[beside, None]
        scaling = Scaling.of(within, np.ones(within.shape, bool), None if weights is None else weights[beside])
        return scaling.center[0], scaling.scale[0]

    def log_jacobian(self, values: np.ndarray, scale: float) -> np.ndarray:
        """Return -log scale + log of the log-odds' slope, and 0 of the ends, which have probabilities."""
        low, high = self.ends
        within = (values > low) & (values < high)
        some = np.where(within, values, 0.5 * low + 0.5 * high)
        return np.where(within, np.log(high - low) - np.log(some - low) - np.log(high - some) - np.log(scale), 0.0)

    def summand(self, x: np.ndarray, center: float, scale: float) -> np.ndarray:
        """Return shares of the range."""
        return (self.off_line(center + scale * x) - self.ends[0]) / (self.ends[1] - self.ends[0])

    def cell(self, seen: np.ndarray, center: float, scale: float, weights: np.ndarray | None = None) -> dict[str, object]:
        """Return a model's values of the ends, None of one that was not seen, and how often each is there beside the others."""
        each = np.ones(len(seen)) if weights is None else weights
        at = [each[seen <= self.ends[0]].sum() + 0.5, each[seen >= self.ends[1]].sum() + 0.5]
        within = each.sum() - sum(at) + 1.5
        ends = [None if place is None else float((place - center) / scale) for place in self.places]
        return {"ends": ends, "odds": [float(count / within) for count in at]}

    def cut_share(self, sign: float, values: np.ndarray, mask: np.ndarray, weights: np.ndarray | None = None) -> float:
        """Return which share of the values beside the ends is cut off: at an end that repeats, as large a one as of the whole."""
        missing = 1 - np.average(mask, weights=weights)
        if (self.most if sign > 0 else self.least) is not None:
            return float(missing)
        within = mask & (values > self.ends[0]) & (values < self.ends[1])
        return float(missing / (missing + np.average(within, weights=weights)))

    @property
    def detail(self) -> str:
        """The ends, and which of them were seen."""
        return super().detail + self._unseen

    @property
    def places(self) -> tuple[float | None, float | None]:
        """Where the ends stand on the line; None of one that was not seen."""
        below, above = (None if value is None else float(self._log_odds(np.float64(value))) for value in (self.least, self.most))
        return None if below is None else below - _BEYOND, None if above is None else above + _BEYOND

    def _log_odds(self, values: np.ndarray | np.float64) -> np.ndarray:
        return np.log(values - self.ends[0]) - np.log(self.ends[1] - values)

    @property
    def _range(self) -> tuple[float, float]:
        low, high = self.ends
        return np.nextafter(low, high) if self.least is None else low, np.nextafter(high, low) if self.most is None else high

    @property
    def _unseen(self) -> str:
        """What is said of ends that do not occur."""
        none = [f"{end:g}" for end, seen in zip(self.ends, (self.least, self.most), strict=True) if seen is None]
        return f", {' and '.join(none)} not among those learned from" if none else ""
