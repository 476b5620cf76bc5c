"""Completed tables below one another, as R's mice, R's mitools and Stata read them.

The form is that of ``complete(imputed, "long", include = TRUE)`` of R's mice (van Buuren and Groothuis-Oudshoorn 2011, "mice:
Multivariate Imputation by Chained Equations in R", Journal of Statistical Software 45(3)).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pandas import DataFrame

#: What the first two columns are called: the number of the draw, 0 of the table with its holes, and the row.
DRAW, ROW = ".imp", ".id"


def long_draws(table: DataFrame, tables: Sequence[DataFrame]) -> DataFrame:
    """Return a table and its completed ones below one another, (N (M + 1), D + 2), to be written as CSV or Parquet.

    Args:
        table: (N, D) with its holes; ``.imp`` is 0.
        tables: M completed ones, as ``MNARImputer.sample`` returns them; ``.imp`` is 1 to M.

    ``.id`` is the row's label where labels differ and do more than count from 0, and else counts from 1.

    Raises:
        ValueError: for other columns or rows, no tables, or columns that are called ``.imp`` or ``.id``.
        TypeError: for what is no DataFrame.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"a": [1.0, None]})
        >>> long_draws(table, [table.fillna(3.0)]).values.tolist()
        [[0.0, 1.0, 1.0], [0.0, 2.0, nan], [1.0, 1.0, 1.0], [1.0, 2.0, 3.0]]
    """
    import pandas as pd

    for name, given in (("table", table), *((f"tables[{i}]", one) for i, one in enumerate(tables))):
        if not isinstance(given, pd.DataFrame):
            raise TypeError(f"{name}: got {type(given).__name__}, expected a DataFrame (pandas.DataFrame({name}))")
    taken = [name for name in (DRAW, ROW) if name in table.columns]
    if taken:
        raise ValueError(f"table: has a column {taken[0]!r}, expected another name")
    if not len(tables):
        raise ValueError("tables: got none, expected at least 1 completed table")
    for i, completed in enumerate(tables):
        if list(completed.columns) != list(table.columns) or len(completed) != len(table):
            raise ValueError(f"tables: got other columns or rows in table {i}, expected those of the table with holes")
    counted = isinstance(table.index, pd.RangeIndex) or not table.index.is_unique
    rows = np.arange(1, len(table) + 1) if counted else table.index.to_numpy()
    whole = pd.concat([table, *tables], ignore_index=True)
    whole.insert(0, DRAW, np.repeat(np.arange(len(tables) + 1), len(table)))
    whole.insert(1, ROW, np.tile(rows, len(tables) + 1))
    return whole
