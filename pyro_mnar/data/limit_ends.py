"""Limits of missing values as numbers: the least and the largest possible ones of each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.layout import label_of
from pyro_mnar.data.limits import Limit
from pyro_mnar.data.written_limits import Ends

if TYPE_CHECKING:
    from pandas import DataFrame


def read_ends(
    limits: Sequence[Limit],
    columns: Sequence[Column],
    table: DataFrame | np.ndarray,
    values: np.ndarray,
    mask: np.ndarray,
    written: Mapping[Any, Ends] | None = None,
) -> np.ndarray | None:
    """Return what :meth:`~pyro_mnar.data.codec.TableCodec.read_limits` does, of ``limits`` of some of D ``columns``."""
    if not limits:
        return None
    found = np.tile([-np.inf, np.inf], (*mask.shape, 1))
    at = {column.name: j for j, column in enumerate(columns)}
    for limit in limits:
        j = at[limit.column]
        column, seen = columns[j], mask[:, j]
        own_written = (written or {}).get(limit.column)
        ends = limit.read(table, column, None if own_written is None else in_numbers(own_written, column))
        own = np.stack(possible(ends, column, values[seen, j]), -1)
        check_possible(limit, column, own, seen, table)
        _check_observed(limit, own, ends, column, values[:, j], seen, table)
        found[~seen, j] = own[~seen]
    return found


def in_numbers(written: Ends, column: Column) -> Ends:
    """Return limits that cells say, (N,) each, as numbers of their column: places of levels, days of dates.

    Raises:
        ValueError: for levels that are no numbers in ascending or descending order, and limits that are no dates.

    Example:
        >>> from pyro_mnar.data.kinds.levels import Ordinal
        >>> written = Ends(np.array([np.nan, 2.5]), np.array([2.0, np.nan]), np.zeros(2, bool), np.array([True, False]))
        >>> in_numbers(written, Ordinal("grade", "int64", (1, 2, 3)))[:2]
        (array([0., 2.]), array([0., 2.]))
    """
    if column.levels:
        return _places(written, column)
    if column.reads_floats or "int" not in column.dtype.lower():
        return written
    import pandas as pd

    low, high = (column.read_series(pd.Series(end, name=column.name)) for end in written[:2])
    return Ends(low, high, written.above, written.below)


def _places(written: Ends, column: Column) -> Ends:
    levels = np.array([level if isinstance(level, (int, float)) else np.nan for level in column.levels], float)
    steps = np.diff(levels)
    if not ((steps > 0).all() or (steps < 0).all()):
        raise ValueError(f"limits: got limits in cells of column {column.name!r}, expected levels that are numbers by their size")
    low, high = np.full(len(written.low), np.nan), np.full(len(written.low), np.nan)
    for i in np.flatnonzero(~np.isnan(written.low) | ~np.isnan(written.high)):
        above, below = (np.broadcast_to(strict, low.shape)[i] for strict in (written.above, written.below))
        beyond = (levels < written.low[i]) | (levels > written.high[i])
        (inside,) = np.nonzero(~(beyond | (above & (levels == written.low[i])) | (below & (levels == written.high[i]))))
        low[i], high[i] = (inside[0], inside[-1]) if len(inside) else (np.inf, np.inf)
    return Ends(low, high)


def check_possible(limit: Limit, column: Column, own: np.ndarray, seen: np.ndarray, table: DataFrame | np.ndarray) -> None:
    """Raise a ValueError, naming the row, where limits ``own`` (N, 2) leave a hole no value.

    Args:
        limit: what is said.
        column: of which.
        own: the least and largest possible numbers.
        seen: (N,) where it is observed.
        table: whose rows they are.
    """
    low, high = own.T
    ends = [np.where(np.isfinite(end), end, 0.0) for end in (low, high)]
    beyond = np.isfinite(low) & (column.inside(ends[0]) < ends[0]) | np.isfinite(high) & (column.inside(ends[1]) > ends[1])
    first, last = column.between(low, high)
    nothing = ~seen & (beyond | (low > high) | (first > last) | (first == last) & np.isinf(first))
    if nothing.any():
        i = int(nothing.argmax())
        said, expected = f"{limit.in_words(column)} in row {label_of(table, i)}", "other limits"
        if low[i] > high[i] and _narrow(column.dtype) and not column.step(np.empty(0)):
            said += f" (of {column.dtype}, the nearest ones are {float(high[i])!r} and {float(low[i])!r})"
            expected += ", or the column as float64"
        raise ValueError(f"limits: column {column.name!r} has no value {said}, expected {expected}")


def _check_observed(
    limit: Limit,
    own: np.ndarray,
    ends: Ends,
    column: Column,
    values: np.ndarray,
    seen: np.ndarray,
    table: DataFrame | np.ndarray,
) -> None:
    """Raise a ValueError, naming the row, where limits of each row on both sides contradict a value that is observed.

    A 0.1 in a column of float32 is 0.10000000149, and stands within limits of 0.1: it may also lie where they are rounded to.
    """
    given = [end for end in limit.ends if isinstance(end, str) or np.ndim(end)]
    if len(given) < 2:
        return
    narrow = _narrow(column.dtype) or np.float64
    low, high = np.fmin(own[:, 0], _rounded(ends.low, narrow)), np.fmax(own[:, 1], _rounded(ends.high, narrow))
    against = seen & ((values < low) | (values > high))
    if against.any():
        i = int(against.argmax())
        said = f"{column.in_words(low[i])} to {column.in_words(high[i])}"
        raise ValueError(
            f"column {column.name!r}: got {column.in_words(values[i])} in row {label_of(table, i)}, whose limits are {said}, expected "
            "values within"
        )


def possible(ends: Ends, column: Column, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest number (N,) that a column can have within limits, infinite where there is none.

    Args:
        ends: of each row.
        column: whose numbers they are.
        seen: (n,) what was observed of it, which says how fine its values are.
    """
    step = column.step(seen)
    return _outermost(ends.low, ends.above, step, column.dtype), -_outermost(-ends.high, ends.below, step, column.dtype)


def _outermost(ends: np.ndarray, strict: bool | np.ndarray, step: float, dtype: str) -> np.ndarray:
    """Return the first possible number from ``ends`` (N,) on, upwards; minus infinity where there is no end."""
    known = np.isfinite(ends)
    return np.where(known, _first(np.where(known, ends, 0.0), strict, step, dtype), np.where(np.isnan(ends), -np.inf, ends))


def _first(ends: np.ndarray, strict: bool | np.ndarray, step: float, dtype: str) -> np.ndarray:
    if step:
        places = ends / step
        near = np.abs(places - np.rint(places)) < 1e-9 * np.maximum(1.0, np.abs(places))
        return step * np.where(near, np.rint(places) + np.asarray(strict), np.ceil(places))
    narrow = _narrow(dtype)
    if narrow is not None:
        found = _rounded(ends, narrow)
        found = np.where(found.astype(float) < ends, np.nextafter(found, narrow(np.inf)), found)
        again = np.asarray(strict) & (found.astype(float) == ends)
        return np.where(again, np.nextafter(found, narrow(np.inf)), found).astype(float)
    return np.where(np.asarray(strict), np.nextafter(ends, np.inf), ends)


def _rounded(ends: np.ndarray, dtype: type[np.floating[Any]]) -> np.ndarray:
    """Return the nearest numbers of a type, infinite ones beyond its largest."""
    with np.errstate(over="ignore"):
        return ends.astype(dtype)


def _narrow(dtype: str) -> type[np.floating[Any]] | None:
    """Return NumPy's type of a column's floats where they are fewer than those of float64, else None."""
    return np.dtype(dtype.lower()).type if dtype.lower() in ("float32", "float16") else None
