"""Tables of Spark completed where they live: each partition's record batches on its worker, with nothing sent anywhere else.

Row randomness hangs on (seed, label) alone, so that a task that is done again on another worker, and one that is done twice, give the
same rows, bit for bit, as files on one machine do.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from pyro_mnar.data.extras import extra
from pyro_mnar.imputer.imputer import MNARImputer
from pyro_mnar.imputer.shards.batches import check_schema, impute_batches

if TYPE_CHECKING:
    import pyarrow
    from pyspark.sql import DataFrame


def completer(model: str | os.PathLike[str], *, label: str) -> Callable[[Iterable[pyarrow.RecordBatch]], Iterator[pyarrow.RecordBatch]]:
    """Return what takes record batches to completed ones in a process that may be another's worker: Spark's ``mapInArrow``, Ray's, ...

    Args:
        model: a saved model, in a folder that every worker can read. It is loaded where it is used.
        label: the column that names the rows.

    Example:
        >>> import tempfile
        >>> import pyarrow as pa
        >>> from pyro_mnar import MNARImputer
        >>> a, b = [None if i % 3 else 1.0 * i for i in range(30)], [i % 7 / 7 for i in range(30)]
        >>> table = pa.table({"id": range(30), "a": a, "b": b})
        >>> imputer = MNARImputer(mechanism="none", steps=2, members=1, progress=False).fit(table.select(["a", "b"]).to_pandas())
        >>> with tempfile.TemporaryDirectory() as home:
        ...     imputer.save(f"{home}/model")
        ...     [batch.column("a").null_count for batch in completer(f"{home}/model", label="id")(table.to_batches(10))]
        [0, 0, 0]
    """
    folder = os.fspath(model)

    def complete(batches: Iterable[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        imputer = MNARImputer.load(folder)
        imputer.progress = False
        yield from impute_batches(imputer, batches, label=label)

    return complete


def impute_spark(table: DataFrame, model: str | os.PathLike[str], *, label: str) -> DataFrame:
    """Return a Spark DataFrame with its holes filled, lazily, everything else as it stood.

    Args:
        table: a ``pyspark.sql.DataFrame`` with the columns of training and any others.
        model: as of :func:`completer`.
        label: the column that names the rows, whole numbers or text; Spark is asked at once whether it names each another.

    Raises:
        ValueError: naming the column, for a label column that is absent, of another type, has holes, or names two rows alike; for
            columns that the model cannot complete.
    """
    with extra("spark"):
        from pyspark.sql import functions
        from pyspark.sql.pandas.types import to_arrow_schema

    check_schema(MNARImputer.load(model), to_arrow_schema(table.schema), label)
    twice = table.groupBy(label).count().filter((functions.col("count") > 1) | functions.col(label).isNull()).limit(1).collect()
    if twice and twice[0][label] is None:
        raise ValueError(f"label: column {label!r} has {twice[0]['count']} holes, expected a name in every row")
    if twice:
        raise ValueError(f"label: column {label!r} has {twice[0][label]!r} more than once, expected another name in every row")
    return table.mapInArrow(completer(model, label=label), table.schema)
