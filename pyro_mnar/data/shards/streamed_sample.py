"""A keyed sample of a table in Parquet files, found in one pass, and the values that say what its columns are.

The sample is the rows of the smallest keys (:mod:`pyro_mnar.data.shards.keyed_rows`), in the order of these: the same ones whatever
files and row groups they stand in. Shares, quantiles and moments are its. What no sample can say is what is rare: each column's
smallest and largest value, and a level that few rows have. These are found exactly, levels as long as a column has at most
``MOST_DISTINCT`` of them, and those that the sample lacks are given beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pyro_mnar.data.shards.keyed_rows import below, keys_of
from pyro_mnar.data.shards.labels import hashes_of
from pyro_mnar.data.shards.shards import Shards

if TYPE_CHECKING:
    import pyarrow
    from pandas import DataFrame

#: Rows read at once.
READ = 2**16
#: Distinct values of a column that are remembered.
MOST_DISTINCT = 1000


@dataclass(frozen=True)
class StreamedSample:
    """What one pass over a table found.

    Attributes:
        rows: the sample, an Arrow table without the label column.
        labels: (n,) of its rows.
        beside: rows of one value each that the sample lacks, an Arrow table of the same columns.
    """

    rows: pyarrow.Table
    labels: np.ndarray
    beside: pyarrow.Table

    @property
    def table(self) -> pyarrow.Table:
        """The sample and the rows beside it, in this order."""
        import pyarrow as pa

        return pa.concat_tables([self.rows, self.beside])

    def named(self, frame: DataFrame) -> DataFrame:
        """Return the sample of a frame of :attr:`table`, its rows named by their labels."""
        return frame.iloc[: len(self.labels)].set_axis(self.labels.tolist(), axis=0)

    @classmethod
    def of(cls, shards: Shards, label: str, seed: int, size: int) -> StreamedSample:
        """Return ``size`` rows, or all where there are fewer, of files that are read once.

        Args:
            shards: the files.
            label: the column that names the rows.
            seed: of the keys.
            size: of the sample.
        """
        import pyarrow as pa

        seen = {name: Distinct() for name in shards.schema.names if name != label}
        kept, keys, labels = [], [], []
        for batch, names, own in keyed_batches(shards, label, seed, "sample"):
            for name, values in seen.items():
                values.add(batch.column(name))
            chosen = np.flatnonzero(own <= below(shards.rows, size))
            kept.append(batch.take(pa.array(chosen)))
            keys.append(own[chosen])
            labels.append(names[chosen])
        order = np.argsort(np.concatenate(keys), kind="stable")[:size]
        table = rows_at(kept, order).drop_columns([label])
        return cls(table, np.concatenate(labels)[order], _beside(table, seen))


def keyed_batches(shards: Shards, label: str, seed: int, purpose: str) -> Iterator[tuple[pyarrow.RecordBatch, np.ndarray, np.ndarray]]:
    """Yield each batch of the files with its labels (n,) and its rows' keys (n,).

    Raises:
        ValueError: naming the file, where it is damaged or a label is missing.
    """
    for part in shards.parts:
        for batch in part.batches(READ):
            names = part.labels(batch, label)
            yield batch, names, keys_of(hashes_of(names), seed, purpose)


def rows_at(batches: list[pyarrow.RecordBatch], order: np.ndarray) -> pyarrow.Table:
    """Return rows of batches at places (n,) as an Arrow table in one piece, levels without an order sorted, whatever batch had which.

    Example:
        >>> import pyarrow as pa
        >>> batches = pa.table({"a": pa.array(["y", "x"]).dictionary_encode()}).to_batches(1)
        >>> rows_at(batches, np.array([0, 1])).column("a").chunk(0).dictionary.to_pylist()
        ['x', 'y']
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    table = pa.Table.from_batches(batches).unify_dictionaries().take(pa.array(order)).combine_chunks()
    for at, kind in enumerate(table.schema):
        if pa.types.is_dictionary(kind.type) and not kind.type.ordered:
            cells = pa.concat_arrays(table.column(at).chunks).dictionary_decode()
            levels = cells.unique().drop_null()
            levels = levels.take(pc.sort_indices(levels))
            places = pc.index_in(cells, levels).cast(kind.type.index_type)
            table = table.set_column(at, kind, pa.DictionaryArray.from_arrays(places, levels).cast(kind.type))
    return table


@dataclass
class Distinct:
    """The values of an Arrow column as far as they say what it is: the ends, and all where they are few.

    Attributes:
        values: the distinct ones; None once there are more than ``MOST_DISTINCT``.
        ends: the smallest and the largest.
    """

    values: set[object] | None = field(default_factory=set)
    ends: list[object] = field(default_factory=list)

    def add(self, column: pyarrow.Array) -> None:
        """Take a batch's values in."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        if pa.types.is_floating(column.type):
            column = column.filter(pc.is_finite(column))  # NaN is a hole, and what is infinite is refused where it is read
        try:
            if self.values is not None:
                self.values |= {value for value in column.unique().to_pylist() if value is not None}
                self.values = None if len(self.values) > MOST_DISTINCT else self.values
            if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type) and len(column) > column.null_count:
                ends = pc.min_max(column).as_py()
                self.ends = [min([ends["min"], *self.ends[:1]]), max([ends["max"], *self.ends[1:]])]
        except (pa.ArrowNotImplementedError, TypeError):  # lists, structs: no column of a model's
            self.values, self.ends = None, []

    def beside(self, column: pyarrow.ChunkedArray) -> list[object]:
        """Return those that a sample's column lacks, in their order."""
        import pyarrow as pa

        known = self.values if self.values is not None else set(self.ends)
        if not known:
            return []
        column = column.combine_chunks()
        column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        return sorted(known - set(column.unique().to_pylist()))  # type: ignore[type-var]  # of one column they are of one type


def _beside(sample: pyarrow.Table, seen: dict[str, Distinct]) -> pyarrow.Table:
    """Return a row for each value that is beside the sample, with that value alone."""
    import pyarrow as pa

    lacking = {name: values.beside(sample.column(name)) for name, values in seen.items()}
    rows, at = sum(map(len, lacking.values())), 0
    columns = []
    for name, values in lacking.items():
        kind = sample.schema.field(name).type
        own = [*[None] * at, *values, *[None] * (rows - at - len(values))]
        array = pa.array(own, kind.value_type) if pa.types.is_dictionary(kind) else pa.array(own, kind)
        columns.append(array.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else array)
        at += len(values)
    return pa.table(columns, schema=sample.schema)
