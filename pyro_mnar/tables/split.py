"""The one place where NaN becomes a mask, and where completed values go back into the user's table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_mnar.tables.schema import Schema, is_frame

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pandas import DataFrame


def split(table: ArrayLike | DataFrame, schema: Schema, *, allow_empty: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return the values (N, D) float64, 0 in the holes, and the mask (N, D) bool, True = observed.

    Args:
        table: array or DataFrame; NaN, None and pandas' NA are holes.
        schema: the columns to read, in its order.
        allow_empty: whether a column may have no observed value.

    Raises:
        ValueError: for no rows, a value that is no number, an infinite one, or a column with no observed value; names column and row.

    Example:
        >>> values, mask = split([[1.0, float("nan")], [2.0, 3.0]], Schema.of([[0.0, 0.0]]))
        >>> values.tolist(), mask.tolist()
        ([[1.0, 0.0], [2.0, 3.0]], [[True, False], [True, True]])
    """
    names = [column.name for column in schema.columns]
    if is_frame(table):
        frame: Any = table
        columns = [frame[name] for name in names]
        raw = np.column_stack([_floats(c.to_numpy(dtype=object, na_value=np.nan), c.name, c.index) for c in columns])
        labels = list(frame.index)
    else:
        array = np.asarray(table)
        if array.ndim != 2:
            raise ValueError(f"table: got {array.ndim} dimensions, expected 2 (rows and columns)")
        labels = list(range(len(array)))
        raw = (
            (
                np.column_stack([_floats(array[:, j], j, labels) for j in range(array.shape[1])])
                if array.dtype == object
                else array.astype(np.float64)
            )
            if array.size
            else np.zeros(array.shape)
        )
    if not len(raw):
        raise ValueError("table: got no rows, expected at least 1")
    mask = ~np.isnan(raw)
    infinite = np.argwhere(np.isinf(raw))
    if len(infinite):
        i, j = infinite[0]
        raise ValueError(f"column {names[j]!r}: got an infinite value in row {labels[i]}, expected finite numbers or holes")
    if not allow_empty and not mask.any(0).all():
        raise ValueError(f"column {names[int(mask.any(0).argmin())]!r}: has no observed value, expected at least 1")
    return np.where(mask, raw, 0.0), mask


def join(table: ArrayLike | DataFrame, completed: np.ndarray, mask: np.ndarray, schema: Schema) -> Any:
    """Return a copy of ``table`` with ``completed`` values in the holes; everything else bit for bit.

    Whole-number columns with holes (pandas' nullable integers) get rounded values.

    Args:
        table: as given to :func:`split`.
        completed: (N, D) float64.
        mask: (N, D) bool, True = observed.
        schema: the columns of ``completed``.

    Example:
        >>> join([[1.0, float("nan")]], np.array([[9.0, 2.5]]), np.array([[True, False]]), Schema.of([[0.0, 0.0]])).tolist()
        [[1.0, 2.5]]
    """
    if not is_frame(table):
        array = np.array(table)
        array = array if array.dtype.kind == "f" else array.astype(np.float64)
        array[~mask] = completed[~mask].astype(array.dtype)
        return array
    from pandas.api.types import is_integer_dtype

    frame: Any = table.copy()  # type: ignore[union-attr]
    for j, column in enumerate(schema.columns):
        holes = ~mask[:, j]
        if not holes.any():
            continue
        series = frame[column.name].copy()
        values = completed[holes, j]
        if is_integer_dtype(series.dtype):
            values = np.rint(values).astype(np.int64)
        if series.dtype == object:
            series = series.astype(np.float64)
        series.iloc[np.flatnonzero(holes)] = values.astype(series.dtype) if isinstance(series.dtype, np.dtype) else values
        frame[column.name] = series
    return frame


def _floats(values: np.ndarray, name: Any, labels: Any) -> np.ndarray:
    try:
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    except (TypeError, ValueError):
        for label, value in zip(labels, values, strict=True):
            if value is not None and not isinstance(value, (int, float, np.number)):
                raise ValueError(f"column {name!r}: got {value!r} in row {label}, expected a number") from None
        raise
