"""Kinds of columns: inferred from dtypes, declared by words, and as numbers and back.

    continuous        numbers
    positive          numbers above 0, modeled by their logarithm
    bounded:LOW:HIGH  numbers from LOW to HIGH, modeled by their log-odds within a slightly wider range
    semicontinuous    numbers, of which the smallest or largest repeats (semicontinuous:0 names it)
    count             whole numbers from 0 on
    binary            two values; of numbers, 0 and 1
    categorical       values without order
    ordinal           ordered values: numbers, an ordered pandas Categorical, or ordinal:A:B:C, from lowest to highest
    date              points in time, as days

As numbers, the values of ``binary``, ``categorical`` and ``ordinal`` columns are the places of their levels, 0, 1, ...
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np

from pyro_mnar.data.spikes import mass_at, mass_in

KINDS = ("continuous", "positive", "bounded", "semicontinuous", "count", "binary", "categorical", "ordinal", "date")
#: Kinds whose values are one of a list.
LEVELED = ("binary", "categorical", "ordinal")
#: Text of more distinct values than this is taken for names, not categories, unless declared; and a count above is none to sum over.
MOST_LEVELS, LARGEST_COUNT = 50, 1000


@dataclass(frozen=True)
class Column:
    """One column: its name (its position, for arrays), its kind, its dtype's name, and its levels or bounds where it has such.

    The bounds of a semicontinuous one are the value that repeats and the nearest beside it.

    Raises:
        ValueError: for an unknown kind, fewer than two levels of a kind that has them, or bounds that are none.

    Example:
        >>> Column("income", "continuous", "float64").kind
        'continuous'
    """

    name: str | int
    kind: str
    dtype: str
    levels: tuple[Any, ...] = ()
    bounds: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: got {self.kind!r} for column {self.name!r}, expected one of {', '.join(KINDS)}")
        if (self.kind in LEVELED) != bool(self.levels) or (self.kind in ("bounded", "semicontinuous")) != (self.bounds is not None):
            raise ValueError(f"kind: got levels {self.levels!r:.60} and bounds {self.bounds!r} for {self.kind} column {self.name!r}")
        if self.kind in LEVELED and not 2 <= len(self.levels) <= (2 if self.kind == "binary" else np.inf):
            raise ValueError(
                f"column {self.name!r}: got {len(self.levels)} level(s), {', '.join(map(str, self.levels[:5]))}, expected "
                f"{'2' if self.kind == 'binary' else 'at least 2'} for kind {self.kind} (leave the column out, or declare another kind)"
            )
        if self.bounds is not None:
            first, second = self.bounds
            in_order, order = (first < second, "the lower first") if self.kind == "bounded" else (first != second, "which differ")
            if not (np.isfinite(self.bounds).all() and in_order):
                raise ValueError(f"column {self.name!r}: got bounds {self.bounds}, expected two finite numbers, {order}")

    def encode(self, values: np.ndarray, labels: Iterable[Any]) -> np.ndarray:
        """Return ``values`` (N,), objects of a column with levels, as the places of their levels, NaN in the holes.

        Raises:
            ValueError: naming a value that is no level.
        """
        place = {level: float(k) for k, level in enumerate(self.levels)}
        codes = np.full(len(values), np.nan)
        for i, (label, value) in enumerate(zip(labels, values, strict=True)):
            if is_hole(value):
                continue
            try:
                codes[i] = place[value]
            except (KeyError, TypeError):
                known = ", ".join(map(str, self.levels[:12])) + (", ..." if len(self.levels) > 12 else "")
                raise ValueError(
                    f"column {self.name!r}: got new category {value!r} in row {label}, expected one of those in training: {known}"
                ) from None
        return codes

    def check(self, numbers: np.ndarray, labels: Sequence[Any]) -> None:
        """Raise a ValueError, naming the row, where ``numbers`` (N,), NaN in the holes, are not of the kind."""
        expected, wrong = "", np.zeros(len(numbers), bool)
        if self.kind == "positive":
            expected, wrong = "numbers above 0", numbers <= 0
        elif self.kind == "bounded":
            assert self.bounds is not None
            low, high = self.bounds
            expected, wrong = f"numbers from {low:g} to {high:g}", (numbers < low) | (numbers > high)
        elif self.kind == "semicontinuous":
            assert self.bounds is not None
            mass, nearest = self.bounds
            side = np.sign(nearest - mass)
            expected, wrong = f"numbers from {mass:g} {'up' if side > 0 else 'down'}", (numbers - mass) * side < 0
        elif self.kind == "count":
            expected = f"whole numbers from 0 to {LARGEST_COUNT} (declare larger ones positive or continuous)"
            wrong = (numbers < 0) | (numbers > LARGEST_COUNT) | (numbers != np.rint(numbers)) & ~np.isnan(numbers)
        if wrong.any():
            i = int(wrong.argmax())
            raise ValueError(f"column {self.name!r}: got {numbers[i]:g} in row {labels[i]}, expected {expected} for kind {self.kind}")


def is_hole(value: Any) -> bool:
    """Return whether an object stands for a missing value: None, NaN, and pandas' NA and NaT (by name: pandas need not be there)."""
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, (float, np.floating)) and value != value)
    )


def declared(name: Any, word: Any, dtype: str, values: np.ndarray, order: Sequence[Any] | None = None) -> Column:
    """Return the column that ``word`` declares.

    Args:
        name: the column's.
        word: of the module's list.
        dtype: the name of its dtype.
        values: (N,) objects or numbers, for levels to be read from.
        order: levels in their order, where the dtype has one.

    Raises:
        ValueError: for an unknown word, or values that are none of the kind.
    """
    if not isinstance(word, str):
        raise ValueError(f"kinds: got {word!r} for column {name!r}, expected a word, one of {', '.join(KINDS)}")
    kind, *rest = word.split(":")
    if kind not in KINDS:
        raise ValueError(f"kinds: got {word!r} for column {name!r}, expected one of {', '.join(KINDS)}")
    if kind == "bounded":
        try:
            low, high = (float(part) for part in rest)
        except ValueError:
            raise ValueError(f"kinds: got {word!r} for column {name!r}, expected bounded:LOW:HIGH, such as bounded:0:100") from None
        return Column(name, kind, dtype, bounds=(low, high))
    if kind == "semicontinuous":
        try:
            mass = float(word.removeprefix("semicontinuous:")) if rest else None
        except ValueError:
            raise ValueError(f"kinds: got {word!r} for column {name!r}, expected semicontinuous or semicontinuous:VALUE") from None
        return Column(name, kind, dtype, bounds=mass_at(name, mass, values))
    if rest and kind != "ordinal":
        raise ValueError(f"kinds: got {word!r} for column {name!r}, expected nothing after {kind}")
    if kind not in LEVELED:
        return Column(name, kind, dtype)
    found = set(distinct(values, name))
    if rest:
        # Words of a command line are text whatever the column holds.
        by_text = {str(level): level for level in found} | {f"{level:g}": level for level in found if isinstance(level, float)}
        levels = [by_text.get(part, part) for part in rest]
        return Column(name, kind, dtype, tuple(levels))
    if order is None:
        order = sorted(found, key=lambda level: (isinstance(level, str), level))
        if kind == "ordinal" and any(isinstance(level, str) for level in order):
            raise ValueError(f"kinds: column {name!r} is text without an order, expected ordinal:A:B:C, from lowest to highest")
    if kind == "binary" and found <= {0, 1}:
        whole = [int(level) for level in found if not isinstance(level, bool)]
        return Column(name, kind, dtype, (0, 1) if whole else (False, True))
    return Column(name, kind, dtype, tuple(level for level in order if level in found))


def distinct(values: Iterable[Any], name: Any) -> list[Any]:
    """Return the distinct values that are no holes, in the order of their first, as plain Python objects.

    Raises:
        ValueError: naming the column, for a value that is no text, number or truth value.
    """
    seen: dict[Any, None] = {}
    for value in values:
        if is_hole(value):
            continue
        plain = value.item() if isinstance(value, np.generic) else value
        if not isinstance(plain, (str, int, float, bool)):
            raise ValueError(
                f"column {name!r}: got category {value!r}, expected a text, number or truth value (make it text: .astype(str))"
            )
        seen[plain] = None
    return list(seen)


def numeric(name: Any, dtype: str, values: np.ndarray) -> Column:
    """Return the column of numbers (N,), NaN in the holes: semicontinuous where an end repeats, else continuous."""
    mass = mass_in(values)
    return Column(name, "continuous", dtype) if mass is None else Column(name, "semicontinuous", dtype, bounds=mass)


def inferred(series: Any) -> Column | None:
    """Return the column that the dtype of a pandas Series says it is, or None where that is no kind.

    Text is categorical where its values repeat: at most ``MOST_LEVELS`` of them, each twice on average.
    """
    from pandas.api.types import is_bool_dtype, is_complex_dtype, is_datetime64_any_dtype, is_numeric_dtype

    name, dtype = series.name, str(series.dtype)
    if isinstance(name, np.integer):
        name = int(name)
    if is_bool_dtype(series.dtype):
        return Column(name, "binary", dtype, (False, True))
    if dtype == "category":
        there = series.cat.codes[series.notna()].unique()
        levels = distinct((level for k, level in enumerate(series.cat.categories) if k in there), name)
        kind = "ordinal" if series.cat.ordered else "categorical"
        return Column(name, kind, dtype, tuple(levels)) if levels else Column(name, "continuous", dtype)
    if is_datetime64_any_dtype(series.dtype) or dtype.startswith(("date32", "date64")):
        return Column(name, "date", dtype)
    if is_numeric_dtype(series.dtype):
        if is_complex_dtype(series.dtype):
            return None
        values = series.dropna().to_numpy(dtype=np.float64)
        if set(np.unique(values).tolist()) == {0.0, 1.0} and not dtype.startswith("decimal"):
            return Column(name, "binary", dtype, (0, 1))
        return numeric(name, dtype, values)
    values = [value for value in series.to_numpy(dtype=object, na_value=np.nan) if not is_hole(value)]
    if not values:
        return Column(name, "continuous", dtype)
    if all(isinstance(value, (bool, np.bool_)) for value in values) and len(values) > 1:
        return Column(name, "binary", dtype, (False, True))
    if all(isinstance(value, (int, float, np.integer, np.floating, Decimal)) and not isinstance(value, bool) for value in values):
        return numeric(name, dtype, np.array([float(value) for value in values]))
    if all(isinstance(value, date) for value in values):
        return Column(name, "date", dtype)
    if all(isinstance(value, str) for value in values):
        levels = sorted(set(values))
        if len(levels) <= min(MOST_LEVELS, len(values) / 2):
            return Column(name, "categorical", dtype, tuple(levels))
    return None
