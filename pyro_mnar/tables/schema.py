"""The columns of a table: their names, kinds and dtypes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike
    from pandas import DataFrame

#: The kinds of columns that models know. Binary, categorical, ordinal, count and bounded columns will join here.
KINDS = ("continuous",)


@dataclass(frozen=True)
class Column:
    """One column: its name (its position, for arrays), its kind and its dtype's name.

    Example:
        >>> Column("income", "continuous", "float64").kind
        'continuous'
    """

    name: str | int
    kind: str
    dtype: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: got {self.kind!r} for column {self.name!r}, expected one of {', '.join(KINDS)}")


@dataclass(frozen=True)
class Schema:
    """The modelled columns, in order.

    Example:
        >>> [column.name for column in Schema.of([[1.0, 2.0]]).columns]
        [0, 1]
    """

    columns: tuple[Column, ...]

    @classmethod
    def of(cls, table: ArrayLike | DataFrame, columns: Sequence[Any] | None = None) -> Self:
        """Read the schema off a table.

        Args:
            table: DataFrame, or 2-D array (its columns are then named by position).
            columns: the names to use, all by default; the rest of the table is left alone.

        Raises:
            ValueError: for duplicate or unknown column names, no columns, or a column that is not numeric (naming its first
                value that is not).
        """
        if not is_frame(table):
            shape = np.shape(table)
            if len(shape) != 2:
                raise ValueError(f"table: got {len(shape)} dimensions, expected 2 (rows and columns)")
            dtype = str(np.asarray(table).dtype)
            return cls(tuple(Column(j, "continuous", dtype) for j in range(shape[1])))
        frame: Any = table
        names = list(frame.columns)
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"table: column {twice[0]!r} stands more than once, expected distinct names")
        chosen = names if columns is None else list(columns)
        for name in chosen:
            if name not in names:
                raise ValueError(f"columns: got unknown {name!r}, expected some of {', '.join(map(str, names))}")
            _check_numeric(frame[name])
        if not chosen:
            raise ValueError("table: got no columns, expected at least 1")
        return cls(tuple(Column(_plain(name), "continuous", str(frame[name].dtype)) for name in chosen))

    def check(self, table: ArrayLike | DataFrame) -> None:
        """Raise a ValueError when a table has not the schema's columns (for data frames order and further columns do not matter)."""
        if not is_frame(table):
            shape = np.shape(table)
            if len(shape) != 2 or shape[1] != len(self.columns):
                raise ValueError(f"table: got shape {shape}, expected {len(self.columns)} columns as in training")
            return
        present = list(table.columns)  # type: ignore[union-attr]
        missing = [str(column.name) for column in self.columns if column.name not in present]
        if missing:
            extra = [str(name) for name in present if name not in {column.name for column in self.columns}]
            unknown = f"; the model does not know {', '.join(extra)}" if extra else ""
            raise ValueError(f"table: lacks the model's column(s) {', '.join(missing)}{unknown}")

    def to_json(self) -> list[dict[str, Any]]:
        """Return the columns as plain data."""
        return [asdict(column) for column in self.columns]

    @classmethod
    def from_json(cls, plain: list[dict[str, Any]]) -> Self:
        """Return the schema that :meth:`to_json` wrote."""
        return cls(tuple(Column(**column) for column in plain))


def is_frame(table: Any) -> bool:
    """Return whether ``table`` is a pandas DataFrame, without importing pandas.

    Example:
        >>> is_frame([[1.0]])
        False
    """
    return hasattr(table, "columns") and hasattr(table, "iloc")


def _plain(name: Any) -> str | int:
    return int(name) if isinstance(name, (int, np.integer)) else str(name)


def _check_numeric(series: Any) -> None:
    from pandas.api.types import is_bool_dtype, is_complex_dtype, is_numeric_dtype

    if is_numeric_dtype(series.dtype) and not is_bool_dtype(series.dtype) and not is_complex_dtype(series.dtype):
        return
    for label, value in series.dropna().items():
        if not isinstance(value, (int, float, np.number)) or isinstance(value, bool):
            raise ValueError(
                f"column {series.name!r}: got {value!r} in row {label}, expected numbers (leave the column out, or make it numeric)"
            )
    if series.notna().any():
        raise ValueError(f"column {series.name!r}: got dtype {series.dtype}, expected a numeric dtype")
