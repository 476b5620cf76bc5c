"""Angles, and times of a day, week or year: numbers that wrap around after a period."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from pyro_mnar.data.kinds.evidence import Name
from pyro_mnar.data.kinds.numbers import Number

if TYPE_CHECKING:
    from pandas import Series

_CLOCK = re.compile(r"(\d{1,2}):([0-5]\d)(?::([0-5]\d))?")


@dataclass(frozen=True)
class Angle(Number):
    """Numbers that stand for the same where they differ by a period, such as 360; what is imputed is at least 0 and less than that.

    Text such as 23:59 or 23:59:30 is read as the time of a day whose length is the period, and written so. On the line values are
    within the first period; a model's are radians.

    Attributes:
        period: above 0.
        clock: ``minutes`` or ``seconds`` where training had times of a day as text, and then a column that is missing altogether gets
            such; else empty.

    Example:
        >>> wind = Angle("wind", "float64", period=360.0)
        >>> wind.off_line(wind.on_line(np.array([-90.0, 365.0]))).tolist()
        [270.0, 5.0]
    """

    kind: ClassVar[str] = "angle"
    form: ClassVar[str] = "angle:PERIOD"
    head: ClassVar[str] = "angle.AngleHead"
    real: ClassVar[bool] = True
    warped: ClassVar[bool] = False
    ordered: ClassVar[bool] = False
    circular: ClassVar[bool] = True
    linear: ClassVar[bool] = False

    period: float = 360.0
    clock: str = ""

    @classmethod
    def declare(cls, name: Name, dtype: str, rest: Sequence[str], values: np.ndarray, order: Sequence[Hashable] | None = None) -> Self:
        """Return the column with the period that the word says."""
        try:
            (period,) = (float(part) for part in rest)
        except ValueError:
            period = np.nan
        if not (np.isfinite(period) and period > 0):
            cls.refuse_word(name, rest, "angle:PERIOD, such as angle:360 or angle:24")
        texts = [value for value in values if isinstance(value, str)] if values.dtype == object else []
        fine = any(text.count(":") > 1 for text in texts)
        return cls(name, dtype, period=period, clock=("seconds" if fine else "minutes") if texts else "")

    def read_series(self, series: Series) -> np.ndarray:
        """Return a pandas Series (N,) as numbers, NaN in the holes; text as times of a day."""
        if not _is_text(series):
            return super().read_series(series)
        days = np.full(len(series), np.nan)
        for i, (label, value) in enumerate(series.items()):
            if isinstance(value, str):
                found = _CLOCK.fullmatch(value.strip())
                if found is None or int(found[1]) > 23:
                    raise ValueError(f"column {self.name!r}: got {value!r} in row {label}, expected numbers, or times such as 23:59")
                days[i] = (int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3] or 0)) / 86400
        return days * self.period

    def fill(self, series: Series, holes: np.ndarray, values: np.ndarray) -> Series:
        """Return a pandas Series (N,) with numbers ``values`` at ``holes`` (N,), or with the times of a day that they are."""
        if not _is_text(series) and not (self.clock and holes.all()):
            return super().fill(series, holes, values)
        if holes.all():
            series, step = series.astype(object), 1 if self.clock == "seconds" else 60
        else:
            step = 60 if series.dropna().str.count(":").max() == 1 else 1
        seconds = np.rint(values / self.period * 86400 / step).astype(int) * step % 86400
        words = [f"{s // 3600:02}:{s // 60 % 60:02}" + (f":{s % 60:02}" if step == 1 else "") for s in seconds]
        series.iloc[np.flatnonzero(holes)] = words
        return series

    def on_line(self, values: np.ndarray) -> np.ndarray:
        """Return numbers from 0 on and below the period."""
        turned = np.mod(values, self.period)
        return np.where(turned < self.period, turned, 0.0)  # a tiny negative one's remainder is rounded up to the period

    def off_line(self, line: np.ndarray) -> np.ndarray:
        """Return numbers from 0 on and below the period, NaN of what is infinite and has no direction."""
        with np.errstate(invalid="ignore"):
            return np.where(np.isfinite(line), self.on_line(line), np.nan)

    def inside(self, numbers: np.ndarray) -> np.ndarray:
        """Return numbers from 0 on and below the period."""
        return self.on_line(numbers)

    def units(self, line: np.ndarray, center: float, scale: float, weights: np.ndarray | None = None) -> tuple[float, float]:
        """Return 0 and what a radian is."""
        return 0.0, self.period / (2 * np.pi)

    def summand(self, x: np.ndarray, center: float, scale: float) -> np.ndarray:
        """Return cosines, the sines being taken beside them."""
        return np.cos(x)

    def mean(self, found: np.ndarray, center: float, scale: float) -> np.ndarray:
        """Return mean directions in the table's units, given them in radians."""
        return self.off_line(center + scale * found)

    def cell(self, seen: np.ndarray, center: float, scale: float, weights: np.ndarray | None = None) -> dict[str, object]:
        """Return the means of cosine and sine."""
        x = self.on_line(seen) / scale
        cosines, sines = (float(np.average(part, weights=weights)) for part in (np.cos(x), np.sin(x)))
        return {"cosines": cosines, "sines": sines}

    @property
    def detail(self) -> str:
        """The period."""
        return f"period {self.period:g}"


def _is_text(series: Series) -> bool:
    seen = series.dropna()
    return len(seen) > 0 and all(isinstance(value, str) for value in seen)
