"""The one place where NaN becomes a mask, and where completed values go back into the user's table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyro_mnar.data.kinds.numbers import within
from pyro_mnar.data.schema import Schema, as_array, is_frame

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pandas import DataFrame, Series

    from pyro_mnar.data.kinds.column import Column


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
        frame: DataFrame = table
        schema.check(frame)
        labels = frame.index
        if all(column.reads_floats for column in schema.columns) and all(dtype == np.float64 for dtype in frame.dtypes):
            # At once: of a single row, taking a frame's columns is most of the work.
            raw = np.array(frame if list(frame.columns) == names else frame[names], order="C")
        else:
            raw = np.column_stack([column.read_series(frame[column.name]) for column in schema.columns])
    else:
        array = as_array(table)
        schema.check(array)
        labels = range(len(array))
        if array.dtype.kind in "mM":  # as objects, nanoseconds would be whole numbers
            raise ValueError(f"table: got an array of dtype {array.dtype}, expected numbers")
        plain = array if array.dtype.kind in "biuf" else array.astype(object)
        raw = np.column_stack([column.read(plain[:, j], labels) for j, column in enumerate(schema.columns)])
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


def join(table: ArrayLike | DataFrame, completed: np.ndarray, mask: np.ndarray, schema: Schema | None = None) -> DataFrame | np.ndarray:
    """Return a copy of ``table`` with ``completed`` values in the holes; everything else bit for bit.

    Types stay: an array keeps its dtype (lists become float64 arrays), a DataFrame its columns, their order and dtypes, and its
    index. Whole-number columns with holes (pandas' nullable integers) get rounded values, held within what the dtype can store.
    Only a column of no numeric dtype that is missing altogether becomes float64.

    Args:
        table: the one given to :func:`split`.
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
    rows = len(table) if is_frame(table) else len(as_array(table))
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
            if holes.any():
                array[holes, j] = within(column.written(completed[holes, j]), array.dtype).astype(array.dtype)
        return array
    frame: DataFrame = table.copy()
    for j, column in enumerate(schema.columns):
        holes = ~mask[:, j]
        if holes.any():
            frame[column.name] = _filled(column, frame[column.name].copy(), holes, completed[holes, j])
    return frame


def _filled(column: Column, series: Series, holes: np.ndarray, values: np.ndarray) -> Series:
    """Return a column as its kind fills it; what is new in a dtype of categories, of a kind that is more than its levels, is added."""
    if str(series.dtype) != "category" or column.levels or holes.all():
        return column.fill(series, holes, values)
    places = np.flatnonzero(holes)
    found = column.fill(series.astype(object), holes, values).iloc[places]
    others = [value for value in dict.fromkeys(found) if value not in series.cat.categories]
    series = series.cat.add_categories(others)
    series.iloc[places] = found
    return series
