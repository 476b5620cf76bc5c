"""From the table that a user gives to the columns that a model knows, and back: columns never seen, indicators, polars."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self, TypeGuard, TypeVar

import numpy as np

from pyro_mnar.data.kinds.evidence import is_hole
from pyro_mnar.data.schema import is_frame

if TYPE_CHECKING:
    import polars
    from pandas import DataFrame, Series

_Given = TypeVar("_Given")
#: Types that pandas gives to columns without a value, of no type of their own.
_UNTYPED = ("object", "str", "string", "null[pyarrow]")


@dataclass(frozen=True)
class Layout:
    """Which columns of a table a model knows, and what the completed table looks like.

    Args:
        names: those of all the table's columns, in order (positions, for arrays).
        known: positions of those with an observed value in training; a model knows only these.
        holed: positions of those of them with a hole in training.
        keep_empty: whether columns without a value stay, their holes filled with 0, or are left out.
        indicators: whether a column that says what was missing is added for each of ``holed``.
        constants: positions and values of columns whose observed values are all alike, which no model need know.
        aside: positions of columns that stay as they are, holes too: limits of others.

    Raises:
        ValueError: where an indicator would have the name of a column.

    Example:
        >>> layout = Layout(("a", "b", "c"), (0, 2), (2,), keep_empty=False, indicators=True)
        >>> layout.names_out()
        ['a', 'c', 'missingindicator_c']
    """

    names: tuple[Hashable, ...]
    known: tuple[int, ...]
    holed: tuple[int, ...]
    keep_empty: bool
    indicators: bool
    constants: tuple[tuple[int, Any], ...] = ()
    aside: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        twice = [name for name in self._indicators if name in self.names]
        if twice:
            raise ValueError(f"add_indicator: got a column that is called {twice[0]!r} already, expected another name")

    @property
    def empty(self) -> list[int]:
        """Positions of the columns without an observed value in training."""
        others = [*self.aside, *(j for j, _ in self.constants)]
        return [j for j in range(len(self.names)) if j not in self.known and j not in others]

    @property
    def kept(self) -> list[int]:
        """Positions of the columns that the completed table has."""
        known = {*self.known, *self.aside, *(j for j, _ in self.constants)}
        return list(range(len(self.names))) if self.keep_empty else sorted(known)

    def names_out(self) -> list[Hashable]:
        """Return the names of the completed table's columns."""
        return [*(self.names[j] for j in self.kept), *self._indicators]

    @property
    def _indicators(self) -> list[str]:
        return [f"missingindicator_{self.names[j]}" for j in self.holed] if self.indicators else []

    def part(self, table: DataFrame | np.ndarray) -> DataFrame | np.ndarray:
        """Return the columns that the model knows of a DataFrame or an array."""
        if len(self.known) == len(self.names):
            return table
        return table[[self.names[j] for j in self.known]] if is_frame(table) else table[:, list(self.known)]

    def part_of_whole(self, completed: DataFrame | np.ndarray, places: Sequence[int]) -> DataFrame | np.ndarray:
        """Return those at ``places`` of the columns that the model knows, of a table that :meth:`whole` returned."""
        known = [self.known[place] for place in places]
        if is_frame(completed):
            return completed[[self.names[j] for j in known]]
        return completed[:, [self.kept.index(j) for j in known]]

    def whole(self, table: DataFrame | np.ndarray, completed: DataFrame | np.ndarray, mask: np.ndarray) -> DataFrame | np.ndarray:
        """Return the completed table, given its ``completed`` known columns and their mask (N, number known)."""
        kept, values = self.kept, dict(self.constants)
        marks = np.zeros((len(mask), 0), bool)
        if self.indicators and self.holed:
            marks = np.column_stack([~mask[:, self.known.index(j)] if j in self.known else self._holes(table, j) for j in self.holed])
        if is_frame(table):
            frame: DataFrame = completed
            result = frame
            if kept != sorted(self.known) or values:
                result = table[[name for name in table.columns if name in {self.names[j] for j in kept}]].copy()
                for j in kept:
                    name = self.names[j]
                    if j in values:  # known or not: of constants alone some model is made, which fills nothing
                        result[name] = _filled(table[name], values[j])
                    elif j not in self.aside:
                        result[name] = frame[name] if j in self.known else _zeros_in_holes(table[name])
            return result.assign(**dict(zip(self._indicators, marks.T, strict=True)))
        if kept != list(self.known) or values:
            filled = np.zeros((len(completed), len(kept)), completed.dtype)
            for place, j in enumerate(kept):
                known = j in self.known and j not in values
                own = completed[:, self.known.index(j)] if known else table[:, j]
                filled[:, place] = own if known else np.where(self._holes(table, j), values.get(j, 0.0), own)
            completed = filled
        return np.hstack([completed, marks.astype(completed.dtype)]) if marks.shape[1] else completed

    def _holes(self, table: DataFrame | np.ndarray, j: int) -> np.ndarray:
        column = table[self.names[j]].to_numpy(dtype=object, na_value=None) if is_frame(table) else table[:, j]
        return np.array([is_hole(value) for value in column], bool)

    def to_json(self) -> dict[str, object]:
        """Return the layout as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Self:
        """Return the layout that :meth:`to_json` wrote.

        Raises:
            ValueError: for anything else.
        """
        held: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}
        layout = cls(**held | {"constants": tuple((int(j), value) for j, value in held["constants"])})
        if not isinstance(layout.names, tuple) or not all(type(name) in (str, int) for name in layout.names):
            raise ValueError(f"layout: got names {layout.names!r:.60}, expected texts or whole numbers")
        if not all(isinstance(value, (str, int, float)) for _, value in layout.constants):
            raise ValueError(f"layout: got constants {layout.constants!r:.60}, expected texts or numbers")
        places = range(len(layout.names))
        constants = tuple(j for j, _ in layout.constants)
        for name, own in (("known", layout.known), ("holed", layout.holed), ("constants", constants), ("aside", layout.aside)):
            if not isinstance(own, tuple) or not all(type(j) is int and j in places for j in own) or len(set(own)) < len(own):
                raise ValueError(f"layout: got {name} {own!r:.60}, expected positions among {len(places)} columns")
        if any(type(word) is not bool for word in (layout.keep_empty, layout.indicators)):
            raise ValueError("layout: got keep_empty or indicators of another type, expected true or false")
        return layout


def label_of(table: DataFrame | np.ndarray, i: int) -> object:
    """Return what the row at place ``i`` of a DataFrame is called, or of an array its place."""
    return table.index[i] if is_frame(table) else i


def as_pandas(table: _Given) -> _Given | DataFrame:
    """Return a polars DataFrame as a pandas one whose values and holes are exactly those, and any other table as it is.

    Example:
        >>> as_pandas([[1.0]])
        [[1.0]]
    """
    if type(table).__name__ == "LazyFrame":
        raise ValueError("table: got a lazy frame, expected its data (.collect())")
    if type(table).__module__.split(".")[0] == "pyarrow":
        raise ValueError(f"table: got pyarrow's {type(table).__name__}, expected a DataFrame (.to_pandas())")
    if not is_polars(table):
        return table
    import pandas as pd

    found = {}
    for column in table.get_columns():
        # Numbers that are no floats by Arrow, which holds them beside nulls; floats by NumPy, whose NaN is a hole, too.
        by_arrow = str(column.dtype) == "Boolean" or (column.dtype.is_numeric() and not column.dtype.is_float())
        found[column.name] = column.alias("").to_pandas(use_pyarrow_extension_array=by_arrow)  # of some names polars panics
    return pd.DataFrame(found)


def like(table: object, completed: DataFrame | np.ndarray) -> DataFrame | np.ndarray:
    """Return a ``completed`` pandas DataFrame as a polars one with the dtypes of ``table``, where that is one.

    Of a pandas one, whole numbers and sparse columns, which took holes by what stands for missing values, have their dtype again.
    """
    if is_frame(completed) and is_frame(table):
        given, present = (dict(zip(frame.columns, frame.dtypes, strict=True)) for frame in (table, completed))
        lost = {name: dtype for name, dtype in given.items() if name in present and present[name] != dtype}
        back = {name: dtype for name, dtype in lost.items() if str(dtype).startswith(("int", "uint", "Sparse", "bool"))}
        return completed.astype(back) if back else completed
    if not (is_polars(table) and is_frame(completed)):
        return completed
    import polars as pl

    # Column by column and by places: names may stand for several in polars (*), or make it panic.
    columns, given = [], table.schema  # which polars makes anew whenever it is asked
    for j, column in enumerate(pl.from_pandas(completed.set_axis([str(j) for j in range(completed.shape[1])], axis=1)).get_columns()):
        dtype = given.get(str(completed.columns[j]), column.dtype)
        if isinstance(dtype, pl.Enum):  # with levels that were declared
            dtype = pl.Enum(list(completed.iloc[:, j].cat.categories))
        elif column.dtype.is_float() and not (dtype.is_numeric() or dtype == pl.Boolean):
            dtype = column.dtype  # zeros in a column of nothing that was kept
        columns.append(column.cast(dtype))
    result = pl.DataFrame(columns)
    result.columns = [str(name) for name in completed.columns]
    return result


def is_polars(table: object) -> TypeGuard[polars.DataFrame]:
    """Return whether ``table`` is a polars DataFrame, without importing polars."""
    return type(table).__module__.split(".")[0] == "polars" and hasattr(table, "get_columns")


def _filled(series: Series, value: object) -> Series:
    """Return a column with ``value`` in its holes, of its dtype."""
    holes = series.isna().to_numpy()
    if not holes.any():
        return series
    dtype, result = series.dtype, series.copy()
    if str(dtype).startswith("Sparse"):
        result = result.sparse.to_dense()
    levels = list(dtype.categories) if str(dtype) == "category" else []
    if str(dtype) == "category" and value not in levels and len({type(level) for level in [*levels, value]}) == 1:
        result = result.cat.add_categories([value])
    elif holes.all():
        result = result.astype(object)
    try:
        result.iloc[np.flatnonzero(holes)] = value
    except (TypeError, ValueError):
        raise ValueError(
            f"column {series.name!r}: got dtype {dtype}, expected one that holds {value!r:.60}, which it always was"
        ) from None
    return result.astype(dtype) if str(dtype).startswith("Sparse") else result


def refuse_without_zero(X: DataFrame | np.ndarray, layout: Layout) -> None:
    """Raise a ValueError that names a column without a value that is to stay, holes filled with 0, and is of a type that has no 0."""
    if not is_frame(X) or not layout.keep_empty:
        return
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    for name in (layout.names[j] for j in layout.empty):
        dtype = X[name].dtype
        if str(dtype) not in _UNTYPED and not is_numeric_dtype(dtype) and not is_bool_dtype(dtype):
            raise ValueError(
                f"keep_empty_features: got True and column {name!r} of type {dtype} without an observed value, expected a column of "
                "numbers, whose holes 0 can fill; leave it out, or set keep_empty_features=False"
            )


def _zeros_in_holes(series: Series) -> Series:
    plain = series.astype("float64") if str(series.dtype) in _UNTYPED else series
    return plain.fillna(False if series.dtype.kind == "b" else 0)
