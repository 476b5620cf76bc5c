"""The columns of a table: their names, and what each is."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self, TypeGuard

import numpy as np

from pyro_mnar.data.disguises import disguised
from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.kinds.evidence import distinct, evidence_of, evidence_of_array
from pyro_mnar.data.kinds.levels import MOST_LEVELS
from pyro_mnar.data.kinds.table import declared, infer, kind_of
from pyro_mnar.data.written_limits import refuse_limits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike
    from pandas import DataFrame, Series


@dataclass(frozen=True)
class Schema:
    """The modeled columns, in order.

    Example:
        >>> [column.name for column in Schema.of([[1.0, 2.0]]).columns]
        [0, 1]
    """

    columns: tuple[Column, ...]

    @classmethod
    def of(
        cls,
        table: ArrayLike | DataFrame,
        columns: Sequence[Hashable] | None = None,
        kinds: Mapping[Any, str] | None = None,
        inferred: Mapping[Any, Column] | None = None,
    ) -> Self:
        """Read the schema off a table; kinds follow from dtypes (:func:`~pyro_mnar.data.kinds.table.infer`), an array's are numbers.

        Args:
            table: DataFrame, or 2-D array (its columns are then named by position).
            columns: the names to use, all by default; the rest of the table is left alone.
            kinds: words (see :mod:`pyro_mnar.data.kinds`) for columns of which the dtype does not say it.
            inferred: columns of a DataFrame that are known already, by name.

        Raises:
            ValueError: for duplicate or unknown column names, no columns, names chosen from an array (it has none), an unknown word, or
                a column of no kind (naming its first value that is no number).
            TypeError: for ``columns`` given as one text.
        """
        if isinstance(columns, str):
            raise TypeError(f"columns: got the text {columns!r}, expected a list of names")
        if not is_frame(table):
            array = as_array(table)
            if columns is not None:
                raise ValueError(f"columns: got {list(columns)!r} for an array, expected none (only a DataFrame has names)")
            if not array.shape[1]:
                raise ValueError("table: got no columns, expected at least 1")
            words = _known(kinds, list(range(array.shape[1])))
            return cls(tuple(_column_of_array(array, j, words.get(j)) for j in range(array.shape[1])))
        frame: DataFrame = table
        names = list(frame.columns) if columns is not None else names_of(frame)
        twice = _repeated(names)
        if twice:
            raise ValueError(f"table: column {twice[0]!r} stands more than once, expected distinct names")
        chosen = names if columns is None else list(columns)
        if _repeated(chosen):
            raise ValueError(f"columns: got {_repeated(chosen)[0]!r} more than once, expected distinct names")
        known = set(names)
        for name in chosen:
            if name not in known:
                raise ValueError(f"columns: got unknown {name!r}, expected some of {', '.join(map(str, names))}")
        if not chosen:
            raise ValueError("table: got no columns, expected at least 1")
        words = _known(kinds, chosen)
        ready = inferred or {}
        return cls(tuple(ready.get(name) or _column_of(frame[name].rename(_plain(name)), words.get(name)) for name in chosen))

    def check(self, table: ArrayLike | DataFrame) -> None:
        """Raise a ValueError when a table has not the schema's columns (for data frames order and further columns do not matter)."""
        if not is_frame(table):
            shape = as_array(table).shape
            if shape[1] != len(self.columns):
                raise ValueError(f"table: got shape {shape}, expected {len(self.columns)} columns as in training")
            return
        present = list(table.columns)
        missing = [str(column.name) for column in self.columns if column.name not in present]
        if missing:
            extra = [str(name) for name in present if name not in {column.name for column in self.columns}]
            unknown = f"; the model does not know {', '.join(extra)}" if extra else ""
            raise ValueError(f"table: lacks the model's column(s) {', '.join(missing)}{unknown}")
        # Two columns of one name would leave open which of them is meant.
        twice = [name for name in _repeated(present) if name in {column.name for column in self.columns}]
        if twice:
            raise ValueError(f"table: column {twice[0]!r} stands more than once, expected distinct names")

    def to_json(self) -> list[dict[str, object]]:
        """Return the columns as plain data."""
        columns = [{"kind": column.kind} | asdict(column) for column in self.columns]
        return [{name: value for name, value in column.items() if value not in ((), None)} for column in columns]

    @classmethod
    def from_json(cls, plain: list[dict[str, Any]]) -> Self:
        """Return the schema that :meth:`to_json` wrote.

        Raises:
            ValueError: for anything else.
        """
        if not isinstance(plain, list) or not plain:
            raise ValueError(f"schema: got {plain!r:.60}, expected a list of at least one column")
        for column in plain:
            known = {"name", "kind", "dtype"}
            if not isinstance(column, dict) or not known <= set(column):
                raise ValueError(f"schema: got column {column!r:.60}, expected name, kind and dtype, and perhaps levels or bounds")
            if not isinstance(column["name"], (str, int)) or not isinstance(column["dtype"], str):
                raise ValueError(f"schema: got column {column!r:.60}, expected a text or whole number as name and a text as dtype")
            own = {field.name: field.type for field in fields(kind_of(column["kind"], column["name"]))}
            if not set(column) <= known | set(own):
                raise ValueError(
                    f"schema: got column {column!r:.60}, expected name, kind and dtype, and perhaps {', '.join(sorted(own))}"
                )
            for field_name in set(own) - {"name", "dtype", "levels"}:
                _check_field(column.get(field_name), field_name, own[field_name] == "str", column["name"])
            levels = column.get("levels", [])
            if not isinstance(levels, list) or not all(isinstance(level, (str, int, float)) for level in levels):
                raise ValueError(f"schema: got levels {levels!r:.60} of column {column['name']!r:.60}, expected texts or numbers")
            if len(set(levels)) < len(levels):
                raise ValueError(f"schema: got a level of column {column['name']!r:.60} twice, expected distinct ones")
        twice = _repeated([column["name"] for column in plain])
        if twice:
            raise ValueError(f"schema: column {twice[0]!r} stands more than once, expected distinct names")
        held: list[Any] = [{key: tuple(value) if isinstance(value, list) else value for key, value in c.items()} for c in plain]
        return cls(tuple(kind_of(column.pop("kind"), column["name"])(**column) for column in held))


def is_frame(table: object) -> TypeGuard[DataFrame]:
    """Return whether ``table`` is a pandas DataFrame, without importing pandas.

    Example:
        >>> is_frame([[1.0]])
        False
    """
    return hasattr(table, "columns") and hasattr(table, "iloc")


def names_of(table: DataFrame | np.ndarray) -> list[Hashable]:
    """Return the names of a table's columns, positions for arrays.

    Raises:
        ValueError: for one that is no text or whole number.
    """
    if not is_frame(table):
        return list(range(table.shape[1]))
    names = list(table.columns)
    for name in names:
        _plain(name)
    return names


def as_array(table: ArrayLike | DataFrame) -> np.ndarray:
    """Return a table that is no DataFrame as an array of two dimensions.

    Raises:
        ValueError: for another number of dimensions, rows of different lengths, or a masked array (its mask would be lost).

    Example:
        >>> as_array([[1.0, 2.0]]).shape
        (1, 2)
    """
    if isinstance(table, np.ma.MaskedArray):
        raise ValueError("table: got a masked array, expected an array with NaN in the holes")
    try:
        array = np.asarray(table)
    except ValueError:
        raise ValueError("table: got rows of different lengths, expected as many values in each") from None
    if array.ndim != 2:
        raise ValueError(f"table: got {array.ndim} dimensions, expected 2 (rows and columns)")
    # Beside a text, NumPy makes numbers text; objects show which value it was.
    return array if array.dtype.kind in "biufc" or isinstance(table, np.ndarray) else np.asarray(table, dtype=object)


def _repeated(names: Iterable[Hashable]) -> list[Hashable]:
    seen: set[Hashable] = set()
    return [name for name in names if name in seen or seen.add(name)]  # type: ignore[func-returns-value]


def _plain(name: Hashable) -> str | int:
    # A name of another type would not be found again after a round trip through JSON.
    # True is a number to Python, and a choice of rows to pandas.
    if not isinstance(name, (str, int, np.integer)) or isinstance(name, bool):
        raise ValueError(f"table: got column name {name!r}, expected a text or a whole number")
    return str(name) if isinstance(name, str) else int(name)


def _known(kinds: Mapping[Hashable, str] | None, names: Sequence[Hashable]) -> Mapping[Hashable, str]:
    for name in kinds or {}:
        if name not in names:
            raise ValueError(f"kinds: got unknown column {name!r}, expected some of {', '.join(map(str, names))}")
    return kinds or {}


def _check_field(plain: object, field_name: str, a_word: bool, name: Hashable) -> None:
    """Raise a ValueError unless what a model file says of a column is nothing, or a word, or a number, or of its bounds two."""
    if a_word and isinstance(plain, str):
        return
    numbers: Sequence[Any] = plain if field_name == "bounds" and isinstance(plain, (list, tuple)) and len(plain) == 2 else [plain]
    if plain is not None and not all(type(number) in (int, float) and abs(number) < np.inf for number in numbers):
        raise ValueError(f"schema: got {field_name} {plain!r:.60} of column {name!r:.60}, expected finite numbers")


def _column_of_array(array: np.ndarray, j: int, word: str | None) -> Column:
    if word is not None:
        return declared(j, word, str(array.dtype), array[:, j])
    return infer(evidence_of_array(array[:, j], j))  # type: ignore[return-value]  # continuous at least


def _column_of(series: Series, word: str | None) -> Column:
    """Return the column that a Series is declared or inferred to be."""
    if word is not None:
        ordered = str(series.dtype) == "category" and bool(series.cat.ordered)
        return declared(
            series.name,
            word,
            str(series.dtype),
            series.to_numpy(dtype=object, na_value=np.nan),
            distinct(series.cat.categories, series.name) if ordered else None,
        )
    column = infer(evidence_of(series))
    if column is not None:
        return column
    refuse_limits(series)
    seen = series.dropna()
    texts = [value for value in seen.iloc[:100] if isinstance(value, str)]
    said = disguised(series.name, texts) if len(texts) == min(100, len(seen)) else None
    for label, value in seen.items():
        if not isinstance(value, (int, float, np.number)) or isinstance(value, bool):
            raise ValueError(
                f"column {series.name!r}: got {value!r} in row {label}, expected numbers, or at most {MOST_LEVELS} categories that "
                f"repeat ({said or 'leave the column out, or declare its kind'})"
            )
    raise ValueError(
        f"column {series.name!r}: got {next(iter(series.dropna()), None)!r}, dtype {series.dtype}, expected numbers, levels or dates"
    )
