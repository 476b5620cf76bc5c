"""Values that are stated to stand for missing ones, such as -99 and ``?``: which they are by column, and a table with holes there."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pyro_mnar.data.kinds.evidence import is_hole
from pyro_mnar.data.kinds.table import KINDS
from pyro_mnar.data.schema import is_frame
from pyro_mnar.data.texts import number_in

if TYPE_CHECKING:
    from pandas import Series

_Name = TypeVar("_Name", bound=Hashable)


def level_words(kinds: Mapping[_Name, object] | None) -> dict[_Name, Collection[str]]:
    """Return by column the words that are levels, as the kinds declare them, and so never stand for a missing value.

    Example:
        >>> level_words({"drink": "ordinal:None:Low:High", "age": "positive"})
        {'drink': ['None', 'Low', 'High']}
    """
    found: dict[_Name, Collection[str]] = {}
    for name, declared in (kinds or {}).items():
        kind, *rest = declared.split(":") if isinstance(declared, str) else [""]
        if kind in KINDS and KINDS[kind].level_words(rest):
            found[name] = KINDS[kind].level_words(rest)
    return found


def stated_holes(missing: object, names: Sequence[Hashable], kinds: Mapping[_Name, object] | None = None) -> dict[Any, list[Any]]:
    """Return by column the values that stand for a missing one.

    Args:
        missing: one value or several, for every column, or a mapping from columns to such; None for none.
        names: of the columns (positions, for arrays).
        kinds: words that declare what columns are: their levels are no holes.

    Raises:
        ValueError: for an unknown column, or a value that is neither text nor a number.

    Example:
        >>> stated_holes({"age": -9, "job": ["?", "-"]}, ["age", "job", "pay"])
        {'age': [-9], 'job': ['?', '-']}
    """
    if missing is None:
        return {}
    given = missing if isinstance(missing, Mapping) else dict.fromkeys(names, missing)
    unknown = [name for name in given if name not in names]
    if unknown:
        raise ValueError(f"missing: got unknown column {unknown[0]!r}, expected some of {', '.join(map(str, names))}")
    levels, found = level_words(kinds), {}
    for name, stated in given.items():
        values = [stated] if isinstance(stated, (str, bytes)) or not isinstance(stated, Collection) else list(stated)
        for value in values:
            if isinstance(value, (bool, np.bool_)) or not (
                is_hole(value) or isinstance(value, (str, int, float, np.integer, np.floating))
            ):
                raise ValueError(f"missing: got {value!r} for column {name!r}, expected texts or numbers")
        own = _Stated(levels.get(name, ()))  # type: ignore[arg-type]  # names are not typed
        values = [value for value in values if not (is_hole(value) or own.has(value))]
        if values:
            found[name] = values
    return found


def with_holes(table: Any, stated: Mapping[_Name, Collection[object]]) -> Any:
    """Return a DataFrame or an array with holes where values are those that are stated; other values as they stood.

    Args:
        table: (N, D).
        stated: values by column (position, for arrays).

    Example:
        >>> with_holes(np.array([[1.0, -9.0], [-9.0, 2.0]]), {1: [-9]}).tolist()
        [[1.0, nan], [-9.0, 2.0]]
    """
    if is_frame(table):
        result, names = table, list(table.columns)
        for name, values in stated.items():
            # A name that stands twice is refused later.
            series = table[name] if names.count(name) == 1 else None
            changed = series if series is None else without(series, values)
            if changed is not series:
                result = table.copy(deep=False) if result is table else result
                result[name] = changed
        return result
    gone = np.zeros(table.shape, bool)
    for j, values in stated.items():
        gone[:, j] = _Stated(values).among(table[:, j])  # type: ignore[index]  # positions here
    if not gone.any():
        return table
    result = table.astype(np.float64 if table.dtype.kind in "biu" else table.dtype if table.dtype.kind == "f" else object)
    result[gone] = np.nan
    return result


def without(series: Series, values: Collection[object]) -> Series:
    """Return a Series of any dtype with holes where its values are ``values``, as text or as numbers.

    Example:
        >>> import pandas as pd
        >>> without(pd.Series([1, -99]), ["-99"]).isna().tolist()
        [False, True]
    """
    gone = stated_cells(cells_of(series), values)
    return punched(series, gone) if gone.any() else series


def cells_of(series: Series) -> np.ndarray:
    """Return a column's cells (N,), numbers of fewer digits than Python's as such, others as objects.

    Example:
        >>> import pandas as pd
        >>> cells_of(pd.Series([0.1, None], dtype="float32")).dtype.name, cells_of(pd.Series([0.1, None])).dtype.name
        ('float32', 'object')
    """
    dtype = getattr(series.dtype, "numpy_dtype", getattr(series.dtype, "subtype", series.dtype))
    short = isinstance(dtype, np.dtype) and dtype.kind == "f" and dtype.itemsize < 8
    cells: np.ndarray = series.to_numpy(dtype=dtype if short else object, na_value=np.nan if short else None)
    return cells


def stated_cells(cells: np.ndarray, values: Collection[object]) -> np.ndarray:
    """Return which of some objects or numbers (N,) are among ``values``, as text or as numbers.

    Example:
        >>> stated_cells(np.array([1, -99]), ["-99"]).tolist()
        [False, True]
    """
    return _Stated(values).among(cells)


def punched(series: Series, gone: np.ndarray) -> Series:
    """Return a Series of any dtype with holes where ``gone`` (N,)."""
    import pandas as pd

    kind = series.dtype.kind
    if str(series.dtype).startswith("Sparse"):
        series = series.sparse.to_dense()
        kind = series.dtype.kind
    if isinstance(series.dtype, np.dtype) and kind in "iub":
        series = series.astype("boolean" if kind == "b" else f"{'U' if kind == 'u' else ''}Int{8 * series.dtype.itemsize}")
    return series.mask(pd.Series(gone, series.index))


class _Stated:
    """Values, which texts, numbers and dates are asked to be among."""

    def __init__(self, values: Collection[object]) -> None:
        self._words = {value.strip() if isinstance(value, str) else str(value) for value in values}
        found: list[Any] = [number_in(value) if isinstance(value, str) else value for value in values]
        self._numbers: set[Any] = {value for value in found if isinstance(value, (int, float, np.integer, np.floating))}
        # As numbers of fewer digits hold them.
        kinds = {kind: float(np.finfo(kind).max) for kind in (np.float32, np.float16)}
        self._short = {(kind, float(kind(one))) for kind, most in kinds.items() for one in self._numbers if abs(one) <= most}

    def has(self, value: object) -> bool:
        """Return whether a value is one of them, as text, as a number or as a date."""
        if isinstance(value, str):
            return value.strip() in self._words or number_in(value) in self._numbers
        if isinstance(value, date):  # a time of its own is no part of a date that is stated
            return str(value) in self._words or (str(value).endswith(" 00:00:00") and str(value)[:10] in self._words)
        if isinstance(value, (np.float32, np.float16)):
            return (type(value), float(value)) in self._short
        if isinstance(value, (bool, np.bool_)) or is_hole(value) or not isinstance(value, Hashable):
            return False
        return value in self._numbers

    def among(self, values: np.ndarray) -> np.ndarray:
        """Return which of some objects or numbers (N,) are such."""
        return np.fromiter((self.has(value) for value in values), bool, len(values))
