"""Record batches imputed by a fitted imputer, one after the other: tables larger than memory, and streams.

A row's random numbers come from (seed, label, site, member), the label being the row's value in a column of the table, and everything
else that decides over its result is the row itself and the model. So a completed row is the same, bit for bit, in whatever batch, order
or process it comes. A data frame's index, which starts anew in every part, would give rows of different parts the same numbers.

What is written is decided by the column's Arrow type, and not by what else is in the batch: points in time are rounded to seconds, days
where the type is one of days, decimals to the type's scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np

from pyro_mnar.data.extras import extra
from pyro_mnar.data.files.arrow import filled_column, to_frame
from pyro_mnar.data.kinds.column import Column
from pyro_mnar.data.kinds.dates import WRITTEN
from pyro_mnar.data.layout import Layout
from pyro_mnar.data.schema import Schema
from pyro_mnar.data.shards.labels import Seen, hashes_of, label_field, label_values
from pyro_mnar.data.shards.shards import difference
from pyro_mnar.imputer.contract import Imputer
from pyro_mnar.imputer.imputing import imputed
from pyro_mnar.imputer.tables.given import check_fitted, given

if TYPE_CHECKING:
    import pyarrow
    from pandas import DataFrame


def impute_batches(imputer: Imputer, batches: Iterable[pyarrow.RecordBatch], *, label: str) -> Iterator[pyarrow.RecordBatch]:
    """Yield each batch with its holes filled as the imputer's ``point`` says, everything else as it stood.

    Args:
        imputer: a fitted :class:`~pyro_mnar.imputer.imputer.MNARImputer`.
        batches: ``pyarrow.RecordBatch`` es of one schema, with the columns of training and any others.
        label: the column that names the rows, whole numbers or text. It may be no column of the model.

    Raises:
        ValueError: naming the column, for a label column that is absent, of another type, has holes, or names two rows alike; for a
            batch of another schema; for an imputer that adds indicators.

    Example:
        >>> import pyarrow as pa
        >>> from pyro_mnar import MNARImputer
        >>> a, b = [None if i % 3 else 1.0 * i for i in range(30)], [i % 7 / 7 for i in range(30)]
        >>> table = pa.table({"id": range(30), "a": a, "b": b})
        >>> imputer = MNARImputer(mechanism="none", steps=2, members=1, progress=False).fit(table.select(["a", "b"]).to_pandas())
        >>> [batch.column("a").null_count for batch in impute_batches(imputer, table.to_batches(10), label="id")]
        [0, 0, 0]
    """
    with extra("parquet"):
        import pyarrow as pa
    check_fitted(imputer)
    if imputer.add_indicator:
        raise ValueError("imputer: got one with add_indicator=True, expected one that adds no columns")
    schema, seen = None, Seen()
    for batch in batches:
        if schema is None:
            schema = batch.schema
            check_schema(imputer, schema, label)
            imputer = _with_written_dates(imputer, schema)
        elif not batch.schema.equals(schema):
            raise ValueError(f"batches: got one of another schema ({difference(schema, batch.schema)}), expected that of the first")
        if not batch.num_rows:
            yield batch
            continue
        table = pa.Table.from_batches([batch])
        labels = label_values(table.column(label), label)
        twice = seen.add(hashes_of(labels))
        if len(twice):
            name = labels[np.isin(hashes_of(labels), twice)].tolist()[0]
            raise ValueError(f"label: column {label!r} has {name!r} more than once, expected another name in every row")
        yield from _completed(imputer, table, labels).combine_chunks().to_batches()


def check_schema(imputer: Imputer, schema: pyarrow.Schema, label: str) -> None:
    """Refuse an Arrow schema that a fitted ``imputer`` cannot complete.

    Raises:
        ValueError: naming the column.
    """
    import pyarrow as pa

    label_field(schema, label)
    twice = [name for name in schema.names if schema.names.count(name) > 1]
    if twice:
        raise ValueError(f"table: column {twice[0]!r} stands more than once, expected distinct names")
    layout: Layout = imputer.codec_.layout
    written = [limit.column for limit in imputer.codec_.limits if limit.cells]
    if written:
        raise ValueError(f"limits: cells of column {written[0]!r} say them, expected numbers (limits in columns of their own)")
    names = [str(name) for name in layout.names]
    lacking = [name for name in names if name not in schema.names]
    if lacking:
        raise ValueError(f"table: lacks the model's column(s) {', '.join(lacking)}")
    if label in names:
        raise ValueError(f"label: got {label!r}, a column of the model, expected one that it does not know (a row's name is no value)")
    for column in imputer.codec_.columns:
        kind = schema.field(str(column.name)).type
        if column.kind == "date" and not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
            raise ValueError(f"column {column.name!r}: got dates of type {kind}, expected Arrow's dates or timestamps (cast it)")


def _completed(imputer: Imputer, table: pyarrow.Table, labels: np.ndarray) -> pyarrow.Table:
    codec, layout = imputer.codec_, imputer.codec_.layout
    frame = to_frame(table, [str(name) for name in layout.names]).set_axis(labels.tolist(), axis=0)
    read = given(imputer, frame.set_axis(list(layout.names), axis=1))
    found = imputed(imputer, read).result.completed.numpy()
    for j, column in enumerate(codec.columns):
        table = _put(table, column, read.missing[:, j], found[:, j])
    for j, value in layout.constants:
        holes = cast("DataFrame", read.table)[layout.names[j]].isna().to_numpy()
        holes = holes & ~read.known.absent.get(layout.names[j], np.zeros(len(holes), bool))
        table = _placed(table, str(layout.names[j]), np.full(len(holes), value, object), holes)
    return table


def _with_written_dates(imputer: Imputer, schema: pyarrow.Schema) -> Imputer:
    """Return an imputer whose dates are as fine as :func:`_put` writes them.

    By observed values, as of a table, that would be as fine as those of a batch are, and another batch's.
    """
    found, codec = copy(imputer), imputer.codec_
    columns = [
        replace(column, dtype=_fineness(schema.field(str(column.name)).type)) if column.kind == "date" else column
        for column in codec.columns
    ]
    found.codec_ = replace(codec, schema=Schema(tuple(columns)))
    return found


def _fineness(kind: pyarrow.DataType) -> str:
    """Return how fine dates of a type are written, a word of :data:`~pyro_mnar.data.kinds.dates.WRITTEN`."""
    import pyarrow as pa

    return "days" if pa.types.is_date(kind) else "seconds"


def _put(table: pyarrow.Table, column: Column, holes: np.ndarray, numbers: np.ndarray) -> pyarrow.Table:
    """Return an Arrow table with what ``numbers`` (N,) stand for in the ``holes`` (N,) of a column."""
    import pyarrow as pa

    kind = table.schema.field(str(column.name)).type
    values = np.empty(len(holes), object)
    if column.kind == "date":
        # Of a type with a zone they are in UTC, as Arrow takes points in time without one.
        unit = {"days": "D", "seconds": "s"}[column.dtype]
        values[holes] = np.rint(numbers[holes] * WRITTEN[column.dtype]).astype(np.int64).astype(f"datetime64[{unit}]").astype(object)
    else:
        own = column.written(numbers[holes])
        if pa.types.is_integer(kind):
            limits = np.iinfo(kind.to_pandas_dtype())
            own = np.rint(np.asarray(own, float)).clip(limits.min, limits.max)
        values[holes] = own
    return _placed(table, str(column.name), values, holes)


def _placed(table: pyarrow.Table, name: str, values: np.ndarray, holes: np.ndarray) -> pyarrow.Table:
    if not holes.any():
        return table
    at = table.schema.get_field_index(name)
    return table.set_column(at, table.schema.field(at), filled_column(table.column(name), values, holes, name))
