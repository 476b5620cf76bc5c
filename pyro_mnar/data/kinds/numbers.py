r"""Kinds whose values are numbers in the table.

continuous         any number
positive           above 0; on the line log x
count              0, 1, 2, ...
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.kinds.evidence import Evidence, Name, is_hole

if TYPE_CHECKING:
    from pandas import Series

#: A count above is none to sum over.
LARGEST_COUNT = 1000


class Number(Column):
    """Numbers in the table, whatever their law."""

    reads_floats: ClassVar[bool] = True

    def read_series(self, series: Series) -> np.ndarray:
        """Return a pandas Series (N,) as numbers, NaN in the holes."""
        from pandas.api.types import is_bool_dtype, is_complex_dtype, is_numeric_dtype

        plain = is_numeric_dtype(series.dtype) and not is_bool_dtype(series.dtype) and not is_complex_dtype(series.dtype)
        return series.to_numpy(dtype=np.float64, na_value=np.nan) if plain else super().read_series(series)

    def read(self, values: np.ndarray, labels: Iterable[Hashable]) -> np.ndarray:
        """Return an array (N,) of numbers or objects, with its rows' labels, as numbers, NaN in the holes."""
        if values.dtype.kind in "biuf":
            return values.astype(np.float64)
        floats = np.empty(len(values))
        for i, (label, value) in enumerate(zip(labels, values, strict=True)):
            if is_hole(value):
                floats[i] = np.nan
            elif isinstance(value, (int, float, np.integer, np.floating, Decimal)) and not isinstance(value, bool):
                try:
                    floats[i] = float(value)
                except OverflowError:
                    raise ValueError(f"column {self.name!r}: got a number too large for float64 in row {label}") from None
            elif isinstance(value, (dict, list, tuple, set)):  # in scikit-learn's words
                said = f"got {value!r} in row {label}; each cell of the argument must be a string or a number"
                raise TypeError(f"column {self.name!r}: {said}")
            else:
                raise ValueError(f"column {self.name!r}: got {value!r} in row {label}, expected a number")
        return floats

    def fill(self, series: Series, holes: np.ndarray, values: np.ndarray) -> Series:
        """Return a pandas Series (N,) with numbers ``values`` at ``holes`` (N,), of its dtype; whole where it holds whole ones."""
        from pandas.api.types import is_integer_dtype, is_numeric_dtype

        places = np.flatnonzero(holes)
        if str(series.dtype).startswith("Sparse"):  # takes no values one by one
            return self.fill(series.sparse.to_dense(), holes, values).astype(series.dtype)
        if is_integer_dtype(series.dtype):
            values = _whole(values, getattr(series.dtype, "numpy_dtype", series.dtype), series.name)
        if not holes.all() and isinstance(series.dropna().iloc[0], Decimal):
            digits = max(-int(value.as_tuple().exponent) for value in series.dropna())
            precision = getattr(getattr(series.dtype, "pyarrow_dtype", None), "precision", None)
            series.iloc[places] = [as_decimal(value, max(digits, 0), precision) for value in values]
            return series
        if series.dtype == object and not holes.all() and all(isinstance(value, (int, np.integer)) for value in series.dropna()):
            series.iloc[places] = [round(value) for value in values]
            return series
        if not is_numeric_dtype(series.dtype) and holes.all():
            series = series.astype(object).where(~holes, np.nan).astype(np.float64)
        values = within(values, getattr(series.dtype, "numpy_dtype", series.dtype))
        series.iloc[places] = values.astype(series.dtype) if isinstance(series.dtype, np.dtype) else values
        return series


class Continuous(Number):
    """Any number.

    Example:
        >>> Continuous("income", "float64").kind
        'continuous'
    """

    kind: ClassVar[str] = "continuous"
    form: ClassVar[str] = "continuous"
    real: ClassVar[bool] = True
    may_stray: ClassVar[bool] = True

    @classmethod
    def infer(cls, seen: Evidence) -> Self | None:
        """Return a column of numbers, or one of which nothing is known."""
        nothing = seen.says in ("objects", "categories", "ordered") and not seen.values
        return cls(seen.name, seen.dtype) if seen.numbers is not None or seen.says == "array" or nothing else None


class Positive(Number):
    """Numbers above 0, modeled by their logarithm.

    Example:
        >>> Positive("pay", "float64").on_line(np.array([1.0])).tolist()
        [0.0]
    """

    kind: ClassVar[str] = "positive"
    form: ClassVar[str] = "positive"
    real: ClassVar[bool] = True
    transformed: ClassVar[bool] = True
    linear: ClassVar[bool] = False

    def outside(self, numbers: np.ndarray) -> tuple[np.ndarray, str]:
        """Return which numbers (N,) are 0 or below."""
        return numbers <= 0, "numbers above 0"

    def on_line(self, values: np.ndarray) -> np.ndarray:
        """Return logarithms."""
        return np.log(values)

    def off_line(self, line: np.ndarray) -> np.ndarray:
        """Return exponentials, none 0 or infinite."""
        return np.exp(np.clip(line, -700, 700))

    def between(self, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return logarithms."""
        with np.errstate(divide="ignore"):
            return np.log(np.maximum(low, 0.0)), np.log(np.maximum(high, 0.0))

    def log_jacobian(self, values: np.ndarray, scale: float) -> np.ndarray:
        """Return -log scale - log x."""
        return super().log_jacobian(values, scale) - np.log(values)

    def summand(self, x: np.ndarray, center: float, scale: float) -> np.ndarray:
        """Return exponentials, in units of that of the center."""
        return np.exp(np.clip(scale * x, -700, 700))

    def mean(self, found: np.ndarray, center: float, scale: float) -> np.ndarray:
        """Return means in the table's units, finite ones."""
        with np.errstate(over="ignore"):
            return np.minimum(np.exp(np.clip(center, -700, 709)) * found, np.finfo(np.float64).max)


class Count(Number):
    """Whole numbers from 0 on.

    Example:
        >>> Count("visits", "int64").inside(np.array([-0.2, 2.6])).tolist()
        [0.0, 3.0]
    """

    kind: ClassVar[str] = "count"
    form: ClassVar[str] = "count"
    head: ClassVar[str] = "heads.CountHead"

    def outside(self, numbers: np.ndarray) -> tuple[np.ndarray, str]:
        """Return which numbers (N,) are no counts, or too large."""
        wrong = (numbers < 0) | (numbers > LARGEST_COUNT) | (numbers != np.rint(numbers)) & ~np.isnan(numbers)
        return wrong, f"whole numbers from 0 to {LARGEST_COUNT} (declare larger ones positive or continuous)"

    def inside(self, numbers: np.ndarray) -> np.ndarray:
        """Return whole numbers, none below 0."""
        return np.maximum(np.rint(numbers), 0.0)

    def step(self, seen: np.ndarray) -> float:
        """Return 1, in a column of floats too."""
        return 1.0

    def cell(self, seen: np.ndarray, center: float, scale: float, weights: np.ndarray | None = None) -> dict[str, object]:
        """Return where the mean starts, the largest count, and which of a model's values stand for the counts."""
        first, step = float(-center / scale), float(1 / scale)
        return {"means": float(max(np.average(seen, weights=weights), 0.1)), "largest": float(seen.max()), "first": first, "step": step}


def as_decimal(value: float | Decimal, digits: int, precision: int | None = None) -> Decimal:
    """Return a number with ``digits`` after the point, cut to those of ``precision`` digits in all (None: any).

    Example:
        >>> as_decimal(-9.999, 2, precision=3), as_decimal(1234.0, -2)
        (Decimal('-9.99'), Decimal('1200'))
    """
    # As text: arithmetic of decimals rounds to 28 digits.
    number = Decimal(f"{value if digits >= 0 else round(float(value), digits):.{max(digits, 0)}f}")
    if precision is None:
        return number
    low, high = (Decimal((sign, (9,) * precision, -digits)) for sign in (1, 0))
    return min(max(number, low), high)


def within(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return numbers cut to the range of a ``dtype`` of floats, beyond which it holds nothing finite; for another, as they are.

    Example:
        >>> within(np.array([1.0, -7e4]), np.dtype("float16")).tolist()
        [1.0, -65504.0]
    """
    if dtype.kind != "f":
        return values
    info, values = np.finfo(dtype), values.astype(np.float64)
    return np.where(np.isfinite(values), values.clip(float(info.min), float(info.max)), values)


def _whole(values: np.ndarray, dtype: np.dtype, name: Name) -> np.ndarray:
    """Round to whole numbers of ``dtype``; what lies outside its range would wrap around."""
    if np.isnan(values).any():
        raise ValueError(f"completed: got NaN for column {name!r}, expected numbers")
    info, values = np.iinfo(dtype), np.rint(values)
    above, below = values >= float(info.max), values <= float(info.min)
    whole = np.where(above | below, 0.0, values).astype(dtype)
    whole[above], whole[below] = info.max, info.min
    return whole
