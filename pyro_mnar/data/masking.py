"""The one place where NaN becomes a mask, and where completed values go back into the user's table."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_mnar.data.columns import LEVELED, Column
from pyro_mnar.data.dates_and_levels import days_of, fill_labels
from pyro_mnar.data.schema import Schema, as_array, is_frame

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike
    from pandas import DataFrame


def split(table: ArrayLike | DataFrame, schema: Schema | None = None, *, allow_empty: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return the values (N, D) float64, 0 in the holes, and the mask (N, D) bool, True = observed.

    Columns of levels become their levels' places, dates days since 1970.

    Args:
        table: array or DataFrame; NaN, None and pandas' NA are holes.
        schema: the columns to read, in its order; the table's own by default.
        allow_empty: whether a column may have no observed value.

    Raises:
        ValueError: for columns that differ from the schema's, no rows, a value that is not of its column's kind (a new category), an
            infinite one, or a column with no observed value; names column and row.

    Example:
        >>> values, mask = split([[1.0, float("nan")], [2.0, 3.0]])
        >>> values.tolist(), mask.tolist()
        ([[1.0, 0.0], [2.0, 3.0]], [[True, False], [True, True]])
    """
    schema = Schema.of(table) if schema is None else schema
    names = [column.name for column in schema.columns]
    if is_frame(table):
        frame: Any = table
        schema.check(frame)
        labels = frame.index
        raw = np.column_stack([_numbers_of_series(frame[column.name], column) for column in schema.columns])
    else:
        array = as_array(table)
        schema.check(array)
        labels = range(len(array))
        if array.dtype.kind in "biuf":
            raw = array.astype(np.float64)
            for j, column in enumerate(schema.columns):
                if column.kind in LEVELED:
                    raw[:, j] = column.encode(raw[:, j], labels)
        elif array.dtype.kind in "mM":  # as objects, nanoseconds would be whole numbers
            raise ValueError(f"table: got an array of dtype {array.dtype}, expected numbers")
        else:
            raw = np.column_stack([_numbers(array[:, j].astype(object), column, labels) for j, column in enumerate(schema.columns)])
    if not len(raw):
        raise ValueError("table: got no rows, expected at least 1")
    mask = ~np.isnan(raw)
    infinite = np.argwhere(np.isinf(raw))
    if len(infinite):
        i, j = infinite[0]
        raise ValueError(f"column {names[j]!r}: got an infinite value in row {labels[i]}, expected finite numbers or holes")
    for j, column in enumerate(schema.columns):
        column.check(raw[:, j], labels)
    if not allow_empty and not mask.any(0).all():
        raise ValueError(f"column {names[int(mask.any(0).argmin())]!r}: has no observed value, expected at least 1")
    return np.where(mask, raw, 0.0), mask


def join(table: ArrayLike | DataFrame, completed: np.ndarray, mask: np.ndarray, schema: Schema | None = None) -> Any:
    """Return a copy of ``table`` with ``completed`` values in the holes; everything else bit for bit.

    Types stay: an array keeps its dtype (lists become float64 arrays), a DataFrame its columns, their order and dtypes, and its
    index. Whole-number columns with holes (pandas' nullable integers) get rounded values, held within what the dtype can store.
    Only a column of no numeric dtype that is missing altogether becomes float64.

    Args:
        table: as given to :func:`split`.
        completed: (N, D) float64.
        mask: (N, D) bool, True = observed.
        schema: the columns of ``completed``; the table's own by default.

    Raises:
        ValueError: for shapes that do not fit the table, or NaN for a whole-number column.

    Example:
        >>> join([[1.0, float("nan")]], np.array([[9.0, 2.5]]), np.array([[True, False]])).tolist()
        [[1.0, 2.5]]
    """
    schema = Schema.of(table) if schema is None else schema
    rows = len(table) if is_frame(table) else len(as_array(table))  # type: ignore[arg-type]
    for name, given in (("completed", completed), ("mask", mask)):
        if given.shape != (rows, len(schema.columns)):
            raise ValueError(f"{name}: got shape {given.shape}, expected {(rows, len(schema.columns))}")
    if not is_frame(table):
        array = as_array(table).copy()
        if not isinstance(table, np.ndarray):
            array = split(table, schema, allow_empty=True)[0]
        elif array.dtype.kind in "biu" and not mask.all():
            array = array.astype(np.float64)
        for j, column in enumerate(schema.columns):
            holes = ~mask[:, j]
            filled = completed[holes, j]
            if column.kind in LEVELED:
                filled = np.array([column.levels[int(k)] for k in filled], dtype=object if array.dtype.kind == "O" else None)
            array[holes, j] = filled.astype(array.dtype)
        return array
    frame: Any = table.copy()  # type: ignore[union-attr]
    for j, column in enumerate(schema.columns):
        holes = ~mask[:, j]
        if not holes.any():
            continue
        series = frame[column.name].copy()
        values = completed[holes, j]
        if column.kind in LEVELED or column.kind == "date":
            frame[column.name] = fill_labels(series, holes, values, column)
            continue
        frame[column.name] = _with_numbers(series, holes, values)
    return frame


def _with_numbers(series: Any, holes: np.ndarray, values: np.ndarray) -> Any:
    """Return ``series`` with numbers at ``holes`` (N,), of its dtype."""
    from pandas.api.types import is_integer_dtype, is_numeric_dtype

    places = np.flatnonzero(holes)
    if str(series.dtype).startswith("Sparse"):  # takes no values one by one
        return _with_numbers(series.sparse.to_dense(), holes, values).astype(series.dtype)
    if is_integer_dtype(series.dtype):
        values = _whole(values, getattr(series.dtype, "numpy_dtype", series.dtype), series.name)
    first = series.dropna().iloc[0] if not holes.all() else None
    if isinstance(first, Decimal):
        digits = max(-int(value.as_tuple().exponent) for value in series.dropna())
        series.iloc[places] = [Decimal(f"{value:.{max(digits, 0)}f}") for value in values]
        return series
    if series.dtype == object and not holes.all() and all(isinstance(value, (int, np.integer)) for value in series.dropna()):
        series.iloc[places] = [round(value) for value in values]
        return series
    if not is_numeric_dtype(series.dtype) and holes.all():
        series = series.astype(object).where(~holes, np.nan).astype(np.float64)
    series.iloc[places] = values.astype(series.dtype) if isinstance(series.dtype, np.dtype) else values
    return series


def _whole(values: np.ndarray, dtype: np.dtype, name: Any) -> np.ndarray:
    """Round to whole numbers of ``dtype``; what lies outside its range would wrap around."""
    if np.isnan(values).any():
        raise ValueError(f"completed: got NaN for column {name!r}, expected numbers")
    info = np.iinfo(dtype)
    values = np.rint(values)
    above, below = values >= float(info.max), values <= float(info.min)
    whole = np.where(above | below, 0.0, values).astype(dtype)
    whole[above], whole[below] = info.max, info.min
    return whole


def _numbers_of_series(series: Any, column: Column) -> np.ndarray:
    from pandas.api.types import is_bool_dtype, is_complex_dtype, is_numeric_dtype

    if column.kind == "date":
        return days_of(series)
    truly = is_numeric_dtype(series.dtype) and not is_bool_dtype(series.dtype) and not is_complex_dtype(series.dtype)
    if truly and column.kind not in LEVELED:
        return series.to_numpy(dtype=np.float64, na_value=np.nan)
    # Never through NumPy's own conversion, which would take '1.5' and True for numbers.
    return _numbers(series.to_numpy(dtype=object, na_value=np.nan), column, series.index)


def _numbers(values: np.ndarray, column: Column, labels: Iterable[Any]) -> np.ndarray:
    return column.encode(values, labels) if column.kind in LEVELED else _floats(values, column.name, labels)


def _floats(values: np.ndarray, name: Any, labels: Iterable[Any]) -> np.ndarray:
    floats = np.empty(len(values))
    for i, (label, value) in enumerate(zip(labels, values, strict=True)):
        # pandas' NA and NaT by the names of their types, since pandas need not be there for arrays.
        if value is None or type(value).__name__ in ("NAType", "NaTType"):
            floats[i] = np.nan
        elif isinstance(value, (int, float, np.integer, np.floating, Decimal)) and not isinstance(value, bool):
            try:
                floats[i] = float(value)
            except OverflowError:
                raise ValueError(f"column {name!r}: got a number too large for float64 in row {label}") from None
        elif isinstance(value, (dict, list, tuple, set)):
            raise TypeError(f"column {name!r}: got {value!r} in row {label}; each cell of the argument must be a string or a number")
        else:
            raise ValueError(f"column {name!r}: got {value!r} in row {label}, expected a number")
    return floats
