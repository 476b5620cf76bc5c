"""A file's table and its completed ones below one another, with ``.imp`` and ``.id``: everything observed as it stands in the file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pyro_mnar.data.extras import extra
from pyro_mnar.data.files.source import Source
from pyro_mnar.data.files.writing import write_table, write_whole

if TYPE_CHECKING:
    from pandas import DataFrame

_FIRST = (".imp", ".id")


def check_long(names: Sequence[str]) -> None:
    """Raise a ValueError where a column is called ``.imp`` or ``.id``."""
    for name in _FIRST:
        if name in names:
            raise ValueError(f"table: has a column {name!r}, expected another name where draws are written below one another")


def write_long(path: Path, source: Source, part: DataFrame, draws: Sequence[DataFrame], holes: DataFrame) -> None:
    """Write the table of ``source`` with its holes (``.imp`` 0) and each of M completed ones (1 to M); ``.id`` counts rows from 1.

    Args:
        path: ends in .csv or .parquet.
        source: the table.
        part: (N, any columns), as they are read.
        draws: M completed ones of these columns.
        holes: (N, these columns) bool; in the first table they are empty, whatever stands for missing in the file.

    Raises:
        ValueError: naming the file, when it cannot be written.
    """
    check_long(source.names)
    count, every = len(part), [part.mask(holes), *draws]
    if source.arrow is None and path.suffix.lower() == ".csv":
        file = io.StringIO(newline="")
        writer = csv.writer(file, delimiter=source.separator, lineterminator=source.line_end)
        writer.writerow([*_FIRST, *source.header])
        for draw, table in enumerate(every):
            cells = zip(*source.filled_texts(table, holes), strict=True)
            writer.writerows([draw, row, *own] for row, own in enumerate(cells, 1))
        write_whole(path, lambda new: new.write_bytes(file.getvalue().encode(source.encoding, "strict")))
    elif source.arrow is not None and path.suffix.lower() == ".parquet":
        with extra("parquet"):
            import pyarrow as pa
            import pyarrow.parquet

        whole = pa.concat_tables([source.filled_arrow(table, holes) for table in every]).replace_schema_metadata(None)
        numbers = (np.repeat(np.arange(len(every)), count), np.tile(np.arange(1, count + 1), len(every)))
        for at, (name, own) in enumerate(zip(_FIRST, numbers, strict=True)):
            whole = whole.add_column(at, name, pa.array(own, pa.int64()))
        write_whole(path, lambda new: pyarrow.parquet.write_table(whole, new))
    else:
        import pandas as pd

        frame = pd.concat([source.filled_frame(table) for table in every], ignore_index=True)
        frame.insert(0, _FIRST[0], np.repeat(np.arange(len(every)), count))
        frame.insert(1, _FIRST[1], np.tile(np.arange(1, count + 1), len(every)))
        write_table(frame, path, index=False)
