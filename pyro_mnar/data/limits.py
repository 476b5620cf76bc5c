"""Limits of missing values: what is said of them by column, and what that is in each row, in the table's numbers.

    ("<", END), ("<=", END), (">", END), (">=", END)     one limit; < and > leave the limit itself out
    (END, END)                                           from one to the other, both in; None for no end
    "cells"                                              as the cells themselves say: <0.5, >=100, [2,5), 10-20

An END is a value of the column, the name of a column that has one for each row, an array of them, or the word ``largest`` or
``smallest``: the outermost value that was observed in training. Rows where it is missing have no limit. What is said is said of holes.
A value that is observed stands as it is, and only where columns or arrays give it limits on both sides is it held against them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.layout import label_of
from pyro_mnar.data.names import by_column
from pyro_mnar.data.schema import is_frame
from pyro_mnar.data.written_limits import Ends

if TYPE_CHECKING:
    from pandas import DataFrame

#: What a limit at the outermost observed value is called.
OUTERMOST = ("largest", "smallest")
_SIGNS = ("<", "<=", ">", ">=")
_FORMS = "(sign, end) with a sign of <, <=, >, >=, (low, high), or 'cells'"


@dataclass(frozen=True)
class Limit:
    """What is known of one column's holes.

    Attributes:
        column: its name.
        low, high: a value, a column's name, an array (N,), a word of ``OUTERMOST``, or None.
        above, below: whether the limit itself is left out.
        cells: whether the cells say it.
    """

    column: Any
    low: Any = None
    high: Any = None
    above: bool = False
    below: bool = False
    cells: bool = False

    @classmethod
    def of(cls, column: Hashable, said: object) -> Self:
        """Return what is said of a column.

        Raises:
            ValueError: for another form.

        Example:
            >>> Limit.of("lead", ("<", 0.5))
            Limit(column='lead', low=None, high=0.5, above=False, below=True, cells=False)
        """
        if isinstance(said, str) and said == "cells":
            return cls(column, cells=True)
        if isinstance(said, str) or not isinstance(said, Sequence) or len(said) != 2 or all(end is None for end in said):
            raise ValueError(f"limits: got {said!r:.60} for column {column!r}, expected {_FORMS}")
        first, second = said
        if isinstance(first, str) and first in _SIGNS:
            if second is None:
                raise ValueError(f"limits: got {said!r:.60} for column {column!r}, expected {_FORMS}")
            strict = first in ("<", ">")
            return cls(column, high=second, below=strict) if first[0] == "<" else cls(column, low=second, above=strict)
        return cls(column, first, second)

    @property
    def ends(self) -> tuple[Any, Any]:
        """Both limits."""
        return self.low, self.high

    def named(self, names: Sequence[Hashable]) -> list[str]:
        """Return which of a table's columns it reads."""
        return [end for end in self.ends if isinstance(end, str) and end in names]

    def learned(self, column: Column, seen: np.ndarray, names: Sequence[Hashable]) -> Self:
        """Return it with numbers in the place of values, given what was observed of its column, (n,)."""
        if not column.ordered or column.circular:
            raise ValueError(f"limits: got one for {column.kind} column {column.name!r}, expected a column whose values have an order")
        return replace(self, low=_learned(self.low, column, seen, names), high=_learned(self.high, column, seen, names))

    def read(self, table: DataFrame | np.ndarray, column: Column, written: Ends | None = None) -> Ends:
        """Return the limits of each row, (N,) each, in numbers.

        Raises:
            ValueError: naming column and row, for a limit that is none, a lower one above the upper, or an array of another length.
        """
        if self.cells:
            none = np.full(len(table), np.nan)
            ends = Ends(none, none) if written is None else written
        else:
            ends = Ends(_of_rows(self.low, table, column), _of_rows(self.high, table, column), self.above, self.below)
        crossed = ends.low > ends.high
        if crossed.any():
            i = int(crossed.argmax())
            said = f"{column.in_words(ends.low[i])} and {column.in_words(ends.high[i])}"
            raise ValueError(f"limits: got {said} for column {self.column!r} in row {label_of(table, i)}, expected the lower one first")
        return ends

    def in_words(self, column: Column) -> str:
        """Return what is known, such as ``below 0.5``.

        Example:
            >>> from pyro_mnar.data.kinds.numbers import Continuous
            >>> Limit("lead", None, "lod", below=True).in_words(Continuous("lead", "float64"))
            'below lod'
        """
        if self.cells:
            return "as the cells say"
        low, high = (_said(end, column) for end in self.ends)
        if low and high:
            return f"from {low} to {high}"
        if low:
            return f"above {low}" if self.above else f"{low} or above"
        return f"below {high}" if self.below else f"{high} or below"

    def to_json(self) -> dict[str, object]:
        """Return it as plain data."""
        return {name: _plain(value) for name, value in vars(self).items()}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Return what :meth:`to_json` wrote; ValueError for anything else."""
        limit = cls(**plain)
        if not all(type(flag) is bool for flag in (limit.above, limit.below, limit.cells)) or not all(map(_is_end, limit.ends)):
            raise ValueError(f"limits: got {plain!r:.60}, expected numbers, names of columns, or a list of numbers")
        return limit


def limits_of(said: Mapping[Any, Any] | None, names: Sequence[Hashable]) -> tuple[Limit, ...]:
    """Return what a setting says of a table's columns.

    Raises:
        ValueError: for another form, or a column that is not the table's.
    """
    if said is None:
        return ()
    return tuple(Limit.of(column, given) for column, given in by_column(said, names, "limits", "what is known of their holes").items())


def set_aside(limits: Sequence[Limit], names: Sequence[Hashable], kinds: Collection[Hashable]) -> list[str]:
    """Return the columns that hold limits of others, and are not declared to be more."""
    found = dict.fromkeys(end for limit in limits for end in limit.named(names))
    return [name for name in found if name not in kinds]


def learned_limits(
    said: Sequence[Limit], names: Sequence[Hashable], columns: Sequence[Column], values: np.ndarray, mask: np.ndarray
) -> tuple[Limit, ...]:
    """Return what is said with numbers in the place of values.

    Args:
        said: of some columns.
        names: of all the table's columns.
        columns: those that vary, D.
        values, mask: (N, D) of these.

    Raises:
        ValueError: for a column that does not vary, has no holes, or whose values have no order.
    """
    at = {column.name: j for j, column in enumerate(columns)}
    found = []
    for limit in said:
        j = at.get(limit.column)
        if j is None:
            raise ValueError(
                f"limits: got one for column {limit.column!r}, whose observed values do not vary, expected one that is modeled"
            )
        if mask[:, j].all():
            raise ValueError(f"limits: got one for column {limit.column!r}, which has no holes, expected a column with some")
        found.append(limit.learned(columns[j], values[mask[:, j], j], names))
    return tuple(found)


def _learned(end: Any, column: Column, seen: np.ndarray, names: Sequence[Hashable]) -> Any:
    if end is None or (isinstance(end, str) and end in names):
        return end
    if isinstance(end, str) and end in OUTERMOST:
        return float(seen.max() if end == "largest" else seen.min())
    if np.ndim(end):
        return _numbers(end, column)
    try:
        (number,) = _numbers([end], column)
    except (TypeError, ValueError):
        number = np.nan
    if np.isnan(number):
        expected = f"a value of it, a column of the table, an array, or {' or '.join(OUTERMOST)}"
        raise ValueError(f"limits: got {end!r:.60} for column {column.name!r}, expected {expected}")
    return float(number)


def _of_rows(end: Any, table: DataFrame | np.ndarray, column: Column) -> np.ndarray:
    if end is None:
        return np.full(len(table), np.nan)
    if isinstance(end, str):
        if not is_frame(table) or end not in table.columns:
            raise ValueError(f"limits: column {column.name!r} has its limits in column {end!r}, which the table lacks")
        return replace(column, name=end).read_series(table[end])
    if not np.ndim(end):
        return np.full(len(table), float(end))
    if len(end) != len(table):
        raise ValueError(
            f"limits: got {len(end)} values for column {column.name!r} and a table of {len(table)} rows, expected as many (a column of "
            "the table has them for any)"
        )
    return np.array([np.nan if value is None else value for value in end], float)


def _numbers(values: Any, column: Column) -> np.ndarray:
    found = np.asarray(values)
    # Of dates that a frame has as numbers, such as 1985 and 20200131, limits are such numbers; else days since 1970.
    dated = not column.reads_floats and isinstance(column.name, str) and "int" in column.dtype.lower()
    if found.dtype.kind in "biuf" and not column.levels and not dated:
        return found.astype(float)
    if found.dtype.kind == "f" and not dated:
        return column.read(found.astype(object), range(len(found)))
    import pandas as pd

    if found.dtype.kind in "iuf":
        return column.read_series(pd.Series(found, name=column.name))
    return column.read_series(pd.Series(list(values), dtype=object, name=column.name))


def _said(end: Any, column: Column) -> str:
    if end is None or isinstance(end, str):
        return end or ""
    return "its own limit" if np.ndim(end) else column.levels[int(end)] if column.levels else column.in_words(end)


def _is_end(end: object) -> bool:
    if isinstance(end, list):
        return all(_is_end(one) and not isinstance(one, (str, list)) for one in end)
    return end is None or isinstance(end, str) or (isinstance(end, (int, float)) and not isinstance(end, bool) and math.isfinite(end))


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        return [None if np.isnan(number) else number for number in value.tolist()]
    return value
