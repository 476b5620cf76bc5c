"""From the table that a user gives to the columns that a model knows, and back: columns never seen, indicators, polars."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from pyro_mnar.tables.schema import is_frame


@dataclass(frozen=True)
class Layout:
    """Which columns of a table a model knows, and what the completed table looks like.

    Args:
        names: of all the table's columns, in order (positions, for arrays).
        known: positions of those with an observed value in training; a model knows only these.
        holed: positions of those of them with a hole in training.
        keep_empty: whether the other columns stay, their holes filled with 0, or are left out.
        indicators: whether a column that says what was missing is added for each of ``holed``.

    Example:
        >>> layout = Layout(("a", "b", "c"), (0, 2), (2,), keep_empty=False, indicators=True)
        >>> layout.names_out()
        ['a', 'c', 'missingindicator_c']
    """

    names: tuple[Any, ...]
    known: tuple[int, ...]
    holed: tuple[int, ...]
    keep_empty: bool
    indicators: bool

    def names_out(self) -> list[Any]:
        """Return the names of the completed table's columns."""
        kept = range(len(self.names)) if self.keep_empty else self.known
        marks = [f"missingindicator_{self.names[j]}" for j in self.holed] if self.indicators else []
        return [self.names[j] for j in kept] + marks

    def part(self, table: Any) -> Any:
        """Return the columns that the model knows of a DataFrame or an array."""
        if len(self.known) == len(self.names):
            return table
        return table[[self.names[j] for j in self.known]] if is_frame(table) else table[:, list(self.known)]

    def whole(self, table: Any, completed: Any, mask: np.ndarray) -> Any:
        """Return the completed table, given its ``completed`` known columns and their mask (N, number known)."""
        n_empty = len(self.names) - len(self.known)
        places = [self.known.index(j) for j in self.holed]
        marks = ~mask[:, places] if self.indicators else np.zeros((len(mask), 0), bool)
        if is_frame(table):
            result = completed
            if self.keep_empty and n_empty:
                result = table.copy()
                for j, name in enumerate(self.names):
                    result[name] = completed[name] if j in self.known else _zeros_in_holes(table[name])
            return result.assign(**{name: marks[:, i] for i, name in enumerate(self.names_out()[len(result.columns) :])})
        if self.keep_empty and n_empty:
            filled = np.zeros((len(completed), len(self.names)), completed.dtype)
            empty = [j for j in range(len(self.names)) if j not in self.known]
            filled[:, empty] = np.where(np.isnan(table[:, empty].astype(np.float64)), 0.0, table[:, empty]).astype(completed.dtype)
            filled[:, list(self.known)] = completed
            completed = filled
        return np.hstack([completed, marks.astype(completed.dtype)]) if marks.shape[1] else completed

    def to_json(self) -> dict[str, Any]:
        """Return the layout as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Self:
        """Return the layout that :meth:`to_json` wrote."""
        held: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}
        return cls(**held)


def as_pandas(table: Any) -> Any:
    """Return a polars DataFrame as a pandas one whose values and holes are exactly those, and any other table as it is.

    Example:
        >>> as_pandas([[1.0]])
        [[1.0]]
    """
    if not is_polars(table):
        return table
    import pandas as pd

    # Whole numbers and truth values by Arrow, which holds them beside nulls; floats by NumPy, whose NaN is a hole as polars' null is.
    return pd.DataFrame(
        {
            column.name: column.to_pandas(use_pyarrow_extension_array=column.dtype.is_integer() or str(column.dtype) == "Boolean")
            for column in table.get_columns()
        }
    )


def like(table: Any, completed: Any) -> Any:
    """Return a ``completed`` pandas DataFrame as a polars one with the dtypes of ``table``, where that is one, else as it is."""
    if not (is_polars(table) and is_frame(completed)):
        return completed
    import polars as pl

    result = pl.from_pandas(completed)
    return result.cast({name: dtype for name, dtype in table.schema.items() if name in result.columns})


def is_polars(table: Any) -> bool:
    """Return whether ``table`` is a polars DataFrame, without importing polars."""
    return type(table).__module__.split(".")[0] == "polars" and hasattr(table, "get_columns")


def _zeros_in_holes(series: Any) -> Any:
    # A column of no dtype of its own, as pandas reads an empty one.
    return (series.astype("float64") if str(series.dtype) in ("object", "str") else series).fillna(0)
