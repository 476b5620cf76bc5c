"""What a column's kind is inferred from: what its dtype says, and the values that are there."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from pyro_mnar.data.texts import number_in

if TYPE_CHECKING:
    from pandas import Series

#: What a column is called: its name, or its position in an array.
Name: TypeAlias = str | int


class Evidence(NamedTuple):
    """What a kind is inferred from.

    Attributes:
        name: of the column.
        dtype: the name of its dtype.
        says: what the dtype says: ``truth``, ``dates``, ``numbers``, ``categories``, ``ordered``, ``objects``, ``array`` (of no names,
            whose columns are numbers), or ``other``.
        values: of objects and categories, those that are no holes.
        numbers: (n,) float64 where all values are numbers, NaN in the holes of arrays; else None.
    """

    name: Name
    dtype: str
    says: str
    values: list[Any]
    numbers: np.ndarray | None


def is_hole(value: object) -> bool:
    """Return whether an object stands for a missing value: None, NaN, and pandas' NA and NaT (by name: pandas need not be there)."""
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, (float, np.floating)) and value != value)
    )


def distinct(values: Iterable[object], name: Name) -> list[Any]:
    """Return the distinct values that are no holes, in the order of their first, as plain Python objects.

    Raises:
        ValueError: naming the column, for a value that is no text, number or truth value.
    """
    seen: dict[object, None] = {}
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


def unseen(name: Name, word: str, found: Sequence[object]) -> object:
    """Return a declared level that was never seen, a number beside numbers that were ``found``.

    Raises:
        ValueError: for a word beside numbers, or a fraction beside whole ones.

    Example:
        >>> unseen("grade", "4", [1, 2]), unseen("grade", "4", [1.5]), unseen("grade", "4", ["1"])
        (4, 4.0, '4')
    """
    if not found or not all(isinstance(level, (int, float)) and not isinstance(level, bool) for level in found):
        return word
    number, whole = number_in(word), all(isinstance(level, int) for level in found)
    if number is None or (whole and number != int(number)):
        raise ValueError(
            f"kinds: got level {word!r} of column {name!r}, whose values are {'whole ' if whole else ''}numbers, expected such levels"
        )
    return int(number) if whole else float(number)


def evidence_of_array(values: np.ndarray, position: int) -> Evidence:
    """Return what an array's column (N,) is inferred from."""
    return Evidence(position, str(values.dtype), "array", [], values.astype(np.float64) if values.dtype.kind in "iuf" else None)


def evidence_of(series: Series) -> Evidence:
    """Return what a pandas Series' kind is inferred from."""
    from pandas.api.types import is_bool_dtype, is_complex_dtype, is_datetime64_any_dtype, is_numeric_dtype

    name, dtype = series.name, str(series.dtype)
    if isinstance(name, np.integer):
        name = int(name)
    if is_bool_dtype(series.dtype):
        return Evidence(name, dtype, "truth", [], None)
    if dtype == "category":
        there = series.cat.codes[series.notna()].unique()
        levels = distinct((level for k, level in enumerate(series.cat.categories) if k in there), name)
        return Evidence(name, dtype, "ordered" if series.cat.ordered else "categories", levels, None)
    if is_datetime64_any_dtype(series.dtype) or dtype.startswith(("date32", "date64")):
        return Evidence(name, dtype, "dates", [], None)
    if is_complex_dtype(series.dtype):
        return Evidence(name, dtype, "other", [], None)
    if is_numeric_dtype(series.dtype):
        return Evidence(name, dtype, "numbers", [], series.dropna().to_numpy(dtype=np.float64))
    values = [value for value in series.to_numpy(dtype=object, na_value=np.nan) if not is_hole(value)]
    plain = (int, float, np.integer, np.floating, Decimal)
    if values and all(isinstance(value, plain) and not isinstance(value, bool) for value in values):
        return Evidence(name, dtype, "objects", values, np.array([_float(name, value) for value in values]))
    if values and all(isinstance(value, date) for value in values):
        return Evidence(name, dtype, "dates", values, None)
    return Evidence(name, dtype, "objects", values, None)


def _float(name: Hashable, value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"column {name!r}: got a number of more than 308 digits, expected one that float64 holds") from None
