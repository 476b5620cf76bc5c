"""Parquet by Arrow: columns for pandas, and values put into the holes of a column with its type."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

from pyro_mnar.data.extras import extra
from pyro_mnar.data.kinds.evidence import is_hole
from pyro_mnar.data.kinds.numbers import as_decimal

if TYPE_CHECKING:
    from types import ModuleType

    import pyarrow
    from pandas import DataFrame, Series


def read_arrow(path: str) -> pyarrow.Table:
    """Return the Arrow table of a Parquet file.

    Raises:
        ValueError: naming the file, when it is damaged or two columns have one name.
    """
    with extra("parquet"):
        import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(path).read()
    except Exception as error:  # of a damaged file anything may come, also from its metadata
        raise ValueError(f"{path}: {(str(error).splitlines() or [type(error).__name__])[0]}") from None
    names = table.schema.names
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"{path}: column {twice[0]!r} stands more than once in the header")
    if not table.num_rows:
        raise ValueError(f"{path}: has no rows, expected at least 1")
    try:
        to_frame(table.slice(0, 1), None)
    except Exception as error:
        raise ValueError(f"{path}: {(str(error).splitlines() or [type(error).__name__])[0]}") from None
    return table


def to_frame(table: pyarrow.Table, columns: list[str] | None) -> DataFrame:
    """Return columns of an Arrow table, all where ``columns`` is None, as a DataFrame; whole numbers beside nulls stay whole.

    Example:
        >>> import pyarrow as pa
        >>> to_frame(pa.table({"n": [1, None]}), ["n"]).n.dtype.name
        'Int64'
    """
    import pandas as pd
    import pyarrow as pa

    # Nullable ones only where there are nulls: others are as pandas has them.
    nullable = {pa.field("", kind).type: dtype for kind, dtype in _nullable(pd, pa).items()}
    holed = {field.name for field, column in zip(table.schema, table.columns, strict=True) if column.null_count}
    frame = table.to_pandas()
    frame.columns = frame.columns.map(str)  # pandas writes down that names were numbers, and has them again; in the file they are texts
    for field in table.schema:
        if field.name in holed and field.type in nullable and field.name in frame.columns:
            frame[field.name] = pd.Series(
                table.column(field.name).to_pandas(types_mapper=nullable.get).array, frame.index, name=field.name
            )
    return frame if columns is None else frame[columns]


def _nullable(pd: ModuleType, pa: ModuleType) -> dict[pyarrow.DataType, object]:
    whole = {
        getattr(pa, f"{sign}int{bits}")(): getattr(pd, f"{sign.upper()}Int{bits}Dtype")()
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    }
    return whole | {pa.bool_(): pd.BooleanDtype()}


def filled_column(column: pyarrow.ChunkedArray, completed: Series, holes: np.ndarray, name: str) -> pyarrow.ChunkedArray:
    """Return an Arrow column with ``completed`` values, a pandas Series, where ``holes`` (N,) are, of the same type; holes are null.

    Raises:
        ValueError: where a value cannot be put into the column.
    """
    import pyarrow as pa

    if not holes.any():
        return column
    values = column.to_pylist()
    # Of a column of nothing, which is of no type, what it is filled with says the type.
    target = None if pa.types.is_null(column.type) else column.type
    kind = target.value_type if target is not None and pa.types.is_dictionary(target) else target
    for i, value in zip(np.flatnonzero(holes), completed[holes].tolist(), strict=True):
        values[i] = None if is_hole(value) else value if kind is None else fitting(value, kind)
    try:
        filled = pa.array(values, kind, from_pandas=False)
        filled = filled.dictionary_encode().cast(target) if kind is not target else filled
        return pa.chunked_array([filled], target)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError) as error:
        raise ValueError(f"column {name!r}: {str(error).splitlines()[0]}, expected values of Arrow type {column.type}") from None


def fitting(value: Any, kind: pyarrow.DataType) -> object:
    """Return a filled ``value`` as Python's own of an Arrow type: decimals of its scale, dates, whole numbers."""
    import pyarrow as pa

    if pa.types.is_decimal(kind):
        return as_decimal(value if isinstance(value, Decimal) else float(value), kind.scale, kind.precision)
    if pa.types.is_date(kind) and isinstance(value, datetime.datetime):
        return value.date()
    if pa.types.is_integer(kind) and isinstance(value, float):
        return round(value)
    return value
